//! Cases: what operators have to settle after a sale, the worklist of them, and what each came to. A case is resolved once,
//! in the transaction that gives the other card or notes the money; what may be done is judged by `domain::card`.

mod list;
mod replace;

use domain::card::{CaseFacts, CaseKind, CaseRefusal, CaseVerdict, Resolution, Wanted, resolve_case};
use domain::ids::{ProductId, ReservationId};
use uuid::Uuid;

use crate::{StoreError, Tx};

pub use list::{CaseRow, CaseState, Filter, count_open, find, list};
pub use replace::{Given, last_replacements, take_for};

/// What an operator does about a case.
#[derive(Clone, Copy, Debug)]
pub struct Act<'a> {
    /// Who.
    pub who: &'a str,
    /// What.
    pub wanted: Wanted,
    /// Which card to give; none = the next in stock.
    pub serial: Option<&'a str>,
    /// How money went back: cash, to the payer's card, and so on.
    pub method: Option<&'a str>,
    /// By which document it can be found again.
    pub reference: Option<&'a str>,
    /// Why.
    pub note: Option<&'a str>,
}

/// What became of a case.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// How it is resolved.
    pub resolution: Resolution,
    /// What went back, in minor units.
    pub refunded: Option<i64>,
    /// The card that was given now, if one was.
    pub given: Option<Given>,
    /// The reservation under which the payer has another card, given now or before.
    pub replacement: Option<ReservationId>,
}

/// A case under its lock.
struct Locked {
    case_id: Uuid,
    kind: CaseKind,
    resolution: Option<Resolution>,
    replacement: Option<Uuid>,
    refund: Option<i64>,
}

/// Resolves a case. What may not be, or was resolved before, is [`StoreError::Changed`] with the reason, and nothing is
/// written; so is a replacement when no card is left.
pub async fn resolve(tx: &Tx, case_id: Uuid, act: &Act<'_>) -> Result<Resolved, StoreError> {
    let unknown = || StoreError::Changed("there is no such case".into());
    let row = tx
        .query_opt(
            "SELECT c.reservation_id, r.product_id, coalesce(r.amount, 0), coalesce(r.surplus, 0)
             FROM card_case c JOIN reservation r USING (reservation_id) WHERE c.case_id = $1",
            &[&case_id],
        )
        .await?
        .ok_or_else(unknown)?;
    let reservation: Uuid = row.get(0);
    // All cases of the sale: what was done in another one counts, and two operators take them in one order.
    let all = lock_of(tx, reservation).await?;
    let (own, others): (Vec<_>, Vec<_>) = all.into_iter().partition(|case| case.case_id == case_id);
    let own = own.first().ok_or_else(unknown)?;
    let facts = CaseFacts {
        kind: own.kind,
        resolved: own.resolution,
        has_replacement: own.replacement.is_some(),
        paid: row.get(2),
        surplus: row.get(3),
        refunded_elsewhere: others.iter().filter_map(|case| case.refund).sum(),
        replaced_elsewhere: others.iter().any(|case| case.replacement.is_some()),
    };
    let refused = |why: CaseRefusal| StoreError::Changed(why.to_string());
    let verdict = resolve_case(&facts, act.wanted).map_err(refused)?;
    let mut resolved = Resolved {
        resolution: resolution_of(verdict),
        refunded: None,
        given: None,
        replacement: own.replacement.map(ReservationId::from_uuid),
    };
    match verdict {
        CaseVerdict::GiveCard => {
            let product = ProductId::parse(row.get(1))?;
            let given = replace::give(tx, reservation, &product, act.serial).await?;
            resolved.replacement = Some(given.reservation_id);
            resolved.given = Some(given);
        }
        CaseVerdict::Confirm if act.serial.is_some() => {
            return Err(StoreError::Changed("another card was given for it already".into()));
        }
        CaseVerdict::Refund(amount) => resolved.refunded = Some(amount),
        CaseVerdict::Confirm | CaseVerdict::Dismiss => {}
    }
    write(tx, case_id, act, &resolved).await?;
    Ok(resolved)
}

fn resolution_of(verdict: CaseVerdict) -> Resolution {
    match verdict {
        CaseVerdict::GiveCard | CaseVerdict::Confirm => Resolution::Replaced,
        CaseVerdict::Refund(_) => Resolution::Refunded,
        CaseVerdict::Dismiss => Resolution::Dismissed,
    }
}

async fn lock_of(tx: &Tx, reservation: Uuid) -> Result<Vec<Locked>, StoreError> {
    let rows = tx
        .query(
            "SELECT case_id, kind, resolution, replacement_reservation_id, refund_amount FROM card_case
             WHERE reservation_id = $1 ORDER BY case_id FOR UPDATE",
            &[&reservation],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Locked {
                case_id: row.get(0),
                kind: CaseKind::parse(row.get(1))?,
                resolution: row.get::<_, Option<&str>>(2).map(Resolution::parse).transpose()?,
                replacement: row.get(3),
                refund: row.get(4),
            })
        })
        .collect()
}

async fn write(tx: &Tx, case_id: Uuid, act: &Act<'_>, resolved: &Resolved) -> Result<(), StoreError> {
    let is_refund = resolved.resolution == Resolution::Refunded;
    let changed = tx
        .execute(
            "UPDATE card_case SET resolution = $2, resolved_at = clock_timestamp(), resolved_by = $3, note = $4,
                    replacement_reservation_id = $5, refund_amount = $6, refund_method = $7, refund_reference = $8
             WHERE case_id = $1 AND resolution IS NULL",
            &[
                &case_id,
                &resolved.resolution.as_str(),
                &act.who,
                &act.note,
                &resolved.replacement.map(|id| id.as_uuid()),
                &resolved.refunded,
                &act.method.filter(|_| is_refund),
                &act.reference.filter(|_| is_refund),
            ],
        )
        .await?;
    match changed {
        1 => Ok(()),
        _ => Err(StoreError::Changed("it was resolved meanwhile".into())),
    }
}

/// Opens a case about a sold card that was found faulty afterwards. None = there is one for this sale.
pub(crate) async fn open_faulty(
    tx: &Tx,
    reservation: Uuid,
    card_id: i64,
    who: &str,
) -> Result<Option<Uuid>, StoreError> {
    let row = tx
        .query_opt(
            "INSERT INTO card_case (case_id, kind, reservation_id, card_id, opened_by)
             VALUES ($1, 'faulty', $2, $3, $4) ON CONFLICT (kind, reservation_id) DO NOTHING RETURNING case_id",
            &[&Uuid::now_v7(), &reservation, &card_id, &who],
        )
        .await?;
    Ok(row.map(|row| row.get(0)))
}
