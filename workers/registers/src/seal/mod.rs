//! What a register's file is wrapped in: stages in the payee's order, one streaming into the next and all in bounded memory.
//!
//! Everything a stage needs (keys, passwords, programs) is looked up before the first byte is written. A stage that cannot
//! do its work fails the build; there is no way around one. What is to be encrypted exists in the clear in memory only: in
//! this process, in pipes, and for programs that want files in ones that have no disk behind them.

mod age;
mod command;
mod gzip;
mod look;
mod openpgp;
mod prepare;
mod zip;

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use domain::declaration::SealStage;
use jiff::Zoned;
use store::artifacts::Finished;

use crate::BuildError;
use crate::chunks::ChunkWriter;

pub use look::{look_at_stages, unusable_keys};
pub(crate) use prepare::Prepared;
use prepare::prepare;

/// A way out for a file: what is written goes through it into the next one.
pub(crate) trait Stage: Write + Send {
    /// Ends what was written, here and in all that is behind, and says what came out at the end. A stage that is dropped
    /// instead has made nothing.
    fn finish(self: Box<Self>) -> Result<Finished, BuildError>;
}

/// The stages that are still to come.
pub(crate) type Out = Box<dyn Stage>;

impl Stage for ChunkWriter {
    fn finish(self: Box<Self>) -> Result<Finished, BuildError> {
        ChunkWriter::finish(*self).map_err(BuildError::Write)
    }
}

/// The first thing that went wrong in a stage. What writers above it see is a broken pipe or the like.
#[derive(Clone, Default)]
pub(crate) struct Trouble(Arc<Mutex<Option<BuildError>>>);

impl Trouble {
    /// Keeps the first one, and makes an error for the writer of it.
    fn keep(&self, error: BuildError) -> io::Error {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(error);
        io::ErrorKind::BrokenPipe.into()
    }

    /// What a failed build is told to have failed of.
    pub(crate) fn or(&self, error: BuildError) -> BuildError {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        kept.unwrap_or(error)
    }
}

/// Looks up what all stages need. Keys may lie on a share that hangs: to be called where that is nobody else's business.
pub(crate) fn prepare_all(stages: &[SealStage]) -> Result<Vec<Prepared>, BuildError> {
    let prepared = stages.iter().enumerate().map(|(at, stage)| {
        prepare(stage).map_err(|why| BuildError::Seal {
            stage: at + 1,
            with: word(stage),
            why,
        })
    });
    prepared.collect()
}

/// What stages make of a file besides its bytes.
pub(crate) struct Wrapping<'a> {
    /// The stages as declared, the first one nearest to the text.
    pub(crate) stages: &'a [SealStage],
    /// The name of the text itself, which archives call it by.
    pub(crate) inner_name: &'a str,
    /// The date of an archive's entry, in the payee's time zone.
    pub(crate) dated: &'a Zoned,
    /// Whether it is known to be more than anybody would hold in memory.
    pub(crate) is_large: bool,
}

impl Wrapping<'_> {
    /// The way out, through all stages. Fails when one of them cannot do its work.
    pub(crate) fn begin(
        &self,
        prepared: Vec<Prepared>,
        out: ChunkWriter,
        trouble: &Trouble,
    ) -> Result<Out, BuildError> {
        let mut name = self.inner_name.to_owned();
        let mut begun = Vec::new();
        for (at, (stage, prepared)) in self.stages.iter().zip(prepared).enumerate() {
            let place = Place {
                stage: at + 1,
                with: word(stage),
                trouble: trouble.clone(),
            };
            begun.push((prepared, place, name.clone()));
            if let Some(extension) = stage.extension() {
                name = format!("{name}.{extension}");
            }
        }
        // From the last to the first: each is given what comes behind it.
        let mut out: Out = Box::new(out);
        for (prepared, place, name) in begun.into_iter().rev() {
            out = prepared.begin(place, &name, self, out)?;
        }
        Ok(out)
    }
}

/// Where a stage stands, to be told with what goes wrong in it.
#[derive(Clone)]
struct Place {
    stage: usize,
    with: &'static str,
    trouble: Trouble,
}

impl Place {
    fn error(&self, why: impl ToString) -> BuildError {
        BuildError::Seal {
            stage: self.stage,
            with: self.with,
            why: why.to_string(),
        }
    }

    /// The same for somebody who can only be told an `io::Error`.
    fn broken(&self, why: impl ToString) -> io::Error {
        self.trouble.keep(self.error(why))
    }
}

/// The word of the declaration.
fn word(stage: &SealStage) -> &'static str {
    match stage {
        SealStage::Zip(_) => "zip",
        SealStage::Gzip(_) => "gzip",
        SealStage::Age(_) => "age",
        SealStage::OpenPgp(_) => "openpgp",
        SealStage::Command(_) => "command",
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_command;
#[cfg(test)]
mod tests_openpgp;
