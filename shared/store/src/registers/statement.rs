//! Statements: what a payee was paid in a period, by day and register. All of it is read in one snapshot, so that its parts
//! agree.
//!
//! A payment counts in the period in which it was accepted; for an online payee, in which it was delivered. Revoked ones
//! count nowhere, as they are in no file.

use domain::declaration::Gateway;
use domain::{PayeeId, RegisterId};
use jiff::Timestamp;
use uuid::Uuid;

use crate::{StoreError, Tx};

/// What a statement is about.
#[derive(Clone, Debug)]
pub struct StatementPeriod {
    /// Whose.
    pub payee: PayeeId,
    /// From this moment …
    pub from: Timestamp,
    /// … to before this one.
    pub to: Timestamp,
}

/// A register that holds payments of the period, or whose stretch without payments ends in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatedRegister {
    /// Which.
    pub register_id: RegisterId,
    /// Its series.
    pub series: String,
    /// Its place in the series.
    pub sequence: i32,
    /// `frozen`, `built`, `mailed` or `failed`.
    pub state: String,
    /// How many payments it was frozen with.
    pub count: i64,
    /// Their sum.
    pub total: i64,
    /// Its currency.
    pub currency: String,
    /// Acceptance of its first and last payment, or the stretch without any.
    pub first: Timestamp,
    /// See `first`.
    pub last: Timestamp,
}

/// Payments of a quarter of an hour and of one register: whatever the zone, a day is made of whole ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatedSum {
    /// When the quarter begins.
    pub quarter: Timestamp,
    /// The series; none where the payee gets no registers.
    pub series: Option<String>,
    /// The register; none = they are in none yet.
    pub register: Option<RegisterId>,
    /// Their currency.
    pub currency: String,
    /// How many.
    pub payments: i64,
    /// What the payee gets, in minor units.
    pub amount: i64,
    /// What the payers paid on top, in minor units.
    pub fee: i64,
}

const SUMS: &str = "count(*), sum(p.amount)::bigint, sum(p.fee)::bigint";

/// Ranges of positions are read one by one, and only those near the period.
fn accepted_sums() -> String {
    format!(
        "WITH range AS (
             SELECT s.name, r.series_id, r.register_id, r.lo, r.hi FROM register r JOIN series s USING (series_id)
             WHERE r.payee_id = $1 AND r.kind = 'regular' AND r.payment_count > 0
               AND r.last_accepted_at >= $2 AND r.first_accepted_at < $3
             UNION ALL
             SELECT name, series_id, NULL, last_hi + 1, 9223372036854775807 FROM series WHERE payee_id = $1)
         SELECT date_bin('15 minutes', p.accepted_at, '2000-01-01T00:00:00Z'), range.name, range.register_id, p.currency, {SUMS}
         FROM range JOIN payment p ON p.series_id = range.series_id AND p.position BETWEEN range.lo AND range.hi
         WHERE p.accepted_at >= $2 AND p.accepted_at < $3 AND p.state <> 'revoked'
         GROUP BY 1, 2, 3, 4"
    )
}

/// Likewise stretches of time: those of the registers, and those between them, which are in none. Each is read by itself
/// (OFFSET says so), by the index on what was delivered when: a join of payments with registers compares each with each.
pub(crate) fn delivered_sums() -> String {
    format!(
        "WITH own AS (SELECT series_id, name FROM series WHERE payee_id = $1 AND holds = 'delivered'),
         listed AS (
             SELECT r.register_id, greatest(r.period_from, $2::timestamptz) AS lo, least(r.period_to, $3::timestamptz) AS hi
             FROM register r JOIN own USING (series_id)
             WHERE r.kind = 'regular' AND r.period_from < $3 AND r.period_to > $2),
         rest AS (
             SELECT hi AS lo, coalesce(lead(lo) OVER (ORDER BY lo, hi), $3) AS hi
             FROM (SELECT lo, hi FROM listed UNION ALL SELECT $2, $2) ends),
         range AS (SELECT * FROM listed UNION ALL SELECT NULL, lo, hi FROM rest WHERE lo < hi)
         SELECT date_bin('15 minutes', p.delivered_at, '2000-01-01T00:00:00Z'), (SELECT name FROM own), range.register_id,
                p.currency, {SUMS}
         FROM range CROSS JOIN LATERAL (
             SELECT * FROM payment WHERE payee_id = $1 AND delivered_at >= range.lo AND delivered_at < range.hi OFFSET 0) p
         GROUP BY 1, 2, 3, 4"
    )
}

/// The sums of a period.
pub async fn statement_sums(tx: &Tx, gateway: Gateway, period: &StatementPeriod) -> Result<Vec<StatedSum>, StoreError> {
    let sql = if gateway.is_online() {
        delivered_sums()
    } else {
        accepted_sums()
    };
    let rows = tx
        .query(&sql, &[&period.payee.as_str(), &period.from, &period.to])
        .await?;
    let sum = |row: &tokio_postgres::Row| StatedSum {
        quarter: row.get(0),
        series: row.get(1),
        register: row.get::<_, Option<Uuid>>(2).map(RegisterId::from_uuid),
        currency: row.get(3),
        payments: row.get(4),
        amount: row.get(5),
        fee: row.get(6),
    };
    Ok(rows.iter().map(sum).collect())
}

/// The registers of a period, with what they were frozen with.
pub async fn statement_registers(tx: &Tx, period: &StatementPeriod) -> Result<Vec<StatedRegister>, StoreError> {
    let rows = tx
        .query(
            "SELECT r.register_id, s.name, r.sequence, r.state, r.payment_count, r.total, r.currency, r.first_accepted_at,
                    r.last_accepted_at
             FROM register r JOIN series s USING (series_id)
             WHERE r.payee_id = $1 AND r.kind = 'regular' AND r.last_accepted_at >= $2 AND r.first_accepted_at < $3
             ORDER BY s.series_id, r.sequence",
            &[&period.payee.as_str(), &period.from, &period.to],
        )
        .await?;
    let register = |row: &tokio_postgres::Row| StatedRegister {
        register_id: RegisterId::from_uuid(row.get(0)),
        series: row.get(1),
        sequence: row.get(2),
        state: row.get(3),
        count: row.get(4),
        total: row.get(5),
        currency: row.get(6),
        first: row.get(7),
        last: row.get(8),
    };
    Ok(rows.iter().map(register).collect())
}
