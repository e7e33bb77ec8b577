//! The one file a payee's administrator writes. Unknown members are refused, every error names its place, and no error
//! repeats a line of the file, which may hold a secret.

use std::net::SocketAddr;
use std::time::Duration;

use contract::unikassa::Ask;
use domain::Invalid;
use domain::money::Currency;
use serde::{Deserialize, Deserializer, de};

use crate::secret::SecretRef;
use sql::Kind;
use sql::Zone;

pub use sql::AmountAs;

/// What `receiver.toml` holds.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where to listen. HTTPS is the business of the web server in front.
    #[serde(default = "default_listen")]
    pub listen: SocketAddr,
    /// The path under which `/check`, `/pay` and the others lie.
    #[serde(default = "default_base_path")]
    pub base_path: String,
    /// The secret (or several, while it rotates) shared with the operator of the gateway.
    pub secret: SecretRef,
    /// The currency the payee is paid in; another is refused.
    pub currency: Currency,
    /// What amounts look like in the payee's SQL.
    #[serde(default)]
    pub amount_as: AmountAs,
    /// The longest a request may take, in seconds; below the gateway's own timeout.
    #[serde(default = "default_timeout_seconds")]
    pub timeout_seconds: u64,
    /// How far a request's moment of signing may be from this machine's clock, in seconds, either way.
    #[serde(default = "default_tolerance_seconds")]
    pub tolerance_seconds: u32,
    /// The payee's database.
    pub database: DatabaseConfig,
    /// How an account is looked up.
    pub check: CheckConfig,
    /// How a payment is entered.
    pub pay: SqlConfig,
    /// How a payment is taken back, if it can be.
    pub cancel: Option<SqlConfig>,
    /// What became of an entered payment, where the payee's tables know more than that it was entered.
    pub status: Option<SqlConfig>,
    /// What was credited in a period, where the payee's tables and not the receiver's are to be compared.
    pub list: Option<SqlConfig>,
}

/// The payee's database.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseConfig {
    /// `sqlite://PATH`, `postgres://USER:PASSWORD@HOST/NAME`, `mysql://…` or `mariadb://…`; it may be `env:` or `file:`,
    /// since it holds a password.
    pub url: SecretRef,
    /// The zone of dates and times that say none: `DATETIME` of MySQL, `timestamp` of PostgreSQL, text of SQLite.
    #[serde(default)]
    pub time_zone: Zone,
    /// The most connections that are kept open.
    #[serde(default = "default_pool_size")]
    pub pool_size: u32,
}

/// How an account is looked up.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckConfig {
    /// One statement or several; one that returns no row refuses the account.
    pub sql: Statements,
    /// Fields the payer is asked for.
    #[serde(default)]
    pub ask: Vec<Ask>,
}

/// What is done for a request, all in one transaction together with the journal.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SqlConfig {
    /// One statement or several.
    pub sql: Statements,
}

/// One statement or several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statements(pub Vec<StatementConfig>);

/// A statement: its text alone, or `{ sql = "…", optional = true }`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementConfig {
    /// SQL with named parameters.
    pub sql: String,
    /// Whether it may touch no row; otherwise that refuses the payment.
    pub optional: bool,
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// It is not TOML, or not of the right shape.
    #[error("line {line}: {why}")]
    Toml {
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
    /// A value makes no sense.
    #[error(transparent)]
    Value(#[from] Invalid),
}

fn default_listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8090))
}

fn default_base_path() -> String {
    "/unikassa".to_owned()
}

fn default_timeout_seconds() -> u64 {
    20
}

fn default_tolerance_seconds() -> u32 {
    300
}

fn default_pool_size() -> u32 {
    4
}

impl Config {
    /// Reads and checks the text of `receiver.toml`.
    pub fn from_toml(text: &str) -> Result<Self, ConfigError> {
        let config: Self = toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            ConfigError::Toml {
                line: before.matches('\n').count() + 1,
                why: error.message().to_owned(),
            }
        })?;
        config.check()?;
        Ok(config)
    }

    /// Checks what the types cannot say.
    pub fn check(&self) -> Result<(), Invalid> {
        let path = self.base_path.as_str();
        let plain = |c: char| c.is_ascii_alphanumeric() || "/-._~".contains(c);
        if !(path.is_empty() || path.starts_with('/') && !path.ends_with('/') && path.chars().all(plain)) {
            return Err(Invalid::new(
                "base_path",
                "is empty, or begins with / and does not end with it",
            ));
        }
        if !(1..=60).contains(&self.timeout_seconds) {
            return Err(Invalid::new("timeout_seconds", "is from 1 to 60"));
        }
        if !(30..=3600).contains(&self.tolerance_seconds) {
            return Err(Invalid::new("tolerance_seconds", "is from 30 to 3600"));
        }
        if !(1..=100).contains(&self.database.pool_size) {
            return Err(Invalid::new("database.pool_size", "is from 1 to 100"));
        }
        if self.list.as_ref().is_some_and(|list| list.sql.0.len() > 1) {
            return Err(Invalid::new("list.sql", "is one statement"));
        }
        for (place, statements) in self.statements() {
            if statements.0.is_empty() {
                return Err(Invalid::new(place, "has no statement"));
            }
        }
        Ok(())
    }

    /// Every list of statements with its place in the file.
    pub(crate) fn statements(&self) -> impl Iterator<Item = (&'static str, &Statements)> {
        fn some<'a>(place: &'static str, config: &'a Option<SqlConfig>) -> Option<(&'static str, &'a Statements)> {
            config.as_ref().map(|config| (place, &config.sql))
        }
        [
            Some(("check.sql", &self.check.sql)),
            Some(("pay.sql", &self.pay.sql)),
            some("cancel.sql", &self.cancel),
            some("status.sql", &self.status),
            some("list.sql", &self.list),
        ]
        .into_iter()
        .flatten()
    }

    /// What an amount is in the payee's SQL.
    pub(crate) fn amount_kind(&self) -> Kind {
        self.amount_as.kind(self.currency.digits())
    }

    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_secs(self.timeout_seconds)
    }
}

impl<'de> Deserialize<'de> for StatementConfig {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Full {
            sql: String,
            #[serde(default)]
            optional: bool,
        }

        struct Either;

        impl<'de> de::Visitor<'de> for Either {
            type Value = StatementConfig;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a statement, or { sql = \"…\", optional = true }")
            }

            fn visit_str<E: de::Error>(self, sql: &str) -> Result<StatementConfig, E> {
                Ok(StatementConfig {
                    sql: sql.to_owned(),
                    optional: false,
                })
            }

            fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<StatementConfig, A::Error> {
                let full = Full::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(StatementConfig {
                    sql: full.sql,
                    optional: full.optional,
                })
            }
        }

        deserializer.deserialize_any(Either)
    }
}

impl<'de> Deserialize<'de> for Statements {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OneOrSeveral;

        impl<'de> de::Visitor<'de> for OneOrSeveral {
            type Value = Statements;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a statement or a list of statements")
            }

            fn visit_str<E: de::Error>(self, sql: &str) -> Result<Statements, E> {
                Ok(Statements(vec![StatementConfig {
                    sql: sql.to_owned(),
                    optional: false,
                }]))
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Statements, A::Error> {
                let mut statements = Vec::new();
                while let Some(statement) = list.next_element()? {
                    statements.push(statement);
                }
                Ok(Statements(statements))
            }
        }

        deserializer.deserialize_any(OneOrSeveral)
    }
}

#[cfg(test)]
mod tests;
