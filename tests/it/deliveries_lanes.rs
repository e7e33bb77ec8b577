//! Groups of stuck payments, who caused which call, and lanes held back; on a real database, without any worker.

use std::time::Duration;

use domain::delivery::operator::ActKind;
use domain::payment::PaymentState;
use store::acts::{self, Which};
use store::deliveries;
use store::lanes::{self, Ask, Asked, Calls};
use store::payments::{Filter, Group};

use crate::cli::{Files, done};
use crate::deliveries_acts::{NOWHERE, act, count, failed_of, id, requeue, stuck, world};
use crate::fixtures::{internet_provider, online_payee};
use crate::unikassa::{pay, provider};
use crate::world::{PATIENCE, World};
use store::Store;
use testkit::payee::{Behaviour, Verb};

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

/// What an act on each group that is listed would be about.
async fn acted_on(world: &World, filter: &Filter) -> Vec<(String, i64, i64)> {
    let mut all = Vec::new();
    for row in deliveries::groups(world.store(), filter).await.unwrap() {
        let group = Filter {
            group: Some(row.group.clone()),
            online: true,
            ..Filter::default()
        };
        let preview = acts::preview(world.store(), ActKind::Requeue, Which::Filter(&group)).await;
        all.push((row.group.state.to_string(), row.count, preview.unwrap().matched));
    }
    all
}

#[tokio::test]
async fn a_suspended_payees_groups_count_what_an_act_on_them_is_about() {
    let world = world().await;
    for (first, state) in [(1, "waiting"), (101, "accepted"), (201, "stopped"), (301, "failed")] {
        stuck(&world, "isp", first, 3, state, "HTTP 500").await;
        stuck(&world, "old", first + 1000, 3, state, "HTTP 500").await;
    }
    world
        .sql(
            "UPDATE payment SET next_act = 'pay', due_at = now() WHERE state IN ('waiting', 'accepted');
             UPDATE payee SET suspended = true WHERE payee_id = 'isp'",
        )
        .await;
    let mut seen = acted_on(&world, &Filter::default()).await;
    seen.sort();
    let group = |state: &str, count| (state.to_owned(), count, count);
    let of_old = [group("failed", 3), group("stopped", 3), group("waiting", 3)];
    let mut expected = [&[group("failed", 3), group("stopped", 9)][..], &of_old].concat();
    expected.sort();
    assert_eq!(seen, expected);
    let state = Some(PaymentState::Stopped);
    let stopped = acted_on(
        &world,
        &Filter {
            state,
            ..Filter::default()
        },
    )
    .await;
    assert_eq!(stopped, [group("stopped", 9), group("stopped", 3)]);
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
    // That is over, and not stuck.
    stuck(&world, "old", 4001, 5, "refused", "closed").await;
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
    let refused = Filter {
        state: Some(PaymentState::Refused),
        ..Filter::default()
    };
    let over = deliveries::groups(world.store(), &refused).await.unwrap();
    assert_eq!((over.len(), over[0].count), (1, 5));
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
    assert_eq!(claimed(store).await, 1);
    // What was refused lets go of the lane a moment later, and a claim passes it over until then.
    assert!(lanes::release(store, "isp", "boris", "done").await.is_err());
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

#[tokio::test]
async fn a_payee_that_turns_out_to_credit_twice_is_asked_and_not_paid_again() {
    let (world, payee) = provider("idempotent = true\nretry_seconds = [600]").await;
    payee.always(Verb::Pay, Behaviour::status(500).after_credit());
    let ((id, number), (requeued, _)) = (pay(&world).await, pay(&world).await);
    let (certain, _) = pay(&world).await;
    for id in [&id, &requeued, &certain] {
        world.reaches(id, "waiting").await;
    }
    world
        .sql(&format!(
            "INSERT INTO act (act_id, kind, who, filter, certain, state, finished_at)
             VALUES ('{certain}', 'requeue', 'anna', '{{\"named\": 1}}', true, 'done', now());
             UPDATE payment SET act_id = '{certain}' WHERE payment_id = '{certain}'"
        ))
        .await;
    // As an operator's requeue leaves one that is unknown, while its payee is down.
    world
        .sql(&format!(
            "UPDATE payment SET state = 'unknown' WHERE payment_id = '{requeued}'"
        ))
        .await;
    let mut events = world.listen("payment.unknown").await;
    let credits_twice = internet_provider(&payee.url(), "idempotent = false\nretry_seconds = [600]");
    let files = Files::new();
    let told = done(&world, &["payees", "apply", &files.write("isp.toml", &credits_twice)]).await;
    assert!(
        told.stderr.contains("2 payments that may have been credited"),
        "{told:?}"
    );
    events.item("payment.unknown", "payment_id", &id).await;
    world.hurry().await;
    for id in [&id, &requeued] {
        world.reaches(id, "delivered").await;
    }
    // What an operator is certain of goes out.
    world.reaches(&certain, "unknown").await;
    assert_eq!((payee.requests_of(Verb::Pay).len(), payee.credits(&number)), (4, 1));
}

#[tokio::test]
async fn a_call_that_was_open_when_its_payee_was_declared_anew_ends_as_is_declared() {
    // It is declared anew well within the call.
    let (world, payee) = provider("timeout_seconds = 10\nidempotent = true\noffers_status = false").await;
    payee.script(Verb::Pay, [Behaviour::HangAfterCredit]);
    let (id, _) = pay(&world).await;
    payee.wait_for_requests(Verb::Pay, 1, PATIENCE).await;
    world
        .payee(&internet_provider(
            &payee.url(),
            "timeout_seconds = 10\nidempotent = false\noffers_status = false",
        ))
        .await;
    let row = world.reaches(&id, "unknown").await;
    assert_eq!((row.maybes, row.due_at), (1, None));
}
