//! Sums that a payee's books have otherwise than ours: which of them a file means, and who sees to them.

use serde_json::json;
use testkit::payee::{Behaviour, Verb};
use testkit::process::Done;

use crate::cli::{Files, done, failed, unigate};
use crate::reconciliation::{PERIOD, delivered, entry, lists};
use crate::unikassa::{pay, provider};
use crate::world::World;

async fn compared(world: &World, file: &str, more: &[&str]) -> Done {
    let begin: &[&str] = &["deliveries", "reconcile", "isp", file];
    unigate(world, &[begin, &PERIOD, more].concat()).await
}

#[tokio::test]
async fn another_sum_there_is_marked_until_somebody_has_settled_it() {
    let (world, _payee) = provider("").await;
    let (id, number) = delivered(&world).await;
    let files = Files::new();
    let file = files.write("list.csv", &format!("number;amount\n{number};499.00\n"));
    let flagged = async || done(&world, &["payments", "list", "--flagged"]).await.stdout;
    failed(&compared(&world, &file, &[]).await, 1, "");
    assert!(!flagged().await.contains(&id), "a look marks nothing");

    let resolve = ["--resolve", "--reason", "their books"];
    let told = compared(&world, &file, &resolve).await;
    assert!(told.stdout.contains("1 marked for a person"), "{told:?}");
    assert!(flagged().await.contains(&id));
    let flags = format!("SELECT flags::text FROM payment WHERE payment_id = '{id}'");
    assert_eq!(world.value(&flags).await, "{echoed_amount_differs}");
    let doctor = unigate(&world, &["doctor"]).await;
    assert!(doctor.stdout.contains("echoed_amount_differs"), "{doctor:?}");

    // What was answered is not asked again by each list that comes.
    let settle = [
        "deliveries",
        "settle",
        &id,
        "--as",
        "delivered",
        "--reason",
        "they gave the rest back",
    ];
    done(&world, &settle).await;
    let again = compared(&world, &file, &resolve).await;
    assert!(again.stdout.contains("0 marked for a person"), "{again:?}");
    assert!(!flagged().await.contains(&id));
    world.stop().await;
}

#[tokio::test]
async fn a_file_in_minor_units_is_told_as_such() {
    let (world, _payee) = provider("").await;
    let (one, other) = (delivered(&world).await, delivered(&world).await);
    let files = Files::new();
    let note = "every amount that differs is there 100 times what it is here: amounts in FILE are major units";
    let minor = files.write(
        "minor.csv",
        &format!("number;amount\n{};50000\n{};50000\n", one.1, other.1),
    );
    failed(&compared(&world, &minor, &[]).await, 1, note);
    let mixed = files.write(
        "mixed.csv",
        &format!("number;amount\n{};50000\n{};499\n", one.1, other.1),
    );
    let told = compared(&world, &mixed, &[]).await;
    assert!(told.code == Some(1) && !told.stderr.contains("100 times"), "{told:?}");
    let hundredth = files.write(
        "small.csv",
        &format!("number;amount\n{};5.00\n{};5.00\n", one.1, other.1),
    );
    failed(
        &compared(&world, &hundredth, &[]).await,
        1,
        "every amount that differs is there a 100th of what it is here",
    );
    // It is the file that is wrong, and no payment.
    let resolve = ["--resolve", "--reason", "their books"];
    let told = compared(&world, &minor, &resolve).await;
    assert!(told.stdout.contains("0 marked for a person"), "{told:?}");
    // Beside one that is right, or by itself, it is the payment.
    let beside = files.write(
        "beside.csv",
        &format!("number;amount\n{};50000\n{};500.00\n", one.1, other.1),
    );
    let alone = files.write("alone.csv", &format!("number;amount\n{};50000\n", other.1));
    for (file, id) in [(&beside, &one.0), (&alone, &other.0)] {
        let told = compared(&world, file, &resolve).await;
        assert!(told.stdout.contains("1 marked for a person"), "{told:?}");
        assert!(!told.stderr.contains("100 times"), "{told:?}");
        let flags = format!("SELECT flags::text FROM payment WHERE payment_id = '{id}'");
        assert_eq!(world.value(&flags).await, "{echoed_amount_differs}");
    }
    world.stop().await;
}

#[tokio::test]
async fn what_a_payees_own_list_has_in_hundreds_was_credited_so() {
    let (world, payee) = provider("").await;
    let (one, other) = (delivered(&world).await, delivered(&world).await);
    lists(
        &payee,
        &[(&[entry(&one.1, 5_000_000), entry(&other.1, 5_000_000)], None)],
    );
    let resolve = ["--resolve", "--reason", "their list"];
    let told = unigate(
        &world,
        &[&["deliveries", "reconcile", "isp"][..], &PERIOD, &resolve].concat(),
    )
    .await;
    assert!(told.stdout.contains("2 marked for a person"), "{told:?}");
    world.stop().await;
}

#[tokio::test]
async fn what_a_list_has_otherwise_is_paid_again_only_with_certainty() {
    let (world, payee) = provider("idempotent = false\noffers_status = false").await;
    let files = Files::new();
    let resolve = ["--resolve", "--reason", "their books"];
    let mut ids = Vec::new();
    for (settled, rows, flag) in [
        (false, "{number};495.00\n", "echoed_amount_differs"),
        (false, "{number};500.00\n{number};500.00\n", "credited_twice"),
        (true, "{number};495.00\n", "credited_after_settlement"),
    ] {
        payee.script(Verb::Pay, [Behaviour::Refuse("closed".into())]);
        let (id, number) = pay(&world).await;
        world.reaches(&id, "refused").await;
        if settled {
            let settle = format!("UPDATE payment SET flags = '{{settled_by_operator}}' WHERE payment_id = '{id}'");
            world.sql(&settle).await;
        }
        let rows = rows.replace("{number}", &number.to_string());
        let list = files.write("list.csv", &format!("number;amount\n{rows}"));
        let told = compared(&world, &list, &resolve).await;
        assert!(told.stdout.contains("1 marked for a person"), "{flag}: {told:?}");
        let flags = format!("SELECT flags::text FROM payment WHERE payment_id = '{id}'");
        assert!(world.value(&flags).await.contains(flag), "{flag}");
        let revoked = world
            .tell("payment.revoke", &json!({"payment_id": id, "terminal": "T-0001"}))
            .await;
        assert_eq!(revoked["reason"], "already_delivered", "{flag}: {revoked}");
        ids.push(id);
    }
    let refused = ["--state", "refused", "--payee", "isp", "--from", "2020-01-01T00:00:00Z"];
    let begin = ["deliveries", "requeue", "--reason", "once more"];
    let looked = unigate(&world, &[&begin[..], &refused, &["--dry-run"]].concat()).await;
    assert!(looked.stdout.contains("--certain"), "{looked:?}");
    unigate(&world, &[&begin[..], &refused].concat()).await;
    for id in &ids {
        assert_eq!(world.payment(id).await.state.as_str(), "refused");
    }
    done(&world, &[&begin[..], &[&ids[0], "--certain"]].concat()).await;
    world.reaches(&ids[0], "delivered").await;
    world.stop().await;
}

/// As before it was revoked; what was given back to the payer is not what the payee has.
#[tokio::test]
async fn what_was_revoked_and_is_credited_otherwise_is_marked_as_credited() {
    let (world, _payee) = provider("").await;
    let (id, number) = delivered(&world).await;
    world.sql("UPDATE payment SET state = 'revoked'").await;
    let files = Files::new();
    let list = files.write("list.csv", &format!("number;amount\n{number};495.00\n"));
    compared(&world, &list, &["--resolve", "--reason", "their books"]).await;
    let flags = format!("SELECT flags::text FROM payment WHERE payment_id = '{id}'");
    assert_eq!(world.value(&flags).await, "{credited_after_revoke}");
    world.stop().await;
}
