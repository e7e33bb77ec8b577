//! Payments for online payees by the ten thousand, and what became of them.

use std::time::Duration;

use crate::{Store, StoreError};

/// Payments in this state, numbered from 1, in turn for as many payees as there are lanes (`bench-000`, `bench-001`, …).
/// Those that are `accepted` fall due one after the other, evenly over `within`, the first of them in two seconds (or at once, if `within` is nothing).
pub async fn owe(store: &Store, lanes: u32, count: u32, state: &str, within: Duration) -> Result<(), StoreError> {
    store
        .execute(
            "INSERT INTO payment (payment_id, number, payee_id, payee_version, gateway, terminal_id, account, amount,
                                  currency, fields, paid_at, accepted_at, state, next_act, due_at, give_up_at)
             SELECT gen_random_uuid(), n, payee_id, 1, gateway, 'T-0001', 'user-' || n,
                    10000 + n % 5000, 'RUB', '{\"payer\": \"Иванов И. И.\"}', now(), due, $3,
                    CASE WHEN $3 = 'accepted' THEN 'pay' END, CASE WHEN $3 = 'accepted' THEN due END,
                    due + interval '3 days'
             FROM generate_series(1, $2::int8) n JOIN payee ON payee_id = 'bench-' || lpad((n % $1)::text, 3, '0'),
                  LATERAL (SELECT now() + (least($4::float8, 2) + n * $4 / $2) * interval '1 second' AS due) d",
            &[&i64::from(lanes), &i64::from(count), &state, &within.as_secs_f64()],
        )
        .await?;
    for sql in ["VACUUM (ANALYZE) payment", "VACUUM (ANALYZE) attempt", "CHECKPOINT"] {
        store.execute(sql, &[]).await?;
    }
    Ok(())
}

/// How many rows a payee's table has.
pub async fn count(store: &Store, table: &str) -> Result<u64, StoreError> {
    let count: i64 = store
        .query_one(&format!("SELECT count(*) FROM {table}"), &[])
        .await?
        .get(0);
    Ok(u64::try_from(count).unwrap_or(0))
}

/// How many payments of payees other than `but` are in a state other than `state`.
pub async fn count_not(store: &Store, state: &str, but: &str) -> Result<u64, StoreError> {
    let sql = "SELECT count(*) FROM payment WHERE state <> $1 AND payee_id <> $2";
    let count: i64 = store.query_one(sql, &[&state, &but]).await?.get(0);
    Ok(u64::try_from(count).unwrap_or(0))
}

/// Of the delivered payments of payees other than `but`: within how many seconds of falling due 99 of 100 were delivered.
pub async fn age_p99(store: &Store, but: &str) -> Result<f64, StoreError> {
    let row = store
        .query_one(
            "SELECT coalesce(percentile_cont(0.99) WITHIN GROUP (ORDER BY extract(epoch FROM updated_at - accepted_at)), 0)::float8
             FROM payment WHERE state = 'delivered' AND payee_id <> $1",
            &[&but],
        )
        .await?;
    Ok(row.get(0))
}
