//! Sessions: batches, acknowledgements, and every way a session can end.

use std::time::Duration;

use bus::frontend::Message;
use bus::{Queue, SessionEnded, Tags};
use lapin::BasicProperties;
use lapin::options::QueueDeleteOptions;

use crate::stand::{Stand, send_numbers, take, wait_for, within};

#[tokio::test]
async fn a_batch_is_taken_in_order_and_acknowledged_at_once() {
    let stand = Stand::new().await;
    let (bus, frontend) = (stand.ready().await, stand.frontend().await);
    send_numbers(&frontend, "payment.accepted", 0..600).await;
    let mut session = bus.session(Queue::IntakeFacts, 512).await;
    let expected: Vec<_> = (0..600).map(|number| number.to_string()).collect();
    assert_eq!(take(&mut session, 600).await, expected);
    session.close().await;
    let broker = stand.broker().await;
    wait_for(async || broker.depth(&stand.queue(Queue::IntakeFacts)).await == 0).await;
}

#[tokio::test]
async fn a_batch_is_never_larger_than_wanted_and_never_waits_for_more() {
    let stand = Stand::new().await;
    let (bus, frontend) = (stand.ready().await, stand.frontend().await);
    send_numbers(&frontend, "card.sell", 0..7).await;
    let mut session = bus.session(Queue::CardsFacts, 100).await;
    let mut sizes = Vec::new();
    while sizes.iter().sum::<usize>() < 7 {
        let batch = within(session.next_batch(3, Duration::ZERO)).await.unwrap();
        session.ack_all(Tags::of(&batch)).await.unwrap();
        sizes.push(batch.len());
    }
    assert!(sizes.iter().all(|&size| size <= 3), "{sizes:?}");
    let waiting = tokio::time::timeout(Duration::from_millis(50), session.next_batch(3, Duration::from_secs(9))).await;
    assert!(waiting.is_err(), "nothing is there");
    // Interrupting that lost nothing.
    send_numbers(&frontend, "card.sell", 7..8).await;
    assert_eq!(take(&mut session, 1).await, ["7"]);
}

#[tokio::test]
async fn what_was_not_acknowledged_comes_again_and_is_counted() {
    let stand = Stand::new().await;
    let (bus, frontend) = (stand.ready().await, stand.frontend().await);
    send_numbers(&frontend, "payment.accepted", 0..4).await;
    for count in 0..3 {
        let mut session = bus.session(Queue::IntakeFacts, 10).await;
        let mut batch = Vec::new();
        while batch.len() < 4 {
            batch.extend(within(session.next_batch(10, Duration::ZERO)).await.unwrap());
        }
        assert!(
            batch
                .iter()
                .all(|delivery| delivery.delivery_count == count && delivery.redelivered == (count > 0))
        );
        if count == 1 {
            session.close().await;
        }
    }
}

#[tokio::test]
async fn part_of_a_batch_can_be_acknowledged() {
    let stand = Stand::new().await;
    let (bus, frontend) = (stand.ready().await, stand.frontend().await);
    send_numbers(&frontend, "payment.accepted", 0..4).await;
    let mut session = bus.session(Queue::IntakeFacts, 10).await;
    let mut batch = Vec::new();
    while batch.len() < 4 {
        batch.extend(within(session.next_batch(10, Duration::ZERO)).await.unwrap());
    }
    let odd: Vec<_> = batch
        .iter()
        .filter(|delivery| delivery.body == b"1" || delivery.body == b"3")
        .cloned()
        .collect();
    session.ack_all(&odd).await.unwrap();
    session.close().await;
    let mut session = bus.session(Queue::IntakeFacts, 10).await;
    assert_eq!(take(&mut session, 2).await, ["0", "2"]);
    assert_eq!(
        session.ack_all(&batch).await,
        Err(SessionEnded),
        "tags of another session"
    );
}

#[tokio::test]
async fn a_queue_deleted_under_its_consumer_comes_back() {
    let stand = Stand::new().await;
    let (bus, frontend) = (stand.ready().await, stand.frontend().await);
    let mut session = bus.session(Queue::IntakeFacts, 10).await;
    let broker = stand.broker().await;
    let queue = stand.queue(Queue::IntakeFacts);
    broker
        .channel
        .queue_delete(queue.as_str().into(), QueueDeleteOptions::default())
        .await
        .unwrap();
    assert_eq!(within(session.next_batch(10, Duration::ZERO)).await, None);
    assert_eq!(within(session.next_batch(10, Duration::ZERO)).await, None);
    let mut session = within(bus.session(Queue::IntakeFacts, 10)).await;
    send_numbers(&frontend, "payment.revoke", 0..1).await;
    assert_eq!(take(&mut session, 1).await, ["0"]);
    assert!(bus::topology::check(&stand.settings).await.unwrap().in_order());
}

#[tokio::test]
async fn an_unroutable_message_is_parked_whole() {
    let stand = Stand::new().await;
    let (bus, frontend) = (stand.ready().await, stand.frontend().await);
    frontend.send(&Message::new("payment.acepted", "money")).await.unwrap();
    let mut session = bus.session(Queue::Unrouted, 10).await;
    let batch = within(session.next_batch(10, Duration::ZERO)).await.unwrap();
    assert_eq!(batch[0].body, b"money");
    assert_eq!(
        (batch[0].routing_key.as_str(), &batch[0].exchange),
        ("payment.acepted", &stand.name("terminal"))
    );
    assert_eq!((batch[0].version, &batch[0].death), (Some(1), &None));
}

#[tokio::test]
async fn a_fact_that_expires_is_parked_and_not_lost() {
    let stand = Stand::new().await;
    let (bus, frontend) = (stand.ready().await, stand.frontend().await);
    let mut session = bus.session(Queue::Parked, 10).await;
    // A key that nobody knows may be that of a fact.
    for (key, queue) in [("card.sell", Queue::CardsFacts), ("card.sel", Queue::Unrouted)] {
        let expiring = Message::new(key, "money").expiring(1_700_000_000, Duration::from_millis(1));
        frontend.send(&expiring).await.unwrap();
        let batch = within(session.next_batch(10, Duration::ZERO)).await.unwrap();
        let death = batch[0].death.as_ref().unwrap();
        assert_eq!((death.reason.as_str(), death.routing_key.as_str()), ("expired", key));
        assert_eq!(
            (&death.queue, &batch[0].routing_key),
            (&stand.queue(queue), &key.to_owned())
        );
        assert_eq!(batch[0].expiration_ms, None);
    }
}

#[tokio::test]
async fn a_hold_that_ran_out_comes_to_the_expiry_queue() {
    let stand = Stand::new().await;
    let bus = stand.ready().await;
    // The shortest hold is 15 s; an expiration of the message's own makes it shorter for once.
    let broker = stand.broker().await;
    let properties = BasicProperties::default().with_expiration("1".into());
    broker
        .publish(
            "",
            &stand.queue(Queue::CardsExpiryWait(15)),
            properties,
            b"reservations",
        )
        .await;
    let mut session = bus.session(Queue::CardsExpiry, 10).await;
    let batch = within(session.next_batch(10, Duration::ZERO)).await.unwrap();
    assert_eq!(batch[0].body, b"reservations");
}

#[tokio::test]
async fn probes_of_a_check_never_reach_a_worker() {
    let stand = Stand::new().await;
    let (bus, frontend) = (stand.ready().await, stand.frontend().await);
    assert!(bus::topology::check(&stand.settings).await.unwrap().in_order());
    let mut session = bus.session(Queue::IntakeFacts, 10).await;
    send_numbers(&frontend, "payment.accepted", 0..1).await;
    assert_eq!(take(&mut session, 1).await, ["0"]);
}
