//! What a call says about its payee as a whole: the breaker is told, and the world and whoever watches over the installation
//! when it opened or closed. One outage is told once, however often it is probed. A payee that answers and takes none of our requests
//! is not down, and of one that cannot be called from here nobody knows; whoever watches is told all the same, or its payments would
//! wait until they fail.

use std::collections::BTreeMap;
use std::time::Duration;

use contract::event::{Events, PayeeEvent, PayeeItem};
use domain::declaration::Payee;
use domain::delivery::{Ending, Verdict};
use runtime::emit;
use store::lanes::{self, Asking, Breaker, Noted, Said};
use store::notices::NewNotice;
use store::{Store, StoreError, Tx};

use crate::told::{Ours, Told};

/// No events have these keys: as far as anybody knows the payee is there, and front-ends need not know.
const REFUSES_REQUESTS: &str = "payee.refuses_requests";
const CANNOT_BE_CALLED: &str = "payee.cannot_be_called";

/// Tells a breaker what came of a question that takes no slot, or that could not be asked.
pub async fn note_question(store: &Store, payee: &Payee, told: &Told) -> Result<(), StoreError> {
    let tx = store.begin().await?;
    let mut events = Events::new(domain::clock::now());
    note(&tx, [(payee, Asking::Question, told)], &mut events).await?;
    emit(&tx, events, None).await?;
    tx.commit().await
}

/// Tells breakers what payees said, in this order, and the world when one opened or closed. What went wrong on our side
/// says nothing about a payee; that which stays is told of, too.
pub(crate) async fn note<'a>(
    tx: &Tx,
    told: impl IntoIterator<Item = (&'a Payee, Asking, &'a Told)>,
    events: &mut Events,
) -> Result<(), StoreError> {
    let mut lanes: BTreeMap<&str, Lane<'a>> = BTreeMap::new();
    for (payee, asking, told) in told {
        let Some(profile) = payee.online().filter(|_| told.ours != Some(Ours::Passing)) else {
            continue;
        };
        let lane = payee.id.as_str();
        let probe = Duration::from_secs(profile.probe_seconds.into());
        let new = || Lane {
            said: Said::new(lane, probe),
            payee,
            probe,
            complaint: None,
        };
        lanes.entry(lane).or_insert_with(new).hear(asking, told);
    }
    let said: Vec<Said<'_>> = lanes.values().map(|lane| lane.said.clone()).collect();
    if said.is_empty() {
        return Ok(());
    }
    for noted in lanes::note(tx, &said).await? {
        let Some(lane) = lanes.get(noted.lane.as_str()) else {
            continue;
        };
        lane.tell(tx, &noted, events).await?;
    }
    Ok(())
}

/// What was said on one lane.
struct Lane<'a> {
    said: Said<'a>,
    payee: &'a Payee,
    /// The breaker's first interval.
    probe: Duration,
    /// The last payment that the payee took for no request of ours.
    complaint: Option<&'a Told>,
}

impl<'a> Lane<'a> {
    fn hear(&mut self, asking: Asking, told: &'a Told) {
        if told.ours.is_some() {
            return self.said.hindered(asking, told.error.as_deref());
        }
        let busy_for = told.busy_for();
        if let Some(busy_for) = busy_for {
            self.said.busy(busy_for);
        }
        if !told.is_alive() {
            let error = told.error.as_deref();
            // In a pause as long as that between probes no other call would come to be counted.
            return match busy_for.is_some_and(|pause| pause >= self.probe) {
                _ if told.is_too_much() => self.said.put_off(asking, error),
                true => self.said.gone(asking, error),
                false => self.said.failed(asking, error),
            };
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

    async fn tell(&self, tx: &Tx, noted: &Noted, events: &mut Events) -> Result<(), StoreError> {
        if let Some(breaker) = noted.breaker {
            tell(tx, self.payee, breaker, self.said.error(), events).await?;
        }
        if let Some(complaint) = self.complaint.filter(|_| noted.rejects) {
            tell_of_rejections(tx, self.payee, complaint).await?;
        }
        if let Some(why) = self.said.hindrance().filter(|_| noted.hindered) {
            tell_of_hindrance(tx, self.payee, why).await?;
        }
        Ok(())
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
    let notice = NewNotice {
        kind: REFUSES_REQUESTS,
        subject: lane,
        title: format!("Payee {lane} takes none of our requests: {short}"),
        lines: vec![
            format!("Payee: {}", payee.name),
            format!("It said last: {error}"),
            "Perhaps its secret or its address is not what is declared here, or a clock is off, ours or its".to_owned(),
            until_failed(payee),
            format!("To try it: unigate payees probe {lane}"),
        ],
        mail_to: &[],
    };
    store::notices::add(tx, &notice).await
}

/// Once, until a call is made again by whom it could not be made.
async fn tell_of_hindrance(tx: &Tx, payee: &Payee, why: &str) -> Result<(), StoreError> {
    let lane = payee.id.as_str();
    tracing::error!(payee = lane, why, "the payee cannot be called from here");
    let notice = NewNotice {
        kind: CANNOT_BE_CALLED,
        subject: lane,
        title: format!("Payee {lane} cannot be called from here: {why}"),
        lines: vec![
            format!("Payee: {}", payee.name),
            "This is ours to set right: what it is called with is not there, not in order or hangs where a worker runs, or a payment \
             does not fit into what its profile describes"
                .to_owned(),
            until_failed(payee),
            format!("To try it, where its worker runs: unigate payees probe {lane}"),
        ],
        mail_to: &[],
    };
    store::notices::add(tx, &notice).await
}

fn until_failed(payee: &Payee) -> String {
    let hours = payee.online().map_or(0, |online| online.give_up_hours);
    format!("Its payments are taken and sent again; what it has not taken within {hours} hours is failed")
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
