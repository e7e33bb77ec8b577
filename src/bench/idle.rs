//! What a whole installation costs when nothing happens: all workers in one process of its own, looked at from outside.

use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Child;

use super::ground::{Grounds, IDENTITY};
use super::load::prepare;

/// Most memory, in MiB.
const MOST_MEMORY: f64 = 60.0;
/// Most of a core, in per cent.
const MOST_CPU: f64 = 2.0;
/// Longest start, in seconds.
const LONGEST_START: f64 = 2.0;
/// How long it is watched.
const WATCHED: Duration = Duration::from_secs(10);

/// Starts `unigate run` and watches it: seconds until ready, resident memory, share of a core.
pub(super) async fn measure(grounds: &Grounds) -> anyhow::Result<[(&'static str, (f64, f64)); 3]> {
    let ground = prepare(grounds, "idle").await?;
    let address = TcpListener::bind("127.0.0.1:0").await?.local_addr()?.to_string();
    let begun = Instant::now();
    let mut child = ground
        .command(&["run"])?
        .env("UNIGATE_HTTP_ADDRESS", &address)
        .env("UNIGATE_VAULT_IDENTITY_FILE", ground.file(IDENTITY))
        .spawn()?;
    let (ready, memory, cpu) = watch(&mut child, &address, begun).await?;
    child.kill().await?;
    ground.clear().await?;
    Ok([
        ("idle_ready", (ready, LONGEST_START)),
        ("idle_memory", (memory, MOST_MEMORY)),
        ("idle_cpu", (cpu, MOST_CPU)),
    ])
}

async fn watch(child: &mut Child, address: &str, begun: Instant) -> anyhow::Result<(f64, f64, f64)> {
    while !is_ready(address).await {
        if let Some(status) = child.try_wait()? {
            bail!("`unigate run` ended: {status}");
        }
        anyhow::ensure!(
            begun.elapsed() < Duration::from_secs(60),
            "`unigate run` is not ready after a minute"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let ready = begun.elapsed().as_secs_f64();
    let pid = child.id().context("the process is gone")?;
    let before = cpu_seconds(pid)?;
    let since = Instant::now();
    tokio::time::sleep(WATCHED).await;
    let cpu = (cpu_seconds(pid)? - before) / since.elapsed().as_secs_f64() * 100.0;
    Ok((ready, resident_mib(pid)?, cpu))
}

async fn is_ready(address: &str) -> bool {
    let asking = async {
        let mut stream = TcpStream::connect(address).await?;
        stream
            .write_all(b"GET /readyz HTTP/1.1\r\nhost: unigate\r\nconnection: close\r\n\r\n")
            .await?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await?;
        std::io::Result::Ok(answer)
    };
    asking.await.is_ok_and(|answer| answer.starts_with(b"HTTP/1.1 200"))
}

/// User and system time so far, from the kernel's own account.
fn cpu_seconds(pid: u32) -> anyhow::Result<f64> {
    // Linux counts it in hundredths of a second for user space, whatever the kernel's own tick.
    const TICKS_PER_SECOND: f64 = 100.0;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name in parentheses may hold spaces; utime and stime are the 12th and 13th after it.
    let (_, rest) = stat.rsplit_once(')').context("an unknown form of /proc/PID/stat")?;
    let ticks: Vec<&str> = rest.split_whitespace().skip(11).take(2).collect();
    let total: f64 = ticks.iter().filter_map(|text| text.parse::<f64>().ok()).sum();
    Ok(total / TICKS_PER_SECOND)
}

fn resident_mib(pid: u32) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .context("no VmRSS")?;
    let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib / 1024.0)
}
