//! Mailings: one file of a register to one recipient. All recipients and all retries get the same Message-ID and the same bytes, so
//! that a mail that was sent twice is seen to be one.

use std::time::Duration;

use domain::RegisterId;
use domain::declaration::Payee;
use jiff::Timestamp;
use serde_json::Value;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::audit::{self, Act};
use crate::registers::{Build, BuiltPart, Part, SUMMARY_COLUMNS, SUMMARY_WIDTH, Summary, summary_of};
use crate::{Store, StoreError, Tx};

/// A mailing in the hands of one mailer.
#[derive(Clone, Debug)]
pub struct Mailing {
    /// Its id.
    pub mailing_id: Uuid,
    /// The lease.
    pub token: Uuid,
    /// The register it is about.
    pub summary: Summary,
    /// Which of its files is attached, and what that holds.
    pub part: Part,
    /// The payee in the version the range was closed under, as the series has it.
    pub payee: Payee,
    /// All recipients of the register, in their order: the mail names them all.
    pub to: Vec<String>,
    /// Who gets it.
    pub recipient: String,
    /// The same on every retry.
    pub message_id: String,
    /// Attempts, this one included.
    pub attempts: i32,
    /// When the file was built: the mail's date.
    pub built_at: Timestamp,
    /// The attachment's name.
    pub file_name: String,
    /// What the attachment is found by.
    pub sha256: Vec<u8>,
    /// The attachment's size.
    pub bytes: i64,
}

/// What came of recording that a mail was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It will be tried again.
    Waiting,
    /// Its time is over; an operator has to look.
    Failed,
    /// The lease ran out and somebody else has it.
    Lost,
}

/// Adds a mailing per file and recipient, in the transaction that records the builds.
pub(crate) async fn add(tx: &Tx, parts: &[(&Build, &BuiltPart)]) -> Result<(), StoreError> {
    let (mut ids, mut registers, mut ns) = (Vec::new(), Vec::new(), Vec::new());
    let (mut recipients, mut message_ids) = (Vec::new(), Vec::new());
    for (build, built) in parts {
        for recipient in &build.mail_to {
            ids.push(Uuid::now_v7());
            registers.push(build.summary.register_id.as_uuid());
            ns.push(built.part.part);
            recipients.push(recipient.as_str());
            message_ids.push(built.message_id.as_str());
        }
    }
    tx.execute(
        "INSERT INTO mailing (mailing_id, register_id, part, recipient, message_id)
         SELECT * FROM UNNEST($1::uuid[], $2::uuid[], $3::int4[], $4::text[], $5::text[])
         ON CONFLICT (register_id, part, recipient) DO NOTHING",
        &[&ids, &registers, &ns, &recipients, &message_ids],
    )
    .await
    .map(drop)
}

/// How long until a mail is due, or a lease runs out; none when none waits.
pub async fn due_in(store: &Store) -> Result<Option<Duration>, StoreError> {
    let row = store
        .query_one(
            "SELECT extract(epoch FROM least(
                 (SELECT min(due_at) FROM mailing WHERE state = 'waiting'),
                 (SELECT min(lease_until) FROM mailing WHERE state = 'sending')) - clock_timestamp())::float8",
            &[],
        )
        .await?;
    Ok(row
        .get::<_, Option<f64>>(0)
        .map(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX)))
}

/// Takes up to `most` due mails for `lease`, those of killed mailers included: to send one twice is harmless.
pub async fn claim(store: &Store, most: usize, lease: Duration) -> Result<Vec<Mailing>, StoreError> {
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let token = Uuid::now_v7();
    let sql = format!(
        "WITH taken AS (
             UPDATE mailing SET state = 'sending', due_at = NULL, lease_token = $1, attempts = attempts + 1,
                 lease_until = clock_timestamp() + make_interval(secs => $2)
             WHERE mailing_id = ANY(ARRAY(SELECT mailing_id FROM mailing
                 WHERE (state = 'waiting' AND due_at <= clock_timestamp())
                    OR (state = 'sending' AND lease_until < clock_timestamp())
                 ORDER BY coalesce(due_at, lease_until) LIMIT $3 FOR UPDATE SKIP LOCKED))
             RETURNING *)
         SELECT {SUMMARY_COLUMNS}, m.mailing_id, v.declaration, m.recipient, m.message_id, m.attempts,
             r.built_at, p.file_name, p.sha256, a.bytes, r.mail_to, p.part, p.payment_count, p.total,
             (SELECT count(*) FROM register_part o WHERE o.register_id = r.register_id)::int4
         FROM taken m JOIN register_part p USING (register_id, part) JOIN artifact a USING (sha256)
         JOIN register r USING (register_id) JOIN series s USING (series_id)
         JOIN payee_version v ON v.payee_id = r.payee_id AND v.version = r.payee_version"
    );
    let rows = store.query(&sql, &[&token, &lease.as_secs_f64(), &most]).await?;
    Ok(rows.iter().filter_map(|row| readable(row, token)).collect())
}

/// A mail whose payee this version of the program cannot read (a newer one declared it) must not hold up those claimed
/// with it: it waits for its lease to run out, and for a mailer that can read it.
fn readable(row: &Row, token: Uuid) -> Option<Mailing> {
    match mailing_of(row, token) {
        Ok(mailing) => Some(mailing),
        Err(error) => {
            let mailing: Uuid = row.get(SUMMARY_WIDTH);
            tracing::error!(%mailing, %error, "a mail cannot be read by this version: left alone");
            None
        }
    }
}

fn mailing_of(row: &Row, token: Uuid) -> Result<Mailing, StoreError> {
    let at = |offset: usize| SUMMARY_WIDTH + offset;
    let summary = summary_of(row)?;
    let payee: Payee = serde_json::from_value(row.get(at(1)))?;
    Ok(Mailing {
        payee: payee.for_series(&summary.series),
        summary,
        token,
        mailing_id: row.get(at(0)),
        recipient: row.get(at(2)),
        message_id: row.get(at(3)),
        attempts: row.get(at(4)),
        built_at: row.get(at(5)),
        file_name: row.get(at(6)),
        sha256: row.get(at(7)),
        bytes: row.get(at(8)),
        to: row.get(at(9)),
        part: Part {
            part: row.get(at(10)),
            count: row.get(at(11)),
            total: row.get(at(12)),
            parts: row.get(at(13)),
        },
    })
}

/// Records that a recipient's mail was taken. True: it was the last one, the register is mailed.
pub async fn record_sent(tx: &Tx, mailing: &Mailing) -> Result<bool, StoreError> {
    let register_id = mailing.summary.register_id.as_uuid();
    // Two recipients' mails may be recorded at once; the lock lets the later one see the earlier.
    tx.query_one(
        "SELECT FROM register WHERE register_id = $1 FOR UPDATE",
        &[&register_id],
    )
    .await?;
    // Taken is taken, also when the lease has run out meanwhile.
    tx.execute(
        "UPDATE mailing SET state = 'sent', sent_at = clock_timestamp(), due_at = NULL, lease_token = NULL,
             lease_until = NULL, last_error = NULL
         WHERE mailing_id = $1 AND state <> 'sent'",
        &[&mailing.mailing_id],
    )
    .await?;
    let mailed = tx
        .execute(
            "UPDATE register r SET state = 'mailed', mailed_at = clock_timestamp(), last_error = NULL
             WHERE register_id = $1 AND state IN ('built', 'failed')
               AND NOT EXISTS (SELECT FROM mailing m WHERE m.register_id = r.register_id AND m.state <> 'sent')",
            &[&register_id],
        )
        .await?;
    Ok(mailed == 1)
}

/// Records that a mail was not taken this time: it waits for `delay`, unless its time is over by then.
pub async fn record_retry(tx: &Tx, mailing: &Mailing, error: &str, delay: Duration) -> Result<Kept, StoreError> {
    let given_up = tx
        .query_opt(
            "SELECT clock_timestamp() + make_interval(secs => $3) > give_up_at FROM mailing
             WHERE mailing_id = $1 AND lease_token = $2 AND state = 'sending' FOR UPDATE",
            &[&mailing.mailing_id, &mailing.token, &delay.as_secs_f64()],
        )
        .await?;
    match given_up.map(|row| row.get::<_, bool>(0)) {
        None => Ok(Kept::Lost),
        Some(true) => {
            record_failed(
                tx,
                mailing,
                &format!("given up after {} attempts: {error}", mailing.attempts),
            )
            .await
        }
        Some(false) => put_back(tx, mailing, error, delay, mailing.attempts).await,
    }
}

/// Puts a mail back untried: the relay was not there, which costs it no step of its retries.
pub async fn put_back_untried(tx: &Tx, mailing: &Mailing, error: &str) -> Result<Kept, StoreError> {
    put_back(tx, mailing, error, Duration::ZERO, mailing.attempts - 1).await
}

async fn put_back(tx: &Tx, mailing: &Mailing, error: &str, delay: Duration, attempts: i32) -> Result<Kept, StoreError> {
    let waiting = tx
        .execute(
            "UPDATE mailing SET state = 'waiting', due_at = clock_timestamp() + make_interval(secs => $4),
                 lease_token = NULL, lease_until = NULL, last_error = $3, attempts = $5
             WHERE mailing_id = $1 AND lease_token = $2 AND state = 'sending'",
            &[
                &mailing.mailing_id,
                &mailing.token,
                &error,
                &delay.as_secs_f64(),
                &attempts,
            ],
        )
        .await?;
    Ok(if waiting == 1 { Kept::Waiting } else { Kept::Lost })
}

/// Records that a mail will never be taken; the register is an operator's business from now on.
pub async fn record_failed(tx: &Tx, mailing: &Mailing, error: &str) -> Result<Kept, StoreError> {
    let register_id = mailing.summary.register_id.as_uuid();
    tx.query_one(
        "SELECT FROM register WHERE register_id = $1 FOR UPDATE",
        &[&register_id],
    )
    .await?;
    let failed = tx
        .execute(
            "UPDATE mailing SET state = 'failed', due_at = NULL, lease_token = NULL, lease_until = NULL, last_error = $3
             WHERE mailing_id = $1 AND lease_token = $2 AND state = 'sending'",
            &[&mailing.mailing_id, &mailing.token, &error],
        )
        .await?;
    if failed == 0 {
        return Ok(Kept::Lost);
    }
    tx.execute(
        "UPDATE register SET state = 'failed', last_error = $2 WHERE register_id = $1 AND state IN ('built', 'failed')",
        &[&register_id, &format!("{}: {error}", mailing.recipient)],
    )
    .await?;
    Ok(Kept::Failed)
}

/// An operator's act: mails of a register that failed are tried again, for another four days. Refused when none failed.
pub async fn requeue_mail(store: &Store, register: RegisterId, who: &str) -> Result<u64, StoreError> {
    let tx = store.begin().await?;
    tx.query_opt(
        "SELECT FROM register WHERE register_id = $1 FOR UPDATE",
        &[&register.as_uuid()],
    )
    .await?;
    let requeued = tx
        .execute(
            "UPDATE mailing SET state = 'waiting', due_at = clock_timestamp(), attempts = 0,
                 give_up_at = clock_timestamp() + interval '4 days'
             WHERE register_id = $1 AND state = 'failed'",
            &[&register.as_uuid()],
        )
        .await?;
    if requeued == 0 {
        return Err(StoreError::Changed(format!(
            "register {register} has no mail that failed"
        )));
    }
    tx.execute(
        "UPDATE register SET state = 'built' WHERE register_id = $1 AND state = 'failed'",
        &[&register.as_uuid()],
    )
    .await?;
    let subject = register.to_string();
    let act = Act {
        who,
        act: "registers requeue-mail",
        subject_kind: "register",
        subject: &subject,
        reason: None,
        before: Some(Value::from("failed")),
        after: Some(Value::from("built")),
    };
    audit::record(&tx, &act).await?;
    tx.commit().await?;
    Ok(requeued)
}
