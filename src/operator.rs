//! Who acts, and on what: the settings, the database and the operator's name that every command needs.

use std::os::unix::fs::MetadataExt;

use artifacts::Artifacts;
use runtime::Settings;
use runtime::settings::environment;
use secrecy::ExposeSecret;
use serde_json::json;
use store::audit::{self, Act};
use store::{Store, StoreError, StoreSettings};
use url::Url;

use crate::ending::Misconfigured;

/// An operator before an installation.
pub(crate) struct Operator {
    pub(crate) settings: Settings,
    pub(crate) store: Store,
    /// Built files.
    pub(crate) artifacts: Artifacts,
    /// As the audit log names them.
    pub(crate) who: String,
}

/// Connections a command may hold: one for its transaction, one for what has to be true outside of it, one to look.
const POOL: usize = 3;

impl Operator {
    /// Reads the settings. The database is found on first use.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let settings = load_settings()?;
        let application_name = format!("unigate[{}] operator", std::process::id());
        let store = Store::connect(&StoreSettings {
            pool_size: POOL,
            application_name,
            ..settings.store.clone()
        })?;
        Ok(Self {
            artifacts: Artifacts::new(store.clone(), &settings.artifacts)?,
            who: who(&settings),
            settings,
            store,
        })
    }
}

impl Operator {
    /// Notes in the audit log that an act was refused, and passes the refusal on.
    pub(crate) async fn denied(&self, act: Act<'_>, error: StoreError) -> anyhow::Error {
        let StoreError::Changed(why) = &error else {
            return error.into();
        };
        let act = Act {
            after: Some(json!({ "denied": why })),
            ..act
        };
        match audit::record_denied(&self.store, &act).await {
            Ok(()) => error.into(),
            Err(unrecorded) => anyhow::Error::from(unrecorded).context(error),
        }
    }
}

/// Reads the settings and makes sure that they can be used, as far as that can be told without connecting: a service that
/// is away is waited for, a setting that can never work is not.
pub(crate) fn load_settings() -> anyhow::Result<Settings> {
    let settings = Settings::load()?;
    let mut wrong = Vec::new();
    match Store::connect(&settings.store) {
        Ok(_) => {}
        Err(StoreError::Unreadable(why)) => wrong.push(why),
        Err(other) => wrong.push(other.to_string()),
    }
    if let Ok(store) = Store::connect(&settings.store)
        && let Err(error) = Artifacts::new(store, &settings.artifacts)
    {
        wrong.push(error.to_string());
    }
    if !is_broker_url(settings.bus.url.expose_secret()) {
        wrong.push("UNIGATE_BROKER_URL is not an amqp:// or amqps:// URL".to_owned());
    }
    if let Some(file) = settings.bus.ca_file.as_ref().filter(|file| !file.is_file()) {
        wrong.push(format!("UNIGATE_BROKER_CA_FILE {}: is not a file", file.display()));
    }
    if wrong.is_empty() {
        runtime::declared::confine(&settings.declared_places);
        Ok(settings)
    } else {
        Err(Misconfigured(wrong).into())
    }
}

fn is_broker_url(text: &str) -> bool {
    Url::parse(text).is_ok_and(|url| matches!(url.scheme(), "amqp" | "amqps") && url.has_host())
}

/// `UNIGATE_OPERATOR`, or the name this user has with the operating system.
fn who(settings: &Settings) -> String {
    let own = || ["USER", "LOGNAME"].into_iter().find_map(environment);
    let named = settings.operator.clone().or_else(own);
    named
        .map(|name| name.chars().filter(|c| !c.is_control()).take(100).collect())
        .unwrap_or_else(uid)
}

fn uid() -> String {
    let own = std::fs::metadata("/proc/self");
    own.map_or_else(|_| "unknown".to_owned(), |own| format!("uid {}", own.uid()))
}

/// Why an operator does something, as it is put into the audit log: 1 to 500 characters in a line.
pub(crate) fn reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    let fits = !text.is_empty() && text.chars().count() <= 500 && !text.chars().any(char::is_control);
    if fits {
        Ok(text.to_owned())
    } else {
        Err("1 to 500 characters without control characters".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn broker_urls_are_told_from_others() {
        for url in [
            "amqp://guest:guest@127.0.0.1:5672/%2f",
            "amqps://broker.example",
            "amqp://[::1]/v",
        ] {
            assert!(is_broker_url(url), "{url}");
        }
        for url in ["", "broker:5672", "http://broker/", "amqp:", "amqp://u:p@h:99999"] {
            assert!(!is_broker_url(url), "{url}");
        }
    }

    #[test]
    fn an_operator_has_a_name() {
        let nameless = Settings::from_lookup(|_| None).unwrap();
        assert!(!who(&nameless).is_empty());
        let named = Settings {
            operator: Some("anna\u{7}".to_owned()),
            ..nameless
        };
        assert_eq!(who(&named), "anna");
        assert!(uid().starts_with("uid "));
    }
}
