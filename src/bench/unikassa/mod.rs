//! `bench unikassa`: how fast payments are delivered, beside a bare loop of the same signed calls with as many in flight,
//! and whether a payee that hangs costs the others anything.

mod bare;
mod payee;
mod requeue;

use std::time::Duration;

use anyhow::Context as _;
use domain::declaration::Payee;
use store::rehearsal::deliveries as rehearsal;
use store::{Store, declarations};

use self::payee::Payees;
use super::figure::{Figure, Goal, Planned, wanted};
use super::ground::{Ground, Grounds};
use super::load::{age_p99_of_others, rate};

/// Payees, each with a lane of its own.
const LANES: u32 = 100;
/// Calls at a time of each.
const SLOTS: u32 = 4;
/// How long a payee takes to answer.
const LATENCY: Duration = Duration::from_millis(20);
/// The payee that hangs.
const HANGING: &str = "bench-000";
/// Failed payments that are requeued together, and within how many seconds.
const REQUEUED: u32 = 100_000;
const REQUEUED_WITHIN: f64 = 60.0;
/// Nobody.
const NOBODY: &str = "";

/// What is measured.
pub(super) const FIGURES: [Planned; 5] = [
    ("deliver_20ms", "pay/s", Goal::AtLeast(0.9)),
    ("deliver", "pay/s", Goal::AtLeast(0.15)),
    ("hanging_p99", "ms", Goal::AtMost(2.0)),
    ("requeue", "s", Goal::AtMost(1.0)),
    ("requeue_memory", "MiB", Goal::AtMost(1.5)),
];

/// Measures the figures whose names begin with `only`; an empty one means all.
pub(super) async fn measure(grounds: &Grounds, pairs: u32, count: u32, only: &str) -> anyhow::Result<Vec<Figure>> {
    let mut figures = wanted(&FIGURES, only)?;
    for pair in 0..pairs {
        tracing::info!(pair = pair + 1, of = pairs, "measuring");
        for figure in &mut figures {
            figure.pairs.push(match figure.name {
                "requeue" => (requeue::measure(grounds, REQUEUED).await?.seconds, REQUEUED_WITHIN),
                "requeue_memory" => (
                    requeue::measure(grounds, REQUEUED).await?.memory,
                    requeue::measure(grounds, REQUEUED / 10).await?.memory,
                ),
                "deliver_20ms" => (
                    delivered(grounds, count, LATENCY).await?,
                    bare::measure(count, LATENCY).await?,
                ),
                "deliver" => (
                    delivered(grounds, count, Duration::ZERO).await?,
                    bare::measure(count, Duration::ZERO).await?,
                ),
                _ => (
                    age_p99(grounds, count / 2, true).await?,
                    age_p99(grounds, count / 2, false).await?,
                ),
            });
        }
    }
    Ok(figures)
}

/// The payees as declared, of which the first one may hang.
fn declared(payees: &Payees, first_hangs: bool) -> anyhow::Result<Vec<Payee>> {
    (0..LANES)
        .map(|nth| {
            let id = format!("bench-{nth:03}");
            let url = payees.url(&id, first_hangs && id == HANGING);
            let text = format!(
                r#"
                id = "{id}"
                name = "{id}"
                gateway = "unikassa"
                currency = "RUB"
                account = {{ pattern = "^.{{1,40}}$" }}
                amount = {{ min = 100, max = 10000000 }}
                [unikassa]
                url = "{url}"
                secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
                concurrency = {SLOTS}
                timeout_seconds = 15
                allow_private = true
                "#
            );
            toml::from_str(&text).context("the benchmark's payees")
        })
        .collect()
}

async fn declare(store: &Store, payees: &[Payee]) -> anyhow::Result<()> {
    let tx = store.begin().await?;
    declarations::lock_for_apply(&tx).await?;
    for payee in payees {
        declarations::apply_payee(&tx, payee, "bench").await?;
    }
    Ok(tx.commit().await?)
}

/// Payments delivered a second, from the first call to the last record.
async fn delivered(grounds: &Grounds, count: u32, pause: Duration) -> anyhow::Result<f64> {
    let payees = Payees::start(pause).await?;
    let ground = grounds.make("ours", None).await?;
    declare(&ground.store, &declared(&payees, false)?).await?;
    rehearsal::owe(&ground.store, LANES, count, "accepted", Duration::ZERO).await?;
    start(&ground).await?;
    let total = u64::from(count);
    let measured = rate(total, async || {
        let answered = payees.answered();
        if answered < total {
            return Ok(answered);
        }
        Ok::<u64, store::StoreError>(total - rehearsal::count_not(&ground.store, "delivered", NOBODY).await?)
    })
    .await;
    ground.clear().await?;
    measured
}

/// Milliseconds after falling due within which 99 of 100 payments were delivered to the payees that answer.
async fn age_p99(grounds: &Grounds, count: u32, one_hangs: bool) -> anyhow::Result<f64> {
    let payees = Payees::start(LATENCY).await?;
    let ground = grounds.make("ages", None).await?;
    declare(&ground.store, &declared(&payees, one_hangs)?).await?;
    start(&ground).await?;
    let age = age_p99_of_others(&ground.store, LANES, count, HANGING).await?;
    ground.clear().await?;
    Ok(age)
}

async fn start(ground: &Ground) -> anyhow::Result<()> {
    Ok(unikassa::start(&ground.start().await?)?)
}
