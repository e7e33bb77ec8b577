//! Connections: HTTP/1.1, each with a limit on how long it may take to ask. Whoever opens many and says nothing, or says it
//! slowly, would otherwise keep them until no more can be opened.

use std::pin::pin;
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How long the head of a request may take, and how long is waited for the next one. Longer than a web server in front keeps a
/// connection that it does not use (Caddy: two minutes): it is to be the one that closes it, since what it sends on one that is
/// just being closed is lost. What follows the head is within a request's own time.
const HEAD: Duration = Duration::from_secs(150);

/// Serves until `shutdown` is cancelled, and returns when all connections have ended what they were at.
pub(crate) async fn serve(listener: TcpListener, router: Router, shutdown: &CancellationToken) {
    serve_within(HEAD, listener, router, shutdown).await;
}

async fn serve_within(head: Duration, mut listener: TcpListener, router: Router, shutdown: &CancellationToken) {
    let connections = TaskTracker::new();
    loop {
        let (stream, _) = tokio::select! {
            // What goes wrong in between (no file to be had, say) is tried again after a while.
            accepted = Listener::accept(&mut listener) => accepted,
            () = shutdown.cancelled() => break,
        };
        connections.spawn(connection(head, stream, router.clone(), shutdown.clone()));
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

async fn connection(head: Duration, stream: TcpStream, router: Router, shutdown: CancellationToken) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(head);
    let mut serving = pin!(http.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router)));
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = shutdown.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        let error: &dyn std::error::Error = &error;
        tracing::debug!(error, "a connection broke off");
    }
}

#[cfg(test)]
mod tests {
    use axum::routing::get;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// Everything that comes until the other side closes.
    async fn heard(stream: &mut TcpStream) -> String {
        let mut text = String::new();
        let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_string(&mut text)).await;
        read.expect("it is closed").unwrap();
        text
    }

    #[tokio::test]
    async fn a_connection_that_asks_nothing_or_slowly_is_closed() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/", get(|| async { "here" }));
        let shutdown = CancellationToken::new();
        let serving = tokio::spawn({
            let shutdown = shutdown.clone();
            async move { serve_within(Duration::from_millis(100), listener, router, &shutdown).await }
        });
        for (said, answer) in [
            ("", ""),
            ("GET / HTTP/1.1\r\nHost: ", ""),
            ("GET / HTTP/1.1\r\nHost: x\r\n\r\n", "here"),
        ] {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(said.as_bytes()).await.unwrap();
            assert!(heard(&mut stream).await.ends_with(answer), "{said}");
        }
        shutdown.cancel();
        serving.await.unwrap();
        assert!(TcpStream::connect(address).await.is_err());
    }
}
