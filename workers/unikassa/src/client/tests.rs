//! The wire at its worst: whose certificate is believed, what is never read to its end, where nothing is ever sent.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use contract::webhook::Secrets;
use domain::declaration::Payee;
use secrecy::SecretString;
use serde_json::json;
use testkit::payee::{Payee as Scripted, Signature};
use testkit::tls::{Authority, Front, Identity};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::{Answer, Caller, Certificates, Reach, Wire};
use crate::dialect::HttpRequest;
use crate::profiles::Target;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const OLD: &str = "whsec_cm90YXRlZC1vdXQtYnV0LXN0aWxsLWJlbGlldmVk";

fn target_with(url: &str, more: serde_json::Value) -> Target {
    let mut declared = json!({
        "id": "isp", "name": "isp", "gateway": "unikassa", "currency": "RUB", "account": {"pattern": "^.+$"},
        "amount": {"min": 1, "max": 100_000},
        "unikassa": {"url": url, "secret": SECRET, "allow_private": true, "timeout_seconds": 5}
    });
    for (member, value) in more.as_object().unwrap() {
        declared["unikassa"][member] = value.clone();
    }
    let payee: Payee = serde_json::from_value(declared).unwrap();
    Target::of(&payee).unwrap()
}

fn target(url: &str) -> Target {
    target_with(url, json!({}))
}

async fn call(target: &Target) -> Wire {
    let request = target.dialect.probe(domain::ids::Number::new(7).unwrap()).unwrap();
    send(target, request).await
}

async fn send(target: &Target, request: HttpRequest) -> Wire {
    Caller::new().unwrap().call(target, request, None).await
}

fn pem(text: &str) -> SecretString {
    text.to_owned().into()
}

#[track_caller]
fn not_sent(wire: Wire, why: &str) {
    match wire {
        Wire::NotSent(told) => assert!(told.contains(why), "{told}"),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn not_made(wire: Wire, why: &str) {
    assert!(crate::heard::of_question(&wire).ours.is_some(), "{wire:?}");
    match wire {
        Wire::NotMade(told) => assert!(told.contains(why), "{told}"),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn lost(wire: Wire, why: &str) {
    match wire {
        Wire::Lost(told) => assert!(told.contains(why), "{told}"),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn answered(wire: Wire, status: u16) -> Answer {
    match wire {
        Wire::Answer(answer) if answer.status == status => answer,
        other => panic!("{other:?}"),
    }
}

/// A payee behind TLS, and the URL under which it is called.
async fn behind(identity: &Identity, clients: Option<&Authority>) -> (Scripted, Front, String) {
    let payee = Scripted::start().await.unwrap();
    let front = Front::start(payee.addr, identity, clients).unwrap();
    let url = format!("https://localhost:{}/unikassa", front.addr.port());
    (payee, front, url)
}

fn trusting(authority: &Authority, ours: Option<&Identity>) -> Certificates {
    Certificates {
        ca: Some(pem(&authority.pem())),
        ours: ours.map(|ours| (pem(&ours.certificate), pem(&ours.key))),
    }
}

#[tokio::test]
async fn a_payee_is_believed_only_by_a_certificate_for_its_name_in_date_and_of_a_trusted_authority() {
    let (ours, other) = (Authority::new("a payee's own"), Authority::new("somebody else's"));
    let good = ours.server(&["localhost"]);
    let (payee, _front, url) = behind(&good, None).await;
    // Of the payee's own authority: believed where it is declared, from its file, and nowhere else.
    let file = std::env::temp_dir().join(format!("unigate-ca-{}.pem", uuid::Uuid::now_v7()));
    std::fs::write(&file, ours.pem()).unwrap();
    let declared = target_with(&url, json!({"ca": format!("file:{}", file.display())}));
    answered(call(&declared).await, 200);
    std::fs::remove_file(&file).unwrap();
    let asked = payee.requests().len();
    not_sent(call(&target(&url)).await, "UnknownIssuer");
    let wrong = Target {
        certificates: Some(trusting(&other, None)),
        ..target(&url)
    };
    not_sent(call(&wrong).await, "UnknownIssuer");
    assert_eq!(payee.requests().len(), asked, "nothing was sent to a stranger");
    for (identity, why) in [
        (ours.server(&["elsewhere.example"]), "not valid for name"),
        (ours.expired(&["localhost"]), "expired"),
    ] {
        let (payee, _front, url) = behind(&identity, None).await;
        let strange = Target {
            certificates: Some(trusting(&ours, None)),
            ..target(&url)
        };
        not_sent(call(&strange).await, why);
        assert!(payee.requests().is_empty());
    }
}

#[tokio::test]
async fn a_payee_that_asks_for_a_certificate_gets_ours_and_lets_nobody_else_in() {
    let (servers, clients, other) = (
        Authority::new("servers"),
        Authority::new("clients"),
        Authority::new("others"),
    );
    let (payee, _front, url) = behind(&servers.server(&["localhost"]), Some(&clients)).await;
    let showing = |ours: Option<&Identity>| Target {
        certificates: Some(trusting(&servers, ours)),
        ..target(&url)
    };
    answered(call(&showing(Some(&clients.client("unigate")))).await, 200);
    let asked = payee.requests().len();
    // Turned away in the handshake: not sent, so nothing is in doubt. A reset may overtake the alert, and then it is.
    for stranger in [showing(None), showing(Some(&other.client("unigate")))] {
        let wire = call(&stranger).await;
        assert!(matches!(wire, Wire::NotSent(_) | Wire::Lost(_)), "{wire:?}");
    }
    assert_eq!(payee.requests().len(), asked);
    let mixed = Certificates {
        ca: None,
        ours: Some((pem(&clients.client("a").certificate), pem(&clients.client("b").key))),
    };
    let wrong = Target {
        certificates: Some(mixed),
        ..target(&url)
    };
    not_made(call(&wrong).await, "do not go together");
    let no_pem = Target {
        certificates: Some(Certificates {
            ca: Some(pem("hello")),
            ours: None,
        }),
        ..target(&url)
    };
    not_made(call(&no_pem).await, "unikassa.ca: holds no certificate");
}

#[tokio::test]
async fn a_password_and_the_signatures_of_a_rotation_go_with_every_request() {
    for believed in [SECRET, OLD] {
        let payee = Scripted::start_signed(Secrets::parse(believed).unwrap()).await.unwrap();
        let rotating = target_with(
            &payee.url(),
            json!({"previous_secret": OLD, "basic": {"user": "unigate", "password": "pass-word"}}),
        );
        answered(call(&rotating).await, 200);
        let request = &payee.requests()[0];
        assert_eq!(request.signature, Signature::Good);
        assert_eq!(request.header("webhook-signature").unwrap().split(' ').count(), 2);
        assert_eq!(request.header("authorization"), Some("Basic dW5pZ2F0ZTpwYXNzLXdvcmQ="));
    }
}

/// A server that reads a request and then does what it is told with the connection; the number of connections so far.
async fn server<F, R>(then: F) -> (String, std::sync::Arc<std::sync::atomic::AtomicUsize>)
where
    F: Fn(TcpStream) -> R + Send + Sync + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("http://{}/unikassa", listener.local_addr().unwrap());
    let connections = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = connections.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let mut read = vec![0; 16 * 1024];
            if stream.read(&mut read).await.unwrap_or(0) > 0 {
                tokio::spawn(then(stream));
            }
        }
    });
    (url, connections)
}

/// A server that answers with these bytes and closes.
async fn saying(answer: Vec<u8>) -> String {
    let (url, _) = server(move |mut stream| {
        let answer = answer.clone();
        async move {
            // It may be cut off: that is what is looked at.
            let _ = stream.write_all(&answer).await;
            let _ = stream.shutdown().await;
        }
    })
    .await;
    url
}

fn http(status: u16, headers: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

#[tokio::test]
async fn what_comes_compressed_or_has_no_end_is_not_read() {
    let zipped = http(200, "content-encoding: gzip\r\n", &[0x1f, 0x8b, 8, 0, 0, 0, 0, 0]);
    lost(call(&target(&saying(zipped).await)).await, "compressed");
    let plain = http(200, "content-encoding: identity\r\n", b"{}");
    assert_eq!(answered(call(&target(&saying(plain).await)).await, 200).body, b"{}");
    // What is refused anyway is refused, however it is wrapped.
    let refusing = http(401, "content-encoding: br\r\n", b"????");
    assert!(
        answered(call(&target(&saying(refusing).await)).await, 401)
            .body
            .is_empty()
    );
    let large = http(200, "", &vec![b' '; 64 * 1024 + 1]);
    lost(call(&target(&saying(large).await)).await, "longer than 64 KiB");
    let many = (0..70).map(|n| format!("x-{n}: 1\r\n")).collect::<String>();
    lost(call(&target(&saying(http(200, &many, b"{}")).await)).await, "");
    let wide = format!("x-wide: {}\r\n", "x".repeat(20_000));
    lost(
        call(&target(&saying(http(200, &wide, b"{}")).await)).await,
        "headers are longer than 16 KiB",
    );
    let endless = format!("x-wide: {}\r\n", "x".repeat(1_000_000));
    lost(call(&target(&saying(http(200, &endless, b"{}")).await)).await, "");
}

#[tokio::test]
async fn of_an_answer_that_cannot_be_read_to_its_end_the_status_counts_unless_it_is_200() {
    let wide = format!("retry-after: 7\r\nx-wide: {}\r\n", "x".repeat(20_000));
    let begun =
        |status: u16| format!("HTTP/1.1 {status} X\r\ncontent-length: 100\r\nretry-after: 7\r\n\r\nbegun").into_bytes();
    for status in [201, 302, 400, 404, 408, 425, 429, 500, 503] {
        let large = http(status, "retry-after: 7\r\n", &vec![b'x'; 300 * 1024]);
        for unread in [large, http(status, &wide, b"{}"), begun(status)] {
            let answer = answered(call(&target(&saying(unread).await)).await, status);
            assert_eq!((answer.retry_after, answer.whole), (Some(7), false), "{status}");
            assert!(answer.body.len() <= 64 * 1024, "{status}");
        }
    }
    lost(call(&target(&saying(begun(200)).await)).await, "broke off");
    // Not even closed, and ended by the timeout.
    let (stalls, _) = server(move |mut stream| async move {
        let _ = stream.write_all(&begun(429)).await;
        let _ = stream.read(&mut [0; 16]).await;
    })
    .await;
    let answer = answered(call(&target_with(&stalls, json!({"timeout_seconds": 1}))).await, 429);
    assert_eq!((answer.body.as_slice(), answer.whole), (&b"begun"[..], false));
}

#[tokio::test]
async fn a_payee_may_say_until_when_to_wait_by_a_date() {
    let at = |hours: i64| domain::clock::now() + jiff::SignedDuration::from_hours(hours);
    let date = |format: &str| at(2).strftime(format).to_string();
    for (said, waits) in [
        (date("%a, %d %b %Y %H:%M:%S GMT"), true),
        (date("%A, %d-%b-%y %H:%M:%S GMT"), true),
        (at(-2).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string(), false),
        ("tomorrow".to_owned(), false),
    ] {
        let busy = http(503, &format!("retry-after: {said}\r\n"), b"");
        let waited = answered(call(&target(&saying(busy).await)).await, 503)
            .retry_after
            .unwrap_or(0);
        assert_eq!(waited > 0, waits, "{said}: {waited}");
        assert!(waited <= 7200 && (!waits || waited > 7000), "{said}: {waited}");
    }
}

#[tokio::test]
async fn an_answer_that_drips_is_ended_by_the_whole_timeout() {
    let (url, _) = server(|mut stream| async move {
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n";
        let mut ticks = tokio::time::interval(Duration::from_millis(50));
        let mut bytes = head.iter().copied().chain(std::iter::repeat(b' '));
        loop {
            ticks.tick().await;
            if stream.write_all(&[bytes.next().unwrap_or(b' ')]).await.is_err() {
                return;
            }
        }
    })
    .await;
    let begun = Instant::now();
    lost(
        call(&target_with(&url, json!({"timeout_seconds": 1}))).await,
        "within 1 s",
    );
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_handshake_that_stalls_is_not_sent_however_short_the_timeout() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("https://{}/unikassa", listener.local_addr().unwrap());
    for seconds in [1, 2] {
        not_sent(call(&target_with(&url, json!({"timeout_seconds": seconds}))).await, "");
    }
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let payee = Scripted::start().await.unwrap();
    let away = http(307, &format!("location: {}/status\r\n", payee.url()), b"");
    answered(call(&target(&saying(away).await)).await, 307);
    assert!(payee.requests().is_empty());
}

#[tokio::test]
async fn nothing_is_sent_to_where_it_must_not_go() {
    let payee = Scripted::start().await.unwrap();
    let port = payee.addr.port();
    for (host, reach) in [
        ("127.0.0.1", Reach::Public),
        ("localhost", Reach::Public),
        ("[::ffff:127.0.0.1]", Reach::Public),
        ("2130706433", Reach::Public),
        ("0.0.0.0", Reach::Public),
        ("8.8.8.8", Reach::Inside),
        ("[64:ff9b::808:808]", Reach::Inside),
    ] {
        let there = Target {
            reach,
            ..target(&format!("http://{host}:{port}/unikassa"))
        };
        not_sent(call(&there).await, "address");
    }
    assert!(payee.requests().is_empty());
    // What is declared with http:// is not sent in the open to a name that leads outside.
    assert_eq!(target("http://isp.example").reach, Reach::Inside);
    assert_eq!(
        target_with("https://isp.example", json!({"allow_private": false})).reach,
        Reach::Public
    );
}

const CALLS: usize = 20;

#[tokio::test]
async fn a_payee_that_is_not_idempotent_gets_a_connection_for_each_call() {
    for idempotent in [false, true] {
        let (url, connections) = server(|mut stream| async move {
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";
            let mut read = vec![0; 16 * 1024];
            while stream.write_all(answer).await.is_ok() && stream.read(&mut read).await.unwrap_or(0) > 0 {}
        })
        .await;
        let target = target_with(&url, json!({"idempotent": idempotent}));
        let caller = Caller::new().unwrap();
        for _ in 0..CALLS {
            let request = target.dialect.probe(domain::ids::Number::new(7).unwrap()).unwrap();
            answered(caller.call(&target, request, None).await, 200);
        }
        let made = connections.load(std::sync::atomic::Ordering::SeqCst);
        assert_eq!(
            made == CALLS,
            !idempotent,
            "idempotent: {idempotent}, {made} connections"
        );
    }
}

#[test]
fn every_address_is_judged() {
    let judged = |reach: Reach, address: &str| reach.forbids(address.parse::<SocketAddr>().unwrap().ip()).is_some();
    assert!(judged(Reach::Public, "10.0.0.1:80") && !judged(Reach::Public, "8.8.8.8:80"));
    assert!(judged(Reach::Inside, "8.8.8.8:80") && !judged(Reach::Inside, "[::1]:80"));
    assert!(!judged(Reach::Anywhere, "8.8.8.8:80") && !judged(Reach::Anywhere, "127.0.0.1:80"));
}
