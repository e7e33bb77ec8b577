//! Another index key: no card comes in twice, before, while and after the cards are moved to it.

use std::sync::Arc;

use cards::import;
use cards::vault::change::Change;
use serde_json::json;
use testkit::wait_for;

use super::whole;
use crate::stand::{Stand, id, reserve, sell};

impl Stand {
    /// Moves all cards to the latest index key; returns how many.
    async fn reindex(&self) -> u64 {
        self.vault.refresh(&self.store).await.unwrap();
        let mut moved = 0;
        loop {
            let step = self.vault.reindex_some(&self.store).await.unwrap();
            moved += step.done;
            if step.finished {
                self.vault.rewrap(&self.store).await.unwrap();
                return moved;
            }
        }
    }

    /// Cards by the key they are indexed under.
    async fn indexed(&self) -> Vec<String> {
        self.sql(
            "SELECT index_version || ':' || count(*) FROM card_identity GROUP BY index_version ORDER BY index_version",
        )
        .await
    }
}

#[tokio::test]
async fn cards_are_recognised_under_every_key_they_were_indexed_under() {
    let stand = Stand::new().await;
    stand.product("p", json!({"reprint_days": 0})).await;
    let text = "serial,pin\ns-1,823144000001\ns-2,823144000002\ns-3,823144000003\n";
    stand.import("p", text).await;
    // Sold and shredded: only its old index is left of it.
    let sold = id();
    stand.one(reserve(sold, "p")).await;
    stand.one(sell(sold)).await;
    assert_eq!(
        cards::upkeep::shred(&stand.store, &stand.declared().await)
            .await
            .unwrap(),
        1
    );
    let own = stand.identity_file.clone();
    stand.change(&own, Change::NewIndexKey).await.unwrap();

    let repeats = |round: usize| {
        format!(
            "serial,pin\na{round}-1,8231-4400-0001\na{round}-2,823144000002\na{round}-3,8231 4400 0003\na{round}-4,82314410000{round}\n"
        )
    };
    let nothing_twice = async |round| {
        let report = stand.import("p", &repeats(round)).await.report;
        assert_eq!((report.added, report.duplicates.total), (1, 3), "round {round}");
    };
    // Before any card was moved, and once all were.
    nothing_twice(1).await;
    assert_eq!(stand.indexed().await, ["1:3", "2:1"]);
    let updated = "SELECT max(updated_at) FROM card WHERE serial = 's-2'";
    let before = stand.sql(updated).await;
    assert_eq!(stand.reindex().await, 2);
    assert_eq!(stand.indexed().await, ["1:1", "2:3"], "the shredded one keeps its own");
    assert_eq!(stand.sql(updated).await, before, "by this secrets are shredded");
    nothing_twice(2).await;
    // A third key.
    stand.change(&own, Change::NewIndexKey).await.unwrap();
    nothing_twice(3).await;
    assert_eq!(stand.reindex().await, 4);
    assert_eq!(stand.reindex().await, 0);
    nothing_twice(4).await;
    assert_eq!(stand.indexed().await, ["1:1", "3:6"]);
    whole(&stand.verified_by(&own).await, (5, 6));
    // The file itself is known by the key it came under.
    let again = stand.import("p", text).await;
    assert!(
        again.report.refused.lines[0].why.contains("imported before"),
        "{again:?}"
    );
    stand.end().await;
}

#[tokio::test]
async fn a_key_waits_for_files_being_entered_and_no_later_one_is_indexed_under_the_old() {
    let stand = Stand::new().await;
    stand.product("p", json!({})).await;
    // A file that is being entered holds the vault as it is.
    let tx = stand.store.begin().await.unwrap();
    stand.vault.hold(&tx, 1).await.unwrap();
    let waiting = tokio::spawn({
        let (store, file) = (stand.store.clone(), stand.identity_file.clone());
        async move { cards::vault::change::change(&store, &file, &Change::NewIndexKey, "t", "t").await }
    });
    wait_for("the change to wait", std::time::Duration::from_secs(30), async || {
        let waits = stand
            .sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())")
            .await;
        (waits == ["1"]).then_some(())
    })
    .await;
    assert!(!waiting.is_finished());
    tx.commit().await.unwrap();
    assert_eq!(waiting.await.unwrap().unwrap().version(), 2);
    // This worker has worked out everything under the old key: it may not enter it.
    let tx = stand.store.begin().await.unwrap();
    assert!(stand.vault.hold(&tx, 1).await.unwrap_err().is_retryable());
    tx.rollback().await.unwrap();
    let finished = stand.import("p", "serial,pin\ns-1,823144000001\n").await;
    assert_eq!(finished.report.added, 1);
    assert_eq!(stand.indexed().await, ["2:1"]);
    stand.end().await;
}

#[tokio::test]
async fn files_entered_while_keys_change_and_cards_move_leave_every_card_once() {
    let stand = Arc::new(Stand::new().await);
    for product in ["p", "q"] {
        stand.product(product, json!({})).await;
    }
    let row = |serial: &str, at: usize| format!("{serial}-{at},823144{at:06}\n");
    let file = |serial: &str, from: usize, to: usize| {
        format!(
            "serial,pin\n{}",
            (from..to).map(|at| row(serial, at)).collect::<String>()
        )
    };
    stand.import("p", &file("first", 0, 400)).await;
    // Two products' files with the same cards, over and over, by two workers, while the key is replaced and cards move.
    let files = [("p", 100, 700), ("q", 0, 600), ("p", 300, 900), ("q", 500, 1000)];
    for (at, (product, from, to)) in files.into_iter().enumerate() {
        stand.submit(product, &file(&format!("f{at}"), from, to)).await;
    }
    let enter = async |stand: Arc<Stand>| {
        let vault = cards::vault::open_existing(&stand.store, &stand.identity_file)
            .await
            .unwrap();
        let vault = Arc::new(vault);
        loop {
            match import::work_one(&stand.store, &vault, None).await {
                Ok(None) => {
                    let left = stand
                        .sql("SELECT count(*) FROM card_import WHERE state IN ('waiting', 'working')")
                        .await;
                    if left == ["0"] {
                        break;
                    }
                }
                Ok(Some(finished)) => assert!(finished.entered, "{finished:?}"),
                // The key was replaced between reading and entering: the file is taken up again.
                Err(error) => assert!(error.is_retryable(), "{error}"),
            }
            tokio::task::yield_now().await;
        }
    };
    let turn = async |stand: Arc<Stand>| {
        let vault = cards::vault::open_existing(&stand.store, &stand.identity_file)
            .await
            .unwrap();
        for _ in 0..3 {
            let own = stand.identity_file.clone();
            stand.change(&own, Change::NewIndexKey).await.unwrap();
            vault.refresh(&stand.store).await.unwrap();
            while !vault.reindex_some(&stand.store).await.unwrap().finished {}
        }
    };
    tokio::join!(enter(stand.clone()), enter(stand.clone()), turn(stand.clone()));
    stand.reindex().await;
    assert_eq!(
        stand.indexed().await,
        ["4:1000"],
        "every card once, under the latest key"
    );
    let own = stand.identity_file.clone();
    assert_eq!(stand.verified_by(&own).await.named, []);
    Arc::try_unwrap(stand).ok().unwrap().end().await;
}

#[tokio::test]
async fn a_batch_key_is_forgotten_with_the_secrets_of_its_last_card() {
    let stand = Stand::new().await;
    stand.product("p", json!({"reprint_days": 0})).await;
    stand.stock("p", 2).await;
    stand.import("p", "serial,pin\nq-1,823144100001\n").await;
    let forget = async || store::vault::forget_batch_keys(&stand.store, 1).await.unwrap();
    for _ in 0..2 {
        let sold = id();
        stand.one(reserve(sold, "p")).await;
        stand.one(sell(sold)).await;
        stand
            .sql("UPDATE card_import SET finished_at = finished_at - interval '2 days'")
            .await;
        assert_eq!(forget().await, 0, "a card of it can still be printed, or sold");
    }
    assert_eq!(
        cards::upkeep::shred(&stand.store, &stand.declared().await)
            .await
            .unwrap(),
        2
    );
    assert_eq!(forget().await, 1);
    assert_eq!(forget().await, 0);
    assert_eq!(
        stand
            .sql("SELECT batch_id || ' ' || (wrapped_key IS NULL) FROM card_batch ORDER BY batch_id")
            .await,
        ["1 true", "2 false"]
    );
    let own = stand.identity_file.clone();
    let verified = stand.verified_by(&own).await;
    whole(&verified, (1, 1));
    assert_eq!(verified.forgotten, 1);
    stand.end().await;
}
