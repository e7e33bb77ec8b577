//! Random mixtures of everything a payee may do, from a seed, and the checker at their end.

use futures::future::join_all;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use testkit::payee::{Behaviour, Payee, Repeats, Verb};
use testkit::wait_for;

use super::{Spoken, checks, pay_to};
use crate::fixtures::{LATE, timeout_for};
use crate::unikassa::ONLINE;
use crate::world::{PATIENCE, World};

/// What is played; a failure names its seed.
const SEEDS: [u64; 2] = [20_261_126, 17];
/// Payments to each payee.
const PAYMENTS: usize = 10;

fn behaviour(random: &mut StdRng) -> Behaviour {
    match random.random_range(0..24) {
        0..6 => Behaviour::Accept,
        6 => Behaviour::status(500),
        7 => Behaviour::status(503).after_credit(),
        8 => Behaviour::DatabaseDown,
        9 => Behaviour::DatabaseDown.after_credit(),
        10 => Behaviour::Empty,
        11 => Behaviour::Empty.after_credit(),
        12 => Behaviour::WrongNumber.after_credit(),
        13 => Behaviour::OtherSum,
        14 => Behaviour::WhiteSpace,
        15 => Behaviour::Capitals,
        16 => Behaviour::PlainText,
        17 => Behaviour::Later,
        18 => Behaviour::ResetBeforeRead,
        19 => Behaviour::ResetAfterCredit,
        20 => Behaviour::Refuse("account_closed".to_owned()),
        21 => Behaviour::status(429),
        22 => LATE,
        _ => Behaviour::HangAfterCredit,
    }
}

/// A payee that does what its script says, and what was paid to it.
struct Met {
    seed: u64,
    payee: Payee,
    idempotent: bool,
    paid: Vec<(String, String)>,
}

async fn meet(world: &World, spoken: Spoken, seed: u64) -> Vec<Met> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut met = Vec::new();
    for (at, (idempotent, asked)) in [(true, false), (false, false), (true, true), (false, true)]
        .into_iter()
        .enumerate()
    {
        let payee = Payee::start().await.unwrap();
        payee.set_repeats(match idempotent {
            // Our own protocol has no word for it.
            true if spoken != Spoken::Unikassa && random.random() => Repeats::TurnedDown,
            true => Repeats::Known,
            false => Repeats::Credited,
        });
        payee.script(Verb::Pay, (0..3 * PAYMENTS).map(|_| behaviour(&mut random)));
        let name = format!("payee-{seed}-{at}");
        // Some of its answers come late, or never.
        let more = format!("concurrency = 2\ntimeout_seconds = {}", timeout_for(&LATE));
        let declared = spoken.declared(&name, &payee, idempotent, asked, &more);
        world.payee(&declared).await;
        let paid = join_all((0..PAYMENTS).map(|_| pay_to(world, &name))).await;
        met.push(Met {
            seed,
            payee,
            idempotent,
            paid,
        });
    }
    met
}

pub(crate) async fn run(spoken: Spoken) {
    let world = World::start(&ONLINE).await;
    let mut met = Vec::new();
    for seed in SEEDS {
        met.extend(meet(&world, spoken, seed).await);
    }
    wait_for("everything to come to its end", 2 * PATIENCE, async || {
        let moving = "SELECT count(*) FROM payment
                      WHERE due_at IS NOT NULL OR state IN ('accepted', 'delivering', 'waiting')";
        (world.value(moving).await == "0").then_some(())
    })
    .await;
    for Met {
        seed,
        payee,
        idempotent,
        paid,
    } in &met
    {
        checks::every_difference_is_seen(&world, payee, *idempotent).await;
        let ids: Vec<String> = paid.iter().map(|(id, _)| id.clone()).collect();
        if !idempotent {
            checks::nothing_was_sent_after_a_maybe(&world, &ids).await;
        }
        for (id, number) in paid {
            let row = world.payment(id).await;
            let known = payee.ledger().contains_key(number);
            let seen = known || row.shown_state != "delivered" || !row.flags.is_empty();
            assert!(seen, "seed {seed}: {row:?}");
        }
    }
}
