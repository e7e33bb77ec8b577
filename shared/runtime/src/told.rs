//! What everybody is told of a register: written by the worker that builds it and by the one that mails it.

use contract::event::{Events, RegisterEvent, RegisterItem, RegisterKind};
use domain::Currency;
use store::registers::Summary;
use store::{StoreError, Tx};

/// Writes an event about a register, in the transaction of what happened to it.
pub async fn tell_register(tx: &Tx, kind: RegisterEvent, of: &Summary, error: Option<&str>) -> Result<(), StoreError> {
    let item = RegisterItem {
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
    };
    let mut events = Events::new(domain::clock::now());
    events.push(kind, &item);
    crate::emit(tx, events, None).await
}
