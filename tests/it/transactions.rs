//! Transactions that send statements ahead: what fails on its way behind another one leaves nothing, and says so.

use store::declarations;
use store::events::{self, Event};
use store::{StoreError, Tx};
use testkit::stand::Stand;
use uuid::Uuid;

fn event(event_id: Uuid) -> Event {
    Event {
        event_id,
        kind: "payment.accepted".into(),
        body: "{}".into(),
        traceparent: None,
    }
}

async fn add(tx: &Tx, event_id: Uuid) {
    events::add(tx, &[event(event_id)]).await.unwrap();
}

#[tokio::test]
async fn a_statement_sent_with_the_commit_that_fails_leaves_nothing() {
    let stand = Stand::new().await;
    let (twice, beside) = (Uuid::new_v4(), Uuid::new_v4());
    let tx = stand.store().begin().await.unwrap();
    add(&tx, twice).await;
    add(&tx, beside).await;
    add(&tx, twice).await;
    let error = tx.commit().await.unwrap_err();
    assert!(matches!(error, StoreError::Data(_)), "{error}");
    assert_eq!(
        events::backlog(&stand.store()).await.unwrap().0,
        0,
        "nothing became true"
    );
}

#[tokio::test]
async fn what_was_left_for_later_is_seen_by_the_next_statement_and_kept_in_order() {
    let stand = Stand::new().await;
    let tx = stand.store().begin().await.unwrap();
    // More than go out in one flight.
    let ids: Vec<Uuid> = std::iter::repeat_with(Uuid::new_v4).take(40).collect();
    for id in &ids {
        add(&tx, *id).await;
    }
    let taken = events::take(&tx, 100).await.unwrap();
    assert_eq!(taken.iter().map(|event| event.event_id).collect::<Vec<_>>(), ids);
    tx.commit().await.unwrap();
    assert_eq!(events::backlog(&stand.store()).await.unwrap().0, 40);
}

#[tokio::test]
async fn who_decided_by_old_declarations_is_told_to_read_them_again() {
    let stand = Stand::new().await;
    let tx = stand.store().begin().await.unwrap();
    let generation = declarations::generation(&tx).await.unwrap();
    declarations::expect_generation(&tx, generation).await.unwrap();
    tx.commit().await.unwrap();

    let tx = stand.store().begin().await.unwrap();
    declarations::expect_generation(&tx, generation - 1).await.unwrap();
    add(&tx, Uuid::new_v4()).await;
    let error = tx.commit().await.unwrap_err();
    assert!(matches!(error, StoreError::Outdated) && error.is_retryable(), "{error}");
    assert_eq!(events::backlog(&stand.store()).await.unwrap().0, 0);
}
