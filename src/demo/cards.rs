//! A terminal that sells cards.

use std::time::Duration;

use futures::future::join_all;
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use super::memory::in_short;
use super::players::Players;
use super::scenario::Ending;

/// The product that does not run out.
pub(super) const PLENTY: &str = "mts-100";
/// How long after the end of a hold a terminal is late: the clocks of both sides are one machine's.
const A_LITTLE: Duration = Duration::from_millis(1500);
/// Longer than the grace of the day's products and a few sweeps.
const A_WHILE: Duration = Duration::from_secs(8);

/// A terminal at the cards.
#[derive(Clone, Copy)]
pub(super) struct CardDesk<'a> {
    pub(super) players: &'a Players,
    pub(super) terminal: usize,
}

/// A card in the hand of a terminal.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) reservation: Uuid,
    pub(super) product: &'static str,
    pub(super) serial: String,
    pub(super) price: i64,
    pub(super) until: Timestamp,
}

impl CardDesk<'_> {
    /// Looks what can be bought.
    pub(super) async fn look(&self) {
        let body = json!({"terminal": self.name(), "products": []});
        if let Some(answer) = self.players.till.ask(self.terminal, "card.availability", &body).await {
            self.players.memory.expect("card.availability", &answer, &["ok"]);
        }
    }

    /// Serves a payer from the reservation to the end.
    pub(super) async fn serve(&self, reservation: Uuid, ending: Ending, receipt: &str) {
        let Some(held) = self.reserve(reservation, PLENTY).await else {
            return;
        };
        match ending {
            Ending::Sold { copies } => {
                self.sell_told_often(&held, receipt, copies).await;
            }
            Ending::Reprinted => {
                self.sell(&held, receipt, &["sold"]).await;
                self.reprint(&held).await;
            }
            Ending::Released => self.release(&held).await,
            Ending::Abandoned => {}
            Ending::SoldInGrace => {
                sleep_until(held.until, A_LITTLE).await;
                self.sell_late(&held, receipt, "sold").await;
            }
            Ending::SoldAfterGrace => {
                sleep_until(held.until, A_WHILE).await;
                self.sell_late(&held, receipt, "sold").await;
            }
        }
    }

    /// Reserves a card for the shortest time there is.
    pub(super) async fn reserve(&self, reservation: Uuid, product: &'static str) -> Option<Held> {
        let memory = &self.players.memory;
        let body =
            json!({"reservation_id": reservation, "terminal": self.name(), "product": product, "hold_seconds": 15});
        let answer = self.players.till.ask(self.terminal, "card.reserve", &body).await?;
        memory.note(|all| all.cards.entry(reservation).or_default().product = product.to_owned());
        if !memory.expect("card.reserve", &answer, &["reserved"]) {
            return None;
        }
        let serial = self.card_in_hand("card.reserve", &answer)?;
        memory.note(|all| all.cards.entry(reservation).or_default().serial = Some(serial.clone()));
        let until = answer["held_until"].as_str().and_then(|until| until.parse().ok());
        let (Some(price), Some(until)) = (answer["price"].as_i64(), until) else {
            memory.surprise("card.reserve: a card without its price or the end of its hold");
            return None;
        };
        Some(Held {
            reservation,
            product,
            serial,
            price,
            until,
        })
    }

    /// The serial of the card that an answer brings, if the card is what was imported.
    fn card_in_hand(&self, key: &str, answer: &Value) -> Option<String> {
        let (memory, stock) = (&self.players.memory, &self.players.stock);
        let card = match answer["sealed_card"].as_str() {
            None => answer["card"].clone(),
            Some(sealed) => {
                memory.note(|all| all.sealed.push(answer.to_string()));
                let opened = self.players.key.open(sealed.as_bytes());
                opened
                    .ok()
                    .and_then(|opened| serde_json::from_slice(&opened).ok())
                    .unwrap_or_default()
            }
        };
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let serial = text(&card["serial"]);
        let fields = &card["fields"];
        if !stock.is_genuine(&serial, &text(&fields["pin"]), &text(&fields["activation"])) {
            memory.surprise(format!("{key}: a card that is not as it was imported"));
            return None;
        }
        Some(serial)
    }

    /// Tells of a sale so many times at once: each telling is answered, one of them with `sold`.
    async fn sell_told_often(&self, held: &Held, receipt: &str, copies: usize) {
        let tellings = join_all((0..copies).map(|_| self.sell(held, receipt, &["sold", "already_sold"]))).await;
        self.players.memory.expect_once("card.sell", &tellings, "sold");
    }

    /// Tells of a sale after the hold. One that counts is called late.
    pub(super) async fn sell_late(&self, held: &Held, receipt: &str, expected: &str) -> Option<Value> {
        let answer = self.sell(held, receipt, &[expected]).await?;
        if expected == "sold" && answer["late"] != true {
            self.players
                .memory
                .surprise("card.sell: a sale after the hold that was not called late");
        }
        Some(answer)
    }

    /// Tells of a sale.
    pub(super) async fn sell(&self, held: &Held, receipt: &str, expected: &[&str]) -> Option<Value> {
        let body = json!({
            "reservation_id": held.reservation, "terminal": self.name(), "paid_at": now(), "amount": held.price,
            "currency": "RUB", "receipt_number": receipt, "product": held.product, "serial": held.serial,
        });
        let answer = self.players.till.tell(self.terminal, "card.sell", &body).await?;
        self.players.memory.expect("card.sell", &answer, expected);
        self.ended(held.reservation, &answer);
        if answer["replacement"].is_object() {
            self.take_replacement(held, &answer["replacement"]);
        }
        Some(answer)
    }

    fn take_replacement(&self, held: &Held, replacement: &Value) {
        let id = replacement["reservation_id"]
            .as_str()
            .and_then(|id| id.parse::<Uuid>().ok());
        let serial = self.card_in_hand("card.sell", replacement);
        let (Some(id), Some(serial)) = (id, serial) else {
            self.players.memory.surprise("card.sell: a replacement that is no card");
            return;
        };
        self.players.memory.note(|all| {
            let told = all.cards.entry(id).or_default();
            told.product = held.product.to_owned();
            told.serial = Some(serial);
            told.ends.push("sold".to_owned());
        });
    }

    /// The payer walks away.
    pub(super) async fn release(&self, held: &Held) {
        let body = json!({"reservation_id": held.reservation, "terminal": self.name()});
        if let Some(answer) = self.players.till.tell(self.terminal, "card.release", &body).await {
            self.players.memory.expect("card.release", &answer, &["released"]);
            self.ended(held.reservation, &answer);
        }
    }

    async fn reprint(&self, held: &Held) {
        let body = json!({"reservation_id": held.reservation, "terminal": self.name()});
        if let Some(answer) = self.players.till.ask(self.terminal, "card.reprint", &body).await
            && self.players.memory.expect("card.reprint", &answer, &["reprinted"])
            && self
                .card_in_hand("card.reprint", &answer)
                .is_some_and(|serial| serial != held.serial)
        {
            self.players
                .memory
                .surprise("card.reprint: another card than the one that was sold");
        }
    }

    fn ended(&self, reservation: Uuid, answer: &Value) {
        self.players.memory.note(|all| {
            let told = all.cards.entry(reservation).or_default();
            told.ends.push(in_short(answer));
            told.late |= answer["late"] == true;
        });
    }

    fn name(&self) -> &str {
        self.players.name(self.terminal)
    }
}

/// Now, as terminals write it.
pub(super) fn now() -> String {
    domain::clock::now().to_string()
}

/// Until so long after a moment the system named.
pub(super) async fn sleep_until(moment: Timestamp, after: Duration) {
    let left = moment.duration_since(domain::clock::now());
    let left = Duration::try_from(left).unwrap_or_default();
    tokio::time::sleep(left + after).await;
}
