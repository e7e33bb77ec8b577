//! `unigate cards show`, `return` and `disclosures`: secrets, for a reason, in a file that only the named recipients can open. Nothing
//! is opened here: a cards worker answers, this waits, prints or saves. What is withdrawn is withdrawn before it is answered.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ::cards::vault::change::parse_recipient;
use age::x25519::Recipient;
use anyhow::{Context, anyhow, bail};
use domain::ids::ProductId;
use indicatif::ProgressBar;
use jiff::civil::Date;
use openpgp::PublicKey;
use serde_json::json;
use store::audit::Act;
use store::disclosures::{self, Again, Disclosure, Issuer, Return, Show};
use uuid::Uuid;

use crate::ending::{Ending, Outcome};
use crate::operator::{Operator, reason};
use crate::output::{self, Column, Row, note, say};

/// Pauses between looks grow from the first to the second.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));

/// Which card, why, and for whom.
#[derive(Debug, clap::Args)]
pub(crate) struct ShowArgs {
    /// Its serial
    serial: String,
    /// The product it is a card of
    #[arg(long, value_name = "ID", value_parser = ProductId::parse)]
    product: ProductId,
    /// Why; for the audit log
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: String,
    /// Your own age recipient: nobody else can open the answer
    #[arg(long, value_name = "AGE1…", value_parser = parse_recipient)]
    to: Recipient,
    /// Write the answer here instead of printing it
    #[arg(long, value_name = "FILE")]
    save: Option<PathBuf>,
    /// How long to wait for a cards worker
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    wait: u64,
}

/// Which cards, why, and for whom.
#[derive(Debug, clap::Args)]
pub(crate) struct ReturnArgs {
    /// The product they are cards of
    #[arg(long, value_name = "ID", value_parser = ProductId::parse, required_unless_present = "again")]
    product: Option<ProductId>,
    /// The issuer's age recipient; may be given several times
    #[arg(long, value_name = "AGE1…", value_parser = parse_recipient, required_unless_present_any = ["again", "pgp_key"])]
    to: Vec<Recipient>,
    /// The issuer's OpenPGP public key, armoured or not: the file is then an OpenPGP message; may be given several times
    #[arg(long, value_name = "FILE", conflicts_with = "to")]
    pgp_key: Vec<PathBuf>,
    /// Only cards whose last day is before this one
    #[arg(long, value_name = "DATE")]
    expiring_before: Option<Date>,
    /// So many at most, those that expire first to begin with
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(i64).range(1..))]
    count: Option<i64>,
    /// Only cards that no terminal has seen
    #[arg(long)]
    fresh_only: bool,
    /// Why; for the audit log
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    reason: String,
    /// Fetch the file of this earlier return once more, with the same cards, also one that was refused; nothing is withdrawn.
    /// With --to or --pgp-key it is for those
    #[arg(long, value_name = "ID",
        conflicts_with_all = ["product", "expiring_before", "count", "fresh_only"])]
    again: Option<Uuid>,
    /// How long to wait for a cards worker
    #[arg(long, value_name = "SECONDS", default_value_t = 600)]
    wait: u64,
    /// Where to write the file
    file: PathBuf,
}

/// Shows one card.
pub(super) async fn show(args: ShowArgs) -> Outcome {
    let operator = Operator::new()?;
    if let Some(file) = &args.save {
        must_be_new(file)?;
    }
    let to = args.to.to_string();
    let asked = disclosures::ask_show(
        &operator.store,
        &Show {
            product: &args.product,
            serial: &args.serial,
            recipient: &to,
            reason: &args.reason,
            who: &operator.who,
        },
    )
    .await;
    let subject = format!("{}/{}", args.product, args.serial);
    let asked = match asked {
        Ok(asked) => asked,
        Err(error) => {
            let act = Act {
                who: &operator.who,
                act: "cards show (asked)",
                subject_kind: "card",
                subject: &subject,
                reason: Some(&args.reason),
                before: None,
                after: None,
            };
            return Err(operator.denied(act, error).await);
        }
    };
    let id = asked.disclosure_id;
    let Some(answered) = wait_for(&operator, id, args.wait).await? else {
        // Nobody will come back for it, so nothing is to be prepared for nobody.
        let given_up = disclosures::give_up(&operator.store, id).await?;
        let later = if given_up {
            ""
        } else {
            "; a worker has just begun to answer: try again"
        };
        note(&format!(
            "no cards worker answered within {} s; is one running?{later}",
            args.wait
        ));
        return Ok(Ending::Failed);
    };
    if let Some(why) = &answered.refusal {
        note(&format!("card {subject}: {why}"));
        return Ok(Ending::Failed);
    }
    match &args.save {
        Some(file) => {
            write_file(&operator, &answered, file).await?;
            say(format!("{}: the card {subject}, for {to}", file.display()))?;
        }
        None => {
            let text = disclosures::chunk(&operator.store, id, 0)
                .await?
                .context("the answer is gone")?;
            output::text(&String::from_utf8(text).context("the answer is no text")?)?;
        }
    }
    disclosures::collected(&operator.store, id, &operator.who, &args.reason).await?;
    Ok(Ending::Done)
}

/// Withdraws unsold cards and saves their file for the issuer.
pub(super) async fn return_cards(args: ReturnArgs) -> Outcome {
    let operator = Operator::new()?;
    must_be_new(&args.file)?;
    let id = match args.again {
        Some(id) => once_more(&operator, id, &args).await?,
        None => ask_return(&operator, &args).await?,
    };
    let Some(answered) = wait_for(&operator, id, args.wait).await? else {
        note(&format!(
            "no cards worker has finished within {} s; is one running? The cards are withdrawn, and return {id} stands: give the \
             same command again, or `unigate cards return --again {id} --reason TEXT FILE`",
            args.wait
        ));
        return Ok(Ending::Failed);
    };
    if let Some(why) = &answered.refusal {
        note(&format!(
            "return {id}: {why}. Its cards are withdrawn; once that is mended: `unigate cards return --again {id} --reason TEXT \
             FILE`, for another issuer with --to or --pgp-key"
        ));
        return Ok(Ending::Failed);
    }
    write_file(&operator, &answered, &args.file).await?;
    disclosures::collected(&operator.store, id, &operator.who, &args.reason).await?;
    say(format!(
        "return {id}: {} cards of {} worth {} {} (minor units) in {}, for {}",
        answered.cards,
        answered.product,
        answered.total,
        answered.currency,
        args.file.display(),
        answered.recipients.join(", ")
    ))?;
    if answered.missing > 0 {
        note(&format!(
            "{} of them stand there without their details, which are gone or do not open",
            answered.missing
        ));
    }
    Ok(Ending::Done)
}

async fn ask_return(operator: &Operator, args: &ReturnArgs) -> anyhow::Result<Uuid> {
    let product = args.product.as_ref().context("say --product")?;
    let (recipients, pgp_keys) = issuer(args)?;
    let wanted = Return {
        product,
        recipients: &recipients,
        pgp_keys: &pgp_keys,
        expiring_before: args.expiring_before,
        count: args.count,
        fresh_only: args.fresh_only,
        reason: &args.reason,
        who: &operator.who,
    };
    match disclosures::ask_return(&operator.store, &wanted).await {
        Ok(asked) if asked.again => {
            note(&format!(
                "return {} was asked for before: it is gone on with",
                asked.disclosure_id
            ));
            Ok(asked.disclosure_id)
        }
        Ok(asked) => Ok(asked.disclosure_id),
        Err(error) => {
            let act = Act {
                who: &operator.who,
                act: "cards return",
                subject_kind: "product",
                subject: product.as_str(),
                reason: Some(&args.reason),
                before: None,
                after: None,
            };
            Err(operator.denied(act, error).await)
        }
    }
}

/// Who can open the file, by name and in one order, and their OpenPGP keys where they are named by those. A key that nobody
/// should encrypt to is refused before a card is withdrawn.
fn issuer(args: &ReturnArgs) -> anyhow::Result<(Vec<String>, Vec<String>)> {
    let age = args.to.iter().map(|recipient| (recipient.to_string(), None));
    let pgp = args.pgp_key.iter().map(|file| {
        let place = || file.display().to_string();
        let bytes = std::fs::read(file).with_context(place)?;
        let key = PublicKey::read(&bytes).map_err(|why| anyhow!("{}: {why}", place()))?;
        let armoured = key.armoured().map_err(|why| anyhow!("{}: {why}", place()))?;
        Ok((key.name(), Some(armoured)))
    });
    let mut named = age.map(Ok).chain(pgp).collect::<anyhow::Result<Vec<_>>>()?;
    named.sort();
    named.dedup_by(|one, other| one.0 == other.0);
    let (names, keys): (Vec<_>, Vec<_>) = named.into_iter().unzip();
    Ok((names, keys.into_iter().flatten().collect()))
}

async fn once_more(operator: &Operator, id: Uuid, args: &ReturnArgs) -> anyhow::Result<Uuid> {
    let (recipients, pgp_keys) = issuer(args)?;
    let again = Again {
        issuer: (!recipients.is_empty()).then_some(Issuer {
            recipients: &recipients,
            pgp_keys: &pgp_keys,
        }),
        reason: &args.reason,
        who: &operator.who,
    };
    if let Err(error) = disclosures::ask_again(&operator.store, id, &again).await {
        let act = Act {
            who: &operator.who,
            act: "cards return --again",
            subject_kind: "disclosure",
            subject: &id.to_string(),
            reason: Some(&args.reason),
            before: None,
            after: None,
        };
        return Err(operator.denied(act, error).await);
    }
    Ok(id)
}

/// The answer, or the refusal; none when it did not come in time.
async fn wait_for(operator: &Operator, id: Uuid, seconds: u64) -> anyhow::Result<Option<Disclosure>> {
    let progress = ProgressBar::new_spinner().with_message("waiting for a cards worker");
    progress.enable_steady_tick(Duration::from_millis(100));
    let (began, mut pause) = (Instant::now(), PAUSES.0);
    let found = loop {
        let found = disclosures::find(&operator.store, id)
            .await?
            .context("it is gone from the database")?;
        if found.finished_at.is_some() {
            break Some(found);
        }
        if began.elapsed() >= Duration::from_secs(seconds) {
            break None;
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSES.1);
    };
    progress.finish_and_clear();
    Ok(found)
}

/// Nothing is written over: it may be the only copy of another return.
fn must_be_new(file: &Path) -> anyhow::Result<()> {
    if file.exists() {
        bail!("{}: is there already, and is not written over", file.display());
    }
    Ok(())
}

/// Chunk by chunk under another name, and whole under its own or not at all.
async fn write_file(operator: &Operator, answered: &Disclosure, file: &Path) -> anyhow::Result<()> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    let draft = file.with_file_name(format!("{name}.part"));
    let kept = write_draft(operator, answered, &draft)
        .await
        .and_then(|()| give_name(&draft, file).with_context(|| file.display().to_string()));
    let _ = std::fs::remove_file(&draft);
    kept
}

/// Its own name, under which nothing may be yet.
fn give_name(draft: &Path, file: &Path) -> io::Result<()> {
    match std::fs::hard_link(draft, file) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => copy_as(draft, file),
        linked => linked,
    }
}

/// Where there are no links, as on a memory stick.
fn copy_as(draft: &Path, file: &Path) -> io::Result<()> {
    let mut copy = File::create_new(file)?;
    let copied = File::open(draft)
        .and_then(|mut draft| io::copy(&mut draft, &mut copy))
        .and_then(|_| copy.sync_all());
    if copied.is_err() {
        let _ = std::fs::remove_file(file);
    }
    copied
}

async fn write_draft(operator: &Operator, answered: &Disclosure, draft: &Path) -> anyhow::Result<()> {
    let place = || draft.display().to_string();
    let mut file = File::create(draft).with_context(place)?;
    let (mut n, mut bytes) = (0, 0);
    while let Some(chunk) = disclosures::chunk(&operator.store, answered.disclosure_id, n).await? {
        file.write_all(&chunk).with_context(place)?;
        bytes += i64::try_from(chunk.len())?;
        n += 1;
    }
    if Some(bytes) != answered.bytes {
        bail!("the answer was cleared away meanwhile: ask again");
    }
    file.sync_all().with_context(place)
}

impl Row for Disclosure {
    const COLUMNS: &'static [Column<Self>] = &[
        Column::new("disclosure_id", |row| json!(row.disclosure_id)),
        Column::new("kind", |row| json!(row.kind)),
        Column::new("product", |row| json!(row.product)),
        Column::new("state", |row| json!(row.state)),
        Column::new("cards", |row| json!(row.cards)),
        Column::new("total", |row| json!(row.total)),
        Column::new("currency", |row| json!(row.currency)),
        Column::new("missing", |row| json!(row.missing)),
        Column::new("recipients", |row| json!(row.recipients)),
        Column::new("reason", |row| json!(row.reason)),
        Column::new("requested_by", |row| json!(row.requested_by)),
        Column::new("requested_at", |row| json!(row.requested_at)),
        Column::new("finished_at", |row| json!(row.finished_at)),
        Column::new("collected_at", |row| json!(row.collected_at)),
        Column::new("refusal", |row| json!(row.refusal)),
        Column::new("again_by", |row| json!(row.again_by)),
        Column::new("again_reason", |row| json!(row.again_reason)),
        Column::new("again_at", |row| json!(row.again_at)),
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_gets_its_name_with_links_or_without_and_never_anothers() {
        let directory = tempfile::tempdir().unwrap();
        let [draft, file] = ["return.age.part", "return.age"].map(|name| directory.path().join(name));
        for give in [give_name, copy_as] {
            std::fs::write(&draft, "sealed").unwrap();
            give(&draft, &file).unwrap();
            assert_eq!(std::fs::read(&file).unwrap(), b"sealed");
            std::fs::remove_file(&draft).unwrap();
            std::fs::write(&draft, "another").unwrap();
            let taken = give(&draft, &file).unwrap_err();
            assert_eq!(taken.kind(), io::ErrorKind::AlreadyExists);
            assert_eq!(std::fs::read(&file).unwrap(), b"sealed");
            std::fs::remove_file(&file).unwrap();
            std::fs::remove_file(&draft).unwrap();
            assert!(give(&draft, &file).is_err());
            assert!(!file.exists(), "nothing half done is left");
        }
    }
}
