//! A search that finds nothing is worth nothing unless it finds what was put there.

use serde_json::json;
use store::audit::{self, Act};

use super::*;
use crate::process;
use crate::stand::Stand;

#[test]
fn every_form_of_a_secret_is_found_and_nothing_else() {
    let identity = format!("{IDENTITY}QQPQZ4");
    for secret in [pin(17), digits(17), identity.clone()] {
        let hex: String = secret.bytes().map(|byte| format!("{byte:02x}")).collect();
        assert!(is_in(secret.as_bytes()) && is_in(format!("{{\"pin\":\"{secret}\"}}").as_bytes()));
        assert!(is_in(format!("\\x00{hex}ff").as_bytes()), "{hex}");
        assert!(is_in([b"\x00\xff", secret.as_bytes(), b"\xfe"].concat().as_slice()));
    }
    for before in ["", "a", "ab", "abc", "\u{fffd}"] {
        for secret in [pin(3), digits(3), identity.clone()] {
            let text = STANDARD_NO_PAD.encode(format!("{before}{secret}"));
            assert!(is_in(text.as_bytes()), "{text}");
        }
    }
    for text in [
        "8231 4400 0017",
        "8231-4400-0017",
        "p823144000017,",
        "*111*823144000017#",
    ] {
        assert!(is_in(text.as_bytes()), "{text}");
    }
    for text in [
        "2026-11-23T10:00:00.823144Z",
        "2026-11-23T10:00:00.823144017Z",
        "a1823144000017bc",
        "8231",
        "secret",
        "age1qqpqz4",
    ] {
        assert!(!is_in(text.as_bytes()), "{text}");
    }
}

async fn plant_in_audit(stand: &Stand, secret: &str) {
    let store = stand.store();
    let tx = store.begin().await.unwrap();
    let act = Act {
        who: "careless",
        act: "test",
        subject_kind: "card",
        subject: "p/1",
        reason: None,
        before: None,
        after: Some(json!({ "pin": secret })),
    };
    audit::record(&tx, &act).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
#[should_panic(expected = "rows of the table audit")]
async fn a_stand_whose_database_holds_a_secret_fails_its_test() {
    let stand = Stand::new().await;
    plant_in_audit(&stand, &pin(1)).await;
}

#[tokio::test]
async fn a_planted_secret_is_found_in_every_medium() {
    let mut stand = Stand::new().await;
    assert_eq!(stand.leaks().await, Vec::<String>::new());
    let found = async |stand: &Stand, place: &str| {
        let places = stand.leaks().await;
        assert!(places.iter().any(|found| found.contains(place)), "{place}: {places:?}");
    };
    // The database: JSON, and bytes.
    plant_in_audit(&stand, &digits(1)).await;
    found(&stand, "table audit").await;
    let chunk = [b"\x00\xff", pin(1).as_bytes()].concat();
    store::artifacts::begin(&stand.store(), uuid::Uuid::nil(), uuid::Uuid::nil())
        .await
        .unwrap();
    store::artifacts::add_chunk(&stand.store(), uuid::Uuid::nil(), 0, &chunk)
        .await
        .unwrap();
    found(&stand, "table artifact_chunk").await;
    // A queue: no worker runs, so a front-end's message waits there.
    let frontend = stand.frontend().await;
    let message = bus::frontend::Message::new("card.release", pin(2));
    frontend.send(&message).await.unwrap();
    found(&stand, "cards.facts").await;
    // An event, published by a relay.
    let context = runtime::Context::start(stand.settings(), Default::default())
        .await
        .unwrap();
    let tx = stand.store().begin().await.unwrap();
    let event = store::events::Event {
        event_id: uuid::Uuid::now_v7(),
        kind: "card.sold".into(),
        body: json!({ "items": [{ "pin": pin(3) }] }).to_string(),
        traceparent: None,
    };
    store::events::add(&tx, &[event]).await.unwrap();
    tx.commit().await.unwrap();
    context.nudge(runtime::Nudge::Events);
    crate::wait_for("the event to be kept", std::time::Duration::from_secs(45), async || {
        let places = stand.leaks().await;
        places.iter().any(|place| place.contains("kept-events")).then_some(())
    })
    .await;
    // A log line, and an error in it.
    tracing::debug!(error = %format!("{} is wrong", pin(4)), "a careless line");
    found(&stand, "the log of").await;
    // A metric.
    metrics::counter!("careless_total", "pin" => pin(5)).increment(1);
    found(&stand, "the metrics of").await;
    // What a command says.
    process::searched(&["cards", "stock"], &pin(6), "");
    found(&stand, "`unigate cards stock`").await;
    // A mail, whatever is in it.
    let office = crate::mail::MailServer::start("127.0.0.1:0").await.unwrap();
    let mut client = tokio::net::TcpStream::connect(office.addr).await.unwrap();
    let letter = format!(
        "EHLO test.example\r\nMAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n\r\n{}\r\n.\r\nQUIT\r\n",
        pin(7)
    );
    let mut said = String::new();
    tokio::io::AsyncWriteExt::write_all(&mut client, letter.as_bytes())
        .await
        .unwrap();
    tokio::io::AsyncReadExt::read_to_string(&mut client, &mut said)
        .await
        .unwrap();
    found(&stand, "a mail").await;
    stand.expect_leaks();
}
