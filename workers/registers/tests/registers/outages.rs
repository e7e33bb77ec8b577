//! What builders leave that did not die of a register is not held against it.

use std::collections::BTreeSet;
use std::time::Duration;

use registers::{Built, close_all_due};
use serde_json::json;
use store::registers::{Build, claim_builds};
use testkit::wait_for;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::stand::{PATIENCE, Stand, on_stand, payee};

async fn three_registers(stand: &Stand) {
    stand.declare(&payee(json!({ "every_payments": 2 }))).await;
    stand.back_in_2020().await;
    stand.pay("2020-03-01T13:00:00.123456Z", 6).await;
    while !close_all_due(&stand.store).await.unwrap().is_empty() {}
    assert_eq!(stand.list().await.len(), 3);
}

/// A newer version declared the payee of the first one.
async fn not_readable(stand: &Stand) {
    let newer = "INSERT INTO payee_version (payee_id, version, declaration, applied_by)
                     SELECT payee_id, 99, '{}', 'a newer version' FROM payee;
                 UPDATE register SET payee_version = 99 WHERE sequence = 1";
    stand.sql(newer).await;
}

/// From here on no register is changed, or none of those.
async fn goes_away(stand: &Stand, of_those: &str) {
    fails(stand, of_those, "57P03").await;
}

/// From here on whoever changes a register, or one of those, is told this.
async fn fails(stand: &Stand, of_those: &str, code: &str) {
    // What is tried is counted even where it is undone.
    let away = format!(
        "CREATE SEQUENCE tried MINVALUE 0;
         CREATE FUNCTION away() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
             PERFORM nextval('tried'); RAISE EXCEPTION 'not now' USING errcode = '{code}'; END $$;
         SELECT nextval('tried');
         CREATE TRIGGER away BEFORE UPDATE ON register FOR EACH ROW {of_those} EXECUTE FUNCTION away()"
    );
    stand.sql(&away).await;
}

async fn tried(stand: &Stand) -> i64 {
    stand.value("SELECT last_value FROM tried").await.parse().unwrap()
}

/// Vanished and leases, of all that are not built.
const BLAMED: &str =
    "SELECT string_agg(vanished || coalesce(' ' || lease_token, ''), ',') FROM register WHERE state = 'frozen'";

#[tokio::test]
async fn nobody_dies_of_a_register_that_this_version_cannot_read() {
    on_stand(|stand| async move {
        three_registers(&stand).await;
        not_readable(&stand).await;
        for _ in 0..4 {
            stand
                .sql("UPDATE register SET due_at = now() - interval '1 hour' WHERE sequence = 1")
                .await;
            // One at a time: the one that cannot be read comes first, and the next one all the same.
            let lease = Duration::from_secs(60);
            let claimed = claim_builds(&stand.store, lease, 1, 1000).await.unwrap();
            let sequences: Vec<i32> = claimed.iter().map(|build| build.summary.sequence).collect();
            assert!(!sequences.contains(&1));
            stand.builder().build(&claimed).await.unwrap();
        }
        assert_eq!(
            stand.value(BLAMED).await,
            "0",
            "the others are built, and it is nobody's fault"
        );
    })
    .await;
}

#[tokio::test]
async fn a_database_that_goes_away_behind_a_claim_takes_none_of_it_back() {
    on_stand(|stand| async move {
        three_registers(&stand).await;
        not_readable(&stand).await;
        goes_away(&stand, "WHEN (NEW.lease_token IS NULL)").await;
        let claimed = claim_builds(&stand.store, Duration::from_secs(60), 3, 1000)
            .await
            .unwrap();
        let sequences: BTreeSet<i32> = claimed.iter().map(|build| build.summary.sequence).collect();
        assert_eq!(sequences, [2, 3].into(), "they are leased, and somebody has them");
        assert_eq!(tried(&stand).await, 1, "and the first one was not given back");
    })
    .await;
}

#[tokio::test]
async fn a_builder_that_is_ended_does_not_wait_for_a_database_that_is_away() {
    on_stand(|stand| async move {
        three_registers(&stand).await;
        let ending = CancellationToken::new();
        let builder = stand.builder().until(ending.clone());
        let claimed = builder.claim().await.unwrap();
        goes_away(&stand, "").await;
        let end = async {
            wait_for("the builder to wait", PATIENCE, async || {
                (tried(&stand).await > 2).then_some(())
            })
            .await;
            ending.cancel();
            // Far less than the lease, which is what it waits for otherwise.
            Instant::now() + Duration::from_secs(20)
        };
        let build = async { (builder.build(&claimed).await, Instant::now()) };
        let ((built, ended), until) = tokio::join!(build, end);
        assert!(built.unwrap_err().is_retryable());
        assert!(ended < until);
        // Recorded in vain, and one of the three given back in vain: the others would be as well.
        let before = tried(&stand).await;
        builder.build(&claimed).await.unwrap_err();
        assert_eq!(tried(&stand).await - before, 2);
    })
    .await;
}

#[tokio::test]
async fn a_database_that_is_away_for_a_while_is_no_death() {
    on_stand(|stand| async move {
        three_registers(&stand).await;
        let builder = stand.builder();
        let claimed = builder.claim().await.unwrap();
        goes_away(&stand, "").await;
        let back = async {
            wait_for("builders to try again", PATIENCE, async || {
                (tried(&stand).await > 4).then_some(())
            })
            .await;
            stand.sql("DROP TRIGGER away ON register").await;
        };
        let (built, ()) = tokio::join!(builder.build(&claimed), back);
        assert_eq!(built.unwrap(), [Built::Later; 3]);
        assert_eq!(stand.value(BLAMED).await, "0,0,0");
    })
    .await;
}

/// Which row that is.
fn first_of(claimed: &[Build]) -> String {
    format!("WHEN (OLD.sequence = {})", claimed[0].summary.sequence)
}

const GIVEN_BACK: &str = "SELECT count(*) FROM register WHERE lease_token IS NULL AND vanished = 0";

#[tokio::test]
async fn a_row_that_cannot_be_had_keeps_no_other_register_of_its_claim() {
    for code in ["55P03", "40P01", "57014"] {
        on_stand(|stand| async move {
            three_registers(&stand).await;
            // For so long the one is waited for.
            let builder = stand.builder().with_lease(Duration::from_secs(3));
            let claimed = builder.claim().await.unwrap();
            fails(&stand, &first_of(&claimed), code).await;
            assert!(builder.build(&claimed).await.unwrap_err().is_retryable());
            assert_eq!(stand.value(GIVEN_BACK).await, "2", "{code}");
        })
        .await;
    }
}

#[tokio::test]
async fn who_ends_gives_back_what_can_be_and_waits_for_no_row() {
    on_stand(|stand| async move {
        three_registers(&stand).await;
        let ending = CancellationToken::new();
        let builder = stand.builder().until(ending.clone());
        let claimed = builder.claim().await.unwrap();
        fails(&stand, &first_of(&claimed), "55P03").await;
        ending.cancel();
        builder.build(&claimed).await.unwrap_err();
        assert_eq!(stand.value(GIVEN_BACK).await, "2");
    })
    .await;
}
