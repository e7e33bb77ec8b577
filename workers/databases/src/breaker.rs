//! What checks know of breakers. A check takes no slot of a lane: it has connections of its own, and is asked far more often
//! than anything is paid. So the lanes are looked at together and not for each check, and a breaker is told when a check
//! found nobody, and when one did after that.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use couriers::Told;
use domain::declaration::Payee;
use runtime::{Context, Nudge};
use store::lanes;
use store::{Store, StoreError};

/// For how long what was seen of the lanes counts.
const SEEN_FOR: Duration = Duration::from_millis(500);

/// Which payees are down or held back, as last seen.
#[derive(Debug, Default)]
pub(crate) struct Breakers {
    seen: tokio::sync::Mutex<Option<(Instant, HashMap<String, Door>)>>,
    /// Of whom a check of this process found nobody, and none has found anybody since.
    failing: Mutex<HashSet<String>>,
}

/// Whether a payee may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    Open,
    Down,
    HeldBack,
}

impl Breakers {
    pub(crate) async fn door(&self, store: &Store, payee: &Payee) -> Result<Door, StoreError> {
        let mut seen = self.seen.lock().await;
        if let Some((at, doors)) = &*seen
            && at.elapsed() < SEEN_FOR
            && let Some(door) = doors.get(payee.id.as_str())
        {
            return Ok(*door);
        }
        // Boxed, as what follows from news is below: it is rare, and large, and would be moved at each of the calls that lead here.
        let doors: HashMap<String, Door> = Box::pin(lanes::doors(store))
            .await?
            .into_iter()
            .map(|(lane, down, held)| {
                let door = match (held, down) {
                    (true, _) => Door::HeldBack,
                    (false, true) => Door::Down,
                    (false, false) => Door::Open,
                };
                (lane, door)
            })
            .collect();
        let door = doors.get(payee.id.as_str()).copied().unwrap_or(Door::Open);
        *seen = Some((Instant::now(), doors));
        Ok(door)
    }

    /// Tells a payee's breaker what came of a check, where that is news.
    pub(crate) async fn tell(&self, context: &Context, payee: &Payee, told: &Told) -> Result<(), StoreError> {
        let news = {
            let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
            match told.is_alive() {
                true => failing.remove(payee.id.as_str()),
                false => {
                    failing.insert(payee.id.to_string());
                    true
                }
            }
        };
        match news {
            true => Box::pin(self.record(context, payee, told)).await,
            false => Ok(()),
        }
    }

    async fn record(&self, context: &Context, payee: &Payee, told: &Told) -> Result<(), StoreError> {
        couriers::note_question(&context.store, payee, told).await?;
        *self.seen.lock().await = None;
        context.nudge(Nudge::Events);
        Ok(())
    }
}
