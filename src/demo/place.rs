//! Where the day is played: databases, a broker namespace and a directory of its own, under one name. Nothing else is
//! touched, and a name that is not the demo's is never deleted.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, bail};
use bus::topology;
use runtime::Settings;
use runtime::settings::environment;
use secrecy::{ExposeSecret, SecretString};
use testkit::stand::with_database;
use url::Url;

use super::books::Sites;

/// Every demo's name begins with it.
const PREFIX: &str = "unigate_demo_";

/// The place of one demo.
pub(super) struct Place {
    /// Of database, namespace and directory.
    pub(super) name: String,
    /// Mails, register files, card files, the log and the provider's database.
    pub(super) out: PathBuf,
    /// As the workers get them; the mail relay is added when it is there.
    pub(super) settings: Settings,
    /// Where payees keep their own data.
    pub(super) sites: Sites,
    /// The broker's user, if messages can name it.
    pub(super) user: Option<String>,
    /// Whether there is anything to take away.
    made: AtomicBool,
}

impl Place {
    /// Chooses a name and makes the directory; the services are not touched yet.
    pub(super) fn choose(settings: Settings, out: &Path) -> anyhow::Result<Self> {
        let name = format!("{PREFIX}{}", &uuid::Uuid::new_v4().simple().to_string()[..10]);
        let out = std::path::absolute(out.join(&name))?;
        std::fs::create_dir_all(&out).with_context(|| format!("{}", out.display()))?;
        Self::named(settings, name, out)
    }

    fn named(settings: Settings, name: String, out: PathBuf) -> anyhow::Result<Self> {
        // What an installation of this machine says else is not for the demo: its files would be taken for what a lost build
        // has left, its operators would be mailed, its limits would surprise the terminals.
        let mut settings = settings.of_servers_alone()?;
        let mariadb = environment("UNIGATE_TEST_MARIADB_URL");
        let sites = Sites::of(&settings.store, &name, mariadb.as_deref())?;
        let user = user_of(settings.bus.url.expose_secret());
        settings.store = with_database(&settings.store, &name);
        settings.bus.namespace.clone_from(&name);
        settings.bus.apply_topology = true;
        settings.http_address = ([127, 0, 0, 1], 0).into();
        settings.mail_from = "unigate@unigate.example".to_owned();
        settings.vault_identity_file = out.join("vault-identity.txt");
        // Without a name that the broker can verify, it takes everybody's word.
        settings.terminals_open = user.is_none();
        settings.sweep_interval = std::time::Duration::from_millis(500);
        Ok(Self {
            name,
            out,
            settings,
            sites,
            user,
            made: AtomicBool::new(false),
        })
    }

    /// Makes the database and the topology. What was made before a failure is taken away again.
    pub(super) async fn make(&self) -> anyhow::Result<()> {
        store::create_from_template(&self.settings.store)
            .await
            .context("a database for the demo")?;
        if let Err(error) = self.make_topology().await {
            // The broker may be away as a whole; then there is nothing of ours on it.
            let _ = self.clear().await;
            return Err(error);
        }
        self.made.store(true, Ordering::Relaxed);
        Ok(())
    }

    async fn make_topology(&self) -> anyhow::Result<()> {
        let report = topology::apply(&self.settings.bus)
            .await
            .context("queues and exchanges for the demo")?;
        match report.differences.first() {
            Some(difference) => bail!("the topology is not as it should be: {difference}"),
            None => Ok(()),
        }
    }

    /// Whether there is anything to take away.
    pub(super) fn is_made(&self) -> bool {
        self.made.load(Ordering::Relaxed)
    }

    /// Takes databases, topology and the vault's identity away; the rest of the directory stays, to be looked at.
    pub(super) async fn clear(&self) -> anyhow::Result<()> {
        let topology = topology::delete(&self.settings.bus)
            .await
            .context("deleting the demo's queues and exchanges");
        let database = store::drop_database(&self.settings.store)
            .await
            .context("dropping the demo's database");
        let payees = self.sites.clear().await.context("dropping the payees' databases");
        let identity = std::fs::remove_file(&self.settings.vault_identity_file);
        if let Err(error) = identity
            && error.kind() != std::io::ErrorKind::NotFound
        {
            return Err(error).context("deleting the demo's vault identity");
        }
        topology.and(database).and(payees)
    }

    /// What somebody has to export to look at it with the operator's commands.
    pub(super) fn environment(&self) -> Vec<String> {
        let secret = |name: &str, url: &SecretString| {
            let Ok(mut url) = Url::parse(url.expose_secret()) else {
                return format!("export {name}=…");
            };
            // The one password everybody knows may be shown.
            if url.password().is_some_and(|password| password != "guest") {
                let _ = url.set_password(Some("PASSWORD"));
            }
            format!("export {name}='{url}'")
        };
        vec![
            secret("UNIGATE_DATABASE_URL", &self.settings.store.url),
            secret("UNIGATE_BROKER_URL", &self.settings.bus.url),
            format!("export UNIGATE_BROKER_NAMESPACE={}", self.name),
            format!(
                "export UNIGATE_VAULT_IDENTITY_FILE='{}'",
                self.settings.vault_identity_file.display()
            ),
        ]
    }
}

/// Takes away a demo that was kept, with its files. Returns whether there were any below `out`.
pub(super) async fn remove(settings: Settings, name: &str, out: &Path) -> anyhow::Result<bool> {
    let tail = name.strip_prefix(PREFIX).unwrap_or_default();
    if tail.is_empty() || !tail.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        bail!("`{name}` is no demo's name; they begin with {PREFIX}");
    }
    let files = out.join(name);
    Place::named(settings, name.to_owned(), files.clone())?.clear().await?;
    match std::fs::remove_dir_all(&files) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error).with_context(|| format!("{}", files.display())),
    }
}

/// The user as AMQP's `user_id` has to name it. An encoded one is left alone.
fn user_of(broker_url: &str) -> Option<String> {
    let url = Url::parse(broker_url).ok()?;
    match url.username() {
        "" => Some("guest".to_owned()),
        user if user.contains('%') => None,
        user => Some(user.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(pairs: &'static [(&'static str, &'static str)]) -> Place {
        let lookup = |name: &str| {
            pairs
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        };
        Place::named(
            Settings::from_lookup(lookup).unwrap(),
            "unigate_demo_x".into(),
            PathBuf::from("out"),
        )
        .unwrap()
    }

    #[test]
    fn only_the_database_and_the_namespace_are_others() {
        let place = place(&[(
            "UNIGATE_DATABASE_URL",
            "postgres://me:hunter2@db:5433/unigate?sslmode=disable",
        )]);
        let url = place.settings.store.url.expose_secret();
        assert_eq!(url, "postgres://me:hunter2@db:5433/unigate_demo_x?sslmode=disable");
        assert_eq!(place.settings.bus.namespace, "unigate_demo_x");
        assert_eq!(place.user.as_deref(), Some("guest"));
        let shown = place.environment().join("\n");
        assert!(!shown.contains("hunter2") && shown.contains("PASSWORD"), "{shown}");
    }

    #[test]
    fn nothing_of_an_installation_but_its_servers_is_the_demos() {
        let place = place(&[
            ("UNIGATE_ARTIFACTS_URL", "file:///var/lib/unigate/artifacts"),
            ("UNIGATE_ALERT_MAIL_TO", "ops@example.org"),
            ("UNIGATE_SMTP_CA_FILE", "/etc/unigate/relay.pem"),
            ("UNIGATE_TERMINAL_HOLDS", "1"),
            ("UNIGATE_PGP_KEY_FILE", "/etc/unigate/pgp.asc"),
        ]);
        let settings = &place.settings;
        assert_eq!(settings.artifacts.url, None);
        assert!(settings.alert_mail_to.is_empty() && settings.smtp_ca_file.is_none());
        assert_eq!(settings.terminal_limits, Default::default());
        assert_eq!(settings.pgp_key_file, None);
    }

    #[test]
    fn a_user_that_cannot_be_named_leaves_the_terminals_open() {
        let place = place(&[("UNIGATE_BROKER_URL", "amqp://p%40ul:x@mq/%2f")]);
        assert!(place.user.is_none() && place.settings.terminals_open);
    }

    #[tokio::test]
    async fn nothing_else_is_ever_removed() {
        let settings = || Settings::from_lookup(|_| None).unwrap();
        for name in [
            "",
            "unigate",
            "unigate_demo_",
            "unigate_demo_a;b",
            "postgres",
            "unigate_test_1",
        ] {
            assert!(
                remove(settings(), name, Path::new("out"))
                    .await
                    .unwrap_err()
                    .to_string()
                    .contains("no demo's name")
            );
        }
    }
}
