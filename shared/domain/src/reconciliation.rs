//! A payee's books beside ours: what both have, what one of them lacks, and what they have differently.
//!
//! Pure. Rows come joined and in the order of their numbers, so that lists of any length are compared in little memory. What
//! may be done about a finding is decided here too, and strictly: a payee that would credit twice is paid again only when
//! two lists, asked for late enough, do not have the payment.

use std::time::Duration;

use jiff::Timestamp;

use crate::ids::{Number, PaymentId};
use crate::payment::PaymentState;

/// A payment as we have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ours {
    /// Which.
    pub payment_id: PaymentId,
    /// It is of this payee; a number that belongs to another payee's payment is none of its own.
    pub of_payee: bool,
    /// Its state.
    pub state: PaymentState,
    /// What an act on it must find unchanged.
    pub generation: i32,
    /// Minor units.
    pub amount: i64,
    /// ISO 4217.
    pub currency: String,
    /// When the first call to pay it began that reached, or may have reached, the payee.
    pub first_call_at: Option<Timestamp>,
    /// When the last one ended, as far as is known.
    pub last_call_at: Option<Timestamp>,
    /// A call to pay it reached, or may have reached, the payee.
    pub reached: bool,
    /// An operator has settled it by hand.
    pub settled: bool,
    /// The payee has said that it knows the number with another content: its list may be about somebody else's payment.
    pub number_conflict: bool,
}

/// An entry of the payee's list.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Theirs {
    /// Minor units.
    pub amount: i64,
    /// ISO 4217.
    pub currency: String,
    /// When the payee credited it, if it says so.
    pub credited_at: Option<Timestamp>,
    /// The payee's own id.
    pub provider_reference: Option<String>,
}

/// What a comparison found about a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Finding {
    /// Delivered here and credited there, with the same amount.
    Matched,
    /// Delivered here, or perhaps, and not on the payee's list.
    MissingThere,
    /// On the payee's list, and no payment of ours to it.
    MissingHere,
    /// Credited there, and not delivered here.
    NotDelivered,
    /// With another amount.
    AmountDiffers,
    /// In another currency.
    CurrencyDiffers,
    /// More than once on the payee's list.
    DoubleThere,
}

impl Finding {
    /// All of them, in the order in which they are told.
    pub const ALL: [Self; 7] = [
        Self::Matched,
        Self::MissingThere,
        Self::MissingHere,
        Self::NotDelivered,
        Self::AmountDiffers,
        Self::CurrencyDiffers,
        Self::DoubleThere,
    ];

    /// The word that is printed.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Matched => "matched",
            Self::MissingThere => "missing_there",
            Self::MissingHere => "missing_here",
            Self::NotDelivered => "not_delivered",
            Self::AmountDiffers => "amount_differs",
            Self::CurrencyDiffers => "currency_differs",
            Self::DoubleThere => "double_there",
        }
    }
}

/// What is known of a number on both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    /// Which.
    pub number: Number,
    /// Our payment.
    pub ours: Option<Ours>,
    /// The payee's entries: one, unless it has none or credited it twice. An entry listed again counts once when it has a name of
    /// the payee's own; without one, two that look alike may be two credits.
    pub theirs: Vec<Theirs>,
}

impl Compared {
    /// What follows. `None`: neither side owes the other anything, since it was not credited there and is not delivered here.
    pub fn finding(&self) -> Option<Finding> {
        let ours = self.ours.as_ref().filter(|ours| ours.of_payee);
        match (ours, &self.theirs[..]) {
            (None, []) => None,
            (None, [..]) => Some(Finding::MissingHere),
            (Some(ours), []) => {
                matches!(ours.state, PaymentState::Delivered | PaymentState::Unknown).then_some(Finding::MissingThere)
            }
            (Some(ours), [theirs]) => Some(if ours.currency != theirs.currency {
                Finding::CurrencyDiffers
            } else if ours.amount != theirs.amount {
                Finding::AmountDiffers
            } else if ours.state != PaymentState::Delivered {
                Finding::NotDelivered
            } else {
                Finding::Matched
            }),
            (Some(_), [_, _, ..]) => Some(Finding::DoubleThere),
        }
    }
}

/// Gathers joined rows to one [`Compared`] per number.
#[derive(Debug, Default)]
pub struct Comparison {
    open: Option<Compared>,
}

impl Comparison {
    /// Adds a row; rows of one number come together. Returns the number before it once that is complete.
    pub fn push(&mut self, number: Number, ours: Option<Ours>, theirs: Option<Theirs>) -> Option<Compared> {
        if let Some(open) = self.open.as_mut().filter(|open| open.number == number) {
            let again = |theirs: &Theirs| theirs.provider_reference.is_some() && open.theirs.contains(theirs);
            open.theirs.extend(theirs.filter(|theirs| !again(theirs)));
            return None;
        }
        let theirs = theirs.into_iter().collect();
        self.open.replace(Compared { number, ours, theirs })
    }

    /// The last number.
    pub fn finish(self) -> Option<Compared> {
        self.open
    }
}

/// What a payee lets us do about a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    /// It credits a number once, however often it is sent.
    pub idempotent: bool,
    /// It can be asked what became of a number.
    pub offers_status: bool,
    /// The longest a call may last.
    pub timeout: Duration,
}

/// A complete list that does not have a payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lacking {
    /// When the payee was asked for it.
    pub asked_at: Timestamp,
    /// When all of it was there.
    pub complete_at: Timestamp,
    /// The first moment it is about.
    pub from: Timestamp,
    /// The first moment after that.
    pub to: Timestamp,
}

/// How far the payee's clock may be from ours.
pub const CLOCK_MARGIN: Duration = Duration::from_secs(60);

/// What may be done about a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// The payee has it: it is delivered.
    Deliver,
    /// It is paid again.
    Pay,
    /// The payee is asked about it.
    Ask,
    /// Nothing by itself; a person has to look, for this reason.
    Look(&'static str),
}

/// What may be done about something found. `lacking` are the complete lists that the payee itself gave, asked for one after
/// the other, which do not have it.
pub fn remedy(found: Finding, ours: Option<&Ours>, terms: Terms, lacking: &[Lacking]) -> Remedy {
    use PaymentState as S;
    match (found, ours) {
        (Finding::NotDelivered | Finding::MissingThere, Some(ours)) if ours.settled => {
            Remedy::Look("an operator has settled it otherwise, which stands")
        }
        (Finding::NotDelivered | Finding::MissingThere, Some(ours)) if ours.number_conflict => {
            Remedy::Look("the payee knows its number with another content")
        }
        (Finding::NotDelivered, Some(ours)) => match ours.state {
            // As a late answer: delivery::late_answer.
            S::Unknown | S::Failed | S::Refused | S::Stopped | S::Waiting => Remedy::Deliver,
            S::Revoked | S::Revoking => Remedy::Look("was credited and is revoked, or about to be"),
            _ => Remedy::Look("is under way"),
        },
        (Finding::MissingThere, Some(_)) if terms.idempotent => Remedy::Pay,
        (Finding::MissingThere, Some(ours)) if ours.state == S::Unknown => {
            if !ours.reached || is_certainly_not_credited(ours, terms.timeout, lacking) {
                Remedy::Pay
            } else if terms.offers_status {
                Remedy::Ask
            } else {
                Remedy::Look(
                    "its payee could credit it twice: a second list of its own, asked for later and without it, makes it certain",
                )
            }
        }
        (Finding::MissingThere, _) => Remedy::Look("the payee denies what it had credited, and could credit it twice"),
        (Finding::MissingHere, _) => Remedy::Look("there is no such payment to this payee"),
        (Finding::AmountDiffers | Finding::CurrencyDiffers, _) => {
            Remedy::Look("was credited otherwise than it was paid")
        }
        (Finding::DoubleThere, _) => Remedy::Look("was credited more than once"),
        (Finding::Matched | Finding::NotDelivered, _) => Remedy::Look("nothing is to be done"),
    }
}

/// As with `not_found`: what a payee does not have counts as not credited only when it was asked late enough, and twice.
/// Each list has to be about the whole time in which any call could have been credited.
fn is_certainly_not_credited(ours: &Ours, timeout: Duration, lacking: &[Lacking]) -> bool {
    let (Some(first), Some(last)) = (ours.first_call_at, ours.last_call_at) else {
        return false;
    };
    let settled = last + 2 * timeout + CLOCK_MARGIN;
    let covers = |list: &Lacking| list.from <= first - CLOCK_MARGIN && list.to >= settled;
    let covering: Vec<&Lacking> = lacking
        .iter()
        .filter(|list| list.asked_at >= settled && covers(list))
        .collect();
    let after = |first: &Lacking, second: &Lacking| second.asked_at >= first.complete_at;
    covering.iter().enumerate().any(|(n, one)| {
        covering[n + 1..]
            .iter()
            .any(|other| after(one, other) || after(other, one))
    })
}

#[cfg(test)]
mod tests;
