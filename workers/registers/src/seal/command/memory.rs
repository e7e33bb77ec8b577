//! Files without a disk: in memory, without a name in any directory, gone with the process whatever ends it. A program gets
//! one as a path below `/proc`, which it may open, read and write as any file, but not rename or replace.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;

use rustix::fs::{MemfdFlags, memfd_create};

/// The largest file that is kept in memory. What is larger has to go through standard input.
const BYTES_MAX: u64 = 128 * 1024 * 1024;

pub(super) struct MemoryFile {
    file: File,
    written: u64,
}

impl MemoryFile {
    pub(super) fn new() -> io::Result<Self> {
        let file = memfd_create("register", MemfdFlags::CLOEXEC)?;
        Ok(Self {
            file: file.into(),
            written: 0,
        })
    }

    /// Where other processes of this user find it.
    pub(super) fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.file.as_raw_fd())
    }

    pub(super) fn rewind(&mut self) -> io::Result<()> {
        self.file.seek(SeekFrom::Start(0)).map(drop)
    }
}

impl Write for MemoryFile {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if self.written + data.len() as u64 > BYTES_MAX {
            return Err(io::Error::other(format!("it is larger than {BYTES_MAX} bytes")));
        }
        let taken = self.file.write(data)?;
        self.written += taken as u64;
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for MemoryFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.file.read(buffer)
    }
}
