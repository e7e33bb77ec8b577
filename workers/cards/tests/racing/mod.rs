//! Several workers at once: whatever the interleaving, a card is sold to at most one, and nobody gets another's.

use std::collections::BTreeMap;

use domain::ids::ReservationId;
use futures::future::join_all;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use crate::stand::{Stand, id, release, reserve, reserve_briefly, sell, with};

#[tokio::test(flavor = "multi_thread")]
async fn the_last_card_goes_to_one() {
    let stand = Stand::new().await;
    for round in 1..=10 {
        let product = format!("p-{round}");
        stand.product(&product, json!({})).await;
        stand.stock(&product, 1).await;
        let answers = join_all((0..12).map(|_| stand.one(reserve(id(), &product)))).await;
        let of = |outcome: &str| answers.iter().filter(|answer| answer["outcome"] == outcome).count();
        // Whoever meets it locked is told that there is none: the one who locked it has it.
        assert_eq!(of("reserved"), 1, "{answers:?}");
        let without = answers
            .iter()
            .filter(|answer| answer["reason"] == "out_of_stock")
            .count();
        assert_eq!(without, 11, "{answers:?}");
        assert_eq!(stand.counts(&product).await[..3], [0, 0, 1]);
    }
    stand.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cards_that_run_out_go_to_one_each() {
    let stand = Stand::new().await;
    stand.product("p", json!({})).await;
    stand.stock("p", 5).await;
    let asked: Vec<_> = (0..12).map(|_| id()).collect();
    let answers = join_all(asked.iter().map(|id| stand.one(reserve(*id, "p")))).await;
    let serials: Vec<_> = answers
        .iter()
        .filter_map(|answer| answer["card"]["serial"].as_str())
        .collect();
    let distinct: std::collections::BTreeSet<_> = serials.iter().collect();
    assert_eq!(distinct.len(), serials.len());
    // Somebody who met only locked cards was told so; nobody got a card that was another's, and none was lost.
    let [fresh, _, held, ..] = stand.counts("p").await;
    assert_eq!((held, fresh), (serials.len() as i64, 5 - serials.len() as i64));
    stand.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_id_asked_for_twice_at_once_gets_one_card() {
    let stand = Stand::new().await;
    stand.product("p", json!({})).await;
    stand.stock("p", 30).await;
    // Enough stock: while they race, each of them has a card locked.
    for _ in 0..5 {
        let a = id();
        let answers = join_all((0..4).map(|_| stand.one(reserve(a, "p")))).await;
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
    }
    assert_eq!(stand.counts("p").await, [25, 0, 5, 0, 0]);
    stand.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_is_lost_gives_its_card_back() {
    let stand = Stand::new().await;
    stand.product("p", json!({})).await;
    stand.stock("p", 2).await;
    let tx = stand.store.begin().await.unwrap();
    assert_eq!(
        stand.handle(&tx, &[reserve(id(), "p")]).await[0]["card"]["serial"],
        "p-1"
    );
    // Locked by the other one: passed over.
    assert_eq!(stand.one(reserve(id(), "p")).await["card"]["serial"], "p-2");
    tx.rollback().await.unwrap();
    assert_eq!(stand.one(reserve(id(), "p")).await["card"]["serial"], "p-1");
    stand.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sale_races_the_end_of_its_hold() {
    let stand = Stand::new().await;
    stand.product("p", json!({"grace_seconds": 0})).await;
    stand.stock("p", 20).await;
    for _ in 0..20 {
        let a = id();
        stand.one(reserve_briefly(a, "p")).await;
        let (sold, _) = tokio::join!(stand.one(sell(a)), stand.sweep());
        assert_eq!((&sold["outcome"], &sold["late"]), (&json!("sold"), &json!(true)));
    }
    assert_eq!(stand.counts("p").await[4], 20);
    stand.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_limit_on_holds_is_exact_between_workers() {
    let stand = Stand::new().await;
    stand.product("p", json!({})).await;
    stand.stock("p", 60).await;
    stand.terminal(json!({"id": "T-1", "limits": {"holds": 7}})).await;
    // Two at work on one terminal: what the first one holds counts before the second one is told anything.
    let tx = stand.store.begin().await.unwrap();
    let first = stand
        .handle(&tx, &(0..5).map(|_| reserve(id(), "p")).collect::<Vec<_>>())
        .await;
    assert!(first.iter().all(|answer| answer["outcome"] == "reserved"));
    let second: Vec<Value> = (0..5).map(|_| reserve(id(), "p")).collect();
    let (second, ()) = tokio::join!(stand.batch(&second), async { tx.commit().await.unwrap() });
    let held = second.iter().filter(|answer| answer["outcome"] == "reserved").count();
    assert_eq!(held, 2, "{second:?}");
    let batches: Vec<Vec<Value>> = (0..6)
        .map(|_| (0..5).map(|_| with(reserve(id(), "p"), "terminal", "T-2")).collect())
        .collect();
    stand.terminal(json!({"id": "T-2", "limits": {"holds": 7}})).await;
    let answers = join_all(batches.iter().map(|batch| stand.batch(batch))).await.concat();
    let held = answers.iter().filter(|answer| answer["outcome"] == "reserved").count();
    let limited = answers
        .iter()
        .filter(|answer| answer["reason"] == "limit_reached")
        .count();
    assert_eq!((held, limited), (7, 23));
    assert_eq!(stand.counts("p").await[2], 14);
    stand.end().await;
}

/// One who releases waits for a card, while one who has that card enters the id of an early release.
#[tokio::test(flavor = "multi_thread")]
async fn an_early_release_and_its_reservation_do_not_wait_for_each_other() {
    let stand = Stand::new().await;
    for product in ["p", "q"] {
        stand.product(product, json!({})).await;
        stand.stock(product, 1).await;
    }
    let [ended, again, early] = [id(), id(), id()];
    stand.one(reserve(ended, "p")).await;
    stand.one(release(ended)).await;
    let tx = stand.store.begin().await.unwrap();
    assert_eq!(
        stand.handle(&tx, &[reserve(again, "p")]).await[0]["card"]["serial"],
        "p-1"
    );
    let releases = [release(early), release(ended)];
    let facts = async {
        let tx = stand.store.begin().await.unwrap();
        stand.handle(&tx, &releases).await;
        tx.commit().await.unwrap();
    };
    let ((), reserved) = tokio::join!(facts, async {
        stand
            .until(
                "SELECT count(*) > 0 FROM pg_locks WHERE NOT granted AND pid IN (
                     SELECT pid FROM pg_stat_activity WHERE datname = current_database())",
            )
            .await;
        let reserved = stand.handle(&tx, &[reserve(early, "q")]).await.remove(0);
        tx.commit().await.unwrap();
        reserved
    });
    assert_eq!(reserved["card"]["serial"], "q-1");
    assert_eq!(stand.counts("q").await, [0, 1, 0, 0, 0], "its release counted");
    assert_eq!(
        stand.counts("p").await,
        [0, 0, 1, 0, 0],
        "and that of another's card did not"
    );
    stand.end().await;
}

/// Random verbs from several workers at once, with sweeps between them; then everything is looked at.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_interleaving_a_card_has_one_buyer() {
    let stand = Stand::new().await;
    stand.product("p", json!({"grace_seconds": 0})).await;
    stand.stock("p", 6).await;
    let ids: Vec<_> = (0..24).map(|_| id()).collect();
    let mut random = StdRng::seed_from_u64(7);
    for _ in 0..30 {
        let mut pick = || ids[random.random_range(0..ids.len())];
        let reserves: Vec<Value> = (0..6)
            .map(|at| {
                if at % 2 == 0 {
                    reserve(pick(), "p")
                } else {
                    reserve_briefly(pick(), "p")
                }
            })
            .collect();
        let facts: Vec<Value> = (0..3)
            .map(|at| if at == 0 { sell(pick()) } else { release(pick()) })
            .collect();
        tokio::join!(stand.batch(&reserves), stand.batch(&facts), stand.sweep());
    }
    let tx = stand.store.begin().await.unwrap();
    let all: Vec<_> = ids.iter().map(|id| ReservationId::from_uuid(*id)).collect();
    let found = store::reservations::read(&tx, &all).await.unwrap();
    tx.commit().await.unwrap();
    let mut buyers: BTreeMap<i64, usize> = BTreeMap::new();
    for reservation in found.reservations.values() {
        let card = reservation.card_id.and_then(|card_id| found.cards.get(&card_id));
        let (state, card_state) = (reservation.state.as_str(), card.map(|card| card.state.as_str()));
        match state {
            "held" => assert_eq!(card_state, Some("reserved")),
            "lapsed" => assert_eq!(card_state, Some("lapsed")),
            "sold" => {
                assert_eq!(card_state, Some("sold"));
                *buyers.entry(reservation.card_id.unwrap()).or_default() += 1;
            }
            _ => {}
        }
        if matches!(state, "held" | "lapsed" | "sold") {
            assert_eq!(card.unwrap().reservation_id, Some(reservation.reservation_id));
        }
    }
    assert!(buyers.values().all(|count| *count == 1));
    assert_eq!(stand.counts("p").await.iter().sum::<i64>(), 6);
    assert!(!buyers.is_empty());
    stand.end().await;
}
