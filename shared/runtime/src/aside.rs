//! Looking where it may hang: secrets and files that declarations name may lie on a share that does not answer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long anybody waits for a look, and for his turn at one.
const PATIENCE: Duration = Duration::from_secs(5);

/// Looks aside: on a thread that no other work is on, and one per owner at a time. What hangs keeps that one thread waiting,
/// and nobody else's work.
#[derive(Debug, Default)]
pub struct Aside {
    turns: Mutex<HashMap<String, Arc<tokio::sync::Mutex<()>>>>,
}

impl Aside {
    /// What a look comes to, or why it came to nothing in time: something an operator has to set right. It goes on all the
    /// same, also when nobody waits for it any more.
    pub async fn look<T, F>(&self, owner: &str, look: F) -> Result<T, String>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        self.look_within(PATIENCE, owner, look).await
    }

    async fn look_within<T, F>(&self, patience: Duration, owner: &str, look: F) -> Result<T, String>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let turn = self.turn_of(owner);
        let looked = async {
            let turn = turn.lock_owned().await;
            let looking = tokio::task::spawn_blocking(move || {
                let looked = look();
                drop(turn);
                looked
            });
            looking
                .await
                .map_err(|broken| format!("could not be looked at: {broken}"))
        };
        let late = || "its secrets and files cannot be looked at: is their share there?".to_owned();
        tokio::time::timeout(patience, looked)
            .await
            .unwrap_or_else(|_| Err(late()))
    }

    fn turn_of(&self, owner: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
        turns.entry(owner.to_owned()).or_default().clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn what_hangs_keeps_its_owner_waiting_and_nobody_else() {
        let aside = Aside::default();
        let (comes_back, gone) = mpsc::channel::<()>();
        let short = Duration::from_millis(1);
        let hanging = aside.look_within(short, "a", move || gone.recv()).await;
        assert!(hanging.unwrap_err().ends_with("is their share there?"));
        assert_eq!(aside.look("b", || 7).await, Ok(7));
        let behind = aside.look_within(short, "a", || 7).await;
        assert!(behind.is_err(), "one thread is enough");
        comes_back.send(()).unwrap();
        assert_eq!(aside.look("a", || 7).await, Ok(7));
    }
}
