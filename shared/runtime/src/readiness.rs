//! Whether this process can do its work now: red when the broker or the database is gone, green again by itself.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// What is said of a part of which nothing is known yet.
const STARTING: &str = "starting";

/// The parts a process needs, each ready or not, with the reason when not.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    parts: Arc<Mutex<BTreeMap<&'static str, Option<String>>>>,
}

impl Readiness {
    /// Says that a part is needed; it is not ready until said so.
    pub fn expect(&self, part: &'static str) {
        self.set(part, Some(STARTING.to_owned()));
    }

    /// Says whether a part is ready: `None`, or why it is not.
    pub fn set(&self, part: &'static str, why_not: Option<String>) {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let before = parts.insert(part, why_not.clone());
        drop(parts);
        match (&before, &why_not) {
            (Some(None), Some(why)) => tracing::error!(part, why, "not ready"),
            // A process that starts while its database is away says so, and not only to whoever asks.
            (Some(Some(starting)), Some(why)) if starting == STARTING && why != STARTING => {
                tracing::error!(part, why, "not ready");
            }
            (Some(Some(_)), None) => tracing::info!(part, "ready"),
            _ => {}
        }
        metrics::gauge!("unigate_ready", "part" => part).set(if why_not.is_none() { 1.0 } else { 0.0 });
    }

    /// Whether every part is ready.
    pub fn is_ready(&self) -> bool {
        self.parts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .values()
            .all(Option::is_none)
    }

    /// Whether one part is ready.
    pub fn is_part_ready(&self, part: &str) -> bool {
        self.parts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(part)
            .is_some_and(Option::is_none)
    }

    /// Every part, with the reason where it is not ready.
    pub fn report(&self) -> BTreeMap<&'static str, Option<String>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::Readiness;

    #[test]
    fn one_part_that_is_away_makes_it_red_and_coming_back_makes_it_green() {
        let readiness = Readiness::default();
        readiness.expect("database");
        readiness.set("broker", None);
        assert!(!readiness.is_ready());
        readiness.set("database", None);
        assert!(readiness.is_ready());
        readiness.set("broker", Some("connection refused".into()));
        assert!(!readiness.is_ready());
        assert!(readiness.is_part_ready("database"));
    }
}
