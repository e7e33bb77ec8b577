//! Taking cards out of stock: one statement for the cards of a whole batch, flat from a full stock to an empty one.
//!
//! Index entries of cards already sold stay behind until vacuum may remove them, and any long snapshot keeps vacuum away.
//! A process therefore remembers, per product, up to which position it has taken (the *watermark*) and looks only beyond.
//! What lies behind it after all (a transaction rolled back, a file committed late) is found by looking from the start
//! again: before a product is called empty, and now and then.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use domain::ids::ProductId;

use super::{COLUMNS, Card, card_of};
use crate::{StoreError, Tx};

/// Positions looked at again behind the watermark: what other batches in flight may yet give back.
const SLACK: i64 = 512;
/// A watermark is forgotten after this long, so nothing behind it waits longer for its turn.
const MARK_LIFETIME: Duration = Duration::from_secs(60);
/// A product found empty from its start is not searched from its start again for so long.
const EMPTY_LIFETIME: Duration = Duration::from_millis(500);

/// Up to where each product's cards have been taken, as far as this process knows. Only ever a short cut.
#[derive(Debug, Default)]
pub struct Watermarks(Mutex<HashMap<ProductId, Mark>>);

#[derive(Clone, Copy, Debug)]
struct Mark {
    pos: i64,
    since: Instant,
    empty_since: Option<Instant>,
}

impl Watermarks {
    fn after(&self, product: &ProductId) -> i64 {
        let mut marks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        marks.retain(|_, mark| mark.since.elapsed() < MARK_LIFETIME);
        marks
            .get(product)
            .map_or(i64::MIN, |mark| mark.pos.saturating_sub(SLACK))
    }

    fn was_empty_just_now(&self, product: &ProductId) -> bool {
        let marks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let empty_since = marks.get(product).and_then(|mark| mark.empty_since);
        empty_since.is_some_and(|since| since.elapsed() < EMPTY_LIFETIME)
    }

    fn advance(&self, product: &ProductId, last: Option<i64>, from_the_start: bool, emptied: bool) {
        let mut marks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let mark = marks.entry(product.clone()).or_insert(Mark {
            pos: i64::MIN,
            since: now,
            empty_since: None,
        });
        if let Some(last) = last {
            mark.pos = if from_the_start { last } else { mark.pos.max(last) };
        }
        mark.empty_since = emptied.then_some(now);
    }
}

/// How many cards of a product are wanted.
#[derive(Clone, Debug)]
pub struct Want {
    /// Of what.
    pub product: ProductId,
    /// How many.
    pub count: usize,
    /// Whether cards that came back may be given when no fresh one is left.
    pub returned_too: bool,
}

/// Locks available cards for this transaction, in the order of selling: fresh ones, then, where allowed, those that came
/// back. Fewer than wanted = both pools said no. They are not written: a card that is not assigned stays in stock.
pub async fn take(
    tx: &Tx,
    watermarks: &Watermarks,
    wants: &[Want],
) -> Result<HashMap<ProductId, Vec<Card>>, StoreError> {
    let beyond = wants
        .iter()
        .map(|want| (want, watermarks.after(&want.product), want.count))
        .collect();
    let mut taken = fresh(tx, beyond).await?;
    let mut from_start = Vec::new();
    for want in wants {
        let found = taken.get(&want.product).map_or(0, Vec::len);
        if found == want.count {
            watermarks.advance(&want.product, last_pos(&taken, want), false, false);
        } else if found > 0 || !watermarks.was_empty_just_now(&want.product) {
            from_start.push((want, i64::MIN, want.count));
        }
    }
    if !from_start.is_empty() {
        let wanted: Vec<&Want> = from_start.iter().map(|(want, ..)| *want).collect();
        // What was locked a moment ago is found again: our own locks are not skipped.
        let mut again = fresh(tx, from_start).await?;
        for want in wanted {
            let cards = again.remove(&want.product).unwrap_or_default();
            let (last, emptied) = (cards.last().map(|card| card.pos), cards.len() < want.count);
            watermarks.advance(&want.product, last, true, emptied);
            taken.insert(want.product.clone(), cards);
        }
    }
    add_returned(tx, wants, &mut taken).await?;
    Ok(taken)
}

fn last_pos(taken: &HashMap<ProductId, Vec<Card>>, want: &Want) -> Option<i64> {
    taken
        .get(&want.product)
        .and_then(|cards| cards.last())
        .map(|card| card.pos)
}

async fn fresh(tx: &Tx, wants: Vec<(&Want, i64, usize)>) -> Result<HashMap<ProductId, Vec<Card>>, StoreError> {
    let sql = format!(
        "SELECT taken.* FROM UNNEST($1::text[], $2::bigint[], $3::bigint[]) AS want (product_id, after, most)
         CROSS JOIN LATERAL (
             SELECT {COLUMNS} FROM card
             WHERE card.product_id = want.product_id AND state = 'available' AND pool = 'fresh' AND pos > want.after
               AND (expires_on IS NULL OR expires_on >= current_date)
             ORDER BY pos LIMIT want.most FOR UPDATE SKIP LOCKED
         ) taken"
    );
    let products: Vec<&str> = wants.iter().map(|(want, ..)| want.product.as_str()).collect();
    let afters: Vec<i64> = wants.iter().map(|(_, after, _)| *after).collect();
    let counts: Vec<i64> = wants
        .iter()
        .map(|(.., count)| i64::try_from(*count).unwrap_or(i64::MAX))
        .collect();
    by_product(&tx.query(&sql, &[&products, &afters, &counts]).await?)
}

async fn add_returned(tx: &Tx, wants: &[Want], taken: &mut HashMap<ProductId, Vec<Card>>) -> Result<(), StoreError> {
    let missing = |want: &Want| want.count - taken.get(&want.product).map_or(0, Vec::len);
    let short: Vec<(&str, i64)> = wants
        .iter()
        .filter(|want| want.returned_too && missing(want) > 0)
        .map(|want| (want.product.as_str(), i64::try_from(missing(want)).unwrap_or(i64::MAX)))
        .collect();
    if short.is_empty() {
        return Ok(());
    }
    let (products, counts): (Vec<&str>, Vec<i64>) = short.into_iter().unzip();
    let sql = format!(
        "SELECT taken.* FROM UNNEST($1::text[], $2::bigint[]) AS want (product_id, most)
         CROSS JOIN LATERAL (
             SELECT {COLUMNS} FROM card
             WHERE card.product_id = want.product_id AND state = 'available' AND pool = 'returned'
               AND offer_after <= statement_timestamp() AND (expires_on IS NULL OR expires_on >= current_date)
             ORDER BY offer_after, pos LIMIT want.most FOR UPDATE SKIP LOCKED
         ) taken"
    );
    for (product, cards) in by_product(&tx.query(&sql, &[&products, &counts]).await?)? {
        taken.entry(product).or_default().extend(cards);
    }
    Ok(())
}

fn by_product(rows: &[tokio_postgres::Row]) -> Result<HashMap<ProductId, Vec<Card>>, StoreError> {
    let mut cards: HashMap<ProductId, Vec<Card>> = HashMap::new();
    for row in rows {
        let card = card_of(row, 0)?;
        cards.entry(card.product.clone()).or_default().push(card);
    }
    Ok(cards)
}
