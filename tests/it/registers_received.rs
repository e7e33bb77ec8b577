//! Registers that other agents send, and a look at our own before they are built: the executable by hand.

use std::collections::BTreeMap;

use domain::declaration::{Payee, RegisterFormat};
use domain::{Currency, Number, PaymentId};
use formats::{Head, Layout, Row};
use jiff::Timestamp;
use serde_json::{Value, json};
use store::declarations;

use crate::cli::{Files, done, failed, unigate};
use crate::faults::bare;
use crate::fixtures::UTILITY;
use crate::world::World;

const HEAD: &str = "buh@example.org\n\n";

/// A utility that asks for nothing but the account.
fn utility(register: &str) -> String {
    let declared = UTILITY.replace("required = true", "");
    declared.replace("format = \"csv\"", register)
}

/// The same declared, and the terminal that stands for the other agent.
async fn world(register: &str) -> World {
    let world = bare().await;
    world.payee(&utility(register)).await;
    world
        .terminal("id = \"AGENT-1\"\ngroup = \"agents\"\nusers = [\"guest\"]")
        .await;
    world
}

fn line(number: u32, account: &str, amount: &str) -> String {
    format!(
        "{number}\t{}\t10:02:11\t{account}\t{amount}\n",
        domain::clock::now().strftime("%d.%m.%Y")
    )
}

fn qiwi(lines: &[String], count: usize, total: &str) -> String {
    format!("{HEAD}{}Total:\t{count}\t{total}\n", lines.concat())
}

const IMPORT: [&str; 8] = [
    "payments",
    "import",
    "--payee",
    "gorvodokanal",
    "--terminal",
    "AGENT-1",
    "--report",
    "json",
];

async fn import(world: &World, file: &str, more: &[&str]) -> (Option<i32>, Vec<Value>, String) {
    import_as(world, "qiwi", file, more).await
}

async fn import_as(world: &World, format: &str, file: &str, more: &[&str]) -> (Option<i32>, Vec<Value>, String) {
    let told = unigate(world, &[&IMPORT[..], &["--format", format, file], more].concat()).await;
    let rows = told
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    (told.code, rows, told.stderr)
}

fn outcomes(rows: &[Value]) -> Vec<&str> {
    rows.iter().map(|row| row["outcome"].as_str().unwrap()).collect()
}

async fn payments(world: &World) -> String {
    world.value("SELECT count(*) FROM payment").await
}

#[tokio::test]
async fn a_register_received_is_taken_once_line_by_line() {
    let world = world("format = \"csv\"").await;
    let files = Files::new();
    let three = [
        line(1, "1920679795", "150.00"),
        line(2, "1920679796", "99.50"),
        line(3, "none", "1.00"),
    ];
    let file = files.write("agent.txt", &qiwi(&three, 3, "250.50"));

    let (code, dry, said) = import(&world, &file, &["--dry-run"]).await;
    assert_eq!(
        (code, outcomes(&dry)),
        (Some(1), vec!["accepted", "accepted", "refused"]),
        "{said}"
    );
    assert!(said.contains("nothing was taken"), "{said}");
    assert_eq!(payments(&world).await, "0");

    let mut told = world.listen("payment.*").await;
    let (code, taken, said) = import(&world, &file, &[]).await;
    assert_eq!(
        (code, outcomes(&taken)),
        (Some(1), vec!["accepted", "accepted", "refused"]),
        "{said}"
    );
    assert_eq!(
        (&taken[2]["line"], &taken[2]["reason"]),
        (&json!(5), &json!("invalid_field"))
    );
    assert_eq!(taken[0]["payment_id"], dry[0]["payment_id"]);
    assert_eq!(payments(&world).await, "2");
    let kept = world
        .sql("SELECT account, amount, receipt_number, terminal_id, position IS NOT NULL FROM payment ORDER BY account")
        .await;
    let texts: Vec<&str> = kept[0].iter().flatten().map(String::as_str).collect();
    assert_eq!(texts, ["1920679795", "15000", "1", "AGENT-1", "t"]);
    assert_eq!(told.all(&world, "payment.accepted").await.len(), 2);

    let (_, again, _) = import(&world, &file, &[]).await;
    assert_eq!(outcomes(&again), ["already_accepted", "already_accepted", "refused"]);
    // Another file with one of them, one that is new, and one under a known number that is another payment.
    let overlap = [
        line(2, "1920679796", "99.50"),
        line(4, "1920679797", "10.00"),
        line(1, "1920679795", "151.00"),
    ];
    let overlap = files.write("overlap.txt", &qiwi(&overlap, 3, "260.50"));
    let (_, third, _) = import(&world, &overlap, &[]).await;
    assert_eq!(outcomes(&third), ["already_accepted", "accepted", "refused"]);
    assert_eq!(third[2]["reason"], "payment_id_reused");
    assert_eq!(payments(&world).await, "3");
    assert_eq!(world.value("SELECT sum(amount) FROM payment").await, "25950");
    let audited = world
        .value("SELECT count(*) FROM audit WHERE act = 'payments import' AND allowed AND who = 'tester' AND subject = 'gorvodokanal'")
        .await;
    assert_eq!(audited, "3", "a dry run is no act");
}

const OWN: &str = r#"format = "text"
    layout = { escape = "xml", row = '<pay id="{{ number }}" at="{{ paid_at }}" of="{{ account }}" sum="{{ amount }}" by="{{ fields.payer }}"/>' }"#;

const PAYER: &str = "ООО \"Ёлка & К\"";

/// Two payments in a file as another agent's program writes it; `first` is the number of the first.
fn received(payee: &Payee, format: RegisterFormat, first: i64, paid_at: Timestamp) -> Vec<u8> {
    let layout = Layout::in_format(payee, format).unwrap();
    let currency = Currency::parse("RUB").unwrap();
    let head = Head {
        series: "main".to_owned(),
        sequence: 1,
        of_day: 1,
        of_year: 1,
        part: (1, 1),
        count: 2,
        total: 24_950,
        currency,
        is_copy: false,
        open: 0,
        first_at: paid_at,
        last_at: paid_at,
        cutoff: paid_at,
    };
    let fields = BTreeMap::from([("payer".to_owned(), PAYER.to_owned())]);
    let mut writer = layout.begin(&head, Vec::new()).unwrap();
    for (number, account, amount) in [(first, "1920679795", 15_000), (first + 1, "0000679796", 9_950)] {
        let row = Row {
            number: Number::new(number).unwrap(),
            payment_id: PaymentId::random(),
            at: paid_at,
            paid_at,
            account,
            amount,
            fee: 0,
            currency,
            receipt_number: None,
            terminal: "T-0001",
            fields: &fields,
        };
        writer.row(&row).unwrap();
    }
    writer.finish().unwrap().0
}

/// Every format but columns of fixed width, which nobody has without saying them.
#[tokio::test]
async fn a_register_of_any_format_is_taken_once() {
    let world = world(OWN).await;
    let payee: Payee = toml::from_str(&utility(OWN)).unwrap();
    let files = Files::new();
    let paid_at = Timestamp::from_second(domain::clock::now().as_second() - 60).unwrap();
    let formats = RegisterFormat::ALL
        .into_iter()
        .filter(|format| *format != RegisterFormat::Fixed);
    for (format, first) in formats.zip((1000..).step_by(10)) {
        let name = format.as_str();
        let file = files.write_bytes(name, &received(&payee, format, first, paid_at));
        let (code, taken, said) = import_as(&world, name, &file, &[]).await;
        assert_eq!(
            (code, outcomes(&taken)),
            (Some(0), vec!["accepted"; 2]),
            "{name}: {said}"
        );
        let kept = world
            .value(&format!(
                "SELECT string_agg(concat(account, ' ', amount, ' ', fields->>'payer'), '|' ORDER BY receipt_number)
                 FROM payment WHERE receipt_number IN ('{first}', '{}')",
                first + 1
            ))
            .await;
        let has_payer = !["qiwi", "lanbilling", "sberbank", "1c"].contains(&name);
        let payer = if has_payer { PAYER } else { "" };
        assert_eq!(
            kept,
            format!("1920679795 15000 {payer}|0000679796 9950 {payer}"),
            "{name}"
        );

        let before = payments(&world).await;
        let (code, again, said) = import_as(&world, name, &file, &[]).await;
        let wanted = (Some(0), vec!["already_accepted"; 2]);
        assert_eq!((code, outcomes(&again)), wanted, "{name}: {said}");
        assert_eq!(payments(&world).await, before, "{name}");
    }
    assert_eq!(payments(&world).await, "20");
    let to_the_second = format!("SELECT count(*) FROM payment WHERE paid_at = '{paid_at}'");
    assert_eq!(
        world.value(&to_the_second).await,
        "16",
        "lanbilling and 1c have days only"
    );
}

#[tokio::test]
async fn a_file_without_payments_is_taken_only_where_something_says_so() {
    let world = world("format = \"csv\"").await;
    let files = Files::new();
    let bare = files.write("bare.xml", "<register/>");
    let other = files.write(
        "other.xml",
        "<register><Payment><number>17</number></Payment><payment number=\"18\" amount=\"1.00\"/></register>",
    );
    let names = files.write("names.csv", "number;paid_at;account;amount\r\n");
    let zero = files.write("zero.xml", "<register count=\"0\" total=\"0.00\"/>");
    // Nothing was cut off a payment where there is none.
    let unended = files.write("unended.csv", "number;paid_at;account;amount");
    let empty = files.write("empty.csv", "");
    for (format, file) in [("xml", &bare), ("csv", &names), ("csv", &unended), ("csv", &empty)] {
        let (code, _, said) = import_as(&world, format, file, &[]).await;
        assert!(code == Some(1) && said.contains("no payments are in it"), "{said}");
        let (code, rows, said) = import_as(&world, format, file, &["--count", "0"]).await;
        assert_eq!((code, rows.len()), (Some(0), 0), "{said}");
    }
    let (code, _, said) = import_as(&world, "xml", &zero, &[]).await;
    assert_eq!(code, Some(0), "{said}");
    let (code, _, said) = import_as(&world, "xml", &zero, &["--count", "1"]).await;
    assert!(code == Some(1) && said.contains("1 payments should be in it"), "{said}");

    let (code, rows, said) = import_as(&world, "xml", &other, &[]).await;
    assert_eq!((code, outcomes(&rows)), (Some(1), vec!["refused"; 2]), "{said}");
    let why = [&rows[0]["detail"], &rows[1]["detail"]];
    assert_eq!(why, ["`Payment` is no `payment` of this layout", "number: is missing"]);
    assert_eq!(payments(&world).await, "0");
}

#[tokio::test]
async fn a_file_that_disagrees_with_itself_is_refused_whole() {
    let world = world("format = \"csv\"").await;
    let files = Files::new();
    let two = [line(1, "1920679795", "150.00"), line(2, "1920679796", "99.50")];
    for (name, text, why) in [
        (
            "count.txt",
            qiwi(&two, 3, "249.50"),
            "3 payments should be in it, and there are 2 lines",
        ),
        (
            "total.txt",
            qiwi(&two, 2, "249.51"),
            "it should come to 24951 in minor units",
        ),
        (
            "cut.txt",
            format!("{HEAD}{}", two.concat()),
            "trailer: is not as the layout has it",
        ),
        (
            "amount.txt",
            qiwi(&[two[0].clone(), line(2, "1920679796", "x")], 2, "249.50"),
            "what can be read of it comes to 15000",
        ),
    ] {
        let file = files.write(name, &text);
        let told = unigate(&world, &[&IMPORT[..], &["--format", "qiwi", &file]].concat()).await;
        failed(&told, 1, why);
        assert!(
            told.stderr.contains(name) && told.stderr.contains("nothing was taken"),
            "{told:?}"
        );
    }
    let lanbilling = files.write("lan.txt", "\n1920679795\t1\t2026-11-23\t150.00\t\t\t\t\n");
    let told = unigate(
        &world,
        &[&IMPORT[..], &["--format", "lanbilling", &lanbilling, "--count", "2"]].concat(),
    )
    .await;
    failed(&told, 1, "2 payments should be in it");
    let told = unigate(&world, &[&IMPORT[..], &["--format", "1c", &lanbilling]].concat()).await;
    failed(&told, 1, "header: is not as the layout has it");
    // The end of the last line is all that says so.
    let unended = files.write("unended.txt", "\n1920679795\t1\t2026-11-23\t150.00\t\t\t\t");
    let dry_run = [&IMPORT[..], &["--format", "lanbilling", "--dry-run", &unended]].concat();
    failed(&unigate(&world, &dry_run).await, 1, "its last line has no end");
    done(&world, &[&dry_run[..], &["--total", "15000"]].concat()).await;
    assert_eq!(payments(&world).await, "0");
    let denied = world
        .value("SELECT count(*) FROM audit WHERE act = 'payments import' AND NOT allowed")
        .await;
    assert_eq!(denied, "7");
    let stranger = unigate(
        &world,
        &[
            "payments",
            "import",
            "--payee",
            "gorvodokanal",
            "--terminal",
            "T-9",
            "--format",
            "qiwi",
            &lanbilling,
        ],
    )
    .await;
    failed(&stranger, 1, "no terminal T-9 is declared");
}

#[tokio::test]
async fn a_preview_shows_the_open_payments_and_closes_nothing() {
    let world = world("format = \"sberbank\"\nfile_name = \"{{ date }}_{{ sequence_of_day }}\"").await;
    let files = Files::new();
    let nothing = unigate(&world, &["registers", "preview", "gorvodokanal"]).await;
    failed(&nothing, 1, "no open payments");
    let three = [
        line(1, "1920679795", "150.00"),
        line(2, "1920679796", "150.00"),
        line(3, "1920679797", "150.00"),
    ];
    let file = files.write("agent.txt", &qiwi(&three, 3, "450.00"));
    assert_eq!(import(&world, &file, &[]).await.0, Some(0));

    let shown = done(&world, &["registers", "preview", "gorvodokanal", "--rows", "2"]).await;
    let lines: Vec<&str> = shown.stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{shown:?}");
    assert!(
        lines[0].contains(";AGENT-1;") && lines[0].ends_with(";150,00;150,00;0,00"),
        "{shown:?}"
    );
    assert!(lines[2].starts_with("=2;300,00;300,00;0,00;1;"), "{shown:?}");
    assert!(shown.stderr.contains("2 of 3 payments"), "{shown:?}");
    let saved = files.path().join("preview.txt");
    let name = saved.display().to_string();
    done(&world, &["registers", "preview", "gorvodokanal", "--save", &name]).await;
    assert_eq!(std::fs::read_to_string(&saved).unwrap().lines().count(), 4);
    assert_eq!(world.value("SELECT count(*) FROM register").await, "0");

    let closed =
        store::registers::close_now(world.store(), &domain::PayeeId::parse("gorvodokanal").unwrap(), "test").await;
    let id = closed.unwrap()[0].to_string();
    let of_it = done(&world, &["registers", "preview", "gorvodokanal", "--register", &id]).await;
    assert_eq!(of_it.stdout.lines().count(), 4, "{of_it:?}");
    assert!(of_it.stderr.contains("_1.txt: 3 of 3 payments"), "{of_it:?}");
    let audited = world
        .value("SELECT count(*) FROM audit WHERE act = 'registers preview' AND subject = 'gorvodokanal'")
        .await;
    assert_eq!(audited, "3");
}

#[tokio::test]
async fn a_layout_that_cannot_be_filled_in_is_not_declared() {
    let world = bare().await;
    let files = Files::new();
    let wrong = UTILITY.replace(
        "format = \"csv\"",
        "format = \"text\"\n[register.layout]\nrow = \"{{ number | groups(0) }}\"",
    );
    let wrong = wrong.replace("    zip = true\n    mail_to = [\"buh@example.org\"]\n", "");
    let file = files.write("wrong.toml", &wrong);
    let told = unigate(&world, &["payees", "apply", &file]).await;
    failed(&told, 64, "payee gorvodokanal: register: layout.row, line 1:");
    assert!(declarations::load(world.store()).await.unwrap().payees.is_empty());
}
