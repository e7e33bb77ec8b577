//! Handing a file in: it is sealed to the vault while it is read, and stored in chunks by one transaction. Nothing of it is
//! on a disk in the clear, and no more than a few chunks in memory.

use std::io::{self, Read, Seek, Write};

use age::x25519::Recipient;
use bytes::Bytes;
use domain::ids::ProductId;
use secrecy::SecretString;
use store::imports::{self, CHUNK_BYTES, HandIn};
use store::{Store, StoreError};
use tokio::sync::mpsc::{Sender, channel};
use uuid::Uuid;

use super::container::{Openers, Table, open, told};
use super::{ImportId, Options};
use crate::chunks::Chunks;
use crate::vault::VaultError;

/// The largest file that is taken, in bytes: as it is handed in, and without what a password has wrapped it in.
pub const FILE_MAX_BYTES: u64 = 1024 * 1024 * 1024;

/// Why a file cannot be handed in.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// More than is taken.
    #[error("the file is larger than {FILE_MAX_BYTES} bytes: split it")]
    TooLarge,
    /// It cannot be read or opened.
    #[error("{0}")]
    File(String),
    /// Sealing failed.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The product is not declared, or the database is away.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A file to be handed in, wherever its bytes come from.
pub struct File<R> {
    /// Its bytes.
    pub source: R,
    /// What people call it.
    pub name: String,
    /// Opens it here, where it has a password that only this process was told; what is handed in needs none then.
    pub password: Option<SecretString>,
    /// What is asked for.
    pub options: Options,
}

/// Seals a file to the vault and hands it in. What is in it is looked at only by [`work_one`](super::work_one).
pub async fn submit(
    store: &Store,
    recipients: &[Recipient],
    product: &ProductId,
    file_name: &str,
    bytes: &[u8],
    who: &str,
) -> Result<ImportId, SubmitError> {
    let file = File {
        source: io::Cursor::new(bytes.to_vec()),
        name: file_name.to_owned(),
        password: None,
        options: Options::default(),
    };
    submit_file(store, recipients, product, file, who).await
}

/// The same for a file that is read as it is sealed, with options.
pub async fn submit_file<R: Read + Seek + Send + 'static>(
    store: &Store,
    recipients: &[Recipient],
    product: &ProductId,
    file: File<R>,
    who: &str,
) -> Result<ImportId, SubmitError> {
    let import_id = Uuid::now_v7();
    let file_name = file.name.clone();
    let handed = HandIn {
        product,
        file_name: &file_name,
        options: file.options,
        who,
    };
    let recipients = recipients.to_vec();
    let (sender, mut chunks) = channel(2);
    let sealing = tokio::task::spawn_blocking(move || seal(file.source, file.password, &recipients, sender));
    // Begun with the first chunk: the source may take its time before there is one.
    let mut first = chunks.recv().await;
    let tx = store.begin().await?;
    imports::submit(&tx, import_id, &handed).await?;
    let (mut n, mut bytes) = (0, 0);
    while let Some(chunk) = first {
        imports::add_chunk(&tx, import_id, n, &chunk).await?;
        n += 1;
        bytes += chunk.len() as i64;
        first = chunks.recv().await;
    }
    let sealed = sealing.await;
    sealed.map_err(|error| SubmitError::File(format!("sealing the file: {error}")))??;
    imports::handed_in(&tx, import_id, &handed, bytes).await?;
    tx.commit().await?;
    Ok(import_id)
}

fn seal(
    mut source: impl Read + Seek + Send,
    password: Option<SecretString>,
    recipients: &[Recipient],
    chunks: Sender<Bytes>,
) -> Result<(), SubmitError> {
    let dynamic = recipients.iter().map(|recipient| recipient as &dyn age::Recipient);
    let encryptor = age::Encryptor::with_recipients(dynamic).map_err(VaultError::Sealing)?;
    let file = |error: io::Error| SubmitError::File(told(&error));
    let mut out = encryptor.wrap_output(Chunks::new(chunks, CHUNK_BYTES)).map_err(file)?;
    match password {
        None => copy(&mut source, &mut out)?,
        Some(password) => {
            let bytes = source.seek(io::SeekFrom::End(0)).map_err(file)?;
            source.rewind().map_err(file)?;
            let openers = Openers {
                password: Some(Ok(password)),
                bytes,
                ..Openers::default()
            };
            let mut copied = Ok(());
            open(&mut source, &openers, &mut |table| {
                copied = match table {
                    Table::Text(text) => copy(text, &mut out),
                    Table::Workbook(workbook) => copy(workbook, &mut out),
                };
                Ok(())
            })
            .map_err(SubmitError::File)?;
            copied?;
        }
    }
    out.finish().and_then(Chunks::finish).map_err(file)
}

fn copy(source: &mut (impl Read + ?Sized), out: &mut impl Write) -> Result<(), SubmitError> {
    let copied = io::copy(&mut source.take(FILE_MAX_BYTES + 1), out);
    match copied {
        Ok(bytes) if bytes > FILE_MAX_BYTES => Err(SubmitError::TooLarge),
        Ok(_) => Ok(()),
        Err(error) => Err(SubmitError::File(told(&error))),
    }
}
