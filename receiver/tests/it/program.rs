//! The program itself, with the example's files: prepared, checked, killed in the middle of payments, started again.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use contract::unikassa::{Pay, Request};
use contract::webhook::{self, Secrets};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use sqlx::{AssertSqlSafe, SqlitePool};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use crate::stand::{Backend, SECRET, config, on, payment};

const PAYMENTS: i64 = 120;

/// A directory with the example's configuration, removed at the end.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/receiver");
        let place = std::env::temp_dir().join(format!("unigate-receiver-{}", uuid::Uuid::now_v7()));
        std::fs::create_dir(&place).unwrap();
        let config = std::fs::read_to_string(example.join("receiver.toml")).unwrap();
        assert!(config.contains("127.0.0.1:8090"));
        std::fs::write(
            place.join("receiver.toml"),
            config.replace("127.0.0.1:8090", "127.0.0.1:0"),
        )
        .unwrap();
        std::fs::copy(example.join("schema.sql"), place.join("schema.sql")).unwrap();
        Self(place)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_unigate-receiver"));
        command
            .args(arguments)
            .current_dir(&self.0)
            .env("UNIGATE_RECEIVER_SECRET", SECRET)
            .kill_on_drop(true);
        command
    }

    async fn output(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = self.command(arguments).output().await.unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.code(), text)
    }

    /// Starts the program and waits until it says where it listens.
    async fn run(&self) -> (Child, String) {
        let mut child = self.command(&["run", "--json"]).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        while let Some(line) = lines.next_line().await.unwrap() {
            let line: serde_json::Value = serde_json::from_str(&line).unwrap();
            if let Some(address) = line["fields"]["address"].as_str() {
                let address = format!("http://{address}/unikassa/pay");
                // Read on, or the program would wait for room in the pipe.
                tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
                return (child, address);
            }
        }
        panic!("it ended before it listened");
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

async fn send(client: reqwest::Client, address: String, pay: Pay) -> Option<(i64, String)> {
    let request = Request::Pay(pay.clone());
    let (id, at, body) = (
        request.webhook_id(),
        domain::clock::now().as_second(),
        request.to_body(),
    );
    let signature = webhook::sign(&Secrets::parse(SECRET).unwrap(), &id, at, &body);
    let sent = client
        .post(address)
        .header(webhook::ID_HEADER, &id)
        .header(webhook::TIMESTAMP_HEADER, at.to_string())
        .header(webhook::SIGNATURE_HEADER, signature)
        .body(body)
        .send()
        .await
        .ok()?;
    let answer: serde_json::Value = sent.json().await.ok()?;
    Some((pay.number.get(), answer["result"].as_str()?.to_owned()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_the_middle_nothing_is_lost_or_doubled() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let place = Place::new();
    let (code, text) = place.output(&["init-db", "--schema", "schema.sql"]).await;
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = place.output(&["check-config", "--account", "1001"]).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(!text.contains("warning") && !text.contains("error"), "{text}");

    let client = reqwest::Client::new();
    let payments: Vec<Pay> = (1..=PAYMENTS).map(|number| payment(number, "1001")).collect();
    let send_all = |address: &str| -> FuturesUnordered<_> {
        payments
            .iter()
            .map(|pay| tokio::spawn(send(client.clone(), address.to_owned(), pay.clone())))
            .collect()
    };

    let (mut child, address) = place.run().await;
    let mut answers = send_all(&address);
    let mut accepted = Vec::new();
    while let Some(answer) = answers.next().await {
        if let Some((number, result)) = answer.unwrap() {
            assert_eq!(result, "accepted");
            accepted.push(number);
        }
        if accepted.len() == 30 {
            child.start_kill().unwrap();
        }
    }
    child.wait().await.unwrap();
    assert!(
        (30..PAYMENTS as usize).contains(&accepted.len()),
        "killed too late to show anything: {}",
        accepted.len()
    );

    let (mut child, address) = place.run().await;
    let mut answers = send_all(&address);
    while let Some(answer) = answers.next().await {
        let (number, result) = answer.unwrap().unwrap();
        assert!(["accepted", "already_accepted"].contains(&&*result), "{result}");
        assert!(
            result == "already_accepted" || !accepted.contains(&number),
            "{number} was acknowledged and lost"
        );
    }
    let pool = SqlitePool::connect(&format!("sqlite://{}", place.0.join("billing.db").display()))
        .await
        .unwrap();
    let number = async |sql: &str| {
        sqlx::query_scalar::<_, i64>(AssertSqlSafe(sql.to_owned()))
            .fetch_one(&pool)
            .await
            .unwrap()
    };
    assert_eq!(number("select count(*) from payments").await, PAYMENTS);
    assert_eq!(number("select count(distinct number) from payments").await, PAYMENTS);
    assert_eq!(
        number("select balance from subscribers where account = '1001'").await,
        PAYMENTS * 15_000 - 12_550
    );
    pool.close().await;

    let stopped = Command::new("kill")
        .arg(child.id().unwrap().to_string())
        .status()
        .await
        .unwrap();
    assert!(stopped.success());
    assert!(child.wait().await.unwrap().success(), "SIGTERM is an orderly stop");
}

#[tokio::test]
async fn bad_configurations_are_told_by_place_and_code() {
    let place = Place::new();
    let whole = std::fs::read_to_string(place.0.join("receiver.toml")).unwrap();
    let (code, text) = place.output(&["--config", "nowhere.toml", "check-config"]).await;
    assert!(code == Some(64) && text.contains("nowhere.toml"), "{text}");
    std::fs::write(place.0.join("receiver.toml"), whole.replace(":account", ":acount")).unwrap();
    let (code, text) = place.output(&["check-config"]).await;
    assert!(
        code == Some(64) && text.contains("check.sql[1]: does not know the parameter :acount"),
        "{text}"
    );
    let (code, text) = place.output(&["run"]).await;
    assert!(code == Some(64) && text.contains("acount"), "{text}");
    std::fs::write(place.0.join("receiver.toml"), &whole).unwrap();
    let (code, text) = place.output(&["check-config"]).await;
    assert!(
        code == Some(64) && text.contains("database.url: "),
        "the file is not there yet: {text}"
    );
    assert!(!text.contains("C2FVs"), "{text}");
    assert_eq!(place.output(&["dance"]).await.0, Some(2));
}

#[tokio::test]
async fn it_serves_inside_another_program_until_told_to_stop() {
    on(Backend::Sqlite, None, |stand| async move {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/unikassa/pay", listener.local_addr().unwrap());
        let shutdown = CancellationToken::new();
        let serving = tokio::spawn(receiver::serve(config(&stand.url, None), listener, shutdown.clone()));
        let client = reqwest::Client::new();
        let sent = send(client.clone(), address.clone(), payment(1, "1001")).await;
        assert_eq!(sent, Some((1, "accepted".to_owned())));
        shutdown.cancel();
        serving.await.unwrap().unwrap();
        assert_eq!(send(client, address, payment(2, "1001")).await, None);
        assert_eq!(stand.balance("1001").await, 15_500);
    })
    .await;
}
