//! One transaction over some messages: admit, handle, settle what was refused, commit; then send.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use contract::{Reason, Refusal, RoutingKey};
use store::declarations::Declarations;
use store::{StoreError, Tx, parked};

use crate::batch::{BatchWorker, Item};
use crate::incoming::{Incoming, may_speak};
use crate::outcome::{Effect, Outcome, Reply};
use crate::{Context, Nudge, checkpoint, parking};

/// Why a message that met a bug of ours is parked.
pub(crate) const INTERNAL_ERROR: &str = "internal_error";
/// What is said of one whose worker panicked.
pub(crate) const PANICKED: &str = "its worker panicked at it, and says why in its log";

/// A worker with the process it runs in.
pub(crate) struct Transactor<W> {
    pub(crate) context: Context,
    pub(crate) worker: W,
    /// Batches for which repetitions are still looked for, after one was met.
    wary: AtomicUsize,
}

/// So many batches after a repetition the next ones are looked at for more: who repeats one message repeats others.
const WARY: usize = 32;

/// What a committed transaction leaves to be sent: an answer (or none) per message, and the effects.
pub(crate) struct Concluded {
    pub(crate) answers: Vec<Option<Reply>>,
    pub(crate) effects: Vec<Effect>,
}

impl<W: BatchWorker> Transactor<W> {
    pub(crate) fn new(context: Context, worker: W) -> Self {
        Self {
            context,
            worker,
            wary: AtomicUsize::new(0),
        }
    }

    /// Handles messages in one transaction and commits it; once more if it decided by declarations that have changed, or took
    /// a repeated message for a new one.
    pub(crate) async fn commit(&self, messages: &[Incoming]) -> Result<Concluded, StoreError> {
        match self.try_commit(messages).await {
            Err(StoreError::Outdated) => {
                self.context.declarations.forget();
                self.try_commit(messages).await
            }
            Err(StoreError::Repeated) => {
                self.wary.store(WARY, Ordering::Relaxed);
                self.try_commit(messages).await
            }
            done => done,
        }
    }

    async fn try_commit(&self, messages: &[Incoming]) -> Result<Concluded, StoreError> {
        let mut tx = self.context.store.begin().await?;
        let one_less = |batches: usize| batches.checked_sub(1);
        if self
            .wary
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less)
            .is_err()
        {
            tx = tx.expecting_new();
        }
        let (outcomes, effects) = self.run(&tx, messages).await?;
        let mut answers = Vec::with_capacity(messages.len());
        for (message, outcome) in messages.iter().zip(outcomes) {
            answers.push(match outcome {
                Outcome::Answered(answer) => Some(answer),
                Outcome::Silent => None,
                Outcome::Refused(refusal) => Some(self.refuse(&tx, message, refusal).await?),
            });
        }
        checkpoint(W::NAME, "before_commit");
        tx.commit().await?;
        checkpoint(W::NAME, "after_commit");
        Ok(Concluded { answers, effects })
    }

    /// Parks a message that meets a bug of ours whatever is done, but the money is kept in sight.
    pub(crate) async fn park_guilty(&self, message: &Incoming, why: &str) -> Result<Concluded, StoreError> {
        let tx = self.context.store.begin().await?;
        if message.may_carry_money() {
            parking::park(&tx, message, INTERNAL_ERROR, why, false).await?;
        }
        tx.commit().await?;
        // No answer: it is not final, and a fact is safe with us.
        Ok(Concluded {
            answers: vec![None],
            effects: Vec::new(),
        })
    }

    /// Lets the worker handle what may be handled; the rest has its outcome already.
    pub(crate) async fn run(&self, tx: &Tx, messages: &[Incoming]) -> Result<(Vec<Outcome>, Vec<Effect>), StoreError> {
        let declarations = self.context.declarations.assumed(tx).await?;
        let mut outcomes: Vec<_> = messages
            .iter()
            .map(|message| self.admit(&declarations, message))
            .collect();
        refuse_settled(tx, messages, &mut outcomes).await?;
        let places: Vec<usize> = (0..messages.len()).filter(|&place| outcomes[place].is_none()).collect();
        let admitted: Vec<&Item> = places
            .iter()
            .filter_map(|&place| messages[place].content.as_ref().ok())
            .collect();
        let mut effects = Vec::new();
        if !admitted.is_empty() {
            let handled = self.worker.handle(tx, &declarations, &admitted).await?;
            if handled.outcomes.len() != admitted.len() {
                return Err(StoreError::Unreadable(format!("{}: an outcome is missing", W::NAME)));
            }
            for (&place, outcome) in places.iter().zip(handled.outcomes) {
                outcomes[place] = Some(outcome);
            }
            // The worker counts places among the admitted.
            effects = handled
                .effects
                .into_iter()
                .map(|effect| moved_to(effect, &places))
                .collect();
        }
        Ok((
            outcomes
                .into_iter()
                .map(|outcome| outcome.unwrap_or(Outcome::Silent))
                .collect(),
            effects,
        ))
    }

    fn admit(&self, declarations: &Declarations, message: &Incoming) -> Option<Outcome> {
        if message.is_dropped_by(W::NAME) {
            return Some(Outcome::Silent);
        }
        let item = match &message.content {
            Ok(item) => item,
            Err(refusal) => return Some(refusal.clone().into()),
        };
        let open = self.context.settings.terminals_open;
        if let Err(refusal) = may_speak(declarations, open, item.message.terminal(), message.sender()) {
            return Some(refusal.into());
        }
        let settled = declarations.settled.contains(message.subject(), &message.content_hash);
        settled.then(|| Refusal::new(Reason::SettledByOperator, "an operator has settled it by hand").into())
    }

    /// The answer to a refused message. A fact is parked first, or found parked and settled since.
    async fn refuse(&self, tx: &Tx, message: &Incoming, refusal: Refusal) -> Result<Reply, StoreError> {
        if !message.may_carry_money() {
            return Ok(Reply::refused(&refusal));
        }
        parking::settle_refused(tx, message, refusal).await
    }

    /// Sends what follows from a committed transaction. None of it is awaited from the broker.
    pub(crate) async fn send(&self, messages: &[Incoming], concluded: Concluded) {
        let bus = &self.context.bus;
        let mut handled: HashMap<&str, u64> = HashMap::new();
        for (message, answer) in messages.iter().zip(&concluded.answers) {
            *handled
                .entry(answer.as_ref().map_or("none", Reply::outcome))
                .or_default() += 1;
            if let Some(answer) = answer {
                bus.answer(&message.delivery, answer.body().to_vec());
            }
        }
        for (outcome, count) in handled {
            metrics::counter!("unigate_messages_total", "worker" => W::NAME, "outcome" => outcome.to_owned())
                .increment(count);
        }
        for effect in concluded.effects {
            match effect {
                Effect::Wake(queue) => bus.wake(queue, Vec::new()),
                Effect::Delay(queue, body) => bus.wake(queue, body),
                Effect::Forward(queue, place) => self.context.forward(queue, messages[place].delivery.clone()),
                Effect::Nudge(nudge) => self.context.nudge(nudge),
            }
        }
        self.context.nudge(Nudge::Events);
    }
}

/// A reservation whose sale was settled by hand is neither made nor sold any more.
async fn refuse_settled(tx: &Tx, messages: &[Incoming], outcomes: &mut [Option<Outcome>]) -> Result<(), StoreError> {
    let concerned = |message: &Incoming| {
        let named = matches!(message.key, Some(RoutingKey::CardReserve | RoutingKey::CardSell));
        message.reservation_id.filter(|_| named).map(|id| id.as_uuid())
    };
    let ids: Vec<_> = messages.iter().filter_map(concerned).collect();
    if ids.is_empty() {
        return Ok(());
    }
    let settled = parked::settled_reservations(tx, &ids).await?;
    for (message, outcome) in messages.iter().zip(outcomes) {
        if outcome.is_none() && concerned(message).is_some_and(|id| settled.contains(&id)) {
            let why = "reservation_id: an operator has settled its sale by hand";
            *outcome = Some(Refusal::new(Reason::SettledByOperator, why).into());
        }
    }
    Ok(())
}

fn moved_to(effect: Effect, places: &[usize]) -> Effect {
    match effect {
        Effect::Forward(queue, place) => Effect::Forward(queue, places[place]),
        other => other,
    }
}
