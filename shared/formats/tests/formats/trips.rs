//! What we write we read: every format that is read, the same payments, and its own count and total.

use formats::{Head, Received};

use crate::samples::{DBF, FIXED, OWN_JSON, SAMPLES, TEXT};
use crate::stand::{head, layout, payments, rub, written};

#[test]
fn what_is_written_is_read_back() {
    for (name, register) in SAMPLES {
        let layout = layout(register);
        let payments = payments();
        let (bytes, _) = written(&layout, &payments).unwrap();
        let read = layout
            .read(&bytes, rub())
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(read.lines.len(), payments.len(), "{name}");
        for (line, payment) in read.lines.iter().zip(&payments) {
            let read = line
                .payment
                .as_ref()
                .unwrap_or_else(|why| panic!("{name}, {}: {why}", line.line));
            let same = (payment.number.to_string(), payment.account.clone(), payment.amount);
            assert_eq!(
                (read.number.clone(), read.account.clone(), read.amount.minor()),
                same,
                "{name}"
            );
            // These have days only.
            if !["lanbilling.txt", "1c.txt"].contains(&name) {
                assert_eq!(read.paid_at, payment.paid_at, "{name}");
            }
        }
        let told = ["qiwi.txt", "sberbank.txt", "text.xml", "fixed.txt", "xml.xml"].contains(&name);
        assert_eq!(read.told_count, told.then_some(3), "{name}");
        let told = told || name == "1c.txt";
        assert_eq!(read.told_total, told.then_some(140_045), "{name}");
    }
}

#[test]
fn a_quote_that_nobody_closed_swallows_no_lines() {
    let names = "number;paid_at;account;amount;purpose\n";
    let line = |number: u32, purpose: &str| format!("{number};2026-11-23 10:02:11;77;150.00;{purpose}\n");
    let csv = layout("format = \"csv\"");
    let file = format!("{names}{}{}", line(1, "\"Ромашка"), line(2, "ok"));
    let why = csv.read(file.as_bytes(), rub()).unwrap_err().to_string();
    assert!(why.contains("line 2") && why.contains("is its quote closed?"), "{why}");
    // Nor is a line read that is longer than its header: the amount may be another column's.
    let file = format!("{names}{}{}", line(1, "a;b"), line(2, ";;"));
    let read = csv.read(file.as_bytes(), rub()).unwrap();
    let why = read.lines[0].payment.as_ref().unwrap_err();
    assert_eq!(why, "has 6 columns where the header has 5");
    assert!(!matches!(&read.lines[1].payment, Err(why) if why.contains("columns")));
}

#[test]
fn a_line_that_is_no_payment_is_named_and_the_others_are_read() {
    let qiwi = layout("format = \"qiwi\"");
    let file = "buh@example.org\n\n1\t23.11.2026\t10:02:11\t77\t150.00\n2\t23.11.2026\t10:02:11\t78\t150.005\n3\t32.11.2026\t10:02:11\t79\t1\n4\t23.11.2026\t80\t1.00\nTotal:\t4\t302.00\n";
    let read = qiwi.read(file.as_bytes(), rub()).unwrap();
    let told: Vec<(u64, String)> = read
        .lines
        .iter()
        .filter_map(|line| Some((line.line, line.payment.as_ref().err()?.clone())))
        .collect();
    let wanted = [
        (4, "amount: `150.005` is no amount"),
        (5, "paid_date: `32.11.2026` is none"),
        (6, "has 4 columns where the layout has 5"),
    ];
    assert_eq!(told, wanted.map(|(line, why)| (line, why.to_owned())));
    assert_eq!((read.told_count, read.told_total), (Some(4), Some(30_200)));
}

#[test]
fn a_file_that_is_no_register_is_refused_whole() {
    let qiwi = layout("format = \"qiwi\"");
    for (file, why) in [
        ("", "header: is missing"),
        (
            "a@b\n\n1\t23.11.2026\t10:02:11\t77\t150.00\n",
            "trailer: is not as the layout has it",
        ),
        ("a@b\n\nTotal:\tx\t0\n", "trailer: the count is no number"),
        ("a@b\n\nTotal:\t1\t1.005\n", "trailer: the total is no amount"),
    ] {
        assert_eq!(
            qiwi.read(file.as_bytes(), rub()).unwrap_err().to_string(),
            why,
            "{file:?}"
        );
    }
    let not_utf8 = qiwi.read(b"a\xff", rub()).unwrap_err();
    assert_eq!(not_utf8.to_string(), "is not UTF-8");
    let dbf = layout(DBF);
    let (bytes, _) = written(&dbf, &payments()).unwrap();
    let cut = dbf.read(&bytes[..bytes.len() - 30], rub()).unwrap_err();
    assert_eq!(cut.to_string(), "ends in record 3 of 3");
    assert!(dbf.read(b"PK\x03\x04", rub()).is_err());
    let xml = layout("format = \"xml\"");
    for file in [
        "<register><payment>",
        "<!DOCTYPE x [<!ENTITY a 'b'>]><register/>",
        "<a><payment>&a;</payment></a>",
        "<register/><register/>",
        "<register count=3/>",
        "<register>17;150.00</register>",
        "<register><![CDATA[17]]></register>",
    ] {
        assert!(xml.read(file.as_bytes(), rub()).is_err(), "{file}");
    }
    for (root, why) in [
        ("count=\"x\"", "root: the count is no number"),
        ("total=\"1.005\"", "root: the total is no amount"),
    ] {
        let file = format!("<register {root}/>");
        assert_eq!(xml.read(file.as_bytes(), rub()).unwrap_err().to_string(), why);
    }
    let fixed = layout(FIXED);
    let read = fixed.read(b"1 2 3\r\nTOTAL 1 1.00\r\n", rub()).unwrap();
    assert!(
        read.lines[0]
            .payment
            .as_ref()
            .is_err_and(|why| why.contains("5 characters"))
    );
    let empty = layout("format = \"1c\"").read(b"", rub()).unwrap_err();
    assert_eq!(empty.to_string(), "header: is not as the layout has it");
}

/// Where each payment stands, and its number or what is wrong with it.
fn told(read: &Received) -> Vec<(u64, Result<&str, &str>)> {
    let told = read.lines.iter().map(|line| {
        let payment = line.payment.as_ref().map(|read| read.number.as_str());
        (line.line, payment.map_err(String::as_str))
    });
    told.collect()
}

#[test]
fn nothing_in_the_root_is_passed_over() {
    let payment = |number| {
        format!(
            "<payment><number>{number}</number><paid_at>2026-11-23T10:02:11+03:00</paid_at><account>7</account>\
             <amount>1</amount>"
        )
    };
    let file = format!(
        "<?xml version=\"1.0\"?>\n<register count=\"6\" total=\"0.00\">\n  <!-- ours -->\n  {}</payment>\n  \
         <payment number=\"17\" amount=\"1.00\"/>\n  <Payment><number>18</number></Payment>\n  <row/>\n  \
         {}<amount>5</amount></payment>\n  {}</payment>\n</register>\n",
        payment(1),
        payment(2),
        payment(3)
    );
    let read = layout("format = \"xml\"").read(file.as_bytes(), rub()).unwrap();
    let wanted = [
        (1, Ok("1")),
        (2, Err("number: is missing")),
        (3, Err("`Payment` is no `payment` of this layout")),
        (4, Err("`row` is no `payment` of this layout")),
        (5, Err("amount: is there twice")),
        (6, Ok("3")),
    ];
    assert_eq!(told(&read), wanted);
    assert_eq!((read.told_count, read.told_total), (Some(6), Some(0)));
    let empty = layout("format = \"xml\"")
        .read(b"<register count=\"0\"/>", rub())
        .unwrap();
    assert_eq!((empty.lines.len(), empty.told_count), (0, Some(0)));
}

#[test]
fn what_a_template_escapes_is_read_back_as_it_was() {
    let mut payments = payments();
    payments[1].account = "7 <a> & \"b\\".to_owned();
    for (register, escaped) in [
        (TEXT, "account=\"7 &lt;a&gt; &amp; &quot;b\\\" name=\"ООО"),
        (OWN_JSON, "\"account\":\"7 <a> & \\\"b\\\\\",\"sum\""),
    ] {
        let layout = layout(register);
        let text = String::from_utf8(written(&layout, &payments).unwrap().0).unwrap();
        assert!(text.contains(escaped), "{text}");
        let read = layout.read(text.as_bytes(), rub()).unwrap();
        assert_eq!(read.lines.len(), payments.len());
        for (line, payment) in read.lines.iter().zip(&payments) {
            let read = line.payment.as_ref().unwrap();
            assert_eq!(read.account, payment.account);
            assert_eq!(read.fields.get("payer"), payment.fields.get("payer"));
        }
    }
}

#[test]
fn a_payment_that_is_not_as_its_template_is_named_and_the_others_are_read() {
    let layout = layout(TEXT);
    let text = String::from_utf8(written(&layout, &payments()).unwrap().0).unwrap();
    let text = text.replace("<client account=\"1920679795\"", "<payer account=\"1920679795\"");
    let text = text.replace("name=\"&quot;", "name=\"&none;");
    let read = layout.read(text.as_bytes(), rub()).unwrap();
    let wanted = [
        (3, Err("is not as the layout's row has it")),
        (6, Ok("1000002")),
        (9, Err("fields.payer: is not escaped as the layout has it")),
    ];
    assert_eq!(told(&read), wanted);
}

/// A workbook of one payment whose account is a number.
fn book(account: i64) -> Vec<u8> {
    let columns = ["number", "paid_at", "account", "amount", "other"].map(|name| sheet::Column::new(name, 9));
    let text = |text: &str| sheet::Cell::Text(text.to_owned());
    let mut book = sheet::Xlsx::in_memory("Any", &columns, jiff::Timestamp::UNIX_EPOCH).unwrap();
    let cells = [
        text("1"),
        text("2026-11-23T10:02:11+03:00"),
        sheet::Cell::Count(account),
        text("1.00"),
        sheet::Cell::Count(100_000_000_000_000_000),
    ];
    book.row(&cells).unwrap();
    book.into_bytes().unwrap()
}

#[test]
fn a_number_that_a_workbook_does_not_keep_exactly_is_refused() {
    let layout = layout("format = \"xlsx\"");
    let read = layout.read(&book(9_007_199_254_740_991), rub()).unwrap();
    assert_eq!(read.lines[0].payment.as_ref().unwrap().account, "9007199254740991");
    let read = layout.read(&book(9_007_199_254_740_992), rub()).unwrap();
    let why = "account: 9007199254740992 has more digits than a number of a workbook keeps; the cell must be text";
    assert_eq!(told(&read), [(2, Err(why))]);
}

#[test]
fn a_copy_with_open_payments_says_so_where_the_format_has_a_place() {
    let payments = payments();
    let mut head = head(&payments);
    let written = |register: &str, head: &Head| {
        let layout = layout(register);
        let mut writer = layout.begin(head, Vec::new()).unwrap();
        payments.iter().for_each(|payment| writer.row(&payment.row()).unwrap());
        String::from_utf8(writer.finish().unwrap().0).unwrap()
    };
    let own = "[register.layout]\ntrailer = \"{% if open %}OPEN {{ open }}{% endif %}\"";
    for (open, xml, trailer) in [(0, "kind=\"copy\" sequence", ""), (2, " open=\"2\">", "OPEN 2\r\n")] {
        (head.is_copy, head.open) = (true, open);
        let file = written("format = \"xml\"", &head);
        assert!(file.contains(xml) && (open > 0) == file.contains(" open="), "{file}");
        assert!(written(own, &head).ends_with(trailer));
    }
}

/// As other programs write it: keys in another order, of which some are missing and some are not ours.
const ONE_C: &str = "1CClientBankExchange
ВерсияФормата=1.03
Кодировка=Windows
РасчСчет=40702810900000001234
СекцияРасчСчет
ВсегоПоступило=151.50
КонецРасчСчет
СекцияДокумент=Платежное поручение
Дата=23.11.2026
Номер=17
Плательщик1=ООО Касса
НазначениеПлатежа=Лицевой счет 1920679795
Сумма=150.00
КонецДокумента
СекцияДокумент=Платежное поручение
Номер=18
Сумма=1.50
Дата=23.11.2026
НазначениеПлатежа=Прочее
КонецДокумента
СекцияДокумент=Банковский ордер
Номер=19
КонецДокумента
СекцияДокумент=Платежное поручение
Номер=20
СекцияДокумент=Платежное поручение
Номер=21
Сумма=1.50
Дата=23.11.2026
НазначениеПлатежа=Лицевой счет 1920679796
КонецДокумента
КонецФайла
";

#[test]
fn documents_of_other_programs_are_read_and_none_is_passed_over() {
    let layout = layout("format = \"1c\"");
    let (bytes, _, _) = encoding_rs::WINDOWS_1251.encode(ONE_C);
    let read = layout.read(&bytes, rub()).unwrap();
    assert_eq!(read.told_total, Some(15_150));
    let told = read.lines.iter().map(|line| {
        let payment = line.payment.as_ref();
        let told = payment.map(|read| (read.number.as_str(), read.account.as_str(), read.amount.minor()));
        (line.line, told.map_err(String::as_str))
    });
    let wanted = [
        (8, Ok(("17", "1920679795", 15_000))),
        (15, Err("account: is missing")),
        (23, Err("ends something that is no payment of this layout")),
        (24, Err("does not end as a payment of this layout does")),
        (26, Ok(("21", "1920679796", 150))),
    ];
    assert_eq!(told.collect::<Vec<_>>(), wanted);
}
