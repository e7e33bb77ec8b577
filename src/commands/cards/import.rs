//! `unigate cards import`: the file is sealed here and handed in; a cards worker enters it. Where none runs and this process
//! can open the vault, it does the work itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, bail};
use cards::import::{FILE_MAX_BYTES, File, ImportId, Keys, Options, Stop, submit_file, work_one_with};
use cards::vault::{self, Vault, VaultError};
use domain::declaration::{SecretRef, SecretSource};
use domain::ids::ProductId;
use indicatif::ProgressBar;
use serde_json::Value;
use store::imports::{self, Import};

use super::files::KINDS;
use super::preview;
use crate::ending::{Ending, Outcome};
use crate::operator::Operator;
use crate::output::{FormatArg, note, say};

/// A running worker finds a file well within this.
const WORKER_PATIENCE: Duration = Duration::from_secs(3);
/// Pauses between looks grow from the first to the second.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));
/// Rows named on the screen; `cards imports` counts them all.
const NAMED_ROWS: usize = 20;

/// Which file, of what, and how to take it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The product they are cards of
    #[arg(long, value_name = "ID", value_parser = ProductId::parse)]
    pub(super) product: ProductId,
    /// How long to wait for the result; 0 = hand in and leave
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    wait: u64,
    /// Read the file, show its first rows masked and what is wrong with it, and hand nothing in
    #[arg(long)]
    dry_run: bool,
    /// Leave out rows that cannot be read; without it one of them refuses the file
    #[arg(long)]
    good_rows: bool,
    /// Duplicates and expired cards refuse the file as well; without it they are left out
    #[arg(long, conflicts_with = "good_rows")]
    strict: bool,
    /// Take a file that was imported before
    #[arg(long)]
    again: bool,
    /// Opens an archive, or what has a passphrase, here: `env:NAME` or `file:PATH`. It is neither stored nor passed on
    #[arg(long, value_name = "REF", value_parser = password_reference)]
    password: Option<SecretRef>,
    #[command(flatten)]
    pub(super) format: FormatArg,
    /// As the product's [card_file] says; without one CSV with a header: `serial`, `expires_on` (optional); every other column
    /// is a secret field of that name. Zipped, age- or OpenPGP-encrypted or not
    pub(super) file: PathBuf,
}

impl Args {
    /// What is asked for.
    pub(super) fn options(&self) -> Options {
        Options {
            good_rows: self.good_rows,
            strict: self.strict,
            again: self.again,
        }
    }
}

fn password_reference(text: &str) -> Result<SecretRef, String> {
    let reference = SecretRef::parse(text).map_err(|refused| refused.why)?;
    match reference.source() {
        // On a command line it would be seen by everybody on this machine.
        SecretSource::Value(_) => Err("must be env:NAME or file:PATH".to_owned()),
        SecretSource::Env(_) | SecretSource::File(_) => Ok(reference),
    }
}

pub(super) async fn import(args: Args) -> Outcome {
    let operator = Operator::new()?;
    let password = args.password.as_ref().map(runtime::secret::password).transpose();
    let password = password.map_err(|why| anyhow!("--password: {why}"))?;
    if args.dry_run {
        return preview::dry_run(&operator, &args, password).await;
    }
    let progress = ProgressBar::new_spinner().with_message("sealing the file");
    progress.enable_steady_tick(Duration::from_millis(100));
    let source = open(&args.file)?;
    let vault = vault_if_nobody_made_one(&operator, &progress).await?;
    let recipients = vault::recipients(&operator.store).await?;
    let file = File {
        source,
        name: args.file.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        password,
        options: args.options(),
    };
    let place = args.file.display();
    let id = submit_file(&operator.store, &recipients, &args.product, file, &operator.who)
        .await
        .with_context(|| place.to_string())?;
    let mut helper = Helper {
        operator: &operator,
        vault,
        refused: None,
    };
    let ended = helper.wait(id, Duration::from_secs(args.wait), &progress).await;
    progress.finish_and_clear();
    match ended? {
        Some(import) => tell(&args.file, &import),
        None if args.wait == 0 => {
            say(format!(
                "import {id}: handed in; `unigate cards imports` tells what becomes of it"
            ))?;
            Ok(Ending::Done)
        }
        None => {
            let why = helper
                .refused
                .map(|why| format!(" This process cannot do it: {why}"))
                .unwrap_or_default();
            note(&format!(
                "import {id} is handed in but not done after {} s (`unigate cards imports` tells how far it is); is a cards \
                 worker running?{why}",
                args.wait
            ));
            Ok(Ending::Failed)
        }
    }
}

fn open(file: &Path) -> anyhow::Result<std::fs::File> {
    let place = || file.display().to_string();
    let opened = std::fs::File::open(file).with_context(place)?;
    let about = opened.metadata().with_context(place)?;
    if !about.is_file() {
        bail!("{}: is not a file", place());
    }
    if about.len() > FILE_MAX_BYTES {
        bail!("{}: is larger than {FILE_MAX_BYTES} bytes: split it", place());
    }
    Ok(opened)
}

/// The first cards worker makes the vault. Where none runs it is made here, for this host's identity file.
async fn vault_if_nobody_made_one(
    operator: &Operator,
    progress: &ProgressBar,
) -> Result<Option<Arc<Vault>>, VaultError> {
    let began = Instant::now();
    while store::vault::current(&operator.store).await?.is_none() {
        if began.elapsed() >= WORKER_PATIENCE {
            let (vault, _) = vault::open(&operator.store, &operator.settings).await?;
            return Ok(Some(Arc::new(vault)));
        }
        progress.set_message("there is no vault yet; waiting for a cards worker to make it");
        tokio::time::sleep(PAUSES.1).await;
    }
    Ok(None)
}

/// Waits for the result, and works the file off where nobody else does.
struct Helper<'a> {
    operator: &'a Operator,
    vault: Option<Arc<Vault>>,
    refused: Option<VaultError>,
}

impl Helper<'_> {
    /// The import once it ended; none when it did not in time.
    async fn wait(&mut self, id: ImportId, most: Duration, progress: &ProgressBar) -> anyhow::Result<Option<Import>> {
        let store = &self.operator.store;
        let (began, mut pause) = (Instant::now(), PAUSES.0);
        loop {
            let import = imports::find(store, id)
                .await?
                .context("the import is gone from the database")?;
            if import.finished_at.is_some() {
                return Ok(Some(import));
            }
            if began.elapsed() >= most {
                return Ok(None);
            }
            let of = import
                .rows_total
                .map(|total| format!(", {} of {total} rows", import.rows_done));
            progress.set_message(format!("import {id} is {}{}", import.state, of.unwrap_or_default()));
            let nobody_took_it =
                import.state == "waiting" && (self.vault.is_some() || began.elapsed() >= WORKER_PATIENCE);
            if nobody_took_it && let Some(vault) = self.vault().await {
                progress.set_message(format!("no cards worker took import {id}: working it off here"));
                let settings = &self.operator.settings;
                let keys = Keys::read(settings.pgp_key_file.as_deref(), settings.pgp_key_password.as_ref())?;
                work_one_with(store, &vault, &keys, Some(id), &Stop::never()).await?;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
        }
    }

    /// The vault, if the identity is here. That it is not is no error: a worker elsewhere has it.
    async fn vault(&mut self) -> Option<Arc<Vault>> {
        if self.vault.is_none() && self.refused.is_none() {
            match vault::open(&self.operator.store, &self.operator.settings).await {
                Ok((vault, _)) => self.vault = Some(Arc::new(vault)),
                Err(error) => self.refused = Some(error),
            }
        }
        self.vault.clone()
    }
}

fn tell(file: &Path, import: &Import) -> Outcome {
    let id = import.import_id;
    let report = import.report.clone().unwrap_or_default();
    let done = import.state == "done";
    if done {
        let malformed = match import.malformed {
            0 => String::new(),
            malformed => format!(", {malformed} malformed rows"),
        };
        say(format!(
            "import {id}: {} cards added, {} duplicates ({} of them in the file itself) and {} expired ones left out{malformed}",
            import.added,
            import.duplicates,
            report["duplicates_in_file"].as_u64().unwrap_or(0),
            import.expired,
        ))?;
    } else {
        note(&format!("import {id}: {}, no card was added", import.state));
    }
    for (kind, what) in KINDS {
        for line in lines_of(file, &report[kind], what) {
            note(&line);
        }
    }
    Ok(Ending::done_if(done))
}

pub(super) fn lines_of(file: &Path, notes: &Value, what: &str) -> Vec<String> {
    let file = file.display();
    let all = notes["lines"].as_array().map(Vec::as_slice).unwrap_or_default();
    let named = |note: &Value| {
        let why = note["why"].as_str().unwrap_or_default();
        match note["line"].as_u64() {
            Some(line) if line > 0 => format!("{file}:{line}: {what}: {why}"),
            _ => format!("{file}: {what}: {why}"),
        }
    };
    let mut lines: Vec<String> = all.iter().take(NAMED_ROWS).map(named).collect();
    let more = notes["total"].as_u64().unwrap_or(0).saturating_sub(lines.len() as u64);
    if more > 0 {
        lines.push(format!("{file}: {what}: and {more} more"));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn rows_are_named_by_line_and_counted_beyond_some() {
        let lines: Vec<Value> = (1..=30)
            .map(|line| json!({"line": line, "why": "pin: is too long"}))
            .collect();
        let named = lines_of(Path::new("a.csv"), &json!({"total": 4000, "lines": lines}), "refused");
        assert_eq!(named.len(), NAMED_ROWS + 1);
        assert_eq!(named[1], "a.csv:2: refused: pin: is too long");
        assert_eq!(named[NAMED_ROWS], "a.csv: refused: and 3980 more");
        let whole = json!({"total": 1, "lines": [{"line": 0, "why": "the file is empty"}]});
        assert_eq!(
            lines_of(Path::new("a.csv"), &whole, "refused"),
            ["a.csv: refused: the file is empty"]
        );
        assert!(lines_of(Path::new("a.csv"), &Value::Null, "expired").is_empty());
    }
}
