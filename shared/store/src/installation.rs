//! Which installation a database is: an id that it keeps for good. A place for files that several could be pointed at is marked
//! with it.

use uuid::Uuid;

use crate::{Store, StoreError};

/// The id, made when it is first asked for.
pub async fn id(store: &Store) -> Result<Uuid, StoreError> {
    if let Some(id) = known(store).await? {
        return Ok(id);
    }
    store
        .execute("INSERT INTO installation DEFAULT VALUES ON CONFLICT DO NOTHING", &[])
        .await?;
    let row = store
        .query_one("SELECT installation_id FROM installation WHERE only_row", &[])
        .await?;
    Ok(row.get(0))
}

/// The id, if anybody has asked for it yet. Changes nothing.
pub async fn known(store: &Store) -> Result<Option<Uuid>, StoreError> {
    let row = store
        .query_opt("SELECT installation_id FROM installation WHERE only_row", &[])
        .await?;
    Ok(row.map(|row| row.get(0)))
}
