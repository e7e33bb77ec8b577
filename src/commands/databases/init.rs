//! `unigate databases init`: a few questions, and a first scenario made of the payee's real schema.

use std::io::{BufRead, IsTerminal as _, stdin};
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use databases::first::{self, Answers, Begun, Schema, Table};
use domain::declaration::SecretRef;
use domain::ids::PayeeId;
use domain::money::Currency;

use crate::ending::{Ending, Outcome};
use crate::output::{self, note};

/// Whose scenario is begun.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The payee
    #[arg(value_name = "PAYEE", value_parser = PayeeId::parse)]
    payee: PayeeId,
    /// Where its database is: env:NAME, file:PATH or the address itself
    #[arg(long, value_name = "URL", value_parser = SecretRef::parse)]
    url: SecretRef,
    /// Its name for people
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// The currency it is paid in
    #[arg(long, value_name = "CODE", default_value = "RUB", value_parser = |text: &str| Currency::parse(text))]
    currency: Currency,
    /// Write it into this file, which must not be there yet, instead of printing it
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Ask nothing: take what is most likely meant
    #[arg(long)]
    yes: bool,
}

/// Asks, and writes.
pub(super) async fn run(args: Args) -> Outcome {
    if !args.url.is_reference() {
        note("the address is written into the file as it is; env:NAME or file:PATH keep a password out of it");
    }
    let Schema { dialect, tables } = first::schema(&args.url).await.map_err(anyhow::Error::msg)?;
    if tables.is_empty() {
        bail!("this account sees no table: has it the right to?");
    }
    let answers = Asking::new(&tables, args.yes).answers()?;
    let name = args.name.unwrap_or_else(|| args.payee.to_string());
    let begun = Begun {
        id: args.payee.as_str(),
        name: &name,
        currency: args.currency.code(),
        url: args.url.as_written(),
        dialect,
    };
    let text = first::declaration(&begun, &answers);
    let Some(path) = args.out else {
        output::text(&text)?;
        return Ok(Ending::Done);
    };
    let mut file = std::fs::File::create_new(&path).with_context(|| path.display().to_string())?;
    std::io::Write::write_all(&mut file, text.as_bytes()).with_context(|| path.display().to_string())?;
    note(&format!("written to {}", path.display()));
    Ok(Ending::Done)
}

/// Who asks, and about what.
struct Asking<'a> {
    tables: &'a [Table],
    yes: bool,
}

impl<'a> Asking<'a> {
    fn new(tables: &'a [Table], yes: bool) -> Self {
        Self { tables, yes }
    }

    fn answers(&self) -> anyhow::Result<Answers> {
        let accounts = self.table(
            "Which table has the accounts",
            &["account", "customer", "client", "abonent", "user", "debt"],
        )?;
        let account = self.column(
            accounts,
            "Which column does the payer know",
            &["account", "login", "contract", "number", "ls"],
            true,
        )?;
        let name = self.column(
            accounts,
            "Which column says who it is (- for none)",
            &["name", "fio", "title"],
            false,
        )?;
        let due = self.column(
            accounts,
            "Which column says what is due (- for none)",
            &["debt", "due", "balance", "saldo", "amount"],
            false,
        )?;
        let payments = self.table(
            "Which table takes the payments",
            &["payment", "inbox", "receipt", "pay"],
        )?;
        let number = self.column(
            payments,
            "Which column takes our number (a unique key)",
            &["number", "txn", "external", "payment_id", "id"],
            true,
        )?;
        let paid_account = self.column(
            payments,
            "Which column takes the account",
            &["account", "login", "contract", "client"],
            true,
        )?;
        let amount = self.column(
            payments,
            "Which column takes the amount",
            &["amount", "sum", "summa"],
            true,
        )?;
        let paid_at = self.column(
            payments,
            "Which column takes the time (- for none)",
            &["paid_at", "date", "time", "at"],
            false,
        )?;
        let of_amount = payments.columns.iter().find(|column| column.name == amount);
        Ok(Answers {
            accounts: accounts.name.clone(),
            payments: payments.name.clone(),
            decimal: of_amount.is_some_and(|column| first::is_decimal(&column.data_type)),
            account,
            name,
            due,
            number,
            paid_account,
            amount,
            paid_at,
        })
    }

    fn table(&self, question: &str, words: &[&str]) -> anyhow::Result<&'a Table> {
        let names = self.tables.iter().map(|table| table.name.as_str());
        let guess = first::guess(names.clone(), words);
        let name = self.ask(question, &names.collect::<Vec<_>>(), guess)?;
        let found = self.tables.iter().find(|table| table.name == name);
        found.with_context(|| format!("there is no table {name:?}"))
    }

    fn column(&self, table: &Table, question: &str, words: &[&str], needed: bool) -> anyhow::Result<String> {
        let names = table.columns.iter().map(|column| column.name.as_str());
        let guess = first::guess(names.clone(), words).or((!needed).then_some("-"));
        let name = self.ask(
            &format!("{question}, of {}", table.name),
            &names.clone().collect::<Vec<_>>(),
            guess,
        )?;
        match name.as_str() {
            "-" if !needed => Ok(String::new()),
            name if names.clone().any(|known| known == name) => Ok(name.to_owned()),
            name => bail!("{} has no column {name:?}", table.name),
        }
    }

    fn ask(&self, question: &str, choices: &[&str], guess: Option<&str>) -> anyhow::Result<String> {
        if self.yes {
            return guess
                .map(str::to_owned)
                .with_context(|| format!("{question}? nothing looks like it"));
        }
        let default = guess.map(|guess| format!(" [{guess}]")).unwrap_or_default();
        note(&format!("{question}? {}{default}", choices.join(", ")));
        let mut line = String::new();
        let read = stdin().lock().read_line(&mut line).context("no answer")?;
        if read == 0 && !stdin().is_terminal() {
            bail!("{question}? there is no answer; --yes takes what is most likely meant");
        }
        match (line.trim(), guess) {
            ("", Some(guess)) => Ok(guess.to_owned()),
            ("", None) => bail!("{question}? this has to be known"),
            (answer, _) => Ok(answer.to_owned()),
        }
    }
}
