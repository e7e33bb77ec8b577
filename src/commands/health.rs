//! `unigate health`: asks the process that runs on this host whether it can work now. For container health checks, so it
//! needs no tool in the image and speaks just enough HTTP itself.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, bail};
use runtime::Settings;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::ending::{Ending, Outcome};
use crate::output::{note, say};

/// How long to wait.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How long the process may take to answer
    #[arg(long, value_name = "SECONDS", default_value_t = 3)]
    timeout: u64,
}

/// More than any report of readiness has.
const MOST_BYTES: u64 = 64 * 1024;

/// Asks `/readyz`.
pub(crate) async fn run(args: Args) -> Outcome {
    let address = reachable(Settings::load()?.http_address);
    let asking = tokio::time::timeout(Duration::from_secs(args.timeout), ask(address));
    let (status, body) = match asking.await {
        Ok(answer) => answer.with_context(|| format!("nothing healthy at {address}"))?,
        Err(_) => bail!("{address} did not answer within {} s", args.timeout),
    };
    if status == 200 {
        say(body.trim())?;
        return Ok(Ending::Done);
    }
    note(&format!("not ready ({status}): {}", body.trim()));
    Ok(Ending::Failed)
}

/// A process that listens everywhere is asked on the loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    let host = match address.ip() {
        IpAddr::V4(host) if host.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(host) if host.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        host => host,
    };
    SocketAddr::new(host, address.port())
}

async fn ask(address: SocketAddr) -> anyhow::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    stream.take(MOST_BYTES).read_to_end(&mut answer).await?;
    read_answer(&answer).context("what answers there does not speak HTTP")
}

/// Status and body. The body is shown as it is, its length already bounded.
fn read_answer(answer: &[u8]) -> Option<(u16, String)> {
    let text = String::from_utf8_lossy(answer);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read() {
        let answer = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\n\r\n{\"broker\":\"away\"}";
        assert_eq!(read_answer(answer), Some((503, "{\"broker\":\"away\"}".to_owned())));
        for broken in [
            &b""[..],
            b"220 mail ready\r\n\r\n",
            b"HTTP/1.1\r\n\r\n",
            b"HTTP/1.1 200 OK\r\n",
        ] {
            assert_eq!(read_answer(broken), None);
        }
    }

    #[test]
    fn everywhere_is_asked_here() {
        assert_eq!(reachable("0.0.0.0:8080".parse().unwrap()).to_string(), "127.0.0.1:8080");
        assert_eq!(reachable("[::]:80".parse().unwrap()).to_string(), "[::1]:80");
        assert_eq!(reachable("10.0.0.5:80".parse().unwrap()).to_string(), "10.0.0.5:80");
    }
}
