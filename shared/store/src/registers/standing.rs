//! Where series stand: what is open in them, when that is to be closed, and whether it is late.
//!
//! An open position is late when it is a day past the cut-off that should have closed it. That is told once, whoever
//! notices: closing is a worker's business, and that worker may be the one that is not there.

use domain::PayeeId;
use domain::declaration::{Payee, RegisterProfile};
use domain::register::cutoff_of;
use jiff::{SignedDuration, Timestamp};
use tokio_postgres::Row;

use crate::{Store, StoreError, Tx};

/// How long after its cut-off an open position is late.
const LATE_AFTER: SignedDuration = SignedDuration::from_hours(24);

/// A series at one moment.
#[derive(Clone, Debug)]
pub struct Standing {
    /// Which.
    pub series_id: i64,
    /// Its name.
    pub series: String,
    /// Whether it holds what was delivered, and not positions of the ledger.
    pub delivered: bool,
    /// Whose, as declared now: of its registers only when they are closed.
    pub payee: Payee,
    /// Up to when it was closed.
    pub last_cutoff: Timestamp,
    /// When the oldest of its open payments was accepted, or delivered.
    pub oldest: Option<Timestamp>,
    /// When so many were open that their number closes them.
    pub full_at: Option<Timestamp>,
    /// Since when it is known to be late.
    pub late_since: Option<Timestamp>,
    /// The database's clock.
    pub now: Timestamp,
}

impl Standing {
    /// What is declared for it; none = it is not declared any more.
    pub fn profile(&self) -> Option<RegisterProfile> {
        self.payee.register.as_ref()?.of_series(&self.series)
    }

    /// When what is open is to be closed; none = nothing is, or it waits for further payments.
    pub fn due_at(&self) -> Option<Timestamp> {
        let oldest = self.oldest?;
        let Some(profile) = self.profile() else {
            return Some(oldest);
        };
        let cutoff = cutoff_of(&profile, self.last_cutoff, oldest).map(|cutoff| cutoff.at);
        [cutoff, self.full_at].into_iter().flatten().min()
    }

    /// Whether it should have been closed more than a day ago. What waits for a suspended payee is not late.
    pub fn is_late(&self) -> bool {
        let late = |due: Timestamp| self.now.duration_since(due) > LATE_AFTER;
        !self.payee.suspended && self.due_at().is_some_and(late)
    }
}

/// The oldest open payment of a series `s`, and the one that makes a count full: a few steps of an index each.
const STANDING: &str = "SELECT s.series_id, s.name, s.holds = 'delivered', y.declaration, s.last_cutoff,
        CASE s.holds WHEN 'delivered' THEN delivered.at ELSE accepted.at END AS oldest, full_count.at, s.late_since,
        clock_timestamp()
     FROM series s JOIN payee_card y USING (payee_id)
     LEFT JOIN LATERAL (SELECT p.accepted_at AS at FROM payment p
         WHERE p.series_id = s.series_id AND p.position > s.last_hi AND p.state <> 'revoked'
         ORDER BY p.position LIMIT 1) accepted ON s.holds = 'accepted'
     LEFT JOIN LATERAL (SELECT p.accepted_at AS at FROM payment p
         WHERE p.series_id = s.series_id AND p.position > s.last_hi AND p.state <> 'revoked'
         ORDER BY p.position OFFSET s.every_payments - 1 LIMIT 1) full_count ON s.holds = 'accepted' AND s.every_payments > 0
     LEFT JOIN LATERAL (SELECT p.delivered_at AS at FROM payment p
         WHERE p.payee_id = s.payee_id AND p.delivered_at >= s.last_cutoff
         ORDER BY p.delivered_at LIMIT 1) delivered ON s.holds = 'delivered'
     WHERE y.has_register";

fn standing_of(row: &Row) -> Result<Standing, StoreError> {
    Ok(Standing {
        series_id: row.get(0),
        series: row.get(1),
        delivered: row.get(2),
        payee: serde_json::from_value(row.get(3))?,
        last_cutoff: row.get(4),
        oldest: row.get(5),
        full_at: row.get(6),
        late_since: row.get(7),
        now: row.get(8),
    })
}

/// Where the series of all payees stand, or of one.
pub async fn standings(store: &Store, payee: Option<&PayeeId>) -> Result<Vec<Standing>, StoreError> {
    let sql = format!("{STANDING} AND ($1::text IS NULL OR s.payee_id = $1) ORDER BY s.payee_id, s.series_id");
    let rows = store.query(&sql, &[&payee.map(PayeeId::as_str)]).await?;
    rows.iter().map(standing_of).collect()
}

/// Where one series stands.
pub(super) async fn standing(store: &Store, series_id: i64) -> Result<Option<Standing>, StoreError> {
    let sql = format!("{STANDING} AND s.series_id = $1");
    store
        .query_opt(&sql, &[&series_id])
        .await?
        .as_ref()
        .map(standing_of)
        .transpose()
}

/// How many payments of a series are open.
pub async fn count_open(store: &Store, standing: &Standing) -> Result<i64, StoreError> {
    let of_series = if standing.delivered {
        "p.payee_id = s.payee_id AND p.delivered_at >= s.last_cutoff"
    } else {
        "p.series_id = s.series_id AND p.position > s.last_hi AND p.state <> 'revoked'"
    };
    let sql = format!("SELECT count(*) FROM series s JOIN payment p ON {of_series} WHERE s.series_id = $1");
    Ok(store.query_one(&sql, &[&standing.series_id]).await?.get(0))
}

/// Series that may be late, or were found to be: what is open in them is older than a day. A series that cannot be read is
/// left out, loudly.
pub async fn perhaps_late(store: &Store) -> Result<Vec<Standing>, StoreError> {
    let sql = format!(
        "SELECT * FROM ({STANDING}) open
         WHERE late_since IS NOT NULL OR oldest < clock_timestamp() - interval '1 day' ORDER BY series_id"
    );
    let readable = |row: &Row| match standing_of(row) {
        Ok(standing) => Some(standing),
        Err(error) => {
            let series: i64 = row.get(0);
            tracing::error!(series, %error, "a series cannot be looked at by this version");
            None
        }
    };
    Ok(store.query(&sql, &[]).await?.iter().filter_map(readable).collect())
}

/// Notes that a series is late, or not any more. True: it was not known yet, by anybody.
pub async fn note_late(tx: &Tx, series_id: i64, late: bool) -> Result<bool, StoreError> {
    let noted = tx
        .execute(
            "UPDATE series SET late_since = CASE WHEN $2 THEN clock_timestamp() END
             WHERE series_id = $1 AND (late_since IS NULL) = $2",
            &[&series_id, &late],
        )
        .await?;
    Ok(noted == 1)
}
