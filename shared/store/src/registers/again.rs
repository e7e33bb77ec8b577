//! Mailing the identical file once more, on demand.
//!
//! The same bytes go out under a new Message-ID: under the old one a payee's server that keeps what it has seen would
//! drop the mail unread. The new one stays over the retries of this mail, as the old one did.

use domain::RegisterId;
use serde_json::json;

use crate::audit::{self, Act};
use crate::{Store, StoreError, Tx, mailings};

/// Lets all files of a register be mailed again, to its own recipients or to one address. Its own are those who got it or are to get
/// it: whom an operator put in the place of another, and not whom he gave up. Returns how many mails that makes.
/// Refused while it has no file, and while a mail to the same address is still under way: asked twice at once, it is done
/// once.
pub async fn mail_again(store: &Store, register: RegisterId, to: Option<&str>, who: &str) -> Result<u64, StoreError> {
    let tx = store.begin().await?;
    let mails = let_go(&tx, register, to).await?;
    let subject = register.to_string();
    let act = Act {
        who,
        act: "registers resend",
        subject_kind: "register",
        subject: &subject,
        reason: None,
        before: None,
        after: Some(json!({ "to": mails.to, "mails": mails.count })),
    };
    audit::record(&tx, &act).await?;
    tx.commit().await?;
    Ok(mails.count)
}

/// How many mails [`mail_again`] would make now, and to whom; or what it would be refused for. Nothing stands afterwards.
pub async fn look_at_mail_again(
    store: &Store,
    register: RegisterId,
    to: Option<&str>,
) -> Result<(u64, Vec<String>), StoreError> {
    let tx = store.begin().await?;
    let mails = let_go(&tx, register, to).await?;
    tx.rollback().await?;
    Ok((mails.count, mails.to))
}

/// Mails that go out again.
struct Mails {
    count: u64,
    to: Vec<String>,
}

async fn let_go(tx: &Tx, register: RegisterId, to: Option<&str>) -> Result<Mails, StoreError> {
    let refused = |why: String| StoreError::Changed(format!("register {register} {why}"));
    let found = tx
        .query_opt(
            "SELECT state, built_at IS NOT NULL, mail_to FROM register WHERE register_id = $1 FOR UPDATE",
            &[&register.as_uuid()],
        )
        .await?;
    let Some(row) = found else {
        return Err(refused("is unknown".to_owned()));
    };
    if !row.get::<_, bool>(1) {
        return Err(refused(format!("has no file: it is {}", row.get::<_, &str>(0))));
    }
    let own: Vec<String> = row.get(2);
    let recipients = to.map_or_else(|| own.clone(), |to| vec![to.to_owned()]);
    if recipients.is_empty() {
        return Err(refused("has no recipients: say --to-address".to_owned()));
    }
    let under_way = tx
        .query_opt(
            "SELECT recipient FROM mailing WHERE register_id = $1 AND recipient = ANY($2) AND state IN ('waiting', 'sending')
             LIMIT 1",
            &[&register.as_uuid(), &recipients],
        )
        .await?;
    if let Some(row) = under_way {
        return Err(refused(format!("is being mailed to {} already", row.get::<_, &str>(0))));
    }
    let message_id = format!("<{register}");
    // One number for all: recipients of one act share a mail. The domain is that of the mails before.
    let count = tx
        .execute(
            "INSERT INTO mailing AS m (mailing_id, register_id, part, recipient, message_id, again, lane)
             SELECT gen_random_uuid(), p.register_id, p.part, o.recipient,
                    $3 || CASE p.part WHEN 1 THEN '' ELSE '-' || p.part END || '.again-' || n.again || '@' || n.domain || '>', n.again,
                    mailing_lane(o.recipient, y.declaration, s.name)
             FROM register_part p JOIN register r USING (register_id) JOIN series s USING (series_id)
                  JOIN payee y ON y.payee_id = r.payee_id, UNNEST($2::text[]) AS o (recipient),
                  (SELECT coalesce(max(again), 0) + 1 AS again,
                          coalesce(min(substring(message_id FROM '@(.*)>$')), 'unigate.invalid') AS domain
                   FROM mailing WHERE register_id = $1) n
             WHERE p.register_id = $1
             ON CONFLICT (register_id, part, recipient) DO UPDATE SET state = 'waiting', due_at = clock_timestamp(),
                 -- The first delivery to whom the register is for is not forgotten: it is what that was mailed with.
                 first_sent_at = coalesce(m.first_sent_at, CASE WHEN m.again = 0 OR m.recipient = ANY($4) THEN m.sent_at END),
                 sent_at = NULL,
                 message_id = excluded.message_id, again = excluded.again, attempts = 0, maybes = 0, vanished = 0, last_error = NULL, lane = excluded.lane,
                 give_up_at = clock_timestamp() + interval '4 days'
             WHERE m.state IN ('sent', 'failed', 'forgone')",
            &[&register.as_uuid(), &recipients, &message_id, &own],
        )
        .await?;
    mailings::built_if_none_failed(tx, register.as_uuid()).await?;
    Ok(Mails { count, to: recipients })
}
