//! Re-sends: a period's payments once more, as registers of kind `copy`.
//!
//! A copy changes nothing about membership. It holds payments that are in closed regular registers, and on demand those
//! that are in none yet. It is rendered, and sealed, as the payee is declared now, whatever versions its payments were
//! accepted under: whoever asks for a copy may have lost the key of the old encryption.

use domain::declaration::{Payee, RegisterFormat, RegisterProfile};
use domain::{PayeeId, RegisterId};
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio_postgres::Row;

use super::Summary;
use super::delivered::SETTLED;
use crate::audit::{self, Act};
use crate::{Store, StoreError, Tx};

/// What an operator asks for.
#[derive(Clone, Debug)]
pub struct CopyRequest {
    /// Whose payments.
    pub payee: PayeeId,
    /// Accepted (in a series of what was delivered: delivered) at this moment or later …
    pub from: Timestamp,
    /// … and before this one.
    pub to: Timestamp,
    /// Who asks.
    pub requested_by: String,
    /// Where it goes instead of the payee's own addresses.
    pub to_address: Option<String>,
    /// The format it is written in instead of the payee's own.
    pub format: Option<String>,
    /// Also payments that are in no regular register yet.
    pub include_open: bool,
}

/// Freezes copies of a period, one per series that has payments in it. Refused when none has.
pub async fn resend(store: &Store, request: &CopyRequest) -> Result<Vec<RegisterId>, StoreError> {
    let tx = store.begin().await?;
    let copies = freeze_all(&tx, request).await?;
    let ids: Vec<RegisterId> = copies.iter().map(|copy| copy.register_id).collect();
    record(&tx, request, &ids).await?;
    tx.commit().await?;
    Ok(ids)
}

/// What [`resend`] would freeze now, or be refused for. Nothing stands afterwards, and the ids are nobody's.
pub async fn look_at_resend(store: &Store, request: &CopyRequest) -> Result<Vec<Summary>, StoreError> {
    let tx = store.begin().await?;
    let copies = freeze_all(&tx, request).await?;
    tx.rollback().await?;
    Ok(copies)
}

async fn freeze_all(tx: &Tx, request: &CopyRequest) -> Result<Vec<Summary>, StoreError> {
    let payee_id = &request.payee;
    if request.from >= request.to {
        return Err(StoreError::Changed("the period ends before it begins".to_owned()));
    }
    // The lock makes requests take turns over the sequence of copies, and holds still what is closed: nothing is revoked
    // meanwhile.
    let series = tx
        .query(
            "SELECT series_id, last_hi, holds = 'delivered', last_cutoff, name FROM series WHERE payee_id = $1
             ORDER BY series_id FOR NO KEY UPDATE",
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
        if let Some(covered) = cover(tx, request, row).await? {
            let own = rendered(payee.clone().for_series(&covered.series), request.format.as_deref())?;
            copies.push(freeze(tx, request, &own, declared.get(0), &covered).await?);
        }
    }
    if copies.is_empty() {
        let which = if request.include_open {
            ""
        } else {
            " in closed registers"
        };
        return Err(StoreError::Changed(format!(
            "payee {payee_id} has no payments{which} from {} to {}",
            request.from, request.to
        )));
    }
    Ok(copies)
}

/// The payee as a copy in this format shows it. What the declaration says about its own format is not for another.
pub(super) fn in_format(payee: Payee, format: Option<&str>) -> Result<Payee, StoreError> {
    let Some(format) = format else { return Ok(payee) };
    let format: RegisterFormat = serde_json::from_value(Value::from(format))?;
    let register = payee.register.map(|declared| RegisterProfile {
        // The series that it is of was put in already.
        series: Vec::new(),
        ..declared.in_format(format)
    });
    Ok(Payee { register, ..payee })
}

/// The same, checked: a format that cannot be, or not of this payee, makes no copy.
pub(super) fn rendered(payee: Payee, format: Option<&str>) -> Result<Payee, StoreError> {
    let refused = |why: String| StoreError::Changed(format!("--format {}: {why}", format.unwrap_or_default()));
    let rendered = in_format(payee, format).map_err(|error| refused(error.to_string()))?;
    if format.is_some() {
        rendered.check().map_err(|wrong| {
            let wrong: Vec<String> = wrong.iter().map(ToString::to_string).collect();
            refused(wrong.join("; "))
        })?;
    }
    Ok(rendered)
}

/// What a copy of one series holds.
struct Covered {
    series_id: i64,
    series: String,
    period: (Timestamp, Timestamp),
    found: Row,
}

/// What of a series' closed ranges was accepted in the period, and of what is open, if that is asked for. The registers' own
/// times narrow it down first.
const ACCEPTED: &str = "WITH near AS (
        SELECT min(lo) AS lo, max(hi) AS hi FROM register
        WHERE series_id = $1 AND kind = 'regular' AND last_accepted_at >= $3 AND first_accepted_at < $4),
    range AS (SELECT lo, least(hi, $2) AS hi FROM near UNION ALL SELECT $2 + 1, 9223372036854775807 WHERE $5)
    SELECT count(*), coalesce(sum(p.amount), 0)::bigint, min(p.position), max(p.position),
           min(p.accepted_at), max(p.accepted_at), min(p.currency), count(*) FILTER (WHERE p.position > $2)
    FROM range JOIN payment p ON p.series_id = $1 AND p.position >= range.lo AND p.position <= range.hi
    WHERE p.accepted_at >= $3 AND p.accepted_at < $4 AND p.state <> 'revoked'";

/// The same of what was delivered. It has no positions: a copy needs none either.
const DELIVERED: &str =
    "SELECT count(*), coalesce(sum(amount), 0)::bigint, 1::int8, 1::int8, min(delivered_at), max(delivered_at),
           min(currency), count(*) FILTER (WHERE delivered_at >= $4)
    FROM payment WHERE payee_id = $1 AND delivered_at >= $2 AND delivered_at < $3";

/// Between these moments a series of what was delivered has told, or may tell, everything: from when it began, and up to
/// its last cut-off or to when no transaction can still add to it.
const BOUNDS: &str = "SELECT greatest($2, coalesce(min(period_from), $4)),
           least($3, CASE WHEN $5 THEN clock_timestamp() - make_interval(secs => $6) ELSE $4 END)
    FROM register WHERE series_id = $1 AND kind = 'regular'";

async fn cover(tx: &Tx, request: &CopyRequest, series: &Row) -> Result<Option<Covered>, StoreError> {
    let series_id: i64 = series.get(0);
    let mut period = (request.from, request.to);
    let found = if series.get(2) {
        let last_cutoff: Timestamp = series.get(3);
        let settled = SETTLED.as_secs_f64();
        let bounds = tx
            .query_one(
                BOUNDS,
                &[
                    &series_id,
                    &request.from,
                    &request.to,
                    &last_cutoff,
                    &request.include_open,
                    &settled,
                ],
            )
            .await?;
        period = (bounds.get(0), bounds.get(1));
        let payee = request.payee.as_str();
        tx.query_one(DELIVERED, &[&payee, &period.0, &period.1, &last_cutoff])
            .await?
    } else {
        let last_hi: i64 = series.get(1);
        tx.query_one(
            ACCEPTED,
            &[&series_id, &last_hi, &request.from, &request.to, &request.include_open],
        )
        .await?
    };
    Ok((found.get::<_, i64>(0) > 0).then_some(Covered {
        series_id,
        series: series.get(4),
        period,
        found,
    }))
}

async fn freeze(
    tx: &Tx,
    request: &CopyRequest,
    payee: &Payee,
    version: i32,
    covered: &Covered,
) -> Result<Summary, StoreError> {
    let own = || {
        let profile = payee.register.as_ref();
        profile.map(RegisterProfile::recipients).unwrap_or_default()
    };
    let mail_to = request.to_address.clone().map_or_else(own, |address| vec![address]);
    let found = &covered.found;
    let mut copy = Summary {
        register_id: RegisterId::random(),
        payee: payee.id.clone(),
        series: covered.series.clone(),
        is_copy: true,
        sequence: 0,
        first_accepted_at: found.get(4),
        last_accepted_at: found.get(5),
        count: found.get(0),
        total: found.get(1),
        currency: found.get(6),
        open: found.get(7),
    };
    let row = tx.query_one(
        "INSERT INTO register (register_id, series_id, payee_id, payee_version, kind, sequence, lo, hi, period_from,
             period_to, cutoff, payment_count, total, first_accepted_at, last_accepted_at, currency, open_count, requested_by,
             mail_to, format)
         VALUES ($1, $2, $3, $4, 'copy',
             (SELECT coalesce(max(sequence), 0) + 1 FROM register WHERE series_id = $2 AND kind = 'copy'),
             $5, $6, $7, $8, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)
         RETURNING sequence",
        &[
            &copy.register_id.as_uuid(),
            &covered.series_id,
            &payee.id.as_str(),
            &version,
            &found.get::<_, i64>(2),
            &found.get::<_, i64>(3),
            &covered.period.0,
            &covered.period.1,
            &copy.count,
            &copy.total,
            &copy.first_accepted_at,
            &copy.last_accepted_at,
            &copy.currency,
            &copy.open,
            &request.requested_by,
            &mail_to,
            &request.format,
        ],
    )
    .await?;
    copy.sequence = row.get(0);
    Ok(copy)
}

async fn record(tx: &Tx, request: &CopyRequest, copies: &[RegisterId]) -> Result<(), StoreError> {
    let ids: Vec<String> = copies.iter().map(ToString::to_string).collect();
    let after = json!({
        "from": request.from, "to": request.to, "to_address": request.to_address, "format": request.format,
        "include_open": request.include_open, "registers": ids,
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
