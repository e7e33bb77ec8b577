//! A writer whose work is done on a thread of its own: text is made while what was made before is compressed and encrypted.

use std::io::{self, Write};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

/// Bytes handed over at a time, and how many such pieces are under way.
const PIECE_BYTES: usize = 256 * 1024;
const UNDER_WAY: usize = 2;

/// Writes into `W` from another thread.
pub(crate) struct Beside<W> {
    pieces: SyncSender<Vec<u8>>,
    open: Vec<u8>,
    thread: JoinHandle<io::Result<W>>,
}

impl<W: Write + Send + 'static> Beside<W> {
    pub(crate) fn new(mut out: W) -> Self {
        let (pieces, written) = sync_channel::<Vec<u8>>(UNDER_WAY);
        let thread = std::thread::spawn(move || {
            for piece in written {
                out.write_all(&piece)?;
            }
            Ok(out)
        });
        Self {
            pieces,
            open: Vec::with_capacity(PIECE_BYTES),
            thread,
        }
    }

    /// Waits until everything is written, and gives the writer back. Its error comes here, whatever came in between.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        let handed_over = self.hand_over();
        let Self { pieces, thread, .. } = self;
        drop(pieces);
        let out = thread
            .join()
            .map_err(|_| io::Error::other("the thread that packs died"))??;
        handed_over.map(|()| out)
    }

    fn hand_over(&mut self) -> io::Result<()> {
        let piece = std::mem::replace(&mut self.open, Vec::with_capacity(PIECE_BYTES));
        self.pieces.send(piece).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl<W: Write + Send + 'static> Write for Beside<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if self.open.len() + data.len() > PIECE_BYTES && !self.open.is_empty() {
            self.hand_over()?;
        }
        self.open.extend_from_slice(data);
        Ok(data.len())
    }

    /// Nobody would like a piece gone before it is full.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_arrives_in_order_and_whole() {
        let bytes: Vec<u8> = (0..3_000_000_u32).flat_map(u32::to_le_bytes).collect();
        for width in [1000, PIECE_BYTES, 3 * PIECE_BYTES + 1] {
            let mut beside = Beside::new(Vec::new());
            bytes.chunks(width).for_each(|piece| beside.write_all(piece).unwrap());
            assert!(beside.finish().unwrap() == bytes);
        }
    }

    #[test]
    fn the_error_of_the_writer_itself_is_told() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut beside = Beside::new(Full);
        let piece = vec![0; PIECE_BYTES];
        while beside.write_all(&piece).is_ok() {}
        assert_eq!(beside.finish().err().unwrap().kind(), io::ErrorKind::StorageFull);
    }
}
