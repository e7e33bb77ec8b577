//! What a payee's profile says of its access and its pace: what is accepted, and how the rest is refused.

use super::tests::{ISP, from_toml};
use super::*;

fn with(more: &str) -> Result<Payee, Vec<String>> {
    from_toml(&format!("{}{more}", ISP.replace("allow_private = true", "")))
}

#[test]
fn access_and_pace_are_declared_and_survive_the_database() {
    let declared = with(
        r#"
previous_secret = "env:ISP_SECRET_BEFORE"
basic = { user = "unigate", password = "file:/run/secrets/isp" }
client_certificate = { certificate = "file:/etc/unigate/isp.pem", key = "env:ISP_KEY" }
ca = "file:/etc/unigate/isp-ca.pem"
rate = { calls = 30, per_seconds = 60 }
quiet_hours = [{ from = "23:30", to = "06:00" }, { from = "00:00", to = "24:00", days = ["sat", "sun"] }]
offers_check = false
offers_list = true
"#,
    )
    .unwrap();
    let profile = declared.unikassa.as_ref().unwrap();
    assert_eq!((profile.offers_check(), profile.offers_list()), (false, true));
    // Moscow: half past midnight.
    let quiet = profile
        .online()
        .quiet_until("2026-11-25T21:30:00Z".parse().unwrap())
        .unwrap();
    assert_eq!(quiet.to_string(), "2026-11-26T03:00:00Z");
    let stored = serde_json::to_string(&declared).unwrap();
    let back: Payee = read(&mut serde_json::Deserializer::from_str(&stored)).unwrap();
    assert_eq!(back, declared);
    let plain = with("").unwrap().unikassa.unwrap();
    assert_eq!((plain.offers_check(), plain.offers_list()), (true, true));
    assert!(!with("offers_list = false").unwrap().unikassa.unwrap().offers_list());
    assert_eq!(plain.online().quiet_until(jiff::Timestamp::UNIX_EPOCH), None);
}

#[test]
fn what_cannot_be_meant_is_refused_by_its_place() {
    for (line, expected) in [
        (
            "basic = { user = \"a:b\", password = \"env:P\" }",
            "unikassa.basic.user: ",
        ),
        ("basic = { user = \"a\" }", "unikassa.basic"),
        ("ca = \"-----BEGIN\"", "unikassa.ca: must refer to PEM by file:PATH"),
        (
            "client_certificate = { certificate = \"env:C\", key = \"MIIE\" }",
            "unikassa.client_certificate.key: must refer to PEM",
        ),
        (
            "previous_secret = \"hunter2\"",
            "unikassa.previous_secret: must be written whsec_",
        ),
        ("rate = { calls = 0 }", "unikassa.rate.calls: must be from 1 to 1000"),
        (
            "rate = { calls = 1, per_seconds = 3601 }",
            "unikassa.rate.per_seconds: ",
        ),
        (
            "quiet_hours = [{ from = \"25:00\", to = \"06:00\" }]",
            "unikassa.quiet_hours[0].from",
        ),
        (
            "quiet_hours = [{ from = \"00:00\", to = \"24:00\" }]",
            "unikassa.quiet_hours: leave no time",
        ),
        (
            "quiet_hours = [{ from = \"01:00\", to = \"02:00\", days = [\"sat\", \"sat\"] }]",
            "unikassa.quiet_hours[0].days: ",
        ),
    ] {
        let refused = with(line).unwrap_err();
        assert!(
            refused.len() == 1 && refused[0].contains(expected),
            "{line}: {refused:?}"
        );
    }
    let plain = ISP
        .replace("https://billing.example.org", "http://10.0.0.1")
        .replace("secret = ", "ca = \"env:CA\"\nsecret = ");
    let refused = from_toml::<Payee>(&plain).unwrap_err();
    assert!(
        refused[0].contains("unikassa.url: must begin with https:// where"),
        "{refused:?}"
    );
}
