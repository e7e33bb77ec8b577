//! Tables without a header, whose columns are named by their place alone: by number, or at fixed positions.

use serde_json::json;

use super::tests::{good, text_as, wrong};

#[test]
fn fixed_columns_are_counted_in_characters() {
    let fixed = json!({
        "format": "fixed", "encoding": "cp866", "skip_lines": 1, "serial": {"start": 1, "length": 4},
        "secret": {"pin": {"start": 12, "length": 5}}, "public": {"tariff": {"start": 5, "length": 7}},
    });
    let (text, ..) =
        encoding_rs::IBM866.encode("Карты\nA001Лето   12345\nA002Зима   1234\n\nA003\u{2500}      12346  x\n");
    assert_eq!(
        text_as(fixed, &text).unwrap(),
        [
            good(2, "A001 pin=12345 +tariff=Лето"),
            Err((3, "has 15 characters where the columns need 16".into())),
            good(5, "A003 pin=12346 +tariff=\u{2500}"),
        ]
    );
}

#[test]
fn what_is_longer_than_its_column_is_not_cut_short() {
    let fixed = json!({
        "format": "fixed", "serial": {"start": 1, "length": 4}, "secret": {"pin": {"start": 5, "length": 6}},
        "public": {"tariff": {"start": 12, "length": 3}},
    });
    // The fourth row ends as files of DOS do.
    let text = "A001123456 xyz\nA0021234567xyz\nA003 23456   z\nA004123456 xyz1\nA005123456 xyz\u{1a}";
    let found = text_as(fixed.clone(), text).unwrap();
    assert_eq!(found[0], good(1, "A001 pin=123456 +tariff=xyz"));
    let (line, why) = found[1].as_ref().unwrap_err();
    assert!(
        *line == 2 && why.starts_with("pin: is followed without a blank"),
        "{why}"
    );
    assert_eq!(
        found.len() - wrong(found).len(),
        4,
        "what follows a public field is nobody's loss"
    );

    let mut serial = fixed.clone();
    serial["serial"]["length"] = 3.into();
    let why = &wrong(text_as(serial.clone(), "A001123456 xyz\n").unwrap())[0].1;
    assert!(why.starts_with("serial: is followed without a blank"), "{why}");
    serial["packed"] = true.into();
    assert_eq!(
        text_as(serial, "A001123456 xyz\n").unwrap(),
        [good(1, "A00 pin=123456 +tariff=xyz")]
    );
    // What is declared to be a part of another is, whichever of the two is the longer one.
    for (serial, pin, card) in [
        (3, 6, "123 pin=123456 +tariff=xyz"),
        (6, 3, "123456 pin=123 +tariff=xyz"),
    ] {
        let mut within = fixed.clone();
        within["serial"] = json!({"start": 5, "length": serial});
        within["secret"]["pin"]["length"] = pin.into();
        assert_eq!(text_as(within, "A001123456 xyz\n").unwrap(), [good(1, card)]);
    }
}

#[test]
fn a_header_where_none_is_declared_is_no_card() {
    let numbered = json!({"header": false, "serial": 1, "secret": {"pin": 2}, "public": {"tariff": 3}});
    let header = "looks like a header: pass it over with card_file.skip_lines";
    for first in [
        "serial,pin,tariff",
        "\u{feff}S E R I A L,Code,Plan",
        "No, Pin ,Plan",
        "Tariff,1,2",
    ] {
        let found = text_as(numbered.clone(), format!("{first}\n1,p1,tariff\n")).unwrap();
        assert_eq!(
            found,
            [Err((1, header.to_owned())), good(2, "1 pin=p1 +tariff=tariff")],
            "{first}"
        );
    }
    let fixed = json!({
        "format": "fixed", "serial": {"start": 1, "length": 6}, "secret": {"pin": {"start": 8, "length": 4}},
    });
    let found = text_as(fixed, "Serial Pin \n000001 8231\n").unwrap();
    assert_eq!(found, [Err((1, header.to_owned())), good(2, "000001 pin=8231")]);
}
