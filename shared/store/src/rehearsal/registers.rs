//! Payees with registers by the ten thousand, payments by the million, all due at one moment, and when they were built.

use jiff::Timestamp;

use crate::{Store, StoreError};

/// Payments of these payees, `bench-00000` and so on, of which the first one is declared. The others are declared as it is.
/// In turn, in the order of their positions, accepted within the hour before last.
pub async fn owe(store: &Store, payees: u32, payments: u32) -> Result<(), StoreError> {
    let tx = store.begin().await?;
    tx.allow(3600).await?;
    for sql in [
        "INSERT INTO payee (payee_id, version, gateway, declaration)
         SELECT id, version, gateway, jsonb_set(declaration, '{id}', to_jsonb(id))
         FROM payee, generate_series(1, $1::int8 - 1) n, LATERAL (SELECT 'bench-' || lpad(n::text, 5, '0') AS id) i",
        "INSERT INTO payee_version (payee_id, version, declaration, applied_by)
         SELECT payee_id, version, declaration, 'bench' FROM payee WHERE payee_id <> 'bench-00000' AND $1::int8 > 0",
        "INSERT INTO series (payee_id) SELECT payee_id FROM payee WHERE payee_id <> 'bench-00000' AND $1::int8 > 0",
    ] {
        tx.execute(sql, &[&i64::from(payees)]).await?;
    }
    tx.execute(
        "INSERT INTO payment (payment_id, number, payee_id, payee_version, gateway, terminal_id, account, amount, currency,
                              fields, receipt_number, paid_at, accepted_at, series_id, position)
         SELECT gen_random_uuid(), n, payee_id, 1, 'registers', 'T-' || lpad((n % 300)::text, 4, '0'),
                lpad((n * 7919 % 10000000000)::text, 10, '0'), 10000 + n % 500000, 'RUB',
                jsonb_build_object('payer', 'Иванов И. И.', 'meter_cold', lpad((n % 100000)::text, 5, '0')),
                lpad(n::text, 7, '0'), at - interval '9 seconds', at, series_id, n
         FROM generate_series(1, $2::int8) n
         JOIN LATERAL (SELECT 'bench-' || lpad((n % $1)::text, 5, '0') AS payee_id) i ON true JOIN series USING (payee_id),
              LATERAL (SELECT now() - interval '2 hours' + n * interval '1 hour' / $2 AS at) t
         ORDER BY n",
        &[&i64::from(payees), &i64::from(payments)],
    )
    .await?;
    tx.execute("UPDATE ledger SET last_position = $1", &[&i64::from(payments)])
        .await?;
    tx.commit().await?;
    for sql in ["VACUUM (ANALYZE) payment", "VACUUM (ANALYZE) series", "CHECKPOINT"] {
        store.execute(sql, &[]).await?;
    }
    Ok(())
}

/// Makes all series due at one moment, so many seconds from now, whatever else they are planned for. Their interval is a
/// day. Returns the moment.
pub async fn due_in(store: &Store, seconds: f64) -> Result<Timestamp, StoreError> {
    let row = store
        .query_one(
            "WITH due AS MATERIALIZED (SELECT clock_timestamp() + make_interval(secs => $1) AS at),
                 planned AS (
                     UPDATE series SET next_cutoff = at, last_cutoff = at - interval '1 day', planned_version = 1
                     FROM due RETURNING 1)
             SELECT at FROM due, (SELECT count(*) FROM planned) all_of_them",
            &[&seconds],
        )
        .await?;
    Ok(row.get(0))
}

/// What became of registers that were due at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BuiltSoFar {
    /// How many are built.
    pub registers: i64,
    /// How many payments they have.
    pub payments: i64,
    /// How many seconds after the moment the last of them was closed …
    pub closed: f64,
    /// … and built.
    pub built: f64,
}

/// What became of registers that were due at this moment.
pub async fn built(store: &Store, due: Timestamp) -> Result<BuiltSoFar, StoreError> {
    let row = store
        .query_one(
            "SELECT count(*), coalesce(sum(payment_count), 0)::bigint,
                    coalesce(extract(epoch FROM max(closed_at) - $1), 0)::float8,
                    coalesce(extract(epoch FROM max(built_at) - $1), 0)::float8
             FROM register WHERE built_at IS NOT NULL",
            &[&due],
        )
        .await?;
    Ok(BuiltSoFar {
        registers: row.get(0),
        payments: row.get(1),
        closed: row.get(2),
        built: row.get(3),
    })
}
