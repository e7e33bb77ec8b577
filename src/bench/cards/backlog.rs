//! How long a terminal waits for a card while facts wait to be worked off, beside how long it waits without.

use std::time::Duration;

use anyhow::ensure;
use store::rehearsal;

use super::answers::questions;
use super::shop::{Stock, product, stop};
use super::terminals::{p99, sells};
use super::{MANY, Size};
use crate::bench::load::publish;

/// Reservations a second: what a thousand busy terminals ask for.
const A_SECOND: f64 = 200.0;
/// Facts that wait for each question of either measurement: they must outlast the questions.
const FACTS_A_QUESTION: usize = 100;

/// The p99 with the backlog, and without.
pub(super) async fn measure(stock: &Stock) -> anyhow::Result<(f64, f64)> {
    let asked = stock.size.many / FACTS_A_QUESTION;
    let warming = asked.div_ceil(10);
    let shop = stock.open("backlog").await?;
    let store = shop.ground.store.clone();
    let until = rehearsal::clock(&store).await? + jiff::SignedDuration::from_hours(1);
    let many = i64::try_from(stock.size.many)?;
    let (held, _) = rehearsal::hold(&store, &product()?, i64::MIN, many, until, Duration::ZERO).await?;
    let worker = shop.start_worker().await?;
    p99(&shop.frontend, questions(warming), A_SECOND, Some("reserved")).await?;
    let without = p99(&shop.frontend, questions(asked), A_SECOND, Some("reserved")).await?;
    // Nobody works the facts off while they come: all of them wait when it begins.
    stop(worker).await;
    publish(&shop.frontend, &sells(&held)).await?;
    shop.start_worker().await?;
    p99(&shop.frontend, questions(warming), A_SECOND, Some("reserved")).await?;
    let before = waiting(&store, held.len()).await?;
    let with = p99(&shop.frontend, questions(asked), A_SECOND, Some("reserved")).await?;
    let after = waiting(&store, held.len()).await?;
    tracing::info!(before, after, "facts waited");
    ensure!(after > 0, worked_off(stock.size, asked));
    drop(store);
    shop.close().await?;
    Ok((with, without))
}

async fn waiting(store: &store::Store, facts: usize) -> anyhow::Result<u64> {
    Ok((facts as u64).saturating_sub(rehearsal::count_reservations(store, "sold").await?))
}

/// Without a backlog to the end there is no figure.
fn worked_off(size: Size, asked: usize) -> String {
    let raise = if size.many < MANY {
        format!(
            "raise --cards ({} now): a quarter of them are facts, up to {MANY}",
            size.cards
        )
    } else {
        format!("this machine needs more than {MANY} (MANY in bench/cards)")
    };
    format!(
        "backlog_p99: all {} facts were worked off before {asked} questions were asked at {A_SECOND} a second; {raise}",
        size.many
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_to_raise_is_said() {
        assert!(worked_off(Size::of(10_000), 50).contains("raise --cards (10000 now)"));
        assert!(worked_off(Size::of(1_000_000), 2000).contains("more than 100000"));
    }
}
