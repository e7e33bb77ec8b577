//! What the command line makes of arguments that cannot be meant, and what it writes down of acts that it refuses.

use crate::cli::{Files, failed, unigate};
use crate::faults::bare;
use crate::fixtures::{UTILITY, internet_provider};
use crate::world::World;

async fn denied(world: &World, act: &str) -> String {
    let sql = format!(
        "SELECT string_agg(subject || ': ' || (after->>'denied'), '; ') FROM audit
         WHERE NOT allowed AND act = '{act}' AND who = 'tester'"
    );
    world.value(&sql).await
}

#[tokio::test]
async fn a_period_that_ends_before_it_begins_is_wrong_usage() {
    let world = bare().await;
    world.payee(UTILITY).await;
    world
        .payee(&internet_provider("https://isp.example/unikassa", ""))
        .await;
    for command in [
        &["cards", "report"][..],
        &["registers", "statement", "gorvodokanal"],
        &["registers", "resend", "--payee", "gorvodokanal"],
        &["deliveries", "reconcile", "isp"],
    ] {
        let backwards = ["--from", "2026-11-25", "--to", "2026-11-23"];
        let refused = unigate(&world, &[command, &backwards].concat()).await;
        failed(&refused, 2, "ends before it begins");
    }
    assert_eq!(
        world
            .value("SELECT count(*)::text FROM audit WHERE who = 'tester'")
            .await,
        "0"
    );
}

#[tokio::test]
async fn what_is_refused_is_audited() {
    let world = bare().await;
    world.payee(UTILITY).await;
    failed(
        &unigate(&world, &["registers", "build", "nobody"]).await,
        1,
        "no registers",
    );
    assert!(denied(&world, "registers build").await.contains("nobody: "));
    let files = Files::new();
    let gateway =
        internet_provider("https://isp.example/unikassa", "").replace("id = \"isp\"", "id = \"gorvodokanal\"");
    let other = files.write("other.toml", &gateway);
    let refused = unigate(&world, &["payees", "apply", &other]).await;
    failed(&refused, 1, "the gateway cannot change");
    let told = denied(&world, "payees apply").await;
    assert!(told.contains("gorvodokanal: "), "{told}");
    assert_eq!(
        world.value("SELECT version::text FROM payee").await,
        "1",
        "nothing of it was done"
    );
}
