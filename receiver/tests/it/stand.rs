//! What a test stands on: a payee's database of its own with a few subscribers, a receiver in front of it, and a way to
//! send it signed requests and to look into the database past it.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request as HttpRequest, StatusCode};
use contract::unikassa::{Cancel, Check, List, Pay, Request, Status};
use contract::webhook::{self, Secrets};
use domain::ids::{Number, PaymentId};
use domain::money::{Amount, Currency};
use domain::text::Account;
use receiver::{Config, Receiver, SecretRef};
use serde_json::Value;
use tower::ServiceExt as _;

mod probe;

pub(crate) use probe::{Backend, Probe};

/// The secret of every stand.
pub(crate) const SECRET: &str = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD";
/// Another one, of nobody or of a rotation.
pub(crate) const OTHER_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// The payee's tables. Nothing in them is unique per payment: that a payment is entered once is the receiver's doing.
const SCHEMA: &str = "
    create table subscribers (account varchar(300) primary key, name text not null, balance bigint not null, closed integer not null default 0);
    create table inbox (number bigint, account text, amount text, payer text, fields text);
    insert into subscribers (account, name, balance) values ('1001', 'Иван', 500), ('1002', 'Мария', 0);
    insert into subscribers (account, name, balance, closed) values ('1003', 'Gone', 0, 1);
";

const STATEMENTS: &str = r#"
[check]
sql = "select name as display, 125040 as amount_due, 100 as min_amount, 1500000 as max_amount from subscribers where account = :account"
[pay]
sql = [
  "select case when closed = 1 then 'account_inactive' end as refused_reason from subscribers where account = :account",
  "update subscribers set balance = balance + :amount where account = :account",
  "insert into inbox (number, account, amount, payer, fields) values (:number, :account, cast(:amount as varchar(20)), :field_payer, :fields) returning 'R-' || number as provider_reference",
]
[cancel]
sql = "update subscribers set balance = balance - :amount where account = :account and :reason <> 'no'"
"#;

/// A payee with its receiver.
#[derive(Clone)]
pub(crate) struct Stand {
    pub(crate) url: String,
    pub(crate) probe: Probe,
    pub(crate) router: Router,
    pub(crate) receiver: Arc<Receiver>,
}

/// Runs a test on a stand of its own and clears it away, also when the test fails.
pub(crate) async fn on<F: Future<Output = ()> + Send + 'static>(
    backend: Backend,
    statements: Option<&str>,
    test: impl FnOnce(Stand) -> F,
) {
    let stand = Stand::start(backend, statements).await;
    let ended = tokio::spawn(test(stand.clone())).await;
    stand.clear_away().await;
    if let Err(failed) = ended {
        std::panic::resume_unwind(failed.into_panic());
    }
}

/// The configuration of a stand.
pub(crate) fn config(url: &str, statements: Option<&str>) -> Config {
    let statements = statements.unwrap_or(STATEMENTS);
    let head = format!("secret = \"{SECRET}\"\ncurrency = \"RUB\"\ntimeout_seconds = 20\n");
    let text = format!("{head}database = {{ url = \"{url}\", pool_size = 6 }}\n{statements}");
    Config::from_toml(&text).unwrap()
}

impl Stand {
    async fn start(backend: Backend, statements: Option<&str>) -> Self {
        let probe = Probe::make(backend).await;
        let url = probe.url();
        let config = config(&url, statements);
        receiver::init_db(&config, Some(SCHEMA)).await.unwrap();
        receiver::init_db(&config, None).await.unwrap(); // twice does no harm
        let receiver = Arc::new(Receiver::open(&config).unwrap());
        Self {
            url,
            probe,
            router: receiver.router(),
            receiver,
        }
    }

    async fn clear_away(self) {
        self.receiver.close().await;
        self.probe.take_away().await;
    }

    /// Another receiver on the same database.
    pub(crate) fn second(&self, change: impl FnOnce(&mut Config)) -> (Arc<Receiver>, Router) {
        let mut config = config(&self.url, None);
        change(&mut config);
        let receiver = Arc::new(Receiver::open(&config).unwrap());
        (Arc::clone(&receiver), receiver.router())
    }

    /// Sends a request as the gateway does.
    pub(crate) async fn send(&self, request: &Request) -> (StatusCode, Value) {
        send_to(&self.router, request).await
    }

    /// A payment's answer in short: its result and its reason or reference.
    pub(crate) async fn pay(&self, pay: &Pay) -> (String, String) {
        let (status, answer) = self.send(&Request::Pay(pay.clone())).await;
        assert_eq!(status, StatusCode::OK, "{answer}");
        assert_eq!(answer["number"], pay.number.to_string());
        short(&answer)
    }

    /// What the payee's own tables say: the balance of an account.
    pub(crate) async fn balance(&self, account: &str) -> i64 {
        let account = self.probe.quoted(account);
        self.number(&format!("select balance from subscribers where account = {account}"))
            .await
    }

    /// The one number a statement returns.
    pub(crate) async fn number(&self, sql: &str) -> i64 {
        self.probe.number(sql).await
    }

    /// The one text a statement returns.
    pub(crate) async fn text(&self, sql: &str) -> String {
        self.probe.text(sql).await
    }

    /// Changes the payee's own tables.
    pub(crate) async fn execute(&self, sql: &str) {
        self.probe.execute(sql).await;
    }
}

/// What Prometheus reads.
pub(crate) async fn metrics(router: &Router) -> String {
    let request = HttpRequest::get("/metrics").body(Body::empty()).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let text = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    String::from_utf8(text.to_vec()).unwrap()
}

/// Sends a signed request to a router.
pub(crate) async fn send_to(router: &Router, request: &Request) -> (StatusCode, Value) {
    let path = format!("/unikassa/{}", request.act());
    let now = domain::clock::now().as_second();
    send_signed(router, &path, &request.webhook_id(), now, SECRET, request.to_body()).await
}

/// Sends bytes to an address, signed with these secrets at this time.
pub(crate) async fn send_signed(
    router: &Router,
    path: &str,
    id: &str,
    at: i64,
    secrets: &str,
    body: Vec<u8>,
) -> (StatusCode, Value) {
    let signature = webhook::sign(&Secrets::parse(secrets).unwrap(), id, at, &body);
    let request = HttpRequest::post(path)
        .header(webhook::ID_HEADER, id)
        .header(webhook::TIMESTAMP_HEADER, at.to_string())
        .header(webhook::SIGNATURE_HEADER, signature)
        .body(Body::from(body))
        .unwrap();
    send_raw(router, request).await
}

/// Sends a request as it stands.
pub(crate) async fn send_raw(router: &Router, request: HttpRequest<Body>) -> (StatusCode, Value) {
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap_or(Value::Null))
}

/// An answer in short.
pub(crate) fn short(answer: &Value) -> (String, String) {
    let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
    (text("result"), text("reason") + &text("provider_reference"))
}

/// A payment of 150.00 to an account.
pub(crate) fn payment(number: i64, account: &str) -> Pay {
    Pay {
        number: Number::new(number).unwrap(),
        payment_id: PaymentId::random(),
        account: Account::new(account).unwrap(),
        amount: Amount::new(15_000).unwrap(),
        currency: Currency::parse("RUB").unwrap(),
        paid_at: "2026-11-23T10:02:11+03:00".parse().unwrap(),
        fields: serde_json::from_str(r#"{"payer":"Иванов И. И."}"#).unwrap(),
    }
}

pub(crate) fn check(account: &str) -> Check {
    Check {
        payment_id: PaymentId::random(),
        number: None,
        account: Account::new(account).unwrap(),
        amount: None,
        currency: None,
        fields: serde_json::from_str("{}").unwrap(),
    }
}

pub(crate) fn status(number: i64) -> Request {
    Request::Status(Status {
        number: Number::new(number).unwrap(),
    })
}

pub(crate) fn cancel(number: i64, reason: &str) -> Request {
    Request::Cancel(Cancel {
        number: Number::new(number).unwrap(),
        reason: reason.to_owned(),
    })
}

pub(crate) fn list(from: &str, to: &str, after: Option<String>) -> Request {
    Request::List(List {
        from: from.parse().unwrap(),
        to: to.parse().unwrap(),
        after,
    })
}

/// Waits until something is so; fails when even a machine that does many things at once would have got there.
pub(crate) async fn wait_for<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let mut ticks = tokio::time::interval(Duration::from_millis(5));
    let waiting = async {
        while !condition().await {
            ticks.tick().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(45), waiting)
        .await
        .unwrap_or_else(|_| panic!("{what}: never"));
}

/// For configurations that name secrets.
pub(crate) fn secret(text: &str) -> SecretRef {
    SecretRef::new(text)
}
