//! The operator of the day, by the functions that the command line calls: cards imported, a parked payment set right and
//! put back, another settled by hand, registers built at closing time.

use std::path::Path;
use std::time::Duration;

use anyhow::bail;
use domain::ids::{PayeeId, ProductId};
use runtime::{Context, Nudge};
use serde_json::json;
use store::audit::{self, Act};
use store::parked::{self, Filter, Parked, PutBack};
use store::{Store, StoreError, imports, registers};
use uuid::Uuid;

use super::services::OPERATOR;
use super::spoilt::MISSPELT_PAYEE;
use super::stock::Stock;
use super::wait::until;

const IMPORTED_WITHIN: Duration = Duration::from_secs(30);

/// What came of importing the card files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Imported {
    pub(super) files: usize,
    pub(super) added: i64,
    pub(super) duplicates: i64,
}

/// Hands the card files in and waits until the cards worker has entered them. They are kept beside the mails, so that
/// somebody can look at what was sold.
pub(super) async fn import(context: &Context, stock: &Stock, directory: &Path) -> anyhow::Result<Imported> {
    std::fs::create_dir_all(directory)?;
    let recipients = cards::vault::recipients(&context.store).await?;
    let mut ids = Vec::new();
    for file in &stock.files {
        std::fs::write(directory.join(&file.name), &file.text)?;
        let product = ProductId::parse(file.product)?;
        let bytes = file.text.as_bytes();
        ids.push(cards::import::submit(&context.store, &recipients, &product, &file.name, bytes, OPERATOR).await?);
        context.nudge(Nudge::Imports);
    }
    let mut imported = Imported {
        files: ids.len(),
        ..Imported::default()
    };
    let done = until(IMPORTED_WITHIN, async || {
        let all = imports::list(&context.store).await?;
        imported.added = all.iter().map(|one| one.added).sum();
        imported.duplicates = all.iter().map(|one| one.duplicates).sum();
        context.nudge(Nudge::Imports);
        Ok(all.iter().filter(|one| one.state == "done").count() == ids.len())
    });
    if !done.await? {
        bail!("the card files were not entered within {IMPORTED_WITHIN:?}");
    }
    Ok(imported)
}

/// What the operator did about the parking lot.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Acts {
    /// The payment that was put back under the right payee.
    pub(super) put_back: Option<(Uuid, Uuid)>,
    /// How many of two clicks on it did something.
    pub(super) clicks_that_counted: usize,
    /// The fact that was settled by hand.
    pub(super) discarded: Option<Uuid>,
}

/// Sets one misspelt payee right and puts the payment back, with two clicks at once; settles another fact by hand.
pub(super) async fn tidy_up(context: &Context) -> anyhow::Result<Acts> {
    let store = &context.store;
    let all = parked::list(store, &Filter::default()).await?;
    let mut acts = Acts::default();
    if let Some(row) = all.iter().find(|row| row.reason == "unknown_payee") {
        let corrected = String::from_utf8_lossy(&row.body).replace(MISSPELT_PAYEE, "gorvodokanal");
        let (first, second) = tokio::join!(put_back(store, row, &corrected), put_back(store, row, &corrected));
        acts.clicks_that_counted = [first?, second?].into_iter().filter(|done| *done).count();
        acts.put_back = row.payment_id.map(|payment| (row.parked_id, payment));
        context.nudge(Nudge::Parked);
    }
    let settled = all
        .iter()
        .find(|row| row.reason == "invalid_request" && row.detail.contains("amount"));
    if let Some(row) = settled {
        discard(store, row).await?;
        acts.discarded = Some(row.parked_id);
    }
    Ok(acts)
}

/// False: somebody else was first, and the audit log says so.
async fn put_back(store: &Store, row: &Parked, corrected: &str) -> anyhow::Result<bool> {
    let subject = row.parked_id.to_string();
    let act = act_on(row, &subject, "parked put-back", "the payee's name was misspelt");
    let tx = store.begin().await?;
    match parked::put_back(&tx, row.parked_id, act.who, PutBack::corrected(corrected.as_bytes())).await {
        Ok(()) => {
            audit::record(&tx, &act).await?;
            tx.commit().await?;
            Ok(true)
        }
        Err(StoreError::Changed(_)) => {
            drop(tx);
            audit::record_denied(store, &act).await?;
            Ok(false)
        }
        Err(error) => Err(error.into()),
    }
}

async fn discard(store: &Store, row: &Parked) -> anyhow::Result<()> {
    let reason = "the kiosk's program counts in fractions; paid out in cash";
    let subject = row.parked_id.to_string();
    let tx = store.begin().await?;
    parked::discard(&tx, row.parked_id, OPERATOR, reason).await?;
    audit::record(&tx, &act_on(row, &subject, "parked discard", reason)).await?;
    Ok(tx.commit().await?)
}

fn act_on<'a>(row: &Parked, subject: &'a str, act: &'a str, reason: &'a str) -> Act<'a> {
    Act {
        who: OPERATOR,
        act,
        subject_kind: "parked",
        subject,
        reason: Some(reason),
        before: Some(json!({ "state": row.state, "reason": row.reason, "detail": row.detail })),
        after: None,
    }
}

/// Closes what is open of every payee with registers, as `registers build` does at the end of a day.
pub(super) async fn close_registers(context: &Context) -> anyhow::Result<usize> {
    let mut closed = 0;
    for payee in ["gorvodokanal", "teploset"] {
        closed += registers::close_now(&context.store, &PayeeId::parse(payee)?, OPERATOR)
            .await?
            .len();
    }
    context.nudge(Nudge::Registers);
    Ok(closed)
}
