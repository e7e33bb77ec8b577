//! Whose turn it is: the one place where a lane's slots, rate and quiet hours are judged, with its row locked. Claims and
//! questions both begin here.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use super::{Slot, lease_seconds};
use crate::{Store, StoreError, Tx};

/// How far ahead calls of a lane with a rate are taken. Each of them waits for its own moment; so many can be taken in one
/// transaction, and a question never stands behind more than this.
const TAKEN_AHEAD: Duration = Duration::from_millis(250);

/// What the declaration says about calls, and the lane's row does not.
#[derive(Clone, Copy)]
pub struct Calls<'a> {
    /// The longest a call may last.
    pub longest: Duration,
    /// Until when the payee is to be left alone, if it is to be at this moment.
    pub quiet_until: &'a (dyn Fn(Timestamp) -> Option<Timestamp> + Sync),
}

impl std::fmt::Debug for Calls<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Calls")
            .field("longest", &self.longest)
            .finish_non_exhaustive()
    }
}

/// What is asked of a lane.
#[derive(Debug)]
pub struct Ask<'a> {
    /// Which.
    pub lane: &'a str,
    /// Calls that are wanted of it.
    pub most: usize,
    /// What its payee's declaration says about them.
    pub calls: Calls<'a>,
    /// Slots of it whose calls have ended, though nobody has recorded that yet: they are as good as free, as long as they are
    /// what the caller held.
    pub ended: &'a [Slot],
}

/// What a question found when it asked for a slot.
#[derive(Clone, Debug)]
pub enum Asked {
    /// Call when this time has passed.
    Go(Slot, Duration),
    /// All slots are taken, or the payee's rate is used up; ask again soon. What comes next is kept for questions.
    Busy,
    /// The payee is down, paused or wants to be left alone: do not call.
    Closed,
    /// These are the payee's quiet hours.
    Quiet(Timestamp),
}

/// A lane, locked, of which something may be called.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    /// Which.
    pub(crate) lane: &'a str,
    /// The longest a call of it may last.
    pub(crate) longest: Duration,
    /// How many free slots of it are wanted.
    most: usize,
    /// Slots and calls left for a question that waits.
    kept: usize,
    /// Slots that are free.
    pub(crate) free: Vec<i32>,
    /// One call decides whether the payee is back.
    pub(crate) trial: bool,
    /// Up to which number waiting payments have been made due since the payee was back, or tried while it is not; `None` = it is
    /// no matter.
    pub(crate) recovered_to: Option<i64>,
    /// Now, by the database's clock; when the first of its calls may begin; and the time between two.
    now: Timestamp,
    first: Timestamp,
    interval: Option<Duration>,
    /// Until when nothing is called: quiet hours.
    quiet: Option<Timestamp>,
}

impl Turn<'_> {
    /// When the call of this place (from 0) begins, by the database's clock.
    pub(crate) fn start(&self, place: usize) -> Timestamp {
        let places = u32::try_from(place).unwrap_or(u32::MAX);
        let later = self.interval.unwrap_or_default().saturating_mul(places);
        self.first.saturating_add(later).unwrap_or(Timestamp::MAX)
    }

    /// How long from now that is.
    pub(crate) fn start_in(&self, place: usize) -> Duration {
        Duration::try_from(self.start(place).duration_since(self.now)).unwrap_or_default()
    }

    /// Whether nothing of it has to be noted in its lane, and any due payment will do.
    pub(crate) fn is_plain(&self) -> bool {
        self.interval.is_none() && self.recovered_to.is_none() && !self.trial && self.quiet.is_none()
    }

    /// How many calls of a lane with a rate may be taken now.
    fn within_rate(&self) -> usize {
        let Some(interval) = self.interval else {
            return usize::MAX;
        };
        let Some(ahead) = TAKEN_AHEAD.checked_sub(self.start_in(0)) else {
            return 0;
        };
        let more = ahead.as_nanos() / interval.as_nanos().max(1);
        usize::try_from(more).unwrap_or(usize::MAX).saturating_add(1)
    }

    /// Notes in the lane what was taken: when the next call may begin, and how far the payments that wait for a retry have
    /// been made due.
    pub(crate) async fn taken(&self, tx: &Tx, calls: usize, recovered_to: Option<i64>) -> Result<(), StoreError> {
        let next = self.interval.filter(|_| calls > 0).map(|_| self.start(calls));
        if next.is_none() && recovered_to == self.recovered_to {
            return Ok(());
        }
        tx.execute_later(
            "UPDATE lane SET next_call_at = coalesce($2, next_call_at), recovered_to = $3 WHERE lane_id = $1",
            &[&self.lane, &next, &recovered_to],
        )
        .await
    }
}

/// Which lanes are locked, and how.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whichever {
    /// Those that may be called and that nobody works on at this moment.
    Free,
    /// Those that may be called.
    Open,
    /// All of them.
    Any,
}

/// A lane that may be called: its payee is not down, nobody holds it back, and it has not asked to be left alone.
const MAY_BE_CALLED: &str = "breaker <> 'open' AND NOT paused AND wait_until <= clock_timestamp()";

/// Locks lanes that may be called, and finds free slots of them, as many as are wanted and as their rates allow. While a
/// question waits for one, one slot, and one call of the rate, is left for it. Lanes that may not be called, or that somebody works
/// on at this moment, are left out.
pub(crate) async fn turns<'a>(tx: &Tx, asks: &'a [Ask<'a>]) -> Result<Vec<Turn<'a>>, StoreError> {
    find(tx, asks, Whichever::Free, true).await
}

/// The lanes and their free slots in one flight: who waits for the answer to the one before asking the other waits longer
/// than both take.
async fn find<'a>(
    tx: &Tx,
    asks: &'a [Ask<'a>],
    whichever: Whichever,
    leave_one: bool,
) -> Result<Vec<Turn<'a>>, StoreError> {
    let of: HashMap<&str, &'a Ask<'a>> = asks.iter().map(|ask| (ask.lane, ask)).collect();
    let lanes: Vec<&str> = of.keys().copied().collect();
    // One more than is wanted, which may have to be left for a question.
    let most: Vec<i64> = of
        .values()
        .map(|ask| i64::try_from(ask.most + usize::from(leave_one)).unwrap_or(i64::MAX))
        .collect();
    let (wait, any) = match whichever {
        Whichever::Free => ("SKIP LOCKED", false),
        Whichever::Open => ("", false),
        Whichever::Any => ("", true),
    };
    let ended: Vec<Uuid> = asks.iter().flat_map(|ask| ask.ended).map(|slot| slot.token).collect();
    let (lock_lanes, lock_slots) = (lock_lanes(wait), lock_slots(wait));
    let [locked, slots] = tx
        .query_each([
            (&lock_lanes, &[&lanes, &any]),
            (&lock_slots, &[&lanes, &any, &most, &ended]),
        ])
        .await?;
    let mut turns = Vec::new();
    for row in &locked {
        let Some(&ask) = of.get(row.get::<_, &str>(0)) else {
            continue;
        };
        let mut turn = judged(ask, row, leave_one);
        if let Some(until) = turn.quiet {
            // Until then nobody need look at this lane.
            tx.execute_later(
                "UPDATE lane SET quiet_until = $2 WHERE lane_id = $1 AND quiet_until <> $2",
                &[&turn.lane, &until],
            )
            .await?;
        }
        let own = slots.iter().filter(|slot| slot.get::<_, &str>(0) == turn.lane);
        turn.free = own.map(|slot| slot.get(1)).collect();
        turn.free
            .truncate(turn.most.min(turn.free.len().saturating_sub(turn.kept)));
        turns.push(turn);
    }
    Ok(turns)
}

/// Locks lanes that may be called, and reads what is judged by.
fn lock_lanes(wait: &str) -> String {
    format!(
        "SELECT lane_id, question_waits_until > clock_timestamp(), breaker = 'trial', recovered_to, call_interval,
                greatest(next_call_at, clock_timestamp()), clock_timestamp()
         FROM lane WHERE lane_id = ANY($1) AND ($2 OR {MAY_BE_CALLED})
         ORDER BY lane_id FOR UPDATE {wait}"
    )
}

/// Locks free slots of the same lanes. Calls on slots above the limit, from before it was lowered, count against it until
/// they end. A statement of its own: it sees all that was committed before the lanes were locked. It asks for the lanes once
/// more, since nobody has read yet which of them they were; whoever let go of one meanwhile has it passed over all the same.
fn lock_slots(wait: &str) -> String {
    format!(
        "SELECT l.lane_id, free.slot FROM UNNEST($1::text[], $3::int8[]) AS u(lane_id, most)
         CROSS JOIN LATERAL (
             SELECT lane.lane_id, CASE breaker WHEN 'trial' THEN 1 ELSE slots END AS slots FROM lane
             WHERE lane.lane_id = u.lane_id AND ($2 OR {MAY_BE_CALLED}) FOR UPDATE {wait}
         ) l
         CROSS JOIN LATERAL (
             SELECT s.slot FROM lane_slot s
             WHERE s.lane_id = l.lane_id AND s.slot <= l.slots AND (s.lease_until < clock_timestamp() OR s.token = ANY($4))
             ORDER BY s.slot LIMIT greatest(0, least(u.most, l.slots - (
                 SELECT count(*) FROM lane_slot busy
                 WHERE busy.lane_id = l.lane_id AND busy.lease_until >= clock_timestamp()
                   AND (busy.token = ANY($4)) IS NOT TRUE)))
             FOR UPDATE SKIP LOCKED
         ) free"
    )
}

/// How many calls a lane may be given now, before its slots are looked at.
fn judged<'a>(ask: &'a Ask<'a>, row: &Row, leave_one: bool) -> Turn<'a> {
    let interval = row.get::<_, Option<f64>>(4).map(Duration::from_secs_f64);
    let now: Timestamp = row.get(6);
    let mut turn = Turn {
        lane: ask.lane,
        longest: ask.calls.longest,
        most: 0,
        kept: usize::from(leave_one && row.get::<_, bool>(1)),
        free: Vec::new(),
        trial: row.get(2),
        recovered_to: row.get(3),
        now,
        first: if interval.is_some() {
            row.get::<_, Timestamp>(5).max(now)
        } else {
            now
        },
        interval,
        quiet: (ask.calls.quiet_until)(now),
    };
    if turn.quiet.is_none() {
        turn.most = ask.most.min(turn.within_rate().saturating_sub(turn.kept));
    }
    turn
}

/// Takes a slot for a question. It goes before any payment: while one waits, payments leave it the last free slot and the
/// next call of the rate.
pub async fn take_for_question(store: &Store, lane: &str, calls: &Calls<'_>) -> Result<Asked, StoreError> {
    let tx = store.begin().await?;
    let asked = take_one(&tx, lane, calls, Whichever::Open).await?;
    // Written only when it changes something: many questions may be looking at once.
    let noted = match asked {
        Asked::Go(..) => {
            "UPDATE lane SET question_waits_until = '-infinity'
             WHERE lane_id = $1 AND question_waits_until > '-infinity'"
        }
        Asked::Busy => {
            "UPDATE lane SET question_waits_until = clock_timestamp() + interval '5 seconds'
             WHERE lane_id = $1 AND question_waits_until < clock_timestamp() + interval '3 seconds'"
        }
        Asked::Closed | Asked::Quiet(_) => {
            tx.commit().await?;
            return Ok(asked);
        }
    };
    tx.execute_later(noted, &[&lane]).await?;
    tx.commit().await?;
    Ok(asked)
}

/// Takes a slot for an operator who tries the payee's profile, or for a probe: also while the payee is down or busy or its deliveries
/// are paused, but within its limits, which nothing goes beyond, and not in its quiet hours.
pub async fn take_for_trying(tx: &Tx, lane: &str, calls: &Calls<'_>) -> Result<Asked, StoreError> {
    take_one(tx, lane, calls, Whichever::Any).await
}

async fn take_one(tx: &Tx, lane: &str, calls: &Calls<'_>, whichever: Whichever) -> Result<Asked, StoreError> {
    let asks = [Ask {
        lane,
        most: 1,
        calls: *calls,
        ended: &[],
    }];
    let Some(turn) = find(tx, &asks, whichever, false).await?.pop() else {
        return Ok(Asked::Closed);
    };
    if let Some(until) = turn.quiet {
        return Ok(Asked::Quiet(until));
    }
    let Some(&place) = turn.free.first() else {
        return Ok(Asked::Busy);
    };
    let token = Uuid::now_v7();
    let start_in = turn.start_in(0);
    let lease = lease_seconds(calls.longest + start_in);
    tx.execute_later(
        "UPDATE lane_slot SET token = $3, lease_until = clock_timestamp() + make_interval(secs => $4)
         WHERE lane_id = $1 AND slot = $2",
        &[&lane, &place, &token, &lease],
    )
    .await?;
    turn.taken(tx, 1, turn.recovered_to).await?;
    let lane = lane.to_owned();
    Ok(Asked::Go(Slot { lane, place, token }, start_in))
}
