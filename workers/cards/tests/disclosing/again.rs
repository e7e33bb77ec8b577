//! A return asked for again: whatever became of it, its cards are not lost.

use age::x25519::Identity;
use cards::disclosure::Answered;
use serde_json::json;
use store::StoreError;
use store::disclosures::{self, Again, Issuer};
use uuid::Uuid;

use crate::stand::{Stand, id, release, reserve, sell};

impl Stand {
    async fn ask_again_for(&self, id: Uuid, to: &Identity) -> Result<bool, StoreError> {
        let recipients = [to.to_public().to_string()];
        let asking = Again {
            issuer: Some(Issuer {
                recipients: &recipients,
                pgp_keys: &[],
            }),
            reason: "another issuer",
            who: "colleague",
        };
        disclosures::ask_again(&self.store, id, &asking).await
    }

    /// Whether the file of this return opens for who has the identity, and has all cards.
    async fn is_for(&self, id: Uuid, issuer: &Identity) -> bool {
        let file = self.file(id).await;
        age::decrypt(issuer, &file).is_ok_and(|text| String::from_utf8(text).unwrap().lines().count() == 4)
    }
}

#[tokio::test]
async fn a_refused_return_is_asked_for_again_with_the_same_cards() {
    let stand = Stand::new().await;
    stand.product("p", json!({})).await;
    stand.stock("p", 3).await;
    let issuer = Identity::generate();
    let asked = stand
        .ask_return(&issuer, |wanted| {
            wanted.pgp_keys = std::slice::from_ref(&wanted.recipients[0])
        })
        .await
        .unwrap();
    assert!(matches!(&stand.answer_all().await[..], [Answered::Refused(_)]));
    // The same words are the same return, now as they should have been.
    let again = stand.ask_return(&issuer, |_| {}).await.unwrap();
    assert!(again.again && again.disclosure_id == asked.disclosure_id);
    assert_eq!(stand.answer_all().await, [Answered::Done]);
    let found = stand.found(asked.disclosure_id).await;
    assert_eq!((found.cards, found.refusal), (3, None));
    assert!(stand.is_for(asked.disclosure_id, &issuer).await);
    stand.end().await;
}

#[tokio::test]
async fn a_return_that_was_cleared_away_before_anybody_came_is_made_again() {
    let stand = Stand::new().await;
    stand.product("p", json!({})).await;
    stand.stock("p", 3).await;
    let issuer = Identity::generate();
    let asked = stand.ask_return(&issuer, |_| {}).await.unwrap().disclosure_id;
    assert_eq!(stand.answer_all().await, [Answered::Done]);
    assert!(!stand.ask_again(asked).await, "its file is there");
    stand
        .sql("UPDATE disclosure SET finished_at = finished_at - interval '31 days'")
        .await;
    disclosures::clear_old(&stand.store, 30).await.unwrap();
    assert!(!stand.is_for(asked, &issuer).await);
    let again = stand.ask_return(&issuer, |_| {}).await.unwrap();
    assert!(again.again && again.disclosure_id == asked);
    assert_eq!(stand.answer_all().await, [Answered::Done]);
    assert!(stand.is_for(asked, &issuer).await);
    stand.end().await;
}

#[tokio::test]
async fn a_return_is_made_again_for_another_issuer() {
    let stand = Stand::new().await;
    stand.product("p", json!({})).await;
    stand.stock("p", 3).await;
    let (first, second, third) = (Identity::generate(), Identity::generate(), Identity::generate());
    let asked = stand.ask_return(&first, |_| {}).await.unwrap().disclosure_id;
    assert!(
        stand.ask_again_for(asked, &second).await.unwrap(),
        "nobody has begun to answer"
    );
    assert_eq!(stand.answer_all().await, [Answered::Done]);
    assert!(stand.is_for(asked, &second).await && !stand.is_for(asked, &first).await);
    assert!(!stand.ask_again_for(asked, &second).await.unwrap(), "it is for them");
    assert!(stand.ask_again_for(asked, &third).await.unwrap());
    assert_eq!(stand.answer_all().await, [Answered::Done]);
    assert!(stand.is_for(asked, &third).await && !stand.is_for(asked, &second).await);
    let told = "SELECT after->'recipients'->>0 FROM audit WHERE act = 'cards return --again' ORDER BY audit_id";
    assert_eq!(
        stand.sql(told).await,
        [second.to_public().to_string(), third.to_public().to_string()]
    );
    stand.end().await;
}

#[tokio::test]
async fn who_had_a_return_made_again_is_named_with_the_reason() {
    let stand = Stand::new().await;
    stand.product("p", json!({})).await;
    stand.stock("p", 3).await;
    let (first, second, third) = (Identity::generate(), Identity::generate(), Identity::generate());
    let asked = stand.ask_return(&first, |_| {}).await.unwrap().disclosure_id;
    assert_eq!(stand.answer_all().await, [Answered::Done]);
    assert!(stand.ask_again_for(asked, &second).await.unwrap());
    // While a worker is at it for the second nobody else is told that it is for him.
    let working = disclosures::claim(&stand.store, 0).await.unwrap().unwrap();
    assert_eq!(
        (working.requested_by.as_str(), working.reason.as_str()),
        ("colleague", "another issuer")
    );
    for id in [asked, id()] {
        let refused = stand.ask_again_for(id, &third).await.unwrap_err();
        assert!(matches!(refused, StoreError::Changed(_)), "{refused}");
    }
    assert_eq!(stand.answer_all().await, [Answered::Done]);
    let told = "SELECT who || ': ' || reason || ': ' || (after->'recipients'->>0) FROM audit
                WHERE act = 'cards return (answered)' ORDER BY audit_id";
    assert_eq!(
        stand.sql(told).await,
        [
            format!("tester: the contract ends: {}", first.to_public()),
            format!("colleague: another issuer: {}", second.to_public())
        ]
    );
    let found = stand.found(asked).await;
    assert_eq!((&*found.requested_by, &*found.reason), ("tester", "the contract ends"));
    let again = (found.again_by.as_deref(), found.again_reason.as_deref());
    assert_eq!(again, (Some("colleague"), Some("another issuer")));
    stand.end().await;
}

#[tokio::test]
async fn a_return_keeps_a_card_that_was_paid_for_after_it_was_withdrawn() {
    let stand = Stand::new().await;
    stand.product("p", json!({})).await;
    stand.stock("p", 3).await;
    let (issuer, paid) = (Identity::generate(), id());
    stand.one(reserve(paid, "p")).await;
    stand.one(release(paid)).await;
    let asked = stand.ask_return(&issuer, |_| {}).await.unwrap().disclosure_id;
    assert_eq!(stand.one(sell(paid)).await["outcome"], "sold");
    assert_eq!(
        stand.answer_all().await,
        [Answered::Done],
        "one of its cards is sold by now"
    );
    assert!(stand.is_for(asked, &issuer).await);
    stand.end().await;
}
