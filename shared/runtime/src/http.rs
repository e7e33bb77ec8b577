//! `/healthz` (the process runs), `/readyz` (it can work) and `/metrics`, for orchestrators and people.

use std::net::SocketAddr;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::{Readiness, telemetry};

/// Serves until `shutdown`. Returns the address it really listens on.
pub(crate) async fn serve(
    address: SocketAddr,
    readiness: Readiness,
    shutdown: CancellationToken,
) -> std::io::Result<(SocketAddr, impl Future<Output = ()>)> {
    let listener = TcpListener::bind(address).await?;
    let address = listener.local_addr()?;
    let app = Router::new()
        .route("/healthz", get(|| async { "ok" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(|| async { telemetry::render_metrics() }))
        .with_state(readiness);
    let server = async move {
        let served = axum::serve(listener, app).with_graceful_shutdown(async move { shutdown.cancelled().await });
        if let Err(error) = served.await {
            tracing::error!(%error, "the health and metrics server ended");
        }
    };
    Ok((address, server))
}

async fn readyz(State(readiness): State<Readiness>) -> impl IntoResponse {
    let status = if readiness.is_ready() {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let parts: serde_json::Map<_, _> = readiness
        .report()
        .into_iter()
        .map(|(part, why)| {
            (
                part.to_owned(),
                serde_json::Value::from(why.unwrap_or_else(|| "ready".into())),
            )
        })
        .collect();
    (status, Json(serde_json::Value::Object(parts)))
}
