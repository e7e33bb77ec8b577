//! Where a program's output goes: on to the next stage, looked at on its way, and to the second program that judges it.

use std::io::{self, Read, Write};
use std::process::ChildStdout;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use super::given::{Given, HEAD_BYTES, Head};
use super::memory::MemoryFile;
use super::process::{Process, Stream};
use super::program::Program;
use crate::seal::Out;

/// Read from a program at a time.
const BLOCK_BYTES: usize = 64 * 1024;
/// How long what a program has written may take to be read once it has ended. The database may be slow; a process that has
/// left the group and holds the output open is not waited for longer.
const DRAIN: Duration = Duration::from_secs(120);

pub(super) struct Sink {
    out: Out,
    /// How what went in begins.
    given: Head,
    /// How what came out begins. It goes on when there is enough of it to see that it is not what went in.
    head: Vec<u8>,
    program: String,
    /// It was what went in.
    echoes: bool,
    judge: Judge,
}

/// The second program.
enum Judge {
    Nobody,
    Fed(Process),
    Kept(MemoryFile),
}

impl Sink {
    pub(super) fn begin(out: Out, program: &Program, given: Head) -> Result<Self, String> {
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
            given,
            head: Vec::new(),
            program: program.to_string(),
            echoes: false,
            judge,
        })
    }

    /// Why it takes no more, if that is its own doing.
    pub(super) fn refusal(&self) -> Option<String> {
        self.echoes
            .then(|| format!("{} gave back what it was given", self.program))
    }

    /// Hands on what has been looked at.
    fn pass_on(&mut self, data: &[u8]) -> io::Result<()> {
        match &mut self.judge {
            Judge::Nobody => {}
            // One that does not want to read to the end says by its exit code whether that was because all is well.
            Judge::Fed(judge) => drop(judge.write_all(data)),
            Judge::Kept(file) => file.write_all(data)?,
        }
        self.out.write_all(data)
    }

    fn refuse(&mut self) -> io::Error {
        self.echoes = true;
        io::ErrorKind::InvalidData.into()
    }

    /// Checks what came out and hands the next stage on.
    pub(super) fn end(mut self, program: &Program, given: &Given) -> Result<Out, String> {
        if self.head.is_empty() {
            return Err(format!("{program} made nothing"));
        }
        if self.given.begins_like(&self.head) {
            self.echoes = true;
        }
        if let Some(why) = self.refusal() {
            return Err(why);
        }
        if self.head.len() < HEAD_BYTES {
            let head = std::mem::take(&mut self.head);
            self.pass_on(&head).map_err(|error| passed_on(&error))?;
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
        if self.head.len() == HEAD_BYTES {
            self.pass_on(data)?;
            return Ok(data.len());
        }
        let taken = data.len().min(HEAD_BYTES - self.head.len());
        self.head.extend_from_slice(&data[..taken]);
        if self.head.len() == HEAD_BYTES {
            if self.given.is_whole(&self.head) {
                return Err(self.refuse());
            }
            let head = self.head.clone();
            self.pass_on(&head)?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A thread that reads a program's standard output into the sink.
pub(super) struct Reading(Receiver<Result<Sink, String>>);

impl Reading {
    pub(super) fn begin(mut stdout: ChildStdout, mut sink: Sink) -> io::Result<Self> {
        let (done, reading) = sync_channel(1);
        std::thread::Builder::new().name("seal-read".into()).spawn(move || {
            let drained = drain(&mut stdout, &mut sink);
            let drained = drained.map_err(|error| sink.refusal().unwrap_or_else(|| passed_on(&error)));
            let _ = done.send(drained.map(|()| sink));
        })?;
        Ok(Self(reading))
    }

    /// The sink, once all has been read. To be asked when the program has ended.
    pub(super) fn end(self) -> Result<Sink, String> {
        match self.0.recv_timeout(DRAIN) {
            Ok(drained) => drained,
            Err(RecvTimeoutError::Timeout) => Err("something it started holds its output open".to_owned()),
            Err(RecvTimeoutError::Disconnected) => Err("the reading thread died".to_owned()),
        }
    }
}

fn passed_on(error: &io::Error) -> String {
    format!("what it made cannot be passed on: {error}")
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
