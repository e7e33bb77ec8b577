//! Bodies that are signed and make no sense all the same, other addresses and methods, and what is told about it.

use axum::body::Body;
use axum::http::{Request as HttpRequest, StatusCode};

use crate::stand::{Backend, SECRET, Stand, metrics, on, payment, send_raw, send_signed};

async fn send(stand: &Stand, path: &str, body: &[u8]) -> StatusCode {
    let now = domain::clock::now().as_second();
    send_signed(&stand.router, path, "pay-1", now, SECRET, body.to_vec())
        .await
        .0
}

#[tokio::test]
async fn unreadable_bodies_are_refused_and_change_nothing() {
    on(Backend::Sqlite, None, |stand| async move {
        let whole = String::from_utf8(contract::unikassa::Request::Pay(payment(1, "1001")).to_body()).unwrap();
        let bodies = [
            String::new(),
            "null".to_owned(),
            "[1]".to_owned(),
            "{".to_owned(),
            whole.clone() + "x",
            whole.replace("\"number\":\"1\",", ""),
            whole.replace("15000", "15000.0"),
            whole.replace("15000", "-1"),
            whole.replace("RUB", "RUR1"),
            whole.replace("1001", ""),
            whole.replace("1001", "a\\u0000b"),
            whole.replace("\"payer\"", "\"Payer\""),
            whole.replace("{\"payer\"", &"[".repeat(200)),
        ];
        for body in &bodies {
            assert_eq!(
                send(&stand, "/unikassa/pay", body.as_bytes()).await,
                StatusCode::BAD_REQUEST,
                "{body}"
            );
        }
        assert_eq!(
            send(&stand, "/unikassa/pay", b"\xff\xfe{}").await,
            StatusCode::BAD_REQUEST
        );
        let long = vec![b' '; 64 * 1024 + 1];
        assert_eq!(
            send(&stand, "/unikassa/pay", &long).await,
            StatusCode::PAYLOAD_TOO_LARGE
        );
        assert_eq!(stand.number("select count(*) from unigate_payment").await, 0);
        assert_eq!(send(&stand, "/unikassa/pay", whole.as_bytes()).await, StatusCode::OK);
    })
    .await;
}

#[tokio::test]
async fn other_addresses_health_and_metrics() {
    on(Backend::Sqlite, None, |stand| async move {
        assert_eq!(send(&stand, "/unikassa/refund", b"{}").await, StatusCode::NOT_FOUND);
        assert_eq!(send(&stand, "/pay", b"{}").await, StatusCode::NOT_FOUND);
        let get = |path: &str| HttpRequest::get(path).body(Body::empty()).unwrap();
        assert_eq!(
            send_raw(&stand.router, get("/unikassa/pay")).await.0,
            StatusCode::METHOD_NOT_ALLOWED
        );
        let (code, health) = send_raw(&stand.router, get("/healthz")).await;
        assert_eq!((code, health["status"].as_str()), (StatusCode::OK, Some("ok")));
        assert_eq!(stand.pay(&payment(1, "1001")).await.0, "accepted");
        send(&stand, "/unikassa/pay", b"{}").await;
        let ready = send_raw(&stand.router, get("/readyz")).await.0;
        assert_eq!(ready, StatusCode::OK);
        let text = metrics(&stand.router).await;
        assert!(
            text.contains(r#"unigate_receiver_requests_total{act="pay",result="accepted"} 1"#),
            "{text}"
        );
        assert!(
            text.contains(r#"unigate_receiver_requests_total{act="pay",result="unreadable"} 1"#),
            "{text}"
        );
        assert!(
            text.contains(r#"unigate_receiver_request_seconds_bucket{act="pay",le="0.005"}"#),
            "{text}"
        );
    })
    .await;
}
