//! Which settings are used, and where each came from. Values that may hold a password are shown without it.

use runtime::Settings;
use runtime::settings::environment;
use secrecy::{ExposeSecret, SecretString};
use url::Url;

use super::Findings;

/// Variables that are read besides those of [`shown`].
const OTHERS: [&str; 5] = [
    "UNIGATE_CONFIG",
    "UNIGATE_LOG",
    "UNIGATE_LOG_FORMAT",
    "UNIGATE_OPERATOR",
    "UNIGATE_DATA_DIR",
];

pub(super) fn look(settings: &Settings, findings: &mut Findings) {
    let path = environment("UNIGATE_CONFIG").unwrap_or_else(|| "unigate.toml".to_owned());
    let values = shown(settings);
    for (name, value) in &values {
        let source = match (environment(name), settings.in_file.contains(*name)) {
            (Some(_), _) => "environment",
            (None, true) => &path,
            (None, false) => "default",
        };
        findings.ok(*name, format!("{value} ({source})"));
    }
    for name in misspelt(&values) {
        findings.warn(
            name,
            "is set, but nothing reads it",
            "look for a misspelling; `unigate doctor` lists the names",
        );
    }
    if settings.terminals_open {
        findings.warn(
            "terminals",
            "UNIGATE_TERMINALS_OPEN: whoever reaches the broker is served, as any terminal",
            "declare terminals with their broker users, and set it to false",
        );
    }
}

fn shown(settings: &Settings) -> Vec<(&'static str, String)> {
    let file = |path: &Option<std::path::PathBuf>| {
        path.as_ref()
            .map_or("none".to_owned(), |path| path.display().to_string())
    };
    let Settings {
        store, bus, artifacts, ..
    } = settings;
    let or_none = |value: Option<String>| value.unwrap_or_else(|| "none".to_owned());
    let limit = |limit: Option<u32>| or_none(limit.map(|most| most.to_string()));
    let secret = |value: &Option<SecretString>| value.as_ref().map_or("none", |_| "set").to_owned();
    vec![
        ("UNIGATE_DATABASE_URL", without_password(&store.url)),
        ("UNIGATE_DATABASE_CA_FILE", file(&store.ca_file)),
        ("UNIGATE_DATABASE_POOL", store.pool_size.to_string()),
        ("UNIGATE_BROKER_URL", without_password(&bus.url)),
        ("UNIGATE_BROKER_NAMESPACE", bus.namespace.clone()),
        ("UNIGATE_BROKER_CA_FILE", file(&bus.ca_file)),
        ("UNIGATE_BROKER_APPLY_TOPOLOGY", bus.apply_topology.to_string()),
        ("UNIGATE_HTTP_ADDRESS", settings.http_address.to_string()),
        (
            "UNIGATE_SMTP_URL",
            settings.smtp_url.as_ref().map_or("none".to_owned(), without_password),
        ),
        ("UNIGATE_SMTP_CA_FILE", file(&settings.smtp_ca_file)),
        ("UNIGATE_MAIL_FROM", settings.mail_from.clone()),
        ("UNIGATE_ALERT_MAIL_TO", settings.alert_mail_to.join(", ")),
        (
            "UNIGATE_ALERT_MAIL_SECONDS",
            settings.alert_mail_pause.as_secs().to_string(),
        ),
        ("UNIGATE_ARTIFACTS_URL", or_none(artifacts.url.clone())),
        ("UNIGATE_ARTIFACTS_ABOVE_BYTES", artifacts.above_bytes.to_string()),
        ("UNIGATE_ARTIFACTS_S3_ENDPOINT", or_none(artifacts.s3.endpoint.clone())),
        ("UNIGATE_ARTIFACTS_S3_REGION", artifacts.s3.region.clone()),
        (
            "UNIGATE_ARTIFACTS_S3_ACCESS_KEY_ID",
            or_none(artifacts.s3.access_key_id.clone()),
        ),
        (
            "UNIGATE_ARTIFACTS_S3_SECRET_ACCESS_KEY",
            secret(&artifacts.s3.secret_access_key),
        ),
        (
            "UNIGATE_VAULT_IDENTITY_FILE",
            settings.vault_identity_file.display().to_string(),
        ),
        (
            "UNIGATE_VAULT_IDENTITY",
            settings.vault_identity.as_ref().map_or("none", |_| "***").to_owned(),
        ),
        ("UNIGATE_PGP_KEY_FILE", file(&settings.pgp_key_file)),
        ("UNIGATE_PGP_KEY_PASSWORD", secret(&settings.pgp_key_password)),
        ("UNIGATE_DECLARED_PLACES", anywhere(&settings.declared_places)),
        ("UNIGATE_TERMINALS_OPEN", settings.terminals_open.to_string()),
        ("UNIGATE_TERMINAL_HOLDS", limit(settings.terminal_limits.holds)),
        (
            "UNIGATE_TERMINAL_SALES_PER_HOUR",
            limit(settings.terminal_limits.sales_per_hour),
        ),
        (
            "UNIGATE_TERMINAL_UNSOLD_PER_HOUR",
            limit(settings.terminal_limits.unsold_per_hour),
        ),
        (
            "UNIGATE_SWEEP_SECONDS",
            settings.sweep_interval.as_secs_f64().to_string(),
        ),
    ]
}

fn anywhere(places: &[std::path::PathBuf]) -> String {
    let places: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
    if places.is_empty() {
        "anywhere".to_owned()
    } else {
        places.join(",")
    }
}

/// A URL that cannot be read is not shown at all: who knows where its password stands.
fn without_password(url: &SecretString) -> String {
    let Ok(mut url) = Url::parse(url.expose_secret()) else {
        return "not a URL".to_owned();
    };
    let has_password = url.password().is_some() || url.query_pairs().any(|(name, _)| name == "password");
    if has_password {
        let kept: Vec<(String, String)> = url
            .query_pairs()
            .filter(|(name, _)| name != "password")
            .map(|(k, v)| (k.into(), v.into()))
            .collect();
        url.set_query(None);
        if !kept.is_empty() {
            url.query_pairs_mut().extend_pairs(kept);
        }
        // It has a host, or it would have no password.
        let _ = url.set_password(Some("***"));
    }
    url.to_string()
}

/// Names in the environment that look like settings and are none.
fn misspelt(values: &[(&str, String)]) -> Vec<String> {
    let known = |name: &str| OTHERS.contains(&name) || values.iter().any(|(known, _)| *known == name);
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let mut wrong: Vec<String> = names
        .filter(|name| name.starts_with("UNIGATE_") && !known(name))
        .collect();
    wrong.sort();
    wrong
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_setting_that_is_read_is_called_misspelt() {
        let asked = RefCell::new(BTreeSet::new());
        let settings = Settings::from_lookup(|name| {
            asked.borrow_mut().insert(name.to_owned());
            None
        });
        let values = shown(&settings.unwrap());
        let known: BTreeSet<&str> = values.iter().map(|(name, _)| *name).chain(OTHERS).collect();
        let asked = asked.into_inner();
        let missing: Vec<&String> = asked
            .iter()
            .filter(|name| name.starts_with("UNIGATE_") && !known.contains(name.as_str()))
            .collect();
        assert!(asked.len() > 20 && missing.is_empty(), "{missing:?}");
    }

    #[test]
    fn passwords_are_not_shown() {
        for (url, shown) in [
            (
                "postgres://u:hunter2@h:5432/d?sslmode=require",
                "postgres://u:***@h:5432/d?sslmode=require",
            ),
            (
                "postgres://u@h/d?password=hunter2&sslmode=require",
                "postgres://u:***@h/d?sslmode=require",
            ),
            ("amqp://guest@h/%2f", "amqp://guest@h/%2f"),
            ("host=h password=hunter2", "not a URL"),
        ] {
            assert_eq!(without_password(&SecretString::from(url)), shown);
        }
    }
}
