//! Groups of stuck payments, who caused which call, and lanes held back; on a real database, without any worker.

use std::time::Duration;

use store::deliveries;
use store::lanes::{self, Ask, Asked, Calls};
use store::payments::{Filter, Group};

use crate::deliveries_acts::{NOWHERE, act, count, failed_of, id, requeue, stuck, world};
use crate::fixtures::online_payee;
use store::Store;
use store::acts::Which;

pub(crate) const CALLS: Calls<'static> = Calls {
    longest: Duration::from_secs(1),
    quiet_until: &|_| None,
};

/// How many payments of `isp` are claimed now.
async fn claimed(store: &Store) -> usize {
    let ask = Ask {
        lane: "isp",
        most: 4,
        calls: CALLS,
        ended: &[],
    };
    deliveries::claim(store, &[ask], "w").await.unwrap().calls.len()
}

#[tokio::test]
async fn groups_are_causes_and_are_acted_on_as_printed() {
    let world = world().await;
    stuck(
        &world,
        "isp",
        1,
        500,
        "failed",
        "the retries ran out: HTTP 503 after % ms",
    )
    .await;
    stuck(&world, "isp", 1001, 20, "failed", "the retries ran out: HTTP 500").await;
    stuck(&world, "isp", 2001, 10, "unknown", "the retries ran out: HTTP 500").await;
    stuck(&world, "old", 3001, 5, "failed", "the retries ran out: HTTP 500").await;
    let groups = deliveries::groups(world.store(), &Filter::default()).await.unwrap();
    let seen: Vec<_> = groups
        .iter()
        .map(|row| {
            (
                row.group.payee.as_str(),
                row.group.state.as_str(),
                row.count,
                row.cause.as_deref(),
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("isp", "failed", 500, Some("the retries ran out: HTTP 503 after # ms")),
            ("isp", "failed", 20, Some("the retries ran out: HTTP 500")),
            ("isp", "unknown", 10, Some("the retries ran out: HTTP 500")),
            ("old", "failed", 5, Some("the retries ran out: HTTP 500")),
        ]
    );
    assert_eq!(groups[0].totals, serde_json::json!({"RUB": 50_000}));
    assert_eq!(groups[1].oldest_at.to_string(), "2026-01-01T00:16:41Z");
    let printed = groups[1].group.to_string();
    let filter = Filter {
        group: Some(Group::parse(&printed).unwrap()),
        ..Filter::default()
    };
    assert_eq!(act(&world, &requeue("anna", Which::Filter(&filter))).await.done, 20);
    assert_eq!(
        count(&world, "generation = 1 AND number BETWEEN 1001 AND 1020").await,
        "20"
    );
}

#[tokio::test]
async fn the_call_after_an_act_is_the_operators_and_later_ones_are_automatic() {
    let world = world().await;
    stuck(&world, "isp", 1, 1, "failed", "HTTP 503").await;
    let row = act(&world, &requeue("anna", Which::Filter(&failed_of("isp")))).await;
    for _ in 0..2 {
        assert_eq!(claimed(world.store()).await, 1);
        world
            .sql(
                "UPDATE attempt SET ending = 'not_sent', ended_at = clock_timestamp() WHERE ending = 'open';
                 UPDATE payment SET state = 'waiting', next_act = 'pay', due_at = now();
                 UPDATE lane_slot SET lease_until = '-infinity'",
            )
            .await;
    }
    let calls = deliveries::attempts(world.store(), id(&world, 1).await).await.unwrap();
    let by: Vec<_> = calls
        .iter()
        .map(|call| (call.automatic, call.who.as_deref(), call.act_id))
        .collect();
    assert_eq!(by, [(false, Some("anna"), Some(row.act_id)), (true, None, None)]);
    assert!(calls[0].seconds.is_some_and(|seconds| seconds >= 0.0));
}

#[tokio::test]
async fn a_lane_held_back_stays_so_whatever_is_declared() {
    let world = world().await;
    stuck(&world, "isp", 1, 1, "failed", "HTTP 503").await;
    act(&world, &requeue("anna", Which::Filter(&failed_of("isp")))).await;
    let store = world.store();
    lanes::hold(store, "isp", "anna", "they restore a backup")
        .await
        .unwrap();
    assert!(lanes::hold(store, "isp", "boris", "too").await.is_err());
    world.payee(&online_payee("isp", NOWHERE, "concurrency = 7")).await;
    let lane = lanes::list(store).await.unwrap().remove(0);
    assert_eq!(
        (lane.paused, lane.held_by.as_deref(), lane.slots),
        (true, Some("anna"), 7)
    );
    assert!(lane.next_due_at.is_some());
    assert!(deliveries::lanes_due(store, &[]).await.unwrap().is_empty());
    assert_eq!(claimed(store).await, 0);
    assert!(matches!(
        lanes::take_for_question(store, "isp", &CALLS).await.unwrap(),
        Asked::Closed
    ));
    lanes::release(store, "isp", "boris", "done").await.unwrap();
    assert!(lanes::release(store, "isp", "boris", "done").await.is_err());
    assert_eq!(claimed(store).await, 1);
    // Suspended and held back: both have to end.
    world
        .payee(&format!("suspended = true\n{}", online_payee("isp", NOWHERE, "")))
        .await;
    lanes::hold(store, "isp", "anna", "again").await.unwrap();
    lanes::release(store, "isp", "anna", "done").await.unwrap();
    assert!(
        lanes::list(store).await.unwrap().remove(0).paused,
        "its payee is suspended"
    );
    assert!(lanes::hold(store, "nobody", "anna", "no").await.is_err());
}
