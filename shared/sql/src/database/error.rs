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
    /// No connection to it is to be had: refused, full, unreachable, not let in. Asking again at once will not help. Nothing of it is
    /// about a payer.
    #[error("no connection to {place} is to be had: {why}")]
    Unreached {
        /// Where it is.
        place: String,
        /// What was said, without secrets.
        why: String,
        /// Of what kind that is, and its code.
        kind: String,
    },
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
    /// A statement returned rows without end.
    #[error("the statement returns more than 10000 rows: it may return a few")]
    TooMany,
    /// The address of the database is none.
    #[error("the address of the database {0}")]
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

/// A plan that PostgreSQL kept, of a table that has changed since: the same statement, prepared anew, will do.
pub(super) fn is_stale_plan(code: &str, message: &str) -> bool {
    code == "0A000" && message.contains("cached plan")
}

fn about(reported: &dyn Reported) -> About {
    let code = reported.code().unwrap_or_default();
    #[cfg(feature = "odbc")]
    if let Some(reported) = reported.try_downcast_ref::<super::odbc::OdbcError>() {
        return reported.about();
    }
    if is_stale_plan(&code, reported.message()) {
        return About::Contention;
    }
    if let Some(error) = reported.try_downcast_ref::<MySqlDatabaseError>() {
        mysql::about(error.number(), &code)
    } else if let Some(error) = reported.try_downcast_ref::<PgDatabaseError>() {
        postgres::about(&code, postgres::ends_the_session(error))
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
    /// A row that makes no sense.
    pub fn unreadable(why: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::from(sqlx::Error::Decode(why.into()))
    }

    /// A row that was in the way is gone again: asking once more will do.
    pub fn vanished() -> Self {
        Self::Away(sqlx::Error::RowNotFound)
    }

    /// It did not answer in time.
    pub fn timed_out() -> Self {
        Self::Away(sqlx::Error::Io(std::io::ErrorKind::TimedOut.into()))
    }

    /// Whether it cannot be used now, whatever is asked of it.
    pub fn is_away(&self) -> bool {
        matches!(self, Self::Away(_) | Self::Unreached { .. })
    }

    /// Whether a connection that was there is gone: on another one it may be asked again.
    pub fn is_broken_off(&self) -> bool {
        matches!(self, Self::Away(source) if !matches!(source, sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed))
    }

    /// Whether the server has undone the whole transaction, or will: SQLSTATE 40, of which a deadlock is, or a session that is lost.
    pub fn has_ended_the_transaction(&self) -> bool {
        match self {
            Self::Away(_) | Self::Unreached { .. } => true,
            Self::Contended(sqlx::Error::Database(reported)) => {
                reported.code().is_some_and(|state| state.starts_with("40"))
            }
            _ => false,
        }
    }

    /// Whether a unique key was in the way of a row.
    pub fn is_duplicate(&self) -> bool {
        let Self::Refused(sqlx::Error::Database(reported)) = self else {
            return false;
        };
        reported.kind() == ErrorKind::UniqueViolation
    }

    /// Of what kind it is, and the database's code for it: nothing that could quote a row or a value, so for everybody.
    pub fn in_short(&self) -> String {
        let (text, source) = match self {
            Self::Away(source) | Self::Contended(source) => (self.to_string(), source),
            Self::Refused(source @ sqlx::Error::Database(_)) => ("the statement was refused".to_owned(), source),
            Self::Refused(_) => return "what was given or returned cannot be read".to_owned(),
            Self::Unreached { kind, .. } => return format!("no connection to the database is to be had: {kind}"),
            Self::Column { .. } | Self::TooMany | Self::Url(_) => return self.to_string(),
        };
        let code = source.as_database_error().and_then(Reported::code).unwrap_or_default();
        if code.is_empty() {
            text
        } else {
            format!("{text} ({code})")
        }
    }

    /// It, its cause and what the server said besides, in one line for an operator.
    pub fn in_full(&self) -> String {
        let (Self::Away(source) | Self::Contended(source) | Self::Refused(source)) = self else {
            return self.to_string();
        };
        let said = source.as_database_error();
        let code = said.and_then(Reported::code).unwrap_or_default();
        let detail = said
            .and_then(|reported| reported.try_downcast_ref::<PgDatabaseError>())
            .and_then(PgDatabaseError::detail);
        let text = match (self, detail) {
            (Self::Refused(_), None) => source.to_string(),
            (Self::Refused(_), Some(detail)) => format!("{source}: {detail}"),
            _ => format!("{self}: {source}"),
        };
        if code.is_empty() {
            text
        } else {
            format!("{text} ({code})")
        }
    }

    /// Whether the values are to blame and not the statement: others may do.
    pub fn is_about_values(&self) -> bool {
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
