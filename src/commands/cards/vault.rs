//! `unigate cards vault`: who can open the cards. All but `show` open the vault and have to be run where its identity is; what
//! they begin the cards workers finish, if they are cut off.

use std::time::Duration;

use ::cards::vault::change::{Change, change, parse_recipient};
use ::cards::vault::verify::{Extent, Unfit, verify};
use ::cards::vault::{self, Opened, Vault, VaultError, make_or_open};
use age::x25519::Recipient;
use anyhow::Context;
use clap::Subcommand;
use indicatif::ProgressBar;
use serde_json::json;
use store::StoreError;
use store::audit::Act;

use crate::ending::{Ending, Outcome};
use crate::operator::{Operator, reason};
use crate::output::{self, Column, FormatArg, Row, ShowFormatArg, note, say};

/// Each is as long as a lock is waited for; a file of a million cards takes less than all of them.
const TRIES: u32 = 12;
/// Workers that have said what they have within this time are running.
const RUNNING: Duration = ::cards::vault::change::SILENCE;

/// Said when the identity is not here, or the database's role may not.
const NEEDS_IDENTITY: &str =
    "this command opens the vault: run it where a cards worker could, with its identity and its rights in the database";

/// What to do with the vault.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make the vault and its identity file, or say that they are there and fit
    Init(InitArgs),
    /// Show whom it is sealed to, its keys, and which workers can open it
    Show(ShowFormatArg),
    /// Seal it to one more recipient, whose identity is kept elsewhere: for the day on which the workers' own is lost
    AddRecipient(RecipientArgs),
    /// Stop sealing it to one of those
    RemoveRecipient(RecipientArgs),
    /// Replace the workers' identity, in two steps: begin, then `--finish` when every worker has the new one
    Rotate(RotateArgs),
    /// Try whether everything opens, and cards are indexed as they should be
    Verify(VerifyArgs),
}

/// For whom besides the workers.
#[derive(Debug, clap::Args)]
pub(crate) struct InitArgs {
    /// Also seal it to this recipient, whose identity is kept elsewhere; may be given several times
    #[arg(long, value_name = "AGE1…", value_parser = parse_recipient)]
    escrow: Vec<Recipient>,
}

/// Whom, and why.
#[derive(Debug, clap::Args)]
pub(crate) struct RecipientArgs {
    /// The age recipient
    #[arg(value_name = "AGE1…", value_parser = parse_recipient)]
    recipient: Recipient,
    /// Why; for the audit log
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: String,
}

/// To what, how far, and why.
#[derive(Debug, clap::Args)]
pub(crate) struct RotateArgs {
    /// Begin with this recipient, whose identity was made with age-keygen; else a new one is added to the identity file here
    #[arg(long, value_name = "AGE1…", value_parser = parse_recipient, conflicts_with_all = ["finish", "cancel", "index_key"])]
    recipient: Option<Recipient>,
    /// The second step: stop sealing to the old identity. Refused while a running worker has not got the new one
    #[arg(long)]
    finish: bool,
    /// Undo the first step: stop sealing to the new identity
    #[arg(long, conflicts_with = "finish")]
    cancel: bool,
    /// The workers' identity is lost, and one that was kept in escrow is here: make a new one for the workers
    #[arg(long, conflicts_with_all = ["finish", "cancel"])]
    recover: bool,
    /// Instead of the identity, replace the key by which cards are recognised
    #[arg(long, conflicts_with_all = ["finish", "cancel", "recover"])]
    index_key: bool,
    /// Why; for the audit log
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: String,
}

/// How much.
#[derive(Debug, clap::Args)]
pub(crate) struct VerifyArgs {
    /// Open every card
    #[arg(long, conflicts_with = "sample")]
    all: bool,
    /// Open about so many cards, by chance
    #[arg(long, value_name = "N", default_value_t = 1000)]
    sample: u32,
    #[command(flatten)]
    format: FormatArg,
}

/// Does what was asked for.
pub(super) async fn run(command: Command) -> Outcome {
    match command {
        Command::Init(args) => init(args).await,
        Command::Show(args) => show(args).await,
        Command::AddRecipient(args) => recipient(Change::AddEscrow(args.recipient), &args.reason).await,
        Command::RemoveRecipient(args) => recipient(Change::RemoveEscrow(args.recipient), &args.reason).await,
        Command::Rotate(args) => rotate(args).await,
        Command::Verify(args) => verify_all(args).await,
    }
}

async fn init(args: InitArgs) -> Outcome {
    let operator = Operator::new()?;
    let source = vault::IdentitySource::from(&operator.settings);
    let place = source.to_string();
    let (vault, opened) = make_or_open(&operator.store, source, &args.escrow, Some(&operator.who)).await?;
    let version = vault.version();
    match opened {
        Opened::Made => say(format!(
            "a vault was made; keep a copy of the identity in {place} in a safe place, nothing else opens its cards"
        ))?,
        Opened::Existing if !args.escrow.is_empty() => {
            note("there is a vault already; `unigate cards vault add-recipient` seals it to more");
            return Ok(Ending::Failed);
        }
        Opened::Existing => say(format!("the vault is there (version {version}) and {place} opens it"))?,
    }
    Ok(Ending::Done)
}

async fn show(ShowFormatArg { format }: ShowFormatArg) -> Outcome {
    let operator = Operator::new()?;
    let store = &operator.store;
    let history = store::vault::history(store).await?;
    let latest = history.first().ok_or(VaultError::None)?;
    let names = &latest.recipients;
    let role = |one: &String| match () {
        () if names.escrow.contains(one) => "escrow",
        () if names.leaving.contains(one) => "leaving",
        () => "workers",
    };
    let recipients: Vec<_> = names
        .all
        .iter()
        .map(|one| json!({ "recipient": one, "role": role(one) }))
        .collect();
    let index: Vec<_> = store::vault::index_keys(store)
        .await?
        .iter()
        .map(|key| {
            json!({ "version": key.index_version, "made_at": key.created_at, "cards": key.cards,
                    "all_cards_moved_at": key.reindexed_at })
        })
        .collect();
    let batches = store::vault::batch_counts(store).await?;
    let workers: Vec<_> = store::vault::holders(store, RUNNING)
        .await?
        .iter()
        .map(|holder| {
            let ready = names.own().any(|own| holder.identities.contains(own));
            json!({ "worker": holder.worker, "version": holder.version, "has_present_identity": ready,
                    "seen_at": holder.seen_at })
        })
        .collect();
    output::show(
        format,
        &json!({
            "version": latest.version,
            "since": latest.created_at,
            "rotating": names.is_rotating(),
            "recipients": recipients,
            "index_keys": index,
            "batch_keys": { "present": batches.present, "behind": batches.behind, "forgotten": batches.forgotten },
            "workers": workers,
        }),
    )?;
    Ok(Ending::Done)
}

async fn recipient(what: Change, reason: &str) -> Outcome {
    let operator = Operator::new()?;
    let vault = changed(&operator, &what, reason).await?;
    let ending = rewrap(&operator, &vault).await?;
    match what {
        Change::RemoveEscrow(old) => say(format!(
            "the vault (version {}) is not sealed to {old} any more; copies of the database from before still are",
            vault.version()
        ))?,
        Change::AddEscrow(new) => say(format!(
            "the vault (version {}) is sealed to {new} as well",
            vault.version()
        ))?,
        _ => {}
    }
    Ok(ending)
}

async fn rotate(args: RotateArgs) -> Outcome {
    let operator = Operator::new()?;
    let (reason, settings) = (args.reason.as_str(), &operator.settings);
    let what = match args {
        RotateArgs { finish: true, .. } => Change::FinishRotation,
        RotateArgs { cancel: true, .. } => Change::CancelRotation,
        RotateArgs { index_key: true, .. } => Change::NewIndexKey,
        RotateArgs {
            recover: true,
            recipient,
            ..
        } => Change::Recover(recipient),
        RotateArgs { recipient, .. } => Change::BeginRotation(recipient),
    };
    let under_way = store::vault::recipients(&operator.store)
        .await?
        .is_some_and(|(_, names)| names.is_rotating());
    let vault = match &what {
        // Cut off before: the keys are still to be wrapped.
        Change::BeginRotation(None) if under_way => vault::open_existing(&operator.store, settings).await?,
        what => changed(&operator, what, reason).await?,
    };
    let mut ending = rewrap(&operator, &vault).await?;
    if matches!(what, Change::FinishRotation) {
        ending = name_damaged(&operator, &vault, ending).await?;
    }
    let (version, place) = (vault.version(), vault.source());
    match what {
        Change::NewIndexKey => say(format!(
            "the vault (version {version}) has a new index key; the cards workers move the cards to it, \
             `unigate cards vault show` says how far they are"
        ))?,
        Change::FinishRotation => say(format!(
            "the vault (version {version}) is sealed to the new identity alone. Keep the old one as long as copies of the \
             database from before"
        ))?,
        Change::Recover(_) => say(format!(
            "the vault (version {version}) is sealed to a new identity of the workers and to those in escrow. Take the new one \
             from {place} to where the cards workers run, and the one from escrow back to where it is kept"
        ))?,
        Change::CancelRotation => say(format!(
            "the vault (version {version}) is sealed to the old identity alone"
        ))?,
        _ => say(format!(
            "the vault (version {version}) is sealed to the old identity and the new one. Now put the new one beside the old \
             one wherever a cards worker runs (here it comes from {place}), keep a copy of it in a safe place, and then \
             `unigate cards vault rotate --finish`"
        ))?,
    }
    Ok(ending)
}

/// Names the keys that opened under neither identity: whoever has a copy of one in a backup needs the old identity for it.
async fn name_damaged(operator: &Operator, vault: &Vault, ending: Ending) -> anyhow::Result<Ending> {
    let verified = verify(&operator.store, vault, Extent::Sample(1), |_| {}).await?;
    let damaged: Vec<_> = verified.named.iter().filter(|unfit| unfit.kind == "batch").collect();
    for batch in &damaged {
        note(&format!(
            "the key of batch {} is damaged ({}): if a copy of the database has its `card_batch.wrapped_key`, put that back, and the old \
             identity beside the new one where a cards worker runs, which wraps it anew within an hour",
            batch.subject, batch.why
        ));
    }
    Ok(if damaged.is_empty() { ending } else { Ending::Failed })
}

/// Changes the vault; a file being entered is waited for.
async fn changed(operator: &Operator, what: &Change, reason: &str) -> anyhow::Result<Vault> {
    let mut tries = 1;
    loop {
        match change(&operator.store, &operator.settings, what, &operator.who, reason).await {
            Ok(vault) => return Ok(vault),
            Err(VaultError::NotNow(why)) => {
                let act = Act {
                    who: &operator.who,
                    act: "cards vault",
                    subject_kind: "vault",
                    subject: "latest",
                    reason: Some(reason),
                    before: None,
                    after: None,
                };
                return Err(operator.denied(act, StoreError::Changed(why)).await);
            }
            Err(error) if error.is_retryable() && tries < TRIES => {
                note(&format!("{error}; perhaps a card file is being entered: trying again"));
                tokio::time::sleep(Duration::from_secs(1)).await;
                tries += 1;
            }
            Err(error) => return Err(error).context(NEEDS_IDENTITY),
        }
    }
}

/// Wraps batch keys here and now, as a worker would within a minute.
async fn rewrap(operator: &Operator, vault: &Vault) -> anyhow::Result<Ending> {
    let progress = ProgressBar::new_spinner().with_message("wrapping the keys of batches");
    progress.enable_steady_tick(Duration::from_millis(100));
    let step = vault.rewrap(&operator.store).await;
    progress.finish_and_clear();
    let step = step?;
    if step.unopenable > 0 {
        note(&format!(
            "{} batch keys do not open, and are left as they are: `unigate cards vault verify` names them",
            step.unopenable
        ));
    }
    Ok(Ending::done_if(step.unopenable == 0))
}

async fn verify_all(args: VerifyArgs) -> Outcome {
    let operator = Operator::new()?;
    let opened = match vault::open_existing(&operator.store, &operator.settings).await {
        Err(error @ VaultError::Unproven { .. }) => {
            note(&format!("{error}. Whether it opens can be tried all the same"));
            vault::open_unproven(&operator.store, &operator.settings).await
        }
        other => other,
    };
    let vault = opened.context(NEEDS_IDENTITY)?;
    let extent = if args.all {
        Extent::All
    } else {
        Extent::Sample(args.sample)
    };
    let progress = ProgressBar::new_spinner();
    progress.enable_steady_tick(Duration::from_millis(100));
    let verified = verify(&operator.store, &vault, extent, |cards| {
        progress.set_message(format!("{cards} cards open"));
    })
    .await;
    progress.finish_and_clear();
    let verified = verified?;
    let FormatArg { format } = args.format;
    output::list(format, &verified.named)?;
    note(&format!(
        "version {}: {} index keys, {} batch keys ({} forgotten) and {} cards looked at; {} do not fit",
        vault.version(),
        verified.index_keys,
        verified.batches,
        verified.forgotten,
        verified.cards,
        verified.unfit
    ));
    Ok(Ending::done_if(verified.unfit == 0))
}

impl Row for Unfit {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("kind", |row| json!(row.kind)),
        Column::new("subject", |row| json!(row.subject)),
        Column::new("why", |row| json!(row.why)),
    ];
}
