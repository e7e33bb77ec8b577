//! The payee, spoken to in raw HTTP.

use contract::webhook;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

const LONG: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(30);

/// Status, headers and body of an answer.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    fn result(&self) -> String {
        self.json()["result"].as_str().unwrap().to_owned()
    }
}

async fn post(payee: &Payee, verb: &str, headers: &str, body: &str) -> io::Result<Answer> {
    let mut stream = TcpStream::connect(payee.addr).await?;
    let head = format!(
        "POST /unikassa/{verb} HTTP/1.1\r\nhost: payee\r\nconnection: close\r\ncontent-length: {}\r\n{headers}\r\n",
        body.len()
    );
    stream.write_all(format!("{head}{body}").as_bytes()).await?;
    let mut answer = String::new();
    let read = tokio::time::timeout(LONG, stream.read_to_string(&mut answer));
    read.await.expect("an answer or an end")?;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    Ok(Answer {
        status: head[9..12].parse().unwrap(),
        head: head.to_owned(),
        body: body.to_owned(),
    })
}

fn pay_body(number: u32, amount: i64) -> String {
    json!({"request": "pay", "number": number.to_string(), "payment_id": format!("id-{number}"),
        "account": "42", "amount": amount, "currency": "RUB"})
    .to_string()
}

async fn pay(payee: &Payee, number: u32) -> io::Result<Answer> {
    post(payee, "pay", "", &pay_body(number, 100)).await
}

async fn ask(payee: &Payee, verb: &str, number: u32) -> String {
    let body = json!({"request": verb, "number": number.to_string()}).to_string();
    post(payee, verb, "", &body).await.unwrap().result()
}

#[tokio::test]
async fn an_idempotent_payee_credits_each_number_once() {
    let payee = Payee::start().await.unwrap();
    let first = pay(&payee, 1).await.unwrap().json();
    assert_eq!(first["number"], "1");
    assert_eq!(first["result"], "accepted");
    assert_eq!(pay(&payee, 1).await.unwrap().result(), "already_accepted");
    let other = post(&payee, "pay", "", &pay_body(1, 200)).await.unwrap();
    assert_eq!(other.json()["reason"], "number_conflict");
    assert_eq!((payee.credits("1"), payee.credits("2")), (1, 0));
    assert_eq!(payee.ledger()["1"].amount(), 100);
    assert_eq!(ask(&payee, "status", 1).await, "accepted");
    assert_eq!(ask(&payee, "status", 2).await, "not_found");
    let list = post(&payee, "list", "", "{}").await.unwrap().json();
    assert_eq!(list["items"][0]["number"], "1");
}

#[tokio::test]
async fn another_payee_credits_every_call() {
    let payee = Payee::start().await.unwrap();
    payee.set_idempotent(false);
    for _ in 0..3 {
        assert_eq!(pay(&payee, 1).await.unwrap().result(), "accepted");
    }
    assert_eq!(payee.credits("1"), 3);
}

#[tokio::test]
async fn pending_waits_for_a_decision_and_cancelled_stays_so() {
    let payee = Payee::start().await.unwrap();
    payee.script(Verb::Pay, [Behaviour::Pending, Behaviour::Pending]);
    for number in [1, 2] {
        assert_eq!(pay(&payee, number).await.unwrap().result(), "pending");
        assert_eq!(ask(&payee, "status", number).await, "pending");
    }
    payee.settle("1");
    payee.refuse("2", "no such account");
    assert_eq!(ask(&payee, "status", 1).await, "accepted");
    assert_eq!(ask(&payee, "status", 2).await, "refused");
    assert_eq!((payee.credits("1"), payee.credits("2")), (1, 0));
    assert_eq!(ask(&payee, "cancel", 1).await, "cancelled");
    assert_eq!(ask(&payee, "cancel", 1).await, "already_cancelled");
    assert_eq!(ask(&payee, "cancel", 3).await, "not_found");
    assert_eq!(ask(&payee, "status", 1).await, "cancelled");
    assert_eq!(pay(&payee, 1).await.unwrap().result(), "refused");
}

#[tokio::test]
async fn scripted_answers_come_in_order_and_credit_nothing() {
    let payee = Payee::start().await.unwrap();
    payee.script(
        Verb::Pay,
        [
            Behaviour::Refuse("account_not_found".to_owned()),
            Behaviour::Answer(json!({"result": "pending", "extra": 1})),
            Behaviour::busy(7),
            Behaviour::Empty,
            Behaviour::NotJson,
            Behaviour::Huge,
            Behaviour::WrongNumber,
            Behaviour::UnknownResult,
        ],
    );
    assert_eq!(pay(&payee, 1).await.unwrap().json()["reason"], "account_not_found");
    let own = pay(&payee, 1).await.unwrap().json();
    assert_eq!(own, json!({"number": "1", "result": "pending", "extra": 1}));
    let busy = pay(&payee, 1).await.unwrap();
    assert_eq!(busy.status, 503);
    assert!(busy.head.contains("retry-after: 7"), "{}", busy.head);
    let empty = pay(&payee, 1).await.unwrap();
    assert_eq!((empty.status, empty.body.as_str()), (200, ""));
    assert!(pay(&payee, 1).await.unwrap().body.starts_with("<html>"));
    assert!(pay(&payee, 1).await.unwrap().body.len() > 64 * 1024);
    assert_eq!(pay(&payee, 1).await.unwrap().json()["number"], "19");
    assert_eq!(pay(&payee, 1).await.unwrap().result(), "perhaps");
    assert_eq!(payee.credits("1"), 0);
    payee.script(Verb::Pay, [Behaviour::AlreadyAccepted]);
    assert_eq!(pay(&payee, 1).await.unwrap().result(), "already_accepted");
    assert_eq!(payee.credits("1"), 1);
}

#[tokio::test]
async fn a_standing_behaviour_follows_the_script() {
    let payee = Payee::start().await.unwrap();
    payee.always(Verb::Pay, Behaviour::status(500).after_credit());
    payee.script(Verb::Pay, [Behaviour::status(429)]);
    let mut seen = Vec::new();
    for number in [1, 2, 3] {
        seen.push(pay(&payee, number).await.unwrap().status);
    }
    assert_eq!(seen, [429, 500, 500]);
    assert_eq!([1, 2, 3].map(|n| payee.credits(&n.to_string())), [0, 1, 1]);
    payee.always(Verb::Pay, Behaviour::Accept);
    assert_eq!(pay(&payee, 2).await.unwrap().result(), "already_accepted");
}

#[tokio::test]
async fn resets_come_before_or_after_the_credit() {
    let payee = Payee::start().await.unwrap();
    payee.script(Verb::Pay, [Behaviour::ResetBeforeRead, Behaviour::ResetAfterCredit]);
    for credits in [0, 1] {
        let reset = pay(&payee, 1).await.map(|answer| answer.head).unwrap_err();
        assert_eq!(reset.kind(), io::ErrorKind::ConnectionReset);
        assert_eq!(payee.credits("1"), credits);
    }
    assert_eq!(payee.requests()[0].raw, "");
    assert_eq!(pay(&payee, 1).await.unwrap().result(), "already_accepted");
}

#[tokio::test]
async fn a_hanging_request_ends_when_the_payee_goes_down() {
    let payee = Payee::start().await.unwrap();
    payee.script(Verb::Pay, [Behaviour::Hang, Behaviour::HangAfterCredit]);
    let hanging = async { tokio::join!(pay(&payee, 1), pay(&payee, 2)) };
    let down = async {
        payee.wait_for_requests(Verb::Pay, 2, LONG).await;
        payee.wait_for_credits(1, LONG).await;
        payee.down().await;
    };
    let ((first, second), ()) = tokio::join!(hanging, down);
    assert!(first.is_err() && second.is_err());
    assert_eq!(payee.most_at_once(), 2);
    let refused = TcpStream::connect(payee.addr).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
    payee.up().unwrap();
    assert_eq!(pay(&payee, 3).await.unwrap().result(), "accepted");
}

#[tokio::test]
async fn answers_can_be_late_and_held() {
    let payee = Payee::start().await.unwrap();
    payee.script(Verb::Pay, [Behaviour::Delay(SHORT), Behaviour::Hold]);
    let start = tokio::time::Instant::now();
    assert_eq!(pay(&payee, 1).await.unwrap().result(), "accepted");
    assert!(start.elapsed() >= SHORT);
    let release = async {
        payee.wait_for_credits(2, LONG).await;
        payee.release();
    };
    let (held, ()) = tokio::join!(pay(&payee, 2), release);
    assert_eq!(held.unwrap().result(), "accepted");
}

#[tokio::test]
async fn requests_are_remembered_whole() {
    let payee = Payee::start().await.unwrap();
    let headers = "traceparent: 00-0af7-b7ad-01\r\nwebhook-id: check-1\r\n";
    let body = r#"{"request":"check","account":"1"}"#;
    let answer = post(&payee, "check", headers, body).await.unwrap();
    assert_eq!(answer.result(), "payable");
    assert_eq!(answer.json().get("number"), None);
    assert_eq!(post(&payee, "nothing", "", "").await.unwrap().status, 404);
    let requests = payee.requests();
    assert_eq!(requests[0].traceparent(), Some("00-0af7-b7ad-01"));
    assert_eq!(requests[0].header("Webhook-Id"), Some("check-1"));
    assert_eq!((&*requests[0].raw, requests[0].number()), (body.as_bytes(), None));
    assert_eq!((requests[1].verb, &*requests[1].path), (None, "/unikassa/nothing"));
    assert!(requests[0].at <= requests[1].at);
}

#[tokio::test]
async fn unsigned_requests_touch_no_ledger() {
    let secrets = Secrets::parse("whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3").unwrap();
    let payee = Payee::start_signed(secrets.clone()).await.unwrap();
    assert_eq!(pay(&payee, 1).await.unwrap().status, 401);
    let now = domain::clock::now().as_second();
    let signature = webhook::sign(&secrets, "pay-1", now, pay_body(1, 100).as_bytes());
    let headers = format!("webhook-id: pay-1\r\nwebhook-timestamp: {now}\r\nwebhook-signature: {signature}\r\n");
    let forged = post(&payee, "pay", &headers, &pay_body(1, 101)).await.unwrap();
    assert_eq!((forged.status, payee.credits("1")), (401, 0));
    let signed = post(&payee, "pay", &headers, &pay_body(1, 100)).await.unwrap();
    assert_eq!((signed.status, payee.credits("1")), (200, 1));
    let worth: Vec<_> = payee.requests().iter().map(|request| request.signature).collect();
    assert_eq!(worth[1], Signature::Bad(webhook::Rejection::Signature));
    assert_eq!(worth[2], Signature::Good);
}
