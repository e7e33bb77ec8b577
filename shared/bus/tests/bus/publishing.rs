//! Answers, wake-ups, forwarded questions, events.

use std::time::Duration;

use bus::frontend::Message;
use bus::{Bus, BusError, Delivery, Queue};
use futures::StreamExt;
use lapin::BasicProperties;
use lapin::options::{BasicConsumeOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::stand::{LIMIT, Stand, take, wait_for, within};

/// Answers everything that comes to a queue with the body it came with.
pub(crate) fn echo(bus: &Bus, queue: Queue) -> tokio::task::JoinHandle<()> {
    let bus = bus.clone();
    tokio::spawn(async move {
        loop {
            let mut session = bus.session(queue, 256).await;
            while let Some(batch) = session.next_batch(256, Duration::ZERO).await {
                batch
                    .iter()
                    .for_each(|delivery| bus.answer(delivery, delivery.body.clone()));
                if session.ack_all(&batch).await.is_err() {
                    break;
                }
            }
        }
    })
}

#[tokio::test]
async fn a_question_is_answered_by_direct_reply() {
    let stand = Stand::new().await;
    let (bus, frontend) = (stand.ready().await, stand.frontend().await);
    echo(&bus, Queue::CardsQuestions);
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let mut question = Message::new("card.reserve", "{}");
    question.traceparent = Some(trace.into());
    let answer = frontend.ask(&question, LIMIT).await.unwrap();
    assert_eq!(answer.kind.as_deref(), Some("card.reserve.reply"));
    assert_eq!((answer.version, answer.traceparent.as_deref()), (Some(1), Some(trace)));
    let envelope = answer.envelope.json();
    assert_eq!(envelope["content_type"], "application/json");
    assert_eq!(envelope["delivery_mode"], 1);
}

#[tokio::test]
async fn every_delivery_gets_its_own_answer() {
    let stand = Stand::new().await;
    let (bus, frontend) = (stand.ready().await, stand.frontend().await);
    echo(&bus, Queue::IntakeFacts);
    let facts: Vec<_> = (0..500)
        .map(|number| Message::new("payment.accepted", number.to_string()))
        .collect();
    let answers = futures::future::try_join_all(facts.iter().map(|fact| frontend.tell(fact, LIMIT)))
        .await
        .unwrap();
    for (number, answer) in answers.iter().enumerate() {
        assert_eq!(answer.body, number.to_string().as_bytes());
    }
}

#[tokio::test]
async fn a_queue_of_the_front_end_is_answered_and_foreign_ones_are_not() {
    let stand = Stand::new().await;
    let bus = stand.ready().await;
    echo(&bus, Queue::CardsQuestions);
    let broker = stand.broker().await;
    let own = stand.name("reply.kiosk");
    let foreign = stand.name("kiosk");
    for queue in [&own, &foreign] {
        let options = QueueDeclareOptions {
            exclusive: true,
            ..QueueDeclareOptions::default()
        };
        broker
            .channel
            .queue_declare(queue.as_str().into(), options, FieldTable::default())
            .await
            .unwrap();
    }
    for reply_to in [&foreign, &own] {
        let properties = BasicProperties::default()
            .with_reply_to(reply_to.as_str().into())
            .with_correlation_id("c-1".into());
        broker
            .publish(&stand.name("terminal"), "card.reprint", properties, b"{}")
            .await;
    }
    let options = BasicConsumeOptions {
        no_ack: true,
        ..BasicConsumeOptions::default()
    };
    let mut answers = broker
        .channel
        .basic_consume(own.as_str().into(), "".into(), options, FieldTable::default())
        .await
        .unwrap();
    let answer = within(answers.next()).await.unwrap().unwrap();
    assert_eq!(answer.properties.correlation_id().as_ref().unwrap().as_str(), "c-1");
    // The foreign one was first and the answers go in order.
    assert_eq!(broker.depth(&foreign).await, 0);
}

#[tokio::test]
async fn an_answer_to_nobody_does_no_harm() {
    let stand = Stand::new().await;
    let (bus, frontend) = (stand.ready().await, stand.frontend().await);
    echo(&bus, Queue::CardsQuestions);
    let gone = stand.frontend().await;
    let _ = gone.ask(&Message::new("card.reprint", "{}"), Duration::ZERO).await;
    gone.close().await;
    let broker = stand.broker().await;
    let vanished = BasicProperties::default().with_reply_to(stand.name("reply.vanished").as_str().into());
    broker
        .publish(&stand.name("terminal"), "card.reprint", vanished, b"{}")
        .await;
    frontend.ask(&Message::new("card.reserve", "{}"), LIMIT).await.unwrap();
    assert!(bus.ready());
}

#[tokio::test]
async fn a_forwarded_question_keeps_everything_that_matters() {
    let stand = Stand::new().await;
    let (bus, frontend) = (stand.ready().await, stand.frontend().await);
    let now = domain_now();
    let mut question = Message::new("payment.check", "{}").expiring(now, Duration::from_secs(60));
    question.user_id = Some("guest".into());
    let asking = tokio::spawn(async move { frontend.ask(&question, LIMIT).await });
    let mut intake = bus.session(Queue::IntakeQuestions, 10).await;
    let mut gateway = bus.session(Queue::UnikassaQuestions, 10).await;
    let batch = within(intake.next_batch(10, Duration::ZERO)).await.unwrap();
    let question = Delivery {
        declared: Some(7),
        ..batch[0].clone()
    };
    bus.forward(Queue::UnikassaQuestions, question);
    intake.ack_all(&batch).await.unwrap();
    let forwarded = within(gateway.next_batch(10, Duration::ZERO)).await.unwrap().remove(0);
    assert_eq!(
        (forwarded.routing_key.as_str(), forwarded.user_id.as_deref()),
        ("payment.check", Some("guest"))
    );
    assert_eq!(
        (forwarded.timestamp, forwarded.expiration_ms, forwarded.declared),
        (Some(now), Some(60_000), Some(7))
    );
    bus.answer(&forwarded, b"{\"outcome\":\"payable\"}".to_vec());
    let answer = within(asking).await.unwrap().unwrap();
    assert_eq!(answer.kind.as_deref(), Some("payment.check.reply"));
}

fn domain_now() -> u64 {
    u64::try_from(domain::clock::now().as_second()).unwrap()
}

#[tokio::test]
async fn wake_ups_arrive_and_never_pile_up() {
    let stand = Stand::new().await;
    let bus = stand.ready().await;
    bus.wake(Queue::RegistersWake, b"payee".to_vec());
    let mut session = bus.session(Queue::RegistersWake, 10).await;
    assert_eq!(take(&mut session, 1).await, ["payee"]);
    session.close().await;
    for _ in 0..1500 {
        bus.wake(Queue::RegistersWake, Vec::new());
    }
    bus.wake(Queue::MailerWake, b"last".to_vec());
    let mut last = bus.session(Queue::MailerWake, 10).await;
    assert_eq!(take(&mut last, 1).await, ["last"]);
    let broker = stand.broker().await;
    wait_for(async || broker.depth(&stand.queue(Queue::RegistersWake)).await == 1000).await;
}

#[tokio::test]
async fn events_are_confirmed_many_at_once() {
    let stand = Stand::new().await;
    let (bus, frontend) = (stand.ready().await, stand.frontend().await);
    let mut listener = frontend.listen("payment.*").await.unwrap();
    let ids: Vec<_> = (0..64).map(|_| Uuid::now_v7()).collect();
    let published = ids
        .iter()
        .map(|id| bus.publish_event("payment.accepted", *id, b"{}".to_vec(), None));
    futures::future::try_join_all(published).await.unwrap();
    for id in &ids {
        let event = within(listener.next()).await.unwrap();
        assert_eq!(event.message_id, Some(id.to_string()));
        assert_eq!(
            (event.kind.as_deref(), event.routing_key.as_str()),
            (Some("payment.accepted"), "payment.accepted")
        );
    }
    // Nobody listens to this kind; an event is not mandatory.
    bus.publish_event("stock.low", Uuid::now_v7(), b"{}".to_vec(), None)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_listener_that_is_full_takes_no_connection_down() {
    let stand = Stand::new().await;
    let (bus, frontend) = (stand.ready().await, stand.frontend().await);
    echo(&bus, Queue::CardsQuestions);
    bus::peek::refuse_events(&stand.settings, "payee.up").await.unwrap();
    let publish = || bus.publish_event("payee.up", Uuid::now_v7(), b"{}".to_vec(), None);
    publish().await.unwrap();
    // One after the other: a line that was given up would say that it is not connected.
    for _ in 0..20 {
        let refused = publish().await;
        assert!(matches!(refused, Err(BusError::Refused)), "{refused:?}");
        assert!(bus.ready());
        frontend.ask(&Message::new("card.reserve", "{}"), LIMIT).await.unwrap();
    }
    bus::peek::take_events_again(&stand.settings).await.unwrap();
    publish().await.unwrap();
}

#[tokio::test]
async fn without_a_broker_nothing_waits_and_events_say_so() {
    let settings = Stand::bare();
    let nowhere = settings.through(std::net::SocketAddr::from(([127, 0, 0, 1], 9)));
    let bus = Bus::start(nowhere, CancellationToken::new());
    bus.wake(Queue::CardsWake, Vec::new());
    let outcome = bus.publish_event("stock.low", Uuid::now_v7(), Vec::new(), None).await;
    assert!(matches!(outcome, Err(BusError::NotConnected)), "{outcome:?}");
    assert!(!bus.ready());
    within(bus.close()).await;
}

#[tokio::test]
async fn closing_sends_what_is_queued() {
    let stand = Stand::new().await;
    let bus = stand.ready().await;
    // All of them are queued: nothing is sent before this test waits for something. And few enough to be out within two
    // seconds on any machine.
    for _ in 0..100 {
        bus.wake(Queue::CardsWake, b"hint".to_vec());
    }
    within(bus.close()).await;
    assert!(!bus.ready());
    let broker = stand.broker().await;
    wait_for(async || broker.depth(&stand.queue(Queue::CardsWake)).await == 100).await;
}
