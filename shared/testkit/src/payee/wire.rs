//! Connections that a request handler can reset, and that end when the payee goes down.

use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::door::Guest;

/// One connection.
pub(super) struct Wire {
    stream: TcpStream,
    gone: CancellationToken,
    ended: Pin<Box<WaitForCancellationFutureOwned>>,
    _stay: TaskTrackerToken,
}

/// A handler's hold on the connection its request came by.
#[derive(Clone)]
pub(super) struct Hold(CancellationToken);

impl Hold {
    /// Resets the connection; the client gets no byte any more.
    pub(super) fn reset(&self) {
        self.0.cancel();
    }
}

impl Wire {
    pub(super) fn new(guest: Guest) -> Self {
        Self {
            stream: guest.stream,
            ended: Box::pin(guest.gone.clone().cancelled_owned()),
            gone: guest.gone,
            _stay: guest.stay,
        }
    }

    /// The error to fail with once the connection is to be reset; closing it then sends the reset.
    fn reset(&self) -> io::Error {
        let _ = self.stream.set_zero_linger();
        io::ErrorKind::ConnectionReset.into()
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.gone.is_cancelled() || self.ended.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(self.reset()));
        }
        pin!(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.gone.is_cancelled() {
            return Poll::Ready(Err(self.reset()));
        }
        pin!(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        pin!(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.gone.is_cancelled() {
            return Poll::Ready(Err(self.reset()));
        }
        ready!(pin!(&mut self.stream).poll_shutdown(context))?;
        Poll::Ready(Ok(()))
    }
}

/// The connections that come through the door.
pub(super) struct Wires {
    pub(super) addr: SocketAddr,
    pub(super) wires: mpsc::UnboundedReceiver<Wire>,
}

impl Listener for Wires {
    type Io = Wire;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Wire, SocketAddr) {
        match self.wires.recv().await {
            Some(wire) => (wire, self.addr),
            // The door is gone for good; the task that serves is about to be aborted.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.addr)
    }
}

impl Connected<IncomingStream<'_, Wires>> for Hold {
    fn connect_info(stream: IncomingStream<'_, Wires>) -> Self {
        Self(stream.io().gone.clone())
    }
}
