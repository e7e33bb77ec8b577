//! A card file as a job: larger than a chunk, watched, cancelled, taken over, and never half done.

use std::time::Duration;

use cards::import::{self, ImportId};
use serde_json::json;
use store::StoreError;
use store::imports;
use tokio_util::sync::CancellationToken;

use crate::stand::Stand;

pub(super) async fn state(stand: &Stand, id: ImportId) -> String {
    imports::find(&stand.store, id).await.unwrap().unwrap().state
}

fn many(count: usize) -> String {
    let rows: String = (0..count)
        .map(|at| format!("s-{at},823144{at:06},{}\n", "x".repeat(40)))
        .collect();
    format!("serial,pin,note\n{rows}")
}

#[tokio::test]
async fn a_file_of_many_chunks_comes_in_whole_and_in_order() {
    let stand = Stand::new().await;
    stand.product("p", json!({})).await;
    let text = many(40_000);
    assert!(text.len() > 2 * imports::CHUNK_BYTES);
    let id = stand.submit("p", &text).await;
    let chunk = imports::chunk(&stand.store, id, 2).await.unwrap().unwrap();
    assert!(
        !chunk.windows(6).any(|window| window == b"823144"),
        "a chunk is in the clear"
    );
    let finished = import::work_one(&stand.store, &stand.vault, Some(id))
        .await
        .unwrap()
        .unwrap();
    assert_eq!((finished.report.rows, finished.report.added), (40_000, 40_000));
    let stored = imports::find(&stand.store, id).await.unwrap().unwrap();
    assert_eq!((stored.rows_done, stored.rows_total), (40_000, Some(40_000)));
    let serials = stand.sql("SELECT serial FROM card ORDER BY pos").await;
    assert!(
        serials.iter().cloned().eq((0..40_000).map(|at| format!("s-{at}"))),
        "sold in another order than the file's"
    );
    stand.end().await;
}

#[tokio::test]
async fn a_cancelled_file_is_forgotten_and_its_worker_enters_nothing() {
    let stand = Stand::new().await;
    stand.product("p", json!({})).await;
    let waiting = stand.submit("p", "serial,pin\ns-1,823144000001\n").await;
    imports::cancel(&stand.store, waiting, "test", "wrong file")
        .await
        .unwrap();
    assert_eq!(state(&stand, waiting).await, "cancelled");
    assert!(imports::chunk(&stand.store, waiting, 0).await.unwrap().is_none());
    let twice = imports::cancel(&stand.store, waiting, "test", "once more")
        .await
        .unwrap_err();
    assert!(
        matches!(&twice, StoreError::Changed(why) if why.contains("is cancelled")),
        "{twice}"
    );
    assert!(
        import::work_one(&stand.store, &stand.vault, Some(waiting))
            .await
            .unwrap()
            .is_none()
    );

    // Taken up, and cancelled while its worker is at it.
    let working = stand.submit("p", &many(30_000)).await;
    let worker = import::work_one(&stand.store, &stand.vault, Some(working));
    let canceller = async {
        testkit_wait(async || state(&stand, working).await == "working").await;
        imports::cancel(&stand.store, working, "test", "wrong file").await
    };
    let (worked, cancelled) = tokio::join!(worker, canceller);
    match cancelled {
        Ok(None) => {
            assert!(worked.unwrap().is_none());
            assert_eq!(stand.counts("p").await, [0; 5]);
            assert_eq!(state(&stand, working).await, "cancelled");
        }
        // It was quicker, and all of it is gone again.
        Ok(Some(gone)) => {
            assert_eq!((gone, stand.counts("p").await), (30_000, [0; 5]));
            assert_eq!(state(&stand, working).await, "taken_back");
        }
        // It was about to be done.
        Err(error) => {
            assert!(matches!(error, StoreError::Changed(_)), "{error}");
            assert_eq!(stand.counts("p").await, [30_000, 0, 0, 0, 0]);
        }
    }

    // While the cards are entered it is too late, and nobody waits to be told so.
    let entering = stand.submit("p", "serial,pin\ns-x,823144999999\n").await;
    let claimed = imports::claim(&stand.store, Some(entering), 30).await.unwrap().unwrap();
    let tx = stand.store.begin().await.unwrap();
    imports::own(&tx, &claimed).await.unwrap();
    let late = imports::cancel(&stand.store, entering, "test", "late")
        .await
        .unwrap_err();
    assert!(late.to_string().contains("too late to cancel"), "{late}");
    tx.rollback().await.unwrap();
    let audit = store::audit::of(&stand.store, "card_import", &waiting.to_string())
        .await
        .unwrap();
    assert!(
        audit
            .iter()
            .any(|act| act.act == "cards cancel-import" && act.reason.as_deref() == Some("wrong file"))
    );
    stand.end().await;
}

/// Looks again and again until it is so; the test runner ends a test that waits for ever.
async fn testkit_wait(holds: impl AsyncFn() -> bool) {
    while !holds().await {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn how_far_a_file_is_can_be_seen_and_a_silent_worker_is_replaced() {
    let stand = Stand::new().await;
    stand.product("p", json!({})).await;
    let id = stand
        .submit("p", "serial,pin\ns-1,823144000001\ns-2,823144000002\n")
        .await;
    let dead = imports::claim(&stand.store, Some(id), 0).await.unwrap().unwrap();
    imports::renew(&stand.store, &dead, 1, Some(2)).await.unwrap();
    let seen = imports::list(&stand.store).await.unwrap().remove(0);
    assert_eq!(
        (seen.state.as_str(), seen.rows_done, seen.rows_total),
        ("working", 1, Some(2))
    );
    let none = import::work_one(&stand.store, &stand.vault, Some(id)).await.unwrap();
    assert!(none.is_none(), "its worker has just said that it is there");
    // It falls silent: the same lease, over at once.
    let tx = stand.store.begin().await.unwrap();
    imports::own(&tx, &dead).await.unwrap();
    tx.rollback().await.unwrap();
    imports::cancel(&stand.store, id, "test", "its worker is gone")
        .await
        .unwrap();
    let late = imports::renew(&stand.store, &dead, 2, Some(2)).await.unwrap_err();
    assert!(late.to_string().contains("cancelled"), "{late}");
    stand.end().await;
}

#[tokio::test]
async fn a_file_whose_worker_died_three_times_is_given_up_and_people_are_told() {
    let stand = Stand::new().await;
    stand.product("p", json!({})).await;
    let deadly = stand.submit("p", "serial,pin\ns-1,823144000001\n").await;
    let behind = stand.submit("p", "serial,pin\ns-2,823144000002\n").await;
    let claim = async || imports::claim(&stand.store, Some(deadly), 0).await.unwrap();
    let work = async |only| import::work_one(&stand.store, &stand.vault, only).await.unwrap();
    // One that gives it back has not died of it.
    for _ in 0..4 {
        let living = claim().await.unwrap();
        imports::give_back(&stand.store, &living).await.unwrap();
    }
    for _ in 0..3 {
        assert!(claim().await.is_some());
    }
    assert!(claim().await.is_none(), "a fourth one would die as well");
    let finished = work(None).await.unwrap();
    assert_eq!(
        (finished.import_id, finished.report.added),
        (behind, 1),
        "who waited behind it"
    );
    let refused = imports::find(&stand.store, deadly).await.unwrap().unwrap();
    assert_eq!(refused.state, "refused");
    let report = refused.report.unwrap();
    assert_eq!(report["refused"]["lines"][0]["why"], "its worker died three times");
    assert_eq!(imports::chunk(&stand.store, deadly, 0).await.unwrap(), None);
    assert_eq!(
        stand.sql("SELECT title FROM notice").await,
        ["A card file of p was refused: its worker died three times"]
    );
    // Handed in again it is tried again.
    let again = stand.import("p", "serial,pin\ns-1,823144000001\n").await;
    assert!(again.entered, "{again:?}");
    stand.end().await;
}

/// However often, a file is not given up for it; nor does the next worker wait for a lease.
#[tokio::test]
async fn a_worker_that_is_told_to_end_gives_its_file_back_and_has_not_died_of_it() {
    let stand = Stand::new().await;
    stand.product("p", json!({})).await;
    let file = stand.submit("p", "serial,pin\ns-1,823144000001\n").await;
    for _ in 0..4 {
        let stop = import::Stop {
            shutdown: CancellationToken::new(),
            patience: Duration::ZERO,
        };
        // It has read the file, and waits to enter it.
        let gate = stand.store.begin().await.unwrap();
        imports::enter_alone(&gate).await.unwrap();
        let end = async {
            stand
                .until(
                    "SELECT count(*) = 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
                        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
                )
                .await;
            stop.shutdown.cancel();
        };
        let keys = import::Keys::default();
        let work = import::work_one_with(&stand.store, &stand.vault, &keys, Some(file), &stop);
        let (finished, ()) = tokio::join!(work, end);
        assert!(finished.unwrap().is_none());
        gate.commit().await.unwrap();
        let left = "SELECT concat_ws(' ', state, attempts, lease_token, lease_until) FROM card_import";
        assert_eq!(stand.sql(left).await, ["waiting 0"]);
    }
    let finished = import::work_one(&stand.store, &stand.vault, None)
        .await
        .unwrap()
        .unwrap();
    assert!(finished.entered && finished.report.added == 1, "{finished:?}");
    stand.end().await;
}

#[tokio::test]
async fn two_files_with_the_same_cards_at_once_enter_each_card_once() {
    let stand = Stand::new().await;
    stand.product("p", json!({})).await;
    stand.product("q", json!({})).await;
    let rows: String = (0..3_000).map(|at| format!("s-{at},823144{at:06}\n")).collect();
    let first = stand.submit("p", &format!("serial,pin\n{rows}")).await;
    let second = stand.submit("q", &format!("serial,pin\n\n{rows}")).await;
    let (first, second) = tokio::join!(
        import::work_one(&stand.store, &stand.vault, Some(first)),
        import::work_one(&stand.store, &stand.vault, Some(second)),
    );
    let (first, second) = (first.unwrap().unwrap().report, second.unwrap().unwrap().report);
    assert_eq!(first.added + second.added, 3_000);
    assert_eq!(first.duplicates.total + second.duplicates.total, 3_000);
    assert_eq!(first.duplicates.lines.len() + second.duplicates.lines.len(), 1_000);
    stand.end().await;
}

#[tokio::test]
async fn the_same_file_for_two_products_at_once_is_entered_for_one_and_refused_in_words() {
    let stand = Stand::new().await;
    stand.product("p", json!({})).await;
    stand.product("q", json!({})).await;
    let text = "serial,pin\ns-1,823144000001\ns-2,823144000002\n";
    let (first, second) = (stand.submit("p", text).await, stand.submit("q", text).await);
    // Both have looked whether it was entered before, and wait to enter it.
    let gate = stand.store.begin().await.unwrap();
    imports::enter_alone(&gate).await.unwrap();
    let open = async {
        stand
            .until(
                "SELECT count(*) = 2 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
                    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
            )
            .await;
        gate.commit().await.unwrap();
    };
    let (first, second, ()) = tokio::join!(
        import::work_one(&stand.store, &stand.vault, Some(first)),
        import::work_one(&stand.store, &stand.vault, Some(second)),
        open,
    );
    let (first, second) = (first.unwrap().unwrap(), second.unwrap().unwrap());
    let (entered, refused) = if first.entered {
        (first, second)
    } else {
        (second, first)
    };
    assert!(entered.entered && !refused.entered);
    assert_eq!(entered.report.added, 2);
    let why = serde_json::to_string(&refused.report).unwrap();
    assert!(
        why.contains(&format!("this file was imported before: {}", entered.import_id)),
        "{why}"
    );
    stand.end().await;
}

#[tokio::test]
async fn a_file_without_a_good_row_is_refused_whatever_was_asked_for() {
    let stand = Stand::new().await;
    stand.product("p", json!({})).await;
    let good_rows = imports::Options {
        good_rows: true,
        ..Default::default()
    };
    let (bad, past) = (",823144000001,\n", "s-2,823144000002,2020-01-01\n");
    for (rows, entered) in [
        (bad.to_owned(), false),
        (format!("{bad}{past}"), false),
        (past.to_owned(), true),
        (format!("{bad}s-3,823144000003,\n"), true),
    ] {
        let text = format!("serial,pin,expires_on\n{rows}");
        let finished = super::files::import_as(&stand, text.into_bytes(), good_rows).await;
        assert_eq!(finished.entered, entered, "{:?}", finished.report);
    }
    assert_eq!(stand.counts("p").await, [1, 0, 0, 0, 0]);
    stand.end().await;
}

#[tokio::test]
async fn a_file_sealed_to_an_identity_that_is_gone_says_so() {
    let stand = Stand::new().await;
    stand.product("p", json!({})).await;
    let (gone, product) = (
        age::x25519::Identity::generate().to_public(),
        domain::ids::ProductId::parse("p").unwrap(),
    );
    let text = b"serial,pin\ns-1,823144000001\n";
    let id = import::submit(&stand.store, &[gone], &product, "cards.csv", text, "test")
        .await
        .unwrap();
    let finished = import::work_one(&stand.store, &stand.vault, Some(id)).await.unwrap();
    let why = serde_json::to_string(&finished.unwrap().report).unwrap();
    assert!(why.contains("hand it in again"), "{why}");
    stand.end().await;
}
