//! Whether a terminal may reserve one more card. A limit refuses reservations, never a sale: that money was taken.

use std::fmt;

use crate::declaration::TerminalLimits;

/// What a terminal has taken. Counted no further than its limits, so a number may be less than the truth above them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Cards it holds now.
    pub holds: u32,
    /// Cards it sold within the last hour.
    pub sales: u32,
    /// Cards it was shown within the last hour that it neither sold nor holds any more.
    pub unsold: u32,
}

/// The limit that a reservation would go beyond.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LimitReached {
    /// Cards held at once.
    Holds(u32),
    /// Cards sold within an hour, with those that it holds.
    SalesPerHour(u32),
    /// Cards seen within an hour and not sold.
    UnsoldPerHour(u32),
}

impl fmt::Display for LimitReached {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Holds(limit) => write!(f, "terminal: holds as many cards as it may at once (holds = {limit})"),
            Self::SalesPerHour(limit) => write!(
                f,
                "terminal: holds, or sold within the last hour, as many cards as it may sell (sales_per_hour = {limit})"
            ),
            Self::UnsoldPerHour(limit) => write!(
                f,
                "terminal: was shown as many cards within the last hour that it did not sell as it may (unsold_per_hour = {limit})"
            ),
        }
    }
}

/// Judges one more reservation of a terminal that has taken this much.
pub fn one_more(limits: TerminalLimits, usage: Usage) -> Result<(), LimitReached> {
    let reached = |limit: Option<u32>, taken: u32| limit.filter(|limit| taken >= *limit);
    if let Some(limit) = reached(limits.holds, usage.holds) {
        return Err(LimitReached::Holds(limit));
    }
    // What is held may be sold, or not: so the limits of an hour are exact, however many are held at once. A card in grace may
    // be sold too, and counts as unsold only: payers who walk away must not close a terminal for as long as a grace lasts, and
    // one that means to sell more than it may need not wait for the end of a hold, it can release.
    if let Some(limit) = reached(limits.sales_per_hour, usage.holds.saturating_add(usage.sales)) {
        return Err(LimitReached::SalesPerHour(limit));
    }
    match reached(limits.unsold_per_hour, usage.holds.saturating_add(usage.unsold)) {
        Some(limit) => Err(LimitReached::UnsoldPerHour(limit)),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_more_is_judged_by_every_limit_there_is() {
        let limits = |holds, sales_per_hour| TerminalLimits {
            holds,
            sales_per_hour,
            unsold_per_hour: None,
        };
        let usage = |holds, sales| Usage {
            holds,
            sales,
            unsold: 9,
        };
        assert_eq!(one_more(limits(None, None), usage(u32::MAX, u32::MAX)), Ok(()));
        assert_eq!(one_more(limits(Some(2), None), usage(1, 9)), Ok(()));
        assert_eq!(
            one_more(limits(Some(2), None), usage(2, 0)),
            Err(LimitReached::Holds(2))
        );
        assert_eq!(
            one_more(limits(Some(2), Some(3)), usage(1, 3)),
            Err(LimitReached::SalesPerHour(3))
        );
        assert_eq!(
            one_more(limits(Some(2), Some(3)), usage(2, 3)),
            Err(LimitReached::Holds(2))
        );
        assert_eq!(one_more(limits(Some(2), Some(3)), usage(0, 2)), Ok(()));
        assert_eq!(one_more(limits(None, Some(3)), usage(1, 1)), Ok(()));
        for (holds, sales) in [(3, 0), (1, 2), (u32::MAX, 1)] {
            assert_eq!(
                one_more(limits(None, Some(3)), usage(holds, sales)),
                Err(LimitReached::SalesPerHour(3)),
                "what is held may be sold"
            );
        }
        let told = LimitReached::SalesPerHour(3).to_string();
        assert!(told.starts_with("terminal: ") && told.contains("sales_per_hour = 3"));
        let seen = TerminalLimits {
            unsold_per_hour: Some(3),
            ..TerminalLimits::default()
        };
        let usage = |holds, unsold| Usage {
            holds,
            sales: 9,
            unsold,
        };
        assert_eq!(one_more(seen, usage(1, 1)), Ok(()));
        assert_eq!(one_more(seen, usage(0, 3)), Err(LimitReached::UnsoldPerHour(3)));
        assert_eq!(one_more(seen, usage(2, 1)), Err(LimitReached::UnsoldPerHour(3)));
    }

    #[test]
    fn what_is_said_of_a_terminal_wins_limit_by_limit() {
        let own = TerminalLimits {
            holds: Some(1),
            ..TerminalLimits::default()
        };
        let of_group = TerminalLimits {
            holds: Some(5),
            sales_per_hour: Some(7),
            unsold_per_hour: Some(9),
        };
        assert_eq!(
            own.or(of_group),
            TerminalLimits {
                holds: Some(1),
                sales_per_hour: Some(7),
                unsold_per_hour: Some(9),
            }
        );
        assert!(TerminalLimits::default().or(TerminalLimits::default()).is_none());
    }
}
