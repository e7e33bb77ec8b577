//! Tables of every kind, good and bad: what is read of them, and what is said of the rest. No reason repeats a value.

use std::io::{Cursor, Read as _, Write};

use secrecy::ExposeSecret;
use serde_json::{Value, json};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use super::*;

/// The line, and the card in one text, or what is wrong.
pub(super) type Read = Result<(u64, String), (u64, String)>;

fn described(row: &Row) -> String {
    let mut text = row.serial.clone();
    for (name, value) in row.details.iter() {
        text.extend([" ", name, "=", value.expose_secret()]);
    }
    for (name, value) in &row.public {
        text.extend([" +", name, "=", value]);
    }
    for (name, amount) in [("worth", row.face_value), ("costs", row.price)] {
        text.extend(amount.map(|amount| format!(" {name} {amount}")));
    }
    text.extend(row.expires_on.map(|day| format!(" until {day}")));
    text
}

fn read_as(profile: Value, table: Table<'_>) -> Result<Vec<Read>, String> {
    let profile: CardFileProfile = serde_json::from_value(profile).unwrap();
    let mut rows = Vec::new();
    let currency = Currency::parse("RUB").unwrap();
    super::read(table, &profile, currency, &mut |row| {
        rows.push(
            row.map(|row| (row.line, described(&row)))
                .map_err(|bad| (bad.line, bad.why)),
        );
        Ok(())
    })?;
    Ok(rows)
}

pub(super) fn text_as(profile: Value, text: impl AsRef<[u8]>) -> Result<Vec<Read>, String> {
    read_as(profile, Table::Text(&mut text.as_ref()))
}

fn cards(text: impl AsRef<[u8]>) -> Result<Vec<Read>, String> {
    text_as(json!({}), text)
}

pub(super) fn good(line: u64, card: &str) -> Read {
    Ok((line, card.to_owned()))
}

/// The lines that are wrong.
pub(super) fn wrong(found: Vec<Read>) -> Vec<(u64, String)> {
    found.into_iter().filter_map(Result::err).collect()
}

#[test]
fn the_contracts_csv_needs_no_declaration() {
    assert_eq!(cards("serial,pin\n1,2\n").unwrap(), [good(2, "1 pin=2")]);
    let marked = "\u{feff}pin;serial;expires_on\r\n2;1;2030-01-31\r\n";
    assert_eq!(cards(marked).unwrap(), [good(2, "1 pin=2 until 2030-01-31")]);
    let mixed = "serial,pin,puk\r\n\r\n1,\"a,\"\"b\"\"\",c\n3, 4 ,\r5, \"6\" ,7";
    assert_eq!(
        cards(mixed).unwrap(),
        [
            good(3, "1 pin=a,\"b\" puk=c"),
            Err((4, "puk: is empty".to_owned())),
            good(5, "5 pin=6 puk=7")
        ]
    );
    assert_eq!(cards("serial\tpin\n1\t2\n\u{1a}").unwrap(), [good(2, "1 pin=2")]);
    for (bad, why) in [
        ("", "is empty"),
        ("\n \n", "no header"),
        ("pin\n1\n", "no column `serial`"),
        ("serial\n1\n", "nothing to sell"),
        ("serial,serial,pin\n", "column 2 of the header names a column twice"),
        ("serial,pin,pin\n", "column 3 of the header names a column twice"),
        ("serial,Pin\n", "column 2 of the header is not a name"),
        (
            "823144107741,823144107742\n3,4\n",
            "column 1 of the header is not a name",
        ),
        (
            "serial,\"pin\n1,2\n",
            "line 1: the header column 2: a quote is not closed",
        ),
        ("\u{0}s\u{0}e,pin\n", "column 1 of the header is not a name"),
    ] {
        let refused = cards(bad).unwrap_err();
        assert!(refused.contains(why) && !refused.contains("8231"), "{bad:?}: {refused}");
    }
}

#[test]
fn a_secret_may_be_missing_only_where_the_product_says_so() {
    let declared =
        |optional: &[&str]| json!({"serial": "no", "secret": {"pin": "PIN", "puk": "PUK"}, "optional": optional});
    let text = "no,PIN,PUK\n1,p1,u1\n2,p2,\n3, ,u3\n";
    let missing = |line: u64, name: &str| Err((line, format!("{name}: is empty")));
    assert_eq!(
        text_as(declared(&[]), text).unwrap(),
        [good(2, "1 pin=p1 puk=u1"), missing(3, "puk"), missing(4, "pin")]
    );
    let found = text_as(declared(&["puk"]), text).unwrap();
    assert_eq!(
        found,
        [good(2, "1 pin=p1 puk=u1"), good(3, "2 pin=p2"), missing(4, "pin")]
    );
    let as_named = text_as(json!({"optional": ["puk"]}), "serial,pin,puk\n2,p2,\n").unwrap();
    assert_eq!(as_named, [good(2, "2 pin=p2")]);
}

#[test]
fn bad_rows_are_named_by_their_line_and_not_repeated() {
    let text = "serial,pin,expires_on\n1,p1,\n,8231,\n3,8231\n4,,2030-01-01\n5,8231,2030-1-1\n6,82\u{1}31,\n\
                7,p7,2030-02-30\nserial,pin,expires_on\n9,\"8231\n10,\"8231\"7,\n11,82\u{0}31,\n12,8231,,\n13,p13,\n";
    let found = wrong(cards(text).unwrap());
    let lines: Vec<u64> = found.iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, [3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]);
    let said = |line: u64| &found.iter().find(|(at, _)| *at == line).unwrap().1;
    assert!(said(9).contains("is the header once more"));
    assert_eq!(said(10), "column 2: a quote is not closed");
    assert_eq!(said(11), "column 2: something follows the closing quote");
    assert_eq!(said(12), "pin: holds a control character");
    assert!(found.iter().all(|(_, why)| !why.contains("8231")));
    let long = format!("serial,pin\n{},p\n1,{}\n2,2\n", "s".repeat(201), "p".repeat(501));
    assert_eq!(wrong(cards(&long).unwrap()).len(), 2);
}

#[test]
fn files_put_together_are_seen_by_their_marks() {
    for second in ["\u{feff}serial,pin", "\u{feff} serial , pin ", "\u{feff}\"serial\",pin"] {
        let text = format!("\u{feff}serial,pin\r\n1,p1\r\n{second}\r\n2,p2\r\n");
        let found = cards(&text).unwrap();
        assert_eq!((&found[0], &found[2]), (&good(2, "1 pin=p1"), &good(4, "2 pin=p2")));
        let (line, why) = found[1].as_ref().unwrap_err();
        let quoted = second.contains('"');
        let said = if quoted {
            "serial: holds a character that is not seen"
        } else {
            "is the header once more"
        };
        assert!(*line == 3 && why.starts_with(said), "{line}: {why}");
    }
    // The first one does not end its last line.
    let joined = "serial,pin\n1,p1\u{feff}serial,pin\n2,p2\n";
    assert_eq!(wrong(cards(joined).unwrap()).len(), 1);
    // Without headers a card would have the mark in its serial.
    let places = json!({"serial": 1, "secret": {"pin": 2}, "header": false});
    let found = text_as(places, "\u{feff}1,p1\n\u{feff}2,p2\n").unwrap();
    assert_eq!(found[0], good(1, "1 pin=p1"));
    assert!(
        found[1]
            .as_ref()
            .unwrap_err()
            .1
            .starts_with("serial: holds a character that is not seen")
    );
}

#[test]
fn what_is_not_seen_is_in_no_card() {
    let mapped = json!({"serial": "serial", "secret": {"pin": "pin"}, "public": {"plan": "plan"}});
    for unseen in [
        "\u{feff}", "\u{200b}", "\u{200d}", "\u{200e}", "\u{202e}", "\u{2060}", "\u{ad}", "\u{61c}",
    ] {
        for (cells, which) in [
            (format!("1{unseen},8231,x"), "serial"),
            (format!("1,82{unseen}31,x"), "pin"),
            (format!("1,8231,x{unseen}"), "plan"),
        ] {
            let found = wrong(text_as(mapped.clone(), format!("serial,pin,plan\n{cells}\n2,8232,Лето\n")).unwrap());
            let why =
                format!("{which}: holds a character that is not seen, such as a zero-width space or a byte order mark");
            assert_eq!(found, [(2, why)], "{unseen:?}");
        }
    }
}

#[test]
fn a_line_of_a_hundred_megabytes_spoils_itself_alone() {
    let head: &[u8] = b"serial,pin\n1,2\n3,\"";
    let tail: &[u8] = b"\n5,6\n";
    let mut source = head.chain(std::io::repeat(b'8').take(100 * 1024 * 1024)).chain(tail);
    let found = read_as(json!({}), Table::Text(&mut source)).unwrap();
    assert_eq!(found[0], good(2, "1 pin=2"));
    assert_eq!(found[1], Err((3, "is longer than 65536 bytes".into())));
    assert_eq!(found[2], good(4, "5 pin=6"));
    let mut endless = std::io::repeat(b'8').take(100 * 1024 * 1024);
    let refused = read_as(json!({}), Table::Text(&mut endless)).unwrap_err();
    assert_eq!(refused, "line 1: the header is longer than 65536 bytes");
}

#[test]
fn an_issuers_columns_are_found_by_name_and_by_number() {
    let mapped = json!({
        "serial": "Серия", "secret": {"pin": "ПИН", "login": "Логин"}, "optional": ["login"],
        "public": {"tariff": "Тариф"}, "face_value": "Номинал", "price": "Цена", "amounts": "major", "expires_on": "Годен до", "date_format": "DD.MM.YYYY",
    });
    let text = "Тариф;Логин;Серия;ПИН;Номинал;Цена;Годен до;Прочее\n\
                Лето;user;A-1;0042;1 000,00;950.5;31.01.2030;x\n;;A-2;0043;;;;\nЗима;u;A-3;1;1,000;1;31.01.30;\n";
    assert_eq!(
        text_as(mapped.clone(), text).unwrap(),
        [
            good(
                2,
                "A-1 login=user pin=0042 +tariff=Лето worth 100000 costs 95050 until 2030-01-31"
            ),
            good(3, "A-2 pin=0043"),
            Err((4, "face_value: is not an amount in major units of RUB".into())),
        ]
    );
    let missing = text_as(mapped, text.replace("ПИН", "PIN")).unwrap_err();
    assert_eq!(missing, "the header has no column `ПИН` (card_file.secret.pin)");
    let numbered = json!({
        "header": false, "skip_lines": 1, "delimiter": "|", "quotes": false, "serial": 2, "secret": {"pin": 1}, "price": 3,
        "amounts": "minor",
    });
    assert_eq!(
        text_as(numbered, "Выгрузка от 01.02\n\"8|A-1|100\n9|A-2|\n7|A-3\n6|A-4|1e3|x\n").unwrap(),
        [
            good(2, "A-1 pin=\"8 costs 100"),
            good(3, "A-2 pin=9"),
            Err((4, "has 2 columns where 3 are named".into())),
            Err((5, "price: is not an amount in minor units of RUB".into())),
        ]
    );
    let beyond = json!({"serial": 1, "secret": {"pin": 7}});
    assert!(text_as(beyond, "a,b\n1,2\n").unwrap_err().contains("number 7"));
    let one = json!({"serial": "a", "secret": {"pin": 1}});
    assert!(text_as(one, "a,b\n1,2\n").unwrap_err().contains("are one column"));
}

#[test]
fn encodings_are_those_declared_and_no_others() {
    let profile = |encoding: &str| json!({"encoding": encoding, "serial": "Серия", "secret": {"pin": "ПИН"}});
    let text = "Серия,ПИН\nЯ-1,пёс\n";
    let (windows, ..) = encoding_rs::WINDOWS_1251.encode(text);
    let (dos, ..) = encoding_rs::IBM866.encode(text);
    let card = [good(2, "Я-1 pin=пёс")];
    assert_eq!(text_as(profile("windows-1251"), &windows).unwrap(), card);
    assert_eq!(text_as(profile("cp866"), &dos).unwrap(), card);
    assert_eq!(text_as(profile("utf-8"), text).unwrap(), card);
    for (encoding, bytes, why) in [
        ("utf-8", &windows[..], "the header is not UTF-8 at byte 1 of the line"),
        (
            "windows-1251",
            text.as_bytes(),
            "the header is UTF-8, and card_file.encoding declares another",
        ),
        ("windows-1251", &dos[..], "no column `Серия`"),
        ("cp866", "\u{feff}Серия".as_bytes(), "begins with the mark of UTF-8"),
        ("utf-8", b"\xff\xfes\0e\0", "is UTF-16"),
    ] {
        let refused = text_as(profile(encoding), bytes).unwrap_err();
        assert!(refused.contains(why), "{encoding}: {refused}");
    }
    let torn = [b"serial,pin\n1,ab\xd0\n2,".as_slice(), "пёс\n".as_bytes()].concat();
    assert_eq!(
        cards(&torn).unwrap(),
        [
            Err((2, "is not UTF-8 at byte 5 of the line".into())),
            good(3, "2 pin=пёс")
        ]
    );
    // A byte that windows-1251 has no character for is a control character there.
    let hole = [b"serial,pin\n".as_slice(), b"1,\x98\xff\n"].concat();
    let found = text_as(json!({"encoding": "windows-1251"}), &hole).unwrap();
    assert_eq!(found, [Err((2, "pin: holds a control character".into()))]);
}

/// A workbook as a program writes it that knows little: strings in their cells, numbers, a date by its style.
pub(in crate::import) fn workbook(rows: &str) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let sheet = format!(
        r#"<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>{rows}</sheetData></worksheet>"#
    );
    for (name, text) in [
        (
            "[Content_Types].xml",
            r#"<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>"#,
        ),
        (
            "_rels/.rels",
            r#"<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="xl/workbook.xml"/></Relationships>"#,
        ),
        (
            "xl/workbook.xml",
            r#"<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"><sheets><sheet name="Cards" sheetId="1" r:id="rId1"/></sheets></workbook>"#,
        ),
        (
            "xl/_rels/workbook.xml.rels",
            r#"<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet" Target="worksheets/sheet1.xml"/></Relationships>"#,
        ),
        (
            "xl/styles.xml",
            r#"<styleSheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><cellXfs><xf numFmtId="0"/><xf numFmtId="14"/></cellXfs></styleSheet>"#,
        ),
        ("xl/worksheets/sheet1.xml", &sheet),
    ] {
        zip.start_file(name, SimpleFileOptions::default()).unwrap();
        zip.write_all(text.as_bytes()).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn sheet_as(profile: Value, rows: &str) -> Result<Vec<Read>, String> {
    read_as(profile, Table::Workbook(&mut Cursor::new(workbook(rows))))
}

fn words(row: u32, words: &[&str]) -> String {
    let cell = |(at, word): (usize, &&str)| {
        let column = char::from(b'A' + u8::try_from(at).unwrap());
        format!(r#"<c r="{column}{row}" t="inlineStr"><is><t>{word}</t></is></c>"#)
    };
    let cells: String = words.iter().enumerate().map(cell).collect();
    format!(r#"<row r="{row}">{cells}</row>"#)
}

#[test]
fn sheets_have_typed_cells() {
    let mut rows = words(1, &["serial", "pin", "costs", "until"]);
    rows += r#"<row r="2"><c r="A2"><v>42</v></c><c r="B2" t="inlineStr"><is><t>0042</t></is></c><c r="C2"><v>99.9</v></c><c r="D2" s="1"><v>47514</v></c></row>"#;
    rows += r#"<row r="3"><c r="A3"><v>43</v></c><c r="B3"><v>823144107741</v></c></row><row r="4"/>"#;
    rows += &words(5, &["s-5", "p5", "100", "31.01.2030"]);
    rows += r#"<row r="6"><c r="A6"><v>1.5</v></c><c r="B6" t="inlineStr"><is><t>p6</t></is></c></row>"#;
    let mapped = json!({
        "format": "xlsx", "serial": "serial", "secret": {"pin": "pin"}, "price": "costs", "amounts": "major",
        "expires_on": "until", "date_format": "DD.MM.YYYY",
    });
    let found = sheet_as(mapped.clone(), &rows).unwrap();
    assert_eq!(found[0], good(2, "42 pin=0042 costs 9990 until 2030-01-31"));
    let (line, why) = found[1].clone().unwrap_err();
    assert!(
        line == 3 && why.starts_with("pin: is a number in the sheet") && !why.contains("8231"),
        "{why}"
    );
    assert_eq!(found[2], good(5, "s-5 pin=p5 costs 10000 until 2030-01-31"));
    assert!(found[3].clone().unwrap_err().1.contains("may have rounded"));
    let mut exact = mapped;
    exact["numbers_are_exact"] = true.into();
    assert_eq!(sheet_as(exact, &rows).unwrap()[1], good(3, "43 pin=823144107741"));
    let plain = [
        words(3, &["serial", "pin"]),
        words(4, &["1", "2"]),
        words(5, &["serial", "pin"]),
    ]
    .concat();
    let found = sheet_as(json!({"format": "xlsx", "skip_lines": 2}), &plain).unwrap();
    assert_eq!(found[0], good(4, "1 pin=2"));
    assert!(found[1].clone().unwrap_err().1.contains("header once more"));
}

#[test]
fn a_workbook_that_is_none_is_refused_whole() {
    let xlsx = json!({"format": "xlsx"});
    let rows = words(1, &["serial", "pin"]) + &words(2, &["1", "2"]);
    for (profile, rows, why) in [
        (xlsx.clone(), "", "the sheet is empty"),
        (json!({"format": "xlsx", "sheet": "Карты"}), &*rows, "no sheet `Карты`"),
        (xlsx.clone(), "<row r=\"1\"><c r=\"A1\"><v>1", "damaged"),
        (json!({}), &*rows, "is an Excel workbook: declare card_file.format"),
    ] {
        let refused = sheet_as(profile, rows).unwrap_err();
        assert!(refused.contains(why), "{refused}");
    }
    assert!(
        text_as(xlsx.clone(), "serial,pin\n")
            .unwrap_err()
            .contains("is not an Excel workbook")
    );
    let whole = workbook(&rows);
    for cut in [whole.len() - 1, whole.len() / 2, 40] {
        let refused = read_as(xlsx.clone(), Table::Workbook(&mut Cursor::new(&whole[..cut]))).unwrap_err();
        assert!(refused.contains("damaged or cut off"), "{cut}: {refused}");
    }
}
