//! `unigate registers save`: a register's file, from the database to disk.

use std::io::Write;
use std::path::Path;

use anyhow::Context;
use domain::ids::RegisterId;
use futures::TryStreamExt;
use serde_json::json;
use sha2::{Digest, Sha256};
use store::audit::{self, Act};
use store::registers::{self, SavedFile};
use store::{StoreError, artifacts};

use crate::ending::{Ending, Outcome};
use crate::operator::Operator;
use crate::output::say;

/// Saves the file under its own name or the one given.
pub(super) async fn run(operator: &Operator, id: RegisterId, target: &Path) -> Outcome {
    let saved = registers::file_of(&operator.store, id).await?;
    let path = if target.is_dir() {
        target.join(own_name(&saved)?)
    } else {
        target.to_owned()
    };
    let draft = path.with_file_name(format!(
        "{}.part",
        path.file_name().unwrap_or_default().to_string_lossy()
    ));
    let kept = match write_checked(operator, &saved, &draft).await {
        // Audited before anybody has it: a file nobody knows of must not be left behind.
        Ok(()) => audit_save(operator, id, &saved)
            .await
            .map_err(Into::into)
            .and_then(|()| std::fs::rename(&draft, &path).with_context(|| path.display().to_string())),
        Err(error) => Err(error),
    };
    if kept.is_err() {
        // What is left of it is not the register.
        let _ = std::fs::remove_file(&draft);
    }
    kept?;
    say(format!(
        "{}: {} bytes, SHA-256 {}",
        path.display(),
        saved.bytes,
        hex::encode(&saved.sha256)
    ))?;
    Ok(Ending::Done)
}

async fn audit_save(operator: &Operator, id: RegisterId, saved: &SavedFile) -> Result<(), StoreError> {
    let tx = operator.store.begin().await?;
    let act = Act {
        who: &operator.who,
        act: "registers save",
        subject_kind: "register",
        subject: &id.to_string(),
        reason: None,
        before: None,
        after: Some(json!({ "sha256": hex::encode(&saved.sha256) })),
    };
    audit::record(&tx, &act).await?;
    tx.commit().await
}

/// Names are made by us from checked ids, but a path is not a place to find out that one was not.
fn own_name(saved: &SavedFile) -> anyhow::Result<&std::ffi::OsStr> {
    let name = Path::new(&saved.name)
        .file_name()
        .filter(|name| *name == saved.name.as_str());
    name.with_context(|| {
        format!(
            "the register's file is called `{}`; name a file to save it as",
            saved.name
        )
    })
}

/// Writes the file chunk by chunk, and refuses bytes that are not the ones that were built.
async fn write_checked(operator: &Operator, saved: &SavedFile, draft: &Path) -> anyhow::Result<()> {
    let place = || draft.display().to_string();
    let mut file = std::fs::File::create(draft).with_context(place)?;
    let mut hash = Sha256::new();
    let mut chunks = std::pin::pin!(artifacts::read(&operator.store, &saved.sha256));
    while let Some(chunk) = chunks.try_next().await? {
        hash.update(&chunk);
        file.write_all(&chunk).with_context(place)?;
    }
    file.sync_all().with_context(place)?;
    if hash.finalize()[..] != saved.sha256[..] {
        return Err(StoreError::Unreadable("the stored file does not match its SHA-256".to_owned()).into());
    }
    Ok(())
}
