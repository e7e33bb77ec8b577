//! Looking into queues without taking anything out of them: for tests that search everything for what must not be there.
//! Workers do not use it.

use lapin::options::{BasicGetOptions, QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, ErrorKind};

use crate::connect::Link;
use crate::publish::{short, text};
use crate::topology::{Queue, events_exchange, limited};
use crate::{BusError, BusSettings};

/// Messages looked at per queue.
const MOST: usize = 10_000;

/// A message that waits in a queue, or that the broker has for whoever looks.
#[derive(Clone, Debug)]
pub struct Kept {
    /// Where.
    pub queue: String,
    /// Its properties and headers as text.
    pub properties: String,
    /// What it says.
    pub body: Vec<u8>,
}

fn events_queue(namespace: &str) -> String {
    format!("{namespace}.kept-events")
}

fn full_queue(namespace: &str) -> String {
    format!("{namespace}.full-listener")
}

/// From now on keeps a copy of every event, for [`contents`].
pub async fn keep_events(settings: &BusSettings) -> Result<(), BusError> {
    let queue = events_queue(&settings.namespace);
    listen(settings, &queue, "#", FieldTable::default()).await
}

/// From now on there is a listener to one kind of event that reads nothing, and whose queue is full after one and refuses more:
/// until [`take_events_again`].
pub async fn refuse_events(settings: &BusSettings, kind: &str) -> Result<(), BusError> {
    let mut arguments = FieldTable::default();
    arguments.insert(ShortString::from("x-max-length"), AMQPValue::LongInt(1));
    arguments.insert(ShortString::from("x-overflow"), text("reject-publish"));
    // Whatever becomes of the test.
    arguments.insert(ShortString::from("x-expires"), AMQPValue::LongInt(600_000));
    listen(settings, &full_queue(&settings.namespace), kind, arguments).await
}

async fn listen(settings: &BusSettings, queue: &str, kinds: &str, arguments: FieldTable) -> Result<(), BusError> {
    let link = Link::open(settings, "keep events").await?;
    let exchange = events_exchange(&settings.namespace);
    let outcome = limited(listen_on(&link, queue, &exchange, kinds, arguments)).await;
    link.close().await;
    outcome
}

async fn listen_on(
    link: &Link,
    queue: &str,
    exchange: &str,
    kinds: &str,
    mut arguments: FieldTable,
) -> Result<(), BusError> {
    let channel = link.channel().await?;
    let options = QueueDeclareOptions {
        durable: true,
        ..QueueDeclareOptions::default()
    };
    arguments.insert(ShortString::from("x-queue-type"), text("classic"));
    channel.queue_declare(short(queue)?, options, arguments).await?;
    let options = QueueBindOptions::default();
    let (queue, exchange, kinds) = (short(queue)?, short(exchange)?, short(kinds)?);
    Ok(channel
        .queue_bind(queue, exchange, kinds, options, FieldTable::default())
        .await?)
}

/// What waits in every queue of the namespace, and the events that were kept. Everything stays where it is; what somebody
/// has in hand is not seen.
pub async fn contents(settings: &BusSettings) -> Result<Vec<Kept>, BusError> {
    let link = Link::open(settings, "look into queues").await?;
    let outcome = limited(contents_on(&link, &settings.namespace)).await;
    link.close().await;
    outcome
}

async fn contents_on(link: &Link, namespace: &str) -> Result<Vec<Kept>, BusError> {
    let mut names: Vec<String> = Queue::all().map(|queue| queue.name(namespace)).collect();
    names.push(events_queue(namespace));
    let mut kept = Vec::new();
    let mut channel = link.channel().await?;
    for name in names {
        if let Err(error) = look(&channel, &name, &mut kept).await {
            // A test may have deleted it; the broker closes the channel over that.
            let gone =
                matches!(&error, BusError::Protocol(error) if matches!(error.kind(), ErrorKind::ProtocolError(_)));
            if !gone {
                return Err(error);
            }
            channel = link.channel().await?;
        }
    }
    Ok(kept)
}

async fn look(channel: &Channel, name: &str, kept: &mut Vec<Kept>) -> Result<(), BusError> {
    for _ in 0..MOST {
        // Not acknowledged: it goes back when the connection is closed.
        let options = BasicGetOptions { no_ack: false };
        let Some(message) = channel.basic_get(short(name)?, options).await? else {
            break;
        };
        kept.push(Kept {
            queue: name.to_owned(),
            properties: format!("{:?}", message.delivery.properties),
            body: message.delivery.data.clone(),
        });
    }
    Ok(())
}

/// Keeps events no longer.
pub async fn forget_events(settings: &BusSettings) -> Result<(), BusError> {
    delete(settings, &events_queue(&settings.namespace)).await
}

/// Ends what [`refuse_events`] began.
pub async fn take_events_again(settings: &BusSettings) -> Result<(), BusError> {
    delete(settings, &full_queue(&settings.namespace)).await
}

async fn delete(settings: &BusSettings, queue: &str) -> Result<(), BusError> {
    let link = Link::open(settings, "forget events").await?;
    let outcome = limited(async {
        let channel = link.channel().await?;
        channel
            .queue_delete(short(queue)?, QueueDeleteOptions::default())
            .await?;
        Ok(())
    })
    .await;
    link.close().await;
    outcome
}
