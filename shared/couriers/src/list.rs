//! What a payee says that it credited, asked for comparing its books with ours.

use store::StoreError;

/// Why there is no page of a payee's list.
#[derive(Debug, thiserror::Error)]
pub enum ListError {
    /// The payee cannot be asked this, or not as it is declared: asking again changes nothing.
    #[error("{0}")]
    NotOffered(String),
    /// It is down, busy, or did not answer in a way that can be read: ask again later.
    #[error("{0}")]
    Unavailable(String),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}
