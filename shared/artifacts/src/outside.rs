//! A directory, or S3-compatible storage. A file is written under the id of its draft, and gets its final name, made of its
//! SHA-256 and that id, when it is whole and on the disk. The id makes the name this draft's alone: no sweep can take what
//! another build of the same bytes has just put there.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::stream::try_unfold;
use futures::{StreamExt, TryStreamExt};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStore, ObjectStoreExt, PutPayload};
use store::Store;
use store::artifacts::{Finished, unknown_among};
use url::Url;
use uuid::Uuid;

use crate::names::{self, Name, UNFINISHED};
use crate::{ArtifactError, ArtifactSettings, ArtifactSettingsError, s3};

const URL: &str = "UNIGATE_ARTIFACTS_URL";
/// What a place is tried with.
const TRIED: &[u8] = b"unigate tries whether files can lie here";
/// Objects looked up together.
pub(crate) const AT_ONCE: usize = 500;
/// Longer than a request that is repeated ([`s3::SILENT_FOR`] and [`s3::REPEATED_FOR`]): what has not answered by then hangs.
const ANSWERED_WITHIN: Duration = Duration::from_secs(150);

/// The place outside of the database.
#[derive(Clone, Debug)]
pub(crate) struct Outside {
    pub(crate) objects: Arc<dyn ObjectStore>,
    /// The URL, which files that lie here are noted with.
    pub(crate) place: String,
    pub(crate) prefix: Path,
    /// Files of more bytes go here.
    pub(crate) above_bytes: usize,
    /// How long it is waited for.
    patience: Duration,
    /// Set for a directory: what is left of a killed process's writing is not listed as files.
    directory: Option<PathBuf>,
}

impl Outside {
    pub(crate) fn new(settings: &ArtifactSettings) -> Result<Option<Self>, ArtifactSettingsError> {
        let Some(text) = &settings.url else { return Ok(None) };
        let wrong = |why: &str| ArtifactSettingsError::new(URL, format!("`{text}`: {why}"));
        let url = Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
        let (objects, prefix, directory): (Arc<dyn ObjectStore>, _, _) = match url.scheme() {
            "file" => {
                let directory = url
                    .to_file_path()
                    .map_err(|()| wrong("names no absolute directory, as in file:///var/lib/unigate/artifacts"))?;
                let prefix = Path::from_absolute_path(&directory).map_err(|error| wrong(&error.to_string()))?;
                (
                    Arc::new(LocalFileSystem::new().with_fsync(true)),
                    prefix,
                    Some(directory),
                )
            }
            "s3" => {
                let bucket = url
                    .host_str()
                    .ok_or_else(|| wrong("names no bucket, as in s3://bucket/prefix"))?;
                let prefix = Path::from_url_path(url.path()).map_err(|error| wrong(&error.to_string()))?;
                (Arc::new(s3::storage(bucket, settings, s3::SILENT_FOR)?), prefix, None)
            }
            _ => return Err(wrong("must begin with file:// or s3://")),
        };
        Ok(Some(Self {
            objects,
            place: text.trim_end_matches('/').to_owned(),
            prefix,
            above_bytes: settings.above_bytes,
            patience: ANSWERED_WITHIN,
            directory,
        }))
    }

    /// Waits for the place, as long as it takes one that is only slow. What hangs in the system cannot be stopped; whoever
    /// waits for it can go on.
    pub(crate) async fn within<T>(
        &self,
        work: impl Future<Output = Result<T, object_store::Error>>,
    ) -> Result<T, ArtifactError> {
        match tokio::time::timeout(self.patience, work).await {
            Ok(done) => done.map_err(|error| self.failed(error)),
            Err(_) => Err(ArtifactError::Hangs {
                place: self.place.clone(),
                within: self.patience,
            }),
        }
    }

    pub(crate) fn failed(&self, source: object_store::Error) -> ArtifactError {
        ArtifactError::Outside {
            place: self.place.clone(),
            source,
        }
    }

    fn unfinished(&self, id: Uuid) -> Path {
        self.prefix.clone().join(UNFINISHED).join(id.to_string())
    }

    fn whole(&self, sha256: &[u8], id: Uuid) -> Path {
        self.prefix.clone().join(format!("{}-{id}", hex::encode(sha256)))
    }

    /// Refuses a directory that is not there. Makes none.
    pub(crate) fn look_whether_there(&self) -> Result<(), ArtifactError> {
        let Some(directory) = &self.directory else {
            return Ok(());
        };
        let found = std::fs::metadata(directory);
        found.map(drop).map_err(|source| self.in_directory(source))
    }

    /// Tries what a build and a mail do, with a file that is nobody's; a sweep takes what cannot be taken away now.
    pub(crate) async fn check(&self) -> Result<(), ArtifactError> {
        let id = Uuid::now_v7();
        let tried = async {
            let place = self.unfinished(id);
            self.objects.put(&place, PutPayload::from_static(TRIED)).await?;
            let read = self.objects.get(&place).await?.bytes().await;
            self.objects.delete(&place).await?;
            read
        };
        let read = self.within(tried).await?;
        if read == TRIED {
            Ok(())
        } else {
            Err(ArtifactError::Damaged(id.to_string()))
        }
    }

    fn in_directory(&self, source: std::io::Error) -> ArtifactError {
        ArtifactError::Directory {
            place: self.place.clone(),
            source,
        }
    }

    pub(crate) async fn begin(
        &self,
        store: &Store,
        id: Uuid,
    ) -> Result<Box<dyn object_store::MultipartUpload>, ArtifactError> {
        self.claim(store).await?;
        self.within(self.objects.put_multipart(&self.unfinished(id))).await
    }

    /// Gives a file that is written its final name.
    pub(crate) async fn name(&self, id: Uuid, finished: &Finished) -> Result<(), ArtifactError> {
        let (from, to) = (self.unfinished(id), self.whole(&finished.sha256, id));
        self.within(self.objects.rename(&from, &to)).await
    }

    pub(crate) async fn read(
        &self,
        sha256: &[u8],
        id: Uuid,
    ) -> Result<impl futures::Stream<Item = Result<bytes::Bytes, ArtifactError>> + Send + use<>, ArtifactError> {
        let found = self.within(self.objects.get(&self.whole(sha256, id))).await?;
        let begun = (self.clone(), found.into_stream());
        Ok(try_unfold(begun, |(outside, mut pieces)| async move {
            let piece = outside.within(pieces.try_next()).await?;
            Ok(piece.map(|piece| (piece, (outside, pieces))))
        }))
    }

    /// Deletes files of ours that are older than `age` and that the database does not know, in a place that is this
    /// installation's. Of S3 uploads that were never completed there is no list: a lifecycle rule of the bucket ends them.
    pub(crate) async fn sweep(&self, store: &Store, age: Duration) -> Result<u64, ArtifactError> {
        if !self.is_to_be_swept(store).await? {
            return Ok(0);
        }
        let before = domain::clock::now() - age;
        let mut old = self
            .objects
            .list(Some(&self.prefix))
            .map_err(|error| self.failed(error))
            .try_filter(|object| std::future::ready(object.last_modified.timestamp() < before.as_second()))
            .try_chunks(AT_ONCE);
        let mut swept = 0;
        while let Some(objects) = old.next().await {
            swept += self.sweep_unknown(store, objects.map_err(|chunk| chunk.1)?).await?;
        }
        if let Some(directory) = &self.directory {
            swept += self.sweep_staged(&directory.join(UNFINISHED), age)?;
        }
        Ok(swept)
    }

    async fn sweep_unknown(&self, store: &Store, objects: Vec<ObjectMeta>) -> Result<u64, ArtifactError> {
        let ours: Vec<(Uuid, Path)> = objects
            .into_iter()
            .filter_map(|object| Some((Name::of(&self.prefix, &object.location)?.id(), object.location)))
            .collect();
        let ids: Vec<Uuid> = ours.iter().map(|(id, _)| *id).collect();
        let unknown = unknown_among(store, &ids).await?;
        let mut swept = 0;
        for (_, location) in ours.iter().filter(|(id, _)| unknown.contains(id)) {
            match self.objects.delete(location).await {
                // Two sweeps at once.
                Ok(()) | Err(object_store::Error::NotFound { .. }) => swept += 1,
                Err(error) => return Err(self.failed(error)),
            }
        }
        Ok(swept)
    }

    /// What killed processes left of their writing in a directory is not listed as files.
    fn sweep_staged(&self, unfinished: &std::path::Path, age: Duration) -> Result<u64, ArtifactError> {
        let failed = |source| self.in_directory(source);
        let entries = match std::fs::read_dir(unfinished) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(failed(error)),
        };
        let before = SystemTime::from(domain::clock::now() - age);
        let mut swept = 0;
        for entry in entries {
            let entry = entry.map_err(failed)?;
            let staged = entry.file_name().to_str().is_some_and(names::is_staged);
            let modified = entry.metadata().and_then(|about| about.modified()).map_err(failed)?;
            if staged && modified < before {
                std::fs::remove_file(entry.path()).map_err(failed)?;
                swept += 1;
            }
        }
        Ok(swept)
    }
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;
    use object_store::throttle::{ThrottleConfig, ThrottledStore};

    use super::*;

    fn outside(hangs: ThrottleConfig) -> Outside {
        Outside {
            objects: Arc::new(ThrottledStore::new(InMemory::new(), hangs)),
            place: "s3://registers".to_owned(),
            prefix: Path::default(),
            above_bytes: 0,
            patience: Duration::from_millis(50),
            directory: None,
        }
    }

    #[tokio::test]
    async fn nobody_waits_for_ever_for_a_place_that_hangs() {
        let a_day = Duration::from_secs(86_400);
        let reads = ThrottleConfig {
            wait_get_per_call: a_day,
            ..ThrottleConfig::default()
        };
        let writes = ThrottleConfig {
            wait_put_per_call: a_day,
            ..ThrottleConfig::default()
        };
        for hangs in [reads, writes] {
            let hung = outside(hangs).check().await.unwrap_err();
            assert!(matches!(hung, ArtifactError::Hangs { .. }) && hung.passes(), "{hung}");
        }
        let read = outside(reads).read(&[0; 32], Uuid::nil()).await.map(drop).unwrap_err();
        assert!(matches!(read, ArtifactError::Hangs { .. }), "{read}");
        outside(ThrottleConfig::default()).check().await.unwrap();
    }
}
