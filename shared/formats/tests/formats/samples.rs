//! The files of `examples/registers`, one for every format and preset, to the byte.

use std::path::{Path, PathBuf};

use crate::stand::{layout, payments, written};

/// Name of the file, and what stands in `[register]`.
pub(crate) const SAMPLES: [(&str, &str); 13] = [
    ("csv.csv", ""),
    (
        "csv-excel.csv",
        "encoding = \"utf-8-bom\"\n[register.layout]\ndecimal = \",\"\nmoment = \"%d.%m.%Y %H:%M:%S\"",
    ),
    (
        "pipes-koi8.txt",
        "encoding = \"koi8-r\"\n[register.layout]\nseparator = \"|\"\nquotes = false\nreplacement = \"/\"\nline_end = \"lf\"\nextension = \"txt\"",
    ),
    ("qiwi.txt", "format = \"qiwi\""),
    ("lanbilling.txt", "format = \"lanbilling\""),
    ("sberbank.txt", "format = \"sberbank\""),
    (
        "1c.txt",
        "format = \"1c\"\n[register.layout.constants]\npayer = \"ООО «Агент»\"\npayer_inn = \"7709876543\"\npayer_account = \"40702810100000009876\"",
    ),
    ("text.xml", TEXT),
    ("fixed.txt", FIXED),
    ("dbf.dbf", DBF),
    ("xlsx.xlsx", "format = \"xlsx\""),
    ("xml.xml", "format = \"xml\"\nencoding = \"windows-1251\""),
    ("jsonl.jsonl", "format = \"jsonl\""),
];

/// A payee's own XML: a template per payment, of three lines.
pub(crate) const TEXT: &str = r#"
format = "text"
[register.layout]
escape = "xml"
extension = "xml"
line_end = "lf"
header = """
<?xml version="1.0" encoding="UTF-8"?>
<pays to="{{ payee_name }}" count="{{ count }}" total="{{ total }}">
"""
row = """
<pay id="{{ number }}" at="{{ paid_at }}" sum="{{ amount }}">
  <client account="{{ account }}" name="{{ fields.payer }}"/>
</pay>
"""
trailer = "</pays>"
"#;

/// The same in JSON, of which there is no sample.
pub(crate) const OWN_JSON: &str = r#"
format = "text"
[register.layout]
escape = "json"
row = '{"id":"{{ number }}","at":"{{ paid_at }}","account":"{{ account }}","sum":"{{ amount }}","name":"{{ fields.payer }}"}'
"#;

pub(crate) const FIXED: &str = "format = \"fixed\"\nencoding = \"cp866\"\n[register.layout]\n\
    date = \"%d.%m.%Y\"\ntrailer = \"TOTAL {{ count }} {{ total }}\"\ncolumns = [\n\
    { value = \"number\", width = 10, align = \"zeros\" }, { constant = \" \", width = 1 }, { value = \"paid_date\", width = 11 },\n\
    { value = \"paid_time\", width = 9 }, { value = \"account\", width = 20 }, { value = \"amount\", width = 12 },\n\
    { width = 1 }, { value = \"fields.payer\", width = 20 }]";

pub(crate) const DBF: &str = "format = \"dbf\"\n[register.layout]\ncolumns = [\n\
    { value = \"number\", name = \"NUMBER\", width = 12 }, { value = \"paid_date\", name = \"PAID_DATE\" },\n\
    { value = \"paid_time\", name = \"PAID_TIME\" }, { value = \"account\", name = \"ACCOUNT\", width = 20 },\n\
    { value = \"amount\", name = \"AMOUNT\", width = 12 }, { value = \"fee\", name = \"FEE\", width = 10 },\n\
    { value = \"fields.payer\", name = \"PAYER\", width = 40 }]";

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .unwrap()
        .to_owned()
}

#[test]
fn every_sample_is_what_is_written_to_the_byte() {
    let made = root().join("target/registers");
    std::fs::create_dir_all(&made).unwrap();
    let mut differing = Vec::new();
    for (name, register) in SAMPLES {
        let (bytes, report) = written(&layout(register), &payments()).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(report.report.is_clean() || name != "csv.csv", "{name}: {report:?}");
        std::fs::write(made.join(name), &bytes).unwrap();
        let kept = root().join("examples/registers").join(name);
        if std::fs::read(&kept).ok().as_deref() != Some(&bytes) {
            differing.push(name);
        }
    }
    assert!(
        differing.is_empty(),
        "{differing:?}: look at those in {} and keep them, or not",
        made.display()
    );
}

#[test]
fn names_of_files_are_as_declared() {
    let payments = payments();
    let mut head = crate::stand::head(&payments);
    let usual = layout("");
    assert_eq!(usual.file_name(&head).unwrap(), "gorvodokanal-main-000042.csv");
    let own = layout(
        "format = \"sberbank\"\nfile_name = \"{{ inn }}_{{ settlement_account }}_{{ sequence_of_day | pad(3) }}_{{ cutoff | date('%m%d') }}\"",
    );
    assert_eq!(
        own.file_name(&head).unwrap(),
        "7701234567_40702810900000001234_001_1124.txt"
    );
    head.is_copy = true;
    head.part = (2, 3);
    assert_eq!(
        usual.file_name(&head).unwrap(),
        "gorvodokanal-main-COPY-000042-2of3.csv"
    );
    let copied = own.file_name(&head).unwrap();
    assert_eq!(copied, "7701234567_40702810900000001234_001_1124-COPY-2of3.txt");
}
