//! `[card_file]`: what an issuer's file may look like, what is refused and by which path.

use super::tests::{MTS, from_toml};
use super::*;

const MAPPED: &str = r#"
[card_file]
format = "csv"
encoding = "windows-1251"
delimiter = ";"
serial = "Серия"
face_value = "Номинал"
price = 5
amounts = "major"
expires_on = "Годен до"
date_format = "DD.MM.YYYY"
password = "env:MTS_ARCHIVE"
[card_file.secret]
pin = "ПИН"
[card_file.public]
tariff = "Тариф"
"#;

const FIXED: &str = r#"
[card_file]
format = "fixed"
encoding = "cp866"
skip_lines = 1
serial = { start = 1, length = 10 }
[card_file.secret]
pin = { start = 11, length = 12 }
"#;

fn read_with(section: &str) -> Result<Product, Vec<String>> {
    from_toml(&format!("{MTS}{section}"))
}

fn refused(section: &str) -> Vec<String> {
    let refused = read_with(section).expect_err(section);
    let field = |refused: String| refused.split(": ").next().unwrap_or_default().to_owned();
    refused.into_iter().map(field).collect()
}

#[test]
fn a_receipt_that_names_what_no_card_of_the_files_has_is_doubtful() {
    let doubt = |receipt: &str, section: &str| {
        let product = read_with(&format!("receipt = \"{receipt}\"\n{section}")).unwrap();
        product.doubtful_receipt().map(|doubt| doubt.to_string())
    };
    let named = doubt("{{ pin }} {{ puk }}", MAPPED).unwrap();
    assert_eq!(named, "receipt: names `puk`, which is no field of its cards");
    assert_eq!(doubt("{{ serial }} {{ pin }} {{ fields.tariff }}", MAPPED), None);
    // Each file names its own.
    for section in ["[card_file]\n", ""] {
        assert_eq!(doubt("{{ puk }}", section), None, "{section}");
    }
}

#[test]
fn what_is_packed_has_fixed_positions() {
    assert!(read_with(&FIXED.replace("skip_lines = 1", "packed = true")).is_ok());
    let csv = "[card_file]\npacked = true\nserial = 1\nsecret = { pin = 2 }\n";
    assert_eq!(refused(csv), ["card_file.packed"]);
}

#[test]
fn an_issuers_file_is_described_and_comes_back_from_the_database() {
    for section in [
        MAPPED,
        FIXED,
        "[card_file]\n",
        "[card_file]\nencoding = \"cp866\"\n",
        "[card_file]\nformat = \"xlsx\"\nsheet = \"Cards\"\nserial = 1\nsecret = { pin = 2 }\nheader = false\n",
    ] {
        let product = read_with(section).unwrap();
        let stored = serde_json::to_value(&product).unwrap();
        assert_eq!(read::<Product, _>(&stored).unwrap(), product, "{section}");
    }
    let mapped = read_with(MAPPED).unwrap().card_file.unwrap();
    assert_eq!(mapped.secret["pin"], Place::Name("ПИН".into()));
    assert_eq!(mapped.price, Some(Place::Number(5)));
    assert!(mapped.names_columns() && mapped.has_header());
    let fixed = read_with(FIXED).unwrap().card_file.unwrap();
    assert_eq!(fixed.serial, Some(Place::Span { start: 1, length: 10 }));
    assert!(!fixed.has_header());
    assert!(!read_with("[card_file]\n").unwrap().card_file.unwrap().names_columns());
}

#[test]
fn what_is_wrong_is_named_by_its_path() {
    for (from, to, path) in [
        ("delimiter = \";\"", "delimiter = \"a\"", "card_file.delimiter"),
        ("delimiter = \";\"", "delimiter = '\"'", "card_file.delimiter"),
        ("serial = \"Серия\"\n", "", "card_file.serial"),
        ("price = 5", "price = 0", "card_file.price"),
        ("price = 5", "price = \"Номинал\"", "card_file.price"),
        ("price = 5", "price = { start = 1, length = 2 }", "card_file.price"),
        ("price = 5", "price = { start = 1 }", "card_file.price"),
        ("price = 5", "price = true", "card_file.price"),
        ("amounts = \"major\"\n", "", "card_file.amounts"),
        ("amounts = \"major\"", "amounts = \"roubles\"", "card_file.amounts"),
        ("\"DD.MM.YYYY\"", "\"%d.%m.%Y\"", "card_file.date_format"),
        ("windows-1251", "koi9", "card_file.encoding"),
        ("pin = \"ПИН\"", "PIN = \"ПИН\"", "card_file.secret.PIN"),
        ("pin = \"ПИН\"", "", "card_file.secret"),
        ("tariff = ", "pin = ", "card_file.public.pin"),
        (
            "serial = \"Серия\"",
            "sheet = \"Cards\"\nserial = \"Серия\"",
            "card_file.sheet",
        ),
        (
            "serial = \"Серия\"",
            "header = false\nserial = 1",
            "card_file.face_value",
        ),
        ("format = \"csv\"", "format = \"xlsx\"", "card_file.delimiter"),
        ("format = \"csv\"", "formt = \"csv\"", "card_file.formt"),
    ] {
        assert!(MAPPED.contains(from), "{from}");
        let found = refused(&MAPPED.replacen(from, to, 1));
        assert!(found.iter().any(|field| field == path), "{to}: {found:?}");
    }
    for (from, to, path) in [
        ("{ start = 1, length = 10 }", "\"Серия\"", "card_file.serial"),
        (
            "{ start = 1, length = 10 }",
            "{ start = 0, length = 10 }",
            "card_file.serial",
        ),
        (
            "{ start = 11, length = 12 }",
            "{ start = 11, length = 501 }",
            "card_file.secret.pin",
        ),
        ("skip_lines = 1", "skip_lines = 1001", "card_file.skip_lines"),
        ("skip_lines = 1", "header = true", "card_file.header"),
    ] {
        let found = refused(&FIXED.replacen(from, to, 1));
        assert!(found.iter().any(|field| field == path), "{to}: {found:?}");
    }
    assert_eq!(refused("[card_file]\nheader = false\n"), ["card_file.serial"]);
}

#[test]
fn a_password_itself_is_refused_and_not_repeated() {
    let refused = read_with(&MAPPED.replace("env:MTS_ARCHIVE", "hunter2")).unwrap_err();
    assert!(refused[0].starts_with("card_file.password: "), "{refused:?}");
    assert!(!format!("{refused:?}").contains("hunter2"));
}
