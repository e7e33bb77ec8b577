//! What may have been credited is paid again by nobody who only overlooked it: what the payee has said since, calls that were made
//! since, and a declaration that changes at that moment.

use domain::payment::PaymentState;
use store::acts::Which;
use store::payments::Filter;

use crate::deliveries_acts::{act, begin, count, failed_of, finish, id, requeue, stuck, world};

#[tokio::test]
async fn what_the_payee_said_it_credited_after_a_settlement_is_paid_again_only_with_certainty() {
    let world = world().await;
    stuck(&world, "old", 1, 2, "refused", "settled by an operator").await;
    stuck(&world, "isp", 11, 2, "refused", "settled by an operator").await;
    let credited = "flags = '{settled_by_operator,credited_after_settlement}'";
    world
        .sql(&format!(
            "UPDATE payment SET flags = '{{settled_by_operator}}';
             UPDATE payment SET {credited} WHERE number IN (1, 11)"
        ))
        .await;
    let refused = |payee: &str| Filter {
        state: Some(PaymentState::Refused),
        ..failed_of(payee)
    };
    let row = act(&world, &requeue("anna", Which::Filter(&refused("old")))).await;
    assert_eq!((row.done, row.refused), (1, 1), "{row:?}");
    assert!(row.reasons.keys().all(|why| why.contains("--certain")), "{row:?}");
    assert_eq!(
        count(&world, "next_act = 'pay' AND number = 2 AND maybes = 0").await,
        "1"
    );
    // One that credits a number once says so.
    let row = act(&world, &requeue("anna", Which::Filter(&refused("isp")))).await;
    assert_eq!((row.done, row.refused), (2, 0), "{row:?}");
    assert_eq!(
        count(
            &world,
            "number = 11 AND maybes = 1 AND flags = '{credited_after_settlement}'"
        )
        .await,
        "1"
    );
    let named = [id(&world, 1).await];
    let which = Which::Named {
        payments: &named,
        certain: true,
    };
    assert_eq!(act(&world, &requeue("anna", which)).await.done, 1);
}

#[tokio::test]
async fn certainty_is_about_the_calls_that_had_ended_when_it_was_said() {
    let world = world().await;
    stuck(&world, "old", 1, 4, "unknown", "no answer").await;
    let call = |number: i64, ordinal: i64, ending: &str| {
        format!(
            "INSERT INTO attempt (attempt_id, payment_id, ordinal, act, lane_id, slot, worker, lease_until, ending, ended_at)
             SELECT gen_random_uuid(), payment_id, {ordinal}, 'pay', 'old', 1, 'w', now(), '{ending}',
                    CASE WHEN '{ending}' <> 'open' THEN now() END
             FROM payment WHERE number = {number}"
        )
    };
    for (number, ending) in [(1, "maybe"), (2, "maybe"), (3, "open"), (4, "open")] {
        world.sql(&call(number, 1, ending)).await;
    }
    let mut named = Vec::new();
    for number in 1..=4 {
        named.push(id(&world, number).await);
    }
    let which = Which::Named {
        payments: &named,
        certain: true,
    };
    let frozen = begin(&world, &requeue("anna", which)).await;
    // One was paid again by itself meanwhile, and of another the call ended that was open.
    world.sql("UPDATE payment SET attempts = 2 WHERE number = 2").await;
    world.sql(&call(2, 2, "maybe")).await;
    world
        .sql(
            "UPDATE attempt SET ending = 'maybe', ended_at = now()
             WHERE payment_id = (SELECT payment_id FROM payment WHERE number = 3)",
        )
        .await;
    let row = finish(&world, frozen).await;
    assert_eq!((row.done, row.changed, row.refused), (1, 2, 1), "{row:?}");
    assert_eq!(count(&world, "next_act = 'pay' AND number = 1").await, "1");
}
