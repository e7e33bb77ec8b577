//! Files of payees: read whole, made into an embedded table, and read again when they change. What is being written, cut off or
//! wrong changes nothing: the table that was there stays, and people are told.

mod dbf;
mod rows;
mod text;
mod workbook;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use couriers::Told;
use domain::declaration::{DatabasesProfile, End, FileSource, Payee, StepKind};
use domain::delivery::Verdict;
use secrecy::SecretString;
use sql::{Database, Dialect, Limits, Zone};
use store::deliveries::Due;

use crate::bind::Brought;
use crate::pay::Entered;
use crate::settle::{self, of_trouble, told};
use crate::source::{Compiled, Source};
use crate::steps::{On, Run};

/// The largest file that is read.
const BYTES_MAX: u64 = 256 * 1024 * 1024;

/// A payee's file.
pub(crate) struct Listed {
    payee: Payee,
    profile: DatabasesProfile,
    file: FileSource,
    state: Mutex<State>,
    /// Only one reads it at a time.
    reading: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    table: Option<Arc<Table>>,
    looked_at: Option<Instant>,
    /// How it looked when it was last found changed: it is read when it looks the same once more.
    changed: Option<Stamp>,
    /// How it looked when it could not be used.
    refused: Option<Stamp>,
}

/// How a file looks from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: SystemTime,
    bytes: u64,
}

/// A file's rows, ready to be asked. The embedded file goes with it.
pub(crate) struct Table {
    pub(crate) database: Database,
    pub(crate) compiled: Compiled,
    pub(crate) rows: usize,
    stamp: Stamp,
    _kept_in: Scratch,
}

/// A file of ours that nobody else knows of.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        // Connections that are still open keep what they read.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// What came of a look at a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Looked {
    /// Nothing is new.
    Same,
    /// So many rows took the place of those before.
    Replaced(usize),
    /// It cannot be used; what was there stays.
    Refused(String),
}

impl Listed {
    pub(crate) fn new(payee: &Payee, profile: &DatabasesProfile, file: &FileSource) -> Self {
        Self {
            payee: payee.clone(),
            profile: profile.clone(),
            file: file.clone(),
            state: Mutex::default(),
            reading: tokio::sync::Mutex::default(),
        }
    }

    /// The table as it was last read; the first time it is read now.
    pub(crate) async fn table(&self) -> Result<Arc<Table>, String> {
        if let Some(table) = self.current() {
            return Ok(table);
        }
        let _reading = self.reading.lock().await;
        if let Some(table) = self.current() {
            return Ok(table);
        }
        let table = Arc::new(self.read(self.stamp()?).await?);
        self.with(|state| state.table = Some(table.clone()));
        Ok(table)
    }

    /// Looks whether the file has changed, if it is time to; reads it when it looked the same twice, so not while somebody
    /// writes it.
    pub(crate) async fn look(&self) -> Looked {
        let _reading = self.reading.lock().await;
        let interval = Duration::from_secs(self.file.refresh_seconds.into());
        let is_time = self.with(|state| state.looked_at.is_none_or(|at| at.elapsed() >= interval));
        if !is_time {
            return Looked::Same;
        }
        let stamp = match self.stamp() {
            Ok(stamp) => stamp,
            // It is being replaced, or gone: said once, until it looks like anything again.
            Err(why) => {
                let news = self.with(|state| {
                    state.looked_at = Some(Instant::now());
                    state.changed.take().is_some() || state.refused.replace(Stamp::NONE) != Some(Stamp::NONE)
                });
                return if news { Looked::Refused(why) } else { Looked::Same };
            }
        };
        let known = self.with(|state| {
            let same = state.table.as_ref().is_some_and(|table| table.stamp == stamp) || state.refused == Some(stamp);
            let settled = state.changed == Some(stamp);
            state.changed = (!same).then_some(stamp);
            if same || !settled {
                // A change is looked at again soon: it only has to stay as it is for a moment.
                state.looked_at = same.then(Instant::now);
            }
            same || !settled
        });
        if known {
            return Looked::Same;
        }
        match self.read(stamp).await {
            Ok(table) => {
                let rows = table.rows;
                self.with(|state| {
                    *state = State {
                        table: Some(Arc::new(table)),
                        looked_at: Some(Instant::now()),
                        ..State::default()
                    };
                });
                Looked::Replaced(rows)
            }
            Err(why) => {
                self.with(|state| {
                    state.refused = Some(stamp);
                    state.looked_at = Some(Instant::now());
                });
                Looked::Refused(why)
            }
        }
    }

    /// A payment for a file is looked up once more where the scenario says so; then it waits for its register.
    pub(crate) async fn pay(&self, source: &Source, due: &Due) -> Entered {
        let nothing = |told: Told| Entered {
            told,
            trace: Vec::new(),
        };
        if source.profile.statements(StepKind::Pay).is_empty() {
            return nothing(told(Verdict::Accepted));
        }
        let table = match self.table().await {
            Ok(table) => table,
            Err(why) => return nothing(Told::not_sent(why)),
        };
        let brought: Brought = match settle::brought(source, due, StepKind::Pay) {
            Ok(brought) => brought,
            Err(trouble) => return nothing(of_trouble(&trouble)),
        };
        let mut run = Run::of_payment(&source.profile, source.currency(), &table.compiled, &brought, due);
        let ended = run.all(&mut On::Alone(&table.database), StepKind::Pay).await;
        let told = match ended {
            Ok(End::Accepted | End::Pending) => told(Verdict::Accepted),
            Ok(End::AlreadyAccepted) => told(Verdict::AlreadyAccepted),
            Ok(End::Refused(reason)) => settle::refused(&reason),
            Ok(_) => told(Verdict::TryLater),
            Err((_, trouble)) => of_trouble(&trouble),
        };
        Entered { told, trace: run.trace }
    }

    fn current(&self) -> Option<Arc<Table>> {
        self.with(|state| state.table.clone())
    }

    fn with<T>(&self, on: impl FnOnce(&mut State) -> T) -> T {
        on(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn stamp(&self) -> Result<Stamp, String> {
        let at = |error| format!("{}: {error}", self.file.path.display());
        let found = std::fs::metadata(&self.file.path).map_err(at)?;
        Ok(Stamp {
            modified: found.modified().map_err(at)?,
            bytes: found.len(),
        })
    }

    async fn read(&self, stamp: Stamp) -> Result<Table, String> {
        if stamp.bytes > BYTES_MAX {
            return Err(format!("{}: is larger than 256 MiB", self.file.path.display()));
        }
        let file = self.file.clone();
        let read = tokio::task::spawn_blocking(move || rows::read(&file)).await;
        let rows = read.map_err(|_| "the file could not be read: the reader broke off".to_owned())?;
        let rows = rows.map_err(|why| format!("{}: {why}", self.file.path.display()))?;
        if self.stamp()? != stamp {
            return Err(format!("{}: was changed while it was read", self.file.path.display()));
        }
        let path = std::env::temp_dir().join(format!("unigate-{}.sqlite", uuid::Uuid::new_v4().simple()));
        let kept_in = Scratch(path.clone());
        let columns = rows::columns(&self.file);
        let table = sql::Table {
            name: &self.file.table,
            columns: &columns,
            index: &self.file.index,
            rows: &rows,
        };
        sql::write_table(&path, table).await.map_err(|error| error.in_full())?;
        let limits = Limits {
            pool_size: self.profile.check_connections,
            timeout: Duration::from_secs(self.profile.timeout_seconds.into()),
            create: false,
            zone: Zone::default(),
            application: "",
            keep_plans: true,
            read_only: true,
        };
        let url = SecretString::from(format!("sqlite:{}", path.display()));
        Ok(Table {
            database: Database::open(&url, &limits).map_err(|error| error.in_full())?,
            compiled: Compiled::of_payee(&self.payee, &self.profile, Dialect::Sqlite)?,
            rows: rows.len(),
            stamp,
            _kept_in: kept_in,
        })
    }
}

impl Stamp {
    /// Of a file that is not there.
    const NONE: Self = Self {
        modified: SystemTime::UNIX_EPOCH,
        bytes: 0,
    };
}

#[cfg(test)]
mod tests;
