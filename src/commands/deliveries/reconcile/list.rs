//! A payee's list, asked of the payee page by page.

use std::collections::HashSet;
use std::time::Duration;

use anyhow::bail;
use contract::unikassa::{List, ListAnswer, ListItem};
use couriers::ListError;
use databases::Lister;
use domain::declaration::Gateway;
use domain::reconciliation::{CLOCK_MARGIN, Theirs};
use store::reconciliation::Item;
use unikassa::Caller;

use super::{Online, Taker};
use crate::operator::Operator;

/// How often a page is asked for that does not come, and how long after.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_secs(2);
/// Pages after which a list is taken to have no end.
const PAGES_MAX: u32 = 1_000_000;

/// Who asks, by the payee's gateway.
enum Asking {
    Protocol(Box<Caller>),
    Data(Box<Lister>),
}

impl Asking {
    fn of(online: &Online) -> anyhow::Result<Self> {
        Ok(match online.payee.gateway {
            Gateway::Databases => Self::Data(Box::new(Lister::of(&online.payee)?)),
            _ => Self::Protocol(Box::new(Caller::new()?)),
        })
    }

    async fn page(&self, operator: &Operator, online: &Online, page: &List) -> Result<ListAnswer, ListError> {
        match self {
            Self::Protocol(caller) => unikassa::list(&operator.store, caller, &online.payee, page).await,
            // Large: it holds the conversation with any of the databases.
            Self::Data(lister) => Box::pin(lister.page(&operator.store, page)).await,
        }
    }
}

/// Takes it all down. The payee is asked for a little more than the period: a payment that it credited just before its
/// midnight was delivered just after ours. Pages may overlap: an entry that was on the page before is the same one. One may be
/// empty and not the last: the payee has looked through much that is not on its list. Those around it may overlap as well.
pub(super) async fn ask(operator: &Operator, online: &Online, taker: &mut Taker<'_>) -> anyhow::Result<()> {
    let asking = Asking::of(online)?;
    let edge = CLOCK_MARGIN + online.terms.timeout;
    let mut page = List {
        from: taker.run.from - edge,
        to: taker.run.to + edge,
        after: None,
    };
    let mut page_before = HashSet::new();
    for _ in 0..PAGES_MAX {
        let ListAnswer { items, next } = patiently(operator, &asking, online, &page).await?;
        if next.is_some() && next == page.after {
            bail!("the payee's list does not go on: a page repeats itself");
        }
        let items: Vec<Item> = items.into_iter().map(taken_down).collect();
        for item in items.iter().filter(|item| !page_before.contains(*item)) {
            taker.take(item.clone()).await?;
        }
        if !items.is_empty() {
            page_before = items.into_iter().collect();
        }
        if next.is_none() {
            return Ok(());
        }
        page.after = next;
    }
    bail!("the payee's list does not end")
}

fn taken_down(item: ListItem) -> Item {
    Item {
        number: item.number,
        theirs: Theirs {
            amount: item.amount.minor(),
            currency: item.currency.code().to_owned(),
            credited_at: Some(item.credited_at),
            provider_reference: item.provider_reference,
        },
    }
}

async fn patiently(operator: &Operator, asking: &Asking, online: &Online, page: &List) -> anyhow::Result<ListAnswer> {
    let mut tries = 1;
    loop {
        match asking.page(operator, online, page).await {
            Err(ListError::Unavailable(_)) if tries < TRIES => tokio::time::sleep(PAUSE).await,
            answered => return Ok(answered?),
        }
        tries += 1;
    }
}
