//! Is a payee that was down back? Asked with growing pauses, and never with a payment: `/status` of a number that waits
//! costs nobody anything, and spends no step of any schedule. Where there is no such number, or the payee cannot be asked
//! about one, any answer to a request for nothing will do.

use std::sync::Arc;
use std::time::Duration;

use contract::event::Events;
use domain::ids::Number;
use jiff::Timestamp;
use runtime::sweep::{self, Swept};
use runtime::{Context, Nudge, emit};
use store::StoreError;
use store::declarations::Declarations;
use store::lanes::{self, Asking, Probe, Probing};

use crate::client::Caller;
use crate::outage;
use crate::profiles::Target;
use crate::told::Told;

/// Probes payees whose breaker is open.
pub(crate) fn spawn(context: &Context, caller: Arc<Caller>) {
    sweep::spawn(context, "unikassa.probe", Nudge::Probes, move |context| {
        let caller = caller.clone();
        async move { probe_all(&context, &caller).await }
    });
}

async fn probe_all(context: &Context, caller: &Arc<Caller>) -> Result<Swept, StoreError> {
    let declarations = context.declarations().await?;
    let probes = lanes::claim_probes(&context.store, |lane, now| probing(&declarations, lane, now)).await?;
    for probe in probes {
        // Each by itself: one that hangs must not keep another payee down.
        let (context, caller, declarations) = (context.clone(), caller.clone(), declarations.clone());
        context.tasks.clone().spawn(async move {
            if let Err(error) = probe_one(&context, &caller, &declarations, &probe).await {
                tracing::warn!(lane = probe.lane, %error, "a probe could not be recorded");
            }
        });
    }
    Ok(Swept::Idle)
}

fn probing(declarations: &Declarations, lane: &str, now: Timestamp) -> Probing {
    let profile = declarations
        .payees
        .get(lane)
        .and_then(|declared| declared.value.unikassa.as_ref());
    Probing {
        first: Duration::from_secs(profile.map_or(30, |profile| profile.probe_seconds).into()),
        quiet_until: profile.and_then(|profile| profile.quiet_until(now)),
    }
}

async fn probe_one(
    context: &Context,
    caller: &Caller,
    declarations: &Declarations,
    probe: &Probe,
) -> Result<(), StoreError> {
    let Some(declared) = declarations.payees.get(probe.lane.as_str()) else {
        return Ok(());
    };
    let payee = &*declared.value;
    let number = probe.number.map(Number::new).transpose()?;
    let told = match Target::of(payee) {
        Ok(target) => ask(caller, &target, number).await,
        Err(why) => Told::not_sent(why),
    };
    tracing::info!(
        payee = probe.lane,
        alive = told.is_alive(),
        error = told.error,
        "probed"
    );
    let tx = context.store.begin().await?;
    let mut events = Events::new(domain::clock::now());
    outage::note(&tx, [(payee, Asking::Question, &told)], &mut events).await?;
    emit(&tx, events, None).await?;
    tx.commit().await?;
    context.nudge(Nudge::Events);
    context.nudge(Nudge::Payments);
    Ok(())
}

async fn ask(caller: &Caller, target: &Target, number: Option<Number>) -> Told {
    let dialect = &target.dialect;
    let asked = number.and_then(|number| Some((number, dialect.probe(number)?)));
    let Some((number, request)) = asked else {
        return caller
            .greet(target)
            .await
            .map_or_else(Told::not_sent, |()| Told::present());
    };
    let wire = caller.call(target, request, None).await;
    Told::of_act(
        wire,
        |status| status == 200,
        |answer| dialect.read_probe(number, answer),
    )
}
