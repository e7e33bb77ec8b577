//! Built files, named by what they hold. A file is either whole under its SHA-256 or somebody's unfinished work that no
//! reader can see. Whole ones lie here in chunks, or outside of the database at a place that the crate `artifacts` reaches.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use futures::stream::try_unfold;
use uuid::Uuid;

use crate::{Store, StoreError, Tx};

/// The size of every chunk but the last.
pub const CHUNK_BYTES: usize = 1024 * 1024;
/// The first key of the advisory locks under which files that were begun get their names ("name" in ASCII), and how many
/// there are. A file's is told by its hash.
const NAME_LOCK: i32 = 0x6e61_6d65;
const NAME_LOCKS: u8 = 32;

/// What a finished file turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finished {
    /// Its SHA-256.
    pub sha256: [u8; 32],
    /// Its size.
    pub bytes: i64,
}

/// A whole file, to be named in the transaction that refers to it.
#[derive(Clone, Debug)]
pub struct Artifact {
    /// Its id while it has no name.
    pub id: Uuid,
    /// What it is.
    pub finished: Finished,
    /// Where its bytes are.
    pub lies: Lies,
}

/// Where the bytes of a whole file are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lies {
    /// Nowhere yet: they are stored with the name.
    Held(Vec<Bytes>),
    /// In chunks, begun with [`begin`].
    InChunks,
    /// Outside of the database, at this place; begun with [`begin`] all the same.
    Outside(String),
}

/// A file that has its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Its id, part of its name outside of the database.
    pub id: Uuid,
    /// Its size.
    pub bytes: i64,
    /// Where it lies outside of the database; none = in chunks.
    pub place: Option<String>,
}

/// Begins a file that belongs to a build's lease. Nobody can read it until it is named.
pub async fn begin(store: &Store, artifact: Uuid, lease: Uuid) -> Result<(), StoreError> {
    store
        .execute(
            "INSERT INTO artifact (artifact_id, lease) VALUES ($1, $2)",
            &[&artifact, &lease],
        )
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

/// Names files by what they hold, in the transaction that refers to them. The same bytes stored before are used again.
pub async fn name(tx: &Tx, artifacts: &[&Artifact]) -> Result<(), StoreError> {
    insert_held(tx, artifacts).await?;
    lock_begun(tx, artifacts).await?;
    for artifact in artifacts {
        match &artifact.lies {
            Lies::Held(_) => {}
            Lies::InChunks => name_begun(tx, artifact, None).await?,
            Lies::Outside(place) => name_begun(tx, artifact, Some(place)).await?,
        }
    }
    Ok(())
}

/// All at once, each with its chunks. In the order of their hashes: two transactions with the same bytes wait for each
/// other, and never in a circle.
async fn insert_held(tx: &Tx, artifacts: &[&Artifact]) -> Result<(), StoreError> {
    let (mut ids, mut hashes, mut sizes) = (Vec::new(), Vec::new(), Vec::new());
    let (mut owners, mut ns, mut data) = (Vec::new(), Vec::<i32>::new(), Vec::<&[u8]>::new());
    for artifact in artifacts {
        if let Lies::Held(chunks) = &artifact.lies {
            ids.push(artifact.id);
            hashes.push(&artifact.finished.sha256[..]);
            sizes.push(artifact.finished.bytes);
            owners.extend(chunks.iter().map(|_| artifact.id));
            ns.extend((0..).take(chunks.len()));
            data.extend(chunks.iter().map(|chunk| &chunk[..]));
        }
    }
    if ids.is_empty() {
        return Ok(());
    }
    tx.execute(
        "WITH new AS (
             INSERT INTO artifact (artifact_id, sha256, bytes)
             SELECT * FROM UNNEST($1::uuid[], $2::bytea[], $3::bigint[]) AS a (artifact_id, sha256, bytes) ORDER BY sha256
             ON CONFLICT (sha256) DO NOTHING RETURNING artifact_id)
         INSERT INTO artifact_chunk (artifact_id, n, data)
         SELECT artifact_id, n, data FROM UNNEST($4::uuid[], $5::int4[], $6::bytea[]) AS c (artifact_id, n, data)
         JOIN new USING (artifact_id)",
        &[&ids, &hashes, &sizes, &owners, &ns, &data],
    )
    .await
    .map(drop)
}

/// Two builds of the same bytes at once (a copy asked for twice): the later one sees the earlier one's files. However many
/// files there are, there are few locks, of which the server has a limited number, and they are always taken in the same
/// order.
async fn lock_begun(tx: &Tx, artifacts: &[&Artifact]) -> Result<(), StoreError> {
    let begun = artifacts
        .iter()
        .filter(|artifact| !matches!(artifact.lies, Lies::Held(_)));
    let locks: BTreeSet<i32> = begun
        .map(|artifact| i32::from(artifact.finished.sha256[0] % NAME_LOCKS))
        .collect();
    if locks.is_empty() {
        return Ok(());
    }
    let locks: Vec<i32> = locks.into_iter().collect();
    tx.execute(
        "SELECT pg_advisory_xact_lock($1, lock) FROM UNNEST($2::int4[]) AS l (lock)",
        &[&NAME_LOCK, &locks],
    )
    .await
    .map(drop)
}

async fn name_begun(tx: &Tx, artifact: &Artifact, place: Option<&str>) -> Result<(), StoreError> {
    let Finished { sha256, bytes } = &artifact.finished;
    let sha256 = &sha256[..];
    let named = tx
        .execute(
            "UPDATE artifact SET sha256 = $2, bytes = $3, place = $4, lease = NULL
             WHERE artifact_id = $1 AND NOT EXISTS (SELECT FROM artifact WHERE sha256 = $2)",
            &[&artifact.id, &sha256, &bytes, &place],
        )
        .await?;
    if named == 1 {
        return Ok(());
    }
    tx.execute("DELETE FROM artifact WHERE artifact_id = $1", &[&artifact.id])
        .await?;
    let there = tx
        .query_opt("SELECT FROM artifact WHERE sha256 = $1", &[&sha256])
        .await?;
    there
        .map(drop)
        .ok_or_else(|| StoreError::Changed("the file's chunks were swept away before it was finished".to_owned()))
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

/// Drops all unfinished files of a build.
pub async fn discard_of(store: &Store, lease: Uuid) -> Result<(), StoreError> {
    store
        .execute("DELETE FROM artifact WHERE lease = $1", &[&lease])
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
                   WHERE r.state = 'frozen' AND r.lease_token = a.lease AND r.lease_until > clock_timestamp())",
            &[&age.as_secs_f64()],
        )
        .await
}

/// Which of these ids are of no file: neither of a whole one nor of one being written.
pub async fn unknown_among(store: &Store, ids: &[Uuid]) -> Result<Vec<Uuid>, StoreError> {
    let rows = store
        .query(
            "SELECT id FROM UNNEST($1::uuid[]) AS u (id) WHERE NOT EXISTS (SELECT FROM artifact WHERE artifact_id = id)",
            &[&ids],
        )
        .await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// How many whole files lie at this place outside of the database.
pub async fn lying_at(store: &Store, place: &str) -> Result<i64, StoreError> {
    let row = store
        .query_one("SELECT count(*) FROM artifact WHERE place = $1", &[&place])
        .await?;
    Ok(row.get(0))
}

/// A named file.
pub async fn find(store: &Store, sha256: &[u8]) -> Result<Option<Named>, StoreError> {
    let row = store
        .query_opt(
            "SELECT artifact_id, bytes, place FROM artifact WHERE sha256 = $1",
            &[&sha256],
        )
        .await?;
    Ok(row.map(|row| Named {
        id: row.get(0),
        bytes: row.get(1),
        place: row.get(2),
    }))
}

/// The chunks of a file that lies here: one query and one chunk in memory at a time.
pub fn read_chunks(store: &Store, artifact: Uuid) -> impl Stream<Item = Result<Bytes, StoreError>> + Send + use<> {
    let store = store.clone();
    try_unfold(0_i32, move |n| {
        let store = store.clone();
        async move {
            let row = store
                .query_opt(
                    "SELECT data FROM artifact_chunk WHERE artifact_id = $1 AND n = $2",
                    &[&artifact, &n],
                )
                .await?;
            Ok(row.map(|row| (Bytes::from(row.get::<_, Vec<u8>>(0)), n + 1)))
        }
    })
}
