//! Cards that were out of stock already when their return was asked for.

use age::x25519::Identity;
use cards::disclosure::Answered;
use domain::card::CardState;
use domain::ids::ProductId;
use serde_json::json;
use store::StoreError;
use uuid::Uuid;

use crate::stand::{Stand, id, release, reserve};

impl Stand {
    async fn listed(&self, id: Uuid) -> Vec<String> {
        let listed = "SELECT serial FROM disclosure_card JOIN card USING (card_id) WHERE disclosure_id = ";
        self.sql(&format!("{listed}'{id}' ORDER BY n")).await
    }
}

#[tokio::test]
async fn cards_withdrawn_before_are_returned_once() {
    let stand = Stand::new().await;
    stand.product("p", json!({})).await;
    stand.stock("p", 5).await;
    // p-1 and p-2 are withdrawn by an operator, the first of them in somebody's hand; p-3 and p-4 run out of date.
    let (held, product) = (id(), ProductId::parse("p").unwrap());
    assert_eq!(stand.one(reserve(held, "p")).await["card"]["serial"], "p-1");
    for serial in ["p-1", "p-2"] {
        store::cards::set_aside(&stand.store, &product, serial, CardState::Withdrawn, "tester", "a test")
            .await
            .unwrap();
    }
    stand
        .sql("UPDATE card SET expires_on = '2020-01-01' WHERE serial IN ('p-3', 'p-4')")
        .await;
    let swept = cards::upkeep::withdraw_expiring(&stand.store, &stand.declared().await).await;
    assert_eq!(swept.unwrap(), 2);
    let withdrawn_at = "SELECT updated_at::text FROM card WHERE serial = 'p-3'";
    let before = stand.sql(withdrawn_at).await;

    let issuer = Identity::generate();
    let past = stand
        .ask_return(&issuer, |wanted| {
            wanted.expiring_before = Some("2021-01-01".parse().unwrap())
        })
        .await
        .unwrap();
    assert_eq!(stand.listed(past.disclosure_id).await, ["p-3", "p-4"]);
    let rest = stand.ask_return(&issuer, |_| {}).await.unwrap();
    assert_eq!(
        stand.listed(rest.disclosure_id).await,
        ["p-2", "p-5"],
        "p-1 is a payer's"
    );
    assert_eq!(stand.answer_all().await, [Answered::Done, Answered::Done]);
    let file = age::decrypt(&issuer, &stand.file(past.disclosure_id).await).unwrap();
    assert_eq!(String::from_utf8(file).unwrap().lines().count(), 3);
    assert_eq!(stand.sql(withdrawn_at).await, before, "it was withdrawn then, not now");
    let audited = "SELECT after->>'cards' || ' ' || (after->>'withdrawn') FROM audit WHERE act = 'cards return'
                   ORDER BY audit_id";
    assert_eq!(stand.sql(audited).await, ["2 0", "2 1"]);

    let more = async |count| stand.ask_return(&issuer, |wanted| wanted.count = Some(count)).await;
    let nothing = more(10).await.unwrap_err();
    assert!(matches!(nothing, StoreError::Changed(_)), "{nothing}");
    assert_eq!(stand.one(release(held)).await["outcome"], "released");
    let last = more(11).await.unwrap();
    assert_eq!(stand.listed(last.disclosure_id).await, ["p-1"]);
    assert_eq!(stand.answer_all().await, [Answered::Done]);
    stand.end().await;
}
