//! What terminals send about cards, and how long they wait for it.

use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use bus::frontend::{Frontend, Message};
use domain::ids::ReservationId;
use futures::StreamExt;
use futures::future::try_join_all;

/// Requests in flight.
const IN_FLIGHT: usize = 256;
/// Longer than any goal, so that a miss is measured and not an error.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn reserves(count: usize) -> Vec<(ReservationId, Message)> {
    let one = |_| {
        let id = ReservationId::random();
        let body = format!(r#"{{"reservation_id":"{id}","terminal":"T-0001","product":"bench-100"}}"#);
        (id, Message::new("card.reserve", body))
    };
    (0..count).map(one).collect()
}

pub(super) fn sells(ids: &[ReservationId]) -> Vec<Message> {
    let paid_at = domain::clock::now();
    let body = |id: &ReservationId| {
        format!(
            r#"{{"reservation_id":"{id}","terminal":"T-0001","paid_at":"{paid_at}","amount":10000,"currency":"RUB","receipt_number":"000123"}}"#
        )
    };
    ids.iter().map(|id| Message::new("card.sell", body(id))).collect()
}

pub(super) fn releases(ids: &[ReservationId]) -> Vec<Message> {
    let body = |id: &ReservationId| format!(r#"{{"reservation_id":"{id}","terminal":"T-0001"}}"#);
    ids.iter().map(|id| Message::new("card.release", body(id))).collect()
}

/// Whether a message is a fact, and so confirmed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Question,
    Fact,
}

async fn answered(frontend: &Frontend, message: &Message, kind: Kind, outcome: Option<&str>) -> anyhow::Result<()> {
    let answer = match kind {
        Kind::Question => frontend.ask(message, PATIENCE).await?,
        Kind::Fact => frontend.tell(message, PATIENCE).await?,
    };
    if let Some(outcome) = outcome {
        let said = format!(r#""outcome":"{outcome}""#);
        let is_said = answer.body.windows(said.len()).any(|part| part == said.as_bytes());
        // The answer may hold a card: it is not shown.
        ensure!(is_said, "{} was not answered `{outcome}`", message.key);
    }
    Ok(())
}

/// Messages a second, with a window in flight and each answered with this outcome (none = an echo's).
pub(super) async fn rate(
    frontend: &Frontend,
    messages: &[Message],
    kind: Kind,
    outcome: Option<&str>,
) -> anyhow::Result<f64> {
    // What starting up costs is not measured.
    let (warming, measured) = messages.split_at(messages.len() / 10);
    ask_all(frontend, warming, kind, outcome).await?;
    let begun = Instant::now();
    ask_all(frontend, measured, kind, outcome).await?;
    Ok(measured.len() as f64 / begun.elapsed().as_secs_f64())
}

async fn ask_all(frontend: &Frontend, messages: &[Message], kind: Kind, outcome: Option<&str>) -> anyhow::Result<()> {
    let mut asking = futures::stream::iter(messages)
        .map(|message| answered(frontend, message, kind, outcome))
        .buffer_unordered(IN_FLIGHT);
    while let Some(answer) = asking.next().await {
        answer?;
    }
    Ok(())
}

/// The 99th percentile of how long questions wait for their answers, in milliseconds, when so many a second are asked.
pub(super) async fn p99(
    frontend: &Frontend,
    messages: Vec<Message>,
    a_second: f64,
    outcome: Option<&'static str>,
) -> anyhow::Result<f64> {
    p99_of(waits(frontend, messages, a_second, outcome).await?).context("nothing was asked")
}

/// How long each of them waits, in their order, whether or not the earlier ones were answered. Counted from when each was to
/// be asked.
pub(super) async fn waits(
    frontend: &Frontend,
    messages: Vec<Message>,
    a_second: f64,
    outcome: Option<&'static str>,
) -> anyhow::Result<Vec<f64>> {
    let begun = Instant::now();
    let mut asked = Vec::with_capacity(messages.len());
    for (nth, message) in messages.into_iter().enumerate() {
        let due = begun + Duration::from_secs_f64(nth as f64 / a_second);
        tokio::time::sleep_until(due.into()).await;
        let frontend = frontend.clone();
        asked.push(tokio::spawn(async move {
            answered(&frontend, &message, Kind::Question, outcome).await?;
            anyhow::Ok(due.elapsed().as_secs_f64() * 1000.0)
        }));
    }
    try_join_all(asked).await?.into_iter().collect()
}

/// Their 99th percentile; none of none.
pub(super) fn p99_of(mut waits: Vec<f64>) -> Option<f64> {
    waits.sort_by(f64::total_cmp);
    let place = (waits.len() * 99 / 100).min(waits.len().saturating_sub(1));
    waits.get(place).copied()
}
