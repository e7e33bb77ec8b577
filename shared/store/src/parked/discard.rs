//! Ending a parked fact by hand, so that it does not become a payment or a sale afterwards all the same.

use std::collections::HashSet;

use uuid::Uuid;

use super::changed_one;
use crate::{StoreError, Tx, declarations};

/// Contents that an operator settled without closing their ids: refused from whomever they come, while the id is free for
/// its owner to use otherwise.
#[derive(Clone, Debug, Default)]
pub struct SettledContents(HashSet<(Uuid, [u8; 32])>);

impl SettledContents {
    /// Whether this content, under this payment or reservation, is one of them.
    pub fn contains(&self, subject: Option<Uuid>, content_hash: &[u8; 32]) -> bool {
        !self.0.is_empty() && subject.is_some_and(|subject| self.0.contains(&(subject, *content_hash)))
    }
}

/// Ends a parked fact by hand. Its payment id, if it never became a payment, is refused from now on, and so is the
/// reservation of a sale that never was one; but for a parked revocation, which says nothing about the payment's money
/// (that may still be on its way). Of what somebody said who had no right to, the very content is refused and not the id: it
/// must not cost the owner his. The caller has nothing more to do then than to commit: batches may wait for it.
pub async fn discard(tx: &Tx, parked_id: Uuid, by: &str, reason: &str) -> Result<(), StoreError> {
    let changed = tx
        .execute(
            "UPDATE parked SET state = 'discarded', resolved_at = clock_timestamp(), resolved_by = $2,
                    resolution = jsonb_build_object('reason', $3::text)
             WHERE parked_id = $1 AND state = 'parked'",
            &[&parked_id, &by, &reason],
        )
        .await?;
    changed_one(changed)?;
    tx.execute(
        "INSERT INTO payment_identity (payment_id, disposition)
         SELECT payment_id, 'settled' FROM parked WHERE parked_id = $1 AND payment_id IS NOT NULL
             AND routing_key <> 'payment.revoke' AND reason NOT IN ('not_your_terminal', 'unknown_terminal')
         ON CONFLICT DO NOTHING",
        &[&parked_id],
    )
    .await?;
    tx.execute(
        "INSERT INTO settled_reservation (reservation_id)
         SELECT reservation_id FROM parked p WHERE parked_id = $1 AND routing_key = 'card.sell'
             AND reservation_id IS NOT NULL AND reason NOT IN ('not_your_terminal', 'unknown_terminal')
             AND NOT EXISTS (SELECT 1 FROM reservation r WHERE r.reservation_id = p.reservation_id)
         ON CONFLICT DO NOTHING",
        &[&parked_id],
    )
    .await?;
    settle_content(tx, parked_id).await?;
    // After it has waited for whoever accepts the payment at this moment.
    if came_in_since(tx, parked_id).await? {
        let why = "its payment came again and was accepted: put this one back, and it is answered as that";
        return Err(StoreError::Changed(why.into()));
    }
    Ok(())
}

/// Has the very content refused of what somebody said who had no right to: his terminal may be declared a day later, and he
/// repeats it until then. Workers know these contents with the declarations, so a batch pays nothing for them.
async fn settle_content(tx: &Tx, parked_id: Uuid) -> Result<(), StoreError> {
    let stranger = tx
        .query_opt(
            "SELECT FROM parked WHERE parked_id = $1 AND routing_key IN ('payment.accepted', 'card.sell')
                 AND coalesce(payment_id, reservation_id) IS NOT NULL
                 AND reason IN ('not_your_terminal', 'unknown_terminal')",
            &[&parked_id],
        )
        .await?;
    if stranger.is_none() {
        return Ok(());
    }
    tx.execute(
        "INSERT INTO settled_content (subject, content_hash)
         SELECT coalesce(payment_id, reservation_id), content_hash FROM parked WHERE parked_id = $1
         ON CONFLICT DO NOTHING",
        &[&parked_id],
    )
    .await?;
    // What is being accepted at this moment is waited for, and looked for next; what begins later knows the content.
    declarations::outlast_batches(tx).await
}

/// Whether what is parked has become a payment or a sale all the same: whoever sent it repeats it, perhaps corrected, and the
/// declaration may have been put right. What was parked since its id is another's is none of its own, unless it is the very same.
async fn came_in_since(tx: &Tx, parked_id: Uuid) -> Result<bool, StoreError> {
    let row = tx
        .query_one(
            "SELECT EXISTS (SELECT FROM parked p JOIN payment_identity i USING (payment_id)
                            WHERE p.parked_id = $1 AND p.routing_key = 'payment.accepted' AND i.disposition = 'accepted'
                              AND (i.fingerprint = p.content_hash
                                   OR p.reason NOT IN ('payment_id_reused', 'not_your_terminal', 'unknown_terminal')))
                 OR EXISTS (SELECT FROM parked p JOIN reservation r USING (reservation_id)
                            WHERE p.parked_id = $1 AND p.routing_key = 'card.sell' AND r.sale_fingerprint = p.content_hash)",
            &[&parked_id],
        )
        .await?;
    Ok(row.get(0))
}

/// Those of the reservations that an operator settled by hand before there was one.
pub async fn settled_reservations(tx: &Tx, ids: &[Uuid]) -> Result<HashSet<Uuid>, StoreError> {
    let rows = tx
        .query(
            "SELECT reservation_id FROM settled_reservation WHERE reservation_id = ANY($1)",
            &[&ids],
        )
        .await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// All contents that were settled without their ids.
pub(crate) async fn settled_contents(tx: &Tx) -> Result<SettledContents, StoreError> {
    let rows = tx
        .query("SELECT subject, content_hash FROM settled_content", &[])
        .await?;
    let content = |row: &tokio_postgres::Row| {
        let hash = <[u8; 32]>::try_from(row.get::<_, &[u8]>(1));
        Ok((
            row.get(0),
            hash.map_err(|_| StoreError::Unreadable("settled_content".into()))?,
        ))
    };
    rows.iter().map(content).collect::<Result<_, _>>().map(SettledContents)
}
