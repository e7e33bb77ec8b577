//! Recording what came of a call. The plan is made between [`lock`] and [`apply`], in the worker's transaction.

use std::collections::HashMap;
use std::time::Duration;

use domain::ids::AttemptId;
use domain::payment::{Act, PaymentState};
use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{DUE_COLUMNS, Due, by_key, due_of, flags};
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
    /// Whether calls on its lane have failed, been rejected, or could not be made, since one did not.
    pub lane_in_trouble: bool,
    /// Whether a `pay` of an earlier attempt has left us.
    pub went_out_before: bool,
    /// By the payee's word it has credited the payment in another call.
    pub credited_before: bool,
    /// The database's clock now.
    pub now: Timestamp,
    /// When the payment was accepted, by the same clock.
    pub accepted_at: Timestamp,
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
    /// By the payee's word it has credited the payment in this call.
    pub credited: bool,
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
    /// What a person should look at.
    pub flags: Vec<&'a str>,
    /// The payee's own id.
    pub provider_reference: Option<&'a str>,
}

const LOCK_ATTEMPTS: &str = "SELECT attempt_id, payment_id, act, ending, lane_id, slot, started_at,
            EXISTS (SELECT FROM lane WHERE lane.lane_id = attempt.lane_id
                    AND (breaker <> 'closed' OR failures > 0 OR unpaid > 0 OR rejected > 0 OR hindered > 0)) AS in_trouble,
            ordinal > 1 AND EXISTS (
                SELECT FROM attempt earlier WHERE earlier.payment_id = attempt.payment_id
                AND earlier.ordinal < attempt.ordinal AND earlier.act = 'pay'
                AND earlier.ending <> 'not_sent') AS went_out_before,
            (ordinal > 1 OR ending <> 'open') AND EXISTS (
                SELECT FROM attempt other WHERE other.payment_id = attempt.payment_id
                AND other.attempt_id <> attempt.attempt_id AND other.credited) AS credited_before
     FROM attempt WHERE attempt_id = ANY($1) ORDER BY attempt_id FOR UPDATE";

/// An attempt is always the same payment's, so that both are locked in one flight.
fn lock_payments() -> String {
    format!(
        "SELECT {DUE_COLUMNS}, clock_timestamp() AS now, accepted_at FROM payment
         WHERE payment_id = ANY(ARRAY(SELECT payment_id FROM attempt WHERE attempt_id = ANY($1)))
         ORDER BY payment_id FOR UPDATE"
    )
}

/// Locks attempts and their payments, in the order of their ids. Attempts that are not there are left out.
pub async fn lock(tx: &Tx, attempt_ids: &[AttemptId]) -> Result<Vec<Locked>, StoreError> {
    by_key(tx).await?;
    let ids: Vec<Uuid> = attempt_ids.iter().map(|id| id.as_uuid()).collect();
    let payments_sql = lock_payments();
    let [attempts, payments] = tx
        .query_each([(LOCK_ATTEMPTS, &[&ids]), (&payments_sql, &[&ids])])
        .await?;
    let payments: HashMap<Uuid, (Due, Timestamp, Timestamp)> = payments
        .iter()
        .map(|row| Ok((row.get(0), (due_of(row)?, row.get("now"), row.get("accepted_at")))))
        .collect::<Result<_, StoreError>>()?;
    attempts
        .iter()
        .map(|attempt| {
            let payment_id: Uuid = attempt.get("payment_id");
            let (payment, now, accepted_at) = payments.get(&payment_id).ok_or_else(|| {
                StoreError::Unreadable(format!("the payment {payment_id} of an attempt is not there"))
            })?;
            locked(attempt, payment.clone(), *now, *accepted_at)
        })
        .collect()
}

fn locked(attempt: &Row, payment: Due, now: Timestamp, accepted_at: Timestamp) -> Result<Locked, StoreError> {
    let attempt_id = AttemptId::from_uuid(attempt.get("attempt_id"));
    let ending: &str = attempt.get("ending");
    Ok(Locked {
        attempt_id,
        act: Act::parse(attempt.get("act"))?,
        open: ending == "open",
        closed_as_maybe: ending == "maybe",
        slot: Slot {
            lane: attempt.get("lane_id"),
            place: attempt.get("slot"),
            token: attempt_id.as_uuid(),
        },
        started_at: attempt.get("started_at"),
        lane_in_trouble: attempt.get("in_trouble"),
        went_out_before: attempt.get("went_out_before"),
        credited_before: attempt.get("credited_before"),
        now,
        accepted_at,
        payment,
    })
}

/// What is written about one attempt and its payment. `next` is None when the payment is left as it is.
#[derive(Clone, Debug)]
pub struct Written<'a> {
    /// As it was locked.
    pub locked: &'a Locked,
    /// How the attempt ended.
    pub end: AttemptEnd<'a>,
    /// What becomes of the payment.
    pub next: Option<Next<'a>>,
}

/// Closes attempts (or notes what came late) and moves their payments as planned. No payment may be among them twice.
pub async fn apply(tx: &Tx, written: &[Written<'_>]) -> Result<(), StoreError> {
    if written.is_empty() {
        return Ok(());
    }
    close_attempts(tx, written).await?;
    let moved: Vec<_> = written
        .iter()
        .filter_map(|one| Some((one.locked, one.next.as_ref()?)))
        .collect();
    move_payments(tx, &moved).await
}

async fn close_attempts(tx: &Tx, written: &[Written<'_>]) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = written.iter().map(|one| one.locked.attempt_id.as_uuid()).collect();
    let endings: Vec<&str> = written.iter().map(|one| one.end.ending).collect();
    let results: Vec<_> = written.iter().map(|one| one.end.result).collect();
    let errors: Vec<_> = written.iter().map(|one| one.end.error).collect();
    let requests: Vec<_> = written.iter().map(|one| one.end.request).collect();
    let responses: Vec<_> = written.iter().map(|one| one.end.response).collect();
    let statuses: Vec<_> = written.iter().map(|one| one.end.http_status.map(i32::from)).collect();
    let credited: Vec<bool> = written.iter().map(|one| one.end.credited).collect();
    tx.execute_later(
        "UPDATE attempt a SET ending = u.ending, ended_at = clock_timestamp(), late = a.ending <> 'open',
                result = u.result, error = u.error, request = coalesce(u.request, a.request), response = u.response,
                http_status = u.http_status, credited = u.credited
         FROM UNNEST($1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::int4[], $8::bool[])
              AS u(attempt_id, ending, result, error, request, response, http_status, credited)
         WHERE a.attempt_id = u.attempt_id",
        &[
            &ids, &endings, &results, &errors, &requests, &responses, &statuses, &credited,
        ],
    )
    .await
}

/// A `not_found` counts by the time since `last_call_at`. A call leaves a little after its claim, so it is the end of the
/// call that is written here.
async fn move_payments(tx: &Tx, moved: &[(&Locked, &Next<'_>)]) -> Result<(), StoreError> {
    if moved.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = moved
        .iter()
        .map(|(locked, _)| locked.payment.payment_id.as_uuid())
        .collect();
    let paid: Vec<bool> = moved.iter().map(|(locked, _)| locked.act == Act::Pay).collect();
    let nexts = || moved.iter().map(|(_, next)| *next);
    let states: Vec<&str> = nexts().map(|next| next.state.as_str()).collect();
    let acts: Vec<_> = nexts().map(|next| next.next.map(|(act, _)| act.as_str())).collect();
    let delays: Vec<_> = nexts()
        .map(|next| next.next.map(|(_, delay)| delay.as_secs_f64()))
        .collect();
    let steps: Vec<i32> = nexts().map(|next| next.step).collect();
    let maybes: Vec<i32> = nexts().map(|next| next.maybes).collect();
    let not_found: Vec<i32> = nexts().map(|next| next.not_found).collect();
    let errors: Vec<_> = nexts().map(|next| next.error).collect();
    // An array of arrays has to be even, so each payment's flags go as words of one text.
    let flags: Vec<String> = nexts().map(|next| next.flags.join(" ")).collect();
    let references: Vec<_> = nexts().map(|next| next.provider_reference).collect();
    let flagged = flags::with("p.flags", "string_to_array(u.flags, ' ')");
    let sql = format!(
        "UPDATE payment p SET state = u.state, next_act = u.next_act,
                due_at = clock_timestamp() + make_interval(secs => u.delay), step = u.step, maybes = u.maybes,
                not_found = u.not_found, last_error = u.error,
                flags = CASE WHEN u.flags = '' THEN p.flags ELSE {flagged} END,
                provider_reference = coalesce(u.reference, p.provider_reference), updated_at = clock_timestamp(),
                last_call_at = CASE WHEN u.paid THEN clock_timestamp() ELSE p.last_call_at END
         FROM UNNEST($1::uuid[], $2::text[], $3::text[], $4::float8[], $5::int4[], $6::int4[], $7::int4[], $8::text[],
                     $9::text[], $10::text[], $11::bool[])
              AS u(payment_id, state, next_act, delay, step, maybes, not_found, error, flags, reference, paid)
         WHERE p.payment_id = u.payment_id"
    );
    tx.execute_later(
        &sql,
        &[
            &ids,
            &states,
            &acts,
            &delays,
            &steps,
            &maybes,
            &not_found,
            &errors,
            &flags,
            &references,
            &paid,
        ],
    )
    .await
}
