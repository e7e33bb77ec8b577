//! What is known of a file that somebody brings back: which register it is of, and what the ledger says that it holds.

use domain::{Number, PayeeId, RegisterId};
use jiff::Timestamp;

use super::Part;
use crate::{Store, StoreError};

/// A file of a register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The register.
    pub register: RegisterId,
    /// Which of its files, and what that holds.
    pub part: Part,
    /// Its name.
    pub file_name: String,
    /// What it holds, byte by byte.
    pub sha256: Vec<u8>,
    /// Its size.
    pub bytes: i64,
}

/// Files that hold these bytes, or have this name, or had it before they were sealed (`a.csv` of `a.csv.zip`). Regular
/// registers first, the latest first. Of this payee, where one is named: two payees' files may be called the same.
pub async fn files_like(
    store: &Store,
    sha256: &[u8],
    name: &str,
    payee: Option<&PayeeId>,
) -> Result<Vec<Found>, StoreError> {
    let rows = store
        .query(
            "SELECT p.register_id, p.part, (SELECT count(*) FROM register_part o WHERE o.register_id = p.register_id)::int4,
                    p.payment_count, p.total, p.file_name, p.sha256, a.bytes
             FROM register_part p JOIN artifact a USING (sha256) JOIN register r USING (register_id)
             WHERE (p.sha256 = $1 OR p.file_name = $2 OR starts_with(p.file_name, $2 || '.'))
               AND ($3::text IS NULL OR r.payee_id = $3)
             ORDER BY p.sha256 = $1 DESC, r.kind DESC, r.closed_at DESC LIMIT 16",
            &[&sha256, &name, &payee.map(PayeeId::as_str)],
        )
        .await?;
    let found = rows.iter().map(|row| Found {
        register: RegisterId::from_uuid(row.get(0)),
        part: Part {
            part: row.get(1),
            parts: row.get(2),
            count: row.get(3),
            total: row.get(4),
        },
        file_name: row.get(5),
        sha256: row.get(6),
        bytes: row.get(7),
    });
    Ok(found.collect())
}

/// The regular register that a payment is in; of this payee, where one is named.
pub async fn register_of(
    store: &Store,
    number: Number,
    payee: Option<&PayeeId>,
) -> Result<Option<RegisterId>, StoreError> {
    let row = store
        .query_opt(
            "SELECT register_id FROM payment_view
             WHERE number = $1 AND register_id IS NOT NULL AND ($2::text IS NULL OR payee_id = $2)",
            &[&number.get(), &payee.map(PayeeId::as_str)],
        )
        .await?;
    Ok(row.map(|row| RegisterId::from_uuid(row.get(0))))
}

/// The payments of a register, in its order: their numbers and amounts in minor units.
pub async fn payments_of(store: &Store, register: RegisterId) -> Result<Vec<(Number, i64)>, StoreError> {
    let range = store
        .query_one(
            "SELECT s.holds = 'delivered', r.series_id, r.lo, r.hi, CASE WHEN r.open_count > 0 THEN r.closed_at END,
                    r.payee_id, r.period_from, r.period_to
             FROM register r JOIN series s USING (series_id) WHERE r.register_id = $1",
            &[&register.as_uuid()],
        )
        .await?;
    let rows = if range.get(0) {
        store
            .query(
                "SELECT number, amount FROM payment WHERE payee_id = $1 AND delivered_at >= $2 AND delivered_at < $3
                 ORDER BY delivered_at, number",
                &[
                    &range.get::<_, &str>(5),
                    &range.get::<_, Timestamp>(6),
                    &range.get::<_, Timestamp>(7),
                ],
            )
            .await?
    } else {
        store
            .query(
                "SELECT number, amount FROM payment WHERE series_id = $1 AND position >= $2 AND position <= $3
                     AND (state <> 'revoked' OR updated_at > $4) ORDER BY position",
                &[
                    &range.get::<_, i64>(1),
                    &range.get::<_, i64>(2),
                    &range.get::<_, i64>(3),
                    &range.get::<_, Option<Timestamp>>(4),
                ],
            )
            .await?
    };
    rows.iter()
        .map(|row| Ok((Number::new(row.get(0))?, row.get(1))))
        .collect()
}
