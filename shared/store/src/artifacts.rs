//! Built files, in chunks, named by what they hold. A file is either whole under its SHA-256 or somebody's unfinished
//! work that no reader can see.

use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use futures::stream::try_unfold;
use uuid::Uuid;

use crate::{Store, StoreError, Tx};

/// The size of every chunk but the last.
pub const CHUNK_BYTES: usize = 1024 * 1024;

/// What a finished file turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finished {
    /// Its SHA-256.
    pub sha256: [u8; 32],
    /// Its size.
    pub bytes: i64,
}

/// Begins a file. Nobody can read it until it is finished.
pub async fn begin(store: &Store, artifact: Uuid) -> Result<(), StoreError> {
    store
        .execute("INSERT INTO artifact (artifact_id) VALUES ($1)", &[&artifact])
        .await
        .map(drop)
}

/// Adds the chunk `n`, counted from 0.
pub async fn add_chunk(store: &Store, artifact: Uuid, n: i32, data: &[u8]) -> Result<(), StoreError> {
    store
        .execute(
            "INSERT INTO artifact_chunk (artifact_id, n, data) VALUES ($1, $2, $3)",
            &[&artifact, &n, &data],
        )
        .await
        .map(drop)
}

/// Names a file by what it holds, in the transaction that refers to it. The same bytes stored before are used again.
pub async fn finish(tx: &Tx, artifact: Uuid, finished: &Finished) -> Result<(), StoreError> {
    let sha256 = &finished.sha256[..];
    // Two builds of the same bytes at once (a copy asked for twice): the later one sees the earlier one's file.
    tx.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))",
        &[&hex::encode(sha256)],
    )
    .await?;
    let named = tx
        .execute(
            "UPDATE artifact SET sha256 = $2, bytes = $3
             WHERE artifact_id = $1 AND NOT EXISTS (SELECT FROM artifact WHERE sha256 = $2)",
            &[&artifact, &sha256, &finished.bytes],
        )
        .await?;
    if named == 1 {
        return Ok(());
    }
    tx.execute("DELETE FROM artifact WHERE artifact_id = $1", &[&artifact])
        .await?;
    if tx
        .query_opt("SELECT FROM artifact WHERE sha256 = $1", &[&sha256])
        .await?
        .is_none()
    {
        return Err(StoreError::Changed(
            "the file's chunks were swept away before it was finished".to_owned(),
        ));
    }
    Ok(())
}

/// Drops an unfinished file.
pub async fn discard(store: &Store, artifact: Uuid) -> Result<(), StoreError> {
    store
        .execute(
            "DELETE FROM artifact WHERE artifact_id = $1 AND sha256 IS NULL",
            &[&artifact],
        )
        .await
        .map(drop)
}

/// Drops what lost builds left behind: unfinished, older than `age`, and of no build under way. Returns how many.
pub async fn discard_orphans(store: &Store, age: Duration) -> Result<u64, StoreError> {
    store
        .execute(
            "DELETE FROM artifact a
             WHERE sha256 IS NULL AND created_at < clock_timestamp() - make_interval(secs => $1)
               AND NOT EXISTS (SELECT FROM register r
                   WHERE r.state = 'frozen' AND r.lease_token = a.artifact_id AND r.lease_until > clock_timestamp())",
            &[&age.as_secs_f64()],
        )
        .await
}

/// A finished file, chunk by chunk: one query and one chunk in memory at a time.
pub fn read(store: &Store, sha256: &[u8]) -> impl Stream<Item = Result<Bytes, StoreError>> + Send + use<> {
    let (store, sha256) = (store.clone(), sha256.to_vec());
    try_unfold(0_i32, move |n| {
        let (store, sha256) = (store.clone(), sha256.clone());
        async move {
            let row = store
                .query_opt(
                    "SELECT c.data FROM artifact a JOIN artifact_chunk c USING (artifact_id) WHERE a.sha256 = $1 AND c.n = $2",
                    &[&sha256, &n],
                )
                .await?;
            Ok(row.map(|row| (Bytes::from(row.get::<_, Vec<u8>>(0)), n + 1)))
        }
    })
}
