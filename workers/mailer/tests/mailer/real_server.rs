//! Through a mail server that is not ours: encryption, logins, sizes and refusals as others speak them.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use mailer::Report;
use mailer::relay::{Relay, SendError, Sending};
use secrecy::SecretString;
use serde_json::{Value, json};
use tempfile::TempDir;
use testkit::tls::{Authority, Identity};

use crate::stand::{FILE, LONG, with_register};

const RAW: &[u8] = b"From: unigate@example.org\r\nSubject: hi\r\n\r\n.one\r\n";

/// The server, its certificate, and whom to trust for it.
struct Real {
    child: Child,
    /// Closed, it ends.
    input: Option<ChildStdin>,
    said: Arc<Mutex<Vec<Value>>>,
    port: u64,
    ca: String,
    files: TempDir,
}

impl Real {
    async fn start(tls: &str, what: Value) -> Self {
        let authority = Authority::new("who signs relays");
        Self::show(&authority, &authority.server(&["127.0.0.1"]), tls, what).await
    }

    async fn show(authority: &Authority, identity: &Identity, tls: &str, mut what: Value) -> Self {
        let files = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = files.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        what["tls"] = tls.into();
        what["certificate"] = json!(file("certificate.pem", &identity.certificate));
        what["key"] = json!(file("key.pem", &identity.key));
        file("ca.pem", &authority.pem());
        file("password", "hunter2\n");
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
        let python = root.join(".data/tools/aiosmtpd/bin/python");
        let mut child = Command::new(&python)
            .arg(root.join("workers/mailer/tests/mailer/smtpd.py"))
            .arg(what.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}; scripts/tools test installs it", python.display()));
        let said = Arc::new(Mutex::new(Vec::<Value>::new()));
        let (heard, output) = (said.clone(), child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                heard.lock().unwrap().push(serde_json::from_str(&line).unwrap());
            }
        });
        let first = testkit::wait_for("the server's port", LONG, async || {
            said.lock().unwrap().first().cloned()
        })
        .await;
        Self {
            input: child.stdin.take(),
            child,
            port: first["port"].as_u64().unwrap(),
            said,
            ca: authority.pem(),
            files,
        }
    }

    fn relay(&self, scheme: &str, login: &str, query: &str) -> Relay {
        let url = format!("{scheme}://{login}127.0.0.1:{}{query}", self.port);
        let relay = Relay::from_url(&SecretString::from(url)).unwrap();
        relay.with_timeout(LONG).with_ca(Some(self.ca.clone()))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    /// Waits for so many messages.
    async fn mails(&self, count: usize) -> Vec<Value> {
        testkit::wait_for("messages at the server", LONG, async || {
            let said = self.said.lock().unwrap();
            (said.len() > count).then(|| said[1..].to_vec())
        })
        .await
    }
}

impl Drop for Real {
    fn drop(&mut self) {
        drop(self.input.take());
        let _ = self.child.wait();
    }
}

async fn send(relay: &Relay) -> Sending {
    Box::pin(relay.send(RAW, "Unigate <unigate@example.org>", "buh@example.org")).await
}

#[track_caller]
fn refused(sending: Sending) -> SendError {
    match sending {
        Sending::NotSent { error, .. } => error,
        other => panic!("{other:?}"),
    }
}

fn login() -> Value {
    json!({ "auth": ["user", "hunter2"] })
}

#[tokio::test]
async fn by_starttls_and_from_the_first_byte_a_mail_arrives_encrypted_and_logged_in() {
    for (tls, scheme, query) in [
        ("starttls", "smtp", ""),
        ("starttls", "smtp", "?tls=required"),
        ("implicit", "smtps", ""),
    ] {
        let real = Real::start(tls, login()).await;
        let relay = real.relay(scheme, "user:hunter2@", query);
        relay.check().await.unwrap();
        for _ in 0..2 {
            let sending = send(&relay).await;
            assert!(matches!(sending, Sending::Sent { .. }), "{tls}: {sending:?}");
        }
        for mail in real.mails(2).await {
            assert_eq!(
                (&mail["encrypted"], &mail["user"]),
                (&json!(true), &json!("user")),
                "{tls}"
            );
            assert_eq!(BASE64_STANDARD.decode(mail["raw"].as_str().unwrap()).unwrap(), RAW);
        }
    }
}

#[tokio::test]
async fn a_wrong_password_is_said_and_nothing_is_sent() {
    let real = Real::start("implicit", login()).await;
    let error = refused(send(&real.relay("smtps", "user:guess@", "")).await);
    assert_eq!((error.code(), error.is_about_settings()), (Some(535), true), "{error}");
    let nobody = refused(send(&real.relay("smtps", "", "")).await);
    assert_eq!(nobody.code(), Some(530), "{nobody}");
}

#[tokio::test]
async fn what_is_wrong_with_a_certificate_is_said() {
    let authority = Authority::new("who signs relays");
    let right = authority.server(&["127.0.0.1"]);
    let stranger = Authority::new("somebody else").server(&["127.0.0.1"]);
    for (identity, why) in [
        (&stranger, "signed by nobody we trust"),
        (&authority.expired(&["127.0.0.1"]), "out of date"),
        (&authority.server(&["relay.example"]), "for another name"),
    ] {
        for (tls, scheme) in [("implicit", "smtps"), ("starttls", "smtp")] {
            let real = Real::show(&authority, identity, tls, login()).await;
            let error = refused(send(&real.relay(scheme, "user:hunter2@", "")).await);
            assert!(
                error.to_string().contains(why) && error.is_about_settings(),
                "{tls}: {error}"
            );
        }
    }
    let real = Real::show(&authority, &right, "starttls", login()).await;
    let error = refused(send(&real.relay("smtps", "user:hunter2@", "")).await);
    assert!(
        error.to_string().contains("does not speak TLS from the first byte"),
        "{error}"
    );
    // Without the CA file the system's authorities decide, and none of them knows ours.
    let trusting_others = real.relay("smtp", "user:hunter2@", "").with_ca(None);
    let error = refused(send(&trusting_others).await);
    assert!(error.to_string().contains("signed by nobody we trust"), "{error}");
}

#[tokio::test]
async fn no_password_goes_out_unencrypted_but_to_this_machine_by_request() {
    let real = Real::start("none", login()).await;
    let error = refused(send(&real.relay("smtp", "user:hunter2@", "")).await);
    assert!(matches!(error, SendError::PasswordInClear), "{error}");
    let error = refused(send(&real.relay("smtp", "user:hunter2@", "?tls=required")).await);
    assert!(!matches!(error, SendError::PasswordInClear), "{error}");
    let sending = send(&real.relay("smtp", "user:hunter2@", "?tls=none")).await;
    assert!(matches!(sending, Sending::Sent { .. }), "{sending:?}");
    assert_eq!(real.mails(1).await[0]["encrypted"], false);
}

#[tokio::test]
async fn a_mail_larger_than_the_relay_takes_is_not_begun() {
    let real = Real::start("none", json!({ "size": 20_000 })).await;
    let relay = real.relay("smtp", "", "?tls=none");
    let large = [RAW, &b"x\r\n".repeat(7_000)[..]].concat();
    let error = refused(Box::pin(relay.send(&large, "a@example.org", "b@example.org")).await);
    assert!(matches!(error, SendError::TooLarge { most: 20_000, .. }), "{error}");
    assert!(matches!(send(&relay).await, Sending::Sent { .. }));
}

#[tokio::test]
async fn registers_go_through_a_payees_own_relay_to_whom_it_takes_them_for() {
    let what = json!({ "auth": ["user", "hunter2"], "greylist": true, "refuse": { "gone@example.org": 550 } });
    let real = Real::start("starttls", what).await;
    let register = json!({
        "mail_to": ["a@example.org", "gone@example.org", "c@example.org"],
        "mail": {
            "language": "ru", "from": "registers@operator.example",
            "relay": format!("smtp://user@127.0.0.1:{}?tls=required", real.port),
            "relay_password": format!("file:{}", real.path("password").display()),
            "relay_ca": format!("file:{}", real.path("ca.pem").display()),
        },
    });
    with_register(register, LONG, |stand| async move {
        let first = stand.round_of_all().await;
        let count =
            |reports: &[Report], wanted: fn(&Report) -> bool| reports.iter().filter(|report| wanted(report)).count();
        assert_eq!(
            count(&first, |report| matches!(report, Report::Refused(_))),
            1,
            "{first:?}"
        );
        assert_eq!(
            count(&first, |report| matches!(report, Report::Later(_))),
            2,
            "{first:?}"
        );
        let second = stand.round_of_all().await;
        assert_eq!(count(&second, |report| matches!(report, Report::Sent)), 2, "{second:?}");
        assert_eq!(stand.register_state().await, "failed");
        let mails = real.mails(2).await;
        assert_eq!(mails.len(), 2);
        for mail in &mails {
            assert_eq!(mail["raw"], mails[0]["raw"], "the same bytes for both");
            assert_eq!(
                (&mail["from"], &mail["user"], &mail["encrypted"]),
                (&json!("registers@operator.example"), &json!("user"), &json!(true))
            );
            assert_eq!(
                mail["subject"],
                "Реестр 000001, Горводоканал (gvk): платежей 1, сумма 150.00 RUB"
            );
            assert_eq!(mail["message_id"], format!("<{}>", stand.message_id()));
            assert_eq!(
                mail["files"],
                json!([["gvk-main-000001.csv", BASE64_STANDARD.encode(FILE)]])
            );
            assert!(
                mail["text"].as_str().unwrap().contains("Сумма: 150.00 RUB"),
                "{}",
                mail["text"]
            );
            assert_eq!(mail["defects"], json!([]));
        }
    })
    .await;
}
