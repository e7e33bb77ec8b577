//! The table carried out at a broker: declared, compared, probed, deleted.

use lapin::options::{
    BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions, ExchangeDeleteOptions,
    QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, ErrorKind, ExchangeKind};

use super::table::{self, Exchange, Flag, Value};
use super::{Queue, Report};
use crate::BusError;
use crate::connect::Link;

/// The `type` of empty messages that only try a binding; sessions drop them.
pub(crate) const PROBE: &str = "unigate.probe";
/// Where nobody consumes, a probe goes away by itself (facts' queues and what is like them excepted: what expires is parked).
const PROBE_EXPIRATION_MS: &str = "60000";

/// Declares everything.
pub(crate) async fn apply_on(link: &Link, namespace: &str) -> Result<Report, BusError> {
    let mut scratch = Scratch::new(link);
    let mut report = scratch.report();
    for exchange in table::exchanges(namespace) {
        report.items += 1;
        if let Verdict::Differs(what) = scratch.declare_exchange(&exchange).await? {
            report.add(&exchange.name, what);
        }
    }
    for queue in Queue::all() {
        report.items += 1;
        let name = queue.name(namespace);
        if let Verdict::Differs(what) = scratch.declare_queue(&name, &table::flags(queue, namespace)).await? {
            report.add(&name, what);
        }
        for (exchange, key) in table::bindings(queue, namespace) {
            report.items += 1;
            let channel = scratch.channel().await?;
            let options = QueueBindOptions::default();
            channel
                .queue_bind(
                    short(&name)?,
                    short(&exchange)?,
                    short(key)?,
                    options,
                    FieldTable::default(),
                )
                .await?;
        }
    }
    for (queue, exchange) in table::former_bindings(namespace) {
        let channel = scratch.channel().await?;
        let (name, exchange) = (short(&queue.name(namespace))?, short(&exchange)?);
        channel
            .queue_unbind(name, exchange, ShortString::default(), FieldTable::default())
            .await?;
    }
    Ok(report)
}

/// Compares everything, bindings only where all else is in order. A worker's user may not try them: it needs a queue with a
/// name of the broker's own.
pub(super) async fn check_on(link: &Link, namespace: &str) -> Result<Report, BusError> {
    let mut report = check_arguments_on(link, namespace).await?;
    if report.in_order() {
        match check_bindings_on(link, namespace, &mut report).await {
            Err(error) if error.is_access_refused() => report.bindings_untried = Some(error.to_string()),
            tried => tried?,
        }
    }
    Ok(report)
}

/// Compares queues and exchanges, with their arguments.
pub(crate) async fn check_arguments_on(link: &Link, namespace: &str) -> Result<Report, BusError> {
    let mut scratch = Scratch::new(link);
    let mut report = scratch.report();
    for exchange in table::exchanges(namespace) {
        report.items += 1;
        if !scratch.exchange_exists(&exchange.name).await? {
            report.add(&exchange.name, "the exchange is missing");
        } else if let Ok(Verdict::Differs(what)) = permitted(scratch.declare_exchange(&exchange).await)? {
            report.add(&exchange.name, what);
        }
    }
    for queue in Queue::all() {
        report.items += 1;
        let name = queue.name(namespace);
        if !scratch.queue_exists(&name).await? {
            report.add(&name, "the queue is missing");
        } else if let Ok(Verdict::Differs(what)) =
            permitted(scratch.declare_queue(&name, &table::flags(queue, namespace)).await)?
        {
            report.add(&name, what);
        }
    }
    Ok(report)
}

/// Looks for what is gone, and for nothing else: cheap enough to be done now and then.
pub(crate) async fn missing_on(link: &Link, namespace: &str) -> Result<Vec<String>, BusError> {
    let mut scratch = Scratch::new(link);
    let mut missing = Vec::new();
    for exchange in table::exchanges(namespace) {
        if !scratch.exchange_exists(&exchange.name).await? {
            missing.push(exchange.name);
        }
    }
    for queue in Queue::all() {
        let name = queue.name(namespace);
        if !scratch.queue_exists(&name).await? {
            missing.push(name);
        }
    }
    Ok(missing)
}

/// Makes sure that a queue that was there before is there again, with everything that leads to it.
pub(crate) async fn ensure_queue_on(link: &Link, namespace: &str, queue: Queue) -> Result<(), BusError> {
    let name = queue.name(namespace);
    if Scratch::new(link).queue_exists(&name).await? {
        return Ok(());
    }
    tracing::warn!(queue = name, "the queue is gone: declared again");
    apply_on(link, namespace).await.map(|_| ())
}

/// Tries every binding. AMQP cannot list bindings, but tells what was not routed.
async fn check_bindings_on(link: &Link, namespace: &str, report: &mut Report) -> Result<(), BusError> {
    let channel = link.channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    let terminal = table::terminal_exchange(namespace);
    let dead = table::dead_exchange(namespace);
    for (exchange, via, key, queue) in [
        (table::unroutable_exchange(namespace), &terminal, PROBE, Queue::Unrouted),
        (dead.clone(), &dead, "", Queue::Parked),
    ] {
        report.items += 1;
        if !probe(&channel, via, key, queue == Queue::Parked).await? {
            report.add(
                format!("{exchange} --> {}", queue.name(namespace)),
                "the binding is missing",
            );
        }
    }
    // From here on what is not routed comes to a queue of our own.
    let options = QueueDeclareOptions {
        exclusive: true,
        auto_delete: true,
        ..QueueDeclareOptions::default()
    };
    let caught = channel
        .queue_declare(ShortString::default(), options, arguments(&[classic()]))
        .await?
        .name()
        .clone();
    let unroutable = short(&table::unroutable_exchange(namespace))?;
    let options = QueueBindOptions::default();
    channel
        .queue_bind(
            caught.clone(),
            unroutable,
            ShortString::default(),
            options,
            FieldTable::default(),
        )
        .await?;
    for queue in Queue::all() {
        let is_facts = matches!(queue, Queue::IntakeFacts | Queue::CardsFacts);
        for key in queue.keys() {
            report.items += 1;
            probe(&channel, &terminal, key, !is_facts).await?;
            // The confirm came after the probe was routed: if it is not here now, the queue has it.
            let unrouted = channel
                .basic_get(caught.clone(), BasicGetOptions { no_ack: true })
                .await?;
            if unrouted.is_some() {
                let name = format!("{terminal} --{key}--> {}", queue.name(namespace));
                report.add(name, "the binding is missing");
            }
        }
    }
    channel.close(200, short("done")?).await?;
    Ok(())
}

/// Deletes everything.
pub(super) async fn delete_on(link: &Link, namespace: &str) -> Result<(), BusError> {
    let channel = link.channel().await?;
    for exchange in table::exchanges(namespace).iter().rev() {
        channel
            .exchange_delete(short(&exchange.name)?, ExchangeDeleteOptions::default())
            .await?;
    }
    for queue in Queue::all() {
        channel
            .queue_delete(short(&queue.name(namespace))?, QueueDeleteOptions::default())
            .await?;
    }
    Ok(())
}

/// Publishes a probe. False: no queue took it.
async fn probe(channel: &Channel, exchange: &str, key: &str, expires: bool) -> Result<bool, BusError> {
    let mut properties = BasicProperties::default().with_type(short(PROBE)?);
    if expires {
        properties = properties.with_expiration(short(PROBE_EXPIRATION_MS)?);
    }
    let options = BasicPublishOptions {
        mandatory: true,
        immediate: false,
    };
    let confirm = channel
        .basic_publish(short(exchange)?, short(key)?, options, b"", properties)
        .await?;
    Ok(matches!(confirm.await?, Confirmation::Ack(None)))
}

enum Verdict {
    Alike,
    Differs(String),
}

/// A broker user without the right to declare can still see what exists; only arguments stay unseen.
fn permitted(verdict: Result<Verdict, BusError>) -> Result<Result<Verdict, ()>, BusError> {
    match verdict {
        Err(error) if error.is_access_refused() => Ok(Err(())),
        other => other.map(Ok),
    }
}

/// A channel for declaring; the broker closes it over every "no", so it is opened again.
struct Scratch<'a> {
    link: &'a Link,
    channel: Option<Channel>,
}

impl<'a> Scratch<'a> {
    fn new(link: &'a Link) -> Self {
        Self { link, channel: None }
    }

    fn report(&self) -> Report {
        Report {
            broker: self.link.broker.to_string(),
            ..Report::default()
        }
    }

    async fn channel(&mut self) -> Result<Channel, BusError> {
        match &self.channel {
            Some(channel) if channel.status().connected() => Ok(channel.clone()),
            _ => Ok(self.channel.insert(self.link.channel().await?).clone()),
        }
    }

    async fn exchange_exists(&mut self, name: &str) -> Result<bool, BusError> {
        let options = ExchangeDeclareOptions {
            passive: true,
            ..ExchangeDeclareOptions::default()
        };
        let channel = self.channel().await?;
        let declared = channel
            .exchange_declare(short(name)?, ExchangeKind::Topic, options, FieldTable::default())
            .await;
        found(declared)
    }

    async fn queue_exists(&mut self, name: &str) -> Result<bool, BusError> {
        let options = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let channel = self.channel().await?;
        found(
            channel
                .queue_declare(short(name)?, options, FieldTable::default())
                .await
                .map(|_| ()),
        )
    }

    async fn declare_exchange(&mut self, exchange: &Exchange) -> Result<Verdict, BusError> {
        let options = ExchangeDeclareOptions {
            durable: true,
            internal: exchange.internal,
            ..ExchangeDeclareOptions::default()
        };
        let kind = if exchange.fanout {
            ExchangeKind::Fanout
        } else {
            ExchangeKind::Topic
        };
        let channel = self.channel().await?;
        verdict(
            channel
                .exchange_declare(short(&exchange.name)?, kind, options, arguments(&exchange.flags))
                .await,
        )
    }

    async fn declare_queue(&mut self, name: &str, flags: &[Flag]) -> Result<Verdict, BusError> {
        let options = QueueDeclareOptions {
            durable: true,
            ..QueueDeclareOptions::default()
        };
        let channel = self.channel().await?;
        verdict(
            channel
                .queue_declare(short(name)?, options, arguments(flags))
                .await
                .map(|_| ()),
        )
    }
}

fn found(declared: lapin::Result<()>) -> Result<bool, BusError> {
    match declared.map_err(BusError::from) {
        Ok(()) => Ok(true),
        Err(error) if soft_error(&error) == Some(AMQPSoftError::NOTFOUND) => Ok(false),
        Err(error) => Err(error),
    }
}

fn verdict(declared: lapin::Result<()>) -> Result<Verdict, BusError> {
    match declared {
        Ok(()) => Ok(Verdict::Alike),
        Err(error) => match error.kind() {
            ErrorKind::ProtocolError(said)
                if matches!(said.kind(), AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED)) =>
            {
                let said = said.get_message().as_str();
                Ok(Verdict::Differs(
                    said.trim_start_matches("PRECONDITION_FAILED - ").to_owned(),
                ))
            }
            _ => Err(error.into()),
        },
    }
}

fn soft_error(error: &BusError) -> Option<AMQPSoftError> {
    let BusError::Protocol(error) = error else { return None };
    match error.kind() {
        ErrorKind::ProtocolError(said) => match said.kind() {
            AMQPErrorKind::Soft(soft) => Some(soft.clone()),
            AMQPErrorKind::Hard(_) => None,
        },
        _ => None,
    }
}

fn classic() -> Flag {
    Flag {
        name: "x-queue-type",
        value: Value::Text("classic".into()),
        reason: "lives as long as one check",
    }
}

fn arguments(flags: &[Flag]) -> FieldTable {
    let mut table = FieldTable::default();
    for flag in flags {
        let value = match &flag.value {
            Value::Text(text) => AMQPValue::LongString(LongString::from(text.as_bytes())),
            Value::Number(number) => AMQPValue::LongLongInt(*number),
        };
        table.insert(ShortString::from(flag.name), value);
    }
    table
}

fn short(text: &str) -> Result<ShortString, BusError> {
    ShortString::try_new(text).map_err(|_| BusError::TooLong("a name of queue, exchange or key"))
}
