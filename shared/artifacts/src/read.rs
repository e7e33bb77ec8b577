//! Reading a file back, as a stream that ends with an error when the bytes were not those that were written.

use std::pin::Pin;

use bytes::Bytes;
use futures::stream::try_unfold;
use futures::{Stream, StreamExt, TryStreamExt};
use sha2::{Digest, Sha256};
use store::artifacts;

use crate::{ArtifactError, Artifacts};

/// Bytes as they come.
type Chunks = Pin<Box<dyn Stream<Item = Result<Bytes, ArtifactError>> + Send>>;

impl Artifacts {
    /// A whole file, in pieces of a mebibyte or less. The last thing it yields is an error if the file is damaged, so what was
    /// read counts only when the stream has ended.
    pub fn read(&self, sha256: &[u8]) -> impl Stream<Item = Result<Bytes, ArtifactError>> + Send + use<> {
        let (this, sha256) = (self.clone(), sha256.to_vec());
        futures::stream::once(async move { this.open(&sha256).await })
            .try_flatten()
            .boxed()
    }

    async fn open(&self, sha256: &[u8]) -> Result<Chunks, ArtifactError> {
        let name = hex::encode(sha256);
        let Some(named) = artifacts::find(&self.store, sha256).await? else {
            return Err(ArtifactError::Missing(name));
        };
        let chunks: Chunks = match (named.place, &self.outside) {
            (None, _) => artifacts::read_chunks(&self.store, named.id)
                .map_err(Into::into)
                .boxed(),
            (Some(place), Some(outside)) if outside.place == place => outside.read(sha256, named.id).await?.boxed(),
            (Some(place), _) => return Err(ArtifactError::Elsewhere { sha256: name, place }),
        };
        Ok(checked(chunks, sha256.to_vec()).boxed())
    }
}

fn checked(chunks: Chunks, sha256: Vec<u8>) -> impl Stream<Item = Result<Bytes, ArtifactError>> + Send {
    let begun = (chunks, Sha256::new(), sha256);
    try_unfold(begun, |(mut chunks, mut hash, sha256)| async move {
        if let Some(chunk) = chunks.try_next().await? {
            hash.update(&chunk);
            return Ok(Some((chunk, (chunks, hash, sha256))));
        }
        if hash.finalize()[..] == sha256[..] {
            Ok(None)
        } else {
            Err(ArtifactError::Damaged(hex::encode(sha256)))
        }
    })
}
