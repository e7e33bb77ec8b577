//! This machine's clock beside the database's, which all processes share and judge by.

use std::sync::atomic::{AtomicI64, Ordering};

use jiff::{SignedDuration, Timestamp};
use store::server::CLOCKS_APART;

/// How far this machine's clock was ahead of the database's when the two were last compared.
static AHEAD_MS: AtomicI64 = AtomicI64::new(0);

/// Keeps how far this machine's clock was found to be ahead, and says so where it is far.
pub(crate) fn compared(ahead: SignedDuration) {
    let ms = i64::try_from(ahead.as_millis()).unwrap_or_default();
    let before = SignedDuration::from_millis(AHEAD_MS.swap(ms, Ordering::Relaxed));
    metrics::gauge!("unigate_clock_ahead_seconds").set(ahead.as_secs_f64());
    if ahead.abs() >= CLOCKS_APART && before.abs() < CLOCKS_APART {
        tracing::error!(
            ahead_seconds = ahead.as_secs_f64(),
            "this machine's clock is not the database's: set it right, payees judge our requests by it"
        );
    }
}

/// Now by the database's clock, as far as this process knows it.
pub(crate) fn database_now() -> Timestamp {
    let ahead = SignedDuration::from_millis(AHEAD_MS.load(Ordering::Relaxed));
    domain::clock::now().saturating_sub(ahead).unwrap_or(Timestamp::MIN)
}
