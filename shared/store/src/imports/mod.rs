//! Card files on their way in: handed in sealed, in chunks; taken up under a lease; entered all or nothing. Everything here
//! is ciphertext, counts and reasons.

mod cancel;
mod given_up;
mod job;
mod stage;

use domain::ids::ProductId;
use jiff::Timestamp;
use serde_json::Value;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{Store, StoreError};

pub use cancel::cancel;
pub use given_up::{GivenUp, give_up_deadly};
pub use job::{
    CHUNK_BYTES, Claimed, Ending, HandIn, LEASE_SECONDS, Options, add_chunk, any_open, chunk, claim, deal_positions,
    entered_before, finish, give_back, handed_in, own, renew, submit, today,
};
pub use stage::{
    Duplicate, Duplicates, KnownCard, NewCard, Twin, add_batch, begin_staging, drop_duplicates, enter_alone,
    enter_staged, refresh_statistics, stage,
};

/// An import as people see it.
#[derive(Clone, Debug)]
pub struct Import {
    /// The import.
    pub import_id: Uuid,
    /// What it is a file of.
    pub product: ProductId,
    /// As it was handed in.
    pub file_name: String,
    /// `waiting`, `working`, `done`, `refused`, `cancelled` or `taken_back`.
    pub state: String,
    /// Rows looked at so far.
    pub rows_done: i64,
    /// Of how many; known once the file was read through.
    pub rows_total: Option<i64>,
    /// Who handed it in.
    pub requested_by: String,
    /// When.
    pub requested_at: Timestamp,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// Cards that came into stock by it; those of one `taken_back` are gone again.
    pub added: i64,
    /// Rows left out because the card is known already.
    pub duplicates: i64,
    /// Rows that cannot be read.
    pub malformed: i64,
    /// Rows left out because their day is past.
    pub expired: i64,
    /// Which rows and why; never a secret.
    pub report: Option<Value>,
}

const COLUMNS: &str = "import_id, product_id, file_name, state, rows_done, rows_total, requested_by, requested_at, \
     finished_at, added, duplicates, malformed, expired";

/// One import, with its report.
pub async fn find(store: &Store, import_id: Uuid) -> Result<Option<Import>, StoreError> {
    let sql = format!("SELECT {COLUMNS}, report FROM card_import WHERE import_id = $1");
    store
        .query_opt(&sql, &[&import_id])
        .await?
        .as_ref()
        .map(|row| import_of(row, row.get(13)))
        .transpose()
}

/// All imports, the latest first, without their reports.
pub async fn list(store: &Store) -> Result<Vec<Import>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM card_import ORDER BY requested_at DESC");
    store
        .query(&sql, &[])
        .await?
        .iter()
        .map(|row| import_of(row, None))
        .collect()
}

fn import_of(row: &Row, report: Option<Value>) -> Result<Import, StoreError> {
    Ok(Import {
        import_id: row.get(0),
        product: ProductId::parse(row.get(1))?,
        file_name: row.get(2),
        state: row.get(3),
        rows_done: row.get(4),
        rows_total: row.get(5),
        requested_by: row.get(6),
        requested_at: row.get(7),
        finished_at: row.get(8),
        added: row.get(9),
        duplicates: row.get(10),
        malformed: row.get(11),
        expired: row.get(12),
        report,
    })
}
