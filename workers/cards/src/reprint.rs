//! `card.reprint`: a sold card is shown once more, to its own terminal, for a while; where another card was given in its
//! place, that one is, since what does not work is no use to anybody. Every showing is in the audit log.

use std::collections::HashMap;

use contract::Reason;
use contract::answer::{CardReprintAnswer, ReservedCard};
use contract::message::CardReprint;
use domain::card::ReservationState;
use domain::ids::ReservationId;
use jiff::SignedDuration;
use store::audit::{self, Act};
use store::cards::Card;
use store::declarations::Declarations;
use store::reservations::{self, Locked, Reservation};
use store::{StoreError, Tx};

use crate::batch::Batch;
use crate::desk::{Desk, Showing, offer_of};

/// Answers every request.
pub(crate) async fn reprint(
    desk: &Desk,
    tx: &Tx,
    declarations: &Declarations,
    asked: &[(usize, &CardReprint)],
    batch: &mut Batch,
) -> Result<(), StoreError> {
    if asked.is_empty() {
        return Ok(());
    }
    let mut ids: Vec<ReservationId> = asked.iter().map(|(_, request)| request.reservation_id).collect();
    let instead = store::cases::last_replacements(tx, &ids).await?;
    ids.extend(instead.values());
    let found = reservations::read(tx, &ids).await?;
    let mut shown: Vec<(usize, Shown<'_>)> = Vec::new();
    for (place, request) in asked {
        match printable(declarations, &found, &instead, request) {
            Ok(one) => shown.push((*place, one)),
            Err((reason, why)) => batch.refuse(*place, reason, format!("reservation_id: {why}")),
        }
    }
    let cards: Vec<&Card> = shown.iter().map(|(_, shown)| shown.card).collect();
    let opened = desk.open_somebodys(tx, &cards).await?;
    for (place, shown) in shown {
        let Shown { asked, sold, card } = shown;
        // Of all others in the batch it is no concern; it is an operator's case now.
        let Some(details) = opened.get(&card.card_id).cloned() else {
            let why = "reservation_id: its card is damaged and cannot be printed again";
            batch.refuse(place, Reason::ReprintOver, why);
            continue;
        };
        let terminal = &sold.terminal;
        let id = asked.reservation_id;
        let held_until = sold.held_until.unwrap_or(found.now);
        let replaces = (sold.reservation_id != id)
            .then(|| found.cards.get(&asked.card_id?))
            .flatten()
            .map(|before| before.serial.clone());
        let showing = Showing {
            declarations,
            terminal,
            offer: offer_of(sold)?,
            card,
            held_until,
        };
        let in_hand = desk.in_hand(showing, details)?;
        let act = Act {
            who: terminal.as_str(),
            act: "card.reprint",
            subject_kind: "reservation",
            subject: &id.to_string(),
            reason: None,
            before: None,
            after: Some(
                serde_json::json!({ "product": card.product.as_str(), "serial": card.serial, "replaces": replaces }),
            ),
        };
        audit::record(tx, &act).await?;
        let printed = ReservedCard {
            reservation_id: id,
            card: in_hand,
            held_until,
            replaces,
        };
        batch.answer(place, &CardReprintAnswer::Reprinted(Box::new(printed)));
    }
    Ok(())
}

/// What is printed for a request.
struct Shown<'f> {
    /// The reservation that was asked about.
    asked: &'f Reservation,
    /// The one under which the payer has the card that works: the same, or the last that was given in its place.
    sold: &'f Reservation,
    card: &'f Card,
}

fn printable<'f>(
    declarations: &Declarations,
    found: &'f Locked,
    instead: &HashMap<ReservationId, ReservationId>,
    request: &CardReprint,
) -> Result<Shown<'f>, (Reason, &'static str)> {
    let unknown = (Reason::UnknownReservation, "was never seen");
    let asked = found.reservations.get(&request.reservation_id).ok_or(unknown)?;
    if asked.terminal != request.terminal {
        return Err((Reason::NotYourTerminal, "is another terminal's"));
    }
    let sold = instead
        .get(&request.reservation_id)
        .and_then(|last| found.reservations.get(last))
        .unwrap_or(asked);
    let card = sold.card_id.and_then(|card_id| found.cards.get(&card_id));
    let (ReservationState::Sold, Some(card)) = (sold.state, card) else {
        return Err((Reason::NotSold, "was not sold"));
    };
    let product = declarations.products.get(&card.product);
    let days = product.map_or(0, |product| product.value.reprint_days);
    let window = SignedDuration::from_hours(24 * i64::from(days));
    // Of a card given in place of another, from when it was given.
    let is_over = sold
        .ended_at
        .is_none_or(|sold_at| found.now.duration_since(sold_at) > window);
    if is_over || days == 0 || card.sealed.is_none() {
        return Err((Reason::ReprintOver, "was sold too long ago to be printed again"));
    }
    Ok(Shown { asked, sold, card })
}
