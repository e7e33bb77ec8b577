//! What failed is done again, and what must not be sold is taken out, each by one command and once in the audit log.

use serde_json::json;

use crate::cli::{Files, done, failed, rows, unigate};
use crate::faults::{bare, environment};
use crate::fixtures::{MTS, UTILITY, new_id, utility_payment};
use testkit::process::Process;

#[tokio::test]
async fn a_card_is_withdrawn_by_its_serial_and_no_other() {
    let world = bare().await;
    world.product(MTS).await;
    let files = Files::new();
    let file = files.write("cards.csv", "serial,pin\n0001,8231-secret-1\n0002,8231-secret-2\n");
    let process = Process::start_ready(&environment(&world, &[]), &["run", "cards"]).await;
    done(&world, &["cards", "import", "--product", "mts-100", &file]).await;

    let withdraw = |serial| {
        let args = [
            "cards",
            "withdraw",
            "--product",
            "mts-100",
            "--serial",
            serial,
            "--reason",
            "recalled",
        ];
        args.map(str::to_owned)
    };
    let args = withdraw("0001");
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let told = done(&world, &args).await;
    assert!(
        told.stdout.contains("0001") && told.stdout.contains("withdrawn"),
        "{told:?}"
    );
    failed(&unigate(&world, &args).await, 1, "withdrawn");
    let unknown = withdraw("9999");
    let unknown: Vec<&str> = unknown.iter().map(String::as_str).collect();
    failed(&unigate(&world, &unknown).await, 1, "serial");
    assert_eq!(rows(&world, &["cards", "stock"]).await[0]["fresh"], json!(1));

    let acts = world
        .sql("SELECT subject, allowed FROM audit WHERE act = 'cards set-aside' ORDER BY audit_id")
        .await;
    let told: Vec<_> = acts.iter().map(|act| (act[0].as_deref(), act[1].as_deref())).collect();
    let denied = Some("f");
    assert_eq!(
        told,
        [
            (Some("mts-100/0001"), Some("t")),
            (Some("mts-100/0001"), denied),
            (Some("mts-100/9999"), denied)
        ]
    );
    assert!(process.end().await.success());
}

#[tokio::test]
async fn a_register_that_failed_says_why_and_is_built_again() {
    let world = bare().await;
    world.payee(UTILITY).await;
    let process = Process::start_ready(&environment(&world, &[]), &["run", "intake"]).await;
    world.tell("payment.accepted", &utility_payment(&new_id())).await;
    done(&world, &["registers", "build", "gorvodokanal"]).await;
    // No builder runs, so this is what one would have left behind.
    world
        .sql("UPDATE register SET state = 'failed', due_at = NULL, last_error = 'the disk is full' RETURNING 1")
        .await;
    let failed_one = rows(&world, &["registers", "list"]).await.remove(0);
    let id = failed_one["register_id"].as_str().unwrap().to_owned();
    let shown = rows(&world, &["registers", "show", &id]).await.remove(0);
    assert_eq!(shown["last_error"], json!("the disk is full"));
    done(&world, &["registers", "requeue", &id]).await;
    assert_eq!(rows(&world, &["registers", "list"]).await[0]["state"], json!("frozen"));
    failed(
        &unigate(&world, &["registers", "requeue", &id]).await,
        1,
        "is frozen: its build has not failed",
    );
    assert!(process.end().await.success());
}
