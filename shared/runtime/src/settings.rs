//! Settings: the environment over `unigate.toml` over defaults, read once.
//!
//! Every field names its variable. Secrets are in types that do not print.

mod artifacts;
mod log;
mod source;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ::artifacts::ArtifactSettings;
use bus::BusSettings;
use domain::declaration::{TerminalLimits, parse_mail_address};
use secrecy::SecretString;
use store::StoreSettings;

pub use self::log::LogSettings;
use self::source::Source;

/// Everything a process of ours is told from outside.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `UNIGATE_DATABASE_URL`, `UNIGATE_DATABASE_CA_FILE`, `UNIGATE_DATABASE_POOL` (connections, default 16).
    pub store: StoreSettings,
    /// `UNIGATE_BROKER_URL`, `UNIGATE_BROKER_NAMESPACE`, `UNIGATE_BROKER_CA_FILE`, `UNIGATE_BROKER_APPLY_TOPOLOGY`
    /// (default true: `run` declares what is missing; false where its broker user may not).
    pub bus: BusSettings,
    /// `UNIGATE_HTTP_ADDRESS`: where `/healthz`, `/readyz` and `/metrics` are served. Port 0 takes a free one.
    pub http_address: SocketAddr,
    /// `UNIGATE_ARTIFACTS_URL` and its kin: where large files of registers go. Who builds, mails or saves them asks.
    pub artifacts: ArtifactSettings,
    /// `UNIGATE_SMTP_URL`: `smtp://[user:password@]host:port[?tls=none|starttls|required]` or `smtps://…`. Without it
    /// registers are built and wait to be mailed.
    pub smtp_url: Option<SecretString>,
    /// `UNIGATE_SMTP_CA_FILE`: PEM: who may have signed the relay's certificate, instead of the system's authorities.
    pub smtp_ca_file: Option<PathBuf>,
    /// `UNIGATE_MAIL_FROM`: the sender of registers and alerts.
    pub mail_from: String,
    /// `UNIGATE_ALERT_MAIL_TO`: who is told of everything that needs attention, separated by commas. Only the mailer asks.
    pub alert_mail_to: Vec<String>,
    /// `UNIGATE_ALERT_MAIL_SECONDS`: the least time between two mails of alerts to anybody, 0 to 86400, default 600. What
    /// happens meanwhile goes together.
    pub alert_mail_pause: Duration,
    /// `UNIGATE_VAULT_IDENTITY_FILE`: the age identity that opens the cards. Only the cards worker needs it.
    pub vault_identity_file: PathBuf,
    /// `UNIGATE_VAULT_IDENTITY`: the identity itself (or several, a line each), where secrets come as variables. It goes
    /// before the file.
    pub vault_identity: Option<SecretString>,
    /// `UNIGATE_PGP_KEY_FILE`: the OpenPGP secret key that opens issuers' files, and `UNIGATE_PGP_KEY_PASSWORD`, where the key
    /// has one. Only the cards worker needs them.
    pub pgp_key_file: Option<PathBuf>,
    /// See `pgp_key_file`.
    pub pgp_key_password: Option<SecretString>,
    /// `UNIGATE_DECLARED_PLACES`: directories, or single files and programs, separated by commas: what declarations name of this
    /// host lies in them ([`crate::declared`]). Unset = anywhere.
    pub declared_places: Vec<PathBuf>,
    /// `UNIGATE_TERMINALS_OPEN`: undeclared terminals are served and `user_id` is optional. For demo and tests.
    pub terminals_open: bool,
    /// `UNIGATE_TERMINAL_HOLDS`, `…_SALES_PER_HOUR`, `…_UNSOLD_PER_HOUR`: what a terminal may take of which neither it nor its group
    /// says anything; unset = no limit.
    pub terminal_limits: TerminalLimits,
    /// `UNIGATE_SWEEP_SECONDS`: how often the database is searched for what no message woke, 0.05 to 60, default 2.
    pub sweep_interval: Duration,
    /// `UNIGATE_LOG`, `UNIGATE_LOG_FORMAT`.
    pub log: LogSettings,
    /// `UNIGATE_OPERATOR`: who acts, for the audit log, instead of the user's name.
    pub operator: Option<String>,
    /// The variables that `unigate.toml` says something of.
    pub in_file: BTreeSet<String>,
}

/// A setting that cannot be used; exit code 64.
#[derive(Debug, thiserror::Error)]
#[error("{name}: {why}")]
pub struct SettingsError {
    /// The variable, or the file's path and place.
    pub name: String,
    /// What is wrong with it, without its value where that may be secret.
    pub why: String,
}

fn wrong(name: &str, why: impl ToString) -> SettingsError {
    SettingsError {
        name: name.to_owned(),
        why: why.to_string(),
    }
}

impl Settings {
    /// Reads the process's environment, and the file that `UNIGATE_CONFIG` names (or `./unigate.toml` if there is one).
    pub fn load() -> Result<Self, SettingsError> {
        Self::from_lookup(environment)
    }

    /// Reads settings through `lookup`, which knows variables by their full name.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        Self::read(Source::open(lookup)?)
    }

    /// The same servers and the same log; all else as where nothing is said. For what works in a place of its own beside an
    /// installation: that one's recipients, keys and limits are not for it.
    pub fn of_servers_alone(self) -> Result<Self, SettingsError> {
        let unsaid = Self::read(Source::silent(|_| None))?;
        Ok(Self {
            store: self.store,
            bus: self.bus,
            log: self.log,
            ..unsaid
        })
    }

    fn read(source: Source<impl Fn(&str) -> Option<String>>) -> Result<Self, SettingsError> {
        let name = format!("unigate[{}]", std::process::id());
        let read = Self {
            store: StoreSettings {
                url: source
                    .secret("UNIGATE_DATABASE_URL")
                    .unwrap_or_else(|| "postgres://postgres@127.0.0.1:5432/unigate".into()),
                pool_size: source.parsed("UNIGATE_DATABASE_POOL", 16)?,
                ca_file: source.path("UNIGATE_DATABASE_CA_FILE"),
                application_name: name.clone(),
            },
            bus: BusSettings {
                url: source
                    .secret("UNIGATE_BROKER_URL")
                    .unwrap_or_else(|| "amqp://guest:guest@127.0.0.1:5672/%2f".into()),
                namespace: namespace(source.text("UNIGATE_BROKER_NAMESPACE"))?,
                name,
                ca_file: source.path("UNIGATE_BROKER_CA_FILE"),
                apply_topology: source.flag("UNIGATE_BROKER_APPLY_TOPOLOGY", true)?,
            },
            http_address: source.parsed("UNIGATE_HTTP_ADDRESS", SocketAddr::from(([127, 0, 0, 1], 8080)))?,
            artifacts: artifacts::read(&source)?,
            smtp_url: source.secret("UNIGATE_SMTP_URL"),
            smtp_ca_file: source.path("UNIGATE_SMTP_CA_FILE"),
            mail_from: source
                .text("UNIGATE_MAIL_FROM")
                .unwrap_or_else(|| "unigate@localhost".into()),
            alert_mail_to: addresses(source.text("UNIGATE_ALERT_MAIL_TO"))?,
            alert_mail_pause: alert_mail_pause(&source)?,
            vault_identity_file: source
                .path("UNIGATE_VAULT_IDENTITY_FILE")
                .unwrap_or_else(|| default_identity_file(&source)),
            vault_identity: source.secret("UNIGATE_VAULT_IDENTITY"),
            pgp_key_file: source.path("UNIGATE_PGP_KEY_FILE"),
            pgp_key_password: source.secret("UNIGATE_PGP_KEY_PASSWORD"),
            declared_places: declared_places(source.text("UNIGATE_DECLARED_PLACES"))?,
            terminals_open: source.flag("UNIGATE_TERMINALS_OPEN", false)?,
            terminal_limits: TerminalLimits {
                holds: limit(&source, "UNIGATE_TERMINAL_HOLDS")?,
                sales_per_hour: limit(&source, "UNIGATE_TERMINAL_SALES_PER_HOUR")?,
                unsold_per_hour: limit(&source, "UNIGATE_TERMINAL_UNSOLD_PER_HOUR")?,
            },
            sweep_interval: sweep_interval(&source)?,
            log: LogSettings::read(&source)?,
            operator: source.text("UNIGATE_OPERATOR"),
            in_file: BTreeSet::new(),
        };
        Ok(Self {
            in_file: source.all_known()?,
            ..read
        })
    }
}

/// A variable of the environment; an empty one counts as absent, as compose files set them.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn limit(source: &Source<impl Fn(&str) -> Option<String>>, name: &str) -> Result<Option<u32>, SettingsError> {
    match source.text(name) {
        None => Ok(None),
        Some(_) => match source.parsed(name, 0)? {
            0 => Err(wrong(name, "must be at least 1; leave it out for no limit")),
            most => Ok(Some(most)),
        },
    }
}

fn sweep_interval(source: &Source<impl Fn(&str) -> Option<String>>) -> Result<Duration, SettingsError> {
    let seconds: f64 = source.parsed("UNIGATE_SWEEP_SECONDS", 2.0)?;
    if !(0.05..=60.0).contains(&seconds) {
        return Err(wrong("UNIGATE_SWEEP_SECONDS", "must be from 0.05 to 60"));
    }
    Ok(Duration::from_secs_f64(seconds))
}

fn addresses(value: Option<String>) -> Result<Vec<String>, SettingsError> {
    let mut addresses: Vec<String> = Vec::new();
    for address in value
        .unwrap_or_default()
        .split(',')
        .map(str::trim)
        .filter(|one| !one.is_empty())
    {
        let address = parse_mail_address(address)
            .map_err(|refused| wrong("UNIGATE_ALERT_MAIL_TO", format!("`{address}`: {}", refused.why)))?;
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    Ok(addresses)
}

fn declared_places(value: Option<String>) -> Result<Vec<PathBuf>, SettingsError> {
    let value = value.unwrap_or_default();
    let places = value.split(',').map(str::trim).filter(|one| !one.is_empty());
    places
        .map(|place| match Path::new(place) {
            absolute if absolute.is_absolute() => Ok(absolute.to_owned()),
            _ => Err(wrong(
                "UNIGATE_DECLARED_PLACES",
                format!("`{place}`: is not an absolute path"),
            )),
        })
        .collect()
}

fn alert_mail_pause(source: &Source<impl Fn(&str) -> Option<String>>) -> Result<Duration, SettingsError> {
    let seconds: u32 = source.parsed("UNIGATE_ALERT_MAIL_SECONDS", 600)?;
    if seconds > 86_400 {
        return Err(wrong("UNIGATE_ALERT_MAIL_SECONDS", "must be from 0 to 86400"));
    }
    Ok(Duration::from_secs(seconds.into()))
}

/// The namespace stands in names of queues and exchanges.
fn namespace(value: Option<String>) -> Result<String, SettingsError> {
    let namespace = value.unwrap_or_else(|| "unigate".into());
    let fits = !namespace.is_empty()
        && namespace.len() <= 100
        && namespace
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if fits {
        Ok(namespace)
    } else {
        Err(wrong(
            "UNIGATE_BROKER_NAMESPACE",
            "letters, digits, `.`, `_`, `-`, at most 100",
        ))
    }
}

fn default_identity_file(source: &Source<impl Fn(&str) -> Option<String>>) -> PathBuf {
    let base = source
        .foreign("XDG_DATA_HOME")
        .map(PathBuf::from)
        .or_else(|| source.foreign("HOME").map(|home| Path::new(&home).join(".local/share")));
    base.unwrap_or_else(|| PathBuf::from("."))
        .join("unigate/vault-identity.txt")
}
