//! The vault's public half: whom cards are sealed to, and the wrapped keys. No key is ever in the open here.

use std::collections::HashMap;

use crate::{Store, StoreError, Tx};

/// The key of the advisory lock under which a vault is made: "vault" in ASCII.
const VAULT_LOCK: i64 = 0x76_61_75_6c_74;

/// The vault as stored.
#[derive(Clone, Debug)]
pub struct VaultRow {
    /// Raised by every rotation.
    pub version: i32,
    /// age recipients: whatever enters the vault is sealed to all of them.
    pub recipients: Vec<String>,
    /// The key of the blind index, sealed to the recipients.
    pub wrapped_index_key: Vec<u8>,
}

const CURRENT: &str = "SELECT version, recipients, wrapped_index_key FROM vault ORDER BY version DESC LIMIT 1";

/// The vault, if one was made.
pub async fn current(store: &Store) -> Result<Option<VaultRow>, StoreError> {
    Ok(store.query_opt(CURRENT, &[]).await?.as_ref().map(vault_of))
}

/// The vault, if one was made, with every other maker locked out until the transaction ends.
pub async fn current_locked(tx: &Tx) -> Result<Option<VaultRow>, StoreError> {
    tx.query("SELECT pg_advisory_xact_lock($1)", &[&VAULT_LOCK]).await?;
    Ok(tx.query_opt(CURRENT, &[]).await?.as_ref().map(vault_of))
}

/// Makes a vault.
pub async fn insert(tx: &Tx, vault: &VaultRow) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO vault (version, recipients, wrapped_index_key) VALUES ($1, $2, $3)",
        &[&vault.version, &vault.recipients, &vault.wrapped_index_key],
    )
    .await
    .map(drop)
}

/// The wrapped keys of imported files.
pub async fn wrapped_batch_keys(tx: &Tx, batch_ids: &[i64]) -> Result<HashMap<i64, Vec<u8>>, StoreError> {
    let rows = tx
        .query(
            "SELECT batch_id, wrapped_key FROM card_batch WHERE batch_id = ANY($1)",
            &[&batch_ids],
        )
        .await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

fn vault_of(row: &tokio_postgres::Row) -> VaultRow {
    VaultRow {
        version: row.get(0),
        recipients: row.get(1),
        wrapped_index_key: row.get(2),
    }
}
