//! What the receiver does with a request that is believed: checks, enters, tells, takes back, lists. It knows nothing of
//! HTTP and nothing of which database it is.

use std::time::Duration;

use contract::unikassa::Ask;
use contract::webhook::{SecretError, Secrets};
use domain::Invalid;
use domain::money::Currency;
use secrecy::ExposeSecret as _;

use crate::config::{Config, SqlConfig};
use crate::journal::Journal;
use crate::secret::SecretRefError;
use crate::telemetry::Telemetry;
use crate::vocabulary::{self, Vocabulary};
use sql::AmountAs;
use sql::Statement;
use sql::Zone;
use sql::{Access, Database, DatabaseError, Limits};

mod cancel;
mod check;
mod doubt;
mod pay;
pub(crate) mod run;
pub(crate) mod told;

/// A configuration the receiver cannot start with.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A value or a statement makes no sense; the text names its place.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// A secret cannot be read.
    #[error("{place}: {source}")]
    SecretRef {
        /// Its place in the configuration.
        place: &'static str,
        /// What is wrong.
        source: SecretRefError,
    },
    /// The signing secret is none.
    #[error("secret: {0}")]
    Secret(#[from] SecretError),
    /// The database cannot be opened.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

/// What statements are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Section {
    Check,
    Pay,
    Status,
    Cancel,
    List,
}

/// Why a request got no answer in the protocol's words. It prints what goes into the log and to the gateway: of what a database says
/// only of what kind it is, since its own words may quote a payer's data.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The request makes no sense.
    #[error("{0}")]
    Request(String),
    /// A statement of the configuration failed on it; nothing was entered.
    #[error("{place}: {}", source.in_short())]
    Statement { place: String, source: DatabaseError },
    /// A statement answered what cannot be used; nothing was entered.
    #[error("{place}: {why}")]
    Answer { place: String, why: String },
    /// Nobody knows what became of a number: a statement ended the transaction that it and the journal were in, now or before.
    #[error("the number is in doubt until the payee's administrator settles it: {0}")]
    Doubt(String),
    /// The journal or the transaction itself failed.
    #[error("{}", .0.in_short())]
    Database(#[from] DatabaseError),
    /// It took too long.
    #[error("no answer within {0:?}")]
    TooLong(Duration),
}

impl Failure {
    /// What the database said, where it did.
    pub(crate) fn of_database(&self) -> Option<&DatabaseError> {
        match self {
            Self::Statement { source, .. } | Self::Database(source) => Some(source),
            Self::Request(_) | Self::Answer { .. } | Self::Doubt(_) | Self::TooLong(_) => None,
        }
    }

    /// Whether the same transaction again is what the database asks for.
    pub(crate) fn is_contended(&self) -> bool {
        matches!(
            self,
            Self::Database(DatabaseError::Contended(_))
                | Self::Statement {
                    source: DatabaseError::Contended(_),
                    ..
                }
        )
    }
}

/// A receiver at work: the configuration made ready, a pool of connections and the counters.
pub struct Receiver {
    pub(crate) secrets: Secrets,
    pub(crate) database: Database,
    pub(crate) journal: Journal,
    pub(crate) telemetry: Telemetry,
    pub(crate) timeout: Duration,
    pub(crate) base_path: String,
    /// How far a request's moment of signing may be from our clock, in seconds.
    pub(crate) tolerance: i64,
    zone: Zone,
    currency: Currency,
    amount_as: AmountAs,
    ask: Vec<Ask>,
    check: Vec<Statement>,
    pay: Vec<Statement>,
    cancel: Option<Vec<Statement>>,
    status: Option<Vec<Statement>>,
    list: Option<Statement>,
}

impl Receiver {
    /// Makes everything ready and connects to nothing yet: the database may be away.
    pub fn open(config: &Config) -> Result<Self, OpenError> {
        Self::open_with(config, false)
    }

    pub(crate) fn open_with(config: &Config, create: bool) -> Result<Self, OpenError> {
        config.check()?;
        let secret = config.secret.resolve().map_err(|source| OpenError::SecretRef {
            place: "secret",
            source,
        })?;
        let url = config.database.url.resolve();
        let url = url.map_err(|source| OpenError::SecretRef {
            place: "database.url",
            source,
        })?;
        let limits = Limits {
            pool_size: config.database.pool_size,
            timeout: config.timeout(),
            create,
            zone: config.database.time_zone.clone(),
            application: "unigate-receiver",
            // The payee may change its tables while the receiver runs, and a kept plan would fail until a restart.
            keep_plans: false,
            read_only: false,
        };
        let database = Database::open(&url, &limits).map_err(|error| match error {
            DatabaseError::Url(why) => OpenError::Invalid(Invalid::new("database.url", why)),
            other => other.into(),
        })?;
        let compile = |place: &str, list: &crate::config::Statements, vocabulary| {
            vocabulary::compile_all(place, &list.0, database.dialect(), vocabulary)
        };
        let some = |place: &str, config: &Option<SqlConfig>, vocabulary| {
            let compiled = config.as_ref().map(|config| compile(place, &config.sql, vocabulary));
            compiled.transpose()
        };
        let amount = config.amount_kind();
        let (payment, known) = (Vocabulary::Payment(amount), Vocabulary::Known(amount));
        let list = some("list.sql", &config.list, Vocabulary::Period)?;
        Ok(Self {
            secrets: Secrets::parse(secret.expose_secret())?,
            journal: Journal::new(database.dialect())?,
            telemetry: Telemetry::new(),
            timeout: config.timeout(),
            base_path: config.base_path.clone(),
            currency: config.currency,
            amount_as: config.amount_as,
            tolerance: config.tolerance_seconds.into(),
            zone: config.database.time_zone.clone(),
            ask: config.check.ask.clone(),
            check: compile("check.sql", &config.check.sql, payment)?,
            pay: compile("pay.sql", &config.pay.sql, payment)?,
            cancel: some("cancel.sql", &config.cancel, known)?,
            status: some("status.sql", &config.status, known)?,
            list: list.and_then(|list| list.into_iter().next()),
            database,
        })
    }

    /// Closes every connection to the database.
    pub async fn close(&self) {
        self.database.close().await;
    }

    /// Whether the database answers.
    pub(crate) async fn ping(&self) -> Result<(), DatabaseError> {
        let mut tx = self.database.begin(Access::Read).await?;
        tx.script("select 1").await?;
        tx.rollback().await
    }

    /// The statements of each section of the configuration that is there.
    pub(crate) fn statements(&self) -> [(Section, &[Statement]); 5] {
        fn some(statements: &Option<Vec<Statement>>) -> &[Statement] {
            statements.as_deref().unwrap_or_default()
        }
        [
            (Section::Check, &self.check),
            (Section::Pay, &self.pay),
            (Section::Status, some(&self.status)),
            (Section::Cancel, some(&self.cancel)),
            (Section::List, self.list.as_slice()),
        ]
    }

    pub(crate) fn money(&self) -> (Currency, AmountAs) {
        (self.currency, self.amount_as)
    }
}
