//! The payees of the benchmark, as cheap as a server can be: each accepts everything after the same pause, or hangs.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::Uri;
use serde::Deserialize;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

/// All of them, behind one address; each has a path.
pub(super) struct Payees {
    address: SocketAddr,
    desk: Arc<Desk>,
    serving: AbortHandle,
}

struct Desk {
    pause: Duration,
    answered: AtomicU64,
}

#[derive(Deserialize)]
struct Asked {
    number: String,
}

impl Payees {
    /// Starts them.
    pub(super) async fn start(pause: Duration) -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let desk = Arc::new(Desk {
            pause,
            answered: AtomicU64::new(0),
        });
        let router = Router::new().fallback(answer).with_state(desk.clone());
        let serving = tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, router).await {
                tracing::error!(%error, "the benchmark's payees stopped");
            }
        });
        Ok(Self {
            address,
            desk,
            serving: serving.abort_handle(),
        })
    }

    /// Where one of them is called.
    pub(super) fn url(&self, id: &str, hangs: bool) -> String {
        let path = if hangs { "hangs" } else { "answers" };
        format!("http://{}/{path}/{id}", self.address)
    }

    /// Payments answered so far.
    pub(super) fn answered(&self) -> u64 {
        self.desk.answered.load(Ordering::Relaxed)
    }
}

impl Drop for Payees {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn answer(State(desk): State<Arc<Desk>>, uri: Uri, body: Bytes) -> String {
    if uri.path().starts_with("/hangs/") {
        return std::future::pending().await;
    }
    if !desk.pause.is_zero() {
        tokio::time::sleep(desk.pause).await;
    }
    let Ok(asked) = serde_json::from_slice::<Asked>(&body) else {
        return String::new();
    };
    desk.answered.fetch_add(1, Ordering::Relaxed);
    format!(r#"{{"number":"{}","result":"accepted"}}"#, asked.number)
}
