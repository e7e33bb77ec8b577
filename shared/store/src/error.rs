//! What can go wrong with the database, in the two kinds a worker must tell apart.

use tokio_postgres::error::SqlState;

/// A failed call to the database.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database is away, overloaded, restarting, or asked us to try again (deadlock, lock timeout): the same work
    /// will succeed later and nothing was committed as far as we know.
    #[error("the database cannot be used now: {0}")]
    Infrastructure(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The statement was refused for what it carried. The edge types refuse whatever SQL would refuse, so this is a
    /// bug; a batch that meets it is split until the guilty message is alone.
    #[error("the database refused the data: {0}")]
    Data(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A row does not hold what this version of the program can read.
    #[error("stored data cannot be read: {0}")]
    Unreadable(String),
    /// The declarations that this transaction decided by are not the current ones: read them and do the same again.
    #[error("the declarations have changed meanwhile")]
    Outdated,
    /// An id that this transaction took for a new one was known already: look first and do the same again.
    #[error("an id was known already")]
    Repeated,
    /// Whoever waits for the batches at work waited in vain; they go on, and he may try again.
    #[error("{0}")]
    BatchesAtWork(String),
    /// A list stood half read for so many seconds, and the server ended it: its snapshot keeps dead rows from being cleared
    /// away, and whoever looks for work has to walk past them.
    #[error(
        "whoever reads this list was away for {0} s, and nothing can be tidied up in the database as long as a list stands \
         half read: write it to a file, and read that"
    )]
    ReaderAway(u64),
    /// The state moved between looking and acting; the caller looks again.
    #[error("{0}")]
    Changed(String),
}

impl StoreError {
    /// Whether doing the same again later can succeed.
    pub fn is_retryable(&self) -> bool {
        matches!(
            self,
            Self::Infrastructure(_) | Self::Outdated | Self::Repeated | Self::BatchesAtWork(_)
        )
    }

    /// Whether it was about the database itself, and not about the rows that were asked for: no session was to be had, or the one
    /// that was is lost. Whatever else is asked of it now would come to the same.
    pub fn is_away(&self) -> bool {
        let Self::Infrastructure(source) = self else {
            return false;
        };
        match source.downcast_ref::<DatabaseError>().and_then(|error| error.0.code()) {
            // The connection, resources, a server that begins or ends, the system's errors.
            Some(code) => ["08", "53", "57P", "58"]
                .iter()
                .any(|class| code.code().starts_with(class)),
            None => true,
        }
    }

    /// For values read back that the domain types refuse.
    pub fn unreadable(what: impl std::fmt::Display) -> Self {
        Self::Unreadable(what.to_string())
    }
}

impl From<tokio_postgres::Error> for StoreError {
    fn from(error: tokio_postgres::Error) -> Self {
        if let Some(told) = error.as_db_error() {
            match told.code().code() {
                OUTDATED => return Self::Outdated,
                BATCHES_AT_WORK => return Self::BatchesAtWork(told.message().to_owned()),
                _ if told.constraint() == Some(IDENTITIES) => return Self::Repeated,
                _ => {}
            }
        }
        let data = match error.code() {
            None => is_our_mistake(&error),
            Some(code) => is_about_data(code),
        };
        let source = Box::new(DatabaseError(error));
        if data {
            Self::Data(source)
        } else {
            Self::Infrastructure(source)
        }
    }
}

impl From<serde_json::Error> for StoreError {
    fn from(error: serde_json::Error) -> Self {
        Self::Unreadable(error.to_string())
    }
}

impl From<domain::Invalid> for StoreError {
    fn from(error: domain::Invalid) -> Self {
        Self::Unreadable(error.to_string())
    }
}

/// Raised by `declarations_are`.
const OUTDATED: &str = "UG001";

/// Raised by `batches_wait`.
const BATCHES_AT_WORK: &str = "UG002";

/// What two payments with one id meet.
const IDENTITIES: &str = "payment_identity_pkey";

/// Errors of the client library that come again however often the same is tried: a row that is not there where one must
/// be, a value that cannot be written. They have no code, as a lost connection has none, and the library tells them apart
/// only in words (pinned by a test).
fn is_our_mistake(error: &tokio_postgres::Error) -> bool {
    let text = error.to_string();
    [
        "query returned an unexpected number of rows",
        "error serializing parameter",
        "error encoding message",
        "expected ",
    ]
    .iter()
    .any(|beginning| text.starts_with(beginning))
}

/// Classes 21 (more rows than one, or one row changed twice), 22 (data exception), 23 (constraint), 54 (too large for an
/// index or a row), P0 (raised by us), 42 (a bug in a statement) but for a missing table or column: the migrations have
/// not run yet, and will.
fn is_about_data(code: &SqlState) -> bool {
    let missing_schema = [
        SqlState::UNDEFINED_TABLE,
        SqlState::UNDEFINED_COLUMN,
        SqlState::INSUFFICIENT_PRIVILEGE,
    ];
    if missing_schema.contains(code) {
        return false;
    }
    matches!(&code.code()[..2], "21" | "22" | "23" | "42" | "54" | "P0")
}

/// tokio-postgres prints only "db error"; what the server said is what an operator needs.
#[derive(Debug)]
struct DatabaseError(tokio_postgres::Error);

impl std::fmt::Display for DatabaseError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.as_db_error() {
            // The detail of a constraint repeats the row's values; it stays in the source for whoever debugs.
            Some(db) => write!(f, "{} ({}){}", db.message(), db.code().code(), advice(db.code())),
            None => write!(f, "{}{}", self.0, cause(&self.0)),
        }
    }
}

/// What to look at first, where the server's words do not say it.
fn advice(code: &SqlState) -> &'static str {
    match *code {
        SqlState::UNDEFINED_TABLE | SqlState::UNDEFINED_COLUMN => ": are its migrations applied? see `unigate migrate`",
        SqlState::INSUFFICIENT_PRIVILEGE => ": the role lacks a right of those in deploy/grants.sql",
        SqlState::LOCK_NOT_AVAILABLE => ": somebody else holds it, try again",
        _ => "",
    }
}

/// There is no session to be had.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {source}")]
pub(crate) struct Unreached {
    /// Where, and as whom.
    place: String,
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl Unreached {
    /// Whatever the reason is, it may pass by itself.
    pub(crate) fn at(place: &str, error: deadpool_postgres::PoolError) -> StoreError {
        let source: Box<dyn std::error::Error + Send + Sync> = match error {
            deadpool_postgres::PoolError::Backend(error) => Box::new(DatabaseError(error)),
            other => Box::new(other),
        };
        StoreError::Infrastructure(Box::new(Self {
            place: place.to_owned(),
            source,
        }))
    }
}

fn cause(error: &tokio_postgres::Error) -> String {
    std::error::Error::source(error)
        .map(|source| format!(": {source}"))
        .unwrap_or_default()
}

impl std::error::Error for DatabaseError {}
