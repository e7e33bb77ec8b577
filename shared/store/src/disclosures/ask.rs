//! Asking: for one card to be shown, or for unsold ones to be withdrawn and returned to their issuer.

use domain::ids::ProductId;
use jiff::civil::Date;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::audit::{self, Act};
use crate::{Store, StoreError, Tx};

/// One card to be shown.
#[derive(Clone, Debug)]
pub struct Show<'a> {
    /// Of what.
    pub product: &'a ProductId,
    /// Which.
    pub serial: &'a str,
    /// Who can open the answer.
    pub recipient: &'a str,
    /// Why.
    pub reason: &'a str,
    /// Who asks.
    pub who: &'a str,
}

/// Unsold cards to be withdrawn and returned.
#[derive(Clone, Debug)]
pub struct Return<'a> {
    /// Of what.
    pub product: &'a ProductId,
    /// Who can open the file, by name: age recipients, or `openpgp:` and a fingerprint.
    pub recipients: &'a [String],
    /// The OpenPGP keys of the recipients, in their order, armoured; none where they are of age.
    pub pgp_keys: &'a [String],
    /// Only those whose last day is before this one.
    pub expiring_before: Option<Date>,
    /// So many at most.
    pub count: Option<i64>,
    /// Only those that were never shown to a terminal.
    pub fresh_only: bool,
    /// Why.
    pub reason: &'a str,
    /// Who asks.
    pub who: &'a str,
}

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Which it is.
    pub disclosure_id: Uuid,
    /// It was asked for before, with the same words, and its file was not fetched yet: nothing more was withdrawn.
    pub again: bool,
}

/// Asks for one card to be shown. It may be in any state.
pub async fn ask_show(store: &Store, show: &Show<'_>) -> Result<Asked, StoreError> {
    let disclosure_id = Uuid::now_v7();
    let tx = store.begin().await?;
    let added = tx
        .execute(
            "INSERT INTO disclosure_card (disclosure_id, n, card_id, returned)
             SELECT $1, 1, card_id, false FROM card_identity WHERE product_id = $2 AND serial = $3",
            &[&disclosure_id, &show.product.as_str(), &show.serial],
        )
        .await?;
    if added == 0 {
        return Err(StoreError::Changed(format!(
            "product {} has no card with this serial",
            show.product
        )));
    }
    let new = New {
        disclosure_id,
        kind: "show",
        product: show.product,
        recipients: &[show.recipient.to_owned()],
        pgp_keys: &[],
        reason: show.reason,
        asked: json!({ "serial": show.serial }),
        who: show.who,
        cards: 1,
    };
    insert(&tx, &new).await?;
    let subject = format!("{}/{}", show.product, show.serial);
    let act = Act {
        who: show.who,
        act: "cards show (asked)",
        subject_kind: "card",
        subject: &subject,
        reason: Some(show.reason),
        before: None,
        after: Some(json!({ "disclosure": disclosure_id, "recipient": show.recipient })),
    };
    audit::record(&tx, &act).await?;
    tx.commit().await?;
    Ok(Asked {
        disclosure_id,
        again: false,
    })
}

/// Withdraws unsold cards, those that expire first to begin with, and asks for a file of them and of those withdrawn before, in
/// one transaction. Asked for with the same words while the file was not fetched, it is the same return with the same cards, and
/// is worked off again where it was refused or its file is gone.
pub async fn ask_return(store: &Store, wanted: &Return<'_>) -> Result<Asked, StoreError> {
    let asked = json!({
        "expiring_before": wanted.expiring_before, "count": wanted.count, "fresh_only": wanted.fresh_only,
    });
    let tx = store.begin().await?;
    // One return of a product at a time, so that two who ask at once see one another.
    tx.query(
        "SELECT pg_advisory_xact_lock(hashtextextended('return ' || $1, 0))",
        &[&wanted.product.as_str()],
    )
    .await?;
    if let Some(disclosure_id) = asked_before(&tx, wanted, &asked).await? {
        tx.commit().await?;
        return Ok(Asked {
            disclosure_id,
            again: true,
        });
    }
    let disclosure_id = Uuid::now_v7();
    let listed = withdraw(&tx, wanted, disclosure_id).await?;
    if listed.all == 0 {
        return Err(StoreError::Changed(format!(
            "product {} has no unsold card of this kind",
            wanted.product
        )));
    }
    let new = New {
        disclosure_id,
        kind: "return",
        product: wanted.product,
        recipients: wanted.recipients,
        pgp_keys: wanted.pgp_keys,
        reason: wanted.reason,
        asked,
        who: wanted.who,
        cards: listed.all,
    };
    let (total, currency) = insert(&tx, &new).await?;
    let act = Act {
        who: wanted.who,
        act: "cards return",
        subject_kind: "disclosure",
        subject: &disclosure_id.to_string(),
        reason: Some(wanted.reason),
        before: Some(new.asked.clone()),
        after: Some(json!({
            "product": wanted.product.as_str(), "cards": listed.all, "withdrawn": listed.withdrawn, "total": total,
            "currency": currency, "recipients": wanted.recipients,
        })),
    };
    audit::record(&tx, &act).await?;
    tx.commit().await?;
    Ok(Asked {
        disclosure_id,
        again: false,
    })
}

/// The same return with the same words, whose file was not fetched: asked for again.
async fn asked_before(tx: &Tx, wanted: &Return<'_>, asked: &Value) -> Result<Option<Uuid>, StoreError> {
    let before = tx
        .query_opt(
            "SELECT disclosure_id FROM disclosure
             WHERE kind = 'return' AND product_id = $1 AND recipients = $2 AND reason = $3 AND asked = $4
               AND collected_at IS NULL ORDER BY requested_at DESC LIMIT 1",
            &[&wanted.product.as_str(), &wanted.recipients, &wanted.reason, &asked],
        )
        .await?;
    let Some(before) = before else { return Ok(None) };
    let disclosure_id = before.get(0);
    let asking = Again {
        issuer: Some(Issuer {
            recipients: wanted.recipients,
            pgp_keys: wanted.pgp_keys,
        }),
        reason: wanted.reason,
        who: wanted.who,
    };
    again(tx, disclosure_id, &asking).await?;
    Ok(Some(disclosure_id))
}

/// How many cards a return has.
struct Listed {
    all: i64,
    /// Of those, the ones that it took out of stock; the others were out before.
    withdrawn: i64,
}

/// Lists unsold cards: those in stock, which are withdrawn, and those that were withdrawn before, since they ran out of date or an
/// operator said so, unless an earlier return has them, or a payer. Cards that somebody is just taking are passed over.
async fn withdraw(tx: &Tx, wanted: &Return<'_>, disclosure_id: Uuid) -> Result<Listed, StoreError> {
    tx.allow_time().await?;
    let row = tx
        .query_one(
            "WITH picked AS (
                 SELECT card_id, pos, state FROM card
                 WHERE product_id = $1 AND (state = 'available' OR state = 'withdrawn'
                        AND NOT EXISTS (SELECT FROM disclosure_card d WHERE d.card_id = card.card_id AND d.returned)
                        AND NOT EXISTS (SELECT FROM reservation r WHERE r.card_id = card.card_id
                                           AND r.state IN ('held', 'lapsed')))
                    AND ($2::date IS NULL OR expires_on < $2) AND (NOT $3 OR NOT exposed)
                 ORDER BY expires_on NULLS LAST, pos LIMIT $4 FOR UPDATE OF card SKIP LOCKED
             ),
             withdrawn AS (
                 UPDATE card SET state = 'withdrawn', updated_at = clock_timestamp()
                 WHERE card_id = ANY(ARRAY(SELECT card_id FROM picked WHERE state = 'available')) RETURNING card_id
             ),
             listed AS (
                 INSERT INTO disclosure_card (disclosure_id, n, card_id, returned)
                 SELECT $5, row_number() OVER (ORDER BY pos), card_id, true FROM picked RETURNING card_id
             )
             SELECT (SELECT count(*) FROM listed), (SELECT count(*) FROM withdrawn)",
            &[
                &wanted.product.as_str(),
                &wanted.expiring_before,
                &wanted.fresh_only,
                &wanted.count,
                &disclosure_id,
            ],
        )
        .await?;
    Ok(Listed {
        all: row.get(0),
        withdrawn: row.get(1),
    })
}

struct New<'a> {
    disclosure_id: Uuid,
    kind: &'a str,
    product: &'a ProductId,
    recipients: &'a [String],
    pgp_keys: &'a [String],
    reason: &'a str,
    asked: Value,
    who: &'a str,
    cards: i64,
}

/// Says what the cards are worth: each its own face value where it has one, else its product's.
async fn insert(tx: &Tx, new: &New<'_>) -> Result<(i64, String), StoreError> {
    let row = tx
        .query_one(
            "INSERT INTO disclosure (disclosure_id, kind, product_id, recipients, reason, asked, requested_by, cards, total,
                                     currency, pgp_keys)
             SELECT $1, $2, p.product_id, $4, $5, $6, $7, $8,
                    (SELECT coalesce(sum(coalesce(c.face_value, (p.declaration->>'face_value')::bigint)), 0)::bigint
                     FROM disclosure_card d JOIN card c USING (card_id) WHERE d.disclosure_id = $1),
                    p.declaration->>'currency', $9
             FROM product p WHERE p.product_id = $3
             RETURNING total, currency",
            &[
                &new.disclosure_id,
                &new.kind,
                &new.product.as_str(),
                &new.recipients,
                &new.reason,
                &new.asked,
                &new.who,
                &new.cards,
                &new.pgp_keys,
            ],
        )
        .await?;
    Ok((row.get(0), row.get(1)))
}

/// Who can open the file of a return.
#[derive(Clone, Copy, Debug)]
pub struct Issuer<'a> {
    /// By name, as in [`Return::recipients`].
    pub recipients: &'a [String],
    /// Their keys, as in [`Return::pgp_keys`].
    pub pgp_keys: &'a [String],
}

/// A return asked for again.
#[derive(Clone, Copy, Debug)]
pub struct Again<'a> {
    /// For whom; none: for those it was for.
    pub issuer: Option<Issuer<'a>>,
    /// Why.
    pub reason: &'a str,
    /// Who asks.
    pub who: &'a str,
}

/// A return that was refused, whose file was cleared away, or whose file is for another issuer than this one, is worked off
/// once more, with the same cards. False: there is nothing to do, or a worker is at it. [`StoreError::Changed`] when there is no
/// such return, or a worker is at it for others.
pub async fn ask_again(store: &Store, id: Uuid, asking: &Again<'_>) -> Result<bool, StoreError> {
    let tx = store.begin().await?;
    let again = again(&tx, id, asking).await?;
    if !again {
        stands(&tx, id, asking.issuer).await?;
    }
    tx.commit().await?;
    Ok(again)
}

/// Refuses where what is there, or comes, is no return or for others.
async fn stands(tx: &Tx, id: Uuid, issuer: Option<Issuer<'_>>) -> Result<(), StoreError> {
    let sql = "SELECT recipients FROM disclosure WHERE disclosure_id = $1 AND kind = 'return'";
    let Some(row) = tx.query_opt(sql, &[&id]).await? else {
        return Err(StoreError::Changed(format!(
            "{id}: there is no return of this name; `unigate cards disclosures` lists them"
        )));
    };
    let recipients: Vec<String> = row.get(0);
    if issuer.is_some_and(|issuer| issuer.recipients != recipients) {
        return Err(StoreError::Changed(format!(
            "{id}: a worker is just writing the file for {}: ask again once it is there",
            recipients.join(", ")
        )));
    }
    Ok(())
}

/// Who was given a file is told by who asked last: it may be for another issuer than the first one said.
async fn again(tx: &Tx, id: Uuid, asking: &Again<'_>) -> Result<bool, StoreError> {
    let asked = tx
        .query_opt(
            "UPDATE disclosure SET state = 'waiting', finished_at = NULL, refusal = NULL, bytes = NULL, collected_at = NULL,
                    cleared_at = NULL, recipients = coalesce($2, recipients), pgp_keys = coalesce($3, pgp_keys),
                    again_by = $4, again_reason = $5, again_at = clock_timestamp()
             WHERE disclosure_id = $1 AND kind = 'return'
               AND (state = 'refused' OR cleared_at IS NOT NULL
                    OR state IN ('done', 'waiting') AND recipients <> coalesce($2, recipients))
             RETURNING recipients",
            &[
                &id,
                &asking.issuer.map(|issuer| issuer.recipients),
                &asking.issuer.map(|issuer| issuer.pgp_keys),
                &asking.who,
                &asking.reason,
            ],
        )
        .await?;
    let Some(asked) = asked else { return Ok(false) };
    let act = Act {
        who: asking.who,
        act: "cards return --again",
        subject_kind: "disclosure",
        subject: &id.to_string(),
        reason: Some(asking.reason),
        before: None,
        after: Some(json!({ "recipients": asked.get::<_, Vec<String>>(0) })),
    };
    audit::record(tx, &act).await?;
    Ok(true)
}

/// Nobody waits for it any more, and nobody has begun to answer. False: it was taken up after all.
pub async fn give_up(store: &Store, id: Uuid) -> Result<bool, StoreError> {
    let given_up = store
        .execute(
            "UPDATE disclosure SET state = 'refused', refusal = 'no cards worker answered in time',
                    finished_at = clock_timestamp()
             WHERE disclosure_id = $1 AND state = 'waiting'",
            &[&id],
        )
        .await?;
    Ok(given_up == 1)
}

/// The file was fetched, by whom and why.
pub async fn collected(store: &Store, id: Uuid, who: &str, reason: &str) -> Result<(), StoreError> {
    let tx = store.begin().await?;
    tx.execute(
        "UPDATE disclosure SET collected_at = coalesce(collected_at, clock_timestamp())
         WHERE disclosure_id = $1 AND state = 'done'",
        &[&id],
    )
    .await?;
    let act = Act {
        who,
        act: "cards disclosure fetched",
        subject_kind: "disclosure",
        subject: &id.to_string(),
        reason: Some(reason),
        before: None,
        after: None,
    };
    audit::record(&tx, &act).await?;
    tx.commit().await
}
