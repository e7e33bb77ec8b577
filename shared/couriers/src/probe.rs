//! Is a payee that was down back? Asked with growing pauses, within its lane's limits, and never with a payment: `/status` of a number
//! that waits costs nobody anything, and spends no step of any schedule. Where there is no such number, or the payee cannot be asked
//! about one, any sign of life will do. No single number keeps a payee down: the next probe asks about another
//! ([`lanes::claim_probes`]), and the next trial pays another ([`store::deliveries::claim`]).

use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::ids::Number;
use jiff::Timestamp;
use runtime::sweep::{self, Swept};
use runtime::{Context, Nudge};
use store::StoreError;
use store::declarations::Declarations;
use store::lanes::{self, Probe, Probing};

use crate::{Gateway, question};

/// Probes payees whose breaker is open.
pub(crate) fn spawn<G: Gateway>(context: &Context, gateway: &Arc<G>) {
    let gateway = gateway.clone();
    sweep::spawn(context, G::NAMES.probe, Nudge::Probes, move |context| {
        let gateway = gateway.clone();
        async move { probe_all(&context, &gateway).await }
    });
}

async fn probe_all<G: Gateway>(context: &Context, gateway: &Arc<G>) -> Result<Swept, StoreError> {
    let declarations = context.declarations().await?;
    let probes = lanes::claim_probes(&context.store, |lane, now| probing::<G>(&declarations, lane, now)).await?;
    for probe in probes {
        // Each by itself: one that hangs must not keep another payee down.
        let (context, gateway, declarations) = (context.clone(), gateway.clone(), declarations.clone());
        context.tasks.clone().spawn(async move {
            if let Err(error) = probe_one(&context, &*gateway, &declarations, &probe).await {
                tracing::warn!(lane = probe.slot.lane, %error, "a probe could not be recorded");
            }
        });
    }
    Ok(Swept::Idle)
}

/// None: it is another gateway's to probe.
fn probing<G: Gateway>(declarations: &Declarations, lane: &str, now: Timestamp) -> Option<Probing> {
    let payee = &declarations.payees.get(lane)?.value;
    let online = payee.online().filter(|_| payee.gateway == G::WORD)?;
    Some(Probing {
        first: Duration::from_secs(online.probe_seconds.into()),
        longest: Duration::from_secs(online.timeout_seconds.into()),
        quiet_until: online.quiet_until(now),
    })
}

async fn probe_one<G: Gateway>(
    context: &Context,
    gateway: &G,
    declarations: &Declarations,
    probe: &Probe,
) -> Result<(), StoreError> {
    let Some(declared) = declarations.payees.get(probe.slot.lane.as_str()) else {
        return Ok(());
    };
    let payee = &*declared.value;
    let number = probe.number.map(Number::new).transpose()?;
    let begun = Instant::now();
    let told = gateway.probe(payee, number).await;
    tracing::info!(
        payee = %payee.id,
        alive = told.is_alive(),
        error = told.error,
        "probed"
    );
    question::finish(&context.store, payee, &probe.slot, begun, &told).await?;
    context.nudge(Nudge::Events);
    context.nudge(G::NUDGE);
    Ok(())
}
