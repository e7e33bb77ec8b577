//! `unigate registers verify FILE`: which register a file is, and whether it is what we sent and what the ledger says.
//!
//! A register is found by the file's bytes. A payee that has unpacked, decrypted or changed it has other bytes: then by its
//! name, or by the payments in it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, bail};
use domain::ids::{Number, PayeeId, RegisterId};
use domain::money::Currency;
use formats::Layout;
use registers::{Contents, contents};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use store::declarations;
use store::registers::{self as ledger, Found, Listed, ListedPart};

use crate::ending::{Ending, Outcome};
use crate::operator::Operator;
use crate::output::{self, ShowFormatArg};

/// How many payments that differ are named.
const NAMED_MAX: usize = 20;

/// Which file.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The file, as it was mailed or as it came out of its archive
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Whose register it may be: then a file with a name of its own is found by the payments that this payee's layout reads in
    /// it. Without, it has to be text with the columns `number` and `amount`
    #[arg(long, value_name = "ID", value_parser = PayeeId::parse)]
    payee: Option<PayeeId>,
    #[command(flatten)]
    format: ShowFormatArg,
}

/// Finds and compares; fails if anything differs.
pub(super) async fn run(operator: &Operator, args: Args) -> Outcome {
    let place = args.file.display().to_string();
    let bytes = std::fs::read(&args.file).with_context(|| place.clone())?;
    let name = args.file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let sha256 = Sha256::digest(&bytes).to_vec();
    let mut told = json!({ "file": place, "bytes": bytes.len(), "sha256": hex::encode(&sha256) });
    let mut differs = Vec::new();
    let like = ledger::files_like(&operator.store, &sha256, &name).await?;
    match find(operator, &bytes, args.payee.as_ref(), like).await? {
        Some((id, file)) => {
            let register = super::find(operator, id).await?;
            compare(
                operator,
                &bytes,
                &sha256,
                &register,
                file.as_ref(),
                &mut told,
                &mut differs,
            )
            .await?;
        }
        None => differs.push("no register has these bytes, this name or these payments".to_owned()),
    }
    let agrees = differs.is_empty();
    told["result"] = json!(if agrees { "agrees" } else { "differs" });
    told["differs"] = json!(differs);
    output::show(args.format.format, &told)?;
    Ok(Ending::done_if(agrees))
}

/// The register, and which of its files it is if that is known.
async fn find(
    operator: &Operator,
    bytes: &[u8],
    payee: Option<&PayeeId>,
    like: Vec<Found>,
) -> anyhow::Result<Option<(RegisterId, Option<Found>)>> {
    if let Some(found) = like.into_iter().next() {
        return Ok(Some((found.register, Some(found))));
    }
    // Amounts do not matter yet; any currency reads the numbers.
    let layout = match payee {
        Some(payee) => declared(operator, payee).await?,
        None => None,
    };
    let Contents::Payments(payments) = contents(bytes, layout.as_ref(), Currency::parse("RUB")?) else {
        return Ok(None);
    };
    for number in payments.keys().take(NAMED_MAX) {
        if let Some(id) = ledger::register_of(&operator.store, Number::new(*number)?).await? {
            return Ok(Some((id, None)));
        }
    }
    Ok(None)
}

/// The layout that a payee's registers have now.
async fn declared(operator: &Operator, payee: &PayeeId) -> anyhow::Result<Option<Layout>> {
    let all = declarations::load(&operator.store).await?;
    let Some(found) = all.payees.get(payee) else {
        bail!("no payee {payee} is declared")
    };
    let registers = found.value.register.is_some();
    Ok(registers.then(|| Layout::of(&found.value)).transpose()?)
}

async fn compare(
    operator: &Operator,
    bytes: &[u8],
    sha256: &[u8],
    register: &Listed,
    file: Option<&Found>,
    told: &mut Value,
    differs: &mut Vec<String>,
) -> anyhow::Result<()> {
    let about = &register.summary;
    let same_bytes = file.is_some_and(|file| file.sha256 == sha256);
    told["found_by"] = json!(match (file, same_bytes) {
        (Some(_), true) => "bytes",
        (Some(_), false) => "name",
        (None, _) => "payments",
    });
    for (name, value) in [
        ("register_id", json!(about.register_id)),
        ("payee", json!(about.payee)),
        ("series", json!(about.series)),
        ("sequence", json!(about.sequence)),
        ("kind", json!(about.kind())),
        ("state", json!(register.state)),
        (
            "part",
            json!(file.map(|file| format!("{} of {}", file.part.part, file.part.parts))),
        ),
        ("count", json!(file.map_or(about.count, |file| file.part.count))),
        ("total", json!(file.map_or(about.total, |file| file.part.total))),
        ("currency", json!(about.currency)),
    ] {
        told[name] = value;
    }
    let payments = ledger::payments_of(&operator.store, about.register_id).await?;
    let total: i64 = payments.iter().map(|(_, amount)| amount).sum();
    if (i64::try_from(payments.len())?, total) != (about.count, about.total) {
        differs.push(format!(
            "the register was closed with {} payments of {} in all, and the ledger has {} of {total}",
            about.count,
            about.total,
            payments.len()
        ));
    }
    if let Some(file) = file.filter(|_| !same_bytes) {
        // Unpacked or decrypted it has another name than what was mailed.
        let as_sent = told["file"]
            .as_str()
            .is_some_and(|place| place.ends_with(&file.file_name));
        if as_sent {
            differs.push(format!(
                "the file that was built has {} bytes and SHA-256 {}",
                file.bytes,
                hex::encode(&file.sha256)
            ));
        }
    }
    let layout = ledger::look_at(&operator.store, about.register_id).await?;
    let layout = layout.map(|build| Layout::of(&build.payee)).transpose()?;
    match contents(bytes, layout.as_ref(), Currency::parse(&about.currency)?) {
        Contents::Payments(found) => {
            let parts = ledger::parts_of(&operator.store, about.register_id).await?;
            let expected = of_part(&payments, file, &parts);
            told["contents"] = json!(format!("{} payments", found.len()));
            differs.extend(differences(&expected, &found));
        }
        Contents::Closed(why) => {
            told["contents"] = json!(why);
            if !same_bytes {
                differs.push("what it holds cannot be compared".to_owned());
            }
        }
    }
    Ok(())
}

/// What of a register's payments is in the file.
fn of_part(payments: &[(Number, i64)], file: Option<&Found>, parts: &[ListedPart]) -> BTreeMap<i64, i64> {
    let expected = match file {
        // Parts follow each other.
        Some(file) if file.part.parts > 1 => {
            let before = parts.iter().filter(|other| other.part.part < file.part.part);
            let before: i64 = before.map(|other| other.part.count).sum();
            let count = |count: i64| usize::try_from(count).unwrap_or(usize::MAX);
            let rest = payments.get(count(before)..).unwrap_or_default();
            &rest[..rest.len().min(count(file.part.count))]
        }
        _ => payments,
    };
    expected
        .iter()
        .map(|(number, amount)| (number.get(), *amount))
        .collect()
}

fn differences(expected: &BTreeMap<i64, i64>, found: &BTreeMap<i64, i64>) -> Vec<String> {
    let missing = expected.keys().filter(|number| !found.contains_key(number));
    let strange = found.keys().filter(|number| !expected.contains_key(number));
    let other = expected.iter().filter_map(|(number, amount)| {
        let found = found.get(number).filter(|found| *found != amount)?;
        Some(format!("payment {number}: {found} in the file, {amount} in the ledger"))
    });
    let mut all: Vec<String> = missing
        .map(|number| format!("payment {number} is not in the file"))
        .chain(strange.map(|number| format!("payment {number} is not in the register")))
        .chain(other)
        .collect();
    if all.len() > NAMED_MAX {
        let more = all.len() - NAMED_MAX;
        all.truncate(NAMED_MAX);
        all.push(format!("and {more} payments more"));
    }
    all
}
