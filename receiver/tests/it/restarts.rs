//! The database itself killed and started again, while payments come: none is lost, none is entered twice, and nobody has
//! to do anything about it. The servers are private ones, since others' tests use the shared ones.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use contract::unikassa::{Pay, Request};
use receiver::Receiver;
use receiver::config::StatementConfig;
use tokio::process::Command;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use crate::stand::{config, payment, send_to, short, wait_for};

/// Payments that are entered around each kill.
const ROUND: i64 = 30;

const SCHEMA: &str = "
    create table subscribers (account varchar(300) primary key, name text not null, balance bigint not null, closed integer not null default 0);
    create table inbox (number bigint, account text, amount text, payer text, fields text);
    insert into subscribers (account, name, balance) values ('1001', 'Иван', 0);
";

/// A private server, gone with this.
struct Private {
    service: &'static str,
    variable: &'static str,
    data: PathBuf,
    /// Waits for the end of its input, which also comes when this process is killed, and cleans up.
    keeper: Child,
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/services")
}

impl Private {
    fn new(service: &'static str, variable: &'static str) -> Self {
        use std::os::unix::process::CommandExt as _;

        let data = std::env::temp_dir().join(format!("unigate-private-{}", uuid::Uuid::now_v7()));
        let keeper = std::process::Command::new("bash")
            .args(["-c", r#"read -r; "$0" clean; rm -rf "$UNIGATE_DATA_DIR""#])
            .arg(script())
            .env("UNIGATE_DATA_DIR", &data)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        Self {
            service,
            variable,
            data,
            keeper,
        }
    }

    /// Starts it, unless it runs, and says where it is.
    async fn up(&self) -> Url {
        Url::parse(self.script(&["run", "printenv", self.variable]).await.trim()).unwrap()
    }

    /// The process to be killed, as it has written it down in its directory.
    async fn pid(&self) -> String {
        let (name, file) = match self.service {
            "postgres" => ("private PostgreSQL: running", "cluster/postmaster.pid"),
            _ => ("private MariaDB: running", "pid"),
        };
        let status = self.script(&["status"]).await;
        let line = status.lines().find(|line| line.starts_with(name)).expect("it runs");
        let directory = line.split_once("data in ").expect("where it is").1;
        let text = std::fs::read_to_string(Path::new(directory).join(file)).unwrap();
        text.lines().next().expect("its process").to_owned()
    }

    async fn script(&self, arguments: &[&str]) -> String {
        let said = Command::new(script())
            .args(arguments)
            .env("UNIGATE_DATA_DIR", &self.data)
            .env("UNIGATE_SERVICES", self.service)
            .env("UNIGATE_SERVICES_SKIP_STANDARD", "1")
            .env_remove(self.variable)
            .stdin(Stdio::null())
            .output()
            .await
            .unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        String::from_utf8(said.stdout).unwrap()
    }

    /// At once, to the process that was looked up before: what is to be hit would be over before that is done.
    async fn signal(signal: &str, pid: &str) {
        let done = Command::new("kill").args([signal, pid]).status().await.unwrap();
        assert!(done.success());
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_killed_and_stopped_comes_back_without_anybody() {
    let private = Private::new("postgres", "UNIGATE_DATABASE_URL");
    let admin = private.up().await;
    let pool = sqlx::PgPool::connect(admin.as_str()).await.unwrap();
    sqlx::query("create database unigate_restarts")
        .execute(&pool)
        .await
        .unwrap();
    pool.close().await;
    survives(&private, admin, "-INT", "select pg_sleep(0.05)").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mariadb_killed_and_stopped_comes_back_without_anybody() {
    let private = Private::new("mariadb", "UNIGATE_TEST_MARIADB_URL");
    let admin = private.up().await;
    let pool = sqlx::MySqlPool::connect(admin.as_str()).await.unwrap();
    sqlx::query("create database unigate_restarts")
        .execute(&pool)
        .await
        .unwrap();
    pool.close().await;
    survives(&private, admin, "-TERM", "select sleep(0.05)").await;
}

/// Kills the server in the middle of payments, then stops it in order (with `stop`), each time with payments on their way:
/// they take their time.
async fn survives(private: &Private, mut url: Url, stop: &str, pause: &str) {
    url.set_path("unigate_restarts");
    let mut config = config(url.as_str(), None);
    config.pay.sql.0.push(StatementConfig {
        sql: pause.to_owned(),
        optional: false,
    });
    receiver::init_db(&config, Some(SCHEMA)).await.unwrap();
    let receiver = Arc::new(Receiver::open(&config).unwrap());
    let router = receiver.router();
    for (round, signal) in (0..).zip(["-KILL", stop]) {
        let payments: Vec<Pay> = (1..=ROUND).map(|n| payment(round * ROUND + n, "1001")).collect();
        let pid = private.pid().await;
        let stopped = CancellationToken::new();
        let tracker = TaskTracker::new();
        for pay in &payments {
            tracker.spawn(insist(router.clone(), pay.clone(), stopped.clone()));
        }
        tracker.close();
        wait_for("some are entered", || async {
            entered(&config).await >= round * ROUND + 5
        })
        .await;
        Private::signal(signal, &pid).await;
        assert!(!tracker.is_empty(), "killed too late to show anything");
        wait_for("it is seen to be away", || async {
            send_to(&router, &crate::stand::status(1)).await.0 == StatusCode::SERVICE_UNAVAILABLE
        })
        .await;
        assert_eq!(private.up().await.port(), url.port(), "it moved");
        // Everybody goes on asking, and nobody has touched the receiver.
        tokio::time::timeout(Duration::from_secs(60), tracker.wait())
            .await
            .expect("all are entered after it came back");
        stopped.cancel();
        assert_eq!(entered(&config).await, (round + 1) * ROUND);
    }
    let rows = receiver::look(&config, "select balance from subscribers")
        .await
        .unwrap();
    assert_eq!(rows[0]["balance"], (2 * ROUND * 15_000).to_string());
    receiver.close().await;
}

/// As the gateway does: again until there is an answer, and no answer is a 503.
async fn insist(router: Router, pay: Pay, stopped: CancellationToken) {
    let request = Request::Pay(pay);
    while !stopped.is_cancelled() {
        let (code, answer) = send_to(&router, &request).await;
        if code == StatusCode::OK {
            let result = short(&answer).0;
            assert!(["accepted", "already_accepted"].contains(&&*result), "{answer}");
            return;
        }
        assert_eq!(code, StatusCode::SERVICE_UNAVAILABLE, "{answer}");
        tokio::task::yield_now().await;
    }
}

async fn entered(config: &receiver::Config) -> i64 {
    let rows = receiver::look(config, "select count(*) as n, count(distinct number) as d from inbox").await;
    match rows {
        Ok(rows) => {
            assert_eq!(rows[0]["n"], rows[0]["d"], "entered twice");
            rows[0]["n"].parse().unwrap()
        }
        Err(_) => -1,
    }
}
