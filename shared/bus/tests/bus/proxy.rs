//! A TCP proxy that can be shut and opened, and that can speak for the broker.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{broadcast, watch};

use crate::stand::broker_address;

/// In front of the broker. Connections are cut when it is shut, and refused until it is opened.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    open: Arc<watch::Sender<bool>>,
    said: broadcast::Sender<Vec<u8>>,
    trap: Trap,
}

/// What cuts the connection on which the client says it, once.
type Trap = Arc<Mutex<Option<&'static [u8]>>>;

impl Proxy {
    pub(crate) async fn start(open: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let open = Arc::new(watch::Sender::new(open));
        let state = open.clone();
        let said = broadcast::Sender::new(4);
        let saying = said.clone();
        let trap = Trap::default();
        let set = trap.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                // Dropped when shut: to the client that is a connection closed at once.
                if *state.borrow() {
                    tokio::spawn(carry(client, state.subscribe(), saying.subscribe(), set.clone()));
                }
            }
        });
        Self {
            address,
            open,
            said,
            trap,
        }
    }

    /// The next connection on which the client says this is cut instead of passing it on. It must be in one piece.
    pub(crate) fn cut_at(&self, words: &'static [u8]) {
        *self.trap.lock().unwrap() = Some(words);
    }

    pub(crate) fn set_open(&self, open: bool) {
        self.open.send_replace(open);
    }

    /// Says something on every connection in the broker's place. No frame of the broker's own may be on its way.
    pub(crate) fn say(&self, bytes: Vec<u8>) {
        self.said.send(bytes).unwrap();
    }
}

async fn carry(client: TcpStream, mut open: watch::Receiver<bool>, said: broadcast::Receiver<Vec<u8>>, trap: Trap) {
    let Ok(broker) = TcpStream::connect(broker_address()).await else {
        return;
    };
    let (from_client, to_client) = client.into_split();
    let (from_broker, to_broker) = broker.into_split();
    tokio::select! {
        _ = pass_on(from_client, to_broker, trap) => {}
        _ = answer(from_broker, to_client, said) => {}
        _ = open.wait_for(|open| !open) => {}
    }
}

async fn pass_on(mut client: OwnedReadHalf, mut broker: OwnedWriteHalf, trap: Trap) -> std::io::Result<()> {
    let mut buffer = vec![0; 1 << 16];
    loop {
        let count = client.read(&mut buffer).await?;
        if count == 0 || is_caught(&trap, &buffer[..count]) {
            return Ok(());
        }
        broker.write_all(&buffer[..count]).await?;
    }
}

fn is_caught(trap: &Trap, said: &[u8]) -> bool {
    let caught = |words: &mut &[u8]| said.windows(words.len()).any(|window| window == *words);
    trap.lock().unwrap().take_if(caught).is_some()
}

async fn answer(
    mut broker: OwnedReadHalf,
    mut client: OwnedWriteHalf,
    mut said: broadcast::Receiver<Vec<u8>>,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 1 << 16];
    loop {
        tokio::select! {
            count = broker.read(&mut buffer) => match count? {
                0 => return Ok(()),
                count => client.write_all(&buffer[..count]).await?,
            },
            Ok(bytes) = said.recv() => client.write_all(&bytes).await?,
        }
    }
}
