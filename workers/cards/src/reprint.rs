//! `card.reprint`: a sold card is shown once more, to its own terminal, for a while. Every showing is in the audit log.

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
use crate::desk::{Desk, in_hand, offer_of};

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
    let ids: Vec<ReservationId> = asked.iter().map(|(_, request)| request.reservation_id).collect();
    let found = reservations::read(tx, &ids).await?;
    let mut shown: Vec<(usize, &Reservation, &Card)> = Vec::new();
    for (place, request) in asked {
        match printable(declarations, &found, request) {
            Ok((reservation, card)) => shown.push((*place, reservation, card)),
            Err((reason, why)) => batch.refuse(*place, reason, format!("reservation_id: {why}")),
        }
    }
    let cards: Vec<&Card> = shown.iter().map(|(.., card)| *card).collect();
    let opened = desk.open_cards(tx, &cards).await?;
    for (place, reservation, card) in shown {
        let damaged = || StoreError::unreadable("a sold card cannot be opened");
        let details = opened.get(&card.card_id).cloned().ok_or_else(damaged)?;
        let terminal = &reservation.terminal;
        let in_hand = in_hand(declarations, terminal, offer_of(reservation)?, &card.serial, details)?;
        let id = reservation.reservation_id;
        let held_until = reservation.held_until.unwrap_or(found.now);
        let printed = ReservedCard {
            reservation_id: id,
            card: in_hand,
            held_until,
        };
        batch.answer(place, &CardReprintAnswer::Reprinted(Box::new(printed)));
        let act = Act {
            who: terminal.as_str(),
            act: "card.reprint",
            subject_kind: "reservation",
            subject: &id.to_string(),
            reason: None,
            before: None,
            after: Some(serde_json::json!({ "product": card.product.as_str(), "serial": card.serial })),
        };
        audit::record(tx, &act).await?;
    }
    Ok(())
}

fn printable<'f>(
    declarations: &Declarations,
    found: &'f Locked,
    request: &CardReprint,
) -> Result<(&'f Reservation, &'f Card), (Reason, &'static str)> {
    let unknown = (Reason::UnknownReservation, "was never seen");
    let reservation = found.reservations.get(&request.reservation_id).ok_or(unknown)?;
    if reservation.terminal != request.terminal {
        return Err((Reason::NotYourTerminal, "is another terminal's"));
    }
    let card = reservation.card_id.and_then(|card_id| found.cards.get(&card_id));
    let (ReservationState::Sold, Some(card)) = (reservation.state, card) else {
        return Err((Reason::NotSold, "was not sold"));
    };
    let product = declarations.products.get(&card.product);
    let days = product.map_or(0, |product| product.value.reprint_days);
    let window = SignedDuration::from_hours(24 * i64::from(days));
    let is_over = reservation
        .ended_at
        .is_none_or(|sold_at| found.now.duration_since(sold_at) > window);
    if is_over || days == 0 || card.sealed.is_none() {
        return Err((Reason::ReprintOver, "was sold too long ago to be printed again"));
    }
    Ok((reservation, card))
}
