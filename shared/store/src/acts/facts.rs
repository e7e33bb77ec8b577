//! What the judgement about payments needs to know, many payments at a time; and the judgement without the act.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use domain::declaration::Payee;
use domain::delivery::has_said_credited;
use domain::delivery::operator::{Abilities, ActKind, Case, DUE_ALREADY, NOT_STOPPED, Remedy, judge};
use domain::ids::PaymentId;
use domain::payment::{Act, PaymentState};
use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{Counts, IN_ANOTHER_ACT, Which};
use crate::payments::Conditions;
use crate::{Store, StoreError, Tx};

/// The facts about a payment `p`, as columns: read by [`Facts::of`].
pub(super) const FACTS: &str = "p.state, p.payee_id, p.gateway <> 'registers' AS online,
    (p.maybes > 0 OR EXISTS (SELECT FROM attempt a
        WHERE a.payment_id = p.payment_id AND a.act = 'pay' AND a.ending <> 'not_sent')) AS reached,
    p.maybes > 0 AS doubted,
    'number_conflict' = ANY(p.flags) AS number_conflict,
    p.flags,
    EXISTS (SELECT FROM attempt a WHERE a.payment_id = p.payment_id AND a.ending = 'open') AS is_open,
    CASE WHEN p.due_at <= statement_timestamp() THEN p.next_act END AS due";

/// Calls about a payment `p` that have ended.
pub(super) const ENDED_CALLS: &str = "p.attempts - (SELECT count(*)::int FROM attempt a
    WHERE a.payment_id = p.payment_id AND a.ending = 'open')";

/// What is known of a payment.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) state: PaymentState,
    pub(super) payee: String,
    online: bool,
    reached: bool,
    doubted: bool,
    number_conflict: bool,
    pub(super) said_credited: bool,
    is_open: bool,
    due: Option<Act>,
}

impl Facts {
    /// From a row with the columns of [`FACTS`].
    pub(super) fn of(row: &Row) -> Result<Self, StoreError> {
        Ok(Self {
            state: PaymentState::parse(row.get("state"))?,
            payee: row.get("payee_id"),
            online: row.get("online"),
            reached: row.get("reached"),
            doubted: row.get("doubted"),
            number_conflict: row.get("number_conflict"),
            said_credited: has_said_credited(&row.get::<_, Vec<&str>>("flags")),
            is_open: row.get("is_open"),
            due: row.get::<_, Option<&str>>("due").map(Act::parse).transpose()?,
        })
    }

    /// What is to be done, or why nothing may be.
    pub(super) fn judge(&self, kind: ActKind, certain: bool, profiles: &Profiles) -> Result<Remedy, Cow<'static, str>> {
        let payee = profiles.0.get(&self.payee).filter(|_| self.online);
        let case = Case {
            state: self.state,
            reached: self.reached,
            doubted: self.doubted,
            number_conflict: self.number_conflict,
            said_credited: self.said_credited,
            is_open: self.is_open,
            due: self.due,
            certain,
            payee: payee.map(|profile| profile.abilities),
        };
        judge(kind, &case).map_err(|why| {
            let told = payee.and_then(|payee| payee.instead_of(why, self.state, &self.payee));
            told.map_or(Cow::Borrowed(why), Cow::Owned)
        })
    }
}

#[derive(Debug)]
struct Profile {
    abilities: Abilities,
    give_up_hours: i32,
    /// Why nothing of what is due goes out.
    waits: Option<String>,
    /// Readers call what waits for it stopped.
    suspended: bool,
}

impl Profile {
    /// What there is to say besides of a payment of this payee for which nothing is done.
    fn instead_of(&self, why: &str, state: PaymentState, payee: &str) -> Option<String> {
        let waits = matches!(state, PaymentState::Accepted | PaymentState::Waiting);
        match why {
            DUE_ALREADY | NOT_STOPPED if waits && self.suspended => Some(format!(
                "waits, since its payee is suspended: `unigate payees resume {payee}`"
            )),
            DUE_ALREADY => self.waits.as_deref().map(|for_what| format!("{why}; {for_what}")),
            _ => None,
        }
    }
}

/// The payees that are delivered to online, as they are declared now.
#[derive(Debug)]
pub(super) struct Profiles(HashMap<String, Profile>);

impl Profiles {
    /// Those of these payees. One whose declaration this version cannot read counts as not delivered online.
    pub(super) async fn of(tx: &Tx, payees: &[&str]) -> Result<Self, StoreError> {
        let sql = "SELECT payee_id, declaration, coalesce(breaker, 'closed'), probe_at, held_by IS NOT NULL, suspended
                   FROM payee LEFT JOIN lane ON lane_id = payee_id WHERE payee_id = ANY($1)";
        let rows = tx.query(sql, &[&payees]).await?;
        let profile = |row: &Row| {
            let payee: Payee = serde_json::from_value(row.get(1)).ok()?;
            let online = payee.online()?;
            let abilities = Abilities {
                idempotent: online.idempotent,
                offers_status: online.offers_status,
            };
            let give_up_hours = i32::try_from(online.give_up_hours).unwrap_or(i32::MAX);
            Some((
                row.get(0),
                Profile {
                    abilities,
                    give_up_hours,
                    waits: waits(row),
                    suspended: row.get(5),
                },
            ))
        };
        Ok(Self(rows.iter().filter_map(profile).collect()))
    }

    /// How long a delivery to the payee is tried.
    pub(super) fn give_up_hours(&self, payee: &str) -> i32 {
        self.0.get(payee).map_or(0, |profile| profile.give_up_hours)
    }
}

/// Why a payee is sent nothing of what is due, from a row of [`Profiles::of`].
fn waits(row: &Row) -> Option<String> {
    let (payee, breaker, probe_at): (&str, &str, Option<Timestamp>) = (row.get(0), row.get(2), row.get(3));
    if row.get(4) {
        return Some(format!("payee {payee} is paused: `unigate deliveries unpause {payee}`"));
    }
    match (breaker, probe_at) {
        ("closed", _) => None,
        ("open", Some(at)) => {
            let at = at.strftime("%FT%TZ");
            Some(format!("payee {payee} is down and is asked again at {at}"))
        }
        _ => Some(format!("payee {payee} was down and is tried with one payment")),
    }
}

/// What an act would do now.
#[derive(Clone, Debug, Default)]
pub struct Preview {
    /// Payments that it would be about.
    pub matched: i64,
    /// How many something would be done for, by what (`pay`, `status`, `stop`).
    pub done_as: Counts,
    /// For how many not, by why.
    pub refused: BTreeMap<Cow<'static, str>, Refusal>,
}

/// Payments that are left as they are.
#[derive(Clone, Debug, Default)]
pub struct Refusal {
    /// How many.
    pub count: i64,
    /// Some of them, the oldest first.
    pub examples: Vec<PaymentId>,
}

/// Payments named as examples of why not.
const EXAMPLES: usize = 20;

/// Judges as the act would, and changes nothing. Payments of which the same is known are judged together, so it takes one
/// query and no memory to speak of, however many there are.
pub async fn preview(store: &Store, kind: ActKind, which: Which<'_>) -> Result<Preview, StoreError> {
    let tx = store.begin().await?;
    tx.allow_time().await?;
    let filter = which.filter();
    let mut conditions = Conditions::of(&filter);
    let limit = conditions.place(filter.limit);
    let sql = format!(
        "SELECT state, payee_id, online, reached, doubted, number_conflict, flags, is_open, due, is_busy, count(*),
                (array_agg(payment_id ORDER BY accepted_at, number))[1:{EXAMPLES}]
         FROM (SELECT p.payment_id, p.accepted_at, p.number, {FACTS},
                      EXISTS (SELECT FROM act_item o
                              WHERE o.payment_id = p.payment_id AND o.outcome = 'waiting') AS is_busy
               FROM payment_view p WHERE {} ORDER BY p.accepted_at, p.number LIMIT {limit}::int8) found
         GROUP BY 1, 2, 3, 4, 5, 6, 7, 8, 9, 10",
        conditions.sql()
    );
    let rows = tx.query(&sql, &conditions.params()).await?;
    let facts = rows.iter().map(Facts::of).collect::<Result<Vec<_>, _>>()?;
    let payees: Vec<&str> = facts.iter().map(|facts| &*facts.payee).collect();
    let profiles = Profiles::of(&tx, &payees).await?;
    tx.rollback().await?;
    let mut preview = Preview::default();
    for (row, facts) in rows.iter().zip(&facts) {
        let count: i64 = row.get(10);
        preview.matched += count;
        let verdict = match row.get("is_busy") {
            true => Err(Cow::Borrowed(IN_ANOTHER_ACT)),
            false => facts.judge(kind, which.is_certain(), &profiles),
        };
        match verdict {
            Ok(remedy) => *preview.done_as.entry(remedy.as_str().to_owned()).or_default() += count,
            Err(why) => preview.refused.entry(why).or_default().add(count, row.get(11)),
        }
    }
    Ok(preview)
}

impl Refusal {
    fn add(&mut self, count: i64, examples: Vec<Uuid>) {
        self.count += count;
        let room = EXAMPLES.saturating_sub(self.examples.len());
        self.examples
            .extend(examples.into_iter().take(room).map(PaymentId::from_uuid));
    }
}
