//! Connections that are cut, late, silent; a topology that is late.

use std::time::Duration;

use bus::frontend::Message;
use bus::{Bus, BusError, BusSettings, Queue, topology};
use lapin::options::ExchangeDeleteOptions;
use secrecy::SecretString;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::proxy::Proxy;
use crate::publishing::echo;
use crate::stand::{LIMIT, Stand, send_numbers, take, wait_for, within};

/// Connections that are broken, and messages acknowledged one by one meanwhile.
const ROUNDS: usize = 20;
const EACH: usize = 300;

#[tokio::test]
async fn a_cut_connection_is_rebuilt() {
    let stand = Stand::new().await;
    let proxy = Proxy::start(true).await;
    let bus = Bus::start(stand.through(proxy.address), CancellationToken::new());
    within(bus.wait_ready()).await;
    let frontend = stand.frontend().await;
    let mut session = bus.session(Queue::IntakeFacts, 10).await;
    send_numbers(&frontend, "payment.accepted", 0..1).await;
    let batch = within(session.next_batch(10, Duration::ZERO)).await.unwrap();
    proxy.set_open(false);
    assert_eq!(within(session.next_batch(10, Duration::ZERO)).await, None);
    assert!(session.ack_all(&batch).await.is_err());
    wait_for(async || !bus.ready()).await;
    proxy.set_open(true);
    within(bus.wait_ready()).await;
    let mut session = within(bus.session(Queue::IntakeFacts, 10)).await;
    assert_eq!(take(&mut session, 1).await, ["0"]);
    session.close().await;
    echo(&bus, Queue::IntakeFacts);
    frontend
        .tell(&Message::new("payment.revoke", "{}"), LIMIT)
        .await
        .unwrap();
    bus.publish_event("payee.up", uuid::Uuid::now_v7(), b"{}".to_vec(), None)
        .await
        .unwrap();
}

#[tokio::test]
async fn a_connection_lost_in_the_middle_of_an_answer_does_not_silence_the_next_ones() {
    let stand = Stand::new().await;
    let proxy = Proxy::start(true).await;
    let bus = Bus::start(stand.through(proxy.address), CancellationToken::new());
    within(bus.wait_ready()).await;
    let frontend = stand.frontend().await;
    echo(&bus, Queue::CardsQuestions);
    // The first answer to a node of the broker, on a connection of its own: its loss could be the node's fault.
    proxy.cut_at(b"card.reserve.reply");
    let question = Message::new("card.reserve", "{}");
    let mut asked = 0;
    wait_for(async || {
        asked += 1;
        Box::pin(frontend.ask(&question, Duration::from_secs(1))).await.is_ok()
    })
    .await;
    assert!(asked > 1, "the first answer was cut");
}

/// What a broker says that is short of memory, and that it has some again.
const BLOCKED: &[u8] = b"\x01\0\0\0\0\0\x08\0\x0a\0\x3c\x03low\xce";
const UNBLOCKED: &[u8] = b"\x01\0\0\0\0\0\x04\0\x0a\0\x3d\xce";

#[tokio::test]
async fn events_are_refused_while_the_broker_does_not_read() {
    let stand = Stand::new().await;
    bus::peek::keep_events(&stand.settings).await.unwrap();
    let proxy = Proxy::start(true).await;
    let bus = Bus::start(stand.through(proxy.address), CancellationToken::new());
    within(bus.wait_ready()).await;
    let publish = || bus.publish_event("payee.up", uuid::Uuid::now_v7(), b"{}".to_vec(), None);
    proxy.say(BLOCKED.to_vec());
    wait_for(async || bus.blocked()).await;
    for _ in 0..100 {
        let refused = publish().await;
        assert!(matches!(refused, Err(BusError::Blocked)), "{refused:?}");
    }
    assert!(bus.ready(), "and it is not for a new connection to mend");
    proxy.say(UNBLOCKED.to_vec());
    wait_for(async || !bus.blocked()).await;
    publish().await.unwrap();
    let kept = bus::peek::contents(&stand.settings).await.unwrap();
    let events = kept.iter().filter(|kept| kept.queue.ends_with("kept-events")).count();
    assert_eq!(events, 1, "nothing that was refused goes out later");
    bus::peek::forget_events(&stand.settings).await.unwrap();
}

/// Many times, for it takes an acknowledgement in the moment between the end and its being known.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_acknowledges_while_the_connection_breaks_is_told_that_it_ended() {
    let stand = Stand::new().await;
    let frontend = stand.frontend().await;
    for _ in 0..ROUNDS {
        // A new one each time: one that is cut again and again waits longer and longer.
        let proxy = Proxy::start(true).await;
        let bus = Bus::start(stand.through(proxy.address), CancellationToken::new());
        within(bus.wait_ready()).await;
        send_numbers(&frontend, "payment.accepted", 0..EACH).await;
        let mut session = within(bus.session(Queue::IntakeFacts, 512)).await;
        let first = within(session.next_batch(1, Duration::ZERO)).await.unwrap();
        let acknowledging = tokio::spawn(async move {
            session.ack_all(&first).await?;
            while let Some(batch) = session.next_batch(1, Duration::ZERO).await {
                session.ack_all(&batch).await?;
            }
            Ok::<_, bus::SessionEnded>(())
        });
        proxy.set_open(false);
        // How it ends is its own affair.
        let _ = within(acknowledging).await.unwrap();
    }
}

#[tokio::test]
async fn a_broker_that_comes_late_is_waited_for() {
    let stand = Stand::bare();
    let proxy = Proxy::start(false).await;
    let bus = Bus::start(stand.through(proxy.address), CancellationToken::new());
    let session = tokio::spawn({
        let bus = bus.clone();
        async move { bus.session(Queue::CardsFacts, 10).await }
    });
    assert!(!bus.ready());
    proxy.set_open(true);
    within(bus.wait_ready()).await;
    let mut session = within(session).await.unwrap();
    send_numbers(&stand.frontend().await, "card.sell", 0..1).await;
    assert_eq!(take(&mut session, 1).await, ["0"]);
}

#[tokio::test]
async fn a_missing_topology_keeps_readiness_red_until_it_is_applied() {
    let stand = Stand::bare();
    let settings = BusSettings {
        apply_topology: false,
        ..stand.settings.clone()
    };
    let bus = Bus::start(settings, CancellationToken::new());
    // The publishing side is up; what is missing is the topology.
    let event = async || {
        bus.publish_event("stock.low", uuid::Uuid::now_v7(), Vec::new(), None)
            .await
    };
    wait_for(async || !matches!(event().await, Err(BusError::NotConnected))).await;
    assert!(!bus.ready());
    topology::apply(&stand.settings).await.unwrap();
    within(bus.wait_ready()).await;
}

#[tokio::test]
async fn many_processes_may_start_at_once_on_an_empty_broker() {
    let stand = Stand::bare();
    let all: Vec<_> = (0..4).map(|_| stand.start()).collect();
    for bus in &all {
        within(bus.wait_ready()).await;
    }
    assert!(topology::check(&stand.settings).await.unwrap().in_order());
}

#[tokio::test]
async fn a_topology_deleted_while_disconnected_is_restored() {
    let stand = Stand::new().await;
    let proxy = Proxy::start(true).await;
    let settings = BusSettings {
        apply_topology: false,
        ..stand.through(proxy.address)
    };
    let bus = Bus::start(settings, CancellationToken::new());
    within(bus.wait_ready()).await;
    proxy.set_open(false);
    wait_for(async || !bus.ready()).await;
    topology::delete(&stand.settings).await.unwrap();
    proxy.set_open(true);
    within(bus.wait_ready()).await;
    assert!(topology::check(&stand.settings).await.unwrap().in_order());
}

#[tokio::test]
async fn an_exchange_deleted_by_somebody_comes_back() {
    let stand = Stand::new().await;
    let bus = stand.ready().await;
    let broker = stand.broker().await;
    let (events, terminal) = (stand.name("events"), stand.name("terminal"));
    for exchange in [&events, &terminal] {
        broker
            .channel
            .exchange_delete(exchange.as_str().into(), ExchangeDeleteOptions::default())
            .await
            .unwrap();
    }
    // The relay publishes again until it is confirmed.
    let event = async || {
        bus.publish_event("stock.low", uuid::Uuid::now_v7(), Vec::new(), None)
            .await
    };
    assert!(event().await.is_err());
    wait_for(async || event().await.is_ok()).await;
    wait_for(async || topology::check(&stand.settings).await.unwrap().in_order()).await;
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let stand = Stand::bare();
    let url = SecretString::from(format!("amqp://127.0.0.1:{port}/?connection_timeout=2000"));
    let outcome = within(topology::greet(&BusSettings {
        url,
        ..stand.settings.clone()
    }))
    .await;
    assert!(matches!(outcome, Err(BusError::TimedOut(_))), "{outcome:?}");
    // The socket was closed too: no thread waits behind it.
    let (mut accepted, _) = within(silent.accept()).await.unwrap();
    let mut heard = Vec::new();
    within(tokio::io::AsyncReadExt::read_to_end(&mut accepted, &mut heard))
        .await
        .unwrap();
    assert!(heard.starts_with(b"AMQP"));
}

#[tokio::test]
async fn a_wrong_password_is_an_error_and_not_a_wait() {
    let stand = Stand::bare();
    let mut url = url::Url::parse(&crate::stand::broker_url()).unwrap();
    url.set_password(Some("wrong")).unwrap();
    let url = SecretString::from(url.to_string());
    let error = within(topology::greet(&BusSettings {
        url,
        ..stand.settings.clone()
    }))
    .await
    .unwrap_err();
    assert!(matches!(error, BusError::Protocol(_)), "{error:?}");
}
