//! What a person sees while the day goes by: one line that changes, on a terminal; a line every few seconds, in a pipe.

use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use store::Store;
use store::invariants::longest_overdue_hold;
use tokio::task::JoinHandle;

use super::memory::Memory;
use crate::output::say;

/// How often it is looked how things stand.
const LOOK_INTERVAL: Duration = Duration::from_millis(500);
/// How often a pipe gets a line.
const LINE_INTERVAL: Duration = Duration::from_secs(4);

/// The display, and whoever keeps it up to date. Dropped, it is cleared.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    seen: Arc<Seen>,
    watcher: Option<JoinHandle<()>>,
}

/// What is seen in passing.
#[derive(Default)]
struct Seen {
    /// The longest a hold was over and nobody had ended it, in seconds.
    overdue: Mutex<f64>,
}

impl Progress {
    /// Begins to show.
    pub(super) fn begin() -> Self {
        let bar = std::io::stderr().is_terminal().then(spinner);
        Self {
            bar,
            seen: Arc::default(),
            watcher: None,
        }
    }

    /// From now on the figures of these are shown too.
    pub(super) fn watch(&mut self, store: Store, memory: Arc<Memory>) {
        let (bar, seen) = (self.bar.clone(), self.seen.clone());
        self.watcher = Some(tokio::spawn(async move {
            let mut last_line = Instant::now();
            loop {
                tokio::time::sleep(LOOK_INTERVAL).await;
                let Some(figures) = look(&store, &memory, &seen).await else {
                    continue;
                };
                match &bar {
                    Some(bar) => bar.set_message(figures),
                    None if last_line.elapsed() >= LINE_INTERVAL => {
                        last_line = Instant::now();
                        let _ = say(format!("  {figures}"));
                    }
                    None => {}
                }
            }
        }));
    }

    /// What happens now.
    pub(super) fn chapter(&self, name: &str) {
        tracing::info!("the demo's day: {name}");
        match &self.bar {
            Some(bar) => bar.set_prefix(name.to_owned()),
            None => drop(say(name)),
        }
    }

    /// The longest a hold was over without having been ended, as far as it was seen.
    pub(super) fn longest_overdue_hold(&self) -> f64 {
        *lock(&self.seen.overdue)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(watcher) = &self.watcher {
            watcher.abort();
        }
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

fn spinner() -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed_precise} {prefix}\n           {wide_msg}") {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// How things stand. None while the database has better things to do.
async fn look(store: &Store, memory: &Memory, seen: &Seen) -> Option<String> {
    let overdue = longest_overdue_hold(store).await.ok()?;
    {
        let mut longest = lock(&seen.overdue);
        *longest = longest.max(overdue);
    }
    let payments = store::payments::count_by_state(store).await.ok()?;
    let in_state = |wanted: &[&str]| -> i64 {
        payments
            .iter()
            .filter(|(_, state, _)| wanted.contains(&state.as_str()))
            .map(|(.., count)| count)
            .sum()
    };
    let (sent, answered) = memory.note(|all| all.totals());
    let sold: i64 = store::cards::stock(store)
        .await
        .ok()?
        .iter()
        .map(|stock| stock.sold)
        .sum();
    Some(format!(
        "{sent} messages, {answered} answers; payments: {} delivered, {} waiting, {} in registers; {sold} cards sold",
        in_state(&["delivered"]),
        in_state(&["accepted", "delivering", "waiting"]),
        in_state(&["registered", "reported"]),
    ))
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
