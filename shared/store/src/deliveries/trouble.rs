//! Payments that wait for a person, counted.

use domain::delivery::Flag;

use super::flags;
use crate::{Store, StoreError};

/// What contradicts how a payment stands, or casts doubt on it, and is not settled by itself.
const QUESTIONABLE: [Flag; 7] = [
    Flag::AlreadyOnFirstAttempt,
    Flag::NumberConflict,
    Flag::PayeeDenies,
    Flag::EchoedAmountDiffers,
    Flag::CreditedAfterRevoke,
    Flag::CreditedAfterSettlement,
    Flag::CreditedTwice,
];

/// Their words, as an array.
fn questionable() -> String {
    format!("ARRAY['{}']", QUESTIONABLE.map(Flag::as_str).join("', '"))
}

/// Whether there are questions about a payment with these flags. Said so that an index on those with any (`payment_flagged`)
/// holds the answer.
pub(crate) fn questioned(flags: &str) -> String {
    format!(
        "{flags} <> '{{}}' AND {} && {}",
        flags::unanswered(flags),
        questionable()
    )
}

/// The questions about payments of these rows, a row for each.
pub(super) fn questions(of: &str) -> String {
    format!(
        "FROM {of} CROSS JOIN unnest({}) AS flagged(flag) WHERE {} AND flag = ANY({})",
        flags::unanswered("flags"),
        questioned("flags"),
        questionable()
    )
}

/// That nothing comes of payment `p` by itself: no call about it is due or under way, and no operator's act is about to come to it.
pub(crate) const LEFT_ALONE: &str = "p.due_at IS NULL
     AND NOT EXISTS (SELECT FROM attempt a WHERE a.payment_id = p.payment_id AND a.ending = 'open')
     AND NOT EXISTS (SELECT FROM act_item i WHERE i.payment_id = p.payment_id AND i.outcome = 'waiting')";

/// Payments of a payee that wait for a person for one reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Whose.
    pub payee: String,
    /// The state they are stuck in, or the flag they have.
    pub what: String,
    /// Whether it is a flag.
    pub flagged: bool,
    /// How many.
    pub count: i64,
}

/// Online payments that are unknown, failed or stopped and left so, and those that are flagged and not settled by an operator since.
pub async fn in_trouble(store: &Store) -> Result<Vec<Trouble>, StoreError> {
    let sql = format!(
        "SELECT payee_id, state AS what, false AS flagged, count(*) FROM payment p
         WHERE state IN ('unknown', 'failed', 'stopped') AND gateway <> 'registers' AND {LEFT_ALONE} GROUP BY 1, 2
         UNION ALL
         SELECT payee_id, flag, true, count(*) {} GROUP BY 1, 2
         ORDER BY 1, 3, 2",
        questions("payment")
    );
    let rows = store.query(&sql, &[]).await?;
    let trouble = |row: &tokio_postgres::Row| Trouble {
        payee: row.get(0),
        what: row.get(1),
        flagged: row.get(2),
        count: row.get(3),
    };
    Ok(rows.iter().map(trouble).collect())
}
