//! Reservations when nine tenths of the stock are sold, beside reservations from the full stock: what the dead rows and
//! index entries of the sold ones cost, whether or not somebody clears them away.

use store::rehearsal;

use super::answers::questions;
use super::shop::{Stock, product};
use super::terminals::{Kind, rate};

/// What is done to the server meanwhile.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Disturbed {
    /// Autovacuum as it is shipped.
    Not,
    NoAutovacuum,
    /// Another session holds a snapshot, so nothing can be cleared away.
    Snapshot,
}

/// The figures.
pub(super) const WAYS: [(&str, Disturbed); 3] = [
    ("sold_out_autovacuum", Disturbed::Not),
    ("sold_out_no_autovacuum", Disturbed::NoAutovacuum),
    ("sold_out_snapshot", Disturbed::Snapshot),
];

/// The rate at nine tenths sold, and when full. None where it cannot be measured: with autovacuum, on a server that has none.
pub(super) async fn measure(stock: &Stock, disturbed: Disturbed) -> anyhow::Result<Option<(f64, f64)>> {
    let (asked, cards) = (stock.size.asked, stock.size.cards);
    if disturbed == Disturbed::Not && !stock.has_autovacuum().await? {
        return Ok(None);
    }
    let shop = stock.open("sold").await?;
    let store = shop.ground.store.clone();
    if disturbed == Disturbed::NoAutovacuum {
        rehearsal::without_autovacuum(&store).await?;
    }
    let snapshot = match disturbed {
        Disturbed::Snapshot => Some(rehearsal::hold_snapshot(&store).await?),
        Disturbed::Not | Disturbed::NoAutovacuum => None,
    };
    shop.start_worker().await?;
    let full = rate(&shop.frontend, &questions(asked), Kind::Question, Some("reserved")).await?;
    let to_sell = i64::try_from(cards * 9 / 10 - asked)?;
    rehearsal::sell(&store, &product()?, to_sell).await?;
    let sold_out = rate(&shop.frontend, &questions(asked), Kind::Question, Some("reserved")).await?;
    if let Some(snapshot) = snapshot {
        snapshot.rollback().await?;
    }
    drop(store);
    shop.close().await?;
    Ok(Some((sold_out, full)))
}
