//! Slots that are claimed again when their calls have ended, before that is recorded.

use domain::ids::AttemptId;
use store::Store;
use store::acts::Which;
use store::deliveries::{self, Claims};
use store::lanes::{self, Ask, Slot};

use crate::deliveries_acts::{NOWHERE, act, failed_of, requeue, stuck, world};
use crate::deliveries_lanes::CALLS;
use crate::fixtures::online_payee;
use crate::unikassa::hold_to;

async fn claim(store: &Store, ended: &[Slot]) -> Claims {
    claim_of(store, &["isp"], ended).await
}

async fn claim_of(store: &Store, lanes: &[&str], ended: &[Slot]) -> Claims {
    let ask = |lane| Ask {
        lane,
        most: 64,
        calls: CALLS,
        ended,
    };
    let asks: Vec<_> = lanes.iter().copied().map(ask).collect();
    deliveries::claim(store, &asks, "w").await.unwrap()
}

fn numbers(claims: &Claims) -> Vec<i64> {
    let mut numbers: Vec<_> = claims.calls.iter().map(|call| call.due.number.get()).collect();
    numbers.sort_unstable();
    numbers
}

async fn give_back(store: &Store, slot: &Slot) {
    let tx = store.begin().await.unwrap();
    lanes::give_back(&tx, &[(slot, None)]).await.unwrap();
    tx.commit().await.unwrap();
}

#[tokio::test]
async fn a_slot_whose_call_has_ended_is_claimed_again_by_who_held_it() {
    let world = world().await;
    let store = world.store();
    world.payee(&online_payee("isp", NOWHERE, "concurrency = 2")).await;
    stuck(&world, "isp", 1, 5, "failed", "HTTP 503").await;
    act(&world, &requeue("anna", Which::Filter(&failed_of("isp")))).await;

    let first = claim(store, &[]).await;
    assert_eq!(
        (first.calls.len(), first.short.as_slice()),
        (2, &["isp".to_owned()][..])
    );
    let slots: Vec<Slot> = first.calls.iter().map(|call| call.slot.clone()).collect();
    let busy = claim(store, &[]).await;
    assert!(busy.calls.is_empty() && busy.short.is_empty(), "{busy:?}");
    let strangers = Slot {
        token: AttemptId::random().as_uuid(),
        ..slots[0].clone()
    };
    assert!(claim(store, &[strangers]).await.calls.is_empty());

    let second = claim(store, &slots[..1]).await;
    let [call] = &second.calls[..] else {
        panic!("{second:?}")
    };
    assert_eq!(call.slot.place, slots[0].place);
    assert!(
        claim(store, &slots[..1]).await.calls.is_empty(),
        "it is another call's now"
    );
    // The record of the first call comes late, and frees nothing of the second one.
    give_back(store, &slots[0]).await;
    assert!(claim(store, &[]).await.calls.is_empty());
    give_back(store, &call.slot).await;
    assert_eq!(claim(store, &[]).await.calls.len(), 1);
    let open = world.value("SELECT count(*) FROM attempt WHERE ending = 'open'").await;
    assert_eq!(open, "4");
}

#[tokio::test]
async fn a_payment_that_cannot_be_read_keeps_no_other_from_being_called() {
    let world = world().await;
    stuck(&world, "isp", 1, 3, "failed", "HTTP 503").await;
    act(&world, &requeue("anna", Which::Filter(&failed_of("isp")))).await;
    world.sql("UPDATE payment SET number = -1 WHERE number = 2").await;
    let claims = claim(world.store(), &[]).await;
    assert_eq!(numbers(&claims), [1, 3]);
    let open = world.value("SELECT count(*) FROM attempt WHERE ending = 'open'").await;
    assert_eq!(open, "3", "its call is seen to be open");
}

/// Of lanes in which something is noted with the claim: one is on trial, which gives one call, and the other just back.
#[tokio::test]
async fn a_payment_on_trial_that_cannot_be_read_is_passed_over_and_holds_up_no_other_lane() {
    let world = world().await;
    stuck(&world, "isp", 1, 3, "waiting", "HTTP 503").await;
    stuck(&world, "old", 11, 1, "waiting", "HTTP 503").await;
    world
        .sql(
            "UPDATE payment SET next_act = 'pay', due_at = now() + interval '1 hour';
             UPDATE payment SET next_act = 'status', due_at = now() WHERE number = 3;
             UPDATE payment SET number = -1 WHERE number = 1;
             UPDATE lane SET breaker = 'trial', recovered_to = -5 WHERE lane_id = 'isp';
             UPDATE lane SET recovered_to = 0 WHERE lane_id = 'old'",
        )
        .await;
    let first = claim_of(world.store(), &["isp", "old"], &[]).await;
    assert_eq!(numbers(&first), [11]);
    // Its slot is taken: there is none for the question about another one.
    let open = "SELECT count(*) FROM attempt WHERE ending = 'open' AND lane_id = 'isp'";
    assert_eq!(world.value(open).await, "1");
    world
        .sql(
            "UPDATE attempt SET ending = 'maybe', ended_at = now();
             UPDATE lane_slot SET lease_until = '-infinity', token = NULL",
        )
        .await;
    let second = claim_of(world.store(), &["isp", "old"], &[]).await;
    assert_eq!(numbers(&second), [2], "the next trial is another payment's");
}

#[tokio::test]
async fn a_crowd_never_has_more_calls_at_a_time_than_slots() {
    hold_to(8, 96).await;
}
