//! The example front-ends in two other languages, run as their readers would run them.

use std::process::Stdio;

use testkit::process::{Process, executable};
use tokio::process::Command;

use crate::cli::done;
use crate::faults::{bare, environment};
use crate::world::stock_up;

/// The workspace, from where the examples are named.
fn root() -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the workspace")
        .to_owned()
}

/// Runs both, which must meet the outcomes they expect: a card sold and a payment taken each. Returns what they said.
pub(crate) async fn run_examples(environment: &[(String, String)]) -> String {
    let mut command = Command::new(root().join("examples/run-frontends"));
    command
        .args(["T-0001", "mts-100", "gorvodokanal", "1920679795"])
        .envs(environment.iter().map(|(name, value)| (name, value)));
    let output = command
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .expect("bash runs it");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(output.status.success(), "{said}");
    said
}

#[tokio::test]
async fn front_ends_in_other_languages_meet_what_the_contract_says() {
    let world = bare().await;
    assert!(executable().is_file());
    for kind in ["payees", "products", "terminals"] {
        done(
            &world,
            &[kind, "apply", &root().join("examples").join(kind).display().to_string()],
        )
        .await;
    }
    // The example's terminals are spoken for by users this broker does not have; here they are open to everybody.
    world.sql("UPDATE terminal SET declaration = declaration || '{\"users\": []}'; UPDATE declaration_generation SET generation = generation + 1").await;
    stock_up(world.store(), &world.stand.settings(), "mts-100", 1, 10).await;
    let process = Process::start_ready(&environment(&world, &[]), &["run"]).await;
    let said = run_examples(&world.stand.environment()).await;
    assert!(!said.contains("8231-secret"), "no secret on a screen: {said}");
    assert_eq!(
        world.value("SELECT count(*) FROM card WHERE state = 'sold'").await,
        "2",
        "{said}"
    );
    assert_eq!(world.value("SELECT count(*) FROM payment").await, "2", "{said}");
    assert!(process.end().await.success());
}
