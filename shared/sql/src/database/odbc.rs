//! Any other database, by its ODBC driver: `odbc:` and a connection string, `odbc:DSN=billing;UID=gate;PWD=…` or
//! `odbc:Driver={PostgreSQL Unicode};Server=…`. Drivers block, so each connection is a thread of its own, and what is asked of
//! it is handed over; one whose asker is gone is rolled back and closed.
//!
//! What the other databases are told for their sessions (statement timeouts, lock timeouts, time zone, reading only) ODBC has
//! no words for: the connection string says it, or the account's rights do. A statement that takes too long is asked to end
//! where the driver can; where it cannot, its connection is given up.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use odbc_api::{Preallocated, ResultSetMetadata as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

pub(super) use self::fault::OdbcError;
use self::fault::of_driver;
use self::session::Session;
use super::{DatabaseError, Limits, Outcome, Returned};
use crate::statement::Statement;
use crate::values::Values;

mod fault;
mod session;
mod values;

/// How long a connection may have been idle to be used again. It cannot be tried first: there is no question that every
/// database understands.
const TRUSTED_FOR: Duration = Duration::from_secs(20);

/// A database behind a driver.
#[derive(Clone)]
pub struct Odbc(Arc<Pool>);

struct Pool {
    source: String,
    limits: Limits,
    idle: Mutex<Vec<(Session, Instant)>>,
    places: Arc<Semaphore>,
}

/// A transaction. Dropped without an end, its connection is rolled back and closed.
pub struct OdbcTransaction {
    session: Session,
    pool: Arc<Pool>,
    /// Taken for as long as the driver works, also when nobody waits for it any more.
    place: Arc<OwnedSemaphorePermit>,
}

impl Odbc {
    pub(super) fn open(url: &str, limits: &Limits) -> Result<Self, DatabaseError> {
        let source = url.split_once(':').map(|(_, source)| source.trim()).unwrap_or_default();
        if source.is_empty() {
            let why = "says no connection string: odbc:DSN=billing;UID=gate;PWD=…".to_owned();
            return Err(DatabaseError::Url(why));
        }
        Ok(Self(Arc::new(Pool {
            source: source.to_owned(),
            limits: limits.clone(),
            idle: Mutex::default(),
            places: Arc::new(Semaphore::new(limits.pool_size as usize)),
        })))
    }

    pub(super) async fn begin(&self) -> Result<OdbcTransaction, DatabaseError> {
        let pool = &self.0;
        let patience = pool.limits.connection_wait();
        let taken = async {
            let place = pool.places.clone().acquire_owned().await;
            let place = place.map_err(|_| DatabaseError::Away(sqlx::Error::PoolClosed))?;
            let session = match pool.taken() {
                Some(session) => session,
                None => Session::connect(&pool.source, patience)
                    .await
                    .map_err(|error| unreached(&pool.source, &error))?,
            };
            Ok(OdbcTransaction {
                session,
                pool: pool.clone(),
                place: Arc::new(place),
            })
        };
        tokio::time::timeout(patience, taken)
            .await
            .unwrap_or(Err(DatabaseError::Away(sqlx::Error::PoolTimedOut)))
    }

    pub(super) async fn ask(&self, statement: &Statement, values: &Values) -> Result<Outcome, DatabaseError> {
        let mut transaction = self.begin().await?;
        let outcome = transaction.run(statement, values).await?;
        transaction.rollback().await?;
        Ok(outcome)
    }

    pub(super) async fn close(&self) {
        self.0.places.close();
        self.0.forget();
    }
}

/// A driver may repeat what its connection string says.
fn unreached(source: &str, error: &DatabaseError) -> DatabaseError {
    let attributes = source.split(';').filter_map(|attribute| attribute.split_once('='));
    let passwords = attributes
        .filter(|(key, _)| ["pwd", "password"].contains(&&*key.trim().to_lowercase()))
        .map(|(_, value)| value.trim().trim_matches(['{', '}']))
        .filter(|value| !value.is_empty());
    DatabaseError::Unreached {
        place: "the driver's database".to_owned(),
        kind: error.in_short(),
        why: passwords.fold(error.in_full(), |why, password| why.replace(password, "***")),
    }
}

impl Pool {
    fn taken(&self) -> Option<Session> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|(_, since)| since.elapsed() < TRUSTED_FOR);
        idle.pop().map(|(session, _)| session)
    }

    fn give_back(&self, session: Session) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.push((session, Instant::now()));
    }

    fn forget(&self) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

impl OdbcTransaction {
    pub(super) async fn run(&mut self, statement: &Statement, values: &Values) -> Result<Outcome, DatabaseError> {
        let (statement, seconds) = (statement.clone(), self.pool.limits.timeout.as_secs().max(1) as usize);
        let bound = values::Bound::of(&statement, values, &self.pool.limits.zone)?;
        self.call(move |connection| {
            let mut asking = connection.preallocate().map_err(of_driver)?;
            // A driver that cannot do it says so, and runs the statement all the same.
            let _ = asking.set_query_timeout_sec(seconds);
            values::outcome(&mut asking, &statement, &bound)
        })
        .await
    }

    pub(super) async fn describe(&mut self, statement: &Statement) -> Result<Vec<Returned>, DatabaseError> {
        let sql = statement.sql.clone();
        self.call(move |connection| {
            let mut prepared = connection.prepare(&sql).map_err(of_driver)?;
            let names = prepared.column_names().map_err(of_driver)?;
            let names = names.map(|name| name.map(|name| Returned::untyped(&name)));
            names.collect::<Result<_, _>>().map_err(of_driver)
        })
        .await
    }

    pub(super) async fn script(&mut self, sql: &str) -> Result<(), DatabaseError> {
        let sql = sql.to_owned();
        self.call(move |connection| {
            let mut asking: Preallocated<_> = connection.preallocate().map_err(of_driver)?;
            asking.execute(&sql, ()).map(drop).map_err(of_driver)
        })
        .await
    }

    pub(super) async fn commit(self) -> Result<(), DatabaseError> {
        let committed = self.call(|connection| connection.commit().map_err(of_driver)).await;
        committed.map_err(fault::of_commit)?;
        self.pool.give_back(self.session);
        Ok(())
    }

    pub(super) async fn rollback(self) -> Result<(), DatabaseError> {
        self.call(|connection| connection.rollback().map_err(of_driver)).await?;
        self.pool.give_back(self.session);
        Ok(())
    }

    /// What ends one connection has most likely ended those that are idle too.
    async fn call<T: Send + 'static>(
        &self,
        act: impl FnOnce(&session::Connection) -> Result<T, DatabaseError> + Send + 'static,
    ) -> Result<T, DatabaseError> {
        let place = self.place.clone();
        let act = move |connection: &session::Connection| {
            let _place = place;
            act(connection)
        };
        let done = self.session.call(act).await;
        if matches!(done, Err(DatabaseError::Away(_))) {
            self.pool.forget();
        }
        done
    }
}
