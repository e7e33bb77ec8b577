//! The declarations a process decides by, kept while they are current.
//!
//! Every transaction compares the generation it sees with the one in memory, so a batch that begins after an `apply`
//! has committed decides by what was applied. A batch has that done by the database on its way, and is done again when it
//! was outdated: `apply` is rare, and a round trip per batch is not.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use store::declarations::{self, Declarations};
use store::{Store, StoreError, Tx};

/// The last snapshot read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cache {
    last: Arc<Mutex<Option<Arc<Declarations>>>>,
    /// How many have asked outside of a transaction.
    asked: Arc<AtomicU64>,
    looked: Arc<tokio::sync::Mutex<Looked>>,
}

/// A look at the generation, and for whom it counts.
#[derive(Debug, Default)]
struct Looked {
    /// It began after so many had asked.
    after: u64,
    found: Option<Arc<Declarations>>,
}

impl Cache {
    /// The snapshot current now. One look counts for all who had asked before it began: a thousand questions at once cost a few.
    pub(crate) async fn shared(&self, store: &Store) -> Result<Arc<Declarations>, StoreError> {
        let mine = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        let mut looked = self.looked.lock().await;
        if let Some(found) = looked.found.as_ref().filter(|_| looked.after >= mine) {
            return Ok(found.clone());
        }
        let after = self.asked.load(Ordering::Relaxed);
        // Boxed: it is rare, and large, and would be moved at each of the calls that lead here.
        let found = Box::pin(self.look(store)).await?;
        *looked = Looked {
            after,
            found: Some(found.clone()),
        };
        Ok(found)
    }

    /// A look is one flight, unless something has changed.
    async fn look(&self, store: &Store) -> Result<Arc<Declarations>, StoreError> {
        let generation = declarations::generation(store).await?;
        if let Some(known) = self.known().filter(|known| known.generation == generation) {
            return Ok(known);
        }
        let tx = store.begin().await?;
        let loaded = self.load(&tx).await?;
        tx.commit().await?;
        Ok(loaded)
    }

    /// The snapshot in memory. Should it not be current, the transaction fails as [`StoreError::Outdated`]; after
    /// [`forget`](Self::forget) the next one reads it anew.
    pub(crate) async fn assumed(&self, tx: &Tx) -> Result<Arc<Declarations>, StoreError> {
        let known = match self.known() {
            Some(known) => known,
            None => self.load(tx).await?,
        };
        // Also where they are read just now: whoever settles a sale waits for the batches that have said this.
        declarations::expect_generation(tx, known.generation).await?;
        Ok(known)
    }

    /// What is in memory was found outdated.
    pub(crate) fn forget(&self) {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// The snapshot in memory, if it is of that generation or a later one.
    pub(crate) fn since(&self, generation: i64) -> Option<Arc<Declarations>> {
        self.known().filter(|known| known.generation >= generation)
    }

    /// The snapshot in memory, current or not.
    pub(crate) fn known(&self) -> Option<Arc<Declarations>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn load(&self, tx: &Tx) -> Result<Arc<Declarations>, StoreError> {
        let loaded = Arc::new(declarations::load_in(tx).await?);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(loaded.clone());
        Ok(loaded)
    }
}
