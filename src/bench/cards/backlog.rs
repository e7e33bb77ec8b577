//! How long a terminal waits for a card while facts wait to be worked off, beside how long it waits without.

use std::time::Duration;

use store::rehearsal;

use super::answers::questions;
use super::shop::{Stock, product};
use super::terminals::{p99, sells};
use crate::bench::load::publish;

/// Reservations a second: what a thousand busy terminals ask for.
const A_SECOND: f64 = 200.0;
/// Of each of the two measurements.
const ASKED: usize = 2000;

/// The p99 with the backlog, and without.
pub(super) async fn measure(stock: &Stock) -> anyhow::Result<(f64, f64)> {
    let asked = ASKED.min(stock.size.asked);
    let shop = stock.open("backlog").await?;
    let store = shop.ground.store.clone();
    let until = rehearsal::clock(&store).await? + jiff::SignedDuration::from_hours(1);
    let many = i64::try_from(stock.size.many)?;
    let (held, _) = rehearsal::hold(&store, &product()?, i64::MIN, many, until, Duration::ZERO).await?;
    shop.start_worker().await?;
    p99(&shop.frontend, questions(asked / 10), A_SECOND, Some("reserved")).await?;
    let without = p99(&shop.frontend, questions(asked), A_SECOND, Some("reserved")).await?;
    let facts = sells(&held);
    // They pile up faster than they are worked off, and are worked off while questions are asked.
    publish(&shop.frontend, &facts).await?;
    let done = rehearsal::count_reservations(&store, "sold").await?;
    tracing::info!(waiting = facts.len() as u64 - done, "facts wait");
    let with = p99(&shop.frontend, questions(asked), A_SECOND, Some("reserved")).await?;
    let done = rehearsal::count_reservations(&store, "sold").await?;
    tracing::info!(waiting = facts.len() as u64 - done, "facts wait at the end");
    drop(store);
    shop.close().await?;
    Ok((with, without))
}
