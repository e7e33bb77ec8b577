//! What a call says about its payee as a whole: the breaker is told, and the world and whoever watches over the installation
//! when it opened or closed. One outage is told once, however often it is probed. A payee that answers and takes none of our requests
//! is not down; whoever watches is told all the same, or its payments would wait until they fail.

use std::collections::BTreeMap;
use std::time::Duration;

use contract::event::{Events, PayeeEvent, PayeeItem};
use domain::declaration::Payee;
use domain::delivery::{Ending, Verdict};
use store::lanes::{self, Asking, Breaker, Noted, Said};
use store::notices::NewNotice;
use store::{StoreError, Tx};

use crate::told::Told;

/// No event has this key: the payee is there, and front-ends need not know.
const REFUSES_REQUESTS: &str = "payee.refuses_requests";

/// Tells breakers what payees said, in this order, and the world when one opened or closed. What went wrong on our side
/// says nothing about a payee.
pub async fn note<'a>(
    tx: &Tx,
    told: impl IntoIterator<Item = (&'a Payee, Asking, &'a Told)>,
    events: &mut Events,
) -> Result<(), StoreError> {
    let mut lanes: BTreeMap<&str, Lane<'a>> = BTreeMap::new();
    for (payee, asking, told) in told {
        let Some(profile) = payee.online().filter(|_| !told.ours) else {
            continue;
        };
        let lane = payee.id.as_str();
        let said = Said::new(lane, Duration::from_secs(profile.probe_seconds.into()));
        let complaint = None;
        let lane = lanes.entry(lane).or_insert(Lane { said, payee, complaint });
        lane.hear(asking, told);
    }
    let said: Vec<Said<'_>> = lanes.values().map(|lane| lane.said.clone()).collect();
    if said.is_empty() {
        return Ok(());
    }
    for Noted { lane, breaker, rejects } in lanes::note(tx, &said).await? {
        let Some(lane) = lanes.get(lane.as_str()) else { continue };
        if let Some(breaker) = breaker {
            tell(tx, lane.payee, breaker, lane.said.error(), events).await?;
        }
        if let Some(complaint) = lane.complaint.filter(|_| rejects) {
            tell_of_rejections(tx, lane.payee, complaint).await?;
        }
    }
    Ok(())
}

/// What was said on one lane.
struct Lane<'a> {
    said: Said<'a>,
    payee: &'a Payee,
    /// The last payment that the payee took for no request of ours.
    complaint: Option<&'a Told>,
}

impl<'a> Lane<'a> {
    fn hear(&mut self, asking: Asking, told: &'a Told) {
        if !told.is_alive() {
            return self.said.failed(asking, told.error.as_deref());
        }
        self.said.heard(asking);
        match told.ending {
            // What is asked may be what it does not like; and one that is busy may not have looked yet.
            _ if asking == Asking::Question => {}
            Ending::Answered(Verdict::TryLater) => {}
            _ if told.is_rejection() => {
                self.said.rejected(told.error.as_deref().or(told.result.as_deref()));
                self.complaint = Some(told);
            }
            _ => self.said.understood(),
        }
    }
}

/// Once, until the payee understands a payment again.
async fn tell_of_rejections(tx: &Tx, payee: &Payee, complaint: &Told) -> Result<(), StoreError> {
    let lane = payee.id.as_str();
    let error = complaint.error.as_deref().or(complaint.result.as_deref());
    let error = error.unwrap_or("it does not say why");
    tracing::error!(payee = lane, error, "the payee answers, and takes none of our requests");
    let short = match complaint.http_status {
        Some(status) if status != 200 => format!("HTTP {status}"),
        _ => error.to_owned(),
    };
    let hours = payee.online().map_or(0, |online| online.give_up_hours);
    let notice = NewNotice {
        kind: REFUSES_REQUESTS,
        subject: lane,
        title: format!("Payee {lane} takes none of our requests: {short}"),
        lines: vec![
            format!("Payee: {}", payee.name),
            format!("It said last: {error}"),
            "Perhaps its secret or its address is not what is declared here, or a clock is off, ours or its".to_owned(),
            format!("Its payments are taken and sent again; what it has not taken within {hours} hours is failed"),
            format!("To try it: unigate payees probe {lane}"),
        ],
        mail_to: &[],
    };
    store::notices::add(tx, &notice).await
}

async fn tell(
    tx: &Tx,
    payee: &Payee,
    breaker: Breaker,
    error: Option<&str>,
    events: &mut Events,
) -> Result<(), StoreError> {
    let lane = payee.id.as_str();
    let (event, error) = match breaker {
        Breaker::Opened => (PayeeEvent::Down, error),
        Breaker::Closed => (PayeeEvent::Up, None),
    };
    match breaker {
        Breaker::Opened => tracing::error!(
            payee = lane,
            error,
            "the payee is down: nothing is sent until it answers"
        ),
        Breaker::Closed => tracing::info!(payee = lane, "the payee is back: what waits is sent, oldest first"),
    }
    store::notices::add(tx, &notice(payee, event, error)).await?;
    let item = PayeeItem {
        payee: payee.id.clone(),
        error: error.map(str::to_owned),
    };
    events.push(event, &item);
    Ok(())
}

fn notice<'a>(payee: &'a Payee, event: PayeeEvent, error: Option<&str>) -> NewNotice<'a> {
    let name = format!("Payee: {}", payee.name);
    let (title, lines) = match event {
        PayeeEvent::Down => (
            format!("Payee {} is down", payee.id),
            vec![
                name,
                format!("Last error: {}", error.unwrap_or("none was told")),
                "Its payments are taken and wait; it is probed, and what waits goes out when it is back".to_owned(),
                format!("To try it: unigate payees probe {}", payee.id),
            ],
        ),
        PayeeEvent::Up => (
            format!("Payee {} is back", payee.id),
            vec![name, "What waits goes out, oldest first".to_owned()],
        ),
    };
    NewNotice {
        kind: event.as_str(),
        subject: payee.id.as_str(),
        title,
        lines,
        mail_to: &[],
    }
}
