//! What a revocation means for a payment, by what is already known. Certainly not gone out: it is revoked at once. May have
//! gone out: the payee has the word, and the end is told by an event.

use std::time::Duration;

use super::Profile;
use crate::payment::{Act, PaymentState};

/// What is known when a revocation arrives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Revocation<'a> {
    /// The payment's state as a reader sees it (`registered` and `reported` included); `None` = the id was never seen.
    pub state: Option<PaymentState>,
    /// How often it may have been credited.
    pub maybes: u32,
    /// The payee knows the number with another content: whatever it says about it is about somebody else's payment.
    pub number_conflict: bool,
    /// The payee has said that it credited it, whatever it stands as ([`has_said_credited`](super::has_said_credited)).
    pub said_credited: bool,
    /// The payee, when it is online.
    pub profile: Option<Profile<'a>>,
}

/// What a revocation means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RevokeVerdict {
    /// Not seen before: remember it, so that the payment arriving later is refused.
    Remember,
    /// It becomes `revoked` at once.
    Revoke,
    /// It is revoked already.
    AlreadyRevoked,
    /// It becomes `revoking`; this is done next (`None`: the end of the open attempt decides).
    Revoking(Option<(Act, Duration)>),
    /// It is being revoked already: nothing is written.
    StillRevoking,
    /// The payee has it.
    AlreadyDelivered,
    /// It is in a closed register, or the payee can neither take it back nor say what became of it.
    NotRevocable,
}

impl RevokeVerdict {
    /// The contract's outcome, or the reason of the refusal.
    pub fn word(self) -> Result<&'static str, &'static str> {
        match self {
            Self::Remember | Self::Revoke => Ok("revoked"),
            Self::AlreadyRevoked => Ok("already_revoked"),
            Self::Revoking(_) | Self::StillRevoking => Ok("revoking"),
            Self::AlreadyDelivered => Err("already_delivered"),
            Self::NotRevocable => Err("not_revocable"),
        }
    }
}

/// Judges a revocation.
pub fn resolve_revoke(revocation: &Revocation<'_>) -> RevokeVerdict {
    use PaymentState as S;
    let Some(state) = revocation.state else {
        return RevokeVerdict::Remember;
    };
    match state {
        S::Revoked => RevokeVerdict::AlreadyRevoked,
        S::Revoking => RevokeVerdict::StillRevoking,
        S::Delivered => RevokeVerdict::AlreadyDelivered,
        S::Registered | S::Reported => RevokeVerdict::NotRevocable,
        S::Delivering => RevokeVerdict::Revoking(None),
        S::Refused | S::Failed if revocation.said_credited => RevokeVerdict::AlreadyDelivered,
        // The payee's own no, or the certainty that nothing was credited, stands behind these two.
        S::Refused | S::Failed => RevokeVerdict::Revoke,
        S::Accepted | S::Waiting | S::Stopped if revocation.maybes == 0 => RevokeVerdict::Revoke,
        _ if revocation.number_conflict => RevokeVerdict::NotRevocable,
        S::Accepted | S::Waiting | S::Stopped | S::Unknown => ask_the_payee(revocation.profile.as_ref()),
    }
}

fn ask_the_payee(profile: Option<&Profile<'_>>) -> RevokeVerdict {
    match profile {
        Some(Profile {
            offers_cancel: true, ..
        }) => RevokeVerdict::Revoking(Some((Act::Cancel, Duration::ZERO))),
        Some(Profile {
            offers_status: true, ..
        }) => RevokeVerdict::Revoking(Some((Act::Status, Duration::ZERO))),
        _ => RevokeVerdict::NotRevocable,
    }
}
