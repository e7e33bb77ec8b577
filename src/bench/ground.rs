//! The grounds that benchmarks work on: databases and namespaces of their own, and whatever works on them in this process.
//! All of them are known from before they are made until they are gone, so that they are taken away in one place, whatever
//! came of the measurement.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use bus::topology;
use runtime::{Context, Settings, end_within};
use store::{Store, StoreSettings};
use testkit::process::keep_apart;
use testkit::stand::{services_of, with_database};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long what works on a ground may take to end after a measurement that was broken off, the copy of a large database
/// among it.
const ENDS_WITHIN: Duration = Duration::from_secs(60);
/// Files of a ground, by how their names end.
pub(super) const IDENTITY: &str = "identity";
pub(super) const CARD_FILE: &str = "csv";

/// Where grounds are made, and all that there are. Cheap to clone.
#[derive(Clone)]
pub(super) struct Grounds {
    settings: Settings,
    there: Arc<Mutex<Vec<Made>>>,
}

/// What there is of a ground.
#[derive(Clone)]
struct Made {
    settings: Settings,
    /// Ends whatever works on it in this process.
    stop: CancellationToken,
    /// Workers that were started on it …
    contexts: Arc<Mutex<Vec<Context>>>,
    /// … and what else has to end before it is taken away.
    tasks: TaskTracker,
}

/// A database and a namespace for one measurement.
pub(super) struct Ground {
    pub(super) settings: Settings,
    pub(super) store: Store,
    made: Made,
    there: Arc<Mutex<Vec<Made>>>,
}

impl Grounds {
    /// None yet; on the servers of these settings. An installation's limits and secrets would be measured otherwise.
    pub(super) fn new(settings: Settings) -> anyhow::Result<Self> {
        Ok(Self {
            settings: settings.of_servers_alone()?,
            there: Arc::default(),
        })
    }

    /// The same servers, with the vault's identity in this file.
    pub(super) fn with_identity(&self, file: PathBuf) -> Self {
        let mut all = self.clone();
        all.settings.vault_identity_file = file;
        all
    }

    /// Makes a ground: a database, empty or the copy of another one, and a topology.
    pub(super) async fn make(&self, purpose: &str, of: Option<&StoreSettings>) -> anyhow::Result<Ground> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let name = format!(
            "unigate_bench_{}_{}_{purpose}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let mut settings = self.settings.clone();
        settings.store = with_database(&settings.store, &name);
        settings.bus.namespace = name;
        settings.bus.apply_topology = true;
        settings.http_address = ([127, 0, 0, 1], 0).into();
        settings.terminals_open = true;
        let made = Made {
            settings: settings.clone(),
            stop: CancellationToken::new(),
            contexts: Arc::default(),
            tasks: TaskTracker::new(),
        };
        // What is made by halves is taken away, too.
        lock(&self.there).push(made.clone());
        // A server goes on making a database when nobody waits for it any more: then whoever takes it away does.
        let (to, of) = (settings.store.clone(), of.cloned());
        let making = made.tasks.spawn(async move {
            match of {
                Some(source) => store::rehearsal::copy_database(&source, &to).await,
                None => store::create_from_template(&to).await,
            }
        });
        making.await?.context("a database for the benchmark")?;
        topology::apply(&settings.bus)
            .await
            .context("a topology for the benchmark")?;
        let store = Store::connect(&settings.store)?;
        Ok(Ground {
            settings,
            store,
            made,
            there: self.there.clone(),
        })
    }

    /// Takes away what is still there, the latest first. What cannot be taken away keeps nothing else; the first error is
    /// returned.
    pub(super) async fn clear(&self) -> anyhow::Result<()> {
        let left: Vec<Made> = lock(&self.there).drain(..).rev().collect();
        let mut cleared = Ok(());
        for made in left {
            cleared = cleared.and(made.clear().await);
        }
        cleared
    }
}

impl Ground {
    /// Starts a process like any other on it, in this one. It ends with the ground; whoever holds the context longer holds
    /// connections to a database that goes.
    pub(super) async fn start(&self) -> anyhow::Result<Context> {
        let context = Context::start(self.settings.clone(), self.made.stop.child_token()).await?;
        lock(&self.made.contexts).push(context.clone());
        context.bus.wait_ready().await;
        Ok(context)
    }

    /// `unigate` with these arguments as a process of its own on it, apart from any installation. It ends with whoever waits
    /// for it.
    pub(super) fn command(&self, arguments: &[&str]) -> anyhow::Result<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        keep_apart(&mut command)
            .args(arguments)
            .envs(services_of(&self.settings))
            .env("UNIGATE_VAULT_IDENTITY_FILE", &self.settings.vault_identity_file)
            .env("UNIGATE_LOG", "error")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true);
        Ok(command)
    }

    /// What ends tasks that work on it, and who waits for them then.
    pub(super) fn tasks(&self) -> (CancellationToken, TaskTracker) {
        (self.made.stop.child_token(), self.made.tasks.clone())
    }

    /// Where a file of it is.
    pub(super) fn file(&self, ending: &str) -> PathBuf {
        self.made.file(ending)
    }

    /// Ends what works on it and takes everything away again.
    pub(super) async fn clear(self) -> anyhow::Result<()> {
        drop(self.store);
        self.made.clear().await?;
        let name = &self.settings.bus.namespace;
        lock(&self.there).retain(|made| made.settings.bus.namespace != *name);
        Ok(())
    }
}

impl Made {
    fn file(&self, ending: &str) -> PathBuf {
        std::env::temp_dir().join(format!("{}.{ending}", self.settings.bus.namespace))
    }

    /// Workers first: they would declare again what is deleted under them.
    async fn clear(&self) -> anyhow::Result<()> {
        self.stop.cancel();
        let contexts = std::mem::take(&mut *lock(&self.contexts));
        for context in contexts {
            end_within(&context).await;
        }
        self.tasks.close();
        if tokio::time::timeout(ENDS_WITHIN, self.tasks.wait()).await.is_err() {
            tracing::warn!("some of what was measured did not end within {ENDS_WITHIN:?}");
        }
        for ending in [IDENTITY, CARD_FILE] {
            let _ = std::fs::remove_file(self.file(ending));
        }
        let name = &self.settings.bus.namespace;
        let topology = topology::delete(&self.settings.bus).await;
        let database = store::drop_database(&self.settings.store).await;
        topology.with_context(|| format!("deleting the queues and exchanges of {name}"))?;
        database.with_context(|| format!("dropping the database {name}"))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn nothing_of_an_installation_but_its_servers_is_measured() {
        let said = |name: &str| match name {
            "UNIGATE_BROKER_URL" => Some("amqp://me:x@mq/%2f".to_owned()),
            "UNIGATE_TERMINAL_HOLDS" => Some("1".to_owned()),
            "UNIGATE_VAULT_IDENTITY" => Some("AGE-SECRET-KEY-1".to_owned()),
            "UNIGATE_SWEEP_SECONDS" => Some("60".to_owned()),
            _ => None,
        };
        let grounds = Grounds::new(Settings::from_lookup(said).unwrap()).unwrap();
        let (settings, unsaid) = (&grounds.settings, Settings::from_lookup(|_| None).unwrap());
        assert_eq!(settings.bus.url.expose_secret(), "amqp://me:x@mq/%2f");
        assert_eq!(settings.terminal_limits, unsaid.terminal_limits);
        assert_eq!(settings.sweep_interval, unsaid.sweep_interval);
        assert!(settings.vault_identity.is_none());
    }
}
