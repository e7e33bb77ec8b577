//! A payee's books beside ours: found, told, and set right only as far as an operator says so.

use domain::ids::Number;
use domain::reconciliation::Theirs;
use futures::TryStreamExt;
use serde_json::{Value, json};
use store::reconciliation::{self as lists, Item, Run, Source};
use testkit::payee::{Behaviour, Payee, Verb};
use testkit::process::Done;
use testkit::wait_for;

use crate::cli::{Files, done, failed, unigate};
use crate::unikassa::{pay, provider};
use crate::world::{PATIENCE, World};

/// From before any of a test's payments until after all of them.
pub(crate) const PERIOD: [&str; 4] = ["--from", "2020-01-01", "--to", "2099-01-01"];

pub(crate) async fn delivered(world: &World) -> (String, String) {
    let (id, number) = pay(world).await;
    world.reaches(&id, "delivered").await;
    (id, number)
}

/// As if a call had ended without an answer and nobody could say more.
async fn make_unknown(world: &World, id: &str) {
    world
        .sql(&format!(
            "UPDATE payment SET state = 'unknown', maybes = 1, next_act = NULL, due_at = NULL WHERE payment_id = '{id}'"
        ))
        .await;
}

pub(crate) fn entry(number: &str, amount: i64) -> Value {
    json!({
        "number": number, "amount": amount, "currency": "RUB", "credited_at": "2026-01-01T00:00:00Z",
        "provider_reference": format!("there-{number}"),
    })
}

pub(crate) fn lists(payee: &Payee, pages: &[(&[Value], Option<&str>)]) {
    let answers = pages.iter().map(|(items, next)| match next {
        Some(next) => Behaviour::Answer(json!({"items": items, "next": next})),
        None => Behaviour::Answer(json!({ "items": items })),
    });
    payee.script(Verb::List, answers);
}

async fn reconcile(world: &World, more: &[&str]) -> Done {
    let begin: &[&str] = &["deliveries", "reconcile", "isp"];
    unigate(world, &[begin, &PERIOD, &["--format", "json"], more].concat()).await
}

pub(crate) fn findings(done: &Done) -> Vec<(String, String)> {
    let text = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
    let rows = done.rows();
    rows.iter()
        .map(|row| (text(row, "number"), text(row, "finding")))
        .collect()
}

/// The letters of the alphabet but one stand in their order.
fn windows_1251(text: &str) -> Vec<u8> {
    let byte = |c: char| match c {
        'А'..='я' => 0xC0 + (c as u32 - 'А' as u32) as u8,
        other => other as u8,
    };
    text.chars().map(byte).collect()
}

#[tokio::test]
async fn a_payees_list_is_compared_and_set_right_as_far_as_one_says() {
    let (world, payee) = provider("").await;
    let (matched, differing, missing, unknown) = (
        delivered(&world).await,
        delivered(&world).await,
        delivered(&world).await,
        delivered(&world).await,
    );
    make_unknown(&world, &unknown.0).await;
    let amount = world.payment(&matched.0).await.amount;
    // Without a name of the payee's own, the same entry twice may be two credits.
    let mut nameless = entry(&matched.1, amount);
    nameless.as_object_mut().unwrap().remove("provider_reference");
    let first = [entry(&differing.1, amount + 1), nameless.clone()];
    // But pages may overlap, also around one on which a payee says that it has found nothing yet.
    let second = [nameless, entry(&unknown.1, amount), entry("999999999", 500)];
    let pages: [(&[Value], Option<&str>); 3] = [(&first, Some("2")), (&[], Some("3")), (&second, None)];

    lists(&payee, &pages);
    let looked = reconcile(&world, &[]).await;
    assert_eq!(looked.code, Some(1), "{looked:?}");
    let mut expected = vec![
        (differing.1.clone(), "amount_differs".to_owned()),
        (missing.1.clone(), "missing_there".to_owned()),
        (unknown.1.clone(), "not_delivered".to_owned()),
        ("999999999".to_owned(), "missing_here".to_owned()),
    ];
    expected.sort_by_key(|(number, _)| number.parse::<i64>().unwrap());
    assert_eq!(findings(&looked), expected);
    assert!(looked.stderr.contains("matched: 1,"), "{looked:?}");
    assert_eq!(
        world.payment(&unknown.0).await.state.as_str(),
        "unknown",
        "a look changes nothing"
    );
    let asked = payee.requests_of(Verb::List);
    let after = [1, 2].map(|page| asked[page].body["after"].clone());
    assert_eq!(
        after,
        ["2", "3"],
        "each page is asked for by the `next` of the one before"
    );

    let mut events = world.listen("payment.delivered").await;
    lists(&payee, &pages);
    let resolved = reconcile(&world, &["--resolve", "--reason", "their list"]).await;
    assert_eq!(resolved.code, Some(1), "others are left: {resolved:?}");
    assert!(resolved.stderr.contains("1 made delivered"), "{resolved:?}");
    let row = world.payment(&unknown.0).await;
    assert_eq!(row.state.as_str(), "delivered");
    assert_eq!(
        row.provider_reference.as_deref(),
        Some(&*format!("there-{}", unknown.1))
    );
    events.item("payment.delivered", "payment_id", &unknown.0).await;
    let audited = format!(
        "SELECT allowed, reason FROM audit WHERE act = 'deliveries reconcile' AND subject = '{}'",
        unknown.0
    );
    assert_eq!(
        world.sql(&audited).await,
        [[Some("t".to_owned()), Some("their list".to_owned())]]
    );

    lists(&payee, &pages);
    let requeued = reconcile(&world, &["--requeue-missing"]).await;
    assert!(requeued.stderr.contains("1 to be paid"), "{requeued:?}");
    wait_for("the missing payment to be paid again", PATIENCE, async || {
        let asked = payee.requests_of(Verb::Pay);
        let times = asked
            .iter()
            .filter(|request| request.number().as_ref() == Some(&missing.1))
            .count();
        (times == 2).then_some(())
    })
    .await;
    world.reaches(&missing.0, "delivered").await;
    assert_eq!(
        payee.credits(&missing.1),
        1,
        "an idempotent payee credits a number once"
    );
}

#[tokio::test]
async fn a_payee_that_credits_twice_is_paid_again_only_after_two_lists() {
    let (world, payee) = provider("idempotent = false\noffers_status = false").await;
    let (id, _) = delivered(&world).await;
    make_unknown(&world, &id).await;
    let empty: [(&[Value], Option<&str>); 1] = [(&[], None)];
    for _ in 0..2 {
        lists(&payee, &empty);
        let early = reconcile(&world, &["--requeue-missing"]).await;
        assert!(early.stderr.contains("0 to be paid"), "asked too early: {early:?}");
    }
    world
        .sql("UPDATE payment SET last_call_at = last_call_at - interval '1 hour'; DELETE FROM reconciliation")
        .await;
    lists(&payee, &empty);
    let once = reconcile(&world, &["--requeue-missing"]).await;
    assert!(once.stderr.contains("0 to be paid"), "one list is not enough: {once:?}");
    lists(&payee, &empty);
    let twice = reconcile(&world, &["--requeue-missing"]).await;
    assert!(twice.stderr.contains("1 to be paid"), "{twice:?}");
}

#[tokio::test]
async fn a_list_that_breaks_off_proves_nothing() {
    let (world, payee) = provider("idempotent = true").await;
    let (id, _) = delivered(&world).await;
    // An empty page that goes on is one; the same again is none.
    lists(&payee, &[(&[], Some("2")), (&[], Some("2"))]);
    let broken = reconcile(&world, &["--requeue-missing"]).await;
    failed(&broken, 1, "does not go on");
    assert_eq!(world.payment(&id).await.generation, 0);
    assert_eq!(
        world
            .value("SELECT count(*) FROM reconciliation WHERE complete_at IS NULL")
            .await,
        "1"
    );
}

#[tokio::test]
async fn a_file_is_read_as_it_is_written() {
    let (world, _payee) = provider("").await;
    let (id, number) = delivered(&world).await;
    let amount = world.payment(&id).await.amount;
    let major = format!("{},{:02}", amount / 100, amount % 100);
    let files = Files::new();
    let text = format!("Номер;Сумма;Дата;Плательщик\r\n{number};{major};23.11.2026 10:00;Иванов\r\n");
    let utf8 = files.write("list.csv", &text);
    let matched = done(
        &world,
        &[&["deliveries", "reconcile", "isp", &utf8][..], &PERIOD].concat(),
    )
    .await;
    assert!(matched.stdout.contains("matched: 1,"), "{matched:?}");
    let cyrillic = files.write_bytes("list-1251.csv", &windows_1251(&text));
    let wrong = reconcile(&world, &[&cyrillic]).await;
    failed(&wrong, 1, "--encoding windows-1251");
    let right = reconcile(&world, &[&cyrillic, "--encoding", "windows-1251"]).await;
    assert_eq!(right.code, Some(0), "{right:?}");
    let open_quote = format!("Номер;Сумма;Плательщик\r\n{number};{major};\"Иванов\r\n999;1,00;Петров\r\n");
    let swallowed = files.write("quote.csv", &open_quote);
    failed(&reconcile(&world, &[&swallowed]).await, 1, "is its quote closed?");
    // Two lines that look alike may be two credits, where nothing tells them apart.
    let line = format!("{number};{major}\r\n");
    let twice = files.write("twice.csv", &format!("Номер;Сумма\r\n{line}{line}"));
    let doubled = reconcile(&world, &[&twice]).await;
    assert_eq!(findings(&doubled), [(number.clone(), "double_there".to_owned())]);
    let bad = files.write("bad.csv", "number\tamount\n1\t1.5.0\n");
    failed(&reconcile(&world, &[&bad]).await, 1, "line 2");
    let headless = files.write("headless.csv", "txn_id,paid\n1,150.00\n");
    failed(&reconcile(&world, &[&headless]).await, 1, "does not name amount");
}

#[tokio::test]
async fn a_payee_that_is_declared_to_have_no_list_is_not_asked_for_one() {
    let (world, payee) = provider("offers_list = false").await;
    failed(&reconcile(&world, &[]).await, 1, "unikassa.offers_list = false");
    assert!(payee.requests_of(Verb::List).is_empty());
}

/// The period of a list, in its own words.
pub(crate) async fn reconcile_file(world: &World, from: &str, to: &str, file: &str, more: &[&str]) -> Done {
    let begin = [
        "deliveries",
        "reconcile",
        "isp",
        "--format",
        "json",
        "--from",
        from,
        "--to",
        to,
        file,
    ];
    unigate(world, &[&begin[..], more].concat()).await
}

#[tokio::test]
async fn what_was_credited_on_one_day_and_known_on_the_next_is_missing_on_neither() {
    let (world, _payee) = provider("").await;
    let (id, number) = delivered(&world).await;
    let amount = world.payment(&id).await.amount;
    world
        .sql("UPDATE payment SET delivered_at = '2026-11-02T07:00:00Z'")
        .await;
    let files = Files::new();
    let major = format!("{}.{:02}", amount / 100, amount % 100);
    let first = files.write(
        "1.csv",
        &format!("number,amount,credited_at\n{number},{major},2026-11-01 23:59:00\n"),
    );
    let second = files.write("2.csv", "number,amount,credited_at\n");
    let days = ["2026-11-01", "2026-11-02", "2026-11-03"];
    let without = reconcile_file(&world, days[1], days[2], &second, &[]).await;
    assert_eq!(findings(&without), [(number.clone(), "missing_there".to_owned())]);
    for (from, to, file) in [(days[0], days[1], &first), (days[1], days[2], &second)] {
        let looked = reconcile_file(&world, from, to, file, &[]).await;
        assert_eq!(looked.code, Some(0), "{looked:?}");
    }
    // A later list of that day does not have it any more.
    for (from, to, code) in [(days[0], days[1], 0), (days[1], days[2], 1)] {
        let looked = reconcile_file(&world, from, to, &second, &[]).await;
        assert_eq!(looked.code, Some(code), "{looked:?}");
    }
    // The payee's day itself, without it: what an earlier list of that day had is no excuse.
    world
        .sql("UPDATE payment SET delivered_at = '2026-11-01T20:59:30Z'")
        .await;
    let lost = reconcile_file(&world, days[0], days[1], &second, &[]).await;
    assert_eq!(findings(&lost), [(number, "missing_there".to_owned())]);
}

#[tokio::test]
async fn what_was_delivered_and_is_paid_again_may_have_been_credited() {
    let (world, _payee) = provider("").await;
    let (id, _) = delivered(&world).await;
    done(&world, &["deliveries", "pause", "isp", "--reason", "looking"]).await;
    let files = Files::new();
    let empty = files.write("empty.csv", "number,amount\n");
    let requeued = reconcile(&world, &[&empty, "--requeue-missing"]).await;
    assert!(requeued.stderr.contains("1 to be paid"), "{requeued:?}");
    assert_eq!(world.payment(&id).await.state.as_str(), "waiting");
    let revoked = world
        .tell("payment.revoke", &json!({"payment_id": id, "terminal": "T-0001"}))
        .await;
    assert_eq!(revoked["outcome"], "revoking", "the payee has the word: {revoked}");
}

#[tokio::test]
async fn what_an_operator_settled_is_not_paid_by_a_list() {
    let (world, payee) = provider("idempotent = false").await;
    let (id, _) = delivered(&world).await;
    world
        .sql("UPDATE payment SET flags = '{settled_by_operator}', maybes = 0; DELETE FROM attempt")
        .await;
    lists(&payee, &[(&[], None)]);
    let requeued = reconcile(&world, &["--requeue-missing"]).await;
    assert!(requeued.stderr.contains("0 to be paid"), "{requeued:?}");
    assert!(requeued.stdout.contains("settled"), "{requeued:?}");
    assert_eq!(world.payment(&id).await.state.as_str(), "delivered");
}

#[tokio::test]
async fn a_comparison_goes_on_beyond_a_number() {
    let (world, _payee) = provider("").await;
    let mut numbers = Vec::new();
    for _ in 0..3 {
        numbers.push(Number::parse(&delivered(&world).await.1).unwrap());
    }
    let run = Run {
        reconciliation_id: uuid::Uuid::now_v7(),
        payee: "isp".to_owned(),
        from: "2020-01-01T00:00:00Z".parse().unwrap(),
        to: "2099-01-01T00:00:00Z".parse().unwrap(),
    };
    let store = world.store();
    let tx = store.begin().await.unwrap();
    lists::begin(&tx, &run, Source::File, "test").await.unwrap();
    tx.commit().await.unwrap();
    // The second is ours alone.
    let items = [numbers[0], numbers[2]].map(|number| Item {
        number,
        theirs: Theirs {
            amount: 1,
            currency: "RUB".to_owned(),
            credited_at: None,
            provider_reference: None,
        },
    });
    lists::add(store, &run, 1, &items).await.unwrap();
    lists::complete(store, &run, 2).await.unwrap();
    for (after, left) in [
        (None, &numbers[..]),
        (Some(0), &numbers[1..]),
        (Some(1), &numbers[2..]),
        (Some(2), &[]),
    ] {
        let after = after.map(|nth: usize| numbers[nth]);
        let rows = lists::compare(store, &run, after).await.unwrap();
        let found: Vec<Number> = rows.map_ok(|(number, ..)| number).try_collect().await.unwrap();
        assert_eq!(found, left, "after {after:?}");
    }
}
