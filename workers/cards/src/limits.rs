//! How much more the terminals of a batch may reserve. Counted once per batch under a lock per limited terminal; what the
//! batch itself gives and takes back is counted here.

use std::collections::{BTreeMap, HashMap};

use contract::{Reason, Refusal};
use domain::card::{Usage, one_more};
use domain::declaration::TerminalLimits;
use domain::ids::TerminalId;
use store::declarations::Declarations;
use store::{StoreError, Tx};

/// How much more the terminals of a batch may reserve.
#[derive(Debug, Default)]
pub(crate) struct Room(HashMap<TerminalId, (TerminalLimits, Usage)>);

impl Room {
    /// Counts for those terminals that are limited; where none is, the database is not asked.
    pub(crate) async fn count(
        tx: &Tx,
        declarations: &Declarations,
        installation: TerminalLimits,
        terminals: impl Iterator<Item = &TerminalId>,
    ) -> Result<Self, StoreError> {
        let limited: BTreeMap<&TerminalId, TerminalLimits> = terminals
            .map(|terminal| (terminal, declarations.limits_of(terminal, installation)))
            .filter(|(_, limits)| !limits.is_none())
            .collect();
        if limited.is_empty() {
            return Ok(Self::default());
        }
        let limited: Vec<(TerminalId, TerminalLimits)> = limited
            .into_iter()
            .map(|(terminal, limits)| (terminal.clone(), limits))
            .collect();
        let mut usage = store::reservations::lock_usage(tx, &limited).await?;
        Ok(Self(
            limited
                .into_iter()
                .map(|(terminal, limits)| {
                    let taken = usage.remove(&terminal).unwrap_or_default();
                    (terminal, (limits, taken))
                })
                .collect(),
        ))
    }

    /// One more card for this terminal, or why not.
    pub(crate) fn take(&mut self, terminal: &TerminalId) -> Result<(), Refusal> {
        let Some((limits, usage)) = self.0.get_mut(terminal) else {
            return Ok(());
        };
        one_more(*limits, *usage).map_err(|reached| Refusal::new(Reason::LimitReached, reached.to_string()))?;
        usage.holds += 1;
        Ok(())
    }

    /// It got none after all.
    pub(crate) fn give_back(&mut self, terminal: &TerminalId) {
        if let Some((_, usage)) = self.0.get_mut(terminal) {
            usage.holds = usage.holds.saturating_sub(1);
        }
    }
}
