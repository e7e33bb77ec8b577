//! What a driver reports, by its SQLSTATE and, where drivers put everything under one, by the database's own number.

use std::borrow::Cow;
use std::fmt;

use sqlx::error::{DatabaseError as Reported, ErrorKind};

use super::super::DatabaseError;
use super::super::error::About;

/// An error that a driver reported.
#[derive(Debug)]
pub(in super::super) struct OdbcError {
    state: String,
    native: i32,
    message: String,
}

/// Classes of SQLSTATE that are about the connection, the session's account, the driver, the server or its resources.
const SERVER: [&str; 9] = ["08", "28", "53", "57", "58", "HYT", "IM", "XX", "HY008"];
/// MySQL's numbers for the same, which its driver reports under any state.
const SERVER_NATIVE: [i32; 11] = [1040, 1053, 1203, 1927, 2002, 2003, 2006, 2013, 2014, 2027, 2055];
/// PostgreSQL's states, MySQL's and SQL Server's numbers, SQLite's codes for a lock that was not given.
const CONTENTION: [&str; 3] = ["40", "55P03", "HYT01"];
const CONTENTION_NATIVE: [i32; 6] = [1205, 1213, 1020, 3572, 5, 6];
/// A unique key was in the way, where the state says only that some constraint was: MySQL, SQL Server, SQLite.
const UNIQUE_NATIVE: [i32; 7] = [1062, 1169, 1586, 2601, 2627, 1555, 2067];

impl OdbcError {
    pub(in super::super) fn about(&self) -> About {
        let is = |states: &[&str]| states.iter().any(|state| self.state.starts_with(state));
        if is(&CONTENTION) || CONTENTION_NATIVE.contains(&self.native) {
            About::Contention
        } else if is(&SERVER) || SERVER_NATIVE.contains(&self.native) {
            About::Server
        } else {
            About::Statement
        }
    }

    fn is_unique(&self) -> bool {
        let constraint = self.state.starts_with("23") || self.state == "HY000";
        let said = self.message.to_lowercase();
        self.state == "23505"
            || constraint && (UNIQUE_NATIVE.contains(&self.native) || said.contains("unique constraint"))
    }
}

impl fmt::Display for OdbcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for OdbcError {}

impl Reported for OdbcError {
    fn message(&self) -> &str {
        &self.message
    }

    fn code(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(&self.state))
    }

    fn as_error(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
        self
    }

    fn as_error_mut(&mut self) -> &mut (dyn std::error::Error + Send + Sync + 'static) {
        self
    }

    fn into_error(self: Box<Self>) -> Box<dyn std::error::Error + Send + Sync + 'static> {
        self
    }

    fn kind(&self) -> ErrorKind {
        match &*self.state {
            _ if self.is_unique() => ErrorKind::UniqueViolation,
            "23502" => ErrorKind::NotNullViolation,
            "23503" => ErrorKind::ForeignKeyViolation,
            "23514" => ErrorKind::CheckViolation,
            _ => ErrorKind::Other,
        }
    }
}

/// What a failed commit means: undone, where the database says that another transaction or a constraint was in the way. Of
/// anything else (25S01 is that the driver does not know) nobody has said that it was not done.
pub(super) fn of_commit(error: DatabaseError) -> DatabaseError {
    match error {
        DatabaseError::Refused(error) => {
            let state = error.as_database_error().and_then(Reported::code).unwrap_or_default();
            match state.starts_with("23") {
                true => DatabaseError::Refused(error),
                false => DatabaseError::Away(error),
            }
        }
        other => other,
    }
}

/// What a driver, or what stands before it, had to say.
pub(super) fn of_driver(error: odbc_api::Error) -> DatabaseError {
    match error {
        odbc_api::Error::Diagnostics { record, .. } => {
            let shown = record.to_string();
            let message = shown.split_once("Message: ").map_or(&*shown, |(_, message)| message);
            DatabaseError::from(sqlx::Error::Database(Box::new(OdbcError {
                state: record.state.as_str().to_owned(),
                native: record.native_error,
                message: message.lines().collect::<Vec<_>>().join(" "),
            })))
        }
        other => DatabaseError::Away(sqlx::Error::Protocol(other.to_string())),
    }
}
