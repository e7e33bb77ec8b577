//! `compose.yaml`, as the programs in its containers read it. Whether it is well-formed, `docker compose config` says.

use std::collections::BTreeMap;

use runtime::Settings;
use secrecy::ExposeSecret;

const COMPOSE: &str = include_str!("../../compose.yaml");
const EXAMPLE: &str = include_str!("../../deploy/env.example");

/// A value as it is when nothing is set but what has to be.
fn filled_in(value: &str) -> String {
    let Some((before, rest)) = value.split_once("${") else {
        return value.to_owned();
    };
    let (variable, after) = rest.split_once('}').unwrap();
    let inside = variable.split_once(":-").map_or("secret", |(_, default)| default);
    format!("{before}{inside}{}", filled_in(after))
}

/// The settings of all services together.
fn settings() -> BTreeMap<&'static str, String> {
    let named = COMPOSE.lines().filter_map(|line| {
        line.trim()
            .split_once(": ")
            .filter(|(name, _)| name.starts_with("UNIGATE_"))
    });
    named.map(|(name, value)| (name, filled_in(value))).collect()
}

#[test]
fn its_settings_are_accepted_as_they_are() {
    let given = settings();
    let lookup = |name: &str| given.get(name).cloned().filter(|value| !value.is_empty());
    let settings = Settings::from_lookup(|name| match name {
        "UNIGATE_CONFIG" => Some("/dev/null".into()),
        name => lookup(name),
    })
    .unwrap();
    assert_eq!(
        settings.bus.url.expose_secret(),
        "amqp://unigate:secret@broker:5672/%2f"
    );
    assert!(settings.http_address.ip().is_unspecified());
    mailer::check_from(&settings).unwrap();
    assert!(mailer::relay_of(&settings).unwrap().is_some());
    assert_eq!(settings.smtp_ca_file, None, "an empty variable is none");
    // The catcher speaks no TLS, and is no loopback either.
    assert_eq!(settings.smtp_url.unwrap().expose_secret(), "smtp://mail:1025?tls=none");
}

#[test]
fn what_its_example_offers_reaches_a_service() {
    let offered: Vec<&str> = EXAMPLE
        .lines()
        .filter_map(|line| line.trim_start_matches('#').split_once('='))
        .map(|(name, _)| name)
        .filter(|name| name.starts_with("UNIGATE_"))
        .collect();
    assert!(offered.len() > 5, "{offered:?}");
    for name in offered {
        assert!(COMPOSE.contains(&format!("${{{name}:")), "{name} is used by nothing");
    }
}

/// What a service says of itself, up to the next one.
fn service(begins: &str) -> &'static str {
    let (_, rest) = COMPOSE.split_once(begins).unwrap();
    rest.split_once("\n\n").map_or(rest, |(own, _)| own)
}

#[test]
fn an_operator_is_named_and_has_somewhere_to_read_and_write() {
    let operator = service("\n  unigate: &operator\n");
    let needed = [
        "UNIGATE_OPERATOR: ${UNIGATE_OPERATOR:?",
        "[*environment, *mail]",
        "working_dir: /out",
        "- ./out:/out\n",
    ];
    for needed in needed {
        assert!(operator.contains(needed), "{needed}: {operator}");
    }
    let vault = service("\n  vault:\n");
    assert!(
        vault.contains("<<: *operator\n") && vault.contains("secrets: [vault_identity]"),
        "{vault}"
    );
    assert!(COMPOSE.contains("read_only: true\n  tmpfs: [\"/tmp\"]"));
}
