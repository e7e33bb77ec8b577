//! A session on loan from the pool. Whoever gives up in the middle of something leaves a statement at work, or a transaction
//! open, and the next to get that session would wait behind it: so it goes back only by [`Lent::give_back`], and is closed
//! when it is dropped. What still runs on the server ends with it: rolled back at once where nothing runs, and otherwise
//! within the `client_connection_check_interval` of [`crate::Store`]'s sessions.

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use deadpool_postgres::{ClientWrapper, Object};
use futures::FutureExt as _;
use tokio_postgres::Statement;

use crate::StoreError;

/// The `statement_timeout` that the pool's sessions begin with, in seconds.
const STATEMENT_TIMEOUT: u64 = 60;

/// A session that is closed when dropped, unless it was given back.
#[derive(Debug)]
pub(crate) struct Lent {
    session: Option<Object>,
    /// What a statement may take, in seconds.
    allowed: AtomicU64,
}

impl Lent {
    pub(crate) fn new(session: Object) -> Self {
        Self {
            session: Some(session),
            allowed: AtomicU64::new(STATEMENT_TIMEOUT),
        }
    }

    /// What the server says to what is asked in one flight. A server that hangs ends nothing by its `statement_timeout`, and a
    /// session that another machine only keeps open (a proxy, a primary that was frozen) looks alive from here: past twice what
    /// a statement may take it is an infrastructure error, and the session is to be dropped.
    // Not an async function, whose future would hold what is asked twice.
    pub(crate) fn answered<T>(&self, asked: impl Future<Output = T>) -> impl Future<Output = Result<T, StoreError>> {
        let limit = Duration::from_secs(2 * self.allowed.load(Ordering::Relaxed));
        let silence = move |_| StoreError::Infrastructure(format!("a session has not answered for {limit:?}").into());
        tokio::time::timeout(limit, asked).map(move |done| done.map_err(silence))
    }

    /// The statement, prepared once per session.
    pub(crate) async fn prepared(&self, sql: &str) -> Result<Statement, StoreError> {
        Ok(self.answered(self.prepare_cached(sql)).await??)
    }

    /// Statements may take so many seconds until the session is given back.
    pub(crate) fn allow(&self, seconds: u64) {
        self.allowed.store(seconds, Ordering::Relaxed);
    }

    /// Back into the pool: everything asked was answered, and no transaction is open.
    pub(crate) fn give_back(mut self) {
        drop(self.session.take());
    }
}

impl Deref for Lent {
    type Target = ClientWrapper;

    fn deref(&self) -> &ClientWrapper {
        // None only inside `give_back` and `drop`, which end it.
        self.session.as_ref().expect("a session is used only until it ends")
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            drop(Object::take(session));
        }
    }
}
