//! The declarations a process decides by, kept while they are current.
//!
//! Every transaction compares the generation it sees with the one in memory, so a batch that begins after an `apply`
//! has committed decides by what was applied. A batch has that done by the database on its way, and is done again when it
//! was outdated: `apply` is rare, and a round trip per batch is not.

use std::sync::{Arc, Mutex, PoisonError};

use store::declarations::{self, Declarations};
use store::{StoreError, Tx};

/// The last snapshot read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cache {
    last: Arc<Mutex<Option<Arc<Declarations>>>>,
}

impl Cache {
    /// The snapshot current in this transaction.
    pub(crate) async fn current(&self, tx: &Tx) -> Result<Arc<Declarations>, StoreError> {
        let generation = declarations::generation(tx).await?;
        match self.known() {
            Some(known) if known.generation == generation => Ok(known),
            _ => self.load(tx).await,
        }
    }

    /// The snapshot in memory. Should it not be current, the transaction fails as [`StoreError::Outdated`]; after
    /// [`forget`](Self::forget) the next one reads it anew.
    pub(crate) async fn assumed(&self, tx: &Tx) -> Result<Arc<Declarations>, StoreError> {
        let Some(known) = self.known() else {
            return self.load(tx).await;
        };
        declarations::expect_generation(tx, known.generation).await?;
        Ok(known)
    }

    /// What is in memory was found outdated.
    pub(crate) fn forget(&self) {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    fn known(&self) -> Option<Arc<Declarations>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn load(&self, tx: &Tx) -> Result<Arc<Declarations>, StoreError> {
        let loaded = Arc::new(declarations::load_in(tx).await?);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(loaded.clone());
        Ok(loaded)
    }
}
