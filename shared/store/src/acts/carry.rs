//! Carrying an act out, a part at a time. A part is one transaction: the act's row, then its payments, sorted; what is known
//! of them; the judgement; what is done, what became of each item, and the audit log.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

use domain::delivery::operator::{ActKind, Remedy};
use domain::ids::ActId;
use serde_json::Value;
use tokio_postgres::Row;
use uuid::Uuid;

use super::facts::{ENDED_CALLS, FACTS, Facts, Profiles};
use super::{Counts, audited_as};
use crate::deliveries::{by_key, hold_terms};
use crate::{Store, StoreError, Tx};

/// Payments in one part.
const PART: i64 = 1000;
/// Parts a second of an act that has a rate.
const PARTS_PER_SECOND: i64 = 2;
/// How long to leave an act alone whose next part somebody else carries out at this moment.
const ELSEWHERE: Duration = Duration::from_millis(100);

/// What came of looking for something to carry out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A part of this act was carried out; there may be more.
    Carried(ActId),
    /// Nothing now: its rate asks for patience, or somebody else is at it.
    Later(Duration),
    /// There is no running act.
    Idle,
}

/// Carries out the next part of a running act (of `only`, if given), whoever began it.
pub async fn carry_out(store: &Store, worker: &str, only: Option<ActId>) -> Result<Step, StoreError> {
    let tx = store.begin().await?;
    by_key(&tx).await?;
    let Some(act) = take(&tx, only).await? else {
        let step = next_step(&tx, only).await?;
        tx.commit().await?;
        return Ok(step);
    };
    hold_terms(&tx).await?;
    let items = lock_items(&tx, &act).await?;
    let judged = judge(&tx, &act, &items).await?;
    let outcomes = apply(&tx, &act, &items, &judged).await?;
    write_outcomes(&tx, &act, &outcomes).await?;
    let carried = act.act_id;
    progress(&tx, act, &outcomes, worker).await?;
    tx.commit().await?;
    Ok(Step::Carried(carried))
}

/// A running act, locked.
struct Running {
    act_id: ActId,
    kind: ActKind,
    who: String,
    reason: Option<String>,
    certain: bool,
    rate: Option<i32>,
    reached: i64,
    done_as: Counts,
    reasons: Counts,
}

impl Running {
    fn part(&self) -> i64 {
        self.rate
            .map_or(PART, |rate| (i64::from(rate) / PARTS_PER_SECOND).clamp(1, PART))
    }
}

/// Several acts take turns.
async fn take(tx: &Tx, only: Option<ActId>) -> Result<Option<Running>, StoreError> {
    let row = tx
        .query_opt(
            "SELECT act_id, kind, who, reason, certain, rate, reached, done_as, reasons FROM act
             WHERE state = 'running' AND next_at <= clock_timestamp() AND ($1::uuid IS NULL OR act_id = $1)
             ORDER BY carried_at NULLS FIRST, created_at LIMIT 1 FOR UPDATE SKIP LOCKED",
            &[&only.map(ActId::as_uuid)],
        )
        .await?;
    row.map(|row| {
        Ok(Running {
            act_id: ActId::from_uuid(row.get(0)),
            kind: ActKind::parse(row.get(1))?,
            who: row.get(2),
            reason: row.get(3),
            certain: row.get(4),
            rate: row.get(5),
            reached: row.get(6),
            done_as: counts(row.get(7))?,
            reasons: counts(row.get(8))?,
        })
    })
    .transpose()
}

pub(super) fn counts(value: Value) -> Result<Counts, StoreError> {
    Ok(serde_json::from_value(value)?)
}

async fn next_step(tx: &Tx, only: Option<ActId>) -> Result<Step, StoreError> {
    let row = tx
        .query_one(
            "SELECT extract(epoch FROM min(next_at) - clock_timestamp())::float8 FROM act
             WHERE state = 'running' AND ($1::uuid IS NULL OR act_id = $1)",
            &[&only.map(ActId::as_uuid)],
        )
        .await?;
    Ok(match row.get::<_, Option<f64>>(0) {
        Some(seconds) => Step::Later(Duration::try_from_secs_f64(seconds).unwrap_or_default().max(ELSEWHERE)),
        None => Step::Idle,
    })
}

/// An item of the part at hand as it was frozen, and what is known of its payment, which is locked: nothing if that moved
/// since. A call that ended since raises no generation, and is one more of which an operator's certainty knew nothing.
struct Item {
    ordinal: i64,
    payment_id: Uuid,
    state: String,
    generation: i32,
    facts: Option<Facts>,
}

async fn lock_items(tx: &Tx, act: &Running) -> Result<Vec<Item>, StoreError> {
    let rows = tx
        .query(
            "SELECT ordinal, payment_id, state, generation, ended_calls FROM act_item
             WHERE act_id = $1 AND ordinal > $2 AND outcome = 'waiting' ORDER BY ordinal LIMIT $3",
            &[&act.act_id.as_uuid(), &act.reached, &act.part()],
        )
        .await?;
    let ids: Vec<Uuid> = rows.iter().map(|row| row.get(1)).collect();
    let mut known = look_at(tx, &ids).await?;
    let item = |row: &Row| {
        let (payment_id, state, generation): (Uuid, String, i32) = (row.get(1), row.get(2), row.get(3));
        let same = |now: Known| {
            let is_same = now.generation == generation && now.facts.state.as_str() == state;
            let is_certain_still = !act.certain || now.ended_calls == row.get::<_, i32>(4);
            (is_same && is_certain_still).then_some(now.facts)
        };
        Item {
            facts: known.remove(&payment_id).and_then(same),
            ordinal: row.get(0),
            payment_id,
            state,
            generation,
        }
    };
    Ok(rows.iter().map(item).collect())
}

/// A payment as it is now.
struct Known {
    generation: i32,
    ended_calls: i32,
    facts: Facts,
}

/// Locks payments, in the order of their ids, and says what is known of each. The lock is a statement
/// of its own: the one that looks then sees every call that was opened before.
async fn look_at(tx: &Tx, ids: &[Uuid]) -> Result<HashMap<Uuid, Known>, StoreError> {
    let lock = "SELECT FROM payment WHERE payment_id = ANY($1) ORDER BY payment_id FOR UPDATE";
    tx.execute_later(lock, &[&ids]).await?;
    let sql = format!(
        "SELECT p.payment_id, p.generation, {ENDED_CALLS}, {FACTS} FROM payment p WHERE p.payment_id = ANY($1)"
    );
    let rows = tx.query(&sql, &[&ids]).await?;
    let known = |row: &Row| -> Result<Known, StoreError> {
        Ok(Known {
            generation: row.get(1),
            ended_calls: row.get(2),
            facts: Facts::of(row)?,
        })
    };
    rows.iter().map(|row| Ok((row.get(0), known(row)?))).collect()
}

/// What is to be done with each item of a part.
enum Verdict {
    Do { remedy: Remedy, give_up_hours: i32 },
    Refuse(Cow<'static, str>),
    Changed,
}

async fn judge(tx: &Tx, act: &Running, items: &[Item]) -> Result<Vec<Verdict>, StoreError> {
    let known = items.iter().filter_map(|item| item.facts.as_ref());
    let mut payees: Vec<&str> = known.map(|facts| &*facts.payee).collect();
    payees.sort_unstable();
    payees.dedup();
    let profiles = Profiles::of(tx, &payees).await?;
    let verdict = |item: &Item| {
        let Some(facts) = &item.facts else {
            return Verdict::Changed;
        };
        match facts.judge(act.kind, act.certain, &profiles) {
            Ok(remedy) => Verdict::Do {
                remedy,
                give_up_hours: profiles.give_up_hours(&facts.payee),
            },
            Err(why) => Verdict::Refuse(why),
        }
    };
    Ok(items.iter().map(verdict).collect())
}

/// What became of the items of a part, column by column.
#[derive(Default)]
struct Outcomes {
    ordinals: Vec<i64>,
    outcomes: Vec<&'static str>,
    did: Vec<Option<&'static str>>,
    why: Vec<Option<String>>,
}

impl Outcomes {
    fn push(&mut self, ordinal: i64, outcome: &'static str, did: Option<&'static str>, why: Option<&str>) {
        self.ordinals.push(ordinal);
        self.outcomes.push(outcome);
        self.did.push(did);
        self.why.push(why.map(str::to_owned));
    }

    /// The last ordinal of the part.
    fn last(&self, reached: i64) -> i64 {
        self.ordinals.last().copied().unwrap_or(reached)
    }

    fn count(&self, outcome: &str) -> i64 {
        let counted = self.outcomes.iter().filter(|one| **one == outcome).count();
        i64::try_from(counted).unwrap_or(i64::MAX)
    }
}

async fn apply(tx: &Tx, act: &Running, items: &[Item], verdicts: &[Verdict]) -> Result<Outcomes, StoreError> {
    let mut changes = Changes::default();
    for (item, verdict) in items.iter().zip(verdicts) {
        if let Verdict::Do { remedy, give_up_hours } = verdict {
            changes.ids.push(item.payment_id);
            changes.states.push(&item.state);
            changes.generations.push(item.generation);
            changes.remedies.push(remedy.as_str());
            changes.hours.push(*give_up_hours);
            let said_credited = item.facts.as_ref().is_some_and(|facts| facts.said_credited);
            changes.maybes.push(said_credited.into());
        }
    }
    let done = changes.make(tx, act).await?;
    let mut outcomes = Outcomes::default();
    for (item, verdict) in items.iter().zip(verdicts) {
        match verdict {
            Verdict::Do { remedy, .. } if done.contains(&item.payment_id) => {
                outcomes.push(item.ordinal, "done", Some(remedy.as_str()), None);
            }
            Verdict::Refuse(why) => outcomes.push(item.ordinal, "refused", None, Some(why)),
            Verdict::Do { .. } | Verdict::Changed => outcomes.push(item.ordinal, "changed", None, None),
        }
    }
    Ok(outcomes)
}

/// What is changed, column by column.
#[derive(Default)]
struct Changes<'a> {
    ids: Vec<Uuid>,
    states: Vec<&'a str>,
    generations: Vec<i32>,
    remedies: Vec<&'static str>,
    hours: Vec<i32>,
    maybes: Vec<i32>,
}

/// Makes payments due now, at one moment so that their numbers decide. Their schedule begins anew, and what an operator had
/// settled is open again: what the payee said it credited since may have been.
const REQUEUE: &str =
    "UPDATE payment p SET generation = p.generation + 1, next_act = u.remedy, due_at = statement_timestamp(),
            step = 0, not_found = 0, give_up_at = statement_timestamp() + make_interval(hours => u.hours),
            state = CASE WHEN p.state = 'unknown' THEN p.state ELSE 'waiting' END, act_id = $6,
            maybes = greatest(p.maybes, u.maybes),
            flags = array_remove(p.flags, 'settled_by_operator'), updated_at = clock_timestamp()
     FROM UNNEST($1::uuid[], $2::text[], $3::integer[], $4::text[], $5::integer[], $7::integer[])
          AS u(payment_id, state, generation, remedy, hours, maybes)
     WHERE p.payment_id = u.payment_id AND p.state = u.state AND p.generation = u.generation
       AND p.state IN ('failed', 'unknown', 'refused', 'stopped', 'waiting')
       AND NOT EXISTS (SELECT FROM attempt a WHERE a.payment_id = p.payment_id AND a.ending = 'open')
     RETURNING p.payment_id";

/// Nothing of these payments is due any more.
const STOP: &str =
    "UPDATE payment p SET generation = p.generation + 1, next_act = NULL, due_at = NULL, state = 'stopped',
            act_id = NULL, updated_at = clock_timestamp()
     FROM UNNEST($1::uuid[], $2::text[], $3::integer[]) AS u(payment_id, state, generation)
     WHERE p.payment_id = u.payment_id AND p.state = u.state AND p.generation = u.generation
       AND p.state IN ('accepted', 'waiting')
       AND NOT EXISTS (SELECT FROM attempt a WHERE a.payment_id = p.payment_id AND a.ending = 'open')
     RETURNING p.payment_id";

impl Changes<'_> {
    /// Returns the payments that were changed.
    async fn make(&self, tx: &Tx, act: &Running) -> Result<HashSet<Uuid>, StoreError> {
        let rows = match act.kind {
            ActKind::Stop => tx.query(STOP, &[&self.ids, &self.states, &self.generations]).await?,
            ActKind::Requeue | ActKind::Resume => {
                let (act_id, remedies, hours) = (act.act_id.as_uuid(), &self.remedies, &self.hours);
                let seen = (&self.ids, &self.states, &self.generations);
                tx.query(
                    REQUEUE,
                    &[seen.0, seen.1, seen.2, remedies, hours, &act_id, &self.maybes],
                )
                .await?
            }
        };
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }
}

/// What became of each item, and its line in the audit log. The range keeps the statement to this part, however little the
/// server knows of a table that was filled a moment ago.
async fn write_outcomes(tx: &Tx, act: &Running, outcomes: &Outcomes) -> Result<(), StoreError> {
    tx.execute_later(
        "WITH ended AS (
             UPDATE act_item i SET outcome = u.outcome, did = u.did, why = u.why, ended_at = clock_timestamp()
             FROM UNNEST($2::bigint[], $3::text[], $4::text[], $5::text[]) AS u(ordinal, outcome, did, why)
             WHERE i.act_id = $1 AND i.ordinal = u.ordinal AND i.ordinal BETWEEN $10 AND $11
             RETURNING i.ordinal, i.payment_id, i.state, i.generation, i.outcome, i.did, i.why)
         INSERT INTO audit (who, act, subject_kind, subject, reason, allowed, before, after)
         SELECT $6, $7, 'payment', payment_id::text, $8, outcome = 'done',
                jsonb_build_object('state', state, 'generation', generation),
                CASE outcome WHEN 'done' THEN jsonb_build_object('next', did, 'certain', $9::bool, 'act_id', $1::uuid)
                     ELSE jsonb_build_object('denied', coalesce(why, 'changed meanwhile'), 'act_id', $1::uuid) END
         FROM ended ORDER BY ordinal",
        &[
            &act.act_id.as_uuid(),
            &outcomes.ordinals,
            &outcomes.outcomes,
            &outcomes.did,
            &outcomes.why,
            &act.who,
            &audited_as(act.kind),
            &act.reason,
            &act.certain,
            &(act.reached + 1),
            &outcomes.last(act.reached),
        ],
    )
    .await
}

/// How far the act has come, for everybody to see, and when its next part is due: so long after this one that its rate is
/// kept. What was refused takes no time of it.
async fn progress(tx: &Tx, act: Running, outcomes: &Outcomes, worker: &str) -> Result<(), StoreError> {
    let Running {
        mut done_as,
        mut reasons,
        ..
    } = act;
    for did in outcomes.did.iter().flatten() {
        *done_as.entry((*did).to_owned()).or_default() += 1;
    }
    for why in outcomes.why.iter().flatten() {
        *reasons.entry((*why).to_owned()).or_default() += 1;
    }
    let done = outcomes.count("done");
    let rest = act.rate.map_or(0.0, |rate| done as f64 / f64::from(rate));
    tx.execute(
        "UPDATE act SET done = done + $2, changed = changed + $3, refused = refused + $4, done_as = $5, reasons = $6,
                reached = $9, next_at = greatest(next_at, clock_timestamp()) + make_interval(secs => $7),
                carried_by = $8, carried_at = clock_timestamp(),
                state = CASE WHEN is_over THEN 'done' ELSE 'running' END,
                finished_at = CASE WHEN is_over THEN clock_timestamp() END
         FROM (SELECT NOT EXISTS (SELECT FROM act_item
                                  WHERE act_id = $1 AND ordinal > $9 AND outcome = 'waiting') AS is_over) left_over
         WHERE act_id = $1",
        &[
            &act.act_id.as_uuid(),
            &done,
            &outcomes.count("changed"),
            &outcomes.count("refused"),
            &serde_json::to_value(&done_as)?,
            &serde_json::to_value(&reasons)?,
            &rest,
            &worker,
            &outcomes.last(act.reached),
        ],
    )
    .await
    .map(drop)
}
