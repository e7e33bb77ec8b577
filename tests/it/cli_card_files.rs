//! Card files by hand: looked at before they are handed in, handed in with a password that only the operator knows, watched,
//! taken back, and asked about row by row.

use serde_json::json;
use testkit::process::Process;
use testkit::wait_for;

use crate::cli::{Files, done, failed, rows, unigate};
use crate::faults::{bare, dying_at, environment};
use crate::fixtures::{MTS, new_id, reservation};
use crate::world::PATIENCE;

const ISSUER: &str = r#"
[card_file]
delimiter = ";"
serial = "Number"
expires_on = "Valid thru"
date_format = "MM/YY"
price = "Price"
amounts = "major"
[card_file.secret]
pin = "Code"
[card_file.public]
tariff = "Plan"
"#;

const TEXT: &str = "Number;Code;Plan;Price;Valid thru\n0001;8231-secret-1;Summer;99.50;12/99\n\
                    0002;8231-secret-2;Winter;;\n0003;;Winter;;\n0004;8231-secret-4;Winter;;01/20\n";

#[tokio::test]
async fn a_file_is_looked_at_masked_and_handed_in_as_its_issuer_wrote_it() {
    let world = bare().await;
    world.product(&format!("{MTS}{ISSUER}")).await;
    let process = Process::start_ready(&environment(&world, &[]), &["run", "cards"]).await;
    let files = Files::new();
    let file = files.write("issuer.csv", TEXT);
    let import = ["cards", "import", "--product", "mts-100", &file];
    // Cards of other files may have it: it is told, and not refused.
    let doubtful = format!("{MTS}\nreceipt = \"{{{{ pin }}}} {{{{ login }}}}\"\n{ISSUER}");
    let applied = done(&world, &["products", "apply", &files.write("mts.toml", &doubtful)]).await;
    assert!(
        applied
            .stderr
            .contains("receipt: names `login`, which is no field of its cards"),
        "{applied:?}"
    );

    let looked = unigate(&world, &[&import[..], &["--dry-run", "--format", "json"]].concat()).await;
    assert_eq!(looked.code, Some(1), "a row is malformed: {looked:?}");
    assert!(
        !looked.stdout.contains("8231") && !looked.stderr.contains("8231"),
        "{looked:?}"
    );
    let first: serde_json::Value = serde_json::from_str(looked.stdout.lines().next().unwrap()).unwrap();
    assert_eq!(
        first,
        json!({"line": 2, "serial": "0001", "expires_on": "2099-12-31", "expired": false, "face_value": null, "price": 9950,
               "public": "tariff=Summer", "secret": "pin=*************"})
    );
    assert!(
        looked.stderr.contains("issuer.csv:4: refused: pin: is empty"),
        "{looked:?}"
    );
    assert!(
        rows(&world, &["cards", "imports"]).await.is_empty(),
        "a dry run handed something in"
    );

    failed(&unigate(&world, &import).await, 1, "issuer.csv:4: refused");
    let good = done(&world, &[&import[..], &["--good-rows"]].concat()).await;
    assert!(
        good.stdout.contains("2 cards added") && good.stdout.contains("1 malformed"),
        "{good:?}"
    );
    failed(
        &unigate(&world, &[&import[..], &["--good-rows"]].concat()).await,
        1,
        "was imported before",
    );
    let again = done(&world, &[&import[..], &["--good-rows", "--again"]].concat()).await;
    assert!(again.stdout.contains("0 cards added, 2 duplicates"), "{again:?}");

    let listed = rows(&world, &["cards", "imports"]).await;
    let states: Vec<_> = listed.iter().map(|row| row["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["done", "refused", "done", "refused"]);
    assert_eq!(
        (&listed[2]["rows_done"], &listed[2]["rows_total"]),
        (&json!(4), &json!(4))
    );
    let id = listed[2]["import_id"].as_str().unwrap();
    let left_out = rows(&world, &["cards", "imports", id]).await;
    assert_eq!(
        left_out,
        [
            json!({"line": 4, "kind": "refused", "why": "pin: is empty"}),
            json!({"line": 5, "kind": "expired", "why": "expires_on: is past"}),
        ]
    );
    let held = world.ask("card.reserve", &reservation(&new_id())).await;
    assert_eq!(
        held["card"]["fields"],
        json!({"pin": "8231-secret-1", "tariff": "Summer"})
    );
    assert_eq!(held["price"], 9950);
    assert!(process.end().await.success());
}

#[tokio::test]
async fn a_password_is_used_where_it_is_and_goes_nowhere() {
    let world = bare().await;
    world.product(MTS).await;
    let files = Files::new();
    let mut recipient = age::scrypt::Recipient::new("hunter2".to_owned().into());
    recipient.set_work_factor(4);
    let sealed = age::encrypt(&recipient, b"serial,pin\n0001,8231-secret-1\n").unwrap();
    let file = files.write_bytes("issuer.csv.age", &sealed);
    let (right, wrong) = (files.write("right", "hunter2\n"), files.write("wrong", "hunter3\n"));
    let import = |password: &str| {
        let args = ["cards", "import", "--product", "mts-100", "--password", password, &file];
        args.map(str::to_owned)
    };
    let run = async |password: &str| {
        let args = import(password);
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        unigate(&world, &args).await
    };
    failed(
        &run(&format!("file:{wrong}")).await,
        1,
        "the passphrase does not open it",
    );
    failed(&run("env:TEST_NOWHERE").await, 1, "TEST_NOWHERE is not set here");
    failed(&run("hunter2").await, 2, "must be env:NAME or file:PATH");
    assert!(
        rows(&world, &["cards", "imports"]).await.is_empty(),
        "half of a file was handed in"
    );
    let handed_in = run(&format!("file:{right}")).await;
    assert!(handed_in.stdout.contains("1 cards added"), "{handed_in:?}");
    for table in ["audit", "card_import", "card_import_chunk", "product"] {
        let stored = format!("{:?}", world.sql(&format!("SELECT t::text FROM {table} t")).await);
        assert!(
            !stored.contains("hunter") && !stored.contains("68756e746572"),
            "{table}"
        );
    }
    // No worker ran: the command did the work itself. Handed in and left, a file waits, and can be taken back.
    let second = files.write("second.csv", "serial,pin\n0002,8231-secret-2\n");
    done(
        &world,
        &["cards", "import", "--product", "mts-100", "--wait", "0", &second],
    )
    .await;
    let listed = rows(&world, &["cards", "imports"]).await;
    assert_eq!(listed[0]["state"], "waiting");
    let id = listed[0]["import_id"].as_str().unwrap();
    let cancel = ["cards", "cancel-import", id, "--reason", "wrong file"];
    done(&world, &cancel).await;
    failed(&unigate(&world, &cancel).await, 1, "is cancelled");
    assert_eq!(rows(&world, &["cards", "imports"]).await[0]["state"], "cancelled");
    let acts = world
        .sql("SELECT allowed FROM audit WHERE act = 'cards cancel-import' ORDER BY audit_id")
        .await;
    assert_eq!(acts, [[Some("t".to_owned())], [Some("f".to_owned())]]);
}

/// Killed at this point, another worker has the file done: every card once, whatever the first one had written.
async fn import_killed_at(point: &str) {
    let world = bare().await;
    world.product(MTS).await;
    let files = Files::new();
    let rows: String = (0..3_000).map(|at| format!("{at:04},8231-secret-{at:04}\n")).collect();
    let file = files.write("cards.csv", &format!("serial,pin\n{rows}"));
    let mut doomed =
        Process::start_ready(&dying_at(&world, &format!("cards.imports:{point}")), &["run", "cards"]).await;
    done(
        &world,
        &["cards", "import", "--product", "mts-100", "--wait", "0", &file],
    )
    .await;
    doomed.dies().await;
    world
        .sql("UPDATE card_import SET lease_until = clock_timestamp() WHERE state = 'working'")
        .await;
    let healthy = Process::start_ready(&environment(&world, &[]), &["run", "cards"]).await;
    wait_for("the file to be done", PATIENCE, async || {
        let listed = rows_of(&world).await;
        (listed[0]["state"] == "done").then_some(())
    })
    .await;
    let listed = rows_of(&world).await;
    assert_eq!((listed.len(), &listed[0]["added"]), (1, &json!(3_000)));
    assert_eq!(world.value("SELECT count(*) FROM card").await, "3000");
    assert_eq!(world.value("SELECT count(*) FROM card_batch").await, "1");
    assert_eq!(world.value("SELECT count(*) FROM card_import_chunk").await, "0");
    assert!(healthy.end().await.success());
}

async fn rows_of(world: &crate::world::World) -> Vec<serde_json::Value> {
    rows(world, &["cards", "imports"]).await
}

#[tokio::test]
async fn an_import_killed_once_its_cards_are_sealed() {
    import_killed_at("staged").await;
}

#[tokio::test]
async fn an_import_killed_before_its_commit() {
    import_killed_at("before_commit").await;
}

#[tokio::test]
async fn an_import_killed_after_its_commit() {
    import_killed_at("after_commit").await;
}
