//! `card.reserve`: a card is held before the payer puts money in.
//!
//! Cards are taken and holds are made, one statement each for the whole batch. An id that is known gets no hold: it is
//! answered from its row. One that stands twice in the batch, or that another transaction uses at the same moment, is looked
//! at once the first one is there.

use std::collections::{BTreeMap, HashMap, HashSet};

use contract::answer::{CardReserveAnswer, ReservationOver, ReservedCard};
use contract::event::{CardEvent, CardItem};
use contract::message::CardReserve;
use contract::{Reason, Refusal};
use domain::card::{ReserveVerdict, resolve_reserve, shorten_hold};
use domain::declaration::Product;
use domain::ids::{ProductId, ReservationId};
use jiff::Timestamp;
use store::cards::{Card, Want};
use store::declarations::Declarations;
use store::reservations::{self, Locked, NewHold, Reservation};
use store::{StoreError, Tx};

use crate::batch::Batch;
use crate::desk::{Desk, Showing, offer_for, offer_of};
use crate::limits::Room;
use crate::vault::Details;

/// A request at its place in the batch.
#[derive(Clone, Copy)]
pub(crate) struct Asked<'a> {
    pub(crate) place: usize,
    pub(crate) request: &'a CardReserve,
    pub(crate) fingerprint: [u8; 32],
    pub(crate) traceparent: Option<&'a str>,
}

impl Asked<'_> {
    fn id(&self) -> ReservationId {
        self.request.reservation_id
    }
}

/// A request that gets a card, and the card.
struct Given<'a> {
    asked: Asked<'a>,
    product: &'a Product,
    card: Card,
    details: Details,
}

/// Answers every request.
pub(crate) async fn reserve<'a>(
    desk: &Desk,
    tx: &Tx,
    declarations: &'a Declarations,
    asked: Vec<Asked<'a>>,
    batch: &mut Batch,
) -> Result<(), StoreError> {
    let terminals = asked.iter().map(|asked| &asked.request.terminal);
    let mut room = Room::count(tx, declarations, desk.limits, terminals).await?;
    let mut pending = hold_unseen(desk, tx, declarations, asked, &mut room, batch).await?;
    // Every round answers each id once, or finds that somebody else has just used it; so there are few rounds.
    while !pending.is_empty() {
        pending = look_and_hold(desk, tx, declarations, pending, &mut room, batch).await?;
    }
    Ok(())
}

/// Almost every id is new, so at first none is looked for: one that is known gets no second hold. Returns the requests of
/// which more has to be known: nothing is refused before its id has been looked for.
async fn hold_unseen<'a>(
    desk: &Desk,
    tx: &Tx,
    declarations: &'a Declarations,
    asked: Vec<Asked<'a>>,
    room: &mut Room,
    batch: &mut Batch,
) -> Result<Vec<Asked<'a>>, StoreError> {
    let (mut fresh, mut unsure) = (Vec::with_capacity(asked.len()), Vec::new());
    let mut claimed = HashSet::with_capacity(asked.len());
    for asked in asked {
        match offered(declarations, asked.request) {
            Ok(product) if !claimed.contains(&asked.id()) && room.take(&asked.request.terminal).is_ok() => {
                claimed.insert(asked.id());
                fresh.push((asked, product));
            }
            _ => unsure.push(asked),
        }
    }
    let held = hold_fresh(desk, tx, declarations, fresh, room, batch).await?;
    unsure.extend(held.used);
    unsure.extend(held.short);
    // What is left, of cards and of a terminal's limit, goes to who came first.
    unsure.sort_by_key(|asked| asked.place);
    Ok(unsure)
}

/// Answers ids that are known from their rows, and holds cards for the others. Returns the requests whose id somebody else
/// has just used, and those that have to be looked at once more.
async fn look_and_hold<'a>(
    desk: &Desk,
    tx: &Tx,
    declarations: &'a Declarations,
    pending: Vec<Asked<'a>>,
    room: &mut Room,
    batch: &mut Batch,
) -> Result<Vec<Asked<'a>>, StoreError> {
    let ids: Vec<ReservationId> = pending.iter().map(Asked::id).collect();
    // Without a lock: an answer changes nothing, and whoever holds cards must not wait for a reservation.
    let found = reservations::read(tx, &ids).await?;
    let (mut known, mut fresh, mut later) = (Vec::new(), Vec::new(), Vec::new());
    let mut claimed = HashSet::new();
    for asked in pending {
        if found.reservations.contains_key(&asked.id()) {
            known.push(asked);
        } else if claimed.contains(&asked.id()) {
            later.push(asked);
        } else {
            match offered(declarations, asked.request) {
                Ok(product) => {
                    claimed.insert(asked.id());
                    fresh.push((asked, product));
                }
                Err(refusal) => batch.refuse_with(asked.place, refusal),
            }
        }
    }
    answer_known(desk, tx, declarations, &found, &known, batch).await?;
    let mut admitted = Vec::with_capacity(fresh.len());
    let mut beyond = Vec::new();
    for (asked, product) in fresh {
        match room.take(&asked.request.terminal) {
            Ok(()) => admitted.push((asked, product)),
            Err(refusal) => beyond.push((asked, refusal)),
        }
    }
    let held = hold_fresh(desk, tx, declarations, admitted, room, batch).await?;
    later.extend(held.used);
    for short in held.short {
        // The same again is told the same: a round for each of them would let one terminal hold up the batch.
        let (same, others) = later.into_iter().partition(|asked| is_repeated(asked, &short));
        later = others;
        for asked in [vec![short], same].concat() {
            let why = format!("product: no `{}` is left", asked.request.product);
            batch.refuse(asked.place, Reason::OutOfStock, why);
        }
    }
    for (asked, refusal) in beyond {
        // Somebody before it may have got no card after all; then there is room in the next round.
        match room.take(&asked.request.terminal) {
            Ok(()) => {
                room.give_back(&asked.request.terminal);
                later.push(asked);
            }
            Err(_) => batch.refuse_with(asked.place, refusal),
        }
    }
    Ok(later)
}

fn is_repeated(asked: &Asked<'_>, first: &Asked<'_>) -> bool {
    asked.id() == first.id() && asked.fingerprint == first.fingerprint
}

/// The product, if this terminal may sell it now.
fn offered<'a>(declarations: &'a Declarations, request: &CardReserve) -> Result<&'a Product, Refusal> {
    let refused = |reason, why: &str| Err(Refusal::new(reason, format!("product: `{}` {why}", request.product)));
    let Some(product) = declarations.products.get(&request.product) else {
        return refused(Reason::UnknownProduct, "is not declared");
    };
    let group = declarations
        .terminals
        .get(&request.terminal)
        .and_then(|terminal| terminal.value.group.as_deref());
    if !product.value.is_offered_to(group) {
        return refused(Reason::NotAllowedHere, "is not sold at this terminal");
    }
    if product.value.suspended {
        return refused(Reason::ProductSuspended, "is not sold at present");
    }
    Ok(&product.value)
}

async fn answer_known(
    desk: &Desk,
    tx: &Tx,
    declarations: &Declarations,
    locked: &Locked,
    known: &[Asked<'_>],
    batch: &mut Batch,
) -> Result<(), StoreError> {
    let mut again: Vec<(&Asked<'_>, &Reservation, &Card)> = Vec::new();
    for asked in known {
        let existing = &locked.reservations[&asked.id()];
        // A release that came first left only its terminal.
        let same = match &existing.fingerprint {
            Some(fingerprint) => fingerprint[..] == asked.fingerprint,
            None => existing.terminal == asked.request.terminal,
        };
        let card = existing.card_id.and_then(|card_id| locked.cards.get(&card_id));
        match (resolve_reserve(Some(existing.state_at(locked.now)), same), card) {
            (ReserveVerdict::SameCard | ReserveVerdict::New, Some(card)) => again.push((asked, existing, card)),
            (ReserveVerdict::IdReused, _) => batch.refuse(
                asked.place,
                Reason::ReservationIdReused,
                "reservation_id: was used before for another terminal or product",
            ),
            (ReserveVerdict::Over(told), _) => {
                let state = ReservationOver::parse(told).unwrap_or(ReservationOver::Expired);
                batch.refuse_with(asked.place, Refusal::reservation_over(state));
            }
            (_, None) => return Err(StoreError::unreadable("a held reservation without a card")),
        }
    }
    let cards: Vec<&Card> = again.iter().map(|(.., card)| *card).collect();
    let opened = desk.open_somebodys(tx, &cards).await?;
    for (asked, existing, card) in again {
        // Of all others in the batch it is no concern. Nothing is taken back: who has seen the card before may still sell it.
        let Some(details) = opened.get(&card.card_id).cloned() else {
            let why = "product: the card held for this reservation is damaged; reserve under another id";
            batch.refuse(asked.place, Reason::OutOfStock, why);
            continue;
        };
        let held_until = existing.held_until.unwrap_or(locked.now);
        let showing = Showing {
            declarations,
            terminal: &existing.terminal,
            offer: offer_of(existing)?,
            card,
            held_until,
        };
        let shown = desk.in_hand(showing, details)?;
        let reserved = ReservedCard {
            reservation_id: asked.id(),
            card: shown,
            held_until,
            replaces: None,
        };
        batch.answer(asked.place, &CardReserveAnswer::Reserved(Box::new(reserved)));
    }
    Ok(())
}

/// Requests that got no hold.
#[derive(Default)]
struct NotHeld<'a> {
    /// Their id is used already.
    used: Vec<Asked<'a>>,
    /// There was no card for them.
    short: Vec<Asked<'a>>,
}

/// Takes cards and makes holds.
async fn hold_fresh<'a>(
    desk: &Desk,
    tx: &Tx,
    declarations: &Declarations,
    fresh: Vec<(Asked<'a>, &'a Product)>,
    room: &mut Room,
    batch: &mut Batch,
) -> Result<NotHeld<'a>, StoreError> {
    if fresh.is_empty() {
        return Ok(NotHeld::default());
    }
    let (given, short) = give(desk, tx, fresh, room).await?;
    let holds: Vec<NewHold<'_>> = given.iter().map(new_hold).collect::<Result<_, _>>()?;
    let made: HashMap<ReservationId, Timestamp> = reservations::hold(tx, &holds).await?.into_iter().collect();
    let mut used = Vec::new();
    let mut by_length: BTreeMap<u32, Vec<ReservationId>> = BTreeMap::new();
    for given in given {
        let Given {
            asked,
            product,
            card,
            details,
        } = given;
        let Some(held_until) = made.get(&asked.id()).copied() else {
            room.give_back(&asked.request.terminal);
            used.push(asked);
            continue;
        };
        let hold = shorten_hold(asked.request.hold_seconds, &product.holds_seconds);
        by_length.entry(hold).or_default().push(asked.id());
        batch.tell(asked.place, CardEvent::Reserved, &told(&asked, product, &card));
        let showing = Showing {
            declarations,
            terminal: &asked.request.terminal,
            offer: offer_for(product, &card)?,
            card: &card,
            held_until,
        };
        let shown = desk.in_hand(showing, details)?;
        let reserved = ReservedCard {
            reservation_id: asked.id(),
            card: shown,
            held_until,
            replaces: None,
        };
        batch.answer(asked.place, &CardReserveAnswer::Reserved(Box::new(reserved)));
    }
    for (hold, ids) in by_length {
        batch.delay(hold, &ids);
    }
    Ok(NotHeld { used, short })
}

/// Gives each request a card, in arrival order; the last ones may get none.
async fn give<'a>(
    desk: &Desk,
    tx: &Tx,
    fresh: Vec<(Asked<'a>, &'a Product)>,
    room: &mut Room,
) -> Result<(Vec<Given<'a>>, Vec<Asked<'a>>), StoreError> {
    let mut wanted: BTreeMap<&ProductId, (&Product, usize)> = BTreeMap::new();
    for (_, product) in &fresh {
        wanted.entry(&product.id).or_insert((product, 0)).1 += 1;
    }
    let wants: Vec<_> = wanted
        .values()
        .map(|(product, count)| Want::of(product, *count))
        .collect();
    let mut taken = desk.take_opened(tx, &wants).await?;
    let (mut given, mut short) = (Vec::with_capacity(fresh.len()), Vec::new());
    for (asked, product) in fresh {
        match taken.get_mut(&product.id).and_then(Vec::pop) {
            Some((card, details)) => given.push(Given {
                asked,
                product,
                card,
                details,
            }),
            None => {
                room.give_back(&asked.request.terminal);
                short.push(asked);
            }
        }
    }
    Ok((given, short))
}

fn new_hold<'g>(given: &'g Given<'_>) -> Result<NewHold<'g>, StoreError> {
    let Given {
        asked, product, card, ..
    } = given;
    let offer = offer_for(product, card)?;
    Ok(NewHold {
        reservation_id: asked.id(),
        product: &product.id,
        terminal: &asked.request.terminal,
        fingerprint: asked.fingerprint,
        card_id: card.card_id,
        hold_seconds: shorten_hold(asked.request.hold_seconds, &product.holds_seconds),
        grace_seconds: product.grace_seconds,
        price: offer.price.minor(),
        face_value: offer.face_value.minor(),
        currency: product.currency.code(),
        traceparent: asked.traceparent,
    })
}

fn told(asked: &Asked<'_>, product: &Product, card: &Card) -> CardItem {
    CardItem {
        reservation_id: asked.id(),
        product: product.id.clone(),
        serial: card.serial.clone(),
        terminal: asked.request.terminal.clone(),
        amount: None,
        currency: None,
        late: None,
        other_reservation_id: None,
    }
}
