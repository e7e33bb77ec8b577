//! What this bus and this broker can do, in messages per second: `cargo run -p bus --example throughput [MESSAGES]`.
//!
//! The broker is `UNIGATE_BROKER_URL`; a namespace of its own is declared and deleted. Nothing else is measured: no
//! database, no parsing.
#![expect(clippy::print_stdout, reason = "its output is its purpose")]

use std::time::{Duration, Instant};

use bus::frontend::{Frontend, Message};
use bus::{Bus, BusError, BusSettings, Queue, topology};
use futures::{StreamExt, TryStreamExt};
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

const BODY_BYTES: usize = 400;
const BATCH: usize = 256;

#[tokio::main]
async fn main() -> Result<(), BusError> {
    let messages = std::env::args()
        .nth(1)
        .and_then(|text| text.parse().ok())
        .unwrap_or(20_000);
    let settings = settings();
    topology::apply(&settings).await?;
    let outcome = measure(&settings, messages).await;
    topology::delete(&settings).await?;
    outcome
}

#[expect(clippy::disallowed_methods, reason = "an example has no settings")]
fn settings() -> BusSettings {
    let url = std::env::var("UNIGATE_BROKER_URL").unwrap_or_else(|_| "amqp://127.0.0.1:5672/%2f".into());
    BusSettings {
        url: SecretString::from(url),
        namespace: format!("unigate_throughput_{:08x}", rand::random::<u32>()),
        name: "throughput".into(),
        ca_file: None,
        apply_topology: true,
    }
}

async fn measure(settings: &BusSettings, messages: usize) -> Result<(), BusError> {
    let bus = Bus::start(settings.clone(), CancellationToken::new());
    bus.wait_ready().await;
    let frontend = Frontend::connect(settings).await?;
    let fact = Message::new("payment.accepted", vec![b'x'; BODY_BYTES]);

    for window in [100, 1000] {
        let begun = Instant::now();
        in_flight(messages, window, || frontend.send(&fact)).await?;
        report(
            &format!("facts published and confirmed, {window} in flight"),
            messages,
            begun,
        );
    }
    let begun = Instant::now();
    consume(&bus, Queue::IntakeFacts, 2 * messages, false).await;
    report(
        "consumed in batches of 256 and acknowledged, one channel",
        2 * messages,
        begun,
    );

    let question = Message::new("card.reserve", vec![b'x'; BODY_BYTES]);
    for window in [1, 32, 256] {
        let count = if window == 1 { messages / 10 } else { messages };
        let begun = Instant::now();
        let answering = consume(&bus, Queue::CardsQuestions, count, true);
        let asking = in_flight(count, window, async || {
            frontend.ask(&question, Duration::from_secs(30)).await.map(|_| ())
        });
        let (_, asked) = tokio::join!(answering, asking);
        asked?;
        report(
            &format!("questions asked and answered, {window} in flight"),
            count,
            begun,
        );
    }
    for window in [1, 64] {
        let count = if window == 1 { messages / 10 } else { messages };
        let begun = Instant::now();
        let event = async || {
            bus.publish_event("payment.accepted", uuid::Uuid::now_v7(), vec![b'x'; BODY_BYTES], None)
                .await
        };
        in_flight(count, window, event).await?;
        report(
            &format!("events published and confirmed, {window} in flight"),
            count,
            begun,
        );
    }
    bus.close().await;
    Ok(())
}

async fn in_flight<F>(count: usize, window: usize, work: impl Fn() -> F) -> Result<(), BusError>
where
    F: Future<Output = Result<(), BusError>>,
{
    futures::stream::iter(0..count)
        .map(|_| Ok(work()))
        .try_buffer_unordered(window)
        .try_for_each(async |()| Ok(()))
        .await
}

async fn consume(bus: &Bus, queue: Queue, count: usize, answer: bool) {
    let mut session = bus.session(queue, 2 * BATCH as u16).await;
    let mut taken = 0;
    while taken < count {
        let Some(batch) = session.next_batch(BATCH, Duration::ZERO).await else {
            return;
        };
        if answer {
            batch
                .iter()
                .for_each(|delivery| bus.answer(delivery, delivery.body.clone()));
        }
        taken += batch.len();
        if session.ack_all(&batch).await.is_err() {
            return;
        }
    }
    session.close().await;
}

fn report(what: &str, count: usize, begun: Instant) {
    println!("{:>9.0}/s  {what}", count as f64 / begun.elapsed().as_secs_f64());
}
