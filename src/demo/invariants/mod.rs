//! The invariants of the design, checked one by one at the end of the day: what terminals, listeners, the provider and the
//! mailboxes know, against what the database says, and the database against itself. Evidence is gathered once; the checks
//! are pure.

mod cards;
mod credits;
mod drained;
mod operator;
mod payments;
mod registers;
mod secrets;
mod told;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use store::audit::Recorded;
use store::invariants::{Finding, Member, ReservationFact};
use store::parked::{Filter as ParkedFilter, Parked};
use store::payments::{Filter, PaymentRow};
use store::registers::Listed;
use testkit::mail::Mail;
use uuid::Uuid;

use super::day::Played;
use super::holdings::Holdings;
use super::memory::Recollection;
use super::quiet::Quiet;
use super::services::Services;
use super::stock::Stock;
use super::witness::Heard;

pub(super) use registers::{RegisterSeen, read as read_registers};

/// What one invariant looks like after the day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) number: u8,
    pub(super) title: &'static str,
    pub(super) lines: Vec<Line>,
}

/// One thing that was checked, with its figures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) holds: bool,
    pub(super) text: String,
}

impl Line {
    fn new(holds: bool, text: impl Into<String>) -> Self {
        Self {
            holds,
            text: text.into(),
        }
    }

    /// Holds if nothing is amiss; else the text goes on with what is.
    fn unless(amiss: &[String], text: impl Into<String>) -> Self {
        let mut text = text.into();
        if !amiss.is_empty() {
            let first: Vec<&str> = amiss.iter().take(3).map(String::as_str).collect();
            text = format!("{text}; {} amiss: {}", amiss.len(), first.join("; "));
        }
        Self {
            holds: amiss.is_empty(),
            text,
        }
    }
}

impl Verdict {
    pub(super) fn holds(&self) -> bool {
        self.lines.iter().all(|line| line.holds)
    }
}

/// Everything that is known when the day is over.
pub(super) struct Evidence {
    pub(super) recollection: Recollection,
    pub(super) heard: Heard,
    pub(super) played: Played,
    pub(super) quiet: Quiet,
    /// The longest a hold was seen to be over and not ended, in seconds.
    pub(super) overdue_hold: f64,
    /// How late a sweep may be by itself, in seconds.
    pub(super) sweep_interval: f64,
    pub(super) payments: Vec<PaymentRow>,
    /// How many of them are in which state, as the database counts them past what it shows of each.
    pub(super) in_states: BTreeMap<String, i64>,
    pub(super) reservations: Vec<ReservationFact>,
    /// What payees' own databases hold, by payee.
    pub(super) holdings: BTreeMap<&'static str, Holdings>,
    pub(super) registers: Vec<RegisterSeen>,
    pub(super) mails: Vec<Mail>,
    pub(super) parked: Vec<Parked>,
    pub(super) must_have_been_told: Vec<(String, Uuid)>,
    pub(super) findings: Vec<Finding>,
    /// What the audit log says of the parked facts the operator dealt with.
    pub(super) audit: HashMap<Uuid, Vec<Recorded>>,
    pub(super) stock: Stock,
    /// Whatever must not hold a card's secret: its name and its bytes.
    pub(super) haystacks: Vec<(String, Vec<u8>)>,
}

impl Evidence {
    /// Reads everything there is to read.
    pub(super) async fn gather(
        services: &Services,
        played: Played,
        quiet: Quiet,
        overdue_hold: f64,
        stock: Stock,
        out: &Path,
    ) -> anyhow::Result<Self> {
        let store = &services.context.store;
        let mails = services.mail.inbox();
        let recollection = played.memory.recollect();
        let heard = services.witness.heard();
        let listed: Vec<Listed> = store::registers::list(store, None).await?;
        let mut members: HashMap<String, Vec<Member>> = HashMap::new();
        for register in &listed {
            let id = register.summary.register_id;
            members.insert(id.to_string(), store::invariants::members(store, id).await?);
        }
        let declared = declared_of_registers(services).await?;
        let registers = read_registers(
            &listed,
            &members,
            &declared,
            &mails,
            &services.payee_key,
            &out.join("registers"),
        )?;
        let mut holdings = services.books.holdings().await?;
        holdings.insert("isp", services.billing.holdings().await?);
        let mut audit = HashMap::new();
        let acts = [played.acts.put_back.map(|(parked, _)| parked), played.acts.discarded];
        for parked in acts.into_iter().flatten() {
            audit.insert(parked, store::audit::of(store, "parked", &parked.to_string()).await?);
        }
        Ok(Self {
            haystacks: haystacks(services, &recollection, &heard, out).await?,
            recollection,
            heard,
            played,
            quiet,
            overdue_hold,
            sweep_interval: services.context.settings.sweep_interval.as_secs_f64(),
            payments: store::payments::list(store, &Filter::default()).await?,
            in_states: store::invariants::payments_in_states(store)
                .await?
                .into_iter()
                .collect(),
            reservations: store::invariants::reservations(store).await?,
            holdings,
            registers,
            mails,
            parked: store::parked::list(
                store,
                &ParkedFilter {
                    all: true,
                    reason: None,
                },
            )
            .await?,
            must_have_been_told: store::invariants::must_have_been_told(store).await?,
            findings: store::invariants::check_all(store).await?,
            audit,
            stock,
        })
    }

    /// All invariants, in their order.
    pub(super) fn judge(&self) -> Vec<Verdict> {
        let judged = |(number, (title, check)): (u8, &(&'static str, Check))| {
            let mut lines = check(self);
            lines.extend(
                self.findings
                    .iter()
                    .filter(|finding| finding.invariant == number)
                    .map(line_of),
            );
            Verdict { number, title, lines }
        };
        (1..).zip(&CHECKS).map(judged).collect()
    }
}

type Check = fn(&Evidence) -> Vec<Line>;

/// In the order of the design.
const CHECKS: [(&str, Check); 8] = [
    (
        "every accepted payment is in exactly one state, none vanished",
        payments::check,
    ),
    (
        "a card is sold once, a reservation resolves once, nothing is held past its end",
        cards::check,
    ),
    ("a payment is credited once", credits::check),
    (
        "each payment is in one regular register, and the file that arrived holds it",
        registers::check,
    ),
    (
        "acknowledged is committed, told is published, bad ones delay nobody",
        told::check,
    ),
    (
        "an operator's act happens once and is in the audit log",
        operator::check,
    ),
    ("after the outage everything drained by itself", drained::check),
    ("no secret of a card leaves", secrets::check),
];

/// A check of the database against itself.
fn line_of(finding: &Finding) -> Line {
    let mut text = format!("database: {} ({} looked at)", finding.what, finding.looked_at);
    if finding.broken > 0 {
        let example = finding.example.as_deref().unwrap_or("?");
        text = format!("{text}; {} broken, for example {example}", finding.broken);
    }
    Line::new(finding.broken == 0, text)
}

/// What each payee declares of its registers.
async fn declared_of_registers(services: &Services) -> anyhow::Result<BTreeMap<String, registers::Declared>> {
    let declared = store::declarations::load(&services.context.store).await?;
    let of = |payee: &domain::declaration::Payee| registers::Declared {
        fields: payee.field.iter().map(|rule| rule.name.clone()).collect(),
        mail_to: payee
            .register
            .iter()
            .flat_map(|profile| profile.mail_to.iter().cloned())
            .collect(),
    };
    Ok(declared
        .payees
        .values()
        .map(|payee| (payee.value.id.to_string(), of(&payee.value)))
        .collect())
}

/// The log, the metrics, the events, everything sealed, and the database as text.
async fn haystacks(
    services: &Services,
    recollection: &Recollection,
    heard: &Heard,
    out: &Path,
) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
    let mut all = vec![
        ("the log".to_owned(), std::fs::read(out.join(super::LOG_FILE))?),
        (
            "the metrics".to_owned(),
            runtime::telemetry::render_metrics().into_bytes(),
        ),
        ("the events".to_owned(), heard.text.clone()),
        (
            "the sealed answers".to_owned(),
            recollection.sealed.join("\n").into_bytes(),
        ),
        (
            "what surprised the terminals".to_owned(),
            recollection.surprises.join("\n").into_bytes(),
        ),
    ];
    for (table, text) in store::invariants::dump(&services.context.store).await? {
        all.push((format!("the table {table}"), text.into_bytes()));
    }
    Ok(all)
}
