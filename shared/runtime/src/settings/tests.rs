//! Settings as they are said, rightly and wrongly.

use secrecy::ExposeSecret;

use super::*;

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
        (
            &[("UNIGATE_DECLARED_PLACES", "/etc/unigate, payees")][..],
            "UNIGATE_DECLARED_PLACES",
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

/// What a file with this text makes of everything.
fn of_file(name: &str, text: &str) -> Result<Settings, SettingsError> {
    let path = std::env::temp_dir().join(format!("unigate-settings-{}-{name}.toml", std::process::id()));
    std::fs::write(&path, text).unwrap();
    let read = Settings::from_lookup(|name| (name == "UNIGATE_CONFIG").then(|| path.display().to_string()));
    std::fs::remove_file(&path).unwrap();
    read
}

#[test]
fn a_file_says_a_setting_as_what_it_is() {
    let settings = of_file(
        "typed",
        "database_pool = 32\nsweep_seconds = 0.5\nbroker_apply_topology = false\nterminal_holds = \"7\"\n\
         log = \"info,unikassa=debug\"\nlog_format = \"json\"\noperator = \"anna\"\nmail_from = \"\"\n\
         [terminals]\nopen = true\n",
    );
    let settings = settings.unwrap();
    assert_eq!(
        (settings.store.pool_size, settings.terminal_limits.holds),
        (32, Some(7))
    );
    assert_eq!(settings.sweep_interval, Duration::from_millis(500));
    assert!(settings.terminals_open && !settings.bus.apply_topology);
    assert_eq!(settings.log.filter.as_deref(), Some("info,unikassa=debug"));
    assert!(settings.log.json);
    assert_eq!(settings.operator.as_deref(), Some("anna"));
    assert_eq!(settings.mail_from, "unigate@localhost", "an empty one counts as absent");
    assert!(settings.in_file.contains("UNIGATE_TERMINALS_OPEN") && !settings.in_file.contains("UNIGATE_BROKER_URL"));
    assert!(of_file("dotted", "terminals.open = true").unwrap().terminals_open);
    assert!(of_file("flat", "terminals_open = true").unwrap().terminals_open);
}

#[test]
fn what_a_file_says_wrongly_is_named() {
    for (name, text, at) in [
        ("unknown", "database_pol = 3", "database_pol"),
        ("deep", "[terminals]\nopn = true", "terminals_opn"),
        ("list", "alert_mail_to = [\"a@b.example\"]", "alert_mail_to"),
        ("case", "Database_Pool = 3", "Database_Pool"),
        (
            "twice",
            "terminals_open = true\n[terminals]\nopen = false",
            "terminals_open",
        ),
        ("fraction", "database_pool = 3.5", "UNIGATE_DATABASE_POOL"),
        ("filter", "log = \"unikassa=loud\"", "UNIGATE_LOG"),
        ("format", "log_format = \"xml\"", "UNIGATE_LOG_FORMAT"),
    ] {
        let wrong = of_file(name, text).unwrap_err();
        assert!(wrong.name.ends_with(at), "{name}: {wrong}");
    }
}

#[test]
fn beside_an_installation_only_its_servers_and_its_log_are_known() {
    let servers = [
        ("UNIGATE_DATABASE_URL", "postgres://me@db/unigate"),
        ("UNIGATE_DATABASE_CA_FILE", "db.pem"),
        ("UNIGATE_DATABASE_POOL", "3"),
        ("UNIGATE_BROKER_URL", "amqp://me@mq/%2f"),
        ("UNIGATE_BROKER_CA_FILE", "mq.pem"),
        ("UNIGATE_LOG", "debug"),
    ];
    let its_own = [
        ("UNIGATE_HTTP_ADDRESS", "0.0.0.0:9000"),
        ("UNIGATE_ARTIFACTS_URL", "file:///var/lib/unigate/artifacts"),
        ("UNIGATE_SMTP_URL", "smtp://relay.example.org"),
        ("UNIGATE_SMTP_CA_FILE", "relay.pem"),
        ("UNIGATE_MAIL_FROM", "pay@example.org"),
        ("UNIGATE_ALERT_MAIL_TO", "ops@example.org"),
        ("UNIGATE_ALERT_MAIL_SECONDS", "0"),
        ("UNIGATE_VAULT_IDENTITY_FILE", "identity.txt"),
        ("UNIGATE_VAULT_IDENTITY", "AGE-SECRET-KEY-1"),
        ("UNIGATE_PGP_KEY_FILE", "pgp.asc"),
        ("UNIGATE_PGP_KEY_PASSWORD", "x"),
        ("UNIGATE_TERMINALS_OPEN", "true"),
        ("UNIGATE_TERMINAL_HOLDS", "1"),
        ("UNIGATE_TERMINAL_SALES_PER_HOUR", "1"),
        ("UNIGATE_TERMINAL_UNSOLD_PER_HOUR", "1"),
        ("UNIGATE_SWEEP_SECONDS", "60"),
        ("UNIGATE_OPERATOR", "me"),
    ];
    let known = |pairs: &[(&str, &str)]| {
        let said = |name: &str| {
            pairs
                .iter()
                .find(|(key, _)| *key == name)
                .map(|(_, value)| (*value).to_owned())
        };
        let settings = Settings::from_lookup(said).unwrap().of_servers_alone().unwrap();
        // Secrets are not shown, but whether there are any is.
        format!("{settings:?}")
    };
    assert_eq!(known(&[&servers[..], &its_own].concat()), known(&servers));
    assert_ne!(known(&servers), known(&[]));
}
