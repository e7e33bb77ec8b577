//! Ends of holds and of graces, judged by the database's clock and nothing else. A reservation is passed over while
//! somebody else has locked it or its card: either it is being sold or released, or the next sweep finds it. So a sweep
//! waits for nobody, and nobody who waits for it is waited for.

use domain::ids::{ProductId, ReservationId, TerminalId};
use jiff::SignedDuration;

use super::uuids;
use crate::{StoreError, Tx};

/// A reservation whose hold or grace has just ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Which.
    pub reservation_id: ReservationId,
    /// Of what.
    pub product: ProductId,
    /// Which card.
    pub serial: String,
    /// Whose.
    pub terminal: TerminalId,
    /// W3C trace context of its `card.reserve`.
    pub traceparent: Option<String>,
}

/// Ends the holds among these that are due: `held` becomes `lapsed`, and the grace begins.
pub async fn expire(tx: &Tx, ids: &[ReservationId]) -> Result<Vec<Ended>, StoreError> {
    let sql = lapse(
        "r.reservation_id = ANY($1) AND r.state = 'held' AND held_until <= clock_timestamp()",
        "r.reservation_id",
    );
    ended(tx.query(&sql, &[&uuids(ids)]).await?)
}

/// Ends up to `most` holds that are due, the longest overdue first.
pub async fn expire_due(tx: &Tx, most: i64) -> Result<Vec<Ended>, StoreError> {
    let sql = lapse(
        "r.state = 'held' AND held_until <= statement_timestamp()",
        "held_until LIMIT $1",
    );
    ended(tx.query(&sql, &[&most]).await?)
}

fn lapse(due: &str, order: &str) -> String {
    format!(
        "WITH due AS (SELECT r.reservation_id FROM reservation r JOIN card USING (card_id) WHERE {due} ORDER BY {order}
                      FOR UPDATE SKIP LOCKED),
         lapsed AS (
             UPDATE reservation r SET state = 'lapsed' WHERE r.reservation_id = ANY(ARRAY(SELECT reservation_id FROM due))
             RETURNING r.reservation_id, r.product_id, r.terminal_id, r.card_id, r.traceparent
         ),
         card_lapsed AS (
             UPDATE card SET state = 'lapsed', updated_at = clock_timestamp() FROM lapsed
             WHERE card.card_id = lapsed.card_id AND card.state = 'reserved'
         )
         SELECT lapsed.reservation_id, lapsed.product_id, card.serial, lapsed.terminal_id, lapsed.traceparent
         FROM lapsed JOIN card USING (card_id)"
    )
}

/// Ends up to `most` graces that are due: `lapsed` becomes `expired`, and the card comes back.
pub async fn end_grace(tx: &Tx, most: i64) -> Result<Vec<Ended>, StoreError> {
    let rows = tx
        .query(
            "WITH due AS (
                 SELECT r.reservation_id FROM reservation r JOIN card USING (card_id)
                 WHERE r.state = 'lapsed' AND grace_until <= statement_timestamp()
                 ORDER BY grace_until LIMIT $1 FOR UPDATE SKIP LOCKED
             ),
             ended AS (
                 UPDATE reservation r SET state = 'expired', ended_at = clock_timestamp(), ended_by = 'grace'
                 WHERE r.reservation_id = ANY(ARRAY(SELECT reservation_id FROM due))
                 RETURNING r.reservation_id, r.product_id, r.terminal_id, r.card_id, r.traceparent
             ),
             back AS (
                 UPDATE card SET state = 'available', pool = 'returned', reservation_id = NULL,
                        updated_at = clock_timestamp(), came_back_at = clock_timestamp()
                 FROM ended WHERE card.card_id = ended.card_id AND card.state IN ('reserved', 'lapsed')
             )
             SELECT ended.reservation_id, ended.product_id, card.serial, ended.terminal_id, ended.traceparent
             FROM ended JOIN card USING (card_id)",
            &[&most],
        )
        .await?;
    ended(rows)
}

/// How long until the next hold or grace ends; none = nothing is held.
pub async fn next_due(tx: &Tx) -> Result<Option<SignedDuration>, StoreError> {
    let row = tx
        .query_one(
            "SELECT extract(epoch FROM least(
                 (SELECT min(held_until) FROM reservation WHERE state = 'held'),
                 (SELECT min(grace_until) FROM reservation WHERE state = 'lapsed')) - clock_timestamp())::float8",
            &[],
        )
        .await?;
    Ok(row
        .get::<_, Option<f64>>(0)
        .map(|seconds| SignedDuration::from_secs_f64(seconds.max(0.0))))
}

fn ended(rows: Vec<tokio_postgres::Row>) -> Result<Vec<Ended>, StoreError> {
    rows.iter()
        .map(|row| {
            Ok(Ended {
                reservation_id: ReservationId::from_uuid(row.get(0)),
                product: ProductId::parse(row.get(1))?,
                serial: row.get(2),
                terminal: TerminalId::parse(row.get(3))?,
                traceparent: row.get(4),
            })
        })
        .collect()
}
