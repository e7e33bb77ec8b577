//! How much a courier has in hand: of one lane, so that one that hangs leaves room for the others, and of all together.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use store::lanes::Slot;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Wanted;

/// Jobs of one lane claimed together; the lane's own limit is in the database.
const MOST_PER_CLAIM: usize = 64;
/// Jobs of one lane in hand per process: one that hangs must leave room for the others. A payee that is called more often
/// at a time needs more processes.
const MOST_OF_A_LANE: usize = 128;
/// Jobs in hand per process, all lanes together: bounds memory, never reached by lanes that answer.
pub(super) const MOST_IN_HAND: usize = 2048;

/// When so great a part of the calls in hand has ended (a quarter), but so many at least, their slots are claimed again
/// before the ends are recorded. A few are recorded as soon, and cost a claim less.
const PART_CLAIMED: usize = 4;
const CROWD: usize = 4;
/// Of so many such slots of a lane one is left to the record, and so to whichever process claims first: else whoever came first
/// would keep a lane for as long as anything waits.
const LEFT_TO_OTHERS: usize = 8;

/// How much more this process may have in hand.
pub(super) struct Room {
    all: Arc<Semaphore>,
    lanes: Mutex<HashMap<String, Arc<Semaphore>>>,
    /// Slots of calls that have ended since the last claim.
    ended: Mutex<Vec<Slot>>,
    /// Lanes that only wanted slots when they were last claimed of.
    short: Mutex<Vec<String>>,
}

impl Room {
    pub(super) fn new() -> Self {
        Self {
            all: Arc::new(Semaphore::new(MOST_IN_HAND)),
            lanes: Mutex::default(),
            ended: Mutex::default(),
            short: Mutex::default(),
        }
    }

    /// A call has ended and left its slot.
    pub(super) fn leave(&self, slot: Slot) {
        self.ended.lock().unwrap_or_else(PoisonError::into_inner).push(slot);
    }

    /// Whether so many slots were left, and are wanted, that they are worth a claim.
    pub(super) fn is_claim_worth_it(&self) -> bool {
        let short = !self.short.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
        let ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner).len();
        short && ended >= CROWD.max(self.in_hand() / PART_CLAIMED)
    }

    /// The slots left since this was asked last, lane by lane, but for the other processes' share. The record frees those that
    /// are not claimed.
    pub(super) fn take_ended(&self) -> HashMap<String, Vec<Slot>> {
        let ended = std::mem::take(&mut *self.ended.lock().unwrap_or_else(PoisonError::into_inner));
        let mut lanes: HashMap<String, Vec<Slot>> = HashMap::new();
        for slot in ended {
            lanes.entry(slot.lane.clone()).or_default().push(slot);
        }
        for slots in lanes.values_mut() {
            slots.truncate(slots.len() - slots.len() / LEFT_TO_OTHERS);
        }
        lanes
    }

    /// The lanes that only wanted slots: one that was given back is claimed at once, without asking first which lanes have work.
    pub(super) fn take_short(&self) -> Vec<String> {
        std::mem::take(&mut *self.short.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// These lanes only want slots.
    pub(super) fn set_short(&self, lanes: Vec<String>) {
        *self.short.lock().unwrap_or_else(PoisonError::into_inner) = lanes;
    }

    fn of(&self, lane: &str) -> Arc<Semaphore> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Semaphore::new(MOST_OF_A_LANE));
        lanes.entry(lane.to_owned()).or_insert_with(new).clone()
    }

    /// How many jobs are called or recorded.
    pub(super) fn in_hand(&self) -> usize {
        MOST_IN_HAND.saturating_sub(self.all.available_permits())
    }

    /// How many jobs each of these lanes may be given.
    pub(super) fn wanted(&self, lanes: Vec<String>, ended: &mut HashMap<String, Vec<Slot>>) -> Vec<Wanted> {
        let left = self.all.available_permits();
        let each = (left / lanes.len().max(1)).clamp(1, MOST_PER_CLAIM);
        let wanted = lanes.into_iter().take(left).map(|lane| Wanted {
            most: each.min(self.of(&lane).available_permits()),
            ended: ended.remove(&lane).unwrap_or_default(),
            lane,
        });
        wanted.filter(|wanted| wanted.most > 0).collect()
    }

    /// Only one task takes permits, and it claims no more than there are.
    pub(super) async fn take(&self, lane: &str) -> Option<Permits> {
        let all = self.all.clone().acquire_owned().await.ok()?;
        Some([all, self.of(lane).acquire_owned().await.ok()?])
    }
}

/// A job's place among all in hand, and among its lane's.
pub(super) type Permits = [OwnedSemaphorePermit; 2];

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn slot(lane: &str) -> Slot {
        Slot {
            lane: lane.to_owned(),
            place: 1,
            token: Uuid::now_v7(),
        }
    }

    /// Whether so many slots that were left are worth a claim, with so many calls in hand.
    async fn is_worth_it(in_hand: usize, left: usize) -> bool {
        let room = Room::new();
        room.set_short(vec!["lane 1".to_owned()]);
        let mut permits = Vec::new();
        for call in 0..in_hand {
            permits.push(room.take(&format!("lane {}", call % 64)).await.unwrap());
        }
        (0..left).for_each(|_| room.leave(slot("lane 1")));
        room.is_claim_worth_it()
    }

    #[tokio::test]
    async fn a_quarter_of_a_crowd_is_worth_a_claim_and_a_few_are_not() {
        assert!(!is_worth_it(3, 3).await);
        assert!(is_worth_it(4, 4).await);
        assert!(!is_worth_it(400, 99).await);
        assert!(is_worth_it(400, 100).await);
    }

    #[test]
    fn slots_that_nobody_wants_are_worth_nothing_and_each_is_offered_once() {
        let room = Room::new();
        for lane in ["a", "b", "a", "a"].into_iter().chain(["many"; 16]) {
            room.leave(slot(lane));
        }
        assert!(!room.is_claim_worth_it());
        room.set_short(vec!["a".to_owned()]);
        assert!(room.is_claim_worth_it());
        let mut ended = room.take_ended();
        let wanted = room.wanted(["a", "c", "many"].map(str::to_owned).into(), &mut ended);
        let offered: Vec<_> = wanted.iter().map(|one| (one.lane.as_str(), one.ended.len())).collect();
        assert_eq!(offered, [("a", 3), ("c", 0), ("many", 14)]);
        assert!(room.take_ended().is_empty() && !room.is_claim_worth_it());
    }
}
