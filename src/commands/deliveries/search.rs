//! Which payments, on the command line: the same words for lists, groups and acts.

use domain::ids::{Number, PayeeId};
use domain::payment::PaymentState;
use jiff::tz::TimeZone;
use store::payments::{Filter, Group};

use crate::moment;
use crate::operator::Operator;

/// Which payments; everything given must match.
#[derive(Debug, clap::Args)]
pub(crate) struct Search {
    /// To this payee
    #[arg(long, value_name = "ID", value_parser = PayeeId::parse)]
    payee: Option<PayeeId>,
    /// In this state
    #[arg(long, value_name = "S", value_parser = PaymentState::parse)]
    state: Option<PaymentState>,
    /// Under this number
    #[arg(long, value_name = "N", value_parser = Number::parse)]
    number: Option<Number>,
    /// For this account
    #[arg(long, value_name = "TEXT")]
    account: Option<String>,
    /// Whose last error contains this text; without --state, of those that are stuck
    #[arg(long, value_name = "TEXT")]
    error: Option<String>,
    /// Of this group, as `deliveries groups` prints it
    #[arg(long, value_name = "GROUP", value_parser = Group::parse)]
    group: Option<Group>,
    /// Accepted at this moment or later: RFC 3339, or a date, which is its midnight
    #[arg(long, value_name = "T")]
    from: Option<String>,
    /// Accepted before this moment
    #[arg(long, value_name = "T")]
    to: Option<String>,
    /// Whose midnight a date is; the payee's own zone unless given
    #[arg(long, value_name = "ZONE", value_parser = moment::zone)]
    time_zone: Option<TimeZone>,
    /// At most so many; 0 = all. Unless it is given, a table lists 10000, and all else is all
    #[arg(long, value_name = "N")]
    pub(super) limit: Option<u32>,
}

impl Search {
    /// The filter that is meant, without the limit.
    pub(super) async fn filter(self, operator: &Operator) -> anyhow::Result<Filter> {
        let zone = crate::commands::payments::zone_for(operator, self.payee.as_ref(), self.time_zone).await?;
        let at = |text: &Option<String>| text.as_deref().map(|text| moment::parse(text, &zone)).transpose();
        Ok(Filter {
            payee: self.payee.map(|id| id.to_string()),
            state: self.state,
            account: self.account,
            number: self.number.map(Number::get),
            error: self.error,
            group: self.group,
            from: at(&self.from)?,
            to: at(&self.to)?,
            ..Filter::default()
        })
    }
}
