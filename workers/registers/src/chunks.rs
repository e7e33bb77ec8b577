//! The last station of a file: cut into chunks, hashed, handed over. A full channel makes it wait, a closed one fail.

use std::io::{self, Write};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use store::artifacts::{CHUNK_BYTES, Finished};
use tokio::sync::mpsc::Sender;

pub(crate) struct ChunkWriter {
    chunks: Sender<Bytes>,
    open: Vec<u8>,
    hash: Sha256,
    bytes: i64,
}

impl ChunkWriter {
    pub(crate) fn new(chunks: Sender<Bytes>) -> Self {
        Self {
            chunks,
            open: Vec::new(),
            hash: Sha256::new(),
            bytes: 0,
        }
    }

    /// Hands over what is left and says what it all was.
    pub(crate) fn finish(mut self) -> io::Result<Finished> {
        self.hand_over()?;
        Ok(Finished {
            sha256: self.hash.finalize().into(),
            bytes: self.bytes,
        })
    }

    fn hand_over(&mut self) -> io::Result<()> {
        if self.open.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::take(&mut self.open);
        self.hash.update(&chunk);
        // A chunk is at most a mebibyte.
        self.bytes += i64::try_from(chunk.len()).unwrap_or(i64::MAX);
        self.chunks
            .blocking_send(chunk.into())
            .map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for ChunkWriter {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let taken = data.len().min(CHUNK_BYTES - self.open.len());
        self.open.extend_from_slice(&data[..taken]);
        if self.open.len() == CHUNK_BYTES {
            self.hand_over()?;
        }
        Ok(taken)
    }

    /// A chunk is handed over when it is full, not when somebody would like it gone.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
