//! What a front-end can do with a client of its own making. None of it may end a connection of ours.

use std::time::Duration;

use bus::Queue;
use bus::frontend::Message;

use crate::publishing::echo;
use crate::raw::{FRAME_MAX, HEADERS, REPLY_TO, Raw, long, short};
use crate::stand::{LIMIT, Stand, within};

#[tokio::test]
async fn names_that_are_not_utf8_and_headers_without_end_are_borne() {
    let stand = Stand::new().await;
    let bus = stand.ready().await;
    let mut raw = Raw::connect().await;
    let exchange = stand.name("terminal");
    raw.publish(exchange.as_bytes(), b"payment.\xff\xfe", 0, b"", b"first")
        .await;
    let broken = [
        long(&[short(b"k\xff"), b"S".to_vec(), long(b"\xff")].concat()),
        short(b"\xd0"),
    ]
    .concat();
    raw.publish(
        exchange.as_bytes(),
        b"payment.accepted",
        HEADERS | REPLY_TO,
        &broken,
        b"second",
    )
    .await;
    let nested = (0..9000).fold(Vec::new(), |inner, _| {
        [short(b"k"), b"F".to_vec(), long(&inner)].concat()
    });
    raw.publish(
        exchange.as_bytes(),
        b"payment.accepted",
        HEADERS,
        &long(&nested),
        b"third",
    )
    .await;

    let mut parked = bus.session(Queue::Unrouted, 10).await;
    let batch = within(parked.next_batch(10, Duration::ZERO)).await.unwrap();
    assert_eq!(
        (batch[0].routing_key.as_str(), batch[0].body.as_slice()),
        ("payment.??", &b"first"[..])
    );
    let mut facts = bus.session(Queue::IntakeFacts, 10).await;
    let mut batch = Vec::new();
    while batch.len() < 2 {
        batch.extend(within(facts.next_batch(10, Duration::ZERO)).await.unwrap());
    }
    assert_eq!(
        (batch[0].body.as_slice(), batch[0].reply_to.as_deref()),
        (&b"second"[..], Some("?"))
    );
    assert_eq!(batch[1].body, b"third");
    assert!(batch.iter().all(|delivery| delivery.delivery_count == 0));
    facts.ack_all(&batch).await.unwrap();
    assert!(bus.ready());
}

#[tokio::test]
async fn headers_that_fill_a_frame_are_dropped_and_their_message_is_not() {
    let stand = Stand::new().await;
    let bus = stand.ready().await;
    let mut raw = Raw::connect().await;
    let exchange = stand.name("terminal");
    // The broker takes a payload as large as a whole frame may be.
    let around = 14 + long(b"").len() + short(b"k").len() + 1 + long(b"").len() + short(b"address").len();
    let value = vec![b'?'; FRAME_MAX - around];
    let properties = [
        long(&[short(b"k"), b"S".to_vec(), long(&value)].concat()),
        short(b"address"),
    ]
    .concat();
    assert_eq!(14 + properties.len(), FRAME_MAX);
    raw.publish(
        exchange.as_bytes(),
        b"payment.accepted",
        HEADERS | REPLY_TO,
        &properties,
        b"large",
    )
    .await;
    raw.publish(exchange.as_bytes(), b"payment.accepted", 0, b"", b"next")
        .await;

    // Given back twice: what the broker says about that is not dropped.
    for deliveries_before in 0..3 {
        let mut facts = bus.session(Queue::IntakeFacts, 10).await;
        let mut batch = Vec::new();
        while batch.len() < 2 {
            batch.extend(
                within(facts.next_batch(10, Duration::ZERO))
                    .await
                    .expect("a live session"),
            );
        }
        batch.sort_by(|a, b| a.body.cmp(&b.body));
        assert_eq!(
            (batch[0].body.as_slice(), batch[0].reply_to.as_deref()),
            (&b"large"[..], Some("address"))
        );
        assert_eq!(batch[1].body, b"next");
        assert!(
            batch
                .iter()
                .all(|delivery| delivery.delivery_count == deliveries_before)
        );
        facts.close().await;
    }
    assert!(bus.ready());
}

#[tokio::test]
async fn forged_reply_addresses_cost_nothing_but_their_own_answers() {
    let stand = Stand::new().await;
    let (bus, frontend) = (stand.ready().await, stand.frontend().await);
    echo(&bus, Queue::CardsQuestions);
    frontend.ask(&Message::new("card.reserve", "{}"), LIMIT).await.unwrap();
    let mut raw = Raw::connect().await;
    let exchange = stand.name("terminal");
    // Two of these end the connection that publishes to them, on RabbitMQ 3.10.
    for forged in [
        "amq.rabbitmq.reply-to.g1h2AA.bbb",
        "amq.rabbitmq.reply-to.g1h2AA1yZXBseUA5OTk5OTk5AAAEjwAAAABrBFRo.uMzPFCc8fMiuYafKa5ROJA==",
        "amq.rabbitmq.reply-to.",
    ] {
        raw.publish(
            exchange.as_bytes(),
            b"card.reserve",
            REPLY_TO,
            &short(forged.as_bytes()),
            b"{}",
        )
        .await;
    }
    for _ in 0..20 {
        frontend.ask(&Message::new("card.reserve", "{}"), LIMIT).await.unwrap();
        bus.publish_event("stock.low", uuid::Uuid::now_v7(), Vec::new(), None)
            .await
            .unwrap();
    }
    assert!(bus.ready());
}
