//! Lists that programs read.

use std::collections::BTreeSet;
use std::process::Stdio;

use serde_json::Value;
use testkit::process::{executable, keep_apart};
use testkit::wait_for;
use tokio::process::{Child, Command};

use crate::cli::{done, rows};
use crate::deliveries_acts::{stuck, world};
use crate::faults::{bare, environment};
use crate::fixtures::{UTILITY, internet_provider};
use crate::world::{PATIENCE, World};

/// More than a table shows unless it is asked for more.
const PAYMENTS: usize = 12_500;
/// Before all of them.
const ALL: [&str; 2] = ["--from", "2020-01-01"];

/// So many payments of a payee, in this state, from the first minutes of a year.
async fn listed(count: usize, state: &str) -> World {
    let world = bare().await;
    world.payee(&internet_provider("http://127.0.0.1:9/unikassa", "")).await;
    stuck(&world, "isp", 1, count as i64, state, "HTTP 500").await;
    world
}

#[tokio::test]
async fn a_list_for_a_program_is_whole_and_one_for_people_says_where_it_ends() {
    let world = listed(PAYMENTS, "failed").await;
    // Accepted at one moment: what a page ends with is no end.
    world
        .sql("UPDATE payment SET accepted_at = '2026-01-01' WHERE number % 3 > 0")
        .await;
    for list in ["payments", "deliveries"] {
        let list_of = async |more: &[&str]| done(&world, &[&[list, "list"], &ALL[..], more].concat()).await;
        let json = list_of(&["--format", "json"]).await;
        let rows: Vec<Value> = json
            .stdout
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let numbers: BTreeSet<&str> = rows.iter().filter_map(|row| row["number"].as_str()).collect();
        assert_eq!((rows.len(), numbers.len()), (PAYMENTS, PAYMENTS), "{list}");
        assert_eq!(json.stderr, "");
        let csv = list_of(&["--format", "csv"]).await;
        assert_eq!(csv.stdout.lines().count(), 1 + PAYMENTS, "{list}");
        let few = list_of(&["--format", "csv", "--limit", "7"]).await;
        assert_eq!(few.stdout.lines().count(), 1 + 7);
        assert!(few.stderr.contains("only the latest 7"), "{}", few.stderr);
        let table = list_of(&[]).await;
        assert_eq!(table.stdout.lines().count(), 1 + 10_000, "{list}");
        assert!(table.stderr.contains("only the latest 10000"), "{}", table.stderr);
    }
}

#[tokio::test]
async fn a_list_goes_back_a_day_and_says_so_unless_what_is_asked_for_is_few() {
    let world = listed(5, "refused").await;
    world
        .sql("UPDATE payment SET accepted_at = now() - number * interval '11 hours', state = 'delivered' WHERE number < 4;
              UPDATE payment SET flags = '{payee_denies}' WHERE number = 5")
        .await;
    for (list, arguments, count) in [
        ("payments", &[][..], 2),
        ("payments", &["--payee", "isp"], 2),
        ("payments", &["--terminal", "T-1"], 2),
        ("payments", &["--state", "refused"], 0),
        ("payments", &["--to", "2026-01-02"], 2),
        ("payments", &["--to", "2026-01-03"], 0),
        ("deliveries", &[], 2),
        ("deliveries", &["--state", "refused", "--error", "HTTP"], 0),
    ] {
        let cut = done(&world, &[&[list, "list", "--format", "json"], arguments].concat()).await;
        assert_eq!(cut.rows().len(), count, "{list} {arguments:?}");
        assert!(
            cut.stderr.contains("--from lists what came before"),
            "{arguments:?}: {}",
            cut.stderr
        );
    }
    world.sql("UPDATE payment SET state = 'failed' WHERE number = 4").await;
    for (list, arguments, count) in [
        ("payments", &ALL[..], 5),
        ("payments", &["--account", "a5"], 1),
        ("payments", &["--number", "5"], 1),
        ("payments", &["--flagged"], 1),
        ("payments", &["--state", "failed"], 1),
        ("deliveries", &ALL, 5),
        ("deliveries", &["--account", "a5"], 1),
        ("deliveries", &["--error", "HTTP"], 1),
    ] {
        let whole = done(&world, &[&[list, "list", "--format", "json"], arguments].concat()).await;
        assert_eq!(whole.rows().len(), count, "{list} {arguments:?}");
        assert_eq!(whole.stderr, "", "{arguments:?}");
    }
}

#[tokio::test]
async fn what_waits_for_a_suspended_payee_is_listed_as_stopped() {
    let world = world().await;
    world.payee(UTILITY).await;
    for (number, payee, state) in [
        (1, "isp", "stopped"),
        (2, "isp", "waiting"),
        (3, "isp", "accepted"),
        (4, "isp", "failed"),
        (5, "old", "stopped"),
        (6, "old", "waiting"),
        (7, "old", "accepted"),
        (11, "gorvodokanal", "accepted"),
        (12, "gorvodokanal", "accepted"),
        (13, "gorvodokanal", "revoked"),
        (14, "gorvodokanal", "stopped"),
    ] {
        stuck(&world, payee, number, 1, state, "HTTP 500").await;
    }
    // The first of the register payee's is in a register, which is not told of as stopped; the others would be in the next.
    world
        .sql(
            "UPDATE payment SET next_act = 'pay', due_at = now() WHERE state IN ('waiting', 'accepted') AND number < 10;
             UPDATE payment p SET gateway = 'registers', series_id = s.series_id, position = number - 10
             FROM series s WHERE s.payee_id = p.payee_id AND number > 10;
             INSERT INTO register (register_id, series_id, payee_id, payee_version, kind, sequence, lo, hi, period_from, period_to,
                                   cutoff, first_accepted_at, last_accepted_at, payment_count, total, currency)
             SELECT gen_random_uuid(), series_id, payee_id, 1, 'regular', 1, 1, 1, now(), now(), now(), now(), now(), 1, 100, 'RUB'
             FROM series WHERE payee_id = 'gorvodokanal';
             UPDATE series SET last_hi = 1 WHERE payee_id = 'gorvodokanal';
             UPDATE payee SET suspended = true WHERE payee_id <> 'old'",
        )
        .await;
    for (list, state, expected) in [
        ("payments", "stopped", &["1", "2", "3", "5", "12", "14"][..]),
        ("deliveries", "stopped", &["1", "2", "3", "5"]),
        // What is told of as stopped is told of as nothing else.
        ("payments", "waiting", &["6"]),
        ("payments", "accepted", &["7"]),
    ] {
        let rows = rows(&world, &[list, "list", "--state", state, "--from", "2020-01-01"]).await;
        let mut numbers: Vec<&str> = rows.iter().filter_map(|row| row["number"].as_str()).collect();
        numbers.sort_by_key(|number| number.parse::<i64>().unwrap());
        assert_eq!(numbers, expected, "{list} {state}");
    }
}

/// A list that nobody reads: it fills the pipe, and stands there.
fn unread(world: &World, format: &str) -> Child {
    let mut command = Command::new(executable());
    keep_apart(&mut command)
        .args(["payments", "list", "--state", "failed", "--format", format])
        .envs(environment(world, &[]))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

#[tokio::test]
async fn a_list_that_nobody_reads_holds_no_snapshot_for_long() {
    let world = listed(5000, "failed").await;
    let sessions = async |of: &str, count: &str| {
        let sql = format!(
            "SELECT count(*) FROM pg_stat_activity
             WHERE datname = current_database() AND application_name LIKE '%operator' AND {of}"
        );
        wait_for(of, PATIENCE, async || (world.value(&sql).await == count).then_some(())).await;
    };
    let lines = unread(&world, "json");
    sessions("state = 'idle in transaction' AND backend_xmin IS NOT NULL", "1").await;
    sessions("true", "0").await;
    let ended = lines.wait_with_output().await.unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(said.contains("whoever reads this list was away for"), "{said}");

    // A table is put together before the first line of it is printed, and by then nothing is being read.
    let table = unread(&world, "table");
    sessions("state = 'idle' AND backend_xmin IS NULL AND query = 'COMMIT'", "1").await;
    let whole = table.wait_with_output().await.unwrap();
    assert_eq!(whole.stdout.iter().filter(|byte| **byte == b'\n').count(), 1 + 5000);
}
