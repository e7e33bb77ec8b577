//! What a call says about its payee as a whole: the breaker is told, and the world and whoever watches over the installation
//! when it opened or closed. One outage is told once, however often it is probed.

use std::collections::BTreeMap;
use std::time::Duration;

use contract::event::{Events, PayeeEvent, PayeeItem};
use domain::declaration::Payee;
use store::lanes::{self, Asking, Breaker, Said};
use store::notices::NewNotice;
use store::{StoreError, Tx};

use crate::told::Told;

/// Tells breakers what payees said, in this order, and the world when one opened or closed. What went wrong on our side
/// says nothing about a payee.
pub async fn note<'a>(
    tx: &Tx,
    told: impl IntoIterator<Item = (&'a Payee, Asking, &'a Told)>,
    events: &mut Events,
) -> Result<(), StoreError> {
    let mut lanes: BTreeMap<&str, (Said<'a>, &'a Payee)> = BTreeMap::new();
    for (payee, asking, told) in told {
        let Some(profile) = payee.online().filter(|_| !told.ours) else {
            continue;
        };
        let lane = payee.id.as_str();
        let said = Said::new(lane, Duration::from_secs(profile.probe_seconds.into()));
        let (said, _) = lanes.entry(lane).or_insert((said, payee));
        if told.is_alive() {
            said.heard(asking);
        } else {
            said.failed(asking, told.error.as_deref());
        }
    }
    let said: Vec<Said<'_>> = lanes.values().map(|(said, _)| said.clone()).collect();
    if said.is_empty() {
        return Ok(());
    }
    for (lane, breaker) in lanes::note(tx, &said).await? {
        if let Some((said, payee)) = lanes.get(lane.as_str()) {
            tell(tx, payee, breaker, said.error(), events).await?;
        }
    }
    Ok(())
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
