//! What operators do about many payments at once.
//!
//! An act is a row with the payments it is about, frozen with the state and generation that were seen. It is carried out in
//! parts, each a short transaction of conditional updates: what moved since it was seen is left alone and counted as
//! changed. Whoever comes first carries the next part out, the command that began the act or any worker's sweep; the act's
//! row is locked meanwhile, so a part is carried out once and a dead process holds nothing up. A payment is in at most one
//! outstanding act (a unique index).

mod carry;
mod facts;
mod freeze;
mod read;
mod steer;

pub use carry::{Step, carry_out};
pub use facts::{Preview, Refusal, preview};
pub use freeze::{Frozen, freeze};
pub use read::{ActRow, ItemRow, find, list, of_payment, set_aside};
pub use steer::{Steer, steer};

use std::collections::BTreeMap;

use domain::delivery::operator::ActKind;
use domain::ids::PaymentId;

use crate::payments::Filter;

/// Which payments an act is about.
#[derive(Clone, Copy, Debug)]
pub enum Which<'a> {
    /// These, one by one.
    Named {
        /// Which.
        payments: &'a [PaymentId],
        /// The operator is certain that none of them was credited.
        certain: bool,
    },
    /// All that match now, oldest first.
    Filter(&'a Filter),
}

impl Which<'_> {
    fn is_certain(self) -> bool {
        matches!(self, Self::Named { certain: true, .. })
    }

    /// As a filter of online and other payments: an act says of each why it is not for it.
    fn filter(self) -> Filter {
        match self {
            Self::Named { payments, .. } => Filter {
                payments: payments.to_vec(),
                ..Filter::default()
            },
            Self::Filter(filter) => filter.clone(),
        }
    }

    /// As it is kept: the payments themselves are the act's items.
    fn kept(self) -> Result<serde_json::Value, serde_json::Error> {
        match self {
            Self::Named { payments, .. } => Ok(serde_json::json!({ "named": payments.len() })),
            Self::Filter(filter) => serde_json::to_value(filter),
        }
    }
}

/// An act to be begun.
#[derive(Clone, Copy, Debug)]
pub struct NewAct<'a> {
    /// What is done.
    pub kind: ActKind,
    /// Who acts.
    pub who: &'a str,
    /// Why, in the operator's words.
    pub reason: Option<&'a str>,
    /// About which payments.
    pub which: Which<'a>,
    /// At most so many made due a second, 1 to 100000; none = as fast as it goes.
    pub rate: Option<i32>,
}

/// How many, by a word.
pub type Counts = BTreeMap<String, i64>;

/// What one payment is not done for because another act has it.
const IN_ANOTHER_ACT: &str = "is in another act that is not finished";

/// How the audit log calls an act on payments.
fn audited_as(kind: ActKind) -> &'static str {
    match kind {
        ActKind::Requeue => "deliveries requeue",
        ActKind::Stop => "deliveries stop",
        ActKind::Resume => "deliveries resume",
    }
}
