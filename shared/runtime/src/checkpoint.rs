//! Named points at which a test makes a process die or stand still, to see that nothing is lost or done twice.
//!
//! A debug build started with `UNIGATE_TEST_DIE_AT=intake.facts:after_commit` aborts, without any clean-up, when it
//! first gets there. With `UNIGATE_TEST_STOP_AT` it stops there instead, once, as by SIGSTOP: all of it, until somebody
//! sends it SIGCONT. Release builds have no such points.

/// Dies or stops here if a test said so.
#[inline]
pub fn checkpoint(worker: &str, point: &str) {
    #[cfg(debug_assertions)]
    armed::reached(worker, point);
    #[cfg(not(debug_assertions))]
    let _ = (worker, point);
}

#[cfg(debug_assertions)]
mod armed {
    use std::process::{Command, Stdio};
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicBool, Ordering};

    use crate::settings::environment;

    static DIE_AT: LazyLock<Option<String>> = LazyLock::new(|| environment("UNIGATE_TEST_DIE_AT"));
    static STOP_AT: LazyLock<Option<String>> = LazyLock::new(|| environment("UNIGATE_TEST_STOP_AT"));
    static STOPPED: AtomicBool = AtomicBool::new(false);

    /// Ends when all threads of the process stand still. One that sends itself the signal may go on for a moment.
    const STOP: &str =
        r#"kill -STOP "$0" && while grep -L '^State:.T' /proc/"$0"/task/*/status | grep -q .; do :; done"#;

    pub(super) fn reached(worker: &str, point: &str) {
        if is(DIE_AT.as_deref(), worker, point) {
            tracing::error!(worker, point, "a test wants this process dead");
            std::process::abort();
        }
        if is(STOP_AT.as_deref(), worker, point) && !STOPPED.swap(true, Ordering::Relaxed) {
            tracing::error!(worker, point, "a test wants this process to stand still");
            let mut stop = Command::new("sh");
            stop.args(["-c", STOP, &std::process::id().to_string()])
                .stdin(Stdio::null());
            // Waited for: where that ends, somebody has sent SIGCONT.
            let stopped = stop.status();
            tracing::info!(worker, point, ?stopped, "on it goes");
        }
    }

    fn is(named: Option<&str>, worker: &str, point: &str) -> bool {
        named.is_some_and(|at| at.split_once(':') == Some((worker, point)))
    }
}
