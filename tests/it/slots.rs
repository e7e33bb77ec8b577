//! Slots that are claimed again when their calls have ended, before that is recorded.

use domain::ids::AttemptId;
use futures::future::join_all;
use store::Store;
use store::acts::Which;
use store::deliveries::{self, Claims};
use store::lanes::{self, Ask, Slot};
use testkit::payee::{Behaviour, Verb};

use crate::deliveries_acts::{NOWHERE, act, failed_of, requeue, stuck, world};
use crate::deliveries_lanes::CALLS;
use crate::fixtures::{new_ids, online_payee, online_payment};
use crate::unikassa::{ONLINE, provider};
use crate::world::PATIENCE;

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
async fn a_crowd_never_has_more_calls_at_a_time_than_slots() {
    let (world, payee) = provider("concurrency = 8\ntimeout_seconds = 30").await;
    let second = world.another(&ONLINE, |_| {}).await;
    payee.always(Verb::Pay, Behaviour::Hold);
    let payments: Vec<_> = new_ids(96).iter().map(|id| online_payment(id)).collect();
    join_all(payments.iter().map(|payment| world.tell("payment.accepted", payment))).await;
    testkit::wait_for("all to be credited", PATIENCE, async || {
        payee.release();
        let delivered = world
            .value("SELECT count(*) FROM payment WHERE state = 'delivered'")
            .await;
        (delivered == "96").then_some(())
    })
    .await;
    assert_eq!(payee.most_at_once(), 8);
    assert!(payee.ledger().values().all(|entry| entry.credits == 1));
    assert_eq!(payee.requests().len(), 96);
    crate::world::end(&second).await;
}
