//! `unigate registers save`: a register's files, from where they lie to disk.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use domain::ids::RegisterId;
use futures::TryStreamExt;
use serde_json::json;
use store::StoreError;
use store::audit::{self, Act};
use store::registers::{self, ListedPart};

use crate::ending::{Ending, Outcome};
use crate::operator::Operator;
use crate::output::say;

/// What to save, and where.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The register
    #[arg(value_name = "ID", value_parser = RegisterId::parse)]
    register: RegisterId,
    /// Where to; a directory keeps the files' own names
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Only this part of a register that has several
    #[arg(long, value_name = "N")]
    part: Option<i32>,
}

/// Saves the file under its own name or the one given; all parts of a register that has several, into a directory.
pub(super) async fn run(operator: &Operator, args: Args) -> Outcome {
    let register = super::find(operator, args.register).await?;
    let parts = registers::parts_of(&operator.store, args.register).await?;
    if parts.is_empty() {
        let why = register
            .last_error
            .map(|error| format!(" ({error})"))
            .unwrap_or_default();
        bail!("register {} has no file: it is {}{why}", args.register, register.state);
    }
    let wanted = |part: &&ListedPart| args.part.is_none_or(|wanted| wanted == part.part.part);
    let wanted: Vec<&ListedPart> = parts.iter().filter(wanted).collect();
    match wanted[..] {
        [] => bail!("register {} has {} parts", args.register, parts.len()),
        [_] => {}
        _ if args.file.is_dir() => {}
        _ => bail!(
            "register {} has {} parts: name a directory, or one of them with --part",
            args.register,
            parts.len()
        ),
    }
    for part in wanted {
        let path = if args.file.is_dir() {
            args.file.join(own_name(part)?)
        } else {
            args.file.clone()
        };
        save(operator, args.register, part, &path).await?;
    }
    Ok(Ending::Done)
}

async fn save(operator: &Operator, id: RegisterId, part: &ListedPart, path: &Path) -> anyhow::Result<()> {
    let draft = path.with_file_name(format!(
        "{}.part",
        path.file_name().unwrap_or_default().to_string_lossy()
    ));
    let kept = match write(operator, part, &draft).await {
        // Audited before anybody has it: a file nobody knows of must not be left behind.
        Ok(()) => audit_save(operator, id, part)
            .await
            .map_err(Into::into)
            .and_then(|()| std::fs::rename(&draft, path).with_context(|| path.display().to_string())),
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
        part.bytes,
        hex::encode(&part.sha256)
    ))
}

async fn audit_save(operator: &Operator, id: RegisterId, part: &ListedPart) -> Result<(), StoreError> {
    let tx = operator.store.begin().await?;
    let act = Act {
        who: &operator.who,
        act: "registers save",
        subject_kind: "register",
        subject: &id.to_string(),
        reason: None,
        before: None,
        after: Some(json!({ "sha256": hex::encode(&part.sha256) })),
    };
    audit::record(&tx, &act).await?;
    tx.commit().await
}

/// Names are made by us from checked ids, but a path is not a place to find out that one was not.
fn own_name(part: &ListedPart) -> anyhow::Result<&std::ffi::OsStr> {
    let name = Path::new(&part.file_name)
        .file_name()
        .filter(|name| *name == part.file_name.as_str());
    name.with_context(|| {
        format!(
            "the register's file is called `{}`; name a file to save it as",
            part.file_name
        )
    })
}

/// Writes the file as it comes; reading it ends with an error if its bytes are not the ones that were built.
async fn write(operator: &Operator, part: &ListedPart, draft: &Path) -> anyhow::Result<()> {
    let place = || draft.display().to_string();
    let mut file = std::fs::File::create(draft).with_context(place)?;
    let mut chunks = std::pin::pin!(operator.artifacts.read(&part.sha256));
    while let Some(chunk) = chunks.try_next().await? {
        file.write_all(&chunk).with_context(place)?;
    }
    file.sync_all().with_context(place)
}
