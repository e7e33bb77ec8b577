//! Building under a lease: claim, read in pages, record. Whoever lost the lease records nothing.
//!
//! The lease's token is the id of the artifact being written, so that what a killed builder leaves behind is known for
//! what it is and swept away.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::declaration::Payee;
use domain::{Currency, Number, RegisterId};
use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::closing::seconds;
use super::{SUMMARY_COLUMNS, SUMMARY_WIDTH, Summary, summary_of};
use crate::artifacts::{self, Finished};
use crate::audit::{self, Act};
use crate::{Store, StoreError, Tx, mailings};

/// A frozen register in the hands of one builder.
#[derive(Clone, Debug)]
pub struct Build {
    /// What was frozen.
    pub summary: Summary,
    /// The lease; also the id of the artifact being written.
    pub token: Uuid,
    /// The payee in the version the range was closed under, as the series has it.
    pub payee: Payee,
    /// When the range was closed.
    pub closed_at: Timestamp,
    /// Whom the file goes to.
    pub mail_to: Vec<String>,
    /// How many builds were begun, this one included.
    pub attempts: i32,
    /// Set when it holds what was delivered in this period, and not positions of the ledger.
    pub delivered: Option<(Timestamp, Timestamp)>,
    series_id: i64,
    lo: i64,
    hi: i64,
}

/// One payment as a register shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisterRow {
    /// Its place in the ledger; none where what was delivered is listed.
    pub position: Option<i64>,
    /// What the payee knows it by.
    pub number: Number,
    /// When we took it, or when it was delivered, where that is listed. Pages go on after it and the number, or after the
    /// position.
    pub at: Timestamp,
    /// When the payer paid.
    pub paid_at: Timestamp,
    /// The payer's account, as it came.
    pub account: String,
    /// In minor units.
    pub amount: i64,
    /// Its currency.
    pub currency: Currency,
    /// The number on the payer's receipt, as it came.
    pub receipt_number: Option<String>,
    /// What else the payer entered, as it came.
    pub fields: BTreeMap<String, String>,
}

/// Takes the oldest register that is due to be built and nobody's, for `lease`.
pub async fn claim_build(store: &Store, lease: Duration) -> Result<Option<Build>, StoreError> {
    let token = Uuid::now_v7();
    // `due_at` moves with the lease: until it has run out the register is not due, whoever looks.
    let sql = format!(
        "WITH taken AS (
             UPDATE register SET lease_token = $1, attempts = attempts + 1,
                 lease_until = clock_timestamp() + make_interval(secs => $2),
                 due_at = clock_timestamp() + make_interval(secs => $2)
             WHERE register_id = (SELECT register_id FROM register
                 WHERE state = 'frozen' AND due_at <= clock_timestamp() ORDER BY due_at LIMIT 1 FOR UPDATE SKIP LOCKED)
             RETURNING *)
         SELECT {SUMMARY_COLUMNS}, r.closed_at, r.mail_to, r.attempts, r.series_id, r.lo, r.hi, v.declaration,
                s.holds = 'delivered', r.period_from, r.period_to
         FROM taken r JOIN series s USING (series_id)
         JOIN payee_version v ON v.payee_id = r.payee_id AND v.version = r.payee_version"
    );
    let Some(row) = store.query_opt(&sql, &[&token, &lease.as_secs_f64()]).await? else {
        return Ok(None);
    };
    let delivered = row.get::<_, bool>(SUMMARY_WIDTH + 7);
    let period = || Some((row.get(SUMMARY_WIDTH + 8), row.get(SUMMARY_WIDTH + 9)));
    let summary = summary_of(&row)?;
    let payee: Payee = serde_json::from_value(row.get(SUMMARY_WIDTH + 6))?;
    Ok(Some(Build {
        delivered: if delivered { period() } else { None },
        payee: payee.for_series(&summary.series),
        summary,
        token,
        closed_at: row.get(SUMMARY_WIDTH),
        mail_to: row.get(SUMMARY_WIDTH + 1),
        attempts: row.get(SUMMARY_WIDTH + 2),
        series_id: row.get(SUMMARY_WIDTH + 3),
        lo: row.get(SUMMARY_WIDTH + 4),
        hi: row.get(SUMMARY_WIDTH + 5),
    }))
}

/// How long until a register is due to be built; none when none waits.
pub async fn builds_due_in(store: &Store) -> Result<Option<Duration>, StoreError> {
    let row = store
        .query_one(
            "SELECT extract(epoch FROM min(due_at) - clock_timestamp())::float8 FROM register
             WHERE state = 'frozen' AND due_at IS NOT NULL",
            &[],
        )
        .await?;
    Ok(row.get::<_, Option<f64>>(0).map(seconds))
}

/// Holds the lease for longer. False: it ran out and is somebody else's; stop.
pub async fn renew_build(store: &Store, build: &Build, lease: Duration) -> Result<bool, StoreError> {
    let renewed = store
        .execute(
            "UPDATE register SET lease_until = clock_timestamp() + make_interval(secs => $3),
                 due_at = clock_timestamp() + make_interval(secs => $3)
             WHERE register_id = $1 AND lease_token = $2 AND state = 'frozen'",
            &[&build.summary.register_id.as_uuid(), &build.token, &lease.as_secs_f64()],
        )
        .await?;
    Ok(renewed == 1)
}

/// The next payments of the range after one (none = from the start), in the order of positions, or of delivery. The range
/// is closed, so every page and every build sees the same payments.
pub async fn rows_after(
    store: &Store,
    build: &Build,
    after: Option<&RegisterRow>,
    most: i64,
) -> Result<Vec<RegisterRow>, StoreError> {
    let rows = match build.delivered {
        None => {
            let position = after.and_then(|row| row.position).unwrap_or(build.lo - 1);
            store
                .query(
                    "SELECT position, number, accepted_at, paid_at, account, amount, currency, receipt_number, fields
                     FROM payment WHERE series_id = $1 AND position > $2 AND position <= $3 AND state <> 'revoked'
                     ORDER BY position LIMIT $4",
                    &[&build.series_id, &position, &build.hi, &most],
                )
                .await?
        }
        Some((from, to)) => {
            let (at, number) = after.map_or((from, 0), |row| (row.at, row.number.get()));
            store
                .query(
                    "SELECT NULL::int8, number, delivered_at, paid_at, account, amount, currency, receipt_number, fields
                     FROM payment WHERE payee_id = $1 AND (delivered_at, number) > ($2, $3) AND delivered_at < $4
                     ORDER BY delivered_at, number LIMIT $5",
                    &[&build.summary.payee.as_str(), &at, &number, &to, &most],
                )
                .await?
        }
    };
    rows.iter()
        .map(|row| {
            let fields: Value = row.get(8);
            Ok(RegisterRow {
                position: row.get(0),
                number: Number::new(row.get(1))?,
                at: row.get(2),
                paid_at: row.get(3),
                account: row.get(4),
                amount: row.get(5),
                currency: Currency::parse(row.get(6))?,
                receipt_number: row.get(7),
                fields: serde_json::from_value(fields)?,
            })
        })
        .collect()
}

/// Records a finished file and, for each recipient, that it is to be mailed. False: the lease was lost, nothing was
/// recorded, and the caller drops its transaction and the artifact.
pub async fn record_built(
    tx: &Tx,
    build: &Build,
    file_name: &str,
    finished: &Finished,
    message_id: &str,
) -> Result<bool, StoreError> {
    let register_id = build.summary.register_id.as_uuid();
    // The row is locked before the file gets its name: of two builders only one comes this far.
    let held = tx
        .query_opt(
            "SELECT FROM register WHERE register_id = $1 AND lease_token = $2 AND state = 'frozen' FOR UPDATE",
            &[&register_id, &build.token],
        )
        .await?;
    if held.is_none() {
        return Ok(false);
    }
    artifacts::finish(tx, build.token, finished).await?;
    tx.execute(
        "UPDATE register SET state = 'built', built_at = clock_timestamp(), file_name = $2, sha256 = $3, bytes = $4,
             lease_token = NULL, lease_until = NULL, due_at = NULL, last_error = NULL
         WHERE register_id = $1",
        &[&register_id, &file_name, &&finished.sha256[..], &finished.bytes],
    )
    .await?;
    mailings::add(tx, build.summary.register_id, &build.mail_to, message_id).await?;
    Ok(true)
}

/// Records that the register cannot be built, which is an operator's business from now on. False: the lease was lost.
pub async fn record_build_failed(tx: &Tx, build: &Build, error: &str) -> Result<bool, StoreError> {
    let failed = tx
        .execute(
            "UPDATE register SET state = 'failed', last_error = $3, lease_token = NULL, lease_until = NULL, due_at = NULL
             WHERE register_id = $1 AND lease_token = $2 AND state = 'frozen'",
            &[&build.summary.register_id.as_uuid(), &build.token, &error],
        )
        .await?;
    Ok(failed == 1)
}

/// Gives the register back, to be built after `delay`: what stood in the way was not the register.
pub async fn release_build(store: &Store, build: &Build, error: &str, delay: Duration) -> Result<(), StoreError> {
    store
        .execute(
            "UPDATE register SET last_error = $3, lease_token = NULL, lease_until = NULL,
                 due_at = clock_timestamp() + make_interval(secs => $4)
             WHERE register_id = $1 AND lease_token = $2 AND state = 'frozen'",
            &[
                &build.summary.register_id.as_uuid(),
                &build.token,
                &error,
                &delay.as_secs_f64(),
            ],
        )
        .await
        .map(drop)
}

/// An operator's act: a register whose build failed is built again. Refused for any other.
pub async fn requeue_build(store: &Store, register: RegisterId, who: &str) -> Result<(), StoreError> {
    let tx = store.begin().await?;
    let requeued = tx
        .execute(
            "UPDATE register SET state = 'frozen', due_at = clock_timestamp()
             WHERE register_id = $1 AND state = 'failed' AND sha256 IS NULL",
            &[&register.as_uuid()],
        )
        .await?;
    if requeued == 0 {
        return Err(StoreError::Changed(format!(
            "register {register}: there is none whose build failed"
        )));
    }
    let subject = register.to_string();
    let act = Act {
        who,
        act: "registers rebuild",
        subject_kind: "register",
        subject: &subject,
        reason: None,
        before: Some(Value::from("failed")),
        after: Some(Value::from("frozen")),
    };
    audit::record(&tx, &act).await?;
    tx.commit().await
}
