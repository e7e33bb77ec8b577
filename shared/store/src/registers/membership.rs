//! In which register a payment is, and what there is to know of why it is not in an earlier one.

use domain::RegisterId;
use domain::declaration::Payee;
use domain::ids::PaymentId;
use jiff::Timestamp;
use uuid::Uuid;

use super::listing::{Listed, find};
use super::standing::{Standing, standing};
use crate::{Store, StoreError};

/// A payment among the registers of its payee.
#[derive(Clone, Debug)]
pub struct Membership {
    /// The series it is of; none = its payee gets no registers.
    pub series: Option<String>,
    /// When it was delivered, if its payee is served online.
    pub delivered_at: Option<Timestamp>,
    /// The regular register that holds it, or counts it as revoked.
    pub register: Option<Closed>,
    /// Copies that hold it too.
    pub copies: Vec<RegisterId>,
    /// Where its series stands now.
    pub standing: Option<Standing>,
    /// How many payments of its series were open when it is counted as the last.
    pub place: i64,
    /// What was applied to the payee, in order.
    pub versions: Vec<Version>,
}

/// The register of a payment.
#[derive(Clone, Debug)]
pub struct Closed {
    /// What is listed of it.
    pub listed: Listed,
    /// When the range was closed, however long after its cut-off.
    pub closed_at: Timestamp,
    /// The sequence and cut-off of the one before it.
    pub previous: Option<(i32, Timestamp)>,
    /// The payee as it was declared then, as its series has it, of its registers only when they are closed; its file may be of
    /// a later version.
    pub payee: Payee,
    /// Whom it goes to.
    pub recipients: Vec<Recipient>,
}

/// One recipient of a register.
#[derive(Clone, Debug)]
pub struct Recipient {
    /// The address.
    pub address: String,
    /// `waiting`, `sending`, `sent`, `failed`, or `forgone`: an operator said that nothing more goes there.
    pub state: String,
    /// When its server took the mail.
    pub sent_at: Option<Timestamp>,
    /// When it took the register's own mail: the same, unless that was sent again since. None for whom it was sent on demand
    /// only.
    pub first_sent_at: Option<Timestamp>,
    /// Whether state and error are those of a mail that was sent again on demand.
    pub again: bool,
    /// Why it was not, or not yet, taken.
    pub last_error: Option<String>,
}

/// A version of a payee's declaration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Version {
    /// Since when.
    pub applied_at: Timestamp,
    /// Whether nothing went out under it.
    pub suspended: bool,
}

/// The series of a payment, and the registers that hold it. A payment for an online payee is of the series of what was
/// delivered, and in the register, and in the copies, of the periods in which it was.
const HOLDING: &str = "SELECT s.series_id, s.name, p.delivered_at, r.register_id,
        (SELECT array_agg(c.register_id ORDER BY c.closed_at) FROM register c
         WHERE c.kind = 'copy' AND c.series_id = s.series_id
           AND CASE WHEN p.series_id IS NULL THEN p.delivered_at >= c.period_from AND p.delivered_at < c.period_to
                    ELSE p.position BETWEEN c.lo AND c.hi AND p.accepted_at >= c.period_from
                         AND p.accepted_at < c.period_to AND p.state <> 'revoked' END),
        (SELECT count(*) FROM payment o WHERE o.series_id = p.series_id AND o.position > s.last_hi
           AND o.position <= p.position AND o.state <> 'revoked')
     FROM payment p
     LEFT JOIN series s ON s.series_id = p.series_id OR (p.series_id IS NULL AND s.payee_id = p.payee_id AND s.holds = 'delivered')
     LEFT JOIN register r ON r.series_id = s.series_id AND r.kind = 'regular'
         AND (p.position BETWEEN r.lo AND r.hi OR (p.delivered_at >= r.period_from AND p.delivered_at < r.period_to))
     WHERE p.payment_id = $1";

/// Looks a payment up; it is one that is known.
pub async fn membership(store: &Store, payment: PaymentId, payee: &str) -> Result<Membership, StoreError> {
    let row = store.query_one(HOLDING, &[&payment.as_uuid()]).await?;
    let register = match row.get::<_, Option<Uuid>>(3) {
        Some(id) => closed(store, RegisterId::from_uuid(id)).await?,
        None => None,
    };
    let standing = match row.get::<_, Option<i64>>(0) {
        Some(series) => standing(store, series).await?,
        None => None,
    };
    let copies: Option<Vec<Uuid>> = row.get(4);
    Ok(Membership {
        series: row.get(1),
        delivered_at: row.get(2),
        register,
        copies: copies
            .unwrap_or_default()
            .into_iter()
            .map(RegisterId::from_uuid)
            .collect(),
        standing,
        place: row.get(5),
        versions: versions(store, payee).await?,
    })
}

async fn closed(store: &Store, id: RegisterId) -> Result<Option<Closed>, StoreError> {
    let Some(listed) = find(store, id).await? else {
        return Ok(None);
    };
    let row = store
        .query_one(
            "SELECT r.closed_at, before.sequence, before.cutoff, v.declaration
             FROM register r JOIN payee_version_card v ON v.payee_id = r.payee_id AND v.version = least(r.payee_version,
                 (SELECT max(version) FROM payee_version_card o WHERE o.payee_id = r.payee_id AND o.applied_at <= r.closed_at))
             LEFT JOIN register before ON before.series_id = r.series_id AND before.kind = 'regular'
                 AND before.sequence = r.sequence - 1
             WHERE r.register_id = $1",
            &[&id.as_uuid()],
        )
        .await?;
    let payee: Payee = serde_json::from_value(row.get(3))?;
    Ok(Some(Closed {
        closed_at: row.get(0),
        previous: row.get::<_, Option<i32>>(1).zip(row.get(2)),
        payee: payee.for_series(&listed.summary.series),
        recipients: recipients(store, id).await?,
        listed,
    }))
}

/// However many mails a register is, a recipient has it when all of them were taken.
async fn recipients(store: &Store, register: RegisterId) -> Result<Vec<Recipient>, StoreError> {
    let rows = store
        .query(
            "SELECT recipient,
                    CASE WHEN bool_or(state = 'failed') THEN 'failed' WHEN bool_or(state = 'sending') THEN 'sending'
                         WHEN bool_or(state = 'waiting') THEN 'waiting' WHEN bool_or(state = 'forgone') THEN 'forgone'
                         ELSE 'sent' END,
                    CASE WHEN bool_and(state = 'sent') THEN max(sent_at) END, max(last_error),
                    CASE WHEN bool_and(had_at IS NOT NULL) THEN max(had_at) END, max(again) > 0
             FROM mailing CROSS JOIN LATERAL (SELECT CASE again WHEN 0 THEN sent_at ELSE first_sent_at END) f (had_at)
             WHERE register_id = $1 GROUP BY recipient ORDER BY recipient",
            &[&register.as_uuid()],
        )
        .await?;
    let recipient = |row: &tokio_postgres::Row| Recipient {
        address: row.get(0),
        state: row.get(1),
        sent_at: row.get(2),
        last_error: row.get(3),
        first_sent_at: row.get(4),
        again: row.get(5),
    };
    Ok(rows.iter().map(recipient).collect())
}

async fn versions(store: &Store, payee: &str) -> Result<Vec<Version>, StoreError> {
    let rows = store
        .query(
            "SELECT applied_at, suspended FROM payee_version_card WHERE payee_id = $1 ORDER BY version",
            &[&payee],
        )
        .await?;
    let version = |row: &tokio_postgres::Row| Version {
        applied_at: row.get(0),
        suspended: row.get(1),
    };
    Ok(rows.iter().map(version).collect())
}
