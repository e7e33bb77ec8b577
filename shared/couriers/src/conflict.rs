//! Payees that know a number of ours as another payment's. Money stands at the wrong place there, and no call will settle
//! it: whoever watches over the installation is told, in the transaction that records it.

use std::collections::BTreeMap;

use domain::declaration::Payee;
use domain::delivery::Flag;
use store::deliveries::Due;
use store::notices::{NewNotice, add};
use store::{StoreError, Tx};

/// No event has this key: the payment's own is `payment.unknown`.
const KIND: &str = "payment.number_conflict";

/// Payments that a notice names, at most; the rest can be listed.
const NAMED: usize = 10;

/// Tells of these payments, in a notice for each payee.
pub(crate) async fn alarm<'a>(
    tx: &Tx,
    found: impl IntoIterator<Item = (&'a Payee, &'a Due)>,
) -> Result<(), StoreError> {
    let mut payees: BTreeMap<&str, (&Payee, Vec<&Due>)> = BTreeMap::new();
    for (payee, payment) in found {
        let payments = &mut payees.entry(payee.id.as_str()).or_insert((payee, Vec::new())).1;
        payments.push(payment);
    }
    // Sorted, so that two transactions that add to the same notices never wait for each other in a ring.
    for (payee, payments) in payees.into_values() {
        for payment in &payments {
            let (payment_id, number) = (payment.payment_id, payment.number);
            tracing::error!(payee = %payee.id, %payment_id, %number, "the payee knows the number as another payment's");
        }
        add(tx, &notice(payee, &payments)).await?;
    }
    Ok(())
}

fn notice<'a>(payee: &'a Payee, payments: &[&Due]) -> NewNotice<'a> {
    let named = payments
        .iter()
        .take(NAMED)
        .map(|payment| format!("Payment {}, number {}", payment.payment_id, payment.number));
    let lines = [format!("Payee: {}", payee.name)].into_iter().chain(named).chain([
        "It stays unknown, and nobody asks about it any more: ask the payee what it has under the number".to_owned(),
        format!(
            "All of them: unigate deliveries list --payee {} --state unknown",
            payee.id
        ),
    ]);
    NewNotice {
        kind: KIND,
        subject: payee.id.as_str(),
        title: format!("Payee {} knows a number as another payment's", payee.id),
        lines: lines.collect(),
        mail_to: &[],
    }
}

/// Whether this is among what was flagged.
pub(crate) fn is_among(flags: &[&str]) -> bool {
    flags.contains(&Flag::NumberConflict.as_str())
}
