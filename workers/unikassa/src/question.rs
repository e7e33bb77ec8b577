//! A question to a payee: a call that owes nobody anything. It takes the next free slot of the payee's lane, before any
//! payment that waits for one, tells the breaker what came of it, and gives the slot back.

use std::time::{Duration, Instant};

use contract::event::Events;
use domain::declaration::Payee;
use runtime::emit;
use store::lanes::{self, Asked, Slot};
use store::{Store, StoreError};

use crate::client::{Caller, Wire};
use crate::dialect::HttpRequest;
use crate::profiles::Target;
use crate::record;
use crate::told::Told;

/// How long a question waits for a slot of its lane.
const PATIENCE: Duration = Duration::from_secs(5);
/// How soon it looks for one again, at first and at most: many questions may be looking at once.
const LOOK_AGAIN: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(200));

/// Asks; `None` when the payee is down or all slots stay taken.
pub(crate) async fn ask(
    store: &Store,
    caller: &Caller,
    payee: &Payee,
    target: &Target,
    request: HttpRequest,
    traceparent: Option<&str>,
) -> Result<Option<Wire>, StoreError> {
    let Some(slot) = take_slot(store, payee, target.timeout).await? else {
        return Ok(None);
    };
    let begun = Instant::now();
    let wire = caller.call(target, request, traceparent).await;
    let told = Told::of_question(&wire);
    // As after a payment: a call that ran into its timeout may still keep the payee busy for as long again.
    let rest = (told.lost && begun.elapsed() >= target.timeout).then_some(target.timeout);
    if let Err(error) = finish(store, payee, &slot, rest, &told).await {
        // The slot comes back when its lease ends; whoever asks need not wait for that.
        tracing::warn!(%error, payee = %payee.id, "the end of a question could not be recorded");
    }
    Ok(Some(wire))
}

/// The next free slot of the lane; none when the payee is down or all stay taken.
async fn take_slot(store: &Store, payee: &Payee, call: Duration) -> Result<Option<Slot>, StoreError> {
    let begun = Instant::now();
    let mut pause = LOOK_AGAIN.0;
    // Looked at between two tries, never cutting one off: a slot taken by a commit nobody heard of is lost for as long
    // as its lease.
    while begun.elapsed() < PATIENCE {
        match lanes::take_for_question(store, payee.id.as_str(), call).await? {
            Asked::Go(slot) => return Ok(Some(slot)),
            Asked::Closed => return Ok(None),
            Asked::Busy => tokio::time::sleep(pause).await,
        }
        pause = (pause * 2).min(LOOK_AGAIN.1);
    }
    Ok(None)
}

async fn finish(
    store: &Store,
    payee: &Payee,
    slot: &Slot,
    rest: Option<Duration>,
    told: &Told,
) -> Result<(), StoreError> {
    let tx = store.begin().await?;
    let mut events = Events::new(domain::clock::now());
    // The lane before its slot, as claims do.
    record::note(&tx, [(payee, told)], &mut events).await?;
    lanes::give_back(&tx, &[(slot, rest)]).await?;
    emit(&tx, events, None).await?;
    tx.commit().await
}
