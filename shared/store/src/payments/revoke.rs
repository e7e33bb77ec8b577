//! Revocation: certain where nothing went out, promised where something may have.

use std::time::Duration;

use domain::declaration::Online;
use domain::delivery::{Flag, Profile, Revocation, RevokeVerdict, has_said_credited, resolve_revoke};
use domain::ids::{PaymentId, TerminalId};
use domain::payment::{Act, PaymentState};

use super::read::{PaymentRow, row_for_update};
use crate::{StoreError, Tx};

/// What a revocation met.
#[derive(Debug)]
pub enum Revoked {
    /// It certainly had not gone out. The row as it was before.
    Now(Box<PaymentRow>),
    /// It came before its payment and is remembered.
    InAdvance,
    /// It was revoked before.
    Already,
    /// An attempt may have been credited, or the payee has to confirm: the end is told by an event.
    Underway,
    /// The payee has it and does not take back.
    Delivered,
    /// In a closed register, or the payee can neither take it back nor say what became of it.
    Closed,
    /// Another terminal's payment. A revocation in advance makes it nobody's.
    NotYours,
    /// An operator has settled this id by hand.
    Settled,
}

/// Revokes a payment as `domain::delivery` judges it; `reason` is told to a payee that is asked to take it back. `online` finds how
/// the row's payee is called, when it is online.
pub async fn revoke<'p>(
    tx: &Tx,
    payment_id: PaymentId,
    terminal: &TerminalId,
    reason: Option<&str>,
    online: impl FnOnce(&PaymentRow) -> Option<Online<'p>>,
) -> Result<Revoked, StoreError> {
    if let Some(in_advance) = remember(tx, payment_id, terminal).await? {
        return Ok(in_advance);
    }
    let Some(row) = row_for_update(tx, payment_id).await? else {
        return Err(StoreError::Changed("an accepted payment has no row".into()));
    };
    if row.terminal != terminal.as_str() {
        return Ok(Revoked::NotYours);
    }
    let online = online(&row);
    let flagged = |flag: Flag| row.flags.iter().any(|has| has == flag.as_str());
    let revocation = Revocation {
        state: Some(state_against_closing(tx, &row).await?),
        maybes: u32::try_from(row.maybes).unwrap_or(0),
        number_conflict: flagged(Flag::NumberConflict),
        said_credited: has_said_credited(&row.flags),
        profile: online.as_ref().map(Profile::from),
    };
    Ok(match resolve_revoke(&revocation) {
        RevokeVerdict::Revoke => end(tx, row).await?,
        RevokeVerdict::Revoking(next) => {
            let give_up_hours = online.map_or(0, |online| online.give_up_hours);
            ask_payee(tx, &row, next, reason, give_up_hours).await?
        }
        RevokeVerdict::StillRevoking => Revoked::Underway,
        RevokeVerdict::AlreadyRevoked => Revoked::Already,
        RevokeVerdict::AlreadyDelivered => Revoked::Delivered,
        RevokeVerdict::NotRevocable => Revoked::Closed,
        RevokeVerdict::Remember => Revoked::InAdvance,
    })
}

/// The state a revocation meets. For a payment with a position the series is locked, shared with other revocations and
/// exclusive with closing: it is in a closed register or it will not be before we have committed.
async fn state_against_closing(tx: &Tx, row: &PaymentRow) -> Result<PaymentState, StoreError> {
    let Some(series) = row.series_id else {
        return Ok(row.state);
    };
    let last_hi: i64 = tx
        .query_one("SELECT last_hi FROM series WHERE series_id = $1 FOR SHARE", &[&series])
        .await?
        .get(0);
    let closed = row.position.is_some_and(|position| position <= last_hi);
    Ok(if closed && row.state != PaymentState::Revoked {
        PaymentState::Registered
    } else {
        row.state
    })
}

/// Remembers a revocation whose payment has not come, or says what is known of the id without one.
async fn remember(tx: &Tx, payment_id: PaymentId, terminal: &TerminalId) -> Result<Option<Revoked>, StoreError> {
    let inserted = tx
        .execute(
            "INSERT INTO payment_identity (payment_id, disposition, terminal_id) VALUES ($1, 'revoked', $2)
             ON CONFLICT DO NOTHING",
            &[&payment_id.as_uuid(), &terminal.as_str()],
        )
        .await?;
    if inserted == 1 {
        return Ok(Some(Revoked::InAdvance));
    }
    let row = tx
        .query_one(
            "SELECT disposition, terminal_id FROM payment_identity WHERE payment_id = $1",
            &[&payment_id.as_uuid()],
        )
        .await?;
    let own = row
        .get::<_, Option<&str>>(1)
        .is_none_or(|known| known == terminal.as_str());
    match row.get::<_, &str>(0) {
        "settled" => Ok(Some(Revoked::Settled)),
        "revoked" if own => Ok(Some(Revoked::Already)),
        "revoked" => remember_besides(tx, payment_id, terminal).await,
        _ => Ok(None),
    }
}

/// Remembers a revocation under an id that another terminal has revoked in advance: whose payment it will be is not known, and
/// neither has a say in the other's. The identity is locked: its payment may be taking it over.
async fn remember_besides(
    tx: &Tx,
    payment_id: PaymentId,
    terminal: &TerminalId,
) -> Result<Option<Revoked>, StoreError> {
    let row = tx
        .query_one(
            "SELECT disposition FROM payment_identity WHERE payment_id = $1 FOR UPDATE",
            &[&payment_id.as_uuid()],
        )
        .await?;
    match row.get::<_, &str>(0) {
        "settled" => return Ok(Some(Revoked::Settled)),
        "revoked" => {}
        _ => return Ok(None),
    }
    let inserted = tx
        .execute(
            "INSERT INTO revoked_besides (payment_id, terminal_id) VALUES ($1, $2) ON CONFLICT DO NOTHING",
            &[&payment_id.as_uuid(), &terminal.as_str()],
        )
        .await?;
    Ok(Some(match inserted {
        1 => Revoked::InAdvance,
        _ => Revoked::Already,
    }))
}

async fn end(tx: &Tx, row: PaymentRow) -> Result<Revoked, StoreError> {
    tx.execute(
        "UPDATE payment SET state = 'revoked', next_act = NULL, due_at = NULL, generation = generation + 1,
                updated_at = clock_timestamp()
         WHERE payment_id = $1",
        &[&row.payment_id.as_uuid()],
    )
    .await?;
    Ok(Revoked::Now(Box::new(row)))
}

/// Leaves the end to the courier: the open attempt's record decides, or what the payee says when it is asked. It is asked by a
/// schedule of its own: that of the delivery may be at its longest waits, or over.
async fn ask_payee(
    tx: &Tx,
    row: &PaymentRow,
    next: Option<(Act, Duration)>,
    reason: Option<&str>,
    give_up_hours: u32,
) -> Result<Revoked, StoreError> {
    let (act, delay) = next.map_or((None, None), |(act, delay)| {
        (Some(act.as_str()), Some(delay.as_secs_f64()))
    });
    tx.execute(
        "UPDATE payment SET state = 'revoking', generation = generation + 1, updated_at = clock_timestamp(),
                next_act = $2, due_at = clock_timestamp() + make_interval(secs => $3), revoke_reason = $4, step = 0, not_found = 0,
                give_up_at = greatest(give_up_at, clock_timestamp() + make_interval(hours => $5))
         WHERE payment_id = $1",
        &[
            &row.payment_id.as_uuid(),
            &act,
            &delay,
            &reason,
            &i32::try_from(give_up_hours).unwrap_or(i32::MAX),
        ],
    )
    .await?;
    Ok(Revoked::Underway)
}
