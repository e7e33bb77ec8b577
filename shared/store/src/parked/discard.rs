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
/// reservation of a sale that never was one, whether a card is held for it or not; but for a parked revocation, which says
/// nothing about the payment's money (that may still be on its way). Of what somebody said who had no right to, the very content
/// is refused and not the id: it must not cost the owner his. The caller has nothing more to do then than to commit: batches may
/// wait for it.
pub async fn discard(tx: &Tx, parked_id: Uuid, by: &str, reason: &str) -> Result<(), StoreError> {
    let is_strangers = wait_for_batches(tx, parked_id).await?;
    let changed = tx
        .execute(
            "UPDATE parked SET state = 'discarded', resolved_at = clock_timestamp(), resolved_by = $2,
                    resolution = jsonb_build_object('reason', $3::text)
             WHERE parked_id = $1 AND state = 'parked'",
            &[&parked_id, &by, &reason],
        )
        .await?;
    changed_one(changed)?;
    // Together with the look at what came in.
    if is_strangers {
        tx.execute_later(SETTLE_CONTENT, &[&parked_id]).await?;
    } else {
        tx.execute_later(SETTLE_PAYMENT, &[&parked_id]).await?;
        tx.execute_later(SETTLE_SALE, &[&parked_id]).await?;
    }
    if came_in_since(tx, parked_id).await? {
        let why = "its payment or sale came again and was accepted: put this one back, corrected to what came, and it is \
                   answered as that";
        return Err(StoreError::Changed(why.into()));
    }
    Ok(())
}

/// Facts of strangers: workers know their contents with the declarations, so a batch pays nothing for them. The terminal may be
/// declared a day later, and whoever said it repeats it until then.
const SETTLE_CONTENT: &str = "INSERT INTO settled_content (subject, content_hash)
     SELECT coalesce(payment_id, reservation_id), content_hash FROM parked
     WHERE parked_id = $1 AND routing_key IN ('payment.accepted', 'card.sell') AND coalesce(payment_id, reservation_id) IS NOT NULL
     ON CONFLICT DO NOTHING";

/// Another terminal may have revoked it in advance, which would not keep the payment out.
const SETTLE_PAYMENT: &str = "INSERT INTO payment_identity (payment_id, disposition)
     SELECT payment_id, 'settled' FROM parked
     WHERE parked_id = $1 AND payment_id IS NOT NULL AND routing_key <> 'payment.revoke'
     ON CONFLICT (payment_id) DO UPDATE SET disposition = 'settled', terminal_id = NULL
         WHERE payment_identity.disposition = 'revoked' AND (SELECT reason FROM parked WHERE parked_id = $1) <> 'revoked'";

/// Beside a sale that stands, another one of its reservation is settled alone: the id is that of the sale.
const SETTLE_SALE: &str = "INSERT INTO settled_reservation (reservation_id)
     SELECT reservation_id FROM parked p
     WHERE parked_id = $1 AND routing_key = 'card.sell' AND reservation_id IS NOT NULL
       AND NOT EXISTS (SELECT 1 FROM reservation r
                       WHERE r.reservation_id = p.reservation_id AND r.state IN ('sold', 'conflict'))
     ON CONFLICT DO NOTHING";

/// A batch looks for what is settled before it locks anything. What it accepts or sells at this moment is waited for, and looked for
/// then; what begins later finds it settled. Before the row is locked: a batch may be about to park the same. Returns whether it is
/// a stranger's. What is only said here goes out with what follows.
async fn wait_for_batches(tx: &Tx, parked_id: Uuid) -> Result<bool, StoreError> {
    let row = tx
        .query_opt(
            "SELECT reason IN ('not_your_terminal', 'unknown_terminal'), routing_key = 'card.sell' FROM parked WHERE parked_id = $1",
            &[&parked_id],
        )
        .await?;
    let (is_strangers, is_sale) = row.map_or((false, false), |row| (row.get(0), row.get(1)));
    if is_strangers {
        declarations::raise_generation(tx).await?;
    }
    if is_strangers || is_sale {
        declarations::outlast_batches(tx).await?;
    }
    Ok(is_strangers)
}

/// Whether what is parked has become a payment or a sale all the same: whoever sent it repeats it, perhaps corrected, and the
/// declaration may have been put right. What was parked since its id is another's is none of its own, unless it is the very same;
/// nor is a sale that differed, when it was last judged, from one that was there before.
async fn came_in_since(tx: &Tx, parked_id: Uuid) -> Result<bool, StoreError> {
    let row = tx
        .query_one(
            "SELECT EXISTS (SELECT FROM parked p JOIN payment_identity i USING (payment_id)
                            WHERE p.parked_id = $1 AND p.routing_key = 'payment.accepted' AND i.disposition = 'accepted'
                              AND (i.fingerprint = p.content_hash
                                   OR p.reason NOT IN ('payment_id_reused', 'not_your_terminal', 'unknown_terminal')))
                 OR EXISTS (SELECT FROM parked p JOIN reservation r USING (reservation_id)
                            WHERE p.parked_id = $1 AND p.routing_key = 'card.sell' AND r.state IN ('sold', 'conflict')
                              AND (r.sale_fingerprint = p.content_hash
                                   OR p.reason NOT IN ('not_your_terminal', 'unknown_terminal')
                                      AND (p.reason <> 'sale_differs' OR r.ended_at > p.refused_at)))",
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
