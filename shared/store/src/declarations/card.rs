//! What whoever only looks may read of payees: who they are, and when their registers are closed (view `payee_card`).

use domain::PayeeId;
use domain::declaration::{Gateway, Payee, Zone};
use jiff::tz::TimeZone;

use super::{Declared, readable};
use crate::{Store, StoreError};

/// A payee in short.
#[derive(Clone, Debug)]
pub struct PayeeCard {
    /// How it is served.
    pub gateway: Gateway,
    /// In which its dates are meant: that of its registers, else of its calls, else UTC.
    pub time_zone: TimeZone,
}

/// One payee in short; none = it is not declared.
pub async fn payee_card(store: &Store, payee: &PayeeId) -> Result<Option<PayeeCard>, StoreError> {
    let sql = "SELECT declaration -> 'gateway', time_zone FROM payee_card WHERE payee_id = $1";
    let Some(row) = store.query_opt(sql, &[&payee.as_str()]).await? else {
        return Ok(None);
    };
    let zone = row.get::<_, Option<&str>>(1).map(Zone::parse).transpose();
    let zone = zone.map_err(|wrong| StoreError::unreadable(format!("payee {payee}: {wrong}")))?;
    Ok(Some(PayeeCard {
        gateway: serde_json::from_value(row.get(0))?,
        time_zone: zone.map_or(TimeZone::UTC, |zone| zone.tz().clone()),
    }))
}

/// All payees that can be read, each with its card for a declaration: what it says of calls, fields and files is left out.
pub async fn payee_cards(store: &Store) -> Result<Vec<Declared<Payee>>, StoreError> {
    let rows = store.query("SELECT version, declaration FROM payee_card", &[]).await?;
    Ok(rows.iter().filter_map(readable).collect())
}
