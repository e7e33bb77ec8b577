//! What may have been credited is paid again by nobody who only overlooked it: what the payee has said since, calls that were made
//! since, and a declaration that changes at that moment.

use domain::declaration::Payee;
use domain::delivery::operator::ActKind;
use domain::payment::{Act, PaymentState};
use domain::reconciliation::Ours;
use store::acts::{self, Which};
use store::payments::Filter;
use store::reconciliation::{self, Becomes};
use store::{Tx, declarations, deliveries};
use testkit::payee::{Behaviour, Payee as Scripted, Verb};
use testkit::wait_for;

use crate::cli::{done, failed, unigate};
use crate::deliveries_acts::{NOWHERE, act, begin, count, failed_of, finish, id, requeue, stuck, world};
use crate::faults::bare;
use crate::fixtures::online_payee;
use crate::late_answer::LateAnswer;
use crate::world::{PATIENCE, World, parsed};

/// `payees apply` of one who turns out to credit twice, up to its commit.
async fn turns_out_to_credit_twice(world: &World) -> Tx {
    let payee: Payee = parsed(&online_payee(
        "isp",
        NOWHERE,
        "idempotent = false\noffers_status = false",
    ));
    let tx = world.store().begin().await.unwrap();
    declarations::lock_for_apply(&tx).await.unwrap();
    declarations::payee_for_update(&tx, &payee.id).await.unwrap();
    declarations::apply_payee(&tx, &payee, "boris").await.unwrap();
    deliveries::doubt(&tx, &payee.id, false).await.unwrap();
    tx
}

/// Somebody waits for whoever changes the declaration.
async fn waited_for(world: &World) {
    let waiting = "SELECT count(*) FROM pg_locks JOIN pg_database ON oid = database
                   WHERE datname = current_database() AND locktype = 'advisory' AND NOT granted";
    wait_for("somebody to wait", PATIENCE, async || {
        (world.value(waiting).await == "1").then_some(())
    })
    .await;
}

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

/// A call to pay `old` the payment with this number, as it is written down.
fn call(number: i64, ordinal: i64, ending: &str) -> String {
    format!(
        "INSERT INTO attempt (attempt_id, payment_id, ordinal, act, lane_id, slot, worker, lease_until, ending, ended_at)
         SELECT gen_random_uuid(), payment_id, {ordinal}, 'pay', 'old', 1, 'w', now(), '{ending}',
                CASE WHEN '{ending}' <> 'open' THEN now() END
         FROM payment WHERE number = {number}"
    )
}

#[tokio::test]
async fn what_the_payee_said_it_did_not_take_is_requeued_by_filter_and_resumed() {
    let world = world().await;
    stuck(&world, "old", 1, 4, "waiting", "the payee wants it again later").await;
    stuck(&world, "old", 5, 2, "stopped", "the payee wants it again later").await;
    for (number, ending) in [
        (1, "answered"),
        (2, "answered"),
        (3, "answered"),
        (4, "maybe"),
        (5, "answered"),
        (6, "maybe"),
    ] {
        world.sql(&call(number, 1, ending)).await;
    }
    // The answer to the third was that it is pending.
    world
        .sql("UPDATE payment SET maybes = 1 WHERE number IN (3, 4, 6)")
        .await;
    let waiting = Filter {
        state: Some(PaymentState::Waiting),
        ..failed_of("old")
    };
    let preview = acts::preview(world.store(), ActKind::Requeue, Which::Filter(&waiting))
        .await
        .unwrap();
    let row = act(&world, &requeue("anna", Which::Filter(&waiting))).await;
    assert_eq!((row.done, row.refused), (2, 2), "{row:?}");
    assert_eq!(row.done_as, preview.done_as);
    assert!(row.reasons.keys().all(|why| why.contains("--certain")), "{row:?}");
    assert_eq!(count(&world, "next_act = 'pay' AND number IN (1, 2)").await, "2");
    let (put_off, doubted) = (id(&world, 5).await.to_string(), id(&world, 6).await.to_string());
    let because = ["deliveries", "resume", "--reason", "their letter"];
    let both = unigate(&world, &[&because[..], &[&put_off, &doubted]].concat()).await;
    failed(&both, 1, "name it with --certain");
    assert!(both.stdout.starts_with("1 resumed: 1 to be paid"), "{both:?}");
    let certain = done(&world, &[&because[..], &["--certain", &doubted]].concat()).await;
    assert!(certain.stdout.starts_with("1 resumed: 1 to be paid"), "{certain:?}");
    assert_eq!(count(&world, "next_act = 'pay' AND number IN (5, 6)").await, "2");
}

#[tokio::test]
async fn certainty_is_about_the_calls_that_had_ended_when_it_was_said() {
    let world = world().await;
    stuck(&world, "old", 1, 4, "unknown", "no answer").await;
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

/// Of a payee that credits twice, and says so of both calls: the answer to the first is late, and comes before the second's or after.
async fn credits_twice(first_comes_before: bool) {
    let world = bare().await;
    let payee = Scripted::start().await.unwrap();
    payee.set_idempotent(false);
    payee.script(Verb::Pay, [Behaviour::Hold, Behaviour::Hold]);
    let first = LateAnswer::in_hand(&world, &payee, "idempotent = false\noffers_status = false").await;
    let id = &first.id;
    world.reaches(id, "unknown").await;
    done(
        &world,
        &["deliveries", "requeue", id, "--certain", "--reason", "they said no"],
    )
    .await;
    payee.wait_for_requests(Verb::Pay, 2, PATIENCE).await;
    let ended = |late: &'static str| {
        let sql = format!("SELECT count(*) FROM attempt WHERE ending = 'answered' AND late = {late}");
        let world = &world;
        async move {
            wait_for("an answer", PATIENCE, async || {
                (world.value(&sql).await == "1").then_some(())
            })
            .await;
        }
    };
    if first_comes_before {
        first.comes();
        ended("true").await;
        payee.release();
        ended("false").await;
    } else {
        payee.release();
        ended("false").await;
        first.comes();
        ended("true").await;
    }
    let row = world.payment(id).await;
    assert_eq!(
        (row.shown_state.as_str(), row.flags),
        ("delivered", vec!["credited_twice".to_owned()])
    );
    let told = "SELECT subject || array_to_string(lines, ' ') FROM notice WHERE kind = 'payment.credited_twice'";
    assert!(world.value(told).await.contains(id), "somebody is told");
    let ill = unigate(&world, &["doctor"]).await.stdout;
    assert!(ill.contains("1 payments are flagged credited_twice"), "{ill}");
    first.end().await;
}

#[tokio::test]
async fn a_payee_that_credited_twice_is_told_of_when_the_first_answer_comes_first() {
    credits_twice(true).await;
}

#[tokio::test]
async fn a_payee_that_credited_twice_is_told_of_when_the_first_answer_comes_last() {
    credits_twice(false).await;
}

#[tokio::test]
async fn an_act_waits_for_a_declaration_that_is_being_changed() {
    let world = world().await;
    stuck(&world, "isp", 1, 5, "unknown", "HTTP 503").await;
    let filter = Filter {
        state: Some(PaymentState::Unknown),
        ..failed_of("isp")
    };
    let frozen = begin(&world, &requeue("anna", Which::Filter(&filter))).await;
    let changing = turns_out_to_credit_twice(&world).await;
    let carried = async { acts::carry_out(world.store(), "test", Some(frozen)).await.unwrap() };
    let changed = async {
        waited_for(&world).await;
        changing.commit().await.unwrap();
    };
    tokio::join!(carried, changed);
    let row = finish(&world, frozen).await;
    assert_eq!((row.done, row.refused), (0, 5), "{row:?}");
    assert_eq!(count(&world, "next_act = 'pay'").await, "0");
}

#[tokio::test]
async fn a_reconciliation_waits_for_a_declaration_that_is_being_changed() {
    let world = world().await;
    stuck(&world, "isp", 1, 1, "unknown", "HTTP 503").await;
    let seen = Ours {
        payment_id: id(&world, 1).await,
        of_payee: true,
        state: PaymentState::Unknown,
        generation: 0,
        amount: 100,
        currency: "RUB".to_owned(),
        first_call_at: None,
        last_call_at: None,
        reached: true,
        settled: false,
        number_conflict: false,
    };
    let paid = Becomes::Due {
        act: Act::Pay,
        give_up_hours: 1,
        run: uuid::Uuid::now_v7(),
        once: true,
    };
    let requeued = async || {
        let tx = world.store().begin().await.unwrap();
        let done = reconciliation::act(&tx, &seen, paid).await.unwrap();
        tx.commit().await.unwrap();
        done
    };
    let changing = turns_out_to_credit_twice(&world).await;
    let changed = async {
        waited_for(&world).await;
        changing.commit().await.unwrap();
    };
    let (done, ()) = tokio::join!(requeued(), changed);
    assert!(!done);
    assert_eq!(count(&world, "next_act = 'pay'").await, "0");
    world.payee(&online_payee("isp", NOWHERE, "")).await;
    assert!(requeued().await, "it credits a number once");
}
