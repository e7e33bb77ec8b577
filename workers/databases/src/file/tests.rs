//! Files as payees send them, and as they break.

use std::path::{Path, PathBuf};

use domain::declaration::read;
use serde_json::json;

use super::*;

/// How long anything may take on a machine that does many things at once.
const PATIENCE: Duration = Duration::from_secs(45);

/// A directory of one test, gone with it.
pub(super) struct Place(pub(super) PathBuf);

impl Place {
    pub(super) fn new() -> Self {
        let path = std::env::temp_dir().join(format!("unigate-test-{}", uuid::Uuid::new_v4().simple()));
        std::fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(super) fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A payee of fines with this file.
pub(super) fn payee(path: &Path, file: serde_json::Value) -> Payee {
    let mut given = json!({"path": path, "refresh_seconds": 1});
    given.as_object_mut().unwrap().extend(file.as_object().unwrap().clone());
    read(json!({
        "id": "fines", "name": "Fines", "gateway": "databases", "currency": "RUB",
        "account": {"pattern": "^.+$"}, "amount": {"min": 1, "max": 100_000_000},
        "register": {"schedule": "0 0 * * *", "mail_to": ["a@example.org"]},
        "databases": {"file": given, "check": {"statement": [{"sql": "select name, amount_due from list where account = :account"}]}}
    }))
    .unwrap()
}

pub(super) fn listed(path: &Path, file: serde_json::Value) -> Arc<Listed> {
    let payee = payee(path, file);
    let profile = payee.databases.clone().unwrap();
    Arc::new(Listed::new(&payee, &profile, profile.file.as_ref().unwrap()).unwrap())
}

const COLUMNS: [(&str, &str); 3] = [("Счёт", "account"), ("ФИО", "name"), ("Долг", "amount_due")];

pub(super) fn columns() -> serde_json::Value {
    COLUMNS
        .iter()
        .map(|(heading, name)| ((*heading).to_owned(), json!(name)))
        .collect::<serde_json::Map<_, _>>()
        .into()
}

pub(super) async fn rows(table: &Table) -> Vec<String> {
    let statement = sql::Statement {
        place: "test".to_owned(),
        sql: "select account, name, amount_due from list order by account".into(),
        parameters: Vec::new(),
        optional: true,
    };
    let found = table.database.ask(&statement, &sql::Values::default()).await.unwrap();
    let text = |row: &sql::Row| {
        ["account", "name", "amount_due"]
            .map(|name| row.text(name).unwrap_or("-".to_owned()))
            .join("|")
    };
    found.rows.iter().map(text).collect()
}

#[tokio::test]
async fn separated_values_are_read_in_each_encoding_and_in_no_other() {
    let place = Place::new();
    let text = "Список;;;\nСчёт;ФИО;Долг;Комн\n0012;\"Иванов; И. И.\";120.50;3\n0007;Петров П.;;1\n";
    let expected = ["0007|Петров П.|-", "0012|Иванов; И. И.|120.50"];
    for (word, encoding) in [
        ("utf-8", encoding_rs::UTF_8),
        ("windows-1251", encoding_rs::WINDOWS_1251),
        ("cp866", encoding_rs::IBM866),
    ] {
        let (bytes, ..) = encoding.encode(text);
        let path = place.file("list.csv", &bytes);
        let file = json!({"format": "csv", "encoding": word, "header": 2, "columns": columns()});
        assert_eq!(
            rows(&listed(&path, file).table().await.unwrap()).await,
            expected,
            "{word}"
        );
    }
    let path = place.file("list.csv", &encoding_rs::WINDOWS_1251.encode(text).0);
    let wrong = listed(&path, json!({"format": "csv", "header": 2, "columns": columns()}))
        .table()
        .await;
    assert!(wrong.err().unwrap().contains("not in the declared encoding"));
}

/// A dBase table of these fields (name, kind, length) and records.
pub(super) fn dbf(fields: &[(&str, u8, u8)], records: &[(u8, Vec<&str>)]) -> Vec<u8> {
    let length: usize = 1 + fields.iter().map(|(_, _, length)| usize::from(*length)).sum::<usize>();
    let begin = 32 + 32 * fields.len() + 1;
    let mut bytes = vec![0x03, 126, 11, 23];
    bytes.extend((records.len() as u32).to_le_bytes());
    bytes.extend((begin as u16).to_le_bytes());
    bytes.extend((length as u16).to_le_bytes());
    bytes.resize(32, 0);
    for (name, kind, length) in fields {
        let mut field = vec![0; 32];
        field[..name.len()].copy_from_slice(name.as_bytes());
        (field[11], field[16]) = (*kind, *length);
        bytes.extend(field);
    }
    bytes.push(0x0d);
    for (mark, values) in records {
        bytes.push(*mark);
        for (value, (_, _, length)) in values.iter().zip(fields) {
            let mut field = encoding_rs::IBM866.encode(value).0.into_owned();
            field.resize((*length).into(), b' ');
            bytes.extend(field);
        }
    }
    bytes.push(0x1a);
    bytes
}

#[tokio::test]
async fn a_dbase_table_keeps_every_digit_and_no_deleted_record() {
    let place = Place::new();
    let fields = [
        ("LS", b'C', 12),
        ("FIO", b'C', 20),
        ("SUMMA", b'N', 22),
        ("DATA", b'D', 8),
    ];
    let records = [
        (
            b' ',
            vec!["000120000001", "Ёлкина А. Я.", "90071992547409931.25", "20261101"],
        ),
        (b'*', vec!["000120000002", "Удалён", "1", ""]),
        (b' ', vec!["7", "", "", ""]),
    ];
    let whole = dbf(&fields, &records);
    let file = json!({"format": "dbf", "columns": {"ls": "account", "fio": "name", "summa": "amount_due"}});
    let path = place.file("saldo.dbf", &whole);
    let found = rows(&listed(&path, file.clone()).table().await.unwrap()).await;
    assert_eq!(found, ["000120000001|Ёлкина А. Я.|90071992547409931.25", "7|-|-"]);
    for cut in [0, 20, 60, whole.len() / 2, whole.len() - 3] {
        let path = place.file("cut.dbf", &whole[..cut]);
        assert!(listed(&path, file.clone()).table().await.is_err(), "cut at {cut}");
    }
}

pub(super) fn workbook(rows: &[[&str; 3]]) -> Vec<u8> {
    let mut book = rust_xlsxwriter::Workbook::new();
    let sheet = book.add_worksheet();
    sheet.write(0, 0, "Постановления").unwrap();
    for (at, row) in [["Счёт", "ФИО", "Долг"]].iter().chain(rows).enumerate() {
        let line = at as u32 + 2;
        sheet.write(line, 0, row[0]).unwrap();
        sheet.write(line, 1, row[1]).unwrap();
        match row[2].parse::<f64>() {
            Ok(number) => sheet.write(line, 2, number).unwrap(),
            Err(_) => sheet.write(line, 2, row[2]).unwrap(),
        };
    }
    book.save_to_buffer().unwrap()
}

#[tokio::test]
async fn a_workbook_is_read_and_one_that_is_cut_off_is_not() {
    let place = Place::new();
    let whole = workbook(&[["188101", "Сидоров", "500"], ["188102", "Ким", "1250.5"]]);
    let file = json!({"format": "xlsx", "header": 3, "columns": columns(), "index": ["account"]});
    let path = place.file("fines.xlsx", &whole);
    let found = rows(&listed(&path, file.clone()).table().await.unwrap()).await;
    assert_eq!(found, ["188101|Сидоров|500", "188102|Ким|1250.5"]);
    let path = place.file("cut.xlsx", &whole[..whole.len() - 200]);
    assert!(
        listed(&path, file.clone())
            .table()
            .await
            .err()
            .unwrap()
            .contains("no workbook")
    );
    let other = json!({"format": "xlsx", "header": 3, "columns": {"Нет такой": "account"}});
    let path = place.file("fines.xlsx", &whole);
    assert!(
        listed(&path, other)
            .table()
            .await
            .err()
            .unwrap()
            .contains("no column \"Нет такой\"")
    );
}

/// A workbook as LibreOffice saves it in the format of before 2007.
fn saved_as_xls(place: &Place, name: &str) -> Vec<u8> {
    let profile = format!("-env:UserInstallation=file://{}/profile", place.0.display());
    let saved = std::process::Command::new("soffice")
        .args([&profile, "--headless", "--convert-to", "xls:MS Excel 97", "--outdir"])
        .args([&place.0, &place.0.join(name)])
        .output()
        .unwrap();
    let path = place.0.join(name).with_extension("xls");
    std::fs::read(path).unwrap_or_else(|_| panic!("{saved:?}"))
}

#[tokio::test]
async fn a_workbook_of_before_2007_is_read_and_one_that_is_cut_off_is_not() {
    let place = Place::new();
    place.file(
        "old.xlsx",
        &workbook(&[["0012", "Ёлкина; А. Я.", "500"], ["188102", "Ким", "1250.5"]]),
    );
    let whole = saved_as_xls(&place, "old.xlsx");
    assert!(whole.starts_with(b"\xd0\xcf\x11\xe0"), "a compound document");
    let file = json!({"format": "xls", "header": 3, "columns": columns(), "index": ["account"]});
    let path = place.file("fines.xls", &whole);
    let found = rows(&listed(&path, file.clone()).table().await.unwrap()).await;
    assert_eq!(found, ["0012|Ёлкина; А. Я.|500", "188102|Ким|1250.5"]);
    for cut in [0, 100, whole.len() / 2] {
        let path = place.file("cut.xls", &whole[..cut]);
        assert!(listed(&path, file.clone()).table().await.is_err(), "cut at {cut}");
    }
}

/// A workbook whose one sheet is what is given, deflated.
fn workbook_of(sheet: &[u8], texts: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let parts: [(&str, &[u8]); 6] = [
        ("[Content_Types].xml", b"<Types/>"),
        ("_rels/.rels", b"<Relationships><Relationship Id='r' Type='http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument' Target='xl/workbook.xml'/></Relationships>"),
        ("xl/workbook.xml", b"<workbook xmlns:r='http://schemas.openxmlformats.org/officeDocument/2006/relationships'><sheets><sheet name='S' sheetId='1' r:id='s'/></sheets></workbook>"),
        ("xl/_rels/workbook.xml.rels", b"<Relationships><Relationship Id='s' Type='http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet' Target='worksheets/sheet1.xml'/></Relationships>"),
        ("xl/sharedStrings.xml", texts),
        ("xl/worksheets/sheet1.xml", sheet),
    ];
    for (name, bytes) in parts {
        zip.start_file(name, zip::write::SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

#[tokio::test]
async fn a_workbook_that_would_fill_the_memory_is_refused_and_the_one_before_stays() {
    let place = Place::new();
    let file = json!({"format": "xlsx", "header": 1, "columns": {"A": "account", "B": "name", "C": "amount_due"}});
    let cell = |at: &str, text: &str| format!("<c r='{at}' t='inlineStr'><is><t>{text}</t></is></c>");
    let head = format!(
        "<row r='1'>{}{}{}</row>",
        cell("A1", "A"),
        cell("B1", "B"),
        cell("C1", "C")
    );
    let sheet = |rows: &str| format!("<worksheet><sheetData>{head}{rows}</sheetData></worksheet>").into_bytes();
    // A cell at the end of the world lays out nothing between here and there.
    let far = format!(
        "<row r='2'>{}</row><row r='1048576'>{}</row>",
        cell("A2", "1"),
        cell("XFD1048576", "x")
    );
    let path = place.file("list.xlsx", &workbook_of(&sheet(&far), b"<sst/>"));
    let listed = listed(&path, file);
    assert_eq!(rows(&listed.table().await.unwrap()).await, ["1|-|-"]);
    // One text of a megabyte in a thousand cells.
    let texts = format!("<sst><si><t>{}</t></si></sst>", "x".repeat(1_000_000)).into_bytes();
    let often: String = (2..1_000)
        .map(|n| format!("<row r='{n}'><c r='A{n}' t='s'><v>0</v></c></row>"))
        .collect();
    let zeros = vec![b' '; 300 * 1024 * 1024];
    for (bomb, expected) in [
        (
            workbook_of(&sheet(&often), &texts),
            "more text in it than 268435456 bytes",
        ),
        (workbook_of(&sheet(""), &zeros), "unpacks to more than 268435456 bytes"),
    ] {
        assert!(bomb.len() < 1024 * 1024, "{}", bomb.len());
        place.file("list.xlsx", &bomb);
        let refused = looked(&listed).await;
        assert!(
            matches!(&refused, Looked::Refused(why) if why.contains(expected)),
            "{refused:?}"
        );
        assert_eq!(
            rows(&listed.table().await.unwrap()).await,
            ["1|-|-"],
            "what was there stays"
        );
    }
}

/// Looks until something came of it.
pub(super) async fn looked(listed: &Arc<Listed>) -> Looked {
    testkit::wait_for("something to come of the file", PATIENCE, async || {
        let found = listed.look().await;
        (found != Looked::Same).then_some(found)
    })
    .await
}

#[tokio::test]
async fn a_broken_file_changes_nothing_is_told_once_and_a_good_one_takes_its_place() {
    let place = Place::new();
    let head = "Счёт;ФИО;Долг\n";
    let path = place.file("list.csv", format!("{head}1;Один;10\n").as_bytes());
    let listed = listed(&path, json!({"format": "csv", "columns": columns()}));
    assert_eq!(rows(&listed.table().await.unwrap()).await, ["1|Один|10"]);
    // Half written: the last line lacks its end.
    place.file("list.csv", format!("{head}1;Один;10\n2;Два;2").as_bytes());
    assert!(matches!(looked(&listed).await, Looked::Refused(why) if why.contains("cut off")));
    assert_eq!(
        rows(&listed.table().await.unwrap()).await,
        ["1|Один|10"],
        "what was there stays"
    );
    listed.with(|state| state.looked_at = None);
    assert_eq!(listed.look().await, Looked::Same, "it is told once");
    place.file("list.csv", format!("{head}1;Один;10\n2;Два;20;x\n").as_bytes());
    assert!(matches!(looked(&listed).await, Looked::Refused(why) if why.contains("line 3: has 4 values instead of 3")));
    place.file("list.csv", format!("{head}1;Один;10\n2;Два;20\n").as_bytes());
    let before = listed.table().await.unwrap();
    assert_eq!(looked(&listed).await, Looked::Replaced(2));
    assert_eq!(rows(&listed.table().await.unwrap()).await, ["1|Один|10", "2|Два|20"]);
    assert_eq!(
        rows(&before).await,
        ["1|Один|10"],
        "who has begun with the old one ends with it"
    );
    std::fs::remove_file(&path).unwrap();
    assert!(
        matches!(looked(&listed).await, Looked::Refused(_)),
        "a file that is gone is told of"
    );
    assert_eq!(listed.table().await.unwrap().rows, 2);
}

#[tokio::test]
async fn the_example_of_a_housing_association_finds_its_balances() {
    let place = Place::new();
    let fields = [
        ("LS", b'C', 6),
        ("FIO", b'C', 40),
        ("KV", b'N', 4),
        ("SALDO", b'N', 12),
        ("MES", b'C', 7),
    ];
    let records = [
        (b' ', vec!["17", "Ёжиков П. П.", "12", "1250.40", "2026-11"]),
        (b' ', vec!["18", "Иванова М.", "13", "-15.00", "2026-11"]),
    ];
    let path = place.file("SALDO.DBF", &dbf(&fields, &records));
    let example = include_str!("../../../../examples/databases/housing.toml");
    let given: toml::Table =
        toml::from_str(&example.replace("/srv/payees/tszh/SALDO.DBF", path.to_str().unwrap())).unwrap();
    let payee: Payee = read(given).unwrap();
    let asked = |account: &str| contract::message::PaymentCheck {
        payment_id: domain::PaymentId::random(),
        terminal: domain::TerminalId::parse("T-1").unwrap(),
        payee: payee.id.clone(),
        account: domain::Account::new(account).unwrap(),
        amount: None,
        currency: None,
        fields: domain::Fields::default(),
    };
    let (owes, lines) = crate::trying::try_check(&payee, &asked("17")).await.unwrap();
    assert_eq!(
        owes.display.as_deref(),
        Some("Ёжиков П. П., кв. 12: к оплате 1 250,40 руб."),
        "{lines:?}"
    );
    assert_eq!(owes.amount_due, Some(125_040));
    let (nothing, _) = crate::trying::try_check(&payee, &asked("18")).await.unwrap();
    assert_eq!(
        (nothing.display.as_deref(), nothing.amount_due),
        (Some("Иванова М., кв. 13"), None)
    );
    let (unknown, _) = crate::trying::try_check(&payee, &asked("19")).await.unwrap();
    assert_eq!(unknown.reason.as_deref(), Some("account_not_found"));
}
