//! `unigate products|terminals …`, and what `unigate payees …` shares with them: declarations applied, listed, shown.
//!
//! A directory is applied as a whole or not at all. Whoever applies at the same time waits; what says what is there already
//! changes nothing.

mod kinds;
pub(crate) mod read;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::bail;
use clap::{Subcommand, ValueEnum};
use domain::declaration::{Declaration, TerminalGroup};
use domain::invalid::Invalid;
use jiff::Timestamp;
use store::audit::Act;
use store::declarations::{self, Applied, Declarations, Declared};
use store::{Store, StoreError, Tx};

use crate::ending::{Ending, Misconfigured, Outcome};
use crate::operator::Operator;
use crate::output::{self, Column, Format, FormatArg, Row, say};

pub(crate) use read::Written;

/// What to do with declarations.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Declare what the *.toml files of a directory say, all of it or nothing; safe to run twice and at once
    Apply {
        /// A directory, or one file
        #[arg(value_name = "DIR")]
        path: PathBuf,
    },
    /// List what is declared
    List(FormatArg),
    /// Show one as it is declared, secrets masked
    Show(ShowArgs),
}

/// What to show, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct ShowArgs {
    /// Its id
    id: String,
    /// How to print
    #[arg(long, value_enum, default_value_t)]
    format: ShowFormat,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum ShowFormat {
    /// As it would stand in a file
    #[default]
    Toml,
    /// One object
    Json,
}

/// A kind of declaration: what `apply` and `list` must know of it beyond [`Declaration`].
pub(crate) trait Kind: Declaration + 'static {
    /// All of them.
    fn all(declarations: Declarations) -> Vec<Declared<Self>>;
    /// All of them as they are listed: with what follows from other declarations.
    async fn listed(store: &Store) -> Result<Vec<Declared<Self>>, StoreError> {
        Ok(Self::all(declarations::load(store).await?))
    }
    /// Columns of the list.
    const COLUMNS: &'static [Column<Listed<Self>>];
    /// The kinds that may stand in one file with it, itself the first.
    const FAMILY: &'static [&'static str] = &[Self::KIND];
    /// Groups that the same files declare.
    fn groups(_: &Path) -> Result<Vec<TerminalGroup>, Misconfigured> {
        Ok(Vec::new())
    }
    /// Puts in what the things name and the same files declare beside them.
    fn complete(_: &Path, _: &mut [Written<Self>]) -> Result<(), Misconfigured> {
        Ok(())
    }
    /// Keys in it that nothing can be encrypted to. `domain` looks at their form only.
    fn unusable_keys(&self) -> Vec<Invalid> {
        Vec::new()
    }
    /// What is wrong with it that only a trial shows.
    fn try_out(&self) -> Result<(), String> {
        Ok(())
    }
    /// Completes what the files say by what is there, and does what has to come before a change.
    async fn prepare(_: &Store, _: &Tx, _: &mut [Written<Self>]) -> Result<(), StoreError> {
        Ok(())
    }
    /// Declares one, and notes what follows that nobody might expect.
    async fn apply(&self, tx: &Tx, who: &str, notes: &mut Vec<String>) -> Result<Applied, StoreError>;
}

/// A declaration in a list.
pub(crate) struct Listed<T> {
    version: i32,
    value: Arc<T>,
    updated_at: Option<Timestamp>,
}

impl<T: Kind> Row for Listed<T> {
    const COLUMNS: &'static [Column<Self>] = T::COLUMNS;
}

/// Applies, lists or shows declarations of a kind.
pub(crate) async fn run<T: Kind>(command: Command) -> Outcome {
    match command {
        Command::Apply { path } => apply::<T>(&path).await,
        Command::List(FormatArg { format }) => list::<T>(format).await,
        Command::Show(args) => show::<T>(args).await,
    }
}

pub(crate) async fn apply<T: Kind>(path: &Path) -> Outcome {
    let operator = Operator::new()?;
    let (mut written, groups) = match (read::read_all::<T>(path, T::FAMILY, T::unusable_keys), T::groups(path)) {
        (Ok(written), Ok(groups)) => (written, groups),
        (Err(Misconfigured(mut wrong)), Err(Misconfigured(more))) => {
            wrong.extend(more);
            return Err(Misconfigured(wrong).into());
        }
        (Err(wrong), _) | (_, Err(wrong)) => return Err(wrong.into()),
    };
    T::complete(path, &mut written)?;
    let tried = written.iter().map(|one| (one.value.id(), one.value.try_out()));
    let failed = tried.filter_map(|(id, tried)| Some(format!("{} {id}: {}", T::KIND, tried.err()?)));
    let failed: Vec<String> = failed.collect();
    if !failed.is_empty() {
        return Err(Misconfigured(failed).into());
    }
    let tx = operator.store.begin().await?;
    declarations::lock_for_apply(&tx).await?;
    if let Err(error) = T::prepare(&operator.store, &tx, &mut written).await {
        drop(tx);
        return Err(denied::<T>(&operator, &path.display().to_string(), error).await);
    }
    let mut done = Vec::with_capacity(written.len() + groups.len());
    let mut notes = Vec::new();
    for group in &groups {
        let applied = declarations::apply_group(&tx, group, &operator.who).await?;
        done.push((TerminalGroup::KIND, group.id(), applied));
    }
    for Written { value, .. } in &written {
        match value.apply(&tx, &operator.who, &mut notes).await {
            Ok(applied) => done.push((T::KIND, value.id(), applied)),
            Err(error) => {
                drop(tx);
                return Err(denied::<T>(&operator, value.id(), error).await);
            }
        }
    }
    tx.commit().await?;
    notes.iter().for_each(|text| output::note(text));
    for (kind, id, applied) in done {
        let what = match applied {
            Applied::Created => "created",
            Applied::Changed => "changed",
            Applied::Unchanged => "unchanged",
        };
        say(format!("{kind} {id}: {what}"))?;
    }
    Ok(Ending::Done)
}

/// Nothing of it was done; that it was wanted is written down.
async fn denied<T: Kind>(operator: &Operator, subject: &str, error: StoreError) -> anyhow::Error {
    let act = Act {
        who: &operator.who,
        act: &format!("{}s apply", T::KIND),
        subject_kind: T::KIND,
        subject,
        reason: None,
        before: None,
        after: None,
    };
    operator.denied(act, error).await
}

async fn list<T: Kind>(format: Format) -> Outcome {
    let operator = Operator::new()?;
    let mut all = T::listed(&operator.store).await?;
    all.sort_by(|left, right| left.value.id().cmp(right.value.id()));
    let updated = declarations::updated(&operator.store, T::KIND).await?;
    let updated: HashMap<String, Timestamp> = updated.into_iter().map(|(id, _, at)| (id, at)).collect();
    let rows: Vec<Listed<T>> = all
        .into_iter()
        .map(|Declared { version, value }| Listed {
            updated_at: updated.get(value.id()).copied(),
            version,
            value,
        })
        .collect();
    output::list(format, &rows)?;
    Ok(Ending::Done)
}

async fn show<T: Kind>(args: ShowArgs) -> Outcome {
    let operator = Operator::new()?;
    let all = T::all(declarations::load(&operator.store).await?);
    let Some(found) = all.iter().find(|declared| declared.value.id() == args.id) else {
        bail!("no {} {} is declared", T::KIND, args.id);
    };
    let public = found.value.to_public_json();
    match args.format {
        ShowFormat::Json => output::show(output::ShowFormat::Json, &public)?,
        ShowFormat::Toml => {
            let text = toml::to_string_pretty(&public)?;
            output::text(&format!("# version {}\n{text}", found.version))?;
        }
    }
    Ok(Ending::Done)
}
