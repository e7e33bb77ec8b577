//! How long a terminal waits for a card while facts wait to be worked off, beside how long it waits without.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use store::rehearsal;

use super::answers::questions;
use super::shop::{Stock, product, stop};
use super::terminals::{p99, p99_of, sells, waits};
use crate::bench::load::publish;

/// Reservations a second: what a thousand busy terminals ask for.
const A_SECOND: f64 = 200.0;
/// Questions of either measurement …
const ASKED: usize = 1000;
/// … after so many that find everything cold.
const WARMING: usize = 100;
/// Of fewer that were asked while facts waited there is no 99th percentile worth the name.
const FEWEST: usize = 200;
/// Why there is no figure then.
pub(super) const TOO_FEW: &str = "its facts were worked off before 200 questions were asked; more --cards (up to 400000) \
    let more facts wait";

/// The p99 with the backlog, and without. None where the backlog is worked off too soon to tell.
pub(super) async fn measure(stock: &Stock) -> anyhow::Result<Option<(f64, f64)>> {
    let shop = stock.open("backlog").await?;
    let store = shop.ground.store.clone();
    let until = rehearsal::clock(&store).await? + SignedDuration::from_hours(1);
    let many = i64::try_from(stock.size.many)?;
    let (held, _) = rehearsal::hold(&store, &product()?, i64::MIN, many, until, Duration::ZERO).await?;
    let worker = shop.start_worker().await?;
    p99(&shop.frontend, questions(WARMING), A_SECOND, Some("reserved")).await?;
    let without = p99(&shop.frontend, questions(ASKED), A_SECOND, Some("reserved")).await?;
    // Nobody works the facts off while they come: all of them wait when it begins.
    stop(worker).await;
    publish(&shop.frontend, &sells(&held)).await?;
    shop.start_worker().await?;
    p99(&shop.frontend, questions(WARMING), A_SECOND, Some("reserved")).await?;
    let begun = rehearsal::clock(&store).await?;
    let mut with = waits(&shop.frontend, questions(ASKED), A_SECOND, Some("reserved")).await?;
    let worked_off = rehearsal::latest_sale(&store).await?.unwrap_or(begun);
    with.truncate(asked_between(begun, worked_off));
    tracing::info!(questions = with.len(), facts = held.len(), "facts waited");
    drop(store);
    shop.close().await?;
    Ok(enough(with).map(|with| (with, without)))
}

/// Those that were asked afterwards waited beside nothing.
fn asked_between(begun: Timestamp, worked_off: Timestamp) -> usize {
    let seconds = worked_off.duration_since(begun).as_secs_f64().max(0.0);
    (seconds * A_SECOND) as usize
}

fn enough(waits: Vec<f64>) -> Option<f64> {
    if waits.len() < FEWEST { None } else { p99_of(waits) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_asked_while_facts_waited_counts() {
        let begun = Timestamp::UNIX_EPOCH;
        let after = |millis| asked_between(begun, begun + SignedDuration::from_millis(millis));
        assert_eq!((after(2500), after(0), after(-40)), (500, 0, 0));
    }

    #[test]
    fn few_waits_make_no_figure() {
        assert!(TOO_FEW.contains(&FEWEST.to_string()) && TOO_FEW.contains(&(4 * super::super::MANY).to_string()));
        assert_eq!(enough(vec![1.0; FEWEST - 1]), None);
        assert_eq!(enough(vec![1.0; FEWEST]), Some(1.0));
    }
}
