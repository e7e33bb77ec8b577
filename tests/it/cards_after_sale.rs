//! What follows a sale, through messages and commands alone: faulty cards, replacements, cases settled once.

use serde_json::{Value, json};
use testkit::process::Process;

use crate::cli::{done, failed, rows, unigate};
use crate::faults::{bare, environment};
use crate::fixtures::{MTS, about, new_id, reservation, sale};
use crate::world::{World, refused, with};

/// A shop with the real program behind it. Given back too: it ends when it is dropped.
async fn shop(product: &str, cards: usize) -> (World, Process) {
    let world = bare().await;
    world.product(product).await;
    world.cards("mts-100", 1, cards).await;
    let process = Process::start_ready(&environment(&world, &[]), &["run", "cards"]).await;
    (world, process)
}

async fn sold(world: &World, amount: i64) -> String {
    let id = new_id();
    assert_eq!(
        world.ask("card.reserve", &reservation(&id)).await["outcome"],
        "reserved"
    );
    let answer = world.tell("card.sell", &with(sale(&id), "amount", json!(amount))).await;
    assert_eq!(answer["outcome"], "sold", "{answer}");
    id
}

async fn reprint(world: &World, id: &str) -> Value {
    world.ask("card.reprint", &about("reservation_id", id)).await
}

async fn faulty<'a>(world: &World, serial: &'a str, more: &[&'a str]) -> testkit::process::Done {
    let command = [
        "cards",
        "faulty",
        serial,
        "--product",
        "mts-100",
        "--reason",
        "the issuer knows it not",
    ];
    unigate(world, &[&command[..], more].concat()).await
}

async fn cases(world: &World, filter: &[&str]) -> Vec<Value> {
    rows(world, &[&["cards", "cases", "list"][..], filter].concat()).await
}

/// What must hold of cards and their cases whatever was done.
async fn holds(world: &World) {
    let findings = store::invariants::check_all(world.store()).await.unwrap();
    let broken: Vec<_> = findings
        .iter()
        .filter(|one| one.invariant == 2 && one.broken > 0)
        .collect();
    assert!(broken.is_empty(), "{broken:?}");
}

#[tokio::test]
async fn a_faulty_card_is_out_of_stock_or_its_payer_gets_another() {
    let (world, _process) = shop(MTS, 4).await;
    let out = faulty(&world, "0002", &[]).await;
    assert!(out.stdout.contains("out of stock"), "{out:?}");
    failed(&faulty(&world, "0002", &[]).await, 1, "reported faulty before");
    failed(&faulty(&world, "0003", &["--replace"]).await, 1, "not sold");
    failed(&faulty(&world, "9999", &[]).await, 1, "no card with this serial");
    assert_eq!(
        unigate(&world, &["cards", "faulty", "0003", "--product", "mts-100"])
            .await
            .code,
        Some(2)
    );

    let mut events = world.listen("card.*").await;
    let id = sold(&world, 10_000).await;
    let before = reprint(&world, &id).await;
    assert_eq!(before["card"]["serial"], "0001");
    let replaced = faulty(&world, "0001", &["--replace"]).await;
    assert!(
        replaced.stdout.contains("replaced with card 0003"),
        "the faulty one is passed over: {replaced:?}"
    );
    let printed = reprint(&world, &id).await;
    assert_eq!(
        (&printed["card"]["serial"], &printed["replaces"]),
        (&json!("0003"), &json!("0001"))
    );
    assert_eq!(
        (&printed["reservation_id"], &printed["price"]),
        (&json!(id), &json!(10000))
    );
    let own = world.value("SELECT reservation_id FROM reservation WHERE gratis").await;
    let told = events.item("card.sold", "reservation_id", &own).await;
    assert_eq!(
        (&told["other_reservation_id"], &told["amount"]),
        (&json!(id), &Value::Null),
        "no money came in"
    );
    // Faulty as well: the last one given is printed, by either reservation.
    assert!(
        faulty(&world, "0003", &["--replace"])
            .await
            .stdout
            .contains("replaced with card 0004")
    );
    for reservation in [&id, &own] {
        assert_eq!(reprint(&world, reservation).await["card"]["serial"], "0004");
    }
    // None is left: the card is faulty, its case waits.
    let last = faulty(&world, "0004", &["--replace"]).await;
    assert_eq!(last.code, Some(1), "{last:?}");
    let open = cases(&world, &[]).await;
    assert_eq!(
        (open.len(), &open[0]["kind"], &open[0]["serial"]),
        (1, &json!("faulty"), &json!("0004"))
    );

    let listed = rows(&world, &["cards", "faulty", "list", "--product", "mts-100"]).await;
    let told: Vec<(&str, &str, &str)> = listed
        .iter()
        .map(|row| {
            let text = |name: &str| row[name].as_str().unwrap_or_default();
            (text("serial"), text("state"), text("replacement_serial"))
        })
        .collect();
    assert_eq!(
        told,
        [
            ("0002", "faulty", ""),
            ("0001", "sold", "0003"),
            ("0003", "sold", "0004"),
            ("0004", "sold", "")
        ]
    );
    assert!(
        rows(&world, &["cards", "faulty", "list", "--to", "2020-01-01"])
            .await
            .is_empty()
    );
    assert_eq!(
        world
            .value("SELECT count(*) FROM audit WHERE act = 'cards faulty' AND allowed")
            .await
            + " "
            + &world
                .value("SELECT count(*) FROM audit WHERE act = 'cards faulty' AND NOT allowed")
                .await,
        "4 3"
    );
    holds(&world).await;
}

#[tokio::test]
async fn a_case_is_settled_once_and_says_by_whom() {
    let (world, _process) = shop(MTS, 5).await;
    let (surplus, faulty_one) = (sold(&world, 10_050).await, sold(&world, 10_000).await);
    done(
        &world,
        &["cards", "faulty", "0002", "--product", "mts-100", "--reason", "refused"],
    )
    .await;
    let all = cases(&world, &["--terminal", "T-0001"]).await;
    assert_eq!(all.len(), 2);
    let (money, card) = (all[0]["case_id"].as_str().unwrap(), all[1]["case_id"].as_str().unwrap());
    assert_eq!(
        (&all[0]["kind"], &all[0]["surplus"], &all[0]["receipt_number"]),
        (&json!("surplus"), &json!(50), &json!("000123"))
    );
    assert_eq!(
        (&all[1]["reservation_id"], &all[1]["amount"]),
        (&json!(faulty_one), &json!(10000))
    );
    for (filter, count) in [
        (&["--kind", "surplus"][..], 1),
        (&["--kind", "conflict"], 0),
        (&["--product", "other"], 0),
        (&["--terminal", "T-0002"], 0),
        (&["--from", "2020-01-01", "--to", "2021-01-01"], 0),
        (&["--state", "resolved"], 0),
        (&["--state", "all"], 2),
    ] {
        assert_eq!(cases(&world, filter).await.len(), count, "{filter:?}");
    }

    let resolve = async |case: &str, more: &[&str]| {
        unigate(&world, &[&["cards", "cases", "resolve", case][..], more].concat()).await
    };
    let refund = ["--as", "refunded", "--method", "cash", "--reference", "RKO-17"];
    assert_eq!(
        resolve(money, &["--as", "refunded"]).await.code,
        Some(2),
        "how, and by which document"
    );
    assert_eq!(resolve(money, &["--as", "dismissed"]).await.code, Some(2), "why");
    failed(&resolve(money, &["--as", "replaced"]).await, 1, "a surplus is money");
    failed(
        &resolve(money, &[&refund[..], &["--amount", "51"]].concat()).await,
        1,
        "at most 50",
    );
    assert_eq!(resolve(money, &refund).await.code, Some(0));
    failed(&resolve(money, &refund).await, 1, "refunded already");
    failed(
        &resolve(card, &["--as", "replaced", "--serial", "0001"]).await,
        1,
        "0001",
    );
    let given = resolve(card, &["--as", "replaced", "--serial", "0005"]).await;
    assert!(given.stdout.contains("card 0005"), "{given:?}");
    assert_eq!(reprint(&world, &faulty_one).await["card"]["serial"], "0005");
    assert_eq!(reprint(&world, &surplus).await["card"]["serial"], "0001");
    failed(
        &resolve(card, &["--as", "dismissed", "--reason", "no"]).await,
        1,
        "replaced already",
    );
    failed(
        &resolve(&new_id(), &["--as", "dismissed", "--reason", "no"]).await,
        1,
        "no such case",
    );

    assert!(cases(&world, &[]).await.is_empty());
    let shown = rows(&world, &["cards", "cases", "show", money]).await.remove(0);
    assert_eq!(
        (
            &shown["state"],
            &shown["refund_amount"],
            &shown["refund_method"],
            &shown["refund_reference"]
        ),
        (&json!("refunded"), &json!(50), &json!("cash"), &json!("RKO-17"))
    );
    assert_eq!(
        (&shown["resolved_by"], shown["audit"].as_array().unwrap().len()),
        (&json!("tester"), 4)
    );
    holds(&world).await;
    are_listed_by_when_they_were_settled(&world, money).await;
}

/// The surplus was given back at seven in Tokyo, a month after its sale; the other case was settled just now.
async fn are_listed_by_when_they_were_settled(world: &World, surplus: &str) {
    let times = "opened_at = '2020-01-15 00:00Z', resolved_at = '2020-02-15 22:00Z'";
    world
        .sql(&format!("UPDATE card_case SET {times} WHERE case_id = '{surplus}'"))
        .await;
    let day = ["--resolved-from", "2020-02-16", "--resolved-to", "2020-02-17"];
    for (filter, count) in [
        (&["--resolved-from", "2020-02-01", "--resolved-to", "2020-03-01"][..], 1),
        (&["--resolved-to", "2020-02-01"], 0),
        (&["--resolved-from", "2020-02-01"], 2),
        (&["--resolved-from", "2020-02-01", "--state", "open"], 0),
        (&day, 0),
        (&[&day[..], &["--time-zone", "Asia/Tokyo"]].concat(), 1),
    ] {
        assert_eq!(cases(world, filter).await.len(), count, "{filter:?}");
    }
}

#[tokio::test]
async fn of_two_operators_one_settles_a_case() {
    let (world, _process) = shop(MTS, 6).await;
    sold(&world, 10_000).await;
    done(
        &world,
        &["cards", "faulty", "0001", "--product", "mts-100", "--reason", "refused"],
    )
    .await;
    let case = cases(&world, &[]).await[0]["case_id"].as_str().unwrap().to_owned();
    let replace = ["cards", "cases", "resolve", &case, "--as", "replaced"];
    let all = futures::future::join_all((0..4).map(|_| unigate(&world, &replace))).await;
    assert_eq!(all.iter().filter(|one| one.code == Some(0)).count(), 1, "{all:?}");
    assert_eq!(world.value("SELECT count(*) FROM card WHERE state = 'sold'").await, "2");
    holds(&world).await;
}

#[tokio::test]
async fn a_conflict_settled_by_a_card_is_printed_and_told() {
    let (world, _process) = shop(MTS, 1).await;
    let (first, second) = (new_id(), new_id());
    world.ask("card.reserve", &reservation(&first)).await;
    world.tell("card.release", &about("reservation_id", &first)).await;
    world.ask("card.reserve", &reservation(&second)).await;
    world.tell("card.sell", &sale(&second)).await;
    assert_eq!(world.tell("card.sell", &sale(&first)).await["outcome"], "conflict");
    refused(&reprint(&world, &first).await, "not_sold", "reservation_id");
    let case = cases(&world, &["--kind", "conflict"]).await.remove(0);
    let shown = rows(&world, &["cards", "cases", "show", case["case_id"].as_str().unwrap()])
        .await
        .remove(0);
    assert_eq!(shown["card_is_with"], json!(second));
    let replace = [
        "cards",
        "cases",
        "resolve",
        case["case_id"].as_str().unwrap(),
        "--as",
        "replaced",
    ];
    failed(
        &unigate(&world, &replace).await,
        1,
        "no card of product mts-100 is left",
    );
    world.cards("mts-100", 2, 1).await;
    done(&world, &replace).await;
    let printed = reprint(&world, &first).await;
    assert_eq!(
        (&printed["card"]["serial"], &printed["replaces"]),
        (&json!("0002"), &json!("0001"))
    );
    let again = world.tell("card.sell", &sale(&first)).await;
    assert_eq!(
        (&again["outcome"], &again["replacement"]["card"]["serial"]),
        (&json!("conflict"), &json!("0002"))
    );
    assert_eq!(
        world
            .value("SELECT gratis FROM reservation WHERE ended_by = 'replacement'")
            .await,
        "f",
        "it is what was paid for"
    );
    holds(&world).await;
}
