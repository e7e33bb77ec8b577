//! Lists that programs read.

use std::collections::BTreeSet;
use std::process::Stdio;

use serde_json::Value;
use testkit::process::{executable, keep_apart};
use testkit::wait_for;
use tokio::process::{Child, Command};

use crate::cli::done;
use crate::deliveries_acts::stuck;
use crate::faults::{bare, environment};
use crate::fixtures::internet_provider;
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
