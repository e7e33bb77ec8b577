//! Payees' lists, kept as they came, and what follows from them. A comparison is one statement whose rows are read page by
//! page: the database joins and sorts, however many there are.

use domain::declaration::Payee;
use domain::delivery::Flag;
use domain::ids::{Number, PaymentId};
use domain::payment::{Act, PaymentState};
use domain::reconciliation::{Lacking, Ours, Theirs};
use futures::{Stream, StreamExt};
use jiff::Timestamp;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use crate::deliveries::{flags, hold_terms};
use crate::{Store, StoreError, Tx, paged};

/// A list that is being taken down.
#[derive(Clone, Debug)]
pub struct Run {
    /// Which.
    pub reconciliation_id: Uuid,
    /// Whose list.
    pub payee: String,
    /// The first moment it is about.
    pub from: Timestamp,
    /// The first moment after that.
    pub to: Timestamp,
}

/// Where a list came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The payee was asked for it.
    List,
    /// Somebody brought a file.
    File,
}

/// An entry of a list.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Item {
    /// Which payment.
    pub number: Number,
    /// What of it.
    pub theirs: Theirs,
}

/// Lists older than this are dropped when their payee's next one begins, but for the last two.
const KEPT_DAYS: i32 = 90;

/// Begins a list.
pub async fn begin(tx: &Tx, run: &Run, source: Source, who: &str) -> Result<(), StoreError> {
    tx.execute_later(
        "DELETE FROM reconciliation WHERE payee_id = $1 AND begun_at < clock_timestamp() - make_interval(days => $2)
           AND reconciliation_id NOT IN (
               SELECT reconciliation_id FROM reconciliation WHERE payee_id = $1 ORDER BY begun_at DESC LIMIT 2)",
        &[&run.payee, &KEPT_DAYS],
    )
    .await?;
    let source = match source {
        Source::List => "list",
        Source::File => "file",
    };
    tx.execute_later(
        "INSERT INTO reconciliation (reconciliation_id, payee_id, from_at, to_at, source, asked_by)
         VALUES ($1, $2, $3, $4, $5, $6)",
        &[&run.reconciliation_id, &run.payee, &run.from, &run.to, &source, &who],
    )
    .await
}

/// Adds entries, the first of which is on this line of the list.
pub async fn add(store: &Store, run: &Run, first_line: i64, items: &[Item]) -> Result<(), StoreError> {
    let lines: Vec<i64> = (first_line..).take(items.len()).collect();
    let numbers: Vec<i64> = items.iter().map(|item| item.number.get()).collect();
    let amounts: Vec<i64> = items.iter().map(|item| item.theirs.amount).collect();
    let currencies: Vec<&str> = items.iter().map(|item| item.theirs.currency.as_str()).collect();
    let credited: Vec<_> = items.iter().map(|item| item.theirs.credited_at).collect();
    let references: Vec<_> = items
        .iter()
        .map(|item| item.theirs.provider_reference.as_deref())
        .collect();
    store
        .execute(
            "INSERT INTO reconciliation_item (reconciliation_id, line, number, amount, currency, credited_at, provider_reference)
             SELECT $1, u.* FROM UNNEST($2::int8[], $3::int8[], $4::int8[], $5::text[], $6::timestamptz[], $7::text[]) AS u",
            &[&run.reconciliation_id, &lines, &numbers, &amounts, &currencies, &credited, &references],
        )
        .await
        .map(drop)
}

/// Notes that the list is whole.
pub async fn complete(store: &Store, run: &Run, items: i64) -> Result<(), StoreError> {
    store
        .execute(
            "UPDATE reconciliation SET complete_at = clock_timestamp(), items = $2 WHERE reconciliation_id = $1",
            &[&run.reconciliation_id, &items],
        )
        .await
        .map(drop)
}

/// A row of the comparison.
pub type Joined = (Number, Option<Ours>, Option<Theirs>);

/// The list beside our payments, in the order of their numbers and beyond one of them: those of the list, whenever they are
/// from, and those of the period that are delivered, or were last called then and may have been. A payee credits first and we
/// know later, perhaps on another day; and what it lacked once and was paid again it credits later than we first knew. So what
/// this list lacks may be on another one, credited before or after this one's period, and is told as it is there. What this list
/// has under a name of the payee's own, and another one under another name, credited then, was credited twice: both are told. A
/// later list about that time which does not have it any more takes that back. Whoever reads the rows acts on none of them
/// before he has read all that he wants: [`StoreError::ReaderAway`].
pub async fn compare(
    store: &Store,
    run: &Run,
    after: Option<Number>,
) -> Result<impl Stream<Item = Result<Joined, StoreError>> + use<>, StoreError> {
    let after = after.map_or(0, Number::get);
    let params: [&(dyn ToSql + Sync); 5] = [&run.reconciliation_id, &run.payee, &run.from, &run.to, &after];
    let rows = paged::rows(store.begin().await?, COMPARED, &params).await?;
    Ok(rows.map(|row| joined(&row?)))
}

const COMPARED: &str = "
    WITH item AS (SELECT * FROM reconciliation_item WHERE reconciliation_id = $1 AND number > $5),
         wanted AS (
             SELECT payment_id FROM payment
             WHERE payee_id = $2 AND state = 'delivered' AND delivered_at >= $3
               AND delivered_at < least($4, (SELECT begun_at FROM reconciliation WHERE reconciliation_id = $1))
             UNION
             SELECT payment_id FROM payment
             WHERE payee_id = $2 AND state = 'unknown' AND last_call_at >= $3 AND last_call_at < $4
             UNION
             SELECT payment_id FROM payment_identity JOIN item USING (number)),
         ours AS (
             SELECT p.*, (SELECT min(started_at) FROM attempt a
                          WHERE a.payment_id = p.payment_id AND act = 'pay' AND ending <> 'not_sent') AS first_call_at
             FROM wanted JOIN payment p USING (payment_id) WHERE p.number > $5),
         sought AS MATERIALIZED (
             SELECT number, NULL::text[] AS names FROM ours
             WHERE state = 'delivered' AND NOT EXISTS (SELECT FROM item WHERE item.number = ours.number)
             UNION ALL
             SELECT number, array_agg(provider_reference) FROM item
             GROUP BY number HAVING count(*) = count(provider_reference)),
         listed AS (
             SELECT number, line, amount, currency, credited_at, provider_reference FROM item
             UNION ALL
             SELECT s.number, 9223372036854775807, elsewhere.* FROM sought s CROSS JOIN LATERAL (
                 SELECT e.amount, e.currency, e.credited_at, e.provider_reference
                 FROM reconciliation r JOIN reconciliation_item e USING (reconciliation_id)
                 WHERE e.number = s.number AND r.payee_id = $2 AND r.complete_at IS NOT NULL
                   AND (s.names IS NULL OR e.provider_reference <> ALL (s.names))
                   AND (coalesce(e.credited_at, r.from_at) >= $4
                        OR coalesce(e.credited_at, r.to_at) <= $3 AND e.credited_at IS DISTINCT FROM $3)
                   AND NOT EXISTS (
                       SELECT FROM reconciliation later
                       WHERE later.payee_id = $2 AND later.complete_at IS NOT NULL AND later.begun_at > r.begun_at
                         AND coalesce(e.credited_at, r.from_at) >= later.from_at
                         AND coalesce(e.credited_at, r.from_at) < later.to_at
                         AND NOT EXISTS (SELECT FROM reconciliation_item l
                                         WHERE l.reconciliation_id = later.reconciliation_id AND l.number = s.number))
                 ORDER BY r.begun_at DESC LIMIT 1) elsewhere)
    SELECT coalesce(i.number, o.number), o.payment_id, o.payee_id = $2, o.state, o.generation, o.amount, o.currency,
           o.first_call_at, o.last_call_at, o.maybes > 0 OR o.first_call_at IS NOT NULL, i.amount, i.currency,
           i.credited_at, i.provider_reference, o.flags
    FROM ours o FULL JOIN listed i ON i.number = o.number ORDER BY 1, i.line";

fn joined(row: &Row) -> Result<Joined, StoreError> {
    let flags: Vec<&str> = row.get::<_, Option<_>>(14).unwrap_or_default();
    let flagged = |flag: Flag| flags.contains(&flag.as_str());
    let ours = match row.get::<_, Option<Uuid>>(1) {
        None => None,
        Some(payment_id) => Some(Ours {
            payment_id: PaymentId::from_uuid(payment_id),
            of_payee: row.get(2),
            state: PaymentState::parse(row.get(3))?,
            generation: row.get(4),
            amount: row.get(5),
            currency: row.get(6),
            first_call_at: row.get(7),
            last_call_at: row.get(8),
            reached: row.get(9),
            settled: flagged(Flag::SettledByOperator),
            number_conflict: flagged(Flag::NumberConflict),
        }),
    };
    let theirs = row.get::<_, Option<i64>>(10).map(|amount| Theirs {
        amount,
        currency: row.get(11),
        credited_at: row.get(12),
        provider_reference: row.get(13),
    });
    Ok((Number::new(row.get(0))?, ours, theirs))
}

/// The complete lists that the payee itself gave and that do not have this number, the latest first.
pub async fn lacking(store: &Store, payee: &str, number: Number) -> Result<Vec<Lacking>, StoreError> {
    let rows = store
        .query(
            "SELECT begun_at, complete_at, from_at, to_at FROM reconciliation r
             WHERE payee_id = $1 AND source = 'list' AND complete_at IS NOT NULL AND NOT EXISTS (
                 SELECT FROM reconciliation_item i WHERE i.reconciliation_id = r.reconciliation_id AND i.number = $2)
             ORDER BY begun_at DESC LIMIT 10",
            &[&payee, &number.get()],
        )
        .await?;
    Ok(rows
        .iter()
        .map(|row| Lacking {
            asked_at: row.get(0),
            complete_at: row.get(1),
            from: row.get(2),
            to: row.get(3),
        })
        .collect())
}

/// What an act of a reconciliation makes of a payment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Becomes<'a> {
    /// The payee's list has it, under this name of the payee's.
    Delivered(Option<&'a str>),
    /// It is due now, to be paid or asked about, and given up after so many hours. The call is that run's, not automatic.
    Due {
        /// What is asked.
        act: Act,
        /// For how long.
        give_up_hours: i32,
        /// Whose call it is.
        run: Uuid,
        /// Only while its payee is declared to credit a number once: that was why.
        once: bool,
    },
}

/// Carries an act out, if the payment is still as it was seen, and its payee as far as that matters, and no call is open. False = they
/// are not. What was
/// delivered may have been credited whatever the payee's list says: it can be told refused, failed or revoked only on the
/// payee's word about that number.
pub async fn act(tx: &Tx, seen: &Ours, becomes: Becomes<'_>) -> Result<bool, StoreError> {
    let id = seen.payment_id.as_uuid();
    if matches!(becomes, Becomes::Due { once: true, .. }) && !credits_once(tx, id).await? {
        return Ok(false);
    }
    // Locked in a statement of its own: the one that decides then sees every call that was opened before.
    tx.query_opt("SELECT 1 FROM payment WHERE payment_id = $1 FOR UPDATE", &[&id])
        .await?;
    let still = "WHERE payment_id = $1 AND state = $2 AND generation = $3
           AND NOT EXISTS (SELECT FROM attempt a WHERE a.payment_id = $1 AND a.ending = 'open')";
    let changed = match becomes {
        Becomes::Delivered(reference) => {
            let sql = format!(
                "UPDATE payment SET state = 'delivered', next_act = NULL, due_at = NULL, last_error = NULL, not_found = 0,
                        provider_reference = coalesce($4, provider_reference), generation = generation + 1,
                        updated_at = clock_timestamp() {still}"
            );
            tx.execute(&sql, &[&id, &seen.state.as_str(), &seen.generation, &reference])
                .await?
        }
        Becomes::Due {
            act,
            give_up_hours,
            run,
            ..
        } => {
            let sql = format!(
                "UPDATE payment SET state = CASE WHEN state = 'unknown' THEN state ELSE 'waiting' END, next_act = $4,
                        due_at = clock_timestamp(), step = 0, not_found = 0,
                        maybes = CASE WHEN state = 'delivered' THEN greatest(maybes, 1) ELSE maybes END,
                        give_up_at = clock_timestamp() + make_interval(hours => $5), generation = generation + 1,
                        act_id = $6, updated_at = clock_timestamp() {still}"
            );
            tx.execute(
                &sql,
                &[
                    &id,
                    &seen.state.as_str(),
                    &seen.generation,
                    &act.as_str(),
                    &give_up_hours,
                    &run,
                ],
            )
            .await?
        }
    };
    Ok(changed == 1)
}

/// Whether the payment's payee is declared to credit a number once, and stays so until the transaction ends.
async fn credits_once(tx: &Tx, payment: Uuid) -> Result<bool, StoreError> {
    hold_terms(tx).await?;
    let declared = "SELECT declaration FROM payee JOIN payment USING (payee_id) WHERE payment_id = $1";
    let Some(row) = tx.query_opt(declared, &[&payment]).await? else {
        return Ok(false);
    };
    let payee: Payee = serde_json::from_value(row.get(0))?;
    Ok(payee.online().is_some_and(|online| online.idempotent))
}

/// Marks payments that a person has to look at, and has not been told of since the last look.
pub async fn flag(tx: &Tx, payments: &[PaymentId], flag: &str) -> Result<u64, StoreError> {
    flag_beyond(tx, payments, flag, &flags::unanswered("flags")).await
}

/// Likewise with what stays so, whatever a person answers: it is no news on the next list.
pub async fn flag_once(tx: &Tx, payments: &[PaymentId], flag: &str) -> Result<u64, StoreError> {
    flag_beyond(tx, payments, flag, "flags").await
}

async fn flag_beyond(tx: &Tx, payments: &[PaymentId], flag: &str, known: &str) -> Result<u64, StoreError> {
    let ids: Vec<Uuid> = payments.iter().map(|id| id.as_uuid()).collect();
    let sql = format!(
        "UPDATE payment SET flags = {}, updated_at = clock_timestamp()
         WHERE payment_id = ANY($1) AND $2 <> ALL ({known})",
        flags::with("flags", "ARRAY[$2::text]"),
    );
    tx.execute(&sql, &[&ids, &flag]).await
}
