//! A register's file holds exactly what was frozen, whoever builds it and whatever happens to them.

use std::io::{Cursor, Read, Write};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use age::x25519::Identity;
use registers::{Built, close_all_due};
use serde_json::json;
use store::registers::requeue_build;
use testkit::wait_for;

use crate::stand::{PATIENCE, Stand, on_stand, payee};

async fn one_register(stand: &Stand, register: serde_json::Value, payments: i64) {
    stand.declare(&payee(register)).await;
    stand.back_in_2020().await;
    stand.pay("2020-03-01T13:00:00.123456Z", payments).await;
    assert_eq!(close_all_due(&stand.store).await.unwrap().len(), 1);
}

#[tokio::test]
async fn the_default_register_is_what_the_contract_says() {
    on_stand(|stand| async move {
        one_register(&stand, json!({}), 2).await;
        assert_eq!(stand.build_all().await, [Built::Recorded]);
        let listed = stand.list().await.remove(0);
        let (name, bytes) = stand.file(listed.summary.register_id).await;
        assert_eq!(name, "gvk-main-000001.csv");
        assert_eq!(
            String::from_utf8(bytes).unwrap(),
            "number;accepted_at;paid_at;account;amount;currency;receipt_number;meter_cold\r\n\
             1;2020-03-01T16:00:00+03:00;2020-03-01T16:00:00+03:00;A-1;100.00;RUB;0001;00123\r\n\
             2;2020-03-01T16:00:00+03:00;2020-03-01T16:00:00+03:00;A-2;100.00;RUB;0002;00123\r\n"
        );
        assert_eq!(
            (listed.state.as_str(), listed.summary.count, listed.summary.total),
            ("built", 2, 20_000)
        );
        assert_eq!(stand.events().await, ["register.built"]);
        let mailing = stand.value("SELECT recipient || ' ' || message_id FROM mailing").await;
        assert_eq!(
            mailing,
            format!("buh@example.org <{}@example.org>", listed.summary.register_id)
        );
        let body = stand.value("SELECT body FROM event").await;
        assert!(
            body.contains(r#""sequence":1"#) && body.contains(r#""total":20000"#),
            "{body}"
        );
    })
    .await;
}

#[tokio::test]
async fn what_is_encrypted_opens_with_its_key_and_is_nowhere_in_the_clear() {
    on_stand(|stand| async move {
        let identity = Identity::generate();
        let recipient = identity.to_public().to_string();
        one_register(&stand, json!({ "zip": true, "age_recipients": [recipient] }), 500).await;
        stand.build_all().await;
        let (name, sealed) = stand.file(stand.list().await[0].summary.register_id).await;
        assert_eq!(name, "gvk-main-000001.csv.zip.age");
        let archive = age::decrypt(&identity, &sealed).unwrap();
        let mut text = String::new();
        let mut read = zip::ZipArchive::new(Cursor::new(&archive)).unwrap();
        read.by_name("gvk-main-000001.csv")
            .unwrap()
            .read_to_string(&mut text)
            .unwrap();
        assert_eq!(text.lines().count(), 501);
        another_program_reads(&archive);
        assert_eq!(
            stand
                .value("SELECT count(*) FROM artifact_chunk WHERE position('number;' IN data) > 0")
                .await,
            "0"
        );
    })
    .await;
}

/// Python's own reader: it is not made of the code that wrote the archive.
fn another_program_reads(archive: &[u8]) {
    let script = "import io,sys,zipfile; z=zipfile.ZipFile(io.BytesIO(sys.stdin.buffer.read())); assert z.testzip() is None; print(len(z.read(z.namelist()[0]).splitlines()))";
    let python = Command::new("python3")
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut python = python.expect("python3 reads archives: install it");
    python.stdin.take().unwrap().write_all(archive).unwrap();
    let output = python.wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "501");
}

#[tokio::test]
async fn of_two_builders_only_the_one_with_the_lease_records() {
    on_stand(|stand| async move {
        one_register(&stand, json!({}), 3).await;
        let builder = stand.builder();
        let lost = builder.claim().await.unwrap();
        assert_eq!(builder.claim().await.unwrap().len(), 0, "it is somebody's");
        stand
            .sql("UPDATE register SET due_at = now(), lease_until = now()")
            .await;
        let second = builder.claim().await.unwrap();
        assert_ne!(lost[0].token, second[0].token);

        assert_eq!(builder.build(&second).await.unwrap(), [Built::Recorded]);
        assert_eq!(builder.build(&lost).await.unwrap(), [Built::Later], "refused");
        assert_eq!(stand.events().await, ["register.built"]);
        assert_eq!(
            stand
                .value("SELECT count(*) || ' ' || count(sha256) FROM artifact")
                .await,
            "1 1"
        );
        assert_eq!(stand.value("SELECT count(*) FROM mailing").await, "1");
    })
    .await;
}

#[tokio::test]
async fn a_build_whose_lease_was_lost_under_way_records_nothing() {
    on_stand(|stand| async move {
        one_register(&stand, json!({}), 3).await;
        let builder = stand.builder().with_lease(Duration::from_millis(3));
        let lost = builder.claim().await.unwrap();
        let taken = stand.builder();
        stand
            .sql("UPDATE register SET due_at = now(), lease_until = now()")
            .await;
        let second = taken.claim().await.unwrap();
        assert_eq!(builder.build(&lost).await.unwrap(), [Built::Later]);
        assert_eq!(taken.build(&second).await.unwrap(), [Built::Recorded]);
        assert_eq!(stand.value("SELECT count(*) FROM artifact").await, "1");
    })
    .await;
}

/// Locks the payments of a stand for half a minute; returns when they are, and what ends with that.
async fn lock_payments(stand: &Arc<Stand>) -> tokio::task::JoinHandle<()> {
    let locking = stand.clone();
    let locked = tokio::spawn(async move {
        locking.sql("BEGIN; LOCK TABLE payment; SELECT pg_sleep(30)").await;
    });
    at_the_lock(stand, "granted AND mode = 'AccessExclusiveLock'").await;
    locked
}

async fn at_the_lock(stand: &Stand, which: &str) {
    // A table has the same number in every database that was made from the same template.
    let count = format!(
        "SELECT count(*) FROM pg_locks WHERE relation = 'payment'::regclass AND {which}
         AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
    );
    wait_for(which, PATIENCE, async || {
        (stand.value(&count).await == "1").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_build_whose_lease_was_lost_ends_though_it_waits_for_the_database() {
    on_stand(|stand| async move {
        one_register(&stand, json!({}), 3).await;
        let builder = stand.builder().with_lease(Duration::from_millis(300));
        let lost = builder.claim().await.unwrap();
        let locked = lock_payments(&stand).await;
        let lose = async {
            // The builder waits for its payments.
            at_the_lock(&stand, "NOT granted").await;
            stand
                .sql("UPDATE register SET due_at = now(), lease_until = now(), lease_token = gen_random_uuid()")
                .await;
        };
        let building = async { tokio::time::timeout(Duration::from_secs(8), builder.build(&lost)).await };
        let ((), built) = tokio::join!(lose, building);
        assert_eq!(
            built.expect("it ends long before its statement does").unwrap(),
            [Built::Later]
        );
        assert!(!locked.is_finished(), "the payments were locked all the time");
        locked.abort();
    })
    .await;
}

#[tokio::test]
async fn a_build_that_does_not_move_is_let_go_for_another_to_take() {
    on_stand(|stand| async move {
        one_register(&stand, json!({}), 3).await;
        let builder = stand.builder().with_lease(Duration::from_millis(30));
        let hanging = builder.claim().await.unwrap();
        let locked = lock_payments(&stand).await;
        let built = tokio::time::timeout(Duration::from_secs(8), builder.build(&hanging)).await;
        assert_eq!(built.expect("it ends while it hangs").unwrap(), [Built::Later]);
        assert!(!locked.is_finished(), "the payments were locked all the time");
        let again = wait_for("the lease to run out", PATIENCE, async || {
            let claimed = stand.builder().claim().await.unwrap();
            (!claimed.is_empty()).then_some(claimed)
        });
        assert_eq!(again.await.len(), 1);
        locked.abort();
    })
    .await;
}

#[tokio::test]
async fn a_register_that_builders_die_of_is_built_alone_and_then_no_more() {
    on_stand(|stand| async move {
        stand.declare(&payee(json!({ "every_payments": 2 }))).await;
        stand.back_in_2020().await;
        stand.pay("2020-03-01T13:00:00.123456Z", 6).await;
        while !close_all_due(&stand.store).await.unwrap().is_empty() {}
        assert_eq!(stand.list().await.len(), 3);
        let builder = stand.builder();
        assert_eq!(builder.claim().await.unwrap().len(), 3, "all of them vanish with it");
        let expire = "UPDATE register SET due_at = now() - interval '1 hour', lease_until = now() WHERE sequence = ";
        stand.sql(&format!("{expire} 1")).await;
        stand.sql(&format!("{expire} 2")).await;
        let (guilty, innocent) = (builder.claim().await.unwrap(), builder.claim().await.unwrap());
        assert_eq!((guilty.len(), innocent.len()), (1, 1), "each alone");
        assert_eq!(builder.build(&innocent).await.unwrap(), [Built::Recorded]);

        let sequence = guilty[0].summary.sequence;
        stand.sql(&format!("{expire} {sequence}")).await;
        assert_eq!(builder.claim().await.unwrap().len(), 1);
        stand.sql(&format!("{expire} {sequence}")).await;
        let last = builder.claim().await.unwrap();
        assert_eq!(builder.build(&last).await.unwrap(), [Built::Failed]);
        let failed = stand
            .list()
            .await
            .into_iter()
            .find(|of| of.summary.sequence == sequence)
            .unwrap();
        assert!(failed.last_error.unwrap().contains("vanished 3 times in a row"));
        assert_eq!(stand.events().await, ["register.built", "register.failed"]);

        // An operator has it built again, and it is like any other.
        requeue_build(&stand.store, failed.summary.register_id, "anna")
            .await
            .unwrap();
        let again = builder.claim().await.unwrap();
        assert_eq!(builder.build(&again).await.unwrap(), [Built::Recorded]);
    })
    .await;
}

#[tokio::test]
async fn what_a_killed_builder_left_is_swept_away() {
    on_stand(|stand| async move {
        one_register(&stand, json!({}), 3).await;
        let killed = stand.builder().claim().await.unwrap().remove(0);
        let half = uuid::Uuid::now_v7();
        store::artifacts::begin(&stand.store, half, killed.token).await.unwrap();
        store::artifacts::add_chunk(&stand.store, half, 0, b"half")
            .await
            .unwrap();
        stand
            .sql("UPDATE artifact SET created_at = now() - interval '2 hours'")
            .await;
        assert_eq!(
            stand.builder().sweep_orphans().await.unwrap(),
            0,
            "its lease still runs"
        );
        stand
            .sql("UPDATE register SET due_at = now(), lease_until = now()")
            .await;
        assert_eq!(stand.builder().sweep_orphans().await.unwrap(), 1);
        assert_eq!(stand.value("SELECT count(*) FROM artifact_chunk").await, "0");
        assert_eq!(stand.build_all().await, [Built::Recorded]);
    })
    .await;
}

#[tokio::test]
async fn a_file_that_disagrees_with_what_was_frozen_fails_loudly() {
    on_stand(|stand| async move {
        one_register(&stand, json!({}), 3).await;
        stand.sql("UPDATE payment SET amount = amount + 1 WHERE position = 2").await;
        assert_eq!(stand.build_all().await, [Built::Failed]);
        let failed = stand.list().await.remove(0);
        assert_eq!(failed.state, "failed");
        assert!(failed.last_error.unwrap().contains("3 payments of 30001 in all, but 3 of 30000"));
        assert_eq!(stand.events().await, ["register.failed"]);
        assert_eq!(stand.value("SELECT (SELECT count(*) FROM artifact) + (SELECT count(*) FROM mailing)").await, "0");
        assert_eq!(stand.build_all().await, [], "an operator's business");

        stand.sql("UPDATE payment SET amount = amount - 1 WHERE position = 2; UPDATE payment SET state = 'revoked' WHERE position = 3").await;
        requeue_build(&stand.store, failed.summary.register_id, "anna").await.unwrap();
        assert_eq!(stand.build_all().await, [Built::Failed], "one is missing");
        stand.sql("UPDATE payment SET state = 'accepted' WHERE position = 3").await;
        requeue_build(&stand.store, failed.summary.register_id, "anna").await.unwrap();
        assert_eq!(stand.build_all().await, [Built::Recorded]);
        assert!(requeue_build(&stand.store, failed.summary.register_id, "anna").await.is_err());
    })
    .await;
}

#[tokio::test]
async fn hostile_text_stays_in_its_cell() {
    on_stand(|stand| async move {
        stand.declare(&payee(json!({}))).await;
        stand.back_in_2020().await;
        stand.pay("2020-03-01T13:00:00Z", 3).await;
        stand
            .sql(
                "UPDATE payment SET account = '=cmd|''/c calc''!A0', fields = '{\"meter_cold\": \"a;b\"}' WHERE position = 1;
                 UPDATE payment SET account = E'x\\r\\n9;9;9', receipt_number = '\"; DROP' WHERE position = 2;
                 UPDATE payment SET account = '-1+1', receipt_number = '@SUM(A1)',
                     fields = E'{\"meter_cold\": \"\\\\t=1\", \"undeclared\": \"z\"}' WHERE position = 3",
            )
            .await;
        close_all_due(&stand.store).await.unwrap();
        stand.build_all().await;
        let (_, bytes) = stand.file(stand.list().await[0].summary.register_id).await;
        let text = String::from_utf8(bytes).unwrap();
        let rows: Vec<&str> = text.split_terminator("\r\n").skip(1).map(|row| row.splitn(4, ';').nth(3).unwrap()).collect();
        assert_eq!(
            rows,
            [
                "'=cmd|'/c calc'!A0;100.00;RUB;0001;\"a;b\"",
                "\"x  9;9;9\";100.00;RUB;\"\"\"; DROP\";00123",
                "'-1+1;100.00;RUB;'@SUM(A1);' =1",
            ]
        );
    })
    .await;
}

#[tokio::test]
async fn a_large_register_goes_in_pages_and_chunks() {
    on_stand(|stand| async move {
        one_register(&stand, json!({}), 12_345).await;
        stand.sql("SELECT 1").await;
        assert_eq!(stand.build_all().await, [Built::Recorded]);
        let (_, bytes) = stand.file(stand.list().await[0].summary.register_id).await;
        assert_eq!(String::from_utf8(bytes).unwrap().lines().count(), 12_346);
        assert_eq!(stand.value("SELECT count(*) FROM artifact_chunk").await, "2");
    })
    .await;
}
