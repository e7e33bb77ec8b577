//! Taking due payments for free slots: their attempts are written, and what was taken is read.

use domain::ids::AttemptId;
use domain::payment::Act;
use jiff::Timestamp;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::claim::Claimed;
use super::{DUE_COLUMNS, due_of};
use crate::StoreError;
use crate::lanes::{Slot, Turn, lease_seconds};

/// Due payments of lanes, oldest due first, one per free slot. `statement_timestamp`, since a bound that moves while the index
/// is read (`clock_timestamp`) is no bound to it: every payment that waits would be looked at. One whose call is open (it was
/// revoked while its payee was asked) is left to that call's record; it is looked up payment by payment (`OFFSET 0`), not by
/// reading all calls that are open.
pub(super) const DUE_OF_LANES: &str = "FROM UNNEST($1::text[], $2::int8[], $3::bool[], $4::int4[], $5::float8[])
              AS l(lane_id, most, pay_only, before, seconds)
         CROSS JOIN LATERAL (
             SELECT p.* FROM payment p
             WHERE p.payee_id = l.lane_id AND p.due_at <= statement_timestamp() AND (NOT l.pay_only OR p.next_act = 'pay')
               AND NOT EXISTS (SELECT FROM attempt a WHERE a.payment_id = p.payment_id AND a.ending = 'open' OFFSET 0)
             ORDER BY p.due_at, p.number LIMIT l.most FOR UPDATE SKIP LOCKED
         ) due";

/// Their attempts are written before any call, the payments moved and the slots taken, all in one statement. What goes with the
/// nth payment of a lane stands at `before + n` in the arrays of all slots.
///
/// The first call after an operator's act is that act's, unless the terminal took the payment back meanwhile. Only a payment
/// on its way is `delivering`; while the payee is asked about one, its state stays what it is, and so do `unknown` and
/// `revoking`, which say more.
const TAKE: &str = "given AS MATERIALIZED (
         SELECT *, called_at + make_interval(secs => seconds) AS lease_until,
                CASE WHEN next_act <> 'cancel' THEN act_id END AS caused_by
         FROM (SELECT payment_id, lane_id, seconds, next_act, act_id, attempts + 1 AS ordinal, ($6::int4[])[place] AS slot,
                      ($7::uuid[])[place] AS attempt_id, ($8::timestamptz[])[place] AS begins,
                      greatest(($8::timestamptz[])[place], clock_timestamp()) AS called_at
               FROM due) given),
     attempted AS (
         INSERT INTO attempt (attempt_id, payment_id, ordinal, act, lane_id, slot, worker, started_at, lease_until,
                              automatic, act_id)
         SELECT attempt_id, payment_id, ordinal, next_act, lane_id, slot, $9, begins, lease_until, caused_by IS NULL, caused_by
         FROM given),
     moved AS (
         UPDATE payment p SET attempts = given.ordinal, due_at = NULL, next_act = NULL, act_id = NULL,
                updated_at = clock_timestamp(),
                state = CASE WHEN given.next_act <> 'pay' OR p.state IN ('unknown', 'revoking') THEN p.state
                             ELSE 'delivering' END,
                last_call_at = CASE WHEN given.next_act = 'pay' THEN given.called_at ELSE p.last_call_at END
         FROM given WHERE p.payment_id = given.payment_id),
     occupied AS (
         UPDATE lane_slot s SET token = given.attempt_id, lease_until = given.lease_until
         FROM given WHERE s.lane_id = given.lane_id AND s.slot = given.slot)";

/// Takes them, and returns what is to be known of each.
pub(super) fn sql() -> String {
    format!(
        "WITH due AS MATERIALIZED (
             SELECT l.lane_id, l.seconds, due.*,
                    l.before + (row_number() OVER (PARTITION BY l.lane_id ORDER BY due.due_at, due.number))::int AS place
             {DUE_OF_LANES}),
         {TAKE}
         SELECT {DUE_COLUMNS}, next_act, place FROM due"
    )
}

/// A slot that a payment was taken for.
pub(super) struct Taken {
    /// Whose.
    pub(super) lane: String,
    /// The call to be made, unless the payment cannot be read: a newer version of the program may have written it.
    pub(super) call: Option<Claimed>,
}

/// The parameters of [`sql`].
pub(super) struct Taking<'a> {
    lanes: Vec<&'a str>,
    most: Vec<i64>,
    pay_only: Vec<bool>,
    before: Vec<i32>,
    seconds: Vec<f64>,
    /// Of all free slots, lane by lane; and whose each is, with its place among its lane's.
    slots: Vec<i32>,
    attempts: Vec<Uuid>,
    begins: Vec<Timestamp>,
    whose: Vec<(&'a Turn<'a>, usize)>,
    worker: &'a str,
}

impl<'a> Taking<'a> {
    pub(super) fn new(turns: &[&'a Turn<'a>], trials_pay: bool, worker: &'a str) -> Self {
        let whose: Vec<(&Turn<'_>, usize)> = turns
            .iter()
            .flat_map(|turn| (0..turn.free.len()).map(|nth| (*turn, nth)))
            .collect();
        let before = turns.iter().scan(0, |sum, turn| {
            let before = *sum;
            *sum += turn.free.len() as i32;
            Some(before)
        });
        Self {
            lanes: turns.iter().map(|turn| turn.lane).collect(),
            most: turns.iter().map(|turn| turn.free.len() as i64).collect(),
            pay_only: turns.iter().map(|turn| turn.trial && trials_pay).collect(),
            before: before.collect(),
            seconds: turns.iter().map(|turn| lease_seconds(turn.longest)).collect(),
            slots: turns.iter().flat_map(|turn| turn.free.iter().copied()).collect(),
            attempts: whose.iter().map(|_| AttemptId::random().as_uuid()).collect(),
            begins: whose.iter().map(|(turn, nth)| turn.start(*nth)).collect(),
            whose,
            worker,
        }
    }

    pub(super) fn params(&self) -> [&(dyn ToSql + Sync); 9] {
        [
            &self.lanes,
            &self.most,
            &self.pay_only,
            &self.before,
            &self.seconds,
            &self.slots,
            &self.attempts,
            &self.begins,
            &self.worker,
        ]
    }

    /// One that cannot be read is ours by then, and keeps nobody else from being called; its slot is taken and its call is open for
    /// as long as its lease lasts.
    pub(super) fn taken(&self, rows: &[Row]) -> Vec<Taken> {
        let one = |row: &Row| {
            let claimed = self.claimed(row);
            Taken {
                lane: row.get("payee_id"),
                call: claimed
                    .inspect_err(|error| tracing::error!(%error, "a payment was claimed that cannot be read"))
                    .ok(),
            }
        };
        rows.iter().map(one).collect()
    }

    fn claimed(&self, row: &Row) -> Result<Claimed, StoreError> {
        // Arrays begin at 1 over there.
        let at = usize::try_from(row.get::<_, i32>("place") - 1).unwrap_or(usize::MAX);
        let whose = self.whose.get(at).zip(self.attempts.get(at)).zip(self.slots.get(at));
        let Some(((&(turn, nth), &attempt_id), &place)) = whose else {
            return Err(StoreError::unreadable("a payment was claimed without a slot"));
        };
        let act = Act::parse(row.get("next_act"))?;
        Ok(Claimed {
            attempt_id: AttemptId::from_uuid(attempt_id),
            act,
            slot: Slot {
                lane: turn.lane.to_owned(),
                place,
                token: attempt_id,
            },
            start_in: turn.start_in(nth),
            due: due_of(row)?,
        })
    }
}
