//! `bench cards`: what a stock of a million cards allows, and whether it still does when most of them are sold, when facts
//! pile up, and when a hundred thousand holds run out at once.
//!
//! The stock is made once, with real seals under a real batch key, and every measurement works on a copy of it. Names of
//! figures and how each is compared are in ARCHITECTURE.md, "How to add".

mod answers;
mod backlog;
mod expiry;
mod import;
mod shop;
mod sold_out;
mod terminals;

use super::figure::{Figure, Goal, Planned, put, wanted, wants};
use super::ground::Grounds;
use shop::Stock;

/// Holds that run out at once, and facts that wait, if the stock is large enough.
const MANY: usize = 100_000;

/// How much of everything, from the size of the stock.
#[derive(Clone, Copy, Debug)]
struct Size {
    cards: usize,
    /// Requests of one measurement of a rate.
    asked: usize,
    /// Holds, and facts that wait.
    many: usize,
}

impl Size {
    fn of(cards: usize) -> Self {
        Self {
            cards,
            asked: (cards / 25).min(20_000),
            many: (cards / 4).min(MANY),
        }
    }
}

/// What is measured.
pub(super) const FIGURES: [Planned; 11] = [
    ("reserve", "msg/s", Goal::AtLeast(0.7)),
    ("reserve_p99", "ms", Goal::AtMost(3.0)),
    ("sell", "msg/s", Goal::AtLeast(1.0)),
    ("release", "msg/s", Goal::AtLeast(1.0)),
    ("facts", "msg/s", Goal::AtLeast(0.7)),
    ("sold_out_autovacuum", "msg/s", Goal::AtLeast(0.9)),
    ("sold_out_no_autovacuum", "msg/s", Goal::AtLeast(0.9)),
    ("sold_out_snapshot", "msg/s", Goal::AtLeast(0.9)),
    ("backlog_p99", "ms", Goal::AtMost(3.0)),
    ("expiry", "s", Goal::AtMost(1.0)),
    ("import", "s", Goal::AtMost(1.0)),
];

/// Measures the figures whose names begin with `only`; an empty one means all.
pub(super) async fn measure(grounds: &Grounds, pairs: u32, cards: usize, only: &str) -> anyhow::Result<Vec<Figure>> {
    let size = Size::of(cards);
    let mut figures = wanted(&FIGURES, only)?;
    let needs_stock = figures.iter().any(|figure| figure.name != "import");
    tracing::info!(cards, needs_stock, "making the stock");
    let stock = Stock::make(grounds, size, needs_stock).await?;
    for pair in 0..pairs {
        tracing::info!(pair = pair + 1, of = pairs, "measuring");
        measure_once(&stock, &mut figures).await?;
    }
    stock.clear().await?;
    Ok(figures)
}

async fn measure_once(stock: &Stock, figures: &mut [Figure]) -> anyhow::Result<()> {
    if wants(figures, &["reserve", "reserve_p99", "sell", "release", "facts"]) {
        put(figures, &answers::measure(stock).await?);
    }
    for (name, disturbed) in sold_out::WAYS {
        let Some(figure) = figures.iter_mut().find(|figure| figure.name == name) else {
            continue;
        };
        let measured = sold_out::measure(stock, disturbed).await?;
        figure.take(measured, "autovacuum is off on this server");
    }
    if let Some(figure) = figures.iter_mut().find(|figure| figure.name == "backlog_p99") {
        figure.take(backlog::measure(stock).await?, backlog::TOO_FEW);
    }
    if wants(figures, &["expiry"]) {
        put(figures, &[("expiry", expiry::measure(stock).await?)]);
    }
    if wants(figures, &["import"]) {
        put(figures, &[("import", import::measure(stock).await?)]);
    }
    Ok(())
}
