//! What registers look like: columns that may not be called the same, and the same register in another format.

use super::tests::{GORVODOKANAL, from_toml};
use super::*;

/// A payee with this field, and this in its `[register]`.
fn with(field: &str, register: &str) -> Result<Payee, Vec<String>> {
    let declared = GORVODOKANAL.replace("meter_cold", field);
    from_toml(&declared.replace("format = \"csv\"", register))
}

#[test]
fn no_field_stands_where_a_usual_column_does() {
    for format in ["csv", "xlsx", "xml", "jsonl"] {
        for field in ["number", "amount", "accepted_at", "delivered_at", "receipt_number"] {
            let refused = with(field, &format!("format = \"{format}\"")).unwrap_err();
            let why = format!("and the [[field]] `{field}` has that of a usual one: say layout.columns");
            assert!(
                refused.len() == 1 && refused[0].starts_with("register.format: ") && refused[0].ends_with(&why),
                "{refused:?}"
            );
        }
        with("fee", &format!("format = \"{format}\"")).unwrap();
        let columns = "layout.columns = [{ value = \"amount\" }, { value = \"fields.amount\", name = \"entered\" }]";
        with("amount", &format!("format = \"{format}\"\n{columns}")).unwrap();
    }
    for without_names in [
        "format = \"csv\"\nlayout.names = false",
        "format = \"dbf\"",
        "format = \"qiwi\"",
    ] {
        with("amount", without_names).unwrap();
    }
}

#[test]
fn a_series_is_refused_for_its_own_format() {
    let series = "[[register.series]]\nname = \"cold\"\nwhen = { field = \"amount\", pattern = \"1\" }\n";
    let with = |own: &str| {
        let declared = GORVODOKANAL
            .replace("meter_cold", "amount")
            .replace("format = \"csv\"", "format = \"qiwi\"");
        from_toml::<Payee>(&format!("{declared}{series}{own}"))
    };
    with("").unwrap();
    let refused = with("format = \"jsonl\"").unwrap_err();
    assert!(
        refused.len() == 1 && refused[0].starts_with("register.series[0].format: calls its columns by name"),
        "{refused:?}"
    );
    let refused = with("format = \"fixed\"").unwrap_err();
    assert!(
        refused[0].starts_with("register.series[0].layout.columns: are missing"),
        "{refused:?}"
    );
}

#[test]
fn in_another_format_only_what_is_of_the_own_one_is_left_out() {
    let declared = "format = \"csv\"\nencoding = \"windows-1251\"\nunmappable = \"error\"\nmax_rows = 7\n\
        file_name = \"{{ sequence }}\"\nlayout.separator = \",\"";
    let csv = with("meter_cold", declared).unwrap().register.unwrap();
    assert_eq!(csv.in_format(RegisterFormat::Csv), csv);
    let expected = "format = \"jsonl\"\nmax_rows = 7\nfile_name = \"{{ sequence }}\"";
    let expected = with("meter_cold", expected).unwrap().register.unwrap();
    assert_eq!(csv.in_format(RegisterFormat::Jsonl), expected);
}
