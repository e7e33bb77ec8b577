//! What is in the database and needs a person: declarations that cannot work here, payees that are down, parked facts,
//! events that do not get out.

use domain::declaration::{Dialect, Payee};
use store::declarations::{self, Declarations};
use store::{StoreError, cases, deliveries, events, lanes, parked};

use super::{Findings, outside};
use crate::operator::Operator;

/// Events older than this do not get out by themselves any more, in seconds.
const OLD_EVENT_SECONDS: f64 = 60.0;

pub(super) async fn look(operator: &Operator, findings: &mut Findings) -> Result<(), StoreError> {
    let all = declarations::load(&operator.store).await?;
    look_at_declarations(&all, findings);
    if operator.settings.alert_mail_to.is_empty() {
        look_at_alerts(&all, findings);
    }
    Box::pin(outside::look_at_deliveries(&all, findings)).await;
    Box::pin(outside::look_at_files(&all, findings)).await;
    look_at_lanes(operator, findings).await?;
    look_at_payments(operator, findings).await?;
    let waiting = parked::count_by_reason(&operator.store).await?;
    if waiting.is_empty() {
        findings.ok("parked", "nothing waits for an operator");
    }
    for (reason, count) in waiting {
        let advice = "see `unigate parked list`; put back or discard each";
        findings.warn("parked", format!("{count} facts: {reason}"), advice);
    }
    for (kind, count, age) in cases::count_open(&operator.store).await? {
        let found = format!(
            "{count} of kind {} are open, the oldest for {} hours",
            kind.as_str(),
            age / 3_600
        );
        findings.warn("cases", found, "see `unigate cards cases list`; resolve each");
    }
    match store::registers::count_failed(&operator.store).await? {
        0 => findings.ok("registers", "none has failed"),
        failed => findings.warn(
            "registers",
            format!("{failed} could not be built or mailed"),
            "`unigate registers list` names them, `registers show ID` says why; then `registers requeue ID`",
        ),
    }
    outside::look_at_unmailed(&operator.store, findings).await?;
    let late = store::registers::perhaps_late(&operator.store).await?;
    for series in late.iter().filter(|series| series.is_late()) {
        let found = format!("payments of series {} wait for a register for too long", series.series);
        let advice = format!(
            "is a registers worker running? `unigate registers schedule {}`",
            series.payee.id
        );
        findings.warn(format!("payee {}", series.payee.id), found, advice);
    }
    let (count, age) = events::backlog(&operator.store).await?;
    if age > OLD_EVENT_SECONDS {
        let found = format!("{count} wait to be published, the oldest for {age:.0} s");
        findings.warn(
            "events",
            found,
            "start a worker: every process publishes them; is the broker there?",
        );
    } else {
        findings.ok("events", format!("{count} wait to be published"));
    }
    Ok(())
}

async fn look_at_lanes(operator: &Operator, findings: &mut Findings) -> Result<(), StoreError> {
    let lanes = lanes::list(&operator.store).await?;
    // One that is retired is nobody's business any more, once nothing waits for it.
    for lane in lanes.into_iter().filter(|lane| !lane.retired || lane.waiting > 0) {
        let name = format!("payee {}", lane.lane);
        if lane.breaker != "closed" {
            let since = lane.opened_at.map(|at| at.to_string()).unwrap_or_default();
            let error = lane.last_error.as_deref().unwrap_or_default();
            let advice =
                "ask the payee; it is probed, and what waits goes out when it is back; `unigate payees probe` asks now";
            let alone = lane
                .wait_until
                .map(|until| format!(", and wants to be left alone until {until}"));
            let alone = alone.unwrap_or_default();
            let found = format!("is down since {since}{alone}: {error}; {}", backlog(lane.waiting));
            findings.warn(name.clone(), found, advice);
        } else if let Some(until) = lane.wait_until.filter(|_| lane.waiting > 0) {
            let advice =
                "by its own word (Retry-After); `unigate payees probe` tries it, and ends the wait where it answers";
            let found = format!("wants to be left alone until {until}; {}", backlog(lane.waiting));
            findings.warn(name.clone(), found, advice);
        }
        if lane.rejects {
            let advice =
                "ask the payee: is its secret or address another, is a clock off? `unigate payees probe` tries it";
            let error = lane.last_error.as_deref().unwrap_or_default();
            findings.warn(name.clone(), format!("takes none of our requests: {error}"), advice);
        }
        if lane.hindered {
            let advice =
                "what it is called with is ours to set right; `unigate payees probe`, where its worker runs, tries it";
            let error = lane.last_error.as_deref().unwrap_or_default();
            findings.warn(name.clone(), format!("cannot be called from here: {error}"), advice);
        }
        if let (Some(by), Some(at)) = (lane.held_by, lane.held_at) {
            let reason = lane.held_reason.unwrap_or_default();
            let advice = "nothing is sent to it until `unigate deliveries unpause`";
            let found = format!("is paused by {by} since {at}: {reason}; {}", backlog(lane.waiting));
            findings.warn(name, found, advice);
        }
    }
    Ok(())
}

/// How much waits on a lane.
fn backlog(waiting: i64) -> String {
    let or_more = if waiting < lanes::COUNTED_AT_MOST {
        ""
    } else {
        " or more"
    };
    format!("{waiting}{or_more} payments wait for it")
}

async fn look_at_payments(operator: &Operator, findings: &mut Findings) -> Result<(), StoreError> {
    let troubles = deliveries::in_trouble(&operator.store).await?;
    if troubles.is_empty() {
        findings.ok("payments", "none waits for a person");
    }
    for trouble in troubles {
        let (payee, count, what) = (&trouble.payee, trouble.count, &trouble.what);
        let (found, advice) = match trouble.flagged {
            false => (
                format!("{count} payments are {what}"),
                format!("see `unigate deliveries groups --payee {payee}`; then requeue or settle them"),
            ),
            true => (
                format!("{count} payments are flagged {what}"),
                format!(
                    "see `unigate payments list --payee {payee} --flagged`; ask the payee, and settle each (`unigate deliveries \
                     settle`); one that has ended: confirm it as it stands and write in --reason what the payee says"
                ),
            ),
        };
        findings.warn(format!("payee {payee}"), found, advice);
    }
    Ok(())
}

fn look_at_declarations(all: &Declarations, findings: &mut Findings) {
    let counts = (all.payees.len(), all.products.len(), all.terminals.len());
    findings.ok(
        "declarations",
        format!("{} payees, {} products, {} terminals", counts.0, counts.1, counts.2),
    );
    let payees = all.payees.values().map(|declared| &*declared.value);
    let mut payees: Vec<&Payee> = payees.filter(|payee| !payee.retired).collect();
    payees.sort_by(|left, right| left.id.cmp(&right.id));
    for payee in payees {
        look_at_payee(payee, findings);
    }
    for declared in all.products.values() {
        let product = &declared.value;
        // Checked when it was applied; another version of the program may see it in another light.
        for refused in product.check().err().into_iter().flatten() {
            let advice = "correct the product's file and apply it; until then the plain receipt is printed";
            findings.warn(format!("product {}", product.id), refused.to_string(), advice);
        }
        if let Some(payee) = product.payee.as_ref().filter(|payee| !all.payees.contains_key(*payee)) {
            let found = format!("is said to be a card of payee {payee}, which is not declared");
            findings.warn(
                format!("product {}", product.id),
                found,
                "declare the payee, or correct the product",
            );
        }
    }
}

/// Who is told where nobody is told of everything: products name recipients of their own.
fn look_at_alerts(all: &Declarations, findings: &mut Findings) {
    let products = all.products.values().map(|declared| &*declared.value);
    let mut told: Vec<&str> = products
        .filter(|product| product.low_stock > 0 && !product.alert_mail_to.is_empty())
        .map(|product| product.id.as_str())
        .collect();
    told.sort_unstable();
    let but = match told.len() {
        0 => String::new(),
        _ => format!(", except low stock of {}", told.join(", ")),
    };
    findings.warn(
        "alerts",
        format!("no alert is mailed at all{but}"),
        "set UNIGATE_ALERT_MAIL_TO where the mailer runs (and here); until then `unigate notices list` shows them",
    );
}

fn look_at_payee(payee: &Payee, findings: &mut Findings) {
    let check = format!("payee {}", payee.id);
    if payee.suspended {
        let advice = format!(
            "when it may have its payments: `unigate payees resume {} --reason …`",
            payee.id
        );
        findings.warn(&check, "is suspended: its payments wait", advice);
    }
    if let Some(Err(missing)) = payee.register.as_ref().map(registers::look_at_stages) {
        for why in missing {
            let advice = "no register of it can be sealed, and none goes out unsealed; run doctor where the registers worker runs";
            findings.fail(&check, format!("seal, {why}"), advice);
        }
    }
    if payee.databases.is_some() {
        return match databases::trying::complete(payee) {
            Ok(()) => findings.ok(
                &check,
                "its scenario can be made ready; `unigate databases check-config` asks its database",
            ),
            Err(why) => findings.fail(
                &check,
                why,
                "set it where the databases worker runs, and run doctor with that environment",
            ),
        };
    }
    // The URL was parsed when the declaration was read.
    let Some(profile) = &payee.unikassa else { return };
    if let Err(why) = unikassa::complete(payee) {
        let advice = "set it where the unikassa worker runs, and run doctor with that environment";
        return findings.fail(&check, why, advice);
    }
    if profile.dialect != Dialect::Unikassa {
        return findings.ok(&check, format!("{}, what it needs is readable", profile.url));
    }
    match unikassa::secrets_of(profile) {
        Ok(secrets) if secrets.any_weak() => findings.warn(
            &check,
            "its secret is shorter than 24 bytes",
            "agree on a longer one with the payee",
        ),
        _ => findings.ok(&check, format!("{}, its secrets are readable", profile.url)),
    }
}
