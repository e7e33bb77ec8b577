//! Card files on their way in: handed in sealed, taken up under a lease, entered all or nothing.

use std::collections::HashSet;

use domain::ids::ProductId;
use jiff::Timestamp;
use jiff::civil::Date;
use serde_json::Value;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{Store, StoreError, Tx};

/// How long a worker may be silent before its file is another's, in seconds.
pub const LEASE_SECONDS: i32 = 30;

/// A file taken up by this worker.
#[derive(Debug)]
pub struct Claimed {
    /// The import.
    pub import_id: Uuid,
    /// What it is a file of.
    pub product: ProductId,
    /// As it was handed in.
    pub file_name: String,
    /// Sealed to the vault.
    pub sealed_file: Vec<u8>,
    /// Fences everything this worker writes about it.
    pub token: Uuid,
}

/// An import as people see it.
#[derive(Clone, Debug)]
pub struct Import {
    /// The import.
    pub import_id: Uuid,
    /// What it is a file of.
    pub product: ProductId,
    /// As it was handed in.
    pub file_name: String,
    /// `waiting`, `working`, `done` or `refused`.
    pub state: String,
    /// Who handed it in.
    pub requested_by: String,
    /// When.
    pub requested_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Cards that are now in stock.
    pub added: i64,
    /// Rows left out because the card is known already.
    pub duplicates: i64,
    /// Which rows and why; never a secret.
    pub report: Option<Value>,
}

/// A sealed card about to be entered.
#[derive(Debug)]
pub struct NewCard {
    /// Its place in the order of selling.
    pub pos: i64,
    /// Unique within the product.
    pub serial: String,
    /// The details, sealed.
    pub sealed: Vec<u8>,
    /// Keyed hash of the details, under the latest index key.
    pub blind_index: [u8; 32],
    /// The same under every older one.
    pub older_indexes: Vec<[u8; 32]>,
    /// The last day on which it is good.
    pub expires_on: Option<Date>,
}

/// Hands a sealed file in. The product has to be declared.
pub async fn submit(
    tx: &Tx,
    import_id: Uuid,
    product: &ProductId,
    file_name: &str,
    sealed_file: &[u8],
    who: &str,
) -> Result<(), StoreError> {
    let handed_in = tx
        .execute(
            "INSERT INTO card_import (import_id, product_id, file_name, sealed_file, requested_by)
             SELECT $1, product_id, $3, $4, $5 FROM product WHERE product_id = $2",
            &[&import_id, &product.as_str(), &file_name, &sealed_file, &who],
        )
        .await?;
    if handed_in == 0 {
        return Err(StoreError::Changed(format!("product {product} is not declared")));
    }
    Ok(())
}

/// Today by the database's clock: cards are judged by it.
pub async fn today(store: &Store) -> Result<Date, StoreError> {
    Ok(store.query_one("SELECT current_date", &[]).await?.get(0))
}

/// Takes up a file that waits, or one whose worker fell silent: `only`, or else the oldest. Files of one product are
/// entered one after the other, so cards are sold in the order in which they were handed in.
pub async fn claim(store: &Store, only: Option<Uuid>, lease_seconds: i32) -> Result<Option<Claimed>, StoreError> {
    let token = Uuid::new_v4();
    let row = store
        .query_opt(
            "UPDATE card_import SET state = 'working', lease_token = $2,
                    lease_until = clock_timestamp() + make_interval(secs => $3)
             WHERE import_id = (
                 SELECT import_id FROM card_import i
                 WHERE ($1::uuid IS NULL OR import_id = $1) AND state IN ('waiting', 'working')
                   AND (state = 'waiting' OR lease_until < clock_timestamp())
                   AND NOT EXISTS (SELECT FROM card_import o WHERE o.product_id = i.product_id AND o.state = 'working'
                                   AND o.lease_until >= clock_timestamp())
                 ORDER BY requested_at LIMIT 1 FOR UPDATE SKIP LOCKED)
             RETURNING import_id, product_id, file_name, sealed_file",
            &[&only, &token, &f64::from(lease_seconds)],
        )
        .await?;
    row.map(|row| {
        Ok(Claimed {
            import_id: row.get(0),
            product: ProductId::parse(row.get(1))?,
            file_name: row.get(2),
            sealed_file: row.get(3),
            token,
        })
    })
    .transpose()
}

/// Says that the worker is still there.
pub async fn renew(store: &Store, claimed: &Claimed) -> Result<(), StoreError> {
    let renewed = store
        .execute(
            "UPDATE card_import SET lease_until = clock_timestamp() + make_interval(secs => $3)
             WHERE import_id = $1 AND lease_token = $2 AND state = 'working'",
            &[&claimed.import_id, &claimed.token, &f64::from(LEASE_SECONDS)],
        )
        .await?;
    still_ours(renewed)
}

/// Gives a file back unfinished, to be taken up again by whoever comes first.
pub async fn give_back(store: &Store, claimed: &Claimed) -> Result<(), StoreError> {
    store
        .execute(
            "UPDATE card_import SET state = 'waiting', lease_token = NULL, lease_until = NULL
             WHERE import_id = $1 AND lease_token = $2 AND state = 'working'",
            &[&claimed.import_id, &claimed.token],
        )
        .await
        .map(drop)
}

/// Deals positions for `count` cards; returns the first. What is not used of them stays a gap.
pub async fn deal_positions(store: &Store, product: &ProductId, count: i64) -> Result<i64, StoreError> {
    let row = store
        .query_one(
            "INSERT INTO product_stock (product_id, last_pos) VALUES ($1, $2)
             ON CONFLICT (product_id) DO UPDATE SET last_pos = product_stock.last_pos + $2
             RETURNING last_pos - $2 + 1",
            &[&product.as_str(), &count],
        )
        .await?;
    Ok(row.get(0))
}

/// Begins to enter the cards of a file: the transaction owns the job from here to its end.
pub async fn own(tx: &Tx, claimed: &Claimed) -> Result<(), StoreError> {
    let rows = tx
        .query(
            "SELECT FROM card_import WHERE import_id = $1 AND lease_token = $2 AND state = 'working' FOR UPDATE",
            &[&claimed.import_id, &claimed.token],
        )
        .await?;
    still_ours(rows.len() as u64)
}

/// When this very file was entered before. Its hashes are those under every index key: it may have come under an older one.
pub async fn entered_before(tx: &Tx, file_hashes: &[[u8; 32]]) -> Result<Option<(Uuid, Timestamp)>, StoreError> {
    let hashes: Vec<&[u8]> = file_hashes.iter().map(|hash| &hash[..]).collect();
    let row = tx
        .query_opt(
            "SELECT import_id, finished_at FROM card_import WHERE file_hash = ANY($1) AND state = 'done' LIMIT 1",
            &[&hashes],
        )
        .await?;
    Ok(row.map(|row| (row.get(0), row.get(1))))
}

/// Opens a batch for the file's cards, with the key that seals them, wrapped. Returns its id.
pub async fn add_batch(tx: &Tx, claimed: &Claimed, vault_version: i32, wrapped_key: &[u8]) -> Result<i64, StoreError> {
    let row = tx
        .query_one(
            "INSERT INTO card_batch (product_id, import_id, vault_version, wrapped_key) VALUES ($1, $2, $3, $4)
             RETURNING batch_id",
            &[
                &claimed.product.as_str(),
                &claimed.import_id,
                &vault_version,
                &wrapped_key,
            ],
        )
        .await?;
    Ok(row.get(0))
}

/// Enters cards; returns the positions of those that were new. A serial or a blind index known already is left out, also
/// when it came earlier in the same file. `index_version` is that of the latest index key, and stays so until the transaction
/// ends ([`crate::vault::hold`]).
pub async fn add_cards(
    tx: &Tx,
    product: &ProductId,
    batch_id: i64,
    index_version: i32,
    cards: &[NewCard],
) -> Result<HashSet<i64>, StoreError> {
    // Before the insert, never after it: a card being indexed anew is found under its older index by an earlier statement,
    // or stops the later one under its new index.
    let known = known_by_older_index(tx, cards).await?;
    let cards: Vec<&NewCard> = cards.iter().filter(|card| !known.contains(&card.pos)).collect();
    let positions: Vec<i64> = cards.iter().map(|card| card.pos).collect();
    let serials: Vec<&str> = cards.iter().map(|card| card.serial.as_str()).collect();
    let sealed: Vec<&[u8]> = cards.iter().map(|card| card.sealed.as_slice()).collect();
    let indexes: Vec<&[u8]> = cards.iter().map(|card| &card.blind_index[..]).collect();
    let expiries: Vec<Option<Date>> = cards.iter().map(|card| card.expires_on).collect();
    let rows = tx
        .query(
            "INSERT INTO card (product_id, batch_id, index_version, pos, serial, sealed, blind_index, expires_on)
             SELECT $1, $2, $8, u.* FROM UNNEST($3::bigint[], $4::text[], $5::bytea[], $6::bytea[], $7::date[]) AS u
             ON CONFLICT DO NOTHING RETURNING pos",
            &[
                &product.as_str(),
                &batch_id,
                &positions,
                &serials,
                &sealed,
                &indexes,
                &expiries,
                &index_version,
            ],
        )
        .await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// The positions of those whose details are known under an older index key. Costs nothing while there is only one key.
async fn known_by_older_index(tx: &Tx, cards: &[NewCard]) -> Result<HashSet<i64>, StoreError> {
    let mut positions = Vec::new();
    let mut indexes: Vec<&[u8]> = Vec::new();
    for card in cards {
        for index in &card.older_indexes {
            positions.push(card.pos);
            indexes.push(index);
        }
    }
    if positions.is_empty() {
        return Ok(HashSet::new());
    }
    let rows = tx
        .query(
            "SELECT u.pos FROM UNNEST($1::bigint[], $2::bytea[]) AS u (pos, blind_index)
             JOIN card ON card.blind_index = u.blind_index",
            &[&positions, &indexes],
        )
        .await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Which of these serials the product has already.
pub async fn known_serials(tx: &Tx, product: &ProductId, serials: &[&str]) -> Result<HashSet<String>, StoreError> {
    let rows = tx
        .query(
            "SELECT serial FROM card WHERE product_id = $1 AND serial = ANY($2)",
            &[&product.as_str(), &serials],
        )
        .await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Ends an import: `done`, or `refused` without a card entered. The file itself is forgotten.
pub async fn finish(
    tx: &Tx,
    claimed: &Claimed,
    state: &str,
    file_hash: Option<&[u8; 32]>,
    counts: (i64, i64),
    report: &Value,
) -> Result<(), StoreError> {
    let ended = tx
        .execute(
            "UPDATE card_import SET state = $3, file_hash = $4, added = $5, duplicates = $6, report = $7,
                    finished_at = clock_timestamp(), sealed_file = NULL, lease_token = NULL, lease_until = NULL
             WHERE import_id = $1 AND lease_token = $2 AND state = 'working'",
            &[
                &claimed.import_id,
                &claimed.token,
                &state,
                &file_hash.map(|hash| &hash[..]),
                &counts.0,
                &counts.1,
                report,
            ],
        )
        .await?;
    still_ours(ended)
}

/// Tells the planner of many new cards: a plan made for a small table would read a large one whole. Only a hint.
pub async fn refresh_statistics(store: &Store) -> Result<(), StoreError> {
    store.execute("ANALYZE card", &[]).await.map(drop)
}

const COLUMNS: &str = "import_id, product_id, file_name, state, requested_by, requested_at, finished_at, added, \
     duplicates, report";

/// One import.
pub async fn find(store: &Store, import_id: Uuid) -> Result<Option<Import>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM card_import WHERE import_id = $1");
    store
        .query_opt(&sql, &[&import_id])
        .await?
        .as_ref()
        .map(import_of)
        .transpose()
}

/// All imports, the latest first.
pub async fn list(store: &Store) -> Result<Vec<Import>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM card_import ORDER BY requested_at DESC");
    store.query(&sql, &[]).await?.iter().map(import_of).collect()
}

fn import_of(row: &Row) -> Result<Import, StoreError> {
    Ok(Import {
        import_id: row.get(0),
        product: ProductId::parse(row.get(1))?,
        file_name: row.get(2),
        state: row.get(3),
        requested_by: row.get(4),
        requested_at: row.get(5),
        finished_at: row.get(6),
        added: row.get(7),
        duplicates: row.get(8),
        report: row.get(9),
    })
}

fn still_ours(rows: u64) -> Result<(), StoreError> {
    if rows == 1 {
        Ok(())
    } else {
        Err(StoreError::Changed("this file was taken up by another worker".into()))
    }
}
