//! The file that a path of SQLite leads to, and the connections to it. A payee may put another in its place while they are open:
//! they would go on with the one that was there, which has no name any more, and enter payments into it that nobody reads.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use sqlx::Connection as _;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePool, SqlitePoolOptions};

use super::{DatabaseError, Limits};

/// Which file it is, by its device and its number there. A number is not given to another file while one of that number is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileId(u64, u64);

/// A path, and the connections to the file that it was last seen to lead to.
pub(super) struct Place {
    options: SqliteConnectOptions,
    pools: SqlitePoolOptions,
    opened: Mutex<(SqlitePool, Option<FileId>)>,
}

impl Place {
    /// Nothing is opened yet.
    pub(super) fn of(options: SqliteConnectOptions, limits: &Limits) -> Self {
        let pools = SqlitePoolOptions::new()
            .max_connections(limits.pool_size)
            .acquire_timeout(limits.connection_wait())
            .after_release(|connection, _| {
                Box::pin(async move {
                    // All that was asked of it before has been done once it can be had.
                    connection.lock_handle().await?.remove_progress_handler();
                    // A change that was ended has undone its transaction, of which the driver does not know: what begins
                    // next would be taken for a part of it.
                    Ok(!connection.is_in_transaction())
                })
            });
        let pool = pools.clone().connect_lazy_with(options.clone());
        Self {
            options,
            pools,
            opened: Mutex::new((pool, None)),
        }
    }

    /// Connections to the file that is there now, and which one that is: `None` where there is none. Those to one before are
    /// closed once they have ended what they do.
    pub(super) async fn pool(&self) -> (SqlitePool, Option<FileId>) {
        let file = self.file().await;
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if opened.1 != file && !opened.0.is_closed() {
            *opened = (self.pools.clone().connect_lazy_with(self.options.clone()), file);
        }
        (opened.0.clone(), file)
    }

    /// Whether a file is still the one that is there. Where none was, it may have been made now.
    pub(super) async fn is_still(&self, file: Option<FileId>) -> Result<(), DatabaseError> {
        if file.is_none() || self.file().await == file {
            return Ok(());
        }
        let replaced = std::io::Error::other("another file was put in the place of the one that was open");
        Err(DatabaseError::Away(replaced.into()))
    }

    pub(super) async fn close(&self) {
        let pool = self.opened.lock().unwrap_or_else(PoisonError::into_inner).0.clone();
        pool.close().await;
    }

    async fn file(&self) -> Option<FileId> {
        let path: &Path = self.options.get_filename();
        let found = tokio::fs::metadata(path).await.ok()?;
        Some(FileId(found.dev(), found.ino()))
    }
}
