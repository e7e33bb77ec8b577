//! What is measured of deliveries.

use testkit::payee::{Payee, Verb};
use testkit::wait_for;
use unigate::workers::Worker;

use crate::fixtures::{internet_provider, new_id, online_payment};
use crate::world::{PATIENCE, World};

#[tokio::test]
async fn deliveries_are_measured_from_acceptance_to_the_payees_word() {
    let payee = Payee::start().await.unwrap();
    let world = World::start(&[Worker::Intake, Worker::Unikassa]).await;
    world.payee(&internet_provider(&payee.url(), "")).await;
    let id = new_id();
    assert_eq!(
        world.tell("payment.accepted", &online_payment(&id)).await["outcome"],
        "accepted"
    );
    world.reaches(&id, "delivered").await;
    assert_eq!(payee.requests_of(Verb::Pay).len(), 1);
    let expected = [
        r#"messaging_process_duration_seconds_count{destination="intake.facts",outcome="done"}"#,
        r#"unigate_attempts_total{payee="isp",act="pay",ending="accepted",code="200"}"#,
        r#"unigate_delivery_seconds_count{gateway="unikassa"}"#,
        r#"unigate_deliveries_due_seconds{gateway="unikassa"}"#,
        r#"unigate_deliveries_open{gateway="unikassa"}"#,
    ];
    wait_for("all to be measured", PATIENCE, async || {
        let told = runtime::telemetry::render_metrics();
        expected.iter().all(|one| told.contains(one)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_gateway_stands_by_its_oldest_due_payment_and_its_open_calls() {
    let world = World::start(&[]).await;
    world.payee(&internet_provider("http://127.0.0.1:9/unikassa", "")).await;
    let standing = async |gateway: &str| {
        let told = store::deliveries::standing(world.store(), gateway).await.unwrap();
        (told.due_seconds, told.open)
    };
    assert_eq!(standing("unikassa").await, (0.0, 0));
    crate::deliveries_acts::stuck(&world, "isp", 1, 3, "waiting", "HTTP 500").await;
    world
        .sql(
            "UPDATE payment SET next_act = 'pay', due_at = clock_timestamp() + interval '1 hour'
                    - CASE number WHEN 1 THEN interval '2 hours' ELSE interval '0' END",
        )
        .await;
    world
        .sql(
            "INSERT INTO attempt (attempt_id, payment_id, ordinal, act, lane_id, slot, worker, lease_until)
             SELECT gen_random_uuid(), payment_id, 1, 'pay', 'isp', 1, 'test', now() FROM payment WHERE number = 2",
        )
        .await;
    let (due_seconds, open) = standing("unikassa").await;
    assert!(
        (3600.0..3600.0 + PATIENCE.as_secs_f64()).contains(&due_seconds),
        "{due_seconds}"
    );
    assert_eq!(open, 1);
    assert_eq!(standing("databases").await, (0.0, 0));
    world.sql("UPDATE lane SET paused = true").await;
    assert_eq!(standing("unikassa").await, (0.0, 1));
}
