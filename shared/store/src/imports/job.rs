//! A card file as a job: handed in, taken up, told of, ended. Whatever a worker writes about one is fenced by
//! the token of its lease.

use domain::declaration::Zone;
use domain::ids::ProductId;
use jiff::Timestamp;
use jiff::civil::Date;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::audit::{self, Act};
use crate::cards::day_in;
use crate::{Store, StoreError, Tx};

/// How long a worker may be silent before its file is another's, in seconds.
pub const LEASE_SECONDS: i32 = 30;
/// How often a file is taken up whose worker fell silent each time.
pub(super) const MOST_ATTEMPTS: i32 = 3;
/// The size of every chunk of a sealed file but the last, so that a place in the file names its chunk.
pub const CHUNK_BYTES: usize = 1024 * 1024;

/// What the operator asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Malformed rows are left out; otherwise one of them refuses the file.
    pub good_rows: bool,
    /// Duplicates and expired cards refuse the file, as malformed rows do.
    pub strict: bool,
    /// A file that was entered before is taken once more.
    pub again: bool,
}

/// A file about to be handed in.
#[derive(Clone, Copy, Debug)]
pub struct HandIn<'a> {
    /// What it is a file of.
    pub product: &'a ProductId,
    /// What people call it.
    pub file_name: &'a str,
    /// What is asked for.
    pub options: Options,
    /// Who hands it in.
    pub who: &'a str,
}

/// A file taken up by this worker.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// The import.
    pub import_id: Uuid,
    /// What it is a file of.
    pub product: ProductId,
    /// As it was handed in.
    pub file_name: String,
    /// Of the sealed file.
    pub bytes: u64,
    /// What the operator asked for.
    pub options: Options,
    /// Fences everything this worker writes about it.
    pub token: Uuid,
}

/// How an import ends.
#[derive(Clone, Debug)]
pub struct Ending {
    /// Its cards are in stock; otherwise none is.
    pub entered: bool,
    /// Recognises the file; none where it could not be read through.
    pub file_hash: Option<[u8; 32]>,
    /// Rows of the file.
    pub rows: i64,
    /// Cards now in stock.
    pub added: i64,
    /// Rows known before.
    pub duplicates: i64,
    /// Rows that cannot be read.
    pub malformed: i64,
    /// Rows past their day.
    pub expired: i64,
    /// Which rows and why; never a secret.
    pub report: Value,
}

/// Begins to hand a file in. The product has to be declared. Chunks follow, and [`handed_in`].
pub async fn submit(tx: &Tx, import_id: Uuid, file: &HandIn<'_>) -> Result<(), StoreError> {
    let Options {
        good_rows,
        strict,
        again,
    } = file.options;
    let begun = tx
        .execute(
            "INSERT INTO card_import (import_id, product_id, file_name, requested_by, good_rows, strict, again)
             SELECT $1, product_id, $3, $4, $5, $6, $7 FROM product WHERE product_id = $2",
            &[
                &import_id,
                &file.product.as_str(),
                &file.file_name,
                &file.who,
                &good_rows,
                &strict,
                &again,
            ],
        )
        .await?;
    if begun == 0 {
        return Err(StoreError::Changed(format!("product {} is not declared", file.product)));
    }
    Ok(())
}

/// Adds the chunk `n`, counted from 0.
pub async fn add_chunk(tx: &Tx, import_id: Uuid, n: i32, data: &[u8]) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO card_import_chunk (import_id, n, data) VALUES ($1, $2, $3)",
        &[&import_id, &n, &data],
    )
    .await
    .map(drop)
}

/// The file is whole: from the commit on it waits for a worker.
pub async fn handed_in(tx: &Tx, import_id: Uuid, file: &HandIn<'_>, bytes: i64) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE card_import SET bytes = $2 WHERE import_id = $1",
        &[&import_id, &bytes],
    )
    .await?;
    let Options {
        good_rows,
        strict,
        again,
    } = file.options;
    let asked = json!({
        "product": file.product.as_str(), "file": file.file_name, "good_rows": good_rows, "strict": strict, "again": again,
    });
    let act = Act {
        who: file.who,
        act: "cards import",
        subject_kind: "card_import",
        subject: &import_id.to_string(),
        reason: None,
        before: None,
        after: Some(asked),
    };
    audit::record(tx, &act).await
}

/// A chunk of a file; none once the import has ended.
pub async fn chunk(store: &Store, import_id: Uuid, n: i32) -> Result<Option<Vec<u8>>, StoreError> {
    let row = store
        .query_opt(
            "SELECT data FROM card_import_chunk WHERE import_id = $1 AND n = $2",
            &[&import_id, &n],
        )
        .await?;
    Ok(row.map(|row| row.get(0)))
}

/// Today in a product's time zone, by the database's clock: its cards are judged by it.
pub async fn today(store: &Store, zone: &Zone) -> Result<Date, StoreError> {
    let sql = format!("SELECT {}", day_in("$1::text"));
    Ok(store.query_one(&sql, &[&zone.name()]).await?.get(0))
}

/// Takes up a file that waits, or one whose worker fell silent and which is not given up ([`super::give_up_deadly`]): `only`, or else the oldest. Files of one product are
/// entered one after the other, so cards are sold in the order in which they were handed in.
pub async fn claim(store: &Store, only: Option<Uuid>, lease_seconds: i32) -> Result<Option<Claimed>, StoreError> {
    let token = Uuid::new_v4();
    let row = store
        .query_opt(
            "UPDATE card_import SET state = 'working', lease_token = $2, rows_done = 0, rows_total = NULL,
                    attempts = attempts + 1, lease_until = clock_timestamp() + make_interval(secs => $3)
             WHERE import_id = (
                 SELECT import_id FROM card_import i
                 WHERE ($1::uuid IS NULL OR import_id = $1) AND state IN ('waiting', 'working')
                   AND (state = 'waiting' OR (lease_until < clock_timestamp() AND attempts < $4))
                   AND NOT EXISTS (SELECT FROM card_import o WHERE o.product_id = i.product_id AND o.state = 'working'
                                   AND o.lease_until >= clock_timestamp())
                 ORDER BY requested_at LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED)
             RETURNING import_id, product_id, file_name, coalesce(bytes, 0), good_rows, strict, again",
            &[&only, &token, &f64::from(lease_seconds), &MOST_ATTEMPTS],
        )
        .await?;
    row.map(|row| {
        Ok(Claimed {
            import_id: row.get(0),
            product: ProductId::parse(row.get(1))?,
            file_name: row.get(2),
            bytes: u64::try_from(row.get::<_, i64>(3)).unwrap_or(0),
            options: Options {
                good_rows: row.get(4),
                strict: row.get(5),
                again: row.get(6),
            },
            token,
        })
    })
    .transpose()
}

/// Says that the worker is still there, and how far it has come.
pub async fn renew(store: &Store, claimed: &Claimed, done: i64, total: Option<i64>) -> Result<(), StoreError> {
    let renewed = store
        .execute(
            "UPDATE card_import SET lease_until = clock_timestamp() + make_interval(secs => $3), rows_done = $4, rows_total = $5
             WHERE import_id = $1 AND lease_token = $2 AND state = 'working'",
            &[
                &claimed.import_id,
                &claimed.token,
                &f64::from(LEASE_SECONDS),
                &done,
                &total,
            ],
        )
        .await?;
    still_ours(renewed)
}

/// Gives a file back unfinished, to be taken up again by whoever comes first.
pub async fn give_back(store: &Store, claimed: &Claimed) -> Result<(), StoreError> {
    store
        .execute(
            "UPDATE card_import SET state = 'waiting', lease_token = NULL, lease_until = NULL, attempts = attempts - 1
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

/// Begins to enter the cards of a file: the transaction owns the job from here to its end, and no cancel comes between.
pub async fn own(tx: &Tx, claimed: &Claimed) -> Result<(), StoreError> {
    let rows = tx
        .query(
            "SELECT FROM card_import WHERE import_id = $1 AND lease_token = $2 AND state = 'working'
             FOR NO KEY UPDATE",
            &[&claimed.import_id, &claimed.token],
        )
        .await?;
    still_ours(rows.len() as u64)
}

/// When a file with one of these hashes (one per version of the key) was entered before, the latest time.
pub async fn entered_before(tx: &Tx, hashes: &[[u8; 32]]) -> Result<Option<(Uuid, Timestamp)>, StoreError> {
    let hashes: Vec<&[u8]> = hashes.iter().map(|hash| &hash[..]).collect();
    let row = tx
        .query_opt(
            "SELECT import_id, finished_at FROM card_import WHERE file_hash = ANY($1) AND state = 'done'
             ORDER BY finished_at DESC LIMIT 1",
            &[&hashes],
        )
        .await?;
    Ok(row.map(|row| (row.get(0), row.get(1))))
}

/// Whether a file waits or is being worked on.
pub async fn any_open(store: &Store) -> Result<bool, StoreError> {
    let row = store
        .query_one(
            "SELECT EXISTS (SELECT FROM card_import WHERE state IN ('waiting', 'working'))",
            &[],
        )
        .await?;
    Ok(row.get(0))
}

/// Ends an import. The file itself is forgotten.
pub async fn finish(tx: &Tx, claimed: &Claimed, ending: &Ending) -> Result<(), StoreError> {
    let state = if ending.entered { "done" } else { "refused" };
    let ended = tx
        .execute(
            "UPDATE card_import SET state = $3, file_hash = $4, rows_done = $5, rows_total = $5, added = $6, duplicates = $7,
                    malformed = $8, expired = $9, report = $10, finished_at = clock_timestamp(), lease_token = NULL,
                    lease_until = NULL
             WHERE import_id = $1 AND lease_token = $2 AND state = 'working'",
            &[
                &claimed.import_id,
                &claimed.token,
                &state,
                &ending.file_hash.as_ref().map(|hash| &hash[..]),
                &ending.rows,
                &ending.added,
                &ending.duplicates,
                &ending.malformed,
                &ending.expired,
                &ending.report,
            ],
        )
        .await?;
    still_ours(ended)?;
    forget(tx, claimed.import_id).await
}

pub(super) async fn forget(tx: &Tx, import_id: Uuid) -> Result<(), StoreError> {
    tx.execute("DELETE FROM card_import_chunk WHERE import_id = $1", &[&import_id])
        .await
        .map(drop)
}

fn still_ours(rows: u64) -> Result<(), StoreError> {
    if rows == 1 {
        Ok(())
    } else {
        Err(StoreError::Changed(
            "this file was cancelled, or taken up by another worker".into(),
        ))
    }
}
