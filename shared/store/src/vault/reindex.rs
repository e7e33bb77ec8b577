//! Cards indexed anew under the latest index key, in small steps whose progress is stored.
//!
//! New cards are only ever written under the latest key ([`super::hold`]), so one walk over the cards that were there when
//! it became the latest is enough. A card moves from its old index to its new one by one update; at every moment it can be
//! found under one of the two.

use jiff::Timestamp;

use crate::{Store, StoreError, Tx};

/// A walk that is not finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// The key it is for.
    pub index_version: i32,
    /// The last card looked at.
    pub reindexed_to: i64,
}

/// A card of an older index.
#[derive(Clone, Debug)]
pub struct Indexed {
    /// Its row.
    pub card_id: i64,
    /// Its place in the order of selling; part of what its seal is bound to.
    pub pos: i64,
    /// Whose key opens it.
    pub batch_id: i64,
    /// Its details, sealed.
    pub sealed: Vec<u8>,
    /// Its index under the older key.
    pub blind_index: Vec<u8>,
}

/// A card's index under the latest key.
#[derive(Debug)]
pub struct Reindexed {
    /// Its row.
    pub card_id: i64,
    /// What it is indexed under until now; if that has changed, it is left alone.
    pub before: Vec<u8>,
    /// What it is indexed under from now on.
    pub after: [u8; 32],
}

/// The next up to `most` cards of an older index whose details are still there, with the walk locked for this transaction.
/// `None`: there is no walk under way, or another process is at it. No card among them is locked.
pub async fn next_to_reindex(tx: &Tx, most: i64) -> Result<Option<(Progress, Vec<Indexed>)>, StoreError> {
    let walk = tx
        .query_opt(
            "SELECT index_version, reindexed_to FROM vault_index_key
             WHERE reindexed_at IS NULL AND index_version = (SELECT max(index_version) FROM vault_index_key)
             FOR UPDATE SKIP LOCKED",
            &[],
        )
        .await?;
    let Some(walk) = walk else { return Ok(None) };
    let progress = Progress {
        index_version: walk.get(0),
        reindexed_to: walk.get(1),
    };
    let rows = tx
        .query(
            "SELECT c.card_id, pos, batch_id, sealed, blind_index FROM card c JOIN card_identity USING (product_id, serial)
             WHERE c.card_id > $1 AND index_version < $2 AND sealed IS NOT NULL ORDER BY c.card_id LIMIT $3",
            &[&progress.reindexed_to, &progress.index_version, &most],
        )
        .await?;
    let cards = rows
        .iter()
        .map(|row| Indexed {
            card_id: row.get(0),
            pos: row.get(1),
            batch_id: row.get(2),
            sealed: row.get(3),
            blind_index: row.get(4),
        })
        .collect();
    Ok(Some((progress, cards)))
}

/// Writes new indexes and how far the walk has come; `last` none = it is finished. What was shredded meanwhile keeps its
/// old index, and so does a card whose new index another one has, which would be a bug. Returns how many were written.
///
/// Nothing else of a card changes, not even `updated_at`: by that secrets are shredded.
pub async fn reindex(tx: &Tx, at: Progress, cards: &[Reindexed], last: Option<i64>) -> Result<u64, StoreError> {
    let ids: Vec<i64> = cards.iter().map(|card| card.card_id).collect();
    let before: Vec<&[u8]> = cards.iter().map(|card| card.before.as_slice()).collect();
    let after: Vec<&[u8]> = cards.iter().map(|card| &card.after[..]).collect();
    let written = tx
        .execute(
            "UPDATE card_identity SET blind_index = u.after, index_version = $4
             FROM UNNEST($1::bigint[], $2::bytea[], $3::bytea[]) AS u (id, before, after)
             WHERE card_identity.blind_index = u.before
               AND EXISTS (SELECT FROM card WHERE card.card_id = u.id AND sealed IS NOT NULL)
               AND NOT EXISTS (SELECT FROM card_identity other WHERE other.blind_index = u.after)",
            &[&ids, &before, &after, &at.index_version],
        )
        .await?;
    tx.execute(
        "UPDATE vault_index_key SET reindexed_to = coalesce($2, reindexed_to),
                reindexed_at = CASE WHEN $2 IS NULL THEN clock_timestamp() END
         WHERE index_version = $1",
        &[&at.index_version, &last],
    )
    .await?;
    Ok(written)
}

/// A key of the blind index, for people.
#[derive(Clone, Debug)]
pub struct IndexKeyInfo {
    /// Its version.
    pub index_version: i32,
    /// When it was made.
    pub created_at: Timestamp,
    /// When the cards of older ones were all indexed under it; none while that goes on, or since a later one came first.
    pub reindexed_at: Option<Timestamp>,
    /// How many cards are indexed under it.
    pub cards: i64,
}

/// The keys of the blind index. Reads all cards: for people.
pub async fn index_keys(store: &Store) -> Result<Vec<IndexKeyInfo>, StoreError> {
    let rows = store
        .query(
            "SELECT k.index_version, k.created_at, k.reindexed_at, coalesce(c.cards, 0)
             FROM vault_index_key k
             LEFT JOIN (SELECT index_version, count(*) AS cards FROM card_identity GROUP BY index_version) c USING (index_version)
             ORDER BY k.index_version",
            &[],
        )
        .await?;
    Ok(rows
        .iter()
        .map(|row| IndexKeyInfo {
            index_version: row.get(0),
            created_at: row.get(1),
            reindexed_at: row.get(2),
            cards: row.get(3),
        })
        .collect())
}
