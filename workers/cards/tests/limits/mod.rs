//! What one terminal may take: which limit holds for it, what counts, and what is never refused for it.

use std::sync::Arc;

use cards::Desk;
use cards::unsold::tell_unsold;
use domain::declaration::{TerminalGroup, TerminalLimits};
use serde_json::{Value, json};
use store::declarations;
use uuid::Uuid;

use crate::stand::{Stand, id, release, reserve, reserve_briefly, sell, with};

async fn shop() -> Stand {
    let stand = Stand::new().await;
    stand.product("p", json!({})).await;
    stand.product("rare", json!({})).await;
    stand.stock("p", 20).await;
    stand
}

async fn group(stand: &Stand, group: Value) {
    let group: TerminalGroup = serde_json::from_value(group).unwrap();
    let tx = stand.store.begin().await.unwrap();
    declarations::apply_group(&tx, &group, "test").await.unwrap();
    tx.commit().await.unwrap();
}

fn words(answers: &[Value]) -> Vec<&str> {
    let word = |answer: &'_ Value| match answer["reason"].as_str() {
        Some(_) => "reason",
        None => "outcome",
    };
    answers
        .iter()
        .filter_map(|answer| answer[word(answer)].as_str())
        .collect()
}

#[tokio::test]
async fn holds_at_once_count_what_is_held_and_nothing_else() {
    let stand = shop().await;
    stand.terminal(json!({"id": "T-1", "limits": {"holds": 2}})).await;
    let (a, b, c) = (id(), id(), id());
    // One that gets no card takes no room from the one behind it.
    let answers = stand
        .batch(&[
            reserve(id(), "rare"),
            reserve(a, "p"),
            reserve(b, "p"),
            reserve(a, "p"),
            reserve(c, "p"),
        ])
        .await;
    assert_eq!(
        words(&answers),
        ["out_of_stock", "reserved", "reserved", "reserved", "limit_reached"]
    );
    let detail = answers[4]["detail"].as_str().unwrap();
    assert!(
        detail.starts_with("terminal: ") && detail.contains("holds = 2"),
        "{detail}"
    );
    assert_eq!(
        stand.one(reserve(b, "p")).await,
        answers[2],
        "what it holds already it is told again"
    );
    assert_eq!(
        stand.one(with(reserve(id(), "p"), "terminal", "T-9")).await["outcome"],
        "reserved"
    );
    // A release, a sale, an end of a hold make room.
    stand.one(release(a)).await;
    assert_eq!(
        words(&stand.batch(&[reserve(c, "p"), reserve(id(), "p")]).await),
        ["reserved", "limit_reached"]
    );
    stand.one(sell(b)).await;
    let brief = with(reserve(id(), "p"), "hold_seconds", 1);
    assert_eq!(
        stand.one(brief).await["outcome"],
        "reserved",
        "and this one is over at once"
    );
    let answers = stand.batch(&[reserve(id(), "p"), reserve(id(), "p")]).await;
    assert_eq!(words(&answers), ["reserved", "limit_reached"]);
    stand.end().await;
}

#[tokio::test]
async fn sales_per_hour_stop_reservations_and_never_a_sale() {
    let stand = shop().await;
    stand
        .terminal(json!({"id": "T-1", "limits": {"sales_per_hour": 2}}))
        .await;
    // What is held may be sold: it counts before it is, in one batch and in several.
    let (a, b, c) = (id(), id(), id());
    let answers = stand.batch(&[reserve(a, "p"), reserve(b, "p"), reserve(c, "p")]).await;
    assert_eq!(words(&answers), ["reserved", "reserved", "limit_reached"]);
    assert!(
        answers[2]["detail"].as_str().unwrap().contains("sales_per_hour = 2"),
        "{answers:?}"
    );
    stand.one(sell(a)).await;
    assert_eq!(stand.one(reserve(c, "p")).await["reason"], "limit_reached");
    stand.one(release(b)).await;
    assert_eq!(stand.one(reserve(c, "p")).await["outcome"], "reserved");
    // However low the limit is by now, money that was taken is.
    stand
        .terminal(json!({"id": "T-1", "limits": {"sales_per_hour": 1}}))
        .await;
    assert_eq!(
        words(&stand.batch(&[sell(b), sell(c)]).await),
        ["sold", "sold"],
        "also of a card that was released"
    );
    assert_eq!(stand.one(reserve(id(), "p")).await["reason"], "limit_reached");
    stand
        .sql("UPDATE reservation SET ended_at = ended_at - interval '1 hour' WHERE state = 'sold'")
        .await;
    assert_eq!(
        words(&stand.batch(&[reserve(id(), "p"), reserve(id(), "p")]).await),
        ["reserved", "limit_reached"]
    );
    stand.end().await;
}

/// Payers who walk away do not close a terminal by its limit of sales; what it might still sell late is bounded all the same.
#[tokio::test]
async fn cards_in_grace_are_bounded_by_what_was_seen_and_not_by_sales() {
    let stand = shop().await;
    let limits = json!({"sales_per_hour": 2, "unsold_per_hour": 5});
    stand.terminal(json!({"id": "T-1", "limits": limits})).await;
    let mut walked_away = Vec::new();
    for _ in 0..4 {
        let brief = id();
        assert_eq!(stand.one(reserve_briefly(brief, "p")).await["outcome"], "reserved");
        assert_eq!(stand.sweep().await.0, 1);
        walked_away.push(brief);
    }
    assert_eq!(stand.counts("p").await[3], 4, "all of them in grace");
    assert_eq!(
        words(&stand.batch(&[reserve(id(), "p"), reserve(id(), "p")]).await),
        ["reserved", "limit_reached"]
    );
    // Paid late they are sold, and then they count as sales do.
    for late in walked_away {
        assert_eq!(stand.one(sell(late)).await["outcome"], "sold");
    }
    let refused = stand.one(reserve(id(), "p")).await;
    assert!(
        refused["detail"].as_str().unwrap().contains("sales_per_hour"),
        "{refused}"
    );
    stand.end().await;
}

#[tokio::test]
async fn a_terminal_that_reserves_and_releases_learns_so_many_cards_and_people_are_told() {
    let stand = shop().await;
    stand.product("p", json!({"reissue_exposed": true})).await;
    stand
        .terminal(json!({"id": "T-1", "limits": {"unsold_per_hour": 4}}))
        .await;
    stand.terminal(json!({"id": "T-2"})).await;
    let declared = async || declarations::load(&stand.store).await.unwrap();
    let tell = async || {
        let none = TerminalLimits::default();
        tell_unsold(&stand.store, &declared().await, none).await.unwrap()
    };
    // Sold cards do not count. What is released, let run out or still held does.
    let sold = id();
    stand.one(reserve(sold, "p")).await;
    stand.one(sell(sold)).await;
    for _ in 0..2 {
        let looped = id();
        assert_eq!(stand.one(reserve(looped, "p")).await["outcome"], "reserved");
        assert_eq!(stand.one(release(looped)).await["outcome"], "released");
    }
    assert_eq!(tell().await, 0);
    let held = id();
    let answers = stand
        .batch(&[reserve(held, "p"), reserve(id(), "p"), reserve(id(), "p")])
        .await;
    assert_eq!(words(&answers), ["reserved", "reserved", "limit_reached"]);
    let detail = answers[2]["detail"].as_str().unwrap();
    assert!(detail.contains("unsold_per_hour = 4"), "{detail}");
    stand
        .sql("UPDATE reservation SET held_until = clock_timestamp() WHERE state = 'held'")
        .await;
    assert_eq!(
        stand.one(reserve(id(), "p")).await["reason"],
        "limit_reached",
        "a hold that is over has been seen, whether or not a sweep came by"
    );
    assert_eq!((tell().await, tell().await), (1, 0), "once while it goes on");
    assert_eq!(
        stand
            .sql("SELECT kind || ' ' || subject || ' ' || times FROM notice")
            .await,
        ["terminal.unsold T-1 1"]
    );
    // Paid after all is sold after all; and an hour later it may see others.
    stand.one(sell(held)).await;
    assert_eq!(stand.one(reserve(id(), "p")).await["outcome"], "reserved");
    assert_eq!(stand.one(reserve(id(), "p")).await["reason"], "limit_reached");
    stand
        .sql("UPDATE reservation SET created_at = created_at - interval '1 hour' WHERE state = 'released'")
        .await;
    assert_eq!(stand.one(reserve(id(), "p")).await["outcome"], "reserved");
    // Of another terminal nothing is known but what is unusual.
    for _ in 0..100 {
        let looped = id();
        let asked = with(reserve(looped, "p"), "terminal", "T-2");
        assert_eq!(stand.one(asked).await["outcome"], "reserved");
        stand.one(with(release(looped), "terminal", "T-2")).await;
    }
    assert_eq!(tell().await, 1);
    let told = "SELECT lines[1] FROM notice WHERE subject = 'T-2'";
    assert!(stand.sql(told).await[0].contains("Nothing stops it"));
    stand.end().await;
}

#[tokio::test]
async fn a_terminal_that_holds_its_cards_for_an_hour_is_told_of_while_it_does() {
    let stand = Stand::new().await;
    stand.product("p", json!({"holds_seconds": [3600]})).await;
    stand.stock("p", 100).await;
    stand.terminal(json!({"id": "T-1"})).await;
    let declared = stand.declared().await;
    let tell = async || {
        let none = TerminalLimits::default();
        tell_unsold(&stand.store, &declared, none).await.unwrap()
    };
    let asked: Vec<Value> = (0..99).map(|_| reserve(id(), "p")).collect();
    assert_eq!(words(&stand.batch(&asked).await), ["reserved"; 99]);
    assert_eq!(tell().await, 0);
    assert_eq!(stand.one(reserve(id(), "p")).await["outcome"], "reserved");
    assert_eq!(tell().await, 1);
    let title = "SELECT title FROM notice";
    assert!(stand.sql(title).await[0].contains("was shown 100 cards or more within an hour and has not sold them"));
    // Sold they count no more.
    stand.sql("DELETE FROM notice").await;
    let one: Uuid = serde_json::from_value(asked[0]["reservation_id"].clone()).unwrap();
    assert_eq!(stand.one(sell(one)).await["outcome"], "sold");
    assert_eq!(tell().await, 0);
    stand.end().await;
}

#[tokio::test]
async fn what_a_terminal_does_not_say_its_group_says_and_then_the_installation() {
    let mut stand = shop().await;
    let installation = TerminalLimits {
        holds: Some(3),
        ..TerminalLimits::default()
    };
    stand.desk = Arc::new(Desk::new(stand.vault.clone()).limited(installation));
    group(&stand, json!({"id": "center", "limits": {"holds": 2}})).await;
    stand.terminal(json!({"id": "T-1", "group": "center"})).await;
    stand
        .terminal(json!({"id": "T-2", "group": "center", "limits": {"holds": 1}}))
        .await;
    stand.terminal(json!({"id": "T-3", "group": "elsewhere"})).await;
    for (terminal, most) in [("T-1", 2), ("T-2", 1), ("T-3", 3), ("undeclared", 3)] {
        let asked: Vec<Value> = (0..5).map(|_| with(reserve(id(), "p"), "terminal", terminal)).collect();
        let answers = stand.batch(&asked).await;
        let held = words(&answers).iter().filter(|word| **word == "reserved").count();
        assert_eq!(held, most, "{terminal}");
    }
    stand.end().await;
}
