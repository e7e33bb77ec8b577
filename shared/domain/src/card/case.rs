//! Cases: what an operator has to settle after a sale, and by what it can be settled. Nothing is settled twice, a payer gets
//! a card or money and not both, and no more money goes back than came in.

use std::fmt;

use crate::invalid::Invalid;

use super::{CaseKind, parse_word};

/// How a case was resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Resolution {
    /// The payer has another card.
    Replaced,
    /// Money went back.
    Refunded,
    /// Nothing is owed.
    Dismissed,
}

impl Resolution {
    /// Every way.
    pub const ALL: [Self; 3] = [Self::Replaced, Self::Refunded, Self::Dismissed];

    /// The word of the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Replaced => "replaced",
            Self::Refunded => "refunded",
            Self::Dismissed => "dismissed",
        }
    }

    /// Reads the word of the database.
    pub fn parse(word: &str) -> Result<Self, Invalid> {
        parse_word(&Self::ALL, Self::as_str, word)
            .ok_or_else(|| Invalid::new("resolution", "must be replaced, refunded or dismissed"))
    }
}

/// What is known of a case when it is to be resolved. Amounts in minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CaseFacts {
    /// What it is about.
    pub kind: CaseKind,
    /// How it was resolved already.
    pub resolved: Option<Resolution>,
    /// Whether another card was given for it, by itself or by somebody.
    pub has_replacement: bool,
    /// What the payer paid.
    pub paid: i64,
    /// What of it was above the price.
    pub surplus: i64,
    /// What went back in other cases of the same sale.
    pub refunded_elsewhere: i64,
    /// Whether another case of the same sale gave the payer a card.
    pub replaced_elsewhere: bool,
}

/// What an operator wants to do about a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// Give another card, or confirm the one that was given.
    Replace,
    /// Note that money went back: so much, or all there is to give back.
    Refund(Option<i64>),
    /// Owe nothing.
    Dismiss,
}

/// What is to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaseVerdict {
    /// Take another card, sell it to the payer for nothing, and note it.
    GiveCard,
    /// The card that was given settles it.
    Confirm,
    /// So much went back.
    Refund(i64),
    /// Nothing is owed.
    Dismiss,
}

/// Why a case is not resolved like that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CaseRefusal {
    /// It is resolved.
    AlreadyResolved(Resolution),
    /// A surplus is money: no card settles it.
    SurplusIsMoney,
    /// The payer has another card.
    HasCard,
    /// Money went back for this sale.
    HasMoney,
    /// No more than this is left to give back.
    TooMuch(i64),
}

impl fmt::Display for CaseRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AlreadyResolved(how) => write!(f, "it is {} already", how.as_str()),
            Self::SurplusIsMoney => f.write_str("a surplus is money: refund or dismiss it"),
            Self::HasCard => f.write_str("the payer was given another card for it: confirm that as replaced"),
            Self::HasMoney => f.write_str("the payer got the money back in another case of this sale"),
            Self::TooMuch(left) => write!(f, "at most {left} minor units are left to give back"),
        }
    }
}

/// Judges what an operator wants to do about a case.
pub fn resolve_case(case: &CaseFacts, wanted: Wanted) -> Result<CaseVerdict, CaseRefusal> {
    if let Some(how) = case.resolved {
        return Err(CaseRefusal::AlreadyResolved(how));
    }
    let is_surplus = case.kind == CaseKind::Surplus;
    match wanted {
        Wanted::Dismiss => Ok(CaseVerdict::Dismiss),
        Wanted::Replace if is_surplus => Err(CaseRefusal::SurplusIsMoney),
        Wanted::Replace if case.has_replacement => Ok(CaseVerdict::Confirm),
        // A surplus given back leaves the price paid.
        Wanted::Replace if case.refunded_elsewhere > case.surplus => Err(CaseRefusal::HasMoney),
        Wanted::Replace if case.replaced_elsewhere => Err(CaseRefusal::HasCard),
        Wanted::Replace => Ok(CaseVerdict::GiveCard),
        Wanted::Refund(_) if !is_surplus && (case.has_replacement || case.replaced_elsewhere) => {
            Err(CaseRefusal::HasCard)
        }
        Wanted::Refund(amount) => {
            let all = if is_surplus { case.surplus } else { case.paid };
            // Whoever was given another card has paid its price with it.
            let kept = if case.replaced_elsewhere {
                case.paid - case.surplus
            } else {
                0
            };
            let left = all.min(case.paid - kept - case.refunded_elsewhere).max(0);
            match amount.unwrap_or(left) {
                amount if (1..=left).contains(&amount) => Ok(CaseVerdict::Refund(amount)),
                _ => Err(CaseRefusal::TooMuch(left)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(kind: CaseKind) -> CaseFacts {
        CaseFacts {
            kind,
            resolved: None,
            has_replacement: false,
            paid: 10_050,
            surplus: 50,
            refunded_elsewhere: 0,
            replaced_elsewhere: false,
        }
    }

    #[test]
    fn a_case_is_resolved_by_a_card_by_money_or_by_a_reason() {
        use CaseVerdict as V;
        let faulty = case(CaseKind::Faulty);
        assert_eq!(resolve_case(&faulty, Wanted::Replace), Ok(V::GiveCard));
        assert_eq!(resolve_case(&faulty, Wanted::Refund(None)), Ok(V::Refund(10_050)));
        assert_eq!(resolve_case(&faulty, Wanted::Refund(Some(1))), Ok(V::Refund(1)));
        assert_eq!(resolve_case(&faulty, Wanted::Dismiss), Ok(V::Dismiss));
        let given = CaseFacts {
            has_replacement: true,
            ..case(CaseKind::Conflict)
        };
        assert_eq!(resolve_case(&given, Wanted::Replace), Ok(V::Confirm));
        assert_eq!(resolve_case(&given, Wanted::Refund(None)), Err(CaseRefusal::HasCard));
        let surplus = case(CaseKind::Surplus);
        assert_eq!(
            resolve_case(&surplus, Wanted::Replace),
            Err(CaseRefusal::SurplusIsMoney)
        );
        assert_eq!(resolve_case(&surplus, Wanted::Refund(None)), Ok(V::Refund(50)));
        assert_eq!(
            resolve_case(&surplus, Wanted::Refund(Some(51))),
            Err(CaseRefusal::TooMuch(50))
        );
    }

    #[test]
    fn cases_of_one_sale_know_of_each_other() {
        let refunded = |refunded_elsewhere| CaseFacts {
            refunded_elsewhere,
            ..case(CaseKind::Faulty)
        };
        assert_eq!(
            resolve_case(&refunded(50), Wanted::Refund(None)),
            Ok(CaseVerdict::Refund(10_000))
        );
        assert_eq!(resolve_case(&refunded(50), Wanted::Replace), Ok(CaseVerdict::GiveCard));
        assert_eq!(resolve_case(&refunded(51), Wanted::Replace), Err(CaseRefusal::HasMoney));
        let replaced = CaseFacts {
            replaced_elsewhere: true,
            ..case(CaseKind::Withdrawn)
        };
        assert_eq!(resolve_case(&replaced, Wanted::Replace), Err(CaseRefusal::HasCard));
        assert_eq!(resolve_case(&replaced, Wanted::Refund(None)), Err(CaseRefusal::HasCard));
        assert_eq!(resolve_case(&replaced, Wanted::Dismiss), Ok(CaseVerdict::Dismiss));
        // Of the surplus some went back before the card was given: what is left of it is not a card's price.
        let surplus = CaseFacts {
            refunded_elsewhere: 30,
            replaced_elsewhere: true,
            ..case(CaseKind::Surplus)
        };
        assert_eq!(
            resolve_case(&surplus, Wanted::Refund(None)),
            Ok(CaseVerdict::Refund(20))
        );
        assert_eq!(
            resolve_case(&surplus, Wanted::Refund(Some(21))),
            Err(CaseRefusal::TooMuch(20))
        );
    }

    /// Every act that may be wanted, with amounts on either side of all that matter.
    fn acts() -> Vec<(CaseKind, Wanted)> {
        let amounts = [1, 30, 50, 51, 10_000, 10_050, 10_051].map(Some);
        let refunds = amounts.into_iter().chain([None]).map(Wanted::Refund);
        let wanted: Vec<Wanted> = refunds.chain([Wanted::Replace, Wanted::Dismiss]).collect();
        let of = |kind| wanted.iter().map(move |wanted| (kind, *wanted));
        CaseKind::ALL.into_iter().flat_map(of).collect()
    }

    /// Three cases of one sale, resolved in all ways one after the other: no more goes back than came in, and who has a card
    /// that was given for nothing has not got any of its price back as well.
    #[test]
    fn nobody_gets_more_than_was_paid() {
        let acts = acts();
        let pairs = acts
            .iter()
            .flat_map(|first| acts.iter().map(move |second| (*first, *second)));
        for ((first, second), third) in pairs.flat_map(|pair| acts.iter().map(move |third| (pair, *third))) {
            let (mut money, mut cards) = (0, 0);
            for (kind, wanted) in [first, second, third] {
                let then = CaseFacts {
                    refunded_elsewhere: money,
                    replaced_elsewhere: cards > 0,
                    ..case(kind)
                };
                match resolve_case(&then, wanted) {
                    Ok(CaseVerdict::Refund(amount)) => money += amount,
                    Ok(CaseVerdict::GiveCard) => cards += 1,
                    _ => {}
                }
                let again = CaseFacts {
                    resolved: Some(Resolution::Dismissed),
                    ..then
                };
                let already = CaseRefusal::AlreadyResolved(Resolution::Dismissed);
                assert_eq!(resolve_case(&again, wanted), Err(already));
            }
            let told = (first, second, third);
            assert!(
                cards <= 1 && money + cards * 10_000 <= 10_050,
                "{money} and {cards} cards: {told:?}"
            );
        }
    }
}
