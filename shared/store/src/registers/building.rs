//! Building under a lease: claim, read in pages ([`super::rows`]), record ([`super::parts`]). Whoever lost the lease records
//! nothing.

use std::time::Duration;

use domain::declaration::Payee;
use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use super::closing::seconds;
use super::copies::in_format;
use super::numbering::{NUMBERING, NUMBERING_COLUMNS, Numbering, numbering_at};
use super::{SUMMARY_COLUMNS, SUMMARY_WIDTH, Summary, summary_of};
use crate::{Store, StoreError, Tx};

/// A frozen register in the hands of one builder.
#[derive(Clone, Debug)]
pub struct Build {
    /// What was frozen.
    pub summary: Summary,
    /// The lease, which fences what is recorded.
    pub token: Uuid,
    /// The payee in the version it is built with, as the series has it: the one the range was closed under, unless an operator said otherwise.
    pub payee: Payee,
    /// When the range was closed.
    pub closed_at: Timestamp,
    /// When it ended, and which of its day and year it is.
    pub numbering: Numbering,
    /// Whom the file goes to.
    pub mail_to: Vec<String>,
    /// How many builds were begun, this one included.
    pub attempts: i32,
    /// How often in a row whoever was building it was gone without a word.
    pub vanished: i32,
    /// Set when it holds what was delivered in this period, and not positions of the ledger.
    pub delivered: Option<(Timestamp, Timestamp)>,
    pub(super) series_id: i64,
    pub(super) lo: i64,
    pub(super) hi: i64,
}

/// Takes registers that are due to be built and nobody's, for `lease`: the oldest, and with it others, up to `most` in all,
/// as long as they have no more than `most_rows` payments together. Empty: none is due that this version can read.
///
/// Perhaps a builder dies of a register. So one that a builder vanished with is built alone, and should that happen once more,
/// at another time than those that vanished with it, by chance.
pub async fn claim_builds(
    store: &Store,
    lease: Duration,
    most: usize,
    most_rows: i64,
) -> Result<Vec<Build>, StoreError> {
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    // `due_at` moves with the lease: until it has run out the register is not due, whoever looks.
    let claim = "WITH due AS (
             SELECT register_id, payment_count, due_at, lease_token IS NOT NULL AS vanished FROM register
             WHERE state = 'frozen' AND due_at <= clock_timestamp() ORDER BY due_at LIMIT $2 FOR UPDATE SKIP LOCKED),
         few AS (
             SELECT register_id, row_number() OVER oldest AS nth, (sum(payment_count) OVER oldest)::bigint AS payments,
                    bool_or(vanished) OVER oldest AS alone FROM due
             WINDOW oldest AS (ORDER BY due_at, register_id)),
         taken AS (
             UPDATE register SET lease_token = gen_random_uuid(), attempts = attempts + 1,
                 vanished = vanished + (lease_token IS NOT NULL)::integer,
                 lease_until = clock_timestamp() + make_interval(secs => $1),
                 due_at = clock_timestamp() + make_interval(secs => $1)
                     * (1 + 4 * random() * (vanished + (lease_token IS NOT NULL)::integer))
             WHERE register_id = ANY(ARRAY(SELECT register_id FROM few WHERE nth = 1 OR payments <= $3 AND NOT alone))
             RETURNING *)";
    let sql = format!("{claim} {}", builds_of("taken"));
    loop {
        let rows = store.query(&sql, &[&lease.as_secs_f64(), &most, &most_rows]).await?;
        let builds: Vec<Build> = rows.iter().filter_map(readable).collect();
        if builds.len() < rows.len() {
            leave_alone(store, &rows, &builds).await;
        }
        // Behind what cannot be read others may be due; it is not due itself for as long as its lease would last.
        if rows.is_empty() || !builds.is_empty() {
            return Ok(builds);
        }
    }
}

/// A payee that this version of the program cannot read (a newer one declared it) must not hold up those claimed with it:
/// its register waits for its time, and for a builder that can read it.
fn readable(row: &Row) -> Option<Build> {
    build_of(row)
        .inspect_err(|error| {
            let register: Uuid = row.get(0);
            tracing::error!(%register, %error, "a register cannot be read by this version: left alone");
        })
        .ok()
}

/// Those claimed that are not built are in nobody's hands: nobody vanishes with them. Where that cannot be said they keep their
/// leases; the others are somebody's, and he has to hear of them.
async fn leave_alone(store: &Store, claimed: &[Row], builds: &[Build]) {
    let registers: Vec<Uuid> = claimed.iter().map(|row| row.get(0)).collect();
    let tokens: Vec<Option<Uuid>> = claimed.iter().map(|row| row.get(SUMMARY_WIDTH + TOKEN)).collect();
    let built: Vec<Uuid> = builds.iter().map(|build| build.token).collect();
    let sql = "UPDATE register SET lease_token = NULL, lease_until = NULL
               WHERE register_id = ANY($1) AND state = 'frozen' AND lease_token = ANY($2) AND lease_token <> ALL ($3)";
    if let Err(error) = store.execute(sql, &[&registers, &tokens, &built]).await {
        tracing::warn!(%error, "registers that cannot be read keep their leases");
    }
}

/// Where [`builds_of`] has the token of the lease, after the summary.
const TOKEN: usize = 10;

/// The query of what [`build_of`] reads, of registers from here.
pub(super) fn builds_of(from: &str) -> String {
    format!(
        "SELECT {SUMMARY_COLUMNS}, r.closed_at, r.mail_to, r.attempts, r.series_id, r.lo, r.hi, v.declaration,
                s.holds = 'delivered', r.period_from, r.period_to, r.lease_token, r.format, r.vanished, {NUMBERING_COLUMNS}
         FROM {from} r JOIN series s USING (series_id)
         JOIN payee_version v ON v.payee_id = r.payee_id AND v.version = r.payee_version {NUMBERING}"
    )
}

/// Without a lease it is nobody's to record.
pub(super) fn build_of(row: &Row) -> Result<Build, StoreError> {
    let at = |offset: usize| SUMMARY_WIDTH + offset;
    let period = || Some((row.get(at(8)), row.get(at(9))));
    let summary = summary_of(row)?;
    let payee: Payee = serde_json::from_value(row.get(at(6)))?;
    Ok(Build {
        payee: in_format(payee.for_series(&summary.series), row.get(at(11)))?,
        summary,
        closed_at: row.get(at(0)),
        mail_to: row.get(at(1)),
        attempts: row.get(at(2)),
        vanished: row.get(at(12)),
        series_id: row.get(at(3)),
        lo: row.get(at(4)),
        hi: row.get(at(5)),
        delivered: if row.get(at(7)) { period() } else { None },
        token: row.get::<_, Option<Uuid>>(at(TOKEN)).unwrap_or_default(),
        numbering: numbering_at(row, at(13)),
    })
}

/// When registers are to be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BuildsDue {
    /// How long until the next; none when none waits.
    pub next: Option<Duration>,
    /// How long the oldest that is nobody's has been due.
    pub late: Duration,
}

/// When registers are due to be built.
pub async fn builds_due(store: &Store) -> Result<BuildsDue, StoreError> {
    let row = store
        .query_one(
            "SELECT extract(epoch FROM min(due_at) - clock_timestamp())::float8 FROM register
             WHERE state = 'frozen' AND due_at IS NOT NULL",
            &[],
        )
        .await?;
    let until: Option<f64> = row.get(0);
    Ok(BuildsDue {
        next: until.map(seconds),
        late: seconds(-until.unwrap_or_default()),
    })
}

/// Holds the leases for longer. Returns how many are still held; the others are somebody else's.
pub async fn renew_builds(store: &Store, builds: &[Build], lease: Duration) -> Result<u64, StoreError> {
    let ids: Vec<Uuid> = builds.iter().map(|build| build.summary.register_id.as_uuid()).collect();
    let tokens: Vec<Uuid> = builds.iter().map(|build| build.token).collect();
    store
        .execute(
            "UPDATE register r SET lease_until = clock_timestamp() + make_interval(secs => $3),
                 due_at = clock_timestamp() + make_interval(secs => $3) * (1 + 4 * random() * r.vanished)
             FROM UNNEST($1::uuid[], $2::uuid[]) AS b (register_id, token)
             WHERE r.register_id = b.register_id AND r.lease_token = b.token AND r.state = 'frozen'",
            &[&ids, &tokens, &lease.as_secs_f64()],
        )
        .await
}

/// Records that the register cannot be built, which is an operator's business from now on. False: the lease was lost.
pub async fn record_build_failed(tx: &Tx, build: &Build, error: &str) -> Result<bool, StoreError> {
    let failed = tx
        .execute(
            "UPDATE register SET state = 'failed', last_error = $3, lease_token = NULL, lease_until = NULL, due_at = NULL,
                 vanished = 0
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
            "UPDATE register SET last_error = $3, lease_token = NULL, lease_until = NULL, vanished = 0,
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
