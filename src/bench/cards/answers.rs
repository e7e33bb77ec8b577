//! Reservations beside an echo on the same kind of queue; sales and releases beside reservations, and beside an echo of
//! facts, so that what the broker does for a fact (disk, confirm) is told apart from what we do.

use bus::Queue;
use bus::frontend::Message;
use domain::ids::ReservationId;

use super::shop::Stock;
use super::terminals::{Kind, p99, rate, releases, reserves, sells};
use crate::bench::bounds::{Does, Loop};

/// The pairs of `reserve`, `reserve_p99`, `sell`, `release` and `facts`.
pub(super) async fn measure(stock: &Stock) -> anyhow::Result<Vec<(&'static str, (f64, f64))>> {
    let asked = stock.size.asked;
    let shop = stock.open("answers").await?;
    shop.start_worker().await?;
    let (ids, messages): (Vec<ReservationId>, Vec<Message>) = reserves(asked).into_iter().unzip();
    let reserve = rate(&shop.frontend, &messages, Kind::Question, Some("reserved")).await?;
    let (sold, released) = ids.split_at(asked / 2);
    let sell = rate(&shop.frontend, &sells(sold), Kind::Fact, Some("sold")).await?;
    let release = rate(&shop.frontend, &releases(released), Kind::Fact, Some("released")).await?;
    let half = reserve / 2.0;
    let ours = p99(&shop.frontend, questions(asked / 2), half, Some("reserved")).await?;
    shop.close().await?;
    let (echo, echo_p99) = echo_questions(stock, half).await?;
    let facts = echo_facts(stock, sold).await?;
    Ok(vec![
        ("reserve", (reserve, echo)),
        ("reserve_p99", (ours, echo_p99)),
        ("sell", (sell, reserve)),
        ("release", (release, reserve)),
        ("facts", (sell.min(release), facts)),
    ])
}

pub(super) fn questions(count: usize) -> Vec<Message> {
    reserves(count).into_iter().map(|(_, message)| message).collect()
}

/// What a loop that only answers does with the same questions: its rate, and its p99 at so many a second.
async fn echo_questions(stock: &Stock, a_second: f64) -> anyhow::Result<(f64, f64)> {
    let asked = stock.size.asked;
    let shop = stock.open_empty("echo").await?;
    let echo = Loop::start_on(&shop.ground, Queue::CardsQuestions, Does::Answers).await?;
    let most = rate(&shop.frontend, &questions(asked), Kind::Question, None).await?;
    let wait = p99(&shop.frontend, questions(asked / 2), a_second, None).await?;
    echo.stop().await;
    shop.close().await?;
    Ok((most, wait))
}

/// What a loop that only answers does with the same sales.
async fn echo_facts(stock: &Stock, ids: &[ReservationId]) -> anyhow::Result<f64> {
    let shop = stock.open_empty("echo").await?;
    let echo = Loop::start_on(&shop.ground, Queue::CardsFacts, Does::Answers).await?;
    let most = rate(&shop.frontend, &sells(ids), Kind::Fact, None).await?;
    echo.stop().await;
    shop.close().await?;
    Ok(most)
}
