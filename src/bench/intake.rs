//! `bench intake`: the main path, measured against what the broker allows and against the naive consumer.

use std::convert::Infallible;
use std::time::Duration;

use bus::frontend::{Frontend, Message};
use futures::StreamExt;
use runtime::batch;
use store::payments;

use super::bounds::{Does, Loop};
use super::figure::{Figure, Goal, Planned, put, wanted, wants};
use super::ground::Grounds;
use super::idle;
use super::load::{payments as made, prepare, publish, rate};

/// Messages in flight where answers are awaited: what two channels take into hand, with the next batch of 256 behind each. So
/// many kiosks at once have nothing to do with one another, and a worker's batches are as full as its window.
const MANY: usize = 1024;
/// The same where batches are small, since each message waits for an answer to one of few.
const FEW: usize = 256;
/// Connections of the one-at-a-time consumer.
const ONE_AT_A_TIME: usize = 32;

/// What is measured.
pub(super) const FIGURES: [Planned; 8] = [
    ("drain", "msg/s", Goal::AtLeast(1.0)),
    ("fed", "msg/s", Goal::AtLeast(1.0)),
    ("drain_vs_one_at_a_time", "msg/s", Goal::AtLeast(2.5)),
    ("answers", "msg/s", Goal::AtLeast(0.8)),
    ("answers_256", "msg/s", Goal::AtLeast(0.7)),
    ("idle_ready", "s", Goal::AtMost(1.0)),
    ("idle_memory", "MiB", Goal::AtMost(1.0)),
    ("idle_cpu", "%", Goal::AtMost(1.0)),
];

/// Measures the figures whose names begin with `only`; an empty one means all.
pub(super) async fn measure(grounds: &Grounds, pairs: u32, count: usize, only: &str) -> anyhow::Result<Vec<Figure>> {
    let mut figures = wanted(&FIGURES, only)?;
    let (drain, naive) = (
        wants(&figures, &["drain"]),
        wants(&figures, &["drain_vs_one_at_a_time"]),
    );
    for pair in 0..pairs {
        tracing::info!(pair = pair + 1, of = pairs, "measuring");
        if drain || naive {
            let ours = consume(grounds, count, Consumer::Batches, Backlog::Waiting).await?;
            if drain {
                let bound = bound(grounds, count, Backlog::Waiting).await?;
                put(&mut figures, &[("drain", (ours, bound))]);
            }
            if naive {
                let one_at_a_time = consume(grounds, count / 4, Consumer::OneAtATime, Backlog::Waiting).await?;
                put(&mut figures, &[("drain_vs_one_at_a_time", (ours, one_at_a_time))]);
            }
        }
        if wants(&figures, &["fed"]) {
            let ours = consume(grounds, count, Consumer::Batches, Backlog::Fed).await?;
            let bound = bound(grounds, count, Backlog::Fed).await?;
            put(&mut figures, &[("fed", (ours, bound))]);
        }
        for (name, in_flight) in [("answers", MANY), ("answers_256", FEW)] {
            if wants(&figures, &[name]) {
                let ours = answered(grounds, count / 2, in_flight, true).await?;
                let bound = answered(grounds, count / 2, in_flight, false).await?;
                put(&mut figures, &[(name, (ours, bound))]);
            }
        }
    }
    if wants(&figures, &["idle_ready", "idle_memory", "idle_cpu"]) {
        put(&mut figures, &idle::measure(grounds).await?);
    }
    Ok(figures)
}

/// Whether the messages are there before the consumer, or come while it works.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Backlog {
    Waiting,
    Fed,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Consumer {
    Batches,
    OneAtATime,
}

async fn consume(grounds: &Grounds, count: usize, consumer: Consumer, backlog: Backlog) -> anyhow::Result<f64> {
    let mut ground = prepare(grounds, "ours").await?;
    if consumer == Consumer::OneAtATime {
        ground.settings.store.pool_size = ONE_AT_A_TIME;
    }
    let frontend = Frontend::connect(&ground.settings.bus).await?;
    let load = made(count);
    if backlog == Backlog::Waiting {
        publish(&frontend, &load).await?;
    }
    let context = ground.start().await?;
    match consumer {
        Consumer::Batches => batch::spawn(&context, intake::facts()),
        Consumer::OneAtATime => batch::spawn_sized(&context, intake::facts(), ONE_AT_A_TIME, 1),
    }
    drop(context);
    let stored = rate(count as u64, async || payments::count_identities(&ground.store).await);
    let measured = match backlog {
        Backlog::Waiting => stored.await,
        Backlog::Fed => tokio::try_join!(stored, publish(&frontend, &load)).map(|(rate, ())| rate),
    };
    frontend.close().await;
    ground.clear().await?;
    measured
}

async fn bound(grounds: &Grounds, count: usize, backlog: Backlog) -> anyhow::Result<f64> {
    let ground = prepare(grounds, "bound").await?;
    let frontend = Frontend::connect(&ground.settings.bus).await?;
    let load = made(count);
    if backlog == Backlog::Waiting {
        publish(&frontend, &load).await?;
    }
    let bound = Loop::start(&ground, Does::Publishes).await?;
    let done = rate(count as u64, async || Ok::<u64, Infallible>(bound.done()));
    let measured = match backlog {
        Backlog::Waiting => done.await,
        Backlog::Fed => tokio::try_join!(done, publish(&frontend, &load)).map(|(rate, ())| rate),
    };
    bound.stop().await;
    frontend.close().await;
    ground.clear().await?;
    measured
}

/// Messages a second with an answer awaited for each, a window in flight: by intake, or by a loop that only answers.
async fn answered(grounds: &Grounds, count: usize, in_flight: usize, by_intake: bool) -> anyhow::Result<f64> {
    let ground = prepare(grounds, if by_intake { "ours" } else { "echo" }).await?;
    let frontend = Frontend::connect(&ground.settings.bus).await?;
    let echo = if by_intake {
        batch::spawn(&ground.start().await?, intake::facts());
        None
    } else {
        Some(Loop::start(&ground, Does::Answers).await?)
    };
    // The first ones find connections cold.
    ask_all(&frontend, made(count / 10), in_flight).await?;
    let load = made(count);
    let begun = std::time::Instant::now();
    ask_all(&frontend, load, in_flight).await?;
    let measured = count as f64 / begun.elapsed().as_secs_f64();
    if let Some(echo) = echo {
        echo.stop().await;
    }
    frontend.close().await;
    ground.clear().await?;
    Ok(measured)
}

async fn ask_all(frontend: &Frontend, load: Vec<Message>, in_flight: usize) -> anyhow::Result<()> {
    let mut asking = futures::stream::iter(load)
        .map(|message| async move { frontend.tell(&message, Duration::from_secs(30)).await })
        .buffer_unordered(in_flight);
    while let Some(answer) = asking.next().await {
        answer?;
    }
    Ok(())
}
