//! Questions that need a call to somebody else: each handled by itself, many at once, acknowledged when taken.
//!
//! A question carries no money: one lost with a killed worker is asked again by its terminal.
//!
//! Where the worker that forwards a question and the one that answers it are in one process, the question stays there
//! ([`Here`]): a second way through the broker costs broker and processes more work. Either way it brings the generation of the
//! declarations it was forwarded by, which were current when it came: who has them in memory need not look again.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use bus::{Delivery, Queue, Tags};
use store::declarations::Declarations;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Context;
use crate::consume::consume;
use crate::incoming::{Incoming, Item};
use crate::outcome::Reply;

/// Questions in hand at once, per process. More wait in the queue, where they expire by themselves.
const AT_ONCE: usize = 1024;

/// Answers questions one by one, concurrently.
pub trait Answerer: Send + Sync + 'static {
    /// Names it in logs and metrics.
    const NAME: &'static str;
    /// Where its questions come from.
    const QUEUE: Queue;

    /// The answer, or None when nobody waits for one. `declared`: what was declared when the question came, where that is in
    /// memory; otherwise the answerer looks.
    fn answer(&self, item: &Item, declared: Option<Arc<Declarations>>) -> impl Future<Output = Option<Reply>> + Send;
}

/// Who answers in this process, by the queue he takes questions from.
#[derive(Clone, Default)]
pub(crate) struct Here(Arc<RwLock<HashMap<Queue, Hand>>>);

/// Takes a question if it has a hand free, or gives it back.
type Hand = Arc<dyn Fn(Delivery) -> Option<Delivery> + Send + Sync>;

impl Here {
    /// The question again, if nobody here took it.
    pub(crate) fn take(&self, queue: Queue, question: Delivery) -> Option<Delivery> {
        let hand = self
            .0
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&queue)
            .cloned();
        match hand {
            Some(hand) => hand(question),
            None => Some(question),
        }
    }

    fn open(&self, queue: Queue, hand: Hand) {
        self.0
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(queue, hand);
    }

    fn close(&self, queue: Queue) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(&queue);
    }
}

impl std::fmt::Debug for Here {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let hands = self.0.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_tuple("Here").field(&hands.keys()).finish()
    }
}

/// Starts answering until shutdown; questions in hand are answered still.
pub fn spawn<A: Answerer>(context: &Context, answerer: A) {
    let desk = Arc::new(Desk {
        context: context.clone(),
        answerer,
        permits: Arc::new(Semaphore::new(AT_ONCE)),
    });
    context.tasks.spawn(async move {
        let (here, mine) = (desk.context.here.clone(), desk.clone());
        here.open(A::QUEUE, Arc::new(move |question| mine.take_now(question)));
        desk.take_from_queue().await;
        here.close(A::QUEUE);
    });
}

/// One answerer with what it has in hand.
struct Desk<A> {
    context: Context,
    answerer: A,
    permits: Arc<Semaphore>,
}

impl<A: Answerer> Desk<A> {
    async fn take_from_queue(self: &Arc<Self>) {
        consume(&self.context, A::QUEUE, 32, |batch| self.take(batch)).await;
    }

    async fn take(self: &Arc<Self>, batch: Vec<Delivery>) -> Option<Tags> {
        let tags = Tags::of(&batch);
        for question in batch {
            // The semaphore is never closed.
            if let Ok(permit) = self.permits.clone().acquire_owned().await {
                self.answer(permit, question);
            }
        }
        Some(tags)
    }

    /// What finds all hands full goes through the broker, where another process may take it.
    fn take_now(self: &Arc<Self>, question: Delivery) -> Option<Delivery> {
        let Ok(permit) = self.permits.clone().try_acquire_owned() else {
            return Some(question);
        };
        self.answer(permit, question);
        None
    }

    fn answer(self: &Arc<Self>, permit: OwnedSemaphorePermit, question: Delivery) {
        let desk = self.clone();
        self.context.tasks.spawn(async move {
            let _permit = permit;
            let message = Incoming::parse(question);
            if message.is_dropped_by(A::NAME) {
                return;
            }
            let answer = match &message.content {
                Ok(item) => {
                    let declarations = &desk.context.declarations;
                    let declared = message
                        .delivery
                        .declared
                        .and_then(|generation| declarations.since(generation));
                    desk.answerer.answer(item, declared).await
                }
                Err(refusal) => Some(Reply::refused(refusal)),
            };
            let Some(answer) = answer else { return };
            metrics::counter!("unigate_messages_total", "worker" => A::NAME, "outcome" => answer.outcome().to_owned())
                .increment(1);
            desk.context.bus.answer(&message.delivery, answer.body().to_vec());
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By the broker goes what `take` leaves.
    #[test]
    fn a_question_is_taken_by_who_answers_here_while_he_has_a_hand_free() {
        let (here, permits) = (Here::default(), Arc::new(Semaphore::new(1)));
        let (queue, free) = (Queue::DatabasesQuestions, permits.clone());
        let taken_by = |queue| here.take(queue, Delivery::new("payment.check", "{}")).is_none();
        assert!(!taken_by(queue), "nobody answers here");
        here.open(
            queue,
            Arc::new(move |asked| {
                (asked.routing_key != "payment.check" || free.try_acquire().is_err()).then_some(asked)
            }),
        );
        assert!(taken_by(queue));
        assert!(!taken_by(Queue::UnikassaQuestions), "it is another gateway's");
        let taken = permits.try_acquire().unwrap();
        assert!(!taken_by(queue), "he has his hands full");
        drop(taken);
        here.close(queue);
        assert!(!taken_by(queue), "he has ended");
    }
}
