//! Parked facts: money without a home, whole, with its reason, once per (routing key, id, content).

mod discard;

use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use crate::{Store, StoreError, Tx};

pub(crate) use discard::settled_contents;
pub use discard::{SettledContents, discard, settled_reservations};

/// A refused or unreadable fact on its way into the parking lot.
#[derive(Clone, Debug)]
pub struct NewParked {
    /// The key it came under.
    pub routing_key: String,
    /// The payment it is about, where that could be read.
    pub payment_id: Option<Uuid>,
    /// The reservation it is about, where that could be read.
    pub reservation_id: Option<Uuid>,
    /// The fingerprint of a readable message, the hash of the bytes of an unreadable one.
    pub content_hash: [u8; 32],
    /// Machine-readable.
    pub reason: String,
    /// For people.
    pub detail: String,
    /// The bytes as they came.
    pub body: Vec<u8>,
    /// AMQP properties and headers as they came.
    pub properties: Value,
    /// To be handled once more, alone, by the worker it belongs to (dead-lettered), instead of waiting for an operator.
    pub retry: bool,
}

/// What became of a parked fact.
#[derive(Clone, Debug, PartialEq)]
pub enum Fate {
    /// An operator has to look, or it is about to be handled again.
    Waiting,
    /// It was put back and accepted; the answer it got.
    Resolved(Value),
    /// An operator settled it by hand.
    Discarded,
}

/// A parked fact.
#[derive(Clone, Debug)]
pub struct Parked {
    /// Its own id.
    pub parked_id: Uuid,
    /// When.
    pub parked_at: Timestamp,
    /// The key it came under.
    pub routing_key: String,
    /// The payment it is about.
    pub payment_id: Option<Uuid>,
    /// The reservation it is about.
    pub reservation_id: Option<Uuid>,
    /// Why it was refused.
    pub reason: String,
    /// For people.
    pub detail: String,
    /// The bytes as they came.
    pub body: Vec<u8>,
    /// What an operator put in their place.
    pub corrected_body: Option<Vec<u8>>,
    /// AMQP properties and headers as they came.
    pub properties: Value,
    /// Whether an operator vouches that whoever sent it may speak for the terminal that it names.
    pub vouched: bool,
    /// `parked`, `retry`, `resolved` or `discarded`.
    pub state: String,
    /// Who ended it.
    pub resolved_by: Option<String>,
    /// How it ended; before that, in state `retry`, how often it was begun.
    pub resolution: Option<Value>,
}

impl Parked {
    /// How often it was begun by somebody who did not live to end it, counting the one who has taken it.
    pub fn tries(&self) -> i64 {
        let tries = self
            .resolution
            .as_ref()
            .and_then(|resolution| resolution["tries"].as_i64());
        tries.unwrap_or(0)
    }
}

const COLUMNS: &str = "parked_id, parked_at, routing_key, payment_id, reservation_id, reason, detail, body, \
     corrected_body, properties, vouched, state, resolved_by, resolution";

fn parked_of(row: &tokio_postgres::Row) -> Parked {
    Parked {
        parked_id: row.get(0),
        parked_at: row.get(1),
        routing_key: row.get(2),
        payment_id: row.get(3),
        reservation_id: row.get(4),
        reason: row.get(5),
        detail: row.get(6),
        body: row.get(7),
        corrected_body: row.get(8),
        properties: row.get(9),
        vouched: row.get(10),
        state: row.get(11),
        resolved_by: row.get(12),
        resolution: row.get(13),
    }
}

/// Parks one fact, unless the same is parked already. Returns the new row's id.
pub async fn add(tx: &Tx, new: &NewParked) -> Result<Option<Uuid>, StoreError> {
    let state = if new.retry { "retry" } else { "parked" };
    let row = tx
        .query_opt(
            "INSERT INTO parked (parked_id, routing_key, payment_id, reservation_id, content_hash, reason, detail, body,
                                 properties, state)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
             ON CONFLICT DO NOTHING RETURNING parked_id",
            &[
                &Uuid::now_v7(),
                &new.routing_key,
                &new.payment_id,
                &new.reservation_id,
                &&new.content_hash[..],
                &new.reason,
                &new.detail,
                &new.body,
                &new.properties,
                &state,
            ],
        )
        .await?;
    Ok(row.map(|row| row.get(0)))
}

/// What became of this very content, if it was ever parked.
pub async fn fate(
    tx: &Tx,
    routing_key: &str,
    subject: Option<Uuid>,
    content_hash: &[u8; 32],
) -> Result<Option<Fate>, StoreError> {
    let row = tx
        .query_opt(
            "SELECT state, resolution FROM parked
             WHERE routing_key = $1 AND content_hash = $3
               AND coalesce(payment_id, reservation_id, '00000000-0000-0000-0000-000000000000'::uuid) = $2",
            &[&routing_key, &subject.unwrap_or(Uuid::nil()), &&content_hash[..]],
        )
        .await?;
    Ok(row.map(|row| match row.get::<_, &str>(0) {
        "resolved" => Fate::Resolved(row.get::<_, Option<Value>>(1).unwrap_or(Value::Null)),
        "discarded" => Fate::Discarded,
        _ => Fate::Waiting,
    }))
}

/// Takes one fact under these keys that is to be handled again, and writes down that it was begun before anything is done
/// with it: whoever dies of it leaves that behind. One begun a moment ago is somebody's.
pub async fn take_retry(store: &Store, routing_keys: &[&str]) -> Result<Option<Parked>, StoreError> {
    let sql = format!(
        "UPDATE parked SET resolution = jsonb_build_object('tries', coalesce((resolution->>'tries')::integer, 0) + 1,
                                                           'begun_at', clock_timestamp())
         WHERE parked_id = (SELECT parked_id FROM parked WHERE state = 'retry' AND routing_key = ANY($1)
                AND ((resolution->>'begun_at')::timestamptz > clock_timestamp() - interval '5 seconds') IS NOT true
            ORDER BY parked_at LIMIT 1 FOR UPDATE SKIP LOCKED)
         RETURNING {COLUMNS}"
    );
    let row = store.query_opt(&sql, &[&routing_keys]).await?;
    Ok(row.as_ref().map(parked_of))
}

/// Locks a fact that was taken to this transaction. False when it is not in the hands of who took it any more.
pub async fn hold_retry(tx: &Tx, taken: &Parked) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM parked WHERE parked_id = $1 AND state = 'retry' AND resolution = $2 FOR UPDATE";
    Ok(tx
        .query_opt(sql, &[&taken.parked_id, &taken.resolution])
        .await?
        .is_some())
}

/// Makes a fact that was taken one that was never begun: what kept it from being handled was not of its making.
pub async fn give_back_retry(store: &Store, taken: &Parked) -> Result<(), StoreError> {
    let sql = "UPDATE parked SET resolution = NULL WHERE parked_id = $1 AND state = 'retry' AND resolution = $2";
    store
        .execute(sql, &[&taken.parked_id, &taken.resolution])
        .await
        .map(drop)
}

/// Ends a fact as handled, with the answer it got.
pub async fn resolve(tx: &Tx, parked_id: Uuid, by: &str, resolution: &Value) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE parked SET state = 'resolved', resolved_at = clock_timestamp(), resolved_by = $2, resolution = $3
         WHERE parked_id = $1",
        &[&parked_id, &by, resolution],
    )
    .await
    .map(drop)
}

/// Refused again: back to the operator with the new reason.
pub async fn refuse_again(tx: &Tx, parked_id: Uuid, reason: &str, detail: &str) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE parked SET state = 'parked', reason = $2, detail = $3, resolution = NULL, refused_at = clock_timestamp()
         WHERE parked_id = $1",
        &[&parked_id, &reason, &detail],
    )
    .await
    .map(drop)
}

/// Which parked facts to list.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Also those that ended.
    pub all: bool,
    /// Only this reason.
    pub reason: Option<String>,
}

/// Lists parked facts, oldest first.
pub async fn list(store: &Store, filter: &Filter) -> Result<Vec<Parked>, StoreError> {
    let sql = format!(
        "SELECT {COLUMNS} FROM parked
         WHERE ($1 OR state IN ('parked', 'retry')) AND ($2::text IS NULL OR reason = $2)
         ORDER BY parked_at, parked_id"
    );
    Ok(store
        .query(&sql, &[&filter.all, &filter.reason])
        .await?
        .iter()
        .map(parked_of)
        .collect())
}

/// One parked fact.
pub async fn find(store: &Store, parked_id: Uuid) -> Result<Option<Parked>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM parked WHERE parked_id = $1");
    Ok(store.query_opt(&sql, &[&parked_id]).await?.as_ref().map(parked_of))
}

/// What an operator says of a fact that he puts back.
#[derive(Clone, Copy, Debug, Default)]
pub struct PutBack<'a> {
    /// In place of the bytes that came. The id inside may not have changed; the caller has checked that.
    pub corrected_body: Option<&'a [u8]>,
    /// Whoever sent it may speak for the terminal that it names.
    pub vouched: bool,
}

impl<'a> PutBack<'a> {
    /// With another body, and nothing else.
    pub fn corrected(body: &'a [u8]) -> Self {
        Self {
            corrected_body: Some(body),
            ..Self::default()
        }
    }
}

/// Hands a parked fact to its worker again. What was said of it at an earlier time stands, but for another body nobody has vouched:
/// it may name another terminal.
pub async fn put_back(tx: &Tx, parked_id: Uuid, by: &str, said: PutBack<'_>) -> Result<(), StoreError> {
    let changed = tx
        .execute(
            "UPDATE parked SET state = 'retry', corrected_body = coalesce($2, corrected_body), resolved_by = $3,
                    vouched = $4 OR (vouched AND $2 IS NULL)
             WHERE parked_id = $1 AND state = 'parked'",
            &[&parked_id, &said.corrected_body, &by, &said.vouched],
        )
        .await?;
    changed_one(changed)
}

/// How many wait for an operator, by reason.
pub async fn count_by_reason(store: &Store) -> Result<Vec<(String, i64)>, StoreError> {
    let rows = store
        .query(
            "SELECT reason, count(*) FROM parked WHERE state IN ('parked', 'retry') GROUP BY reason ORDER BY reason",
            &[],
        )
        .await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

fn changed_one(rows: u64) -> Result<(), StoreError> {
    if rows == 1 {
        Ok(())
    } else {
        Err(StoreError::Changed("it is no longer parked: look again".into()))
    }
}
