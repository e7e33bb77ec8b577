//! One series under its lock: where its open range ends next, and freezing it there.

use domain::RegisterId;
use domain::declaration::{Payee, RegisterProfile};
use domain::register::{cutoffs_due, upcoming};
use jiff::Timestamp;

use crate::{StoreError, Tx};

/// Ranges closed in one transaction; more wait for the next one, so that a long absence does not make a long lock.
const MOST_AT_ONCE: usize = 64;

/// To be locked `FOR NO KEY UPDATE`: closers take turns and revocations wait, while payments, whose foreign key shares
/// the row, may still be added behind the cut-off.
pub(super) const SERIES: &str = "SELECT series_id, payee_id, last_hi, last_sequence, last_cutoff FROM series";

/// A series, locked, with its payee as declared now.
pub(super) struct Series {
    series_id: i64,
    last_hi: i64,
    last_sequence: i32,
    last_cutoff: Timestamp,
    payee_version: i32,
    pub(super) payee: Payee,
    profile: RegisterProfile,
}

/// Where a range ends: at a position, before a moment, or both.
struct Cut<'a> {
    cutoff: Timestamp,
    hi: Option<i64>,
    before: Option<Timestamp>,
    requested_by: &'a str,
}

struct Open {
    position: i64,
    accepted_at: Timestamp,
}

impl Series {
    /// Reads the payee after the lock is held: whoever held it before may have changed the payee.
    pub(super) async fn read(tx: &Tx, row: &tokio_postgres::Row) -> Result<Self, StoreError> {
        let payee_id: &str = row.get(1);
        let declared = tx
            .query_one(
                "SELECT version, declaration FROM payee WHERE payee_id = $1",
                &[&payee_id],
            )
            .await?;
        let payee: Payee = serde_json::from_value(declared.get(1))?;
        let profile = payee.register.clone();
        let profile = profile
            .ok_or_else(|| StoreError::unreadable(format!("payee {payee_id} has a series but no [register]")))?;
        Ok(Self {
            series_id: row.get(0),
            last_hi: row.get(2),
            last_sequence: row.get(3),
            last_cutoff: row.get(4),
            payee_version: declared.get(0),
            payee,
            profile,
        })
    }

    /// Closes what is due by `until`.
    pub(super) async fn close_due(&mut self, tx: &Tx, until: Timestamp) -> Result<Vec<RegisterId>, StoreError> {
        let mut closed = Vec::new();
        while let Some(cut) = self.next_cut(tx, until).await? {
            closed.extend(self.freeze(tx, cut).await?);
            if closed.len() >= MOST_AT_ONCE {
                // Not planned anew: the old plan is due, so the next look finds the series again.
                self.write(tx).await?;
                return Ok(closed);
            }
        }
        // What is left of the cut-offs up to here found nothing to close.
        if let Some(last) = cutoffs_due(&self.profile, self.last_cutoff, until).last() {
            self.last_cutoff = last.at;
        }
        self.write(tx).await?;
        self.plan(tx).await?;
        Ok(closed)
    }

    /// Closes what is due by `until`, then the rest up to it.
    pub(super) async fn close_all(
        &mut self,
        tx: &Tx,
        until: Timestamp,
        who: &str,
    ) -> Result<Vec<RegisterId>, StoreError> {
        let mut closed = Vec::new();
        while let Some(cut) = self.next_cut(tx, until).await? {
            closed.extend(self.freeze(tx, cut).await?);
        }
        let rest = Cut {
            cutoff: until,
            hi: None,
            before: Some(until),
            requested_by: who,
        };
        closed.extend(self.freeze(tx, rest).await?);
        self.last_cutoff = self.last_cutoff.max(until);
        self.write(tx).await?;
        self.plan(tx).await?;
        Ok(closed)
    }

    /// The next end of a range that is due and holds something: the cut-off or the full count, whichever came first.
    async fn next_cut(&self, tx: &Tx, until: Timestamp) -> Result<Option<Cut<'static>>, StoreError> {
        const BY: &str = "schedule";
        let Some(first) = self.open(tx, 0).await? else {
            return Ok(None);
        };
        let mut cutoffs = cutoffs_due(&self.profile, self.last_cutoff, until).map(|cutoff| cutoff.at);
        let cutoff = cutoffs.find(|cutoff| *cutoff > first.accepted_at);
        if let Some(every) = self.every_payments()
            && let Some(full) = self.open(tx, every - 1).await?
            && cutoff.is_none_or(|cutoff| full.accepted_at < cutoff)
        {
            return Ok(Some(Cut {
                cutoff: full.accepted_at,
                hi: Some(full.position),
                before: None,
                requested_by: BY,
            }));
        }
        Ok(cutoff.map(|cutoff| Cut {
            cutoff,
            hi: None,
            before: Some(cutoff),
            requested_by: BY,
        }))
    }

    fn every_payments(&self) -> Option<i64> {
        self.profile
            .every_payments
            .map(|every| i64::try_from(every).unwrap_or(i64::MAX).max(1))
    }

    /// The open payment after so many others.
    async fn open(&self, tx: &Tx, others: i64) -> Result<Option<Open>, StoreError> {
        let row = tx
            .query_opt(
                "SELECT position, accepted_at FROM payment
                 WHERE series_id = $1 AND position > $2 AND state <> 'revoked'
                 ORDER BY position OFFSET $3 LIMIT 1",
                &[&self.series_id, &self.last_hi, &others],
            )
            .await?;
        Ok(row.map(|row| Open {
            position: row.get(0),
            accepted_at: row.get(1),
        }))
    }

    /// Closes the range up to `cut`. Nothing but revoked payments in it: it stays open, they are counted with the next.
    async fn freeze(&mut self, tx: &Tx, cut: Cut<'_>) -> Result<Option<RegisterId>, StoreError> {
        let found = tx
            .query_one(
                "SELECT max(position), count(*) FILTER (WHERE state <> 'revoked'), count(*) FILTER (WHERE state = 'revoked'),
                        coalesce(sum(amount) FILTER (WHERE state <> 'revoked'), 0)::bigint,
                        min(accepted_at) FILTER (WHERE state <> 'revoked'), max(accepted_at) FILTER (WHERE state <> 'revoked')
                 FROM payment
                 WHERE series_id = $1 AND position > $2 AND ($3::bigint IS NULL OR position <= $3)
                   AND ($4::timestamptz IS NULL OR accepted_at < $4)",
                &[&self.series_id, &self.last_hi, &cut.hi, &cut.before],
            )
            .await?;
        let count: i64 = found.get(1);
        let (Some(hi), true) = (found.get::<_, Option<i64>>(0), count > 0) else {
            return Ok(None);
        };
        let register_id = RegisterId::random();
        tx.execute(
            "INSERT INTO register (register_id, series_id, payee_id, payee_version, kind, sequence, lo, hi, cutoff,
                 payment_count, revoked_count, total, first_accepted_at, last_accepted_at, currency, requested_by, mail_to)
             VALUES ($1, $2, $3, $4, 'regular', $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)",
            &[
                &register_id.as_uuid(),
                &self.series_id,
                &self.payee.id.as_str(),
                &self.payee_version,
                &(self.last_sequence + 1),
                &(self.last_hi + 1),
                &hi,
                &cut.cutoff,
                &count,
                &found.get::<_, i64>(2),
                &found.get::<_, i64>(3),
                &found.get::<_, Timestamp>(4),
                &found.get::<_, Timestamp>(5),
                &self.payee.currency.code(),
                &cut.requested_by,
                &self.profile.mail_to,
            ],
        )
        .await?;
        self.last_hi = hi;
        self.last_sequence += 1;
        self.last_cutoff = self.last_cutoff.max(cut.cutoff);
        Ok(Some(register_id))
    }

    async fn write(&self, tx: &Tx) -> Result<(), StoreError> {
        tx.execute(
            "UPDATE series SET last_hi = $2, last_sequence = $3, last_cutoff = $4 WHERE series_id = $1",
            &[&self.series_id, &self.last_hi, &self.last_sequence, &self.last_cutoff],
        )
        .await
        .map(drop)
    }

    /// Notes when the series is due next, and under which version of its payee that was worked out.
    async fn plan(&self, tx: &Tx) -> Result<(), StoreError> {
        let next = upcoming(&self.profile, self.last_cutoff, 1)
            .first()
            .map(|cutoff| cutoff.at);
        tx.execute(
            "UPDATE series SET planned_version = $2, next_cutoff = $3, every_payments = $4 WHERE series_id = $1",
            &[&self.series_id, &self.payee_version, &next, &self.every_payments()],
        )
        .await
        .map(drop)
    }
}
