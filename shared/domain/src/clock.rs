//! The one sanctioned reading of this machine's clock. It is for what is shown, logged or stamped on an envelope; what is
//! *judged* (holds, leases, due times, cut-offs) is judged by the database's clock, which all processes share.

use jiff::Timestamp;

/// Now, by this machine's clock.
#[expect(clippy::disallowed_methods, reason = "the one place that may read the wall clock")]
pub fn now() -> Timestamp {
    Timestamp::now()
}
