//! Amounts as people and spreadsheets write them into files: with a decimal comma, and spaces between thousands. What may mean
//! one amount or another means none.

use domain::declaration::FileFormat;
use sql::{AmountAs, Cell, Row};

/// The column of a file's row as an amount, as [`Row::amount`] reads those of databases; an error names the column.
pub(crate) fn amount(
    row: &Row,
    name: &str,
    format: FileFormat,
    amount_as: AmountAs,
    digits: u32,
) -> Result<Option<i64>, String> {
    let written = match row.get(name) {
        // What a number of DBF looks like says its format, and no person.
        Some(Cell::Text(text)) if amount_as == AmountAs::Decimal && format != FileFormat::Dbf => text,
        _ => return row.amount(name, amount_as, digits),
    };
    let plain = plain(written.trim(), digits).map_err(|why| format!("column {name} {why}"))?;
    let mut one = Row::default();
    one.push(name, Cell::Text(plain));
    one.amount(name, amount_as, digits)
}

/// `1 234,50` is `1234.50`. What is no amount at all stays as it is.
fn plain(written: &str, digits: u32) -> Result<String, &'static str> {
    const SPACES: [char; 4] = [' ', '\u{a0}', '\u{2009}', '\u{202f}'];
    let (sign, written) = written.strip_prefix('-').map_or(("", written), |rest| ("-", rest));
    let separators = written.matches([',', '.']).count();
    let (whole, fraction) = match written.rsplit_once([',', '.']) {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (written, None),
    };
    let is_amount = |c: char| c.is_ascii_digit() || SPACES.contains(&c) || [',', '.'].contains(&c);
    if !written.chars().all(is_amount) {
        return Ok(format!("{sign}{written}"));
    }
    if separators > 1 {
        return Err("has several separators: write its amounts with one, before the decimals");
    }
    let groups: Vec<&str> = whole.split(SPACES).collect();
    if groups.len() > 1 && (groups[1..].iter().any(|group| group.len() != 3) || !(1..=3).contains(&groups[0].len())) {
        return Err("has spaces that are not between thousands");
    }
    // Not so with spaces, which are what is between thousands then, nor with a point before as many decimals as the currency has.
    let is_decimal =
        groups.len() > 1 || digits == 3 && written.contains('.') || whole.trim_start_matches('0').is_empty();
    if fraction.is_some_and(|fraction| fraction.len() == 3) && !is_decimal {
        return Err(
            "may be in thousands or have three decimals: write its amounts with two decimals, or without a separator",
        );
    }
    let point = if fraction.is_some() { "." } else { "" };
    Ok(format!(
        "{sign}{}{point}{}",
        groups.concat(),
        fraction.unwrap_or_default()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, format: FileFormat) -> Result<Option<i64>, String> {
        let mut row = Row::default();
        row.push("amount_due", Cell::Text(text.to_owned()));
        amount(&row, "amount_due", format, AmountAs::Decimal, 2)
    }

    #[test]
    fn amounts_of_files_are_read_as_people_write_them() {
        for (text, minor) in [
            ("1 234,50", 123_450),
            ("1234,5", 123_450),
            ("1234.50", 123_450),
            ("1234", 123_400),
            ("1\u{a0}234\u{a0}567,00", 123_456_700),
            ("12\u{202f}345.6", 1_234_560),
            ("1\u{2009}000", 100_000),
            (" 0,05 ", 5),
            ("0,050", 5),
            ("1 000,500", 100_050),
            ("1,5000", 150),
            ("-1 234,50", 0),
        ] {
            assert_eq!(read(text, FileFormat::Csv), Ok(Some(minor)), "{text}");
        }
        assert_eq!(
            read("1.000", FileFormat::Dbf),
            Ok(Some(100)),
            "its format says how many decimals"
        );
    }

    #[test]
    fn an_amount_that_may_be_another_is_none() {
        for (text, why) in [
            ("1,000", "may be in thousands"),
            ("1.000", "may be in thousands"),
            ("12.345", "may be in thousands"),
            ("1,234.50", "several separators"),
            ("1.234,50", "several separators"),
            ("1,234,567", "several separators"),
            ("1 23,50", "not between thousands"),
            ("1234 567", "not between thousands"),
            ("1  234", "not between thousands"),
            ("1,50 0", "is no amount"),
            ("1,505", "may be in thousands"),
            ("0,055", "is no amount"),
            ("100 руб.", "is no amount"),
            (",50", "is no amount"),
        ] {
            let told = read(text, FileFormat::Csv).unwrap_err();
            assert!(
                told.starts_with("column amount_due ") && told.contains(why),
                "{text}: {told}"
            );
        }
    }
}
