//! A question to a payee: a call that owes nobody anything. It takes the next free slot of the payee's lane, before any
//! payment that waits for one, tells the breaker what came of it, and gives the slot back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use contract::event::Events;
use domain::declaration::{Online, Payee};
use runtime::emit;
use store::lanes::{self, Asked, Asking, Calls, Slot};
use store::{Store, StoreError};

use crate::outage;
use crate::told::Told;

/// How long a question waits for a slot of its lane.
const PATIENCE: Duration = Duration::from_secs(5);
/// How soon it looks for one again, at first and at most.
const LOOK_AGAIN: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(200));
/// Questions of one payee that wait in this process. One that hangs must leave it time for the others.
const LINE_MAX: usize = 128;

/// Where questions wait for a slot, a line per payee. The first looks for one, those behind wait for it: a payee that hangs
/// costs this process one look at a time, however many ask.
#[derive(Debug, Default)]
pub struct Lines(Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>);

impl Lines {
    fn of(&self, lane: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.entry(lane.to_owned()).or_default().clone()
    }
}

/// Asks, by making this call. The inner error says, to whoever asks, why the payee cannot be asked now: it is down, busy, or
/// left alone. What the call returns is told to the breaker as `told` reads it.
pub async fn ask<T>(
    store: &Store,
    lines: &Lines,
    payee: &Payee,
    call: impl Future<Output = T>,
    told: impl FnOnce(&T) -> Told,
) -> Result<Result<T, String>, StoreError> {
    let Some(online) = payee.online() else {
        return Ok(Err("the payee is not asked online".to_owned()));
    };
    let timeout = Duration::from_secs(online.timeout_seconds.into());
    let (slot, start_in) = match take_slot(store, lines, payee, &online, timeout).await? {
        Asked::Go(slot, start_in) => (slot, start_in),
        Asked::Closed => {
            let why = "the payee cannot be asked now: it is down, paused or wants to be left alone";
            return Ok(Err(why.to_owned()));
        }
        Asked::Busy => return Ok(Err("the payee cannot be asked now: it is busy".to_owned())),
        Asked::Quiet(until) => return Ok(Err(online.quiet_in_words(until))),
    };
    tokio::time::sleep(start_in).await;
    let begun = Instant::now();
    let answer = call.await;
    if let Err(error) = finish(store, payee, &slot, begun, &told(&answer)).await {
        // The slot comes back when its lease ends; whoever asks need not wait for that.
        tracing::warn!(%error, payee = %payee.id, "the end of a question could not be recorded");
    }
    Ok(Ok(answer))
}

/// The next free slot of the lane; busy when all stay taken.
async fn take_slot(
    store: &Store,
    lines: &Lines,
    payee: &Payee,
    online: &Online<'_>,
    call: Duration,
) -> Result<Asked, StoreError> {
    let begun = Instant::now();
    let line = lines.of(payee.id.as_str());
    if Arc::strong_count(&line) > LINE_MAX {
        return Ok(Asked::Busy);
    }
    let Ok(_first) = tokio::time::timeout(PATIENCE, line.lock()).await else {
        return Ok(Asked::Busy);
    };
    let calls = Calls {
        longest: call,
        quiet_until: &|now| online.quiet_until(now),
    };
    let mut pause = LOOK_AGAIN.0;
    // Looked at between two tries, never cutting one off: a slot taken by a commit nobody heard of is lost for as long
    // as its lease.
    loop {
        match lanes::take_for_question(store, payee.id.as_str(), &calls).await? {
            Asked::Busy if begun.elapsed() + pause < PATIENCE => tokio::time::sleep(pause).await,
            asked => return Ok(asked),
        }
        pause = (pause * 2).min(LOOK_AGAIN.1);
    }
}

/// Tells the breaker what came of a question that began then, and gives its slot back.
pub(crate) async fn finish(
    store: &Store,
    payee: &Payee,
    slot: &Slot,
    begun: Instant,
    told: &Told,
) -> Result<(), StoreError> {
    // As after a payment: a call that ran into its timeout may still keep the payee busy for as long again.
    let timeout = payee
        .online()
        .map(|online| Duration::from_secs(online.timeout_seconds.into()));
    let rest = timeout.filter(|timeout| told.lost && begun.elapsed() >= *timeout);
    let tx = store.begin().await?;
    let mut events = Events::new(domain::clock::now());
    // The lane before its slot, as claims do.
    outage::note(&tx, [(payee, Asking::Question, told)], &mut events).await?;
    lanes::give_back(&tx, &[(slot, rest)]).await?;
    emit(&tx, events, None).await?;
    tx.commit().await
}
