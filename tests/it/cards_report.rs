//! Reports of sales: whatever they are grouped by, their numbers are those of the rows, also for a reader that is not ours.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use domain::card::{CardState, ReservationState};
use domain::ids::ReservationId;
use jiff::SignedDuration;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use store::reservations::{self, CardChange, SaleTold, Written};
use testkit::wait_for;

use crate::cards::{reserve, shop};
use crate::cli::{Files, done, failed, rows, unigate};
use crate::faults::bare;
use crate::fixtures::{MTS, UTILITY, new_id};
use crate::world::{PATIENCE, World};

const PERIOD: [&str; 6] = [
    "--from",
    "2026-10-24",
    "--to",
    "2026-10-27",
    "--time-zone",
    "Europe/Berlin",
];
const SUMMED: [&str; 6] = ["sold", "late", "amount", "price", "face_value", "surplus"];

/// Three products of two issuers and none, two currencies, terminals in two groups and none, and so many sales around the
/// night in which clocks are put back; and as many reservations that came to nothing.
async fn sales(world: &World, count: usize, seed: u64) {
    world.payee(UTILITY).await;
    world.product(&format!("{MTS}\npayee = \"gorvodokanal\"")).await;
    world
        .product(&MTS.replace("mts-100", "kz-1").replace("RUB", "KZT"))
        .await;
    world
        .product(
            &MTS.replace("mts-100", "other")
                .replace("price", "payee = \"other\"\nprice"),
        )
        .await;
    for (id, group) in [("T-1", "group = \"center\""), ("T-2", "group = \"east\""), ("T-3", "")] {
        world
            .terminal(&format!("id = \"{id}\"\nusers = [\"guest\"]\n{group}"))
            .await;
    }
    let mut random = StdRng::seed_from_u64(seed);
    world.cards_vault().await;
    let mut script = "INSERT INTO card_import (import_id, product_id, file_name, state, requested_by, finished_at)
            VALUES (gen_random_uuid(), 'other', 'f', 'done', 'x', now());
        INSERT INTO card_batch (product_id, import_id, vault_version, wrapped_key)
            SELECT 'other', import_id, version, 'x' FROM card_import, vault;"
        .to_owned();
    for at in 0..count {
        let product = ["mts-100", "kz-1", "other"][random.random_range(0..3)];
        let currency = if product == "kz-1" { "KZT" } else { "RUB" };
        let terminal = ["T-1", "T-2", "T-3", "T-gone"][random.random_range(0..4)];
        let second = random.random_range(0..4 * 86_400);
        let (price, surplus) = (random.random_range(1..1_000_000), random.random_range(0..3) * 7);
        let late = random.random_bool(0.2);
        let state = if random.random_bool(0.7) { "sold" } else { "released" };
        let (card, ended_by) = if state == "sold" {
            ("sold", "sale")
        } else {
            ("available", "release")
        };
        let sale = if state == "sold" {
            format!("'x', now(), {}, {late}, {surplus}, '=00{at}'", price + surplus)
        } else {
            "NULL, NULL, NULL, NULL, NULL, NULL".to_owned()
        };
        script.push_str(&format!(
            "WITH c AS (INSERT INTO card (product_id, pos, batch_id, serial, state, pool, exposed, reservation_id)
                 SELECT '{product}', {at}, max(batch_id), '{at:05}', '{card}', 'returned', true, CASE WHEN '{card}' = 'sold' THEN gen_random_uuid() END FROM card_batch
                 RETURNING card_id, reservation_id)
             INSERT INTO reservation (reservation_id, product_id, terminal_id, card_id, state, price, face_value, currency,
                 ended_at, ended_by, held_until, grace_until, fingerprint, sale_fingerprint, paid_at, amount, late, surplus, receipt_number)
             SELECT coalesce(reservation_id, gen_random_uuid()), '{product}', '{terminal}', card_id, '{state}', {price},
                    {price}, '{currency}', timestamptz '2026-10-23 20:00:00+00' + {second} * interval '1 second', '{ended_by}',
                    now(), now(), 'x', {sale} FROM c;\n"
        ));
    }
    world.sql(&script).await;
}

fn args<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["cards", "report"], &PERIOD[..], more].concat()
}

/// Sums of every column, by currency.
fn summed<'r>(rows: impl Iterator<Item = &'r Value>) -> BTreeMap<String, [i64; 6]> {
    let mut sums: BTreeMap<String, [i64; 6]> = BTreeMap::new();
    for row in rows {
        let sum = sums.entry(row["currency"].as_str().unwrap().to_owned()).or_default();
        for (sum, name) in sum.iter_mut().zip(SUMMED) {
            // A sale counts as one, and as late or not.
            *sum += match (name, &row[name]) {
                ("sold", Value::Null) => 1,
                (_, Value::Bool(late)) => i64::from(*late),
                (_, number) => number.as_i64().unwrap(),
            };
        }
    }
    sums
}

#[tokio::test]
async fn totals_of_every_grouping_are_the_sums_of_the_rows() {
    let world = bare().await;
    sales(&world, 300, 41).await;
    let all = rows(&world, &args(&[])).await;
    assert!(all.len() > 100, "{}", all.len());
    // Half-open, in the zone: from its midnight to its midnight.
    let within = world
        .value(
            "SELECT count(*) FROM reservation WHERE state = 'sold' AND ended_at >= '2026-10-24 00:00 Europe/Berlin'
                AND ended_at < '2026-10-27 00:00 Europe/Berlin'",
        )
        .await;
    assert_eq!(all.len().to_string(), within);
    let of_rows = summed(all.iter());
    assert_eq!(of_rows.len(), 2);
    for by in [
        "product",
        "issuer",
        "terminal",
        "group",
        "day",
        "hour",
        "day,product",
        "hour,group,terminal",
    ] {
        let printed = rows(&world, &args(&["--by", by])).await;
        let (groups, totals): (Vec<&Value>, Vec<&Value>) = printed.iter().partition(|row| row["row"] == "group");
        assert_eq!(summed(groups.iter().copied()), of_rows, "groups by {by}");
        assert_eq!(summed(totals.iter().copied()), of_rows, "totals by {by}");
        for group in &groups {
            let same = |sale: &&Value| {
                let told = |key: &str| match key {
                    "day" => sale["sold_at"].as_str().unwrap()[..10].to_owned(),
                    "hour" => {
                        let at = sale["sold_at"].as_str().unwrap();
                        format!("{}:00:00{}", &at[..13], &at[at.len() - 6..])
                    }
                    key => sale[key].as_str().unwrap_or("-").to_owned(),
                };
                by.split(',').all(|key| told(key) == group[key].as_str().unwrap_or("-"))
                    && sale["currency"] == group["currency"]
            };
            let own = summed(all.iter().filter(same));
            assert_eq!(own, summed([*group].into_iter()), "{by}: {group}");
        }
    }
    for (filter, key, value) in [
        ("--product", "product", "mts-100"),
        ("--issuer", "issuer", "gorvodokanal"),
        ("--terminal", "terminal", "T-gone"),
        ("--group", "group", "east"),
    ] {
        let printed = rows(&world, &args(&[filter, value])).await;
        let expected: Vec<&Value> = all.iter().filter(|sale| sale[key] == value).collect();
        assert_eq!(printed.iter().collect::<Vec<_>>(), expected, "{filter}");
        assert!(!expected.is_empty());
    }
    failed(&unigate(&world, &args(&["--by", "colour"])).await, 2, "colour");
    let table = done(&world, &args(&[])).await.stdout;
    assert!(table.lines().last().unwrap().starts_with("total: "), "{table}");
}

#[tokio::test]
async fn the_issuer_is_told_every_serial_and_no_secret() {
    let world = bare().await;
    sales(&world, 60, 43).await;
    world
        .sql(
            "UPDATE card SET state = 'faulty', updated_at = '2026-10-25 12:00+00', sealed = 'secret-of-a-card'
              WHERE serial = (SELECT min(serial) FROM card WHERE state = 'available')",
        )
        .await;
    let printed = rows(&world, &args(&["--serials"])).await;
    let sold = rows(&world, &args(&[])).await;
    let of = |what: &str| printed.iter().filter(|row| row["what"] == what).collect::<Vec<_>>();
    let names = |rows: &[&Value]| rows.iter().map(|row| row["serial"].clone()).collect::<Vec<_>>();
    assert_eq!(names(&of("sold")), names(&sold.iter().collect::<Vec<_>>()));
    for (row, sale) in of("sold").iter().zip(&sold) {
        for (key, own) in [
            ("at", "sold_at"),
            ("terminal", "terminal"),
            ("price", "price"),
            ("late", "late"),
            ("receipt_number", "receipt_number"),
        ] {
            assert_eq!(row[key], sale[own]);
        }
    }
    let released = world
        .value(
            "SELECT count(*) FROM reservation WHERE state = 'released' AND ended_at >= '2026-10-24 00:00 Europe/Berlin'
                AND ended_at < '2026-10-27 00:00 Europe/Berlin'",
        )
        .await;
    assert_eq!(of("released").len().to_string(), released);
    assert_eq!(of("faulty").len(), 1);
    assert!(!format!("{printed:?}").contains("secret"));
}

/// A spreadsheet as openpyxl reads it.
pub(crate) fn read_by_python(file: &Path) -> Value {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let python = root.join(".data/tools/readers/bin/python");
    let told = Command::new(&python)
        .args([&root.join("tests/it/xlsx.py"), file])
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}; scripts/tools test installs it", python.display()));
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    serde_json::from_slice(&told.stdout).unwrap()
}

#[tokio::test]
async fn a_spreadsheet_has_typed_cells_and_the_same_totals() {
    let world = bare().await;
    sales(&world, 80, 47).await;
    let files = Files::new();
    let path = files.path().join("october.xlsx");
    let name = path.display().to_string();
    let told = done(&world, &args(&["--xlsx", &name])).await;
    let all = rows(&world, &args(&[])).await;
    assert!(told.stdout.contains(&format!("{} rows", all.len())), "{told:?}");
    let book = read_by_python(&path);
    assert_eq!((&book["sheets"], &book["frozen"]), (&json!(["Sales"]), &json!("A2")));
    assert!(book["widths"][2].as_f64().unwrap() > 19.0, "{}", book["widths"]);
    let printed = book["rows"].as_array().unwrap();
    let column = |name: &str| {
        printed[0]
            .as_array()
            .unwrap()
            .iter()
            .position(|cell| cell["text"] == name)
            .unwrap()
    };
    let totals: Vec<&Value> = printed[1 + all.len()..].iter().collect();
    for (sale, cells) in all.iter().zip(&printed[1..]) {
        let cell = |name: &str| &cells[column(name)];
        assert_eq!(
            cell("amount")["number"].as_f64().unwrap(),
            sale["amount"].as_f64().unwrap() / 100.0
        );
        assert_eq!(cell("amount")["format"], "#,##0.00");
        assert_eq!(
            cell("serial"),
            &json!({"text": sale["serial"], "type": "s"}),
            "zeros stay"
        );
        // Text that begins like a formula is text.
        assert_eq!(
            cell("receipt_number"),
            &json!({"text": sale["receipt_number"], "type": "s"})
        );
        assert_eq!(
            cell("sold_at")["moment"].as_str(),
            sale["sold_at"].as_str().map(|at| &at[..19]),
            "the clock there"
        );
        assert_eq!(cell("late")["flag"], sale["late"]);
    }
    let sums = summed(all.iter());
    assert_eq!(totals.len(), sums.len());
    for (total, (currency, sum)) in totals.iter().zip(&sums) {
        assert_eq!(total[column("currency")]["text"], json!(currency));
        assert_eq!(
            total[column("amount")]["number"].as_f64().unwrap(),
            sum[2] as f64 / 100.0
        );
    }
    let bold: Vec<bool> = book["bold"]
        .as_array()
        .unwrap()
        .iter()
        .map(|bold| bold == true)
        .collect();
    assert!(bold[0] && bold[1 + all.len()] && !bold[1]);

    // By day: days are dates.
    done(&world, &args(&["--by", "day", "--xlsx", &name])).await;
    let book = read_by_python(&path);
    assert_eq!(
        book["rows"][1][0],
        json!({"moment": "2026-10-24T00:00:00", "format": "yyyy-mm-dd"})
    );
    // A place where no file can be: said with the place, and nothing half done.
    let nowhere = files.path().join("none/october.xlsx").display().to_string();
    failed(
        &unigate(&world, &args(&["--xlsx", &nowhere])).await,
        1,
        "none/october.xlsx",
    );
}

/// A sale bears a time of the period and is committed when the period is over, as long ago as its transaction may last.
#[tokio::test]
async fn a_report_of_a_period_that_has_just_ended_waits_for_its_last_sale() {
    let world = shop(1).await;
    let id = new_id();
    reserve(&world, &id).await;
    let id = ReservationId::parse(&id).unwrap();
    let tx = world.store().begin().await.unwrap();
    let (locked, _) = reservations::lock_with_cards(&tx, &[id], &[]).await.unwrap();
    let mut sold = locked.reservations[&id].clone();
    let ended_at = locked.now - SignedDuration::from_secs(119);
    (sold.state, sold.ended_at, sold.ended_by) = (ReservationState::Sold, Some(ended_at), Some("sale".into()));
    sold.sale = Some(SaleTold {
        fingerprint: vec![1],
        paid_at: Some(locked.now),
        amount: Some(10_000),
        receipt_number: None,
        late: false,
        surplus: 0,
    });
    let card = CardChange {
        card_id: sold.card_id.unwrap(),
        state: CardState::Sold,
        reservation_id: Some(id),
    };
    let written = Written {
        let_go: Vec::new(),
        reservations: vec![&sold],
        cards: vec![card],
    };
    reservations::write(&tx, &written).await.unwrap();
    let to = (ended_at + SignedDuration::from_millis(1)).to_string();
    let report = ["cards", "report", "--from", "2026-01-01", "--to", &to];
    let (reported, ()) = tokio::join!(rows(&world, &report), async {
        waits_until_settled(&world).await;
        tx.commit().await.unwrap();
    });
    assert_eq!(reported.len(), 1, "{reported:?}");
}

/// Returns when a report waits for whoever is recording.
pub(crate) async fn waits_until_settled(world: &World) {
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
        AND query LIKE '%virtualtransaction%' AND pid <> pg_backend_pid()";
    wait_for("the report to wait", PATIENCE, async || {
        (world.value(waits).await != "0").then_some(())
    })
    .await;
}
