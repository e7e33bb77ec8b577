//! Mails whose mailer is gone with them in its hands. Perhaps it was killed, or was only slow; perhaps it dies of the mail.
//! So those of which that happened again and again are tried apart from those that vanished with them, and in the end no
//! more.

use uuid::Uuid;

use crate::{Store, StoreError};

/// Whoever held it is gone, or so slow that nobody knows what it did: a *maybe*. The first time it is due at once: mailers are
/// killed for all kinds of reasons. Then some minutes later, by chance, so that what was in the same hands is not again.
pub(super) async fn release_expired(store: &Store) -> Result<(), StoreError> {
    store
        .execute(
            "UPDATE mailing SET state = 'waiting', lease_token = NULL, lease_until = NULL,
                 due_at = clock_timestamp() + CASE WHEN vanished = 0 THEN interval '0' ELSE (1 + 9 * random()) * interval '1 min' END,
                 maybes = maybes + 1, vanished = vanished + CASE WHEN lease_token IS NULL THEN 0 ELSE 1 END,
                 last_error = 'whoever was sending it vanished'
             WHERE mailing_id = ANY(ARRAY(SELECT mailing_id FROM mailing
                 WHERE state = 'sending' AND lease_until < clock_timestamp() FOR UPDATE SKIP LOCKED))",
            &[],
        )
        .await
        .map(drop)
}

/// These are in nobody's hands while their leases run: nobody vanishes with them. Should that fail, those claimed with them are
/// somebody's all the same, and he has to hear of them.
pub(super) async fn leave_alone(store: &Store, mailings: &[Uuid], token: Uuid) {
    if mailings.is_empty() {
        return;
    }
    let sql = "UPDATE mailing SET lease_token = NULL WHERE mailing_id = ANY($1) AND lease_token = $2";
    if let Err(error) = store.execute(sql, &[&mailings, &token]).await {
        tracing::warn!(%error, "mails that cannot be read are left to their lease");
    }
}
