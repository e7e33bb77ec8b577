//! What is looked after now and then: files that wait, stock that runs low or out of date, secrets that are due to be
//! shredded.

use std::sync::Arc;
use std::time::Duration;

use bus::Queue;
use contract::event::{Events, StockEvent, StockItem};
use domain::card::CaseKind;
use domain::declaration::Product;
use domain::ids::ProductId;
use runtime::sweep::{self, Swept};
use runtime::{Context, Nudge};
use store::cards::ExpiryRule;
use store::declarations::Declarations;
use store::notices::NewNotice;
use store::{Store, StoreError};

use crate::availability::sellable;
use crate::import::{self, Keys};
use crate::vault::Vault;

/// How often secrets are shredded and stocks counted for the metrics.
const SELDOM: Duration = Duration::from_secs(60);
/// Cards shredded in one statement.
const SHREDDED_AT_ONCE: i64 = 1_000;
/// Cards of a product and pool withdrawn in one transaction, and named in one row of the audit log.
const WITHDRAWN_AT_ONCE: i64 = 500;

/// Starts everything of this module.
pub(crate) fn spawn(context: &Context, vault: Arc<Vault>, keys: Keys) {
    sweep::on_wake_up(context, Queue::CardsWake, Nudge::Imports);
    sweep::spawn(context, "cards.imports", Nudge::Imports, move |context| {
        let (vault, keys) = (vault.clone(), keys.clone());
        async move {
            let stop = import::Stop::with(context.shutdown.clone());
            let finished = import::work_one_with(&context.store, &vault, &keys, None, &stop).await?;
            Ok(if finished.is_some() { Swept::More } else { Swept::Idle })
        }
    });
    let often = context.settings.sweep_interval;
    sweep::every(context, "cards.stock", often, |context| async move {
        let declarations = context.declarations().await?;
        if tell_low_stock(&context.store, &declarations).await? > 0 {
            context.nudge(Nudge::Events);
            context.nudge(Nudge::Notices);
        }
        Ok(())
    });
    sweep::every(context, "cards.expiring", SELDOM, |context| async move {
        let declarations = context.declarations().await?;
        withdraw_expiring(&context.store, &declarations).await.map(drop)
    });
    sweep::every(context, "cards.shred", SELDOM, |context| async move {
        let declarations = context.declarations().await?;
        shred(&context.store, &declarations).await?;
        store::cards::settle_sold(&context.store).await?;
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
    // Counted behind the lock: a count from before another one's crossing would undo it, and it would be told again.
    store::cards::lock_stock(&tx, &ids).await?;
    // Positions are dealt before the first file's cards are there; that is not a stock that has run low. Known before it is
    // counted, so that a first file which comes in between is counted whole or not at all.
    let ids = store::cards::ever_stocked(&tx, &ids).await?;
    products.retain(|product| ids.contains(&product.id));
    // Above the highest threshold nobody cares how much there is, so nothing is counted further.
    let counted = store::cards::available(&tx, &ids, i64::try_from(most).unwrap_or(i64::MAX)).await?;
    let mut events = Events::new(domain::clock::now());
    let mut told = 0;
    for (product, count) in products.iter().zip(counted) {
        let available = sellable(Some(product), &count);
        let low = available < product.low_stock;
        if store::cards::low_crossing(&tx, &product.id, low).await? {
            let item = StockItem {
                product: product.id.clone(),
                available,
                threshold: product.low_stock,
            };
            events.push(StockEvent::Low, &item);
            store::notices::add(&tx, &low_notice(product, available)).await?;
            told += 1;
        }
    }
    if told > 0 {
        runtime::emit(&tx, events, None).await?;
    }
    tx.commit().await?;
    Ok(told)
}

fn low_notice(product: &Product, available: u64) -> NewNotice<'_> {
    NewNotice {
        kind: "stock.low",
        subject: product.id.as_str(),
        title: format!("The stock of {} is low: {available} cards are left", product.id),
        lines: vec![
            format!("Product: {}", product.name),
            format!("Cards that can be sold: {available}"),
            format!("Threshold: {}", product.low_stock),
            format!(
                "How long they will do: unigate cards stock. More cards: unigate cards import --product {} FILE",
                product.id
            ),
        ],
        mail_to: &product.alert_mail_to,
    }
}

/// Withdraws cards that come nearer to their last day than their product allows. Returns how many. None of them could be
/// sold any more before that: this is what makes it seen.
pub async fn withdraw_expiring(store: &Store, declarations: &Declarations) -> Result<usize, StoreError> {
    let mut rules: Vec<ExpiryRule> = declarations
        .products
        .values()
        .map(|declared| ExpiryRule::of(&declared.value))
        .collect();
    rules.sort_by(|left, right| left.product.cmp(&right.product));
    let mut all = 0;
    loop {
        let withdrawn = store::cards::withdraw_expiring(store, &rules, WITHDRAWN_AT_ONCE).await?;
        for some in &withdrawn {
            let (product, cards) = (&some.product, some.serials.len());
            tracing::info!(%product, cards, "cards were withdrawn: they run out of date");
            metrics::counter!("unigate_cards_out_of_date_total", "product" => product.to_string())
                .increment(cards as u64);
            all += cards;
        }
        if withdrawn.is_empty() {
            return Ok(all);
        }
    }
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
    let open = store::cases::count_open(store).await?;
    for kind in CaseKind::ALL {
        let count = open
            .iter()
            .find(|(of, ..)| *of == kind)
            .map_or(0, |(_, count, _)| *count);
        metrics::gauge!("unigate_card_cases_open", "kind" => kind.as_str()).set(count as f64);
    }
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
