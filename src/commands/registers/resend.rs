//! `unigate registers resend`: payments of a period once more, as a copy; or the identical file of a register once more.

use domain::declaration::parse_mail_address;
use domain::ids::{PayeeId, RegisterId};
use jiff::tz::TimeZone;
use serde_json::json;
use store::StoreError;
use store::audit::Act;
use store::registers::{self, CopyRequest};

use super::{tell_new, told};
use crate::commands::payments::zone_for;
use crate::ending::{Ending, Outcome};
use crate::moment;
use crate::operator::Operator;
use crate::output::say;

/// What to send again.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The payee
    #[arg(long, value_name = "ID", value_parser = PayeeId::parse, required_unless_present = "id", requires_all = ["from", "to"])]
    payee: Option<PayeeId>,
    /// Accepted at this moment or later: RFC 3339, or a date, which is its midnight in the payee's zone
    #[arg(long, value_name = "T", requires = "payee")]
    from: Option<String>,
    /// Accepted before this moment
    #[arg(long, value_name = "T", requires = "payee")]
    to: Option<String>,
    /// Whose midnight a date is, instead of the payee's
    #[arg(long, value_name = "ZONE", value_parser = moment::zone, requires = "payee")]
    time_zone: Option<TimeZone>,
    /// The format of the copy, instead of the payee's own
    #[arg(long, value_name = "FORMAT", requires = "payee")]
    format: Option<String>,
    /// Also what is in no regular register yet; the file's name says so
    #[arg(long, requires = "payee")]
    include_open: bool,
    /// Instead of a copy: the file of this register, as it is
    #[arg(long, value_name = "REGISTER", value_parser = RegisterId::parse, conflicts_with = "payee")]
    id: Option<RegisterId>,
    /// Where to, instead of the payee's own addresses
    #[arg(long, value_name = "MAIL", value_parser = parse_mail_address)]
    to_address: Option<String>,
    /// Tell what would be sent, and send nothing
    #[arg(long)]
    dry_run: bool,
}

/// Freezes the copies, or lets the file be mailed again.
pub(super) async fn run(operator: &Operator, args: Args) -> Outcome {
    match (args.id, args.payee, args.from, args.to) {
        (Some(id), ..) => again(operator, id, args.to_address.as_deref(), args.dry_run).await,
        (None, Some(payee), Some(from), Some(to)) => {
            let zone = zone_for(operator, Some(&payee), args.time_zone).await?;
            let (from, to) = moment::period(&from, &to, &zone)?;
            let request = CopyRequest {
                from,
                to,
                payee,
                requested_by: operator.who.clone(),
                to_address: args.to_address,
                format: args.format,
                include_open: args.include_open,
            };
            if args.dry_run {
                look_at_copies(operator, &request).await
            } else {
                copy(operator, &request).await
            }
        }
        // clap lets nothing else through.
        _ => anyhow::bail!("say --payee, --from and --to, or --id"),
    }
}

async fn copy(operator: &Operator, request: &CopyRequest) -> Outcome {
    match registers::resend(&operator.store, request).await {
        Ok(copies) => tell_new(operator, &copies).await,
        Err(error) => Err(refused(operator, "payee", request.payee.as_str(), error).await),
    }
}

async fn look_at_copies(operator: &Operator, request: &CopyRequest) -> Outcome {
    for copy in registers::look_at_resend(&operator.store, request).await? {
        say(format!("would be sent, and is not: {}", told(&copy)))?;
    }
    Ok(Ending::Done)
}

async fn again(operator: &Operator, id: RegisterId, to: Option<&str>, dry_run: bool) -> Outcome {
    if dry_run {
        let (mails, to) = registers::look_at_mail_again(&operator.store, id, to).await?;
        say(format!(
            "register {id} would be mailed again as it is, and is not: {mails} mails, to {}",
            to.join(", ")
        ))?;
        return Ok(Ending::Done);
    }
    match registers::mail_again(&operator.store, id, to, &operator.who).await {
        Ok(mails) => say(format!("register {id} will be mailed again as it is: {mails} mails"))?,
        Err(error) => return Err(refused(operator, "register", &id.to_string(), error).await),
    }
    Ok(Ending::Done)
}

async fn refused(operator: &Operator, subject_kind: &str, subject: &str, error: StoreError) -> anyhow::Error {
    let act = Act {
        who: &operator.who,
        act: "registers resend",
        subject_kind,
        subject,
        reason: None,
        before: None,
        after: Some(json!(null)),
    };
    operator.denied(act, error).await
}
