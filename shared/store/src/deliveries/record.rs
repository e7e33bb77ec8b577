//! Recording what came of a call. The plan is made between [`lock`] and [`apply`], in the worker's transaction.

use std::time::Duration;

use domain::ids::AttemptId;
use domain::payment::{Act, PaymentState};
use jiff::Timestamp;

use super::{DUE_COLUMNS, Due, due_of};
use crate::lanes::Slot;
use crate::{StoreError, Tx};

/// An attempt and its payment, locked for the rest of the transaction.
#[derive(Clone, Debug)]
pub struct Locked {
    /// Which attempt.
    pub attempt_id: AttemptId,
    /// What was called.
    pub act: Act,
    /// False when somebody closed it already: the lease had run out. What comes now is late.
    pub open: bool,
    /// Whether it was closed as an attempt that may have been credited.
    pub closed_as_maybe: bool,
    /// Its slot.
    pub slot: Slot,
    /// When it was claimed.
    pub started_at: Timestamp,
    /// The database's clock now.
    pub now: Timestamp,
    /// The payment as it is now. Its state is `delivering` unless something happened meanwhile.
    pub payment: Due,
}

/// How an attempt ended.
#[derive(Clone, Debug, Default)]
pub struct AttemptEnd<'a> {
    /// `not_sent`, `answered` or `maybe`.
    pub ending: &'a str,
    /// The payee's word.
    pub result: Option<&'a str>,
    /// What went wrong.
    pub error: Option<&'a str>,
    /// What was sent, without secrets.
    pub request: Option<&'a str>,
    /// What came back, cut.
    pub response: Option<&'a str>,
    /// The HTTP status.
    pub http_status: Option<u16>,
}

/// What becomes of the payment, as the plan decided.
#[derive(Clone, Debug)]
pub struct Next<'a> {
    /// Its new state.
    pub state: PaymentState,
    /// What is done next and how long from now.
    pub next: Option<(Act, Duration)>,
    /// The step of the schedule from now on.
    pub step: i32,
    /// Calls that may have been credited.
    pub maybes: i32,
    /// Times the payee did not know the number.
    pub not_found: i32,
    /// What went wrong, for operators; None keeps none.
    pub error: Option<&'a str>,
    /// A person should look at this.
    pub flag: Option<&'a str>,
    /// The payee's own id.
    pub provider_reference: Option<&'a str>,
}

/// Locks an attempt and its payment. None when there is no such attempt.
pub async fn lock(tx: &Tx, attempt_id: AttemptId) -> Result<Option<Locked>, StoreError> {
    let Some(attempt) = tx
        .query_opt(
            "SELECT payment_id, act, ending, lane_id, started_at, clock_timestamp() FROM attempt
             WHERE attempt_id = $1 FOR UPDATE",
            &[&attempt_id.as_uuid()],
        )
        .await?
    else {
        return Ok(None);
    };
    let sql = format!("SELECT {DUE_COLUMNS} FROM payment WHERE payment_id = $1 FOR UPDATE");
    let payment = tx.query_one(&sql, &[&attempt.get::<_, uuid::Uuid>(0)]).await?;
    let ending: &str = attempt.get(2);
    Ok(Some(Locked {
        attempt_id,
        act: Act::parse(attempt.get(1))?,
        open: ending == "open",
        closed_as_maybe: ending == "maybe",
        slot: Slot {
            lane: attempt.get(3),
            token: attempt_id.as_uuid(),
        },
        started_at: attempt.get(4),
        now: attempt.get(5),
        payment: due_of(&payment)?,
    }))
}

/// Closes the attempt (or notes what came late) and moves the payment as planned. `next` is None when the payment is
/// left as it is.
pub async fn apply(tx: &Tx, locked: &Locked, end: &AttemptEnd<'_>, next: Option<&Next<'_>>) -> Result<(), StoreError> {
    let status = end.http_status.map(i32::from);
    tx.execute(
        "UPDATE attempt SET ending = $2, ended_at = clock_timestamp(), late = ending <> 'open', result = $3, error = $4,
                request = coalesce($5, request), response = $6, http_status = $7
         WHERE attempt_id = $1",
        &[
            &locked.attempt_id.as_uuid(),
            &end.ending,
            &end.result,
            &end.error,
            &end.request,
            &end.response,
            &status,
        ],
    )
    .await?;
    let Some(next) = next else { return Ok(()) };
    let (act, delay) = match &next.next {
        Some((act, delay)) => (Some(act.as_str()), Some(delay.as_secs_f64())),
        None => (None, None),
    };
    tx.execute(
        "UPDATE payment SET state = $2, next_act = $3, due_at = clock_timestamp() + make_interval(secs => $4), step = $5,
                maybes = $6, not_found = $7, last_error = $8,
                flags = CASE WHEN $9::text IS NULL OR $9 = ANY(flags) THEN flags ELSE flags || $9 END,
                provider_reference = coalesce($10, provider_reference), updated_at = clock_timestamp()
         WHERE payment_id = $1",
        &[
            &locked.payment.payment_id.as_uuid(),
            &next.state.as_str(),
            &act,
            &delay,
            &next.step,
            &next.maybes,
            &next.not_found,
            &next.error,
            &next.flag,
            &next.provider_reference,
        ],
    )
    .await
    .map(drop)
}
