//! One series under its lock: where its open range ends next, and freezing it there.

use std::collections::HashMap;

use domain::RegisterId;
use domain::declaration::{Payee, RegisterProfile};
use domain::register::{cutoffs_due, upcoming};
use jiff::Timestamp;
use tokio_postgres::Row;

use crate::{StoreError, Tx};

/// Ranges closed in one transaction; more wait for the next one, so that a long absence does not make a long lock.
pub(super) const MOST_AT_ONCE: usize = 64;

/// To be locked `FOR NO KEY UPDATE`: closers take turns and revocations wait, while payments, whose foreign key shares
/// the row, may still be added behind the cut-off.
pub(super) const SERIES: &str = "SELECT series_id, payee_id, last_hi, last_sequence, last_cutoff, name FROM series";

/// A series, locked, with its payee as declared now.
pub(super) struct Series {
    pub(super) series_id: i64,
    last_hi: i64,
    last_sequence: i32,
    last_cutoff: Timestamp,
    payee_version: i32,
    /// When that version was applied.
    declared_at: Timestamp,
    pub(super) payee: Payee,
    /// What is declared for this series.
    profile: RegisterProfile,
    /// Whether it is declared. What is still open of one that is not any more is closed whenever it is found.
    declared: bool,
}

/// Where a range ends: at a position, before a moment, or both.
struct Cut<'a> {
    cutoff: Timestamp,
    hi: Option<i64>,
    before: Option<Timestamp>,
    requested_by: &'a str,
    /// Whether it makes a register also of nothing.
    send_empty: bool,
}

struct Open {
    position: i64,
    accepted_at: Timestamp,
}

impl Series {
    /// Reads the payees after the locks are held: whoever held one before may have changed its payee.
    pub(super) async fn read_all(tx: &Tx, rows: &[Row]) -> Result<Vec<Self>, StoreError> {
        let payees: Vec<&str> = rows.iter().map(|row| row.get(1)).collect();
        let declared = tx
            .query(
                "SELECT payee_id, version, declaration, updated_at FROM payee WHERE payee_id = ANY($1)",
                &[&payees],
            )
            .await?;
        let declared: HashMap<&str, &Row> = declared.iter().map(|payee| (payee.get(0), payee)).collect();
        rows.iter()
            .map(|row| Self::of(row, declared[row.get::<_, &str>(1)]))
            .collect()
    }

    fn of(row: &Row, declared: &Row) -> Result<Self, StoreError> {
        let (payee_id, name): (&str, &str) = (row.get(1), row.get(5));
        let payee: Payee = serde_json::from_value(declared.get(2))?;
        let base = payee.register.clone();
        let base =
            base.ok_or_else(|| StoreError::unreadable(format!("payee {payee_id} has a series but no [register]")))?;
        let own = base.of_series(name);
        Ok(Self {
            series_id: row.get(0),
            last_hi: row.get(2),
            last_sequence: row.get(3),
            last_cutoff: row.get(4),
            payee_version: declared.get(1),
            declared_at: declared.get(3),
            payee,
            declared: own.is_some(),
            profile: own.unwrap_or(base),
        })
    }

    /// Closes what is due by `until`.
    pub(super) async fn close_due(&mut self, tx: &Tx, until: Timestamp) -> Result<Vec<RegisterId>, StoreError> {
        if !self.declared {
            return self.close_all(tx, until, "change").await;
        }
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
        while self.declared
            && let Some(cut) = self.next_cut(tx, until).await?
        {
            closed.extend(self.freeze(tx, cut).await?);
        }
        let rest = Cut {
            cutoff: until,
            hi: None,
            before: Some(until),
            requested_by: who,
            send_empty: false,
        };
        closed.extend(self.freeze(tx, rest).await?);
        self.last_cutoff = self.last_cutoff.max(until);
        self.plan(tx).await?;
        Ok(closed)
    }

    /// The next end of a range that is due and makes a register: the cut-off or the full count, whichever came first.
    async fn next_cut(&self, tx: &Tx, until: Timestamp) -> Result<Option<Cut<'static>>, StoreError> {
        const BY: &str = "schedule";
        let first = self.open(tx, 0).await?;
        let wanted = |cutoff: Timestamp| self.wants_empty(cutoff);
        let held = |cutoff: Timestamp| first.as_ref().is_some_and(|first| cutoff > first.accepted_at);
        if first.is_none() && !wanted(until) {
            return Ok(None);
        }
        let mut cutoffs = cutoffs_due(&self.profile, self.last_cutoff, until).map(|cutoff| cutoff.at);
        let cutoff = cutoffs.find(|cutoff| held(*cutoff) || wanted(*cutoff));
        if let Some(every) = self.every_payments()
            && let Some(full) = self.open(tx, every - 1).await?
            && cutoff.is_none_or(|cutoff| full.accepted_at < cutoff)
        {
            return Ok(Some(Cut {
                cutoff: full.accepted_at,
                hi: Some(full.position),
                before: None,
                requested_by: BY,
                send_empty: false,
            }));
        }
        Ok(cutoff.map(|cutoff| Cut {
            cutoff,
            hi: None,
            before: Some(cutoff),
            requested_by: BY,
            send_empty: wanted(cutoff),
        }))
    }

    /// Whether a cut-off that finds nothing makes a register all the same. Only since the payee was declared as it is now:
    /// none is made up for the time before, nor for that of a suspension.
    fn wants_empty(&self, cutoff: Timestamp) -> bool {
        self.profile.send_empty && !self.payee.retired && cutoff > self.declared_at
    }

    fn every_payments(&self) -> Option<i64> {
        if !self.declared {
            // Intake that was under way when the series was taken away may still add to it.
            return Some(1);
        }
        self.profile
            .every_payments
            .map(|every| i64::try_from(every).unwrap_or(i64::MAX).max(1))
    }

    /// The open payment after so many others.
    async fn open(&self, tx: &Tx, others: i64) -> Result<Option<Open>, StoreError> {
        const OPEN: &str = "SELECT position, accepted_at FROM payment
             WHERE series_id = $1 AND position > $2 AND state <> 'revoked' ORDER BY position LIMIT 1";
        // Not for the first: a plan for any number of others looks dearer than the one for none, which would be made each time.
        let after = format!("{OPEN} OFFSET $3");
        let row = match others {
            0 => tx.query_opt(OPEN, &[&self.series_id, &self.last_hi]).await?,
            _ => tx.query_opt(&after, &[&self.series_id, &self.last_hi, &others]).await?,
        };
        Ok(row.map(|row| Open {
            position: row.get(0),
            accepted_at: row.get(1),
        }))
    }

    /// Closes the range up to `cut`. Nothing but revoked payments in it: it stays open, they are counted with the next,
    /// unless a register without payments is wanted.
    async fn freeze(&mut self, tx: &Tx, cut: Cut<'_>) -> Result<Option<RegisterId>, StoreError> {
        const RANGE: &str = "FROM payment WHERE series_id = $1 AND position > $2 AND ($3::bigint IS NULL OR position <= $3) \
             AND ($4::timestamptz IS NULL OR accepted_at < $4)";
        // Of a million rows every aggregate is felt. The last position is found, and not compared with all the others; nor are
        // the first and last acceptance, which never falls as positions rise.
        let sql = format!(
            "SELECT (SELECT position {RANGE} ORDER BY position DESC LIMIT 1), count(*) FILTER (WHERE state <> 'revoked'), count(*),
                    coalesce(sum(amount) FILTER (WHERE state <> 'revoked'), 0)::bigint,
                    (SELECT accepted_at {RANGE} AND state <> 'revoked' ORDER BY position LIMIT 1),
                    (SELECT accepted_at {RANGE} AND state <> 'revoked' ORDER BY position DESC LIMIT 1)
             {RANGE}"
        );
        let found = tx
            .query_one(&sql, &[&self.series_id, &self.last_hi, &cut.hi, &cut.before])
            .await?;
        let count: i64 = found.get(1);
        if count == 0 && !cut.send_empty {
            return Ok(None);
        }
        let hi = found.get::<_, Option<i64>>(0).unwrap_or(self.last_hi);
        // Without payments, the stretch that it is about.
        let first: Timestamp = found.get::<_, Option<_>>(4).unwrap_or(self.last_cutoff);
        let last: Timestamp = found.get::<_, Option<_>>(5).unwrap_or(cut.cutoff);
        let register_id = RegisterId::random();
        tx.execute_later(
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
                &(found.get::<_, i64>(2) - count),
                &found.get::<_, i64>(3),
                &first,
                &last,
                &self.payee.currency.code(),
                &cut.requested_by,
                &self.profile.recipients(),
            ],
        )
        .await?;
        self.last_hi = hi;
        self.last_sequence += 1;
        self.last_cutoff = self.last_cutoff.max(cut.cutoff);
        Ok(Some(register_id))
    }

    /// Writes up to where the series is closed; with the commit, as all of this.
    async fn write(&self, tx: &Tx) -> Result<(), StoreError> {
        tx.execute_later(
            "UPDATE series SET last_hi = $2, last_sequence = $3, last_cutoff = $4 WHERE series_id = $1",
            &[&self.series_id, &self.last_hi, &self.last_sequence, &self.last_cutoff],
        )
        .await
    }

    /// The same, and when the series is due next, and under which version of its payee that was worked out.
    async fn plan(&self, tx: &Tx) -> Result<(), StoreError> {
        let next = self.declared.then(|| upcoming(&self.profile, self.last_cutoff, 1));
        let next = next.and_then(|next| next.first().map(|cutoff| cutoff.at));
        tx.execute_later(
            "UPDATE series SET last_hi = $2, last_sequence = $3, last_cutoff = $4, planned_version = $5, next_cutoff = $6,
                 every_payments = $7
             WHERE series_id = $1",
            &[
                &self.series_id,
                &self.last_hi,
                &self.last_sequence,
                &self.last_cutoff,
                &self.payee_version,
                &next,
                &self.every_payments(),
            ],
        )
        .await
    }
}
