//! What an operator may do about a delivery, and how. Deliberately strict: paying again where the payee may have credited
//! already, and may credit again, needs certainty per payment and never follows from a filter.

use crate::invalid::Invalid;
use crate::payment::{Act, PaymentState};

/// What is done about many payments at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActKind {
    /// Make it due now, its schedule begun anew.
    Requeue,
    /// Send nothing until it is resumed.
    Stop,
    /// Make what was stopped due now.
    Resume,
}

impl ActKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Requeue, Self::Stop, Self::Resume];

    /// The word of the database and of the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requeue => "requeue",
            Self::Stop => "stop",
            Self::Resume => "resume",
        }
    }

    /// Reads the word of the database.
    pub fn parse(word: &str) -> Result<Self, Invalid> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == word)
            .ok_or_else(|| Invalid::new("kind", "is not a kind of act"))
    }
}

/// What the judgement is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Case {
    /// The stored state.
    pub state: PaymentState,
    /// Some call to pay has reached the payee, whatever it answered.
    pub reached: bool,
    /// By what the plan counts it may have been credited: a call to pay ended as *maybe*, or the payee has it pending, and no
    /// word of the payee's has settled that since.
    pub doubted: bool,
    /// The payee has said that it knows the number with another content: what it says about it is about another payment.
    pub number_conflict: bool,
    /// The payee has said that it credited it, whatever it stands as ([`has_said_credited`](super::has_said_credited)).
    pub said_credited: bool,
    /// A call about it is open.
    pub is_open: bool,
    /// What is due already, at this moment.
    pub due: Option<Act>,
    /// The operator named this payment and is certain that it was not credited.
    pub certain: bool,
    /// What its payee can do; `None` = it is not delivered online.
    pub payee: Option<Abilities>,
}

/// What matters about the payee.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abilities {
    /// A number is credited once however often it is sent.
    pub idempotent: bool,
    /// It can be asked what became of a number.
    pub offers_status: bool,
}

/// What is done with one payment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// It is certain that it was not credited, or the payee credits a number once: pay.
    Pay,
    /// It may have been credited and the payee can be asked: ask.
    Status,
    /// Nothing is sent any more.
    Stop,
}

impl Remedy {
    /// The word of the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pay => "pay",
            Self::Status => "status",
            Self::Stop => "stop",
        }
    }
}

/// Why a payment is not requeued that goes out by itself.
pub const DUE_ALREADY: &str = "is due already";
/// Why a payment is not resumed that nobody stopped.
pub const NOT_STOPPED: &str = "is not stopped";

/// What is to be done with the payment, or why nothing may be.
pub fn judge(kind: ActKind, case: &Case) -> Result<Remedy, &'static str> {
    let Some(payee) = case.payee else {
        return Err("is not delivered online");
    };
    if case.state == PaymentState::Delivering || case.is_open {
        return Err("is being delivered or asked about right now");
    }
    match kind {
        ActKind::Requeue => requeue(case, payee),
        ActKind::Stop => stop(case.state),
        ActKind::Resume if case.state == PaymentState::Stopped => requeue(case, payee),
        ActKind::Resume => Err(NOT_STOPPED),
    }
}

fn requeue(case: &Case, payee: Abilities) -> Result<Remedy, &'static str> {
    use PaymentState as S;
    let remedy = match case.state {
        // The payee's own word, or no byte ever left us: certainly not credited.
        S::Failed | S::Refused if !case.said_credited => Remedy::Pay,
        S::Failed | S::Refused | S::Unknown | S::Waiting | S::Stopped => in_doubt(case, payee)?,
        other => return Err(not_stuck(other)),
    };
    match (case.due, remedy) {
        (Some(Act::Pay), Remedy::Pay) | (Some(Act::Status), Remedy::Status) => Err(DUE_ALREADY),
        _ => Ok(remedy),
    }
}

/// What is done about a payment that its payee may have credited.
fn in_doubt(case: &Case, payee: Abilities) -> Result<Remedy, &'static str> {
    if case.number_conflict && !case.certain {
        return Err(
            "its payee knows the number with another content: find out, then settle it or name it with --certain",
        );
    }
    match (may_be_paid(case, payee), payee.offers_status) {
        (true, _) => Ok(Remedy::Pay),
        (false, true) => Ok(Remedy::Status),
        (false, false) => Err(
            "may have been credited, its payee could credit it twice and cannot be asked: find out, then name it with --certain",
        ),
    }
}

/// Whether sending it again can do no harm. What waits, or was stopped while it did, is sent again by itself unless the plan has
/// counted a doubt: each call besides is one of which the payee said that it did not take it. Of what is unknown not even that is
/// certain, so having been reached at all is enough to make a payee that credits twice dangerous.
fn may_be_paid(case: &Case, payee: Abilities) -> bool {
    let may_be_credited = match case.state {
        PaymentState::Waiting | PaymentState::Stopped => case.doubted,
        _ => case.reached,
    };
    payee.idempotent || case.certain || !(may_be_credited || case.said_credited)
}

fn stop(state: PaymentState) -> Result<Remedy, &'static str> {
    use PaymentState as S;
    match state {
        S::Accepted | S::Waiting => Ok(Remedy::Stop),
        S::Unknown => Err("may have been credited: the payee's word ends that, or an operator's (settle)"),
        S::Failed | S::Refused => Err("is not sent any more"),
        S::Stopped => Err("is stopped already"),
        other => Err(not_stuck(other)),
    }
}

/// Why there is nothing to be done about a payment in one of the other states.
fn not_stuck(state: PaymentState) -> &'static str {
    use PaymentState as S;
    match state {
        S::Delivered => "is delivered",
        S::Revoked | S::Revoking => "is revoked, or about to be",
        S::Accepted => DUE_ALREADY,
        S::Registered | S::Reported => "goes out in a register, not online",
        S::Delivering | S::Waiting | S::Refused | S::Unknown | S::Failed | S::Stopped => "is on its way",
    }
}

/// How an operator says that a payment has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settlement {
    /// The payee has it.
    Delivered,
    /// The payee does not have it and never will.
    Refused,
}

impl Settlement {
    /// The state it leads to from this one. What was to be taken back, and is not there, is.
    pub fn state_after(self, before: PaymentState) -> PaymentState {
        match self {
            Self::Delivered => PaymentState::Delivered,
            Self::Refused if before == PaymentState::Revoking => PaymentState::Revoked,
            Self::Refused => PaymentState::Refused,
        }
    }

    /// Whether a payment in this state has ended so already.
    pub fn confirms(self, state: PaymentState) -> bool {
        match self {
            Self::Delivered => state == PaymentState::Delivered,
            Self::Refused => matches!(state, PaymentState::Refused | PaymentState::Revoked),
        }
    }
}

/// Whether an operator may settle the payment by hand, or why not. A payment that has not gone out is stopped first, so that
/// nobody sends it at this moment.
pub fn judge_settlement(state: PaymentState, is_open: bool, to: Settlement) -> Result<(), &'static str> {
    use PaymentState as S;
    match (state, to) {
        (S::Delivering, _) => Err("is being delivered right now"),
        _ if is_open => Err("is being asked about right now"),
        (S::Refused, Settlement::Refused) => Err("is refused already"),
        // A revocation whose payee is down, held back or gone would otherwise never end.
        (S::Waiting | S::Unknown | S::Failed | S::Stopped | S::Refused | S::Revoking, _) => Ok(()),
        (S::Accepted, _) => Err("is about to be sent: stop it first"),
        // The world was told how it ended and is not told otherwise: what its payee says now is written down.
        (S::Delivered, Settlement::Refused) => Err(
            "is delivered, and stays so: where it is flagged, confirm it as it stands (--as delivered) and write in --reason what the payee says",
        ),
        (S::Revoked, Settlement::Delivered) => Err(
            "is revoked, and stays so: where it is flagged, confirm it as it stands (--as refused) and write in --reason what the payee says",
        ),
        (other, _) => Err(not_stuck(other)),
    }
}

#[cfg(test)]
mod tests;
