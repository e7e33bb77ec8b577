//! What came of a try, recorded under the lease's fence.

use std::time::Duration;

use uuid::Uuid;

use super::Mailing;
use crate::{StoreError, Tx};

/// What came of recording that a mail was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It will be tried again.
    Waiting,
    /// Its time is over, and the register has failed with it: an operator has to look.
    Failed,
    /// Its time is over; it was on demand, and the register stands as it was.
    OnDemand,
    /// The lease ran out and somebody else has it.
    Lost,
}

/// The mailings `m` that decide about their register `r`: those to whom it is for, until they have had it. What is mailed on demand, to
/// somebody else or once more, decides nothing. Whom an operator puts in the place of another, or gives up, is changed in `mail_to`.
const DECIDING: &str = "m.register_id = r.register_id AND m.recipient = ANY(r.mail_to) AND m.state <> 'sent' \
     AND m.first_sent_at IS NULL";

/// Records that a recipient's mail was taken. True: it was the last one, the register is mailed.
pub async fn record_sent(tx: &Tx, mailing: &Mailing) -> Result<bool, StoreError> {
    let register_id = mailing.summary.register_id.as_uuid();
    // Two recipients' mails may be recorded at once; the lock lets the later one see the earlier.
    tx.query_one(
        "SELECT FROM register WHERE register_id = $1 FOR UPDATE",
        &[&register_id],
    )
    .await?;
    // Taken is taken, also when the lease has run out meanwhile; but another mail to this recipient, or one to another in
    // its place, is not.
    tx.execute(
        "UPDATE mailing SET state = 'sent', sent_at = clock_timestamp(), due_at = NULL, lease_token = NULL,
             lease_until = NULL, vanished = 0, last_error = NULL
         WHERE mailing_id = $1 AND message_id = $2 AND recipient = $3 AND state <> 'sent'",
        &[&mailing.mailing_id, &mailing.message_id, &mailing.recipient],
    )
    .await?;
    mailed_if_all_are(tx, register_id).await
}

/// Everybody has it whom the register is for: it is mailed.
pub(super) async fn mailed_if_all_are(tx: &Tx, register_id: Uuid) -> Result<bool, StoreError> {
    let sql = format!(
        "UPDATE register r SET state = 'mailed', mailed_at = clock_timestamp(), last_error = NULL
         WHERE register_id = $1 AND state IN ('built', 'failed') AND NOT EXISTS (SELECT FROM mailing m WHERE {DECIDING})"
    );
    Ok(tx.execute(&sql, &[&register_id]).await? == 1)
}

/// Nobody is left who will not get it: the register waits to be mailed again.
pub(crate) async fn built_if_none_failed(tx: &Tx, register_id: Uuid) -> Result<(), StoreError> {
    let sql = format!(
        "UPDATE register r SET state = 'built' WHERE register_id = $1 AND state = 'failed'
           AND NOT EXISTS (SELECT FROM mailing m WHERE {DECIDING} AND m.state = 'failed')"
    );
    tx.execute(&sql, &[&register_id]).await.map(drop)
}

/// Records that a mail was not taken this time: it waits for `delay`, unless its time is over by then.
pub async fn record_retry(tx: &Tx, mailing: &Mailing, error: &str, delay: Duration) -> Result<Kept, StoreError> {
    put_back(tx, mailing, error, delay, mailing.attempts).await
}

/// Records that a mail may have been taken: no answer came. It waits likewise.
pub async fn record_maybe(tx: &Tx, mailing: &Mailing, error: &str, delay: Duration) -> Result<Kept, StoreError> {
    tx.execute(
        "UPDATE mailing SET maybes = maybes + 1 WHERE mailing_id = $1 AND lease_token = $2 AND state = 'sending'",
        &[&mailing.mailing_id, &mailing.token],
    )
    .await?;
    put_back(tx, mailing, error, delay, mailing.attempts).await
}

/// Puts a mail back untried: the relay was not there, which costs it no step of its retries. Its time runs all the same.
pub async fn put_back_untried(tx: &Tx, mailing: &Mailing, error: &str) -> Result<Kept, StoreError> {
    put_back(tx, mailing, error, Duration::ZERO, mailing.attempts - 1).await
}

async fn put_back(tx: &Tx, mailing: &Mailing, error: &str, delay: Duration, attempts: i32) -> Result<Kept, StoreError> {
    let given_up = tx
        .query_opt(
            "SELECT clock_timestamp() + make_interval(secs => $3) > give_up_at FROM mailing
             WHERE mailing_id = $1 AND lease_token = $2 AND state = 'sending' FOR UPDATE",
            &[&mailing.mailing_id, &mailing.token, &delay.as_secs_f64()],
        )
        .await?;
    match given_up.map(|row| row.get::<_, bool>(0)) {
        None => return Ok(Kept::Lost),
        Some(true) => {
            let error = format!("given up after {attempts} attempts: {error}");
            return record_failed(tx, mailing, &error).await;
        }
        Some(false) => {}
    }
    tx.execute(
        "UPDATE mailing SET state = 'waiting', due_at = clock_timestamp() + make_interval(secs => $3),
             lease_token = NULL, lease_until = NULL, vanished = 0, last_error = $2, attempts = $4
         WHERE mailing_id = $1",
        &[&mailing.mailing_id, &error, &delay.as_secs_f64(), &attempts],
    )
    .await?;
    Ok(Kept::Waiting)
}

/// Records that a mail will never be taken. If the register depends on it, that is an operator's business from now on.
pub async fn record_failed(tx: &Tx, mailing: &Mailing, error: &str) -> Result<Kept, StoreError> {
    let register_id = mailing.summary.register_id.as_uuid();
    tx.query_one(
        "SELECT FROM register WHERE register_id = $1 FOR UPDATE",
        &[&register_id],
    )
    .await?;
    let failed = tx
        .execute(
            "UPDATE mailing SET state = 'failed', due_at = NULL, lease_token = NULL, lease_until = NULL, vanished = 0,
                 last_error = $3
             WHERE mailing_id = $1 AND lease_token = $2 AND state = 'sending'",
            &[&mailing.mailing_id, &mailing.token, &error],
        )
        .await?;
    if failed == 0 {
        return Ok(Kept::Lost);
    }
    let sql = format!(
        "UPDATE register r SET state = 'failed', last_error = $2 WHERE register_id = $1 AND state IN ('built', 'failed')
           AND EXISTS (SELECT FROM mailing m WHERE {DECIDING} AND m.mailing_id = $3)"
    );
    let error = format!("{}: {error}", mailing.recipient);
    let decided = tx.execute(&sql, &[&register_id, &error, &mailing.mailing_id]).await?;
    Ok(if decided == 0 { Kept::OnDemand } else { Kept::Failed })
}
