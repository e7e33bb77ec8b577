//! Facts about payments, a batch at a time.
//!
//! Acceptances are stored together, revocations one by one. A payment revoked earlier in the same batch is stored after
//! its revocation, so arrival order holds; everything else is accepted first, so that locks are always taken in the
//! same order (identities, then the ledger, then single payments).

use std::collections::HashSet;

use bus::Queue;
use contract::event::Events;
use contract::message::{PaymentAccepted, PaymentRevoke};
use contract::{Message, RoutingKey};
use domain::declaration::Gateway;
use runtime::batch::{BatchWorker, Item};
use runtime::{Effect, Handled, Nudge, Outcome, emit};
use store::declarations::Declarations;
use store::payments::Numbers;
use store::{StoreError, Tx};

use crate::{accept, revoke};

/// `payment.accepted` and `payment.revoke`.
#[derive(Debug, Default)]
pub(crate) struct Facts {
    numbers: Numbers,
}

impl BatchWorker for Facts {
    const NAME: &'static str = "intake.facts";
    const QUEUE: Queue = Queue::IntakeFacts;
    const FACTS: &'static [RoutingKey] = &[RoutingKey::PaymentAccepted, RoutingKey::PaymentRevoke];

    async fn handle(&self, tx: &Tx, declarations: &Declarations, batch: &[&Item]) -> Result<Handled, StoreError> {
        let mut work = Work::new(domain::clock::now(), declarations, &self.numbers, batch.len());
        let order = Order::of(batch);
        work.accept(tx, &order.accept_first).await?;
        for (place, message) in &order.revoke {
            work.revoke(tx, *place, message, batch[*place].traceparent.as_deref())
                .await?;
        }
        work.accept(tx, &order.accept_after_revocation).await?;
        emit(tx, work.events, None).await?;
        Ok(Handled {
            outcomes: work.outcomes,
            effects: work.effects.into_effects(),
        })
    }
}

/// An acceptance with its place in the batch.
pub(crate) struct Arrived<'a> {
    pub(crate) place: usize,
    pub(crate) item: &'a Item,
    pub(crate) message: &'a PaymentAccepted,
}

/// The batch in the order it is handled.
struct Order<'a> {
    accept_first: Vec<Arrived<'a>>,
    revoke: Vec<(usize, &'a PaymentRevoke)>,
    accept_after_revocation: Vec<Arrived<'a>>,
}

impl<'a> Order<'a> {
    fn of(batch: &[&'a Item]) -> Self {
        let mut order = Self {
            accept_first: Vec::new(),
            revoke: Vec::new(),
            accept_after_revocation: Vec::new(),
        };
        let mut revoked = HashSet::new();
        for (place, &item) in batch.iter().enumerate() {
            match &item.message {
                Message::PaymentAccepted(message) => {
                    let arrived = Arrived { place, item, message };
                    if revoked.contains(&message.payment_id) {
                        order.accept_after_revocation.push(arrived);
                    } else {
                        order.accept_first.push(arrived);
                    }
                }
                Message::PaymentRevoke(message) => {
                    revoked.insert(message.payment_id);
                    order.revoke.push((place, message));
                }
                // The topology binds no other key to this queue; an outcome is still owed and `Silent` is it.
                _ => {}
            }
        }
        // Locked in the order of their ids, as identities are, so two batches do not wait for each other in a circle; those
        // of one payment stay in the order they came in.
        order.revoke.sort_by_key(|(_, message)| message.payment_id);
        order
    }
}

/// What a batch has come to so far.
pub(crate) struct Work<'a> {
    pub(crate) now: jiff::Timestamp,
    pub(crate) declarations: &'a Declarations,
    pub(crate) numbers: &'a Numbers,
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) events: Events,
    effects: Wakes,
}

/// One wake-up per kind of worker and batch, however many payments it holds.
#[derive(Default)]
pub(crate) struct Wakes {
    unikassa: bool,
    databases: bool,
    registers: bool,
}

impl Wakes {
    fn into_effects(self) -> Vec<Effect> {
        let mut effects = Vec::new();
        if self.unikassa {
            effects.extend([Effect::Wake(Queue::UnikassaWake), Effect::Nudge(Nudge::Payments)]);
        }
        if self.databases {
            effects.extend([Effect::Wake(Queue::DatabasesWake), Effect::Nudge(Nudge::Entries)]);
        }
        if self.registers {
            effects.push(Effect::Nudge(Nudge::Registers));
        }
        effects
    }
}

impl<'a> Work<'a> {
    fn new(now: jiff::Timestamp, declarations: &'a Declarations, numbers: &'a Numbers, size: usize) -> Self {
        Self {
            now,
            declarations,
            numbers,
            outcomes: std::iter::repeat_with(|| Outcome::Silent).take(size).collect(),
            events: Events::new(now),
            effects: Wakes::default(),
        }
    }

    async fn accept(&mut self, tx: &Tx, arrived: &[Arrived<'_>]) -> Result<(), StoreError> {
        if arrived.is_empty() {
            Ok(())
        } else {
            accept::accept(self, tx, arrived).await
        }
    }

    async fn revoke(
        &mut self,
        tx: &Tx,
        place: usize,
        message: &PaymentRevoke,
        traceparent: Option<&str>,
    ) -> Result<(), StoreError> {
        tracing::debug!(payment_id = %message.payment_id, traceparent, "revocation");
        self.outcomes[place] = revoke::revoke(self, tx, message, traceparent).await?;
        Ok(())
    }

    /// Somebody has to deliver what was stored.
    pub(crate) fn wake(&mut self, gateway: Gateway) {
        match gateway {
            Gateway::Registers => self.effects.registers = true,
            Gateway::Unikassa => self.effects.unikassa = true,
            Gateway::Databases => self.effects.databases = true,
        }
    }
}
