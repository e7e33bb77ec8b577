//! A database of its own, and what every place must keep.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use artifacts::{ArtifactError, ArtifactSettings, Artifacts, Draft};
use bytes::Bytes;
use futures::{FutureExt, TryStreamExt};
use secrecy::SecretString;
use sha2::{Digest, Sha256};
use store::artifacts::{Artifact, CHUNK_BYTES, Finished};
use store::{Store, StoreSettings, scratch};
use uuid::Uuid;

/// More than two of what is uploaded at once, and no whole number of chunks.
pub(crate) const LARGE: usize = 11 * CHUNK_BYTES + 4321;

pub(crate) struct Stand {
    pub(crate) store: Store,
}

/// Runs a test on a database of its own, which is dropped afterwards, also when the test fails.
pub(crate) async fn on_stand<F>(test: impl FnOnce(Arc<Stand>) -> F)
where
    F: Future<Output = ()>,
{
    let server = runtime_environment("UNIGATE_DATABASE_URL");
    let server = server.unwrap_or_else(|| "postgres://postgres@127.0.0.1:5432/unigate".to_owned());
    let (server, _) = server.rsplit_once('/').unwrap();
    let settings = StoreSettings {
        url: SecretString::from(format!("{server}/unigate_test_{}", Uuid::new_v4().simple())),
        pool_size: 8,
        ca_file: None,
        application_name: "artifacts tests".to_owned(),
    };
    store::migrate(&settings).await.unwrap();
    let stand = Arc::new(Stand {
        store: Store::connect(&settings).unwrap(),
    });
    let ended = AssertUnwindSafe(test(stand)).catch_unwind().await;
    store::drop_database(&settings).await.unwrap();
    if let Err(failed) = ended {
        std::panic::resume_unwind(failed);
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "settings are read in runtime, which stands on this crate"
)]
fn runtime_environment(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Bytes that look like nothing, and differ by seed.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

impl Stand {
    /// Files that go to this place from the first byte on.
    pub(crate) fn artifacts(&self, settings: &ArtifactSettings) -> Artifacts {
        Artifacts::new(self.store.clone(), settings).unwrap()
    }

    pub(crate) async fn sql(&self, sql: &str) -> String {
        let rows = scratch::sql(&self.store, sql).await.unwrap();
        rows.first().and_then(|row| row[0].clone()).unwrap_or_default()
    }

    /// Names files, as the transaction does that records a build.
    pub(crate) async fn name(&self, artifacts: &[&Artifact]) {
        let tx = self.store.begin().await.unwrap();
        store::artifacts::name(&tx, artifacts).await.unwrap();
        tx.commit().await.unwrap();
    }

    /// What is written, named and read again is the same, and lies where it should.
    pub(crate) async fn keeps(&self, artifacts: &Artifacts, place: Option<&str>) -> Artifact {
        let file = noise(1, LARGE);
        let artifact = write(artifacts, &file).await.unwrap();
        let early = read(artifacts, &artifact.finished.sha256).await;
        assert!(matches!(early, Err(ArtifactError::Missing(_))), "it has no name yet");
        self.name(&[&artifact]).await;
        assert!(read(artifacts, &artifact.finished.sha256).await.unwrap() == file);
        let lies = self.sql("SELECT coalesce(place, 'here') FROM artifact").await;
        assert_eq!(lies, place.unwrap_or("here"));
        artifact
    }

    /// Makes everything in the database two hours older.
    pub(crate) async fn two_hours_later(&self) {
        self.sql("UPDATE artifact SET created_at = created_at - interval '2 hours'")
            .await;
    }
}

/// Writes a file in chunks, as a build does.
pub(crate) async fn write(artifacts: &Artifacts, file: &[u8]) -> Result<Artifact, ArtifactError> {
    write_into(artifacts.draft(Uuid::now_v7()), file).await
}

pub(crate) async fn write_into(mut draft: Draft, file: &[u8]) -> Result<Artifact, ArtifactError> {
    for chunk in file.chunks(CHUNK_BYTES) {
        if let Err(error) = draft.add(Bytes::copy_from_slice(chunk)).await {
            draft.discard().await;
            return Err(error);
        }
    }
    let finished = Finished {
        sha256: Sha256::digest(file).into(),
        bytes: file.len() as i64,
    };
    draft.finish(finished).await
}

pub(crate) async fn read(artifacts: &Artifacts, sha256: &[u8]) -> Result<Vec<u8>, ArtifactError> {
    let chunks: Vec<Bytes> = artifacts.read(sha256).try_collect().await?;
    Ok(chunks.concat())
}

/// Older than whatever a test has just made.
pub(crate) const HOUR: Duration = Duration::from_secs(3600);
