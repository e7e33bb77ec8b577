//! What one terminal says about the payments of another.

use serde_json::{Value, json};
use store::parked::{self, Filter};
use unigate::workers::Worker;

use crate::fixtures::{UTILITY, about, new_id, utility_payment};
use crate::world::{World, with};

async fn utility() -> World {
    let world = World::start(&[Worker::Intake]).await;
    world.payee(UTILITY).await;
    world
}

fn by_another(body: Value) -> Value {
    with(body, "terminal", json!("T-0002"))
}

#[tokio::test]
async fn a_terminal_revokes_nothing_of_another_in_advance() {
    let world = utility().await;
    let payment = utility_payment(&new_id());
    let named = about("payment_id", payment["payment_id"].as_str().unwrap());
    let revoke = async |body: &Value| world.tell("payment.revoke", body).await;
    let status = async |body: &Value| world.ask("payment.status", body).await;
    assert_eq!(revoke(&by_another(named.clone())).await["outcome"], "revoked");
    assert_eq!(revoke(&by_another(named.clone())).await["outcome"], "already_revoked");
    assert_eq!(status(&by_another(named.clone())).await["state"], "revoked");
    assert_eq!(status(&named).await["reason"], "unknown_payment", "to its own terminal");
    let wrong = with(payment.clone(), "account", json!("abc"));
    assert_eq!(world.tell("payment.accepted", &wrong).await["reason"], "invalid_field");
    let accepted = world.tell("payment.accepted", &payment).await;
    assert_eq!(accepted["outcome"], "accepted", "{accepted}");
    let again = world.tell("payment.accepted", &payment).await;
    assert_eq!(
        (&again["outcome"], &again["number"]),
        (&json!("already_accepted"), &accepted["number"])
    );
    assert_eq!(status(&named).await["state"], "accepted");
    assert_eq!(status(&by_another(named.clone())).await["reason"], "not_your_terminal");
    assert_eq!(revoke(&by_another(named.clone())).await["reason"], "not_your_terminal");
    assert_eq!(revoke(&named).await["outcome"], "revoked");
}

#[tokio::test]
async fn each_terminals_revocation_in_advance_is_about_its_own_payment() {
    let world = utility().await;
    let payment = utility_payment(&new_id());
    let named = about("payment_id", payment["payment_id"].as_str().unwrap());
    for body in [by_another(named.clone()), named.clone()] {
        for outcome in ["revoked", "already_revoked"] {
            assert_eq!(world.tell("payment.revoke", &body).await["outcome"], outcome);
        }
        assert_eq!(world.ask("payment.status", &body).await["state"], "revoked");
    }
    for body in [&payment, &by_another(payment.clone())] {
        assert_eq!(world.tell("payment.accepted", body).await["reason"], "revoked");
    }
    let third = with(payment, "terminal", json!("T-0003"));
    assert_eq!(world.tell("payment.accepted", &third).await["outcome"], "accepted");
}

#[tokio::test]
async fn what_an_operator_settled_stays_so_whoever_revoked_it_in_advance() {
    let world = utility().await;
    let payment = utility_payment(&new_id());
    let named = about("payment_id", payment["payment_id"].as_str().unwrap());
    world.tell("payment.revoke", &by_another(named)).await;
    let wrong = with(payment.clone(), "account", json!("abc"));
    assert_eq!(world.tell("payment.accepted", &wrong).await["reason"], "invalid_field");
    let rows = parked::list(world.store(), &Filter::default()).await.unwrap();
    let tx = world.store().begin().await.unwrap();
    parked::discard(&tx, rows[0].parked_id, "test", "paid back in cash")
        .await
        .unwrap();
    tx.commit().await.unwrap();
    assert_eq!(
        world.tell("payment.accepted", &payment).await["reason"],
        "settled_by_operator"
    );
}
