//! Looks at secrets: asked for with a reason, answered by a cards worker as a file that only the recipients can open.
//!
//! Whoever asks needs no right to read anything of a card but its state; whoever answers writes who has seen what into the
//! audit log, in the transaction that makes the answer. What is stored of an answer is ciphertext.

mod answer;
mod ask;

use domain::ids::ProductId;
use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{Store, StoreError};

pub use answer::{AskedCard, Claimed, add_chunk, cards_after, claim, clear_old, finish, not_withdrawn, own, refuse};
pub use ask::{Again, Asked, Issuer, Return, Show, ask_again, ask_return, ask_show, collected, give_up};

/// The size of every chunk of a file but the last, in bytes.
pub const CHUNK_BYTES: usize = 1024 * 1024;

/// A disclosure as people see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Disclosure {
    /// Which.
    pub disclosure_id: Uuid,
    /// `show` or `return`.
    pub kind: String,
    /// Of what.
    pub product: ProductId,
    /// Who can open the answer.
    pub recipients: Vec<String>,
    /// Why.
    pub reason: String,
    /// By whom.
    pub requested_by: String,
    /// When.
    pub requested_at: Timestamp,
    /// `waiting`, `working`, `done` or `refused`.
    pub state: String,
    /// How many cards.
    pub cards: i64,
    /// What they are worth, in minor units.
    pub total: i64,
    /// Of that.
    pub currency: String,
    /// Those of the cards whose details are not in the file, since they are shredded or do not open.
    pub missing: i64,
    /// The size of the file.
    pub bytes: Option<i64>,
    /// When it was answered or refused.
    pub finished_at: Option<Timestamp>,
    /// When the file was first fetched.
    pub collected_at: Option<Timestamp>,
    /// When it was cleared away.
    pub cleared_at: Option<Timestamp>,
    /// Why it was refused.
    pub refusal: Option<String>,
    /// Who had it made again last; none: nobody did.
    pub again_by: Option<String>,
    /// Why.
    pub again_reason: Option<String>,
    /// When.
    pub again_at: Option<Timestamp>,
}

const COLUMNS: &str = "disclosure_id, kind, product_id, recipients, reason, requested_by, requested_at, state, cards, total, \
     currency, missing, bytes, finished_at, collected_at, cleared_at, refusal, again_by, again_reason, again_at";

/// One of them.
pub async fn find(store: &Store, id: Uuid) -> Result<Option<Disclosure>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM disclosure WHERE disclosure_id = $1");
    store
        .query_opt(&sql, &[&id])
        .await?
        .as_ref()
        .map(disclosure_of)
        .transpose()
}

/// All of them, the latest first.
pub async fn list(store: &Store) -> Result<Vec<Disclosure>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM disclosure ORDER BY requested_at DESC, disclosure_id DESC");
    store.query(&sql, &[]).await?.iter().map(disclosure_of).collect()
}

/// A chunk of its file, counted from 0.
pub async fn chunk(store: &Store, id: Uuid, n: i32) -> Result<Option<Vec<u8>>, StoreError> {
    let row = store
        .query_opt(
            "SELECT data FROM disclosure_chunk WHERE disclosure_id = $1 AND n = $2",
            &[&id, &n],
        )
        .await?;
    Ok(row.map(|row| row.get(0)))
}

fn disclosure_of(row: &Row) -> Result<Disclosure, StoreError> {
    Ok(Disclosure {
        disclosure_id: row.get(0),
        kind: row.get(1),
        product: ProductId::parse(row.get(2))?,
        recipients: row.get(3),
        reason: row.get(4),
        requested_by: row.get(5),
        requested_at: row.get(6),
        state: row.get(7),
        cards: row.get(8),
        total: row.get(9),
        currency: row.get(10),
        missing: row.get(11),
        bytes: row.get(12),
        finished_at: row.get(13),
        collected_at: row.get(14),
        cleared_at: row.get(15),
        refusal: row.get(16),
        again_by: row.get(17),
        again_reason: row.get(18),
        again_at: row.get(19),
    })
}
