//! Nothing is done for a request that is not signed, not in time or not for its address.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::http::{Request as HttpRequest, StatusCode};
use contract::unikassa::Request;
use contract::webhook;

use crate::stand::{Backend, OTHER_SECRET, SECRET, on, payment, secret, send_raw, send_signed};

#[tokio::test]
async fn only_signed_requests_in_time_do_anything() {
    on(Backend::Sqlite, None, |stand| async move {
        let now = domain::clock::now().as_second();
        let pay = Request::Pay(payment(1, "1001"));
        let (id, body) = (pay.webhook_id(), pay.to_body());
        for (at, secret) in [(now, OTHER_SECRET), (now - 310, SECRET), (now + 310, SECRET)] {
            let (code, answer) = send_signed(&stand.router, "/unikassa/pay", &id, at, secret, body.clone()).await;
            assert_eq!(code, StatusCode::UNAUTHORIZED, "{at} {answer}");
            assert!(answer["error"].as_str().unwrap().starts_with("not believed: "));
        }
        let unsigned = HttpRequest::post("/unikassa/pay")
            .body(Body::from(body.clone()))
            .unwrap();
        assert_eq!(send_raw(&stand.router, unsigned).await.0, StatusCode::UNAUTHORIZED);
        let cut = HttpRequest::post("/unikassa/pay")
            .header(webhook::ID_HEADER, &id)
            .header(webhook::TIMESTAMP_HEADER, now.to_string())
            .header(webhook::SIGNATURE_HEADER, "v1,")
            .body(Body::from(body.clone()))
            .unwrap();
        assert_eq!(send_raw(&stand.router, cut).await.0, StatusCode::UNAUTHORIZED);
        let changed = String::from_utf8(body.clone())
            .unwrap()
            .replace("15000", "15001")
            .into_bytes();
        let signature = webhook::sign(&webhook::Secrets::parse(SECRET).unwrap(), &id, now, &body);
        let tampered = HttpRequest::post("/unikassa/pay")
            .header(webhook::ID_HEADER, &id)
            .header(webhook::TIMESTAMP_HEADER, now.to_string())
            .header(webhook::SIGNATURE_HEADER, signature)
            .body(Body::from(changed))
            .unwrap();
        assert_eq!(send_raw(&stand.router, tampered).await.0, StatusCode::UNAUTHORIZED);
        let elsewhere = send_signed(&stand.router, "/unikassa/cancel", &id, now, SECRET, body.clone()).await;
        assert_eq!(
            elsewhere.0,
            StatusCode::BAD_REQUEST,
            "a payment replayed at another address"
        );
        assert_eq!(stand.balance("1001").await, 500);
        assert_eq!(stand.number("select count(*) from unigate_payment").await, 0);
    })
    .await;
}

/// Where the log of a test goes.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn what_comes_unsigned_is_quoted_and_cut_in_the_log() {
    on(Backend::Sqlite, None, |stand| async move {
        let log = Log::default();
        let writer = log.clone();
        let written = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(move || writer.clone());
        // The test and what it asks share one thread.
        let guard = tracing::subscriber::set_default(written.finish());
        let long = format!("{}\t{}", "x".repeat(40), "y".repeat(5_000));
        let unsigned = HttpRequest::post("/unikassa/pay")
            .header(webhook::ID_HEADER, &long)
            .header("traceparent", &long)
            .body(Body::from("{}"))
            .unwrap();
        assert_eq!(send_raw(&stand.router, unsigned).await.0, StatusCode::UNAUTHORIZED);
        drop(guard);
        let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        let cut = format!("\"{}\\t{}\"", "x".repeat(40), "y".repeat(39));
        for name in ["id", "trace"] {
            assert!(log.contains(&format!("{name}={cut}")), "{name}: {log}");
        }
        assert!(!log.contains('\t'), "{log}");
    })
    .await;
}

#[tokio::test]
async fn a_rotating_secret_lets_either_side_go_first() {
    on(Backend::Sqlite, None, |stand| async move {
        let now = domain::clock::now().as_second();
        let both = format!("{SECRET},{OTHER_SECRET}");
        let (second, rotating) = stand.second(|config| config.secret = secret(&both));
        let mut number = 0;
        for (router, signed_with, code) in [
            (&stand.router, SECRET, StatusCode::OK),
            (&rotating, SECRET, StatusCode::OK),
            (&rotating, OTHER_SECRET, StatusCode::OK),
            (&stand.router, &both, StatusCode::OK),
            (&stand.router, OTHER_SECRET, StatusCode::UNAUTHORIZED),
        ] {
            number += 1;
            let pay = Request::Pay(payment(number, "1001"));
            let sent = send_signed(
                router,
                "/unikassa/pay",
                &pay.webhook_id(),
                now,
                signed_with,
                pay.to_body(),
            )
            .await;
            assert_eq!(sent.0, code, "{number}: {}", sent.1);
        }
        second.close().await;
    })
    .await;
}

#[tokio::test]
async fn the_time_window_is_the_configurations() {
    on(Backend::Sqlite, None, |stand| async move {
        let (second, narrow) = stand.second(|config| config.tolerance_seconds = 30);
        let now = domain::clock::now().as_second();
        for (router, age, code) in [
            (&stand.router, 290, StatusCode::OK),
            (&stand.router, 310, StatusCode::UNAUTHORIZED),
            (&narrow, 25, StatusCode::OK),
            (&narrow, 35, StatusCode::UNAUTHORIZED),
            (&narrow, -35, StatusCode::UNAUTHORIZED),
        ] {
            let pay = Request::Pay(payment(1000 + age, "1001"));
            let sent = send_signed(
                router,
                "/unikassa/pay",
                &pay.webhook_id(),
                now - age,
                SECRET,
                pay.to_body(),
            )
            .await;
            assert_eq!(sent.0, code, "{age}: {}", sent.1);
        }
        second.close().await;
    })
    .await;
}
