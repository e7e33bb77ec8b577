//! Mails of notices on their way: claimed under a lease, sent with no transaction open, recorded under a fence. What is
//! sent was frozen when the mail was put together.

use std::time::Duration;

use jiff::Timestamp;
use uuid::Uuid;

use crate::mailings::Kept;
use crate::{Store, StoreError};

/// That none before mail `m` is on its way to the same recipient: "is back" may not be read before "is down". What is refused for good,
/// or given up, is on no way any more; and what a relay has put off six times, which takes some twenty minutes, may be put off for what
/// is in it: it keeps no other back. A relay that is away costs no try, so that after an outage all go in their order.
const NEXT_FOR_ITS_RECIPIENT: &str = "NOT EXISTS (SELECT FROM notice_mail earlier
     WHERE earlier.recipient = m.recipient AND earlier.state IN ('waiting', 'sending') AND earlier.attempts < 6
       AND (earlier.created_at, earlier.mail_id) < (m.created_at, m.mail_id))";

/// A mail in the hands of one mailer.
#[derive(Clone, Debug)]
pub struct NoticeMail {
    /// Its id.
    pub mail_id: Uuid,
    /// The lease.
    pub token: Uuid,
    /// Who gets it.
    pub recipient: String,
    /// Who sends it.
    pub mail_from: String,
    /// The same on every try.
    pub message_id: String,
    /// The mail's.
    pub subject: String,
    /// Its text.
    pub body: String,
    /// How many notices it tells of.
    pub count: i32,
    /// When it was put together: the mail's date.
    pub created_at: Timestamp,
    /// Attempts, this one included.
    pub attempts: i32,
}

/// How long until a mail is due, a lease runs out, or the pause is over with something waiting for that; none when there is
/// nothing to wait for.
pub async fn due_in(store: &Store, to_all: bool) -> Result<Option<Duration>, StoreError> {
    let row = store
        .query_one(
            &format!(
                "SELECT extract(epoch FROM least(
                 (SELECT min(due_at) FROM notice_mail m WHERE state = 'waiting' AND {NEXT_FOR_ITS_RECIPIENT}),
                 (SELECT min(lease_until) FROM notice_mail WHERE state = 'sending'),
                 (SELECT greatest(until, clock_timestamp()) FROM notice_pause WHERE EXISTS (
                     SELECT FROM notice WHERE gathered_at IS NULL AND ($1 OR cardinality(mail_to) > 0)))
             ) - clock_timestamp())::float8"
            ),
            &[&to_all],
        )
        .await?;
    Ok(row
        .get::<_, Option<f64>>(0)
        .map(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX)))
}

/// Takes up to `most` due mails for `lease`, those of killed mailers included: to send one twice is harmless. Of each recipient the
/// oldest: the others wait until it is taken, given up, or put off too often.
pub async fn claim(store: &Store, most: usize, lease: Duration) -> Result<Vec<NoticeMail>, StoreError> {
    let token = Uuid::now_v7();
    let rows = store
        .query(
            &format!(
                "UPDATE notice_mail SET state = 'sending', due_at = NULL, lease_token = $1, attempts = attempts + 1,
                 lease_until = clock_timestamp() + make_interval(secs => $2)
             WHERE mail_id = ANY(ARRAY(SELECT mail_id FROM notice_mail m
                 WHERE ((state = 'waiting' AND due_at <= clock_timestamp())
                     OR (state = 'sending' AND lease_until < clock_timestamp())) AND {NEXT_FOR_ITS_RECIPIENT}
                 ORDER BY coalesce(due_at, lease_until) LIMIT $3 FOR UPDATE SKIP LOCKED))
             RETURNING mail_id, recipient, message_id, subject, body, cardinality(notices), created_at, attempts,
                 mail_from"
            ),
            &[&token, &lease.as_secs_f64(), &i64::try_from(most).unwrap_or(i64::MAX)],
        )
        .await?;
    Ok(rows
        .iter()
        .map(|row| NoticeMail {
            token,
            mail_id: row.get(0),
            recipient: row.get(1),
            message_id: row.get(2),
            subject: row.get(3),
            body: row.get(4),
            count: row.get(5),
            created_at: row.get(6),
            attempts: row.get(7),
            mail_from: row.get(8),
        })
        .collect())
}

/// Records that the relay took it. Taken is taken, also when the lease has run out meanwhile.
pub async fn record_sent(store: &Store, mail: &NoticeMail) -> Result<(), StoreError> {
    store
        .execute(
            "UPDATE notice_mail SET state = 'sent', sent_at = clock_timestamp(), due_at = NULL, lease_token = NULL,
                 lease_until = NULL, last_error = NULL WHERE mail_id = $1 AND state <> 'sent'",
            &[&mail.mail_id],
        )
        .await
        .map(drop)
}

/// Records that it was not taken this time: it waits for `delay`, unless its four days are over by then.
pub async fn record_retry(store: &Store, mail: &NoticeMail, error: &str, delay: Duration) -> Result<Kept, StoreError> {
    let row = store
        .query_opt(
            "UPDATE notice_mail SET last_error = $3, lease_token = NULL, lease_until = NULL,
                 state = CASE WHEN given_up.now THEN 'failed' ELSE 'waiting' END,
                 due_at = CASE WHEN given_up.now THEN NULL ELSE clock_timestamp() + make_interval(secs => $4) END
             FROM (SELECT mail_id, clock_timestamp() + make_interval(secs => $4) > give_up_at AS now
                   FROM notice_mail WHERE mail_id = $1) given_up
             WHERE notice_mail.mail_id = given_up.mail_id AND lease_token = $2 AND state = 'sending'
             RETURNING state = 'failed'",
            &[&mail.mail_id, &mail.token, &error, &delay.as_secs_f64()],
        )
        .await?;
    Ok(match row.map(|row| row.get::<_, bool>(0)) {
        None => Kept::Lost,
        Some(true) => Kept::Failed,
        Some(false) => Kept::Waiting,
    })
}

/// Puts it back untried: the relay was not there, which costs it no step of its retries.
pub async fn put_back_untried(store: &Store, mail: &NoticeMail, error: &str) -> Result<Kept, StoreError> {
    let waiting = store
        .execute(
            "UPDATE notice_mail SET state = 'waiting', due_at = clock_timestamp(), lease_token = NULL, lease_until = NULL,
                 last_error = $3, attempts = attempts - 1
             WHERE mail_id = $1 AND lease_token = $2 AND state = 'sending'",
            &[&mail.mail_id, &mail.token, &error],
        )
        .await?;
    Ok(if waiting == 1 { Kept::Waiting } else { Kept::Lost })
}

/// Records that it will never be taken. What it told of stays in the list.
pub async fn record_failed(store: &Store, mail: &NoticeMail, error: &str) -> Result<Kept, StoreError> {
    let failed = store
        .execute(
            "UPDATE notice_mail SET state = 'failed', due_at = NULL, lease_token = NULL, lease_until = NULL, last_error = $3
             WHERE mail_id = $1 AND lease_token = $2 AND state = 'sending'",
            &[&mail.mail_id, &mail.token, &error],
        )
        .await?;
    Ok(if failed == 1 { Kept::Failed } else { Kept::Lost })
}
