//! Settings: the environment over `unigate.toml` over defaults, read once.
//!
//! Every field names its variable. Secrets are in types that do not print.

mod artifacts;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ::artifacts::ArtifactSettings;
use bus::BusSettings;
use domain::declaration::{TerminalLimits, parse_mail_address};
use secrecy::SecretString;
use serde::Deserialize;
use store::StoreSettings;

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
    /// `UNIGATE_TERMINALS_OPEN`: undeclared terminals are served and `user_id` is optional. For demo and tests.
    pub terminals_open: bool,
    /// `UNIGATE_TERMINAL_HOLDS`, `…_SALES_PER_HOUR`, `…_UNSOLD_PER_HOUR`: what a terminal may take of which neither it nor its group
    /// says anything; unset = no limit.
    pub terminal_limits: TerminalLimits,
    /// `UNIGATE_SWEEP_SECONDS`: how often the database is searched for what no message woke, 0.05 to 60, default 2.
    pub sweep_interval: Duration,
}

/// `unigate.toml`: the same settings as the variables, without the prefix and in lower case.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    artifacts_url: Option<String>,
    artifacts_above_bytes: Option<String>,
    artifacts_s3_endpoint: Option<String>,
    artifacts_s3_region: Option<String>,
    artifacts_s3_access_key_id: Option<String>,
    artifacts_s3_secret_access_key: Option<String>,
    database_url: Option<String>,
    database_ca_file: Option<String>,
    database_pool: Option<String>,
    broker_url: Option<String>,
    broker_namespace: Option<String>,
    broker_ca_file: Option<String>,
    broker_apply_topology: Option<String>,
    http_address: Option<String>,
    smtp_url: Option<String>,
    smtp_ca_file: Option<String>,
    mail_from: Option<String>,
    alert_mail_to: Option<String>,
    alert_mail_seconds: Option<String>,
    vault_identity_file: Option<String>,
    vault_identity: Option<String>,
    pgp_key_file: Option<String>,
    pgp_key_password: Option<String>,
    terminals_open: Option<String>,
    terminal_holds: Option<String>,
    terminal_sales_per_hour: Option<String>,
    terminal_unsold_per_hour: Option<String>,
    sweep_seconds: Option<String>,
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
        let file = match lookup("UNIGATE_CONFIG") {
            Some(path) => read_file(Path::new(&path))?,
            None if Path::new("unigate.toml").exists() => read_file(Path::new("unigate.toml"))?,
            None => File::default(),
        };
        let get = |name: &str, from_file: &Option<String>| lookup(name).or_else(|| from_file.clone());
        let namespace = get("UNIGATE_BROKER_NAMESPACE", &file.broker_namespace).unwrap_or_else(|| "unigate".into());
        check_namespace(&namespace)?;
        let name = format!("unigate[{}]", std::process::id());
        Ok(Self {
            store: StoreSettings {
                url: SecretString::from(
                    get("UNIGATE_DATABASE_URL", &file.database_url)
                        .unwrap_or_else(|| "postgres://postgres@127.0.0.1:5432/unigate".into()),
                ),
                pool_size: parsed(
                    "UNIGATE_DATABASE_POOL",
                    get("UNIGATE_DATABASE_POOL", &file.database_pool),
                    16,
                )?,
                ca_file: get("UNIGATE_DATABASE_CA_FILE", &file.database_ca_file).map(PathBuf::from),
                application_name: name.clone(),
            },
            bus: BusSettings {
                url: SecretString::from(
                    get("UNIGATE_BROKER_URL", &file.broker_url)
                        .unwrap_or_else(|| "amqp://guest:guest@127.0.0.1:5672/%2f".into()),
                ),
                namespace,
                name,
                ca_file: get("UNIGATE_BROKER_CA_FILE", &file.broker_ca_file).map(PathBuf::from),
                apply_topology: flag(
                    "UNIGATE_BROKER_APPLY_TOPOLOGY",
                    get("UNIGATE_BROKER_APPLY_TOPOLOGY", &file.broker_apply_topology),
                    true,
                )?,
            },
            http_address: parsed(
                "UNIGATE_HTTP_ADDRESS",
                get("UNIGATE_HTTP_ADDRESS", &file.http_address),
                SocketAddr::from(([127, 0, 0, 1], 8080)),
            )?,
            artifacts: artifacts::read(&file, get)?,
            smtp_url: get("UNIGATE_SMTP_URL", &file.smtp_url).map(SecretString::from),
            smtp_ca_file: get("UNIGATE_SMTP_CA_FILE", &file.smtp_ca_file).map(PathBuf::from),
            mail_from: get("UNIGATE_MAIL_FROM", &file.mail_from).unwrap_or_else(|| "unigate@localhost".into()),
            alert_mail_to: addresses(get("UNIGATE_ALERT_MAIL_TO", &file.alert_mail_to))?,
            alert_mail_pause: alert_mail_pause(get("UNIGATE_ALERT_MAIL_SECONDS", &file.alert_mail_seconds))?,
            vault_identity_file: get("UNIGATE_VAULT_IDENTITY_FILE", &file.vault_identity_file)
                .map_or_else(|| default_identity_file(&lookup), PathBuf::from),
            vault_identity: get("UNIGATE_VAULT_IDENTITY", &file.vault_identity).map(SecretString::from),
            pgp_key_file: get("UNIGATE_PGP_KEY_FILE", &file.pgp_key_file).map(PathBuf::from),
            pgp_key_password: get("UNIGATE_PGP_KEY_PASSWORD", &file.pgp_key_password).map(SecretString::from),
            terminals_open: flag(
                "UNIGATE_TERMINALS_OPEN",
                get("UNIGATE_TERMINALS_OPEN", &file.terminals_open),
                false,
            )?,
            terminal_limits: TerminalLimits {
                holds: limit(
                    "UNIGATE_TERMINAL_HOLDS",
                    get("UNIGATE_TERMINAL_HOLDS", &file.terminal_holds),
                )?,
                sales_per_hour: limit(
                    "UNIGATE_TERMINAL_SALES_PER_HOUR",
                    get("UNIGATE_TERMINAL_SALES_PER_HOUR", &file.terminal_sales_per_hour),
                )?,
                unsold_per_hour: limit(
                    "UNIGATE_TERMINAL_UNSOLD_PER_HOUR",
                    get("UNIGATE_TERMINAL_UNSOLD_PER_HOUR", &file.terminal_unsold_per_hour),
                )?,
            },
            sweep_interval: sweep_interval(get("UNIGATE_SWEEP_SECONDS", &file.sweep_seconds))?,
        })
    }
}

/// A variable of the environment; an empty one counts as absent, as compose files set them.
#[expect(clippy::disallowed_methods, reason = "the one place that reads the environment")]
pub fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn read_file(path: &Path) -> Result<File, SettingsError> {
    let place = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| wrong(&place, error))?;
    let deserializer = toml::Deserializer::parse(&text).map_err(|error| wrong(&place, error.message()))?;
    serde_path_to_error::deserialize(deserializer)
        .map_err(|error| wrong(&format!("{place}: {}", error.path()), error.inner().message()))
}

fn parsed<T: std::str::FromStr>(name: &str, value: Option<String>, default: T) -> Result<T, SettingsError>
where
    T::Err: std::fmt::Display,
{
    match value {
        None => Ok(default),
        Some(text) => text.parse().map_err(|error| wrong(name, format!("`{text}`: {error}"))),
    }
}

fn flag(name: &str, value: Option<String>, default: bool) -> Result<bool, SettingsError> {
    match value.as_deref() {
        None => Ok(default),
        Some("true" | "1" | "yes" | "on") => Ok(true),
        Some("false" | "0" | "no" | "off") => Ok(false),
        Some(other) => Err(wrong(name, format!("`{other}` is neither true nor false"))),
    }
}

fn limit(name: &str, value: Option<String>) -> Result<Option<u32>, SettingsError> {
    match value {
        None => Ok(None),
        Some(_) => match parsed(name, value, 0)? {
            0 => Err(wrong(name, "must be at least 1; leave it out for no limit")),
            most => Ok(Some(most)),
        },
    }
}

fn sweep_interval(value: Option<String>) -> Result<Duration, SettingsError> {
    let seconds: f64 = parsed("UNIGATE_SWEEP_SECONDS", value, 2.0)?;
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

fn alert_mail_pause(value: Option<String>) -> Result<Duration, SettingsError> {
    let seconds: u32 = parsed("UNIGATE_ALERT_MAIL_SECONDS", value, 600)?;
    if seconds > 86_400 {
        return Err(wrong("UNIGATE_ALERT_MAIL_SECONDS", "must be from 0 to 86400"));
    }
    Ok(Duration::from_secs(seconds.into()))
}

/// The namespace stands in names of queues and exchanges.
fn check_namespace(namespace: &str) -> Result<(), SettingsError> {
    let fits = !namespace.is_empty()
        && namespace.len() <= 100
        && namespace
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if fits {
        Ok(())
    } else {
        Err(wrong(
            "UNIGATE_BROKER_NAMESPACE",
            "letters, digits, `.`, `_`, `-`, at most 100",
        ))
    }
}

fn default_identity_file(lookup: &impl Fn(&str) -> Option<String>) -> PathBuf {
    let base = lookup("XDG_DATA_HOME")
        .map(PathBuf::from)
        .or_else(|| lookup("HOME").map(|home| Path::new(&home).join(".local/share")));
    base.unwrap_or_else(|| PathBuf::from("."))
        .join("unigate/vault-identity.txt")
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;

    fn with(pairs: &'static [(&'static str, &'static str)]) -> Result<Settings, SettingsError> {
        Settings::from_lookup(|name| {
            pairs
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn defaults_are_those_of_the_contract() {
        let settings = with(&[]).unwrap();
        assert_eq!(
            settings.store.url.expose_secret(),
            "postgres://postgres@127.0.0.1:5432/unigate"
        );
        assert_eq!(
            settings.bus.url.expose_secret(),
            "amqp://guest:guest@127.0.0.1:5672/%2f"
        );
        assert_eq!(settings.bus.namespace, "unigate");
        assert_eq!(settings.http_address.to_string(), "127.0.0.1:8080");
        assert!(!settings.terminals_open);
        assert!(settings.alert_mail_to.is_empty());
        let told = with(&[("UNIGATE_ALERT_MAIL_TO", " a@b.example,c@d.example, a@b.example ,")]).unwrap();
        assert_eq!(told.alert_mail_to, ["a@b.example", "c@d.example"]);
    }

    #[test]
    fn a_wrong_value_names_its_variable() {
        for (pairs, name) in [
            (&[("UNIGATE_HTTP_ADDRESS", "nowhere")][..], "UNIGATE_HTTP_ADDRESS"),
            (&[("UNIGATE_TERMINALS_OPEN", "maybe")][..], "UNIGATE_TERMINALS_OPEN"),
            (&[("UNIGATE_BROKER_NAMESPACE", "a b")][..], "UNIGATE_BROKER_NAMESPACE"),
            (&[("UNIGATE_SWEEP_SECONDS", "0")][..], "UNIGATE_SWEEP_SECONDS"),
            (
                &[("UNIGATE_ALERT_MAIL_TO", "a@b.example, c")][..],
                "UNIGATE_ALERT_MAIL_TO",
            ),
            (
                &[("UNIGATE_ALERT_MAIL_SECONDS", "-1")][..],
                "UNIGATE_ALERT_MAIL_SECONDS",
            ),
            (&[("UNIGATE_TERMINAL_HOLDS", "0")][..], "UNIGATE_TERMINAL_HOLDS"),
            (
                &[("UNIGATE_TERMINAL_SALES_PER_HOUR", "-1")][..],
                "UNIGATE_TERMINAL_SALES_PER_HOUR",
            ),
            (&[("UNIGATE_CONFIG", "no-such-file.toml")][..], "no-such-file.toml"),
        ] {
            assert_eq!(with(pairs).unwrap_err().name, name);
        }
    }

    #[test]
    fn secrets_do_not_print() {
        let settings = with(&[
            ("UNIGATE_BROKER_URL", "amqp://u:hunter2@h"),
            ("UNIGATE_SMTP_URL", "smtp://u:hunter2@h"),
            ("UNIGATE_VAULT_IDENTITY", "AGE-SECRET-KEY-1hunter2"),
            ("UNIGATE_PGP_KEY_PASSWORD", "hunter2"),
        ]);
        assert!(!format!("{:?}", settings.unwrap()).contains("hunter2"));
    }
}
