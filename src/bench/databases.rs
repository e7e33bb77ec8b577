//! `bench databases`: how fast accounts are looked up in a payee's PostgreSQL and payments entered into it, beside bare loops of
//! the same statements, and whether a payee whose database hangs costs the others anything.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, ensure};
use bus::Queue;
use bus::frontend::{Frontend, Message};
use domain::declaration::Payee;
use futures::StreamExt as _;
use runtime::Context;
use secrecy::{ExposeSecret as _, SecretString};
use sql::{Access, Database, Dialect, Kind, Limits, Statement, Values, Vocabulary, Zone};
use store::declarations;
use store::rehearsal::deliveries as rehearsal;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::bounds::{Does, Loop};
use super::figure::{Figure, Goal, Planned, wanted};
use super::ground::{Ground, Grounds};
use super::load::{age_p99_of_others, rate};

/// Checks in flight, and the connections they are asked on; the bare loop has as many of both.
const IN_FLIGHT: usize = 64;
const CONNECTIONS: u32 = 16;
/// Payments entered at a time, by the worker and by the bare loop, and the connections of each.
const AT_A_TIME: u32 = 64;
/// Payees where one hangs, each with so many slots.
const PAYEES: u32 = 8;
const SLOTS: u32 = 2;
/// The payee that hangs.
const HANGING: &str = "bench-000";
const PATIENCE: Duration = Duration::from_secs(60);

const LOOK_UP: &str = "select name, debt as amount_due from accounts where account = :account";
const ENTER: &str =
    "insert into entered (number, account, amount, paid_at) values (:number, :account, :amount, :paid_at)";
const LOWER: &str = "update accounts set debt = debt - :amount where account = :account";
const FIND: &str = "select amount from entered where number = :number";
const TABLES: &str = "create table accounts (account text primary key, name text not null, debt bigint not null);
    insert into accounts select 'user-' || n, 'Иванов И. И.', 125040 from generate_series(1, 1000000) n;
    create table entered (number bigint primary key, account text not null, amount bigint not null, paid_at timestamptz not null);
    analyze accounts";

/// What is measured.
pub(super) const FIGURES: [Planned; 4] = [
    ("check", "check/s", Goal::AtLeast(0.6)),
    ("check_apart", "check/s", Goal::AtLeast(0.6)),
    ("pay", "pay/s", Goal::AtLeast(0.5)),
    ("hanging_p99", "ms", Goal::AtMost(2.0)),
];

/// Measures the figures whose names begin with `only`; an empty one means all.
pub(super) async fn measure(grounds: &Grounds, pairs: u32, count: u32, only: &str) -> anyhow::Result<Vec<Figure>> {
    let mut figures = wanted(&FIGURES, only)?;
    for pair in 0..pairs {
        tracing::info!(pair = pair + 1, of = pairs, "measuring");
        for figure in &mut figures {
            let books = Books::make(grounds).await?;
            figure.pairs.push(match figure.name {
                "check" | "check_apart" => {
                    let (echo, query) = (echo(grounds, count).await?, books.queries(count).await?);
                    let apart = figure.name == "check_apart";
                    (
                        checked(grounds, &books, count, apart).await?,
                        1.0 / (1.0 / echo + 1.0 / query),
                    )
                }
                "pay" => (entered(grounds, &books, count).await?, books.entries(count).await?),
                _ => (
                    age_p99(grounds, &books, count / 4, true).await?,
                    age_p99(grounds, &books, count / 4, false).await?,
                ),
            });
            books.ground.clear().await?;
        }
    }
    Ok(figures)
}

/// A payee's database.
struct Books {
    ground: Ground,
    url: SecretString,
}

/// The parameters of the statements above.
struct Names;

impl Vocabulary for Names {
    fn kind_of(&self, name: &str) -> Option<Kind> {
        Some(match name {
            "number" | "amount" => Kind::Integer,
            "paid_at" => Kind::Moment,
            _ => Kind::Text,
        })
    }

    fn names(&self) -> String {
        String::new()
    }
}

impl Books {
    async fn make(grounds: &Grounds) -> anyhow::Result<Self> {
        let ground = grounds.make("payee", None).await?;
        let url = SecretString::from(ground.settings.store.url.expose_secret().to_owned());
        let books = Self { ground, url };
        let database = books.open(1, false)?;
        let mut tx = database.begin(Access::Write).await?;
        tx.script(TABLES).await?;
        tx.commit().await?;
        database.close().await;
        Ok(books)
    }

    fn open(&self, connections: u32, read_only: bool) -> anyhow::Result<Database> {
        let limits = Limits {
            pool_size: connections,
            timeout: PATIENCE,
            create: false,
            zone: Zone::default(),
            application: "unigate-bench",
            keep_plans: true,
            read_only,
        };
        Ok(Database::open(&self.url, &limits)?)
    }

    /// The look-up in a loop that does nothing else.
    async fn queries(&self, count: u32) -> anyhow::Result<f64> {
        let database = Arc::new(self.open(CONNECTIONS, true)?);
        let look_up = Arc::new(statement(LOOK_UP)?);
        let one = move |nth: u64| {
            let (database, look_up) = (database.clone(), look_up.clone());
            async move {
                let found = database.ask(&look_up, &values(nth)).await?;
                ensure!(found.rows.len() == 1, "the account was not found");
                Ok(())
            }
        };
        repeat(IN_FLIGHT, count, one).await
    }

    /// The entry in a loop that does nothing else.
    async fn entries(&self, count: u32) -> anyhow::Result<f64> {
        let database = Arc::new(self.open(AT_A_TIME, false)?);
        let statements = Arc::new([statement(ENTER)?, statement(LOWER)?]);
        let one = move |nth: u64| {
            let (database, statements) = (database.clone(), statements.clone());
            async move {
                // Others than were entered by the worker.
                let values = values(1_000_000_000 + nth);
                let mut tx = database.begin(Access::Write).await?;
                for statement in &*statements {
                    tx.run(statement, &values).await?;
                }
                Ok(tx.commit().await?)
            }
        };
        repeat(AT_A_TIME as usize, count, one).await
    }

    /// A payee that has its data here, or at an address where nobody ever answers.
    fn payee(&self, id: &str, slots: u32, elsewhere: Option<&str>) -> anyhow::Result<Payee> {
        let url = elsewhere.unwrap_or(self.url.expose_secret());
        let text = format!(
            r#"
            id = "{id}"
            name = "{id}"
            gateway = "databases"
            currency = "RUB"
            account = {{ pattern = "^.{{1,40}}$" }}
            amount = {{ min = 100, max = 10000000 }}
            [databases]
            url = "{url}"
            concurrency = {slots}
            check_connections = {CONNECTIONS}
            timeout_seconds = 10
            [[databases.check.statement]]
            sql = "{LOOK_UP}"
            [[databases.pay.statement]]
            sql = "{ENTER}"
            unique = true
            [[databases.pay.statement]]
            sql = "{LOWER}"
            none = "go_on"
            [[databases.status.statement]]
            sql = "{FIND}"
            "#
        );
        toml::from_str(&text).context("the benchmark's payees")
    }
}

fn statement(sql: &str) -> anyhow::Result<Statement> {
    Statement::compile("bench", sql, Dialect::Postgres, &Names).map_err(|wrong| anyhow!(wrong.to_string()))
}

fn values(nth: u64) -> Values {
    let mut values = Values::default();
    values.integer("number", i64::try_from(nth).unwrap_or(i64::MAX));
    values.integer("amount", 10_000);
    values.text("account", account(nth));
    values.text("paid_at", "2026-11-23T07:02:11Z");
    values
}

fn account(nth: u64) -> String {
    format!("user-{}", 1 + nth % 1_000_000)
}

/// How many a second, with so many in flight.
async fn repeat<F, R>(in_flight: usize, count: u32, one: F) -> anyhow::Result<f64>
where
    F: Fn(u64) -> R + Clone + Send + 'static,
    R: Future<Output = anyhow::Result<()>> + Send,
{
    let (next, done, total) = (
        Arc::new(AtomicU64::new(0)),
        Arc::new(AtomicU64::new(0)),
        u64::from(count),
    );
    let mut running = JoinSet::new();
    for _ in 0..in_flight {
        let (next, done, one) = (next.clone(), done.clone(), one.clone());
        running.spawn(async move {
            loop {
                let nth = next.fetch_add(1, Ordering::Relaxed);
                if nth >= total {
                    return anyhow::Ok(());
                }
                one(nth).await?;
                done.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let measured = rate(total, async || Ok::<u64, Infallible>(done.load(Ordering::Relaxed))).await;
    while let Some(ended) = running.join_next().await {
        ended??;
    }
    measured
}

async fn declare(ground: &Ground, payees: &[Payee]) -> anyhow::Result<()> {
    let tx = ground.store.begin().await?;
    declarations::lock_for_apply(&tx).await?;
    for payee in payees {
        declarations::apply_payee(&tx, payee, "bench").await?;
    }
    Ok(tx.commit().await?)
}

async fn start(ground: &Ground) -> anyhow::Result<Context> {
    let context = ground.start().await?;
    databases::start(&context);
    Ok(context)
}

/// Checks answered a second, from a terminal's message by way of intake to its answer: both workers in one process, where a
/// question stays, or `apart`, as in two, where it goes through the broker twice.
async fn checked(grounds: &Grounds, books: &Books, count: u32, apart: bool) -> anyhow::Result<f64> {
    let ground = grounds.make("ours", None).await?;
    declare(&ground, &[books.payee("bench-000", AT_A_TIME, None)?]).await?;
    let context = start(&ground).await?;
    let taking = match apart {
        true => ground.start().await?,
        false => context,
    };
    intake::start(&taking);
    drop(taking);
    let frontend = Frontend::connect(&ground.settings.bus).await?;
    let measured = asked(&frontend, count, "payment.check", Some(r#""outcome":"payable""#)).await;
    frontend.close().await;
    ground.clear().await?;
    measured
}

/// What a loop that only answers does with the same questions.
async fn echo(grounds: &Grounds, count: u32) -> anyhow::Result<f64> {
    let ground = grounds.make("echo", None).await?;
    let echo = Loop::start_on(&ground, Queue::IntakeQuestions, Does::Answers).await?;
    let frontend = Frontend::connect(&ground.settings.bus).await?;
    let measured = asked(&frontend, count, "payment.check", None).await;
    frontend.close().await;
    echo.stop().await;
    ground.clear().await?;
    measured
}

/// Questions a second with a window in flight.
async fn asked(frontend: &Frontend, count: u32, key: &str, said: Option<&str>) -> anyhow::Result<f64> {
    let message = |nth: u64| {
        let body = format!(
            r#"{{"payment_id":"{}","terminal":"T-0001","payee":"bench-000","account":"{}"}}"#,
            uuid::Uuid::now_v7(),
            account(nth)
        );
        Message::new(key, body)
    };
    let all = async |from: u64, to: u64| -> anyhow::Result<()> {
        let mut asking = futures::stream::iter(from..to)
            .map(|nth| async move {
                let answer = frontend.ask(&message(nth), PATIENCE).await?;
                let text = String::from_utf8_lossy(&answer.body);
                ensure!(said.is_none_or(|said| text.contains(said)), "answered {text}");
                anyhow::Ok(())
            })
            .buffer_unordered(IN_FLIGHT);
        while let Some(answer) = asking.next().await {
            answer?;
        }
        Ok(())
    };
    let (warming, total) = (u64::from(count / 10), u64::from(count));
    all(0, warming).await?;
    let begun = Instant::now();
    all(warming, total).await?;
    Ok((total - warming) as f64 / begun.elapsed().as_secs_f64())
}

/// Payments delivered a second, from the first claim to the last record.
async fn entered(grounds: &Grounds, books: &Books, count: u32) -> anyhow::Result<f64> {
    let ground = grounds.make("ours", None).await?;
    declare(&ground, &[books.payee("bench-000", AT_A_TIME, None)?]).await?;
    rehearsal::owe(&ground.store, 1, count, "accepted", Duration::ZERO).await?;
    start(&ground).await?;
    let total = u64::from(count);
    let measured = rate(total, async || {
        let entered = rehearsal::count(&books.ground.store, "entered").await?;
        if entered < total {
            return Ok(entered);
        }
        Ok::<u64, store::StoreError>(total - rehearsal::count_not(&ground.store, "delivered", "").await?)
    })
    .await;
    ground.clear().await?;
    measured
}

/// Milliseconds after falling due within which 99 of 100 payments were entered for the payees that answer.
async fn age_p99(grounds: &Grounds, books: &Books, count: u32, one_hangs: bool) -> anyhow::Result<f64> {
    let nobody = TcpListener::bind("127.0.0.1:0").await?;
    let elsewhere = format!("postgres://nobody@{}/nowhere", nobody.local_addr()?);
    let ground = grounds.make("ages", None).await?;
    let payees = (0..PAYEES).map(|nth| {
        let id = format!("bench-{nth:03}");
        let elsewhere = (one_hangs && id == HANGING).then_some(elsewhere.as_str());
        books.payee(&id, SLOTS, elsewhere)
    });
    declare(&ground, &payees.collect::<Result<Vec<_>, _>>()?).await?;
    start(&ground).await?;
    let age = age_p99_of_others(&ground.store, PAYEES, count, HANGING).await?;
    ground.clear().await?;
    Ok(age)
}
