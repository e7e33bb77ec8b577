//! What a register would be built from, without a lease and without closing anything: a preview.

use domain::declaration::Payee;
use domain::{PayeeId, RegisterId};
use uuid::Uuid;

use super::building::{build_of, builds_of};
use super::numbering::Numbering;
use super::{Build, Summary};
use crate::{Store, StoreError};

/// A register as it was frozen; none where it is unknown.
pub async fn look_at(store: &Store, register: RegisterId) -> Result<Option<Build>, StoreError> {
    let sql = format!("{} WHERE r.register_id = $1", builds_of("register"));
    let row = store.query_opt(&sql, &[&register.as_uuid()]).await?;
    row.as_ref().map(build_of).transpose()
}

/// What is open of a payee's series, as if its range ended now; none where nothing is, or there is no such series. It is
/// told as the next of its sequence, and as the first of its day and year.
pub async fn look_at_open(store: &Store, payee: &PayeeId, series: &str) -> Result<Option<Build>, StoreError> {
    let row = store
        .query_opt(
            "SELECT s.series_id, s.last_hi, s.last_sequence, s.holds = 'delivered', s.last_cutoff, t.now, y.declaration,
                    o.hi, o.payments, o.total, o.first_at, o.last_at
             FROM series s JOIN payee y USING (payee_id) CROSS JOIN (SELECT clock_timestamp() AS now) t
             CROSS JOIN LATERAL (
                 SELECT max(p.position) AS hi, count(*) AS payments, sum(p.amount)::int8 AS total,
                        min(p.accepted_at) AS first_at, max(p.accepted_at) AS last_at
                 FROM payment p WHERE s.holds <> 'delivered' AND p.series_id = s.series_id AND p.position > s.last_hi
                     AND p.state <> 'revoked'
                 UNION ALL
                 SELECT 0, count(*), sum(p.amount)::int8, min(p.delivered_at), max(p.delivered_at)
                 FROM payment p WHERE s.holds = 'delivered' AND p.payee_id = s.payee_id
                     AND p.delivered_at >= s.last_cutoff AND p.delivered_at < t.now) o
             WHERE s.payee_id = $1 AND s.name = $2 AND o.payments > 0",
            &[&payee.as_str(), &series],
        )
        .await?;
    let Some(row) = row else { return Ok(None) };
    let declared: Payee = serde_json::from_value(row.get(6))?;
    let last_hi: i64 = row.get(1);
    let delivered: bool = row.get(3);
    let numbering = Numbering {
        cutoff: row.get(5),
        of_day: 1,
        of_year: 1,
    };
    Ok(Some(Build {
        summary: Summary {
            register_id: RegisterId::random(),
            payee: payee.clone(),
            series: series.to_owned(),
            is_copy: false,
            sequence: row.get::<_, i32>(2) + 1,
            first_accepted_at: row.get(10),
            last_accepted_at: row.get(11),
            count: row.get(8),
            total: row.get(9),
            currency: declared.currency.code().to_owned(),
            open: 0,
        },
        token: Uuid::nil(),
        closed_at: numbering.cutoff,
        mail_to: Vec::new(),
        attempts: 0,
        vanished: 0,
        delivered: delivered.then(|| (row.get(4), numbering.cutoff)),
        series_id: row.get(0),
        lo: last_hi + 1,
        hi: row.get(7),
        payee: declared.for_series(series),
        numbering,
    }))
}
