//! Lanes, claims and breakers on a real database: what must hold whatever else goes wrong.

mod flagged;
mod pace;

use std::time::Duration;

use domain::declaration::Payee;
use domain::delivery::operator::ActKind;
use runtime::{Context, Nudge};
use serde_json::{Value, json};
use store::acts::{self, NewAct, Step, Which};
use store::deliveries;
use store::lanes::{self, Ask, Asked, Asking, Breaker, Calls, Said};
use store::{Store, declarations, scratch};
use testkit::payee::Payee as Scripted;
use testkit::stand::Stand;
use testkit::wait_for;
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(30);
const CALL: Duration = Duration::from_secs(30);
const CALLS: Calls<'static> = Calls {
    longest: CALL,
    quiet_until: &|_| None,
};
const PROBE: Duration = Duration::from_secs(30);

async fn sql(store: &Store, text: &str) -> Vec<Vec<Option<String>>> {
    scratch::sql(store, text).await.unwrap()
}

async fn value(store: &Store, text: &str) -> String {
    sql(store, text).await[0][0].clone().unwrap_or_default()
}

async fn declare(store: &Store, id: &str, url: &str, concurrency: u32) {
    declare_with(store, id, url, concurrency, json!({})).await;
}

/// The same with more members of its profile.
async fn declare_with(store: &Store, id: &str, url: &str, concurrency: u32, more: Value) {
    let mut declared = json!({
        "id": id, "name": id, "gateway": "unikassa", "currency": "RUB", "account": {"pattern": "^.+$"},
        "amount": {"min": 1, "max": 100_000},
        "unikassa": {"url": url, "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "concurrency": concurrency,
            "allow_private": true, "timeout_seconds": 2, "probe_seconds": 1, "retry_seconds": [600]}
    });
    for (member, value) in more.as_object().unwrap() {
        declared["unikassa"][member] = value.clone();
    }
    let payee: Payee = serde_json::from_value(declared).unwrap();
    payee.check().unwrap();
    let tx = store.begin().await.unwrap();
    declarations::apply_payee(&tx, &payee, "test").await.unwrap();
    tx.commit().await.unwrap();
}

/// A payment in this state, due by this expression.
async fn payment(store: &Store, payee: &str, number: i64, state: &str, next: &str, due: &str) {
    let text = format!(
        "INSERT INTO payment (payment_id, number, payee_id, payee_version, gateway, terminal_id, account, amount, currency,
             paid_at, accepted_at, state, next_act, due_at, give_up_at)
         VALUES ('00000000-0000-0000-0000-{number:012}', {number}, '{payee}', 1, 'unikassa', 'T-1', 'a', 100, 'RUB', now(),
             now(), '{state}', {next}, {due}, now() + interval '1 day')"
    );
    sql(store, &text).await;
}

/// An open call about a payment, with a lease by this expression.
async fn open_attempt(store: &Store, payee: &str, number: i64, act: &str, lease: &str) {
    let text = format!(
        "INSERT INTO attempt (attempt_id, payment_id, ordinal, act, lane_id, slot, worker, lease_until)
         VALUES (gen_random_uuid(), '00000000-0000-0000-0000-{number:012}', 1, '{act}', '{payee}', 1, 'gone', {lease})"
    );
    sql(store, &text).await;
}

async fn claimed(store: &Store, lane: &'static str) -> Vec<i64> {
    claimed_of(store, &[lane]).await.0
}

/// The numbers claimed, and how many lanes were passed over.
async fn claimed_of(store: &Store, lanes: &[&'static str]) -> (Vec<i64>, usize) {
    let ask = |lane: &&'static str| Ask {
        lane,
        most: 64,
        calls: CALLS,
        ended: &[],
    };
    let asks: Vec<Ask<'_>> = lanes.iter().map(ask).collect();
    let claims = deliveries::claim(store, &asks, "test").await.unwrap();
    let numbers = claims.calls.iter().map(|one| one.due.number.get());
    (numbers.collect(), claims.passed_over)
}

async fn note(store: &Store, lane: &str, answered: bool) -> Option<Breaker> {
    note_all(store, lane, &[(Asking::Payment, answered)]).await
}

/// Calls that are recorded together.
async fn note_all(store: &Store, lane: &str, calls: &[(Asking, bool)]) -> Option<Breaker> {
    let mut said = Said::new(lane, PROBE);
    for (asking, answered) in calls {
        if *answered {
            said.heard(*asking);
        } else {
            said.failed(*asking, Some("broken"));
        }
    }
    let tx = store.begin().await.unwrap();
    let noted = lanes::note(&tx, &[said]).await.unwrap();
    tx.commit().await.unwrap();
    noted.first().and_then(|noted| noted.breaker)
}

async fn worker(stand: &Stand) -> Context {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let context = Context::start(stand.settings(), CancellationToken::new())
        .await
        .unwrap();
    unikassa::start(&context).unwrap();
    context
}

#[tokio::test]
async fn a_payment_revoked_while_its_payee_is_asked_holds_up_nobody() {
    let stand = Stand::new().await;
    let store = stand.store();
    declare(&store, "isp", "http://127.0.0.1:9", 4).await;
    payment(&store, "isp", 1, "revoking", "'cancel'", "now() - interval '1 hour'").await;
    open_attempt(&store, "isp", 1, "status", "now() + interval '1 hour'").await;
    payment(&store, "isp", 2, "accepted", "'pay'", "now()").await;
    assert_eq!(claimed(&store, "isp").await, [2]);
}

#[tokio::test]
async fn only_a_payment_on_its_way_is_delivering() {
    let stand = Stand::new().await;
    let store = stand.store();
    declare(&store, "isp", "http://127.0.0.1:9", 4).await;
    for (number, state, act) in [
        (1, "accepted", "pay"),
        (2, "waiting", "status"),
        (3, "unknown", "status"),
    ] {
        payment(&store, "isp", number, state, &format!("'{act}'"), "now()").await;
    }
    assert_eq!(claimed(&store, "isp").await, [1, 2, 3]);
    let states = sql(&store, "SELECT state FROM payment ORDER BY number").await;
    let states: Vec<_> = states.iter().map(|row| row[0].as_deref().unwrap()).collect();
    assert_eq!(states, ["delivering", "waiting", "unknown"]);
}

#[tokio::test]
async fn a_lane_in_other_hands_holds_up_no_other() {
    let stand = Stand::new().await;
    let store = stand.store();
    declare(&store, "isp", "http://127.0.0.1:9", 3).await;
    declare(&store, "other", "http://127.0.0.1:9", 2).await;
    for number in 1..=10 {
        let payee = if number % 2 == 1 { "isp" } else { "other" };
        payment(
            &store,
            payee,
            number,
            "accepted",
            "'pay'",
            "now() - interval '1 minute'",
        )
        .await;
    }
    let mut said = Said::new("other", PROBE);
    said.failed(Asking::Payment, None);
    let holder = store.begin().await.unwrap();
    lanes::note(&holder, &[said]).await.unwrap();
    assert_eq!(claimed_of(&store, &["isp", "other"]).await, (vec![1, 3, 5], 1));
    holder.commit().await.unwrap();
    assert_eq!(claimed_of(&store, &["isp", "other"]).await, (vec![2, 4], 0));
    assert_eq!(
        value(&store, "SELECT count(*) FROM attempt WHERE ending = 'open'").await,
        "5"
    );
}

#[tokio::test]
async fn a_slot_that_went_to_somebody_else_is_not_freed_by_who_had_it() {
    let stand = Stand::new().await;
    let store = stand.store();
    declare(&store, "isp", "http://127.0.0.1:9", 1).await;
    let first = lanes::take_for_question(&store, "isp", &CALLS).await.unwrap();
    let Asked::Go(late, _) = first else { panic!("{first:?}") };
    assert!(matches!(
        lanes::take_for_question(&store, "isp", &CALLS).await.unwrap(),
        Asked::Busy
    ));
    sql(&store, "UPDATE lane_slot SET lease_until = now() - interval '1 second'").await;
    let second = lanes::take_for_question(&store, "isp", &CALLS).await.unwrap();
    assert!(matches!(second, Asked::Go(..)), "{second:?}");
    let tx = store.begin().await.unwrap();
    lanes::give_back(&tx, &[(&late, None)]).await.unwrap();
    tx.commit().await.unwrap();
    assert!(matches!(
        lanes::take_for_question(&store, "isp", &CALLS).await.unwrap(),
        Asked::Busy
    ));
}

#[tokio::test]
async fn a_lowered_limit_counts_the_calls_that_were_begun_before() {
    let stand = Stand::new().await;
    let store = stand.store();
    declare(&store, "isp", "http://127.0.0.1:9", 3).await;
    for number in 1..=6 {
        payment(&store, "isp", number, "accepted", "'pay'", "now()").await;
    }
    assert_eq!(claimed(&store, "isp").await.len(), 3);
    declare(&store, "isp", "http://127.0.0.1:9", 1).await;
    // Of the three calls that on the one remaining slot ends first.
    sql(&store, "UPDATE lane_slot SET lease_until = '-infinity' WHERE slot = 1").await;
    assert!(claimed(&store, "isp").await.is_empty());
    assert!(matches!(
        lanes::take_for_question(&store, "isp", &CALLS).await.unwrap(),
        Asked::Busy
    ));
    sql(
        &store,
        "UPDATE lane_slot SET lease_until = '-infinity'; UPDATE lane SET question_waits_until = '-infinity'",
    )
    .await;
    assert_eq!(claimed(&store, "isp").await.len(), 1);
}

#[tokio::test]
async fn a_breaker_opens_once_and_pulls_forward_only_what_waits_for_a_retry() {
    let stand = Stand::new().await;
    let store = stand.store();
    declare(&store, "isp", "http://127.0.0.1:9", 4).await;
    declare(&store, "other", "http://127.0.0.1:9", 4).await;
    payment(&store, "isp", 1, "waiting", "'pay'", "now() + interval '3 hours'").await;
    payment(&store, "isp", 2, "waiting", "'pay'", "now() + interval '2 hours'").await;
    payment(&store, "isp", 3, "unknown", "'status'", "now() + interval '1 hour'").await;
    payment(&store, "other", 4, "waiting", "'pay'", "now() + interval '1 hour'").await;
    for _ in 0..4 {
        assert_eq!(note(&store, "isp", false).await, None);
    }
    assert_eq!(note(&store, "isp", false).await, Some(Breaker::Opened));
    let opened = value(&store, "SELECT probe_at FROM lane WHERE lane_id = 'isp'").await;
    // Calls that were under way end late: nobody is told twice, and the probe is not put off.
    assert_eq!(note(&store, "isp", false).await, None);
    assert_eq!(
        value(&store, "SELECT probe_at FROM lane WHERE lane_id = 'isp'").await,
        opened
    );
    assert!(claimed(&store, "isp").await.is_empty());
    assert_eq!(note(&store, "isp", true).await, Some(Breaker::Closed));
    assert_eq!(note(&store, "isp", true).await, None);
    assert_eq!(
        claimed(&store, "isp").await,
        [1, 2],
        "the oldest first, and nobody else"
    );
    assert_eq!(
        value(&store, "SELECT count(*) FROM payment WHERE due_at > now()").await,
        "2"
    );
}

#[tokio::test]
async fn a_requeue_sees_the_call_that_was_opened_while_it_waited() {
    let stand = Stand::new().await;
    let store = stand.store();
    declare(&store, "isp", "http://127.0.0.1:9", 4).await;
    payment(&store, "isp", 1, "unknown", "'status'", "now()").await;
    let id = value(&store, "SELECT payment_id FROM payment").await;
    let id = domain::ids::PaymentId::parse(&id).unwrap();
    let which = Which::Named {
        payments: &[id],
        certain: true,
    };
    let new = NewAct {
        kind: ActKind::Requeue,
        who: "anna",
        reason: None,
        which,
        rate: None,
    };
    let act = acts::freeze(&store, &new).await.unwrap().unwrap().act_id;
    let gate = stand.store();
    // A claim that stops, with the payment locked, until the gate opens. The one session of this test's hand holds it.
    sql(&gate, "SELECT pg_advisory_lock(7)").await;
    let claiming = tokio::spawn({
        let store = stand.store();
        async move {
            let text = "BEGIN; SELECT 1 FROM payment FOR UPDATE; SELECT pg_advisory_lock(7);
                INSERT INTO attempt (attempt_id, payment_id, ordinal, act, lane_id, slot, worker, lease_until)
                SELECT gen_random_uuid(), payment_id, 1, 'status', 'isp', 1, 'w', now() + interval '1 hour' FROM payment;
                UPDATE payment SET attempts = attempts + 1, due_at = NULL, next_act = NULL; COMMIT";
            sql(&store, text).await;
        }
    });
    let waiting = async |count: &str| {
        let query =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        wait_for("somebody to wait for a lock", PATIENCE, async || {
            (value(&store, query).await == count).then_some(())
        })
        .await;
    };
    waiting("1").await;
    let requeuing = tokio::spawn({
        let store = stand.store();
        async move { acts::carry_out(&store, "test", Some(act)).await.unwrap() }
    });
    waiting("2").await;
    sql(&gate, "SELECT pg_advisory_unlock(7)").await;
    claiming.await.unwrap();
    assert_eq!(requeuing.await.unwrap(), Step::Carried(act));
    let row = acts::find(&store, act).await.unwrap().unwrap();
    assert_eq!((row.done, row.refused), (0, 1), "{row:?}");
    assert_eq!(value(&store, "SELECT next_act IS NULL FROM payment").await, "t");
}

#[tokio::test]
async fn a_breaker_that_questions_opened_closes_without_any_number_to_ask_about() {
    let stand = Stand::new().await;
    let store = stand.store();
    let payee = Scripted::start().await.unwrap();
    declare(&store, "isp", &payee.url(), 4).await;
    for _ in 0..5 {
        note(&store, "isp", false).await;
    }
    sql(&store, "UPDATE lane SET probe_at = now()").await;
    let context = worker(&stand).await;
    wait_for("the breaker to close", PATIENCE, async || {
        (value(&store, "SELECT breaker FROM lane").await == "closed").then_some(())
    })
    .await;
    assert!(
        payee.requests().iter().all(|request| request.verb.is_none()),
        "it is asked for nothing"
    );
    context.shutdown.cancel();
    runtime::end_within(&context).await;
}

#[tokio::test]
async fn a_call_that_cannot_be_closed_hides_none_behind_it() {
    let stand = Stand::new().await;
    let store = stand.store();
    let payee = Scripted::start().await.unwrap();
    declare(&store, "strange", &payee.url(), 4).await;
    declare(&store, "isp", &payee.url(), 4).await;
    // As if a newer version had applied it.
    sql(
        &store,
        "UPDATE payee SET declaration = declaration || '{\"novelty\": 1}' WHERE payee_id = 'strange';
         UPDATE declaration_generation SET generation = generation + 1",
    )
    .await;
    for number in 1..=101 {
        payment(&store, "strange", number, "delivering", "NULL", "NULL").await;
        open_attempt(&store, "strange", number, "pay", "now() - interval '1 hour'").await;
    }
    payment(&store, "isp", 500, "delivering", "NULL", "NULL").await;
    open_attempt(&store, "isp", 500, "pay", "now() - interval '1 minute'").await;
    // A lane that cannot be served comes first in the table and holds up nobody either.
    payment(&store, "strange", 501, "accepted", "'pay'", "now()").await;
    payment(&store, "isp", 502, "accepted", "'pay'", "now()").await;
    let context = worker(&stand).await;
    context.nudge(Nudge::Leases);
    wait_for(
        "the call to be closed and the other payment delivered",
        PATIENCE,
        async || {
            let found = "SELECT count(*) FROM attempt WHERE payment_id IN ('00000000-0000-0000-0000-000000000500',
                         '00000000-0000-0000-0000-000000000502') AND ending <> 'open'";
            (value(&store, found).await == "2").then_some(())
        },
    )
    .await;
    let closed = sql(
        &store,
        "SELECT ending, error FROM attempt WHERE lane_id = 'isp' ORDER BY payment_id LIMIT 1",
    )
    .await;
    assert_eq!(closed[0][0].as_deref(), Some("maybe"));
    assert_eq!(
        value(&store, "SELECT failures FROM lane WHERE lane_id = 'isp'").await,
        "0",
        "not the payee's fault"
    );
    assert_eq!(
        value(&store, "SELECT count(*) FROM attempt WHERE ending = 'open'").await,
        "101"
    );
    context.shutdown.cancel();
    runtime::end_within(&context).await;
}
