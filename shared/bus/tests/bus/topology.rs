//! Declaring and comparing.

use bus::{Queue, topology};
use lapin::options::{QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::{AMQPValue, FieldTable};

use crate::stand::Stand;

fn names(report: &topology::Report) -> Vec<&str> {
    report
        .differences
        .iter()
        .map(|difference| difference.name.as_str())
        .collect()
}

#[tokio::test]
async fn apply_is_safe_twice_and_at_once() {
    let stand = Stand::bare();
    let applied = futures::future::join_all((0..4).map(|_| topology::apply(&stand.settings))).await;
    for report in applied {
        let report = report.unwrap();
        assert!(report.in_order(), "{:?}", report.differences);
        assert!(report.broker.starts_with("RabbitMQ "), "{}", report.broker);
    }
    assert!(topology::apply(&stand.settings).await.unwrap().in_order());
    let report = topology::check(&stand.settings).await.unwrap();
    assert!(report.in_order(), "{:?}", report.differences);
    assert_eq!(report.items, 4 + 22 + 11);
}

#[tokio::test]
async fn check_finds_what_is_missing_and_declares_nothing() {
    let stand = Stand::bare();
    let report = topology::check(&stand.settings).await.unwrap();
    assert_eq!(report.differences.len(), 26);
    assert_eq!(topology::check(&stand.settings).await.unwrap(), report);
}

#[tokio::test]
async fn check_finds_changed_arguments() {
    let stand = Stand::new().await;
    let broker = stand.broker().await;
    let facts = stand.queue(Queue::IntakeFacts);
    broker
        .channel
        .queue_delete(facts.as_str().into(), QueueDeleteOptions::default())
        .await
        .unwrap();
    let mut arguments = FieldTable::default();
    arguments.insert("x-queue-type".into(), AMQPValue::LongString("quorum".into()));
    arguments.insert("x-delivery-limit".into(), AMQPValue::LongLongInt(7));
    let options = QueueDeclareOptions {
        durable: true,
        ..QueueDeclareOptions::default()
    };
    broker
        .channel
        .queue_declare(facts.as_str().into(), options, arguments)
        .await
        .unwrap();
    let report = topology::check(&stand.settings).await.unwrap();
    assert_eq!(names(&report), [facts.as_str()]);
    assert!(report.differences[0].what.contains("x-delivery-limit") || report.differences[0].what.contains("x-"));
    assert_eq!(
        names(&topology::apply(&stand.settings).await.unwrap()),
        [facts.as_str()]
    );
}

#[tokio::test]
async fn check_finds_missing_bindings_and_apply_restores_them() {
    let stand = Stand::new().await;
    let broker = stand.broker().await;
    let terminal = stand.name("terminal");
    for (queue, exchange, key) in [
        (stand.queue(Queue::CardsFacts), terminal.clone(), "card.sell"),
        (stand.queue(Queue::Parked), stand.name("dead"), ""),
        (stand.queue(Queue::Unrouted), stand.name("unroutable"), ""),
    ] {
        let (queue, exchange) = (queue.as_str().into(), exchange.as_str().into());
        broker
            .channel
            .queue_unbind(queue, exchange, key.into(), FieldTable::default())
            .await
            .unwrap();
    }
    let report = topology::check(&stand.settings).await.unwrap();
    let parked = format!("{} --> {}", stand.name("dead"), stand.queue(Queue::Parked));
    let sell = format!("{terminal} --card.sell--> {}", stand.queue(Queue::CardsFacts));
    let unrouted = format!("{} --> {}", stand.name("unroutable"), stand.queue(Queue::Unrouted));
    assert_eq!(names(&report), [unrouted.as_str(), parked.as_str(), sell.as_str()]);
    topology::apply(&stand.settings).await.unwrap();
    assert!(topology::check(&stand.settings).await.unwrap().in_order());
}
