//! A payee's own list beside ours, asked of its database page by page.

use serde_json::Value;

use super::books::Books;
use crate::cli::{failed, unigate};
use crate::world::World;

const RECONCILE: [&str; 11] = [
    "deliveries",
    "reconcile",
    "vodokanal",
    "--from",
    "2020-01-01",
    "--to",
    "2099-01-01",
    "--limit",
    "0",
    "--format",
    "json",
];

async fn findings(world: &World) -> Vec<String> {
    let done = unigate(world, &RECONCILE).await;
    let line = |row: &Value| {
        format!(
            "{} {}",
            row["number"].as_str().unwrap(),
            row["finding"].as_str().unwrap()
        )
    };
    done.rows().iter().map(line).collect()
}

/// Part of the conformance suite: what is the same on both sides is not told, what differs is told, over several pages.
pub(super) async fn are_compared(world: &World, books: &Books, declared: &str) {
    assert_eq!(findings(world).await, Vec::<String>::new(), "both sides hold the same");
    let ours = world
        .value("SELECT min(number)::text FROM payment WHERE state = 'delivered'")
        .await;
    // More than two pages that nobody paid us for, one payment of another amount, and one that is missing there.
    for n in 0..450 {
        let foreign = format!(
            "insert into payments (number, account, amount, paid_at, note) values ({}, '1001', 10, '2026-11-23 07:00:00', 'x')",
            7_000_000_000_i64 + n
        );
        books.script(&foreign).await;
    }
    books
        .script(&format!(
            "update payments set amount = amount + 1 where number = {ours}"
        ))
        .await;
    books
        .script("delete from payments where number = (select n from (select max(number) as n from payments where number < 7000000000) x)")
        .await;
    let found = findings(world).await;
    let of = |finding: &str| found.iter().filter(|line| line.ends_with(finding)).count();
    assert_eq!(of("missing_here"), 450, "{found:?}");
    assert!(found.contains(&format!("{ours} amount_differs")), "{found:?}");
    assert_eq!(of("missing_there"), 1, "{found:?}");
    let (without, _) = declared.split_once("[[databases.list.statement]]").unwrap();
    world.payee(without).await;
    failed(&unigate(world, &RECONCILE).await, 1, "has no [databases.list]");
}
