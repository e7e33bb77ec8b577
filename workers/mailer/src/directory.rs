//! Puts a register's file into a directory, for payees without mail. Whoever looks there sees the whole file or none: it is
//! written under another name, and takes its own when it is on the disk. It never takes the place of another file; the same
//! file put there again is there already.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, TryStreamExt};
use runtime::declared::permitted;
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;
use tokio::sync::mpsc::{Receiver, channel};
use uuid::Uuid;

use crate::clean::file_name;
use crate::lanes::Lane;

/// Without any progress for so long, the directory is taken for away: a network file system that hangs.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Chunks on their way to the disk.
const UNDER_WAY: usize = 2;

/// Why a file is not there.
#[derive(Debug, thiserror::Error)]
pub enum PutError {
    /// The directory is not there, or hangs. It may come back by itself, as a mounted one does.
    #[error("directory {}: {why}", directory.display())]
    Away {
        /// Which.
        directory: PathBuf,
        /// How that was seen.
        why: String,
    },
    /// It is no place of this host that a declaration may name.
    #[error("directory {0}")]
    NotPermitted(String),
    /// Another file has its name.
    #[error("{}: there is another file of this name, and none is overwritten", .0.display())]
    Taken(PathBuf),
    /// It cannot be written there, now or never.
    #[error("{}: {source}", place.display())]
    Io {
        /// Where.
        place: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file could not be read to its end, or is not the one that was built.
    #[error("the register's file is damaged or incomplete")]
    Damaged,
}

impl PutError {
    /// Whether it is about this file, which then needs somebody. All else is about the directory, also what may not be
    /// written there or finds no room: it waits until that is mended, with everything that goes there.
    pub(crate) fn is_final(&self) -> bool {
        use io::ErrorKind as K;
        match self {
            Self::Taken(_) | Self::Damaged => true,
            Self::Away { .. } | Self::NotPermitted(_) => false,
            Self::Io { source, .. } => matches!(source.kind(), K::InvalidFilename | K::InvalidInput | K::FileTooLarge),
        }
    }
}

/// What is to be put where.
#[derive(Debug, Clone)]
pub(crate) struct Put {
    pub(crate) directory: PathBuf,
    /// The file by which the directory is known to be the payee's.
    pub(crate) mark: Option<String>,
    pub(crate) name: String,
    pub(crate) mailing: Uuid,
    pub(crate) sha256: Vec<u8>,
}

/// Puts the file whose chunks come from `chunks`. What reading them comes to is the outer error.
pub(crate) async fn put<E>(
    lane: &Lane,
    put: Put,
    chunks: impl Stream<Item = Result<Bytes, E>>,
) -> Result<Result<(), PutError>, E> {
    put_by(lane, put, chunks, TIMEOUT, write).await
}

/// The same, written by `write`, which may never end: a thread that hangs in the system cannot be stopped. It keeps its
/// lane's leave to write until it comes back, so only so many can hang.
async fn put_by<E>(
    lane: &Lane,
    put: Put,
    chunks: impl Stream<Item = Result<Bytes, E>>,
    patience: Duration,
    write: impl FnOnce(&Put, Receiver<Bytes>) -> Result<(), PutError> + Send + 'static,
) -> Result<Result<(), PutError>, E> {
    let away = |why: &str| PutError::Away {
        directory: put.directory.clone(),
        why: why.to_owned(),
    };
    let Some(writer) = lane.writer() else {
        return Ok(Err(away("it hangs; what was begun there has not ended yet")));
    };
    let hangs = away(&format!("no end after {patience:?}"));
    let (sender, receiver) = channel(UNDER_WAY);
    let mut writing = tokio::task::spawn_blocking(move || {
        let _writer = writer;
        write(&put, receiver)
    });
    let mut chunks = std::pin::pin!(chunks);
    while let Some(chunk) = chunks.try_next().await? {
        match tokio::time::timeout(patience, sender.send(chunk)).await {
            Ok(Ok(())) => {}
            // A writer that is gone says itself why.
            Ok(Err(_)) => break,
            Err(_) => return Ok(Err(hangs)),
        }
    }
    drop(sender);
    match tokio::time::timeout(patience, &mut writing).await {
        Ok(Ok(written)) => Ok(written),
        Ok(Err(_)) | Err(_) => Ok(Err(hangs)),
    }
}

fn write(put: &Put, mut chunks: Receiver<Bytes>) -> Result<(), PutError> {
    let place = put.directory.join(file_name(&put.name));
    let failed = |source| PutError::Io {
        place: place.clone(),
        source,
    };
    is_there(&put.directory, put.mark.as_deref())?;
    if let Some(ended) = there_already(&place, &put.sha256).map_err(failed)? {
        return ended;
    }
    let prefix = format!(".unigate-{}-", put.mailing);
    sweep(&put.directory, &prefix).map_err(failed)?;
    let mut draft = begin(&put.directory, &prefix).map_err(failed)?;
    let mut hash = Sha256::new();
    while let Some(chunk) = chunks.blocking_recv() {
        hash.update(&chunk);
        draft.write_all(&chunk).map_err(failed)?;
    }
    if hash.finalize()[..] != put.sha256[..] {
        return Err(PutError::Damaged);
    }
    draft.as_file().sync_all().map_err(failed)?;
    match draft.persist_noclobber(&place) {
        Ok(_) => {}
        Err(refused) if refused.error.kind() == io::ErrorKind::AlreadyExists => {
            // Somebody was faster: with this file, or with another one.
            let ended = there_already(&place, &put.sha256).map_err(failed)?;
            return ended.unwrap_or_else(|| Err(PutError::Taken(place.clone())));
        }
        Err(refused) => return Err(failed(refused.error)),
    }
    // The name is on the disk when its directory is.
    File::open(&put.directory)
        .and_then(|directory| directory.sync_all())
        .map_err(failed)
}

/// Whether the directory is there, and the payee's: a share that is not mounted leaves one of the same name, in which nobody
/// looks.
fn is_there(directory: &Path, mark: Option<&str>) -> Result<(), PutError> {
    permitted(directory).map_err(PutError::NotPermitted)?;
    let place = mark.map_or_else(|| directory.to_owned(), |mark| directory.join(mark));
    let why = match (fs::metadata(&place), fs::metadata(directory)) {
        (Ok(_), _) => return Ok(()),
        (Err(missing), Ok(_)) if missing.kind() == io::ErrorKind::NotFound => {
            format!("{} is not in it; is the share mounted?", mark.unwrap_or_default())
        }
        (Err(missing), _) if missing.kind() == io::ErrorKind::NotFound => "it is not there".to_owned(),
        (Err(source), _) => return Err(PutError::Io { place, source }),
    };
    Err(PutError::Away {
        directory: directory.to_owned(),
        why,
    })
}

/// Readable by its group, as far as the mailer's umask lets it.
fn begin(directory: &Path, prefix: &str) -> io::Result<NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(prefix).suffix(".part");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o640));
    builder.tempfile_in(directory)
}

/// Whether a file of this name is there: the same one, or another.
fn there_already(place: &Path, sha256: &[u8]) -> io::Result<Option<Result<(), PutError>>> {
    // A link is another's: what it leads to is not looked at.
    match fs::symlink_metadata(place) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
        Ok(found) if !found.is_file() => return Ok(Some(Err(PutError::Taken(place.to_owned())))),
        Ok(_) => {}
    }
    let mut file = match File::open(place) {
        // What is there is not to be read by us, so it is not ours.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Ok(Some(Err(PutError::Taken(place.to_owned()))));
        }
        opened => opened?,
    };
    let mut hash = Sha256::new();
    let mut piece = vec![0; 64 * 1024];
    loop {
        match file.read(&mut piece)? {
            0 => break,
            read => hash.update(&piece[..read]),
        }
    }
    let same = hash.finalize()[..] == *sha256;
    Ok(Some(if same {
        Ok(())
    } else {
        Err(PutError::Taken(place.to_owned()))
    }))
}

/// Takes away what a mailer that was killed, or hung in the directory, left of this very file.
fn sweep(directory: &Path, prefix: &str) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            match fs::remove_file(entry.path()) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}

/// Whether files can be put there: what `doctor` asks. Nothing of it is ever seen there.
pub fn check(directory: &Path, mark: Option<&str>) -> Result<(), PutError> {
    is_there(directory, mark)?;
    let failed = |source| PutError::Io {
        place: directory.to_owned(),
        source,
    };
    tempfile::tempfile_in(directory).map(drop).map_err(failed)
}

#[cfg(test)]
mod tests;
