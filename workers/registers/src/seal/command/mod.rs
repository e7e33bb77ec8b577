//! A stage that is a program: certified cryptography has its own. It is run without a shell, with a cleaned environment,
//! and is given the file at its standard input or as a file that no disk is behind; what comes out is checked before it
//! counts: an exit code that means success, not nothing, not what went in, and right in the eyes of a second program if
//! one is declared.
//!
//! What a program says when it fails is kept for the operator, without the words that it was given.

mod given;
mod memory;
mod process;
mod program;
mod sink;

use std::io::{self, Write};

use domain::declaration::{INPUT, OUTPUT};
use store::artifacts::Finished;

use super::{Out, Place, Stage};
use crate::BuildError;
use given::Given;
use memory::MemoryFile;
use process::{Process, Stream};
pub(super) use program::Program;
use sink::{Reading, Sink};

struct Command {
    program: Program,
    given: Given,
    input: Input,
    /// There until it was asked what came of it.
    output: Option<Output>,
    place: Place,
}

/// Where the program gets the file from.
enum Input {
    /// Its standard input; it runs already.
    Fed(Process),
    /// A file, which has to be whole before it is run.
    Kept(MemoryFile),
}

/// Where it puts what it made.
enum Output {
    /// Its standard output, to be read once it runs.
    Awaited(Sink),
    /// The same, read by a thread of its own, which gives the sink back.
    Streamed(Reading),
    /// A file, read when it has ended.
    Kept(MemoryFile, Sink),
}

pub(super) fn begin(place: Place, program: Program, out: Out) -> Result<Out, BuildError> {
    let file = |stands_for: &str| program.argv_names(stands_for).then(MemoryFile::new).transpose();
    let given = Given::default();
    let begun = (|| {
        let sink = Sink::begin(out, &program, given.head())?;
        let output = match file(OUTPUT).map_err(|error| error.to_string())? {
            Some(file) => Output::Kept(file, sink),
            None => Output::Awaited(sink),
        };
        match file(INPUT).map_err(|error| error.to_string())? {
            Some(file) => Ok((Input::Kept(file), output)),
            None => run(&program, None, output).map(|(process, output)| (Input::Fed(process), output)),
        }
    })();
    let (input, output) = begun.map_err(|why: String| place.error(why))?;
    Ok(Box::new(Command {
        program,
        given,
        input,
        output: Some(output),
        place,
    }))
}

/// Starts the program, its places filled in, and begins to read what it writes.
fn run(program: &Program, input: Option<&MemoryFile>, output: Output) -> Result<(Process, Output), String> {
    let (stdout, written) = match &output {
        Output::Kept(file, _) => (Stream::None, Some(file)),
        Output::Awaited(_) | Output::Streamed(_) => (Stream::Piped, None),
    };
    let stdin = if input.is_none() { Stream::Piped } else { Stream::None };
    let mut process = Process::start(program.argv(input, written), program, stdin, stdout)?;
    let output = match (output, process.take_stdout()) {
        (Output::Awaited(sink), Some(stdout)) => {
            let reading = Reading::begin(stdout, sink);
            Output::Streamed(reading.map_err(|error| error.to_string())?)
        }
        (other, _) => other,
    };
    Ok((process, output))
}

/// Waits for a program's end and for what came out of it, and judges both.
fn end(process: &mut Process, output: Option<Output>, program: &Program, given: &Given) -> Result<Sink, String> {
    let ended = process.end();
    let refused = ended.refused(program.exit_codes(), given);
    if ended.timed_out {
        return Err(refused.unwrap_or_default());
    }
    // What broke behind it comes first: a program whose output nobody takes fails of that.
    let sink = match output {
        Some(Output::Streamed(reading)) => reading.end()?,
        Some(Output::Kept(mut file, mut sink)) if refused.is_none() => {
            let copied = file.rewind().and_then(|()| io::copy(&mut file, &mut sink));
            copied.map_err(|error| sink.refusal().unwrap_or_else(|| error.to_string()))?;
            sink
        }
        Some(Output::Kept(_, sink) | Output::Awaited(sink)) => sink,
        None => return Err("has failed already".to_owned()),
    };
    refused.map_or(Ok(sink), Err)
}

impl Write for Command {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.given.offer(data);
        let why = match &mut self.input {
            Input::Fed(process) => match process.write(data) {
                Ok(taken) => {
                    self.given.take(&data[..taken]);
                    return Ok(taken);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
                // It does not read any more, which only its end can explain.
                Err(_) => match end(process, self.output.take(), &self.program, &self.given) {
                    Ok(_) => "ended before it had read everything".to_owned(),
                    Err(why) => why,
                },
            },
            Input::Kept(file) => match file.write(data) {
                Ok(taken) => {
                    self.given.take(&data[..taken]);
                    return Ok(taken);
                }
                Err(error) => format!("{INPUT}: {error}"),
            },
        };
        Err(self.place.broken(why))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stage for Command {
    fn finish(self: Box<Self>) -> Result<Finished, BuildError> {
        let Self {
            program,
            given,
            input,
            output,
            place,
        } = *self;
        let sink = match (input, output) {
            (Input::Fed(mut process), output) => end(&mut process, output, &program, &given),
            // The file stays until the program has ended.
            (Input::Kept(file), Some(output)) => run(&program, Some(&file), output)
                .and_then(|(mut process, output)| end(&mut process, Some(output), &program, &given)),
            (Input::Kept(_), None) => Err("has failed already".to_owned()),
        };
        let out = sink.and_then(|sink| sink.end(&program, &given));
        out.map_err(|why| place.error(why))?.finish()
    }
}
