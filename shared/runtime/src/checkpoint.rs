//! Named points at which a test makes a process die, to see that nothing is lost or done twice.
//!
//! A debug build started with `UNIGATE_TEST_DIE_AT=intake.facts:after_commit` aborts, without any clean-up, when it
//! first gets there. Release builds have no such points.

/// Dies here if a test said so.
#[inline]
pub fn checkpoint(worker: &str, point: &str) {
    #[cfg(debug_assertions)]
    if armed().is_some_and(|at| at.split_once(':') == Some((worker, point))) {
        tracing::error!(worker, point, "a test wants this process dead");
        std::process::abort();
    }
    #[cfg(not(debug_assertions))]
    let _ = (worker, point);
}

#[cfg(debug_assertions)]
fn armed() -> Option<&'static str> {
    static ARMED: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    ARMED
        .get_or_init(|| crate::settings::environment("UNIGATE_TEST_DIE_AT"))
        .as_deref()
}
