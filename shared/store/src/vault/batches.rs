//! The keys of imported files: read, wrapped anew one by one, and forgotten when they open nothing any more.

use tokio_postgres::Row;
use uuid::Uuid;

use crate::{Store, StoreError, Tx};

/// The wrapped key of one imported file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// The batch.
    pub batch_id: i64,
    /// The file it came from.
    pub import_id: Uuid,
    /// The version of the vault whose recipients it is sealed to.
    pub vault_version: i32,
    /// Those recipients.
    pub recipients: Vec<String>,
    /// Its key, wrapped; none once it was forgotten.
    pub wrapped_key: Option<Vec<u8>>,
}

/// The keys of these imported files. One that was forgotten is not among them.
pub async fn batches_with_keys(tx: &Tx, batch_ids: &[i64]) -> Result<Vec<Batch>, StoreError> {
    let sql = format!("{BATCHES} WHERE batch_id = ANY($1) AND wrapped_key IS NOT NULL");
    Ok(tx.query(&sql, &[&batch_ids]).await?.iter().map(batch_of).collect())
}

/// Up to `most` batches in their order, from `after` on (not included).
pub async fn batches(store: &Store, after: i64, most: i64) -> Result<Vec<Batch>, StoreError> {
    list(store, "batch_id > $1", after, most).await
}

/// Up to `most` batches from `after` on (not included) whose keys are wrapped for another version than `version`.
pub async fn batches_behind(store: &Store, version: i32, after: i64, most: i64) -> Result<Vec<Batch>, StoreError> {
    let behind = format!("batch_id > $1 AND wrapped_key IS NOT NULL AND vault_version <> {version}");
    list(store, &behind, after, most).await
}

async fn list(store: &Store, which: &str, after: i64, most: i64) -> Result<Vec<Batch>, StoreError> {
    let sql = format!("{BATCHES} WHERE {which} ORDER BY batch_id LIMIT $2");
    let rows = store.query(&sql, &[&after, &most]).await?;
    Ok(rows.iter().map(batch_of).collect())
}

const BATCHES: &str = "SELECT batch_id, import_id, vault_version, recipients, wrapped_key
     FROM card_batch JOIN vault ON version = vault_version";

fn batch_of(row: &Row) -> Batch {
    Batch {
        batch_id: row.get(0),
        import_id: row.get(1),
        vault_version: row.get(2),
        recipients: row.get(3),
        wrapped_key: row.get(4),
    }
}

/// Replaces the wrapped key of a batch, unless somebody else has done so meanwhile, or `version` is not the latest any
/// more. True when it did. Whoever finds that nobody opens it leaves it as it is under this version.
pub async fn rewrap_batch(store: &Store, batch: &Batch, version: i32, wrapped_key: &[u8]) -> Result<bool, StoreError> {
    let replaced = store
        .execute(
            "UPDATE card_batch SET wrapped_key = $4, vault_version = $3
             WHERE batch_id = $1 AND vault_version = $2 AND wrapped_key = $5
               AND $3 = (SELECT max(version) FROM vault)",
            &[
                &batch.batch_id,
                &batch.vault_version,
                &version,
                &wrapped_key,
                &batch.wrapped_key,
            ],
        )
        .await?;
    Ok(replaced == 1)
}

/// Cards that are looked at by one statement.
const STRETCH: i64 = 100_000;

/// Forgets the keys of batches that no sealed card is left of, of files that were entered more than `days` ago. Returns how
/// many. Batch by batch: it goes on where it found a sealed card the last time, so each card is looked at about once.
pub async fn forget_batch_keys(store: &Store, days: u32) -> Result<u64, StoreError> {
    let rows = store
        .query(
            "SELECT b.batch_id, b.shredded_to, b.last_card FROM card_batch b JOIN card_import i USING (import_id)
             WHERE b.wrapped_key IS NOT NULL AND b.last_card IS NOT NULL AND i.state = 'done'
               AND i.finished_at < clock_timestamp() - $1 * interval '1 day' ORDER BY 1",
            &[&f64::from(days)],
        )
        .await?;
    let mut forgotten = 0;
    for row in &rows {
        let (batch_id, from, last) = (row.get(0), row.get(1), row.get(2));
        let shredded_to = shredded_to(store, batch_id, from, last).await?;
        if shredded_to > from || shredded_to >= last {
            forgotten += note_shredded(store, batch_id, shredded_to).await?;
        }
    }
    Ok(forgotten)
}

/// Up to where no card of a batch is sealed, from where that was known on.
async fn shredded_to(store: &Store, batch_id: i64, from: i64, last: i64) -> Result<i64, StoreError> {
    let mut reached = from;
    while reached < last {
        let end = last.min(reached.saturating_add(STRETCH));
        let sealed = store.query_opt(SEALED, &[&batch_id, &reached, &end]).await?;
        match sealed {
            Some(card) => return Ok(card.get::<_, i64>(0) - 1),
            None => reached = end,
        }
    }
    Ok(reached)
}

/// The first sealed card of a batch in a stretch of cards. Told so that the order is that of the cards' own index.
pub(crate) const SEALED: &str =
    "SELECT card_id FROM card WHERE card_id > $2 AND card_id <= $3 AND batch_id = $1 AND sealed IS NOT NULL
     ORDER BY card_id LIMIT 1";

/// Notes how far a batch is shredded, and forgets its key with the last card. Nothing is sealed again, so it only moves on.
async fn note_shredded(store: &Store, batch_id: i64, shredded_to: i64) -> Result<u64, StoreError> {
    let noted = store
        .query_opt(
            "UPDATE card_batch SET shredded_to = greatest(shredded_to, $2),
                 wrapped_key = CASE WHEN $2 < last_card THEN wrapped_key END,
                 forgotten_at = CASE WHEN $2 >= last_card THEN clock_timestamp() END
             WHERE batch_id = $1 AND wrapped_key IS NOT NULL RETURNING forgotten_at IS NOT NULL",
            &[&batch_id, &shredded_to],
        )
        .await?;
    Ok(u64::from(noted.is_some_and(|row| row.get(0))))
}

/// Where batch keys are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchCounts {
    /// Wrapped for the recipients of the latest version.
    pub present: i64,
    /// Not yet.
    pub behind: i64,
    /// Forgotten.
    pub forgotten: i64,
}

/// How many batch keys there are. Looks at no key.
pub async fn batch_counts(store: &Store) -> Result<BatchCounts, StoreError> {
    let row = store
        .query_one(
            "SELECT count(*) FILTER (WHERE forgotten_at IS NULL AND vault_version = latest),
                    count(*) FILTER (WHERE forgotten_at IS NULL AND vault_version <> latest),
                    count(forgotten_at)
             FROM card_batch, (SELECT max(version) AS latest FROM vault) v",
            &[],
        )
        .await?;
    Ok(BatchCounts {
        present: row.get(0),
        behind: row.get(1),
        forgotten: row.get(2),
    })
}
