//! What is shown of a card, to whom, and how often: reprints, sealed answers, secrets kept, duplicates in a batch.

use age::x25519::Identity;
use bus::frontend::Message;
use serde_json::{Value, json};
use store::{Store, StoreSettings, scratch};
use testkit::process::Process;
use testkit::wait_for;

use crate::cards::{parked, reserve, shop};
use crate::faults::{bare, environment};
use crate::fixtures::{MTS, about, new_id, reservation, sale};
use crate::registers_sealed::leaves_no_core_file;
use crate::rights::Site;
use crate::world::{PATIENCE, refused, with};

#[tokio::test]
async fn a_sold_card_is_printed_again_for_its_own_terminal_and_for_a_while() {
    let world = shop(2).await;
    let id = new_id();
    let reprint = about("reservation_id", &id);
    refused(
        &world.ask("card.reprint", &reprint).await,
        "unknown_reservation",
        "reservation_id",
    );
    let reserved = reserve(&world, &id).await;
    refused(&world.ask("card.reprint", &reprint).await, "not_sold", "reservation_id");
    world.tell("card.sell", &sale(&id)).await;
    let printed = world.ask("card.reprint", &reprint).await;
    assert_eq!(printed, with(reserved, "outcome", json!("reprinted")));
    let nosy = world
        .ask("card.reprint", &json!({"reservation_id": id, "terminal": "T-0002"}))
        .await;
    refused(&nosy, "not_your_terminal", "");
    assert_eq!(
        world
            .value("SELECT count(*) FROM audit WHERE act = 'card.reprint'")
            .await,
        "1",
        "what was shown is audited"
    );
    world
        .sql("UPDATE reservation SET ended_at = ended_at - interval '31 days'")
        .await;
    refused(
        &world.ask("card.reprint", &reprint).await,
        "reprint_over",
        "reservation_id",
    );
}

#[tokio::test]
async fn a_terminal_with_a_key_gets_its_cards_sealed() {
    let world = shop(1).await;
    let identity = age::x25519::Identity::generate();
    world
        .terminal(&format!(
            "id = \"T-0001\"\nage_recipient = \"{}\"",
            identity.to_public()
        ))
        .await;
    let id = new_id();
    let reserved = reserve(&world, &id).await;
    world.tell("card.sell", &sale(&id)).await;
    let printed = world.ask("card.reprint", &about("reservation_id", &id)).await;
    for answer in [reserved, printed] {
        assert_eq!((&answer["card"], &answer["receipt"]), (&Value::Null, &Value::Null));
        let text = answer.to_string();
        assert!(!text.contains("secret") && !text.contains("*111*"), "{text}");
        let sealed = answer["sealed_card"].as_str().unwrap();
        assert!(sealed.starts_with("-----BEGIN AGE ENCRYPTED FILE-----"), "{sealed}");
        let opened: Value = serde_json::from_slice(&age::decrypt(&identity, sealed.as_bytes()).unwrap()).unwrap();
        assert_eq!(opened["serial"], "0001");
        assert_eq!(
            opened["fields"],
            json!({"pin": "8231-secret-0001", "activation": "*111*823144000001#"})
        );
        assert!(opened["receipt"].as_str().unwrap().contains("8231-secret-0001"));
    }
}

#[tokio::test]
async fn no_secret_is_stored_or_told_in_the_open() {
    let world = shop(2).await;
    let mut events = world.listen("#").await;
    let id = new_id();
    reserve(&world, &id).await;
    world.tell("card.sell", &with(sale(&id), "amount", json!(1))).await;
    world.tell("card.sell", &sale(&id)).await;
    let told = events.item("card.sold", "reservation_id", &id).await;
    assert!(!told.to_string().contains("secret"));
    for table in [
        "card",
        "card_batch",
        "card_import",
        "card_import_chunk",
        "reservation",
        "event",
        "audit",
        "parked",
    ] {
        let rows = world.sql(&format!("SELECT t::text FROM {table} t")).await;
        let text = format!("{rows:?}");
        // A bytea is shown in hexadecimal.
        assert!(
            !text.contains("secret") && !text.contains("736563726574"),
            "{table}: {text}"
        );
    }
}

#[tokio::test]
async fn duplicates_inside_one_batch_get_an_answer_each() {
    let world = shop(60).await;
    let id = new_id();
    let asks = world
        .publish_often(&Message::new("card.reserve", reservation(&id).to_string()), 50)
        .await;
    assert!(
        asks.iter()
            .all(|answer| *answer == asks[0] && answer["outcome"] == "reserved"),
        "{:?}",
        asks[0]
    );
    let sales = world
        .publish_often(&Message::new("card.sell", sale(&id).to_string()), 50)
        .await;
    assert_eq!(sales.iter().filter(|answer| answer["outcome"] == "sold").count(), 1);
    assert_eq!(
        sales
            .iter()
            .filter(|answer| answer["outcome"] == "already_sold")
            .count(),
        49
    );
    let id = new_id();
    reserve(&world, &id).await;
    let release = Message::new("card.release", about("reservation_id", &id).to_string());
    let releases = world.publish_often(&release, 50).await;
    assert_eq!(
        releases.iter().filter(|answer| answer["outcome"] == "released").count(),
        1
    );
    assert_eq!(
        releases
            .iter()
            .filter(|answer| answer["outcome"] == "already_released")
            .count(),
        49
    );
    let wrong = Message::new("card.sell", sale(&new_id()).to_string());
    let wrongs = world.publish_often(&wrong, 50).await;
    assert!(wrongs.iter().all(|answer| answer["reason"] == "unknown_reservation"));
    assert_eq!(parked(&world).await, 1);
    let counted = world
        .sql("SELECT state, count(*) FROM card GROUP BY state ORDER BY state")
        .await;
    let count = |state: &str, n: &str| vec![Some(state.to_owned()), Some(n.to_owned())];
    assert_eq!(counted, [count("available", "59"), count("sold", "1")]);
}

#[tokio::test]
async fn a_receipt_is_the_products_own_and_one_that_fails_costs_no_sale() {
    let world = shop(3).await;
    let own = "receipt = \"\"\"{{ name }} {{ serial }}\nPIN {{ pin | upper }}\n{{ activation }} for {{ price | money(',') }}\"\"\"";
    world.product(&format!("{MTS}\n{own}")).await;
    let id = new_id();
    let reserved = reserve(&world, &id).await;
    let text = "MTS 100 0001\nPIN 8231-SECRET-0001\n*111*823144000001# for 100,00";
    assert_eq!(reserved["receipt"], text, "{reserved}");
    assert_eq!(world.ask("card.reserve", &reservation(&id)).await, reserved);

    // No card of this product has a login: what is printed is plain, and the card is sold all the same.
    world
        .product(&format!(
            "{MTS}\nreceipt = \"Login {{{{ login }}}}, PIN {{{{ pin }}}}\""
        ))
        .await;
    let plain = "MTS 100\nserial: 0002\npin: 8231-secret-0002\nactivation: *111*823144000002#\nprice: 100.00 RUB";
    let other = new_id();
    assert_eq!(reserve(&world, &other).await["receipt"], plain);
    assert_eq!(world.tell("card.sell", &sale(&other)).await["outcome"], "sold");
    let printed = world.ask("card.reprint", &about("reservation_id", &other)).await;
    assert_eq!(printed["receipt"], plain, "{printed}");
}

/// Whoever may ask for returns may write the list of their cards by hand, and could have cards copied that stay on sale.
#[tokio::test]
async fn a_return_of_cards_that_were_not_withdrawn_is_refused_as_a_whole() {
    let site = Site::found().await;
    let world = &site.world;
    world.product(MTS).await;
    world.product(&MTS.replace("mts-100", "other")).await;
    world.cards("mts-100", 1, 4).await;
    site.grant().await;
    let operator = site.user("unigate_operator").await;
    let seller = site.user("unigate_cards").await;
    let worker = Process::start_ready(
        &seller.environment(world, "smtp://127.0.0.1:1?tls=none"),
        &["run", "cards"],
    )
    .await;
    let settings = StoreSettings {
        url: operator.url.clone().into(),
        ..world.stand.settings().store
    };
    let by_hand = Store::connect(&settings).unwrap();
    let sold = new_id();
    reserve(world, &sold).await;
    world.tell("card.sell", &sale(&sold)).await;
    let to = Identity::generate().to_public();
    let asked = async |product: &str, serials: &str, withdrawn: &str| {
        let id = new_id();
        let sql = format!(
            "UPDATE card SET state = 'withdrawn' WHERE serial IN ({withdrawn});
             WITH listed AS (
                 INSERT INTO disclosure_card (disclosure_id, n, card_id, returned)
                 SELECT '{id}', row_number() OVER (), card_id, true FROM card WHERE serial IN ({serials}) RETURNING card_id
             )
             INSERT INTO disclosure (disclosure_id, kind, product_id, recipients, reason, asked, requested_by, cards, total, currency)
             SELECT '{id}', 'return', '{product}', ARRAY['{to}'], 'mine', '{{}}', 'nosy', count(*), 0, 'RUB' FROM listed"
        );
        scratch::sql(&by_hand, &sql).await.unwrap();
        wait_for("an answer", PATIENCE, async || {
            let ended = format!("SELECT coalesce(refusal, state) FROM disclosure WHERE disclosure_id = '{id}'");
            Some(world.value(&ended).await).filter(|ended| ended != "waiting" && ended != "working")
        })
        .await
    };
    let why = "of its cards were not withdrawn for it: none is returned";
    assert_eq!(asked("mts-100", "'0002'", "''").await, format!("1 {why}"), "on sale");
    assert_eq!(
        asked("mts-100", "'0001'", "''").await,
        format!("1 {why}"),
        "sold before"
    );
    assert_eq!(world.value("SELECT count(*) FROM disclosure_chunk").await, "0");
    world.sql("DELETE FROM disclosure_card").await;
    let mixed = asked("mts-100", "'0002', '0003'", "'0003'").await;
    assert_eq!(mixed, format!("1 {why}"), "one of two");
    world.sql("DELETE FROM disclosure_card").await;
    assert_eq!(
        asked("other", "'0003'", "''").await,
        format!("1 {why}"),
        "of another product"
    );
    assert_eq!(world.value("SELECT count(*) FROM disclosure_chunk").await, "0");
    world.sql("DELETE FROM disclosure_card").await;
    assert_eq!(asked("mts-100", "'0003', '0004'", "'0004'").await, "done");
    let told = "SELECT count(*) FROM audit WHERE act = 'cards return (answered)' AND after ? 'refused'";
    assert_eq!(world.value(told).await, "4");
    assert!(worker.end().await.success());
}

#[tokio::test]
async fn a_command_that_crashes_leaves_no_core_file() {
    let world = bare().await;
    world.product(MTS).await;
    world.cards("mts-100", 1, 1).await;
    let to = Identity::generate().to_public().to_string();
    let show = [
        "cards",
        "show",
        "0001",
        "--product",
        "mts-100",
        "--reason",
        "a test",
        "--to",
        &to,
    ];
    let command = Process::start(&environment(&world, &[]), &show);
    wait_for("the command to wait for a worker", PATIENCE, async || {
        (world.value("SELECT count(*) FROM disclosure").await == "1").then_some(())
    })
    .await;
    leaves_no_core_file(&command);
}
