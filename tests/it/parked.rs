//! Facts without a home whose payment found one meanwhile.

use std::time::Duration;

use bus::frontend::Message;
use serde_json::{Value, json};
use store::Tx;
use store::parked::{self, Filter};
use testkit::wait_for;
use unigate::workers::Worker;

use crate::cli::{Files, done, failed, unigate};
use crate::fixtures::{MTS, UTILITY, about, new_id, new_ids, reservation, sale, utility_payment};
use crate::world::{PATIENCE, World, end, with};

#[tokio::test]
async fn what_was_parked_and_then_accepted_is_not_discarded() {
    let world = World::start(&[Worker::Intake]).await;
    world.payee(UTILITY).await;
    let undeclared = with(utility_payment(&new_id()), "payee", json!("late"));
    let refused = world.tell("payment.accepted", &undeclared).await;
    assert_eq!(refused["reason"], "unknown_payee");
    world.payee(&UTILITY.replace("gorvodokanal", "late")).await;
    let corrected = utility_payment(&new_id());
    let wrong = with(corrected.clone(), "account", json!("abc"));
    let refused = world.tell("payment.accepted", &wrong).await;
    assert_eq!(refused["reason"], "invalid_field");
    for payment in [&undeclared, &corrected] {
        assert_eq!(world.tell("payment.accepted", payment).await["outcome"], "accepted");
    }
    let rows = parked::list(world.store(), &Filter::default()).await.unwrap();
    assert_eq!(rows.len(), 2);
    for row in rows {
        let tx = world.store().begin().await.unwrap();
        let error = parked::discard(&tx, row.parked_id, "test", "paid back in cash").await;
        assert!(error.unwrap_err().to_string().contains("was accepted"));
    }
}

/// The one that waits.
async fn parked_one(world: &World) -> String {
    let rows = parked::list(world.store(), &Filter::default()).await.unwrap();
    assert_eq!(rows.len(), 1, "{rows:?}");
    rows[0].parked_id.to_string()
}

/// Said by the front-end that the broker knows as `guest`.
fn by_guest(key: &str, body: &Value) -> Message {
    Message {
        user_id: Some("guest".into()),
        ..Message::new(key, body.to_string())
    }
}

const KIOSK: &str = "id = \"T-0001\"\nusers = [\"guest\"]";

#[tokio::test]
async fn what_was_settled_before_its_terminal_was_declared_does_not_come_in_afterwards() {
    let world = World::start_with(&[Worker::Intake], |settings| settings.terminals_open = false).await;
    world.payee(UTILITY).await;
    let payment = utility_payment(&new_id());
    let said = by_guest("payment.accepted", &payment);
    assert_eq!(world.publish(&said).await["reason"], "unknown_terminal");
    let id = parked_one(&world).await;
    let discarded = done(&world, &["parked", "discard", &id, "--reason", "paid back in cash"]).await;
    assert!(discarded.stderr.contains("just this content"), "{discarded:?}");
    world.terminal(KIOSK).await;
    assert_eq!(world.publish(&said).await["reason"], "settled_by_operator");
    assert!(
        parked::list(world.store(), &Filter::default())
            .await
            .unwrap()
            .is_empty()
    );
    // The id is not taken from whom it belongs to.
    let owners = with(payment, "receipt_number", json!("another"));
    assert_eq!(
        world.publish(&by_guest("payment.accepted", &owners)).await["outcome"],
        "accepted"
    );
}

#[tokio::test]
async fn a_sale_that_was_settled_before_its_sender_was_declared_is_not_made_afterwards() {
    let world = World::start_with(&[Worker::Cards], |settings| settings.terminals_open = false).await;
    world.product(MTS).await;
    world.cards("mts-100", 1, 2).await;
    world.terminal(KIOSK).await;
    let ids = new_ids(2);
    for id in &ids {
        let held = world.publish(&by_guest("card.reserve", &reservation(id))).await;
        assert_eq!(held["outcome"], "reserved", "{held}");
    }
    let discard = ["--reason", "paid back in cash"];
    let nobodys = world.tell("card.sell", &sale(&ids[0])).await;
    assert_eq!(nobodys["reason"], "not_your_terminal");
    let id = parked_one(&world).await;
    done(&world, &[&["parked", "discard", &id][..], &discard].concat()).await;
    let said = by_guest("card.sell", &sale(&ids[0]));
    assert_eq!(world.publish(&said).await["reason"], "settled_by_operator");
    let owners = with(sale(&ids[0]), "receipt_number", json!("another"));
    assert_eq!(world.publish(&by_guest("card.sell", &owners)).await["outcome"], "sold");
    // What has been sold meanwhile is not settled by hand besides.
    let nobodys = world.tell("card.sell", &sale(&ids[1])).await;
    assert_eq!(nobodys["reason"], "not_your_terminal");
    let said = by_guest("card.sell", &sale(&ids[1]));
    assert_eq!(world.publish(&said).await["outcome"], "sold");
    let id = parked_one(&world).await;
    let late = unigate(&world, &[&["parked", "discard", &id][..], &discard].concat()).await;
    failed(&late, 1, "was accepted");
}

/// A world with as many cards held, under these ids.
async fn held(cards: usize) -> (World, Vec<String>) {
    let world = World::start(&[Worker::Cards]).await;
    world.product(MTS).await;
    world.cards("mts-100", 1, cards).await;
    let ids = new_ids(cards);
    for id in &ids {
        assert_eq!(world.ask("card.reserve", &reservation(id)).await["outcome"], "reserved");
    }
    (world, ids)
}

const GATE: &str = "SELECT FROM pg_locks WHERE relation = 'batch_gate'::regclass
     AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";

/// In a transaction that holds the gate: it goes on when somebody waits at it.
fn until_waited_for() -> String {
    format!("DO $$ BEGIN WHILE NOT EXISTS ({GATE} AND NOT granted) LOOP PERFORM pg_sleep(0.01); END LOOP; END $$")
}

async fn gate_is_held(world: &World) {
    wait_for("the gate to be held", PATIENCE, async || {
        let held = world.value(&format!("SELECT EXISTS ({GATE} AND granted)::text")).await;
        (held == "true").then_some(())
    })
    .await;
}

/// The sale as a program with a bug sends it.
fn misspelt(id: &str) -> Value {
    with(sale(id), "amount", json!("10000"))
}

/// Less than a session may be silent in a transaction before the database ends it, when nobody has to wait for it: 15 s.
const SILENT_AT_MOST: Duration = Duration::from_secs(10);
const PAID_BACK: [&str; 2] = ["--reason", "paid back in cash"];

#[tokio::test]
async fn a_sale_that_was_settled_while_its_card_was_held_is_not_made_afterwards() {
    let (world, ids) = held(2).await;
    for id in &ids {
        let wrong = misspelt(id);
        assert_eq!(world.tell("card.sell", &wrong).await["reason"], "invalid_request");
        let parked = parked_one(&world).await;
        done(&world, &[&["parked", "discard", &parked][..], &PAID_BACK].concat()).await;
        for (key, body) in [
            ("card.sell", wrong),
            ("card.sell", sale(id)),
            ("card.reserve", reservation(id)),
        ] {
            let refused = world.publish(&Message::new(key, body.to_string())).await;
            assert_eq!(refused["reason"], "settled_by_operator", "{key} {refused}");
        }
        let printed = world.ask("card.reprint", &about("reservation_id", id)).await;
        assert_eq!(printed["reason"], "not_sold");
    }
    assert!(
        parked::list(world.store(), &Filter::default())
            .await
            .unwrap()
            .is_empty()
    );
    // The cards go back as any other: the one is released, the other's time runs out.
    assert_eq!(
        world.tell("card.release", &about("reservation_id", &ids[0])).await["outcome"],
        "released"
    );
    world
        .sql("UPDATE reservation SET held_until = created_at, grace_until = created_at WHERE state = 'held'")
        .await;
    wait_for("both cards to be in stock again", PATIENCE, async || {
        let back = "SELECT count(*) FROM card WHERE state = 'available' AND pool = 'returned'";
        (world.value(back).await == "2").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_sale_that_came_in_corrected_is_not_settled_by_hand_besides() {
    let (world, ids) = held(3).await;
    let discard =
        async |parked: &str| unigate(&world, &[&["parked", "discard", parked][..], &PAID_BACK].concat()).await;
    for wrong in [misspelt(&ids[0]), with(sale(&ids[1]), "serial", json!("not its own"))] {
        let id = wrong["reservation_id"].as_str().unwrap();
        assert_eq!(world.tell("card.sell", &wrong).await["outcome"], "refused");
        let parked = parked_one(&world).await;
        assert_eq!(world.tell("card.sell", &sale(id)).await["outcome"], "sold");
        failed(&discard(&parked).await, 1, "was accepted");
        // It is put back as what came, and is that.
        let files = Files::new();
        let right = files.write("right.json", &sale(id).to_string());
        done(&world, &["parked", "put-back", &parked, "--body", &right]).await;
    }
    // One that was paid back is put back as it came, is judged beside the sale that stands, and can be settled then.
    let too_small = with(sale(&ids[2]), "amount", json!(1));
    assert_eq!(world.tell("card.sell", &too_small).await["outcome"], "refused");
    let parked = parked_one(&world).await;
    assert_eq!(world.tell("card.sell", &sale(&ids[2])).await["outcome"], "sold");
    failed(&discard(&parked).await, 1, "was accepted");
    let put_back = unigate(&world, &["parked", "put-back", &parked]).await;
    failed(&put_back, 1, "sale_differs");
    assert_eq!(discard(&parked).await.code, Some(0));
    assert_eq!(world.tell("card.sell", &sale(&ids[2])).await["outcome"], "already_sold");
    // Another sale beside one that stands is settled alone: the id goes on being that of the first.
    let other = with(sale(&ids[0]), "receipt_number", json!("another"));
    assert_eq!(world.tell("card.sell", &other).await["reason"], "sale_differs");
    let parked = parked_one(&world).await;
    assert_eq!(discard(&parked).await.code, Some(0));
    assert_eq!(world.tell("card.sell", &other).await["reason"], "settled_by_operator");
    assert_eq!(world.tell("card.sell", &sale(&ids[0])).await["outcome"], "already_sold");
}

/// A batch which has looked for settled reservations and found none.
async fn batch_at_work(world: &World) -> Tx {
    let batch = world.store().begin().await.unwrap();
    let generation = store::declarations::generation(world.store()).await.unwrap();
    store::declarations::expect_generation(&batch, generation)
        .await
        .unwrap();
    assert!(parked::settled_reservations(&batch, &[]).await.unwrap().is_empty());
    batch
}

#[tokio::test]
async fn a_sale_in_flight_is_waited_for_before_its_reservation_is_settled() {
    let (world, ids) = held(1).await;
    world.tell("card.sell", &misspelt(&ids[0])).await;
    let parked = parked_one(&world).await;
    // A batch which has found its reservation not settled, and sells and commits when somebody waits for it.
    let text = format!(
        "BEGIN; SELECT declarations_are((SELECT generation FROM declaration_generation));
         DO $$ BEGIN ASSERT NOT EXISTS (SELECT FROM settled_reservation); END $$;
         {};
         UPDATE reservation SET state = 'sold', ended_by = 'sale', ended_at = clock_timestamp(), amount = 10000,
             sale_fingerprint = '\\x00', paid_at = clock_timestamp(), late = false, surplus = 0;
         COMMIT",
        until_waited_for()
    );
    let batch = world.sql(&text);
    let command = [&["parked", "discard", &parked][..], &PAID_BACK].concat();
    let discard = async {
        gate_is_held(&world).await;
        unigate(&world, &command).await
    };
    let (_, discarded) = tokio::join!(batch, discard);
    failed(&discarded, 1, "was accepted");
    assert_eq!(world.value("SELECT count(*) FROM settled_reservation").await, "0");
}

#[tokio::test]
async fn a_sale_by_a_worker_that_reads_the_declarations_just_then_is_waited_for_as_well() {
    let (world, ids) = held(1).await;
    world.stop().await;
    let fresh = world.another(&[Worker::Cards], |_| {}).await;
    // A discard, which has looked what came in, and commits when somebody waits for it.
    let discard = format!("BEGIN; SELECT batches_wait(); {}; COMMIT", until_waited_for());
    let discard = world.sql(&discard);
    let sell = async {
        gate_is_held(&world).await;
        world.tell("card.sell", &sale(&ids[0])).await
    };
    let (_, sold) = tokio::join!(discard, sell);
    assert_eq!(sold["outcome"], "sold");
    end(&fresh).await;
}

#[tokio::test]
async fn an_operator_who_falls_silent_while_batches_wait_is_given_up_before_they_are() {
    let (world, ids) = held(1).await;
    world.tell("card.sell", &misspelt(&ids[0])).await;
    let parked = parked_one(&world).await.parse().unwrap();
    let silent = world.store().begin().await.unwrap();
    parked::discard(&silent, parked, "test", "paid back in cash")
        .await
        .unwrap();
    // His line breaks here. Any other session may be silent for longer than this.
    let sold = tokio::time::timeout(SILENT_AT_MOST, world.tell("card.sell", &sale(&ids[0]))).await;
    assert_eq!(sold.expect("it does not wait for him")["outcome"], "sold");
    assert!(silent.commit().await.is_err(), "he has settled nothing");
}

#[tokio::test]
async fn a_discard_gives_up_before_a_batch_that_hangs() {
    let (world, ids) = held(1).await;
    world.tell("card.sell", &misspelt(&ids[0])).await;
    let parked = parked_one(&world).await;
    let batch = batch_at_work(&world).await;
    let command = [&["parked", "discard", &parked][..], &PAID_BACK].concat();
    failed(&unigate(&world, &command).await, 1, "unigate: batches at work have");
    batch.commit().await.unwrap();
    assert_eq!(parked_one(&world).await, parked, "nothing was settled");
}

#[tokio::test]
async fn a_discard_waits_for_the_batch_that_accepts_its_payment() {
    let world = World::start_with(&[Worker::Intake], |settings| settings.terminals_open = false).await;
    world.payee(UTILITY).await;
    let said = by_guest("payment.accepted", &utility_payment(&new_id()));
    assert_eq!(world.publish(&said).await["reason"], "unknown_terminal");
    let id = parked_one(&world).await;
    // A batch that has found its terminal declared, and commits when somebody waits for it.
    let text = format!(
        "BEGIN; SELECT declarations_are((SELECT generation FROM declaration_generation));
         INSERT INTO payment_identity (payment_id, number, fingerprint, disposition, terminal_id)
             SELECT payment_id, 1, content_hash, 'accepted', 'T-0001' FROM parked;
         {}; COMMIT",
        until_waited_for()
    );
    let batch = world.sql(&text);
    let arguments = ["parked", "discard", &id, "--reason", "paid back in cash"];
    let discard = async {
        gate_is_held(&world).await;
        unigate(&world, &arguments).await
    };
    let (_, discarded) = tokio::join!(batch, discard);
    failed(&discarded, 1, "was accepted");
    let denied = "SELECT string_agg(allowed::text, ' ') FROM audit WHERE act = 'parked discard'";
    assert_eq!(world.value(denied).await, "false");
}

#[tokio::test]
async fn who_vouched_for_one_body_has_not_vouched_for_another() {
    let world = World::start_with(&[Worker::Intake], |settings| settings.terminals_open = false).await;
    world.payee(UTILITY).await;
    world.terminal(KIOSK).await;
    world.terminal(&KIOSK.replace("T-0001", "T-0002")).await;
    let wrong = with(utility_payment(&new_id()), "account", json!("abc"));
    let said = Message::new("payment.accepted", wrong.to_string());
    assert_eq!(world.publish(&said).await["reason"], "not_your_terminal");
    let id = parked_one(&world).await;
    let put_back = ["parked", "put-back", &id];
    let vouch = ["--speaks-for-terminal", "--reason", "its new front-end"];
    failed(
        &unigate(&world, &[&put_back[..], &vouch].concat()).await,
        1,
        "invalid_field",
    );
    let files = Files::new();
    let account = utility_payment(&new_id())["account"].clone();
    let corrected = with(wrong, "account", account);
    let others = files.write(
        "others.json",
        &with(corrected.clone(), "terminal", json!("T-0002")).to_string(),
    );
    failed(
        &unigate(&world, &[&put_back[..], &["--body", &others]].concat()).await,
        1,
        "not_your_terminal",
    );
    let own = files.write("own.json", &corrected.to_string());
    done(&world, &[&put_back[..], &["--body", &own], &vouch].concat()).await;
}

#[tokio::test]
async fn an_operator_vouches_for_a_sender_and_corrects_a_version() {
    let world = World::start_with(&[Worker::Intake], |settings| settings.terminals_open = false).await;
    world.payee(UTILITY).await;
    world.terminal(KIOSK).await;
    let payment = utility_payment(&new_id());
    let said = Message::new("payment.accepted", payment.to_string());
    assert_eq!(world.publish(&said).await["reason"], "not_your_terminal");
    let id = parked_one(&world).await;
    let put_back = ["parked", "put-back", &id];
    failed(&unigate(&world, &put_back).await, 1, "not_your_terminal");
    let vouched = [&put_back[..], &["--speaks-for-terminal"]].concat();
    assert_eq!(unigate(&world, &vouched).await.code, Some(2), "a reason is required");
    done(&world, &[&vouched[..], &["--reason", "its new front-end"]].concat()).await;
    let vouched = "SELECT count(*)::text FROM audit WHERE allowed AND after->>'speaks_for_terminal' = 'true'";
    assert_eq!(world.value(vouched).await, "1");

    let payment = utility_payment(&new_id());
    let said = Message {
        version: Some(2),
        ..by_guest("payment.accepted", &payment)
    };
    assert_eq!(world.publish(&said).await["reason"], "unsupported_version");
    let id = parked_one(&world).await;
    let put_back = ["parked", "put-back", &id];
    failed(&unigate(&world, &put_back).await, 1, "unsupported_version");
    let files = Files::new();
    let right = files.write("right.json", &payment.to_string());
    done(&world, &[&put_back[..], &["--body", &right]].concat()).await;
}
