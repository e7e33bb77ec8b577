//! A first scenario, made of a payee's real schema and a few answers. It is a beginning that can be checked and tried; what a
//! business does besides is for whoever knows it to add.

mod names;

use std::fmt::Write as _;
use std::time::Duration;

use domain::declaration::SecretRef;
use runtime::secret::fetch;
use sql::{Database, Dialect, Limits, Zone};

use crate::catalogue;
use names::{in_words, quoted, written};

/// How long the schema may take to be read.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A table of the payee's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Its columns, in their order.
    pub columns: Vec<Column>,
}

/// A column of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// Its type, as the database calls it.
    pub data_type: String,
}

/// What a scenario is made of; names as the database has them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answers {
    /// The table of accounts, and its columns: what payers know, who it is, what is due.
    pub accounts: String,
    /// What payers know.
    pub account: String,
    /// Who it is; empty for none.
    pub name: String,
    /// What is due; empty for none.
    pub due: String,
    /// The table of payments, and its columns.
    pub payments: String,
    /// Where our number goes; it has a unique key.
    pub number: String,
    /// Where the account goes.
    pub paid_account: String,
    /// Where the amount goes.
    pub amount: String,
    /// Where the time of the payment goes; empty for nowhere.
    pub paid_at: String,
    /// Amounts are kept as decimal numbers, and not in minor units.
    pub decimal: bool,
}

/// What an account of a payee's database sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    /// Whose SQL it is.
    pub dialect: Dialect,
    /// Its tables.
    pub tables: Vec<Table>,
}

/// Whose scenario is begun.
#[derive(Debug, Clone, Copy)]
pub struct Begun<'a> {
    /// The payee.
    pub id: &'a str,
    /// Its name for people.
    pub name: &'a str,
    /// The currency it is paid in.
    pub currency: &'a str,
    /// Where its database is, as it is to be written.
    pub url: &'a str,
    /// Whose SQL that speaks.
    pub dialect: Dialect,
}

/// The tables that an account of the payee's database sees.
pub async fn schema(url: &SecretRef) -> Result<Schema, String> {
    let limits = Limits {
        pool_size: 1,
        timeout: TIMEOUT,
        create: false,
        zone: Zone::default(),
        application: "unigate-databases",
        keep_plans: false,
        read_only: true,
    };
    let database = Database::open(&fetch(url)?, &limits).map_err(|error| error.in_full())?;
    let sql = match database.dialect() {
        Dialect::Postgres => {
            "select table_name::text, column_name::text, data_type::text from information_schema.columns
             where table_schema = current_schema() order by table_name, ordinal_position"
        }
        Dialect::Mysql => {
            "select table_name as table_name, column_name as column_name, data_type as data_type from information_schema.columns
             where table_schema = database() order by table_name, ordinal_position"
        }
        Dialect::Odbc => return Err("the tables behind an ODBC driver cannot be listed: begin with an example".to_owned()),
        Dialect::Sqlite => {
            "select m.name as table_name, p.name as column_name, lower(p.type) as data_type
             from sqlite_master m join pragma_table_info(m.name) p where m.type = 'table' order by m.name, p.cid"
        }
    };
    let rows = tokio::time::timeout(TIMEOUT, catalogue::rows(&database, sql))
        .await
        .map_err(|_| "the database does not answer in time")?;
    let mut tables: Vec<Table> = Vec::new();
    for row in rows.map_err(|error| error.in_full())? {
        let text = |name: &str| row.text(name).unwrap_or_default();
        let (name, column) = (
            text("table_name"),
            Column {
                name: text("column_name"),
                data_type: text("data_type"),
            },
        );
        match tables.last_mut().filter(|table| table.name == name) {
            Some(table) => table.columns.push(column),
            None => tables.push(Table {
                name,
                columns: vec![column],
            }),
        }
    }
    Ok(Schema {
        dialect: database.dialect(),
        tables,
    })
}

/// The name that most likely means one of these words, in the order of the words.
pub fn guess<'a>(names: impl Iterator<Item = &'a str> + Clone, words: &[&str]) -> Option<&'a str> {
    words
        .iter()
        .find_map(|word| names.clone().find(|name| name.to_lowercase().contains(word)))
}

/// Whether amounts in a column of this type are decimal numbers.
pub fn is_decimal(data_type: &str) -> bool {
    ["numeric", "decimal", "money", "real", "double", "float"]
        .iter()
        .any(|word| data_type.starts_with(word))
}

/// The declaration of a payee with a first scenario.
pub fn declaration(begun: &Begun<'_>, answers: &Answers) -> String {
    let Begun { id, currency, .. } = begun;
    let (name, url) = (written(begun.name), written(begun.url));
    let amount_as = if answers.decimal { "decimal" } else { "minor" };
    let mut text = format!(
        "# A first scenario. Look at it, add what is missing, and try it:\n\
         #   unigate databases check-config {id} --file FILE\n\
         #   unigate databases try {id} check --file FILE --account …\n\
         id = \"{id}\"\nname = {name}\ngateway = \"databases\"\ncurrency = \"{currency}\"\n\
         account = {{ pattern = \"^.{{1,40}}$\" }}   # what an account looks like: narrow it\n\
         amount = {{ min = 100, max = 1500000 }}   # minor units\n\n\
         [databases]\nurl = {url}\namount_as = \"{amount_as}\"\ntime_zone = \"UTC\"   # of dates and times that say none\n\n\
         [databases.check]\n"
    );
    let display = match (answers.name.is_empty(), answers.due.is_empty()) {
        (true, true) => "",
        (false, true) => "{{ name }}",
        (true, false) => "{{ amount_due }}",
        (false, false) => "{{ name }}: {{ amount_due }}",
    };
    if !display.is_empty() {
        let _ = writeln!(text, "display = \"{display}\"");
    }
    let said = Statements::of(begun.dialect, answers);
    let (check, enter, status) = (written(&said.check), written(&said.enter), written(&said.status));
    let (payments, number) = (in_words(&answers.payments), in_words(&answers.number));
    let _ = write!(
        text,
        "[[databases.check.statement]]\nsql = {check}\n\n\
         [[databases.pay.statement]]\n\
         sql = {enter}\n\
         unique = true   # {payments}.{number} needs a unique key: `databases try {id} pay` tries whether it has one\n"
    );
    if let Some(less) = &said.less {
        let _ = write!(text, "[[databases.pay.statement]]\nsql = {}\n", written(less));
    }
    let _ = write!(text, "\n[[databases.status.statement]]\nsql = {status}\n");
    text
}

/// What a first scenario does.
struct Statements {
    /// Looks an account up.
    check: String,
    /// Enters a payment.
    enter: String,
    /// Has less due.
    less: Option<String>,
    /// Asks about one.
    status: String,
}

impl Statements {
    /// Columns are known by names of ours, which templates and parameters can have, whatever the payee calls them.
    fn of(dialect: Dialect, answers: &Answers) -> Self {
        let quoted = |name: &str| quoted(name, dialect);
        let (accounts, payments) = (quoted(&answers.accounts), quoted(&answers.payments));
        let (account, number, amount) = (
            quoted(&answers.account),
            quoted(&answers.number),
            quoted(&answers.amount),
        );
        let columns: Vec<String> = [(&answers.name, "name"), (&answers.due, "amount_due")]
            .into_iter()
            .filter(|(column, _)| !column.is_empty())
            .map(|(column, known_as)| format!("{} as {known_as}", quoted(column)))
            .collect();
        let columns = match columns.is_empty() {
            true if account == answers.account => account.clone(),
            true => format!("{account} as account"),
            false => columns.join(", "),
        };
        let (paid_at, its_value) = match answers.paid_at.as_str() {
            "" => (String::new(), ""),
            column => (format!(", {}", quoted(column)), ", :paid_at"),
        };
        let paid_account = quoted(&answers.paid_account);
        let less = (!answers.due.is_empty()).then(|| {
            let due = quoted(&answers.due);
            format!("update {accounts} set {due} = {due} - :amount where {account} = :account")
        });
        Self {
            check: format!("select {columns} from {accounts} where {account} = :account"),
            enter: format!(
                "insert into {payments} ({number}, {paid_account}, {amount}{paid_at}) values (:number, :account, :amount{its_value})"
            ),
            less,
            status: format!("select {amount} as amount from {payments} where {number} = :number"),
        }
    }
}
