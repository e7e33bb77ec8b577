//! A namespace of one test, and waiting without sleeping.

use std::time::Duration;

use bus::frontend::{Frontend, Message};
use bus::{Bus, BusSettings, Queue, Session};
use lapin::options::{BasicPublishOptions, QueueDeclareOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use secrecy::SecretString;
use tokio_util::sync::CancellationToken;

/// Far more than anything here needs; only a failing test waits so long.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

#[expect(clippy::disallowed_methods, reason = "tests have no settings")]
pub(crate) fn broker_url() -> String {
    std::env::var("UNIGATE_BROKER_URL").unwrap_or_else(|_| "amqp://guest:guest@127.0.0.1:5672/%2f".into())
}

/// Host and port of the broker.
pub(crate) fn broker_address() -> String {
    let url = url::Url::parse(&broker_url()).unwrap();
    format!("{}:{}", url.host_str().unwrap(), url.port().unwrap_or(5672))
}

/// Deletes its namespace when dropped.
pub(crate) struct Stand {
    pub(crate) settings: BusSettings,
}

impl Stand {
    /// A namespace with nothing in it.
    pub(crate) fn bare() -> Self {
        let namespace = format!("unigate_test_{:016x}", rand::random::<u64>());
        let (name, url) = (namespace.clone(), SecretString::from(broker_url()));
        Self {
            settings: BusSettings {
                url,
                namespace,
                name,
                ca_file: None,
                apply_topology: true,
            },
        }
    }

    /// A namespace with its topology.
    pub(crate) async fn new() -> Self {
        let stand = Self::bare();
        let report = bus::topology::apply(&stand.settings).await.unwrap();
        assert!(report.in_order(), "{:?}", report.differences);
        stand
    }

    /// The same namespace through another address.
    pub(crate) fn through(&self, address: std::net::SocketAddr) -> BusSettings {
        let mut url = url::Url::parse(&broker_url()).unwrap();
        url.set_host(Some(&address.ip().to_string())).unwrap();
        url.set_port(Some(address.port())).unwrap();
        BusSettings {
            url: SecretString::from(url.to_string()),
            ..self.settings.clone()
        }
    }

    pub(crate) fn start(&self) -> Bus {
        Bus::start(self.settings.clone(), CancellationToken::new())
    }

    pub(crate) async fn ready(&self) -> Bus {
        let bus = self.start();
        within(bus.wait_ready()).await;
        bus
    }

    pub(crate) async fn frontend(&self) -> Frontend {
        Frontend::connect(&self.settings).await.unwrap()
    }

    pub(crate) fn queue(&self, queue: Queue) -> String {
        queue.name(&self.settings.namespace)
    }

    pub(crate) fn name(&self, suffix: &str) -> String {
        format!("{}.{suffix}", self.settings.namespace)
    }

    /// The broker itself, for what the bus does not offer.
    pub(crate) async fn broker(&self) -> Broker {
        let connection = Connection::connect(&broker_url(), ConnectionProperties::default())
            .await
            .unwrap();
        let channel = connection.create_channel().await.unwrap();
        Broker {
            _connection: connection,
            channel,
        }
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        let settings = self.settings.clone();
        let deleted = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(bus::topology::delete(&settings))
        })
        .join();
        if !std::thread::panicking() {
            deleted.unwrap().unwrap();
        }
    }
}

/// A connection of lapin's own.
pub(crate) struct Broker {
    _connection: Connection,
    pub(crate) channel: Channel,
}

impl Broker {
    pub(crate) async fn depth(&self, queue: &str) -> u32 {
        let options = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        self.channel
            .queue_declare(queue.into(), options, FieldTable::default())
            .await
            .unwrap()
            .message_count()
    }

    pub(crate) async fn publish(&self, exchange: &str, key: &str, properties: BasicProperties, body: &[u8]) {
        let options = BasicPublishOptions::default();
        self.channel
            .basic_publish(
                ShortString::from(exchange),
                ShortString::from(key),
                options,
                body,
                properties,
            )
            .await
            .unwrap()
            .await
            .unwrap();
    }
}

/// Waits no longer than is reasonable.
pub(crate) async fn within<T>(work: impl Future<Output = T>) -> T {
    tokio::time::timeout(LIMIT, work).await.expect("not in time")
}

/// Waits until `condition` holds.
pub(crate) async fn wait_for(mut condition: impl AsyncFnMut() -> bool) {
    within(async {
        let mut looks = tokio::time::interval(Duration::from_millis(20));
        while !condition().await {
            looks.tick().await;
        }
    })
    .await;
}

/// Sends `count` facts with their number as body.
pub(crate) async fn send_numbers(frontend: &Frontend, key: &str, numbers: std::ops::Range<usize>) {
    let messages: Vec<_> = numbers.map(|number| Message::new(key, number.to_string())).collect();
    futures::future::try_join_all(messages.iter().map(|message| frontend.send(message)))
        .await
        .unwrap();
}

/// Takes and acknowledges `count` messages; their bodies in order of arrival.
pub(crate) async fn take(session: &mut Session, count: usize) -> Vec<String> {
    let mut bodies = Vec::new();
    while bodies.len() < count {
        let batch = within(session.next_batch(256, Duration::ZERO))
            .await
            .expect("the session ended");
        session.ack_all(&batch).await.unwrap();
        bodies.extend(
            batch
                .into_iter()
                .map(|delivery| String::from_utf8(delivery.body).unwrap()),
        );
    }
    bodies
}
