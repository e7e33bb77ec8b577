//! Stuck payments in groups: by payee, state and cause of the error.

use domain::ids::PayeeId;
use domain::payment::PaymentState;
use jiff::Timestamp;
use serde_json::Value;

use crate::payments::{Conditions, Filter, Group, STUCK, state_is};
use crate::{Store, StoreError};

/// Payments that are stuck for one cause.
#[derive(Clone, Debug)]
pub struct GroupRow {
    /// Its name: an act on the group is about exactly these.
    pub group: Group,
    /// The error without what differs from payment to payment; none when there is none.
    pub cause: Option<String>,
    /// How many.
    pub count: i64,
    /// When the oldest was accepted.
    pub oldest_at: Timestamp,
    /// Their amounts by currency, in minor units.
    pub totals: Value,
}

/// The groups among the payments that match, the largest first. Without a state, among those that are stuck.
pub async fn groups(store: &Store, filter: &Filter) -> Result<Vec<GroupRow>, StoreError> {
    let (sql, conditions) = grouping(filter);
    let tx = store.begin().await?;
    tx.allow_time().await?;
    let rows = tx.query(&sql, &conditions.params()).await?;
    tx.commit().await?;
    rows.iter()
        .map(|row| {
            Ok(GroupRow {
                group: Group {
                    payee: PayeeId::parse(row.get(0))?,
                    state: PaymentState::parse(row.get(1))?,
                    cause: row.get(2),
                },
                cause: row.get(3),
                count: row.get(4),
                oldest_at: row.get(5),
                totals: row.get(6),
            })
        })
        .collect()
}

/// What is stuck is looked for in two places, so that each has its index: by its own state, and what waits for a payee that is
/// suspended, which is stopped. Equal errors are put together before what differs is taken out of them: most are equal, and that
/// is the work.
fn grouping(filter: &Filter) -> (String, Conditions) {
    let mut conditions = Conditions::of(&Filter {
        online: true,
        ..filter.clone()
    });
    let limit = conditions.place(filter.limit);
    let of = |stuck: &str| {
        format!(
            "SELECT p.payee_id, p.shown_state, p.last_error, p.currency, count(*) AS count, min(p.accepted_at) AS oldest,
                    sum(p.amount) AS total
             FROM payment_view p WHERE {stuck} AND {} GROUP BY 1, 2, 3, 4",
            conditions.sql()
        )
    };
    let by_error = if filter.state.is_none() && filter.group.is_none() {
        let suspended = format!("p.state = 'accepted' AND {}", state_is(PaymentState::Stopped));
        format!("{} UNION ALL {}", of(STUCK), of(&suspended))
    } else {
        of("true")
    };
    let sql = format!(
        "SELECT payee_id, shown_state, left(md5(cause), 12), nullif(cause, ''), sum(count)::int8, min(oldest),
                jsonb_object_agg(currency, total)
         FROM (SELECT payee_id, shown_state, coalesce(error_cause(last_error), '') AS cause, currency, sum(count) AS count,
                      min(oldest) AS oldest, sum(total) AS total
               FROM ({by_error}) by_error GROUP BY 1, 2, 3, 4) by_cause
         GROUP BY 1, 2, cause ORDER BY 5 DESC, 1, 2, 3 LIMIT {limit}::int8"
    );
    (sql, conditions)
}

/// Groups of all that is stuck, for a test that looks at plans.
#[cfg(feature = "scratch")]
pub(crate) fn stuck_groups() -> String {
    grouping(&Filter::default()).0
}
