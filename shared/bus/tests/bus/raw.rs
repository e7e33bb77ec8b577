//! AMQP by hand: a publisher that sends what no honest client library would.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::stand::{broker_address, broker_url};

pub(crate) const REPLY_TO: u16 = 1 << 9;
pub(crate) const HEADERS: u16 = 1 << 13;

/// What it agrees on with the broker, whose limit this is unless configured.
pub(crate) const FRAME_MAX: usize = 128 << 10;

pub(crate) struct Raw(TcpStream);

pub(crate) fn short(text: &[u8]) -> Vec<u8> {
    [&[u8::try_from(text.len()).unwrap()], text].concat()
}

pub(crate) fn long(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

impl Raw {
    /// Logs in and opens channel 1 in confirm mode.
    pub(crate) async fn connect() -> Self {
        let url = url::Url::parse(&broker_url()).unwrap();
        let password = url.password().unwrap_or("guest");
        let user = if url.username().is_empty() {
            "guest"
        } else {
            url.username()
        };
        let login = [&[0][..], user.as_bytes(), &[0], password.as_bytes()].concat();
        let mut raw = Self(TcpStream::connect(broker_address()).await.unwrap());
        raw.0.write_all(b"AMQP\0\0\x09\x01").await.unwrap();
        raw.method().await;
        raw.call(
            0,
            10,
            11,
            &[long(b""), short(b"PLAIN"), long(&login), short(b"en_US")].concat(),
        )
        .await;
        raw.method().await;
        raw.call(0, 10, 31, &[7, 255, 0, 2, 0, 0, 0, 0]).await;
        raw.call(0, 10, 40, &[short(b"/"), vec![0, 0]].concat()).await;
        raw.method().await;
        raw.call(1, 20, 10, &short(b"")).await;
        raw.method().await;
        raw.call(1, 85, 10, &[0]).await;
        raw.method().await;
        raw
    }

    /// Publishes and waits for the confirm.
    pub(crate) async fn publish(&mut self, exchange: &[u8], key: &[u8], flags: u16, properties: &[u8], body: &[u8]) {
        self.call(1, 60, 40, &[vec![0, 0], short(exchange), short(key), vec![0]].concat())
            .await;
        let head = [
            &[0, 60, 0, 0][..],
            &(body.len() as u64).to_be_bytes(),
            &flags.to_be_bytes(),
            properties,
        ]
        .concat();
        self.frame(2, 1, &head).await;
        if !body.is_empty() {
            self.frame(3, 1, body).await;
        }
        assert_eq!(self.method().await, (60, 80), "not confirmed");
    }

    async fn call(&mut self, channel: u16, class: u16, method: u16, arguments: &[u8]) {
        let payload = [&class.to_be_bytes()[..], &method.to_be_bytes(), arguments].concat();
        self.frame(1, channel, &payload).await;
    }

    async fn frame(&mut self, kind: u8, channel: u16, payload: &[u8]) {
        let frame = [&[kind][..], &channel.to_be_bytes(), &long(payload), &[0xce]].concat();
        self.0.write_all(&frame).await.unwrap();
    }

    async fn method(&mut self) -> (u16, u16) {
        let mut head = [0; 7];
        self.0.read_exact(&mut head).await.unwrap();
        let size = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
        let mut payload = vec![0; size + 1];
        self.0.read_exact(&mut payload).await.unwrap();
        (
            u16::from_be_bytes([payload[0], payload[1]]),
            u16::from_be_bytes([payload[2], payload[3]]),
        )
    }
}
