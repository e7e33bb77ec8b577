//! The program itself, with the examples' very files: prepared, checked, killed in the middle of payments, started again.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use contract::unikassa::{ListAnswer, Pay, Request};
use contract::webhook::{self, Secrets};
use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use jiff::Timestamp;
use serde_json::Value;
use sqlx::SqlitePool;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use crate::stand::{Backend, Probe, SECRET, cancel, config, list, on, payment, status};

const PAYMENTS: i64 = 120;

/// An example and the database it is for.
struct Example {
    name: &'static str,
    backend: Backend,
    /// What the account's balance is in minor units, as this example keeps it.
    balance: &'static str,
}

const SQLITE: Example = Example {
    name: "sqlite",
    backend: Backend::Sqlite,
    balance: "select balance from subscribers where account = '1001'",
};
const POSTGRES: Example = Example {
    name: "postgres",
    backend: Backend::Postgres,
    balance: "select cast(balance * 100 as bigint) from subscribers where account = '1001'",
};
const MARIADB: Example = Example {
    name: "mariadb",
    backend: Backend::Mariadb,
    balance: "select cast(balance * 100 as signed) from subscribers where account = '1001'",
};

/// A directory with the example's configuration as `receiver.toml`, and a database; taken away at the end.
struct Place {
    directory: PathBuf,
    schema: String,
    probe: Probe,
}

impl Place {
    async fn new(example: &Example) -> Self {
        let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/receiver");
        let directory = std::env::temp_dir().join(format!("unigate-receiver-{}", uuid::Uuid::now_v7()));
        std::fs::create_dir(&directory).unwrap();
        let config = std::fs::read_to_string(examples.join(format!("{}.toml", example.name))).unwrap();
        assert!(config.contains("127.0.0.1:8090"));
        std::fs::write(
            directory.join("receiver.toml"),
            config.replace("127.0.0.1:8090", "127.0.0.1:0"),
        )
        .unwrap();
        let schema = format!("{}.sql", example.name);
        std::fs::copy(examples.join(&schema), directory.join(&schema)).unwrap();
        let probe = match example.backend {
            // The example names a file beside itself.
            Backend::Sqlite => {
                let file = directory.join("billing.db");
                let pool = SqlitePool::connect_lazy(&format!("sqlite://{}", file.display())).unwrap();
                Probe::Sqlite(pool, file)
            }
            server => Probe::make(server).await,
        };
        Self {
            directory,
            schema,
            probe,
        }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_unigate-receiver"));
        command
            .args(arguments)
            .current_dir(&self.directory)
            .env("UNIGATE_RECEIVER_SECRET", SECRET)
            .env("UNIGATE_RECEIVER_DATABASE_URL", self.probe.url())
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

/// Runs a test with an example and takes everything away, also when the test fails.
async fn at<F: Future<Output = ()> + Send + 'static>(example: &Example, test: impl FnOnce(Arc<Place>) -> F) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let place = Arc::new(Place::new(example).await);
    let ended = tokio::spawn(test(Arc::clone(&place))).await;
    let probe = place.probe.clone();
    if example.backend != Backend::Sqlite {
        probe.take_away().await;
    }
    std::fs::remove_dir_all(&place.directory).unwrap();
    if let Err(failed) = ended {
        std::panic::resume_unwind(failed.into_panic());
    }
}

/// A payment's answer; `None` when there was none.
async fn send(client: reqwest::Client, address: String, pay: Pay) -> Option<(i64, String)> {
    let number = pay.number.get();
    let answer = try_to_ask(&client, &address, &Request::Pay(pay)).await?;
    Some((number, answer["result"].as_str()?.to_owned()))
}

async fn ask(client: &reqwest::Client, address: &str, request: &Request) -> Value {
    try_to_ask(client, address, request).await.expect("an answer")
}

/// Sends a request to the address of its act beside that of payments.
async fn try_to_ask(client: &reqwest::Client, address: &str, request: &Request) -> Option<Value> {
    let (id, at, body) = (
        request.webhook_id(),
        domain::clock::now().as_second(),
        request.to_body(),
    );
    let signature = webhook::sign(&Secrets::parse(SECRET).unwrap(), &id, at, &body);
    let sent = client
        .post(address.replace("/pay", &format!("/{}", request.act())))
        .header(webhook::ID_HEADER, &id)
        .header(webhook::TIMESTAMP_HEADER, at.to_string())
        .header(webhook::SIGNATURE_HEADER, signature)
        .body(body)
        .send()
        .await
        .ok()?;
    sent.json().await.ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_the_middle_nothing_is_lost_or_doubled() {
    at(&SQLITE, |place| killed_in_the_middle(place, &SQLITE)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_the_middle_nothing_is_lost_or_doubled_on_postgres() {
    at(&POSTGRES, |place| killed_in_the_middle(place, &POSTGRES)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_the_middle_nothing_is_lost_or_doubled_on_mariadb() {
    at(&MARIADB, |place| killed_in_the_middle(place, &MARIADB)).await;
}

/// Before the receiver is prepared, `check-config` says so; after, it finds nothing to say.
async fn prepare(place: &Place) {
    let (code, text) = place.output(&["check-config", "receiver.toml"]).await;
    assert_eq!(code, Some(64), "{text}");
    let (code, text) = place.output(&["init-db", "--schema", &place.schema]).await;
    assert_eq!(code, Some(0), "{text}");
    let (code, text) = place
        .output(&[
            "check-config",
            "receiver.toml",
            "--account",
            "1001",
            "--field",
            "payer=Иван",
        ])
        .await;
    assert_eq!(code, Some(0), "{text}");
    assert!(!text.contains("warning") && !text.contains("error"), "{text}");
    assert_eq!(place.probe.number("select count(*) from payments").await, 0);
    assert_eq!(place.probe.number("select count(*) from unigate_payment").await, 0);
}

/// As the gateway does: whoever gets no answer, because so many wait for one row, asks again.
async fn insist(client: reqwest::Client, address: String, pay: Pay) -> (i64, String) {
    loop {
        if let Some(answer) = send(client.clone(), address.clone(), pay.clone()).await {
            return answer;
        }
    }
}

async fn each_is_entered_once(probe: &Probe, example: &Example) {
    assert_eq!(probe.number("select count(*) from payments").await, PAYMENTS);
    assert_eq!(
        probe.number("select count(distinct number) from payments").await,
        PAYMENTS
    );
    assert_eq!(probe.number(example.balance).await, PAYMENTS * 15_000 - 12_550);
    assert_eq!(
        probe.text("select payer from payments where number = 1").await,
        "Иванов И. И."
    );
    if example.backend != Backend::Sqlite {
        // The examples of servers say Moscow's time; 10:02:11+03:00 is 10:02:11 there.
        let paid_at = probe
            .text("select cast(paid_at as char(19)) from payments where number = 1")
            .await;
        assert_eq!(paid_at, "2026-11-23 10:02:11");
    }
}

async fn killed_in_the_middle(place: Arc<Place>, example: &'static Example) {
    prepare(&place).await;
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
    let insist = |pay: &Pay| tokio::spawn(insist(client.clone(), address.clone(), pay.clone()));
    let mut answers: FuturesUnordered<_> = payments.iter().map(insist).collect();
    while let Some(answer) = answers.next().await {
        let (number, result) = answer.unwrap();
        assert!(["accepted", "already_accepted"].contains(&&*result), "{result}");
        assert!(
            result == "already_accepted" || !accepted.contains(&number),
            "{number} was acknowledged and lost"
        );
    }
    each_is_entered_once(&place.probe, example).await;
    let stopped = Command::new("kill")
        .arg(child.id().unwrap().to_string())
        .status()
        .await
        .unwrap();
    assert!(stopped.success());
    assert!(child.wait().await.unwrap().success(), "SIGTERM is an orderly stop");
}

/// Taking back and listing, by the examples' own statements.
#[tokio::test]
async fn the_examples_take_back_and_list() {
    for example in [&SQLITE, &POSTGRES, &MARIADB] {
        at(example, |place| async move {
            prepare(&place).await;
            let (mut child, address) = place.run().await;
            let client = reqwest::Client::new();
            for number in 1..=3 {
                let sent = send(client.clone(), address.clone(), payment(number, "1001")).await;
                assert_eq!(sent, Some((number, "accepted".to_owned())));
            }
            let cancelled = ask(&client, &address, &cancel(2, "by the payer")).await;
            assert_eq!(cancelled["result"], "cancelled");
            assert_eq!(ask(&client, &address, &status(2)).await["result"], "cancelled");
            assert_eq!(place.probe.number(example.balance).await, 2 * 15_000 - 12_550);
            let now = domain::clock::now();
            let period = |from: i64, to: i64| {
                let at = |seconds: i64| Timestamp::from_second(now.as_second() + seconds).unwrap().to_string();
                list(&at(from), &at(to), None)
            };
            let listed = ask(&client, &address, &period(-600, 600)).await;
            let listed = ListAnswer::read(listed.to_string().as_bytes()).unwrap();
            let items: Vec<_> = listed
                .items
                .iter()
                .map(|i| (i.number.get(), i.amount.minor(), i.currency.code()))
                .collect();
            assert_eq!(items, [(1, 15_000, "RUB"), (3, 15_000, "RUB")]);
            assert!(
                listed
                    .items
                    .iter()
                    .all(|item| item.provider_reference.as_deref().unwrap().starts_with("P-"))
            );
            assert_eq!(
                ask(&client, &address, &period(600, 1200)).await,
                serde_json::json!({"items": []})
            );
            child.start_kill().unwrap();
            child.wait().await.unwrap();
        })
        .await;
    }
}

/// The container's health check, against the program that runs and against nobody.
#[tokio::test]
async fn health_is_asked_of_the_one_that_runs() {
    at(&SQLITE, |place| async move {
        place.output(&["init-db", "--schema", &place.schema]).await;
        let (mut child, address) = place.run().await;
        let port = url::Url::parse(&address).unwrap().port().unwrap();
        let config = std::fs::read_to_string(place.directory.join("receiver.toml")).unwrap();
        let config = config.replace("127.0.0.1:0", &format!("0.0.0.0:{port}"));
        std::fs::write(place.directory.join("health.toml"), config).unwrap();
        let health = ["--config", "health.toml", "health"];
        assert_eq!(place.output(&health).await, (Some(0), "ready\n".to_owned()));
        std::fs::remove_file(place.directory.join("billing.db")).unwrap();
        child.start_kill().unwrap();
        child.wait().await.unwrap();
        assert_eq!(place.output(&health).await.0, Some(1));
    })
    .await;
}

#[tokio::test]
async fn bad_configurations_are_told_by_place_and_code() {
    at(&SQLITE, bad_configurations).await;
}

async fn bad_configurations(place: Arc<Place>) {
    let file = place.directory.join("receiver.toml");
    let whole = std::fs::read_to_string(&file).unwrap();
    let (code, text) = place.output(&["--config", "nowhere.toml", "check-config"]).await;
    assert!(code == Some(64) && text.contains("nowhere.toml"), "{text}");
    std::fs::write(&file, whole.replace(":account", ":acount")).unwrap();
    let (code, text) = place.output(&["check-config"]).await;
    assert!(
        code == Some(64) && text.contains("check.sql[1]: does not know the parameter :acount"),
        "{text}"
    );
    let (code, text) = place.output(&["run"]).await;
    assert!(code == Some(64) && text.contains("acount"), "{text}");
    std::fs::write(&file, &whole).unwrap();
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
