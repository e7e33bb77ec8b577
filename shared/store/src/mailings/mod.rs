//! Mailings: one file of a register to one recipient, a mail address or a directory. All recipients and all retries get the
//! same bytes, and mails the same Message-ID, so that what came twice is seen to be one.
//!
//! They wait in lanes. A lane is one relay or one directory; whoever serves lanes apart is not held up in all of them by
//! one that is away.

mod letter;
mod operator;
mod record;
mod unmailed;
mod vanished;

use std::time::Duration;

use domain::declaration::{DirectoryProfile, MailProfile, Payee};
use jiff::Timestamp;
use serde_json::Value;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::registers::{Build, BuiltPart, Part, SUMMARY_COLUMNS, SUMMARY_WIDTH, Summary, summary_of};
use crate::{Store, StoreError, Tx};

pub use letter::{Letter, freeze};
pub use operator::{Forgone, Listed, Requeue, Requeued, forgo, of_register, requeue};
pub(crate) use record::built_if_none_failed;
pub use record::{Kept, put_back_untried, record_failed, record_maybe, record_retry, record_sent};
pub use unmailed::{Unmailed, forget_mailed, lane_in_words, note_unmailed, unmailed};

/// After so many mailers in a row that were gone with it in their hands, a mail is tried no more.
const VANISHED_MOST: i32 = 3;

/// A mailing in the hands of one mailer.
#[derive(Clone, Debug)]
pub struct Mailing {
    /// Its id.
    pub mailing_id: Uuid,
    /// The lease.
    pub token: Uuid,
    /// Its lane.
    pub lane: String,
    /// The register it is about.
    pub summary: Summary,
    /// Which of its files is attached, and what that holds.
    pub part: Part,
    /// The payee in the version the file was built with, as the series has it: what the mail says.
    pub payee: Payee,
    /// What the payee's declaration says of the series' mails now: how they go out.
    pub profile: Option<MailProfile>,
    /// The directory that the payee's declaration has for the series now.
    pub directory: Option<DirectoryProfile>,
    /// All recipients of the register, in their order: the mail names them all.
    pub to: Vec<String>,
    /// Who gets it.
    pub recipient: String,
    /// The same on every retry.
    pub message_id: String,
    /// Attempts, this one included.
    pub attempts: i32,
    /// Whoever had it in hands vanished too often, or its time was over by then: it is not to be tried.
    pub lost: bool,
    /// When the file was built: the mail's date.
    pub built_at: Timestamp,
    /// The attachment's name.
    pub file_name: String,
    /// What the attachment is found by.
    pub sha256: Vec<u8>,
    /// The attachment's size.
    pub bytes: i64,
    /// The mail, once a try of it has begun.
    pub letter: Option<Letter>,
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
        "INSERT INTO mailing (mailing_id, register_id, part, recipient, message_id, lane)
         SELECT m.*, mailing_lane(m.recipient, y.declaration, s.name)
         FROM UNNEST($1::uuid[], $2::uuid[], $3::int4[], $4::text[], $5::text[])
             AS m (mailing_id, register_id, part, recipient, message_id)
         JOIN register r USING (register_id) JOIN series s USING (series_id)
         JOIN payee y ON y.payee_id = r.payee_id
         ON CONFLICT (register_id, part, recipient) DO NOTHING",
        &[&ids, &registers, &ns, &recipients, &message_ids],
    )
    .await
    .map(drop)
}

/// Puts what waits for a payee into the lane of its declaration, in the transaction that changes that.
pub(crate) async fn follow(tx: &Tx, payee: &str, declaration: &Value) -> Result<(), StoreError> {
    tx.execute(FOLLOW, &[&payee, &declaration]).await.map(drop)
}

pub(crate) const FOLLOW: &str =
    "UPDATE mailing m SET lane = mailing_lane(m.recipient, $2, s.name) FROM register r JOIN series s USING (series_id)
     WHERE r.register_id = m.register_id AND r.payee_id = $1 AND m.state IN ('waiting', 'failed')
       AND m.lane <> mailing_lane(m.recipient, $2, s.name)";

/// Where a lane stands: how long until something in it is due, or a lease in it runs out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LaneDue {
    /// The lane; empty = the installation's relay.
    pub lane: String,
    /// Zero = now.
    pub due_in: Duration,
}

/// The lanes in which something waits or is under way. Costs a look at the index per lane, however much waits.
pub async fn lanes_due(store: &Store) -> Result<Vec<LaneDue>, StoreError> {
    let rows = store
        .query(
            "WITH RECURSIVE waiting AS (
                 (SELECT lane FROM mailing WHERE state = 'waiting' ORDER BY lane LIMIT 1)
                 UNION ALL
                 SELECT (SELECT m.lane FROM mailing m WHERE m.state = 'waiting' AND m.lane > w.lane ORDER BY m.lane LIMIT 1)
                 FROM waiting w WHERE w.lane IS NOT NULL),
             due AS (
                 SELECT lane, (SELECT min(due_at) FROM mailing m WHERE m.state = 'waiting' AND m.lane = w.lane) AS at
                 FROM waiting w WHERE lane IS NOT NULL
                 UNION ALL
                 SELECT lane, lease_until FROM mailing WHERE state = 'sending')
             SELECT lane, extract(epoch FROM min(at) - clock_timestamp())::float8 FROM due GROUP BY lane",
            &[],
        )
        .await?;
    let due = |row: &Row| LaneDue {
        lane: row.get(0),
        due_in: Duration::try_from_secs_f64(row.get::<_, f64>(1).max(0.0)).unwrap_or(Duration::MAX),
    };
    Ok(rows.iter().map(due).collect())
}

/// How long a claim lasts: so long, and longer by so much per byte of the file.
#[derive(Clone, Copy, Debug)]
pub struct Lease {
    /// For anything.
    pub least: Duration,
    /// What is sent in a second at the slowest.
    pub bytes_per_second: u32,
}

/// Takes due mails of these lanes, up to so many of each. Those of killed mailers are due again: to send one twice is
/// harmless.
pub async fn claim(store: &Store, lanes: &[(String, usize)], lease: Lease) -> Result<Vec<Mailing>, StoreError> {
    vanished::release_expired(store).await?;
    let token = Uuid::now_v7();
    let names: Vec<&str> = lanes.iter().map(|(lane, _)| lane.as_str()).collect();
    let mosts: Vec<i64> = lanes
        .iter()
        .map(|(_, most)| i64::try_from(*most).unwrap_or(i64::MAX))
        .collect();
    let sql = format!(
        "WITH due AS (
             SELECT d.mailing_id FROM UNNEST($3::text[], $4::bigint[]) AS w (lane, most), LATERAL (
                 SELECT mailing_id FROM mailing m
                 WHERE m.state = 'waiting' AND m.lane = w.lane AND m.due_at <= statement_timestamp()
                 ORDER BY m.due_at LIMIT w.most FOR UPDATE SKIP LOCKED) d),
         taken AS (
             UPDATE mailing m SET state = 'sending', due_at = NULL, lease_token = $1, attempts = attempts + 1,
                 lease_until = clock_timestamp() + make_interval(secs => $2 + a.bytes / $5::float8)
             FROM register_part p JOIN artifact a USING (sha256)
             WHERE p.register_id = m.register_id AND p.part = m.part AND m.mailing_id IN (SELECT mailing_id FROM due)
             RETURNING m.*)
         SELECT {SUMMARY_COLUMNS}, m.mailing_id, v.declaration, m.recipient, m.message_id, m.attempts,
             r.built_at, p.file_name, p.sha256, a.bytes,
             -- Sent again on demand, it names those it was asked for, and nobody else's address.
             CASE WHEN m.again = 0 THEN r.mail_to ELSE ARRAY(
                 SELECT o.recipient FROM mailing o
                 WHERE o.register_id = m.register_id AND o.part = m.part AND o.message_id = m.message_id
                 ORDER BY array_position(r.mail_to, o.recipient), o.recipient) END,
             m.lane, mail_profile(y.declaration, s.name),
             l.mail_from, l.head, l.tail, p.part, p.payment_count, p.total,
             (SELECT count(*) FROM register_part o WHERE o.register_id = r.register_id)::int4,
             directory_profile(y.declaration, s.name),
             m.vanished >= $6 OR m.vanished > 0 AND m.give_up_at <= statement_timestamp()
         FROM taken m JOIN register_part p USING (register_id, part) JOIN artifact a USING (sha256)
         JOIN register r USING (register_id) JOIN series s USING (series_id)
         JOIN payee_version v ON v.payee_id = r.payee_id AND v.version = r.payee_version
         JOIN payee y ON y.payee_id = r.payee_id LEFT JOIN letter l ON l.message_id = m.message_id"
    );
    let rate = f64::from(lease.bytes_per_second);
    let rows = store
        .query(
            &sql,
            &[
                &token,
                &lease.least.as_secs_f64(),
                &names,
                &mosts,
                &rate,
                &VANISHED_MOST,
            ],
        )
        .await?;
    let (mut mailings, mut unreadable) = (Vec::with_capacity(rows.len()), Vec::new());
    for row in &rows {
        let mailing: Uuid = row.get(SUMMARY_WIDTH);
        match mailing_of(row, token) {
            Ok(mailing) => mailings.push(mailing),
            // A newer version declared its payee. It must not hold up those claimed with it: it waits for its lease to run
            // out, and for a mailer that can read it.
            Err(error) => {
                tracing::error!(%mailing, %error, "a mail cannot be read by this version: left alone");
                unreadable.push(mailing);
            }
        }
    }
    vanished::leave_alone(store, &unreadable, token).await;
    Ok(mailings)
}

fn mailing_of(row: &Row, token: Uuid) -> Result<Mailing, StoreError> {
    let at = |offset: usize| SUMMARY_WIDTH + offset;
    let summary = summary_of(row)?;
    let payee: Payee = serde_json::from_value(row.get(at(1)))?;
    let (profile, directory): (Option<Value>, Option<Value>) = (row.get(at(11)), row.get(at(19)));
    Ok(Mailing {
        payee: payee.for_series(&summary.series),
        summary,
        token,
        mailing_id: row.get(at(0)),
        recipient: row.get(at(2)),
        message_id: row.get(at(3)),
        attempts: row.get(at(4)),
        lost: row.get(at(20)),
        built_at: row.get(at(5)),
        file_name: row.get(at(6)),
        sha256: row.get(at(7)),
        bytes: row.get(at(8)),
        to: row.get(at(9)),
        lane: row.get(at(10)),
        profile: profile.map(serde_json::from_value).transpose()?,
        directory: directory.map(serde_json::from_value).transpose()?,
        part: Part {
            part: row.get(at(15)),
            count: row.get(at(16)),
            total: row.get(at(17)),
            parts: row.get(at(18)),
        },
        letter: row.get::<_, Option<String>>(at(12)).map(|mail_from| Letter {
            mail_from,
            head: row.get(at(13)),
            tail: row.get(at(14)),
        }),
    })
}
