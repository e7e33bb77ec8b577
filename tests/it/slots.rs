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
    let ask = Ask {
        lane: "isp",
        most: 64,
        calls: CALLS,
        ended,
    };
    deliveries::claim(store, &[ask], "w").await.unwrap()
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
    let mut numbers: Vec<_> = claims.calls.iter().map(|call| call.due.number.get()).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 3]);
    let open = world.value("SELECT count(*) FROM attempt WHERE ending = 'open'").await;
    assert_eq!(open, "3", "its call is seen to be open");
}

#[tokio::test]
async fn a_crowd_never_has_more_calls_at_a_time_than_slots() {
    hold_to(8, 96).await;
}
