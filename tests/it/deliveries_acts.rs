//! Operators' acts on many payments, on a real database and without any worker: what is matched, judged, changed and counted.

use std::time::Duration;

use domain::delivery::operator::ActKind;
use domain::ids::{ActId, PaymentId};
use domain::payment::PaymentState;
use futures::future::join_all;
use store::acts::{self, ActRow, NewAct, Steer, Step, Which};
use store::payments::Filter;
use testkit::wait_for;

use crate::faults::bare;
use crate::fixtures::online_payee;
use crate::world::{PATIENCE, World};

/// Nobody is there.
pub(crate) const NOWHERE: &str = "http://127.0.0.1:9/unikassa";

/// A world with a payee that credits once, `isp`, and one that may credit twice and cannot be asked, `old`.
pub(crate) async fn world() -> World {
    let world = bare().await;
    world.payee(&online_payee("isp", NOWHERE, "")).await;
    world
        .payee(&online_payee(
            "old",
            NOWHERE,
            "idempotent = false\noffers_status = false",
        ))
        .await;
    world
}

/// So many payments in a state, numbered from `first` on, accepted a second apart.
pub(crate) async fn stuck(world: &World, payee: &str, first: i64, count: i64, state: &str, error: &str) {
    let last = first + count - 1;
    let maybes = i32::from(state == "unknown");
    world
        .sql(&format!(
            "WITH made AS (
                 INSERT INTO payment (payment_id, number, payee_id, payee_version, gateway, terminal_id, account, amount,
                                      currency, paid_at, accepted_at, state, last_error, attempts, maybes, give_up_at)
                 SELECT gen_random_uuid(), n, '{payee}', 1, 'unikassa', 'T-1', 'a' || n, 100, 'RUB', now(),
                        '2026-01-01'::timestamptz + n * interval '1 second', '{state}', replace('{error}', '%', n::text),
                        1, {maybes}, now()
                 FROM generate_series({first}, {last}) n RETURNING payment_id, number)
             INSERT INTO payment_identity (payment_id, number, fingerprint, disposition)
             SELECT payment_id, number, '\\x00', 'accepted' FROM made"
        ))
        .await;
}

pub(crate) fn failed_of(payee: &str) -> Filter {
    Filter {
        payee: Some(payee.to_owned()),
        state: Some(PaymentState::Failed),
        ..Filter::default()
    }
}

pub(crate) fn requeue<'a>(who: &'a str, which: Which<'a>) -> NewAct<'a> {
    NewAct {
        kind: ActKind::Requeue,
        who,
        reason: Some("a test"),
        which,
        rate: None,
    }
}

pub(crate) async fn begin(world: &World, new: &NewAct<'_>) -> ActId {
    acts::freeze(world.store(), new).await.unwrap().unwrap().act_id
}

/// Carries an act out to its end.
pub(crate) async fn finish(world: &World, act: ActId) -> ActRow {
    wait_for("the act to end", PATIENCE, async || {
        while let Step::Carried(_) = acts::carry_out(world.store(), "test", Some(act)).await.unwrap() {}
        let row = acts::find(world.store(), act).await.unwrap().unwrap();
        (row.state != "running").then_some(row)
    })
    .await
}

pub(crate) async fn act(world: &World, new: &NewAct<'_>) -> ActRow {
    let act = begin(world, new).await;
    finish(world, act).await
}

/// How many payments fulfil this.
pub(crate) async fn count(world: &World, condition: &str) -> String {
    world
        .value(&format!("SELECT count(*) FROM payment WHERE {condition}"))
        .await
}

pub(crate) async fn id(world: &World, number: i64) -> PaymentId {
    let id = world
        .value(&format!("SELECT payment_id FROM payment WHERE number = {number}"))
        .await;
    PaymentId::parse(&id).unwrap()
}

#[tokio::test]
async fn a_dry_run_changes_nothing_and_tells_what_the_act_does() {
    let world = world().await;
    stuck(&world, "isp", 1, 1200, "failed", "the retries ran out: HTTP 503").await;
    stuck(&world, "isp", 2001, 30, "unknown", "no answer: HTTP 503").await;
    stuck(&world, "old", 3001, 20, "unknown", "no answer: HTTP 503").await;
    stuck(&world, "old", 4001, 10, "stopped", "HTTP 404").await;
    stuck(&world, "isp", 5001, 5, "revoking", "HTTP 503").await;
    let busy = Filter {
        limit: Some(7),
        ..failed_of("isp")
    };
    begin(&world, &requeue("boris", Which::Filter(&busy))).await;
    let before = world
        .value("SELECT md5(string_agg(p::text, '' ORDER BY number)) FROM payment p")
        .await;
    let filter = Filter {
        error: Some("http 503".into()),
        ..Filter::default()
    };
    let preview = acts::preview(world.store(), ActKind::Requeue, Which::Filter(&filter))
        .await
        .unwrap();
    let after = world
        .value("SELECT md5(string_agg(p::text, '' ORDER BY number)) FROM payment p")
        .await;
    assert_eq!(before, after);
    assert_eq!(world.value("SELECT count(*) FROM act").await, "1");
    assert_eq!(preview.matched, 1255);
    assert_eq!(preview.done_as["pay"], 1193 + 30);
    let refused: Vec<_> = preview.refused.values().map(|refusal| refusal.count).collect();
    assert_eq!(refused.iter().sum::<i64>(), 7 + 20 + 5, "{preview:?}");

    let row = act(&world, &requeue("anna", Which::Filter(&filter))).await;
    assert_eq!((row.state.as_str(), row.matched, row.waiting()), ("done", 1255, 0));
    assert_eq!((row.done, row.changed, row.refused), (1223, 0, 32));
    assert_eq!(row.done_as, preview.done_as);
    let told: Vec<_> = preview
        .refused
        .iter()
        .map(|(why, refusal)| (&**why, refusal.count))
        .collect();
    let done: Vec<_> = row.reasons.iter().map(|(why, count)| (why.as_str(), *count)).collect();
    assert_eq!(told, done);
    assert_eq!(count(&world, "due_at <= now() AND generation = 1").await, "1223");
    let audited = "SELECT count(*) || ' ' || count(*) FILTER (WHERE allowed) FROM audit
                   WHERE subject_kind = 'payment' AND who = 'anna' AND act = 'deliveries requeue'";
    assert_eq!(world.value(audited).await, "1255 1223");
}

#[tokio::test]
async fn a_filter_is_obeyed_exactly() {
    let world = world().await;
    stuck(&world, "isp", 1, 100, "failed", "HTTP 503").await;
    stuck(&world, "isp", 101, 50, "refused", "closed").await;
    stuck(&world, "old", 201, 50, "failed", "HTTP 503").await;
    stuck(&world, "isp", 301, 10, "failed", "account % is closed").await;
    let at = |second: i64| {
        let start: jiff::Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        Some(start + Duration::from_secs(second.unsigned_abs()))
    };
    let filter = Filter {
        from: at(11),
        to: at(31),
        ..failed_of("isp")
    };
    assert_eq!(act(&world, &requeue("anna", Which::Filter(&filter))).await.done, 20);
    assert_eq!(count(&world, "generation = 1 AND number BETWEEN 11 AND 30").await, "20");
    for (filter, numbers) in [
        (
            Filter {
                error: Some("IS CLOSED".into()),
                ..failed_of("isp")
            },
            "number BETWEEN 301 AND 310",
        ),
        (
            Filter {
                number: Some(1),
                ..Filter::default()
            },
            "number = 1",
        ),
        (
            Filter {
                account: Some("a2".into()),
                ..Filter::default()
            },
            "number = 2",
        ),
        (
            Filter {
                limit: Some(5),
                ..failed_of("old")
            },
            "number BETWEEN 201 AND 205",
        ),
        (
            Filter {
                terminal: Some("T-1".into()),
                state: Some(PaymentState::Refused),
                ..Filter::default()
            },
            "number BETWEEN 101 AND 150",
        ),
    ] {
        let before = count(&world, "generation = 1").await.parse::<i64>().unwrap();
        let row = act(&world, &requeue("anna", Which::Filter(&filter))).await;
        let after = count(&world, "generation = 1").await.parse::<i64>().unwrap();
        assert_eq!((row.done, row.matched), (after - before, row.done), "{filter:?}");
        assert_eq!(
            count(&world, &format!("generation = 1 AND {numbers}")).await,
            row.done.to_string()
        );
    }
    assert_eq!(count(&world, "generation > 1").await, "0");
    let none = Filter {
        account: Some("nobody".into()),
        ..Filter::default()
    };
    let nothing = acts::freeze(world.store(), &requeue("anna", Which::Filter(&none)))
        .await
        .unwrap();
    assert!(nothing.is_none(), "an act about nothing is none");
}

#[tokio::test]
async fn of_two_operators_at_once_each_payment_is_requeued_once() {
    let world = world().await;
    stuck(&world, "isp", 1, 2500, "failed", "HTTP 503").await;
    let filter = failed_of("isp");
    let rows = join_all(["anna", "boris"].map(async |who| {
        let frozen = acts::freeze(world.store(), &requeue(who, Which::Filter(&filter)))
            .await
            .unwrap();
        // The one who came when the other was done found nothing.
        match frozen {
            Some(frozen) => finish(&world, frozen.act_id).await.done,
            None => 0,
        }
    }))
    .await;
    assert_eq!(rows.iter().sum::<i64>(), 2500, "{rows:?}");
    assert_eq!(count(&world, "generation = 1").await, "2500");
    let allowed = "SELECT count(*) FROM audit WHERE subject_kind = 'payment' AND allowed";
    assert_eq!(world.value(allowed).await, "2500");
}

#[tokio::test]
async fn a_payment_is_in_one_outstanding_act() {
    let world = world().await;
    stuck(&world, "isp", 1, 30, "failed", "HTTP 503").await;
    let filter = failed_of("isp");
    let first = begin(&world, &requeue("anna", Which::Filter(&filter))).await;
    let named = [id(&world, 3).await];
    let which = Which::Named {
        payments: &named,
        certain: false,
    };
    let second = act(&world, &requeue("boris", which)).await;
    assert_eq!((second.done, second.refused), (0, 1));
    assert!(
        second.reasons.keys().all(|why| why.contains("another act")),
        "{second:?}"
    );
    // Held up, it keeps its payments; ended, it lets them go.
    acts::steer(world.store(), first, Steer::Pause, "anna", None)
        .await
        .unwrap();
    assert_eq!(
        acts::carry_out(world.store(), "test", Some(first)).await.unwrap(),
        Step::Idle
    );
    assert_eq!(act(&world, &requeue("boris", which)).await.done, 0);
    acts::steer(world.store(), first, Steer::Resume, "anna", None)
        .await
        .unwrap();
    acts::steer(world.store(), first, Steer::Cancel, "anna", Some("the wrong payee"))
        .await
        .unwrap();
    for how in [Steer::Pause, Steer::Resume, Steer::Cancel] {
        assert!(
            acts::steer(world.store(), first, how, "anna", None).await.is_err(),
            "{how:?}"
        );
    }
    assert_eq!(count(&world, "generation > 0").await, "0");
    assert_eq!(act(&world, &requeue("boris", which)).await.done, 1);
    let items = acts::of_payment(world.store(), named[0]).await.unwrap();
    let outcomes: Vec<_> = items.iter().map(|item| item.outcome.as_str()).collect();
    assert_eq!(outcomes, ["cancelled", "refused", "refused", "done"]);
}

#[tokio::test]
async fn what_moved_since_it_was_seen_is_left_alone() {
    let world = world().await;
    stuck(&world, "isp", 1, 10, "failed", "HTTP 503").await;
    let frozen = begin(&world, &requeue("anna", Which::Filter(&failed_of("isp")))).await;
    world
        .sql(
            "UPDATE payment SET generation = generation + 1 WHERE number = 1;
             UPDATE payment SET state = 'delivered' WHERE number = 2;
             DELETE FROM payment WHERE number = 3;
             UPDATE payment SET state = 'unknown' WHERE number = 4;
             INSERT INTO attempt (attempt_id, payment_id, ordinal, act, lane_id, slot, worker, lease_until)
             SELECT gen_random_uuid(), payment_id, 1, 'status', 'isp', 1, 'w', now() FROM payment WHERE number = 5",
        )
        .await;
    let row = finish(&world, frozen).await;
    assert_eq!((row.done, row.changed, row.refused), (5, 4, 1), "{row:?}");
    assert_eq!(count(&world, "due_at IS NOT NULL").await, "5");
    let aside = acts::set_aside(world.store(), frozen, 100).await.unwrap();
    assert_eq!(aside.len(), 5);
}

#[tokio::test]
async fn a_declaration_that_changes_under_an_act_is_obeyed() {
    let world = world().await;
    stuck(&world, "isp", 1, 5, "unknown", "HTTP 503").await;
    let filter = Filter {
        state: Some(PaymentState::Unknown),
        ..failed_of("isp")
    };
    let frozen = begin(&world, &requeue("anna", Which::Filter(&filter))).await;
    let changed = online_payee("isp", NOWHERE, "idempotent = false\noffers_status = true");
    world.payee(&changed).await;
    let row = finish(&world, frozen).await;
    assert_eq!(row.done_as.get("status"), Some(&5), "{row:?}");
    assert_eq!(count(&world, "next_act = 'status' AND state = 'unknown'").await, "5");
}

#[tokio::test]
async fn a_rate_is_kept_by_the_databases_clock() {
    let world = world().await;
    stuck(&world, "isp", 1, 40, "failed", "HTTP 503").await;
    let filter = failed_of("isp");
    let new = NewAct {
        rate: Some(20),
        ..requeue("anna", Which::Filter(&filter))
    };
    let act = begin(&world, &new).await;
    // Two that drive it are no faster.
    tokio::join!(finish(&world, act), finish(&world, act));
    let most = "SELECT max(n) FROM (SELECT count(*) OVER (ORDER BY due_at RANGE BETWEEN CURRENT ROW AND
                    interval '999 ms' FOLLOWING) AS n FROM payment) w";
    let most: i64 = world.value(most).await.parse().unwrap();
    assert!(most <= 20, "{most} in a second");
    let lasted = "SELECT extract(epoch FROM max(due_at) - min(due_at)) FROM payment";
    let lasted: f64 = world.value(lasted).await.parse().unwrap();
    assert!(lasted >= 1.5, "40 at 20 a second, two parts a second, took {lasted} s");
    assert_eq!(count(&world, "generation = 1").await, "40");
}
