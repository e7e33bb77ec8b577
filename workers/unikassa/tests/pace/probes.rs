//! What a payee that is down is asked about, and which payment is tried: no number of which it cannot speak, and none that it
//! cannot take, keeps it down for all the others.

use store::Store;
use store::lanes::{Breaker, Probe};
use testkit::stand::Stand;

use super::{NOBODY, back, claim_probes, end_calls, many};
use crate::{claimed, declare, note, sql, value};

/// The breaker opens.
pub(super) async fn opened(store: &Store) {
    for _ in 0..5 {
        note(store, "isp", false).await;
    }
    assert_eq!(value(store, "SELECT breaker FROM lane").await, "open");
}

/// The probes that are due, now.
pub(super) async fn probes_now(store: &Store) -> Vec<Probe> {
    sql(store, "UPDATE lane SET probe_at = now()").await;
    claim_probes(store, &|_| None).await
}

/// The number the next probe asks about; it ends at once.
async fn probed(store: &Store) -> Option<i64> {
    let probes = probes_now(store).await;
    assert_eq!(probes.len(), 1);
    end_calls(store).await;
    probes[0].number
}

#[tokio::test]
async fn one_payment_is_tried_before_all_that_waits_goes_out() {
    let stand = Stand::new().await;
    let store = stand.store();
    declare(&store, "isp", NOBODY, 4).await;
    many(&store, "isp", 1, 10, "waiting", "now() + interval '3 hours'").await;
    opened(&store).await;
    probed(&store).await;
    assert_eq!(back(&store, "isp").await, None, "it has not been paid yet");
    assert_eq!(claimed(&store, "isp").await, [1]);
    assert!(claimed(&store, "isp").await.is_empty(), "one at a time");
    // It was not paid: the outage goes on, and is told once; the next probe is later than the first would be.
    assert_eq!(note(&store, "isp", false).await, None);
    let row = &sql(
        &store,
        "SELECT breaker, probe_at > now() + interval '55 seconds', recovered_to, opened_at IS NOT NULL FROM lane",
    )
    .await[0];
    let row: Vec<Option<&str>> = row.iter().map(Option::as_deref).collect();
    assert_eq!(row, [Some("open"), Some("t"), Some("1"), Some("t")]);
    end_calls(&store).await;
    assert_eq!(back(&store, "isp").await, None);
    assert_eq!(claimed(&store, "isp").await, [2]);
    assert_eq!(note(&store, "isp", true).await, Some(Breaker::Closed));
    end_calls(&store).await;
    assert_eq!(claimed(&store, "isp").await, [3, 4, 5, 6]);
    // With nothing to pay there is nothing to try.
    opened(&store).await;
    sql(
        &store,
        "UPDATE payment SET state = 'revoked', next_act = NULL, due_at = NULL",
    )
    .await;
    assert_eq!(back(&store, "isp").await, Some(Breaker::Closed));
}

#[tokio::test]
async fn a_probe_is_one_of_the_calls_at_a_time_and_waits_until_one_has_ended() {
    let stand = Stand::new().await;
    let store = stand.store();
    declare(&store, "isp", NOBODY, 2).await;
    many(&store, "isp", 1, 5, "accepted", "now()").await;
    assert_eq!(claimed(&store, "isp").await, [1, 2], "both hang");
    opened(&store).await;
    sql(
        &store,
        "UPDATE lane_slot SET lease_until = now() + interval '7 seconds' WHERE slot = 2",
    )
    .await;
    assert!(probes_now(&store).await.is_empty());
    let put_off = "SELECT probe_count || ' ' || (probe_at = (SELECT min(lease_until) FROM lane_slot)) FROM lane";
    assert_eq!(value(&store, put_off).await, "0 true");
    sql(&store, "UPDATE lane_slot SET lease_until = '-infinity' WHERE slot = 2").await;
    let probes = probes_now(&store).await;
    assert_eq!((probes.len(), probes[0].slot.place), (1, 2));
    let busy = "SELECT count(*) FROM lane_slot WHERE lease_until > now() + interval '30 seconds'";
    assert_eq!(value(&store, busy).await, "2", "for as long as its call can last");
    assert!(
        probes_now(&store).await.is_empty(),
        "one that hangs counts like any call"
    );
}

#[tokio::test]
async fn probes_ask_about_one_waiting_number_after_the_other() {
    let stand = Stand::new().await;
    let store = stand.store();
    declare(&store, "isp", NOBODY, 4).await;
    opened(&store).await;
    assert_eq!(probed(&store).await, None, "nothing waits");
    sql(&store, "UPDATE lane SET probe_count = 0").await;
    // One that nobody can tell us anything about, and one that came after it and waits to be paid.
    many(&store, "isp", 1, 1, "unknown", "now() - interval '1 hour'").await;
    sql(&store, "UPDATE payment SET next_act = 'status'").await;
    many(&store, "isp", 2, 1, "accepted", "now()").await;
    let mut asked = Vec::new();
    for _ in 0..6 {
        asked.push(probed(&store).await);
    }
    // Neither is anything it need know of: in between, any sign of life will do.
    assert_eq!(asked, [Some(1), Some(2), Some(2), Some(2), None, Some(1)]);

    // Alone, it is asked about first; then any sign of life will do, and the payee is back.
    sql(
        &store,
        "DELETE FROM payment WHERE number = 2; UPDATE lane SET probe_count = 0",
    )
    .await;
    assert_eq!((probed(&store).await, probed(&store).await), (Some(1), None));
    assert_eq!(back(&store, "isp").await, Some(Breaker::Closed));
}

/// The one payment of the next trial, which gets no answer: it waits for another try and is due again, and the payee is down.
async fn tried_in_vain(store: &Store) -> Vec<i64> {
    assert_eq!(back(store, "isp").await, None, "it has not been paid yet");
    let tried = claimed(store, "isp").await;
    sql(
        store,
        "UPDATE payment SET state = 'waiting', next_act = 'pay', due_at = accepted_at WHERE due_at IS NULL;
         UPDATE attempt SET ending = 'maybe', ended_at = now() WHERE ending = 'open'",
    )
    .await;
    assert_eq!(note(store, "isp", false).await, None);
    end_calls(store).await;
    tried
}

#[tokio::test]
async fn a_trial_passes_over_what_failed_the_last_one() {
    let stand = Stand::new().await;
    let store = stand.store();
    declare(&store, "isp", NOBODY, 4).await;
    // The payee never answers one of them; as far as anybody can tell beforehand, it might be any.
    many(&store, "isp", 1, 2, "waiting", "now() + interval '3 hours'").await;
    // Requeued by an operator, and accepted while the payee was down.
    many(&store, "isp", 3, 1, "unknown", "now() - interval '1 hour'").await;
    many(&store, "isp", 4, 1, "accepted", "now() - interval '1 minute'").await;
    opened(&store).await;
    let mut tried = Vec::new();
    for _ in 0..6 {
        tried.extend(tried_in_vain(&store).await);
    }
    assert_eq!(tried, [1, 2, 3, 4, 1, 2]);
    // Paid, the next one lets out all the others, also those that were tried before it.
    assert_eq!(back(&store, "isp").await, None);
    assert_eq!(claimed(&store, "isp").await, [3]);
    assert_eq!(note(&store, "isp", true).await, Some(Breaker::Closed));
    end_calls(&store).await;
    assert_eq!(claimed(&store, "isp").await, [1, 2, 4]);
}
