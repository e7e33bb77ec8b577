//! What operators see of registers.

use domain::{PayeeId, RegisterId};
use jiff::Timestamp;
use tokio_postgres::Row;

use super::{SUMMARY_COLUMNS, SUMMARY_WIDTH, Summary, summary_of};
use crate::{Store, StoreError};

/// A register as the command line lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// What everybody is told.
    pub summary: Summary,
    /// `frozen`, `built`, `mailed` or `failed`.
    pub state: String,
    /// The file's name, once built; none where there are several.
    pub file: Option<String>,
    /// The file's SHA-256, once built; none where there are several.
    pub sha256: Option<Vec<u8>>,
    /// The size of all its files, once built.
    pub bytes: Option<i64>,
    /// How many files it has; 0 before it was built.
    pub parts: i32,
    /// When the last recipient's server had taken it.
    pub mailed_at: Option<Timestamp>,
    /// The range's end.
    pub cutoff: Timestamp,
    /// Revoked payments in the range; they are not in the file.
    pub revoked: i64,
    /// `schedule`, `change` or who asked for it.
    pub requested_by: String,
    /// The version of the payee it is rendered with.
    pub payee_version: i32,
    /// Of a copy: the format it was asked for in, if not the payee's own.
    pub format: Option<String>,
    /// Why it could not be built or mailed, or not yet.
    pub last_error: Option<String>,
}

const DETAILS: &str = "r.state, f.file_name, f.sha256, f.bytes, r.mailed_at, r.cutoff, r.revoked_count, r.requested_by, \
     r.payee_version, coalesce(r.last_error, (SELECT min(m.last_error) FROM mailing m \
         WHERE m.register_id = r.register_id AND m.state <> 'sent')), f.parts, r.format \
     FROM register r JOIN series s USING (series_id) CROSS JOIN LATERAL ( \
         SELECT count(*)::int4 AS parts, sum(a.bytes)::bigint AS bytes, \
             CASE WHEN count(*) = 1 THEN min(p.file_name) END AS file_name, \
             CASE WHEN count(*) = 1 THEN decode(min(encode(p.sha256, 'hex')), 'hex') END AS sha256 \
         FROM register_part p JOIN artifact a USING (sha256) WHERE p.register_id = r.register_id) f";

/// All registers, or a payee's, oldest first.
pub async fn list(store: &Store, payee: Option<&PayeeId>) -> Result<Vec<Listed>, StoreError> {
    let sql = format!(
        "SELECT {SUMMARY_COLUMNS}, {DETAILS} WHERE $1::text IS NULL OR r.payee_id = $1 ORDER BY r.closed_at, r.register_id"
    );
    store
        .query(&sql, &[&payee.map(PayeeId::as_str)])
        .await?
        .iter()
        .map(listed_of)
        .collect()
}

/// One register.
pub async fn find(store: &Store, register: RegisterId) -> Result<Option<Listed>, StoreError> {
    let sql = format!("SELECT {SUMMARY_COLUMNS}, {DETAILS} WHERE r.register_id = $1");
    store
        .query_opt(&sql, &[&register.as_uuid()])
        .await?
        .as_ref()
        .map(listed_of)
        .transpose()
}

/// How many registers wait for an operator: they could not be built, or not be mailed.
pub async fn count_failed(store: &Store) -> Result<i64, StoreError> {
    let row = store
        .query_one("SELECT count(*) FROM register WHERE state = 'failed'", &[])
        .await?;
    Ok(row.get(0))
}

fn listed_of(row: &Row) -> Result<Listed, StoreError> {
    let at = |offset: usize| SUMMARY_WIDTH + offset;
    Ok(Listed {
        summary: summary_of(row)?,
        state: row.get(at(0)),
        file: row.get(at(1)),
        sha256: row.get(at(2)),
        bytes: row.get(at(3)),
        mailed_at: row.get(at(4)),
        cutoff: row.get(at(5)),
        revoked: row.get(at(6)),
        requested_by: row.get(at(7)),
        payee_version: row.get(at(8)),
        last_error: row.get(at(9)),
        parts: row.get(at(10)),
        format: row.get(at(11)),
    })
}
