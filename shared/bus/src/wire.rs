//! One TCP (or TLS) line to the broker: resolved, connected, armoured, and always possible to cut.
//!
//! It is the client library's stream and timer, so that nothing here can wait for ever: the library itself has no limit
//! on a handshake that never ends.

use std::future::Future;
use std::io;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use async_rs::traits::Reactor;
use async_rs::util::RuntimeParts;
use async_rs::{Runtime, Tokio};
use futures::Stream;
use futures::io::{AsyncRead, AsyncWrite};
use lapin::tcp::{AsyncTcpStream, OwnedTLSConfig};

use crate::armour::{Armour, Greeting};

/// The library's runtime with our stream in it.
pub(crate) type WireRuntime = Runtime<RuntimeParts<Tokio, Timers>>;

pub(crate) fn runtime() -> WireRuntime {
    Runtime::new(RuntimeParts::new(Tokio::current(), Timers(Tokio::current())))
}

/// Where the library will connect.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// None: not encrypted.
    pub(crate) tls: Option<OwnedTLSConfig>,
    pub(crate) timeout: Duration,
    /// The largest frame that is asked for; 0: the broker's limit.
    pub(crate) frame_max: u32,
}

/// Looks at a line from outside: what the broker said about itself, and the end of it all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tap(Arc<Mutex<Tapped>>);

#[derive(Debug, Default)]
struct Tapped {
    socket: Option<TcpStream>,
    greeting: Option<Greeting>,
}

impl Tap {
    /// Cuts the line, whatever state it is in.
    pub(crate) fn cut(&self) {
        if let Some(socket) = self.lock().socket.take() {
            // An error means that it is closed already.
            let _ = socket.shutdown(Shutdown::Both);
        }
    }

    /// What the broker said about itself.
    pub(crate) fn greeting(&self) -> Option<Greeting> {
        self.lock().greeting.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Tapped> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Connects, within the time limit, to the first address that answers.
pub(crate) async fn connect(address: &Address, tap: &Tap) -> io::Result<AsyncTcpStream<Wire>> {
    let timed_out = || io::Error::new(io::ErrorKind::TimedOut, "no connection in time");
    let dialled = tokio::time::timeout(address.timeout, dial(address, tap)).await;
    let place = |error: io::Error| {
        let told = format!("RabbitMQ at {}:{}: {error}", address.host, address.port);
        io::Error::new(error.kind(), told)
    };
    dialled.unwrap_or_else(|_| Err(timed_out())).map_err(place)
}

async fn dial(address: &Address, tap: &Tap) -> io::Result<AsyncTcpStream<Wire>> {
    let addresses: Vec<SocketAddr> = tokio::net::lookup_host((address.host.as_str(), address.port))
        .await?
        .collect();
    let stream = AsyncTcpStream::connect(&Tokio::current(), addresses).await?;
    if let AsyncTcpStream::Plain(plain) = &stream {
        tap.lock().socket = Some(plain.get_ref().as_fd().try_clone_to_owned()?.into());
    }
    let inner: Box<dyn Line> = match &address.tls {
        None => Box::new(stream),
        Some(config) => Box::new(stream.into_tls(&address.host, config.as_ref()).await?),
    };
    Ok(AsyncTcpStream::Plain(Wire {
        inner,
        armour: Armour::with_frame_max(address.frame_max),
        tap: tap.clone(),
        buffer: vec![0; 1 << 16],
    }))
}

trait Line: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Line for T {}

/// The stream the library reads and writes.
pub(crate) struct Wire {
    inner: Box<dyn Line>,
    armour: Armour,
    tap: Tap,
    buffer: Vec<u8>,
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, target: &mut [u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        loop {
            let count = this.armour.read(target);
            if count > 0 || target.is_empty() {
                return Poll::Ready(Ok(count));
            }
            let count = ready!(Pin::new(&mut this.inner).poll_read(cx, &mut this.buffer))?;
            if count == 0 {
                return Poll::Ready(Ok(0));
            }
            this.armour.push(&this.buffer[..count]);
            if let Some(greeting) = this.armour.take_greeting() {
                this.tap.lock().greeting = Some(greeting);
            }
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().inner).poll_write_vectored(cx, parts)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_flush(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().inner).poll_close(cx)
    }
}

/// Only names the stream's type; the library takes its timers from here and never connects through it.
#[derive(Clone, Debug)]
pub(crate) struct Timers(Tokio);

impl Reactor for Timers {
    type TcpStream = Wire;
    type Sleep = <Tokio as Reactor>::Sleep;

    fn register<H: io::Read + io::Write + Send + 'static>(
        &self,
        _socket: H,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        Err::<Wire, _>(io::ErrorKind::Unsupported.into())
    }

    fn sleep(&self, duration: Duration) -> Self::Sleep {
        self.0.sleep(duration)
    }

    fn interval(&self, duration: Duration) -> impl Stream<Item = Instant> + Send + 'static {
        self.0.interval(duration)
    }

    fn tcp_connect_addr(
        &self,
        _address: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::TcpStream>> + Send + 'static {
        std::future::ready(Err(io::ErrorKind::Unsupported.into()))
    }
}
