//! Files read by programs that are not ours: Python's `csv`, `json`, `xml.etree`, `openpyxl` and `dbf`, and LibreOffice.

use std::path::PathBuf;
use std::process::Command;

use crate::samples::{DBF, SAMPLES, root};
use crate::stand::{Payment, layout, payments, written};

/// A directory of this test's own.
fn place(name: &str) -> PathBuf {
    let place = root().join("target/registers").join(name);
    let _ = std::fs::remove_dir_all(&place);
    std::fs::create_dir_all(&place).unwrap();
    place
}

/// What a reader makes of a file: rows of number, account and amount.
fn by_python(file: &std::path::Path) -> Vec<[String; 3]> {
    let python = root().join(".data/tools/readers/bin/python");
    let told = Command::new(&python)
        .args([&root().join("shared/formats/tests/formats/readers.py"), file])
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}; scripts/tools test installs it", python.display()));
    let errors = String::from_utf8_lossy(&told.stderr);
    assert!(told.status.success(), "{}: {errors}", file.display());
    serde_json::from_slice(&told.stdout).unwrap()
}

fn wanted(payments: &[Payment]) -> Vec<[String; 3]> {
    let amount = |minor: i64| format!("{}.{:02}", minor / 100, minor % 100);
    payments
        .iter()
        .map(|payment| {
            [
                payment.number.to_string(),
                payment.account.clone(),
                amount(payment.amount),
            ]
        })
        .collect()
}

#[test]
fn python_reads_every_sample() {
    let place = place("python");
    for (name, register) in SAMPLES {
        let file = place.join(name);
        std::fs::write(&file, written(&layout(register), &payments()).unwrap().0).unwrap();
        let mut all = wanted(&payments());
        if ["csv.csv", "csv-excel.csv", "pipes-koi8.txt"].contains(&name) {
            // What a spreadsheet would run, it shows.
            all[2][1] = "'+79161234567".to_owned();
        }
        assert_eq!(by_python(&file), all, "{name}");
    }
}

#[test]
fn libreoffice_reads_workbooks_and_tables_and_runs_nothing() {
    let place = place("libreoffice");
    let mut hostile = payments();
    hostile[0].account = "=1+1".to_owned();
    hostile[1]
        .fields
        .insert("payer".to_owned(), "=HYPERLINK(\"http://example.org\")".to_owned());
    for (name, register) in [("book.xlsx", "format = \"xlsx\""), ("table.dbf", DBF)] {
        std::fs::write(place.join(name), written(&layout(register), &hostile).unwrap().0).unwrap();
        let profile = format!("-env:UserInstallation=file://{}", place.join("profile").display());
        let told = Command::new("soffice")
            .arg(profile)
            // 30 is cp866: without a person to ask, it does not look at what a table says of its code page.
            .args(name.ends_with("dbf").then_some("--infilter=dBase:30"))
            .args([
                "--headless",
                "--convert-to",
                "csv:Text - txt - csv (StarCalc):59,34,76",
                "--outdir",
            ])
            .args([&place, &place.join(name)])
            .output()
            .unwrap_or_else(|error| panic!("soffice: {error}; scripts/tools test installs it"));
        assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
        // It shows amounts of a workbook in groups.
        let csv = std::fs::read_to_string(place.join(name).with_extension("csv"))
            .unwrap()
            .replace("1,250.40", "1250.40");
        let mut rows = csv::ReaderBuilder::new().delimiter(b';').from_reader(csv.as_bytes());
        let names: Vec<String> = rows.headers().unwrap().iter().map(str::to_lowercase).collect();
        // A table's fields are shown with their types: `NUMBER,C,12`.
        let at = |wanted: &str| {
            names
                .iter()
                .position(|name| name.split(',').next() == Some(wanted))
                .unwrap()
        };
        let read: Vec<[String; 4]> = rows
            .records()
            .map(|row| ["number", "account", "amount", "payer"].map(|name| row.as_ref().unwrap()[at(name)].to_owned()))
            .collect();
        assert_eq!(read.len(), 3, "{name}: {csv}");
        assert_eq!(read[0], ["1000001", "=1+1", "150.00", "Иванов И. И."], "{name}: {csv}");
        assert_eq!(
            read[1][2..],
            ["1250.40", "=HYPERLINK(\"http://example.org\")"],
            "{name}: {csv}"
        );
        assert_eq!(read[2][..3], ["1000007", "+79161234567", "0.05"], "{name}: {csv}");
    }
}
