//! Parts: every register is one file or more, each with its own count and total. All of them are recorded in one
//! transaction with their register, fenced by the lease of the build that made them.

use std::collections::BTreeSet;

use domain::RegisterId;
use uuid::Uuid;

use super::Build;
use crate::artifacts::{self, Artifact};
use crate::{Store, StoreError, Tx, mailings};

/// What of a register one of its files holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Which one, from 1.
    pub part: i32,
    /// Of how many.
    pub parts: i32,
    /// Payments in it.
    pub count: i64,
    /// Their sum in minor units.
    pub total: i64,
}

/// A part that was built.
#[derive(Clone, Debug)]
pub struct BuiltPart {
    /// What it holds.
    pub part: Part,
    /// The file's name.
    pub file_name: String,
    /// The file.
    pub artifact: Artifact,
    /// The Message-ID of all mails of it.
    pub message_id: String,
}

/// A part as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedPart {
    /// What it holds.
    pub part: Part,
    /// The file's name.
    pub file_name: String,
    /// The file's SHA-256, which it is found by.
    pub sha256: Vec<u8>,
    /// The file's size.
    pub bytes: i64,
}

/// Records built registers, the files of each, and for each file and recipient that it is to be mailed. Returns those that
/// were recorded: the lease of the others was lost, and the caller drops their files.
pub async fn record_built(tx: &Tx, built: &[(&Build, &[BuiltPart])]) -> Result<BTreeSet<RegisterId>, StoreError> {
    let ids: Vec<Uuid> = built
        .iter()
        .map(|(build, _)| build.summary.register_id.as_uuid())
        .collect();
    let tokens: Vec<Uuid> = built.iter().map(|(build, _)| build.token).collect();
    // The rows are locked before the files get their names: of two builders only one comes this far.
    let held = tx
        .query(
            "UPDATE register r SET state = 'built', built_at = clock_timestamp(), lease_token = NULL, lease_until = NULL,
                 due_at = NULL, last_error = NULL, vanished = 0
             FROM UNNEST($1::uuid[], $2::uuid[]) AS b (register_id, token)
             WHERE r.register_id = b.register_id AND r.lease_token = b.token AND r.state = 'frozen'
             RETURNING r.register_id",
            &[&ids, &tokens],
        )
        .await?;
    let held: BTreeSet<RegisterId> = held.iter().map(|row| RegisterId::from_uuid(row.get(0))).collect();
    let parts: Vec<(&Build, &BuiltPart)> = built
        .iter()
        .filter(|(build, _)| held.contains(&build.summary.register_id))
        .flat_map(|(build, parts)| parts.iter().map(|part| (*build, part)))
        .collect();
    artifacts::name(tx, &parts.iter().map(|(_, part)| &part.artifact).collect::<Vec<_>>()).await?;
    insert(tx, &parts).await?;
    mailings::add(tx, &parts).await?;
    Ok(held)
}

async fn insert(tx: &Tx, parts: &[(&Build, &BuiltPart)]) -> Result<(), StoreError> {
    let ids: Vec<Uuid> = parts
        .iter()
        .map(|(build, _)| build.summary.register_id.as_uuid())
        .collect();
    let ns: Vec<i32> = parts.iter().map(|(_, built)| built.part.part).collect();
    let names: Vec<&str> = parts.iter().map(|(_, built)| built.file_name.as_str()).collect();
    let hashes: Vec<&[u8]> = parts
        .iter()
        .map(|(_, built)| &built.artifact.finished.sha256[..])
        .collect();
    let counts: Vec<i64> = parts.iter().map(|(_, built)| built.part.count).collect();
    let totals: Vec<i64> = parts.iter().map(|(_, built)| built.part.total).collect();
    tx.execute(
        "INSERT INTO register_part (register_id, part, file_name, sha256, payment_count, total)
         SELECT * FROM UNNEST($1::uuid[], $2::int4[], $3::text[], $4::bytea[], $5::bigint[], $6::bigint[])",
        &[&ids, &ns, &names, &hashes, &counts, &totals],
    )
    .await
    .map(drop)
}

/// The parts of a register, in their order; none before it was built.
pub async fn parts_of(store: &Store, register: RegisterId) -> Result<Vec<ListedPart>, StoreError> {
    let rows = store
        .query(
            "SELECT p.part, count(*) OVER ()::int4, p.payment_count, p.total, p.file_name, p.sha256, a.bytes
             FROM register_part p JOIN artifact a USING (sha256) WHERE p.register_id = $1 ORDER BY p.part",
            &[&register.as_uuid()],
        )
        .await?;
    let listed = rows.iter().map(|row| ListedPart {
        part: Part {
            part: row.get(0),
            parts: row.get(1),
            count: row.get(2),
            total: row.get(3),
        },
        file_name: row.get(4),
        sha256: row.get(5),
        bytes: row.get(6),
    });
    Ok(listed.collect())
}
