//! Messages of one batch mean what they would have meant one after the other.

use contract::RoutingKey;
use domain::fingerprint::Fingerprint;
use runtime::Outcome;
use runtime::batch::{BatchWorker, Item};
use serde_json::{Value, json};
use store::declarations;
use store::{Store, scratch};
use testkit::stand::Stand;
use uuid::Uuid;

use crate::{declare, payment};

/// A database with a payee.
async fn stand() -> (Stand, Store) {
    let stand = Stand::new().await;
    let store = stand.store();
    declare(&store, "gorvodokanal").await;
    (stand, store)
}

fn item((key, body): &(&str, Value)) -> Item {
    let body = serde_json::to_vec(body).unwrap();
    let message = contract::message::parse(RoutingKey::parse(key).unwrap(), &body).unwrap();
    let fingerprint = message.fingerprint().unwrap_or_else(|| Fingerprint::of_bytes(&body));
    Item {
        message,
        fingerprint,
        traceparent: None,
    }
}

/// Handles messages as one batch and commits it; the outcome of each, and why it was refused.
async fn batch(store: &Store, messages: &[(&str, Value)]) -> Vec<String> {
    let items: Vec<Item> = messages.iter().map(item).collect();
    let items: Vec<&Item> = items.iter().collect();
    let declared = declarations::load(store).await.unwrap();
    let tx = store.begin().await.unwrap();
    let handled = intake::facts().handle(&tx, &declared, &items).await.unwrap();
    tx.commit().await.unwrap();
    let said = |outcome: &Outcome| match outcome {
        Outcome::Answered(reply) => reply.outcome().to_owned(),
        Outcome::Refused(refusal) => refusal.reason.as_str().to_owned(),
        Outcome::Silent => "nothing".to_owned(),
    };
    handled.outcomes.iter().map(said).collect()
}

fn revoke(id: &Uuid) -> (&'static str, Value) {
    ("payment.revoke", json!({"payment_id": id, "terminal": "T-1"}))
}

fn accept(id: &Uuid, amount: i64) -> (&'static str, Value) {
    let mut body = payment(id, "gorvodokanal");
    body["amount"] = json!(amount);
    ("payment.accepted", body)
}

/// What is stored: payments by state, and ids without a payment.
async fn stored(store: &Store) -> String {
    let sql = "SELECT (SELECT coalesce(string_agg(state || ' ' || amount, ', ' ORDER BY amount), '') FROM payment) || '; '
               || (SELECT coalesce(string_agg(disposition, ', '), '') FROM payment_identity WHERE disposition <> 'accepted')";
    scratch::sql(store, sql).await.unwrap()[0][0].clone().unwrap()
}

#[tokio::test]
async fn a_revocation_and_then_its_payment_in_one_batch_leave_it_revoked() {
    let (_stand, store) = stand().await;
    let (id, other) = (Uuid::new_v4(), Uuid::new_v4());
    let messages = [accept(&other, 700), revoke(&id), accept(&id, 500), revoke(&id)];
    assert_eq!(
        batch(&store, &messages).await,
        ["accepted", "revoked", "revoked", "already_revoked"],
        "the payment is refused as revoked"
    );
    assert_eq!(stored(&store).await, "accepted 700; revoked");
}

#[tokio::test]
async fn a_payment_and_then_its_revocation_in_one_batch_leave_it_revoked() {
    let (_stand, store) = stand().await;
    let id = Uuid::new_v4();
    let messages = [accept(&id, 500), revoke(&id), accept(&id, 500)];
    assert_eq!(
        batch(&store, &messages).await,
        ["accepted", "revoked", "already_accepted"]
    );
    assert_eq!(stored(&store).await, "revoked 500; ");
}

#[tokio::test]
async fn of_one_id_with_two_contents_in_one_batch_the_first_stands() {
    let (_stand, store) = stand().await;
    let id = Uuid::new_v4();
    let messages = [accept(&id, 500), accept(&id, 600), accept(&id, 500)];
    assert_eq!(
        batch(&store, &messages).await,
        ["accepted", "payment_id_reused", "already_accepted"]
    );
    assert_eq!(stored(&store).await, "accepted 500; ");
    // And so it stays, also where the payee would not take it any more.
    assert_eq!(
        batch(&store, &[accept(&id, 600), accept(&id, 200_000)]).await,
        ["payment_id_reused", "payment_id_reused"]
    );
}
