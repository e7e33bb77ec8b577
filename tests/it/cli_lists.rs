//! Lists that programs read.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::cli::done;
use crate::deliveries_acts::stuck;
use crate::faults::bare;
use crate::fixtures::internet_provider;

/// More than a table shows unless it is asked for more.
const PAYMENTS: usize = 12_500;

#[tokio::test]
async fn a_list_for_a_program_is_whole_and_one_for_people_says_where_it_ends() {
    let world = bare().await;
    world.payee(&internet_provider("http://127.0.0.1:9/unikassa", "")).await;
    stuck(&world, "isp", 1, PAYMENTS as i64, "failed", "HTTP 500").await;
    // Accepted at one moment: what a page ends with is no end.
    world
        .sql("UPDATE payment SET accepted_at = '2026-01-01' WHERE number % 3 > 0")
        .await;
    for list in ["payments", "deliveries"] {
        let json = done(&world, &[list, "list", "--format", "json"]).await;
        let rows: Vec<Value> = json
            .stdout
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        let numbers: BTreeSet<&str> = rows.iter().filter_map(|row| row["number"].as_str()).collect();
        assert_eq!((rows.len(), numbers.len()), (PAYMENTS, PAYMENTS), "{list}");
        assert!(!json.stderr.contains("only the latest"), "{}", json.stderr);
        let csv = done(&world, &[list, "list", "--format", "csv"]).await;
        assert_eq!(csv.stdout.lines().count(), 1 + PAYMENTS, "{list}");
        let few = done(&world, &[list, "list", "--format", "csv", "--limit", "7"]).await;
        assert_eq!(few.stdout.lines().count(), 1 + 7);
        assert!(few.stderr.contains("only the latest 7"), "{}", few.stderr);
        let table = done(&world, &[list, "list"]).await;
        assert_eq!(table.stdout.lines().count(), 1 + 10_000, "{list}");
        assert!(table.stderr.contains("only the latest 10000"), "{}", table.stderr);
    }
}
