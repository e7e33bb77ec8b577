//! Events waiting to be published: rows written with what happened, deleted once the broker confirmed them.

use uuid::Uuid;

use crate::{Store, StoreError, Tx};

/// An event to be published, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Stable over repeats.
    pub event_id: Uuid,
    /// The routing key on the events exchange: `card.sold`.
    pub kind: String,
    /// The JSON body of the contract.
    pub body: String,
    /// W3C trace context of the message that caused it.
    pub traceparent: Option<String>,
}

/// Adds events to what this transaction makes true.
pub async fn add(tx: &Tx, events: &[Event]) -> Result<(), StoreError> {
    if events.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = events.iter().map(|event| event.event_id).collect();
    let kinds: Vec<&str> = events.iter().map(|event| event.kind.as_str()).collect();
    let bodies: Vec<&str> = events.iter().map(|event| event.body.as_str()).collect();
    let traces: Vec<Option<&str>> = events.iter().map(|event| event.traceparent.as_deref()).collect();
    tx.execute_later(
        "INSERT INTO event (event_id, kind, body, traceparent)
         SELECT * FROM UNNEST($1::uuid[], $2::text[], $3::text[], $4::text[])",
        &[&ids, &kinds, &bodies, &traces],
    )
    .await
}

/// Takes up to `limit` events that are due and nobody else has taken, oldest first; they are others' again when the
/// transaction ends.
pub async fn take(tx: &Tx, limit: i64) -> Result<Vec<Event>, StoreError> {
    let rows = tx
        .query(
            "SELECT event_id, kind, body, traceparent FROM event WHERE due_at <= statement_timestamp()
             ORDER BY due_at, sequence LIMIT $1 FOR UPDATE SKIP LOCKED",
            &[&limit],
        )
        .await?;
    Ok(rows
        .iter()
        .map(|row| Event {
            event_id: row.get(0),
            kind: row.get(1),
            body: row.get(2),
            traceparent: row.get(3),
        })
        .collect())
}

/// Forgets events the broker has confirmed. The commit need not wait for the disk: an event that comes back after a crash
/// of the server is published once more.
pub async fn delete(tx: &Tx, event_ids: &[Uuid]) -> Result<(), StoreError> {
    tx.execute_later(
        "WITH unhurried AS (SELECT set_config('synchronous_commit', 'off', true))
         DELETE FROM event USING unhurried WHERE event_id = ANY($1)",
        &[&event_ids],
    )
    .await
}

/// Leaves events that a listener's queue did not take for later, and others the way free: for as long again as each has
/// waited, a second at least and five minutes at most.
pub async fn put_off(tx: &Tx, event_ids: &[Uuid]) -> Result<(), StoreError> {
    tx.execute_later(
        "UPDATE event SET due_at = clock_timestamp()
             + least(greatest(clock_timestamp() - occurred_at, interval '1 second'), interval '5 minutes')
         WHERE event_id = ANY($1)",
        &[&event_ids],
    )
    .await
}

/// How many wait, and the age of the oldest in seconds.
pub async fn backlog(store: &Store) -> Result<(i64, f64), StoreError> {
    let row = store
        .query_one(
            "SELECT count(*), coalesce(extract(epoch FROM clock_timestamp() - min(occurred_at)), 0)::float8 FROM event",
            &[],
        )
        .await?;
    Ok((row.get(0), row.get(1)))
}
