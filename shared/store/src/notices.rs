//! Notices: what people should know of soon. Each is written in the transaction of the event it is about, and mailed by
//! whichever mailer comes first, together with what else happened meanwhile.
//!
//! Nothing is lost when nobody can be told: a notice waits until there is a recipient and a relay, and `notices list` shows
//! it meanwhile. What happens again while it waits makes no second row.

mod mails;
mod waiting;

use std::time::Duration;

use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{Store, StoreError, Tx};

pub use mails::{NoticeMail, claim, due_in, put_back_untried, record_failed, record_retry, record_sent};
pub use waiting::{ParkedId, ParkedOpen, Unsettled, first_parked, keep_open, note_open, parked_open, unsettled};

/// Notices put into mails at once; what is beyond goes with the next ones.
const GATHERED_AT_ONCE: i64 = 500;

/// Something that people should know of.
#[derive(Clone, Debug)]
pub struct NewNotice<'a> {
    /// The routing key of its event: `stock.low`; or a name of that form.
    pub kind: &'a str,
    /// Which product, payee or register.
    pub subject: &'a str,
    /// What happened, in a line.
    pub title: String,
    /// What else there is to know, line by line.
    pub lines: Vec<String>,
    /// Who is told besides those whom the mailer's own setting names.
    pub mail_to: &'a [String],
}

/// Adds a notice to what this transaction makes true. While an earlier one of the same kind about the same subject waits to
/// be mailed, that one is brought up to date instead.
pub async fn add(tx: &Tx, notice: &NewNotice<'_>) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO notice AS n (notice_id, kind, subject, title, lines, mail_to) VALUES ($1, $2, $3, $4, $5, $6)
         ON CONFLICT (kind, subject) WHERE gathered_at IS NULL DO UPDATE SET title = excluded.title,
             lines = excluded.lines, mail_to = excluded.mail_to, times = n.times + 1,
             last_at = greatest(n.last_at, clock_timestamp())",
        &[
            &Uuid::now_v7(),
            &notice.kind,
            &notice.subject,
            &notice.title,
            &notice.lines,
            &notice.mail_to,
        ],
    )
    .await
    .map(drop)
}

/// Whether a notice of this kind about this subject was added within this time.
pub async fn was_told(tx: &Tx, kind: &str, subject: &str, within: Duration) -> Result<bool, StoreError> {
    let row = tx.query_one(TOLD, &[&kind, &subject, &within.as_secs_f64()]).await?;
    Ok(row.get(0))
}

pub(crate) const TOLD: &str = "SELECT EXISTS (SELECT FROM notice WHERE kind = $1 AND subject = $2
     AND last_at > statement_timestamp() - make_interval(secs => $3))";

/// A notice that waits to be mailed.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// Which.
    pub notice_id: Uuid,
    /// What happened.
    pub title: String,
    /// What else there is to know.
    pub lines: Vec<String>,
    /// Who is told besides those whom the mailer's own setting names.
    pub mail_to: Vec<String>,
    /// How often it happened.
    pub times: i32,
    /// When first.
    pub first_at: Timestamp,
    /// When last.
    pub last_at: Timestamp,
}

/// A mail to be sent to one recipient.
#[derive(Clone, Debug)]
pub struct NewMail {
    /// Its id.
    pub mail_id: Uuid,
    /// Who gets it.
    pub recipient: String,
    /// Who sends it.
    pub mail_from: String,
    /// With angle brackets; the same on every try.
    pub message_id: String,
    /// Of the mail.
    pub subject: String,
    /// Its text.
    pub body: String,
    /// What it tells of.
    pub notices: Vec<Uuid>,
}

/// Takes the notices that wait, for mails that this transaction puts together: all of them where `to_all` says that
/// everybody's recipients are known, else those that name their own. None during the pause after the last mails, and none
/// while another mailer is at it.
pub async fn gather(tx: &Tx, to_all: bool) -> Result<Vec<Waiting>, StoreError> {
    let our_turn = tx
        .query_opt(
            "SELECT FROM notice_pause WHERE until <= clock_timestamp() FOR UPDATE SKIP LOCKED",
            &[],
        )
        .await?;
    if our_turn.is_none() {
        return Ok(Vec::new());
    }
    let rows = tx
        .query(
            "SELECT notice_id, title, lines, mail_to, times, first_at, last_at FROM notice
             WHERE gathered_at IS NULL AND ($1 OR cardinality(mail_to) > 0)
             ORDER BY first_at, notice_id LIMIT $2 FOR UPDATE SKIP LOCKED",
            &[&to_all, &GATHERED_AT_ONCE],
        )
        .await?;
    let waiting = |row: &Row| Waiting {
        notice_id: row.get(0),
        title: row.get(1),
        lines: row.get(2),
        mail_to: row.get(3),
        times: row.get(4),
        first_at: row.get(5),
        last_at: row.get(6),
    };
    Ok(rows.iter().map(waiting).collect())
}

/// Writes the mails made of what [`gather`] took, and begins the pause before the next ones. Older mails that wait for a retry are due
/// with them.
pub async fn put_in_mails(tx: &Tx, mails: &[NewMail], pause: Duration) -> Result<(), StoreError> {
    for mail in mails {
        tx.execute(
            "INSERT INTO notice_mail (mail_id, recipient, message_id, subject, body, notices, mail_from)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
            &[
                &mail.mail_id,
                &mail.recipient,
                &mail.message_id,
                &mail.subject,
                &mail.body,
                &mail.notices,
                &mail.mail_from,
            ],
        )
        .await?;
    }
    // Those before them go first, and keep them from going for no longer than the pause between two mails.
    let recipients: Vec<&str> = mails.iter().map(|mail| &*mail.recipient).collect();
    tx.execute(
        "UPDATE notice_mail SET due_at = clock_timestamp()
         WHERE recipient = ANY($1) AND state = 'waiting' AND due_at > clock_timestamp()",
        &[&recipients],
    )
    .await?;
    let told: Vec<Uuid> = mails.iter().flat_map(|mail| mail.notices.iter().copied()).collect();
    tx.execute(
        "UPDATE notice SET gathered_at = clock_timestamp() WHERE notice_id = ANY($1) AND gathered_at IS NULL",
        &[&told],
    )
    .await?;
    tx.execute(
        "UPDATE notice_pause SET until = clock_timestamp() + make_interval(secs => $1)",
        &[&pause.as_secs_f64()],
    )
    .await
    .map(drop)
}

/// Whether a notice waits that names no recipient of its own.
pub async fn any_without_recipient(store: &Store) -> Result<bool, StoreError> {
    let row = store
        .query_one(
            "SELECT EXISTS (SELECT FROM notice WHERE gathered_at IS NULL AND cardinality(mail_to) = 0)",
            &[],
        )
        .await?;
    Ok(row.get(0))
}

/// A notice as people see it.
#[derive(Clone, Debug)]
pub struct Notice {
    /// Which.
    pub notice_id: Uuid,
    /// The routing key of its event.
    pub kind: String,
    /// Which product, payee or register.
    pub subject: String,
    /// What happened.
    pub title: String,
    /// How often.
    pub times: i32,
    /// When first.
    pub first_at: Timestamp,
    /// When last.
    pub last_at: Timestamp,
    /// `waiting` for a recipient, a relay or the end of a pause; `mailing`; `mailed`; `failed` for one of its recipients.
    pub state: String,
    /// Who was or will be mailed; while it waits, those it names itself.
    pub recipients: Vec<String>,
    /// When the last of them had it.
    pub mailed_at: Option<Timestamp>,
    /// What the relay said last, if it is not mailed.
    pub last_error: Option<String>,
}

/// The latest notices, the latest first; only those that are not mailed, if so wanted.
pub async fn list(store: &Store, open_only: bool, most: i64) -> Result<Vec<Notice>, StoreError> {
    let rows = store
        .query(
            "SELECT n.notice_id, n.kind, n.subject, n.title, n.times, n.first_at, n.last_at, told.state,
                    coalesce(told.recipients, n.mail_to), told.mailed_at, told.last_error
             FROM notice n CROSS JOIN LATERAL (
                 SELECT CASE WHEN n.gathered_at IS NULL THEN 'waiting'
                             WHEN bool_or(m.state = 'failed') THEN 'failed'
                             WHEN bool_and(m.state = 'sent') THEN 'mailed'
                             ELSE 'mailing' END AS state,
                        array_agg(m.recipient ORDER BY m.recipient) AS recipients,
                        CASE WHEN bool_and(m.state = 'sent') THEN max(m.sent_at) END AS mailed_at,
                        max(m.last_error) AS last_error
                 FROM notice_mail m WHERE m.notices @> ARRAY[n.notice_id]
             ) told
             WHERE NOT $1 OR told.state <> 'mailed'
             ORDER BY n.last_at DESC, n.notice_id DESC LIMIT $2",
            &[&open_only, &most],
        )
        .await?;
    let notice = |row: &Row| Notice {
        notice_id: row.get(0),
        kind: row.get(1),
        subject: row.get(2),
        title: row.get(3),
        times: row.get(4),
        first_at: row.get(5),
        last_at: row.get(6),
        state: row.get(7),
        recipients: row.get(8),
        mailed_at: row.get(9),
        last_error: row.get(10),
    };
    Ok(rows.iter().map(notice).collect())
}
