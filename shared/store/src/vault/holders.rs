//! Which processes can open the vault, as they say themselves: by the public halves of their identities.

use std::time::Duration;

use jiff::Timestamp;

use crate::{Store, StoreError};

/// A process that can open the vault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Host, process and a random tail.
    pub worker: String,
    /// The age recipients of the identities it has.
    pub identities: Vec<String>,
    /// The version it has opened.
    pub version: i32,
    /// When it last said so.
    pub seen_at: Timestamp,
}

/// A process says what it has; written down when that changed, or the last time was a while ago. Processes that have been
/// silent for a day are dropped on the way.
pub async fn seen_holding(store: &Store, worker: &str, identities: &[String], version: i32) -> Result<(), StoreError> {
    let written = store
        .execute(
            "INSERT INTO vault_holder (worker, identities, version) VALUES ($1, $2, $3)
             ON CONFLICT (worker) DO UPDATE SET identities = $2, version = $3, seen_at = clock_timestamp()
             WHERE (vault_holder.identities, vault_holder.version) IS DISTINCT FROM ($2, $3)
                OR vault_holder.seen_at < clock_timestamp() - interval '10 seconds'",
            &[&worker, &identities, &version],
        )
        .await?;
    if written > 0 {
        store
            .execute(
                "DELETE FROM vault_holder WHERE seen_at < clock_timestamp() - interval '1 day'",
                &[],
            )
            .await?;
    }
    Ok(())
}

/// The processes that said so within this time.
pub async fn holders(store: &Store, within: Duration) -> Result<Vec<Holder>, StoreError> {
    let rows = store
        .query(
            "SELECT worker, identities, version, seen_at FROM vault_holder
             WHERE seen_at > clock_timestamp() - make_interval(secs => $1) ORDER BY worker",
            &[&within.as_secs_f64()],
        )
        .await?;
    Ok(rows
        .iter()
        .map(|row| Holder {
            worker: row.get(0),
            identities: row.get(1),
            version: row.get(2),
            seen_at: row.get(3),
        })
        .collect())
}
