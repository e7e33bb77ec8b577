//! Card files: good, bad, repeated, and taken over from a worker that died.

mod files;
mod jobs;
mod looks;
mod taken_back;

use std::sync::Arc;

use cards::vault::{self, VaultError};
use cards::{Desk, import};
use serde_json::json;
use store::StoreError;
use store::imports::{self, NewCard};
use testkit::leak::is_in;

use crate::stand::{Stand, id, reserve};

#[tokio::test]
async fn a_file_is_entered_all_or_nothing() {
    let stand = Stand::new().await;
    stand.product("p", json!({})).await;
    let bad = stand
        .import("p", "serial,pin\ns-1,823144000001\n,823144000002\ns-3,823144000003,x\n")
        .await;
    assert!(!bad.entered);
    assert_eq!(
        bad.report
            .refused
            .lines
            .iter()
            .map(|note| note.line)
            .collect::<Vec<_>>(),
        [3, 4]
    );
    assert!(!is_in(format!("{bad:?}").as_bytes()));
    assert_eq!(stand.counts("p").await, [0; 5]);
    let text = "serial,pin,expires_on\ns-2,8231 4400 0001,\ns-1,823144000002,2999-12-31\ns-3,823144000003,2020-01-01\n\
                s-2,823144000009,\ns-9,8231-4400-0002,\n";
    let good = stand.import("p", text).await;
    assert!(good.entered);
    assert_eq!(
        (good.report.rows, good.report.added, good.report.expired.total),
        (5, 2, 1)
    );
    assert_eq!(
        good.report
            .duplicates
            .lines
            .iter()
            .map(|note| note.line)
            .collect::<Vec<_>>(),
        [5, 6]
    );
    assert_eq!(
        stand.one(reserve(id(), "p")).await["card"]["serial"],
        "s-2",
        "sold in the order of the file"
    );
    // The same file again, also for another product.
    stand.product("q", json!({})).await;
    for product in ["p", "q"] {
        let again = stand.import(product, text).await;
        assert!(!again.entered && again.report.refused.lines[0].why.contains("imported before"));
    }
    let stored = imports::find(&stand.store, good.import_id).await.unwrap().unwrap();
    assert_eq!((stored.state.as_str(), stored.added, stored.duplicates), ("done", 2, 2));
    assert!(!is_in(stored.report.unwrap().to_string().as_bytes()));
    for whole in ["", "serial\n1\n", "serial,pin\n", "823144000001,823144000002\n"] {
        let refused = stand.import("p", whole).await;
        assert!(!refused.entered && !is_in(format!("{refused:?}").as_bytes()));
    }
    stand.end().await;
}

#[tokio::test]
async fn a_file_is_taken_over_from_a_worker_that_died() {
    let stand = Stand::new().await;
    stand.product("p", json!({})).await;
    let rows: String = (0..12_000).map(|at| format!("s-{at},823144{at:06}\n")).collect();
    let import_id = stand.submit("p", &format!("serial,pin\n{rows}")).await;
    // A worker that falls silent in the middle: its lease is over, its transaction open, then gone.
    let dead = imports::claim(&stand.store, Some(import_id), 0).await.unwrap().unwrap();
    let tx = stand.store.begin().await.unwrap();
    imports::own(&tx, &dead).await.unwrap();
    imports::begin_staging(&tx).await.unwrap();
    let batch = imports::add_batch(&tx, &dead, 1, b"-").await.unwrap();
    let card = NewCard {
        pos: 1,
        line: 2,
        serial: "s-0".into(),
        sealed: vec![1],
        blind_index: [7; 32],
        older_indexes: vec![],
        expires_on: None,
        public_fields: None,
        face_value: None,
        price: None,
    };
    imports::stage(&tx, &[card]).await.unwrap();
    imports::enter_alone(&tx).await.unwrap();
    imports::drop_duplicates(&tx, &dead.product, 10).await.unwrap();
    assert_eq!(imports::enter_staged(&tx, &dead.product, batch, 1).await.unwrap(), 1);
    tx.rollback().await.unwrap();
    let finished = import::work_one(&stand.store, &stand.vault, None)
        .await
        .unwrap()
        .unwrap();
    assert_eq!((finished.import_id, finished.report.added), (import_id, 12_000));
    // It was only slow: nothing it writes counts any more.
    let late = imports::renew(&stand.store, &dead, 1, None).await;
    assert!(matches!(late, Err(StoreError::Changed(_))));
    let tx = stand.store.begin().await.unwrap();
    assert!(imports::own(&tx, &dead).await.is_err());
    tx.rollback().await.unwrap();
    assert!(
        import::work_one(&stand.store, &stand.vault, None)
            .await
            .unwrap()
            .is_none()
    );
    assert_eq!(stand.counts("p").await, [12_000, 0, 0, 0, 0]);
    stand.end().await;
}

#[tokio::test]
async fn only_its_own_identity_opens_a_vault() {
    let stand = Stand::new().await;
    stand.product("p", json!({})).await;
    stand.stock("p", 1).await;
    let (again, opened) = vault::open(&stand.store, &stand.identity_file).await.unwrap();
    assert_eq!(opened, vault::Opened::Existing);
    let desk = Arc::new(Desk::new(Arc::new(again)));
    assert!(!format!("{desk:?}").contains("AGE-SECRET-KEY"));
    let other = stand.identity_file.with_file_name("other.txt");
    assert!(matches!(
        vault::open(&stand.store, &other).await,
        Err(VaultError::IdentityFile { .. })
    ));
    let stranger = age::x25519::Identity::generate();
    std::fs::write(&other, secrecy::ExposeSecret::expose_secret(&stranger.to_string())).unwrap();
    let mismatch = vault::open(&stand.store, &other).await.unwrap_err();
    assert!(matches!(mismatch, VaultError::Mismatch { .. }));
    assert!(!mismatch.is_retryable() && !mismatch.to_string().contains("SECRET"));
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&stand.identity_file).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    stand.end().await;
}
