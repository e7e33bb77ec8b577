//! Registers of online payees: what was delivered between two cut-offs, whichever way and whenever it was accepted. They
//! are series of their own (`delivered`), are built and mailed as all registers are, and have nothing to do with positions.
//!
//! A payment is stamped as delivered in the statement that makes it so, and seen when that transaction commits. So a
//! range is frozen only some time after its cut-off, by when no transaction can still add to it. A stamp never changes,
//! so a range holds the same payments whenever it is read, also those that were taken back later.
//!
//! For the same reason a range that a changed `[register]` ends cannot be frozen while that is applied. It is when it has
//! settled, up to that moment and as it was declared until then: the payee's versions say what held when.

use std::collections::VecDeque;
use std::time::Duration;

use domain::RegisterId;
use domain::declaration::{Payee, RegisterProfile};
use domain::register::{cutoffs_due, upcoming};
use jiff::Timestamp;
use serde_json::Value;
use tokio_postgres::Row;

use super::closing::seconds;
use super::series::MOST_AT_ONCE;
use crate::{Store, StoreError, Tx};

/// No session keeps a transaction open for so long: its statements and its idleness are limited to far less.
pub(super) const SETTLED: Duration = Duration::from_secs(300);

/// Series that may be due.
pub async fn deliveries_due(store: &Store) -> Result<Vec<i64>, StoreError> {
    let rows = store
        .query(
            "SELECT s.series_id FROM series s JOIN payee y USING (payee_id)
             WHERE s.holds = 'delivered'
               AND (s.planned_version IS DISTINCT FROM y.version
                 OR s.next_cutoff <= clock_timestamp() - make_interval(secs => $1))
             ORDER BY s.next_cutoff NULLS LAST LIMIT 4096",
            &[&SETTLED.as_secs_f64()],
        )
        .await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// How long until the next one may be frozen; none when none has a cut-off.
pub async fn deliveries_due_in(store: &Store) -> Result<Option<Duration>, StoreError> {
    let row = store
        .query_one(
            "SELECT extract(epoch FROM min(next_cutoff) - clock_timestamp())::float8 + $1
             FROM series WHERE holds = 'delivered'",
            &[&SETTLED.as_secs_f64()],
        )
        .await?;
    Ok(row.get::<_, Option<f64>>(0).map(seconds))
}

/// Freezes what is due of a series, each missed cut-off by itself. Of a long absence some may stay due. Nothing when another
/// closer is at it.
pub async fn close_delivered(store: &Store, series_id: i64) -> Result<Vec<RegisterId>, StoreError> {
    let tx = store.begin().await?;
    let Some(mut series) = Delivered::lock(&tx, series_id).await? else {
        tx.rollback().await?;
        return Ok(Vec::new());
    };
    let mut closed = Vec::new();
    while let Some(range) = series.next_range(&tx).await? {
        closed.push(series.freeze(&tx, range).await?);
        if closed.len() >= MOST_AT_ONCE {
            // Not planned anew: the old plan is due, so the next look finds the series again.
            series.write(&tx).await?;
            tx.commit().await?;
            return Ok(closed);
        }
    }
    series.plan(&tx).await?;
    tx.commit().await?;
    Ok(closed)
}

/// A series of what was delivered, locked.
struct Delivered {
    series_id: i64,
    payee_id: String,
    /// The payee's version now.
    version: i32,
    sequence: i32,
    /// Up to where it is closed.
    from: Timestamp,
    /// Nothing can be delivered before it any more.
    settled: Timestamp,
    /// What was declared since then, up to now.
    stretches: VecDeque<Stretch>,
}

/// The time for which a payee's `[register]`, or its having none, stood unchanged.
struct Stretch {
    /// The last version of that time.
    payee: Payee,
    version: i32,
    since: Timestamp,
    /// None: it stands now.
    until: Option<Timestamp>,
}

/// What makes a register.
struct Range {
    to: Timestamp,
    requested_by: &'static str,
}

impl Stretch {
    /// Whether a cut-off before which nothing was delivered makes a register all the same. None is made up for the time before the
    /// payee was declared so.
    fn wants_empty(&self, cutoff: Timestamp) -> bool {
        let wanted = self.payee.register.as_ref().is_some_and(|profile| profile.send_empty);
        wanted && !self.payee.retired && cutoff > self.since
    }
}

impl Delivered {
    async fn lock(tx: &Tx, series_id: i64) -> Result<Option<Self>, StoreError> {
        let locked = tx
            .query_opt(
                "SELECT s.payee_id, s.last_cutoff, s.last_sequence, y.version, clock_timestamp()
                 FROM series s JOIN payee y USING (payee_id) WHERE series_id = $1 FOR NO KEY UPDATE OF s SKIP LOCKED",
                &[&series_id],
            )
            .await?;
        let Some(row) = locked else { return Ok(None) };
        let (payee_id, from, version): (String, Timestamp, i32) = (row.get(0), row.get(1), row.get(3));
        Ok(Some(Self {
            series_id,
            stretches: stretches(tx, &payee_id, version, from).await?,
            payee_id,
            version,
            sequence: row.get(2),
            from,
            settled: row.get::<_, Timestamp>(4) - SETTLED,
        }))
    }

    /// The next range that makes a register. What held nothing on the way there is passed over.
    async fn next_range(&mut self, tx: &Tx) -> Result<Option<Range>, StoreError> {
        while let Some(stretch) = self.stretches.front() {
            let ended = stretch.until.filter(|until| *until <= self.settled);
            if let Some(profile) = &stretch.payee.register {
                let end = ended.unwrap_or(self.settled);
                let first = first_delivered(tx, &self.payee_id, self.from, end).await?;
                for cutoff in cutoffs_due(profile, self.from, end) {
                    if first.is_some_and(|first| first < cutoff.at) || stretch.wants_empty(cutoff.at) {
                        return Ok(Some(Range {
                            to: cutoff.at,
                            requested_by: "schedule",
                        }));
                    }
                    self.from = cutoff.at;
                }
                let Some(ended) = ended else { return Ok(None) };
                if first.is_some() {
                    return Ok(Some(Range {
                        to: ended,
                        requested_by: "change",
                    }));
                }
            }
            // What is delivered while there is no [register] is listed nowhere, so there is nothing to settle.
            let Some(until) = stretch.until else { return Ok(None) };
            self.from = self.from.max(until);
            self.stretches.pop_front();
        }
        Ok(None)
    }

    /// Closes up to the range's end; the next one begins there.
    async fn freeze(&mut self, tx: &Tx, range: Range) -> Result<RegisterId, StoreError> {
        let stretch = self.stretches.front();
        let stretch = stretch.ok_or_else(|| StoreError::unreadable("a range of no declaration"))?;
        let found = tx
            .query_one(
                "SELECT count(*), coalesce(sum(amount), 0)::bigint, min(delivered_at), max(delivered_at) FROM payment
                 WHERE payee_id = $1 AND delivered_at >= $2 AND delivered_at < $3",
                &[&self.payee_id, &self.from, &range.to],
            )
            .await?;
        let profile = stretch.payee.register.as_ref();
        let register_id = RegisterId::random();
        // Ranges of positions are what keeps registers of a series apart: here each has its sequence for one.
        tx.execute(
            "INSERT INTO register (register_id, series_id, payee_id, payee_version, kind, sequence, lo, hi, period_from,
                 period_to, cutoff, payment_count, total, first_accepted_at, last_accepted_at, currency, requested_by, mail_to)
             VALUES ($1, $2, $3, $4, 'regular', $5::int4, $5::int4, $5::int4, $6, $7, $7, $8, $9, $10, $11, $12, $13, $14)",
            &[
                &register_id.as_uuid(),
                &self.series_id,
                &self.payee_id,
                &stretch.version,
                &(self.sequence + 1),
                &self.from,
                &range.to,
                &found.get::<_, i64>(0),
                &found.get::<_, i64>(1),
                &found.get::<_, Option<Timestamp>>(2).unwrap_or(self.from),
                &found.get::<_, Option<Timestamp>>(3).unwrap_or(range.to),
                &stretch.payee.currency.code(),
                &range.requested_by,
                &profile.map(RegisterProfile::recipients).unwrap_or_default(),
            ],
        )
        .await?;
        self.sequence += 1;
        self.from = range.to;
        Ok(register_id)
    }

    /// Writes up to where the series is closed.
    async fn write(&self, tx: &Tx) -> Result<(), StoreError> {
        tx.execute(
            "UPDATE series SET last_cutoff = $2, last_sequence = $3::int4, last_hi = $3::int4 WHERE series_id = $1",
            &[&self.series_id, &self.from, &self.sequence],
        )
        .await
        .map(drop)
    }

    /// The same, and when the series is due next, and under which version of its payee that was worked out.
    async fn plan(&self, tx: &Tx) -> Result<(), StoreError> {
        self.write(tx).await?;
        let next = self.stretches.front().and_then(|stretch| {
            let profile = stretch.payee.register.as_ref()?;
            let cutoff = upcoming(profile, self.from, 1).first().map(|cutoff| cutoff.at);
            [cutoff, stretch.until].into_iter().flatten().min()
        });
        tx.execute(
            "UPDATE series SET planned_version = $2, next_cutoff = $3 WHERE series_id = $1",
            &[&self.series_id, &self.version, &next],
        )
        .await
        .map(drop)
    }
}

async fn first_delivered(
    tx: &Tx,
    payee: &str,
    from: Timestamp,
    to: Timestamp,
) -> Result<Option<Timestamp>, StoreError> {
    let row = tx
        .query_one(
            "SELECT min(delivered_at) FROM payment WHERE payee_id = $1 AND delivered_at >= $2 AND delivered_at < $3",
            &[&payee, &from, &to],
        )
        .await?;
    Ok(row.get(0))
}

/// What was declared from a moment on. Versions that differ in something else than `[register]` end no range.
async fn stretches(tx: &Tx, payee: &str, upto: i32, from: Timestamp) -> Result<VecDeque<Stretch>, StoreError> {
    let versions = tx
        .query(
            "SELECT version, declaration, applied_at FROM payee_version v
             WHERE payee_id = $1 AND version <= $2 AND version >= coalesce(
                 (SELECT max(version) FROM payee_version o WHERE o.payee_id = v.payee_id AND o.applied_at <= $3), 1)
             ORDER BY version",
            &[&payee, &upto, &from],
        )
        .await?;
    let same = |one: &Row, other: &Row| {
        let register = |row: &Row| row.get::<_, Value>(1).get("register").cloned();
        register(one) == register(other)
    };
    let alike: Vec<&[Row]> = versions.chunk_by(same).collect();
    let untils = alike.iter().skip(1).map(|next| Some(next[0].get(2))).chain([None]);
    let stretch = |(alike, until): (&&[Row], Option<Timestamp>)| {
        let last = &alike[alike.len() - 1];
        Ok(Stretch {
            payee: serde_json::from_value(last.get(1))?,
            version: last.get(0),
            since: alike[0].get(2),
            until,
        })
    };
    alike.iter().zip(untils).map(stretch).collect()
}
