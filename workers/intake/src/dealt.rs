//! Numbers that payees were told at checks which no payment followed: most are not, and nothing else ever takes one away.

use std::time::Duration;

use domain::limits::REPLAY_WINDOW_DAYS;
use runtime::{Context, sweep};
use store::payments;

/// How long after its check somebody may pay; how long after that his payment may come is the replay window.
const PAID_WITHIN_DAYS: u32 = 30;
/// Deleted by one statement.
const AT_ONCE: i64 = 2000;
const SELDOM: Duration = Duration::from_secs(3600);

/// Starts to forget them.
pub(crate) fn spawn(context: &Context) {
    sweep::every(context, "intake.forget_dealt", SELDOM, |context| async move {
        let days = REPLAY_WINDOW_DAYS + PAID_WITHIN_DAYS;
        while !context.shutdown.is_cancelled()
            && payments::forget_dealt(&context.store, days, AT_ONCE).await? == AT_ONCE.unsigned_abs()
        {}
        Ok(())
    });
}
