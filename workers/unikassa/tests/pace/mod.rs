//! When a lane is called: its rate, its quiet hours, and the way out of an outage. On a real database, by its clock.

use std::time::Duration;

use domain::declaration::UnikassaProfile;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use store::Store;
use store::deliveries::{self, Claimed};
use store::lanes::{self, Ask, Asked, Asking, Breaker, Calls, Probe, Probing};
use testkit::stand::Stand;

use crate::{CALL, CALLS, claimed, declare, declare_with, note, note_all, sql, value};

mod hindrances;
mod probes;
mod waits;

const NOBODY: &str = "http://127.0.0.1:9";

/// So many payments that are due, from this number on.
async fn many(store: &Store, payee: &str, first: i64, count: i64, state: &str, due: &str) {
    let text = format!(
        "INSERT INTO payment (payment_id, number, payee_id, payee_version, gateway, terminal_id, account, amount, currency,
             paid_at, accepted_at, state, next_act, due_at, give_up_at)
         SELECT gen_random_uuid(), n, '{payee}', 1, 'unikassa', 'T-1', 'a', 100, 'RUB', now(),
             now() - interval '1 day' + n * interval '1 millisecond', '{state}', 'pay', {due}, now() + interval '1 day'
         FROM generate_series({first}, {first} + {count} - 1) n"
    );
    sql(store, &text).await;
}

/// Every slot is free again, as if the calls had ended. The lane before its slots, as claims do: two at once would otherwise
/// stand in each other's way.
async fn end_calls(store: &Store) {
    let text = "WITH locked AS MATERIALIZED (SELECT lane_id FROM lane ORDER BY lane_id FOR UPDATE)
        UPDATE lane_slot s SET lease_until = '-infinity', token = NULL FROM locked WHERE s.lane_id = locked.lane_id";
    sql(store, text).await;
}

async fn due_in(store: &Store, lane: &str) -> Option<Duration> {
    let due = deliveries::lanes_due(store, &[]).await.unwrap();
    due.into_iter().find(|(of, _)| of == lane).map(|(_, due_in)| due_in)
}

/// A question is answered.
async fn back(store: &Store, lane: &str) -> Option<Breaker> {
    note_all(store, lane, &[(Asking::Question, true)]).await
}

/// Claims of one lane, as much as it gives.
async fn claim(store: &Store, calls: Calls<'_>) -> Vec<Claimed> {
    let (lane, ended) = ("isp", &[]);
    let asks = [Ask {
        lane,
        most: 64,
        calls,
        ended,
    }];
    deliveries::claim(store, &asks, "test").await.unwrap().calls
}

/// The probes that are due.
async fn claim_probes(store: &Store, quiet_until: &dyn Fn(Timestamp) -> Option<Timestamp>) -> Vec<Probe> {
    let probing = |_: &str, now| {
        Some(Probing {
            first: CALL,
            longest: CALL,
            quiet_until: quiet_until(now),
        })
    };
    lanes::claim_probes(store, probing).await.unwrap()
}

#[tokio::test]
async fn calls_begin_at_the_payees_rate_however_many_processes_claim() {
    let stand = Stand::new().await;
    let store = stand.store();
    declare_with(&store, "isp", NOBODY, 50, json!({"rate": {"calls": 50}})).await;
    many(&store, "isp", 1, 60, "accepted", "now()").await;
    let claiming = async |store: Store| {
        let mut taken = 0;
        while value(&store, "SELECT count(*) FROM payment WHERE due_at IS NOT NULL").await != "0" {
            let some = claim(&store, CALLS).await;
            assert!(
                some.len() <= 13,
                "no further ahead than a quarter of a second: {}",
                some.len()
            );
            for one in &some {
                assert!(one.start_in <= Duration::from_millis(250), "{:?}", one.start_in);
            }
            taken += some.len();
            end_calls(&store).await;
        }
        taken
    };
    let (one, other) = tokio::join!(claiming(stand.store()), claiming(stand.store()));
    assert_eq!(one + other, 60);
    let spaced = "SELECT count(*), min(gap) >= interval '20 milliseconds', min(gap)
        FROM (SELECT started_at - lag(started_at) OVER (ORDER BY started_at) AS gap FROM attempt) gaps";
    let found = &sql(&store, spaced).await[0];
    assert_eq!(
        (found[0].as_deref(), found[1].as_deref()),
        (Some("60"), Some("t")),
        "{found:?}"
    );
}

#[tokio::test]
async fn a_question_gets_the_next_call_of_the_rate() {
    let stand = Stand::new().await;
    let store = stand.store();
    declare_with(
        &store,
        "isp",
        NOBODY,
        4,
        json!({"rate": {"calls": 1, "per_seconds": 60}}),
    )
    .await;
    many(&store, "isp", 1, 3, "accepted", "now()").await;
    assert_eq!(claimed(&store, "isp").await, [1]);
    assert!(claimed(&store, "isp").await.is_empty(), "the next is a minute away");
    let due = due_in(&store, "isp").await.unwrap();
    assert!(
        due > Duration::from_secs(50) && due <= Duration::from_secs(60),
        "{due:?}"
    );
    let asked = lanes::take_for_question(&store, "isp", &CALLS).await.unwrap();
    assert!(matches!(asked, Asked::Busy), "{asked:?}");
    sql(&store, "UPDATE lane SET next_call_at = now()").await;
    assert!(
        claimed(&store, "isp").await.is_empty(),
        "it is kept for the question that waits"
    );
    let asked = lanes::take_for_question(&store, "isp", &CALLS).await.unwrap();
    assert!(
        matches!(asked, Asked::Go(_, start_in) if start_in.is_zero()),
        "{asked:?}"
    );
    sql(&store, "UPDATE lane SET next_call_at = now()").await;
    assert_eq!(claimed(&store, "isp").await, [2]);
    // Without a rate there is nothing to wait for.
    declare(&store, "isp", NOBODY, 4).await;
    assert_eq!(claimed(&store, "isp").await, [3]);
}

#[tokio::test]
async fn nothing_is_sent_in_quiet_hours_and_no_step_is_spent() {
    let stand = Stand::new().await;
    let store = stand.store();
    declare(&store, "isp", NOBODY, 4).await;
    many(&store, "isp", 1, 2, "accepted", "now()").await;
    let end = now(&store).await + SignedDuration::from_hours(1);
    let quiet_until = move |now: Timestamp| (now < end).then_some(end);
    let quiet = Calls {
        longest: CALL,
        quiet_until: &quiet_until,
    };
    assert_eq!(due_in(&store, "isp").await, Some(Duration::ZERO));
    assert!(claim(&store, quiet).await.is_empty());
    let due = due_in(&store, "isp").await.unwrap();
    assert!(
        due > Duration::from_secs(3500),
        "nobody looks again before the end: {due:?}"
    );
    let asked = lanes::take_for_question(&store, "isp", &quiet).await.unwrap();
    assert!(matches!(asked, Asked::Quiet(until) if until.duration_since(end).abs() < SignedDuration::from_millis(1)));
    let untouched =
        "SELECT count(*) FROM payment WHERE state = 'accepted' AND attempts = 0 AND step = 0 AND due_at <= now()";
    assert_eq!(value(&store, untouched).await, "2");
    // No probe either.
    for _ in 0..5 {
        note(&store, "isp", false).await;
    }
    sql(&store, "UPDATE lane SET probe_at = now()").await;
    assert!(claim_probes(&store, &quiet_until).await.is_empty());
    assert_eq!(
        value(&store, "SELECT probe_at > now() + interval '59 minutes' FROM lane").await,
        "t"
    );
    // Other hours are declared: they hold from the next look on.
    note(&store, "isp", true).await;
    declare_with(&store, "isp", NOBODY, 4, json!({"timeout_seconds": 3})).await;
    assert_eq!(due_in(&store, "isp").await, Some(Duration::ZERO));
    assert_eq!(claimed(&store, "isp").await, [1, 2]);
}

/// The database's clock, which everything here is judged by.
async fn now(store: &Store) -> Timestamp {
    let text = "SELECT to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')";
    value(store, text).await.parse().unwrap()
}

#[test]
fn a_profiles_quiet_hours_are_what_claims_ask_for() {
    let profile: UnikassaProfile = serde_json::from_value(json!({
        "url": "https://isp.example", "time_zone": "Asia/Novosibirsk",
        "quiet_hours": [{"from": "23:00", "to": "01:00"}]
    }))
    .unwrap();
    let quiet = |now: &str| {
        profile
            .online()
            .quiet_until(now.parse().unwrap())
            .map(|until| until.to_string())
    };
    assert_eq!(quiet("2026-11-26T16:30:00Z").as_deref(), Some("2026-11-26T18:00:00Z"));
    assert_eq!(quiet("2026-11-26T18:00:00Z"), None);
}

#[tokio::test]
async fn a_full_lane_is_not_looked_at_before_a_slot_is_free() {
    let stand = Stand::new().await;
    let store = stand.store();
    declare(&store, "hangs", NOBODY, 2).await;
    declare(&store, "isp", NOBODY, 2).await;
    many(&store, "hangs", 1, 10, "accepted", "now()").await;
    many(&store, "isp", 11, 10, "accepted", "now()").await;
    assert_eq!(claimed(&store, "hangs").await, [1, 2]);
    let due = due_in(&store, "hangs").await.unwrap();
    assert!(due > CALL, "until the leases end: {due:?}");
    assert_eq!(due_in(&store, "isp").await, Some(Duration::ZERO));
    sql(
        &store,
        "UPDATE lane_slot SET lease_until = now() + interval '7 seconds' WHERE lane_id = 'hangs' AND slot = 2",
    )
    .await;
    let due = due_in(&store, "hangs").await.unwrap();
    assert!(due <= Duration::from_secs(7), "{due:?}");
}

#[tokio::test]
async fn a_payee_that_is_back_gets_all_that_waits_oldest_first_and_each_once() {
    let stand = Stand::new().await;
    let store = stand.store();
    declare(&store, "isp", NOBODY, 64).await;
    many(&store, "isp", 1, 12_000, "waiting", "now() + interval '3 hours'").await;
    // Accepted while it was down, never tried, and younger than all of them.
    many(&store, "isp", 20_000, 100, "accepted", "now()").await;
    for _ in 0..5 {
        note(&store, "isp", false).await;
    }
    assert_eq!(note(&store, "isp", true).await, Some(Breaker::Closed));
    let mut order = Vec::new();
    loop {
        let some = claimed(&store, "isp").await;
        if some.is_empty() {
            break;
        }
        if order.is_empty() {
            // One fails again at once: it has had its turn, and its schedule counts.
            sql(
                &store,
                "UPDATE payment SET state = 'waiting', next_act = 'pay', due_at = now() + interval '1 hour' WHERE number = 5;
                 UPDATE attempt SET ending = 'not_sent', ended_at = now()
                 WHERE payment_id = (SELECT payment_id FROM payment WHERE number = 5)",
            )
            .await;
        }
        order.extend(some);
        end_calls(&store).await;
    }
    let expected: Vec<i64> = (1..=12_000).chain(20_000..20_100).collect();
    assert!(order == expected, "{} of {}", order.len(), expected.len());
    assert_eq!(value(&store, "SELECT recovered_to IS NULL FROM lane").await, "t");
}

#[tokio::test]
async fn questions_that_are_answered_hide_no_payments_that_fail() {
    let stand = Stand::new().await;
    let store = stand.store();
    declare(&store, "isp", NOBODY, 4).await;
    many(&store, "isp", 1, 10, "waiting", "now() + interval '3 hours'").await;
    for _ in 0..4 {
        assert_eq!(note(&store, "isp", false).await, None);
        assert_eq!(back(&store, "isp").await, None);
    }
    assert_eq!(note(&store, "isp", false).await, Some(Breaker::Opened));
    // Asked again and again, it is there; that it can be paid is for a payment to show.
    for _ in 0..2 {
        assert_eq!(back(&store, "isp").await, None);
        assert_eq!(value(&store, "SELECT breaker FROM lane").await, "trial");
    }
    assert_eq!(note(&store, "isp", true).await, Some(Breaker::Closed));
    // Questions that fail open it too, and one that is answered in between is enough to keep it closed.
    for answered in [false, false, false, false, true, false, false, false, false] {
        let noted = note_all(&store, "isp", &[(Asking::Question, answered)]).await;
        assert_eq!(noted, None);
    }
    let noted = note_all(&store, "isp", &[(Asking::Question, false)]).await;
    assert_eq!(noted, Some(Breaker::Opened));
}

#[tokio::test]
async fn calls_recorded_together_say_what_they_would_one_by_one() {
    const NOT_PAID: (Asking, bool) = (Asking::Payment, false);
    const ANSWERED: (Asking, bool) = (Asking::Question, true);
    let stand = Stand::new().await;
    let store = stand.store();
    declare(&store, "isp", NOBODY, 4).await;
    many(&store, "isp", 1, 10, "waiting", "now() + interval '3 hours'").await;
    let failing = [NOT_PAID, NOT_PAID, ANSWERED, NOT_PAID, ANSWERED];
    assert_eq!(note_all(&store, "isp", &failing).await, None);
    assert_eq!(note_all(&store, "isp", &failing).await, Some(Breaker::Opened));
    assert_eq!(note_all(&store, "isp", &[ANSWERED, NOT_PAID]).await, None);
    // One that is paid ends it, whatever came before it in the same record.
    let ended = note_all(&store, "isp", &[NOT_PAID, ANSWERED, (Asking::Payment, true), NOT_PAID]).await;
    assert_eq!(ended, Some(Breaker::Closed));
    let counted = "SELECT failures || ' ' || unpaid || ' ' || probe_count FROM lane";
    assert_eq!(value(&store, counted).await, "1 1 0");
}

/// What a plan touched: buffers; rows of payments and attempts that were read in vain; and whether it went through one of
/// these tables as a whole.
fn touched(plan: &Value) -> (u64, u64, bool) {
    let count = |name: &str| plan[name].as_u64().unwrap_or(0);
    let large = plan["Relation Name"] == "payment" || plan["Relation Name"] == "attempt";
    let removed = count("Rows Removed by Filter") + count("Rows Removed by Index Recheck");
    let vain = if large {
        removed * count("Actual Loops").max(1)
    } else {
        0
    };
    let whole = large && plan["Node Type"] == "Seq Scan";
    let buffers = count("Shared Hit Blocks") + count("Shared Read Blocks");
    let below = plan["Plans"].as_array().into_iter().flatten().map(touched);
    // Buffers of a node hold those of the nodes below it.
    below.fold((buffers, vain, whole), |sum, one| {
        (sum.0.max(one.0), sum.1 + one.1, sum.2 || one.2)
    })
}

#[tokio::test]
async fn with_a_hundred_thousand_waiting_a_claim_and_a_sweep_touch_a_few_rows() {
    let stand = Stand::new().await;
    let store = stand.store();
    for lane in ["down", "slow", "isp"] {
        declare(&store, lane, NOBODY, 4).await;
    }
    many(&store, "down", 1, 50_000, "waiting", "now() + interval '3 hours'").await;
    many(&store, "slow", 50_001, 50_000, "accepted", "now()").await;
    many(&store, "isp", 100_001, 10, "accepted", "now()").await;
    sql(
        &store,
        "INSERT INTO attempt (attempt_id, payment_id, ordinal, act, lane_id, slot, worker, lease_until, ending, ended_at)
         SELECT gen_random_uuid(), payment_id, 1, 'pay', payee_id, 1, 'w', now(), 'not_sent', now() FROM payment
         WHERE payee_id = 'down'",
    )
    .await;
    sql(&store, "ANALYZE payment, attempt, lane, lane_slot").await;
    for lane in ["down", "slow", "isp"] {
        for (name, query, params) in store::scratch::lane_queries(lane) {
            for mode in ["force_custom_plan", "force_generic_plan"] {
                let text = format!(
                    "BEGIN; SET LOCAL plan_cache_mode = {mode}; PREPARE looked AS {query};
                     EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) EXECUTE looked {params}; ROLLBACK"
                );
                let found = stand.store();
                let rows = sql(&found, &text).await;
                let plan: Value = serde_json::from_str(rows[0][0].as_deref().unwrap()).unwrap();
                let (buffers, vain, whole) = touched(&plan[0]["Plan"]);
                let of = format!("{name} of {lane}, {mode}: {buffers} buffers, {vain} rows in vain\n{plan:#}");
                assert!(buffers <= 200 && vain <= 20 && !whole, "{of}");
            }
        }
    }
}
