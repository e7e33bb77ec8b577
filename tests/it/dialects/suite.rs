//! The single misbehaviours, one payee for each.

use serde_json::json;
use std::time::Duration;
use testkit::payee::{Behaviour, Payee, Repeats, Verb};

use super::{Spoken, accepted, checks, pay_to, spoken_to};
use crate::fixtures::{LATE, new_id, online_payment, timeout_for};
use crate::unikassa::ONLINE;
use crate::world::{World, with};

pub(crate) async fn arrives_whole(spoken: Spoken) {
    let (world, payee) = spoken_to(spoken, false, false, "").await;
    let account = "a b&sum=1+2%2F\"'<ж>;\\";
    let id = new_id();
    let number = accepted(&world, &with(online_payment(&id), "account", json!(account))).await;
    let row = world.reaches(&id, "delivered").await;
    assert_eq!((row.attempts, row.flags.len(), row.last_error), (1, 0, None));
    assert_eq!(row.provider_reference.unwrap(), format!("scripted-{number}"));
    let ledger = payee.ledger();
    assert_eq!(
        (ledger.len(), ledger[&number].credits, ledger[&number].amount()),
        (1, 1, 50_000)
    );
    assert_eq!(ledger[&number].text("account"), Some(account));
    if spoken == Spoken::OsmpForm {
        payee.script(Verb::Pay, [Behaviour::WhiteSpace, Behaviour::Capitals]);
        for _ in 0..2 {
            let (id, _) = pay_to(&world, "isp").await;
            world.reaches(&id, "delivered").await;
        }
    }
}

/// What is no answer, and whether the payee carried it out.
fn no_answers(spoken: Spoken) -> Vec<(Behaviour, bool)> {
    let spoilt = [
        Behaviour::status(500),
        Behaviour::DatabaseDown,
        Behaviour::Empty,
        Behaviour::NotJson,
        Behaviour::Huge,
        Behaviour::WrongNumber,
        Behaviour::UnknownResult,
    ];
    let mut all: Vec<_> = spoilt.iter().map(|spoilt| (spoilt.clone(), false)).collect();
    all.extend(spoilt.into_iter().map(|spoilt| (spoilt.after_credit(), true)));
    all.extend([
        (Behaviour::Hang, false),
        (Behaviour::HangAfterCredit, true),
        (Behaviour::ResetBeforeRead, false),
        (Behaviour::ResetAfterCredit, true),
        // Answered, but after our timeout.
        (LATE, true),
        (Behaviour::PlainText, true),
    ]);
    if spoken == Spoken::Osmp {
        all.extend([(Behaviour::WhiteSpace, true), (Behaviour::Capitals, true)]);
    }
    all
}

/// A payee and a payment for each way not to answer.
async fn meet(world: &World, spoken: Spoken, idempotent: bool) -> Vec<(Payee, String, String, Behaviour, bool)> {
    let mut met = Vec::new();
    for (at, (behaviour, carried_out)) in no_answers(spoken).into_iter().enumerate() {
        let payee = Payee::start().await.unwrap();
        payee.script(Verb::Pay, [behaviour.clone()]);
        payee.set_idempotent(idempotent);
        let name = format!("payee-{at}");
        let more = format!("timeout_seconds = {}", timeout_for(&behaviour));
        world
            .payee(&spoken.declared(&name, &payee, idempotent, false, &more))
            .await;
        let (id, number) = pay_to(world, &name).await;
        met.push((payee, id, number, behaviour, carried_out));
    }
    met
}

pub(crate) async fn repeated_where_that_is_safe(spoken: Spoken) {
    let world = World::start(&ONLINE).await;
    for (payee, id, number, behaviour, _) in meet(&world, spoken, true).await {
        let row = world.reaches(&id, "delivered").await;
        assert_eq!((row.maybes, row.attempts), (1, 2), "{behaviour:?}: {row:?}");
        assert_eq!(payee.credits(&number), 1, "{behaviour:?}");
        let pays = payee.requests_of(Verb::Pay);
        let numbers: Vec<_> = pays
            .iter()
            .filter(|pay| !pay.body.is_null())
            .map(|pay| pay.number())
            .collect();
        assert!(
            numbers.iter().flatten().all(|sent| *sent == number),
            "{behaviour:?}: {numbers:?}"
        );
        assert_eq!(pays.len(), 2, "{behaviour:?}");
        checks::every_difference_is_seen(&world, &payee, true).await;
    }
}

pub(crate) async fn unknown_where_it_is_not(spoken: Spoken) {
    let world = World::start(&ONLINE).await;
    for (payee, id, number, behaviour, carried_out) in meet(&world, spoken, false).await {
        let row = world.reaches(&id, "unknown").await;
        assert_eq!((row.attempts, row.due_at), (1, None), "{behaviour:?}: {row:?}");
        assert_eq!(payee.requests_of(Verb::Pay).len(), 1, "{behaviour:?}");
        assert_eq!(payee.credits(&number), u32::from(carried_out), "{behaviour:?}");
    }
}

pub(crate) async fn credited_before(spoken: Spoken) {
    let (world, payee) = spoken_to(spoken, true, false, "").await;
    // The answer to the first is lost; the second is turned down as a duplicate (or known).
    let known = spoken == Spoken::Unikassa;
    payee.set_repeats(if known { Repeats::Known } else { Repeats::TurnedDown });
    payee.script(Verb::Pay, [Behaviour::ResetAfterCredit]);
    let (id, number) = pay_to(&world, "isp").await;
    let row = world.reaches(&id, "delivered").await;
    assert_eq!(
        (row.attempts, row.flags.len(), payee.credits(&number)),
        (2, 0, 1),
        "{row:?}"
    );
    // Known before we ever sent it: also when calls that never left us came first.
    let word = if known { "already_accepted" } else { "duplicate" };
    payee.script(Verb::Pay, [Behaviour::Answer(json!({ "result": word }))]);
    payee.down().await;
    let (id, _) = pay_to(&world, "isp").await;
    world.reaches(&id, "waiting").await;
    payee.up().unwrap();
    let row = world.reaches(&id, "delivered").await;
    assert_eq!(row.flags, ["already_on_first_attempt"]);
    assert!(row.attempts >= 2 && row.last_error.is_some(), "{row:?}");
}

pub(crate) async fn wrong_echoes(spoken: Spoken) {
    let (world, payee) = spoken_to(spoken, false, false, "").await;
    payee.script(Verb::Pay, [Behaviour::WrongNumber.after_credit(), Behaviour::OtherSum]);
    let (id, number) = pay_to(&world, "isp").await;
    let row = world.reaches(&id, "unknown").await;
    assert_eq!(
        (row.flags, payee.credits(&number)),
        (vec!["echoed_number_differs".to_owned()], 1)
    );
    let (id, number) = pay_to(&world, "isp").await;
    let row = world.reaches(&id, "delivered").await;
    assert_eq!(payee.credits(&number), 1);
    if spoken.echoes_sums() {
        assert_eq!(row.flags, ["echoed_amount_differs"]);
        assert!(
            row.last_error.unwrap().contains("500.01"),
            "the operator sees what it said"
        );
        assert_eq!(row.amount, 50_000, "and nothing is changed by it");
    }
}

pub(crate) async fn no_and_later(spoken: Spoken) {
    let (world, payee) = spoken_to(spoken, false, false, "").await;
    payee.script(Verb::Pay, [Behaviour::Refuse("account_closed".to_owned())]);
    let (id, number) = pay_to(&world, "isp").await;
    let row = world.reaches(&id, "refused").await;
    assert_eq!((row.attempts, payee.credits(&number), row.due_at), (1, 0, None));
    if spoken == Spoken::Unikassa {
        // It has no such word.
        return;
    }
    payee.script(Verb::Pay, [Behaviour::Later]);
    let (id, number) = pay_to(&world, "isp").await;
    let row = world.reaches(&id, "delivered").await;
    assert_eq!((row.attempts, row.maybes, payee.credits(&number)), (2, 0, 1), "{row:?}");
}

pub(crate) async fn one_at_a_time(spoken: Spoken) {
    let more = if spoken == Spoken::Unikassa {
        "concurrency = 1"
    } else {
        ""
    };
    let (world, payee) = spoken_to(spoken, false, false, more).await;
    payee.set_doubles_at_once(true);
    payee.always(Verb::Pay, Behaviour::Delay(Duration::from_millis(30)));
    let paid = futures::future::join_all((0..12).map(|_| pay_to(&world, "isp"))).await;
    for (id, number) in &paid {
        world.reaches(id, "delivered").await;
        assert_eq!(payee.credits(number), 1);
    }
    assert_eq!(payee.most_at_once(), 1);
}
