//! A sealed file on its way from the thread that writes it into the database: cut into chunks of one size and handed over.

use std::io::{self, Write};

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc::Sender;

/// Writes where blocking is allowed. A full channel makes it wait, a closed one fail: whoever stores the chunks has failed
/// then, and says why.
pub(crate) struct Chunks {
    chunks: Sender<Bytes>,
    filling: BytesMut,
    size: usize,
}

impl Chunks {
    /// Into chunks of this many bytes, but for the last one.
    pub(crate) fn new(chunks: Sender<Bytes>, size: usize) -> Self {
        Self {
            chunks,
            filling: BytesMut::with_capacity(size),
            size,
        }
    }

    fn send(&mut self) -> io::Result<()> {
        let full = std::mem::replace(&mut self.filling, BytesMut::with_capacity(self.size));
        let sent = self.chunks.blocking_send(full.freeze());
        sent.map_err(|_| io::Error::other("the chunks are not taken any more"))
    }

    /// Hands the last chunk over.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        if self.filling.is_empty() { Ok(()) } else { self.send() }
    }
}

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(self.size - self.filling.len());
        self.filling.extend_from_slice(&bytes[..taken]);
        if self.filling.len() == self.size {
            self.send()?;
        }
        Ok(taken)
    }

    /// A chunk is handed over when it is full.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
