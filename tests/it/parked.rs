//! Facts without a home whose payment found one meanwhile.

use serde_json::json;
use store::parked::{self, Filter};
use unigate::workers::Worker;

use crate::fixtures::{UTILITY, new_id, utility_payment};
use crate::world::{World, with};

#[tokio::test]
async fn what_was_parked_and_then_accepted_is_not_discarded() {
    let world = World::start(&[Worker::Intake]).await;
    world.payee(UTILITY).await;
    let undeclared = with(utility_payment(&new_id()), "payee", json!("late"));
    let refused = world.tell("payment.accepted", &undeclared).await;
    assert_eq!(refused["reason"], "unknown_payee");
    world.payee(&UTILITY.replace("gorvodokanal", "late")).await;
    let corrected = utility_payment(&new_id());
    let wrong = with(corrected.clone(), "account", json!("abc"));
    let refused = world.tell("payment.accepted", &wrong).await;
    assert_eq!(refused["reason"], "invalid_field");
    for payment in [&undeclared, &corrected] {
        assert_eq!(world.tell("payment.accepted", payment).await["outcome"], "accepted");
    }
    let rows = parked::list(world.store(), &Filter::default()).await.unwrap();
    assert_eq!(rows.len(), 2);
    for row in rows {
        let tx = world.store().begin().await.unwrap();
        let error = parked::discard(&tx, row.parked_id, "test", "paid back in cash").await;
        assert!(error.unwrap_err().to_string().contains("was accepted"));
    }
}
