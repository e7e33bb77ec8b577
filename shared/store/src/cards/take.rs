//! Taking cards out of stock: one statement for the cards of a whole batch, flat from a full stock to an empty one.
//!
//! Index entries of cards already sold stay behind until vacuum may remove them, and any long snapshot keeps vacuum away.
//! A process therefore remembers, per product, up to where it has taken (the *watermark*) and looks only beyond. What lies
//! behind it after all (a transaction rolled back, a file committed late) is found by looking from the start again: before a
//! product is called empty, and now and then.
//!
//! A product is sold by position, or, where it says so, by last day: its dated cards are a list of their own, walked by an
//! index of that order, and those without a day come after it. No card is given whose last day is nearer than the product
//! allows, whether or not the sweep that withdraws those has come by. Which day it is, is the product's own affair: that of its time
//! zone, by the database's clock.

mod marks;

use std::collections::HashMap;

use domain::declaration::{Product, Zone};
use domain::ids::ProductId;
use jiff::civil::Date;
use tokio_postgres::Row;

use self::marks::{List, Place};
use super::{COLUMNS, Card, card_of, day_in};
use crate::{StoreError, Tx};

pub use self::marks::Watermarks;

/// How many cards of a product are wanted.
#[derive(Clone, Debug)]
pub struct Want {
    /// Of what.
    pub product: ProductId,
    /// How many.
    pub count: usize,
    /// Cards that came back so many days ago may be given when no fresh one is left; none = they may not.
    pub returned_after_days: Option<u32>,
    /// Whether those that run out first are given first.
    pub expiring_first: bool,
    /// How many days a card must have left, its last one not counted.
    pub days_left: u32,
    /// Whose days they are.
    pub time_zone: Zone,
}

impl Want {
    /// What is wanted of a product as declared.
    pub fn of(product: &Product, count: usize) -> Self {
        Self {
            product: product.id.clone(),
            count,
            returned_after_days: product.reissue_exposed.after_days(),
            expiring_first: product.issue_expiring_first,
            days_left: product.withdraw_days_before_expiry,
            time_zone: product.time_zone.clone(),
        }
    }

    pub(crate) fn days_left(&self) -> i32 {
        i32::try_from(self.days_left).unwrap_or(i32::MAX)
    }
}

type Taken = HashMap<ProductId, Vec<Card>>;

/// A look at one list of a product.
#[derive(Clone, Copy)]
struct Look<'a> {
    want: &'a Want,
    list: List,
    after: Place,
    most: usize,
}

/// Locks available cards for this transaction, in the order of selling: fresh ones, then, where allowed, those that came
/// back. Fewer than wanted = both pools said no. They are not written: a card that is not assigned stays in stock. Cards of the
/// batches to be passed by are not looked at.
pub async fn take(tx: &Tx, watermarks: &Watermarks, wants: &[Want], passed_by: &[i64]) -> Result<Taken, StoreError> {
    let mut taken = Taken::new();
    fresh(tx, watermarks, wants.iter().collect(), passed_by, false, &mut taken).await?;
    let short = |want: &&Want| found(&taken, want) < want.count;
    let again: Vec<&Want> = wants
        .iter()
        .filter(short)
        .filter(|want| found(&taken, want) > 0 || !watermarks.was_empty_just_now(&want.product, last_list(want)))
        .collect();
    if !again.is_empty() {
        // What was locked a moment ago is found again: our own locks are not skipped.
        again.iter().for_each(|want| drop(taken.remove(&want.product)));
        fresh(tx, watermarks, again, passed_by, true, &mut taken).await?;
    }
    add_returned(tx, wants, passed_by, &mut taken).await?;
    Ok(taken)
}

fn found(taken: &Taken, want: &Want) -> usize {
    taken.get(&want.product).map_or(0, Vec::len)
}

fn last_list(want: &Want) -> List {
    if want.expiring_first { List::Undated } else { List::All }
}

/// Fresh cards beyond the watermarks, or from the start: the dated ones of products that sell those first, then the rest of
/// all of them. A product that sells by position costs one statement, together with all others.
async fn fresh(
    tx: &Tx,
    watermarks: &Watermarks,
    wants: Vec<&Want>,
    passed_by: &[i64],
    from_the_start: bool,
    taken: &mut Taken,
) -> Result<(), StoreError> {
    let after = |want: &Want, list| {
        if from_the_start {
            Place::START
        } else {
            watermarks.after(&want.product, list)
        }
    };
    for round in [List::Expiring, List::All] {
        let looks: Vec<Look<'_>> = wants
            .iter()
            .filter(|want| round != List::Expiring || want.expiring_first)
            .map(|want| {
                let list = if round == List::Expiring {
                    round
                } else {
                    last_list(want)
                };
                Look {
                    want,
                    list,
                    after: after(want, list),
                    most: want.count - found(taken, want),
                }
            })
            .filter(|look| look.most > 0)
            .collect();
        if looks.is_empty() {
            continue;
        }
        let rows = look_up(tx, &looks, passed_by, round).await?;
        let mut places: HashMap<ProductId, Vec<Place>> = HashMap::new();
        for row in &rows {
            let card = card_of(row, 0)?;
            let day = row
                .get::<_, Option<Date>>("last_day")
                .filter(|_| round == List::Expiring);
            places.entry(card.product.clone()).or_default().push(Place {
                day: day.unwrap_or(Place::START.day),
                pos: card.pos,
            });
            taken.entry(card.product.clone()).or_default().push(card);
        }
        for look in looks {
            let places = places.get(&look.want.product).map_or(&[][..], Vec::as_slice);
            let emptied = from_the_start && places.len() < look.most;
            // Beyond the watermark too few were found of the last list: it is searched from its start next, and noted then.
            if from_the_start || places.len() == look.most || look.list == List::Expiring {
                watermarks.advance(
                    &look.want.product,
                    look.list,
                    places.last().copied(),
                    from_the_start,
                    emptied,
                );
            }
        }
    }
    Ok(())
}

async fn look_up(tx: &Tx, looks: &[Look<'_>], passed_by: &[i64], round: List) -> Result<Vec<Row>, StoreError> {
    let products: Vec<&str> = looks.iter().map(|look| look.want.product.as_str()).collect();
    let afters: Vec<i64> = looks.iter().map(|look| look.after.pos).collect();
    let counts: Vec<i64> = looks
        .iter()
        .map(|look| i64::try_from(look.most).unwrap_or(i64::MAX))
        .collect();
    let days: Vec<i32> = looks.iter().map(|look| look.want.days_left()).collect();
    let zones: Vec<&str> = looks.iter().map(|look| look.want.time_zone.name()).collect();
    if round == List::Expiring {
        let after_days: Vec<Date> = looks.iter().map(|look| look.after.day).collect();
        return tx
            .query(
                &by_day(),
                &[&products, &afters, &counts, &days, &zones, &passed_by, &after_days],
            )
            .await;
    }
    let dated_too: Vec<bool> = looks.iter().map(|look| look.list == List::All).collect();
    tx.query(
        &by_position(),
        &[&products, &afters, &counts, &days, &zones, &passed_by, &dated_too],
    )
    .await
}

/// What is wanted, a row per product, each with the first last day that is far enough: worked out once, not per card.
fn wanted(names: &str, arrays: &str) -> String {
    format!(
        "(SELECT asked.*, {} + asked.days_left AS good_until FROM UNNEST({arrays}) AS asked ({names}) OFFSET 0) want",
        day_in("asked.zone")
    )
}

fn by_position() -> String {
    let want = wanted(
        "product_id, after, most, days_left, zone, dated_too",
        "$1::text[], $2::bigint[], $3::bigint[], $4::int[], $5::text[], $7::boolean[]",
    );
    format!(
        "SELECT taken.* FROM {want}
         CROSS JOIN LATERAL (
             SELECT {COLUMNS}, card.expires_on AS last_day FROM card
             WHERE card.product_id = want.product_id AND state = 'available' AND pool = 'fresh' AND pos > want.after
               AND (expires_on IS NULL OR (want.dated_too AND expires_on >= want.good_until)) AND batch_id <> ALL($6)
             ORDER BY pos LIMIT want.most FOR UPDATE SKIP LOCKED
         ) taken"
    )
}

fn by_day() -> String {
    let want = wanted(
        "product_id, after, most, days_left, zone, after_day",
        "$1::text[], $2::bigint[], $3::bigint[], $4::int[], $5::text[], $7::date[]",
    );
    format!(
        "SELECT taken.* FROM {want}
         CROSS JOIN LATERAL (
             SELECT {COLUMNS}, card.expires_on AS last_day FROM card
             WHERE card.product_id = want.product_id AND state = 'available' AND pool = 'fresh' AND expires_on IS NOT NULL
               AND (expires_on, pos) > (want.after_day, want.after) AND expires_on >= want.good_until AND batch_id <> ALL($6)
             ORDER BY expires_on, pos LIMIT want.most FOR UPDATE SKIP LOCKED
         ) taken"
    )
}

async fn add_returned(tx: &Tx, wants: &[Want], passed_by: &[i64], taken: &mut Taken) -> Result<(), StoreError> {
    let short: Vec<&Want> = wants
        .iter()
        .filter(|want| want.returned_after_days.is_some() && found(taken, want) < want.count)
        .collect();
    if short.is_empty() {
        return Ok(());
    }
    let products: Vec<&str> = short.iter().map(|want| want.product.as_str()).collect();
    let counts: Vec<i64> = short
        .iter()
        .map(|want| i64::try_from(want.count - found(taken, want)).unwrap_or(i64::MAX))
        .collect();
    let days: Vec<i32> = short.iter().map(|want| want.days_left()).collect();
    let zones: Vec<&str> = short.iter().map(|want| want.time_zone.name()).collect();
    let after: Vec<f64> = short
        .iter()
        .map(|want| f64::from(want.returned_after_days.unwrap_or_default()))
        .collect();
    let want = wanted(
        "product_id, most, days_left, zone, after_days",
        "$1::text[], $2::bigint[], $3::int[], $4::text[], $5::float8[]",
    );
    let sql = format!(
        "SELECT taken.* FROM {want}
         CROSS JOIN LATERAL (
             SELECT {COLUMNS} FROM card
             WHERE card.product_id = want.product_id AND state = 'available' AND pool = 'returned'
               AND came_back_at <= statement_timestamp() - want.after_days * interval '1 day'
               AND (expires_on IS NULL OR expires_on >= want.good_until) AND batch_id <> ALL($6)
             ORDER BY came_back_at, pos LIMIT want.most FOR UPDATE SKIP LOCKED
         ) taken"
    );
    let rows = tx
        .query(&sql, &[&products, &counts, &days, &zones, &after, &passed_by])
        .await?;
    for row in &rows {
        let card = card_of(row, 0)?;
        taken.entry(card.product.clone()).or_default().push(card);
    }
    Ok(())
}
