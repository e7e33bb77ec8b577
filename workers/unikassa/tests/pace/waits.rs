//! A payee that is busy and says for how long: it is left alone, and is not down.

use std::time::Duration;

use store::Store;
use store::lanes::{self, Asked, Asking, Breaker, Said};
use testkit::stand::Stand;

use super::probes::{opened, probes_now};
use super::{NOBODY, back, due_in, end_calls, many};
use crate::{CALLS, PROBE, claimed, declare, declare_with, note, sql, value};

/// A payment is put off for ten minutes, with all others.
async fn put_off(store: &Store) -> Option<Breaker> {
    let mut said = Said::new("isp", PROBE);
    said.busy(Duration::from_secs(600));
    said.put_off(Asking::Payment, Some("HTTP 429"));
    let tx = store.begin().await.unwrap();
    let noted = lanes::note(&tx, &[said]).await.unwrap();
    tx.commit().await.unwrap();
    noted.first().and_then(|noted| noted.breaker)
}

/// As if the ten minutes had passed.
async fn waited(store: &Store) {
    sql(store, "UPDATE lane SET wait_until = now()").await;
}

#[tokio::test]
async fn a_payee_that_is_busy_is_left_alone_and_is_not_down() {
    let stand = Stand::new().await;
    let store = stand.store();
    declare(&store, "isp", NOBODY, 8).await;
    many(&store, "isp", 1, 20, "accepted", "now()").await;
    assert_eq!(claimed(&store, "isp").await.len(), 8);
    for _ in 0..8 {
        assert_eq!(put_off(&store).await, None, "all of them were told the same");
    }
    end_calls(&store).await;
    assert_eq!(value(&store, "SELECT failures || ' ' || unpaid FROM lane").await, "1 1");
    assert!(claimed(&store, "isp").await.is_empty());
    let due = due_in(&store, "isp").await.unwrap();
    assert!(due > Duration::from_secs(590), "nobody looks before: {due:?}");
    let asked = lanes::take_for_question(&store, "isp", &CALLS).await.unwrap();
    assert!(matches!(asked, Asked::Closed), "{asked:?}");
    waited(&store).await;
    assert_eq!(claimed(&store, "isp").await.len(), 8);
    // What may be another payee's word is forgotten.
    put_off(&store).await;
    end_calls(&store).await;
    declare_with(&store, "isp", NOBODY, 8, serde_json::json!({"timeout_seconds": 3})).await;
    assert_eq!(claimed(&store, "isp").await.len(), 4);
}

#[tokio::test]
async fn a_payee_that_puts_off_every_payment_is_down_in_the_end_and_is_left_alone_all_the_same() {
    let stand = Stand::new().await;
    let store = stand.store();
    declare(&store, "isp", NOBODY, 4).await;
    many(&store, "isp", 1, 10, "waiting", "now() + interval '3 hours'").await;
    for _ in 0..4 {
        assert_eq!(put_off(&store).await, None);
        waited(&store).await;
        // It answers questions: that says nothing of payments.
        assert_eq!(back(&store, "isp").await, None);
    }
    assert_eq!(put_off(&store).await, Some(Breaker::Opened));
    assert!(probes_now(&store).await.is_empty(), "it asked to be left alone");
    waited(&store).await;
    assert_eq!(probes_now(&store).await.len(), 1);
    end_calls(&store).await;
    // So does the trial, and is no news.
    assert_eq!(back(&store, "isp").await, None);
    assert_eq!(claimed(&store, "isp").await, [1]);
    assert_eq!(put_off(&store).await, None);
    end_calls(&store).await;
    assert!(probes_now(&store).await.is_empty());
    waited(&store).await;
    assert_eq!(probes_now(&store).await.len(), 1);
    end_calls(&store).await;
    assert_eq!(back(&store, "isp").await, None);
    assert_eq!(claimed(&store, "isp").await, [2]);
    assert_eq!(note(&store, "isp", true).await, Some(Breaker::Closed));
    // A probe that is put off while the payee is to be left alone already is no sign of life.
    opened(&store).await;
    for _ in 0..2 {
        assert_eq!(put_off(&store).await, None);
    }
    assert_eq!(value(&store, "SELECT breaker FROM lane").await, "open");
}
