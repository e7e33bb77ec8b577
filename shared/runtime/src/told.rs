//! What everybody is told of a register or of a payment for an online payee: written by more than one worker, and by
//! operators' commands.

use contract::event::{Events, PaymentItem, RegisterEvent, RegisterItem, RegisterKind};
use domain::ids::{PayeeId, TerminalId};
use domain::payment::PaymentState;
use domain::{Account, Amount, Currency, Fee};
use store::deliveries::Due;
use store::notices::{self, NewNotice};
use store::payments::PaymentRow;
use store::registers::Summary;
use store::{StoreError, Tx};

/// Writes an event about a register, in the transaction of what happened to it; and of one that failed, a notice for people.
pub async fn tell_register(tx: &Tx, kind: RegisterEvent, of: &Summary, error: Option<&str>) -> Result<(), StoreError> {
    tell_registers(tx, kind, &[of], error).await
}

/// The same of several to which the same happened.
pub async fn tell_registers(
    tx: &Tx,
    kind: RegisterEvent,
    of: &[&Summary],
    error: Option<&str>,
) -> Result<(), StoreError> {
    let mut events = Events::new(domain::clock::now());
    for summary in of {
        events.push(kind, &register_item(summary, error)?);
        if kind == RegisterEvent::Failed {
            notices::add(tx, &failed_notice(summary, error, &summary.register_id.to_string())).await?;
        }
    }
    crate::emit(tx, events, None).await
}

fn register_item(of: &Summary, error: Option<&str>) -> Result<RegisterItem, StoreError> {
    Ok(RegisterItem {
        register_id: of.register_id,
        payee: of.payee.clone(),
        kind: if of.is_copy {
            RegisterKind::Copy
        } else {
            RegisterKind::Regular
        },
        series: of.series.clone(),
        sequence: u32::try_from(of.sequence).map_err(StoreError::unreadable)?,
        first_accepted_at: of.first_accepted_at,
        last_accepted_at: of.last_accepted_at,
        count: u64::try_from(of.count).map_err(StoreError::unreadable)?,
        total: of.total,
        currency: Currency::parse(&of.currency)?,
        error: error.map(str::to_owned),
    })
}

fn failed_notice<'a>(of: &Summary, error: Option<&str>, register: &'a str) -> NewNotice<'a> {
    NewNotice {
        kind: RegisterEvent::Failed.as_str(),
        subject: register,
        title: format!(
            "A register of {} could not be built or mailed: {} {:06} ({})",
            of.payee,
            of.series,
            of.sequence,
            of.kind()
        ),
        lines: vec![
            format!("Error: {}", error.unwrap_or("none was told")),
            format!(
                "Payments: {}, total: {} {} in minor units",
                of.count, of.total, of.currency
            ),
            format!("What is known of it: unigate registers show {register}"),
            format!("When the cause is gone: unigate registers requeue {register}"),
        ],
        mail_to: &[],
    }
}

/// What is told of a payment for an online payee that has come to this state.
pub fn payment_item(payment: &Due, state: PaymentState, error: Option<String>) -> Result<PaymentItem, StoreError> {
    Ok(PaymentItem {
        payment_id: payment.payment_id,
        number: payment.number,
        payee: PayeeId::parse(&payment.payee)?,
        terminal: TerminalId::parse(&payment.terminal)?,
        account: Account::new(payment.account.as_str())?,
        amount: Amount::new(payment.amount)?,
        fee: Fee::new(payment.fee)?,
        currency: Currency::parse(&payment.currency)?,
        state,
        error,
    })
}

/// The same of any payment, from its row as readers see it; everything in that was checked when it came in.
pub fn payment_row_item(row: &PaymentRow, state: PaymentState) -> Result<PaymentItem, StoreError> {
    Ok(PaymentItem {
        payment_id: row.payment_id,
        number: row.number,
        payee: PayeeId::parse(&row.payee)?,
        terminal: TerminalId::parse(&row.terminal)?,
        account: Account::new(row.account.as_str())?,
        amount: Amount::new(row.amount)?,
        fee: Fee::new(row.fee)?,
        currency: Currency::parse(&row.currency)?,
        state,
        error: None,
    })
}
