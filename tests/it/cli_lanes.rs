//! How payees stand, on the command line: whoever takes nothing, is down, paused or suspended is named, with what waits for it and
//! with what to do.

use serde_json::{Value, json};
use testkit::payee::{Behaviour, Verb};
use testkit::wait_for;

use crate::cli::{done, failed, rows, unigate};
use crate::fixtures::{internet_provider, new_ids, online_payment};
use crate::unikassa::{pay, provider};
use crate::world::{PATIENCE, World};

/// The one payee, as it is listed.
pub(crate) async fn lane(world: &World) -> Value {
    rows(world, &["deliveries", "lanes"]).await.remove(0)
}

/// Takes so many payments.
pub(crate) async fn pay_often(world: &World, times: usize) {
    for id in new_ids(times) {
        let answer = world.tell("payment.accepted", &online_payment(&id)).await;
        assert_eq!(answer["outcome"], "accepted", "{answer}");
    }
}

/// So many calls have ended.
pub(crate) async fn tried(world: &World, calls: usize) {
    let ended = "SELECT count(*) FROM attempt WHERE ending <> 'open'";
    wait_for("calls to end", PATIENCE, async || {
        (world.value(ended).await == calls.to_string()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_payee_that_takes_none_of_our_requests_is_told_of_once_until_it_takes_one() {
    let (world, payee) = provider("retry_seconds = [600]").await;
    let told = "SELECT coalesce(string_agg(title || ' x' || times, ', '), 'nothing') FROM notice";
    let takes_none = "takes none of our requests: HTTP 401";
    payee.always(Verb::Pay, Behaviour::status(401));
    pay_often(&world, 4).await;
    tried(&world, 4).await;
    assert_eq!(world.value(told).await, "nothing", "four may be about the payments");
    // One that may have been credited says nothing of it either way.
    payee.always(Verb::Pay, Behaviour::status(429));
    pay_often(&world, 1).await;
    tried(&world, 5).await;
    payee.always(Verb::Pay, Behaviour::status(401));
    pay_often(&world, 4).await;
    tried(&world, 9).await;
    assert_eq!(world.value(told).await, format!("Payee isp {takes_none} x1"));
    let stands = lane(&world).await;
    assert_eq!(stands["breaker"], "closed");
    assert!(stands["last_error"].as_str().unwrap().contains("HTTP 401"), "{stands}");
    let ill = unigate(&world, &["doctor"]).await.stdout;
    assert!(ill.contains(takes_none), "{ill}");

    payee.always(Verb::Pay, Behaviour::Accept);
    let (id, _) = pay(&world).await;
    world.reaches(&id, "delivered").await;
    assert_eq!(lane(&world).await["last_error"], Value::Null);
    let well = unigate(&world, &["doctor"]).await.stdout;
    assert!(!well.contains(takes_none), "{well}");
    payee.always(Verb::Pay, Behaviour::status(401));
    pay_often(&world, 6).await;
    tried(&world, 16).await;
    let events = "SELECT count(*) FROM event WHERE kind LIKE 'payee.%'";
    assert_eq!(world.value(told).await, format!("Payee isp {takes_none} x2"));
    assert_eq!(world.value(events).await, "0", "it is not down");
}

#[tokio::test]
async fn a_secret_that_is_wrong_again_is_told_of_again_and_a_payee_that_is_retired_is_nobodys_business() {
    let (world, payee) = provider("retry_seconds = [600]").await;
    let told = "SELECT coalesce(sum(times), 0) FROM notice WHERE kind = 'payee.refuses_requests'";
    let warned = async || {
        unigate(&world, &["doctor"])
            .await
            .stdout
            .contains("takes none of our requests")
    };
    payee.always(Verb::Pay, Behaviour::status(401));
    pay_often(&world, 6).await;
    tried(&world, 6).await;
    assert_eq!((world.value(told).await, warned().await), ("1".to_owned(), true));
    // What is not of its profile mends nothing.
    let same = internet_provider(&payee.url(), "retry_seconds = [600]").replace("Internet provider", "Netline");
    world.payee(&same).await;
    assert!(warned().await);
    world
        .payee(&internet_provider(&payee.url(), "retry_seconds = [601]"))
        .await;
    assert!(!warned().await, "whether this one is right nobody knows yet");
    assert_eq!(lane(&world).await["last_error"], Value::Null);
    pay_often(&world, 6).await;
    tried(&world, 12).await;
    assert_eq!((world.value(told).await, warned().await), ("2".to_owned(), true));

    let retired = format!(
        "retired = true\n{}",
        internet_provider(&payee.url(), "retry_seconds = [601]")
    );
    world.payee(&retired).await;
    assert!(warned().await, "payments wait for it still");
    world
        .sql("UPDATE payment SET state = 'failed', next_act = NULL, due_at = NULL")
        .await;
    assert!(!warned().await);
}

#[tokio::test]
async fn what_waits_for_a_payee_that_is_down_is_counted_and_goes_when_an_operator_finds_it_back() {
    let (world, payee) = provider("retry_seconds = [600]\nprobe_seconds = 600").await;
    payee.down().await;
    pay_often(&world, 12).await;
    wait_for("the breaker to open", PATIENCE, async || {
        (world.value("SELECT breaker FROM lane").await == "open").then_some(())
    })
    .await;
    assert_eq!(lane(&world).await["waiting"], json!(12));
    let ill = unigate(&world, &["doctor"]).await.stdout;
    assert!(ill.contains("12 payments wait for it"), "{ill}");
    world
        .sql("UPDATE payment SET due_at = now() WHERE state = 'waiting'")
        .await;
    let requeue = ["deliveries", "requeue", "--payee", "isp", "--state", "waiting"];
    let dry = [&requeue[..], &["--dry-run"]].concat();
    for asked in [&dry[..], &requeue] {
        let refused = unigate(&world, asked).await;
        let told = "not: is due already; payee isp is down and is asked again at 20";
        assert!(refused.code == Some(1) && refused.stdout.contains(told), "{refused:?}");
    }

    failed(&unigate(&world, &["payees", "probe", "isp"]).await, 1, "");
    let later = "SELECT probe_at > now() + interval '1 minute' FROM lane";
    assert_eq!(world.value(later).await, "t", "nobody found it back");
    payee.up().unwrap();
    let found = done(&world, &["payees", "probe", "isp"]).await;
    assert!(found.stderr.contains("is asked again now"), "{found:?}");
    payee.wait_for_credits(12, PATIENCE).await;
    let audited = "SELECT count(*) FROM audit WHERE act = 'payees probe' AND after ->> 'asked_again' = 'now'";
    assert_eq!(world.value(audited).await, "1");
}

#[tokio::test]
async fn a_payee_that_is_suspended_is_called_so_wherever_its_payments_are_looked_for() {
    let (world, payee) = provider("").await;
    done(&world, &["payees", "suspend", "isp", "--reason", "their audit"]).await;
    let (id, _) = pay(&world).await;
    let stands = lane(&world).await;
    assert_eq!(
        (&stands["why"], &stands["paused_by"], &stands["paused_reason"]),
        (&json!("suspended"), &json!("tester"), &json!("their audit"))
    );
    let what_to_do = "its payee is suspended: `unigate payees resume isp`";
    let groups = rows(&world, &["deliveries", "groups", "--state", "stopped"]).await;
    assert_eq!(
        (groups.len(), &groups[0]["state"], &groups[0]["count"]),
        (1, &json!("stopped"), &json!(1))
    );
    let group = groups[0]["group"].as_str().unwrap();
    let requeued = unigate(&world, &["deliveries", "requeue", "--group", group, "--dry-run"]).await;
    assert!(requeued.stdout.contains("its payee is suspended"), "{requeued:?}");
    for words in [
        &["deliveries", "resume", &id][..],
        &["deliveries", "requeue", &id],
        &["deliveries", "unpause", "isp"],
    ] {
        let refused = unigate(&world, &[words, &["--reason", "they called"]].concat()).await;
        failed(&refused, 1, what_to_do);
    }
    done(&world, &["deliveries", "pause", "isp", "--reason", "a backup"]).await;
    let stands = lane(&world).await;
    assert_eq!(
        (&stands["why"], &stands["paused_reason"]),
        (&json!("suspended, paused"), &json!("a backup"))
    );
    let ill = unigate(&world, &["doctor"]).await.stdout;
    assert!(ill.contains("a backup; 1 payments wait for it"), "{ill}");
    done(&world, &["payees", "resume", "isp", "--reason", "over"]).await;
    assert_eq!(lane(&world).await["why"], "paused");
    let refused = unigate(&world, &["deliveries", "requeue", &id]).await;
    failed(&refused, 1, "is due already; payee isp is paused");
    done(&world, &["deliveries", "unpause", "isp", "--reason", "over"]).await;
    assert_eq!(lane(&world).await["why"], Value::Null);
    payee.wait_for_credits(1, PATIENCE).await;
}

#[tokio::test]
async fn payments_are_named_by_their_numbers_as_well() {
    let (world, payee) = provider("").await;
    done(&world, &["deliveries", "pause", "isp", "--reason", "a backup"]).await;
    let ((_, number), (other, others)) = (pay(&world).await, pay(&world).await);
    let stop = ["deliveries", "stop", &number, &other, "--reason", "a dispute"];
    let stopped = done(&world, &stop).await;
    assert!(stopped.stdout.starts_with("2 stopped"), "{stopped:?}");
    done(&world, &["deliveries", "resume", &others, "--reason", "settled"]).await;
    let settle = ["--as", "refused", "--reason", "their letter"];
    let settled = done(&world, &[&["deliveries", "settle", &number][..], &settle].concat()).await;
    assert!(settled.stdout.contains("is settled as refused"), "{settled:?}");
    let again = done(&world, &["deliveries", "requeue", &number, "--dry-run"]).await;
    assert!(again.stdout.starts_with("1 would be requeued"), "{again:?}");
    let nobody = [&["deliveries", "settle", "999999"][..], &settle].concat();
    failed(&unigate(&world, &nobody).await, 1, "no payment has number 999999");
    failed(
        &unigate(&world, &["deliveries", "stop", "17-B", "--reason", "x"]).await,
        2,
        "neither a payment_id nor a number",
    );
    done(&world, &["deliveries", "unpause", "isp", "--reason", "over"]).await;
    world.reaches(&other, "delivered").await;
    assert_eq!(payee.requests_of(Verb::Pay).len(), 1);
}
