//! Re-sending on demand, and files that come back: the identical file, copies, and what the ledger says of them.

use runtime::Nudge;
use serde_json::{Value, json};
use store::registers;
use testkit::wait_for;

use crate::cli::{Files, done, failed, rows, unigate};
use crate::fixtures::{new_ids, utility_payment};
use crate::registers::{every, pay_some, register_becomes, utility};
use crate::world::{PATIENCE, World};

async fn verify(world: &World, file: &str) -> (Option<i32>, Value) {
    let looked = unigate(world, &["registers", "verify", file, "--format", "json"]).await;
    let told = serde_json::from_str(&looked.stdout).unwrap_or_else(|error| panic!("{error}: {looked:?}"));
    (looked.code, told)
}

#[tokio::test]
async fn the_identical_file_is_mailed_again_once_per_act_under_a_new_message_id() {
    let (world, server) = utility(&every(2)).await;
    pay_some(&world, 2).await;
    let first = server.wait_for_mails(1, PATIENCE).await.remove(0);
    let id = registers::list(world.store(), None).await.unwrap()[0]
        .summary
        .register_id;
    register_becomes(&world, id, "mailed").await;
    let register = id.to_string();

    done(&world, &["registers", "resend", "--id", &register]).await;
    world.context.nudge(Nudge::Mails);
    let second = server.wait_for_mails(2, PATIENCE).await.remove(1);
    assert!(second.attachments[0].bytes == first.attachments[0].bytes);
    assert_eq!(second.attachments[0].file_name, first.attachments[0].file_name);
    assert_ne!(second.message_id, first.message_id);
    assert!(second.message_id.ends_with("@example.net"), "{}", second.message_id);
    assert_eq!(second.header("X-Unigate-Kind"), Some("regular"));

    done(
        &world,
        &[
            "registers",
            "resend",
            "--id",
            &register,
            "--to-address",
            "auditor@example.org",
        ],
    )
    .await;
    world.context.nudge(Nudge::Mails);
    let third = server.wait_for_mails(3, PATIENCE).await.remove(2);
    assert_eq!(third.to, ["auditor@example.org"]);
    let named = third.header("To").unwrap();
    assert!(
        named.contains("auditor@example.org") && !named.contains("buh@"),
        "{named}"
    );
    assert!(third.attachments[0].bytes == first.attachments[0].bytes);
    assert!(![first.message_id, second.message_id].contains(&third.message_id));
    assert_eq!(
        registers::find(world.store(), id).await.unwrap().unwrap().state,
        "mailed"
    );

    // Asked twice at once, done once.
    server.down().await;
    done(&world, &["registers", "resend", "--id", &register]).await;
    let twice = unigate(&world, &["registers", "resend", "--id", &register]).await;
    failed(&twice, 1, "is being mailed to buh@example.org already");
    server.up().unwrap();
    world.context.nudge(Nudge::Mails);
    server.wait_for_mails(4, PATIENCE).await;
    let acts = world
        .sql("SELECT subject, allowed::text FROM audit WHERE act = 'registers resend' AND who = 'tester' ORDER BY audit_id")
        .await;
    let allowed: Vec<&str> = acts.iter().map(|act| act[1].as_deref().unwrap()).collect();
    assert_eq!(allowed, ["true", "true", "true", "false"]);
    let usage = unigate(
        &world,
        &["registers", "resend", "--id", &register, "--payee", "gorvodokanal"],
    )
    .await;
    assert_eq!(usage.code, Some(2), "{usage:?}");
    let unknown = unigate(
        &world,
        &["registers", "resend", "--id", "00000000-0000-4000-8000-000000000000"],
    )
    .await;
    failed(&unknown, 1, "is unknown");
}

/// What `registers explain` says of a payment once it says `word`, and `registers show` of the mailings of its register.
async fn told(world: &World, payment: &str, word: &str) -> (Value, Vec<Value>) {
    wait_for(word, PATIENCE, async || {
        let explained = rows(world, &["registers", "explain", payment]).await.remove(0);
        let register = explained["register"]["register_id"].as_str().unwrap().to_owned();
        if !explained["why"].as_str().unwrap().contains(word) {
            return None;
        }
        let shown = rows(world, &["registers", "show", &register]).await.remove(0);
        assert_eq!(shown["state"], "mailed");
        Some((explained, shown["mailings"].as_array().unwrap().clone()))
    })
    .await
}

#[tokio::test]
async fn what_is_mailed_on_demand_hides_no_first_delivery() {
    let (world, server) = utility(&every(1)).await;
    let payment = pay_some(&world, 1).await.remove(0);
    server.wait_for_mails(1, PATIENCE).await;
    let id = registers::list(world.store(), None).await.unwrap()[0]
        .summary
        .register_id;
    register_becomes(&world, id, "mailed").await;
    let register = id.to_string();
    let resend = ["registers", "resend", "--id", &register];
    let (_, first) = told(&world, &payment, " to buh@example.org.").await;
    let had_at = &first[0]["sent_at"];
    assert_eq!((&first[0]["first_sent_at"], &first[0]["again"]), (had_at, &json!(0)));

    done(
        &world,
        &[&resend[..], &["--to-address", "auditor@example.org"]].concat(),
    )
    .await;
    world.context.nudge(Nudge::Mails);
    let (explained, _) = told(&world, &payment, "On demand it was mailed to auditor@example.org at ").await;
    let why = explained["why"].as_str().unwrap();
    assert!(why.contains(" to buh@example.org. On demand "), "{why}");

    server.refuse_recipient("buh@example.org", 550);
    server.down().await;
    done(&world, &resend).await;
    let waits = "On demand it is being mailed to buh@example.org again";
    let (explained, mailings) = told(&world, &payment, waits).await;
    let why = explained["why"].as_str().unwrap();
    assert!(why.contains(" to buh@example.org. On demand "), "{why}");
    let recipients = &explained["register"]["recipients"];
    assert_eq!(
        (&recipients[0]["first_sent_at"], &recipients[1]["sent_at"]),
        (&Value::Null, &Value::Null),
        "{recipients}"
    );
    assert!(recipients[1]["first_sent_at"].is_string(), "{recipients}");
    let of = |address: &str| mailings.iter().find(|one| one["recipient"] == address).unwrap();
    let (buh, auditor) = (of("buh@example.org"), of("auditor@example.org"));
    assert_eq!(
        (&buh["first_sent_at"], &buh["sent_at"], &buh["again"]),
        (had_at, &Value::Null, &json!(2))
    );
    assert_eq!(
        (&auditor["first_sent_at"], &auditor["again"]),
        (&Value::Null, &json!(1))
    );

    server.up().unwrap();
    world.context.nudge(Nudge::Mails);
    let failed = "On demand it was to be mailed to buh@example.org again, which failed: ";
    let (explained, _) = told(&world, &payment, failed).await;
    assert!(
        explained["why"]
            .as_str()
            .unwrap()
            .contains(" to buh@example.org. On demand "),
        "{explained}"
    );
}

#[tokio::test]
async fn a_file_that_comes_back_is_found_and_compared() {
    let (world, server) = utility(&every(3)).await;
    pay_some(&world, 3).await;
    let mail = server.wait_for_mails(1, PATIENCE).await.remove(0);
    let id = registers::list(world.store(), None).await.unwrap()[0]
        .summary
        .register_id;
    let files = Files::new();
    let archive = files.write_bytes(&mail.attachments[0].file_name, &mail.attachments[0].bytes);

    let (code, told) = verify(&world, &archive).await;
    assert_eq!(
        (code, &told["result"], &told["found_by"]),
        (Some(0), &json!("agrees"), &json!("bytes")),
        "{told}"
    );
    assert_eq!(
        (&told["register_id"], &told["count"], &told["total"]),
        (&json!(id), &json!(3), &json!(45_000))
    );
    assert_eq!(told["contents"], "3 payments");

    // Unpacked by the payee, under its name and under none of ours.
    let mut zip = zip::ZipArchive::new(std::io::Cursor::new(mail.attachments[0].bytes.to_vec())).unwrap();
    let mut text = String::new();
    std::io::Read::read_to_string(&mut zip.by_index(0).unwrap(), &mut text).unwrap();
    let (code, told) = verify(&world, &files.write("gorvodokanal-main-000001.csv", &text)).await;
    assert_eq!((code, &told["found_by"]), (Some(0), &json!("name")), "{told}");
    let (code, told) = verify(&world, &files.write("payments.csv", &text)).await;
    assert_eq!(
        (code, &told["found_by"], &told["register_id"]),
        (Some(0), &json!("payments"), &json!(id)),
        "{told}"
    );

    // One payment less, and another amount.
    let lines: Vec<&str> = text.lines().collect();
    let changed = [lines[0], lines[1], &lines[2].replace("150.00", "151.00")].join("\r\n") + "\r\n";
    let (code, told) = verify(&world, &files.write("gorvodokanal-main-000001.csv", &changed)).await;
    assert_eq!((code, &told["result"]), (Some(1), &json!("differs")), "{told}");
    let number = |line: &str| line.split(';').next().unwrap().to_owned();
    assert_eq!(
        told["differs"],
        json!([
            format!("payment {} is not in the file", number(lines[3])),
            format!("payment {}: 15100 in the file, 15000 in the ledger", number(lines[2])),
        ])
    );
    // Damaged on its way.
    let mut damaged = mail.attachments[0].bytes.to_vec();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0xff;
    let (code, told) = verify(&world, &files.write_bytes(&mail.attachments[0].file_name, &damaged)).await;
    assert_eq!((code, &told["found_by"]), (Some(1), &json!("name")), "{told}");
    assert!(
        told["differs"][0]
            .as_str()
            .unwrap()
            .contains("the file that was built has"),
        "{told}"
    );
    let (code, told) = verify(&world, &files.write("holiday.jpg", "\u{1}")).await;
    assert_eq!(
        (code, &told["differs"][0]),
        (
            Some(1),
            &json!("no register has these bytes, this name or these payments")
        )
    );
}

/// The same for one who says whose it is.
async fn looked_at(world: &World, file: &str, payee: &str) -> (Option<i32>, Value) {
    let verify = ["registers", "verify", file, "--payee", payee, "--format", "json"];
    let looked = unigate(world, &verify).await;
    (looked.code, serde_json::from_str(&looked.stdout).unwrap())
}

#[tokio::test]
async fn a_file_that_comes_back_is_judged_by_its_own_payees_register_and_part() {
    let declared = every(3)
        .replace("zip = true", "max_rows = 2\nfile_name = \"register-{{ sequence }}\"")
        .replace("\"RUB\"", "\"KWD\"");
    let (world, server) = utility(&declared).await;
    world.payee(&declared.replace("\"gorvodokanal\"", "\"other\"")).await;
    // Two files each, called the same.
    for (payee, files) in [("gorvodokanal", 2), ("other", 4)] {
        for id in new_ids(3) {
            let mut payment = utility_payment(&id);
            (payment["payee"], payment["currency"], payment["amount"]) = (json!(payee), json!("KWD"), json!(15_001));
            assert_eq!(world.tell("payment.accepted", &payment).await["outcome"], "accepted");
        }
        server.wait_for_mails(files, PATIENCE).await;
    }
    let first = &server.inbox()[..2];
    let mut sent = first.iter().map(|mail| &mail.attachments[0]);
    let second = sent.find(|file| file.file_name == "register-1-2of2.csv").unwrap();
    let files = Files::new();
    let own = files.write_bytes("back.csv", &second.bytes);
    for (code, told) in [
        verify(&world, &own).await,
        looked_at(&world, &own, "gorvodokanal").await,
    ] {
        assert_eq!((code, &told["found_by"]), (Some(0), &json!("bytes")), "{told}");
    }
    let (code, told) = looked_at(&world, &own, "other").await;
    assert_eq!((code, &told["register_id"]), (Some(1), &Value::Null), "{told}");

    // With other bytes and a name that is not ours: 15.001 of a currency with three digits.
    let changed = String::from_utf8(second.bytes.to_vec()).unwrap() + "\r\n";
    let renamed = files.write("changed.csv", &changed);
    for (code, told) in [
        verify(&world, &renamed).await,
        looked_at(&world, &renamed, "gorvodokanal").await,
    ] {
        assert_eq!(
            (code, &told["found_by"], &told["part"], &told["count"]),
            (Some(0), &json!("payments"), &json!("2 of 2"), &json!(1)),
            "{told}"
        );
    }
    // With a name that the other's latest register has, too.
    let (code, told) = looked_at(&world, &files.write(&second.file_name, &changed), "gorvodokanal").await;
    assert_eq!(
        (code, &told["found_by"], &told["payee"], &told["part"]),
        (Some(1), &json!("name"), &json!("gorvodokanal"), &json!("2 of 2")),
        "{told}"
    );
    let differs = told["differs"].as_array().unwrap();
    assert!(
        differs.len() == 1 && differs[0].as_str().unwrap().starts_with("the file that was built has"),
        "{told}"
    );
}

#[tokio::test]
async fn a_file_of_a_further_series_is_read_by_that_series_own_layout() {
    let series = r#"
    [[register.series]]
    name = "meters"
    when = { field = "meter_cold", pattern = ".+" }
    format = "dbf"
    zip = false
"#;
    let (world, server) = utility(&format!("{}{series}", every(1))).await;
    pay_some(&world, 1).await;
    let mail = server.wait_for_mails(1, PATIENCE).await.remove(0);
    let sent = &mail.attachments[0];
    assert!(sent.file_name.starts_with("gorvodokanal-meters-"), "{}", sent.file_name);
    // The byte at its end that closes a table is one that some programs leave out.
    let mut changed = sent.bytes.to_vec();
    assert_eq!(changed.pop(), Some(0x1a));
    let files = Files::new();
    let (code, told) = looked_at(&world, &files.write_bytes("payments.dbf", &changed), "gorvodokanal").await;
    assert_eq!(
        (code, &told["found_by"], &told["series"], &told["count"]),
        (Some(0), &json!("payments"), &json!("meters"), &json!(1)),
        "{told}"
    );
}

#[tokio::test]
async fn copies_of_any_period_may_hold_what_is_open() {
    let (world, server) = utility(&every(2)).await;
    pay_some(&world, 3).await;
    server.wait_for_mails(1, PATIENCE).await;
    let period = ["--payee", "gorvodokanal", "--from", "2020-01-01", "--to", "2099-01-01"];
    done(
        &world,
        &[
            &["registers", "resend"],
            &period[..],
            &["--include-open", "--format", "csv"],
        ]
        .concat(),
    )
    .await;
    world.context.nudge(Nudge::Registers);
    let copy = server.wait_for_mails(2, PATIENCE).await.remove(1);
    assert_eq!(
        (copy.header("X-Unigate-Kind"), copy.header("X-Unigate-Count")),
        (Some("copy"), Some("3"))
    );
    assert_eq!(
        copy.attachments[0].file_name,
        "gorvodokanal-main-COPY-OPEN-000001.csv.zip"
    );
    assert!(copy.subject.contains("COPY"), "{}", copy.subject);
    let open = "SELECT count(*) FROM payment_view WHERE register_id IS NULL";
    assert_eq!(world.value(open).await, "1", "a copy makes no payment a member of it");
    let papyrus = unigate(
        &world,
        &[&["registers", "resend"], &period[..], &["--format", "papyrus"]].concat(),
    )
    .await;
    failed(&papyrus, 1, "--format papyrus");
}
