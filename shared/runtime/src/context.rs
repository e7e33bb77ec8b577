//! What every part of a running process shares.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use artifacts::{ArtifactSettingsError, Artifacts};
use bus::{Bus, Delivery, Queue};
use store::{Store, StoreError, server};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::declarations::Cache;
use crate::questions::Here;
use crate::{Readiness, Settings, clock, http, relay, telemetry};

/// Work that can be woken inside this process. A nudge is a hint: what it misses, the sweep finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nudge {
    /// Events were written.
    Events,
    /// Payments for online payees are due.
    Payments,
    /// Payments for payees' databases are due.
    Entries,
    /// A register may be due, or one waits to be built.
    Registers,
    /// A mail waits.
    Mails,
    /// People should be told of something.
    Notices,
    /// A card file waits.
    Imports,
    /// Holds ran out.
    Expiry,
    /// A parked fact was put back.
    Parked,
    /// Leases ran out.
    Leases,
    /// A payee that is down may be asked again.
    Probes,
    /// An operator began an act on many payments.
    Acts,
}

const NUDGES: usize = 12;

/// What every part of a running process shares. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Context {
    /// As read at the start.
    pub settings: Arc<Settings>,
    /// The database.
    pub store: Store,
    /// Built files, in the database or outside.
    pub artifacts: Artifacts,
    /// The broker.
    pub bus: Bus,
    /// Cancelled when the process should end.
    pub shutdown: CancellationToken,
    /// Everything that must finish before it does.
    pub tasks: TaskTracker,
    /// Whether it can work now.
    pub readiness: Readiness,
    /// Where health and metrics are served; the port that was taken when the settings left it open.
    pub http_address: SocketAddr,
    /// Names this process in attempts and leases.
    pub worker: Arc<str>,
    pub(crate) declarations: Cache,
    pub(crate) here: Here,
    nudges: Arc<[Notify; NUDGES]>,
}

impl Context {
    /// Prepares a process: pool, broker supervisor, health server, relay, and the watch over both services. Returns at
    /// once, also when database or broker are away: readiness is red until they are there.
    pub async fn start(settings: Settings, shutdown: CancellationToken) -> Result<Self, StartError> {
        telemetry::start_metrics();
        let store = Store::for_workers(&settings.store)?;
        // The broker's connections outlive the signal to end: what is in hand is still answered and acknowledged.
        let bus = Bus::start(settings.bus.clone(), CancellationToken::new());
        let readiness = Readiness::default();
        readiness.expect("database");
        readiness.expect("broker");
        let (http_address, server) = http::serve(settings.http_address, readiness.clone(), shutdown.clone())
            .await
            .map_err(|error| StartError::Http(settings.http_address.to_string(), error))?;
        let context = Self {
            worker: worker_name().into(),
            artifacts: Artifacts::new(store.clone(), &settings.artifacts)?,
            settings: Arc::new(settings),
            store,
            bus,
            shutdown,
            tasks: TaskTracker::new(),
            readiness,
            http_address,
            declarations: Cache::default(),
            here: Here::default(),
            nudges: Arc::new(std::array::from_fn(|_| Notify::new())),
        };
        tracing::info!(address = %http_address, worker = &*context.worker, "health and metrics are served");
        tokio::spawn(server);
        let watched = context.clone();
        tokio::spawn(async move { bus::persist("readiness", || watch_services(watched.clone())).await });
        relay::spawn(&context);
        Ok(context)
    }

    /// Wakes work of this process.
    pub fn nudge(&self, nudge: Nudge) {
        if nudge == Nudge::Parked {
            // Several sweeps wait for this one: all of them look.
            self.nudges[nudge as usize].notify_waiters();
        }
        self.nudges[nudge as usize].notify_one();
    }

    /// Passes a question on to who answers it: in this process where that can be, else by the queue. Never waits.
    /// It is told the declarations in memory: a batch that had been decided by older ones would not have been committed.
    pub(crate) fn forward(&self, queue: Queue, mut question: Delivery) {
        question.declared = self.declarations.known().map(|known| known.generation);
        if let Some(question) = self.here.take(queue, question) {
            self.bus.forward(queue, question);
        }
    }

    /// Waits to be woken.
    pub async fn nudged(&self, nudge: Nudge) {
        self.nudges[nudge as usize].notified().await;
    }

    /// The declarations as last read, loading them if this process has none yet or `apply` has changed them.
    pub async fn declarations(&self) -> Result<Arc<store::declarations::Declarations>, StoreError> {
        self.declarations.shared(&self.store).await
    }

    /// The same for who has asked a moment ago and goes on by what was found then, or by what has been read since.
    pub async fn declarations_just_read(&self) -> Result<Arc<store::declarations::Declarations>, StoreError> {
        match self.declarations.known() {
            Some(known) => Ok(known),
            None => self.declarations().await,
        }
    }
}

/// Why a process cannot start at all.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The database's settings can never work.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The place for large files can never be reached as it is said.
    #[error(transparent)]
    Artifacts(#[from] ArtifactSettingsError),
    /// The address for health and metrics is taken or not ours.
    #[error("UNIGATE_HTTP_ADDRESS {0}: {1}")]
    Http(String, #[source] std::io::Error),
}

/// Host, process and a random tail: two containers may share the first two.
fn worker_name() -> String {
    let host = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    let tail = &uuid::Uuid::new_v4().simple().to_string()[..6];
    format!("{}/{}/{tail}", host.trim(), std::process::id())
}

/// How often the services are looked at: an orchestrator asks every few seconds.
const WATCH_INTERVAL: Duration = Duration::from_secs(1);
/// A database that has not answered within this is not there, whatever its connections say.
const PING_LIMIT: Duration = Duration::from_secs(5);

async fn watch_services(context: Context) {
    let mut logged_version = false;
    loop {
        let looked = tokio::time::timeout(PING_LIMIT, server::clock_ahead(&context.store)).await;
        let database = match looked {
            Ok(Ok(ahead)) => {
                clock::compared(ahead);
                None
            }
            Ok(Err(error)) => Some(error.to_string()),
            Err(_) => Some(format!("no answer within {PING_LIMIT:?}")),
        };
        if !logged_version
            && database.is_none()
            && let Ok(Ok(version)) = tokio::time::timeout(PING_LIMIT, context.store.server_version()).await
        {
            tracing::info!(version, "PostgreSQL");
            logged_version = true;
        }
        context.readiness.set("database", database);
        let broker = if context.bus.ready() {
            None
        } else {
            Some("not connected, or its topology is not there".into())
        };
        context.readiness.set("broker", broker);
        tokio::select! {
            () = context.shutdown.cancelled() => return,
            () = tokio::time::sleep(WATCH_INTERVAL) => {}
        }
    }
}
