//! Messages taken without a transaction: a panic over one of them ends no more than its session.

use std::sync::atomic::{AtomicUsize, Ordering};

use bus::{Delivery, Queue, Tags};
use tokio::sync::mpsc;

use crate::world::{PATIENCE, World, end};

#[tokio::test]
async fn a_panic_over_a_message_ends_its_session_alone_and_the_message_comes_again() {
    let world = World::start(&[]).await;
    let (seen, mut comes) = mpsc::unbounded_channel();
    let (context, panics) = (world.context.clone(), AtomicUsize::new(0));
    let taking = tokio::spawn(async move {
        let each = |batch: Vec<Delivery>| {
            // Over the first one twice: neither the first session nor the second is the last.
            assert!(panics.fetch_add(1, Ordering::Relaxed) >= 2, "a test has a worker panic");
            for delivery in &batch {
                seen.send(delivery.body.clone()).unwrap();
            }
            std::future::ready(Some(Tags::of(&batch)))
        };
        runtime::consume(&context, Queue::UnikassaWake, 1, each).await;
    });
    for word in ["one", "two"] {
        world.context.bus.wake(Queue::UnikassaWake, word.into());
        let taken = tokio::time::timeout(PATIENCE, comes.recv()).await;
        let taken = taken.unwrap_or_else(|_| panic!("{word} never came"));
        assert_eq!(taken.as_deref(), Some(word.as_bytes()));
    }
    end(&world.context).await;
    taking.await.expect("it ends when the process does");
}
