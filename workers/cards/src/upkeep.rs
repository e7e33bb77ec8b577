//! What is looked after now and then: files that wait, stock that runs low, secrets that are due to be shredded.

use std::sync::Arc;
use std::time::Duration;

use bus::Queue;
use contract::event::{Events, StockEvent, StockItem};
use domain::declaration::Product;
use domain::ids::ProductId;
use runtime::sweep::{self, Swept};
use runtime::{Context, Nudge};
use store::declarations::Declarations;
use store::{Store, StoreError};

use crate::import;
use crate::vault::Vault;

/// How often secrets are shredded and stocks counted for the metrics.
const SELDOM: Duration = Duration::from_secs(60);
/// Cards shredded in one statement.
const SHREDDED_AT_ONCE: i64 = 1_000;

/// Starts everything of this module.
pub(crate) fn spawn(context: &Context, vault: Arc<Vault>) {
    sweep::on_wake_up(context, Queue::CardsWake, Nudge::Imports);
    sweep::spawn(context, "cards.imports", Nudge::Imports, move |context| {
        let vault = vault.clone();
        async move {
            let finished = import::work_one(&context.store, &vault, None).await?;
            Ok(if finished.is_some() { Swept::More } else { Swept::Idle })
        }
    });
    let often = context.settings.sweep_interval;
    sweep::every(context, "cards.stock", often, |context| async move {
        let declarations = context.declarations().await?;
        if tell_low_stock(&context.store, &declarations).await? > 0 {
            context.nudge(Nudge::Events);
        }
        Ok(())
    });
    sweep::every(context, "cards.shred", SELDOM, |context| async move {
        let declarations = context.declarations().await?;
        shred(&context.store, &declarations).await?;
        measure(&context.store, &declarations).await
    });
}

/// Tells `stock.low` of products whose stock has fallen below their threshold since it was last above. Returns how many.
pub async fn tell_low_stock(store: &Store, declarations: &Declarations) -> Result<usize, StoreError> {
    let watched = |product: &&Product| product.low_stock > 0;
    let mut products: Vec<&Product> = declarations
        .products
        .values()
        .map(|declared| &*declared.value)
        .filter(watched)
        .collect();
    // In one order, so that two processes at it do not wait for each other in a circle.
    products.sort_by(|left, right| left.id.cmp(&right.id));
    let Some(most) = products.iter().map(|product| product.low_stock).max() else {
        return Ok(0);
    };
    let ids: Vec<ProductId> = products.iter().map(|product| product.id.clone()).collect();
    let tx = store.begin().await?;
    // Above the highest threshold nobody cares how much there is, so nothing is counted further.
    let counted = store::cards::available(&tx, &ids, i64::try_from(most).unwrap_or(i64::MAX)).await?;
    let mut events = Events::new(domain::clock::now());
    let mut told = 0;
    for (product, count) in products.iter().zip(counted) {
        let available = u64::try_from(count.fresh + count.returned).unwrap_or(0);
        let low = available < product.low_stock;
        if store::cards::low_crossing(&tx, &product.id, low).await? {
            let item = StockItem {
                product: product.id.clone(),
                available,
                threshold: product.low_stock,
            };
            events.push(StockEvent::Low, &item);
            told += 1;
        }
    }
    if told > 0 {
        runtime::emit(&tx, events, None).await?;
    }
    tx.commit().await?;
    Ok(told)
}

/// Forgets the details of cards sold longer ago than their product's reprint window. Returns how many.
pub async fn shred(store: &Store, declarations: &Declarations) -> Result<u64, StoreError> {
    let mut shredded = 0;
    for declared in declarations.products.values() {
        let product = &declared.value;
        loop {
            let some = store::cards::shred(store, &product.id, product.reprint_days, SHREDDED_AT_ONCE).await?;
            shredded += some;
            if some < SHREDDED_AT_ONCE.unsigned_abs() {
                break;
            }
        }
    }
    metrics::counter!("unigate_cards_shredded_total").increment(shredded);
    Ok(shredded)
}

async fn measure(store: &Store, declarations: &Declarations) -> Result<(), StoreError> {
    let ids: Vec<ProductId> = declarations.products.keys().cloned().collect();
    let tx = store.begin().await?;
    let counted = store::cards::available(&tx, &ids, i64::MAX).await?;
    tx.commit().await?;
    for count in counted {
        let product = count.product.to_string();
        metrics::gauge!("unigate_cards_available", "product" => product.clone(), "pool" => "fresh")
            .set(count.fresh as f64);
        metrics::gauge!("unigate_cards_available", "product" => product, "pool" => "returned")
            .set(count.returned as f64);
    }
    Ok(())
}
