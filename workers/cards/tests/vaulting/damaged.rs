//! What in the vault does not open: it is named, costs its own cards and no more, and is wrapped anew by who still can.

use std::sync::Arc;

use age::x25519::Identity;
use cards::vault;
use cards::vault::change::Change;
use cards::vault::verify::{Extent, verify};
use serde_json::json;

use crate::stand::{Stand, id, reprint, reserve, sell};

#[tokio::test]
async fn what_does_not_open_is_named() {
    let stand = Stand::new().await;
    stand.product("p", json!({})).await;
    stand.stock("p", 5).await;
    stand.import("p", "serial,pin\nq-1,823144100001\n").await;
    stand
        .sql(
            "UPDATE card SET sealed = set_byte(sealed, 30, get_byte(sealed, 30) # 1) WHERE serial = 'p-1';
             UPDATE card SET sealed = (SELECT sealed FROM card WHERE serial = 'p-3') WHERE serial = 'p-2';
             UPDATE card_identity SET blind_index = sha256('x') WHERE serial = 'p-4';
             UPDATE card_identity SET index_version = 7 WHERE serial = 'p-5';
             UPDATE card_batch SET wrapped_key = 'x' WHERE batch_id = 2",
        )
        .await;
    let verified = verify(&stand.store, &stand.vault, Extent::All, |_| {}).await.unwrap();
    let named: Vec<_> = verified
        .named
        .iter()
        .map(|one| (one.kind, one.subject.as_str()))
        .collect();
    assert_eq!(named.len(), 6, "{named:?}");
    assert!(named[0].0 == "batch" && named[0].1.starts_with("2 (import "));
    let cards: Vec<&str> = named[1..].iter().map(|(_, subject)| *subject).collect();
    assert_eq!(cards, ["p/p-1", "p/p-2", "p/p-4", "p/p-5", "p/q-1"]);
    assert!(!testkit::leak::is_in(format!("{verified:?}").as_bytes()));
    let some = verify(&stand.store, &stand.vault, Extent::Sample(1000), |_| {})
        .await
        .unwrap();
    assert!((1..=6).contains(&some.cards), "{some:?}");
    // Keys beyond the one that does not open are wrapped all the same.
    let own = stand.identity_file.clone();
    let escrow = Identity::generate().to_public();
    let step = stand
        .change(&own, Change::AddEscrow(escrow))
        .await
        .unwrap()
        .rewrap(&stand.store)
        .await
        .unwrap();
    assert_eq!((step.done, step.unopenable, step.finished), (1, 1, false));
    stand.end().await;
}

#[tokio::test]
async fn a_batch_key_that_does_not_open_stops_neither_its_product_nor_a_rotation() {
    let mut stand = Stand::new().await;
    stand.product("p", json!({})).await;
    stand.stock("p", 5).await;
    stand
        .import("p", "serial,pin\nq-1,823144100001\nq-2,823144100002\n")
        .await;
    let (sold, held) = (id(), id());
    for id in [sold, held] {
        stand.one(reserve(id, "p")).await;
    }
    stand.one(sell(sold)).await;
    let own = stand.identity_file.clone();
    let begun = stand.change(&own, Change::BeginRotation(None)).await.unwrap();
    // A worker that has the new identity alone opens no key yet, and takes nothing for damaged.
    let new = stand.identity_file("new.txt", &[&stand.identities()[1]]);
    let early = vault::open_existing(&stand.store, &new).await.unwrap();
    let tx = stand.store.begin().await.unwrap();
    assert!(early.batch_keys(&tx, &[1].into()).await.is_err());
    tx.rollback().await.unwrap();

    stand
        .sql("UPDATE card_batch SET wrapped_key = 'x' WHERE batch_id = 1")
        .await;
    let fresh = Arc::new(vault::open_existing(&stand.store, &own).await.unwrap());
    stand.sells_by(&fresh).await;
    let serials = "SELECT serial || ' ' || state FROM card ORDER BY pos";
    let found = [
        "p-1 sold",
        "p-2 reserved",
        "p-3 faulty",
        "p-4 available",
        "p-5 available",
        "q-1 reserved",
        "q-2 available",
    ];
    assert_eq!(
        stand.sql(serials).await,
        found,
        "of a file that does not open one card is lost for each that is asked for"
    );
    let answers = [
        stand.one(reprint(sold)).await["reason"].clone(),
        stand.one(reserve(held, "p")).await["reason"].clone(),
    ];
    assert_eq!(answers, ["reprint_over", "out_of_stock"]);
    assert_eq!(stand.sql("SELECT kind FROM card_case").await, ["faulty"]);

    let step = begun.rewrap(&stand.store).await.unwrap();
    assert_eq!((step.done, step.unopenable), (1, 1));
    let finished = stand.change(&own, Change::FinishRotation).await.unwrap();
    let step = finished.rewrap(&stand.store).await.unwrap();
    assert_eq!((step.done, step.unopenable), (1, 1), "it is told of again");
    let alone = Arc::new(vault::open_existing(&stand.store, &new).await.unwrap());
    stand.sells_by(&alone).await;
    let named = stand.verified_by(&new).await.named;
    assert!(
        named[0].kind == "batch" && named[0].why.contains("does not open"),
        "{named:?}"
    );
    stand.end().await;
}

#[tokio::test]
async fn a_batch_key_that_was_damaged_since_it_was_opened_is_wrapped_from_memory() {
    let stand = Stand::new().await;
    stand.product("p", json!({})).await;
    stand.stock("p", 1).await;
    let own = stand.identity_file.clone();
    let worker = stand.change(&own, Change::BeginRotation(None)).await.unwrap();
    let tx = stand.store.begin().await.unwrap();
    assert_eq!(worker.batch_keys(&tx, &[1].into()).await.unwrap().len(), 1);
    tx.commit().await.unwrap();
    let damage = "UPDATE card_batch SET wrapped_key = 'x'";
    stand.sql(damage).await;
    let step = worker.rewrap(&stand.store).await.unwrap();
    assert_eq!((step.done, step.unopenable, step.finished), (1, 0, true));
    assert!(stand.verified_by(&own).await.named.is_empty());
    assert_eq!(worker.mend(&stand.store).await.unwrap().done, 0, "all of them open");

    // Damaged again. A command that changes the vault, and has opened no key, comes first.
    stand.sql(damage).await;
    let command = stand.change(&own, Change::FinishRotation).await.unwrap();
    let step = command.rewrap(&stand.store).await.unwrap();
    assert_eq!((step.done, step.unopenable), (0, 1));
    assert_eq!(command.mend(&stand.store).await.unwrap().unopenable, 1);
    assert!(worker.refresh(&stand.store).await.unwrap());
    assert!(worker.rewrap(&stand.store).await.unwrap().finished);
    let step = worker.mend(&stand.store).await.unwrap();
    assert_eq!((step.done, step.unopenable), (1, 0));
    let new = stand.identity_file("new.txt", &[&stand.identities()[1]]);
    assert!(stand.verified_by(&new).await.named.is_empty());
    stand.end().await;
}

#[tokio::test]
async fn a_batch_key_put_back_from_a_copy_is_wrapped_for_the_new_identity() {
    let mut stand = Stand::new().await;
    stand.product("p", json!({})).await;
    stand.stock("p", 1).await;
    stand
        .sql("CREATE TABLE copy AS SELECT batch_id, wrapped_key FROM card_batch")
        .await;
    let own = stand.identity_file.clone();
    for change in [Change::BeginRotation(None), Change::FinishRotation] {
        let changed = stand.change(&own, change).await.unwrap();
        assert_eq!(changed.rewrap(&stand.store).await.unwrap().done, 1);
    }
    stand
        .sql("UPDATE card_batch b SET wrapped_key = copy.wrapped_key FROM copy WHERE copy.batch_id = b.batch_id")
        .await;
    let new = stand.identity_file("new.txt", &[&stand.identities()[1]]);
    let alone = vault::open_existing(&stand.store, &new).await.unwrap();
    let step = alone.mend(&stand.store).await.unwrap();
    assert_eq!((step.done, step.unopenable), (0, 1));
    let beside = vault::open_existing(&stand.store, &own).await.unwrap();
    assert!(
        beside.rewrap(&stand.store).await.unwrap().finished,
        "it is wrapped for this version, by its row"
    );
    assert_eq!(beside.mend(&stand.store).await.unwrap().done, 1);
    assert!(stand.verified_by(&new).await.named.is_empty());
    stand.sells_by(&Arc::new(alone)).await;
    stand.end().await;
}
