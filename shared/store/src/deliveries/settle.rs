//! Settling a payment by hand: an operator knows how it ended.

use domain::delivery::Flag;
use domain::delivery::operator::{Settlement, judge_settlement};
use domain::ids::PaymentId;
use domain::payment::PaymentState;

use super::trouble::questions;
use super::{DUE_COLUMNS, Due, due_of};
use crate::{StoreError, Tx};

/// How a payment is settled.
#[derive(Clone, Copy, Debug)]
pub struct Settle<'a> {
    /// Which.
    pub payment_id: PaymentId,
    /// As what.
    pub to: Settlement,
    /// Why, for whoever reads the payment's last error when it was refused.
    pub reason: &'a str,
    /// The payee's own id of it, if it was told.
    pub provider_reference: Option<&'a str>,
}

/// What settling did.
#[derive(Debug)]
pub enum Settled {
    /// It is settled. The payment as it was before, with its generation.
    Done(Box<Due>, i32),
    /// It stands as it did, and the flags that said otherwise are answered.
    Confirmed(PaymentState, Vec<String>),
    /// It may not be: why.
    Refused(&'static str),
    /// There is no such payment for an online payee.
    NotFound,
}

/// Settles a payment, in the caller's transaction, which tells the world of it. What was in doubt is no longer: a requeue of
/// one that was settled as refused pays it. One that has ended so already and is in question since is confirmed: nobody is told
/// anything new.
pub async fn settle(tx: &Tx, settle: &Settle<'_>) -> Result<Settled, StoreError> {
    // Locked in a statement of its own: the one that looks for calls sees every one that was opened before.
    let sql = format!(
        "SELECT {DUE_COLUMNS}, generation FROM payment WHERE payment_id = $1 AND gateway <> 'registers' FOR UPDATE"
    );
    let Some(row) = tx.query_opt(&sql, &[&settle.payment_id.as_uuid()]).await? else {
        return Ok(Settled::NotFound);
    };
    let (before, generation) = (due_of(&row)?, row.get("generation"));
    let open = "SELECT EXISTS (SELECT FROM attempt WHERE payment_id = $1 AND ending = 'open')";
    let is_open = tx.query_one(open, &[&settle.payment_id.as_uuid()]).await?.get(0);
    if settle.to.confirms(before.state) {
        let flags = in_question(tx, settle.payment_id).await?;
        if !flags.is_empty() {
            confirm(tx, settle).await?;
            return Ok(Settled::Confirmed(before.state, flags));
        }
    }
    if let Err(why) = judge_settlement(before.state, is_open, settle.to) {
        return Ok(Settled::Refused(why));
    }
    let error = (settle.to == Settlement::Refused).then(|| format!("settled by an operator: {}", settle.reason));
    tx.execute(
        "UPDATE payment SET state = $2, generation = generation + 1, next_act = NULL, due_at = NULL, maybes = 0,
                not_found = 0, last_error = $3, provider_reference = coalesce($4, provider_reference), act_id = NULL,
                flags = array_append(array_remove(flags, $5), $5), updated_at = clock_timestamp()
         WHERE payment_id = $1",
        &[
            &settle.payment_id.as_uuid(),
            &settle.to.state_after(before.state).as_str(),
            &error,
            &settle.provider_reference,
            &Flag::SettledByOperator.as_str(),
        ],
    )
    .await?;
    Ok(Settled::Done(Box::new(before), generation))
}

async fn in_question(tx: &Tx, payment: PaymentId) -> Result<Vec<String>, StoreError> {
    let one = "(SELECT flags FROM payment WHERE payment_id = $1) one";
    let sql = format!("SELECT flag {}", questions(one));
    let rows = tx.query(&sql, &[&payment.as_uuid()]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

async fn confirm(tx: &Tx, settle: &Settle<'_>) -> Result<(), StoreError> {
    tx.execute(
        "UPDATE payment SET generation = generation + 1, provider_reference = coalesce($3, provider_reference),
                flags = array_append(array_remove(flags, $2), $2), updated_at = clock_timestamp() WHERE payment_id = $1",
        &[
            &settle.payment_id.as_uuid(),
            &Flag::SettledByOperator.as_str(),
            &settle.provider_reference,
        ],
    )
    .await
    .map(drop)
}
