//! What whoever paid for a card sold to another is told: a conflict, with another card where the product says so and stock
//! allows. The other card is sold under a reservation of its own, which can be reprinted like any.

use std::collections::{BTreeMap, HashMap};

use contract::answer::{CardInHand, CardSellAnswer, Replacement};
use contract::event::{CardEvent, CardItem};
use domain::declaration::Product;
use domain::ids::{ProductId, ReservationId};
use domain::money::{Amount, Currency};
use store::cards::{Card, Want};
use store::reservations::{self, Reservation};
use store::{StoreError, Tx};

use super::model::{Conflict, Model};
use crate::batch::Batch;
use crate::desk::{Desk, Showing, offer_of};
use crate::vault::Details;

/// Another card, given to the payer of a conflict.
struct Instead {
    id: ReservationId,
    card: Card,
    details: Details,
}

/// Gives replacements for new conflicts, finds those of earlier ones, and answers all of them.
pub(super) async fn answer_conflicts(
    desk: &Desk,
    tx: &Tx,
    model: &mut Model<'_>,
    batch: &mut Batch,
) -> Result<(), StoreError> {
    if model.conflicts.is_empty() {
        return Ok(());
    }
    let mut instead = given_before(desk, tx, model).await?;
    give(desk, tx, model, &mut instead, batch).await?;
    for conflict in &model.conflicts {
        let Some(reservation) = model.locked.reservations.get(&conflict.id) else {
            continue;
        };
        let replacement = match instead.get(&conflict.id) {
            Some(given) => Some(Box::new(Replacement {
                reservation_id: given.id,
                card: shown(desk, model, reservation, given)?,
            })),
            None => None,
        };
        batch.answer(
            conflict.place,
            &CardSellAnswer::Conflict {
                reservation_id: conflict.id,
                replacement,
            },
        );
    }
    Ok(())
}

fn shown(desk: &Desk, model: &Model<'_>, reservation: &Reservation, given: &Instead) -> Result<CardInHand, StoreError> {
    let showing = Showing {
        declarations: model.declarations,
        terminal: &reservation.terminal,
        offer: offer_of(reservation)?,
        card: &given.card,
        // A replacement was sold the moment its conflict was there.
        held_until: reservation.ended_at.unwrap_or(model.locked.now),
    };
    desk.in_hand(showing, given.details.clone())
}

/// The replacements of conflicts that are told again.
async fn given_before(desk: &Desk, tx: &Tx, model: &Model<'_>) -> Result<HashMap<ReservationId, Instead>, StoreError> {
    let again: Vec<ReservationId> = model
        .conflicts
        .iter()
        .filter(|conflict| !conflict.is_new)
        .map(|conflict| conflict.id)
        .collect();
    if again.is_empty() {
        return Ok(HashMap::new());
    }
    let pairs = reservations::replacements(tx, &again).await?;
    let ids: Vec<ReservationId> = pairs.iter().map(|(_, id)| *id).collect();
    let found = reservations::read(tx, &ids).await?;
    let opened = desk.open_cards(tx, &found.cards.values().collect::<Vec<_>>()).await?;
    let mut instead = HashMap::new();
    for (conflict, id) in pairs {
        let card = found
            .reservations
            .get(&id)
            .and_then(|found_one| found.cards.get(&found_one.card_id?));
        let Some((card, details)) = card.and_then(|card| Some((card, opened.get(&card.card_id)?))) else {
            continue;
        };
        instead.insert(
            conflict,
            Instead {
                id,
                card: card.clone(),
                details: details.clone(),
            },
        );
    }
    Ok(instead)
}

/// Takes other cards for new conflicts and sells them to their payers.
async fn give(
    desk: &Desk,
    tx: &Tx,
    model: &mut Model<'_>,
    instead: &mut HashMap<ReservationId, Instead>,
    batch: &mut Batch,
) -> Result<(), StoreError> {
    let entitled: Vec<(Conflict, ProductId)> = model
        .conflicts
        .iter()
        .filter(|conflict| conflict.is_new)
        .filter_map(|conflict| Some((*conflict, replaced(model, conflict.id)?.id.clone())))
        .collect();
    let mut wanted: BTreeMap<&ProductId, usize> = BTreeMap::new();
    for (_, product) in &entitled {
        *wanted.entry(product).or_default() += 1;
    }
    let wants: Vec<_> = wanted
        .iter()
        .filter_map(|(product, count)| Some(Want::of(&model.declarations.products.get(*product)?.value, *count)))
        .collect();
    if wants.is_empty() {
        return Ok(());
    }
    let mut taken = desk.take_opened(tx, &wants).await?;
    let mut others = Vec::new();
    for (conflict, product) in entitled {
        let Some((card, details)) = taken.get_mut(&product).and_then(Vec::pop) else {
            continue;
        };
        let Some(declared) = model.declarations.products.get(&product) else {
            continue;
        };
        let worth = card.face_value.unwrap_or(declared.value.face_value.minor());
        let paid_for = model
            .locked
            .reservations
            .get(&conflict.id)
            .and_then(|found| found.face_value);
        if paid_for == Some(worth) {
            let id = sell(tx, model, conflict, &card, batch).await?;
            instead.insert(conflict.id, Instead { id, card, details });
        } else {
            others.push((conflict, &*declared.value));
        }
    }
    // A card of another value is no replacement: that one stays in stock, and the next of the right value is looked for. Only
    // now, when all that were taken for others are sold.
    for (conflict, product) in others {
        if let Some((card, details)) = take_for(desk, tx, product, conflict.id).await? {
            let id = sell(tx, model, conflict, &card, batch).await?;
            instead.insert(conflict.id, Instead { id, card, details });
        }
    }
    Ok(())
}

/// The next card that is worth what was paid for, and opens. None = the case is left to an operator.
async fn take_for(
    desk: &Desk,
    tx: &Tx,
    product: &Product,
    conflict: ReservationId,
) -> Result<Option<(Card, Details)>, StoreError> {
    let mut passed_by = desk.vault.shut();
    while let Some(card) = store::cases::take_for(tx, product, conflict, &passed_by).await? {
        let (mut opened, shut) = desk.open_batches(tx, &[&card]).await?;
        passed_by.extend(shut);
        match opened.remove(&card.card_id) {
            Some(details) => return Ok(Some((card, details))),
            None => store::cards::mark_faulty(tx, &[card.card_id]).await?,
        }
    }
    Ok(None)
}

/// Sells a card to the payer of a conflict. Under which reservation.
async fn sell(
    tx: &Tx,
    model: &mut Model<'_>,
    conflict: Conflict,
    card: &Card,
    batch: &mut Batch,
) -> Result<ReservationId, StoreError> {
    let unknown = || StoreError::unreadable("a conflict that is not among what was locked");
    let reservation = model.locked.reservations.get(&conflict.id).ok_or_else(unknown)?;
    let id = ReservationId::random();
    reservations::sell_instead(tx, id, conflict.id, card.card_id, reservation.ended_at).await?;
    batch.tell(conflict.place, CardEvent::Sold, &told(id, reservation, card));
    model
        .cases
        .iter_mut()
        .filter(|case| case.reservation_id == conflict.id)
        .for_each(|case| {
            case.replacement = Some(id);
        });
    Ok(id)
}

/// The product of a conflict, if it replaces cards by itself. One that is suspended sells none, so it gives none: what is wrong
/// with it may be its cards.
fn replaced<'m>(model: &'m Model<'_>, id: ReservationId) -> Option<&'m Product> {
    let product = model.locked.reservations.get(&id)?.product.as_ref()?;
    let declared = model.declarations.products.get(product)?;
    let gives = declared.value.replace_on_conflict && !declared.value.suspended;
    gives.then_some(&*declared.value)
}

fn told(id: ReservationId, conflict: &Reservation, card: &Card) -> CardItem {
    let sale = conflict.sale.as_ref();
    CardItem {
        reservation_id: id,
        product: card.product.clone(),
        serial: card.serial.clone(),
        terminal: conflict.terminal.clone(),
        amount: sale.and_then(|sale| Amount::new(sale.amount?).ok()),
        currency: conflict.currency.as_deref().and_then(|code| Currency::parse(code).ok()),
        late: Some(true),
        other_reservation_id: Some(conflict.reservation_id),
    }
}
