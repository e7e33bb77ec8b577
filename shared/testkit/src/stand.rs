//! The stand: a database and a broker namespace of its own for every test, so that all of them run at once on the
//! machine's services and touch nothing that is not theirs.
//!
//! Databases are cloned from a template that is migrated once per set of migrations. The stand removes both when it is
//! dropped, also after a failed test. Before that it searches everything of the test for secrets of cards ([`crate::leak`]), and
//! fails it when it finds any.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bus::frontend::Frontend;
use bus::{BusSettings, topology};
use runtime::Settings;
use secrecy::{ExposeSecret, SecretString};
use store::{Store, StoreSettings};

use crate::leak;

/// A database and a namespace, made for one test.
#[derive(Debug)]
pub struct Stand {
    settings: Settings,
    keep: bool,
    searched: bool,
}

impl Stand {
    /// Makes the database and the topology. `UNIGATE_DATABASE_URL` and `UNIGATE_BROKER_URL` say on which services.
    ///
    /// # Panics
    /// When a service is not there: a test that needs it cannot say anything.
    pub async fn new() -> Self {
        Self::on(Settings::load().expect("the environment's settings")).await
    }

    /// The same on the services of these settings.
    ///
    /// # Panics
    /// When a service is not there.
    pub async fn on(mut settings: Settings) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let random = uuid::Uuid::new_v4().simple().to_string();
        let name = format!(
            "unigate_test_{}_{}",
            &random[..12],
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        settings.store = with_database(&settings.store, &name);
        settings.store.pool_size = 5;
        settings.bus.namespace.clone_from(&name);
        settings.bus.apply_topology = true;
        settings.http_address = ([127, 0, 0, 1], 0).into();
        settings.terminals_open = true;
        settings.sweep_interval = Duration::from_millis(200);
        settings.smtp_url = None;
        // Not those of an installation of this machine: its files would be taken for what a lost build has left.
        settings.artifacts = Default::default();
        settings.vault_identity = None;
        settings.vault_identity_file = std::env::temp_dir().join(format!("{name}.identity"));
        store::create_from_template(&settings.store)
            .await
            .expect("a database for the test");
        topology::apply(&settings.bus).await.expect("a topology for the test");
        bus::peek::keep_events(&settings.bus)
            .await
            .expect("a queue for the test's events");
        leak::watch_log();
        Self {
            settings,
            keep: false,
            searched: true,
        }
    }

    /// The settings of a process of this stand; a test may change its copy.
    pub fn settings(&self) -> Settings {
        self.settings.clone()
    }

    /// The stand's database.
    pub fn store(&self) -> Store {
        Store::connect(&self.settings.store).expect("the stand's settings are usable")
    }

    /// The stand's broker.
    pub fn bus(&self) -> &BusSettings {
        &self.settings.bus
    }

    /// A front-end that publishes to it.
    ///
    /// # Panics
    /// When the broker is away.
    pub async fn frontend(&self) -> Frontend {
        Frontend::connect(&self.settings.bus)
            .await
            .expect("the broker is there")
    }

    /// The environment that makes a process of its own belong to this stand.
    pub fn environment(&self) -> Vec<(String, String)> {
        let mut environment = services_of(&self.settings);
        environment.extend([
            text("UNIGATE_DATABASE_POOL", "5"),
            text("UNIGATE_TERMINALS_OPEN", "true"),
            text("UNIGATE_SWEEP_SECONDS", "0.2"),
            path("UNIGATE_VAULT_IDENTITY_FILE", &self.settings.vault_identity_file),
        ]);
        environment
    }

    /// Where secrets of cards are that must not be there: log, metrics, processes and commands until now, the database, queues
    /// and events. A service that a test has taken away is not searched.
    pub async fn leaks(&self) -> Vec<String> {
        let mut places = match leak::places(&self.store()).await {
            Ok(places) => places,
            Err(error) => {
                tracing::warn!(%error, "the database is away and was not searched");
                Vec::new()
            }
        };
        match leak::places_at_broker(&self.settings.bus).await {
            Ok(more) => places.extend(more),
            Err(error) => tracing::warn!(%error, "the broker is away and was not searched"),
        }
        places
    }

    /// Does not fail for what is found at the end: a test has put it there.
    pub fn expect_leaks(&mut self) {
        self.searched = false;
    }

    /// Leaves everything in place when dropped, to look at a failure.
    pub fn keep(&mut self) {
        self.keep = true;
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        let (settings, searched) = (self.settings.clone(), self.searched);
        let last = Self {
            settings: settings.clone(),
            keep: true,
            searched,
        };
        // The test's own runtime may be gone or single-threaded: a thread with a runtime of its own cleans up.
        let cleaning = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let places = runtime.block_on(async {
                let places = if searched { last.leaks().await } else { Vec::new() };
                let _ = bus::peek::forget_events(&settings.bus).await;
                let _ = topology::delete(&settings.bus).await;
                let _ = store::drop_database(&settings.store).await;
                let _ = std::fs::remove_file(&settings.vault_identity_file);
                places
            });
            std::io::Result::Ok(places)
        });
        // A test that fails already says why.
        if let Ok(Ok(places)) = cleaning.join()
            && !std::thread::panicking()
        {
            leak::fail_for(&places);
        }
    }
}

/// The environment in which a process that is kept apart ([`crate::process::keep_apart`]) works on the services of these
/// settings, in their database and namespace.
pub fn services_of(settings: &Settings) -> Vec<(String, String)> {
    let mut environment = vec![
        text("UNIGATE_DATABASE_URL", settings.store.url.expose_secret()),
        text("UNIGATE_BROKER_URL", settings.bus.url.expose_secret()),
        text("UNIGATE_BROKER_NAMESPACE", &settings.bus.namespace),
        text("UNIGATE_HTTP_ADDRESS", "127.0.0.1:0"),
    ];
    let files = [
        ("UNIGATE_DATABASE_CA_FILE", &settings.store.ca_file),
        ("UNIGATE_BROKER_CA_FILE", &settings.bus.ca_file),
    ];
    environment.extend(files.iter().filter_map(|(name, file)| Some(path(name, file.as_ref()?))));
    environment
}

fn text(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

fn path(name: &str, value: &Path) -> (String, String) {
    text(name, &value.display().to_string())
}

/// The same server, another database.
pub fn with_database(settings: &StoreSettings, name: &str) -> StoreSettings {
    let url = settings.url.expose_secret();
    let (url, options) = url
        .split_once('?')
        .map_or((url, None), |(url, options)| (url, Some(options)));
    let server = match url.splitn(4, '/').collect::<Vec<_>>()[..] {
        [scheme, "", host, ..] => format!("{scheme}//{host}"),
        _ => url.to_owned(),
    };
    let options = options.map(|options| format!("?{options}")).unwrap_or_default();
    StoreSettings {
        url: SecretString::from(format!("{server}/{name}{options}")),
        ..settings.clone()
    }
}
