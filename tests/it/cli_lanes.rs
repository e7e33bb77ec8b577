//! How payees stand, on the command line: whoever takes nothing, is down, paused or suspended is named, with what waits for it and
//! with what to do.

use serde_json::Value;
use testkit::payee::{Behaviour, Verb};
use testkit::wait_for;

use crate::cli::{rows, unigate};
use crate::fixtures::{new_ids, online_payment};
use crate::unikassa::{pay, provider};
use crate::world::{PATIENCE, World};

async fn lane(world: &World) -> Value {
    rows(world, &["deliveries", "lanes"]).await.remove(0)
}

async fn pay_often(world: &World, times: usize) {
    for id in new_ids(times) {
        let answer = world.tell("payment.accepted", &online_payment(&id)).await;
        assert_eq!(answer["outcome"], "accepted", "{answer}");
    }
}

async fn tried(world: &World, calls: usize) {
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
