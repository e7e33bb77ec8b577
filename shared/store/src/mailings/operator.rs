//! What operators see of mailings, and do about those that failed.

use domain::RegisterId;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio_postgres::Row;
use uuid::Uuid;

use super::record::{built_if_none_failed, mailed_if_all_are};
use crate::audit::{self, Act};
use crate::{Store, StoreError, Tx};

/// A mailing as an operator sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// A mail address, or `directory:` and a path.
    pub recipient: String,
    /// Which of the register's files, from 1.
    pub part: i32,
    /// `waiting`, `sending`, `sent`, `failed`, or `forgone`: an operator said that nothing more goes there.
    pub state: String,
    /// The relay or directory it goes through; empty = the installation's relay.
    pub lane: String,
    /// How often it was tried.
    pub attempts: i32,
    /// How often of these it may have been taken.
    pub maybes: i32,
    /// When it is tried next.
    pub due_at: Option<Timestamp>,
    /// Until when it is tried.
    pub give_up_at: Timestamp,
    /// When it was taken.
    pub sent_at: Option<Timestamp>,
    /// When it was for the first time: the same, unless it was sent again since. None for whom it was sent on demand only.
    pub first_sent_at: Option<Timestamp>,
    /// How often it had been sent again on demand, of any recipient, when this was; 0 = it is the register's own mail.
    pub again: i32,
    /// What was said last, if it was not taken.
    pub last_error: Option<String>,
    /// The mail's Message-ID.
    pub message_id: String,
}

/// The mailings of a register.
pub async fn of_register(store: &Store, register: RegisterId) -> Result<Vec<Listed>, StoreError> {
    let rows = store
        .query(
            "SELECT recipient, state, lane, attempts, maybes, due_at, give_up_at, sent_at, last_error, message_id, part,
                    CASE again WHEN 0 THEN sent_at ELSE first_sent_at END, again
             FROM mailing WHERE register_id = $1 ORDER BY part, mailing_id",
            &[&register.as_uuid()],
        )
        .await?;
    let listed = |row: &Row| Listed {
        recipient: row.get(0),
        state: row.get(1),
        lane: row.get(2),
        attempts: row.get(3),
        maybes: row.get(4),
        due_at: row.get(5),
        give_up_at: row.get(6),
        sent_at: row.get(7),
        last_error: row.get(8),
        message_id: row.get(9),
        part: row.get(10),
        first_sent_at: row.get(11),
        again: row.get(12),
    };
    Ok(rows.iter().map(listed).collect())
}

/// Which mails that failed, or wait for their next try, are to be tried now.
#[derive(Clone, Copy, Debug)]
pub struct Requeue<'a> {
    /// Of this register.
    pub register: RegisterId,
    /// Only the ones to this recipient.
    pub recipient: Option<&'a str>,
    /// And to this address in its place; only together with `recipient`.
    pub instead: Option<&'a str>,
    /// Who says so.
    pub who: &'a str,
}

/// What a requeue comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requeued {
    /// So many mails are sent again.
    pub mails: u64,
    /// Everybody has it whom the register is for now: it is mailed.
    pub mailed: bool,
}

/// An operator's act: mails of a register that failed are tried again, for another four days, and those that wait for their next try
/// are tried now. Refused when there is neither. A transaction in which it was refused is not committed.
pub async fn requeue(tx: &Tx, wanted: &Requeue<'_>) -> Result<Requeued, StoreError> {
    let register = wanted.register;
    let (before, mail_to) = lock(tx, register).await?;
    if let Some(instead) = wanted.instead.filter(|&instead| mail_to.iter().any(|to| to == instead)) {
        return Err(StoreError::Changed(format!(
            "{instead} is a recipient of register {register} already"
        )));
    }
    let open = |(recipient, state): &(String, String)| {
        matches!(state.as_str(), "failed" | "waiting") && wanted.recipient.is_none_or(|wanted| wanted == recipient)
    };
    if !before.iter().any(open) {
        let to = wanted.recipient.map(|recipient| format!(" to {recipient}"));
        return Err(StoreError::Changed(format!(
            "register {register} has no mail{} that failed or waits",
            to.unwrap_or_default()
        )));
    }
    let mails = match (wanted.recipient, wanted.instead) {
        (Some(recipient), Some(instead)) => replace(tx, register, recipient, instead).await?,
        _ => try_again(tx, register, wanted.recipient).await?,
    };
    // Nobody can have had it yet: it may be written anew, for example with another sender.
    tx.execute(
        "DELETE FROM letter l USING mailing m WHERE m.register_id = $1 AND m.message_id = l.message_id
           AND NOT EXISTS (SELECT FROM mailing o
               WHERE o.message_id = l.message_id AND (o.state IN ('sending', 'sent') OR o.maybes > 0))",
        &[&register.as_uuid()],
    )
    .await?;
    let mailed = mailed_if_all_are(tx, register.as_uuid()).await?;
    if !mailed {
        built_if_none_failed(tx, register.as_uuid()).await?;
    }
    let after = json!({ "recipient": wanted.recipient, "instead": wanted.instead, "mails": mails });
    record(
        tx,
        "registers requeue-mail",
        wanted.who,
        register,
        None,
        (&before, after),
    )
    .await?;
    Ok(Requeued { mails, mailed })
}

async fn try_again(tx: &Tx, register: RegisterId, recipient: Option<&str>) -> Result<u64, StoreError> {
    tx.execute(
        "UPDATE mailing SET state = 'waiting', due_at = clock_timestamp(),
             attempts = CASE state WHEN 'failed' THEN 0 ELSE attempts END,
             give_up_at = CASE state WHEN 'failed' THEN clock_timestamp() + interval '4 days' ELSE give_up_at END
         WHERE register_id = $1 AND state IN ('failed', 'waiting') AND ($2::text IS NULL OR recipient = $2)",
        &[&register.as_uuid(), &recipient],
    )
    .await
}

/// Whoever comes in the place of another gets the whole register: also the parts that the other has, is being sent or waits for. What a
/// mailer has in its hands goes out to the other all the same; its lease is gone, so nothing of that is recorded. Parts that were
/// mailed to the new one on demand, or are on their way, are not mailed to him twice.
async fn replace(tx: &Tx, register: RegisterId, recipient: &str, instead: &str) -> Result<u64, StoreError> {
    tx.execute(
        "UPDATE register SET mail_to = array_replace(mail_to, $2, $3) WHERE register_id = $1",
        &[&register.as_uuid(), &recipient, &instead],
    )
    .await?;
    tx.execute(
        "UPDATE mailing o SET state = 'forgone', due_at = NULL, lease_token = NULL, lease_until = NULL,
             maybes = o.maybes + (o.state = 'sending')::int
         FROM mailing own WHERE o.register_id = $1 AND o.recipient = $2 AND o.state NOT IN ('sent', 'forgone')
           AND own.register_id = $1 AND own.recipient = $3 AND own.part = o.part",
        &[&register.as_uuid(), &recipient, &instead],
    )
    .await?;
    let own = tx
        .execute(
            "UPDATE mailing SET state = 'waiting', due_at = clock_timestamp(), attempts = 0, vanished = 0,
                 give_up_at = clock_timestamp() + interval '4 days'
             WHERE register_id = $1 AND recipient = $2 AND state IN ('failed', 'forgone')",
            &[&register.as_uuid(), &instead],
        )
        .await?;
    let moved = tx
        .execute(
            "UPDATE mailing m SET recipient = $3, lane = mailing_lane($3, y.declaration, s.name),
                 state = 'waiting', due_at = clock_timestamp(), lease_token = NULL, lease_until = NULL, attempts = 0, vanished = 0,
                 -- Somebody has seen these bytes, or may have: they stay as they are.
                 maybes = maybes + (m.state IN ('sending', 'sent'))::int,
                 sent_at = NULL, first_sent_at = NULL, give_up_at = clock_timestamp() + interval '4 days'
             FROM register r JOIN series s USING (series_id) JOIN payee y ON y.payee_id = r.payee_id
             WHERE r.register_id = $1 AND m.register_id = $1 AND m.recipient = $2 AND m.state <> 'forgone'
               AND NOT EXISTS (SELECT FROM mailing own
                               WHERE own.register_id = $1 AND own.recipient = $3 AND own.part = m.part)",
            &[&register.as_uuid(), &recipient, &instead],
        )
        .await?;
    Ok(own + moved)
}

/// Which recipient is given up.
#[derive(Clone, Copy, Debug)]
pub struct Forgone<'a> {
    /// Of this register.
    pub register: RegisterId,
    /// Nothing more goes to it.
    pub recipient: &'a str,
    /// Why.
    pub reason: &'a str,
    /// Who says so.
    pub who: &'a str,
}

/// An operator's act: a recipient that failed, or has not got it yet, is not waited for any longer. Refused for the only one
/// whom the register is for: somebody has to get it. A transaction in which it was refused is not committed. True: all others have it,
/// so the register is mailed.
pub async fn forgo(tx: &Tx, wanted: &Forgone<'_>) -> Result<bool, StoreError> {
    let register = wanted.register;
    let (before, _) = lock(tx, register).await?;
    let forgone = tx
        .execute(
            "UPDATE mailing SET state = 'forgone', due_at = NULL, lease_token = NULL, lease_until = NULL,
                 maybes = maybes + (state = 'sending')::int
             WHERE register_id = $1 AND recipient = $2 AND state IN ('failed', 'waiting', 'sending')",
            &[&register.as_uuid(), &wanted.recipient],
        )
        .await?;
    if forgone == 0 {
        return Err(StoreError::Changed(format!(
            "register {register} has no mail to {} that failed or waits",
            wanted.recipient
        )));
    }
    let others_get_it = tx
        .execute(
            "UPDATE register SET mail_to = array_remove(mail_to, $2)
             WHERE register_id = $1 AND mail_to <> ARRAY[$2]",
            &[&register.as_uuid(), &wanted.recipient],
        )
        .await?;
    if others_get_it == 0 {
        return Err(StoreError::Changed(format!(
            "{} is the only recipient of register {register} that is left",
            wanted.recipient
        )));
    }
    let mailed = mailed_if_all_are(tx, register.as_uuid()).await?;
    if !mailed {
        built_if_none_failed(tx, register.as_uuid()).await?;
    }
    let after = json!({ "recipient": wanted.recipient, "state": "forgone" });
    record(
        tx,
        "registers forgo",
        wanted.who,
        register,
        Some(wanted.reason),
        (&before, after),
    )
    .await?;
    Ok(mailed)
}

/// The register's mailings (recipient and state), which no mailer takes meanwhile, and whom it is for.
async fn lock(tx: &Tx, register: RegisterId) -> Result<(Vec<(String, String)>, Vec<String>), StoreError> {
    let id: Uuid = register.as_uuid();
    let found = tx
        .query_opt("SELECT mail_to FROM register WHERE register_id = $1 FOR UPDATE", &[&id])
        .await?;
    let rows = tx
        .query(
            "SELECT recipient, state FROM mailing WHERE register_id = $1 ORDER BY mailing_id FOR UPDATE",
            &[&id],
        )
        .await?;
    let mailings = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    Ok((mailings, found.map(|row| row.get(0)).unwrap_or_default()))
}

async fn record(
    tx: &Tx,
    act: &str,
    who: &str,
    register: RegisterId,
    reason: Option<&str>,
    (before, after): (&[(String, String)], Value),
) -> Result<(), StoreError> {
    let before: serde_json::Map<String, Value> = before
        .iter()
        .map(|(recipient, state)| (recipient.clone(), Value::from(state.as_str())))
        .collect();
    let subject = register.to_string();
    let act = Act {
        who,
        act,
        subject_kind: "register",
        subject: &subject,
        reason,
        before: Some(before.into()),
        after: Some(after),
    };
    audit::record(tx, &act).await
}
