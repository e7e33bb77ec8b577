//! Registers of somebody else's that hold less or more than they seem to: not a payment of them is passed over or guessed.

use formats::Received;

use crate::samples::{DBF, FIXED};
use crate::stand::{layout, payments, rub, written};

#[test]
fn a_file_that_is_cut_off_in_an_amount_is_refused_by_its_line() {
    let csv = layout("format = \"csv\"");
    let file = "number;paid_at;account;amount;currency\n\
                1;2026-11-23T10:02:11+03:00;77;150.00;RUB\n\
                2;2026-11-23T10:02:11+03:00;78;1500.00;RUB\n";
    let whole = csv.read(file.as_bytes(), rub()).unwrap();
    assert_eq!(whole.lines[1].payment.as_ref().unwrap().amount.minor(), 150_000);
    let cut = file.find("1500.00").unwrap() + 2;
    let read = csv.read(&file.as_bytes()[..cut], rub()).unwrap();
    assert_eq!(read.lines[0].payment, whole.lines[0].payment);
    let (line, why) = (read.lines[1].line, read.lines[1].payment.as_ref().unwrap_err());
    assert_eq!((line, why.as_str()), (3, "has 4 columns where the header has 5"));
    // Cut off in the last column it has as many as the others, and the beginning of an amount is one.
    let file = "number;paid_at;account;amount\n1;2026-11-23T10:02:11+03:00;77;1500.00\n";
    let whole = csv.read(file.as_bytes(), rub()).unwrap();
    let cut = csv.read(&file.as_bytes()[..file.len() - 6], rub()).unwrap();
    let amount = |read: &Received| read.lines[0].payment.as_ref().unwrap().amount.minor();
    assert_eq!((amount(&whole), whole.unended), (150_000, false));
    assert_eq!((amount(&cut), cut.unended), (1500, true));
    // Nothing is cut off a payment where there is none.
    for none in ["", "number;paid_at;account;amount"] {
        let read = csv.read(none.as_bytes(), rub()).unwrap();
        assert_eq!((read.lines.len(), read.unended), (0, false), "{none}");
    }
    // A separator at the end of the first line alone names nothing that could be missing.
    let file = "number;paid_at;account;amount;\n1;2026-11-23T10:02:11+03:00;77;150.00\n";
    let read = csv.read(file.as_bytes(), rub()).unwrap();
    assert!(read.lines[0].payment.is_ok(), "{read:?}");
}

#[test]
fn a_table_with_more_records_than_it_tells_of_is_none() {
    let dbf = layout(DBF);
    let (bytes, _) = written(&dbf, &payments()).unwrap();
    // Without the end mark, and with zeros behind it or in its place.
    let bare = &bytes[..bytes.len() - 1];
    for whole in [
        &bytes[..],
        bare,
        &[&bytes[..], &[0; 9]].concat(),
        &[bare, &[0; 9]].concat(),
    ] {
        assert_eq!(dbf.read(whole, rub()).unwrap().lines.len(), 3);
    }
    let mut fewer = bytes.clone();
    fewer[4] = 2;
    let behind_the_end = [&bytes[..], &bytes[bytes.len() - 20..]].concat();
    for more in [fewer, behind_the_end] {
        let why = dbf.read(&more, rub()).unwrap_err().to_string();
        assert_eq!(why, "has more records than its header tells");
    }
}

#[test]
fn a_first_line_that_is_not_the_names_of_the_columns_is_not_passed_over() {
    let fixed = layout(&FIXED.replace("[register.layout]\n", "[register.layout]\nnames = true\n"));
    let (bytes, _) = written(&fixed, &payments()).unwrap();
    assert_eq!(fixed.read(&bytes, rub()).unwrap().lines.len(), 3);
    let names = bytes.iter().position(|byte| *byte == b'\n').unwrap();
    let why = fixed.read(&bytes[names + 1..], rub()).unwrap_err().to_string();
    assert_eq!(why, "line 1: does not name the columns as the layout does");
}
