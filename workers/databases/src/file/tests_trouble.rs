//! Files that hang, vanish, or hold what is not to be read, and troubles that are not theirs.

use std::path::Path;
use std::sync::mpsc;

use serde_json::json;

use super::tests::{self, Place, columns, dbf, listed, looked, payee, rows as found_in, workbook};
use super::*;

/// Where files hang, as on a share that is away: the only thread that touches them is taken until the second of these is gone.
fn hanging() -> (tokio::runtime::Runtime, mpsc::Sender<()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(1)
        .build()
        .unwrap();
    let (share, is_away) = mpsc::channel();
    runtime.spawn_blocking(move || is_away.recv());
    (runtime, share)
}

#[test]
fn a_file_that_hangs_is_told_of_once_and_keeps_nobody_else_waiting() {
    let place = Place::new();
    let path = place.file("list.csv", "Счёт;ФИО;Долг\n1;Один;10\n".as_bytes());
    let listed = listed(&path, json!({"format": "csv", "columns": columns()}));
    let (runtime, share) = hanging();
    runtime.block_on(async {
        for _ in 0..3 {
            let asked = tokio::time::timeout(Duration::from_millis(50), listed.table()).await;
            assert!(asked.is_err(), "it hangs");
        }
        // Those who gave up have left one reader behind, and not one each.
        assert!(listed.reading.clone().try_lock_owned().is_err());
        let look = async || {
            tokio::time::timeout(Duration::from_secs(20), listed.look())
                .await
                .unwrap()
        };
        assert_eq!(look().await, Looked::Same);
        let long_ago = Instant::now().checked_sub(Duration::from_secs(61)).unwrap();
        listed.with(|state| state.busy = Some((long_ago, false)));
        assert!(matches!(look().await, Looked::Refused(why) if why.contains("has not been read within 60 s")));
        assert_eq!(look().await, Looked::Same, "it is told once");
        drop(share);
        assert_eq!(found_in(&listed.table().await.unwrap()).await, ["1|Один|10"]);
    });
}

#[test]
fn a_payment_for_a_file_that_hangs_is_not_sent() {
    let place = Place::new();
    let mut payee = payee(
        &place.0.join("list.csv"),
        json!({"format": "csv", "columns": columns()}),
    );
    let profile = payee.databases.as_mut().unwrap();
    profile.timeout_seconds = 1;
    let pay = json!({"statement": [{"sql": "select name from list where account = :account"}]});
    profile.pay = Some(serde_json::from_value(pay).unwrap());
    let source = Source::of_payee(&payee).unwrap();
    let (runtime, share) = hanging();
    let entered = runtime.block_on(crate::pay::pay(&source, &crate::tests::due(100)));
    assert_eq!(entered.told.ending, domain::delivery::Ending::NotSent);
    drop(share);
}

#[tokio::test]
async fn only_a_plain_file_is_read_and_only_as_it_was_looked_at() {
    let place = Place::new();
    let path = place.0.join("list.csv");
    for trap in ["/dev/null", "/dev/zero", "/proc"] {
        std::os::unix::fs::symlink(trap, &path).unwrap();
        let why = listed(&path, json!({"format": "csv", "columns": columns()}))
            .table()
            .await;
        assert!(why.err().unwrap().ends_with("is no plain file"), "{trap}");
        std::fs::remove_file(&path).unwrap();
    }
    let changed = |wrong| matches!(wrong, Err(Wrong::Passing(why)) if why == CHANGED);
    let text = "Счёт;ФИО;Долг\n1;Один;10\n";
    place.file("list.csv", text.as_bytes());
    let stamp = Stamp::of(&std::fs::metadata(&path).unwrap()).unwrap();
    assert_eq!(open::read(&path, stamp).ok().unwrap(), text.as_bytes());
    place.file("list.csv", text.repeat(2).as_bytes());
    assert!(changed(open::read(&path, stamp)));
    // Put in its place after it was looked at: nobody waits for what a pipe may bring.
    std::fs::remove_file(&path).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&path).status().unwrap();
    assert!(made.success());
    assert!(matches!(open::read(&path, stamp), Err(Wrong::Passing(why)) if why == "is no plain file"));
}

#[tokio::test]
async fn a_table_is_in_no_file() {
    let place = Place::new();
    let path = place.file("list.csv", "Счёт;ФИО;Долг\n1;Один;10\n".as_bytes());
    let listed = listed(&path, json!({"format": "csv", "columns": columns()}));
    let table = listed.table().await.unwrap();
    assert_eq!(found_in(&table).await, ["1|Один|10"]);
    // What a connection reads from, it has open.
    let open = std::fs::read_dir("/proc/self/fd").unwrap();
    let open = open.filter_map(|entry| std::fs::read_link(entry.unwrap().path()).ok());
    let open: Vec<_> = open.filter(|link| link.starts_with(std::env::temp_dir())).collect();
    assert!(open.is_empty(), "{open:?}");
}

#[tokio::test]
async fn a_quote_that_nobody_closed_swallows_no_lines() {
    let place = Place::new();
    let file = json!({"format": "csv", "columns": columns()});
    for (text, line) in [
        ("1;\"ООО;10\n2;Два;20\n3;\"Три\";30\n", 2),
        ("1;Один;10\n2;\"ООО;20\n", 3),
        ("1;Один;10\n2;Два;20\n3;\"a\rb\";30\n", 4),
    ] {
        let path = place.file("list.csv", format!("Счёт;ФИО;Долг\n{text}").as_bytes());
        let why = listed(&path, file.clone()).table().await.err().unwrap();
        let expected = format!("line {line}: a quoted value goes on in the next line; is its quote closed?");
        assert!(why.ends_with(&expected), "{why}");
    }
}

#[tokio::test]
async fn what_is_wrong_with_us_is_no_fault_of_the_file() {
    let place = Place::new();
    let text = "Счёт;ФИО;Долг\n1;Один;10\n";
    let path = place.file("list.csv", text.as_bytes());
    let listed = listed(&path, json!({"format": "csv", "columns": columns()}));
    let stamp = listed.stamp().await.unwrap();
    listed.blame(stamp, Wrong::Passing("the disk is full".to_owned()));
    assert_eq!(looked(&listed).await, Looked::Refused("the disk is full".to_owned()));
    listed.blame(stamp, Wrong::Passing("the disk is full".to_owned()));
    // Not a word more of it; the file is read once the trouble is over, as it is.
    assert_eq!(looked(&listed).await, Looked::Replaced(1));
    // A broken one is not read again by everybody who asks.
    let broken = tests::listed(&path, json!({"format": "csv", "columns": {"Нет": "account"}}));
    let why = broken.table().await.err().unwrap();
    broken.with(|state| state.refused.as_mut().unwrap().1 = "as it was found".to_owned());
    assert!(why.contains("no column"), "{why}");
    assert_eq!(broken.table().await.err().unwrap(), "as it was found");
    assert!(
        matches!(broken.look().await, Looked::Refused(why) if why.contains("no column")),
        "it is told"
    );
}

#[tokio::test]
async fn a_file_that_goes_twice_is_told_of_twice_and_a_new_declaration_keeps_its_table() {
    let place = Place::new();
    let text = "Счёт;ФИО;Долг\n1;Один;10\n";
    let path = place.file("list.csv", text.as_bytes());
    let (file, aside) = (json!({"format": "csv", "columns": columns()}), place.0.join("aside"));
    let listed = listed(&path, file.clone());
    listed.table().await.unwrap();
    let now = |listed: &Listed| listed.with(|state| state.looked_at = None);
    for _ in 0..2 {
        std::fs::rename(&path, &aside).unwrap();
        now(&listed);
        assert!(matches!(looked(&listed).await, Looked::Refused(_)));
        now(&listed);
        assert_eq!(listed.look().await, Looked::Same, "once each time");
        std::fs::rename(&aside, &path).unwrap();
        now(&listed);
        assert_eq!(listed.look().await, Looked::Same);
    }
    std::fs::remove_file(&path).unwrap();
    let again = tests::listed(&path, file);
    again.take_over(&listed);
    assert_eq!(found_in(&again.table().await.unwrap()).await, ["1|Один|10"]);
    let other = tests::listed(&path, json!({"format": "csv", "columns": {"Счёт": "account"}}));
    other.take_over(&listed);
    assert!(other.table().await.is_err());
}

#[tokio::test]
async fn only_what_can_be_read_is_taken_from_a_dbase_table() {
    let place = Place::new();
    let fields = [("LS", b'C', 4), ("N", b'I', 4), ("OK", b'L', 1)];
    let path = place.file("list.dbf", &dbf(&fields, &[(b' ', vec!["17", "x", "T"])]));
    let file = |columns: serde_json::Value| json!({"format": "dbf", "columns": columns});
    let without = file(json!({"ls": "account", "ok": "name", "LS": "amount_due"}));
    let found = found_in(&listed(&path, without).table().await.unwrap()).await;
    assert_eq!(found, ["17|true|17"]);
    let with = file(json!({"ls": "account", "n": "name"}));
    let refused = listed(&path, with).table().await.err().unwrap();
    assert!(
        refused.contains("its column N is of type I, which is not read"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_sum_in_a_workbook_is_what_its_program_shows() {
    let place = Place::new();
    let path = place.file(
        "sums.xlsx",
        &workbook(&[["1", "x", "3.3000000000000003"], ["2", "y", "0.1"]]),
    );
    let file = json!({"format": "xlsx", "header": 3, "columns": columns()});
    let found = found_in(&listed(&path, file).table().await.unwrap()).await;
    assert_eq!(found, ["1|x|3.3", "2|y|0.1"]);
}

#[test]
fn a_list_of_nothing_does_not_fill_the_memory() {
    let payee = payee(
        Path::new("/list.csv"),
        json!({"format": "csv", "columns": {"A": "account", "B": "name"}}),
    );
    let file = payee.databases.unwrap().file.unwrap();
    let mut rows = rows::Rows::under(&file, &["A".to_owned(), "B".to_owned()]).unwrap();
    rows.take(|_| Ok(None)).unwrap();
    // A row of nothing weighs something too.
    rows.kept = rows::KEPT_MAX - 10;
    assert_eq!(
        rows.take(|_| Ok(None)).unwrap_err(),
        "there is more in it than 536870912 bytes"
    );
}

/// A workbook of these moments, as numbers that are shown as dates.
fn dated(moments: &[f64]) -> Vec<u8> {
    let mut book = rust_xlsxwriter::Workbook::new();
    let sheet = book.add_worksheet();
    let date = rust_xlsxwriter::Format::new().set_num_format("dd.mm.yyyy hh:mm:ss");
    for (column, heading) in ["Счёт", "ФИО", "Долг"].into_iter().enumerate() {
        sheet.write(0, column as u16, heading).unwrap();
    }
    for (at, moment) in moments.iter().enumerate() {
        let line = at as u32 + 1;
        sheet.write(line, 0, line).unwrap();
        sheet.write_number_with_format(line, 1, *moment, &date).unwrap();
    }
    book.save_to_buffer().unwrap()
}

#[tokio::test]
async fn a_date_of_day_zero_is_none_and_a_time_alone_is_a_time() {
    let place = Place::new();
    let file = json!({"format": "xlsx", "columns": columns()});
    let path = place.file("list.xlsx", &dated(&[0.0, 0.5, 45_000.0, 45_000.75]));
    let found = found_in(&listed(&path, file.clone()).table().await.unwrap()).await;
    assert_eq!(
        found,
        ["1|-|-", "2|12:00:00|-", "3|2023-03-15|-", "4|2023-03-15 18:00:00|-"]
    );
    let path = place.file("list.xlsx", &dated(&[45_000.0, -0.5]));
    let why = listed(&path, file).table().await.err().unwrap();
    let expected = "line 3: a cell holds a date before the first that there is";
    assert!(why.ends_with(expected), "{why}");
}
