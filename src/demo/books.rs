//! Payees whose own data are worked with: a utility's billing in PostgreSQL, a provider's inbox in MariaDB with the job that
//! posts it, fines in a workbook, a housing association's dBase. They are the examples' tables and files, with everybody in
//! them who pays in the day's plan. Where no MariaDB is at hand the provider is left out.

mod lists;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use domain::money::{Currency, format_minor};
use secrecy::{ExposeSecret as _, SecretString};
use sql::{Access, Database, DatabaseError, Kind, Limits, Outcome, Statement, Values, Vocabulary, Zone};
use store::StoreSettings;
use testkit::stand::with_database;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::holdings::Holdings;
use super::scenario::{Debtor, FINES, HOUSING, INBOX, UTILITY};

const UTILITY_TABLES: &str = include_str!("../../examples/databases/utility.postgres.sql");
const INBOX_TABLES: &str = include_str!("../../examples/databases/provider.mariadb.sql");

/// How often the provider posts what is in its inbox.
const POSTS_EVERY: Duration = Duration::from_millis(300);
/// The provider's own job: payments that are not posted yet are marked, credited to their clients, and posted.
const POSTING: &str = "update payments_inbox set processed = 2 where processed = 0;
    update clients c join (select login, sum(amount) as paid from payments_inbox where processed = 2 group by login) p
        on p.login = c.login set c.balance = c.balance + p.paid;
    update payments_inbox set processed = 1 where processed = 2";

const UTILITY_HELD: &str = "select count(*) as n, count(distinct number) as numbers,
        coalesce(sum(amount * 100), 0)::bigint as total,
        coalesce(string_agg(number || ':' || (amount * 100)::bigint, ' '), '') as each_one
    from payments where cancelled_at is null";
const UTILITY_OWED: &str = "select (sum(debt) * 100)::bigint as minor from customers";
const INBOX_HELD: &str = "select count(*) as n, count(distinct number) as numbers,
        coalesce(cast(sum(amount * 100) as integer), 0) as total,
        coalesce(group_concat(concat(number, ':', cast(amount * 100 as integer)) separator ' '), '') as each_one
    from payments_inbox where processed = 1";
const INBOX_BALANCE: &str = "select cast(sum(balance) * 100 as integer) as minor from clients";

/// Where payees' data are.
pub(super) struct Sites {
    /// The utility's database, beside ours.
    utility: StoreSettings,
    /// The provider's, where there is a server for it.
    inbox: Option<SecretString>,
}

/// The payees' side of the day.
pub(super) struct Books {
    utility: Database,
    /// What its customers owed before the day.
    owed: i64,
    inbox: Option<Inbox>,
    /// Where each payee's data are, as its declaration says it.
    pub(super) places: BTreeMap<&'static str, Where>,
}

/// Where a payee's data are.
#[derive(Clone, Debug)]
pub(super) enum Where {
    Database(SecretString),
    File(PathBuf),
}

/// A provider's inbox, and the job that posts it.
struct Inbox {
    database: Arc<Database>,
    balance: i64,
    stop: CancellationToken,
    job: JoinHandle<()>,
}

/// Everything is text here: the statements say what they make of it.
struct Texts;

impl Vocabulary for Texts {
    fn kind_of(&self, _: &str) -> Option<Kind> {
        Some(Kind::Text)
    }

    fn names(&self) -> String {
        String::new()
    }
}

impl Sites {
    /// Beside our database under its name; `mariadb` is a server that lets us make a database.
    pub(super) fn of(store: &StoreSettings, name: &str, mariadb: Option<&str>) -> anyhow::Result<Self> {
        let inbox = mariadb.map(|url| {
            let mut url = Url::parse(url).context("UNIGATE_TEST_MARIADB_URL")?;
            url.set_path(name);
            anyhow::Ok(SecretString::from(url.to_string()))
        });
        Ok(Self {
            utility: with_database(store, &format!("{name}_vodokanal")),
            inbox: inbox.transpose()?,
        })
    }

    /// Whether the provider with the inbox can be played.
    pub(super) fn has_inbox(&self) -> bool {
        self.inbox.is_some()
    }

    /// Makes the databases and files, with these people in them.
    pub(super) async fn fill(&self, debtors: &[Debtor], out: &Path) -> anyhow::Result<Books> {
        let of = |payee: &'static str| debtors.iter().filter(move |debtor| debtor.payee == payee);
        let utility = self.fill_utility(of(UTILITY)).await.context("the utility's database")?;
        let inbox = match &self.inbox {
            None => None,
            Some(url) => Some(Inbox::open(url, of(INBOX)).await.context("the provider's database")?),
        };
        let files = out.join("payees");
        std::fs::create_dir_all(&files)?;
        let (fines, housing) = (files.join("fines.xlsx"), files.join("SALDO.DBF"));
        lists::write_fines(&fines, of(FINES))?;
        lists::write_housing(&housing, of(HOUSING))?;
        let mut places = BTreeMap::from([
            (UTILITY, Where::Database(self.utility.url.clone())),
            (FINES, Where::File(fines)),
            (HOUSING, Where::File(housing)),
        ]);
        places.extend(self.inbox.clone().map(|url| (INBOX, Where::Database(url))));
        Ok(Books {
            owed: minor(&utility, UTILITY_OWED).await?,
            utility,
            inbox,
            places,
        })
    }

    async fn fill_utility(&self, customers: impl Iterator<Item = &Debtor>) -> anyhow::Result<Database> {
        store::create_database(&self.utility).await?;
        let database = open(&self.utility.url)?;
        let customer = "insert into customers (account, name, address, debt)
            values (:account, :name, 'ул. Речная, 5', cast(:due as numeric))";
        let meter = "insert into meters values (:account, cast(:reading as integer), null)";
        fill(&database, UTILITY_TABLES, &[customer, meter], customers).await?;
        Ok(database)
    }

    /// Takes the databases away; the files stay, to be looked at.
    pub(super) async fn clear(&self) -> anyhow::Result<()> {
        store::drop_database(&self.utility).await?;
        if let Some(url) = &self.inbox {
            let (server, name) = server_of(url)?;
            let database = open(&server)?;
            script(&database, &format!("drop database if exists {name}")).await?;
            database.close().await;
        }
        Ok(())
    }
}

impl Inbox {
    async fn open(url: &SecretString, clients: impl Iterator<Item = &Debtor>) -> anyhow::Result<Self> {
        let (server, name) = server_of(url)?;
        let made = open(&server)?;
        script(&made, &format!("create database {name} character set utf8mb4")).await?;
        made.close().await;
        let database = Arc::new(open(url)?);
        let client = "insert into clients (login, name) values (:account, :name)";
        fill(&database, INBOX_TABLES, &[client], clients).await?;
        let stop = CancellationToken::new();
        Ok(Self {
            balance: minor(&database, INBOX_BALANCE).await?,
            job: tokio::spawn(post(database.clone(), stop.clone())),
            database,
            stop,
        })
    }
}

/// What the provider does by itself, until it is told to stop.
async fn post(database: Arc<Database>, stop: CancellationToken) {
    while !stop.is_cancelled() {
        if let Err(error) = script(&database, POSTING).await {
            tracing::info!(%error, "the provider could not post its inbox: it tries again");
        }
        tokio::time::sleep(POSTS_EVERY).await;
    }
}

impl Books {
    /// What each database holds now.
    pub(super) async fn holdings(&self) -> anyhow::Result<BTreeMap<&'static str, Holdings>> {
        let fallen = self.owed - minor(&self.utility, UTILITY_OWED).await?;
        let mut all = BTreeMap::from([(UTILITY, held(&self.utility, UTILITY_HELD, fallen).await?)]);
        if let Some(inbox) = &self.inbox {
            let grown = minor(&inbox.database, INBOX_BALANCE).await? - inbox.balance;
            all.insert(INBOX, held(&inbox.database, INBOX_HELD, grown).await?);
        }
        Ok(all)
    }

    /// Ends what runs.
    pub(super) async fn stop(self) {
        self.utility.close().await;
        if let Some(inbox) = self.inbox {
            inbox.stop.cancel();
            let _ = inbox.job.await;
            inbox.database.close().await;
        }
    }
}

async fn held(database: &Database, sql: &str, credited: i64) -> anyhow::Result<Holdings> {
    let found = ask(database, sql).await?;
    let row = found.rows.first().context("a payee's payments")?;
    Ok(Holdings::of_row(|name| row.text(name), credited))
}

async fn minor(database: &Database, sql: &str) -> anyhow::Result<i64> {
    let found = ask(database, sql).await?;
    let row = found.rows.first().context("a payee's balances")?;
    row.integer("minor").context("a payee's balances are no number")
}

/// Makes the example's tables, and runs these statements for everybody.
async fn fill(
    database: &Database,
    tables: &str,
    each: &[&str],
    people: impl Iterator<Item = &Debtor>,
) -> anyhow::Result<()> {
    script(database, tables).await?;
    let compile = |sql: &&str| Statement::compile("demo", sql, database.dialect(), &Texts);
    let statements: Vec<Statement> = each.iter().map(compile).collect::<Result<_, _>>()?;
    let mut tx = database.begin(Access::Write).await?;
    for debtor in people {
        let mut values = Values::default();
        values.text("account", debtor.account.as_str());
        values.text("name", debtor.name.as_str());
        values.text("due", decimal(debtor.due));
        values.text("reading", debtor.reading.to_string());
        for statement in &statements {
            tx.run(statement, &values).await?;
        }
    }
    Ok(tx.commit().await?)
}

/// Rubles and kopecks.
fn decimal(minor: i64) -> String {
    Currency::parse("RUB").map_or_else(|_| minor.to_string(), |rub| format_minor(minor, rub))
}

async fn ask(database: &Database, sql: &str) -> anyhow::Result<Outcome> {
    let statement = Statement::compile("demo", sql, database.dialect(), &Texts)?;
    let mut tx = database.begin(Access::Read).await?;
    let found = tx.run(&statement, &Values::default()).await?;
    tx.rollback().await?;
    Ok(found)
}

async fn script(database: &Database, sql: &str) -> Result<(), DatabaseError> {
    let mut tx = database.begin(Access::Write).await?;
    tx.script(sql).await?;
    tx.commit().await
}

/// A server of MariaDB without the name of a database, and that name.
fn server_of(url: &SecretString) -> anyhow::Result<(SecretString, String)> {
    let mut url = Url::parse(url.expose_secret())?;
    let name = url.path().trim_start_matches('/').to_owned();
    url.set_path("");
    Ok((SecretString::from(url.to_string()), name))
}

fn open(url: &SecretString) -> anyhow::Result<Database> {
    let limits = Limits {
        pool_size: 2,
        timeout: Duration::from_secs(20),
        create: false,
        zone: Zone::default(),
        application: "unigate-demo",
        keep_plans: false,
        read_only: false,
    };
    Ok(Database::open(url, &limits)?)
}
