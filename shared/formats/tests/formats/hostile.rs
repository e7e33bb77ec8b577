//! Property tests: whatever a payer types, a file has the rows and columns it should have, and no reader is misled.

use std::collections::BTreeMap;
use std::io::Cursor;

use calamine::{Data, Reader, Xlsx};
use proptest::prelude::*;

use crate::samples::{DBF, FIXED, OWN_JSON, TEXT};
use crate::stand::{Payment, layout, rub, written};

/// Text that means something to somebody: formulas, separators, quotes, XML, JSON, templates, lines of 1C.
fn hostile() -> impl Strategy<Value = String> {
    let pieces = prop::sample::select(vec![
        "=",
        "+",
        "-",
        "@",
        "＝",
        "＋",
        "－",
        "＠",
        ";",
        "\t",
        ",",
        "|",
        "\"",
        "'",
        "\r\n",
        "\n",
        "\u{2028}",
        "\0",
        "<",
        ">",
        "&",
        "]]>",
        "<!--",
        "{{ x }}",
        "{% if %}",
        "{",
        "}",
        "\\",
        "КонецДокумента",
        "СекцияДокумент=",
        "Сумма=1",
        "Total:",
        "я",
        "Ё",
        "₸",
        "𝄞",
        "1",
        "0",
        " ",
        "\u{1a}",
        "\u{1b}[2J",
        "\u{feff}",
        "\u{ffff}",
        "_x003D_",
        "cmd|' /C calc'!A0",
    ]);
    prop::collection::vec(pieces, 0..8).prop_map(|pieces| pieces.concat())
}

fn payment() -> impl Strategy<Value = Payment> {
    (hostile(), hostile(), hostile(), 1_i64..1_000_000).prop_map(|(account, payer, receipt, amount)| Payment {
        number: amount,
        account: format!("7{}", account.chars().take(15).collect::<String>()),
        amount,
        fee: 0,
        receipt: (!receipt.is_empty()).then_some(receipt),
        paid_at: "2026-11-23T07:02:11Z".parse().unwrap(),
        fields: BTreeMap::from([("payer".to_owned(), payer)]),
    })
}

fn text_of(register: &str, payments: &[Payment]) -> String {
    String::from_utf8(written(&layout(register), payments).unwrap().0).unwrap()
}

fn is_formula(cell: &str) -> bool {
    cell.starts_with(['=', '@', '＝', '＋', '－', '＠', '\t', '\r'])
        || cell
            .strip_prefix(['+', '-'])
            .is_some_and(|rest| !rest.bytes().all(|byte| byte.is_ascii_digit()))
}

/// A text as it may stand in every file: what no line and no XML may have is a blank.
fn clean(text: &str) -> String {
    text.replace(|c: char| c.is_control() || "\u{2028}\u{ffff}".contains(c), " ")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn a_quoted_table_has_its_cells_and_no_formula(payments in prop::collection::vec(payment(), 1..4)) {
        let text = text_of("", &payments);
        let mut reader = csv::ReaderBuilder::new().delimiter(b';').from_reader(text.as_bytes());
        let rows: Vec<csv::StringRecord> = reader.records().map(Result::unwrap).collect();
        prop_assert_eq!(rows.len(), payments.len());
        for (row, payment) in rows.iter().zip(&payments) {
            prop_assert_eq!(row.len(), 9);
            let number = payment.number.to_string();
            prop_assert_eq!(&row[0], number.as_str());
            prop_assert!(row.iter().all(|cell| !is_formula(cell)), "{:?}", row);
        }
        // Nor does a line end where none should, for who does not understand quotes.
        prop_assert_eq!(text.matches("\r\n").count(), payments.len() + 1);
        prop_assert!(!text.replace("\r\n", "").contains(char::is_control));
    }

    #[test]
    fn a_table_without_quotes_splits_naively(payments in prop::collection::vec(payment(), 1..4)) {
        for (preset, columns, around) in [("qiwi", 5, 3), ("lanbilling", 8, 1), ("sberbank", 8, 1)] {
            let register = format!("format = \"{preset}\"\nencoding = \"utf-8\"");
            let text = text_of(&register, &payments);
            let lines: Vec<&str> = text.split("\r\n").collect();
            prop_assert_eq!(lines.len(), payments.len() + around + 1, "{}", text);
            let first = match preset { "qiwi" => 2, "lanbilling" => 1, _ => 0 };
            let separator = if preset == "sberbank" { ';' } else { '\t' };
            for line in &lines[first..first + payments.len()] {
                let cells: Vec<&str> = line.split(separator).collect();
                prop_assert_eq!(cells.len(), columns, "{}: {:?}", preset, line);
                prop_assert!(cells.iter().all(|cell| !is_formula(cell)), "{:?}", line);
            }
        }
    }

    #[test]
    fn a_document_of_1c_has_the_lines_of_its_template(payments in prop::collection::vec(payment(), 1..4)) {
        let text = text_of("format = \"1c\"\nencoding = \"utf-8\"", &payments);
        let starts = |line: &str| text.split("\r\n").filter(|known| known.starts_with(line)).count();
        prop_assert_eq!(starts("СекцияДокумент="), payments.len());
        prop_assert_eq!(text.split("\r\n").filter(|line| *line == "КонецДокумента").count(), payments.len());
        prop_assert_eq!(starts("Сумма="), payments.len());
        prop_assert_eq!(text.split("\r\n").count(), 17 + 19 * payments.len() + 1);
        prop_assert!(text.ends_with("КонецФайла\r\n"));
    }

    #[test]
    fn markup_is_well_formed_and_says_what_was_typed(payments in prop::collection::vec(payment(), 1..4)) {
        for format in ["xml", "jsonl"] {
            let layout = layout(&format!("format = \"{format}\""));
            let (bytes, _) = written(&layout, &payments).unwrap();
            let read = layout.read(&bytes, rub()).unwrap();
            prop_assert_eq!(read.lines.len(), payments.len());
            for (line, payment) in read.lines.iter().zip(&payments) {
                let read = line.payment.as_ref().unwrap();
                let wanted = if format == "xml" { clean(&payment.account) } else { payment.account.clone() };
                prop_assert_eq!(&read.account, &wanted, "{}", format);
            }
        }
    }

    #[test]
    fn a_workbook_has_texts_as_texts_and_no_formula(payments in prop::collection::vec(payment(), 1..4)) {
        let (bytes, _) = written(&layout("format = \"xlsx\""), &payments).unwrap();
        let mut book = Xlsx::new(Cursor::new(bytes)).unwrap();
        let formulas = book.worksheet_formula("Payments").unwrap();
        prop_assert!(formulas.used_cells().all(|(_, _, formula)| formula.is_empty()), "{:?}", formulas);
        let cells = book.worksheet_range("Payments").unwrap();
        prop_assert_eq!(cells.height(), payments.len() + 1);
        for (row, payment) in cells.rows().skip(1).zip(&payments) {
            let texts = [
                (3, payment.account.as_str()),
                (6, payment.receipt.as_deref().unwrap_or_default()),
                (7, payment.fields["payer"].as_str()),
            ];
            for (at, raw) in texts {
                let wanted = if raw.is_empty() { Data::Empty } else { Data::String(clean(raw)) };
                prop_assert_eq!(&row[at], &wanted);
            }
        }
    }

    #[test]
    fn values_do_not_break_out_of_a_template(payments in prop::collection::vec(payment(), 1..4)) {
        let layout = layout(TEXT);
        let (bytes, _) = written(&layout, &payments).unwrap();
        let read = layout.read(&bytes, rub()).unwrap();
        prop_assert_eq!(read.lines.len(), payments.len());
        for (line, payment) in read.lines.iter().zip(&payments) {
            let read = line.payment.as_ref().unwrap();
            prop_assert_eq!(&read.account, &clean(&payment.account));
            let payer = read.fields.get("payer").cloned().unwrap_or_default();
            prop_assert_eq!(payer, clean(&payment.fields["payer"]));
        }
        let text = String::from_utf8(bytes).unwrap();
        prop_assert_eq!(text.matches('<').count(), 3 + 3 * payments.len());

        let text = text_of(OWN_JSON, &payments);
        prop_assert_eq!(text.lines().count(), payments.len());
        for (line, payment) in text.lines().zip(&payments) {
            let read: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).unwrap();
            prop_assert_eq!(read.len(), 5);
            prop_assert_eq!(&read["account"], &clean(&payment.account));
            prop_assert_eq!(&read["name"], &clean(&payment.fields["payer"]));
        }
    }

    #[test]
    fn columns_of_fixed_width_stay_where_they_are(payments in prop::collection::vec(payment(), 1..4)) {
        let (bytes, _) = written(&layout(FIXED), &payments).unwrap();
        let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').collect();
        prop_assert_eq!(lines.len(), payments.len() + 2);
        for line in &lines[..payments.len()] {
            prop_assert_eq!(line.len(), 84 + 1, "{:?}", line);
        }
        let (bytes, _) = written(&layout(DBF), &payments).unwrap();
        prop_assert_eq!(bytes.len(), 32 + 7 * 32 + 1 + payments.len() * (1 + 12 + 8 + 8 + 20 + 12 + 10 + 40) + 1);
    }
}
