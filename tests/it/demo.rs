//! `unigate demo` as a person uses it: a day that is played and kept, looked at with the lines it prints, interrupted, and
//! taken away. It makes a place of its own; only its directory is said here.

use std::path::Path;
use std::process::Stdio;

use bus::topology;
use runtime::Settings;
use runtime::settings::environment;
use secrecy::ExposeSecret;
use sqlx::mysql::MySqlPool;
use store::{Store, scratch};
use testkit::process::{executable, keep_apart, run};
use testkit::stand::with_database;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;
use url::Url;

use crate::cli::Files;
use crate::frontends::run_examples;

/// A day on a machine that does many things at once.
const DAY: std::time::Duration = std::time::Duration::from_secs(150);
/// The last line before a kept demo waits to be interrupted.
const WAITS: &str = "unigate payments list; ";

/// A demo that runs, and is taken away with the test.
struct Demo {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    said: String,
    name: String,
    out: String,
    settings: Settings,
}

impl Demo {
    async fn begin(out: &Path) -> Self {
        let out = out.display().to_string();
        let mut command = Command::new(executable());
        let mut child = keep_apart(&mut command)
            .args(["demo", "--seed", "7", "--terminals", "20", "--keep", "--out", &out])
            .env("UNIGATE_DATABASE_POOL", "8")
            // As an installation on this machine may say; the demo has nothing to do with it.
            .env("UNIGATE_ALERT_MAIL_TO", "ops@example.org")
            .env("UNIGATE_TERMINAL_HOLDS", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut demo = Self {
            child,
            lines,
            said: String::new(),
            name: String::new(),
            out,
            settings: Settings::load().unwrap(),
        };
        let first = demo.says(": seed 7, 20 terminals").await;
        first.split_once(':').unwrap().0.clone_into(&mut demo.name);
        demo
    }

    /// Reads on to a line with this text.
    async fn says(&mut self, text: &str) -> String {
        let found = timeout(DAY, async {
            while let Some(line) = self.lines.next_line().await.unwrap() {
                self.said += &format!("{line}\n");
                if line.contains(text) {
                    return line;
                }
            }
            panic!("it ended without {text:?}:\n{}", self.said)
        });
        found.await.unwrap_or_else(|_| panic!("no {text:?} within {DAY:?}"))
    }

    /// What it said to export. A password is not shown; whoever runs it knows it.
    fn exports(&self) -> Vec<(String, String)> {
        let lines = self.said.lines().filter_map(|line| line.strip_prefix("  export "));
        let known = |name: &str| match name {
            "UNIGATE_DATABASE_URL" => Url::parse(self.settings.store.url.expose_secret()).ok(),
            "UNIGATE_BROKER_URL" => Url::parse(self.settings.bus.url.expose_secret()).ok(),
            _ => None,
        };
        let pair = |word: &str| {
            let (name, value) = word.split_once('=').unwrap();
            let password = known(name).and_then(|url| url.password().map(str::to_owned));
            let value = value.trim_matches('\'');
            let value = value.replace(":PASSWORD@", &format!(":{}@", password.unwrap_or_default()));
            (name.to_owned(), value)
        };
        lines.flat_map(str::split_whitespace).map(pair).collect()
    }

    /// What one query of its database finds.
    async fn value(&self, sql: &str) -> String {
        let store = Store::connect(&with_database(&self.settings.store, &self.name)).unwrap();
        scratch::sql(&store, sql).await.unwrap()[0][0].clone().unwrap()
    }

    /// Databases of its name on the servers.
    async fn databases(&self) -> Vec<String> {
        let server = Store::connect(&with_database(&self.settings.store, "postgres")).unwrap();
        let named = format!("SELECT datname FROM pg_database WHERE datname LIKE '{}%'", self.name);
        let rows = scratch::sql(&server, &named).await.unwrap();
        let mut names: Vec<String> = rows.into_iter().map(|row| row[0].clone().unwrap()).collect();
        if let Some(mariadb) = environment("UNIGATE_TEST_MARIADB_URL") {
            let server = MySqlPool::connect(&mariadb).await.unwrap();
            let named = "SELECT CAST(schema_name AS CHAR) FROM information_schema.schemata WHERE schema_name = ?";
            let found = sqlx::query_scalar::<_, String>(named).bind(&self.name);
            names.extend(found.fetch_all(&server).await.unwrap());
        }
        names
    }

    /// Its queues and exchanges that are not there.
    async fn missing(&self) -> usize {
        let mut bus = self.settings.bus.clone();
        bus.namespace.clone_from(&self.name);
        let differences = topology::check(&bus).await.unwrap().differences;
        let rows = topology::rows(&bus.namespace);
        let is_missing = |row: &&topology::Row| differences.iter().any(|one| one.name == row.name);
        rows.iter().filter(is_missing).count()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        if std::thread::panicking() && !self.name.is_empty() {
            let _ = self.child.start_kill();
            let _ = std::process::Command::new(executable())
                .args(["demo", "--remove", &self.name, "--out", &self.out])
                .env("UNIGATE_CONFIG", "/dev/null")
                .output();
        }
    }
}

#[tokio::test]
async fn a_day_is_played_and_kept_and_taken_away() {
    let files = Files::new();
    let mut demo = Demo::begin(files.path()).await;
    demo.says(WAITS).await;
    assert!(
        demo.said.contains("\nAll invariants hold after a day of "),
        "{}",
        demo.said
    );
    assert!(!demo.said.contains("FAILED"), "{}", demo.said);
    for number in 1..=8 {
        assert!(
            demo.said.contains(&format!("\nok     {number}. ")),
            "{number}: {}",
            demo.said
        );
    }
    assert_eq!(demo.missing().await, 0);
    let count = "SELECT (SELECT count(*) FROM payment) || ' ' || (SELECT count(*) FROM card WHERE state = 'sold')";
    let figures = |text: &str| -> Vec<u64> { text.split(' ').map(|one| one.parse().unwrap()).collect() };
    let before = figures(&demo.value(count).await);

    let exports = demo.exports();
    assert!(
        exports
            .iter()
            .any(|(name, value)| name == "UNIGATE_BROKER_NAMESPACE" && *value == demo.name)
    );
    run_examples(&exports).await;
    let after = figures(&demo.value(count).await);
    assert_eq!(after, [before[0] + 2, before[1] + 2]);
    let listed = run(&exports, &["cards", "stock", "--format", "json"]).await;
    assert!(
        listed.rows().iter().any(|row| row["product"] == "mts-100"),
        "{listed:?}"
    );

    let id = demo.child.id().unwrap().to_string();
    let sent = Command::new("kill").args(["-INT", &id]).status().await.unwrap();
    assert!(sent.success());
    let kept = demo.says("kept: ").await;
    assert!(
        kept.contains(&format!("`unigate demo --remove {}`", demo.name)),
        "{kept}"
    );
    let ended = timeout(DAY, demo.child.wait()).await.unwrap().unwrap();
    assert_eq!(ended.code(), Some(0));
    assert!(demo.databases().await.len() >= 2, "it is kept");
    assert!(files.path().join(&demo.name).is_dir());

    let removed = run(&[], &["demo", "--remove", &demo.name, "--out", &demo.out]).await;
    assert_eq!(removed.code, Some(0), "{removed:?}");
    assert_eq!(demo.databases().await, Vec::<String>::new());
    assert_eq!(demo.missing().await, topology::rows(&demo.name).len());
    assert_eq!(std::fs::read_dir(files.path()).unwrap().count(), 0);
}
