//! A session on loan from the pool. Whoever gives up in the middle of something leaves a statement at work, or a transaction
//! open, and the next to get that session would wait behind it: so it goes back only by [`Lent::give_back`], and is closed
//! when it is dropped. What still runs on the server ends with it: rolled back at once where nothing runs, and otherwise
//! within the `client_connection_check_interval` of [`crate::Store`]'s sessions.

use std::ops::Deref;

use deadpool_postgres::{ClientWrapper, Object};

/// A session that is closed when dropped, unless it was given back.
#[derive(Debug)]
pub(crate) struct Lent(Option<Object>);

impl Lent {
    pub(crate) fn new(session: Object) -> Self {
        Self(Some(session))
    }

    /// Back into the pool: everything asked was answered, and no transaction is open.
    pub(crate) fn give_back(mut self) {
        drop(self.0.take());
    }
}

impl Deref for Lent {
    type Target = ClientWrapper;

    fn deref(&self) -> &ClientWrapper {
        // None only inside `give_back` and `drop`, which end it.
        self.0.as_ref().expect("a session is used only until it ends")
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(session) = self.0.take() {
            drop(Object::take(session));
        }
    }
}
