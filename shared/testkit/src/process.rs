//! The real executable as processes of their own: workers that can be killed, stopped and ended, and commands that are
//! run by hand. It is found beside the test binary and built by nobody here.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::{leak, lock, wait_for, wait_on};

/// Longest start, and longest wait for a death that a test has ordered.
const PATIENCE: Duration = Duration::from_secs(60);
/// Orchestrators kill after so long.
const END_PATIENCE: Duration = Duration::from_secs(30);

/// Where the executable is.
///
/// # Panics
/// When it was not built: a test that needs it cannot say anything.
pub fn executable() -> PathBuf {
    let own = std::env::current_exe().expect("a test binary has a path");
    let beside = own
        .ancestors()
        .skip(1)
        .take(2)
        .map(|directory| directory.join("unigate"));
    let found = beside.into_iter().find(|path| path.is_file());
    found.unwrap_or_else(|| {
        panic!(
            "no executable `unigate` beside {}: run `cargo build` first",
            own.display()
        )
    })
}

/// A running process.
pub struct Process {
    child: Child,
    log: Arc<Log>,
}

#[derive(Default)]
struct Log {
    lines: Mutex<Vec<String>>,
    grown: watch::Sender<usize>,
}

/// What a command printed and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// The exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// What it printed.
    pub stdout: String,
    /// What it complained about.
    pub stderr: String,
}

impl Done {
    /// Each line of the output as JSON.
    ///
    /// # Panics
    /// When a line is none.
    pub fn rows(&self) -> Vec<serde_json::Value> {
        let parse = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        self.stdout.lines().map(parse).collect()
    }
}

/// Runs a command to its end.
///
/// # Panics
/// When it does not end within a minute.
pub async fn run(environment: &[(String, String)], arguments: &[&str]) -> Done {
    let mut command = command(environment, arguments);
    let ended = timeout(PATIENCE, command.output()).await;
    let output = ended
        .unwrap_or_else(|_| panic!("`unigate {}` did not end", arguments.join(" ")))
        .expect("the executable can be run");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    let (stdout, stderr) = (text(output.stdout), text(output.stderr));
    searched(arguments, &stdout, &stderr);
    Done {
        code: output.status.code(),
        stdout,
        stderr,
    }
}

/// No command says a secret.
pub(crate) fn searched(arguments: &[&str], stdout: &str, stderr: &str) {
    for text in [stdout, stderr] {
        leak::search(&format!("what `unigate {}` said", arguments.join(" ")), text.as_bytes());
    }
}

/// What an installation says in its environment and a test or benchmark must not hear.
const AN_INSTALLATIONS: [&str; 12] = [
    "UNIGATE_ARTIFACTS_URL",
    "UNIGATE_SMTP_URL",
    "UNIGATE_SMTP_CA_FILE",
    "UNIGATE_ALERT_MAIL_TO",
    "UNIGATE_VAULT_IDENTITY",
    "UNIGATE_PGP_KEY_FILE",
    "UNIGATE_PGP_KEY_PASSWORD",
    "UNIGATE_TERMINAL_HOLDS",
    "UNIGATE_TERMINAL_SALES_PER_HOUR",
    "UNIGATE_TERMINAL_UNSOLD_PER_HOUR",
    "UNIGATE_SWEEP_SECONDS",
    "UNIGATE_OPERATOR",
];

/// Keeps a process away from the installation that this machine's environment or `unigate.toml` may describe: from its files,
/// mails, keys and limits. What a test or benchmark wants of these it says afterwards.
pub fn keep_apart(command: &mut Command) -> &mut Command {
    for name in AN_INSTALLATIONS {
        command.env_remove(name);
    }
    command.env("UNIGATE_CONFIG", "/dev/null")
}

fn command(environment: &[(String, String)], arguments: &[&str]) -> Command {
    let mut command = Command::new(executable());
    keep_apart(&mut command)
        .args(arguments)
        .envs(environment.iter().map(|(name, value)| (name, value)));
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

impl Process {
    /// Starts `unigate` with these arguments, usually `run …`.
    pub fn start(environment: &[(String, String)], arguments: &[&str]) -> Self {
        let mut command = command(environment, arguments);
        command
            .env("UNIGATE_LOG_FORMAT", "json")
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let mut child = command.spawn().expect("the executable can be run");
        let log = Arc::new(Log::default());
        let stderr = child.stderr.take().expect("it is piped");
        let kept = log.clone();
        tokio::spawn(async move {
            let mut lines = BufReader::new(stderr).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                leak::search("the log of a process", line.as_bytes());
                lock(&kept.lines).push(line);
                kept.grown.send_modify(|lines| *lines += 1);
            }
        });
        Self { child, log }
    }

    /// The same, and waits until it can work.
    pub async fn start_ready(environment: &[(String, String)], arguments: &[&str]) -> Self {
        let process = Self::start(environment, arguments);
        process.wait_for_readiness(200).await;
        process
    }

    /// What it has logged until now, a line of JSON each.
    pub fn log_lines(&self) -> Vec<String> {
        lock(&self.log.lines).clone()
    }

    /// Waits until `/readyz` answers with this status.
    pub async fn wait_for_readiness(&self, status: u16) {
        let address = self.address().await;
        wait_for(&format!("/readyz to answer {status}"), PATIENCE, async || {
            (get(address, "/readyz").await?.0 == status).then_some(())
        })
        .await;
    }

    /// What a path of the health server answers: status and body.
    pub async fn get(&self, path: &str) -> Option<(u16, String)> {
        get(self.address().await, path).await
    }

    /// Waits for a line of the log that holds this text, and returns it.
    pub async fn wait_for_log(&self, text: &str) -> String {
        wait_on(
            &format!("a line with {text:?}"),
            PATIENCE,
            self.log.grown.subscribe(),
            || lock(&self.log.lines).iter().find(|line| line.contains(text)).cloned(),
        )
        .await
    }

    /// Its process id.
    ///
    /// # Panics
    /// When it has ended.
    pub fn id(&self) -> u32 {
        self.child.id().expect("it still runs")
    }

    /// Sends a signal by its name: `STOP`, `CONT`, `KILL`.
    pub async fn signal(&self, name: &str) {
        let id = self.id().to_string();
        let sent = Command::new("kill").args([&format!("-{name}"), &id]).status().await;
        assert!(sent.expect("kill can be run").success(), "no signal {name} to {id}");
    }

    /// Waits until it dies by a signal, as a test ordered.
    pub async fn dies(&mut self) {
        let status = timeout(PATIENCE, self.child.wait())
            .await
            .expect("it should have died")
            .expect("its status");
        assert_eq!(status.code(), None, "it ended by itself: {status}");
    }

    /// Asks it to end and waits for that, no longer than an orchestrator would.
    pub async fn end(mut self) -> ExitStatus {
        if let Ok(Some((_, metrics))) = timeout(END_PATIENCE, self.get("/metrics")).await {
            leak::search("the metrics of a process", metrics.as_bytes());
        }
        self.signal("TERM").await;
        timeout(END_PATIENCE, self.child.wait())
            .await
            .expect("an end within 30 s")
            .expect("its status")
    }

    async fn address(&self) -> SocketAddr {
        let line = self.wait_for_log("health and metrics are served").await;
        let line: serde_json::Value = serde_json::from_str(&line).expect("a JSON line");
        line["address"]
            .as_str()
            .and_then(|address| address.parse().ok())
            .expect("an address")
    }
}

impl Drop for Process {
    #[expect(clippy::print_stderr, reason = "a failed test shows what its processes said")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            for line in lock(&self.log.lines).iter() {
                eprintln!("{line}");
            }
        }
    }
}

/// One request by hand; `None` when nobody answers.
async fn get(address: SocketAddr, path: &str) -> Option<(u16, String)> {
    let mut stream = TcpStream::connect(address).await.ok()?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, body.to_owned()))
}
