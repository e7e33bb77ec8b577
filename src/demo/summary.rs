//! What a person reads when the day is over: counts that can be checked against one another, where the files lie, and the
//! invariants one by one.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use comfy_table::{Table, presets};
use domain::money::{Currency, format_minor};
use store::Store;

use super::holdings::Holdings;
use super::invariants::{Evidence, Verdict};
use super::scenario::{FINES, HOUSING};
use crate::output::say;

/// Prints everything. The last line says how it ended.
pub(super) async fn print(
    store: &Store,
    evidence: &Evidence,
    verdicts: &[Verdict],
    out: &Path,
    took: Duration,
) -> anyhow::Result<()> {
    messages(evidence)?;
    payments(store).await?;
    cards(store, evidence).await?;
    payees(evidence)?;
    registers(evidence, out)?;
    parked(evidence)?;
    log(out)?;
    invariants(verdicts)?;
    let failed: Vec<String> = verdicts
        .iter()
        .filter(|verdict| !verdict.holds())
        .map(|verdict| verdict.number.to_string())
        .collect();
    let seconds = took.as_secs_f64();
    say(match failed.is_empty() {
        true => format!("All invariants hold after a day of {seconds:.1} s."),
        false => format!("FAILED: invariant {} after a day of {seconds:.1} s.", failed.join(", ")),
    })
}

fn messages(evidence: &Evidence) -> anyhow::Result<()> {
    let recollection = &evidence.recollection;
    let rows = recollection.kinds.iter().map(|(key, kind)| {
        let outcomes = recollection.outcomes.iter().filter(|((of, _), _)| of == key);
        let outcomes: Vec<String> = outcomes
            .map(|((_, outcome), count)| format!("{count} {outcome}"))
            .collect();
        let longest = format!("{} ms", kind.longest.as_millis());
        vec![
            key.clone(),
            kind.sent.to_string(),
            kind.answered.to_string(),
            longest,
            outcomes.join(", "),
        ]
    });
    section(
        "Messages in",
        &["kind", "sent", "answered", "longest", "outcomes"],
        rows,
    )
}

async fn payments(store: &Store) -> anyhow::Result<()> {
    let counts = store::payments::count_by_state(store).await?;
    let rows = counts
        .into_iter()
        .map(|(payee, state, count)| vec![payee, state, count.to_string()]);
    section("Payments by state", &["payee", "state", "payments"], rows)
}

async fn cards(store: &Store, evidence: &Evidence) -> anyhow::Result<()> {
    let imported = evidence.played.imported;
    let rows = store::cards::stock(store).await?.into_iter().map(|stock| {
        let counts = [stock.fresh, stock.returned, stock.held, stock.lapsed, stock.sold];
        std::iter::once(stock.product.to_string())
            .chain(counts.map(|count| count.to_string()))
            .collect()
    });
    section(
        "Cards by state",
        &["product", "fresh", "returned", "held", "lapsed", "sold"],
        rows,
    )?;
    say(format!(
        "  {} card files: {} cards added, {} rows known already",
        imported.files, imported.added, imported.duplicates
    ))
}

/// What payees hold beside what we delivered to them.
fn payees(evidence: &Evidence) -> anyhow::Result<()> {
    let row = |payee: &str, held: Option<&Holdings>| {
        let delivered = evidence
            .payments
            .iter()
            .filter(|row| row.payee.as_str() == payee && row.shown_state == "delivered");
        let (count, total) = delivered.fold((0, 0), |(count, total), row| (count + 1, total + row.amount));
        let (rows, held) = held.map_or(("its register to come".to_owned(), String::new()), |held| {
            (held.rows.to_string(), money(held.total, "RUB"))
        });
        vec![payee.to_owned(), rows, held, count.to_string(), money(total, "RUB")]
    };
    let databases = evidence.holdings.iter().map(|(payee, held)| row(payee, Some(held)));
    let files = [FINES, HOUSING].map(|payee| row(payee, None));
    section(
        "Online payees",
        &["payee", "its own data hold", "total", "we delivered", "total"],
        databases.chain(files),
    )
}

fn registers(evidence: &Evidence, out: &Path) -> anyhow::Result<()> {
    let rows = evidence.registers.iter().map(|register| {
        let (listed, summary) = (&register.listed, &register.listed.summary);
        // Beneath the directory that was named at the start.
        let place = register
            .path
            .as_ref()
            .map(|path| path.strip_prefix(out).unwrap_or(path).display().to_string());
        vec![
            summary.payee.to_string(),
            summary.sequence.to_string(),
            summary.count.to_string(),
            money(summary.total, &summary.currency),
            listed.bytes.map(|bytes| bytes.to_string()).unwrap_or_default(),
            register.recipients.iter().cloned().collect::<Vec<_>>().join(" "),
            place.unwrap_or_default(),
        ]
    });
    section(
        "Registers",
        &[
            "payee",
            "seq",
            "payments",
            "total",
            "bytes",
            "mailed to",
            "the file that came",
        ],
        rows,
    )
}

fn parked(evidence: &Evidence) -> anyhow::Result<()> {
    let mut counts: BTreeMap<(&str, &str, &str, &str), usize> = BTreeMap::new();
    for row in &evidence.parked {
        *counts
            .entry((&row.routing_key, &row.reason, &row.state, &row.detail))
            .or_default() += 1;
    }
    let rows = counts.into_iter().map(|((key, reason, state, detail), count)| {
        let detail: String = detail.chars().take(60).collect();
        vec![
            count.to_string(),
            key.to_owned(),
            reason.to_owned(),
            state.to_owned(),
            detail,
        ]
    });
    section(
        "Parked messages",
        &["", "routing key", "reason", "state", "detail"],
        rows,
    )
}

/// What the workers had to say about the day, the same thing once.
fn log(out: &Path) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(out.join(super::LOG_FILE))?;
    let mut said: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for line in text.lines() {
        // Time, level, who, what: the values after it differ from line to line.
        let mut words = line.split_whitespace().skip(1);
        let Some(level @ ("WARN" | "ERROR")) = words.next() else {
            continue;
        };
        let message = line.split_once(level).map_or(line, |(_, rest)| rest.trim_start());
        let message = message.split_once('=').map_or(message, |(head, _)| {
            head.rsplit_once(' ').map_or(head, |(head, _)| head)
        });
        *said.entry((level, message)).or_default() += 1;
    }
    let rows = said
        .into_iter()
        .map(|((level, message), count)| vec![count.to_string(), level.to_owned(), message.to_owned()]);
    section("Warnings and errors in the log", &["", "level", "what"], rows)
}

fn invariants(verdicts: &[Verdict]) -> anyhow::Result<()> {
    say("Invariants")?;
    for verdict in verdicts {
        say(format!(
            "{} {}. {}",
            mark(verdict.holds()),
            verdict.number,
            verdict.title
        ))?;
        for line in &verdict.lines {
            say(format!("    {} {}", mark(line.holds), line.text))?;
        }
    }
    Ok(())
}

fn mark(holds: bool) -> &'static str {
    if holds { "ok    " } else { "FAILED" }
}

fn money(minor: i64, currency: &str) -> String {
    Currency::parse(currency).map_or_else(
        |_| minor.to_string(),
        |known| format!("{} {currency}", format_minor(minor, known)),
    )
}

/// A heading and a table under it.
fn section(title: &str, header: &[&str], rows: impl IntoIterator<Item = Vec<String>>) -> anyhow::Result<()> {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(header);
    rows.into_iter().for_each(|row| {
        table.add_row(row);
    });
    say(title)?;
    for line in table.lines() {
        say(format!(" {}", line.trim_end()))?;
    }
    say("")
}
