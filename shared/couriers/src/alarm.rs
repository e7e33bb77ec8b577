//! What payees have said that puts money at the wrong place, and that no call will settle: whoever watches over the installation is
//! told, in the transaction that records it.

use std::collections::BTreeMap;

use domain::declaration::Payee;
use store::deliveries::Due;
use store::notices::{NewNotice, add};
use store::{StoreError, Tx};

/// What is wrong with payments.
pub(crate) struct Alarm {
    /// The notice's kind. No event has this key: the payment's own is another.
    kind: &'static str,
    /// What the payee did.
    what: &'static str,
    /// What is to be done.
    then: &'static str,
    /// How all of them are listed.
    listed: &'static str,
}

/// The payee knows a number of ours as another payment's.
pub(crate) const CONFLICT: Alarm = Alarm {
    kind: "payment.number_conflict",
    what: "knows a number as another payment's",
    then: "It stays unknown, and nobody asks about it any more: ask the payee what it has under the number",
    listed: "unigate deliveries list --state unknown --payee",
};

/// The payee has credited a payment in two calls.
pub(crate) const TWICE: Alarm = Alarm {
    kind: "payment.credited_twice",
    what: "says that it credited a payment twice",
    then: "Get one of the two back from the payee; then confirm it (`unigate deliveries settle`)",
    listed: "unigate payments list --flagged --payee",
};

/// The payee knew a payment's number before any call about it had left us: whose payment it has under it is the question.
pub(crate) const KNOWN_BEFORE: Alarm = Alarm {
    kind: "payment.already_on_first_attempt",
    what: "knew a number before it was sent a payment under it",
    then: "Either it credits when it is only asked to check (then declare `credits_on_check`), or somebody else, such as a second \
           installation, uses the same numbers there, and then nothing was credited for this payment: ask the payee what it has \
           under the number, then confirm the payment (`unigate deliveries settle`)",
    listed: "unigate payments list --flagged --payee",
};

/// Payments that a notice names, at most; the rest can be listed.
const NAMED: usize = 10;

/// Tells of these payments, in a notice for each payee.
pub(crate) async fn raise<'a>(
    tx: &Tx,
    alarm: &Alarm,
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
            tracing::error!(payee = %payee.id, %payment_id, %number, "the payee {}", alarm.what);
        }
        add(tx, &notice(alarm, payee, &payments)).await?;
    }
    Ok(())
}

fn notice<'a>(alarm: &Alarm, payee: &'a Payee, payments: &[&Due]) -> NewNotice<'a> {
    let named = payments
        .iter()
        .take(NAMED)
        .map(|payment| format!("Payment {}, number {}", payment.payment_id, payment.number));
    let lines = [format!("Payee: {}", payee.name)].into_iter().chain(named).chain([
        alarm.then.to_owned(),
        format!("All of them: {} {}", alarm.listed, payee.id),
    ]);
    NewNotice {
        kind: alarm.kind,
        subject: payee.id.as_str(),
        title: format!("Payee {} {}", payee.id, alarm.what),
        lines: lines.collect(),
        mail_to: &[],
    }
}
