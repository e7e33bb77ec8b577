//! Deliveries: which payments of online payees are due, the claim of each call, and the record of what came of it.
//!
//! The attempt's row is written before the call, so nothing goes out that nobody knows of. A record is fenced by the
//! attempt: what comes twice changes nothing, what comes after its lease ran out is kept as late.

mod attempts;
mod claim;
mod doubt;
pub(crate) mod flags;
mod groups;
mod record;
mod settle;
mod taking;
mod trouble;

pub use attempts::{AttemptRow, attempts};
#[cfg(feature = "scratch")]
pub(crate) use claim::queries;
pub use claim::{Claimed, Claims, Expired, Standing, claim, expired, lanes_due, standing};
pub use doubt::doubt;
pub(crate) use doubt::hold_terms;
#[cfg(feature = "scratch")]
pub(crate) use groups::stuck_groups;
pub use groups::{GroupRow, groups};
pub use record::{AttemptEnd, Locked, Next, Written, apply, lock};
pub use settle::{Settle, Settled, settle};
pub(crate) use trouble::{LEFT_ALONE, questioned};
pub use trouble::{Trouble, in_trouble};

use domain::delivery::Flag;
use domain::ids::{Number, PaymentId};
use domain::payment::PaymentState;
use jiff::Timestamp;

/// Everything a call and the plan after it need to know of a payment.
#[derive(Clone, Debug)]
pub struct Due {
    /// Which.
    pub payment_id: PaymentId,
    /// What the payee sees.
    pub number: Number,
    /// Who gets the money.
    pub payee: String,
    /// Who took it.
    pub terminal: String,
    /// Whose account.
    pub account: String,
    /// Minor units.
    pub amount: i64,
    /// Minor units.
    pub fee: i64,
    /// ISO 4217.
    pub currency: String,
    /// What the payer entered.
    pub fields: serde_json::Value,
    /// By the terminal's clock.
    pub paid_at: Timestamp,
    /// Its state before this call.
    pub state: PaymentState,
    /// The step of the retry schedule.
    pub step: i32,
    /// Calls made before this one.
    pub attempts: i32,
    /// Calls that may have been credited.
    pub maybes: i32,
    /// Times the payee said that it does not know the number, since the last payment went out.
    pub not_found: i32,
    /// When retries end.
    pub give_up_at: Option<Timestamp>,
    /// When it was last called to pay.
    pub last_call_at: Option<Timestamp>,
    /// W3C trace context of the terminal's message.
    pub traceparent: Option<String>,
    /// Why the terminal took it back.
    pub revoke_reason: Option<String>,
    /// An operator has said how it ended.
    pub settled: bool,
    /// The payee's own name for it, where it has told one.
    pub provider_reference: Option<String>,
}

/// For the rest of this transaction rows are found one by one, by their keys, whatever the planner believes: a session
/// keeps the plan that it made while a table was small, and would go on reading all of it when it no longer is. Then there
/// is one plan, and it is not made anew for each batch that is smaller than the ten rows the planner takes any to have.
pub(crate) async fn by_key(tx: &crate::Tx) -> Result<(), crate::StoreError> {
    tx.execute_later(
        "SELECT set_config('enable_' || way, 'off', true), set_config('plan_cache_mode', 'force_generic_plan', true)
         FROM UNNEST(ARRAY['seqscan', 'hashjoin', 'mergejoin']) AS way",
        &[],
    )
    .await
}

const DUE_COLUMNS: &str = "payment_id, number, payee_id, terminal_id, account, amount, fee, currency, fields, paid_at, \
     state, step, attempts, maybes, not_found, give_up_at, last_call_at, traceparent, revoke_reason, flags, \
     provider_reference";

fn due_of(row: &tokio_postgres::Row) -> Result<Due, crate::StoreError> {
    Ok(Due {
        payment_id: PaymentId::from_uuid(row.get(0)),
        number: Number::new(row.get(1))?,
        payee: row.get(2),
        terminal: row.get(3),
        account: row.get(4),
        amount: row.get(5),
        fee: row.get(6),
        currency: row.get(7),
        fields: row.get(8),
        paid_at: row.get(9),
        state: PaymentState::parse(row.get(10))?,
        step: row.get(11),
        attempts: row.get(12),
        maybes: row.get(13),
        not_found: row.get(14),
        give_up_at: row.get(15),
        last_call_at: row.get(16),
        traceparent: row.get(17),
        revoke_reason: row.get(18),
        settled: row.get::<_, Vec<&str>>(19).contains(&Flag::SettledByOperator.as_str()),
        provider_reference: row.get(20),
    })
}
