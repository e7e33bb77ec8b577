//! Files of payees: read whole, made into an embedded table, and read again when they change. What is being written, cut off or
//! wrong changes nothing: the table that was there stays, and people are told.

mod amounts;
mod biff;
mod compound;
mod dbf;
mod open;
mod rows;
mod state;
mod text;
mod workbook;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use couriers::Told;
use domain::declaration::{DatabasesProfile, End, FileSource, Payee, StepKind};
use domain::delivery::Verdict;
use runtime::declared::permitted;
use sql::{Database, DatabaseError, Dialect, Limits, Zone};
use store::deliveries::Due;
use tokio::sync::OwnedMutexGuard;

use crate::bind::Brought;
use crate::pay::Entered;
use crate::settle::{self, of_trouble, told};
use crate::source::{Compiled, Source};
use crate::steps::{On, Run};
use state::{Stamp, State};

pub(crate) use amounts::amount;
pub(crate) use state::Looked;

/// How long a look at a file waits for what comes of it. It is gone on with after that, and told at a later look.
const LOOK: Duration = Duration::from_secs(1);
/// How long a file that is read for the first time has to stay as it is before that.
const SETTLED: Duration = Duration::from_secs(1);
/// What is told of one that is not as it was.
const CHANGED: &str = "was changed while it was read";
/// What is told of a file to those whom its path is no matter of.
pub(crate) const UNUSABLE: &str = "the payee's file cannot be used now";

/// A payee's file.
pub(crate) struct Listed {
    /// As it is declared, and with what is said of it by its being a file.
    profile: DatabasesProfile,
    pub(crate) file: FileSource,
    pub(crate) compiled: Compiled,
    state: Mutex<State>,
    /// Only one touches the file at a time, and holds this until it is done, also when nobody waits for it any more: a share
    /// that hangs keeps one thread, however many ask.
    reading: Arc<tokio::sync::Mutex<()>>,
}

/// Why a file cannot be used.
pub(super) enum Wrong {
    /// It is not what it should be, until it changes.
    File(String),
    /// Whatever it is may pass without a change of the file.
    Passing(String),
}

/// A file's rows, ready to be asked.
pub(crate) struct Table {
    pub(crate) database: Database,
    pub(crate) rows: usize,
    stamp: Stamp,
    _kept: sql::Kept,
}

impl Listed {
    /// Nothing is read yet; an error is about a statement.
    pub(crate) fn new(payee: &Payee, profile: &DatabasesProfile, file: &FileSource) -> Result<Self, String> {
        let mut profile = profile.clone();
        // A list that lacks a row may be an old one, or half of one: it refuses nobody's money unless the scenario says so.
        for statement in profile.pay.iter_mut().flat_map(|pay| &mut pay.statement) {
            statement.none.get_or_insert(End::Retry);
        }
        Ok(Self {
            compiled: Compiled::of_payee(payee, &profile, Dialect::Sqlite)?,
            profile,
            file: file.clone(),
            state: Mutex::default(),
            reading: Arc::default(),
        })
    }

    /// A payee that is declared anew goes on with the table it had, where that is made in the same way.
    pub(crate) fn take_over(&self, before: &Self) {
        let made_of = |listed: &Self| {
            let DatabasesProfile {
                check_connections,
                timeout_seconds,
                ..
            } = listed.profile;
            // How short it may be is of the next one, and no matter of the one that is there.
            let file = FileSource {
                min_rows: 0,
                max_shrink_percent: 0,
                ..listed.file.clone()
            };
            (file, check_connections, timeout_seconds)
        };
        if made_of(self) == made_of(before) {
            let table = before.current();
            self.with(|state| state.table = table);
        }
    }

    /// The table as it was last read; the first time it is read now.
    pub(crate) async fn table(self: &Arc<Self>) -> Result<Arc<Table>, String> {
        if let Some(table) = self.current() {
            return Ok(table);
        }
        let reading = self.reading.clone().lock_owned().await;
        let listed = self.clone();
        let first = tokio::spawn(async move {
            let _busy = Busy::with(&listed, reading);
            listed.first().await
        });
        let first = first.await;
        first.unwrap_or_else(|_| Err(format!("{}: its reader broke off", self.file.path.display())))
    }

    async fn first(&self) -> Result<Arc<Table>, String> {
        if let Some(table) = self.current() {
            return Ok(table);
        }
        let stamp = self.stamp().await?;
        let before = self.with(|state| state.refused.clone());
        if let Some((at, why)) = before
            && at == Some(stamp)
        {
            return Err(why);
        }
        tokio::time::sleep(SETTLED).await;
        if self.stamp().await? != stamp {
            let path = self.file.path.display();
            return Err(format!("{path}: is being written: it is read when it stays as it is"));
        }
        match self.read(stamp).await {
            Ok(table) => Ok(self.keep(table)),
            Err(wrong) => Err(self.blame(stamp, wrong)),
        }
    }

    /// Looks, and hands on what is new. What could not be told is told at a later look.
    pub(crate) async fn look_and_tell<F, E>(self: &Arc<Self>, tell: impl FnOnce(Looked) -> F) -> Result<(), E>
    where
        F: Future<Output = Result<(), E>>,
    {
        let news = self.look().await;
        let told = tell(news.clone()).await;
        if told.is_err() {
            self.with(|state| {
                state.news.get_or_insert(news);
            });
        }
        told
    }

    /// Looks whether the file has changed, if it is time to; reads it when it looked the same twice, so not while somebody
    /// writes it. What it comes to is told once, now or at a later look.
    pub(crate) async fn look(self: &Arc<Self>) -> Looked {
        if let Some(news) = self.with(|state| state.news.take()) {
            return news;
        }
        let Ok(reading) = self.reading.clone().try_lock_owned() else {
            return self.with(|state| state.hangs(&self.file));
        };
        let interval = Duration::from_secs(self.file.refresh_seconds.into());
        let is_time = self.with(|state| state.looked_at.is_none_or(|at| at.elapsed() >= interval));
        if !is_time {
            return Looked::Same;
        }
        let listed = self.clone();
        let look = tokio::spawn(async move {
            let _busy = Busy::with(&listed, reading);
            listed.look_at_it().await;
        });
        let _ = tokio::time::timeout(LOOK, look).await;
        self.with(|state| state.news.take()).unwrap_or(Looked::Same)
    }

    async fn look_at_it(&self) {
        let stamp = match self.stamp().await {
            Ok(stamp) => stamp,
            Err(why) => return self.with(|state| state.gone(why)),
        };
        if !self.with(|state| state.is_to_be_read(stamp)) {
            return;
        }
        match self.read(stamp).await {
            Ok(table) => {
                let rows = table.rows;
                self.keep(table);
                self.with(|state| state.news = Some(Looked::Replaced(rows)));
            }
            Err(wrong) => {
                self.blame(stamp, wrong);
            }
        }
    }

    fn keep(&self, table: Table) -> Arc<Table> {
        let table = Arc::new(table);
        self.with(|state| {
            *state = State {
                table: Some(table.clone()),
                looked_at: Some(Instant::now()),
                busy: state.busy,
                ..State::default()
            };
        });
        table
    }

    /// Remembers why it cannot be used, and returns that. A file that is wrong is not read again until it changes.
    fn blame(&self, stamp: Stamp, wrong: Wrong) -> String {
        self.with(|state| {
            state.looked_at = Some(Instant::now());
            match wrong {
                Wrong::File(why) => {
                    state.refused = Some((Some(stamp), why.clone()));
                    state.news = Some(Looked::Refused(why.clone()));
                    why
                }
                Wrong::Passing(why) => {
                    if state.trouble.replace(why.clone()).as_ref() != Some(&why) {
                        state.news = Some(Looked::Refused(why.clone()));
                    }
                    why
                }
            }
        })
    }

    /// A payment for a file is looked up once more where the scenario says so; then it waits for its register.
    pub(crate) async fn pay(self: &Arc<Self>, source: &Source, due: &Due) -> Entered {
        let entered = |told: Told, trace: Vec<String>| Entered { told, trace };
        if source.profile.statements(StepKind::Pay).is_empty() {
            return entered(told(Verdict::Accepted), Vec::new());
        }
        let table = match self.table().await {
            Ok(table) => table,
            Err(why) => return entered(Told::not_sent(UNUSABLE.to_owned()), vec![why]),
        };
        let brought: Brought = match settle::brought(source, due, StepKind::Pay) {
            Ok(brought) => brought,
            Err(trouble) => return entered(of_trouble(&trouble), vec![trouble.in_full()]),
        };
        let mut run = Run::of_payment(&self.profile, source.currency(), &self.compiled, &brought, due);
        let ended = run.all(&mut On::Alone(&table.database), StepKind::Pay).await;
        let told = match ended {
            Ok(End::Accepted | End::Pending) => told(Verdict::Accepted),
            Ok(End::AlreadyAccepted) => told(Verdict::AlreadyAccepted),
            Ok(End::Refused(reason)) => settle::refused(&reason),
            Ok(_) => told(Verdict::TryLater),
            Err((_, trouble)) => {
                run.trace.push(trouble.in_full());
                of_trouble(&trouble)
            }
        };
        entered(told, run.trace)
    }

    fn current(&self) -> Option<Arc<Table>> {
        self.with(|state| state.table.clone())
    }

    fn with<T>(&self, on: impl FnOnce(&mut State) -> T) -> T {
        on(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// How it looks. A share that is away may keep who looks waiting for long.
    async fn stamp(&self) -> Result<Stamp, String> {
        let path = self.file.path.clone();
        let looked = tokio::task::spawn_blocking(move || {
            permitted(&path)?;
            let stamp = std::fs::metadata(&path).and_then(|found| Stamp::of(&found));
            stamp.map_err(|error| format!("{}: {error}", path.display()))
        });
        let broken_off = |broken| Err(format!("{}: {broken}", self.file.path.display()));
        looked.await.unwrap_or_else(broken_off)
    }

    async fn read(&self, stamp: Stamp) -> Result<Table, Wrong> {
        let at = |why: String| format!("{}: {why}", self.file.path.display());
        let file = self.file.clone();
        let read = tokio::task::spawn_blocking(move || rows::read(&file, stamp)).await;
        let read = read.map_err(|_| Wrong::File(at("could not be read: the reader broke off".to_owned())))?;
        if self.stamp().await.map_err(Wrong::Passing)? != stamp {
            return Err(Wrong::Passing(at(CHANGED.to_owned())));
        }
        let rows = read.map_err(|wrong| match wrong {
            Wrong::File(why) => Wrong::File(at(why)),
            Wrong::Passing(why) => Wrong::Passing(at(why)),
        })?;
        self.is_long_enough(rows.len()).map_err(|why| Wrong::File(at(why)))?;
        self.table_of(stamp, &rows)
            .await
            .map_err(|error| Wrong::Passing(at(format!("no table could be made of it: {}", error.in_full()))))
    }

    /// A file can be cut off where nobody sees it, or be a list of nothing: then it is by its rows that it is found out.
    fn is_long_enough(&self, rows: usize) -> Result<(), String> {
        let FileSource {
            min_rows,
            max_shrink_percent,
            ..
        } = self.file;
        if (rows as u64) < u64::from(min_rows) {
            return Err(format!("has {rows} rows, and needs {min_rows} (min_rows)"));
        }
        let before = self.current().map_or(0, |table| table.rows);
        let kept_percent = u64::from(100_u32.saturating_sub(max_shrink_percent));
        if (rows as u64) * 100 < before as u64 * kept_percent {
            return Err(format!(
                "has {rows} rows, and had {before}: that is more than {max_shrink_percent} % less (max_shrink_percent)"
            ));
        }
        Ok(())
    }

    async fn table_of(&self, stamp: Stamp, rows: &[rows::Row]) -> Result<Table, DatabaseError> {
        let columns = rows::columns(&self.file);
        let kept = sql::Kept::of(sql::Table {
            name: &self.file.table,
            columns: &columns,
            index: &self.file.index,
            rows,
        })
        .await?;
        let limits = Limits {
            pool_size: self.profile.check_connections,
            timeout: Duration::from_secs(self.profile.timeout_seconds.into()),
            create: false,
            zone: Zone::default(),
            application: "",
            keep_plans: true,
            read_only: true,
        };
        Ok(Table {
            database: kept.open(&limits)?,
            rows: rows.len(),
            stamp,
            _kept: kept,
        })
    }
}

/// Reads a file; who else wants to waits for the end of this.
struct Busy<'a> {
    listed: &'a Listed,
    _reading: OwnedMutexGuard<()>,
}

impl<'a> Busy<'a> {
    fn with(listed: &'a Listed, reading: OwnedMutexGuard<()>) -> Self {
        listed.with(|state| state.busy = Some((Instant::now(), false)));
        Self {
            listed,
            _reading: reading,
        }
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.listed.with(|state| state.busy = None);
    }
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_short;
#[cfg(test)]
mod tests_trouble;
#[cfg(test)]
mod tests_xls;
