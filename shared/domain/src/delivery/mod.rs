//! What follows from a call to an online payee: `plan(history, profile, end)` says the payment's next state and what is done
//! next, and when. It is the whole rule of delivery; couriers and stores only carry it out.
//!
//! Two promises are kept here whatever happens. A payment that may have been credited never becomes `refused` or `failed`
//! without the payee's own word about its number. And once a `pay` may have reached a payee that is not idempotent, no plan
//! says `pay` again: only an operator can, with a certainty of his own. A payee that is asked about a number before each `pay`
//! is paid again where it has denied the number, late enough and twice.
//!
//! `status` and `cancel` leave the state as it is while they are open; only an open `pay` makes it `delivering`.

pub mod operator;
mod planner;
mod revoke;

pub use planner::plan;
pub use revoke::{Revocation, RevokeVerdict, resolve_revoke};

use std::time::Duration;

use jiff::Timestamp;

use crate::declaration::Online;
use crate::payment::{Act, PaymentState};

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// No byte of the request left us.
    NotSent,
    /// The payee answered.
    Answered(Verdict),
    /// Bytes went out and no answer that could be read came back: it may have been done.
    Maybe {
        /// The payee said itself that it did not take the request (408, 425, 429): a repetition is safe for all.
        retry_safe: bool,
    },
}

/// What the payee answered to the act it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Credited.
    Accepted,
    /// Credited before.
    AlreadyAccepted,
    /// Taken, and not decided yet.
    Pending,
    /// Begun and not finished; the payee wants the same once more. It may have been credited.
    Unfinished,
    /// Not done; the payee wants the same once more.
    TryLater,
    /// No, for good.
    Refused,
    /// The number is known with another content.
    NumberConflict,
    /// Any other 2xx, 3xx or 4xx: it is about the request, not about the payment.
    Concerning,
    /// The number is not known.
    NotFound,
    /// Taken back.
    Cancelled,
}

/// The payment and its calls, as they stand when a call has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct History {
    /// The payment's state.
    pub state: PaymentState,
    /// What was asked in the call that ended.
    pub act: Act,
    /// Whether a `pay` has left us before the call that ended: the payee may know the number from it.
    pub went_out_before: bool,
    /// By the payee's word it has credited the payment in another call; of one that is being taken back that may have come late.
    pub credited_before: bool,
    /// How often it may have been credited: `pay` calls that ended as *maybe* or *pending* and are not settled.
    pub maybes: u32,
    /// How often in a row the payee did not know the number, where that counts.
    pub not_found: u32,
    /// The next step of the retry schedule.
    pub step: u32,
    /// When the latest `pay` had ended; while it is under way, when it began.
    pub last_pay_at: Option<Timestamp>,
    /// When the call that ended began.
    pub asked_at: Timestamp,
    /// Now, by the database's clock.
    pub now: Timestamp,
    /// When the last attempt is made.
    pub give_up_at: Timestamp,
}

/// What matters about the payee.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Profile<'a> {
    /// A number is credited once however often it is sent.
    pub idempotent: bool,
    /// It is asked what became of a number before that is paid.
    pub asks_first: bool,
    /// It can be asked what became of a number.
    pub offers_status: bool,
    /// It can be asked to take a payment back.
    pub offers_cancel: bool,
    /// How long an answer is waited for.
    pub timeout_seconds: u32,
    /// The waits between attempts; the last one repeats.
    pub retry_seconds: &'a [u32],
}

impl<'a> From<&Online<'a>> for Profile<'a> {
    fn from(online: &Online<'a>) -> Self {
        Self {
            idempotent: online.idempotent,
            asks_first: online.asks_first,
            offers_status: online.offers_status,
            offers_cancel: online.offers_cancel,
            timeout_seconds: online.timeout_seconds,
            retry_seconds: online.retry_seconds,
        }
    }
}

/// The end of a call.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CallEnd {
    /// How it ended.
    pub ending: Ending,
    /// What the payee's `Retry-After` asked for; honoured between the schedule's step and an hour.
    pub retry_after_seconds: Option<u32>,
    /// A share from -0.2 to 0.2 by which waits are moved.
    pub jitter: f64,
}

/// What to write and what to do next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Plan {
    /// The payment's state from now on.
    pub state: PaymentState,
    /// What is done next by itself and in how long; `None` = nothing.
    pub next: Option<(Act, Duration)>,
    /// The step of the retry schedule from now on.
    pub step: u32,
    /// How often it may have been credited, from now on.
    pub maybes: u32,
    /// How often in a row the number was not known, from now on.
    pub not_found: u32,
    /// What the world is told.
    pub event: Option<PaymentEvent>,
    /// What a person should look at.
    pub flag: Option<Flag>,
    /// Why, in words for an operator.
    pub reason: &'static str,
}

/// A plan for a payee that is declared to credit twice since the call began: what may have been credited is not sent again, but asked
/// about where it can be. `before` is the payment's state before the plan.
pub fn doubted(plan: Plan, before: PaymentState, offers_status: bool) -> Plan {
    let Some((_, delay)) = plan.next.filter(|(act, _)| *act == Act::Pay && plan.maybes > 0) else {
        return plan;
    };
    let state = PaymentState::Unknown;
    Plan {
        state,
        next: offers_status.then_some((Act::Status, delay)),
        event: (before != state).then(|| PaymentEvent::of_entering(state)).flatten(),
        reason: "its payee is declared to credit twice, and may have credited it",
        ..plan
    }
}

/// The events a plan can call for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PaymentEvent {
    /// The payee has credited it.
    Delivered,
    /// The payee said no, for good.
    Refused,
    /// It may have been credited.
    Unknown,
    /// Certainly not credited, and the retries ran out.
    Failed,
    /// Taken back.
    Revoked,
    /// The revocation came to nothing.
    RevokeRefused,
}

impl PaymentEvent {
    /// The routing key.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Delivered => "payment.delivered",
            Self::Refused => "payment.refused",
            Self::Unknown => "payment.unknown",
            Self::Failed => "payment.failed",
            Self::Revoked => "payment.revoked",
            Self::RevokeRefused => "payment.revoke_refused",
        }
    }

    /// The event of entering a state, where there is one.
    fn of_entering(state: PaymentState) -> Option<Self> {
        match state {
            PaymentState::Delivered => Some(Self::Delivered),
            PaymentState::Refused => Some(Self::Refused),
            PaymentState::Unknown => Some(Self::Unknown),
            PaymentState::Failed => Some(Self::Failed),
            PaymentState::Revoked => Some(Self::Revoked),
            _ => None,
        }
    }
}

/// What a person should look at: it stays on the payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flag {
    /// The payee knew the number before we ever sent it.
    AlreadyOnFirstAttempt,
    /// The payee knows the number with another content.
    NumberConflict,
    /// The payee credited a payment that had been revoked.
    CreditedAfterRevoke,
    /// The payee denies a payment that it had credited.
    PayeeDenies,
    /// An operator said how it ended: no call does from then on.
    SettledByOperator,
    /// The payee said that it credited a payment that an operator had settled as refused.
    CreditedAfterSettlement,
    /// The payee credits a number as often as it is sent, and said so of two calls.
    CreditedTwice,
    /// The payee says that it credited another sum.
    EchoedAmountDiffers,
    /// The payee answered about another number.
    EchoedNumberDiffers,
}

impl Flag {
    /// The word of `payment.flags`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AlreadyOnFirstAttempt => "already_on_first_attempt",
            Self::NumberConflict => "number_conflict",
            Self::CreditedAfterRevoke => "credited_after_revoke",
            Self::PayeeDenies => "payee_denies",
            Self::SettledByOperator => "settled_by_operator",
            Self::CreditedAfterSettlement => "credited_after_settlement",
            Self::CreditedTwice => "credited_twice",
            Self::EchoedAmountDiffers => "echoed_amount_differs",
            Self::EchoedNumberDiffers => "echoed_number_differs",
        }
    }
}

/// Whether the payee has said that it credited a payment that stands as failed or refused, by its flags in the order in which they
/// came: after an operator had settled it, or on a list of its own with another sum or more than once, which no operator has answered.
pub fn has_said_credited(flags: &[impl AsRef<str>]) -> bool {
    let place = |flag: Flag| flags.iter().position(|has| has.as_ref() == flag.as_str());
    let settled = place(Flag::SettledByOperator);
    let unanswered = |flag| place(flag).is_some_and(|at| settled.is_none_or(|settled| settled < at));
    (settled.is_some() && place(Flag::CreditedAfterSettlement).is_some())
        || [Flag::EchoedAmountDiffers, Flag::CreditedTwice]
            .into_iter()
            .any(unanswered)
}

/// Whether the payee has credited the payment in this very call, by its own word.
pub fn has_credited(act: Act, ending: Ending) -> bool {
    act == Act::Pay && ending == Ending::Answered(Verdict::Accepted)
}

/// Whether the payee has credited the payment twice: in this call and in another one (`credited_before`), in whichever order their
/// ends are told. One that credits a number once may say so of each.
pub fn has_credited_twice(act: Act, ending: Ending, credited_before: bool, idempotent: bool) -> bool {
    !idempotent && credited_before && has_credited(act, ending)
}

/// What a late answer changes: one that comes after its attempt was closed as *maybe*.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Late {
    /// Good news of a payment that waits for it: it is delivered.
    Delivered,
    /// It contradicts how the payment has ended, which stands. A person should look.
    Flagged(Flag),
}

/// Judges a late answer. Only good news counts, also while another call to pay is open: however that ends, the payee has credited the
/// payment. Not while a revocation is under way: its end will tell. What an operator has settled (`settled`) no answer overturns,
/// and none that contradicts it goes unseen.
pub fn late_answer(state: PaymentState, settled: bool, verdict: Verdict) -> Option<Late> {
    use PaymentState as S;
    let credited = matches!(verdict, Verdict::Accepted | Verdict::AlreadyAccepted);
    match state {
        S::Refused if settled && credited => Some(Late::Flagged(Flag::CreditedAfterSettlement)),
        S::Revoked if credited => Some(Late::Flagged(Flag::CreditedAfterRevoke)),
        S::Delivered if settled && verdict == Verdict::Refused => Some(Late::Flagged(Flag::PayeeDenies)),
        S::Delivering | S::Waiting | S::Unknown | S::Refused | S::Failed | S::Stopped if credited => {
            Some(Late::Delivered)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_model;
