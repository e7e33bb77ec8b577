//! What an operator is told who tries a payee that is set up wrongly, over TLS. The plain way is tested with the command.

use domain::declaration::Payee;
use serde_json::{Value, json};
use testkit::payee::Payee as Scripted;
use testkit::tls::{Authority, Front, Identity};

use super::{Question, complete, steps};
use crate::client::Caller;

/// PEM in a file, gone with it.
struct File(std::path::PathBuf);

impl File {
    fn of(text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("unigate-pem-{}", uuid::Uuid::now_v7()));
        std::fs::write(&path, text).unwrap();
        Self(path)
    }

    fn reference(&self) -> Value {
        json!(format!("file:{}", self.0.display()))
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn payee(url: &str, more: Value) -> Payee {
    let mut declared = json!({
        "id": "isp", "name": "isp", "gateway": "unikassa", "currency": "RUB", "account": {"pattern": "^.+$"},
        "amount": {"min": 1, "max": 100_000},
        "unikassa": {"url": url, "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "allow_private": true,
            "timeout_seconds": 5}
    });
    for (member, value) in more.as_object().unwrap() {
        declared["unikassa"][member] = value.clone();
    }
    serde_json::from_value(declared).unwrap()
}

/// The last step, and what was found there.
async fn last(payee: &Payee) -> (&'static str, Result<String, String>) {
    let caller = Caller::new().unwrap();
    let step = steps(&caller, payee, &Question::Greeting).await.pop().unwrap();
    (step.name, step.found)
}

#[tokio::test]
async fn what_is_wrong_with_a_certificate_is_said_in_words() {
    let scripted = Scripted::start().await.unwrap();
    let (ours, other) = (Authority::new("a payee's own"), Authority::new("somebody else's"));
    let (own, foreign) = (File::of(&ours.pem()), File::of(&other.pem()));
    let behind = |identity: &Identity| Front::start(scripted.addr, identity, None).unwrap();
    let at = |front: &Front, ca: &File| {
        let url = format!("https://localhost:{}/unikassa", front.addr.port());
        payee(&url, json!({"ca": ca.reference()}))
    };
    let good = behind(&ours.server(&["localhost"]));
    let (step, found) = last(&at(&good, &own)).await;
    assert!(step == "greeting" && found.is_ok(), "{step}: {found:?}");
    let (elsewhere, old) = (
        behind(&ours.server(&["elsewhere.example"])),
        behind(&ours.expired(&["localhost"])),
    );
    for (front, ca, words) in [
        (&good, &foreign, "authority that is not trusted"),
        (&elsewhere, &own, "is for another name"),
        (&old, &own, "out of date"),
    ] {
        let (step, found) = last(&at(front, ca)).await;
        let wrong = found.unwrap_err();
        assert!(step == "tls" && wrong.contains(words), "{step}: {wrong}");
    }
    // Where no TLS is spoken at all.
    let plain = payee(&format!("https://{}/unikassa", scripted.addr), json!({}));
    let (step, found) = last(&plain).await;
    assert_eq!(step, "tls", "{found:?}");
    let inside = payee("https://localhost/unikassa", json!({"allow_private": false}));
    let (step, found) = last(&inside).await;
    assert!(step == "name" && found.unwrap_err().contains("is a private address"));
}

#[tokio::test]
async fn what_is_missing_here_is_named() {
    let pair = Authority::new("clients").client("unigate");
    let (certificate, key, text) = (File::of(&pair.certificate), File::of(&pair.key), File::of("hello"));
    let with = |more| complete(&payee("https://isp.example/", more));
    let showing = |certificate: &File, key: &File| {
        with(json!({"client_certificate": {"certificate": certificate.reference(), "key": key.reference()}}))
    };
    assert_eq!(showing(&certificate, &key), Ok(()));
    for (outcome, place) in [
        (
            showing(&text, &key),
            "unikassa.client_certificate.certificate: holds no certificate",
        ),
        (
            showing(&certificate, &text),
            "unikassa.client_certificate.key: holds no private key",
        ),
        (
            with(json!({"ca": text.reference()})),
            "unikassa.ca: holds no certificate",
        ),
        (
            with(json!({"ca": "file:/nowhere/at/all"})),
            "unikassa.ca: /nowhere/at/all",
        ),
        (
            with(json!({"basic": {"user": "u", "password": "env:TEST_NOT_SET"}})),
            "unikassa.basic.password: TEST_NOT_SET is not set",
        ),
        (
            with(json!({"previous_secret": "env:TEST_NOT_SET"})),
            "unikassa.previous_secret: ",
        ),
    ] {
        let wrong = outcome.unwrap_err();
        assert!(wrong.contains(place), "{wrong}");
    }
    let (step, found) = last(&payee("https://isp.example/", json!({"ca": text.reference()}))).await;
    assert!(step == "profile" && found.is_err());
}
