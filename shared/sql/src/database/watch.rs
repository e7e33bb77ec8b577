//! Until when a connection of SQLite may work on a statement. SQLite asks as it works; there is no other way to end a statement
//! whose thread is ours.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sqlx::SqliteConnection;

/// How many steps of its machine SQLite makes between two looks: less than a millisecond's, and more than a `begin` or a
/// `rollback` has.
const STEPS: i32 = 10_000;

/// How much longer a statement may take than whoever waits for it does: he is to end it, by letting go of it, and knows why.
const MARGIN: Duration = Duration::from_millis(250);

/// Ends what its connection does once a statement has taken too long, or nobody waits for it any more: when this is dropped.
pub(super) struct Watch {
    timeout: Duration,
    since: Instant,
    /// In milliseconds since then.
    until: Arc<AtomicU64>,
}

impl Watch {
    /// No statement takes longer than this, but for a margin.
    pub(super) fn lasting(timeout: Duration) -> Self {
        let watch = Self {
            timeout: timeout + MARGIN,
            since: Instant::now(),
            until: Arc::default(),
        };
        watch.begin();
        watch
    }

    /// A statement begins.
    pub(super) fn begin(&self) {
        let until = self.since.elapsed().saturating_add(self.timeout).as_millis();
        self.until
            .store(u64::try_from(until).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Has a connection look here from now on.
    pub(super) async fn set(&self, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        let (since, until) = (self.since, self.until.clone());
        let may_go_on = move || since.elapsed().as_millis() < u128::from(until.load(Ordering::Relaxed));
        connection.lock_handle().await?.set_progress_handler(STEPS, may_go_on);
        Ok(())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.until.store(0, Ordering::Relaxed);
    }
}
