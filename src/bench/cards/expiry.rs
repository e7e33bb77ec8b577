//! A hundred thousand holds that run out within one second: how long past its time the last one is ended.

use std::time::{Duration, Instant};

use anyhow::ensure;
use bus::Queue;
use domain::card::HOLD_LADDER;
use jiff::SignedDuration;
use store::rehearsal;

use super::shop::{Stock, product};

/// Longest after its time, in seconds.
const LONGEST: f64 = 5.0;
/// They run out within this.
const WITHIN: Duration = Duration::from_secs(1);
/// Holds named by one message: a full batch of reservations.
const NAMED: usize = 256;
/// Holds made a second, on a slow machine.
const MADE_A_SECOND: i64 = 2500;
/// After this it is not measured any more.
const LIMIT: Duration = Duration::from_secs(120);

/// Seconds past its time until the last hold was ended, by messages and sweep together; and the most it may be.
pub(super) async fn measure(stock: &Stock) -> anyhow::Result<(f64, f64)> {
    let shop = stock.open("expiry").await?;
    let store = shop.ground.store.clone();
    let many = i64::try_from(stock.size.many)?;
    let hold_seconds = HOLD_LADDER[0];
    let hold = SignedDuration::from_secs(hold_seconds.into());
    let due = rehearsal::clock(&store).await? + hold + SignedDuration::from_secs(5 + many / MADE_A_SECOND);
    let (held, _) = rehearsal::hold(&store, &product()?, i64::MIN, many, due, WITHIN).await?;
    let context = shop.start_worker().await?;
    let until_sent = (due - hold).duration_since(rehearsal::clock(&store).await?);
    let Ok(until_sent) = Duration::try_from(until_sent) else {
        anyhow::bail!("the holds were not made in time");
    };
    // As reservations made within a second would have sent them.
    let begun = Instant::now() + until_sent;
    let messages = held.len().div_ceil(NAMED) as u32;
    for (ids, nth) in held.chunks(NAMED).zip(0..) {
        tokio::time::sleep_until((begun + WITHIN * nth / messages).into()).await;
        context
            .bus
            .wake(Queue::CardsExpiryWait(hold_seconds), cards::expiry::message(ids));
    }
    let over = begun + Duration::from_secs(hold_seconds.into()) + WITHIN;
    tokio::time::sleep_until(over.into()).await;
    while rehearsal::is_anything_held(&store).await? {
        ensure!(over.elapsed() < LIMIT, "holds are not ended {LIMIT:?} after their time");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let all = over.elapsed().as_secs_f64();
    let (latest, ended) = rehearsal::latest_lapse(&store).await?;
    ensure!(ended == many, "{ended} of {many} holds were ended");
    drop((store, context));
    shop.close().await?;
    Ok((latest.max(all), LONGEST))
}
