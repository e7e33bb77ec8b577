//! What a check from outside compares with.

use domain::RegisterId;
use serde_json::Value;
use uuid::Uuid;

use crate::{Store, StoreError};

/// How much is still under way; all zero: the system is quiet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Underway {
    /// Online payments that somebody still has to do something about by itself.
    pub deliveries: i64,
    /// Payments for registers that are in no closed range.
    pub open_positions: i64,
    /// Registers that are not built yet, or built and not mailed though somebody is named to get them.
    pub registers: i64,
    /// Mails waiting or being sent.
    pub mails: i64,
    /// Events not published.
    pub events: i64,
    /// Parked facts that are to be handled again.
    pub retries: i64,
    /// Cards held or kept in grace.
    pub holds: i64,
    /// Card files not entered.
    pub imports: i64,
    /// Payees taken for down.
    pub breakers: i64,
}

/// What is under way now.
pub async fn underway(store: &Store) -> Result<Underway, StoreError> {
    let row = store
        .query_one(
            "SELECT (SELECT count(*) FROM payment WHERE due_at IS NOT NULL OR state = 'delivering'),
                    (SELECT count(*) FROM payment p JOIN series s USING (series_id)
                     WHERE p.position > s.last_hi AND p.state <> 'revoked'),
                    (SELECT count(*) FROM register WHERE state = 'frozen' OR (state = 'built' AND mail_to <> '{}')),
                    (SELECT count(*) FROM mailing WHERE state IN ('waiting', 'sending')),
                    (SELECT count(*) FROM event),
                    (SELECT count(*) FROM parked WHERE state = 'retry'),
                    (SELECT count(*) FROM reservation WHERE state IN ('held', 'lapsed')),
                    (SELECT count(*) FROM card_import WHERE state IN ('waiting', 'working')),
                    (SELECT count(*) FROM lane WHERE breaker <> 'closed')",
            &[],
        )
        .await?;
    Ok(Underway {
        deliveries: row.get(0),
        open_positions: row.get(1),
        registers: row.get(2),
        mails: row.get(3),
        events: row.get(4),
        retries: row.get(5),
        holds: row.get(6),
        imports: row.get(7),
        breakers: row.get(8),
    })
}

/// By how many seconds the hold that is longest over is over, though nobody has ended it; 0 when there is none.
pub async fn longest_overdue_hold(store: &Store) -> Result<f64, StoreError> {
    let row = store
        .query_one(
            "SELECT greatest(0, coalesce(extract(epoch FROM clock_timestamp() - least(
                 (SELECT min(held_until) FROM reservation WHERE state = 'held'),
                 (SELECT min(grace_until) FROM reservation WHERE state = 'lapsed'))), 0))::float8",
            &[],
        )
        .await?;
    Ok(row.get(0))
}

/// Everything that must have been published as an event by now: the kind, and the id an item of it must carry.
pub async fn must_have_been_told(store: &Store) -> Result<Vec<(String, Uuid)>, StoreError> {
    let rows = store
        .query(
            "SELECT 'payment.accepted', payment_id FROM payment
             UNION ALL
             SELECT 'payment.' || state, payment_id FROM payment
             WHERE state IN ('delivered', 'refused', 'unknown', 'failed', 'revoked')
             UNION ALL
             SELECT 'card.reserved', reservation_id FROM reservation
             WHERE card_id IS NOT NULL AND ended_by IS DISTINCT FROM 'replacement'
             UNION ALL
             SELECT 'card.' || state, reservation_id FROM reservation
             WHERE card_id IS NOT NULL AND state IN ('sold', 'released', 'expired', 'superseded', 'conflict')
             UNION ALL
             SELECT 'register.built', register_id FROM register WHERE built_at IS NOT NULL
             UNION ALL
             SELECT 'register.mailed', register_id FROM register WHERE mailed_at IS NOT NULL
             UNION ALL
             SELECT 'message.parked', parked_id FROM parked",
            &[],
        )
        .await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// How many payments are in which state, as readers call it, and counted past the view that readers have: from the rows as
/// they stand, and for what is in registers from what was frozen with each. States that nothing is in are left out.
pub async fn payments_in_states(store: &Store) -> Result<Vec<(String, i64)>, StoreError> {
    let rows = store
        .query(
            "WITH listed AS (
                 SELECT CASE WHEN r.mailed_at IS NULL THEN 'registered' ELSE 'reported' END AS state, r.payment_count AS n
                 FROM register r JOIN payee USING (payee_id)
                 WHERE r.kind = 'regular' AND payee.gateway = 'registers')
             SELECT state, sum(n)::int8 FROM (
                 SELECT state, count(*) FROM payment GROUP BY state
                 UNION ALL SELECT state, n FROM listed
                 UNION ALL SELECT 'accepted', -n FROM listed) counted (state, n)
             GROUP BY state HAVING sum(n) <> 0 ORDER BY state",
            &[],
        )
        .await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// A reservation as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReservationFact {
    /// Which.
    pub reservation_id: Uuid,
    /// Its state, in the database's word.
    pub state: String,
    /// Its card; none for a release that came before its reservation.
    pub serial: Option<String>,
    /// Whether it was sold after its hold.
    pub late: bool,
}

/// Every reservation.
pub async fn reservations(store: &Store) -> Result<Vec<ReservationFact>, StoreError> {
    let rows = store
        .query(
            "SELECT r.reservation_id, r.state, c.serial, coalesce(r.late, false)
             FROM reservation r LEFT JOIN card c USING (card_id) ORDER BY r.created_at",
            &[],
        )
        .await?;
    Ok(rows
        .iter()
        .map(|row| ReservationFact {
            reservation_id: row.get(0),
            state: row.get(1),
            serial: row.get(2),
            late: row.get(3),
        })
        .collect())
}

/// A payment as a register must show it.
#[derive(Clone, Debug, PartialEq)]
pub struct Member {
    /// Which.
    pub payment_id: Uuid,
    /// What the payee sees.
    pub number: i64,
    /// Whose account.
    pub account: String,
    /// Minor units.
    pub amount: i64,
    /// What the payer entered.
    pub fields: Value,
    /// As printed.
    pub receipt_number: Option<String>,
}

/// The payments of a regular register, in the order of their positions.
pub async fn members(store: &Store, register: RegisterId) -> Result<Vec<Member>, StoreError> {
    let rows = store
        .query(
            "SELECT p.payment_id, p.number, p.account, p.amount, p.fields, p.receipt_number
             FROM register r JOIN payment p ON p.series_id = r.series_id AND p.position BETWEEN r.lo AND r.hi
             WHERE r.register_id = $1 AND r.kind = 'regular' AND p.state <> 'revoked' ORDER BY p.position",
            &[&register.as_uuid()],
        )
        .await?;
    Ok(rows
        .iter()
        .map(|row| Member {
            payment_id: row.get(0),
            number: row.get(1),
            account: row.get(2),
            amount: row.get(3),
            fields: row.get(4),
            receipt_number: row.get(5),
        })
        .collect())
}

/// The whole database as text, table by table, bytes as far as they are readable: to be searched for what must not be in
/// it. Only for databases that fit into memory.
pub async fn dump(store: &Store) -> Result<Vec<(String, String)>, StoreError> {
    let tx = store.begin().await?;
    tx.execute("SET LOCAL bytea_output = 'escape'", &[]).await?;
    let tables = tx
        .query(
            "SELECT relname::text, format('SELECT coalesce(string_agg(t::text, E''\\n''), '''') FROM %I t', relname)
             FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY relname",
            &[],
        )
        .await?;
    let mut dumped = Vec::with_capacity(tables.len());
    for table in &tables {
        let text = tx.query_one(table.get(1), &[]).await?.get(0);
        dumped.push((table.get(0), text));
    }
    tx.commit().await?;
    Ok(dumped)
}

/// In which tables there are rows of this shape (a POSIX regular expression), and how many; bytes as far as they are readable.
/// For whoever searches for what must not be there: the database does the reading.
pub async fn rows_of_shape(store: &Store, shape: &str) -> Result<Vec<(String, i64)>, StoreError> {
    let tx = store.begin().await?;
    tx.execute("SET LOCAL bytea_output = 'escape'", &[]).await?;
    let tables = tx
        .query(
            "SELECT relname::text, format('SELECT count(*) FROM %I t WHERE t::text ~ $1', relname)
             FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY relname",
            &[],
        )
        .await?;
    let mut found = Vec::new();
    for table in &tables {
        let rows: i64 = tx.query_one(table.get(1), &[&shape]).await?.get(0);
        if rows > 0 {
            found.push((table.get(0), rows));
        }
    }
    tx.commit().await?;
    Ok(found)
}
