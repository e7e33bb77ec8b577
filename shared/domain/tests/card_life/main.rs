//! The life of a card, proven: every state that terminals, messages, time, two workers, their deaths and an operator can
//! bring about is visited, up to a stated bound, with the rules of `domain::card` deciding. What was seen on the way is
//! held against the table of transitions, and written down for the test that holds the schema against it.

mod commit;
mod model;
mod properties;
mod rows;
mod rules;
mod seen;

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::card::{CardState, ReservationState};
use model::{Bound, Life};
use rules::Rules;
use seen::Seen;
use stateright::{Checker, HasDiscoveries, Model};

/// The bounds that are checked to their ends, with as many different states as each has: another number means that the
/// model, or a rule, has changed what can happen. Three terminals contend for one card; two contend for two cards, of
/// which the payer of a conflict may get the other. Copies of messages, deaths of workers and repetitions have no bound.
const BOUNDS: [(Bound, usize); 2] = [
    (
        Bound {
            cards: 1,
            reservations: 3,
            replacements: 0,
        },
        405_993,
    ),
    (
        Bound {
            cards: 2,
            reservations: 2,
            replacements: 1,
        },
        461_239,
    ),
];

/// Where the wrong rules are found: small, since each is found early.
const SMALL: Bound = Bound {
    cards: 1,
    reservations: 2,
    replacements: 0,
};

/// All pairs of a table.
fn legal<T: Copy>(all: &[T], may_become: fn(T, T) -> bool) -> Vec<(T, T)> {
    let pairs = all.iter().flat_map(|from| all.iter().map(|to| (*from, *to)));
    pairs.filter(|(from, to)| may_become(*from, *to)).collect()
}

#[test]
#[expect(clippy::print_stdout, reason = "how much was looked at is part of the result")]
fn whatever_happens_a_card_has_one_buyer_and_paid_beats_held() {
    let seen = Arc::new(Seen::default());
    for (bound, states) in BOUNDS {
        let life = Life::new(bound, Rules::REAL, seen.clone());
        let checker = life.checker().threads(2).spawn_bfs().join();
        println!(
            "{bound:?}: {} steps lead to {} different states, at most {} steps from the full stock",
            checker.state_count(),
            checker.unique_state_count(),
            checker.max_depth()
        );
        assert!(checker.is_done());
        checker.assert_properties();
        assert_eq!(checker.unique_state_count(), states);
    }
    assert_eq!(seen.card_moves(), legal(&CardState::ALL, CardState::may_become));
    assert_eq!(
        seen.row_moves(),
        legal(&ReservationState::ALL, ReservationState::may_become)
    );
    let reached = seen.to_text();
    assert!(
        reached == include_str!("reached.txt"),
        "reached.txt has to say:\n{reached}"
    );
}

/// Every state of the small bound.
fn small(rules: Rules) -> (impl Checker<Life>, Arc<Seen>) {
    let seen = Arc::new(Seen::default());
    let life = Life::new(SMALL, rules, seen.clone());
    (life.checker().spawn_bfs().join(), seen)
}

#[test]
fn wrong_rules_are_found() {
    for (what, property, rules) in Rules::wrong() {
        let until = HasDiscoveries::AllOf(BTreeSet::from([property]));
        let life = Life::new(SMALL, rules, Arc::default());
        let checker = life.checker().finish_when(until).spawn_bfs().join();
        assert!(checker.discovery(property).is_some(), "not found: {what}");
    }
    // The same bound with the rules in force breaks none of them.
    let (checker, _) = small(Rules::REAL);
    for (_, property, _) in Rules::wrong() {
        assert!(checker.discovery(property).is_none(), "{property}");
    }
}

#[test]
fn a_rule_that_makes_something_impossible_is_found_by_the_table() {
    let expires = |rules| {
        let (_, seen) = small(rules);
        let moves = seen.row_moves();
        moves.iter().any(|(_, to)| *to == ReservationState::Expired)
    };
    assert!(expires(Rules::REAL));
    assert!(!expires(Rules::endless_grace()));
}
