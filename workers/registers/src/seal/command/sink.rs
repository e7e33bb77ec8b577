//! Where a program's output goes: on to the next stage, looked at on its way, and to the second program that judges it.

use std::io::{self, Read, Write};
use std::process::ChildStdout;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use super::given::Given;
use super::memory::MemoryFile;
use super::process::{Process, Stream};
use super::program::Program;
use crate::seal::Out;

/// Read from a program at a time.
const BLOCK_BYTES: usize = 64 * 1024;
/// How much of the beginning is kept.
const HEAD_BYTES: usize = 64;
/// How long what a program has written may take to be read once it has ended. The database may be slow; a process that has
/// left the group and holds the output open is not waited for longer.
const DRAIN: Duration = Duration::from_secs(120);

pub(super) struct Sink {
    out: Out,
    head: Vec<u8>,
    judge: Judge,
}

/// The second program.
enum Judge {
    Nobody,
    Fed(Process),
    Kept(MemoryFile),
}

impl Sink {
    pub(super) fn begin(out: Out, program: &Program) -> Result<Self, String> {
        let argv = program.verify(None);
        let judge = if argv.is_empty() {
            Judge::Nobody
        } else if program.verify_names_input() {
            Judge::Kept(MemoryFile::new().map_err(|error| error.to_string())?)
        } else {
            Judge::Fed(Process::start(argv, program, Stream::Piped, Stream::None)?)
        };
        Ok(Self {
            out,
            head: Vec::new(),
            judge,
        })
    }

    /// Checks what came out and hands the next stage on.
    pub(super) fn end(self, program: &Program, given: &Given) -> Result<Out, String> {
        if self.head.is_empty() {
            return Err(format!("{program} made nothing"));
        }
        if given.begins_like(&self.head) {
            return Err(format!("{program} gave back what it was given"));
        }
        let judged = match self.judge {
            Judge::Nobody => None,
            Judge::Fed(mut judge) => Some(judge.end()),
            Judge::Kept(file) => {
                let argv = program.verify(Some(&file));
                Some(Process::start(argv, program, Stream::None, Stream::None)?.end())
            }
        };
        match judged.and_then(|ended| ended.refused(&[0], given)) {
            Some(why) => Err(format!("what it made is not right: verify: {why}")),
            None => Ok(self.out),
        }
    }
}

impl Write for Sink {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let missing = HEAD_BYTES - self.head.len();
        self.head.extend_from_slice(&data[..missing.min(data.len())]);
        match &mut self.judge {
            Judge::Nobody => {}
            // One that does not want to read to the end says by its exit code whether that was because all is well.
            Judge::Fed(judge) => drop(judge.write_all(data)),
            Judge::Kept(file) => file.write_all(data)?,
        }
        self.out.write_all(data)?;
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A thread that reads a program's standard output into the sink.
pub(super) struct Reading(Receiver<io::Result<Sink>>);

impl Reading {
    pub(super) fn begin(mut stdout: ChildStdout, mut sink: Sink) -> io::Result<Self> {
        let (done, reading) = sync_channel(1);
        std::thread::Builder::new().name("seal-read".into()).spawn(move || {
            let _ = done.send(drain(&mut stdout, &mut sink).map(|()| sink));
        })?;
        Ok(Self(reading))
    }

    /// The sink, once all has been read. To be asked when the program has ended.
    pub(super) fn end(self) -> Result<Sink, String> {
        match self.0.recv_timeout(DRAIN) {
            Ok(Ok(sink)) => Ok(sink),
            Ok(Err(error)) => Err(format!("what it made cannot be passed on: {error}")),
            Err(RecvTimeoutError::Timeout) => Err("something it started holds its output open".to_owned()),
            Err(RecvTimeoutError::Disconnected) => Err("the reading thread died".to_owned()),
        }
    }
}

fn drain(stdout: &mut ChildStdout, sink: &mut Sink) -> io::Result<()> {
    let mut block = vec![0; BLOCK_BYTES];
    loop {
        match stdout.read(&mut block) {
            Ok(0) => return Ok(()),
            Ok(read) => sink.write_all(&block[..read])?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
