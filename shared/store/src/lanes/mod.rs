//! Lanes: how many calls a payee gets at a time and in how much time, across all processes, and the breaker that spares a
//! payee that is down.
//!
//! A slot is leased for one call, by the database's clock, for longer than the call can last. So a process that dies
//! needs no heartbeat to be missed: its slots come back when their leases run out. A payee's rate is a moment in the
//! lane's row before which the next call may not begin; whoever takes calls moves it on.

mod breaker;
mod operator;
mod probes;
mod turn;

use std::time::Duration;

use domain::declaration::Online;
use uuid::Uuid;

use crate::{StoreError, Tx};

pub use breaker::{Asking, Breaker, Noted, Said, doors, note};
pub use operator::{COUNTED_AT_MOST, LaneRow, ask_again, hold, list, release};
pub use probes::{Probe, Probing, claim_probes, waiting_number};
pub use turn::{Ask, Asked, Calls, take_for_question, take_for_trying};
pub(crate) use turn::{Turn, turns};

/// How long a lease outlasts the longest call: scheduling, the record, and clocks that run apart.
pub const LEASE_MARGIN: Duration = Duration::from_secs(15);

/// A slot held for one call.
#[derive(Clone, Debug)]
pub struct Slot {
    /// Whose.
    pub lane: String,
    /// Which of its lane's.
    pub place: i32,
    /// Fences its return.
    pub token: Uuid,
}

/// Gives slots back. After a timeout one rests first: the payee may still be busy with the call.
pub async fn give_back(tx: &Tx, slots: &[(&Slot, Option<Duration>)]) -> Result<(), StoreError> {
    let lanes: Vec<&str> = slots.iter().map(|(slot, _)| slot.lane.as_str()).collect();
    let places: Vec<i32> = slots.iter().map(|(slot, _)| slot.place).collect();
    let tokens: Vec<Uuid> = slots.iter().map(|(slot, _)| slot.token).collect();
    let rests: Vec<_> = slots
        .iter()
        .map(|(_, rest)| rest.map(|rest| rest.as_secs_f64()))
        .collect();
    tx.execute_later(
        "UPDATE lane_slot s SET token = NULL,
                lease_until = coalesce(clock_timestamp() + make_interval(secs => u.rest), '-infinity')
         FROM UNNEST($1::text[], $2::int4[], $3::uuid[], $4::float8[]) AS u(lane_id, slot, token, rest)
         WHERE s.lane_id = u.lane_id AND s.slot = u.slot AND s.token = u.token",
        &[&lanes, &places, &tokens, &rests],
    )
    .await
}

/// Makes a lane as its payee is declared. Quiet hours are judged anew at the next claim; calls that were begun count. Whether a payee
/// can be called, takes our requests and is busy is asked anew under `another` profile than it had: what is wrong with that one has been
/// told to nobody.
pub(crate) async fn declare(
    tx: &Tx,
    lane: &str,
    online: &Online<'_>,
    paused: bool,
    another: bool,
) -> Result<(), StoreError> {
    let slots = i32::try_from(online.concurrency).unwrap_or(1);
    let interval = online.rate.map(|rate| rate.interval().as_secs_f64());
    tx.execute(
        "INSERT INTO lane (lane_id, slots, paused, call_interval) VALUES ($1, $2, $3, $4)
         ON CONFLICT (lane_id) DO UPDATE SET slots = excluded.slots, paused = excluded.paused OR lane.held_at IS NOT NULL,
             call_interval = excluded.call_interval, quiet_until = '-infinity',
             rejected = CASE WHEN $5 THEN 0 ELSE lane.rejected END, hindered = CASE WHEN $5 THEN 0 ELSE lane.hindered END,
             wait_until = CASE WHEN $5 THEN '-infinity' ELSE lane.wait_until END,
             last_error = CASE WHEN $5 AND lane.rejected + lane.hindered > 0 AND lane.breaker = 'closed' THEN NULL
                               ELSE lane.last_error END",
        &[&lane, &slots, &paused, &interval, &another],
    )
    .await?;
    tx.execute(
        "INSERT INTO lane_slot (lane_id, slot) SELECT $1, generate_series(1, $2) ON CONFLICT DO NOTHING",
        &[&lane, &slots],
    )
    .await?;
    // A slot in use is left to end; claims look only at slots up to the limit.
    tx.execute(
        "DELETE FROM lane_slot WHERE lane_id = $1 AND slot > $2 AND lease_until < clock_timestamp()",
        &[&lane, &slots],
    )
    .await
    .map(drop)
}

/// Seconds a slot is leased for a call of at most this length.
pub(crate) fn lease_seconds(call: Duration) -> f64 {
    (call + LEASE_MARGIN).as_secs_f64()
}
