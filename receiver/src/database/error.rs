//! What a database's error means for a payment.

use sqlx::error::{DatabaseError as Reported, ErrorKind};
use sqlx::mysql::MySqlDatabaseError;
use sqlx::postgres::PgDatabaseError;

use super::{mysql, postgres, sqlite};

/// Why a database did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// It cannot be reached, is overloaded, or lost the connection: asking again may help.
    #[error("the database cannot be used now")]
    Away(#[source] sqlx::Error),
    /// Another transaction was in the way (a deadlock, a lock not given in time): nothing was changed, and the same
    /// transaction again is what the database asks for.
    #[error("another transaction was in the way")]
    Contended(#[source] sqlx::Error),
    /// It refused the statement: nothing was changed, and asking again the same will not help.
    #[error(transparent)]
    Refused(sqlx::Error),
    /// A column has a type that is not read.
    #[error("column {column} is of type {type_name}: cast it to text")]
    Column {
        /// The column.
        column: String,
        /// Its type in the database.
        type_name: String,
    },
    /// The address of the database is none.
    #[error("database.url: {0}")]
    Url(String),
}

/// What an error that the database reported is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum About {
    /// The server, the file, a lost connection.
    Server,
    /// Another transaction.
    Contention,
    /// The statement or its values.
    Statement,
}

fn about(reported: &dyn Reported) -> About {
    let code = reported.code().unwrap_or_default();
    if let Some(error) = reported.try_downcast_ref::<MySqlDatabaseError>() {
        mysql::about(error.number(), &code)
    } else if reported.try_downcast_ref::<PgDatabaseError>().is_some() {
        postgres::about(&code)
    } else {
        sqlite::about(&code)
    }
}

impl From<sqlx::Error> for DatabaseError {
    fn from(error: sqlx::Error) -> Self {
        let about = match &error {
            sqlx::Error::Database(reported) => about(&**reported),
            sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::Encode(_) => About::Statement,
            _ => About::Server,
        };
        match about {
            About::Server => Self::Away(error),
            About::Contention => Self::Contended(error),
            About::Statement => Self::Refused(error),
        }
    }
}

impl DatabaseError {
    /// Whether the values are to blame and not the statement: others may do.
    pub(crate) fn is_about_values(&self) -> bool {
        let Self::Refused(sqlx::Error::Database(reported)) = self else {
            return false;
        };
        // SQLSTATE 22, data exception; SQLite has no such thing.
        let data = reported
            .code()
            .is_some_and(|code| code.len() == 5 && code.starts_with("22"));
        data || reported.kind() != ErrorKind::Other
    }
}
