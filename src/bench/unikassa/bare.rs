//! The bound: the same calls, signed and read, in a loop that keeps no books.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{anyhow, ensure};
use domain::ids::{Number, PaymentId};
use domain::payment::PaymentState;
use store::deliveries::Due;
use tokio::task::JoinSet;
use unikassa::rehearsal::Bare;

use super::payee::Payees;
use super::{LANES, SLOTS, declared};
use crate::bench::load::rate;

/// Calls a second.
pub(super) async fn measure(count: u32, pause: Duration) -> anyhow::Result<f64> {
    let payees = Payees::start(pause).await?;
    let bare = Arc::new(Bare::new(&declared(&payees, false)?)?.map_err(|why| anyhow!(why))?);
    let (next, total) = (Arc::new(AtomicU64::new(0)), u64::from(count));
    let mut calling = JoinSet::new();
    for place in 0..LANES * SLOTS {
        let (bare, next) = (bare.clone(), next.clone());
        calling.spawn(async move { call(&bare, (place % LANES) as usize, &next, total).await });
    }
    let measured = rate(total, async || Ok::<u64, std::convert::Infallible>(payees.answered())).await;
    while let Some(called) = calling.join_next().await {
        called??;
    }
    measured
}

async fn call(bare: &Bare, payee: usize, next: &AtomicU64, total: u64) -> anyhow::Result<()> {
    loop {
        let nth = next.fetch_add(1, Ordering::Relaxed) + 1;
        if nth > total {
            return Ok(());
        }
        ensure!(
            bare.pay(payee, &due(i64::try_from(nth)?)?).await,
            "the payee did not accept"
        );
    }
}

fn due(number: i64) -> anyhow::Result<Due> {
    Ok(Due {
        payment_id: PaymentId::from_uuid(uuid::Uuid::new_v4()),
        number: Number::new(number)?,
        payee: String::new(),
        terminal: "T-0001".to_owned(),
        account: format!("user-{number}"),
        amount: 10_000,
        fee: 0,
        currency: "RUB".to_owned(),
        fields: serde_json::json!({"payer": "Иванов И. И."}),
        paid_at: domain::clock::now(),
        state: PaymentState::Accepted,
        step: 0,
        attempts: 0,
        maybes: 0,
        not_found: 0,
        give_up_at: None,
        last_call_at: None,
        traceparent: None,
        revoke_reason: None,
        settled: false,
        provider_reference: None,
    })
}
