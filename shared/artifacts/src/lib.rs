//! Built files: where their bytes go and come from.
//!
//! By default they lie in the database, in chunks: any host can build, any can mail, and one backup has it all. Those above
//! a size can go to a directory or to S3-compatible storage instead. Which file is whole, what it is called and who is
//! still writing one is the database's knowledge in either case (`store::artifacts`), so a file that was begun and never
//! recorded is of nobody, wherever it lies, and is swept away. The place outside is one installation's alone, and marked as such.

mod draft;
mod error;
mod mark;
mod names;
mod outside;
mod read;
mod s3;
mod settings;

use std::time::Duration;

use store::Store;
use store::artifacts;
use uuid::Uuid;

use self::outside::Outside;

pub use draft::Draft;
pub use error::ArtifactError;
pub use mark::MARK;
pub use settings::{ArtifactSettings, ArtifactSettingsError, S3Settings};

/// Reads and writes built files. Cheap to clone; the place outside is reached when it is first needed.
#[derive(Clone, Debug)]
pub struct Artifacts {
    store: Store,
    outside: Option<Outside>,
}

impl Artifacts {
    /// Files as these settings keep them. Fails only on settings that can never work.
    pub fn new(store: Store, settings: &ArtifactSettings) -> Result<Self, ArtifactSettingsError> {
        Ok(Self {
            store,
            outside: Outside::new(settings)?,
        })
    }

    /// Files in the database, and no others.
    pub fn in_database(store: Store) -> Self {
        Self { store, outside: None }
    }

    /// Begins a file for a build that holds this lease.
    pub fn draft(&self, lease: Uuid) -> Draft {
        Draft::new(self.store.clone(), self.outside.clone(), lease)
    }

    /// Where large files go outside of the database; none = nowhere, they lie in it.
    pub fn place(&self) -> Option<&str> {
        self.outside.as_ref().map(|outside| &*outside.place)
    }

    /// Looks whose the place is where large files go, writes a few bytes there, reads them and takes them away again: what
    /// `doctor` asks. Makes no directory.
    pub async fn check(&self) -> Result<(), ArtifactError> {
        match &self.outside {
            Some(outside) => {
                outside.look_whether_there()?;
                outside.look_at_mark(&self.store).await?;
                outside.check().await
            }
            None => Ok(()),
        }
    }

    /// Drops what lost builds left behind that is older than `age`, here and outside. Returns how many files that were. In a
    /// place of another installation nothing is dropped: [`ArtifactError::Foreign`]. Nor where all that should be is not:
    /// [`ArtifactError::Bare`].
    pub async fn sweep(&self, age: Duration) -> Result<u64, ArtifactError> {
        // In this order: what has no row is nobody's.
        let mut swept = artifacts::discard_orphans(&self.store, age).await?;
        if let Some(outside) = &self.outside {
            swept += outside.sweep(&self.store, age).await?;
        }
        Ok(swept)
    }
}
