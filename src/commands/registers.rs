//! `unigate registers`: files of payments, closed now instead of at their time, copied for a period, saved to disk.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Subcommand;
use domain::declaration::parse_mail_address;
use domain::ids::{PayeeId, RegisterId};
use futures::TryStreamExt;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use store::audit::{self, Act};
use store::registers::{self, CopyRequest, Listed, SavedFile};
use store::{StoreError, artifacts, mailings};

use super::payments::{act, zone_for};
use crate::ending::{Ending, Outcome};
use crate::moment;
use crate::operator::Operator;
use crate::output::{self, Column, FormatArg, Row, ShowFormatArg, say};

/// What to do with registers.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List registers, the oldest first
    List(ListArgs),
    /// Show all that is known of one: its range, and why it could not be built or mailed, or not yet
    Show {
        /// The register
        #[arg(value_name = "ID", value_parser = RegisterId::parse)]
        register: RegisterId,
        #[command(flatten)]
        format: ShowFormatArg,
    },
    /// Close a payee's open payments into a register now
    Build {
        /// The payee
        #[arg(value_name = "PAYEE", value_parser = PayeeId::parse)]
        payee: PayeeId,
    },
    /// Send a payee the payments of a period once more, as a copy
    Resend(ResendArgs),
    /// Build, or mail, a register once more that failed; the file it had is mailed again as it is
    Requeue {
        /// The register
        #[arg(value_name = "ID", value_parser = RegisterId::parse)]
        register: RegisterId,
    },
    /// Save a register's file
    Save {
        /// The register
        #[arg(value_name = "ID", value_parser = RegisterId::parse)]
        register: RegisterId,
        /// Where to; a directory keeps the file's own name
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
}

/// Which registers.
#[derive(Debug, clap::Args)]
pub(crate) struct ListArgs {
    /// Of this payee
    #[arg(long, value_name = "ID", value_parser = PayeeId::parse)]
    payee: Option<PayeeId>,
    #[command(flatten)]
    format: FormatArg,
}

/// What to send again.
#[derive(Debug, clap::Args)]
pub(crate) struct ResendArgs {
    /// The payee
    #[arg(long, value_name = "ID", value_parser = PayeeId::parse)]
    payee: PayeeId,
    /// Accepted at this moment or later: RFC 3339, or a date, which is its midnight in the payee's zone
    #[arg(long, value_name = "T")]
    from: String,
    /// Accepted before this moment
    #[arg(long, value_name = "T")]
    to: String,
    /// Whose midnight a date is, instead of the payee's
    #[arg(long, value_name = "ZONE", value_parser = moment::zone)]
    time_zone: Option<TimeZone>,
    /// Where to, instead of the payee's own addresses
    #[arg(long, value_name = "MAIL", value_parser = parse_mail_address)]
    to_address: Option<String>,
}

/// Lists, builds, re-sends or saves.
pub(crate) async fn run(command: Command) -> Outcome {
    let operator = Operator::new()?;
    match command {
        Command::List(args) => {
            output::list(
                args.format.format,
                &registers::list(&operator.store, args.payee.as_ref()).await?,
            )?;
            Ok(Ending::Done)
        }
        Command::Show { register, format } => show(&operator, register, format).await,
        Command::Build { payee } => build(&operator, &payee).await,
        Command::Resend(args) => resend(&operator, args).await,
        Command::Requeue { register } => requeue(&operator, register).await,
        Command::Save { register, file } => save(&operator, register, &file).await,
    }
}

async fn show(operator: &Operator, id: RegisterId, format: ShowFormatArg) -> Outcome {
    let register = find(operator, id).await?;
    let mut all = output::object(&register);
    let mut add = |name: &str, value: Value| all[name] = value;
    add("first_accepted_at", json!(register.summary.first_accepted_at));
    add("last_accepted_at", json!(register.summary.last_accepted_at));
    add("cutoff", json!(register.cutoff));
    add("revoked", json!(register.revoked));
    add("requested_by", json!(register.requested_by));
    add("payee_version", json!(register.payee_version));
    add("last_error", json!(register.last_error));
    let acts = audit::of(&operator.store, "register", &id.to_string()).await?;
    add("audit", acts.iter().map(act).collect());
    output::show(format.format, &all)?;
    Ok(Ending::Done)
}

async fn find(operator: &Operator, id: RegisterId) -> anyhow::Result<Listed> {
    match registers::find(&operator.store, id).await? {
        Some(register) => Ok(register),
        None => bail!("register {id} is unknown"),
    }
}

async fn build(operator: &Operator, payee: &PayeeId) -> Outcome {
    let closed = registers::close_now(&operator.store, payee, &operator.who).await?;
    if closed.is_empty() {
        say(format!("payee {payee} has no open payments"))?;
    }
    tell_new(operator, &closed).await
}

async fn resend(operator: &Operator, args: ResendArgs) -> Outcome {
    let zone = zone_for(operator, Some(&args.payee), args.time_zone).await?;
    let request = CopyRequest {
        from: moment::parse(&args.from, &zone)?,
        to: moment::parse(&args.to, &zone)?,
        payee: args.payee,
        requested_by: operator.who.clone(),
        to_address: args.to_address,
    };
    let copies = registers::resend(&operator.store, &request).await?;
    tell_new(operator, &copies).await
}

/// What failed is done again: without a file it was the build, with one the mail. Workers find it by themselves.
async fn requeue(operator: &Operator, id: RegisterId) -> Outcome {
    let register = find(operator, id).await?;
    let requeued = if register.sha256.is_none() {
        let built = registers::requeue_build(&operator.store, id, &operator.who).await;
        built.map(|()| format!("register {id} will be built again"))
    } else {
        let mailed = mailings::requeue_mail(&operator.store, id, &operator.who).await;
        mailed.map(|mails| format!("register {id} will be mailed again, to {mails} of its recipients"))
    };
    let act = Act {
        who: &operator.who,
        act: "registers requeue",
        subject_kind: "register",
        subject: &id.to_string(),
        reason: None,
        before: Some(json!({ "state": register.state })),
        after: None,
    };
    match requeued {
        Ok(done) => say(done)?,
        Err(error) => return Err(operator.denied(act, error).await),
    }
    Ok(Ending::Done)
}

/// Building and mailing are the workers' business, and begin at once where they run.
async fn tell_new(operator: &Operator, ids: &[RegisterId]) -> Outcome {
    for id in ids {
        let register = find(operator, *id).await?;
        let about = &register.summary;
        say(format!(
            "register {id}: {} {} of payee {}, {} payments, {} {} in minor units",
            about.kind(),
            about.sequence,
            about.payee,
            about.count,
            about.total,
            about.currency
        ))?;
    }
    Ok(Ending::Done)
}

async fn save(operator: &Operator, id: RegisterId, target: &Path) -> Outcome {
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

impl Row for Listed {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("register_id", |row| json!(row.summary.register_id)),
        Column::new("payee", |row| json!(row.summary.payee)),
        Column::new("series", |row| json!(row.summary.series)),
        Column::new("sequence", |row| json!(row.summary.sequence)),
        Column::new("kind", |row| json!(row.summary.kind())),
        Column::new("state", |row| json!(row.state)),
        Column::new("count", |row| json!(row.summary.count)),
        Column::new("total", |row| json!(row.summary.total)),
        Column::new("currency", |row| json!(row.summary.currency)),
        Column::new("file", |row| json!(row.file)),
        Column::new("sha256", |row| json!(row.sha256.as_ref().map(hex::encode))),
        Column::new("bytes", |row| json!(row.bytes)),
        Column::new("mailed_at", |row| json!(row.mailed_at)),
    ];
}
