//! Probes: asking a payee that is down whether it is back. A probe is a call like any other, within its lane's limits.

use std::time::Duration;

use jiff::Timestamp;

use super::breaker::LONGEST_PROBE_INTERVAL;
use super::turn::take_for_trying;
use super::{Asked, Calls, Slot};
use crate::{Store, StoreError, Tx};

/// Probes ask about so many waiting numbers in turn.
const NUMBERS_ASKED: i32 = 4;

/// A payee that is down and due to be asked whether it is back.
#[derive(Clone, Debug)]
pub struct Probe {
    /// The slot that the call takes, and whose it is.
    pub slot: Slot,
    /// A number it can be asked about: that of one of the payments that wait. None when none waits, or when any sign of life
    /// will do.
    pub number: Option<i64>,
}

/// What the declaration says about a lane's probes.
#[derive(Clone, Copy, Debug)]
pub struct Probing {
    /// The first interval.
    pub first: Duration,
    /// The longest that a call may last.
    pub longest: Duration,
    /// Until when the payee is to be left alone.
    pub quiet_until: Option<Timestamp>,
}

/// Claims the probes that are due; the call of each is to be made now, and counts for the payee's rate. The pauses double up to ten
/// minutes. In quiet hours, and while the payee wants to be left alone, none is made; where all slots are taken (a payee that hangs has
/// them) it waits for the first of them. A lane of which nothing is known (`None`) is left alone.
///
/// Numbers that a payee cannot speak of must not keep it down: each probe asks about the next of the few that wait longest, and,
/// when these have had their turn, about none. Any sign of life leads to the trial of one payment then, which is what that costs
/// where the payee answers and takes none.
pub async fn claim_probes(
    store: &Store,
    probing: impl Fn(&str, Timestamp) -> Option<Probing>,
) -> Result<Vec<Probe>, StoreError> {
    let tx = store.begin().await?;
    let rows = tx
        .query(
            "SELECT lane_id, CASE WHEN probe_count % ($1 + 1) < $1 THEN coalesce(
                        (SELECT number FROM payment WHERE payee_id = lane_id AND due_at IS NOT NULL
                         ORDER BY due_at, number OFFSET probe_count % ($1 + 1) LIMIT 1),
                        (SELECT number FROM payment WHERE payee_id = lane_id AND due_at IS NOT NULL AND next_act = 'pay'
                         ORDER BY due_at, number LIMIT 1)) END, clock_timestamp()
             FROM lane
             WHERE breaker = 'open' AND NOT paused AND greatest(probe_at, next_call_at, wait_until) <= clock_timestamp()
             FOR UPDATE SKIP LOCKED",
            &[&NUMBERS_ASKED],
        )
        .await?;
    let mut probes = Vec::with_capacity(rows.len());
    for row in &rows {
        let lane: &str = row.get(0);
        let Some(probing) = probing(lane, row.get(2)) else {
            continue;
        };
        if let Some(slot) = claim_one(&tx, lane, probing).await? {
            let number = row.get(1);
            probes.push(Probe { slot, number });
        }
    }
    tx.commit().await?;
    Ok(probes)
}

/// The slot of a lane's next probe, or none when it is put off.
async fn claim_one(tx: &Tx, lane: &str, probing: Probing) -> Result<Option<Slot>, StoreError> {
    let calls = Calls {
        longest: probing.longest,
        quiet_until: &|_| probing.quiet_until,
    };
    match take_for_trying(tx, lane, &calls).await? {
        // Its rate allows it now, or it would not have been looked at.
        Asked::Go(slot, _) => {
            tx.execute_later(
                "UPDATE lane SET probe_count = probe_count + 1,
                        probe_at = clock_timestamp() + make_interval(secs => least($3, $2 * 2 ^ least(probe_count + 1, 16)))
                 WHERE lane_id = $1",
                &[&lane, &probing.first.as_secs_f64(), &LONGEST_PROBE_INTERVAL],
            )
            .await?;
            Ok(Some(slot))
        }
        Asked::Quiet(until) => {
            tx.execute_later("UPDATE lane SET probe_at = $2 WHERE lane_id = $1", &[&lane, &until])
                .await?;
            Ok(None)
        }
        Asked::Busy | Asked::Closed => {
            tx.execute_later(
                // A call may end long before its lease does, and nobody tells.
                "UPDATE lane SET probe_at = least(clock_timestamp() + make_interval(secs => $2),
                                                  (SELECT min(lease_until) FROM lane_slot s
                                                   WHERE s.lane_id = lane.lane_id AND lease_until > clock_timestamp()))
                 WHERE lane_id = $1",
                &[&lane, &probing.first.as_secs_f64()],
            )
            .await?;
            Ok(None)
        }
    }
}

/// The number of the payment of a lane that waits longest: something its payee can be asked about.
pub async fn waiting_number(store: &Store, lane: &str) -> Result<Option<i64>, StoreError> {
    let row = store
        .query_opt(
            "SELECT number FROM payment WHERE payee_id = $1 AND due_at IS NOT NULL ORDER BY due_at, number LIMIT 1",
            &[&lane],
        )
        .await?;
    Ok(row.map(|row| row.get(0)))
}
