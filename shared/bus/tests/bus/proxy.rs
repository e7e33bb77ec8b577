//! A TCP proxy that can be shut and opened.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::stand::broker_address;

/// In front of the broker. Connections are cut when it is shut, and refused until it is opened.
pub(crate) struct Proxy {
    pub(crate) address: SocketAddr,
    open: Arc<watch::Sender<bool>>,
}

impl Proxy {
    pub(crate) async fn start(open: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let open = Arc::new(watch::Sender::new(open));
        let state = open.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                // Dropped when shut: to the client that is a connection closed at once.
                if *state.borrow() {
                    tokio::spawn(carry(client, state.subscribe()));
                }
            }
        });
        Self { address, open }
    }

    pub(crate) fn set_open(&self, open: bool) {
        self.open.send_replace(open);
    }
}

async fn carry(mut client: TcpStream, mut open: watch::Receiver<bool>) {
    let Ok(mut broker) = TcpStream::connect(broker_address()).await else {
        return;
    };
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut client, &mut broker) => {}
        _ = open.wait_for(|open| !open) => {}
    }
}
