//! `unigate databases`: setting up payees whose own data are worked with. Both commands work from the machine they are run on,
//! on a payee as it is declared or on a file that is not applied yet, and nothing they try is kept.

mod init;

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Subcommand, ValueEnum};
use contract::message::PaymentCheck;
use contract::unikassa::CheckAnswer;
use databases::trying::{self, Finding, Severity};
use domain::declaration::{Payee, StepKind};
use domain::ids::{Number, PayeeId, PaymentId, TerminalId};
use domain::money::Amount;
use domain::payment::PaymentState;
use domain::text::{Account, Fields};
use serde_json::json;
use store::audit::{self, Act};
use store::declarations;
use store::deliveries::Due;

use super::declared::read::read_all;
use crate::ending::{Ending, Outcome};
use crate::operator::Operator;
use crate::output::{self, Column, FormatArg, Row, note, say};

/// A number no real payment has yet, and that still fits a 32-bit column.
const SAMPLE_NUMBER: i64 = 2_000_000_001;

/// What to do with a payee's scenario.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Connect, have every statement read, and say what is wrong; changes nothing
    CheckConfig(CheckConfigArgs),
    /// Ask a few questions and write a first scenario from the payee's schema
    Init(init::Args),
    /// Run a step as a payer would bring it about, and undo it: what would the terminal see?
    Try(TryArgs),
}

/// Which payee.
#[derive(Debug, clap::Args)]
struct Which {
    /// The payee
    #[arg(value_name = "PAYEE", value_parser = PayeeId::parse)]
    payee: PayeeId,
    /// As this file declares it, applied or not
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
}

/// Whose scenario is looked at.
#[derive(Debug, clap::Args)]
pub(crate) struct CheckConfigArgs {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    format: FormatArg,
}

/// Which step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum StepArg {
    /// May the account be paid
    Check,
    /// Enter a payment
    Pay,
    /// Enter one and ask what became of it
    Status,
    /// Enter one and take it back
    Cancel,
}

/// What is tried.
#[derive(Debug, clap::Args)]
pub(crate) struct TryArgs {
    #[command(flatten)]
    which: Which,
    /// The step
    step: StepArg,
    /// Of this account
    #[arg(long, value_parser = |text: &str| Account::new(text))]
    account: Account,
    /// With this amount, in minor units
    #[arg(long, value_name = "MINOR")]
    amount: Option<i64>,
    /// What the payer enters; may be given several times
    #[arg(long, value_name = "NAME=VALUE", value_parser = field)]
    field: Vec<(String, String)>,
    /// Also where tables cannot roll back, and what is tried stays in them
    #[arg(long)]
    anyway: bool,
}

fn field(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("is written NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Does what was asked for.
pub(crate) async fn run(command: Command) -> Outcome {
    match command {
        Command::CheckConfig(args) => check_config(args).await,
        Command::Init(args) => init::run(args).await,
        Command::Try(args) => try_step(args).await,
    }
}

impl Which {
    async fn find(&self) -> anyhow::Result<Payee> {
        if let Some(path) = &self.file {
            let written = read_all::<Payee>(path, &[<Payee as domain::declaration::Declaration>::KIND], |_| {
                Vec::new()
            })?;
            let found = written
                .into_iter()
                .map(|written| written.value)
                .find(|payee| payee.id == self.payee);
            return found.with_context(|| format!("{}: declares no payee {}", path.display(), self.payee));
        }
        let operator = Operator::new()?;
        let all = declarations::load(&operator.store).await?;
        let declared = all.payees.get(&self.payee);
        let declared = declared.with_context(|| format!("no payee {} is declared", self.payee))?;
        Ok(Payee::clone(&declared.value))
    }
}

async fn check_config(args: CheckConfigArgs) -> Outcome {
    let payee = args.which.find().await?;
    let findings = trying::check_config(&payee).await;
    output::list(args.format.format, &findings)?;
    Ok(Ending::done_if(
        findings.iter().all(|finding| finding.severity != Severity::Error),
    ))
}

/// The payee is called, and what is tried may stay in its books: that is written down before it begins.
async fn try_step(args: TryArgs) -> Outcome {
    let payee = args.which.find().await?;
    note_down(&args).await?;
    payee
        .accept_account(&args.account)
        .context("this payee takes no such account")?;
    let fields = Fields::new(args.field.into_iter().collect::<BTreeMap<_, _>>())?;
    let amount = args.amount.map(Amount::new).transpose()?;
    if let Some(amount) = amount {
        payee.accept_amount(amount).context("this payee takes no such amount")?;
    }
    let kind = match args.step {
        StepArg::Check => return try_check(&payee, args.account, amount, fields).await,
        StepArg::Pay => StepKind::Pay,
        StepArg::Status => StepKind::Status,
        StepArg::Cancel => StepKind::Cancel,
    };
    let due = sample(&payee, &args.account, amount.unwrap_or(payee.amount.min), &fields)?;
    let mut lines = Vec::new();
    let tried = trying::try_payment(&payee, kind, &due, args.anyway, &mut lines).await;
    for line in lines {
        say(&line)?;
    }
    match tried {
        Ok(kept) => {
            match kept {
                None => note("nothing of it was kept"),
                Some(why) => note(&format!("something of it may have been kept, look there: {why}")),
            }
            Ok(Ending::Done)
        }
        Err(why) => {
            note(&why);
            Ok(Ending::Failed)
        }
    }
}

async fn note_down(args: &TryArgs) -> anyhow::Result<()> {
    let operator = Operator::new()?;
    let step = args.step.to_possible_value();
    let act = Act {
        who: &operator.who,
        act: "databases try",
        subject_kind: "payee",
        subject: args.which.payee.as_str(),
        reason: None,
        before: None,
        after: Some(json!({
            "step": step.as_ref().map(|step| step.get_name()), "account": args.account.as_str(), "amount": args.amount,
            "file": args.which.file, "anyway": args.anyway,
        })),
    };
    let tx = operator.store.begin().await?;
    audit::record(&tx, &act).await?;
    Ok(tx.commit().await?)
}

async fn try_check(payee: &Payee, account: Account, amount: Option<Amount>, fields: Fields) -> Outcome {
    let asked = PaymentCheck {
        payment_id: PaymentId::random(),
        terminal: TerminalId::parse("unigate-try")?,
        payee: payee.id.clone(),
        account,
        amount,
        currency: amount.map(|_| payee.currency),
        fields,
    };
    match trying::try_check(payee, &asked).await {
        Ok((answer, lines)) => {
            for line in lines {
                say(&line)?;
            }
            for line in told(&answer) {
                say(&line)?;
            }
            Ok(Ending::Done)
        }
        Err(why) => {
            note(&why);
            Ok(Ending::Failed)
        }
    }
}

/// What the terminal is told, a line for each thing.
fn told(answer: &CheckAnswer) -> Vec<String> {
    let mut lines = vec![format!("the terminal sees: {}", answer.result.as_str())];
    let mut line = |name: &str, value: Option<String>| {
        lines.extend(
            value
                .iter()
                .flat_map(|value| value.lines())
                .map(|part| format!("  {name}: {part}")),
        );
    };
    line("reason", answer.reason.clone());
    line("display", answer.display.clone());
    line("amount_due", answer.amount_due.map(|minor| minor.to_string()));
    line("min_amount", answer.min_amount.map(|minor| minor.to_string()));
    line("max_amount", answer.max_amount.map(|minor| minor.to_string()));
    for ask in &answer.ask {
        let required = if ask.required { "required" } else { "may be left out" };
        line("ask", Some(format!("{} ({}), {required}", ask.label, ask.name)));
    }
    for (name, value) in answer.fields.iter() {
        line("carries", Some(format!("{name}={value}")));
    }
    lines
}

fn sample(payee: &Payee, account: &Account, amount: Amount, fields: &Fields) -> anyhow::Result<Due> {
    Ok(Due {
        payment_id: PaymentId::random(),
        number: Number::new(SAMPLE_NUMBER)?,
        payee: payee.id.to_string(),
        terminal: "unigate-try".to_owned(),
        account: account.to_string(),
        amount: amount.minor(),
        fee: 0,
        currency: payee.currency.code().to_owned(),
        fields: serde_json::to_value(fields)?,
        paid_at: domain::clock::now(),
        state: PaymentState::Accepted,
        step: 0,
        attempts: 0,
        maybes: 0,
        not_found: 0,
        give_up_at: None,
        last_call_at: None,
        traceparent: None,
        revoke_reason: Some("tried by unigate databases try".to_owned()),
        settled: false,
        provider_reference: None,
    })
}

impl Row for Finding {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("severity", |row| {
            json!(match row.severity {
                Severity::Fine => "ok",
                Severity::Warning => "warning",
                Severity::Error => "error",
            })
        }),
        Column::new("place", |row| json!(row.place)),
        Column::new("found", |row| json!(row.text)),
    ];
}
