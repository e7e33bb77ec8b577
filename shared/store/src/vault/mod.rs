//! The vault's public half: whom cards are sealed to, and the wrapped keys. No key is ever in the open here.
//!
//! A version of the vault is only ever added, under a lock that also waits for every file being entered: what enters is
//! sealed and indexed under the version that is the latest from the beginning of its transaction to its end.

mod batches;
mod holders;
mod reindex;
mod sample;

use std::collections::HashMap;

use domain::vault::Recipients;
use jiff::Timestamp;
use serde_json::Value;
use tokio_postgres::Row;

use crate::{Store, StoreError, Tx};

#[cfg(feature = "scratch")]
pub(crate) use batches::SEALED;
pub use batches::{
    Batch, BatchCounts, batch_counts, batches, batches_behind, batches_with_keys, forget_batch_keys, rewrap_batch,
};
pub use holders::{Holder, holders, seen_holding};
pub use reindex::{IndexKeyInfo, Indexed, Progress, Reindexed, index_keys, next_to_reindex, reindex};
pub use sample::{CheckedCard, cards_after, cards_by_chance};

/// The key of the advisory lock of the vault's versions: "vault" in ASCII.
const VAULT_LOCK: i64 = 0x76_61_75_6c_74;

/// The vault as stored.
#[derive(Clone, Debug)]
pub struct VaultRow {
    /// Raised by every change.
    pub version: i32,
    /// Whom this version is sealed to.
    pub recipients: Recipients,
    /// By recipient, in hexadecimal: the mark of who wrote it.
    pub proofs: HashMap<String, String>,
    /// The keys of the blind index by version, in their order, sealed to the recipients.
    pub index_keys: Vec<(i32, Vec<u8>)>,
}

/// A version of the vault, for people.
#[derive(Clone, Debug)]
pub struct Version {
    /// Which.
    pub version: i32,
    /// Whom it was sealed to.
    pub recipients: Recipients,
    /// Since when.
    pub created_at: Timestamp,
}

const RECIPIENTS: &str = "version, recipients, escrow, leaving";
const CURRENT: &str = "SELECT version, recipients, escrow, leaving, proofs,
        (SELECT array_agg(index_version ORDER BY index_version) FROM vault_index_key),
        (SELECT array_agg(wrapped_key ORDER BY index_version) FROM vault_index_key)
     FROM vault ORDER BY version DESC LIMIT 1";

/// The vault, if one was made.
pub async fn current(store: &Store) -> Result<Option<VaultRow>, StoreError> {
    store.query_opt(CURRENT, &[]).await?.as_ref().map(vault_of).transpose()
}

/// The vault, if one was made, with every other who changes it and everybody who enters cards locked out until the
/// transaction ends.
pub async fn current_locked(tx: &Tx) -> Result<Option<VaultRow>, StoreError> {
    tx.query("SELECT pg_advisory_xact_lock($1)", &[&VAULT_LOCK]).await?;
    tx.query_opt(CURRENT, &[]).await?.as_ref().map(vault_of).transpose()
}

/// Keeps the vault as it is until the transaction ends, and says which version that is. Whoever enters cards begins with
/// this: two files can then never be indexed under different keys at once.
pub async fn hold(tx: &Tx) -> Result<i32, StoreError> {
    tx.query("SELECT pg_advisory_xact_lock_shared($1)", &[&VAULT_LOCK])
        .await?;
    // A statement of its own: its snapshot is taken under the lock.
    latest_version(tx).await
}

/// The latest version as this transaction sees it; 0 when there is no vault.
pub async fn latest_version(tx: &Tx) -> Result<i32, StoreError> {
    let row = tx.query_one("SELECT coalesce(max(version), 0) FROM vault", &[]).await?;
    Ok(row.get(0))
}

/// Whom the vault is sealed to, if one was made. Shows no key, not even wrapped.
pub async fn recipients(store: &Store) -> Result<Option<(i32, Recipients)>, StoreError> {
    let sql = format!("SELECT {RECIPIENTS} FROM vault ORDER BY version DESC LIMIT 1");
    let row = store.query_opt(&sql, &[]).await?;
    Ok(row.map(|row| (row.get(0), recipients_of(&row))))
}

/// Every version there was, the latest first.
pub async fn history(store: &Store) -> Result<Vec<Version>, StoreError> {
    let sql = format!("SELECT {RECIPIENTS}, created_at FROM vault ORDER BY version DESC");
    let rows = store.query(&sql, &[]).await?;
    Ok(rows
        .iter()
        .map(|row| Version {
            version: row.get(0),
            recipients: recipients_of(row),
            created_at: row.get(4),
        })
        .collect())
}

/// Writes the next version, with the index keys wrapped for its recipients; what was wrapped for those before is gone. The
/// caller holds the lock of [`current_locked`].
pub async fn insert(tx: &Tx, vault: &VaultRow) -> Result<(), StoreError> {
    let version = &vault.version;
    let Recipients { all, escrow, leaving } = &vault.recipients;
    tx.execute(
        "INSERT INTO vault (version, recipients, escrow, leaving, proofs) VALUES ($1, $2, $3, $4, $5)",
        &[version, all, escrow, leaving, &serde_json::to_value(&vault.proofs)?],
    )
    .await?;
    let versions: Vec<i32> = vault.index_keys.iter().map(|(version, _)| *version).collect();
    let wrapped: Vec<&[u8]> = vault.index_keys.iter().map(|(_, key)| key.as_slice()).collect();
    // With the first key there is nothing to index anew.
    tx.execute(
        "INSERT INTO vault_index_key (index_version, vault_version, wrapped_key, reindexed_at)
         SELECT u.version, $1, u.key, CASE WHEN u.version = 1 THEN clock_timestamp() END
         FROM UNNEST($2::int[], $3::bytea[]) AS u (version, key)
         ON CONFLICT (index_version) DO UPDATE SET vault_version = $1, wrapped_key = excluded.wrapped_key",
        &[version, &versions, &wrapped],
    )
    .await
    .map(drop)
}

fn recipients_of(row: &Row) -> Recipients {
    Recipients {
        all: row.get(1),
        escrow: row.get(2),
        leaving: row.get(3),
    }
}

fn vault_of(row: &Row) -> Result<VaultRow, StoreError> {
    let versions: Option<Vec<i32>> = row.get(5);
    let wrapped: Option<Vec<Vec<u8>>> = row.get(6);
    Ok(VaultRow {
        version: row.get(0),
        recipients: recipients_of(row),
        proofs: serde_json::from_value(row.get::<_, Value>(4))?,
        index_keys: versions
            .unwrap_or_default()
            .into_iter()
            .zip(wrapped.unwrap_or_default())
            .collect(),
    })
}
