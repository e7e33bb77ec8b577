//! `card.availability`: what can be bought, how much of it there is and for how much.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use contract::answer::{Availability, CardAvailabilityAnswer};
use contract::message::CardAvailability;
use domain::declaration::{Product, Reissue};
use domain::ids::ProductId;
use store::cards::Available;
use store::declarations::Declarations;
use store::{StoreError, Tx};

use crate::batch::Batch;
use crate::desk::Desk;

/// A count larger than this is told again for a while: it costs its size, and one card more or less means nothing to it.
const LARGE: u64 = 20_000;
/// For how long.
const LARGE_LIFETIME: Duration = Duration::from_secs(2);

/// Large counts of a moment ago.
#[derive(Debug, Default)]
pub(crate) struct Counts(Mutex<HashMap<ProductId, (Instant, u64)>>);

/// Answers every request, with one query for all of them.
pub(crate) async fn availability(
    desk: &Desk,
    tx: &Tx,
    declarations: &Declarations,
    asked: &[(usize, &CardAvailability)],
    batch: &mut Batch,
) -> Result<(), StoreError> {
    if asked.is_empty() {
        return Ok(());
    }
    let lists: Vec<Vec<&Product>> = asked
        .iter()
        .map(|(_, request)| offered(declarations, request))
        .collect();
    let products: BTreeSet<&ProductId> = lists.iter().flatten().map(|product| &product.id).collect();
    let counts = count(desk, tx, declarations, &products).await?;
    for ((place, _), list) in asked.iter().zip(lists) {
        let products = list
            .into_iter()
            .map(|product| Availability {
                product: product.id.clone(),
                available: counts.get(&product.id).copied().unwrap_or(0),
                price: product.price,
                currency: product.currency,
                suspended: product.suspended,
            })
            .collect();
        batch.answer(*place, &CardAvailabilityAnswer::Ok { products });
    }
    Ok(())
}

/// What the terminal may sell of what it asks about, in order of ids; nothing asked = all.
fn offered<'d>(declarations: &'d Declarations, request: &CardAvailability) -> Vec<&'d Product> {
    let group = declarations
        .terminals
        .get(&request.terminal)
        .and_then(|terminal| terminal.value.group.as_deref());
    let is_asked = |id: &ProductId| request.products.is_empty() || request.products.contains(id);
    let mut products: Vec<&Product> = declarations
        .products
        .values()
        .map(|declared| &*declared.value)
        .filter(|product| is_asked(&product.id) && product.is_offered_to(group))
        .collect();
    products.sort_by(|a, b| a.id.cmp(&b.id));
    products
}

async fn count(
    desk: &Desk,
    tx: &Tx,
    declarations: &Declarations,
    products: &BTreeSet<&ProductId>,
) -> Result<HashMap<ProductId, u64>, StoreError> {
    let mut counts = recent(&desk.counts, products);
    let uncounted: Vec<ProductId> = products
        .iter()
        .filter(|id| !counts.contains_key(**id))
        .map(|id| (*id).clone())
        .collect();
    if uncounted.is_empty() {
        return Ok(counts);
    }
    let counted = store::cards::available(tx, &uncounted, i64::MAX).await?;
    let mut large = desk.counts.0.lock().unwrap_or_else(PoisonError::into_inner);
    for found in counted {
        let declared = declarations.products.get(&found.product);
        let total = sellable(declared.map(|declared| &*declared.value), &found);
        if total > LARGE {
            large.insert(found.product.clone(), (Instant::now(), total));
        }
        counts.insert(found.product, total);
    }
    Ok(counts)
}

/// How many of the counted cards can be sold: those that came back only where the product allows it.
pub(crate) fn sellable(product: Option<&Product>, counted: &Available) -> u64 {
    let returned_too = product.is_some_and(|product| product.reissue_exposed != Reissue::Never);
    let total = counted.fresh + if returned_too { counted.returned } else { 0 };
    u64::try_from(total).unwrap_or(0)
}

fn recent(counts: &Counts, products: &BTreeSet<&ProductId>) -> HashMap<ProductId, u64> {
    let mut large = counts.0.lock().unwrap_or_else(PoisonError::into_inner);
    large.retain(|_, (at, _)| at.elapsed() < LARGE_LIFETIME);
    products
        .iter()
        .filter_map(|id| large.get(*id).map(|(_, count)| ((*id).clone(), *count)))
        .collect()
}
