//! Debian's ODBC drivers for PostgreSQL, MariaDB and SQLite, each against a real database: what every source has to do in the
//! same way. `scripts/tools odbc` installs them.
#![cfg(feature = "odbc")]

use std::time::Duration;

use secrecy::SecretString;
use sql::{Access, Cell, Database, DatabaseError, Kind, Limits, Outcome, Statement, Values, Vocabulary, Zone};
use url::Url;

struct Names;

impl Vocabulary for Names {
    fn kind_of(&self, name: &str) -> Option<Kind> {
        Some(match name {
            "number" => Kind::Integer,
            "amount" => Kind::Decimal { digits: 2 },
            "paid_at" => Kind::Moment,
            "account" | "note" => Kind::Text,
            _ => return None,
        })
    }

    fn names(&self) -> String {
        ":number :amount :paid_at :account :note".to_owned()
    }
}

/// A database of one test, with a table of accounts and one of payments.
struct Books {
    database: Database,
    /// What drops it, by the native way.
    drop: Option<(SecretString, String)>,
    path: Option<std::path::PathBuf>,
}

#[expect(
    clippy::disallowed_methods,
    reason = "tests find their services in the environment, as the programs do"
)]
fn address(variable: &str, default: &str) -> Url {
    Url::parse(&std::env::var(variable).unwrap_or_else(|_| default.to_owned())).unwrap()
}

fn limits(timeout: u64) -> Limits {
    Limits {
        pool_size: 4,
        timeout: Duration::from_secs(timeout),
        create: true,
        zone: Zone::parse("Europe/Moscow").unwrap(),
        application: "unigate-test",
        keep_plans: false,
        read_only: false,
    }
}

fn parts(url: &Url) -> (String, u16, String, String) {
    let host = url.host_str().unwrap().to_owned();
    let password = url.password().unwrap_or_default().to_owned();
    (host, url.port().unwrap(), url.username().to_owned(), password)
}

/// By the native driver, which runs one statement by itself: databases are made in no transaction.
async fn native(url: &SecretString, sql: &str) {
    let limits = Limits {
        zone: Zone::default(),
        ..limits(10)
    };
    let database = Database::open(url, &limits).unwrap();
    let statement = Statement {
        place: "test".to_owned(),
        sql: sql.into(),
        parameters: Vec::new(),
        optional: true,
    };
    database.ask(&statement, &Values::default()).await.unwrap();
    database.close().await;
}

const TABLES: [&str; 3] = [
    "create table accounts (account varchar(40) primary key, name varchar(200), debt decimal(12,2), rate double precision)",
    "create table payments (number bigint primary key, account varchar(40) not null, amount decimal(12,2) not null,
        paid_at {moment} not null, note varchar(600))",
    "insert into accounts values ('1001', 'Ёлкина А. Я.', 1250.40, 0.5)",
];

impl Books {
    async fn postgres() -> Self {
        let mut url = address("UNIGATE_DATABASE_URL", "postgres://postgres@127.0.0.1:5432/postgres");
        let name = format!("unigate_test_odbc_{}", uuid::Uuid::new_v4().simple());
        let (host, port, user, password) = parts(&url);
        url.set_path("postgres");
        let admin = SecretString::from(url.to_string());
        native(&admin, &format!("create database {name}")).await;
        let source = format!(
            "odbc:Driver={{PostgreSQL Unicode}};Server={host};Port={port};Database={name};UID={user};PWD={password};SSLmode=disable;ConnSettings=SET+TIME+ZONE+'Europe/Moscow'"
        );
        Self::made(
            source,
            "timestamptz",
            Some((admin, format!("drop database {name} with (force)"))),
            None,
        )
        .await
    }

    async fn mariadb() -> Self {
        let mut url = address("UNIGATE_TEST_MARIADB_URL", "mysql://root@127.0.0.1:3306");
        let name = format!("unigate_test_odbc_{}", uuid::Uuid::new_v4().simple());
        let (host, port, user, password) = parts(&url);
        url.set_path("mysql");
        let admin = SecretString::from(url.to_string());
        native(&admin, &format!("create database {name} character set utf8mb4")).await;
        let source = format!(
            "odbc:Driver={{MariaDB Unicode}};TCPIP=1;Server={host};Port={port};Database={name};UID={user};PWD={password};CHARSET=utf8mb4"
        );
        Self::made(
            source,
            "datetime(3)",
            Some((admin, format!("drop database {name}"))),
            None,
        )
        .await
    }

    async fn sqlite() -> Self {
        let path = std::env::temp_dir().join(format!("unigate-test-{}.sqlite", uuid::Uuid::new_v4().simple()));
        let source = format!(
            "odbc:Driver=SQLite3;Database={};Timeout=2000;FKSupport=1",
            path.display()
        );
        Self::made(source, "timestamp", None, Some(path)).await
    }

    async fn made(
        source: String,
        moment: &str,
        drop: Option<(SecretString, String)>,
        path: Option<std::path::PathBuf>,
    ) -> Self {
        let database = Database::open(&SecretString::from(source), &limits(4)).unwrap();
        let books = Self { database, drop, path };
        let mut tx = books.database.begin(Access::Write).await.unwrap();
        for table in TABLES {
            tx.script(&table.replace("{moment}", moment)).await.unwrap();
        }
        tx.commit().await.unwrap();
        books
    }

    fn statement(&self, sql: &str) -> Statement {
        Statement::compile("test", sql, self.database.dialect(), &Names).unwrap()
    }

    async fn ask(&self, sql: &str, values: &Values) -> Outcome {
        self.database.ask(&self.statement(sql), values).await.unwrap()
    }

    async fn end(self) {
        self.database.close().await;
        if let Some((admin, sql)) = &self.drop {
            native(admin, sql).await;
        }
        if let Some(path) = &self.path {
            std::fs::remove_file(path).unwrap();
        }
    }
}

const INSERT: &str = "insert into payments (number, account, amount, paid_at, note) values (:number, :account, :amount, :paid_at, :note)";

fn payment(number: i64, note: Option<&str>) -> Values {
    let mut values = Values::default();
    values.integer("number", number);
    values.text("account", "1001");
    values.text("amount", "150.05");
    values.text("paid_at", "2026-11-23T07:02:11Z");
    values.optional_text("note", note.map(str::to_owned));
    values
}

async fn conforms(books: Books) {
    values_go_in_and_come_back(&books).await;
    what_is_not_committed_is_not_kept(&books).await;
    faults_are_told_apart(&books).await;
    who_waits_too_long_is_told(&books).await;
    books.end().await;
}

async fn values_go_in_and_come_back(books: &Books) {
    let mut account = Values::default();
    account.text("account", "1001");
    let found = books.ask(
        "select name as \"Name\", debt, rate from accounts where account = :account",
        &account,
    );
    let row = found.await.rows.remove(0);
    assert_eq!(row.text("name").as_deref(), Some("Ёлкина А. Я."));
    assert_eq!(
        row.amount("debt", sql::AmountAs::Decimal, 2),
        Ok(Some(125_040)),
        "{row:?}"
    );
    assert_eq!(row.text("rate").as_deref(), Some("0.5"));
    account.text("account", "1001' or '1'='1");
    assert_eq!(
        books
            .ask("select name from accounts where account = :account", &account)
            .await
            .touched,
        0
    );
    let hostile = "'; drop table payments; -- «Ёж» 😀 \\ ? :note {ts}";
    let mut tx = books.database.begin(Access::Write).await.unwrap();
    let done = tx
        .run(&books.statement(INSERT), &payment(1, Some(hostile)))
        .await
        .unwrap();
    assert_eq!(done.touched, 1);
    tx.run(&books.statement(INSERT), &payment(2, None)).await.unwrap();
    let none = books.statement("update payments set note = :note where number > 99");
    assert_eq!(tx.run(&none, &payment(1, None)).await.unwrap().touched, 0);
    tx.commit().await.unwrap();
    let kept = "select number, amount, paid_at, note from payments order by number";
    let rows = books.ask(kept, &Values::default()).await.rows;
    assert_eq!(rows[0].text("note").as_deref(), Some(hostile));
    assert_eq!(
        (rows[0].integer("number"), rows[1].get("note")),
        (Some(1), Some(&Cell::Null))
    );
    assert_eq!(
        rows[0].amount("amount", sql::AmountAs::Decimal, 2),
        Ok(Some(15_005)),
        "{rows:?}"
    );
    let moscow = Zone::parse("Europe/Moscow").unwrap();
    assert_eq!(
        rows[0].moment("paid_at", &moscow).unwrap().to_string(),
        "2026-11-23T07:02:11Z",
        "{rows:?}"
    );
    let mut described = books.database.begin(Access::Read).await.unwrap();
    let asked = books.statement("select number as N, note from payments where account = :account");
    let columns = described.describe(&asked).await.unwrap();
    let names: Vec<_> = columns.iter().map(|column| &*column.name).collect();
    assert_eq!(names, ["n", "note"]);
    described.rollback().await.unwrap();
}

async fn count(books: &Books) -> i64 {
    let found = books
        .ask("select count(*) as n from payments", &Values::default())
        .await;
    found.rows[0].integer("n").unwrap()
}

async fn what_is_not_committed_is_not_kept(books: &Books) {
    let before = count(books).await;
    let mut tx = books.database.begin(Access::Write).await.unwrap();
    tx.run(&books.statement(INSERT), &payment(10, None)).await.unwrap();
    tx.rollback().await.unwrap();
    let mut tx = books.database.begin(Access::Write).await.unwrap();
    tx.run(&books.statement(INSERT), &payment(11, None)).await.unwrap();
    // Nobody says how it ends.
    drop(tx);
    assert_eq!(count(books).await, before);
}

async fn faults_are_told_apart(books: &Books) {
    let failing = async |sql: &str, values: &Values| {
        let mut tx = books.database.begin(Access::Write).await.unwrap();
        let failed = tx.run(&books.statement(sql), values).await.unwrap_err();
        tx.rollback().await.unwrap();
        failed
    };
    let twice = failing(INSERT, &payment(1, None)).await;
    assert!(twice.is_duplicate(), "{}", twice.in_full());
    let null = failing(
        "insert into payments (number, account, amount, paid_at) values (:number, null, 1, :paid_at)",
        &payment(20, None),
    )
    .await;
    assert!(
        matches!(null, DatabaseError::Refused(_)) && !null.is_duplicate(),
        "{}",
        null.in_full()
    );
    let nothing = failing("select nothing from payments", &Values::default()).await;
    assert!(matches!(nothing, DatabaseError::Refused(_)), "{}", nothing.in_full());
    let nobody = Database::open(&SecretString::from("odbc:Driver=Nobody's;Server=x"), &limits(4)).unwrap();
    let away = nobody.begin(Access::Read).await.err().unwrap();
    assert!(matches!(away, DatabaseError::Unreached { .. }), "{}", away.in_full());
}

/// A row that another transaction holds: the wait ends, by the database's, the driver's or our own clock.
async fn who_waits_too_long_is_told(books: &Books) {
    let update = books.statement("update accounts set debt = debt + 1 where account = :account");
    let mut values = Values::default();
    values.text("account", "1001");
    let mut first = books.database.begin(Access::Write).await.unwrap();
    first.run(&update, &values).await.unwrap();
    let waits = async {
        let mut second = books.database.begin(Access::Write).await?;
        second.run(&update, &values).await?;
        second.commit().await
    };
    let waited = tokio::time::timeout(Duration::from_secs(6), waits).await;
    assert!(!matches!(waited, Ok(Ok(()))), "{waited:?}");
    first.commit().await.unwrap();
    // Whoever gave up has left nothing behind.
    let found = books
        .ask("select debt from accounts where account = :account", &values)
        .await;
    assert_eq!(
        found.rows[0].amount("debt", sql::AmountAs::Decimal, 2),
        Ok(Some(125_140)),
        "{found:?}"
    );
}

#[tokio::test]
async fn postgres_by_odbc_conforms() {
    conforms(Books::postgres().await).await;
}

#[tokio::test]
async fn mariadb_by_odbc_conforms() {
    conforms(Books::mariadb().await).await;
}

#[tokio::test]
async fn sqlite_by_odbc_conforms() {
    conforms(Books::sqlite().await).await;
}
