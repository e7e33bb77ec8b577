//! Declaring a payee, with all that follows: its versions, its series, its lane, and what waits to be mailed.

use domain::declaration::{DELIVERED_SERIES, Gateway, Payee, RegisterProfile, mask_secrets};
use serde_json::Value;

use super::{Applied, check_zone, finish, lock_current, next_version};
use crate::{StoreError, Tx};
use crate::{lanes, mailings};

/// Declares a payee: a new version if anything changed. Its series and lane follow.
///
/// The caller closes the open range of a register payee first (`registers::close_before_change`).
pub async fn apply_payee(tx: &Tx, payee: &Payee, who: &str) -> Result<Applied, StoreError> {
    let gateway = payee.gateway.as_str();
    let before = lock_current(
        tx,
        "SELECT version, declaration FROM payee WHERE payee_id = $1 FOR NO KEY UPDATE",
        payee.id.as_str(),
    )
    .await?;
    let declaration = serde_json::to_value(payee)?;
    let Some((applied, version)) = next_version(&before, &declaration) else {
        return Ok(Applied::Unchanged);
    };
    if let Some((_, old)) = &before {
        check_change(tx, payee, old).await?;
    }
    tx.execute(
        "INSERT INTO payee (payee_id, version, gateway, suspended, retired, declaration) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (payee_id) DO UPDATE SET version = excluded.version, suspended = excluded.suspended,
             retired = excluded.retired, declaration = excluded.declaration, updated_at = clock_timestamp()",
        &[&payee.id.as_str(), &version, &gateway, &payee.suspended, &payee.retired, &declaration],
    )
    .await?;
    tx.execute(
        "INSERT INTO payee_version (payee_id, version, declaration, applied_by) VALUES ($1, $2, $3, $4)",
        &[&payee.id.as_str(), &version, &declaration, &who],
    )
    .await?;
    if let Some(profile) = &payee.register {
        declare_series(tx, payee, profile).await?;
    }
    mailings::follow(tx, payee.id.as_str(), &declaration).await?;
    if let Some(online) = payee.online() {
        let another = before
            .as_ref()
            .is_some_and(|(_, old)| old[gateway] != declaration[gateway]);
        lanes::declare(tx, payee.id.as_str(), &online, payee.suspended, another).await?;
    }
    finish(
        tx,
        "payees apply",
        "payee",
        payee.id.as_str(),
        who,
        before.map(|(_, old)| masked(old)),
        masked(declaration),
    )
    .await?;
    Ok(applied)
}

/// What another payee would be is refused. The currency can be put right while nothing was taken in it: afterwards sums of one series
/// would be of two.
async fn check_change(tx: &Tx, payee: &Payee, old: &Value) -> Result<(), StoreError> {
    let gateway = payee.gateway.as_str();
    if old["gateway"] != gateway {
        return Err(StoreError::Changed(format!(
            "payee {}: the gateway cannot change from {} to {gateway}; ids are never reused for another thing",
            payee.id, old["gateway"]
        )));
    }
    let (was, is) = (old["currency"].as_str().unwrap_or_default(), payee.currency.code());
    if was == is {
        return Ok(());
    }
    // A batch that takes its first payment at this moment is waited for.
    super::raise_generation(tx).await?;
    super::outlast_batches(tx).await?;
    let taken = tx
        .query_one(
            "SELECT EXISTS (SELECT FROM payment WHERE payee_id = $1)",
            &[&payee.id.as_str()],
        )
        .await?;
    if taken.get(0) {
        return Err(StoreError::Changed(format!(
            "payee {}: the currency cannot change from {was} to {is}: payments in {was} were accepted; declare another payee",
            payee.id
        )));
    }
    Ok(())
}

/// Series are made and never taken away: one that is not declared any more keeps its sequence, should it come back.
async fn declare_series(tx: &Tx, payee: &Payee, profile: &RegisterProfile) -> Result<(), StoreError> {
    if let Some((path, name)) = profile.named_calendars().first() {
        return Err(StoreError::Changed(format!(
            "payee {}: register.{path}: the calendar `{name}` is not there",
            payee.id
        )));
    }
    check_zone(tx, &profile.time_zone, || {
        format!("payee {}: register.time_zone", payee.id)
    })
    .await?;
    // What an online payee gets registers of is what was delivered to it.
    let (names, holds): (Vec<&str>, _) = match payee.gateway {
        Gateway::Registers => (profile.series_names().collect(), "accepted"),
        _ => (vec![DELIVERED_SERIES], "delivered"),
    };
    tx.execute(
        "INSERT INTO series (payee_id, name, holds) SELECT $1, name, $3 FROM UNNEST($2::text[]) WITH ORDINALITY AS n (name, at)
         ORDER BY at ON CONFLICT (payee_id, name) DO NOTHING",
        &[&payee.id.as_str(), &names, &holds],
    )
    .await
    .map(drop)
}

/// A payee's secrets may stand in its declaration as values; the audit log never repeats them.
fn masked(mut declaration: Value) -> Value {
    mask_secrets(&mut declaration);
    declaration
}
