//! `unigate payees probe`: goes the way to an online payee step by step, from the machine it is run on. It takes a slot of the
//! payee's lane and a call of its rate like any call, and moves no payment. Of a breaker that is open it only makes the next probe due
//! where all went well: whether the payee is back is for the worker to find, from where it stands.

use anyhow::bail;
use contract::message::PaymentCheck;
use domain::Invalid;
use domain::declaration::{Dialect, Payee, UnikassaProfile};
use domain::ids::{Number, PayeeId, PaymentId, TerminalId};
use domain::money::Amount;
use domain::text::{Account, Fields};
use serde_json::json;
use store::audit::{self, Act};
use store::declarations;
use store::lanes::{self, Asked, Calls, Slot};
use store::{StoreError, Tx, payments};
use unikassa::{Caller, Question, Step};

use crate::ending::{Ending, Outcome};
use crate::operator::Operator;
use crate::output::{self, Column, FormatArg, Row, note};

/// Which payee, and what it is asked.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The payee
    #[arg(value_name = "ID", value_parser = PayeeId::parse)]
    payee: PayeeId,
    /// Ask whether this account may be paid; else what became of a payment that waits, or nothing at all
    #[arg(long, value_parser = account)]
    account: Option<Account>,
    /// With this amount, in minor units
    #[arg(long, value_name = "MINOR", requires = "account")]
    amount: Option<i64>,
    #[command(flatten)]
    format: FormatArg,
}

fn account(text: &str) -> Result<Account, Invalid> {
    Account::new(text)
}

pub(super) async fn run(args: Args) -> Outcome {
    let operator = Operator::new()?;
    let all = declarations::load(&operator.store).await?;
    let Some(payee) = all.payees.get(&args.payee).map(|declared| declared.value.clone()) else {
        bail!("no payee {} is declared", args.payee)
    };
    let Some(profile) = &payee.unikassa else {
        bail!(
            "payee {} is not called online: its gateway is {}",
            payee.id,
            payee.gateway
        )
    };
    let question = question(&operator, &payee, profile, &args).await?;
    let caller = Caller::new()?;
    let Some((slot, start_in)) = take_slot(&operator, &payee, profile, &question).await? else {
        return Ok(Ending::Failed);
    };
    tokio::time::sleep(start_in).await;
    let steps = unikassa::steps(&caller, &payee, &question).await;
    let answers = steps.iter().all(|step| step.found.is_ok());
    let tx = operator.store.begin().await?;
    // The lane before its slot, as claims do.
    let asked_again = answers && ask_again(&operator, &tx, &payee).await?;
    lanes::give_back(&tx, &[(&slot, None)]).await?;
    tx.commit().await?;
    output::list(args.format.format, &steps)?;
    if asked_again {
        note(&format!(
            "payee {} was down, or wanted to be left alone, and is asked again now: what waits goes out when it is back",
            payee.id
        ));
    }
    Ok(Ending::done_if(answers))
}

/// A payee that is down, or has asked us to wait, and answers us is called by its worker at once, and not only when it would be.
async fn ask_again(operator: &Operator, tx: &Tx, payee: &Payee) -> Result<bool, StoreError> {
    if !lanes::ask_again(tx, payee.id.as_str()).await? {
        return Ok(false);
    }
    let act = Act {
        after: Some(json!({ "asked_again": "now" })),
        ..act(operator, payee)
    };
    audit::record(tx, &act).await?;
    Ok(true)
}

fn act<'a>(operator: &'a Operator, payee: &'a Payee) -> Act<'a> {
    Act {
        who: &operator.who,
        act: "payees probe",
        subject_kind: "payee",
        subject: payee.id.as_str(),
        reason: None,
        before: None,
        after: None,
    }
}

async fn question(
    operator: &Operator,
    payee: &Payee,
    profile: &UnikassaProfile,
    args: &Args,
) -> anyhow::Result<Question> {
    let Some(account) = args.account.clone() else {
        let waiting = lanes::waiting_number(&operator.store, payee.id.as_str()).await?;
        return Ok(match waiting.filter(|_| profile.offers_status()) {
            Some(number) => Question::Status(Number::new(number)?),
            None => Question::Greeting,
        });
    };
    if !profile.offers_check() {
        bail!("payee {} is not asked about accounts: offers_check is false", payee.id)
    }
    let payment_id = PaymentId::random();
    // Dialects that tell a number at a check get one of ours, which no payment will have.
    let number = match profile.dialect {
        Dialect::Unikassa => None,
        Dialect::Osmp | Dialect::Template => Some(payments::number_at_check(&operator.store, payment_id).await?),
    };
    let asked = PaymentCheck {
        payment_id,
        terminal: TerminalId::parse("unigate-probe")?,
        payee: payee.id.clone(),
        account,
        amount: args.amount.map(Amount::new).transpose()?,
        currency: args.amount.map(|_| payee.currency),
        fields: Fields::default(),
    };
    Ok(Question::Check(Box::new(asked), number))
}

/// A slot for the call, written down together with who tries it and why; none when the payee is not to be called now.
async fn take_slot(
    operator: &Operator,
    payee: &Payee,
    profile: &UnikassaProfile,
    question: &Question,
) -> anyhow::Result<Option<(Slot, std::time::Duration)>> {
    let asked = match question {
        Question::Check(asked, _) => json!({ "asked": "check", "account": asked.account }),
        Question::Status(number) => json!({ "asked": "status", "number": number }),
        Question::Greeting => json!({ "asked": "nothing" }),
    };
    let act = Act {
        after: Some(asked),
        ..act(operator, payee)
    };
    let calls = Calls {
        // Every step may take as long as a call.
        longest: std::time::Duration::from_secs(4 * u64::from(profile.timeout_seconds)),
        quiet_until: &|now| profile.online().quiet_until(now),
    };
    let tx = operator.store.begin().await?;
    let refused = match lanes::take_for_trying(&tx, payee.id.as_str(), &calls).await? {
        Asked::Go(slot, start_in) => {
            audit::record(&tx, &act).await?;
            tx.commit().await?;
            return Ok(Some((slot, start_in)));
        }
        Asked::Quiet(until) => {
            let until = until.to_zoned(profile.time_zone.tz().clone());
            format!("these are its quiet hours, until {}", until.strftime("%F %H:%M %Z"))
        }
        Asked::Busy => "all its slots are taken, or its rate is used up: try again in a moment".to_owned(),
        Asked::Closed => "it has no lane: apply its declaration again".to_owned(),
    };
    tx.rollback().await?;
    note(&format!("payee {} is not called now: {refused}", payee.id));
    let denied = Act {
        after: Some(json!({ "denied": refused })),
        ..act
    };
    audit::record_denied(&operator.store, &denied).await?;
    Ok(None)
}

impl Row for Step {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("step", |row| json!(row.name)),
        Column::new("outcome", |row| json!(if row.found.is_ok() { "ok" } else { "failed" })),
        Column::new("ms", |row| {
            json!(u64::try_from(row.took.as_millis()).unwrap_or(u64::MAX))
        }),
        Column::new("found", |row| {
            let (Ok(found) | Err(found)) = &row.found;
            json!(found)
        }),
    ];
}
