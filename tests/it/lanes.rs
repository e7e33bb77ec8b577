//! A payee's lane, end to end: who is slow, down or left alone costs nobody else anything; and trying a profile by hand.

use futures::future::join_all;
use serde_json::{Value, json};
use testkit::payee::{Behaviour, Payee, Verb};
use testkit::wait_for;

use crate::cli::{Files, done, failed, unigate};
use crate::fixtures::{SECRET, about, new_id, new_ids, online_payee, online_payment};
use crate::unikassa::{ONLINE, pay, provider};
use crate::world::{PATIENCE, World, refused, with};
use contract::webhook::Secrets;

async fn another(world: &World, id: &str, more: &str) -> Payee {
    let payee = Payee::start_signed(Secrets::parse(SECRET).unwrap()).await.unwrap();
    world.payee(&online_payee(id, &payee.url(), more)).await;
    payee
}

fn check(payee: &str) -> Value {
    json!({
        "payment_id": new_id(), "terminal": "T-0001", "payee": payee, "account": "user-17", "amount": 50000,
        "currency": "RUB"
    })
}

#[tokio::test]
async fn a_payee_that_hangs_slows_no_other() {
    // Longer than the rest takes, however busy the machine is: it hangs to the end.
    let (world, slow) = provider("timeout_seconds = 60\nconcurrency = 2").await;
    let quick = another(&world, "quick", "").await;
    slow.always(Verb::Pay, Behaviour::Hold);
    slow.always(Verb::Check, Behaviour::Hold);
    let payments: Vec<_> = new_ids(100).iter().map(|id| online_payment(id)).collect();
    join_all(payments.iter().map(|payment| world.tell("payment.accepted", payment))).await;
    slow.wait_for_requests(Verb::Pay, 2, PATIENCE).await;
    // More questions than one payee may have waiting, and more than there are slots.
    let asking: Vec<_> = (0..200)
        .map(|_| {
            let frontend = world.frontend.clone();
            let question = bus::frontend::Message::new("payment.check", check("isp").to_string());
            tokio::spawn(async move { crate::world::ask_through(&frontend, &question).await })
        })
        .collect();
    let answer = world.ask("payment.check", &check("quick")).await;
    assert_eq!(answer["outcome"], "payable", "{answer}");
    let payments: Vec<_> = new_ids(50)
        .iter()
        .map(|id| with(online_payment(id), "payee", json!("quick")))
        .collect();
    join_all(payments.iter().map(|payment| world.tell("payment.accepted", payment))).await;
    quick.wait_for_credits(50, PATIENCE).await;
    assert_eq!(slow.requests_of(Verb::Pay).len(), 2, "it got no more than it takes");
    for asked in asking {
        assert_eq!(asked.await.unwrap()["outcome"], "unavailable");
    }
    slow.release();
}

#[tokio::test]
async fn a_payee_that_answers_questions_and_fails_to_be_paid_is_down_once() {
    let (world, payee) = provider("concurrency = 2\nretry_seconds = [600]").await;
    let mut events = world.listen("payee.*").await;
    payee.always(Verb::Pay, Behaviour::status(500));
    for id in new_ids(60) {
        world.tell("payment.accepted", &online_payment(&id)).await;
    }
    events.item("payee.down", "payee", "isp").await;
    // Three probes are answered; each lets one payment through, which fails.
    wait_for("three payments to be tried", PATIENCE, async || {
        world
            .sql("UPDATE lane SET probe_at = clock_timestamp() WHERE breaker = 'open'")
            .await;
        world.context.nudge(runtime::Nudge::Probes);
        (payee.requests_of(Verb::Status).len() >= 3 && payee.requests_of(Verb::Pay).len() >= 8).then_some(())
    })
    .await;
    let pays = payee.requests_of(Verb::Pay).len();
    let probes = payee.requests_of(Verb::Status).len();
    assert!(pays <= 6 + probes, "{pays} were paid with {probes} probes");
    assert_eq!(
        (
            events.all(&world, "payee.down").await.len(),
            events.all(&world, "payee.up").await.len()
        ),
        (1, 0)
    );
    payee.always(Verb::Pay, Behaviour::Accept);
    world
        .sql("UPDATE lane SET probe_at = clock_timestamp() WHERE breaker = 'open'")
        .await;
    payee.wait_for_credits(60, PATIENCE).await;
    events.item("payee.up", "payee", "isp").await;
    assert_eq!(
        (
            events.all(&world, "payee.down").await.len(),
            events.all(&world, "payee.up").await.len()
        ),
        (1, 1)
    );
    // And whoever watches over the installation was told as often.
    let notices = world
        .sql("SELECT kind, subject, times FROM notice ORDER BY first_at")
        .await;
    let notices: Vec<_> = notices.iter().map(|row| row[0].as_deref().unwrap()).collect();
    assert_eq!(notices, ["payee.down", "payee.up"]);
    let told = world
        .value("SELECT title || ' ' || array_to_string(lines, ' ') FROM notice WHERE kind = 'payee.down'")
        .await;
    assert!(
        told.contains("Payee isp is down") && told.contains("HTTP 500"),
        "{told}"
    );
}

#[tokio::test]
async fn a_payee_that_is_busy_gets_no_call_before_it_said_and_nobody_is_told_that_it_is_down() {
    let (world, payee) = provider("concurrency = 8\nretry_seconds = [1]").await;
    let busy = Behaviour::Status {
        code: 429,
        headers: vec![("retry-after".to_owned(), "600".to_owned())],
    };
    payee.always(Verb::Pay, busy);
    let payments: Vec<_> = new_ids(30).iter().map(|id| online_payment(id)).collect();
    join_all(payments.iter().map(|payment| world.tell("payment.accepted", payment))).await;
    wait_for("what was begun to end", PATIENCE, async || {
        let (open, ended) = (
            "SELECT count(*) FROM attempt WHERE ending = 'open'",
            "SELECT count(*) FROM attempt WHERE ending = 'maybe'",
        );
        (world.value(open).await == "0" && world.value(ended).await != "0").then_some(())
    })
    .await;
    world.hurry().await;
    let answer = world.ask("payment.check", &check("isp")).await;
    assert_eq!(answer["outcome"], "unavailable", "{answer}");
    let made = payee.requests().len();
    assert!(made <= 8, "{made} calls, and all slots were taken once");
    let lane = "SELECT breaker || ' ' || failures || ' ' || (wait_until > now() + interval '9 minutes') FROM lane";
    assert_eq!(world.value(lane).await, "closed 1 true");

    let ill = unigate(&world, &["doctor"]).await.stdout;
    assert!(ill.contains("wants to be left alone until"), "{ill}");
    payee.always(Verb::Pay, Behaviour::Accept);
    // Somebody has heard that it takes payments again, and finds it so.
    done(&world, &["payees", "probe", "isp"]).await;
    world.hurry().await;
    payee.wait_for_credits(30, PATIENCE).await;
    let events = "SELECT count(*) FROM notice";
    assert_eq!(world.value(events).await, "0", "it was there all the time");
}

#[tokio::test]
async fn a_payee_that_is_not_available_for_long_is_down_at_once() {
    let (world, payee) = provider("concurrency = 1\nretry_seconds = [600]").await;
    let in_maintenance = Behaviour::Status {
        code: 503,
        headers: vec![("retry-after".to_owned(), "600".to_owned())],
    };
    payee.always(Verb::Pay, in_maintenance);
    world.tell("payment.accepted", &online_payment(&new_id())).await;
    wait_for("its breaker to open", PATIENCE, async || {
        (world.value("SELECT breaker FROM lane").await == "open").then_some(())
    })
    .await;
    let ill = unigate(&world, &["doctor"]).await.stdout;
    let about_it: Vec<&str> = ill
        .lines()
        .filter(|line| line.starts_with("warn") && line.contains("payee isp"))
        .collect();
    assert_eq!(about_it.len(), 1, "one cause: {ill}");
    assert!(
        ill.contains("is down since") && ill.contains("wants to be left alone until"),
        "{ill}"
    );
    let told = "SELECT count(*) FROM notice WHERE kind = 'payee.down'";
    assert_eq!(world.value(told).await, "1");
    assert_eq!(payee.requests().len(), 1);
    payee.always(Verb::Pay, Behaviour::Accept);
    done(&world, &["payees", "probe", "isp"]).await;
    world.hurry().await;
    payee.wait_for_credits(1, PATIENCE).await;
}

#[tokio::test]
async fn a_payee_gets_no_more_calls_than_its_rate() {
    let (world, payee) = provider("concurrency = 10\nrate = { calls = 10 }").await;
    let other = world.another(&ONLINE, |_| {}).await;
    for id in new_ids(15) {
        world.tell("payment.accepted", &online_payment(&id)).await;
    }
    payee.wait_for_credits(15, PATIENCE).await;
    let gap = "SELECT min(gap) >= interval '100 milliseconds' FROM (
        SELECT started_at - lag(started_at) OVER (ORDER BY started_at) AS gap FROM attempt) gaps";
    assert_eq!(world.value(gap).await, "t");
    crate::world::end(&other).await;
}

#[tokio::test]
async fn in_its_quiet_hours_a_payee_is_left_alone_and_payments_wait() {
    // From an hour ago to two hours ahead, whatever the time is.
    let hour = |from_now: i64| {
        (domain::clock::now() + jiff::SignedDuration::from_hours(from_now))
            .strftime("%H:%M")
            .to_string()
    };
    let quiet = format!("quiet_hours = [{{ from = \"{}\", to = \"{}\" }}]", hour(-1), hour(2));
    let (world, payee) = provider(&quiet).await;
    let (id, number) = pay(&world).await;
    let answer = world.ask("payment.check", &check("isp")).await;
    assert_eq!(answer["outcome"], "unavailable", "{answer}");
    assert!(
        answer["detail"].as_str().unwrap().contains("takes no calls until"),
        "{answer}"
    );
    wait_for("the lane to be seen as quiet", PATIENCE, async || {
        let seen = world
            .value("SELECT quiet_until > clock_timestamp() + interval '1 hour' FROM lane")
            .await;
        (seen == "t").then_some(())
    })
    .await;
    let row = world.payment(&id).await;
    assert_eq!((row.shown_state.as_str(), row.attempts), ("accepted", 0), "{row:?}");
    assert!(payee.requests().is_empty());
    // They are over: declared away here, by the clock elsewhere.
    world.payee(&online_payee("isp", &payee.url(), "")).await;
    world.reaches(&id, "delivered").await;
    assert_eq!(payee.credits(&number), 1);
}

#[tokio::test]
async fn what_a_payee_does_not_offer_is_not_asked_of_it() {
    let (world, payee) =
        provider("offers_check = false\noffers_status = false\nidempotent = false\nretry_seconds = [600]").await;
    let answer = world.ask("payment.check", &check("isp")).await;
    assert_eq!(
        (&answer["outcome"], &answer["display"]),
        (&json!("payable"), &json!("Internet provider")),
        "{answer}"
    );
    refused(
        &world
            .ask("payment.check", &with(check("isp"), "amount", json!(1)))
            .await,
        "amount_out_of_range",
        "amount",
    );
    // Neither can it be asked what became of a payment, nor to take it back.
    payee.script(Verb::Pay, [Behaviour::status(500).after_credit()]);
    let (id, _) = pay(&world).await;
    world.reaches(&id, "unknown").await;
    refused(
        &world.tell("payment.revoke", &about("payment_id", &id)).await,
        "not_revocable",
        "",
    );
    let not = unigate(&world, &["deliveries", "requeue", &id]).await;
    assert_eq!(not.code, Some(1), "{not:?}");
    let told = format!("{}{}", not.stdout, not.stderr);
    assert!(told.contains("--certain"), "{told}");
    assert!(payee.requests().iter().all(|request| request.verb == Some(Verb::Pay)));
}

#[tokio::test]
async fn a_profile_is_tried_step_by_step() {
    let (world, payee) = provider("").await;
    world.stop().await;
    let steps = async |arguments: &[&str], code: i32| {
        let tried = unigate(
            &world,
            &[&["payees", "probe", "isp", "--format", "json"], arguments].concat(),
        )
        .await;
        assert_eq!(tried.code, Some(code), "{tried:?}");
        tried.rows()
    };
    let names = |rows: &[Value]| {
        rows.iter()
            .map(|row| row["step"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let greeted = steps(&[], 0).await;
    assert_eq!(names(&greeted), ["profile", "name", "connection", "greeting"]);
    let checked = steps(&["--account", "user-17"], 0).await;
    assert!(
        checked[3]["found"].as_str().unwrap().contains("may be paid"),
        "{checked:?}"
    );
    assert_eq!(payee.requests_of(Verb::Check)[0].body["account"], "user-17");
    payee.script(Verb::Check, [Behaviour::status(401)]);
    let wrong = steps(&["--account", "user-17"], 1).await;
    assert!(wrong[3]["found"].as_str().unwrap().contains("signature"), "{wrong:?}");
    payee.down().await;
    let away = steps(&[], 1).await;
    assert_eq!(
        (names(&away).last().unwrap().as_str(), &away[2]["outcome"]),
        ("connection", &json!("failed"))
    );
    assert!(
        away[2]["found"].as_str().unwrap().contains("nobody listens"),
        "{away:?}"
    );
    // It changed nothing, left every slot free, and is in the audit log.
    let left = "SELECT (SELECT count(*) FROM payment) + (SELECT count(*) FROM lane_slot WHERE lease_until > now())
        + (SELECT failures FROM lane)";
    assert_eq!(world.value(left).await, "0");
    assert_eq!(
        world
            .value("SELECT count(*) FROM audit WHERE act = 'payees probe' AND allowed")
            .await,
        "4"
    );
    world
        .sql("UPDATE lane_slot SET lease_until = now() + interval '1 hour'")
        .await;
    failed(
        &unigate(&world, &["payees", "probe", "isp"]).await,
        1,
        "all its slots are taken",
    );
    assert_eq!(
        world
            .value("SELECT count(*) FROM audit WHERE act = 'payees probe' AND NOT allowed")
            .await,
        "1"
    );
    failed(
        &unigate(&world, &["payees", "probe", "nobody"]).await,
        1,
        "no payee nobody is declared",
    );
}

#[tokio::test]
async fn secrets_of_a_profile_are_shown_to_nobody() {
    let world = crate::faults::bare().await;
    let files = Files::new();
    let declared = online_payee(
        "isp",
        "http://127.0.0.1:9/",
        "previous_secret = \"whsec_b2xkLXNlY3JldA==\"\nbasic = { user = \"unigate\", password = \"pass-word-17\" }",
    );
    files.write("payees/isp.toml", &declared);
    let directory = files.path().join("payees").display().to_string();
    done(&world, &["payees", "apply", &directory]).await;
    let shown = done(&world, &["payees", "show", "isp", "--format", "json"]).await;
    let audited = world
        .value("SELECT string_agg(coalesce(before::text, '') || coalesce(after::text, ''), '') FROM audit")
        .await;
    for text in [&shown.stdout, &audited] {
        for secret in [SECRET, "b2xkLXNlY3JldA", "pass-word-17"] {
            assert!(!text.contains(secret), "{text}");
        }
        assert!(text.contains("(secret)"), "{text}");
    }
}
