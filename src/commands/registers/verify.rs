//! `unigate registers verify FILE`: which register a file is, and whether it is what we sent and what the ledger says.
//!
//! A register is found by the file's bytes. A payee that has unpacked, decrypted or changed it has other bytes: then by its
//! name, or by the payments in it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context, bail};
use domain::declaration::Payee;
use domain::ids::{Number, PayeeId, RegisterId};
use domain::money::Currency;
use formats::Layout;
use registers::{Contents, contents};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use store::declarations;
use store::registers::{self as ledger, Found, Listed, ListedPart, Part};

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
    let like = ledger::files_like(&operator.store, &sha256, &name, args.payee.as_ref()).await?;
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
    let (layouts, currency) = match payee {
        Some(payee) => declared(operator, payee).await?,
        // Amounts do not matter yet: one of three digits reads those of any other, too.
        None => (vec![None], Currency::parse("KWD")?),
    };
    for layout in layouts {
        let Contents::Payments(payments) = contents(bytes, layout.as_ref(), currency) else {
            continue;
        };
        for number in payments.keys().take(NAMED_MAX) {
            if let Some(id) = ledger::register_of(&operator.store, Number::new(*number)?, payee).await? {
                return Ok(Some((id, None)));
            }
        }
    }
    Ok(None)
}

/// The layouts that a payee's registers have now, one for each of its series, and the payee's currency.
async fn declared(operator: &Operator, payee: &PayeeId) -> anyhow::Result<(Vec<Option<Layout>>, Currency)> {
    let all = declarations::load(&operator.store).await?;
    let Some(found) = all.payees.get(payee) else {
        bail!("no payee {payee} is declared")
    };
    let payee: &Payee = &found.value;
    let Some(registers) = &payee.register else {
        return Ok((vec![None], payee.currency));
    };
    let layouts = registers
        .series_names()
        .map(|series| Layout::of(&payee.clone().for_series(series)).map(Some))
        .collect::<Result<_, _>>()?;
    Ok((layouts, payee.currency))
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
    let payments = ledger::payments_of(&operator.store, about.register_id).await?;
    let layout = ledger::look_at(&operator.store, about.register_id).await?;
    let layout = layout.map(|build| Layout::of(&build.payee)).transpose()?;
    let held = contents(bytes, layout.as_ref(), Currency::parse(&about.currency)?);
    let slices = slices(&payments, &ledger::parts_of(&operator.store, about.register_id).await?);
    let slice = match (file, &held) {
        (Some(file), _) => slices.iter().find(|(part, _)| part.part == file.part.part),
        (None, Contents::Payments(found)) => holding(&slices, found),
        (None, Contents::Closed(_)) => None,
    };
    told["found_by"] = json!(match (file, same_bytes) {
        (Some(_), true) => "bytes",
        (Some(_), false) => "name",
        (None, _) => "payments",
    });
    tell_register(register, slice.map(|(part, _)| *part), told);
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
    match held {
        Contents::Payments(found) => {
            let expected = slice.map_or(&*payments, |(_, slice)| slice);
            told["contents"] = json!(format!("{} payments", found.len()));
            differs.extend(differences(expected, &found));
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

fn tell_register(register: &Listed, part: Option<Part>, told: &mut Value) {
    let about = &register.summary;
    for (name, value) in [
        ("register_id", json!(about.register_id)),
        ("payee", json!(about.payee)),
        ("series", json!(about.series)),
        ("sequence", json!(about.sequence)),
        ("kind", json!(about.kind())),
        ("state", json!(register.state)),
        (
            "part",
            json!(part.map(|part| format!("{} of {}", part.part, part.parts))),
        ),
        ("count", json!(part.map_or(about.count, |part| part.count))),
        ("total", json!(part.map_or(about.total, |part| part.total))),
        ("currency", json!(about.currency)),
    ] {
        told[name] = value;
    }
}

/// What of a register's payments is in which of its files: parts follow each other, and the last has all that is left.
fn slices<'p>(payments: &'p [(Number, i64)], parts: &[ListedPart]) -> Vec<(Part, &'p [(Number, i64)])> {
    let mut rest = payments;
    let mut slices = Vec::with_capacity(parts.len());
    for ListedPart { part, .. } in parts {
        let own = if part.part == part.parts {
            rest.len()
        } else {
            usize::try_from(part.count).unwrap_or(0).min(rest.len())
        };
        let (slice, after) = rest.split_at(own);
        slices.push((*part, slice));
        rest = after;
    }
    slices
}

/// Of these, the one with the first of the file's payments that any of them has.
fn holding<'s, 'p>(
    slices: &'s [(Part, &'p [(Number, i64)])],
    found: &BTreeMap<i64, i64>,
) -> Option<&'s (Part, &'p [(Number, i64)])> {
    found.keys().find_map(|number| {
        let has = |(_, slice): &&(Part, &[(Number, i64)])| slice.iter().any(|(known, _)| known.get() == *number);
        slices.iter().find(has)
    })
}

fn differences(expected: &[(Number, i64)], found: &BTreeMap<i64, i64>) -> Vec<String> {
    let expected: BTreeMap<i64, i64> = expected
        .iter()
        .map(|(number, amount)| (number.get(), *amount))
        .collect();
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
