//! The load: payments as front-ends publish them, what they are declared for, and how far they are.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use bus::frontend::{Frontend, Message};
use domain::declaration::Payee;
use futures::future::try_join_all;
use store::rehearsal::deliveries as rehearsal;
use store::{Store, declarations};

use super::ground::{Ground, Grounds};

/// Publications in flight on one connection.
const WINDOW: usize = 512;
/// How often it is looked how far a measurement is: what is counted grows, and is counted on the cores that are measured.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A database with an online payee and one with registers, and a topology.
pub(super) async fn prepare(grounds: &Grounds, purpose: &str) -> anyhow::Result<Ground> {
    let ground = grounds.make(purpose, None).await?;
    let tx = ground.store.begin().await?;
    declarations::lock_for_apply(&tx).await?;
    for toml in [ONLINE, UTILITY] {
        let payee: Payee = toml::from_str(toml).context("the benchmark's payees")?;
        declarations::apply_payee(&tx, &payee, "bench").await?;
    }
    tx.commit().await?;
    Ok(ground)
}

/// Half of the payments are for an online payee, half for one with registers.
pub(super) fn payments(count: usize) -> Vec<Message> {
    let paid_at = domain::clock::now();
    (0..count)
        .map(|nth| {
            let payee = if nth % 2 == 0 { "isp" } else { "gorvodokanal" };
            let body = format!(
                r#"{{"payment_id":"{}","terminal":"T-{:04}","payee":"{payee}","account":"19206{nth:05}","fields":{{"payer":"Иванов И. И.","meter_cold":"{:05}"}},"amount":{},"fee":300,"currency":"RUB","paid_at":"{paid_at}","receipt_number":"{nth:06}"}}"#,
                uuid::Uuid::now_v7(),
                nth % 300,
                nth % 100_000,
                10_000 + nth % 5000,
            );
            Message::new("payment.accepted", body)
        })
        .collect()
}

/// Publishes everything, confirmed, with a window in flight; no answers are wanted.
pub(super) async fn publish(frontend: &Frontend, messages: &[Message]) -> anyhow::Result<()> {
    for window in messages.chunks(WINDOW) {
        try_join_all(window.iter().map(|message| frontend.send(message))).await?;
    }
    Ok(())
}

/// Waits until `done` counts `total`, and returns how many a second it took from a tenth of them to all: what starting
/// up costs is not what is measured.
pub(super) async fn rate<E>(total: u64, mut done: impl AsyncFnMut() -> Result<u64, E>) -> anyhow::Result<f64>
where
    E: std::error::Error + Send + Sync + 'static,
{
    const LIMIT: Duration = Duration::from_secs(120);
    let begun = Instant::now();
    let mut first: Option<(Instant, u64)> = None;
    loop {
        let count = done().await?;
        let now = Instant::now();
        // Where all were done between two looks, they are counted from the start.
        if first.is_none() && count * 10 >= total && count < total {
            first = Some((now, count));
        }
        if count >= total {
            let (since, already) = first.unwrap_or((begun, 0));
            return Ok((total - already) as f64 / now.duration_since(since).as_secs_f64().max(1e-6));
        }
        anyhow::ensure!(begun.elapsed() < LIMIT, "only {count} of {total} done after {LIMIT:?}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// The most memory a process has had, in MiB.
pub(super) fn peak(id: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024.0)
}

const ONLINE: &str = r#"
    id = "isp"
    name = "Internet provider"
    gateway = "unikassa"
    currency = "RUB"
    account = { pattern = "^.{1,40}$" }
    amount = { min = 100, max = 10000000 }
    [unikassa]
    url = "https://billing.example.org/unikassa"
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
"#;

const UTILITY: &str = r#"
    id = "gorvodokanal"
    name = "Горводоканал"
    gateway = "registers"
    currency = "RUB"
    account = { pattern = "^[0-9]{10}$" }
    amount = { min = 100, max = 1500000 }
    [[field]]
    name = "meter_cold"
    label = "Cold water meter"
    pattern = "^[0-9]{1,6}$"
    [register]
    schedule = "0 0 * * *"
    time_zone = "Europe/Moscow"
    format = "csv"
    mail_to = ["buh@example.org"]
"#;

/// How long payments fall due, one after the other, where their ages are compared.
const WATCHED: Duration = Duration::from_secs(10);

/// Lets payments of so many payees fall due, and says within how many milliseconds after that 99 of 100 were delivered, but
/// for those of the payee that may hang.
pub(super) async fn age_p99_of_others(store: &Store, payees: u32, count: u32, hanging: &str) -> anyhow::Result<f64> {
    rehearsal::owe(store, payees, count, "accepted", WATCHED).await?;
    let limit = Instant::now() + 3 * WATCHED;
    while rehearsal::count_not(store, "delivered", hanging).await? > 0 {
        anyhow::ensure!(
            Instant::now() < limit,
            "payments to payees that answer are not delivered"
        );
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Ok(rehearsal::age_p99(store, hanging).await? * 1000.0)
}
