//! Waiting until nothing is under way any more: the day is over when the system says so, not when a clock does.

use std::time::{Duration, Instant};

use store::Store;
use store::invariants::{Underway, must_have_been_told, underway};

use super::wait::until;
use super::witness::Witness;

/// The slowest thing that may still be under way is a mail that is sent again after some ten seconds.
const QUIET_WITHIN: Duration = Duration::from_secs(40);
/// An event that was confirmed is on its way to whoever listens.
const HEARD_WITHIN: Duration = Duration::from_secs(5);

/// How the waiting ended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Quiet {
    /// What was still under way.
    pub(super) left: Underway,
    /// How long it took.
    pub(super) after: Duration,
}

impl Quiet {
    /// Whether everything drained.
    pub(super) fn is_quiet(&self) -> bool {
        self.left == Underway::default()
    }
}

/// Waits until nothing is under way and everything that was told was heard.
pub(super) async fn wait(store: &Store, witness: &Witness) -> anyhow::Result<Quiet> {
    let begun = Instant::now();
    let mut left = Underway::default();
    until(QUIET_WITHIN, async || {
        left = underway(store).await?;
        Ok(left == Underway::default())
    })
    .await?;
    let after = begun.elapsed();
    until(HEARD_WITHIN, async || {
        let told = must_have_been_told(store).await?;
        Ok(witness.look(|heard| told.iter().all(|fact| heard.told.contains_key(fact))))
    })
    .await?;
    Ok(Quiet { left, after })
}
