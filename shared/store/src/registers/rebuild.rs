//! Building again what could not be built, when an operator says so.
//!
//! A register is rendered with the declaration it was closed with. Where that is what it cannot be built with (a key that has
//! expired, a column that is too short), no repetition helps, and nothing binds it to it either: nobody has ever had the file.
//! So it may be built as the payee is declared now. What it holds was settled when it was closed, and stays.

use domain::RegisterId;
use domain::declaration::{Payee, RegisterProfile};
use serde_json::{Value, json};
use tokio_postgres::Row;

use super::copies::rendered;
use crate::audit::{self, Act};
use crate::{Store, StoreError, Tx};

/// An operator's act: a register whose build failed is built again. Refused for any other.
pub async fn requeue_build(store: &Store, register: RegisterId, who: &str) -> Result<(), StoreError> {
    let tx = store.begin().await?;
    lock_failed(&tx, register).await?;
    tx.execute(
        "UPDATE register SET state = 'frozen', due_at = clock_timestamp() WHERE register_id = $1",
        &[&register.as_uuid()],
    )
    .await?;
    record(&tx, register, who, (Value::from("failed"), Value::from("frozen"))).await?;
    tx.commit().await
}

/// The same, as the payee is declared now. Whom it is mailed to follows that, too, but for a copy that was asked for elsewhere.
/// Refused where that is the declaration it was closed with. Returns the version that it is built with.
pub async fn requeue_build_as_declared(store: &Store, register: RegisterId, who: &str) -> Result<i32, StoreError> {
    let tx = store.begin().await?;
    let found = lock_failed(&tx, register).await?;
    let refused = |why: String| StoreError::Changed(format!("register {register}: {why}"));
    let (then, now): (i32, i32) = (found.get(2), found.get(4));
    if then == now {
        return Err(refused(format!(
            "it was closed with version {now} of its payee, which is how that is declared now: apply the payee mended first"
        )));
    }
    let series: &str = found.get(6);
    let of_series = |declaration: Value| -> Result<Payee, StoreError> {
        Ok(serde_json::from_value::<Payee>(declaration)?.for_series(series))
    };
    let (before, after) = (of_series(found.get(3))?, of_series(found.get(5))?);
    if after.register.is_none() {
        return Err(refused(format!("payee {} has no [register] now", after.id)));
    }
    let asked: Vec<String> = found.get(7);
    let mail_to = if asked == recipients(&before) {
        recipients(&after)
    } else {
        asked.clone()
    };
    rendered(after, found.get(8))?;
    tx.execute(
        "UPDATE register SET state = 'frozen', due_at = clock_timestamp(), payee_version = $2, mail_to = $3
         WHERE register_id = $1",
        &[&register.as_uuid(), &now, &mail_to],
    )
    .await?;
    let before = json!({ "state": "failed", "payee_version": then, "mail_to": asked });
    let after = json!({ "state": "frozen", "payee_version": now, "mail_to": mail_to });
    record(&tx, register, who, (before, after)).await?;
    tx.commit().await?;
    Ok(now)
}

fn recipients(payee: &Payee) -> Vec<String> {
    let profile = payee.register.as_ref();
    profile.map(RegisterProfile::recipients).unwrap_or_default()
}

/// A register whose build failed, locked: nobody has ever had a file of it.
async fn lock_failed(tx: &Tx, register: RegisterId) -> Result<Row, StoreError> {
    let found = tx
        .query_opt(
            "SELECT r.state, r.built_at IS NOT NULL, r.payee_version, v.declaration, y.version, y.declaration, s.name,
                    r.mail_to, r.format
             FROM register r JOIN series s USING (series_id) JOIN payee y ON y.payee_id = r.payee_id
             JOIN payee_version v ON v.payee_id = r.payee_id AND v.version = r.payee_version
             WHERE r.register_id = $1 FOR UPDATE OF r",
            &[&register.as_uuid()],
        )
        .await?;
    let refused = |why: String| StoreError::Changed(format!("register {register} {why}"));
    let row = found.ok_or_else(|| refused("is unknown".to_owned()))?;
    if row.get(1) {
        return Err(refused("has its file, which goes out as it is".to_owned()));
    }
    match row.get(0) {
        "failed" => Ok(row),
        state => Err(refused(format!("is {state}: its build has not failed"))),
    }
}

async fn record(tx: &Tx, register: RegisterId, who: &str, (before, after): (Value, Value)) -> Result<(), StoreError> {
    let subject = register.to_string();
    let act = Act {
        who,
        act: "registers rebuild",
        subject_kind: "register",
        subject: &subject,
        reason: None,
        before: Some(before),
        after: Some(after),
    };
    audit::record(tx, &act).await
}
