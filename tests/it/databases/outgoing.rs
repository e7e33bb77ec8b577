//! What is paid for a list goes back to its payee as a file of the kind it keeps, made by the registers as for any payee.

use std::path::Path;
use std::process::Command;

use runtime::Nudge;
use serde_json::json;
use testkit::wait_for;
use unigate::workers::Worker;

use super::payment;
use crate::cli::Files;
use crate::fixtures::new_id;
use crate::world::{PATIENCE, World};

const ALL: [Worker; 4] = [Worker::Intake, Worker::Databases, Worker::Registers, Worker::Mailer];

/// A payee that sends debts as a list, and wants payments back as a file in a directory.
fn association(id: &str, list: &Path, directory: &Path, register: &str) -> String {
    format!(
        r#"
        id = "{id}"
        name = "ТСЖ «Речное»"
        gateway = "databases"
        currency = "RUB"
        account = {{ pattern = "^[0-9]{{1,6}}$" }}
        amount = {{ min = 100, max = 10000000 }}
        [[field]]
        name = "payer"
        label = "ФИО"
        pattern = "^.{{1,60}}$"
        required = true
        [databases]
        amount_as = "decimal"
        [databases.file]
        path = "{}"
        format = "csv"
        columns = {{ ls = "account_number", saldo = "saldo" }}
        [[databases.check.statement]]
        sql = "select saldo as amount_due from list where account_number = :account"
        [[databases.pay.statement]]
        sql = "select 1 as found from list where account_number = :account"
        none = "refused: account_not_found"
        [register]
        schedule = "0 0 * * *"
        time_zone = "Europe/Moscow"
        directory = {{ path = "{}" }}
        {register}
        "#,
        list.display(),
        directory.display(),
    )
}

/// Rows of number, account, amount and payer, as programs read them that are not ours.
fn by_python(file: &Path, encoding: &str) -> Vec<[String; 4]> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let python = root.join(".data/tools/readers/bin/python");
    let told = Command::new(&python)
        .arg(root.join("tests/it/databases/outgoing.py"))
        .arg(file)
        .arg(encoding)
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}; scripts/tools test installs it", python.display()));
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    serde_json::from_slice(&told.stdout).unwrap()
}

#[tokio::test]
async fn what_is_paid_for_a_list_goes_back_as_a_file_of_its_payees_kind() {
    const DBF: &str = r#"format = "dbf"
        [register.layout]
        columns = [
            { value = "number", name = "NUMBER", width = 12 }, { value = "account", name = "ACCOUNT", width = 10 },
            { value = "amount", name = "AMOUNT", width = 12 }, { value = "fields.payer", name = "PAYER", width = 40 }]"#;
    let kinds = [
        ("tszh-dbf", DBF, "cp866", "dbf"),
        (
            "tszh-csv",
            "format = \"csv\"\nencoding = \"windows-1251\"",
            "windows-1251",
            "csv",
        ),
        ("tszh-xlsx", "format = \"xlsx\"", "", "xlsx"),
    ];
    let files = Files::new();
    let list = files.path().join("saldo.csv");
    std::fs::write(&list, "ls;saldo\n17;1250.40\n18;300\n").unwrap();
    let world = World::start(&ALL).await;
    let mut wanted = Vec::new();
    for (id, register, ..) in kinds {
        let directory = files.path().join(id);
        std::fs::create_dir(&directory).unwrap();
        world.payee(&association(id, &list, &directory, register)).await;
        let mut rows = Vec::new();
        for (account, payer) in [("17", "Ёлкина; А. Я."), ("18", "Иванов И. И."), ("99", "Никто")]
        {
            let payment_id = new_id();
            let told = payment(&payment_id, id, account, &json!({"payer": payer}));
            let answer = world.tell("payment.accepted", &told).await;
            assert_eq!(answer["outcome"], "accepted", "{answer}");
            if account == "99" {
                world.reaches(&payment_id, "refused").await;
                continue;
            }
            world.reaches(&payment_id, "delivered").await;
            let number = answer["number"].as_str().unwrap().to_owned();
            rows.push([number, account.to_owned(), "150.00".to_owned(), payer.to_owned()]);
        }
        wanted.push(rows);
    }
    // As if a day had gone by since, and nobody had worked.
    world
        .sql(
            "UPDATE payment SET delivered_at = '2026-11-20 21:00:00Z' WHERE state = 'delivered';
             UPDATE series SET last_cutoff = '2026-11-20 21:00:00Z', planned_version = NULL WHERE holds = 'delivered'",
        )
        .await;
    world.context.nudge(Nudge::Registers);
    for ((id, _, encoding, extension), wanted) in kinds.iter().zip(wanted) {
        let file = files.path().join(id).join(format!("{id}-delivered-000001.{extension}"));
        wait_for("the payee's file", PATIENCE, async || file.exists().then_some(())).await;
        assert_eq!(by_python(&file, encoding), wanted, "{id}");
    }
    world.stop().await;
}
