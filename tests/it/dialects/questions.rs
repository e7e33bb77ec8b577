//! What payees are asked besides: what became of a payment, whether one may be made, and what was credited in a period.

use contract::unikassa::List;
use domain::clock::now;
use jiff::ToSpan;
use serde_json::json;
use testkit::payee::{Behaviour, Verb};

use super::{Spoken, accepted, pay_to, spoken_to};
use crate::fixtures::{about, new_id, online_payment};
use crate::world::refused;

pub(crate) async fn asked_what_became(spoken: Spoken) {
    if spoken == Spoken::Osmp {
        // It has no such request; the one that has it describes it.
        return;
    }
    let (world, payee) = spoken_to(spoken, false, true, "").await;
    payee.script(Verb::Pay, [Behaviour::ResetAfterCredit]);
    let (credited, number) = pay_to(&world, "isp").await;
    let row = world.reaches(&credited, "delivered").await;
    assert_eq!((row.maybes, payee.credits(&number)), (1, 1));
    payee.script(Verb::Pay, [Behaviour::ResetBeforeRead]);
    let (lost, number) = pay_to(&world, "isp").await;
    world.reaches(&lost, "failed").await;
    assert_eq!((payee.requests_of(Verb::Pay).len(), payee.credits(&number)), (2, 0));
    assert!(
        payee
            .requests_of(Verb::Status)
            .iter()
            .all(|asked| asked.number().is_some())
    );
    if spoken == Spoken::OsmpForm {
        return;
    }
    let caller = unikassa::Caller::new().unwrap();
    let declarations = world.context.declarations().await.unwrap();
    let declared = declarations.payees["isp"].value.clone();
    let page = List {
        from: now() - 1.hour(),
        to: now() + 1.hour(),
        after: None,
    };
    let listed = unikassa::list(&world.context.store, &caller, &declared, &page)
        .await
        .unwrap();
    let numbers: Vec<_> = listed
        .items
        .iter()
        .map(|item| (item.number.get(), item.amount.minor()))
        .collect();
    assert_eq!(numbers, [(row.number.get(), 50_000)]);
    if spoken == Spoken::Template {
        payee.script(Verb::Pay, [Behaviour::HangAfterCredit]);
        let (id, number) = pay_to(&world, "isp").await;
        world.reaches(&id, "delivering").await;
        let answer = world.tell("payment.revoke", &about("payment_id", &id)).await;
        assert_eq!(answer["outcome"], "revoking", "{answer}");
        world.reaches(&id, "revoked").await;
        assert_eq!(payee.requests_of(Verb::Cancel)[0].number(), Some(number));
    }
}

pub(crate) async fn checks(spoken: Spoken) {
    let (world, payee) = spoken_to(spoken, false, false, "").await;
    let id = new_id();
    let check = |id: &str| json!({"payment_id": id, "terminal": "T-0001", "payee": "isp", "account": "17"});
    let answer = world.ask("payment.check", &check(&id)).await;
    assert_eq!(answer["outcome"], "payable", "{answer}");
    // Asked again, and paid: the number is the same.
    world.ask("payment.check", &check(&id)).await;
    let number = accepted(&world, &online_payment(&id)).await;
    world.reaches(&id, "delivered").await;
    let asked = payee.requests_of(Verb::Check);
    assert_eq!(asked.len(), 2);
    if spoken != Spoken::Unikassa {
        let told: Vec<_> = asked
            .iter()
            .map(|check| check.body["id"].as_str().or(check.body["number"].as_str()))
            .collect();
        assert_eq!(told, [Some(&*number); 2]);
    }
    payee.script(
        Verb::Check,
        [
            Behaviour::Refuse("account_not_found".to_owned()),
            Behaviour::DatabaseDown,
        ],
    );
    refused(
        &world.ask("payment.check", &check(&new_id())).await,
        "account_not_found",
        "",
    );
    let answer = world.ask("payment.check", &check(&new_id())).await;
    assert_eq!(answer["outcome"], "unavailable", "{answer}");
    // One that credits on a check is never asked: its declaration answers.
    payee.set_credits_on_check(true);
    world
        .payee(&spoken.declared("isp", &payee, false, false, "credits_on_check = true"))
        .await;
    let answer = world.ask("payment.check", &check(&new_id())).await;
    assert_eq!(answer["outcome"], "payable", "{answer}");
    assert_eq!((payee.requests_of(Verb::Check).len(), payee.ledger().len()), (4, 1));
}
