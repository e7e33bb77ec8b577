//! Attempts at a payment: until when there are any, and what is made anew for each.

use domain::PaymentId;
use store::acts::Which;
use testkit::payee::{Behaviour, Signature, Verb};
use unigate::workers::Worker;

use crate::deliveries_acts::{NOWHERE, act, requeue};
use crate::fixtures::{internet_provider, new_id, online_payment};
use crate::unikassa::{pay, provider};
use crate::world::World;

/// Does something with a payment, and holds that it is given up so many hours after that.
async fn given_up_after(world: &World, hours: u32, id: &str, doing: impl Future<Output = ()>) {
    let began = world.value("SELECT clock_timestamp()").await;
    doing.await;
    let given_up = format!(
        "SELECT give_up_at BETWEEN '{began}'::timestamptz + interval '{hours} hours'
                               AND clock_timestamp() + interval '{hours} hours'
         FROM payment WHERE payment_id = '{id}'"
    );
    assert_eq!(world.value(&given_up).await, "t", "{:?}", world.payment(id).await);
}

#[tokio::test]
async fn a_payment_is_given_up_so_many_hours_after_it_was_accepted_or_requeued() {
    let world = World::start(&[Worker::Intake]).await;
    world.payee(&internet_provider(NOWHERE, "give_up_hours = 5")).await;
    let id = new_id();
    given_up_after(&world, 5, &id, async {
        let answer = world.tell("payment.accepted", &online_payment(&id)).await;
        assert_eq!(answer["outcome"], "accepted", "{answer}");
    })
    .await;
    // As it is when its retries ran out; and its payee has another mind by now.
    world
        .sql("UPDATE payment SET state = 'failed', next_act = NULL, due_at = NULL, attempts = 1, give_up_at = now()")
        .await;
    world.payee(&internet_provider(NOWHERE, "give_up_hours = 7")).await;
    given_up_after(&world, 7, &id, async {
        let which = Which::Named {
            payments: &[PaymentId::parse(&id).unwrap()],
            certain: false,
        };
        assert_eq!(act(&world, &requeue("anna", which)).await.state, "done");
    })
    .await;
    assert_eq!(world.payment(&id).await.shown_state, "waiting");
}

/// What was signed long ago is refused by the payee, and a payment may wait for days.
#[tokio::test]
async fn every_attempt_is_signed_anew_under_the_same_id() {
    let (world, payee) = provider("").await;
    payee.script(Verb::Pay, [Behaviour::busy(2)]);
    let (id, number) = pay(&world).await;
    world.reaches(&id, "delivered").await;
    let pays = payee.requests_of(Verb::Pay);
    let said = |name: &str| {
        pays.iter()
            .map(|pay| pay.header(name).unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let same = format!("pay-{number}");
    assert_eq!(said("webhook-id"), [same.clone(), same]);
    assert!(pays.iter().all(|pay| pay.signature == Signature::Good), "{pays:?}");
    let signed_at: i64 = said("webhook-timestamp")[1].parse().unwrap();
    assert!(signed_at > pays[0].at.as_second(), "signed with the first: {signed_at}");
    let signatures = said("webhook-signature");
    assert_ne!(signatures[0], signatures[1]);
}
