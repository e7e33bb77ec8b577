//! Registers of online payees: what was delivered between two cut-offs, whichever way and whenever it was accepted. They
//! are series of their own (`delivered`), are built and mailed as all registers are, and have nothing to do with positions.
//!
//! A payment is stamped as delivered in the statement that makes it so, and seen when that transaction commits. So a
//! range is frozen only some time after its cut-off, by when no transaction can still add to it. A stamp never changes,
//! so a range holds the same payments whenever it is read, also those that were taken back later.

use std::time::Duration;

use domain::RegisterId;
use domain::declaration::Payee;
use domain::register::{cutoffs_due, upcoming};
use jiff::Timestamp;

use super::closing::seconds;
use crate::{Store, StoreError, Tx};

/// No session keeps a transaction open for so long: its statements and its idleness are limited to far less.
pub(super) const SETTLED: Duration = Duration::from_secs(300);

/// Series that may be due.
pub async fn deliveries_due(store: &Store) -> Result<Vec<i64>, StoreError> {
    let rows = store
        .query(
            "SELECT s.series_id FROM series s JOIN payee y USING (payee_id)
             WHERE s.holds = 'delivered' AND y.declaration ? 'register'
               AND (s.planned_version IS DISTINCT FROM y.version
                 OR s.next_cutoff <= clock_timestamp() - make_interval(secs => $1))",
            &[&SETTLED.as_secs_f64()],
        )
        .await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// How long until the next one may be frozen; none when none has a cut-off.
pub async fn deliveries_due_in(store: &Store) -> Result<Option<Duration>, StoreError> {
    let row = store
        .query_one(
            "SELECT extract(epoch FROM min(s.next_cutoff) - clock_timestamp())::float8 + $1
             FROM series s JOIN payee y USING (payee_id) WHERE s.holds = 'delivered' AND y.declaration ? 'register'",
            &[&SETTLED.as_secs_f64()],
        )
        .await?;
    Ok(row.get::<_, Option<f64>>(0).map(seconds))
}

/// Freezes what is due of a series, each missed cut-off by itself. Nothing when another closer is at it.
pub async fn close_delivered(store: &Store, series_id: i64) -> Result<Vec<RegisterId>, StoreError> {
    let tx = store.begin().await?;
    let locked = tx
        .query_opt(
            "SELECT s.last_cutoff, s.last_sequence, y.version, y.declaration, clock_timestamp(), y.updated_at
             FROM series s JOIN payee y USING (payee_id) WHERE series_id = $1 FOR NO KEY UPDATE OF s SKIP LOCKED",
            &[&series_id],
        )
        .await?;
    let Some(row) = locked else {
        tx.rollback().await?;
        return Ok(Vec::new());
    };
    let payee: Payee = serde_json::from_value(row.get(3))?;
    let profile = payee.register.clone();
    let profile = profile.ok_or_else(|| StoreError::unreadable(format!("payee {} has no [register]", payee.id)))?;
    let version: i32 = row.get(2);
    let until = row.get::<_, Timestamp>(4) - SETTLED;
    let (mut from, mut sequence): (Timestamp, i32) = (row.get(0), row.get(1));
    let declared_at: Timestamp = row.get(5);
    let mut closed = Vec::new();
    for cutoff in cutoffs_due(&profile, from, until) {
        let range = Range {
            series_id,
            payee: &payee,
            version,
            sequence: sequence + 1,
            from,
            to: cutoff.at,
            // None is made up for the time before the payee was declared as it is now.
            send_empty: profile.send_empty && !payee.retired && cutoff.at > declared_at,
        };
        if let Some(register) = freeze(&tx, &range, &profile.recipients()).await? {
            closed.push(register);
            sequence += 1;
        }
        from = cutoff.at;
    }
    let next = upcoming(&profile, from, 1).first().map(|cutoff| cutoff.at);
    tx.execute(
        "UPDATE series SET last_cutoff = $2, last_sequence = $3::int4, last_hi = $3::int4, planned_version = $4, next_cutoff = $5
         WHERE series_id = $1",
        &[&series_id, &from, &sequence, &version, &next],
    )
    .await?;
    tx.commit().await?;
    Ok(closed)
}

struct Range<'a> {
    series_id: i64,
    payee: &'a Payee,
    version: i32,
    sequence: i32,
    from: Timestamp,
    to: Timestamp,
    send_empty: bool,
}

/// Nothing delivered, no register, unless one is wanted all the same; the next one begins where this one ends.
async fn freeze(tx: &Tx, range: &Range<'_>, mail_to: &[String]) -> Result<Option<RegisterId>, StoreError> {
    let payee_id = range.payee.id.as_str();
    let found = tx
        .query_one(
            "SELECT count(*), coalesce(sum(amount), 0)::bigint, min(delivered_at), max(delivered_at) FROM payment
             WHERE payee_id = $1 AND delivered_at >= $2 AND delivered_at < $3",
            &[&payee_id, &range.from, &range.to],
        )
        .await?;
    let count: i64 = found.get(0);
    if count == 0 && !range.send_empty {
        return Ok(None);
    }
    let register_id = RegisterId::random();
    // Ranges of positions are what keeps registers of a series apart: here each has its sequence for one.
    tx.execute(
        "INSERT INTO register (register_id, series_id, payee_id, payee_version, kind, sequence, lo, hi, period_from,
             period_to, cutoff, payment_count, total, first_accepted_at, last_accepted_at, currency, requested_by, mail_to)
         VALUES ($1, $2, $3, $4, 'regular', $5::int4, $5::int4, $5::int4, $6, $7, $7, $8, $9, $10, $11, $12, 'schedule', $13)",
        &[
            &register_id.as_uuid(),
            &range.series_id,
            &payee_id,
            &range.version,
            &range.sequence,
            &range.from,
            &range.to,
            &count,
            &found.get::<_, i64>(1),
            &found.get::<_, Option<Timestamp>>(2).unwrap_or(range.from),
            &found.get::<_, Option<Timestamp>>(3).unwrap_or(range.to),
            &range.payee.currency.code(),
            &mail_to,
        ],
    )
    .await?;
    Ok(Some(register_id))
}
