//! Invariant 4: registers as they came by mail, against the rows they must hold.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use domain::money::{Currency, format_minor};
use domain::payment::PaymentState;
use sha2::{Digest, Sha256};
use store::invariants::Member;
use store::registers::Listed;
use testkit::mail::Mail;
use testkit::register_file::{self, Key};
use uuid::Uuid;

use super::{Evidence, Line};

const HEADER: [&str; 7] = [
    "number",
    "accepted_at",
    "paid_at",
    "account",
    "amount",
    "currency",
    "receipt_number",
];

/// What a payee declares of its registers.
#[derive(Clone, Debug, Default)]
pub(in crate::demo) struct Declared {
    /// The last columns.
    pub(in crate::demo) fields: Vec<String>,
    /// Whom they go to.
    pub(in crate::demo) mail_to: BTreeSet<String>,
}

/// A register as the payee got it.
#[derive(Clone, Debug)]
pub(in crate::demo) struct RegisterSeen {
    pub(in crate::demo) listed: Listed,
    /// Who got it, and how many mails came for it altogether.
    pub(in crate::demo) recipients: BTreeSet<String>,
    pub(in crate::demo) mails: usize,
    /// Where the file lies.
    pub(in crate::demo) path: Option<PathBuf>,
    /// Its payments.
    members: Vec<Uuid>,
    /// What is not as it should be.
    amiss: Vec<String>,
}

/// Opens every mailed register, keeps its file and its text in `directory`, and compares it with its payments.
pub(in crate::demo) fn read(
    listed: &[Listed],
    members: &HashMap<String, Vec<Member>>,
    declared: &BTreeMap<String, Declared>,
    mails: &[Mail],
    key: &Key,
    directory: &Path,
) -> anyhow::Result<Vec<RegisterSeen>> {
    std::fs::create_dir_all(directory)?;
    let mut seen = Vec::with_capacity(listed.len());
    for register in listed {
        let id = register.summary.register_id.to_string();
        let own: Vec<&Mail> = mails
            .iter()
            .filter(|mail| mail.header("X-Unigate-Register") == Some(id.as_str()))
            .collect();
        let members = members.get(&id).map(Vec::as_slice).unwrap_or_default();
        let declared = declared
            .get(register.summary.payee.as_str())
            .cloned()
            .unwrap_or_default();
        let recipients: BTreeSet<String> = own.iter().flat_map(|mail| mail.to.iter().cloned()).collect();
        let mut amiss = envelope(register, &own);
        amiss.extend(strangers_and_forgotten(&declared.mail_to, &recipients));
        let mut path = None;
        if let Some(file) = own.first().and_then(|mail| mail.attachments.first()) {
            let place = directory.join(&file.file_name);
            std::fs::write(&place, &file.bytes)?;
            path = Some(place);
            match register_file::open(&file.file_name, &file.bytes, Some(key)) {
                Ok((name, text)) => {
                    std::fs::write(directory.join(name), &text)?;
                    amiss.extend(contents(register, members, &declared.fields, &text));
                }
                Err(error) => amiss.push(error.to_string()),
            }
        }
        seen.push(RegisterSeen {
            listed: register.clone(),
            recipients,
            mails: own.len(),
            path,
            members: members.iter().map(|member| member.payment_id).collect(),
            amiss,
        });
    }
    Ok(seen)
}

/// Everybody whom it is for has got it, and nobody else.
fn strangers_and_forgotten(declared: &BTreeSet<String>, got: &BTreeSet<String>) -> Vec<String> {
    let forgotten = declared
        .difference(got)
        .map(|address| format!("{address} did not get it"));
    let strangers = got
        .difference(declared)
        .map(|address| format!("{address} got it and is not declared"));
    forgotten.chain(strangers).collect()
}

/// What is wrong with the mails as such.
fn envelope(register: &Listed, mails: &[&Mail]) -> Vec<String> {
    let Some(first) = mails.first() else {
        return vec!["no mail came".to_owned()];
    };
    let summary = &register.summary;
    let mut amiss = Vec::new();
    if mails.iter().any(|mail| mail.raw != first.raw) {
        amiss.push("two mails of it differ".to_owned());
    }
    let header = |name: &str, value: String| {
        (first.header(name) != Some(value.as_str())).then(|| format!("{name} is not {value}"))
    };
    amiss.extend(header("X-Unigate-Kind", summary.kind().to_owned()));
    amiss.extend(header("X-Unigate-Count", summary.count.to_string()));
    amiss.extend(header("X-Unigate-Total", summary.total.to_string()));
    let in_subject = [
        summary.payee.to_string(),
        summary.sequence.to_string(),
        summary.count.to_string(),
    ];
    if in_subject.iter().any(|part| !first.subject.contains(part)) {
        amiss.push(format!("the subject is `{}`", first.subject));
    }
    match &first.attachments[..] {
        [file] => {
            if Some(&file.file_name) != register.file.as_ref() {
                amiss.push(format!("the file is called {}", file.file_name));
            }
            if Some(Sha256::digest(&file.bytes).as_slice()) != register.sha256.as_deref() {
                amiss.push("the file's bytes are not those that were built".to_owned());
            }
        }
        files => amiss.push(format!("{} attachments", files.len())),
    }
    amiss
}

/// What is wrong with the text, row by row.
fn contents(register: &Listed, members: &[Member], fields: &[String], text: &[u8]) -> Vec<String> {
    let mut amiss = Vec::new();
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(b';')
        .has_headers(true)
        .from_reader(text);
    let header: Vec<String> = reader
        .headers()
        .map(|row| row.iter().map(str::to_owned).collect())
        .unwrap_or_default();
    let expected: Vec<String> = HEADER
        .iter()
        .map(ToString::to_string)
        .chain(fields.iter().cloned())
        .collect();
    if header != expected {
        amiss.push(format!("the header is {}", header.join(";")));
    }
    let rows: Vec<csv::StringRecord> = reader.records().filter_map(Result::ok).collect();
    if rows.len() != members.len() {
        amiss.push(format!("{} rows for {} payments", rows.len(), members.len()));
    }
    let mut total = 0;
    for (row, member) in rows.iter().zip(members) {
        total += member.amount;
        let expected = expected_row(member, fields, &register.summary.currency);
        let shown: Vec<&str> = row
            .iter()
            .enumerate()
            .filter(|(at, _)| !matches!(at, 1 | 2))
            .map(|(_, v)| v)
            .collect();
        if shown != expected {
            amiss.push(format!("number {}: {}", member.number, shown.join(";")));
        }
    }
    if total != register.summary.total {
        amiss.push(format!("the rows' sum is {total}"));
    }
    if text.iter().filter(|byte| **byte == b'\n').count() != text.windows(2).filter(|pair| *pair == b"\r\n").count() {
        amiss.push("a line that does not end with CR LF".to_owned());
    }
    amiss
}

/// A payment as its row must show it, times left out.
fn expected_row(member: &Member, fields: &[String], currency: &str) -> Vec<String> {
    let amount = Currency::parse(currency)
        .map(|currency| format_minor(member.amount, currency))
        .unwrap_or_default();
    let entered = |name: &String| member.fields[name].as_str().unwrap_or_default().to_owned();
    [
        member.number.to_string(),
        member.account.clone(),
        amount,
        currency.to_owned(),
    ]
    .into_iter()
    .chain([member.receipt_number.clone().unwrap_or_default()])
    .chain(fields.iter().map(entered))
    .map(|text| disarmed(&text))
    .collect()
}

/// As it may stand in a file that somebody opens with a spreadsheet.
fn disarmed(text: &str) -> String {
    if formats::begins_formula(text) {
        format!("'{text}")
    } else {
        text.to_owned()
    }
}

pub(super) fn check(evidence: &Evidence) -> Vec<Line> {
    let registers = &evidence.registers;
    let mut homes: HashMap<Uuid, usize> = HashMap::new();
    registers
        .iter()
        .flat_map(|register| &register.members)
        .for_each(|id| *homes.entry(*id).or_default() += 1);
    let due = evidence
        .payments
        .iter()
        .filter(|row| row.gateway == "registers" && row.state != PaymentState::Revoked);
    let mut amiss = Vec::new();
    let (mut count, mut total) = (0, 0);
    for row in due {
        (count, total) = (count + 1, total + row.amount);
        let homes = homes.get(&row.payment_id.as_uuid()).copied().unwrap_or_default();
        if homes != 1 {
            amiss.push(format!("{} is in {homes} registers", row.payment_id));
        }
    }
    let registered: (i64, i64) = registers.iter().fold((0, 0), |(count, total), register| {
        (
            count + register.listed.summary.count,
            total + register.listed.summary.total,
        )
    });
    let mut wrong: Vec<String> = registers
        .iter()
        .flat_map(|register| {
            let name = register
                .listed
                .file
                .clone()
                .unwrap_or_else(|| register.listed.summary.register_id.to_string());
            register.amiss.iter().map(move |what| format!("{name}: {what}"))
        })
        .collect();
    // Nothing but registers is mailed on this day.
    let of_registers: usize = registers.iter().map(|register| register.mails).sum();
    if of_registers != evidence.mails.len() {
        wrong.push(format!("{of_registers} of them are of registers"));
    }
    vec![
        Line::unless(
            &amiss,
            format!("{count} payments, {total} minor units, each in exactly one register"),
        ),
        Line::new(
            registered == (count, total),
            format!(
                "{} registers hold {} payments, {} minor units",
                registers.len(),
                registered.0,
                registered.1
            ),
        ),
        Line::unless(
            &wrong,
            format!(
                "{} mails: to all whom the payees declare and nobody else; each file as built, rows, totals and headers as \
                 stored",
                evidence.mails.len()
            ),
        ),
        mailed_again(evidence),
    ]
}

/// The first mail was kept and denied: it must have come again, the same byte for byte.
fn mailed_again(evidence: &Evidence) -> Line {
    let again = evidence
        .registers
        .iter()
        .filter(|register| register.mails > register.recipients.len())
        .count();
    Line::new(
        again > 0,
        format!("{again} register was mailed again after an error, the same bytes under one Message-ID"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_register_goes_to_everybody_declared_and_nobody_else() {
        let of = |addresses: &[&str]| addresses.iter().map(ToString::to_string).collect();
        let declared = of(&["a@example.org", "b@example.org"]);
        assert!(strangers_and_forgotten(&declared, &declared).is_empty());
        assert_eq!(
            strangers_and_forgotten(&declared, &of(&["b@example.org", "c@example.org"])),
            [
                "a@example.org did not get it",
                "c@example.org got it and is not declared"
            ]
        );
    }
}
