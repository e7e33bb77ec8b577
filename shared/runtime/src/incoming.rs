//! One delivery at the edge: parsed into types, or refused for a reason that names the place.

use std::time::Duration;

use bus::Delivery;
use contract::{Message, Reason, Refusal, RoutingKey};
use domain::fingerprint::Fingerprint;
use domain::ids::{PaymentId, ReservationId, TerminalId};
use store::declarations::Declarations;
use uuid::Uuid;

use crate::clock;

/// A readable message with what a handler needs to know of its envelope.
#[derive(Debug)]
pub struct Item {
    /// The message.
    pub message: Message,
    /// Equal fingerprints are the same content.
    pub fingerprint: Fingerprint,
    /// W3C trace context, carried through everything that follows.
    pub traceparent: Option<String>,
}

/// A delivery after parsing.
#[derive(Debug)]
pub(crate) struct Incoming {
    pub(crate) delivery: Delivery,
    /// None for a key no worker of ours knows.
    pub(crate) key: Option<RoutingKey>,
    pub(crate) content: Result<Item, Refusal>,
    pub(crate) payment_id: Option<PaymentId>,
    pub(crate) reservation_id: Option<ReservationId>,
    /// The fingerprint, or the hash of the bytes where there is none.
    pub(crate) content_hash: [u8; 32],
    /// An operator vouches that its sender may speak for the terminal that it names.
    pub(crate) vouched: bool,
}

/// Who sent a message.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sender<'a> {
    /// The broker user, as the broker verified it; none where it was not said.
    User(Option<&'a str>),
    /// Whoever it was, an operator vouches for him.
    Vouched,
}

impl Incoming {
    /// Parses a delivery by itself: nothing that is wrong with it touches its neighbours.
    pub(crate) fn parse(delivery: Delivery) -> Self {
        let key = RoutingKey::parse(&delivery.routing_key);
        match read(&delivery, key) {
            Ok(item) => Self {
                key,
                payment_id: item.message.payment_id(),
                reservation_id: item.message.reservation_id(),
                content_hash: *item.fingerprint.as_bytes(),
                content: Ok(item),
                delivery,
                vouched: false,
            },
            Err(refusal) => {
                let (payment_id, reservation_id) = contract::message::ids_of(&delivery.body);
                let content_hash = *Fingerprint::of_bytes(&delivery.body).as_bytes();
                Self {
                    key,
                    payment_id,
                    reservation_id,
                    content_hash,
                    content: Err(refusal),
                    delivery,
                    vouched: false,
                }
            }
        }
    }

    /// Facts, and whatever cannot be told from one, may carry money: they are parked when refused.
    pub(crate) fn may_carry_money(&self) -> bool {
        self.key.is_none_or(RoutingKey::is_fact)
    }

    /// The payment or reservation it is about.
    pub(crate) fn subject(&self) -> Option<Uuid> {
        self.payment_id
            .map(|id| id.as_uuid())
            .or(self.reservation_id.map(|id| id.as_uuid()))
    }

    /// Who sent it.
    pub(crate) fn sender(&self) -> Sender<'_> {
        match self.vouched {
            true => Sender::Vouched,
            false => Sender::User(self.delivery.user_id.as_deref()),
        }
    }

    /// Whether nobody waits for it any more. Nobody is told then: it is counted.
    pub(crate) fn is_dropped_by(&self, worker: &'static str) -> bool {
        let dropped = self.is_overdue();
        if dropped {
            metrics::counter!("unigate_questions_overdue_total", "worker" => worker).increment(1);
        }
        dropped
    }

    /// Past its expiration a question is dropped unanswered: the terminal has stopped waiting. Facts never expire. Judged by the
    /// database's clock: a machine whose own is ahead would drop every question, and no other would get it.
    fn is_overdue(&self) -> bool {
        if self.may_carry_money() {
            return false;
        }
        let (Some(sent), Some(lifetime)) = (self.delivery.timestamp, self.delivery.expiration_ms) else {
            return false;
        };
        // AMQP timestamps are whole seconds, cut off: the message may have been sent up to a second later.
        let overdue_at = Duration::from_secs(sent) + Duration::from_millis(lifetime) + Duration::from_secs(1);
        let now = clock::database_now().as_duration();
        Duration::try_from(now).is_ok_and(|now| now > overdue_at)
    }
}

fn read(delivery: &Delivery, key: Option<RoutingKey>) -> Result<Item, Refusal> {
    let Some(key) = key else {
        let detail = format!("routing key: `{}` is not one of ours", printable(&delivery.routing_key));
        return Err(Refusal::new(Reason::InvalidRequest, detail));
    };
    if delivery.version.is_some_and(|version| version != 1) {
        return Err(Refusal::new(
            Reason::UnsupportedVersion,
            "unigate-version: only 1 is spoken here",
        ));
    }
    let message = contract::message::parse(key, &delivery.body)?;
    // Questions that leave nothing behind have no content to compare.
    let fingerprint = message
        .fingerprint()
        .unwrap_or_else(|| Fingerprint::of_bytes(&delivery.body));
    Ok(Item {
        fingerprint,
        message,
        traceparent: delivery.traceparent.clone(),
    })
}

/// Whether the sender may speak for the terminal the message names.
pub(crate) fn may_speak(
    declarations: &Declarations,
    open: bool,
    terminal: &TerminalId,
    sender: Sender<'_>,
) -> Result<(), Refusal> {
    let Some(declared) = declarations.terminals.get(terminal) else {
        return if open {
            Ok(())
        } else {
            Err(Refusal::new(
                Reason::UnknownTerminal,
                format!("terminal: `{terminal}` is not declared"),
            ))
        };
    };
    let Sender::User(user) = sender else { return Ok(()) };
    if declared.value.may_be_spoken_for_by(user, open) {
        return Ok(());
    }
    let why = if user.is_some() {
        "this broker user may not speak for it"
    } else {
        "user_id is required for it"
    };
    Err(Refusal::new(
        Reason::NotYourTerminal,
        format!("terminal: `{terminal}`: {why}"),
    ))
}

fn printable(text: &str) -> String {
    text.chars()
        .take(100)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[test]
    fn who_still_waits_is_judged_by_the_databases_clock() {
        let sent = u64::try_from(domain::clock::now().as_second()).unwrap();
        let asked = || {
            Incoming::parse(Delivery {
                timestamp: Some(sent),
                expiration_ms: Some(30_000),
                ..Delivery::new("payment.check", "{}")
            })
        };
        assert!(!asked().is_overdue());
        clock::compared(SignedDuration::from_mins(-5));
        assert!(
            asked().is_overdue(),
            "it is five minutes later than this machine believes"
        );
        clock::compared(SignedDuration::ZERO);
        assert!(!asked().is_overdue());
    }

    #[test]
    fn a_question_that_is_dropped_is_counted() {
        crate::telemetry::start_metrics();
        let asked = |key: &str| {
            Incoming::parse(Delivery {
                timestamp: Some(1_000_000_000),
                expiration_ms: Some(30_000),
                ..Delivery::new(key, "{}")
            })
        };
        assert!(asked("payment.check").is_dropped_by("somebody.questions"));
        assert!(
            !asked("payment.accepted").is_dropped_by("somebody.facts"),
            "a fact is never"
        );
        let metrics = crate::telemetry::render_metrics();
        assert!(
            metrics.contains(r#"unigate_questions_overdue_total{worker="somebody.questions"} 1"#),
            "{metrics}"
        );
    }
}
