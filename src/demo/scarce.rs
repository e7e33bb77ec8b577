//! The product that runs out: four cards, each held twice, and payers who come too late. Paid beats held, and the first
//! payment wins: one card is bought back from a later holder, two are paid for twice, one of these gets a replacement.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use serde_json::json;
use uuid::Uuid;

use super::cards::{CardDesk, Held};
use super::players::Players;
use super::wait::until;

const PRODUCT: &str = "radio-300";
/// Hold, grace, a few sweeps, and a machine that has other things to do.
const COMES_BACK_WITHIN: Duration = Duration::from_secs(40);

/// Plays it all. The four first holders let their holds and graces pass; four others get the same cards.
pub(super) async fn play(players: &Arc<Players>, [first, second]: &[Vec<Uuid>; 2]) -> anyhow::Result<()> {
    let desk = |terminal| CardDesk {
        players,
        terminal: terminal % players.names.len(),
    };
    let holders = reserve_each(first, 0, &desk).await;
    nothing_is_left(players).await;

    let came_back = until(COMES_BACK_WITHIN, async || {
        Ok(in_stock(players).await == first.len() as u64)
    })
    .await?;
    if !came_back {
        players
            .memory
            .surprise(format!("{PRODUCT}: the cards nobody paid for did not come back"));
        return Ok(());
    }
    let heirs = reserve_each(second, 4, &desk).await;
    let of_card = |heir: &Held| {
        let at = holders.iter().position(|holder| holder.serial == heir.serial)?;
        Some((desk(at), &holders[at]))
    };
    let [bought, bought_back, kept, left] = &heirs[..] else {
        let (had, all) = (heirs.len(), second.len());
        players.memory.surprise(format!(
            "{PRODUCT}: of {all} cards that came back {had} were reserved again"
        ));
        return Ok(());
    };

    desk(4).sell(bought, "R-0001", &["sold"]).await;
    desk(7).release(left).await;
    // Its first holder has paid as well, and too late: the card that was just released makes up for it.
    late_payment(players, of_card(bought), "R-0002", "conflict", true).await;
    late_payment(players, of_card(bought_back), "R-0003", "sold", false).await;
    desk(6).sell(kept, "R-0004", &["sold"]).await;
    late_payment(players, of_card(left), "R-0005", "conflict", false).await;
    Ok(())
}

/// A terminal each, from the `from`th on.
async fn reserve_each<'a>(ids: &[Uuid], from: usize, desk: &impl Fn(usize) -> CardDesk<'a>) -> Vec<Held> {
    let reserved = ids.iter().enumerate().map(|(at, id)| {
        let desk = desk(from + at);
        async move { desk.reserve(*id, PRODUCT).await }
    });
    join_all(reserved).await.into_iter().flatten().collect()
}

/// One more payer finds nothing.
async fn nothing_is_left(players: &Players) {
    let body = json!({"reservation_id": Uuid::new_v4(), "terminal": players.name(8), "product": PRODUCT});
    if let Some(answer) = players.till.ask(8, "card.reserve", &body).await {
        players
            .memory
            .expect("card.reserve", &answer, &["refused out_of_stock"]);
    }
}

async fn in_stock(players: &Players) -> u64 {
    let body = json!({"terminal": players.name(8), "products": [PRODUCT]});
    let answer = players
        .till
        .ask(8, "card.availability", &body)
        .await
        .unwrap_or_default();
    answer["products"][0]["available"].as_u64().unwrap_or_default()
}

async fn late_payment(
    players: &Players,
    holder: Option<(CardDesk<'_>, &Held)>,
    receipt: &str,
    outcome: &str,
    replaced: bool,
) {
    let Some((desk, held)) = holder else {
        players
            .memory
            .surprise(format!("{PRODUCT}: a card came back that nobody had held"));
        return;
    };
    let answer = desk.sell_late(held, receipt, outcome).await.unwrap_or_default();
    if answer["replacement"].is_object() != replaced {
        let with = if replaced { "without" } else { "with" };
        players
            .memory
            .surprise(format!("card.sell: a late payment ended {with} a replacement"));
    }
}
