//! The declarations a process decides by, kept while they are current.
//!
//! Every transaction compares the generation it sees with the one in memory, so a batch that begins after an `apply`
//! has committed decides by what was applied.

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
        let known = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(known) = known
            && known.generation == generation
        {
            return Ok(known);
        }
        let loaded = Arc::new(declarations::load_in(tx).await?);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(loaded.clone());
        Ok(loaded)
    }
}
