//! A connection on which one question is asked. It goes back to the pool only after an orderly end: one whose asker gave up in
//! the middle, or that broke, is closed, since what comes next on it would be the rest of an answer.

use sqlx::pool::PoolConnection;

use super::{DatabaseError, Outcome};

pub(super) struct Asking<DB: sqlx::Database> {
    connection: PoolConnection<DB>,
    ended: bool,
}

impl<DB: sqlx::Database> Asking<DB> {
    pub(super) fn on(connection: PoolConnection<DB>) -> Self {
        Self {
            connection,
            ended: false,
        }
    }

    pub(super) fn connection(&mut self) -> &mut DB::Connection {
        &mut self.connection
    }

    pub(super) fn end(&mut self, outcome: &Result<Outcome, DatabaseError>) {
        self.ended = !matches!(outcome, Err(DatabaseError::Away(_) | DatabaseError::TooMany));
    }
}

impl<DB: sqlx::Database> Drop for Asking<DB> {
    fn drop(&mut self) {
        if !self.ended {
            self.connection.close_on_drop();
        }
    }
}
