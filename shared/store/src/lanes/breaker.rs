//! The breaker: a note in the lane's row that the payee is down. While it is open nothing is claimed, and no step of any
//! schedule is spent. A payee that answers a probe is given one payment to try: one that answers questions and no payments
//! would otherwise be paid again and again by all that waits for it.

use std::sync::LazyLock;
use std::time::Duration;

use serde::Serialize;
use tokio_postgres::types::Json;
use uuid::Uuid;

use crate::{Store, StoreError, Tx};

/// Failures in a row that open a breaker; and as many payments in a row that a payee took for no request of ours, or calls that could not
/// be made from here, are told of.
pub(super) const FAILURES_TO_OPEN: i32 = 5;
/// The longest pause between probes, in seconds.
pub(super) const LONGEST_PROBE_INTERVAL: f64 = 600.0;

/// What keeps one process from calling may be nothing to another, whose calls take nothing back of that; unless it was not heard of for
/// so many seconds, and has ended perhaps.
const HINDERED_FOR: f64 = 600.0;
/// Names this process among those that call.
static HERE: LazyLock<Uuid> = LazyLock::new(Uuid::new_v4);

/// What became of a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Breaker {
    /// It opened: the payee is down.
    Opened,
    /// It closed: the payee is back, and its waiting payments go out, oldest first.
    Closed,
}

/// What changed with a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Noted {
    /// Which.
    pub lane: String,
    /// Its breaker opened or closed.
    pub breaker: Option<Breaker>,
    /// From now on its payee is known to take none of our requests.
    pub rejects: bool,
    /// From now on it is known that its payee cannot be called from here.
    pub hindered: bool,
}

/// What a call is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asking {
    /// A payment: what the lane is for.
    Payment,
    /// Anything else: a check, a probe. Its answer says that the payee is there, and not that it can be paid.
    Question,
}

/// What calls on one lane said about its payee, in their order.
#[derive(Clone, Debug)]
pub struct Said<'a> {
    lane: &'a str,
    /// The breaker's first interval.
    probe: Duration,
    /// How all calls went, and payments alone.
    calls: Run,
    payments: Run,
    /// The payee understood one of the payments; and took so many since for no request of ours, and said why.
    understood: bool,
    rejected: i32,
    complaint: Option<&'a str>,
    /// Calls that could not be made from this process since one was, and why.
    hindered: i32,
    hindrance: Option<&'a str>,
    /// One of them was to pay, or to try whether one can.
    unmade: bool,
    /// For how long the payee wants to be left alone.
    busy_for: Option<Duration>,
    /// What went wrong last.
    error: Option<&'a str>,
}

/// How calls went, one after the other.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    /// The payee answered one of them, whatever it said.
    answered: bool,
    /// Calls without an answer since.
    failures: i32,
    /// Some since were put off.
    put_off: bool,
}

impl Run {
    const ANSWERED: Self = Self {
        answered: true,
        failures: 0,
        put_off: false,
    };
}

impl<'a> Said<'a> {
    /// Nothing yet about this lane. `probe` is its breaker's first interval.
    pub fn new(lane: &'a str, probe: Duration) -> Self {
        Self {
            lane,
            probe,
            calls: Run::default(),
            payments: Run::default(),
            understood: false,
            rejected: 0,
            complaint: None,
            hindered: 0,
            hindrance: None,
            unmade: false,
            busy_for: None,
            error: None,
        }
    }

    /// The runs that a call is of; it was made.
    fn of(&mut self, asking: Asking) -> impl Iterator<Item = &mut Run> {
        self.hindered = 0;
        let payments = (asking == Asking::Payment).then_some(&mut self.payments);
        std::iter::once(&mut self.calls).chain(payments)
    }

    /// The payee answered a call, whatever it said.
    pub fn heard(&mut self, asking: Asking) {
        self.of(asking).for_each(|run| *run = Run::ANSWERED);
    }

    /// The payee understood a payment, whatever it said to it.
    pub fn understood(&mut self) {
        (self.understood, self.rejected) = (true, 0);
    }

    /// The payee took a payment for no request of ours.
    pub fn rejected(&mut self, complaint: Option<&'a str>) {
        self.rejected += 1;
        self.complaint = complaint;
    }

    /// A call found no answer.
    pub fn failed(&mut self, asking: Asking, error: Option<&'a str>) {
        self.of(asking).for_each(|run| run.failures += 1);
        self.error = error;
    }

    /// The payee says that it is not there, and for how long: nothing is learned by asking it more often.
    pub fn gone(&mut self, asking: Asking, error: Option<&'a str>) {
        self.of(asking).for_each(|run| run.failures += FAILURES_TO_OPEN);
        self.error = error;
    }

    /// The payee wants to be left alone, whatever else it said.
    pub fn busy(&mut self, busy_for: Duration) {
        self.busy_for = self.busy_for.max(Some(busy_for));
    }

    /// A call found no answer but that the payee wants to be left alone ([`Said::busy`]).
    pub fn put_off(&mut self, asking: Asking, error: Option<&'a str>) {
        self.of(asking).for_each(|run| run.put_off = true);
        self.error = error;
    }

    /// A call could not be made from here.
    pub fn hindered(&mut self, asking: Asking, why: Option<&'a str>) {
        self.hindered += 1;
        self.hindrance = why;
        self.unmade |= asking == Asking::Payment;
    }

    /// What went wrong last.
    pub fn error(&self) -> Option<&'a str> {
        self.error
    }

    /// Why a call could not be made last.
    pub fn hindrance(&self) -> Option<&'a str> {
        self.hindrance
    }
}

/// What is told of a lane, by the names that [`NOTE`] has for it.
#[derive(Debug, Serialize)]
struct News<'a> {
    lane_id: &'a str,
    probe: f64,
    answered: bool,
    lost: i32,
    put_off: bool,
    paid: bool,
    pay_lost: i32,
    pay_put_off: bool,
    busy_for: Option<f64>,
    error: Option<&'a str>,
    understood: bool,
    complaints: i32,
    complaint: Option<&'a str>,
    hindrances: i32,
    hindrance: Option<&'a str>,
    unmade: bool,
}

impl<'a> News<'a> {
    fn of(said: &Said<'a>) -> Self {
        Self {
            lane_id: said.lane,
            probe: said.probe.as_secs_f64(),
            answered: said.calls.answered,
            lost: said.calls.failures,
            put_off: said.calls.put_off,
            paid: said.payments.answered,
            pay_lost: said.payments.failures,
            pay_put_off: said.payments.put_off,
            busy_for: said.busy_for.map(|wait| wait.as_secs_f64()),
            error: said.error,
            understood: said.understood,
            complaints: said.rejected,
            complaint: said.complaint,
            hindrances: said.hindered,
            hindrance: said.hindrance,
            unmade: said.unmade,
        }
    }
}

/// Tells lanes what calls said about their payees, each lane once. Returns what changed.
pub async fn note(tx: &Tx, said: &[Said<'_>]) -> Result<Vec<Noted>, StoreError> {
    let news: Vec<News<'_>> = said.iter().map(News::of).collect();
    let (most, longest) = (&FAILURES_TO_OPEN, &LONGEST_PROBE_INTERVAL);
    let rows = tx
        .query(NOTE, &[&Json(news), most, longest, &*HERE, &HINDERED_FOR])
        .await?;
    let noted = rows.iter().map(|row| Noted {
        lane: row.get(0),
        breaker: match (row.get(1), row.get(2)) {
            ("closed", "open") => Some(Breaker::Opened),
            ("open" | "trial", "closed") => Some(Breaker::Closed),
            _ => None,
        },
        rejects: row.get(3),
        hindered: row.get(4),
    });
    Ok(noted
        .filter(|noted| noted.breaker.is_some() || noted.rejects || noted.hindered)
        .collect())
}

/// A payment that is answered closes a breaker (`back`). An answer to a question does where nothing waits to be paid; else it leads
/// to the trial of one payment. How far the trials of an outage have come is kept until it is over: what failed one is passed over
/// by the next. A trial that could not be made has failed, though nobody is told that the payee is down: it is not known, and the
/// payment may be all that is wrong. A question that could not be asked says nothing of a trial: another worker's may be under way.
/// A row is locked and written only when it changes: an answer is the common case, and so is, where a payee takes nothing or cannot
/// be called, the same once more.
///
/// What a payee that is busy asks us to wait is one failure, however many calls were told so: those that end while it `waits` add none.
const NOTE: &str = "WITH before AS MATERIALIZED (
         SELECT lane_id, breaker AS was, failures, unpaid, rejected AS rejected_was, hindered AS hindered_was,
                wait_until > clock_timestamp() AS waits,
                hindered_by = $4 OR hindered_at < clock_timestamp() - make_interval(secs => $5) AS hindered_here,
                probe, answered, lost, put_off, paid, pay_lost, pay_put_off, busy_for, error, understood, complaints, complaint,
                hindrances, hindrance, unmade,
                CASE WHEN paid THEN true WHEN breaker = 'closed' OR NOT answered THEN false
                     ELSE NOT EXISTS (SELECT FROM payment
                                      WHERE payee_id = lane_id AND due_at IS NOT NULL AND next_act = 'pay') END AS back
         FROM lane JOIN json_to_recordset($1)
              AS u(lane_id text, probe float8, answered bool, lost int4, put_off bool, paid bool, pay_lost int4, pay_put_off bool,
                   busy_for float8, error text, understood bool, complaints int4, complaint text, hindrances int4, hindrance text,
                   unmade bool) USING (lane_id)
         WHERE lost > 0 OR pay_lost > 0 OR busy_for > 0 OR breaker = 'trial' OR (paid AND unpaid > 0)
            OR (answered AND (failures > 0 OR breaker = 'open'))
            OR (answered AND hindered > 0 AND (hindered_by = $4 OR hindered_at < clock_timestamp() - make_interval(secs => $5)))
            OR (hindrances > 0 AND (hindered < $2 OR last_error IS DISTINCT FROM hindrance
                                    OR hindered_at < clock_timestamp() - make_interval(secs => $5 / 10)))
            OR (understood AND rejected > 0) OR (complaints > 0 AND (rejected < $2 OR last_error IS DISTINCT FROM complaint))
         ORDER BY lane_id FOR UPDATE OF lane),
     ended AS (
         SELECT *, lost + (put_off AND NOT waits)::int4 AS failed, pay_lost + (pay_put_off AND NOT waits)::int4 AS pay_failed,
                answered OR put_off OR lost > 0 AS made
         FROM before),
     counted AS (
         SELECT *, CASE WHEN answered THEN 0 ELSE failures END + failed AS failures_now,
                CASE WHEN back THEN 0 ELSE unpaid END + pay_failed AS unpaid_now,
                least($2, CASE WHEN understood THEN 0 ELSE rejected_was END + complaints) AS rejected_now,
                least($2, CASE WHEN made AND hindered_here THEN 0 ELSE hindered_was END + hindrances) AS hindered_now
         FROM ended),
     judged AS (
         SELECT *, (failed > 0 AND failures_now >= $2) OR (pay_failed > 0 AND unpaid_now >= $2)
                   OR (was <> 'closed' AND NOT back AND (failed > 0 OR unmade OR (was = 'open' AND NOT answered))) AS opens,
                was <> 'closed' AND NOT back AS stays
         FROM counted)
     UPDATE lane l SET failures = failures_now, unpaid = unpaid_now,
            rejected = rejected_now, hindered = hindered_now,
            hindered_by = CASE WHEN hindrances > 0 THEN $4 ELSE hindered_by END,
            hindered_at = CASE WHEN hindrances > 0 THEN clock_timestamp() ELSE hindered_at END,
            wait_until = greatest(l.wait_until, clock_timestamp() + make_interval(secs => busy_for)),
            last_error = CASE WHEN failed > 0 OR pay_failed > 0 THEN error
                              WHEN hindered_now >= $2 THEN coalesce(hindrance, last_error)
                              WHEN rejected_now >= $2 THEN coalesce(complaint, last_error)
                              WHEN rejected_was < $2 AND hindered_was < $2 THEN last_error END,
            breaker = CASE WHEN opens THEN 'open' WHEN stays THEN 'trial' ELSE 'closed' END,
            opened_at = CASE WHEN opens THEN coalesce(opened_at, clock_timestamp()) WHEN stays THEN opened_at END,
            probe_at = CASE WHEN opens THEN coalesce(probe_at, clock_timestamp()
                           + make_interval(secs => least($3, probe * 2 ^ least(probe_count, 16)))) END,
            probe_count = CASE WHEN back THEN 0 ELSE probe_count END,
            recovered_to = CASE WHEN opens AND was = 'closed' THEN NULL WHEN opens THEN recovered_to
                                WHEN stays THEN coalesce(recovered_to, 0) WHEN was <> 'closed' THEN 0 ELSE recovered_to END
     FROM judged WHERE l.lane_id = judged.lane_id RETURNING l.lane_id, was, l.breaker,
            rejected_was < $2 AND rejected_now >= $2, hindered_was < $2 AND hindered_now >= $2";

/// Which lanes are down, and which are held back or suspended.
pub async fn doors(store: &Store) -> Result<Vec<(String, bool, bool)>, StoreError> {
    let rows = store
        .query("SELECT lane_id, breaker = 'open', paused FROM lane", &[])
        .await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect())
}
