//! A TCP proxy that breaks on command, to be put before the broker, the database, a payee or the mail server. It
//! forwards bytes and understands none of them.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::door::{Door, Guest};
use crate::lock;

/// A proxy on a free local port before one target. Dropping it drops its connections.
pub struct FaultProxy {
    /// Where to connect instead of the target.
    pub addr: SocketAddr,
    door: Door,
    faults: Arc<Faults>,
}

struct Faults {
    target: String,
    flow: watch::Sender<Flow>,
    /// Bytes that may still pass before a connection is reset: questions, answers.
    limits: [Mutex<Option<u64>>; 2],
    open: AtomicUsize,
    /// When the last byte came, from either side.
    last: Mutex<Instant>,
}

#[derive(Clone, Copy, Default)]
struct Flow {
    stalled: bool,
    delay: Duration,
}

/// Index into `Faults::limits`.
const QUESTIONS: usize = 0;
const ANSWERS: usize = 1;

/// A connection that has to end with a reset instead of an orderly close.
struct Reset;

impl FaultProxy {
    /// Starts in front of `target`, `host:port`; the target need not be there yet.
    pub async fn start(target: impl ToString) -> io::Result<Self> {
        let faults = Arc::new(Faults {
            target: target.to_string(),
            flow: watch::Sender::default(),
            limits: [Mutex::new(None), Mutex::new(None)],
            open: AtomicUsize::new(0),
            last: Mutex::new(Instant::now()),
        });
        let carried = faults.clone();
        let door = Door::open(SocketAddr::from(([127, 0, 0, 1], 0)), move |guest| {
            tokio::spawn(carry(guest, carried.clone()));
        })?;
        Ok(Self {
            addr: door.addr(),
            door,
            faults,
        })
    }

    /// Resets all connections and refuses new ones. When it returns, no byte passes any more.
    pub async fn cut(&self) {
        self.door.shut().await;
    }

    /// Stops forwarding in both directions and closes nothing: the other side seems to have fallen asleep.
    pub fn stall(&self) {
        self.faults.flow.send_modify(|flow| flow.stalled = true);
    }

    /// Holds back everything that is read for `delay` before it is passed on.
    pub fn delay(&self, delay: Duration) {
        self.faults.flow.send_modify(|flow| flow.delay = delay);
    }

    /// Resets, on both sides, the connection that carries the last of the next `bytes` bytes towards the target. Once.
    pub fn reset_after(&self, bytes: u64) {
        *lock(&self.faults.limits[QUESTIONS]) = Some(bytes);
    }

    /// The same for bytes from the target: with 0 the next answer is lost, while what was asked has arrived. Once.
    pub fn reset_answers_after(&self, bytes: u64) {
        *lock(&self.faults.limits[ANSWERS]) = Some(bytes);
    }

    /// Ends every fault: listens again, forwards at once and without limits.
    pub fn mend(&self) {
        for limit in &self.faults.limits {
            *lock(limit) = None;
        }
        self.faults.flow.send_replace(Flow::default());
        self.door
            .reopen()
            .expect("the address is held by this proxy and was listened on before");
    }

    /// For how long nothing has come from either side: whoever is connected has been idle at least nearly as long.
    pub fn quiet_for(&self) -> Duration {
        lock(&self.faults.last).elapsed()
    }

    /// How many connections are open through the proxy now.
    pub fn connections(&self) -> usize {
        self.faults.open.load(Ordering::SeqCst)
    }
}

/// Counts a connection for as long as it lives.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(open: &'a AtomicUsize) -> Self {
        open.fetch_add(1, Ordering::SeqCst);
        Self(open)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn carry(guest: Guest, faults: Arc<Faults>) {
    let Guest {
        stream: mut client,
        gone,
        stay: _stay,
    } = guest;
    let _counted = Counted::new(&faults.open);
    let target = gone.run_until_cancelled(TcpStream::connect(&faults.target));
    let Some(Ok(mut server)) = target.await else {
        let _ = client.set_zero_linger();
        return;
    };
    let _ = server.set_nodelay(true);
    let ended = {
        let (client_reads, client_writes) = client.split();
        let (server_reads, server_writes) = server.split();
        let both = async {
            tokio::try_join!(
                pump(client_reads, server_writes, &faults, QUESTIONS),
                pump(server_reads, client_writes, &faults, ANSWERS),
            )
        };
        gone.run_until_cancelled(both).await
    };
    if !matches!(ended, Some(Ok(_))) {
        // Closing with nothing lingering sends a reset instead of an orderly end.
        let _ = client.set_zero_linger();
        let _ = server.set_zero_linger();
    }
}

/// Forwards one direction until its end, which is passed on; whatever goes wrong ends both directions.
async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    faults: &Faults,
    direction: usize,
) -> Result<(), Reset> {
    let mut flow = faults.flow.subscribe();
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = from.read(&mut buffer).await.map_err(|_| Reset)?;
        *lock(&faults.last) = Instant::now();
        // Held back after reading as well, since the read may have been under way when the stall began.
        let now = *flow.wait_for(|flow| !flow.stalled).await.map_err(|_| Reset)?;
        if !now.delay.is_zero() {
            tokio::time::sleep(now.delay).await;
        }
        if read == 0 {
            return to.shutdown().await.map_err(|_| Reset);
        }
        let passes = faults.pass(direction, read);
        to.write_all(&buffer[..passes.unwrap_or(read)])
            .await
            .map_err(|_| Reset)?;
        if passes.is_some() {
            return Err(Reset);
        }
    }
}

impl Faults {
    /// `Some(n)`: only `n` of these bytes pass, then the connection is reset and the limit is spent.
    fn pass(&self, direction: usize, bytes: usize) -> Option<usize> {
        let mut limit = lock(&self.limits[direction]);
        let left = limit.as_mut()?;
        match usize::try_from(*left) {
            Ok(last) if last <= bytes => {
                *limit = None;
                Some(last)
            }
            _ => {
                *left -= bytes as u64;
                None
            }
        }
    }
}

#[cfg(test)]
mod tests;
