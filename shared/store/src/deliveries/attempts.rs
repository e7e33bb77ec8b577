//! The history of a payment's calls, as operators read it.

use domain::ids::{ActId, AttemptId, PaymentId};
use domain::payment::Act;
use jiff::Timestamp;
use uuid::Uuid;

use crate::{Store, StoreError};

/// One call to a payee.
#[derive(Clone, Debug)]
pub struct AttemptRow {
    /// Which.
    pub attempt_id: AttemptId,
    /// Counted from 1 within the payment.
    pub ordinal: i32,
    /// `pay`, `status` or `cancel`.
    pub act: Act,
    /// Which process made it.
    pub worker: String,
    /// Or an operator asked for it.
    pub automatic: bool,
    /// Who asked for it.
    pub who: Option<String>,
    /// By which act.
    pub act_id: Option<ActId>,
    /// When.
    pub started_at: Timestamp,
    /// `open`, `not_sent`, `answered` or `maybe`.
    pub ending: String,
    /// When.
    pub ended_at: Option<Timestamp>,
    /// How long it took, in seconds.
    pub seconds: Option<f64>,
    /// The answer came after the lease had run out.
    pub late: bool,
    /// The payee's word: `accepted`, `refused`, …
    pub result: Option<String>,
    /// What went wrong.
    pub error: Option<String>,
    /// The HTTP status, if there was one.
    pub http_status: Option<i32>,
    /// What was sent, without secrets.
    pub request: Option<String>,
    /// What came back, cut.
    pub response: Option<String>,
}

/// Every call made about a payment, in order.
pub async fn attempts(store: &Store, payment_id: PaymentId) -> Result<Vec<AttemptRow>, StoreError> {
    let rows = store
        .query(
            "SELECT t.attempt_id, t.ordinal, t.act, t.worker, t.automatic, coalesce(a.who, r.asked_by),
                    t.act_id, t.started_at, t.ending,
                    t.ended_at, extract(epoch FROM t.ended_at - t.started_at)::float8, t.late, t.result, t.error,
                    t.http_status, t.request, t.response
             FROM attempt t LEFT JOIN act a USING (act_id) LEFT JOIN reconciliation r ON r.reconciliation_id = t.act_id
             WHERE t.payment_id = $1 ORDER BY t.ordinal",
            &[&payment_id.as_uuid()],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(AttemptRow {
                attempt_id: AttemptId::from_uuid(row.get::<_, Uuid>(0)),
                ordinal: row.get(1),
                act: Act::parse(row.get(2))?,
                worker: row.get(3),
                automatic: row.get(4),
                who: row.get(5),
                act_id: row.get::<_, Option<Uuid>>(6).map(ActId::from_uuid),
                started_at: row.get(7),
                ending: row.get(8),
                ended_at: row.get(9),
                seconds: row.get(10),
                late: row.get(11),
                result: row.get(12),
                error: row.get(13),
                http_status: row.get(14),
                request: row.get(15),
                response: row.get(16),
            })
        })
        .collect()
}
