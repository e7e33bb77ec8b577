//! The schema against the model of a card's life: what the model's run has reached PostgreSQL takes, and what it has not
//! PostgreSQL refuses. The few combinations of rows that no constraint can tell are found by `store::invariants`.

use std::collections::BTreeSet;

use domain::card::{CardState, ReservationState};
use store::{Store, invariants, scratch};
use testkit::stand::Stand;

/// Written by the model's own test; it fails there when this is not what the model reaches.
const REACHED: &str = include_str!("../../shared/domain/tests/card_life/reached.txt");

const ENDED_BY: [&str; 6] = ["-", "sale", "release", "grace", "superseded", "replacement"];
/// The card that reservations are about here.
const CARD: &str = "(SELECT card_id FROM card WHERE serial = 'one')";

/// A database with a product, a file and one card.
async fn shop() -> (Stand, Store) {
    let stand = Stand::new().await;
    let store = stand.store();
    let begin = "
        INSERT INTO product (product_id, version, declaration) VALUES ('p', 1, '{}');
        INSERT INTO vault (version, recipients) VALUES (1, '{age1}');
        INSERT INTO card_import (import_id, product_id, file_name, requested_by)
             VALUES (gen_random_uuid(), 'p', 'f', 'test');
        INSERT INTO card_batch (product_id, import_id, vault_version, wrapped_key)
             SELECT 'p', import_id, 1, '' FROM card_import;";
    scratch::sql(&store, begin).await.unwrap();
    scratch::sql(&store, &card("one", "available", false, false, "fresh"))
        .await
        .unwrap();
    (stand, store)
}

fn card(serial: &str, state: &str, owner: bool, shown: bool, pool: &str) -> String {
    let owner = if owner { "gen_random_uuid()" } else { "NULL" };
    format!(
        "INSERT INTO card (product_id, pos, batch_id, serial, sealed, state, reservation_id, exposed, pool)
         SELECT 'p', count(*), (SELECT batch_id FROM card_batch), '{serial}', '', '{state}', {owner},
                {shown}, '{pool}' FROM card"
    )
}

fn reservation(state: &str, card: bool, sale: bool, ended_by: &str) -> String {
    let terms = if card {
        format!("{CARD}, 'p', '\\x00', now(), now(), 1, 1, 'RUB'")
    } else {
        ["NULL"; 8].join(", ")
    };
    let told = if sale {
        "'\\x00', now(), 1, false, 0"
    } else {
        "NULL, NULL, NULL, NULL, NULL"
    };
    let ended = if ended_by == "-" {
        "NULL, NULL".to_owned()
    } else {
        format!("now(), '{ended_by}'")
    };
    format!(
        "INSERT INTO reservation (reservation_id, terminal_id, state, card_id, product_id, fingerprint, held_until,
             grace_until, price, face_value, currency, sale_fingerprint, paid_at, amount, late, surplus, ended_at, ended_by)
         VALUES (gen_random_uuid(), 'T-1', '{state}', {terms}, {told}, {ended})"
    )
}

/// Whether PostgreSQL takes it. An error that is not about a constraint is a mistake of the test.
async fn takes(store: &Store, sql: &str) -> bool {
    let Err(error) = scratch::sql(store, sql).await else {
        return true;
    };
    let said = format!("{error:?}");
    assert!(said.contains("violates"), "{said}: {sql}");
    false
}

/// The combinations of a kind that the model's run has written down.
fn reached(kind: &str) -> BTreeSet<String> {
    let lines = REACHED.lines().filter_map(|line| line.strip_prefix(kind));
    let found: BTreeSet<String> = lines.map(|rest| rest.trim().to_owned()).collect();
    assert!(found.len() > 5, "{found:?}");
    found
}

fn said(is: bool, word: &'static str) -> &'static str {
    if is { word } else { "-" }
}

#[tokio::test]
async fn the_schema_takes_what_the_model_reaches_and_refuses_the_rest() {
    let (_stand, store) = shop().await;
    let reached = reached("reservation ");
    let mut taken = BTreeSet::new();
    for state in ReservationState::ALL.map(ReservationState::as_str) {
        for (card, sale) in [(false, false), (false, true), (true, false), (true, true)] {
            for ended_by in ENDED_BY {
                if takes(&store, &reservation(state, card, sale, ended_by)).await {
                    taken.insert(format!(
                        "{state} {} {} {ended_by}",
                        said(card, "card"),
                        said(sale, "sale")
                    ));
                    scratch::sql(&store, "DELETE FROM reservation").await.unwrap();
                }
            }
        }
    }
    assert_eq!(taken, reached);
}

#[tokio::test]
async fn the_schema_takes_cards_as_the_model_has_them_and_no_others() {
    let (_stand, store) = shop().await;
    let reached = reached("card ");
    let mut taken = BTreeSet::new();
    for state in CardState::ALL.map(CardState::as_str) {
        for (owner, shown) in [(false, false), (false, true), (true, false), (true, true)] {
            for pool in ["fresh", "returned"] {
                if takes(&store, &card("two", state, owner, shown, pool)).await {
                    taken.insert(format!("{state} {} {}", said(owner, "owner"), said(shown, "shown")));
                    // In stock, what was seen is in the second pool and nothing else is.
                    assert!(
                        state != "available" || shown == (pool == "returned"),
                        "{state} {shown} {pool}"
                    );
                    scratch::sql(&store, "DELETE FROM card WHERE serial = 'two'")
                        .await
                        .unwrap();
                }
            }
        }
    }
    assert_eq!(taken, reached);
}

#[tokio::test]
async fn the_schema_lets_rows_move_as_the_model_does_and_refuses_the_rest() {
    let (_stand, store) = shop().await;
    let mut wrong = Vec::new();
    let mut hold = |allowed: bool, taken: bool, what: String| {
        if allowed != taken {
            wrong.push(format!("{what}: {}", if taken { "taken" } else { "refused" }));
        }
    };
    for from in CardState::ALL {
        for to in CardState::ALL {
            // Shown and somebody's, but where it is in stock: so it may be in any state.
            let begin = card("two", from.as_str(), from != CardState::Available, true, "returned");
            scratch::sql(&store, &begin).await.unwrap();
            let owner = if to == CardState::Available {
                "NULL"
            } else {
                "gen_random_uuid()"
            };
            let state = to.as_str();
            let sql = format!("UPDATE card SET state = '{state}', reservation_id = {owner} WHERE serial = 'two'");
            let allowed = from == to || from.may_become(to);
            hold(
                allowed,
                takes(&store, &sql).await,
                format!("card {} -> {state}", from.as_str()),
            );
            scratch::sql(&store, "DELETE FROM card WHERE serial = 'two'")
                .await
                .unwrap();
        }
    }
    for from in ReservationState::ALL {
        for to in ReservationState::ALL {
            let (sale, ended_by) = shape(from);
            scratch::sql(&store, &reservation(from.as_str(), true, sale, ended_by))
                .await
                .unwrap();
            let allowed = from == to || from.may_become(to);
            hold(
                allowed,
                takes(&store, &becomes(to)).await,
                format!("reservation {} -> {}", from.as_str(), to.as_str()),
            );
            scratch::sql(&store, "DELETE FROM reservation").await.unwrap();
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    // What was shredded is not put back.
    scratch::sql(&store, &card("two", "sold", true, true, "returned"))
        .await
        .unwrap();
    let sealed = async |to: &str| takes(&store, &format!("UPDATE card SET sealed = {to} WHERE serial = 'two'")).await;
    assert!(sealed("NULL").await && !sealed("'again'").await);
}

/// A reservation of a card in this state, as the model has it: whether its sale was told, and what ended it.
fn shape(state: ReservationState) -> (bool, &'static str) {
    match state {
        ReservationState::Held | ReservationState::Lapsed => (false, "-"),
        ReservationState::Expired => (false, "grace"),
        ReservationState::Released => (false, "release"),
        ReservationState::Superseded => (false, "superseded"),
        ReservationState::Sold | ReservationState::Conflict => (true, "sale"),
    }
}

/// The only reservation is made one of this state, in all that a row of that state has.
fn becomes(state: ReservationState) -> String {
    let (sale, ended_by) = shape(state);
    let told = if sale {
        "sale_fingerprint = '\\x00', paid_at = now(), amount = 1, late = false, surplus = 0"
    } else {
        "sale_fingerprint = NULL, paid_at = NULL, amount = NULL, late = NULL, surplus = NULL"
    };
    let ended = if ended_by == "-" {
        "ended_at = NULL, ended_by = NULL".to_owned()
    } else {
        format!("ended_at = now(), ended_by = '{ended_by}'")
    };
    format!("UPDATE reservation SET state = '{}', {told}, {ended}", state.as_str())
}

#[tokio::test]
async fn two_reservations_of_a_card_are_together_as_the_model_has_them() {
    const LOST: &str = "the card of what was superseded, or paid for in vain, was bought by another";
    let (_stand, store) = shop().await;
    let reached = reached("together ");
    let mut found_later = Vec::new();
    for one in ReservationState::ALL {
        for another in ReservationState::ALL {
            let both = [one, another].map(|state| {
                let (sale, ended_by) = shape(state);
                reservation(state.as_str(), true, sale, ended_by)
            });
            let pair = format!("{} {}", one.as_str(), another.as_str());
            if !takes(&store, &both.join(";")).await {
                assert!(!reached.contains(&pair), "refused, but the model has it: {pair}");
                continue;
            }
            if !reached.contains(&pair) {
                let findings = invariants::check_all(&store).await.unwrap();
                let lost = findings.iter().find(|finding| finding.what == LOST).unwrap();
                assert!(
                    lost.broken > 0,
                    "taken and not found, but the model does not have it: {pair}"
                );
                found_later.push(pair);
            }
            scratch::sql(&store, "DELETE FROM reservation").await.unwrap();
        }
    }
    // Two live ones, two sold ones, and one of each, are never among them.
    let live = ["held", "lapsed", "sold"];
    assert!(
        found_later
            .iter()
            .all(|pair| !pair.split(' ').all(|state| live.contains(&state))),
        "{found_later:?}"
    );
}
