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
}

/// What a question found when it asked for a slot.
#[derive(Clone, Debug)]
pub enum Asked {
    /// Call when this time has passed.
    Go(Slot, Duration),
    /// All slots are taken, or the payee's rate is used up; ask again soon. What comes next is kept for questions.
    Busy,
    /// The payee is down (or paused): do not call.
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
    /// Its limit, and how many free slots of it are wanted.
    slots: i32,
    most: usize,
    /// Slots and calls left for a question that waits.
    kept: usize,
    /// Slots that are free.
    pub(crate) free: Vec<i32>,
    /// One call decides whether the payee is back.
    pub(crate) trial: bool,
    /// Up to which number waiting payments have been made due since the payee was back; `None` = it is no matter.
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

/// Locks lanes that may be called, and finds free slots of them, as many as are wanted and as their rates allow. While a
/// question waits for one, one slot, and one call of the rate, is left for it. Lanes whose breaker is open, that are paused
/// or that somebody works on at this moment are left out.
pub(crate) async fn turns<'a>(tx: &Tx, asks: &'a [Ask<'a>]) -> Result<Vec<Turn<'a>>, StoreError> {
    find(tx, asks, Whichever::Free, true).await
}

async fn find<'a>(
    tx: &Tx,
    asks: &'a [Ask<'a>],
    whichever: Whichever,
    leave_one: bool,
) -> Result<Vec<Turn<'a>>, StoreError> {
    let of: HashMap<&str, &'a Ask<'a>> = asks.iter().map(|ask| (ask.lane, ask)).collect();
    let lanes: Vec<&str> = of.keys().copied().collect();
    let sql = format!(
        "SELECT lane_id, CASE breaker WHEN 'trial' THEN 1 ELSE slots END, question_waits_until > clock_timestamp(),
                breaker = 'trial', recovered_to, call_interval, greatest(next_call_at, clock_timestamp()),
                clock_timestamp()
         FROM lane WHERE lane_id = ANY($1) AND ($2 OR breaker <> 'open' AND NOT paused)
         ORDER BY lane_id FOR UPDATE {}",
        if whichever == Whichever::Free {
            "SKIP LOCKED"
        } else {
            ""
        }
    );
    let mut turns = Vec::new();
    for row in tx.query(&sql, &[&lanes, &(whichever == Whichever::Any)]).await? {
        let Some(&ask) = of.get(row.get::<_, &str>(0)) else {
            continue;
        };
        let turn = judged(ask, &row, leave_one);
        if let Some(until) = turn.quiet {
            // Until then nobody need look at this lane.
            tx.execute_later(
                "UPDATE lane SET quiet_until = $2 WHERE lane_id = $1 AND quiet_until <> $2",
                &[&turn.lane, &until],
            )
            .await?;
        }
        turns.push(turn);
    }
    free_slots(tx, &mut turns).await?;
    Ok(turns)
}

/// How many calls a lane may be given now, before its slots are looked at.
fn judged<'a>(ask: &'a Ask<'a>, row: &Row, leave_one: bool) -> Turn<'a> {
    let interval = row.get::<_, Option<f64>>(5).map(Duration::from_secs_f64);
    let now: Timestamp = row.get(7);
    let mut turn = Turn {
        lane: ask.lane,
        longest: ask.calls.longest,
        slots: row.get(1),
        most: 0,
        kept: usize::from(leave_one && row.get::<_, bool>(2)),
        free: Vec::new(),
        trial: row.get(3),
        recovered_to: row.get(4),
        now,
        first: if interval.is_some() {
            row.get::<_, Timestamp>(6).max(now)
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

/// Calls on slots above the limit, from before it was lowered, count against it until they end. A statement of its own: it
/// sees all that was committed before the lanes were locked.
async fn free_slots(tx: &Tx, turns: &mut [Turn<'_>]) -> Result<(), StoreError> {
    let wanted: Vec<&Turn<'_>> = turns.iter().filter(|turn| turn.most > 0).collect();
    if wanted.is_empty() {
        return Ok(());
    }
    let lanes: Vec<&str> = wanted.iter().map(|turn| turn.lane).collect();
    let slots: Vec<i32> = wanted.iter().map(|turn| turn.slots).collect();
    let most: Vec<i64> = wanted
        .iter()
        .map(|turn| i64::try_from(turn.most.saturating_add(turn.kept)).unwrap_or(i64::MAX))
        .collect();
    let rows = tx
        .query(
            "SELECT l.lane_id, free.slot FROM UNNEST($1::text[], $2::int4[], $3::int8[]) AS l(lane_id, slots, most)
             CROSS JOIN LATERAL (
                 SELECT s.slot FROM lane_slot s
                 WHERE s.lane_id = l.lane_id AND s.slot <= l.slots AND s.lease_until < clock_timestamp()
                 ORDER BY s.slot LIMIT greatest(0, least(l.most, l.slots - (
                     SELECT count(*) FROM lane_slot busy
                     WHERE busy.lane_id = l.lane_id AND busy.lease_until >= clock_timestamp())))
                 FOR UPDATE SKIP LOCKED
             ) free",
            &[&lanes, &slots, &most],
        )
        .await?;
    for turn in turns {
        let own = rows.iter().filter(|row| row.get::<_, &str>(0) == turn.lane);
        turn.free = own.map(|row| row.get(1)).collect();
        turn.free.truncate(turn.free.len().saturating_sub(turn.kept));
    }
    Ok(())
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

/// Takes a slot for an operator who tries the payee's profile: also while the payee is down or its deliveries are paused,
/// but within its limits, which nothing goes beyond, and not in its quiet hours.
pub async fn take_for_trying(tx: &Tx, lane: &str, calls: &Calls<'_>) -> Result<Asked, StoreError> {
    take_one(tx, lane, calls, Whichever::Any).await
}

async fn take_one(tx: &Tx, lane: &str, calls: &Calls<'_>, whichever: Whichever) -> Result<Asked, StoreError> {
    let asks = [Ask {
        lane,
        most: 1,
        calls: *calls,
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
