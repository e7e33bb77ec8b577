//! Re-sends: a period's payments once more, as registers of kind `copy`.
//!
//! A copy holds only payments that are in closed regular registers, and changes nothing about their membership. It is
//! rendered as the payee is declared now: whoever asks for a copy may have lost the key of the old encryption.

use domain::declaration::{Payee, RegisterProfile};
use domain::{PayeeId, RegisterId};
use jiff::Timestamp;
use serde_json::json;

use crate::audit::{self, Act};
use crate::{Store, StoreError, Tx};

/// What an operator asks for.
#[derive(Clone, Debug)]
pub struct CopyRequest {
    /// Whose payments.
    pub payee: PayeeId,
    /// Accepted at this moment or later …
    pub from: Timestamp,
    /// … and before this one.
    pub to: Timestamp,
    /// Who asks.
    pub requested_by: String,
    /// Where it goes instead of the payee's own addresses.
    pub to_address: Option<String>,
}

/// Freezes copies of a period, one per series that has payments in it. Refused when none has.
pub async fn resend(store: &Store, request: &CopyRequest) -> Result<Vec<RegisterId>, StoreError> {
    let payee_id = &request.payee;
    if request.from >= request.to {
        return Err(StoreError::Changed("the period ends before it begins".to_owned()));
    }
    let tx = store.begin().await?;
    // The lock makes requests take turns over the sequence of copies, and holds still what is closed.
    let series = tx
        .query(
            "SELECT series_id, last_hi, name FROM series WHERE payee_id = $1 ORDER BY series_id FOR NO KEY UPDATE",
            &[&payee_id.as_str()],
        )
        .await?;
    if series.is_empty() {
        return Err(StoreError::Changed(format!("payee {payee_id} has no registers")));
    }
    let declared = tx
        .query_one(
            "SELECT version, declaration FROM payee WHERE payee_id = $1",
            &[&payee_id.as_str()],
        )
        .await?;
    let payee: Payee = serde_json::from_value(declared.get(1))?;
    let mut copies = Vec::new();
    for row in &series {
        let own = payee.clone().for_series(row.get(2));
        copies.extend(copy(&tx, request, &own, declared.get(0), (row.get(0), row.get(1))).await?);
    }
    if copies.is_empty() {
        return Err(StoreError::Changed(format!(
            "payee {payee_id} has no payments in closed registers accepted from {} to {}",
            request.from, request.to
        )));
    }
    record(&tx, request, &copies).await?;
    tx.commit().await?;
    Ok(copies)
}

/// What of a series' closed ranges was accepted in the period. The registers' own times narrow it down first.
const PERIOD: &str = "WITH near AS (
        SELECT min(lo) AS lo, max(hi) AS hi FROM register
        WHERE series_id = $1 AND kind = 'regular' AND last_accepted_at >= $3 AND first_accepted_at < $4)
    SELECT count(*), coalesce(sum(p.amount), 0)::bigint, min(p.position), max(p.position),
           min(p.accepted_at), max(p.accepted_at), min(p.currency)
    FROM near JOIN payment p ON p.series_id = $1 AND p.position >= near.lo AND p.position <= least(near.hi, $2)
    WHERE p.accepted_at >= $3 AND p.accepted_at < $4 AND p.state <> 'revoked'";

async fn copy(
    tx: &Tx,
    request: &CopyRequest,
    payee: &Payee,
    version: i32,
    (series_id, last_hi): (i64, i64),
) -> Result<Option<RegisterId>, StoreError> {
    let found = tx
        .query_one(PERIOD, &[&series_id, &last_hi, &request.from, &request.to])
        .await?;
    let count: i64 = found.get(0);
    if count == 0 {
        return Ok(None);
    }
    let own = || {
        payee
            .register
            .as_ref()
            .map(RegisterProfile::recipients)
            .unwrap_or_default()
    };
    let mail_to = request.to_address.clone().map_or_else(own, |address| vec![address]);
    let register_id = RegisterId::random();
    tx.execute(
        "INSERT INTO register (register_id, series_id, payee_id, payee_version, kind, sequence, lo, hi, period_from,
             period_to, cutoff, payment_count, total, first_accepted_at, last_accepted_at, currency, requested_by, mail_to)
         VALUES ($1, $2, $3, $4, 'copy',
             (SELECT coalesce(max(sequence), 0) + 1 FROM register WHERE series_id = $2 AND kind = 'copy'),
             $5, $6, $7, $8, $8, $9, $10, $11, $12, $13, $14, $15)",
        &[
            &register_id.as_uuid(),
            &series_id,
            &payee.id.as_str(),
            &version,
            &found.get::<_, i64>(2),
            &found.get::<_, i64>(3),
            &request.from,
            &request.to,
            &count,
            &found.get::<_, i64>(1),
            &found.get::<_, Timestamp>(4),
            &found.get::<_, Timestamp>(5),
            &found.get::<_, &str>(6),
            &request.requested_by,
            &mail_to,
        ],
    )
    .await?;
    Ok(Some(register_id))
}

async fn record(tx: &Tx, request: &CopyRequest, copies: &[RegisterId]) -> Result<(), StoreError> {
    let ids: Vec<String> = copies.iter().map(ToString::to_string).collect();
    let after = json!({
        "from": request.from, "to": request.to, "to_address": request.to_address, "registers": ids,
    });
    let act = Act {
        who: &request.requested_by,
        act: "registers resend",
        subject_kind: "payee",
        subject: request.payee.as_str(),
        reason: None,
        before: None,
        after: Some(after),
    };
    audit::record(tx, &act).await
}
