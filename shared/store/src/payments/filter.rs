//! Which payments: one filter for lists, groups and acts, so that what is listed is what is acted on.
//!
//! The conditions are put together from what is given, with states as literals: only so does the server see that a partial
//! index (`payment_in_trouble`) holds the answer.

use domain::Invalid;
use domain::ids::{PayeeId, PaymentId};
use domain::payment::PaymentState;
use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::deliveries::questioned;

/// Which payments. Everything given must match.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Filter {
    /// One of these.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub payments: Vec<PaymentId>,
    /// Of this payee.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payee: Option<String>,
    /// In this state, as readers call it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<PaymentState>,
    /// For this account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub account: Option<String>,
    /// Under this number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub number: Option<i64>,
    /// Taken by this terminal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub terminal: Option<String>,
    /// Whose last error contains this text, whatever its case; without a state, of those that are stuck.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Of this group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<Group>,
    /// Only those with a flag that a person has to answer, and that none has answered since.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub flagged: bool,
    /// Accepted at or after.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// Accepted before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
    /// Only those that are delivered online (or are to be).
    #[serde(skip)]
    pub online: bool,
    /// At most so many; none = all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<i64>,
}

/// Stuck payments of one payee with one cause, named as lists print it: `isp/failed/1f3a9c2e8d4b`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Whose.
    pub payee: PayeeId,
    /// In this state, as readers call it.
    pub state: PaymentState,
    /// Names the error's cause: the beginning of its MD5, in hexadecimal.
    pub cause: String,
}

/// Hexadecimal digits that name a cause.
const CAUSE_DIGITS: usize = 12;
/// A payment's cause by name.
const CAUSE: &str = "left(md5(coalesce(error_cause(p.last_error), '')), 12)";

/// The states in which a payment can be stuck: those of the index `payment_in_trouble` that have an error and are no end. What
/// was refused is over, and there is more of it every day: whoever means it says so.
pub(crate) const STUCK: &str = "p.state IN ('unknown', 'failed', 'stopped', 'waiting', 'revoking')";

impl Filter {
    /// Whether what matches is found by an index, or is there only until somebody has seen to it: few among all payments,
    /// however many there are.
    pub fn is_narrow(&self) -> bool {
        use PaymentState as S;
        let is_waited_for = |state| {
            matches!(
                state,
                S::Unknown | S::Failed | S::Stopped | S::Waiting | S::Delivering | S::Revoking
            )
        };
        !self.payments.is_empty()
            || self.number.is_some()
            || self.account.is_some()
            || self.group.is_some()
            || self.flagged
            || self.state.map_or(self.error.is_some(), is_waited_for)
    }
}

impl Group {
    /// Reads a group's name.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let wrong = || Invalid::new("group", "must be as `deliveries groups` prints it: PAYEE/STATE/CAUSE");
        let [payee, state, cause] = text.split('/').collect::<Vec<_>>()[..] else {
            return Err(wrong());
        };
        let is_cause =
            cause.len() == CAUSE_DIGITS && cause.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if !is_cause {
            return Err(wrong());
        }
        let state = PaymentState::parse(state)?;
        if !state.is_stored() {
            return Err(wrong());
        }
        Ok(Self {
            payee: PayeeId::parse(payee)?,
            state,
            cause: cause.to_owned(),
        })
    }
}

impl std::fmt::Display for Group {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}/{}", self.payee, self.state, self.cause)
    }
}

impl Serialize for Group {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

type Param = Box<dyn ToSql + Sync + Send>;

/// A statement's condition and its parameters. The payment is `p`.
#[derive(Default)]
pub(crate) struct Conditions {
    sql: Vec<String>,
    params: Vec<Param>,
}

impl Conditions {
    /// The conditions of a filter, for `payment_view AS p`.
    pub(crate) fn of(filter: &Filter) -> Self {
        let mut all = Self::default();
        if !filter.payments.is_empty() {
            let ids: Vec<Uuid> = filter.payments.iter().map(|id| id.as_uuid()).collect();
            all.add("p.payment_id = ANY(?)", ids);
        }
        if let Some(state) = filter.state {
            all.sql.push(state_is(state));
        }
        all.add_some("p.payee_id = ?", filter.payee.clone());
        all.add_some("p.account = ?", filter.account.clone());
        all.add_some(
            "p.payment_id = (SELECT payment_id FROM payment_identity WHERE number = ?)",
            filter.number,
        );
        all.add_some("p.terminal_id = ?", filter.terminal.clone());
        if let Some(error) = &filter.error {
            if filter.state.is_none() && filter.group.is_none() {
                all.sql.push(STUCK.to_owned());
            }
            all.add("strpos(lower(p.last_error), lower(?)) > 0", error.clone());
        }
        if let Some(group) = &filter.group {
            all.sql.push(state_is(group.state));
            all.add("p.payee_id = ?", group.payee.to_string());
            all.add(&format!("{CAUSE} = ?"), group.cause.clone());
        }
        if filter.flagged {
            all.sql.push(questioned("p.flags"));
        }
        all.add_some("p.accepted_at >= ?", filter.from);
        all.add_some("p.accepted_at < ?", filter.to);
        if filter.online {
            all.sql.push("p.gateway <> 'registers'".to_owned());
        }
        all
    }

    fn add_some(&mut self, sql: &str, value: Option<impl ToSql + Sync + Send + 'static>) {
        if let Some(value) = value {
            self.add(sql, value);
        }
    }

    fn add(&mut self, sql: &str, value: impl ToSql + Sync + Send + 'static) {
        let place = self.place(value);
        self.sql.push(sql.replace('?', &place));
    }

    /// One more parameter; returns its place.
    pub(crate) fn place(&mut self, value: impl ToSql + Sync + Send + 'static) -> String {
        self.params.push(Box::new(value));
        format!("${}", self.params.len())
    }

    /// The condition.
    pub(crate) fn sql(&self) -> String {
        if self.sql.is_empty() {
            "true".to_owned()
        } else {
            self.sql.join(" AND ")
        }
    }

    /// The parameters in their order.
    pub(crate) fn params(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.params
            .iter()
            .map(|param| &**param as &(dyn ToSql + Sync))
            .collect()
    }
}

/// The state as readers call it, said so that an index on the stored one helps.
pub(crate) fn state_is(state: PaymentState) -> String {
    use PaymentState as S;
    let stored = match state {
        S::Registered | S::Reported => "p.state = 'accepted'",
        S::Stopped => STOPPED,
        // Of a payee that is suspended they are told of as stopped.
        S::Accepted => "p.state = 'accepted'",
        S::Waiting => "p.state = 'waiting'",
        other => return format!("p.state = '{other}'"),
    };
    format!("{stored} AND p.shown_state = '{state}'")
}

/// What is stopped, or waits for a payee that is suspended: online what is due, and of registers what none holds yet, while what
/// one holds stays `accepted` for ever. It is looked up by itself, and then by key: however much was ever accepted, no plan goes
/// through all of it.
const STOPPED: &str = "p.payment_id = ANY(ARRAY(
    SELECT payment_id FROM payment WHERE state = 'stopped'
    UNION ALL
    SELECT waits.payment_id FROM payee y CROSS JOIN LATERAL (
        SELECT payment_id FROM payment WHERE payee_id = y.payee_id AND state = 'waiting'
        UNION ALL
        SELECT payment_id FROM payment WHERE payee_id = y.payee_id AND state = 'accepted' AND due_at IS NOT NULL
        UNION ALL
        SELECT unheld.payment_id FROM series s CROSS JOIN LATERAL (
            SELECT payment_id FROM payment
            WHERE series_id = s.series_id AND position > s.last_hi AND state = 'accepted' ORDER BY position OFFSET 0) unheld
        WHERE s.payee_id = y.payee_id) waits
    WHERE y.suspended))";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_read_as_they_are_printed() {
        let text = "a-b.c/failed/0123456789ab";
        assert_eq!(Group::parse(text).unwrap().to_string(), text);
        for wrong in [
            "",
            "isp",
            "isp/failed",
            "isp/failed/0123456789a",
            "isp/failed/0123456789ab/",
            "isp/lost/0123456789ab",
            "isp/reported/0123456789ab",
            "is p/failed/0123456789ab",
            "isp/failed/0123456789aB",
        ] {
            assert!(Group::parse(wrong).is_err(), "{wrong}");
        }
        assert!(CAUSE.contains(&format!(", {CAUSE_DIGITS})")));
    }

    #[test]
    fn every_condition_has_its_own_parameter() {
        let filter = Filter {
            payments: vec![PaymentId::random()],
            payee: Some("isp".into()),
            state: Some(PaymentState::Failed),
            account: Some("17".into()),
            number: Some(1),
            terminal: Some("T-1".into()),
            error: Some("HTTP".into()),
            group: Some(Group::parse("isp/failed/0123456789ab").unwrap()),
            flagged: true,
            from: Some(Timestamp::UNIX_EPOCH),
            to: Some(Timestamp::UNIX_EPOCH),
            online: true,
            limit: None,
        };
        let conditions = Conditions::of(&filter);
        let places = conditions.params().len();
        assert_eq!(places, 10);
        for place in 1..=places {
            assert_eq!(
                conditions.sql().matches(&format!("${place}")).count(),
                if place == 1 { 2 } else { 1 }
            );
        }
        assert_eq!(Conditions::of(&Filter::default()).sql(), "true");
    }
}
