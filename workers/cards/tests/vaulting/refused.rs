//! Changes of the vault that would leave somebody without it are refused, and leave it as it was.

use std::sync::Arc;

use age::x25519::Identity;
use cards::import;
use cards::vault::change::Change;
use cards::vault::{self, VaultError};
use serde_json::json;

use super::secret_of;
use crate::stand::Stand;

#[tokio::test]
async fn a_version_that_no_worker_would_open_is_not_made() {
    let stand = Stand::new().await;
    let (escrow, new) = (Identity::generate(), Identity::generate());
    let own = stand.identity_file.clone();
    stand.change(&own, Change::AddEscrow(escrow.to_public())).await.unwrap();
    let kept = stand.identity_file("escrow.txt", &[&secret_of(&escrow)]);
    // Recovered to an identity that is elsewhere: only what is in escrow could prove it.
    let recover = Change::Recover(Some(new.to_public()));
    let refused = stand.change(&kept, recover.clone()).await.unwrap_err();
    assert!(
        matches!(&refused, VaultError::NotNow(why) if why.contains("no identity of the workers")),
        "{refused}"
    );
    assert!(vault::open_existing(&stand.store, &own).await.is_ok());
    // With that identity here it goes.
    let both = stand.identity_file("both.txt", &[&secret_of(&escrow), &secret_of(&new)]);
    stand.change(&both, recover).await.unwrap();
    let there = stand.identity_file("new.txt", &[&secret_of(&new)]);
    assert!(vault::open_existing(&stand.store, &there).await.is_ok());
    stand.end().await;
}

#[tokio::test]
async fn a_rotation_is_taken_back_only_where_the_old_identity_is() {
    let stand = Stand::new().await;
    let own = stand.identity_file.clone();
    stand.change(&own, Change::BeginRotation(None)).await.unwrap();
    let new = stand.identity_file("new.txt", &[&stand.identities()[1]]);
    let refused = stand.change(&new, Change::CancelRotation).await.unwrap_err();
    assert!(
        matches!(&refused, VaultError::NotNow(why) if why.contains("no identity of the workers")),
        "{refused}"
    );
    for file in [&own, &new] {
        assert_eq!(vault::open_existing(&stand.store, file).await.unwrap().version(), 2);
    }
    assert_eq!(stand.change(&own, Change::CancelRotation).await.unwrap().version(), 3);
    stand.end().await;
}

#[tokio::test]
async fn a_rotation_waits_for_files_sealed_to_the_old_identity() {
    let stand = Stand::new().await;
    stand.product("p", json!({})).await;
    let own = stand.identity_file.clone();
    let waiting = stand.submit("p", "serial,pin\ns-1,823144000001\n").await;
    stand.change(&own, Change::BeginRotation(None)).await.unwrap();
    let early = stand.change(&own, Change::FinishRotation).await.unwrap_err();
    assert!(
        matches!(&early, VaultError::NotNow(why) if why.contains("card files wait")),
        "{early}"
    );
    let entered = cards::import::work_one(&stand.store, &stand.vault, Some(waiting)).await;
    assert_eq!(entered.unwrap().unwrap().report.added, 1);
    let finished = stand.change(&own, Change::FinishRotation).await.unwrap();
    assert_eq!(finished.version(), 3);
    stand.end().await;
}

/// A copy that was put back, or somebody who can write to the database, would else have cards sealed to an identity that has left.
#[tokio::test]
async fn an_earlier_version_is_opened_by_a_new_process_alone() {
    let stand = Stand::new().await;
    stand.product("p", json!({})).await;
    let own = stand.identity_file.clone();
    stand.sql("CREATE TABLE kept AS TABLE vault_index_key").await;
    let escrow = Identity::generate().to_public();
    stand.change(&own, Change::AddEscrow(escrow)).await.unwrap();
    assert!(stand.vault.refresh(&stand.store).await.unwrap());
    stand
        .sql(
            "DELETE FROM vault_index_key; DELETE FROM vault WHERE version = 2;
             INSERT INTO vault_index_key SELECT * FROM kept",
        )
        .await;
    let error = stand.vault.refresh(&stand.store).await.unwrap_err();
    assert!(matches!(error, VaultError::Backwards { own: 2, latest: 1 }), "{error}");
    assert_eq!(stand.vault.version(), 2);
    // Nothing comes in meanwhile, and nothing is refused for it.
    let file = stand.submit("p", "serial,pin\ns-1,823144000001\n").await;
    let error = import::work_one(&stand.store, &stand.vault, Some(file))
        .await
        .unwrap_err();
    assert!(error.is_retryable(), "{error}");
    let anew = Arc::new(vault::open_existing(&stand.store, &own).await.unwrap());
    assert_eq!(anew.version(), 1);
    let done = import::work_one(&stand.store, &anew, Some(file)).await.unwrap();
    assert_eq!(done.unwrap().report.added, 1);
    stand.end().await;
}
