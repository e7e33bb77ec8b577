//! One connection to the broker, from settings to a working line.

use std::time::Duration;

use lapin::options::ConfirmSelectOptions;
use lapin::tcp::OwnedTLSConfig;
use lapin::types::{LongString, ShortString};
use lapin::uri::{AMQPScheme, AMQPUri};
use lapin::{Channel, Connection, ConnectionProperties};
use secrecy::ExposeSecret;
use tokio_util::sync::CancellationToken;

use crate::wire::{self, Address, Tap};
use crate::{BusError, BusSettings, Greeting};

/// Two missed ones end a connection that went silent, so 40 s at most; a starved machine still makes it.
const HEARTBEAT_SECONDS: u16 = 20;
/// Bytes of a frame, unless the URL says otherwise. The library touches 32 times as much at once, for reading and for writing,
/// on every connection: with the broker's 128 KiB a process that does nothing would hold 16 MiB for that.
const FRAME_MAX: u32 = 32 * 1024;
/// For the TCP and TLS part, unless the URL says otherwise, and as much again for AMQP's own handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// For opening a channel.
const CHANNEL_LIMIT: Duration = Duration::from_secs(10);
/// For closing politely.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// An open connection.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) connection: Connection,
    pub(crate) broker: Greeting,
    tap: Tap,
    /// Whoever waits for the library learns here that there is nothing more to wait for.
    ended: CancellationToken,
}

impl Link {
    /// Connects. `role` tells our connections apart in the broker's own tools.
    pub(crate) async fn open(settings: &BusSettings, role: &str) -> Result<Self, BusError> {
        let (uri, address) = target(settings).await?;
        let limit = 2 * address.timeout;
        let tap = Tap::default();
        let their_tap = tap.clone();
        let connecting = Connection::connector(
            uri,
            wire::runtime(),
            async move |_, _| Ok(wire::connect(&address, &their_tap).await?),
            properties(&format!("{} {role}", settings.name)),
        );
        match tokio::time::timeout(limit, connecting).await {
            Ok(connection) => {
                let broker = tap.greeting().unwrap_or_default();
                Ok(Self {
                    connection: connection?,
                    broker,
                    tap,
                    ended: CancellationToken::new(),
                })
            }
            Err(_) => {
                // The library would wait for ever in a thread of its own.
                tap.cut();
                Err(BusError::TimedOut(limit))
            }
        }
    }

    /// Says goodbye, briefly, and hangs up in any case.
    pub(crate) async fn close(&self) {
        if self.connection.status().connected() {
            let goodbye = self.connection.close(200, ShortString::from("bye"));
            let _ = tokio::time::timeout(CLOSE_TIMEOUT, goodbye).await;
        }
        self.tap.cut();
        self.ended.cancel();
    }

    /// A new channel. Asked for while the connection breaks, the library never answers (as in [`while_open`](Self::while_open),
    /// and here nobody may know yet that it ended).
    pub(crate) async fn channel(&self) -> Result<Channel, BusError> {
        limited(CHANNEL_LIMIT, async { Ok(self.connection.create_channel().await?) }).await
    }

    /// A new channel with publisher confirms.
    pub(crate) async fn confirming_channel(&self) -> Result<Channel, BusError> {
        let channel = self.channel().await?;
        let selected = channel.confirm_select(ConfirmSelectOptions::default());
        limited(CHANNEL_LIMIT, async { Ok(selected.await?) }).await?;
        Ok(channel)
    }

    /// What is awaited from the library, unless the connection ends before: `None`. The library does not complete everything
    /// then. An acknowledgement given between the end and the moment it is known stays open for ever (4.12.3: the command is
    /// queued behind the one that stops its reader), and with it the consumer that waits for it.
    pub(crate) async fn while_open<T>(&self, awaited: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            done = awaited => Some(done),
            () = self.ended.cancelled() => None,
        }
    }
}

/// For whatever waits for the broker: past the limit it is given up.
pub(crate) async fn limited<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, BusError>>,
) -> Result<T, BusError> {
    let done = tokio::time::timeout(limit, work).await;
    done.unwrap_or(Err(BusError::TimedOut(limit)))
}

impl Drop for Link {
    fn drop(&mut self) {
        self.tap.cut();
    }
}

fn properties(name: &str) -> ConnectionProperties {
    let text = |text: &str| LongString::from(text.as_bytes());
    // Auto-recovery stays off: the supervisor rebuilds everything, in one way for all endings.
    ConnectionProperties::default()
        .with_connection_name(text(name))
        .with_client_property(ShortString::from("product"), text("unigate"))
        .with_client_property(ShortString::from("version"), text(env!("CARGO_PKG_VERSION")))
}

async fn target(settings: &BusSettings) -> Result<(AMQPUri, Address), BusError> {
    let url = settings.url.expose_secret();
    let mut uri: AMQPUri = url.parse().map_err(BusError::Url)?;
    uri.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
    let frame_max = *uri.query.frame_max.get_or_insert(FRAME_MAX);
    let tls = match uri.scheme {
        AMQPScheme::AMQP => None,
        AMQPScheme::AMQPS => Some(OwnedTLSConfig {
            identity: None,
            cert_chain: read_ca_file(settings).await?,
        }),
    };
    let address = Address {
        host: host_of(url).unwrap_or_else(|| uri.authority.host.clone()),
        port: uri.authority.port,
        tls,
        timeout: uri
            .query
            .connection_timeout
            .map_or(CONNECT_TIMEOUT, Duration::from_millis),
        frame_max,
    };
    Ok((uri, address))
}

/// The library's own parser takes an IPv6 address for `localhost`.
fn host_of(url: &str) -> Option<String> {
    let url = url::Url::parse(url).ok()?;
    let host = url.host_str()?.trim_start_matches('[').trim_end_matches(']');
    Some(host.to_owned())
}

async fn read_ca_file(settings: &BusSettings) -> Result<Option<String>, BusError> {
    let Some(path) = &settings.ca_file else { return Ok(None) };
    let read = tokio::fs::read_to_string(path).await;
    read.map(Some).map_err(|source| BusError::CaFile {
        path: path.clone(),
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::SecretString;

    fn settings(url: &str) -> BusSettings {
        BusSettings {
            url: SecretString::from(url),
            namespace: "n".into(),
            name: "test".into(),
            ca_file: None,
            apply_topology: false,
        }
    }

    #[tokio::test]
    async fn a_url_says_where_and_how() {
        let (uri, address) = target(&settings("amqp://u:p%40ss@broker.example:5673/%2f"))
            .await
            .unwrap();
        assert_eq!((address.host.as_str(), address.port), ("broker.example", 5673));
        assert_eq!(
            (uri.vhost.as_str(), uri.authority.userinfo.password.as_str()),
            ("/", "p@ss")
        );
        assert_eq!(uri.query.heartbeat, Some(HEARTBEAT_SECONDS));
        assert_eq!((uri.query.frame_max, address.frame_max), (Some(FRAME_MAX), FRAME_MAX));
        let (uri, address) = target(&settings("amqp://broker/v?frame_max=131072")).await.unwrap();
        assert_eq!((uri.query.frame_max, address.frame_max), (Some(131_072), 131_072));
        let (_, address) = target(&settings("amqp://[::1]/v?heartbeat=5")).await.unwrap();
        assert_eq!((address.host.as_str(), address.port), ("::1", 5672));
        let (_, address) = target(&settings("amqps://broker.example/v")).await.unwrap();
        assert!(address.tls.is_some());
        assert_eq!(address.port, 5671);
    }

    #[tokio::test]
    async fn what_is_no_url_is_refused_without_being_repeated() {
        for url in ["", "broker", "http://broker/", "amqp://u:hunter2@host:99999"] {
            let error = target(&settings(url)).await.unwrap_err();
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }
}
