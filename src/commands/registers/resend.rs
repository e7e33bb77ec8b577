//! `unigate registers resend`: payments of a period once more, as a copy.

use domain::declaration::parse_mail_address;
use domain::ids::PayeeId;
use jiff::tz::TimeZone;
use store::registers::{self, CopyRequest};

use super::tell_new;
use crate::commands::payments::zone_for;
use crate::ending::Outcome;
use crate::moment;
use crate::operator::Operator;

/// What to send again.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The payee
    #[arg(long, value_name = "ID", value_parser = PayeeId::parse)]
    payee: PayeeId,
    /// Accepted at this moment or later: RFC 3339, or a date, which is its midnight in the payee's zone
    #[arg(long, value_name = "T")]
    from: String,
    /// Accepted before this moment
    #[arg(long, value_name = "T")]
    to: String,
    /// Whose midnight a date is, instead of the payee's
    #[arg(long, value_name = "ZONE", value_parser = moment::zone)]
    time_zone: Option<TimeZone>,
    /// Where to, instead of the payee's own addresses
    #[arg(long, value_name = "MAIL", value_parser = parse_mail_address)]
    to_address: Option<String>,
}

/// Freezes the copies.
pub(super) async fn run(operator: &Operator, args: Args) -> Outcome {
    let zone = zone_for(operator, Some(&args.payee), args.time_zone).await?;
    let request = CopyRequest {
        from: moment::parse(&args.from, &zone)?,
        to: moment::parse(&args.to, &zone)?,
        payee: args.payee,
        requested_by: operator.who.clone(),
        to_address: args.to_address,
    };
    let copies = registers::resend(&operator.store, &request).await?;
    tell_new(operator, &copies).await
}
