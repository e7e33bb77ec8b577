//! What contradicts how a payment ended, again and again: each time after an operator has looked is a time of its own.

use domain::delivery::operator::Settlement;
use domain::ids::PaymentId;
use domain::payment::PaymentState;
use store::Store;
use store::deliveries::{self, AttemptEnd, Next, Settle, Settled, Written};
use store::lanes::{self, Ask};
use store::reconciliation;
use testkit::stand::Stand;

use crate::{CALLS, declare, payment, sql, value};

const DENIES: &str = "payee_denies";

fn id() -> PaymentId {
    PaymentId::parse("00000000-0000-0000-0000-000000000001").unwrap()
}

/// The payee is asked about payment 1, which was delivered, and knows nothing of it.
async fn denied(store: &Store) {
    sql(
        store,
        "UPDATE payment SET state = 'waiting', next_act = 'status', due_at = now()",
    )
    .await;
    let asks = [Ask {
        lane: "isp",
        most: 1,
        calls: CALLS,
        ended: &[],
    }];
    let claimed = deliveries::claim(store, &asks, "test").await.unwrap().calls;
    let tx = store.begin().await.unwrap();
    let locked = deliveries::lock(&tx, &[claimed[0].attempt_id]).await.unwrap();
    let written = Written {
        locked: &locked[0],
        end: AttemptEnd {
            ending: "answered",
            ..AttemptEnd::default()
        },
        next: Some(Next {
            state: PaymentState::Delivered,
            next: None,
            step: 0,
            maybes: 0,
            not_found: 0,
            error: None,
            flags: vec!["echoed_number_differs", DENIES],
            provider_reference: None,
        }),
    };
    deliveries::apply(&tx, &[written]).await.unwrap();
    lanes::give_back(&tx, &[(&locked[0].slot, None)]).await.unwrap();
    tx.commit().await.unwrap();
}

/// Its list does not have it: how many payments were marked.
async fn missing(store: &Store) -> u64 {
    let tx = store.begin().await.unwrap();
    let marked = reconciliation::flag(&tx, &[id()], DENIES).await.unwrap();
    tx.commit().await.unwrap();
    marked
}

/// An operator says that it stands.
async fn confirm(store: &Store) {
    let tx = store.begin().await.unwrap();
    let settle = Settle {
        payment_id: id(),
        to: Settlement::Delivered,
        reason: "their letter",
        provider_reference: None,
    };
    let settled = deliveries::settle(&tx, &settle).await.unwrap();
    assert!(matches!(settled, Settled::Confirmed(..)), "{settled:?}");
    tx.commit().await.unwrap();
    assert!(deliveries::in_trouble(store).await.unwrap().is_empty());
}

#[tokio::test]
async fn what_contradicts_a_settlement_once_more_is_flagged_once_more() {
    const NUMBER: &str = "echoed_number_differs";
    const SETTLED: &str = "settled_by_operator";
    let stand = Stand::new().await;
    let store = stand.store();
    declare(&store, "isp", "http://127.0.0.1:9", 4).await;
    payment(&store, "isp", 1, "delivered", "NULL", "NULL").await;
    let flags = async |expected: &[&str]| {
        let found = value(&store, "SELECT array_to_string(flags, ' ') FROM payment").await;
        assert_eq!(found, expected.join(" "));
        let questions = deliveries::in_trouble(&store).await.unwrap();
        assert_eq!(questions.iter().map(|one| one.count).sum::<i64>(), 1, "{questions:?}");
    };
    for _ in 0..2 {
        denied(&store).await;
        flags(&[NUMBER, DENIES]).await;
    }
    assert_eq!(missing(&store).await, 0, "it is said already");
    confirm(&store).await;
    for _ in 0..2 {
        denied(&store).await;
        flags(&[SETTLED, NUMBER, DENIES]).await;
    }
    confirm(&store).await;
    assert_eq!(missing(&store).await, 1);
    flags(&[NUMBER, SETTLED, DENIES]).await;
    assert_eq!(missing(&store).await, 0);
}
