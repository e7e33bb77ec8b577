//! Who can open the vault: rotation, escrow, recovery, and whom it does not let in.

use std::time::Duration;

use age::x25519::Identity;
use cards::vault::change::Change;
use cards::vault::{self, Vault, VaultError};
use serde_json::json;
use std::sync::Arc;

use super::{secret_of, whole};
use crate::stand::Stand;

/// A worker's process, as far as the vault is concerned.
async fn worker(stand: &Stand, name: &str, file: &std::path::PathBuf) -> Arc<Vault> {
    let vault = Arc::new(vault::open_existing(&stand.store, file).await.unwrap());
    says(stand, name, &vault).await;
    vault
}

async fn says(stand: &Stand, name: &str, vault: &Vault) {
    store::vault::seen_holding(&stand.store, name, &vault.held(), vault.version())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_rotation_leaves_every_card_openable_at_every_moment() {
    let mut stand = Stand::new().await;
    stand.product("p", json!({})).await;
    stand.stock("p", 3).await;
    stand
        .import("p", "serial,pin\nq-1,823144100001\nq-2,823144100002\n")
        .await;
    let old = stand.identity_file("old.txt", &[&stand.identities()[0]]);
    let (here, elsewhere) = (
        worker(&stand, "here", &stand.identity_file.clone()).await,
        worker(&stand, "elsewhere", &old).await,
    );

    // Begun, and killed before a single key was wrapped anew.
    let own = stand.identity_file.clone();
    let begun = stand.change(&own, Change::BeginRotation(None)).await.unwrap();
    assert_eq!((begun.version(), stand.identities().len()), (2, 2));
    let again = stand.change(&own, Change::BeginRotation(None)).await.unwrap_err();
    assert!(matches!(again, VaultError::NotNow(_)), "{again}");
    assert_eq!(stand.identities().len(), 2, "nothing is made for what is refused");
    // Workers go on before they have looked, and after; with the old identity alone as well.
    stand.sells_by(&elsewhere).await;
    for vault in [&here, &elsewhere] {
        assert!(vault.refresh(&stand.store).await.unwrap());
        assert_eq!(vault.version(), 2);
        stand.sells_by(vault).await;
    }
    stand.vault = elsewhere.clone();
    stand.import("p", "serial,pin\nr-1,823144200001\n").await;
    // Not before every key is wrapped for it, ...
    let early = stand.change(&own, Change::FinishRotation).await.unwrap_err();
    assert!(early.to_string().contains("not every key"), "{early}");
    let one = store::vault::batches_behind(&stand.store, 2, 0, 1)
        .await
        .unwrap()
        .remove(0);
    assert_eq!(here.rewrap(&stand.store).await.unwrap().done, 2);
    assert!(
        !store::vault::rewrap_batch(&stand.store, &one, 2, b"late")
            .await
            .unwrap(),
        "a slow one overwrites nothing"
    );
    // ... nor before the workers have it.
    says(&stand, "here", &here).await;
    says(&stand, "elsewhere", &elsewhere).await;
    let early = stand.change(&own, Change::FinishRotation).await.unwrap_err();
    let told = early.to_string();
    assert!(told.contains("elsewhere") && !told.contains("here,"), "{told}");
    let new = stand.identity_file("new.txt", &[&stand.identities()[1]]);
    for file in [&old, &new] {
        whole(&stand.verified_by(file).await, (3, 6));
    }
    // It gets it, into its file, without a restart.
    std::fs::copy(&own, &old).unwrap();
    assert!(elsewhere.refresh(&stand.store).await.unwrap());
    says(&stand, "elsewhere", &elsewhere).await;
    let finished = stand.change(&own, Change::FinishRotation).await.unwrap();
    assert_eq!(finished.version(), 3);
    // Killed here: what is wrapped for both still opens with the new one.
    stand.sells_by(&elsewhere).await;
    assert!(elsewhere.refresh(&stand.store).await.unwrap());
    stand.sells_by(&elsewhere).await;
    assert_eq!(elsewhere.rewrap(&stand.store).await.unwrap().done, 3);
    whole(&stand.verified_by(&new).await, (3, 6));

    // The old one opens nothing any more, and is told what is missing.
    let only_old = stand.identity_file("only-old.txt", &[&stand.identities()[0]]);
    let error = vault::open_existing(&stand.store, &only_old).await.unwrap_err();
    assert!(matches!(error, VaultError::Mismatch { version: 3, .. }), "{error}");
    assert!(error.to_string().contains("only-old.txt") && !error.to_string().contains("SECRET"));
    let retired = stand.identities()[0].parse::<Identity>().unwrap().to_public();
    let back = stand
        .change(&own, Change::BeginRotation(Some(retired)))
        .await
        .unwrap_err();
    assert!(back.to_string().contains("was, a recipient"), "{back}");
    assert_eq!(
        stand
            .sql("SELECT count(*) FROM audit WHERE subject_kind = 'vault' AND reason = 'a test'")
            .await,
        ["2"]
    );
    stand.end().await;
}

#[tokio::test]
async fn a_worker_left_behind_goes_on_with_what_it_has_opened_and_refuses_to_enter_cards() {
    let mut stand = Stand::new().await;
    stand.product("p", json!({})).await;
    stand.stock("p", 3).await;
    let old = stand.identity_file("old.txt", &[&stand.identities()[0]]);
    let left = worker(&stand, "left", &old).await;
    stand.sells_by(&left).await;
    let own = stand.identity_file.clone();
    stand.change(&own, Change::BeginRotation(None)).await.unwrap();
    stand.vault.refresh(&stand.store).await.unwrap();
    stand.vault.rewrap(&stand.store).await.unwrap();
    // Its operator took it for dead.
    stand
        .sql("UPDATE vault_holder SET seen_at = seen_at - interval '2 minutes'")
        .await;
    stand.change(&own, Change::FinishRotation).await.unwrap();
    stand.vault.refresh(&stand.store).await.unwrap();
    stand.vault.rewrap(&stand.store).await.unwrap();
    let error = left.refresh(&stand.store).await.unwrap_err();
    assert!(matches!(error, VaultError::Mismatch { .. }), "{error}");
    assert_eq!(left.version(), 1);
    stand.sells_by(&left).await;
    // A key it has not opened before does not open; that passes once it has the identity, and parks nothing.
    stand.import("p", "serial,pin\nq-1,823144100001\n").await;
    let tx = stand.store.begin().await.unwrap();
    let error = left.batch_keys(&tx, &[2].into()).await.unwrap_err();
    assert!(error.is_retryable() && store::StoreError::from(error).is_retryable());
    tx.rollback().await.unwrap();
    let file = stand.submit("p", "serial,pin\nr-1,823144200001\n").await;
    assert!(cards::import::work_one(&stand.store, &left, Some(file)).await.is_err());
    // The file was left to whoever can.
    let done = cards::import::work_one(&stand.store, &stand.vault, Some(file))
        .await
        .unwrap();
    assert_eq!(done.unwrap().report.added, 1);
    stand.end().await;
}

#[tokio::test]
async fn a_rotation_is_taken_back() {
    let stand = Stand::new().await;
    stand.product("p", json!({})).await;
    stand.stock("p", 1).await;
    let own = stand.identity_file.clone();
    let lost = Identity::generate().to_public();
    let begun = stand.change(&own, Change::BeginRotation(Some(lost))).await.unwrap();
    begun.rewrap(&stand.store).await.unwrap();
    let error = stand.change(&own, Change::FinishRotation).await.unwrap_err();
    assert!(error.to_string().contains("is not here"), "{error}");
    let back = stand.change(&own, Change::CancelRotation).await.unwrap();
    back.rewrap(&stand.store).await.unwrap();
    whole(&stand.verified_by(&own).await, (1, 1));
    let error = stand.change(&own, Change::CancelRotation).await.unwrap_err();
    assert!(matches!(error, VaultError::NotNow(_)));
    stand.end().await;
}

#[tokio::test]
async fn what_is_in_escrow_opens_everything_and_recovers_the_vault() {
    let mut stand = Stand::new().await;
    stand.product("p", json!({})).await;
    stand.stock("p", 2).await;
    let escrow = Identity::generate();
    let own = stand.identity_file.clone();
    let added = stand.change(&own, Change::AddEscrow(escrow.to_public())).await.unwrap();
    assert_eq!(added.rewrap(&stand.store).await.unwrap().done, 1);
    let kept = stand.identity_file("escrow.txt", &[&secret_of(&escrow)]);
    whole(&stand.verified_by(&kept).await, (1, 2));
    // It cannot tell who wrote the vault, so nobody works with it by mistake, and nothing is recovered that is not lost.
    let error = vault::open_existing(&stand.store, &kept).await.unwrap_err();
    assert!(matches!(error, VaultError::Unproven { .. }), "{error}");
    let error = stand.change(&own, Change::Recover(None)).await.unwrap_err();
    assert!(error.to_string().contains("nothing is lost"), "{error}");

    std::fs::remove_file(&own).unwrap();
    let recovered = stand.change(&kept, Change::Recover(None)).await.unwrap();
    assert_eq!(recovered.rewrap(&stand.store).await.unwrap().done, 1);
    let text = std::fs::read_to_string(&kept).unwrap();
    let new = text.lines().filter(|line| !line.starts_with('#')).nth(1).unwrap();
    std::fs::write(&own, new).unwrap();
    let vault = Arc::new(vault::open_existing(&stand.store, &own).await.unwrap());
    stand.sells_by(&vault).await;
    for file in [&own, &kept] {
        whole(&stand.verified_by(file).await, (1, 2));
    }
    let removed = stand
        .change(&own, Change::RemoveEscrow(escrow.to_public()))
        .await
        .unwrap();
    removed.rewrap(&stand.store).await.unwrap();
    assert!(
        vault::open_unproven(&stand.store, &kept).await.is_ok(),
        "the new one is beside it there"
    );
    let alone = stand.identity_file("alone.txt", &[&secret_of(&escrow)]);
    let error = vault::open_unproven(&stand.store, &alone).await.unwrap_err();
    assert!(matches!(error, VaultError::Mismatch { .. }), "{error}");
    stand.end().await;
}

#[tokio::test]
async fn who_can_only_write_to_the_database_gets_no_card() {
    let stand = Stand::new().await;
    stand.product("p", json!({})).await;
    stand.stock("p", 1).await;
    let thief = Identity::generate().to_public();
    stand
        .sql(&format!(
            "INSERT INTO vault (version, recipients, escrow, proofs)
             SELECT 2, recipients || '{{{thief}}}', '{{{thief}}}', proofs FROM vault"
        ))
        .await;
    let error = stand.vault.refresh(&stand.store).await.unwrap_err();
    assert!(matches!(error, VaultError::Forged { version: 2 }), "{error}");
    assert_eq!(stand.vault.version(), 1);
    assert!(vault::open_existing(&stand.store, &stand.identity_file).await.is_err());
    let file = stand.submit("p", "serial,pin\nq-1,823144100001\n").await;
    assert!(
        cards::import::work_one(&stand.store, &stand.vault, Some(file))
            .await
            .is_err()
    );
    let step = stand.vault.rewrap(&stand.store).await.unwrap();
    assert_eq!(step.done, 0, "nothing is wrapped for a version that is not open");
    stand.end().await;
}

#[tokio::test]
async fn holders_are_those_that_were_heard_of() {
    let stand = Stand::new().await;
    says(&stand, "a", &stand.vault).await;
    says(&stand, "b", &stand.vault).await;
    stand
        .sql("UPDATE vault_holder SET seen_at = seen_at - interval '2 minutes' WHERE worker = 'a'")
        .await;
    let within = async |seconds| {
        let found = store::vault::holders(&stand.store, Duration::from_secs(seconds))
            .await
            .unwrap();
        found.into_iter().map(|holder| holder.worker).collect::<Vec<_>>()
    };
    assert_eq!(within(60).await, ["b"]);
    assert_eq!(within(600).await, ["a", "b"]);
    says(&stand, "a", &stand.vault).await;
    assert_eq!(within(60).await, ["a", "b"]);
    stand.end().await;
}
