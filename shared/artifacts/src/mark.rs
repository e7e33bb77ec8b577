//! Whose a place outside of the database is. Whoever sweeps deletes what its own database does not know: where another
//! installation keeps its files, that would be all of them. So a place carries the id of the installation that wrote there
//! first, and everybody else neither writes nor deletes anything there. A place that should have the mark and has none is
//! most likely a directory that is not mounted: what is written there is gone from sight when it is.

use futures::{StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{Error, ObjectStoreExt, PutMode, PutOptions, PutPayload};
use store::artifacts::{lying_at, unknown_among};
use store::{Store, installation};
use uuid::Uuid;

use crate::ArtifactError;
use crate::names::Name;
use crate::outside::{AT_ONCE, Outside};

/// The name of the file that says whose a place is. It holds the installation's id.
pub const MARK: &str = "unigate-installation";

impl Outside {
    /// Makes sure that files may be written here, and marks a place that nobody has marked. Asked before every file: a share
    /// may go while a process runs.
    pub(crate) async fn claim(&self, store: &Store) -> Result<(), ArtifactError> {
        if self.is_marked_ours(store).await? {
            return Ok(());
        }
        self.holds_ours(store).await?;
        self.put_mark(store).await
    }

    /// Whether there may be anything to delete here. A place that is empty is not marked by looking at it: it may be one that
    /// is yet to be mounted.
    pub(crate) async fn is_to_be_swept(&self, store: &Store) -> Result<bool, ArtifactError> {
        if self.is_marked_ours(store).await? {
            return Ok(true);
        }
        let holds_ours = self.holds_ours(store).await?;
        if holds_ours {
            self.put_mark(store).await?;
        }
        Ok(holds_ours)
    }

    /// Refuses a place that is marked as another installation's, and one that has lost all of ours. Writes nothing.
    pub(crate) async fn look_at_mark(&self, store: &Store) -> Result<(), ArtifactError> {
        match self.mark().await? {
            Some(theirs) => self.compare(&theirs, installation::known(store).await?),
            // Whose files lie there makes no difference to who has none.
            None if lying_at(store, &self.place).await? == 0 => Ok(()),
            None => self.holds_ours(store).await.map(drop),
        }
    }

    /// Whether it is marked as ours; an error if as somebody else's.
    async fn is_marked_ours(&self, store: &Store) -> Result<bool, ArtifactError> {
        let Some(mark) = self.mark().await? else {
            return Ok(false);
        };
        self.compare(&mark, Some(installation::id(store).await?))?;
        Ok(true)
    }

    fn compare(&self, mark: &str, ours: Option<Uuid>) -> Result<(), ArtifactError> {
        match ours {
            Some(ours) if mark == ours.to_string() => Ok(()),
            Some(ours) => Err(self.foreign(format!("it is marked as that of {mark:?}, and this is {ours}"))),
            None => Err(self.foreign(format!(
                "it is marked as that of {mark:?}, and this one has marked none"
            ))),
        }
    }

    fn foreign(&self, why: String) -> ArtifactError {
        ArtifactError::Foreign {
            place: self.place.clone(),
            why,
        }
    }

    async fn mark(&self) -> Result<Option<String>, ArtifactError> {
        let read = async {
            match self.objects.get(&self.mark_path()).await {
                Ok(found) => found.bytes().await.map(Some),
                Err(Error::NotFound { .. }) => Ok(None),
                Err(error) => Err(error),
            }
        };
        let bytes = self.within(read).await?;
        Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned()))
    }

    /// Whether an unmarked place holds whole files of our database; an error if it holds none of them, but others, or if it
    /// should.
    async fn holds_ours(&self, store: &Store) -> Result<bool, ArtifactError> {
        let mut named = self
            .objects
            .list(Some(&self.prefix))
            .map_err(|error| self.failed(error))
            .try_filter_map(|object| std::future::ready(Ok(self.whole_file(object.location))))
            .try_chunks(AT_ONCE);
        let mut unknown = None;
        while let Some(files) = named.next().await {
            let files = files.map_err(|chunk| chunk.1)?;
            let ids: Vec<Uuid> = files.iter().map(|(id, _)| *id).collect();
            if unknown_among(store, &ids).await?.len() < ids.len() {
                return Ok(true);
            }
            unknown = files.into_iter().next();
        }
        let Some((_, file)) = unknown else {
            return self.look_for_lost(store).await.map(|()| false);
        };
        let ours = installation::id(store).await?;
        let file = file.filename().unwrap_or_default();
        let why = format!("it has no mark, and this one, {ours}, knows none of the files in it ({file})");
        Err(self.foreign(why))
    }

    /// Refuses a place where nothing of ours is and some should be.
    async fn look_for_lost(&self, store: &Store) -> Result<(), ArtifactError> {
        let files = lying_at(store, &self.place).await?;
        if files == 0 {
            return Ok(());
        }
        Err(ArtifactError::Bare {
            place: self.place.clone(),
            files,
            ours: installation::id(store).await?,
        })
    }

    /// A whole file of somebody's, and its id. What is unfinished is nobody's loss, and a mere try of a place has such names too.
    fn whole_file(&self, location: Path) -> Option<(Uuid, Path)> {
        match Name::of(&self.prefix, &location)? {
            Name::Whole(id) => Some((id, location)),
            Name::Unfinished(_) => None,
        }
    }

    /// Two that come first at once do not both succeed, where the storage can tell.
    async fn put_mark(&self, store: &Store) -> Result<(), ArtifactError> {
        let ours = installation::id(store).await?;
        let mark = || PutPayload::from(format!("{ours}\n"));
        let put = async {
            let first = PutOptions::from(PutMode::Create);
            match self.objects.put_opts(&self.mark_path(), mark(), first).await {
                Ok(_) | Err(Error::AlreadyExists { .. }) => Ok(()),
                // Some storage knows no condition.
                Err(_) => self.objects.put(&self.mark_path(), mark()).await.map(drop),
            }
        };
        self.within(put).await?;
        self.is_marked_ours(store).await.map(drop)
    }

    fn mark_path(&self) -> Path {
        self.prefix.clone().join(MARK)
    }
}
