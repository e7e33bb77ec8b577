//! A TCP address that can be shut and opened again: what the mail server, the payee and the proxy have in common. It
//! knows nothing of what is spoken behind it.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::lock;

/// One accepted connection.
pub(crate) struct Guest {
    pub(crate) stream: TcpStream,
    /// Cancelled when the door is shut: the guest has to leave.
    pub(crate) gone: CancellationToken,
    /// Shutting the door waits until this is dropped.
    pub(crate) stay: TaskTrackerToken,
}

type Welcome = Box<dyn Fn(Guest) + Send + Sync>;

/// An address, held for as long as the door exists, whether anybody listens on it or not.
pub(crate) struct Door {
    addr: SocketAddr,
    /// Bound and never listening. While the door is shut this keeps the port from being given to somebody else, and
    /// connecting to it is refused: a retrying client would otherwise sooner or later connect to itself there.
    _held: TcpSocket,
    welcome: Arc<Welcome>,
    open: Mutex<Option<Opening>>,
}

struct Opening {
    gone: CancellationToken,
    guests: TaskTracker,
}

impl Door {
    /// Holds `addr` (port 0: any free one) and opens; every connection is given to `welcome`, which must not block.
    pub(crate) fn open(addr: SocketAddr, welcome: impl Fn(Guest) + Send + Sync + 'static) -> io::Result<Self> {
        let held = bind(addr)?;
        let door = Self {
            addr: held.local_addr()?,
            _held: held,
            welcome: Arc::new(Box::new(welcome)),
            open: Mutex::new(None),
        };
        door.reopen()?;
        Ok(door)
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Listens again; nothing happens when it is open already.
    pub(crate) fn reopen(&self) -> io::Result<()> {
        let mut open = self.opening();
        if open.is_none() {
            let listener = bind(self.addr)?.listen(1024)?;
            let opening = Opening {
                gone: CancellationToken::new(),
                guests: TaskTracker::new(),
            };
            opening.guests.spawn(accept(
                listener,
                self.welcome.clone(),
                opening.gone.clone(),
                opening.guests.clone(),
            ));
            *open = Some(opening);
        }
        Ok(())
    }

    /// Stops listening (connecting is refused from here on) and waits until every guest has left.
    pub(crate) async fn shut(&self) {
        let opening = self.opening().take();
        if let Some(opening) = opening {
            opening.gone.cancel();
            opening.guests.close();
            opening.guests.wait().await;
        }
    }

    fn opening(&self) -> MutexGuard<'_, Option<Opening>> {
        lock(&self.open)
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        if let Some(opening) = self.opening().take() {
            opening.gone.cancel();
        }
    }
}

fn bind(addr: SocketAddr) -> io::Result<TcpSocket> {
    let socket = if addr.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    // Lets the holder and the listener share the address, as long as only one of them listens.
    socket.set_reuseaddr(true)?;
    socket.bind(addr)?;
    Ok(socket)
}

async fn accept(listener: TcpListener, welcome: Arc<Welcome>, gone: CancellationToken, guests: TaskTracker) {
    loop {
        let accepted = tokio::select! {
            () = gone.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                // Every one of our peers speaks in small messages and waits for the answer.
                let _ = stream.set_nodelay(true);
                welcome(Guest {
                    stream,
                    gone: gone.child_token(),
                    stay: guests.token(),
                });
            }
            // A client that left again, or no file descriptor to be had: both pass by themselves, the latter slowly.
            Err(error) => {
                tracing::debug!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::*;

    fn any() -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], 0))
    }

    /// Keeps its guests until they are told to go.
    fn keep(guest: Guest) {
        tokio::spawn(async move {
            guest.gone.cancelled().await;
            drop(guest);
        });
    }

    #[tokio::test]
    async fn a_shut_door_refuses_and_keeps_its_address() {
        let door = Door::open(any(), keep).unwrap();
        let mut before = TcpStream::connect(door.addr()).await.unwrap();
        door.shut().await;
        assert_eq!(before.read(&mut [0; 1]).await.unwrap_or(0), 0);
        for _ in 0..100 {
            let refused = TcpStream::connect(door.addr()).await.unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
        }
        door.reopen().unwrap();
        TcpStream::connect(door.addr()).await.unwrap();
    }

    #[tokio::test]
    async fn the_port_of_a_shut_door_is_given_to_nobody() {
        let door = Door::open(any(), keep).unwrap();
        door.shut().await;
        let others: Vec<_> = (0..200).map(|_| Door::open(any(), keep).unwrap()).collect();
        assert!(others.iter().all(|other| other.addr() != door.addr()));
        door.reopen().unwrap();
    }

    #[tokio::test]
    async fn shutting_and_opening_twice_is_harmless() {
        let door = Arc::new(Door::open(any(), keep).unwrap());
        door.reopen().unwrap();
        tokio::join!(door.shut(), door.shut());
        door.reopen().unwrap();
        door.reopen().unwrap();
        TcpStream::connect(door.addr()).await.unwrap();
    }

    #[tokio::test]
    async fn a_dropped_door_lets_its_guests_go() {
        let door = Door::open(any(), keep).unwrap();
        let mut guest = TcpStream::connect(door.addr()).await.unwrap();
        drop(door);
        let end = tokio::time::timeout(Duration::from_secs(10), guest.read(&mut [0; 1])).await;
        assert_eq!(end.unwrap().unwrap_or(0), 0);
    }
}
