//! A file being written, chunk by chunk. Small ones are held in memory and stored together with their name, unless there
//! are many of them to one name; larger ones go out as they come.

use bytes::Bytes;
use object_store::{MultipartUpload, PutPayload};
use store::Store;
use store::artifacts::{self, Artifact, Finished, Lies};
use uuid::Uuid;

use crate::outside::Outside;
use crate::{ArtifactError, ArtifactSettings};

/// S3 takes no smaller parts but the last, and some storage wants all of one size.
const UPLOADED_AT_ONCE: usize = 5 * 1024 * 1024;

/// A file being written. Dropped, it leaves what a sweep finds; [`Draft::discard`] is faster.
#[derive(Debug)]
pub struct Draft {
    store: Store,
    outside: Option<Outside>,
    lease: Uuid,
    id: Uuid,
    holds: bool,
    going: Going,
}

/// Where it goes.
#[derive(Debug)]
enum Going {
    /// Nowhere yet.
    Held { chunks: Vec<Bytes>, bytes: usize },
    /// Into the database; so many chunks are there.
    InChunks { next: i32 },
    /// Outside.
    Outside {
        upload: Box<dyn MultipartUpload>,
        waiting: Vec<Bytes>,
        bytes: usize,
    },
}

impl Draft {
    pub(crate) fn new(store: Store, outside: Option<Outside>, lease: Uuid) -> Self {
        Self {
            store,
            outside,
            lease,
            id: Uuid::now_v7(),
            holds: true,
            going: Going::Held {
                chunks: Vec::new(),
                bytes: 0,
            },
        }
    }

    /// Whether it may be held in memory until it is named, should it be small: it is unless this says otherwise. Files of
    /// which any number is named together are not.
    #[must_use]
    pub fn holding(self, holds: bool) -> Self {
        Self { holds, ..self }
    }

    /// Takes the next bytes, at most a chunk of them ([`artifacts::CHUNK_BYTES`]).
    pub async fn add(&mut self, chunk: Bytes) -> Result<(), ArtifactError> {
        match &mut self.going {
            Going::Held { chunks, bytes } => {
                *bytes += chunk.len();
                chunks.push(chunk);
                let outside = self.outside.as_ref();
                if *bytes > outside.map_or(ArtifactSettings::ABOVE_DEFAULT, |outside| outside.above_bytes) {
                    self.let_go(true).await?;
                }
                Ok(())
            }
            _ => self.send(chunk).await,
        }
    }

    /// Sends what is held to where it will lie: the database or, if it is `large`, outside.
    async fn let_go(&mut self, large: bool) -> Result<(), ArtifactError> {
        let Going::Held { chunks, .. } = &mut self.going else {
            return Ok(());
        };
        let held = std::mem::take(chunks);
        // The row comes first: a sweep knows what has one.
        artifacts::begin(&self.store, self.id, self.lease).await?;
        self.going = Going::InChunks { next: 0 };
        if let Some(outside) = self.outside.as_ref().filter(|_| large) {
            self.going = Going::Outside {
                upload: outside.begin(&self.store, self.id).await?,
                waiting: Vec::new(),
                bytes: 0,
            };
        }
        for chunk in held {
            self.send(chunk).await?;
        }
        Ok(())
    }

    async fn send(&mut self, chunk: Bytes) -> Result<(), ArtifactError> {
        match &mut self.going {
            Going::Held { chunks, .. } => chunks.push(chunk),
            Going::InChunks { next } => {
                artifacts::add_chunk(&self.store, self.id, *next, &chunk).await?;
                *next += 1;
            }
            Going::Outside { waiting, bytes, .. } => {
                *bytes += chunk.len();
                waiting.push(chunk);
                if *bytes >= UPLOADED_AT_ONCE {
                    self.upload().await?;
                }
            }
        }
        Ok(())
    }

    async fn upload(&mut self) -> Result<(), ArtifactError> {
        if let (Going::Outside { upload, waiting, bytes }, Some(outside)) = (&mut self.going, &self.outside) {
            let payload = PutPayload::from_iter(std::mem::take(waiting));
            *bytes = 0;
            outside.within(upload.put_part(payload)).await?;
        }
        Ok(())
    }

    /// Ends the file, which is whole and on the disk then, or held to be. It has no name before it is recorded.
    pub async fn finish(mut self, finished: Finished) -> Result<Artifact, ArtifactError> {
        if !self.holds {
            self.let_go(false).await?;
        }
        self.upload().await?;
        let lies = match (self.going, &self.outside) {
            (Going::Held { chunks, .. }, _) => Lies::Held(chunks),
            (Going::Outside { mut upload, .. }, Some(outside)) => {
                outside.within(upload.complete()).await?;
                outside.name(self.id, &finished).await?;
                Lies::Outside(outside.place.clone())
            }
            _ => Lies::InChunks,
        };
        Ok(Artifact {
            id: self.id,
            finished,
            lies,
        })
    }

    /// Drops it. What cannot be dropped now is left to the sweep.
    pub async fn discard(self) {
        let dropped = match self.going {
            Going::Held { .. } => return,
            Going::InChunks { .. } => Ok(()),
            Going::Outside { mut upload, .. } => match &self.outside {
                Some(outside) => outside.within(upload.abort()).await,
                None => Ok(()),
            },
        };
        if let Err(error) = dropped {
            tracing::debug!(artifact = %self.id, %error, "an unfinished file is left to the sweep");
        }
        if let Err(error) = artifacts::discard(&self.store, self.id).await {
            tracing::debug!(artifact = %self.id, %error, "an unfinished file is left to the sweep");
        }
    }
}
