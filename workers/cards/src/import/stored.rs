//! The sealed file of a job, read from the database chunk by chunk and from anywhere: two chunks are in memory at a time.

use std::io::{self, Read, Seek, SeekFrom};
use std::sync::{Arc, Mutex, PoisonError};

use store::imports::{self, CHUNK_BYTES};
use store::{Store, StoreError};
use tokio::runtime::Handle;
use uuid::Uuid;

/// Reads where blocking is allowed.
pub(super) struct Stored {
    store: Store,
    import_id: Uuid,
    bytes: u64,
    position: u64,
    chunk: Option<(u64, Vec<u8>)>,
    runtime: Handle,
    failed: Failed,
}

/// What the database said, if it was that which failed: readers above only see that reading did.
#[derive(Clone, Default)]
pub(super) struct Failed(Arc<Mutex<Option<StoreError>>>);

impl Failed {
    pub(super) fn take(&self) -> Option<StoreError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn set(&self, error: StoreError) -> io::Error {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        io::Error::other("the database cannot be read")
    }
}

impl Stored {
    pub(super) fn new(store: &Store, import_id: Uuid, bytes: u64, runtime: Handle, failed: Failed) -> Self {
        Self {
            store: store.clone(),
            import_id,
            bytes,
            position: 0,
            chunk: None,
            runtime,
            failed,
        }
    }

    fn load(&mut self, n: u64) -> io::Result<()> {
        if self.chunk.as_ref().is_some_and(|(held, _)| *held == n) {
            return Ok(());
        }
        let number = i32::try_from(n).map_err(io::Error::other)?;
        let found = self
            .runtime
            .block_on(imports::chunk(&self.store, self.import_id, number))
            .map_err(|error| self.failed.set(error))?;
        // Whoever cancelled the import took its file away.
        let data = found.ok_or_else(|| self.failed.set(StoreError::Changed("the import was cancelled".into())))?;
        self.chunk = Some((n, data));
        Ok(())
    }
}

impl Read for Stored {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.position >= self.bytes || buffer.is_empty() {
            return Ok(0);
        }
        let (n, within) = (self.position / CHUNK_BYTES as u64, self.position % CHUNK_BYTES as u64);
        self.load(n)?;
        let data = self.chunk.as_ref().map_or(&[][..], |(_, data)| data);
        let rest = usize::try_from(within)
            .ok()
            .and_then(|within| data.get(within..))
            .unwrap_or_default();
        let read = rest.len().min(buffer.len());
        buffer[..read].copy_from_slice(&rest[..read]);
        self.position += read as u64;
        Ok(read)
    }
}

impl Seek for Stored {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let position = match to {
            SeekFrom::Start(position) => Some(position),
            SeekFrom::End(offset) => self.bytes.checked_add_signed(offset),
            SeekFrom::Current(offset) => self.position.checked_add_signed(offset),
        };
        self.position = position.ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput))?;
        Ok(self.position)
    }
}
