//! Claims whatever is due and has a free slot, and starts its calls.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use store::StoreError;
use store::lanes::Slot;
use tokio::sync::mpsc;

use super::room::{Permits, Room};
use super::{Claim, Courier, Done, halves};
use crate::sweep::Swept;
use crate::{Context, checkpoint};

/// How soon a lane is looked at again that was in other hands.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Slots of calls that have ended, lane by lane.
type Left = HashMap<String, Vec<Slot>>;

/// Who claims for a courier. One task, so that only one takes room.
pub(super) struct Dispatcher<C: Courier> {
    context: Context,
    courier: Arc<C>,
    room: Arc<Room>,
    recorders: mpsc::Sender<super::Ended<C>>,
}

impl<C: Courier> Dispatcher<C> {
    pub(super) fn new(
        context: &Context,
        courier: &Arc<C>,
        room: &Arc<Room>,
        recorders: mpsc::Sender<super::Ended<C>>,
    ) -> Self {
        Self {
            context: context.clone(),
            courier: courier.clone(),
            room: room.clone(),
            recorders,
        }
    }

    /// Claims of all lanes that have work, first of those known to.
    pub(super) async fn round(&self) -> Result<Swept, StoreError> {
        let mut ended = self.room.take_ended();
        let mut begun = self.claim_of(self.room.take_short(), &mut ended).await?;
        let due = self.courier.lanes_due(&begun.short).await?;
        let (now, later): (Vec<_>, Vec<_>) = due.into_iter().partition(|due| due.due_in.is_zero());
        let others = now.into_iter().map(|due| due.lane).collect();
        let others = self.claim_of(others, &mut ended).await?;
        begun.short.extend(others.short);
        self.room.set_short(begun.short);
        if self.room.is_claim_worth_it() {
            // They ended while nobody knew yet that their slots are wanted.
            return Ok(Swept::More);
        }
        let passed_over = begun.passed_over || others.passed_over;
        let again = passed_over.then_some(LOOK_AGAIN);
        let next = later.iter().map(|due| due.due_in).chain(again).min();
        Ok(next.map_or(Swept::Idle, Swept::Next))
    }

    /// Claims of these lanes and starts the calls.
    async fn claim_of(&self, lanes: Vec<String>, ended: &mut Left) -> Result<Begun, StoreError> {
        let mut begun = Begun::default();
        let wanted = self.room.wanted(lanes, ended);
        let mut parts = vec![&wanted[..]];
        while let Some(part) = parts.pop().filter(|part| !part.is_empty()) {
            match self.courier.claim(part).await {
                Ok(claim) => self.start_all(claim, &mut begun).await,
                Err(error) if error.is_retryable() => return Err(error),
                // One lane's bad row must not keep other lanes waiting.
                Err(_) if part.len() > 1 => parts.extend(halves(part)),
                Err(error) => {
                    tracing::error!(courier = C::NAME, lane = part[0].lane, %error, "nothing of this lane can be claimed");
                    metrics::counter!("unigate_invariant_violations_total", "kind" => "unclaimable").increment(1);
                }
            }
        }
        Ok(begun)
    }

    async fn start_all(&self, claim: Claim<C::Job>, begun: &mut Begun) {
        begun.passed_over |= claim.passed_over;
        begun.short.extend(claim.short);
        for job in claim.jobs {
            if let Some(permits) = self.room.take(C::lane(&job)).await {
                self.start(job, permits);
            }
        }
    }

    fn start(&self, job: C::Job, permits: Permits) {
        let (context, courier, room, recorders) = (
            self.context.clone(),
            self.courier.clone(),
            self.room.clone(),
            self.recorders.clone(),
        );
        self.context.tasks.spawn(async move {
            checkpoint(C::NAME, "before_call");
            let report = courier.call(&job).await;
            checkpoint(C::NAME, "after_call");
            if let Some(slot) = C::freed(&job, &report) {
                room.leave(slot);
                if room.is_claim_worth_it() {
                    context.nudge(C::NUDGE);
                }
            }
            // Fails only when the recorders are gone, and they outlive whoever holds a sender.
            let _ = recorders.send((Done { job, report }, permits)).await;
        });
    }
}

/// What a claim has left to do.
#[derive(Default)]
struct Begun {
    /// Some lane was in other hands.
    passed_over: bool,
    /// Lanes that only wanted slots.
    short: Vec<String>,
}
