//! The relay against a real SMTP server that does as it is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use testkit::mail::{Behaviour, Greeting, MailServer, MailSettings, Step};
use testkit::proxy::FaultProxy;

use super::*;
use crate::message::tests::bytes_of;
use crate::message::{Raw, RegisterMail};
use store::registers::Summary;

const LONG: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_millis(100);
const RAW: &[u8] = b"Subject: hi\r\n\r\n.one\r\n..two\r\n";

async fn stand() -> (MailServer, Relay) {
    stand_with(MailSettings::default(), "", "").await
}

async fn stand_with(settings: MailSettings, login: &str, query: &str) -> (MailServer, Relay) {
    let server = MailServer::start_with("127.0.0.1:0", settings).await.unwrap();
    let relay = relay(&format!("{login}{}{query}", server.addr));
    (server, relay)
}

fn relay(place: &str) -> Relay {
    Relay::from_url(&SecretString::from(format!("smtp://{place}")))
        .unwrap()
        .with_timeout(LONG)
}

async fn send(relay: &Relay) -> Sending {
    relay
        .send(RAW, "Unigate <unigate@example.org>", "buh@example.org")
        .await
}

#[track_caller]
fn sent(sending: Sending) {
    assert!(
        matches!(&sending, Sending::Sent { response } if response.starts_with("250 ")),
        "{sending:?}"
    );
}

#[track_caller]
fn not_sent(sending: Sending, expect_retry: bool, expect_code: Option<u16>) {
    match sending {
        Sending::NotSent { retry, error } => {
            assert_eq!((retry, error.code()), (expect_retry, expect_code), "{error}");
        }
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn maybe(sending: Sending) {
    assert!(matches!(sending, Sending::Maybe { .. }), "{sending:?}");
}

#[tokio::test]
async fn a_message_arrives_byte_for_byte_over_one_connection() {
    let (server, relay) = stand().await;
    for _ in 0..3 {
        sent(send(&relay).await);
    }
    let mails = server.inbox();
    assert_eq!(mails.len(), 3);
    assert_eq!(mails[0].raw, RAW);
    assert_eq!(
        (mails[0].from.as_str(), &mails[0].to[..]),
        ("unigate@example.org", &["buh@example.org".to_owned()][..])
    );
    assert_eq!(server.connections(), 1);
}

#[tokio::test]
async fn a_refused_recipient_is_final_and_leaves_the_connection_usable() {
    let (server, relay) = stand().await;
    server.refuse_recipient("buh@example.org", 550);
    not_sent(send(&relay).await, false, Some(550));
    server.accept_recipient("buh@example.org");
    sent(send(&relay).await);
    assert_eq!((server.connections(), server.inbox().len()), (1, 1));
}

#[tokio::test]
async fn refusals_are_for_later_or_for_good_at_every_step() {
    let (server, relay) = stand().await;
    for at in [Step::Mail, Step::Rcpt, Step::Data, Step::Dot] {
        for (code, retry) in [(451, true), (421, true), (552, false), (530, true)] {
            server.script([Behaviour::Answer { at, code }]);
            not_sent(send(&relay).await, retry, Some(code));
        }
    }
    assert_eq!(server.inbox(), []);
    sent(send(&relay).await);
}

#[tokio::test]
async fn what_is_lost_before_the_message_was_not_sent() {
    let (server, relay) = stand().await;
    for at in [Step::Mail, Step::Rcpt, Step::Data] {
        server.script([Behaviour::Close { at }]);
        not_sent(send(&relay).await, true, None);
    }
    let relay = relay.with_timeout(SHORT);
    for at in [Step::Mail, Step::Rcpt, Step::Data] {
        server.script([Behaviour::Silent { at }]);
        not_sent(send(&relay).await, true, None);
    }
}

#[tokio::test]
async fn silence_after_the_message_is_a_maybe_and_the_next_send_is_not_confused() {
    let (server, relay) = stand().await;
    sent(send(&relay).await);
    server.script([
        Behaviour::Silent { at: Step::Kept },
        Behaviour::Silent { at: Step::Dot },
    ]);
    // Long enough to come as far as the message on a busy machine; both wait at the same time.
    let relay = relay.with_timeout(Duration::from_secs(2));
    let (kept, lost) = tokio::join!(send(&relay), send(&relay));
    maybe(kept);
    maybe(lost);
    let relay = relay.with_timeout(LONG);
    sent(send(&relay).await);
    assert_eq!(server.inbox().len(), 3);
    assert_eq!(server.connections(), 3);
}

#[tokio::test]
async fn a_connection_lost_after_the_message_is_a_maybe() {
    let (server, relay) = stand().await;
    for (at, kept) in [(Step::Kept, 1), (Step::Dot, 1)] {
        server.script([Behaviour::Close { at }]);
        maybe(send(&relay).await);
        assert_eq!(server.inbox().len(), kept);
    }
    sent(send(&relay).await);
    let mails = server.inbox();
    assert_eq!(mails[0].raw, mails[1].raw);
}

#[tokio::test]
async fn an_unexpected_good_answer_is_not_taken_for_success() {
    let (server, relay) = stand().await;
    server.script([
        Behaviour::Answer {
            at: Step::Kept,
            code: 354,
        },
        Behaviour::Answer {
            at: Step::Data,
            code: 250,
        },
        Behaviour::Answer {
            at: Step::Rcpt,
            code: 354,
        },
    ]);
    maybe(send(&relay).await);
    not_sent(send(&relay).await, true, None);
    not_sent(send(&relay).await, true, None);
    sent(send(&relay).await);
    assert_eq!(server.connections(), 4);
}

#[tokio::test]
async fn a_relay_that_is_away_or_unwilling_is_tried_again() {
    let (server, relay) = stand().await;
    sent(send(&relay).await);
    server.down().await;
    not_sent(send(&relay).await, true, None);
    server.up().unwrap();
    server.greet([
        Greeting::Answer(554),
        Greeting::Answer(421),
        Greeting::Close,
        Greeting::Silent,
    ]);
    not_sent(send(&relay).await, true, Some(554));
    not_sent(send(&relay).await, true, Some(421));
    not_sent(send(&relay).await, true, None);
    let relay = relay.with_timeout(SHORT);
    not_sent(send(&relay).await, true, None);
    sent(send(&relay.with_timeout(LONG)).await);
    let nowhere = self::relay("no-such-host.invalid:25");
    not_sent(send(&nowhere).await, true, None);
}

#[tokio::test]
async fn a_cut_within_the_message_is_a_maybe_and_within_the_envelope_is_not() {
    let (server, _) = stand().await;
    let proxy = FaultProxy::start(server.addr).await.unwrap();
    let relay = relay(&proxy.addr.to_string());
    let large = [RAW, "x".repeat(70).as_bytes(), b"\r\n"].concat().repeat(2000);
    proxy.reset_after(50_000);
    maybe(relay.send(&large, "a@example.org", "b@example.org").await);
    assert_eq!(server.inbox(), []);
    proxy.reset_after(30);
    not_sent(send(&relay).await, true, None);
    proxy.stall();
    let relay = relay.with_timeout(SHORT);
    not_sent(send(&relay).await, true, None);
    proxy.mend();
    sent(send(&relay.with_timeout(LONG)).await);
}

#[tokio::test]
async fn idle_connections_that_died_are_replaced() {
    let (server, _) = stand().await;
    let proxy = FaultProxy::start(server.addr).await.unwrap();
    let relay = Arc::new(relay(&proxy.addr.to_string()));
    let all = futures::future::join_all((0..4).map(|_| send(&relay))).await;
    all.into_iter().for_each(sent);
    proxy.cut().await;
    proxy.mend();
    sent(send(&relay).await);
    assert_eq!(server.inbox().len(), 5);
}

#[tokio::test]
async fn the_login_is_shown_only_where_it_is_wanted() {
    let settings = || MailSettings {
        login: Some(("user".to_owned(), "hunter2".to_owned())),
        ..MailSettings::default()
    };
    let (server, relay) = stand_with(settings(), "user:hunter2@", "?tls=none").await;
    relay.check().await.unwrap();
    sent(send(&relay).await);
    assert_eq!(server.connections(), 1);
    assert!(!format!("{relay:?}").contains("hunter2"));
    let (_server, wrong) = stand_with(settings(), "user:guess@", "?tls=none").await;
    not_sent(send(&wrong).await, true, Some(535));
    assert_eq!(wrong.check().await.unwrap_err().code(), Some(535));
    let (_server, clear) = stand_with(settings(), "user:hunter2@", "").await;
    assert!(matches!(clear.check().await, Err(SendError::PasswordInClear)));
    not_sent(send(&clear).await, true, None);
    let (_server, absent) = stand_with(settings(), "", "").await;
    not_sent(send(&absent).await, true, Some(530));
}

#[tokio::test]
async fn required_encryption_is_required() {
    let (server, relay) = stand_with(MailSettings::default(), "", "?tls=required").await;
    not_sent(send(&relay).await, true, None);
    assert_eq!(server.messages(), 0);
}

#[tokio::test]
async fn what_is_no_address_goes_nowhere() {
    let (server, relay) = stand().await;
    for bad in ["", "nobody", "a@example.org\r\nRCPT TO:<b@example.org>"] {
        not_sent(relay.send(RAW, "unigate@example.org", bad).await, false, None);
    }
    assert_eq!(server.connections(), 0);
    sent(relay.send(RAW, "unigate@example.org", "почта@пример.рф").await);
    assert_eq!(server.inbox()[0].to, ["почта@xn--e1afmkfd.xn--p1ai"]);
}

#[tokio::test]
async fn errors_are_one_clean_line_with_their_place() {
    let (server, relay) = stand().await;
    server.refuse_recipient("buh@example.org", 550);
    match send(&relay).await {
        Sending::NotSent { error, .. } => {
            assert_eq!(
                error.to_string(),
                "naming the recipient: permanent error (550): no mail for this address"
            );
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_register_arrives_as_it_was_built_and_again_the_same_after_a_maybe() {
    let (server, relay) = stand().await;
    let file: Vec<u8> = (0..100_000_u32).map(|n| (n % 251) as u8).collect();
    let register = Summary {
        is_copy: true,
        ..crate::message::tests::summary()
    };
    let to = ["Бухгалтерия <buh@example.org>".to_owned()];
    let subject = "COPY: Register 000012, ООО «Вода и тепло» (gorvodokanal): 345 payments, 51750.00 RUB";
    let mail = RegisterMail {
        message_id: "<1@unigate.example.org>",
        from: "Юнигейт <unigate@example.org>",
        to: &to,
        date: "2026-11-23T00:00:00Z".parse().unwrap(),
        subject,
        body: "Register 000012 of ООО «Вода и тепло»\r\n",
        register: &register,
        part: None,
        holds: (345, 5_175_000),
        file_name: "реестр-000012-COPY.csv.zip",
    };
    let frame = mail.to_frame().unwrap();
    let raw = Raw::framed(&frame.head, &file, &frame.tail);
    server.script([Behaviour::Close { at: Step::Kept }]);
    maybe(relay.open().await.unwrap().send(raw, mail.from, &to[0]).await);
    sent(relay.open().await.unwrap().send(raw, mail.from, &to[0]).await);
    let mails = server.inbox();
    assert_eq!(mails[0], mails[1]);
    let got = &mails[0];
    assert_eq!(got.raw, bytes_of(raw));
    assert_eq!(
        (got.from.as_str(), &got.to[..]),
        ("unigate@example.org", &["buh@example.org".to_owned()][..])
    );
    assert_eq!(got.message_id, "1@unigate.example.org");
    assert_eq!(got.subject, subject);
    assert!(
        got.text.starts_with("Register 000012 of ООО «Вода и тепло»"),
        "{}",
        got.text
    );
    for (name, value) in [
        ("X-Unigate-Register", "0199aa00-0000-7000-8000-000000000002"),
        ("X-Unigate-Kind", "copy"),
        ("X-Unigate-Count", "345"),
        ("X-Unigate-Total", "5175000"),
    ] {
        assert_eq!(got.header(name), Some(value));
    }
    assert_eq!(got.attachments.len(), 1);
    assert_eq!(got.attachments[0].file_name, "реестр-000012-COPY.csv.zip");
    assert_eq!(got.attachments[0].bytes, file);
}

#[tokio::test]
async fn a_message_that_is_too_large_is_refused_before_it_is_sent() {
    let settings = MailSettings {
        max_message_bytes: 10_000,
        ..MailSettings::default()
    };
    let (server, relay) = stand_with(settings, "", "").await;
    let large = [b"Subject: hi\r\n\r\n", &[b'x'; 10_000][..]].concat();
    match relay.send(&large, "a@example.org", "b@example.org").await {
        Sending::NotSent { retry: false, error } => {
            assert_eq!(
                error.to_string(),
                "the mail has 10017 bytes, and the mail relay takes 10000"
            );
        }
        other => panic!("{other:?}"),
    }
    sent(send(&relay).await);
    assert_eq!(
        (server.messages(), server.connections()),
        (1, 1),
        "nothing was tried, and the connection is as good as ever"
    );
}

/// Counts what is logged by lettre, at any level.
struct Listener(Arc<AtomicUsize>);

impl tracing::Subscriber for Listener {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target().starts_with("lettre")
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}

    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}

    fn event(&self, _: &tracing::Event<'_>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }

    fn enter(&self, _: &tracing::span::Id) {}

    fn exit(&self, _: &tracing::span::Id) {}
}

#[tokio::test]
async fn neither_password_nor_message_reaches_a_log() {
    let login = Some(("user".to_owned(), "hunter2".to_owned()));
    let settings = MailSettings {
        login,
        ..MailSettings::default()
    };
    let (_server, relay) = stand_with(settings, "user:hunter2@", "?tls=none").await;
    let logged = Arc::new(AtomicUsize::new(0));
    let _listening = tracing::subscriber::set_default(Listener(logged.clone()));
    sent(send(&relay).await);
    sent(send(&relay).await);
    assert_eq!(logged.load(Ordering::SeqCst), 0);
}
