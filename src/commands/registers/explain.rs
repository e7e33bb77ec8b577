//! `unigate registers explain`: in which register a payment is, and why not in an earlier one; or when it will be in one.

use domain::ids::RegisterId;
use domain::register::{cutoff_of, upcoming};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use store::payments::PaymentRow;
use store::registers::{self, Closed, Membership, Recipient, Standing};

use super::schedule::local;
use crate::commands::payments;
use crate::ending::{Ending, Outcome};
use crate::operator::Operator;
use crate::output::{self, ShowFormatArg};

/// A range that was closed longer after its cut-off than this was closed late.
const PROMPT: SignedDuration = SignedDuration::from_mins(10);

/// Which payment.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Its payment_id, or the number the payee knows it by
    #[arg(value_name = "PAYMENT")]
    payment: String,
    #[command(flatten)]
    format: ShowFormatArg,
}

/// Explains.
pub(super) async fn run(operator: &Operator, args: Args) -> Outcome {
    let row = payments::find(operator, &args.payment).await?;
    let found = registers::membership(&operator.store, row.payment_id, &row.payee).await?;
    let zone = zone_of(&found);
    let at = |at: Timestamp| json!(local(at, &zone));
    let register = found.register.as_ref().map(|closed| register(closed, &at));
    let explained = json!({
        "payment_id": row.payment_id,
        "number": row.number.to_string(),
        "payee": row.payee,
        "series": found.series,
        "state": row.shown_state,
        "accepted_at": at(row.accepted_at),
        "delivered_at": found.delivered_at.map(at),
        "register": register,
        "copies": found.copies.iter().map(RegisterId::to_string).collect::<Vec<_>>(),
        "why": reasons(&row, &found, &zone).join(" "),
    });
    output::show(args.format.format, &explained)?;
    Ok(Ending::Done)
}

fn zone_of(found: &Membership) -> TimeZone {
    let then = found
        .register
        .as_ref()
        .and_then(|closed| closed.payee.register.as_ref());
    let now = found
        .standing
        .as_ref()
        .and_then(|standing| standing.payee.register.as_ref());
    let profile = then.or(now);
    profile.map_or(TimeZone::UTC, |profile| profile.time_zone.tz().clone())
}

fn register(closed: &Closed, at: &dyn Fn(Timestamp) -> Value) -> Value {
    let about = &closed.listed.summary;
    let recipients = closed.recipients.iter().map(|recipient| {
        json!({
            "recipient": recipient.address, "state": recipient.state,
            "sent_at": recipient.sent_at.map(at), "first_sent_at": recipient.first_sent_at.map(at),
            "again": recipient.again, "last_error": recipient.last_error,
        })
    });
    json!({
        "register_id": about.register_id, "sequence": about.sequence, "file": closed.listed.file,
        "state": closed.listed.state, "cutoff": at(closed.listed.cutoff), "closed_at": at(closed.closed_at),
        "mailed_at": closed.listed.mailed_at.map(at), "recipients": recipients.collect::<Vec<_>>(),
        "last_error": closed.listed.last_error,
    })
}

/// What there is to say, in whole sentences.
fn reasons(row: &PaymentRow, found: &Membership, zone: &TimeZone) -> Vec<String> {
    let Some(series) = &found.series else {
        let gets_none = format!("Payee {} is served online and gets no registers.", row.payee);
        return vec![gets_none, format!("The payment is {}.", row.shown_state)];
    };
    let (counts_from, word) = match (row.position, found.delivered_at) {
        (None, None) => {
            let waits = format!(
                "Registers of payee {} are of what was delivered, and this payment is {}.",
                row.payee, row.shown_state
            );
            return vec![waits];
        }
        (None, Some(delivered_at)) => (delivered_at, "delivered"),
        (Some(_), _) => (row.accepted_at, "accepted"),
    };
    let mut said = vec![format!(
        "It was {word} at {} into the series {series}.",
        local(counts_from, zone)
    )];
    if row.position.is_some() && row.shown_state == "revoked" {
        said.push("It was revoked, so it is in no file.".to_owned());
        return said;
    }
    match (&found.register, &found.standing) {
        (Some(closed), _) => said.extend(why_closed(found, closed, counts_from, zone)),
        (None, Some(standing)) => said.extend(why_open(found, standing, zone)),
        (None, None) => {}
    }
    said
}

fn why_closed(found: &Membership, closed: &Closed, counts_from: Timestamp, zone: &TimeZone) -> Vec<String> {
    let about = &closed.listed.summary;
    let cutoff = closed.listed.cutoff;
    let mut said = Vec::new();
    match closed.previous {
        Some((sequence, before)) => said.push(format!(
            "The register before, {sequence}, ends at {}, {}.",
            local(before, zone),
            if before <= counts_from {
                "before that"
            } else {
                "and was full"
            },
        )),
        None => said.push("No register of the series was closed before.".to_owned()),
    }
    let profile = closed.payee.register.as_ref();
    let full = profile.is_some_and(|profile| profile.every_payments.is_some()) && cutoff == about.last_accepted_at;
    let number = about.sequence;
    said.push(match closed.listed.requested_by.as_str() {
        "schedule" if full => format!(
            "Register {number} was closed by its count: {} payments were open.",
            about.count
        ),
        "schedule" => format!(
            "Register {number} holds what came before its cut-off at {}.",
            local(cutoff, zone)
        ),
        "change" => format!(
            "Register {number} was closed at {}, before the payee was changed.",
            local(cutoff, zone)
        ),
        who => format!("Register {number} was closed by {who} at {}.", local(cutoff, zone)),
    });
    let last_cutoff = closed.previous.map_or(counts_from, |(_, before)| before);
    let first = profile.and_then(|profile| cutoff_of(profile, last_cutoff, counts_from));
    if let Some(first) = first.filter(|first| first.at < cutoff) {
        said.push(format!(
            "A cut-off of the schedule came before, at {}.",
            local(first.at, zone)
        ));
    }
    said.extend(suspensions(found, counts_from, closed.closed_at, zone));
    let behind = closed.closed_at.duration_since(cutoff);
    if behind > PROMPT && closed.listed.requested_by == "schedule" {
        said.push(format!(
            "That was done only at {}: until then no worker closed it, for its own time all the same.",
            local(closed.closed_at, zone)
        ));
    }
    said.push(sent(closed, zone));
    let again = closed.recipients.iter().filter(|recipient| recipient.again);
    said.extend(again.map(|recipient| sent_again(recipient, zone)));
    said
}

/// The register's own mails: those that were sent again change nothing about them.
fn sent(closed: &Closed, zone: &TimeZone) -> String {
    if let Some(at) = closed.listed.mailed_at {
        let had = closed
            .recipients
            .iter()
            .filter(|recipient| recipient.first_sent_at.is_some());
        let had: Vec<&str> = had.map(|recipient| recipient.address.as_str()).collect();
        let to = if had.is_empty() { "" } else { " to " };
        return format!("It was mailed at {}{to}{}.", local(at, zone), had.join(", "));
    }
    let error = closed.listed.last_error.as_ref().map(|error| format!(": {error}"));
    let error = error.unwrap_or_default();
    match closed.listed.state.as_str() {
        "frozen" => format!("Its file is not built yet{error}."),
        "built" if closed.recipients.is_empty() => {
            "Its file is built, and the payee names nobody to mail it to.".to_owned()
        }
        "built" => format!("Its file is built and waits to be mailed{error}."),
        state => format!("It is {state}{error}."),
    }
}

fn sent_again(recipient: &Recipient, zone: &TimeZone) -> String {
    let again = if recipient.first_sent_at.is_some() {
        " again"
    } else {
        ""
    };
    let to = format!("to {}{again}", recipient.address);
    let error = recipient.last_error.as_ref().map(|error| format!(": {error}"));
    let error = error.unwrap_or_default();
    match (recipient.state.as_str(), recipient.sent_at) {
        (_, Some(at)) => format!("On demand it was mailed {to} at {}.", local(at, zone)),
        ("failed", None) => format!("On demand it was to be mailed {to}, which failed{error}."),
        ("forgone", None) => format!("On demand it was to be mailed {to}, which was given up{error}."),
        (_, None) => format!("On demand it is being mailed {to}{error}."),
    }
}

fn why_open(found: &Membership, standing: &Standing, zone: &TimeZone) -> Vec<String> {
    let mut said = Vec::new();
    if let Some((since, _)) = suspended(found).find(|(_, until)| until.is_none()) {
        said.push(format!(
            "The payee is suspended since {}: nothing is closed until it is resumed.",
            local(since, zone)
        ));
        return said;
    }
    let Some(profile) = standing.profile() else {
        said.push("The series is not declared any more: it is closed as soon as a worker looks.".to_owned());
        return said;
    };
    said.push(format!(
        "It is not in a register yet: the series was closed up to {}.",
        local(standing.last_cutoff, zone)
    ));
    match standing.due_at() {
        Some(due) if due <= standing.now => said.push(format!(
            "Its cut-off was at {}: it is closed as soon as a registers worker looks.",
            local(due, zone)
        )),
        Some(due) => said.push(format!("Its cut-off comes at {}.", local(due, zone))),
        // Of what was delivered, later ones may be open only.
        None => {
            if let Some(next) = upcoming(&profile, standing.last_cutoff, 1).first() {
                said.push(format!("The next cut-off is at {}.", local(next.at, zone)));
            }
        }
    }
    if let Some(every) = profile.every_payments {
        said.push(format!(
            "The series is closed when {every} payments are open; this one is number {} of those.",
            found.place
        ));
    }
    said
}

/// When the payee was suspended, and until when.
fn suspended(found: &Membership) -> impl Iterator<Item = (Timestamp, Option<Timestamp>)> {
    let begins = (0..found.versions.len())
        .filter(|at| found.versions[*at].suspended && (*at == 0 || !found.versions[at - 1].suspended));
    begins.map(|at| {
        let end = found.versions[at..].iter().find(|version| !version.suspended);
        (found.versions[at].applied_at, end.map(|version| version.applied_at))
    })
}

fn suspensions(found: &Membership, from: Timestamp, to: Timestamp, zone: &TimeZone) -> Vec<String> {
    let between =
        |(since, until): &(Timestamp, Option<Timestamp>)| *since < to && until.is_none_or(|until| until > from);
    let told = |(since, until): (Timestamp, Option<Timestamp>)| {
        let until = until.map_or_else(|| "now".to_owned(), |until| local(until, zone));
        format!("The payee was suspended from {} to {until}.", local(since, zone))
    };
    suspended(found).filter(between).map(told).collect()
}
