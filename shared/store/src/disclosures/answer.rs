//! Answering: taken up under a lease, the file written chunk by chunk in the transaction that ends it, all or nothing.

use domain::ids::ProductId;
use jiff::civil::Date;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::audit::{self, Act};
use crate::cards::{COLUMNS, Card, card_of};
use crate::{Store, StoreError, Tx};

/// A disclosure taken up by this worker.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// Which.
    pub disclosure_id: Uuid,
    /// Whether it is a return; else one card is shown.
    pub is_return: bool,
    /// Of what.
    pub product: ProductId,
    /// Who can open the answer, by name.
    pub recipients: Vec<String>,
    /// The OpenPGP keys of the recipients, in their order, armoured; none where they are of age.
    pub pgp_keys: Vec<String>,
    /// Why, as it was asked for last.
    pub reason: String,
    /// Who asked last.
    pub requested_by: String,
    /// How many cards.
    pub cards: i64,
    /// Fences everything this worker writes about it.
    pub token: Uuid,
}

/// A card of a disclosure.
#[derive(Clone, Debug)]
pub struct AskedCard {
    /// Its place in the file, from 1.
    pub n: i64,
    /// The card.
    pub card: Card,
    /// Its last day.
    pub expires_on: Option<Date>,
    /// It was shown to a terminal.
    pub exposed: bool,
}

/// Takes up the oldest that waits, or one whose worker fell silent.
pub async fn claim(store: &Store, lease_seconds: i32) -> Result<Option<Claimed>, StoreError> {
    let token = Uuid::new_v4();
    let row = store
        .query_opt(
            "UPDATE disclosure SET state = 'working', lease_token = $1,
                    lease_until = clock_timestamp() + make_interval(secs => $2)
             WHERE disclosure_id = (
                 SELECT disclosure_id FROM disclosure
                 WHERE state = 'waiting' OR (state = 'working' AND lease_until < clock_timestamp())
                 ORDER BY requested_at LIMIT 1 FOR UPDATE SKIP LOCKED)
             RETURNING disclosure_id, kind, product_id, recipients, coalesce(again_reason, reason),
                       coalesce(again_by, requested_by), cards, pgp_keys",
            &[&token, &f64::from(lease_seconds)],
        )
        .await?;
    row.map(|row| {
        Ok(Claimed {
            disclosure_id: row.get(0),
            is_return: row.get::<_, &str>(1) == "return",
            product: ProductId::parse(row.get(2))?,
            recipients: row.get(3),
            reason: row.get(4),
            requested_by: row.get(5),
            cards: row.get(6),
            pgp_keys: row.get(7),
            token,
        })
    })
    .transpose()
}

/// Begins to answer: the transaction owns it from here to its end, and what a lost one has left is gone.
pub async fn own(tx: &Tx, claimed: &Claimed) -> Result<(), StoreError> {
    let rows = tx
        .query(
            "SELECT FROM disclosure WHERE disclosure_id = $1 AND lease_token = $2 AND state = 'working' FOR UPDATE",
            &[&claimed.disclosure_id, &claimed.token],
        )
        .await?;
    still_ours(rows.len() as u64)?;
    tx.execute(
        "DELETE FROM disclosure_chunk WHERE disclosure_id = $1",
        &[&claimed.disclosure_id],
    )
    .await
    .map(drop)
}

/// The next up to `most` of its cards.
pub async fn cards_after(tx: &Tx, claimed: &Claimed, after: i64, most: i64) -> Result<Vec<AskedCard>, StoreError> {
    let sql = format!(
        "SELECT d.n, card.expires_on, card.exposed, {COLUMNS} FROM disclosure_card d JOIN card USING (card_id)
         WHERE d.disclosure_id = $1 AND d.n > $2 ORDER BY d.n LIMIT $3"
    );
    tx.query(&sql, &[&claimed.disclosure_id, &after, &most])
        .await?
        .iter()
        .map(|row| {
            Ok(AskedCard {
                n: row.get(0),
                expires_on: row.get(1),
                exposed: row.get(2),
                card: card_of(row, 3)?,
            })
        })
        .collect()
}

/// How many cards of a return were not withdrawn for it. Who may ask may also write the list of its cards by hand; the details of
/// a card that is still on sale, or of one sold before the return was asked for, are no issuer's business. One that was paid for
/// after it was withdrawn is sold by now, and stays on the list.
pub async fn not_withdrawn(tx: &Tx, claimed: &Claimed) -> Result<i64, StoreError> {
    let row = tx
        .query_one(
            "SELECT count(*) FROM disclosure asked JOIN disclosure_card d USING (disclosure_id) JOIN card c USING (card_id)
             LEFT JOIN reservation r ON c.state = 'sold' AND r.reservation_id = c.reservation_id
             WHERE asked.disclosure_id = $1
               AND NOT (d.returned AND c.product_id = asked.product_id
                        AND (c.state = 'withdrawn' OR coalesce(r.ended_at > asked.requested_at, false)))",
            &[&claimed.disclosure_id],
        )
        .await?;
    Ok(row.get(0))
}

/// Adds a chunk of the sealed file, counted from 0.
pub async fn add_chunk(tx: &Tx, claimed: &Claimed, n: i32, data: &[u8]) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO disclosure_chunk (disclosure_id, n, data) VALUES ($1, $2, $3)",
        &[&claimed.disclosure_id, &n, &data],
    )
    .await
    .map(drop)
}

/// Ends it with its file, and writes down who has been given what. `subject`: the card's product and serial, for one card.
pub async fn finish(
    tx: &Tx,
    claimed: &Claimed,
    subject: Option<&str>,
    bytes: i64,
    missing: i64,
) -> Result<(), StoreError> {
    let done = tx
        .execute(
            "UPDATE disclosure SET state = 'done', bytes = $3, missing = $4, finished_at = clock_timestamp(),
                    lease_token = NULL, lease_until = NULL
             WHERE disclosure_id = $1 AND lease_token = $2 AND state = 'working'",
            &[&claimed.disclosure_id, &claimed.token, &bytes, &missing],
        )
        .await?;
    still_ours(done)?;
    let after = json!({
        "disclosure": claimed.disclosure_id, "product": claimed.product.as_str(), "cards": claimed.cards,
        "missing": missing, "recipients": claimed.recipients,
    });
    told(tx, claimed, subject, after).await
}

/// Ends it without a file.
pub async fn refuse(tx: &Tx, claimed: &Claimed, subject: Option<&str>, why: &str) -> Result<(), StoreError> {
    let refused = tx
        .execute(
            "UPDATE disclosure SET state = 'refused', refusal = $3, finished_at = clock_timestamp(), lease_token = NULL,
                    lease_until = NULL
             WHERE disclosure_id = $1 AND lease_token = $2 AND state = 'working'",
            &[&claimed.disclosure_id, &claimed.token, &why],
        )
        .await?;
    still_ours(refused)?;
    let after = json!({ "disclosure": claimed.disclosure_id, "refused": why });
    told(tx, claimed, subject, after).await
}

async fn told(tx: &Tx, claimed: &Claimed, subject: Option<&str>, after: Value) -> Result<(), StoreError> {
    let id = claimed.disclosure_id.to_string();
    let act = Act {
        who: &claimed.requested_by,
        act: if claimed.is_return {
            "cards return (answered)"
        } else {
            "cards show (answered)"
        },
        subject_kind: if subject.is_some() { "card" } else { "disclosure" },
        subject: subject.unwrap_or(&id),
        reason: Some(&claimed.reason),
        before: None,
        after: Some(after),
    };
    audit::record(tx, &act).await
}

/// Clears away files that are not needed any more: shown cards a day after they were answered or as soon as they were fetched,
/// returns `days` after they were answered (they can be asked for again). Returns how many chunks went.
pub async fn clear_old(store: &Store, days: u32) -> Result<u64, StoreError> {
    store
        .execute(
            "WITH old AS (
                 UPDATE disclosure SET cleared_at = clock_timestamp()
                 WHERE state = 'done' AND cleared_at IS NULL
                   AND finished_at < clock_timestamp() - CASE WHEN kind = 'return' THEN $1 * interval '1 day'
                        WHEN collected_at IS NULL THEN interval '1 day' ELSE interval '0' END
                 RETURNING disclosure_id
             )
             DELETE FROM disclosure_chunk c USING old WHERE c.disclosure_id = old.disclosure_id",
            &[&f64::from(days)],
        )
        .await
}

fn still_ours(rows: u64) -> Result<(), StoreError> {
    if rows == 1 {
        Ok(())
    } else {
        Err(StoreError::Changed(
            "this disclosure was taken up by another worker".into(),
        ))
    }
}
