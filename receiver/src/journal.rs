//! The receiver's own table in the payee's database, `unigate_payment`: every number that was ever asked to be entered,
//! written in the same transaction as the payee's statements. It is what makes a payment be entered exactly once.
//!
//! A number is in doubt from its first line on, until the same transaction says what came of it. Nobody sees that, unless a
//! procedure of the payee's ends the transaction on its way: then it stays, and nothing is done about the number any more
//! until the payee's administrator has said how it stands.
//!
//! A refused number is kept and may be tried again, but only by a request signed later than the refusal was told: an
//! older one that comes late must not credit what the gateway already gave up.

use contract::unikassa::{List, Pay};
use domain::Invalid;
use domain::ids::{Number, PaymentId};
use domain::money::{Amount, Currency};
use domain::text::Account;
use jiff::Timestamp;

use crate::values;
use crate::vocabulary::Vocabulary;
use ::sql::AmountAs;
use ::sql::Values;
use ::sql::{DatabaseError, Row, Transaction};
use ::sql::{Dialect, Statement};

mod sql;

/// Items of one page of `/list`: with the longest references it stays below 64 KiB.
pub(crate) const PAGE: usize = 100;
/// The longest reference that is kept, in characters.
const REFERENCE_MAX: usize = 100;

/// What the journal says of a number. The texts are those of the column `state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// `in_doubt`: nobody knows whether it was entered, or taken back.
    InDoubt,
    /// `accepted`: entered.
    Accepted,
    /// `refused`: not entered.
    Refused,
    /// `cancelled`: entered and taken back, or never entered and never to be.
    Cancelled,
}

/// A row of the journal.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) pay: Pay,
    pub(crate) state: State,
    pub(crate) provider_reference: Option<String>,
    pub(crate) refused_reason: Option<String>,
    /// When the newest request about it was signed, in seconds since 1970.
    pub(crate) asked_at: i64,
}

/// What came of writing a number down.
#[derive(Debug)]
pub(crate) enum Entered {
    /// It was not known.
    New,
    /// It was: as this row says.
    Known(Box<Entry>),
    /// The payment is known under another number.
    OtherNumber,
}

/// The journal's statements for one database.
#[derive(Debug, Clone)]
pub(crate) struct Journal {
    insert: Statement,
    find: Statement,
    find_payment: Statement,
    accept: Statement,
    refuse: Statement,
    doubt: Statement,
    hear: Statement,
    cancel: Statement,
    list: Statement,
    create: &'static str,
}

/// A row of the journal that makes no sense; somebody wrote into it.
fn damaged(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> DatabaseError {
    DatabaseError::unreadable(why)
}

impl Journal {
    pub(crate) fn new(dialect: Dialect) -> Result<Self, Invalid> {
        let text = sql::texts(dialect).ok_or_else(|| {
            Invalid::new(
                "database.url",
                "the journal is kept in PostgreSQL, MySQL, MariaDB or SQLite, not behind ODBC",
            )
        })?;
        let compile = |name: &str, text: &str| {
            Statement::compile(&format!("journal.{name}"), text, dialect, &Vocabulary::Journal)
        };
        Ok(Self {
            insert: compile("insert", text.insert)?,
            find: compile("find", text.find)?,
            find_payment: compile("find_payment", sql::FIND_PAYMENT)?,
            accept: compile("accept", text.accept)?,
            refuse: compile("refuse", sql::REFUSE)?,
            doubt: compile("doubt", sql::DOUBT)?,
            hear: compile("hear", sql::HEAR)?,
            cancel: compile("cancel", text.cancel)?,
            list: compile("list", text.list)?,
            create: text.create,
        })
    }

    /// Makes the table, if it is not there.
    pub(crate) async fn create(&self, tx: &mut Transaction) -> Result<(), DatabaseError> {
        tx.script(self.create).await
    }

    /// Does everything that is ever done to the table, with a payment that is none, in a transaction to be rolled back.
    pub(crate) async fn rehearse(&self, tx: &mut Transaction, pay: &Pay) -> Result<(), DatabaseError> {
        let now = pay.paid_at;
        self.enter(tx, pay, now.as_second()).await?;
        self.refuse(tx, pay.number, now.as_second(), "check-config").await?;
        self.hear(tx, pay.number, now.as_second() + 1).await?;
        self.doubt(tx, pay.number, None).await?;
        self.accept(tx, pay.number, now.as_second(), None).await?;
        self.cancel(tx, pay.number, "check-config").await?;
        self.find(tx, pay.number).await?;
        let list = List {
            from: now,
            to: now,
            after: None,
        };
        self.list(tx, &list, None).await.map(drop)
    }

    /// Writes a number down, in doubt until it is said what came of it, or says what is known of it. Whoever else has the same number waits here until
    /// this transaction ends.
    pub(crate) async fn enter(&self, tx: &mut Transaction, pay: &Pay, asked_at: i64) -> Result<Entered, DatabaseError> {
        let mut values = values::of_pay(pay, AmountAs::Minor);
        values.integer("asked_at", asked_at);
        // MySQL counts a repeat as two rows, the others as none.
        if tx.run(&self.insert, &values).await?.touched == 1 {
            return Ok(Entered::New);
        }
        if let Some(entry) = self.find(tx, pay.number).await? {
            return Ok(Entered::Known(Box::new(entry)));
        }
        if tx.run(&self.find_payment, &values).await?.rows.is_empty() {
            // The row that was in the way is gone again; the gateway asks once more.
            return Err(DatabaseError::vanished());
        }
        Ok(Entered::OtherNumber)
    }

    /// The row of a number, locked until the transaction ends.
    pub(crate) async fn find(&self, tx: &mut Transaction, number: Number) -> Result<Option<Entry>, DatabaseError> {
        let rows = tx.run(&self.find, &of_number(number)).await?.rows;
        rows.first().map(|row| Entry::read(number, row)).transpose()
    }

    /// Records that the payee's statements entered it.
    pub(crate) async fn accept(
        &self,
        tx: &mut Transaction,
        number: Number,
        asked_at: i64,
        reference: Option<&str>,
    ) -> Result<(), DatabaseError> {
        let mut values = of_number(number);
        values.integer("asked_at", asked_at);
        values.optional_text("provider_reference", reference.map(str::to_owned));
        tx.run(&self.accept, &values).await.map(drop)
    }

    /// Records that they refused it.
    pub(crate) async fn refuse(
        &self,
        tx: &mut Transaction,
        number: Number,
        asked_at: i64,
        reason: &str,
    ) -> Result<(), DatabaseError> {
        let mut values = of_number(number);
        values.integer("asked_at", asked_at);
        values.text("reason", reason);
        tx.run(&self.refuse, &values).await.map(drop)
    }

    /// Records that nobody knows what became of it, and why; without a reason, that this transaction is about to find out.
    pub(crate) async fn doubt(
        &self,
        tx: &mut Transaction,
        number: Number,
        why: Option<&str>,
    ) -> Result<(), DatabaseError> {
        let mut values = of_number(number);
        values.optional_text("reason", why.map(str::to_owned));
        tx.run(&self.doubt, &values).await.map(drop)
    }

    /// Records that somebody was told of a refusal: requests signed before are too late from now on.
    pub(crate) async fn hear(&self, tx: &mut Transaction, number: Number, asked_at: i64) -> Result<(), DatabaseError> {
        let mut values = of_number(number);
        values.integer("asked_at", asked_at);
        tx.run(&self.hear, &values).await.map(drop)
    }

    /// Records that it was taken back.
    pub(crate) async fn cancel(&self, tx: &mut Transaction, number: Number, reason: &str) -> Result<(), DatabaseError> {
        let mut values = of_number(number);
        values.text("reason", reason);
        tx.run(&self.cancel, &values).await.map(drop)
    }

    /// A page of what was entered in a period and when, and whether there is another.
    pub(crate) async fn list(
        &self,
        tx: &mut Transaction,
        list: &List,
        after: Option<Number>,
    ) -> Result<(Vec<(Entry, Timestamp)>, bool), DatabaseError> {
        let values = of_period(list, after);
        let rows = tx.run(&self.list, &values).await?.rows;
        let items = rows.iter().take(PAGE).map(entered).collect::<Result<Vec<_>, _>>()?;
        let more = rows.len() > PAGE;
        Ok((items, more))
    }
}

/// What a period's statements are given: its moments, the last number of the page before (else 0), and one row more than
/// a page has, which tells that there is another page.
pub(crate) fn of_period(list: &List, after: Option<Number>) -> Values {
    let mut values = Values::default();
    // As many digits as SQLite keeps: there the moments are compared as text.
    values.text("from", format!("{:.3}", list.from));
    values.text("to", format!("{:.3}", list.to));
    values.integer("after", after.map_or(0, Number::get));
    values.integer("limit", PAGE as i64 + 1);
    values
}

impl Entry {
    fn read(number: Number, row: &Row) -> Result<Self, DatabaseError> {
        let text = |name: &str| row.text(name).unwrap_or_default();
        let pay = Pay {
            number,
            payment_id: PaymentId::parse(&text("payment_id")).map_err(damaged)?,
            account: Account::new(text("account")).map_err(damaged)?,
            amount: amount(row)?,
            currency: Currency::parse(&text("currency")).map_err(damaged)?,
            paid_at: text("paid_at").parse().map_err(damaged)?,
            fields: serde_json::from_str(&text("fields")).map_err(damaged)?,
        };
        let state = match text("state").as_str() {
            "in_doubt" => State::InDoubt,
            "accepted" => State::Accepted,
            "refused" => State::Refused,
            "cancelled" => State::Cancelled,
            _ => return Err(damaged("state")),
        };
        Ok(Self {
            pay,
            state,
            provider_reference: row.text("provider_reference"),
            refused_reason: row.text("refused_reason"),
            asked_at: row.integer("asked_at").ok_or_else(|| damaged("asked_at"))?,
        })
    }

    /// Whether a request means the same payment.
    pub(crate) fn is_of(&self, pay: &Pay) -> bool {
        let content = |pay: &Pay| (pay.payment_id, pay.account.clone(), pay.amount, pay.currency);
        content(&self.pay) == content(pay)
    }
}

/// A reference of the payee's, of a length the journal and the page of a list can take.
pub(crate) fn short_reference(reference: &str) -> String {
    reference
        .chars()
        .filter(|c| !c.is_control())
        .take(REFERENCE_MAX)
        .collect()
}

fn of_number(number: Number) -> Values {
    let mut values = Values::default();
    values.integer("number", number.get());
    values
}

fn amount(row: &Row) -> Result<Amount, DatabaseError> {
    let minor = row.integer("amount").ok_or_else(|| damaged("amount"))?;
    Amount::new(minor).map_err(damaged)
}

fn entered(row: &Row) -> Result<(Entry, Timestamp), DatabaseError> {
    let text = |name: &str| row.text(name).unwrap_or_default();
    let number = Number::parse(&text("number")).map_err(damaged)?;
    let at = text("credited_at").parse().map_err(damaged)?;
    Ok((Entry::read(number, row)?, at))
}
