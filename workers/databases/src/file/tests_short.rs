//! Lists that are shorter than they should be: cut off where nobody sees it, empty, or not written to their end.

use domain::delivery::{Ending, Verdict};
use serde_json::json;

use super::tests::{Place, columns, dbf, listed, looked, payee, rows as found_in};
use super::*;

/// A list of so many accounts.
fn lines(count: usize) -> String {
    let line = |n: usize| format!("{n};Один;10\n");
    format!("Счёт;ФИО;Долг\n{}", (1..=count).map(line).collect::<String>())
}

fn csv(more: serde_json::Value) -> serde_json::Value {
    let mut file = json!({"format": "csv", "columns": columns()});
    file.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    file
}

#[tokio::test]
async fn a_list_of_nothing_is_none_unless_it_may_be() {
    let place = Place::new();
    let path = place.file("list.csv", lines(0).as_bytes());
    let first = listed(&path, csv(json!({})));
    let why = first.table().await.err().unwrap();
    assert!(why.ends_with("has 0 rows, and needs 1 (min_rows)"), "{why}");
    assert_eq!(first.look().await, Looked::Refused(why), "it is told");
    let may = listed(&path, csv(json!({"min_rows": 0})));
    assert_eq!(may.table().await.unwrap().rows, 0);
    place.file("list.csv", lines(9).as_bytes());
    let of_ten = listed(&path, csv(json!({"min_rows": 10})));
    assert!(of_ten.table().await.err().unwrap().contains("has 9 rows, and needs 10"));
}

#[tokio::test]
async fn a_list_that_lost_most_of_its_lines_takes_nothings_place() {
    let place = Place::new();
    let path = place.file("list.csv", lines(10).as_bytes());
    let list = listed(&path, csv(json!({})));
    assert_eq!(list.table().await.unwrap().rows, 10);
    // Cut at the end of a line.
    place.file("list.csv", lines(4).as_bytes());
    let refused = looked(&list).await;
    let why = "has 4 rows, and had 10: that is more than 50 % less (max_shrink_percent)";
    assert!(
        matches!(&refused, Looked::Refused(told) if told.ends_with(why)),
        "{refused:?}"
    );
    assert_eq!(list.table().await.unwrap().rows, 10, "what was there stays");
    // It is meant so: who says it keeps what is there until the shorter one is read.
    let meant = listed(&path, csv(json!({"max_shrink_percent": 60})));
    meant.take_over(&list);
    assert_eq!(meant.current().unwrap().rows, 10);
    assert_eq!(looked(&meant).await, Looked::Replaced(4));
    place.file("list.csv", lines(5).as_bytes());
    assert_eq!(looked(&list).await, Looked::Replaced(5), "half of it is not too little");
}

#[tokio::test]
async fn a_dbase_table_whose_head_has_not_heard_of_all_its_records_is_refused() {
    let place = Place::new();
    let fields = [("LS", b'C', 4), ("FIO", b'C', 8), ("SUMMA", b'N', 6)];
    let records = [
        (b' ', vec!["1", "A", "1"]),
        (b'*', vec!["2", "B", "2"]),
        (b' ', vec!["3", "C", "3"]),
    ];
    let mut bytes = dbf(&fields, &records);
    let file = json!({"format": "dbf", "columns": {"ls": "account", "fio": "name", "summa": "amount_due"}});
    bytes[4] = 1;
    for whole in [true, false] {
        // Its program ends it last.
        let end = if whole { bytes.len() } else { bytes.len() - 1 };
        let path = place.file("saldo.dbf", &bytes[..end]);
        let why = listed(&path, file.clone()).table().await.err().unwrap();
        assert!(why.contains("says that it has 1 records, and"), "{why}");
    }
    bytes[4] = 3;
    bytes.extend([0; 100]);
    let path = place.file("saldo.dbf", &bytes);
    let found = found_in(&listed(&path, file).table().await.unwrap()).await;
    assert_eq!(found, ["1|A|1", "3|C|3"], "what stands behind its end is nothing");
}

#[tokio::test]
async fn a_list_that_is_being_written_is_not_read_the_first_time_either() {
    use std::io::Write as _;
    let place = Place::new();
    let path = place.file("list.csv", lines(1).as_bytes());
    let list = listed(&path, csv(json!({})));
    let mut file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
    let between = Duration::from_millis(100);
    let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + between, between);
    let written = async {
        loop {
            ticks.tick().await;
            file.write_all("7;Семь;70\n".as_bytes()).unwrap();
        }
    };
    let why = tokio::select! {
        read = list.table() => read.err().unwrap(),
        () = written => unreachable!(),
    };
    assert!(why.contains("is being written"), "{why}");
    assert!(list.table().await.unwrap().rows > 1);
}

#[tokio::test]
async fn an_account_that_is_not_on_the_list_waits_unless_the_scenario_refuses_it() {
    let place = Place::new();
    let path = place.file("list.csv", lines(1).as_bytes());
    let mut payee = payee(&path, csv(json!({})));
    for (none, verdict) in [
        (None, Verdict::TryLater),
        (Some("refused: account_not_found"), Verdict::Refused),
    ] {
        let pay = json!({"statement": [{"sql": "select name from list where account = :account", "none": none}]});
        payee.databases.as_mut().unwrap().pay = Some(serde_json::from_value(pay).unwrap());
        let source = Source::of_payee(&payee).unwrap();
        let entered = crate::pay::pay(&source, &crate::tests::due(100)).await;
        assert_eq!(entered.told.ending, Ending::Answered(verdict), "{:?}", entered.trace);
    }
}

#[tokio::test]
async fn what_could_not_be_told_is_told_later() {
    let place = Place::new();
    let path = place.file("list.csv", lines(0).as_bytes());
    let list = listed(&path, csv(json!({})));
    list.table().await.err().unwrap();
    let away = list.look_and_tell(async |_| Err("our store is away")).await;
    assert_eq!(away, Err("our store is away"));
    // Also while somebody else reads the file.
    let reading = list.reading.clone().lock_owned().await;
    let mut told = None;
    let here = list.look_and_tell(async |news| {
        told = Some(news);
        Ok::<_, &str>(())
    });
    here.await.unwrap();
    assert!(
        matches!(&told, Some(Looked::Refused(why)) if why.contains("has 0 rows")),
        "{told:?}"
    );
    drop(reading);
    assert_eq!(list.look().await, Looked::Same, "once");
}
