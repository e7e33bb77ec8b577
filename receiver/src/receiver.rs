//! What the receiver does with a request that is believed: checks, enters, tells, takes back, lists. It knows nothing of
//! HTTP and nothing of which database it is.

use std::time::Duration;

use contract::unikassa::Ask;
use contract::webhook::{SecretError, Secrets};
use domain::Invalid;
use domain::money::Currency;
use secrecy::ExposeSecret as _;

use crate::config::{AmountAs, Config};
use crate::database::{Access, Database, DatabaseError, Limits};
use crate::journal::Journal;
use crate::secret::SecretRefError;
use crate::statement::{Statement, Vocabulary};
use crate::telemetry::Telemetry;

mod check;
mod pay;
mod run;

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

/// Why a request got no answer in the protocol's words.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The request makes no sense.
    #[error("{0}")]
    Request(String),
    /// A statement of the configuration failed on it; nothing was entered.
    #[error("{place}: {source}")]
    Statement { place: String, source: DatabaseError },
    /// A statement answered what cannot be used; nothing was entered.
    #[error("{place}: {why}")]
    Answer { place: String, why: String },
    /// The journal or the transaction itself failed.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// It took too long.
    #[error("no answer within {0:?}")]
    TooLong(Duration),
}

/// A receiver at work: the configuration made ready, a pool of connections and the counters.
pub struct Receiver {
    pub(crate) secrets: Secrets,
    pub(crate) database: Database,
    pub(crate) journal: Journal,
    pub(crate) telemetry: Telemetry,
    pub(crate) timeout: Duration,
    pub(crate) base_path: String,
    currency: Currency,
    amount_as: AmountAs,
    ask: Vec<Ask>,
    check: Vec<Statement>,
    pay: Vec<Statement>,
    cancel: Option<Vec<Statement>>,
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
        };
        let database = Database::open(&url, limits)?;
        let compile = |place: &str, list: &crate::config::Statements, vocabulary| {
            Statement::compile_all(place, &list.0, database.dialect(), vocabulary)
        };
        let payment = Vocabulary::Payment(config.amount_as);
        let check = compile("check.sql", &config.check.sql, payment)?;
        let pay = compile("pay.sql", &config.pay.sql, payment)?;
        let cancel = config.cancel.as_ref();
        let cancel = cancel
            .map(|c| compile("cancel.sql", &c.sql, Vocabulary::Cancel(config.amount_as)))
            .transpose()?;
        Ok(Self {
            secrets: Secrets::parse(secret.expose_secret())?,
            journal: Journal::new(database.dialect())?,
            telemetry: Telemetry::new(),
            timeout: config.timeout(),
            base_path: config.base_path.clone(),
            currency: config.currency,
            amount_as: config.amount_as,
            ask: config.check.ask.clone(),
            check,
            pay,
            cancel,
            database,
        })
    }

    /// Closes every connection to the database.
    pub async fn close(&self) {
        self.database.close().await;
    }

    /// Whether the database answers.
    pub(crate) async fn ping(&self) -> Result<(), DatabaseError> {
        self.database.begin(Access::Read).await?.script("select 1").await
    }

    /// Every statement of the configuration, by what it is for.
    pub(crate) fn statements(&self) -> (&[Statement], &[Statement], &[Statement]) {
        (&self.check, &self.pay, self.cancel.as_deref().unwrap_or_default())
    }

    pub(crate) fn money(&self) -> (Currency, AmountAs) {
        (self.currency, self.amount_as)
    }
}
