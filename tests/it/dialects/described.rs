//! What only described payees have: secrets in their requests, statuses with a meaning of their own, sums in the units in which
//! they count.

use serde_json::json;
use testkit::leak;
use testkit::payee::{Behaviour, Payee, Verb};

use super::{Spoken, pay_to};
use crate::cli::{Files, done};
use crate::fixtures::{about, new_id};
use crate::reconciliation::PERIOD;
use crate::unikassa::ONLINE;
use crate::world::{World, refused};

/// A world with the described payee, after something in its description was replaced.
async fn described(asked: bool, more: &str, replaced: &[(&str, &str)]) -> (World, Payee) {
    let world = World::start(&ONLINE).await;
    let payee = Payee::start().await.unwrap();
    let declared = Spoken::Template.declared("isp", &payee, false, asked, more);
    let declared = replaced.iter().fold(declared, |declared, (from, to)| {
        assert!(declared.contains(from), "{from}");
        declared.replace(from, to)
    });
    world.payee(&declared).await;
    (world, payee)
}

/// That it is stored and told nowhere else, the stand looks for when it is dropped.
#[tokio::test]
async fn a_secret_that_a_payee_says_back_is_masked() {
    let (files, secret) = (Files::new(), leak::pin(17));
    let kept = format!("secret = \"file:{}\"", files.write("key", &secret));
    let (world, payee) = described(
        false,
        &kept,
        &[
            (
                "method = \"PUT\"",
                "method = \"PUT\"\nquery = { key = \"{{ secret }}\" }",
            ),
            ("reference = \"/ref\"", "reference = \"/ref\"\ncomment = \"/padding\""),
            ("codes = { fine", "comment = \"/padding\", codes = { fine"),
        ],
    )
    .await;
    let says = |result: &str| {
        let words = format!("unknown key {secret}");
        Behaviour::Answer(json!({"result": result, "padding": words, "provider_reference": secret}))
    };
    payee.script(Verb::Pay, [says("refused")]);
    let mut events = world.listen("payment.refused").await;
    let (id, _) = pay_to(&world, "isp").await;
    let row = world.reaches(&id, "refused").await;
    let (sent, masked) = (&payee.requests_of(Verb::Pay)[0], "unknown key ***");
    assert_eq!(sent.body["key"], secret.as_str(), "the payee itself is told");
    assert!(row.last_error.unwrap().contains(masked));
    let event = events.item("payment.refused", "payment_id", &id).await;
    assert!(event["error"].as_str().unwrap().contains(masked), "{event}");
    let status = world.ask("payment.status", &about("payment_id", &id)).await;
    assert!(status["last_error"].as_str().unwrap().contains(masked), "{status}");
    let answer = "SELECT response FROM attempt WHERE response IS NOT NULL";
    assert!(world.value(answer).await.contains(masked));

    payee.script(Verb::Check, [says("payable")]);
    let check = json!({"payment_id": new_id(), "terminal": "T-0001", "payee": "isp", "account": "17"});
    let answer = world.ask("payment.check", &check).await;
    assert_eq!(answer["display"], masked, "{answer}");
}

/// More often than opens a breaker.
const OFTEN: usize = 7;

#[tokio::test]
async fn a_payee_that_answers_checks_with_a_status_of_its_own_is_not_down() {
    let (world, payee) = described(false, "", &[("http = { 422 =", "http = { 500 =")]).await;
    let check = || json!({"payment_id": new_id(), "terminal": "T-0001", "payee": "isp", "account": "17"});
    payee.script(Verb::Check, vec![Behaviour::DatabaseDown; OFTEN]);
    for _ in 0..OFTEN {
        refused(&world.ask("payment.check", &check()).await, "account_not_found", "");
    }
    // A status that nobody explained is none.
    let mut events = world.listen("payee.down").await;
    payee.script(Verb::Check, vec![Behaviour::status(503); OFTEN]);
    for _ in 0..OFTEN {
        let answer = world.ask("payment.check", &check()).await;
        assert_eq!(answer["outcome"], "unavailable", "{answer}");
    }
    events.item("payee.down", "payee", "isp").await;
}

#[tokio::test]
async fn a_payee_that_counts_in_minor_units_is_reconciled_by_its_list() {
    let (world, _payee) = described(
        true,
        "",
        &[(
            "amount = \"/sum\"\n    credited_at",
            "amount = \"/amount\"\n    amount_as = \"minor\"\n    credited_at",
        )],
    )
    .await;
    let (id, _) = pay_to(&world, "isp").await;
    world.reaches(&id, "delivered").await;
    let reconcile = ["deliveries", "reconcile", "isp"];
    let compared = done(&world, &[&reconcile[..], &PERIOD].concat()).await;
    assert!(compared.stdout.contains("matched: 1,"), "{compared:?}");
}
