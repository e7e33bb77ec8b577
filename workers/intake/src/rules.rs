//! Whether a payee takes a payment like this: the same rules for the question before and the fact after.

use contract::{Reason, Refusal};
use domain::Invalid;
use domain::declaration::{FieldRule, Payee};
use domain::ids::PayeeId;
use domain::limits::REPLAY_WINDOW_DAYS;
use domain::money::{Amount, Currency};
use domain::text::{Account, Fields};
use jiff::{SignedDuration, Timestamp};
use store::declarations::{Declarations, Declared};

/// The payee as declared now. A retired one is as good as unknown.
pub(crate) fn payee<'d>(declarations: &'d Declarations, id: &PayeeId) -> Result<&'d Declared<Payee>, Refusal> {
    declarations
        .payees
        .get(id)
        .filter(|declared| !declared.value.retired)
        .ok_or_else(|| Refusal::new(Reason::UnknownPayee, format!("payee: `{id}` is not declared")))
}

/// Whether the account and the fields fit. Returns the required fields still to be entered.
pub(crate) fn entered<'p>(payee: &'p Payee, account: &Account, fields: &Fields) -> Result<Vec<&'p FieldRule>, Refusal> {
    let invalid = |why: Invalid| Refusal::new(Reason::InvalidField, why.to_string());
    payee.accept_account(account).map_err(invalid)?;
    payee.accept_fields(fields).map_err(invalid)
}

/// Whether the amount fits, as far as it is known.
pub(crate) fn money(payee: &Payee, amount: Option<Amount>, currency: Option<Currency>) -> Result<(), Refusal> {
    if let Some(currency) = currency {
        payee
            .accept_currency(currency)
            .map_err(|why| Refusal::new(Reason::CurrencyDiffers, why.to_string()))?;
    }
    if let Some(amount) = amount {
        payee
            .accept_amount(amount)
            .map_err(|why| Refusal::new(Reason::AmountOutOfRange, why.to_string()))?;
    }
    Ok(())
}

/// Whether a payment is young enough for its id to be remembered if it came before. A window of 400 days is not judged
/// to the second, so the process's clock will do.
pub(crate) fn age(paid_at: Timestamp, now: Timestamp) -> Result<(), Refusal> {
    let window = SignedDuration::from_hours(24 * i64::from(REPLAY_WINDOW_DAYS));
    if now.duration_since(paid_at) <= window {
        return Ok(());
    }
    Err(Refusal::new(
        Reason::TooOld,
        format!("paid_at: more than {REPLAY_WINDOW_DAYS} days ago"),
    ))
}
