//! The receiver's addresses. A request is believed before it is read: first the headers and the time, then at most
//! 64 KiB, then the signature, and only then is it JSON. What is refused here is told in a status, never in the
//! protocol's words, because those would be about the payment.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use contract::unikassa::{REQUEST_MAX_BYTES, Request};
use contract::webhook::{self, Clock, Headers, Rejection};
use serde::Serialize;

use crate::receiver::{Failure, Receiver};
use sql::DatabaseError;

/// The first pause before a transaction is tried again that another one was in the way of, and the longest.
const PAUSE_FIRST: Duration = Duration::from_millis(5);
const PAUSE_MAX: Duration = Duration::from_millis(200);
/// What can be asked. The words are those of the path and of the member `request`.
const ACTS: [&str; 5] = ["check", "pay", "status", "cancel", "list"];

/// Why a request is not answered in the protocol's words.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("not believed: {0}")]
    Rejected(#[from] Rejection),
    #[error("the body is longer than 64 KiB, or broke off")]
    TooLong,
    #[error("the request {0}")]
    Unreadable(String),
    #[error(transparent)]
    Failed(#[from] Failure),
}

/// An answer in the protocol's words, and the word that is counted.
struct Answered {
    result: &'static str,
    body: Vec<u8>,
}

impl Receiver {
    /// The addresses, ready to be served.
    pub fn router(self: &Arc<Self>) -> Router {
        let mut router = Router::new()
            .route("/healthz", get(healthz))
            .route("/readyz", get(readyz))
            .route("/metrics", get(metrics));
        for act in ACTS {
            let handler = move |State(receiver): State<Arc<Self>>, headers: HeaderMap, body: Body| async move {
                receiver.respond(act, &headers, body).await
            };
            router = router.route(&format!("{}/{act}", self.base_path), post(handler));
        }
        router.with_state(Arc::clone(self))
    }

    async fn respond(&self, act: &'static str, headers: &HeaderMap, body: Body) -> Response {
        let since = Instant::now();
        let answered = tokio::time::timeout(self.timeout, self.answer(act, headers, body)).await;
        let answered = answered.unwrap_or_else(|_| Err(Failure::TooLong(self.timeout).into()));
        let (result, response) = match answered {
            Ok(Answered { result, body }) => (result, json(StatusCode::OK, body)),
            Err(refusal) => refuse(&refusal),
        };
        // Both come from outside, and what is not signed may be anything: they are quoted and cut.
        let cut = |name: &str| -> String {
            let text = header_text(headers, name).unwrap_or_default();
            text.chars().take(80).collect()
        };
        let (id, trace) = (cut(webhook::ID_HEADER), cut("traceparent"));
        tracing::info!(
            act,
            result,
            ?id,
            ?trace,
            elapsed_ms = since.elapsed().as_millis() as u64,
            "request"
        );
        self.telemetry.count(act, result, since);
        match result {
            "database_away" => self.telemetry.set_ready(false),
            _ if response.status() == StatusCode::OK => self.telemetry.set_ready(true),
            _ => {}
        }
        response
    }

    async fn answer(&self, act: &'static str, headers: &HeaderMap, body: Body) -> Result<Answered, Refusal> {
        let signed = Headers {
            id: header_text(headers, webhook::ID_HEADER),
            timestamp: header_text(headers, webhook::TIMESTAMP_HEADER),
            signature: header_text(headers, webhook::SIGNATURE_HEADER),
        };
        signed.check_time(self.clock())?;
        let body = axum::body::to_bytes(body, REQUEST_MAX_BYTES)
            .await
            .map_err(|_| Refusal::TooLong)?;
        let asked_at = webhook::verify(&self.secrets, signed, &body, self.clock())?;
        let request = Request::read(&body).map_err(|unreadable| Refusal::Unreadable(unreadable.to_string()))?;
        if request.act() != act {
            return Err(Refusal::Unreadable(format!(
                "is for /{} and came to /{act}",
                request.act()
            )));
        }
        let mut pause = PAUSE_FIRST;
        loop {
            match self.act(&request, asked_at).await {
                // Within the request's time, which is bounded from outside.
                Err(failure) if failure.is_contended() => {
                    self.telemetry.count_contended(act);
                    tracing::debug!(%failure, "tried again");
                    // Not all of those who met at the same time again.
                    tokio::time::sleep(pause.mul_f64(rand::random_range(0.5..1.5))).await;
                    pause = (2 * pause).min(PAUSE_MAX);
                }
                ended => return Ok(ended?),
            }
        }
    }

    fn clock(&self) -> Clock {
        Clock {
            now: domain::clock::now().as_second(),
            tolerance: self.tolerance,
        }
    }

    /// One transaction for a request.
    async fn act(&self, request: &Request, asked_at: i64) -> Result<Answered, Failure> {
        match request {
            Request::Check(check) => self.check(check).await.map(|a| answered(a.result.as_str(), &a)),
            Request::Pay(pay) => self.pay(pay, asked_at).await.map(|a| answered(a.result.as_str(), &a)),
            Request::Status(status) => {
                let told = self.status(status, asked_at).await;
                told.map(|a| answered(a.result.as_str(), &a))
            }
            Request::Cancel(cancel) => self.cancel(cancel).await.map(|a| answered(a.result.as_str(), &a)),
            Request::List(list) => self.list(list).await.map(|a| answered("listed", &a)),
        }
    }
}

fn answered(result: &'static str, answer: &impl Serialize) -> Answered {
    // Texts, numbers and lists of them: there is nothing serialization could refuse.
    Answered {
        result,
        body: serde_json::to_vec(answer).unwrap_or_default(),
    }
}

fn header_text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The status that makes the gateway do the right thing: 503 is asked again soon; 4xx concerns the request and is shown
/// to its operator, and nothing was entered; after 500 it may have been.
fn refuse(refusal: &Refusal) -> (&'static str, Response) {
    let (result, status) = match refusal {
        Refusal::Rejected(_) => ("rejected", StatusCode::UNAUTHORIZED),
        Refusal::TooLong => ("too_long", StatusCode::PAYLOAD_TOO_LARGE),
        Refusal::Unreadable(_) | Refusal::Failed(Failure::Request(_)) => ("unreadable", StatusCode::BAD_REQUEST),
        Refusal::Failed(Failure::Doubt(_)) => ("in_doubt", StatusCode::INTERNAL_SERVER_ERROR),
        Refusal::Failed(Failure::Answer { .. }) => ("statement_failed", StatusCode::UNPROCESSABLE_ENTITY),
        Refusal::Failed(Failure::Statement { source, .. } | Failure::Database(source)) => match source {
            DatabaseError::Away(_) | DatabaseError::Unreached { .. } => {
                ("database_away", StatusCode::SERVICE_UNAVAILABLE)
            }
            DatabaseError::Contended(_) => ("contended", StatusCode::SERVICE_UNAVAILABLE),
            _ => ("statement_failed", StatusCode::UNPROCESSABLE_ENTITY),
        },
        Refusal::Failed(Failure::TooLong(_)) => ("timeout", StatusCode::SERVICE_UNAVAILABLE),
    };
    log(result, refusal);
    (
        result,
        json(
            status,
            serde_json::json!({ "error": refusal.to_string() })
                .to_string()
                .into_bytes(),
        ),
    )
}

/// What a database says is told whole where it is about the connection; else it may quote a payer's data, and is there for who
/// looks closer.
fn log(result: &'static str, refusal: &Refusal) {
    let said = match refusal {
        Refusal::Failed(failure) => failure.of_database(),
        _ => None,
    };
    let cause = said.filter(|said| said.is_away()).map(DatabaseError::in_full);
    match result {
        "rejected" | "too_long" | "unreadable" => tracing::warn!(error = %refusal, result, "request refused"),
        _ => tracing::error!(error = %refusal, cause, result, "request failed"),
    }
    if let Some(said) = said {
        tracing::debug!(said = said.in_full(), result, "the database's own words");
    }
}

fn json(status: StatusCode, body: Vec<u8>) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}

/// 200 while the process runs.
async fn healthz() -> Response {
    json(StatusCode::OK, br#"{"status":"ok"}"#.to_vec())
}

/// 200 while the database answers.
async fn readyz(State(receiver): State<Arc<Receiver>>) -> Response {
    let pinged = tokio::time::timeout(receiver.timeout, receiver.ping()).await;
    let ready = matches!(pinged, Ok(Ok(())));
    receiver.telemetry.set_ready(ready);
    match ready {
        true => json(StatusCode::OK, br#"{"status":"ok"}"#.to_vec()),
        false => json(
            StatusCode::SERVICE_UNAVAILABLE,
            br#"{"status":"database away"}"#.to_vec(),
        ),
    }
}

async fn metrics(State(receiver): State<Arc<Receiver>>) -> Response {
    (
        [(header::CONTENT_TYPE, "text/plain; version=0.0.4")],
        receiver.telemetry.render(),
    )
        .into_response()
}
