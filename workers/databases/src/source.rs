//! Payees' databases, opened once and kept while their profiles stay as they are: a pool to enter payments with, one for
//! checks that may only read, and the statements of the scenario made ready for them. Opening connects to nothing.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use domain::declaration::{DatabasesProfile, Payee, SecretRef, StepKind};
use domain::money::Currency;
use runtime::aside::Aside;
use runtime::declared::permitted;
use runtime::secret::fetch;
use secrecy::{ExposeSecret as _, SecretString};
use sql::{Database, DatabaseError, Limits, Statement, Zone};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::bind::{self, Names};
use crate::file::Listed;

/// How long a check waits for a connection of its own.
const PATIENCE: Duration = Duration::from_secs(5);
/// Checks of one payee that wait in this process. One whose database hangs must leave it time for the others.
const LINE_MAX: usize = 256;
/// What a server that keeps it is told about us.
const APPLICATION: &str = "unigate-databases";

/// All sources of this process.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    opened: Arc<Opened>,
    /// Opens them.
    aside: Aside,
}

#[derive(Debug, Default)]
struct Opened(Mutex<HashMap<String, Arc<Source>>>);

/// A payee's data, ready to be asked.
pub(crate) struct Source {
    pub(crate) payee: Payee,
    pub(crate) profile: DatabasesProfile,
    pub(crate) place: Place,
    /// Of dates and times that say none, by the payee's clocks.
    pub(crate) clock: Zone,
    /// The same as the sessions have it: what they convert, they convert by this.
    pub(crate) zone: Zone,
    checks: Semaphore,
    in_line: AtomicUsize,
}

/// Where they are.
pub(crate) enum Place {
    Database(Box<Server>),
    File(Arc<Listed>),
}

/// A database of the payee's.
pub(crate) struct Server {
    /// To enter payments with, and to ask about them: what was entered is seen here first.
    pub(crate) write: Database,
    /// To look accounts up with.
    pub(crate) read: Database,
    pub(crate) compiled: Compiled,
}

/// The statements of a scenario, made ready for one kind of database.
#[derive(Debug, Clone)]
pub(crate) struct Compiled {
    steps: [Vec<Statement>; 5],
    /// What a terminal may tell them.
    fields: BTreeSet<String>,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Source({})", self.payee.id)
    }
}

impl Compiled {
    /// Every statement of every step, or the place and the fault of the first that cannot be.
    pub(crate) fn of_payee(payee: &Payee, profile: &DatabasesProfile, dialect: sql::Dialect) -> Result<Self, String> {
        let compile = |kind: StepKind| {
            let names = Names::of(payee, profile, kind);
            let statements = profile.statements(kind).iter().enumerate();
            statements
                .map(|(at, statement)| {
                    let place = format!("databases.{}.statement[{at}]", kind.as_str());
                    Statement::compile(&place, &statement.sql, dialect, &names).map_err(|wrong| wrong.to_string())
                })
                .collect::<Result<Vec<_>, _>>()
        };
        let [check, pay, status, cancel, list] = StepKind::ALL.map(compile);
        Ok(Self {
            steps: [check?, pay?, status?, cancel?, list?],
            fields: bind::fields(payee, profile).cloned().collect(),
        })
    }

    pub(crate) fn of(&self, kind: StepKind) -> &[Statement] {
        &self.steps[kind as usize]
    }

    /// Whether a statement may know a field that a terminal has sent.
    pub(crate) fn knows_field(&self, name: &str) -> bool {
        self.fields.contains(name)
    }

    /// Whether a step calls procedures.
    pub(crate) fn calls(&self, kind: StepKind) -> bool {
        self.of(kind).iter().any(Statement::is_call)
    }
}

impl Sources {
    /// The source of a payee as it is declared now, or why there is none: something an operator has to set right.
    pub(crate) async fn of(&self, payee: &Payee) -> Result<Arc<Source>, String> {
        if let Some(source) = self.opened.of(payee) {
            return Ok(source);
        }
        let (opened, declared) = (self.opened.clone(), payee.clone());
        let source = self.aside.look(payee.id.as_str(), move || opened.open(&declared));
        source.await.flatten()
    }
}

impl Opened {
    /// The source of a payee that was opened as it is declared now.
    fn of(&self, payee: &Payee) -> Option<Arc<Source>> {
        let sources = self.all();
        sources
            .get(payee.id.as_str())
            .filter(|source| source.payee == *payee)
            .cloned()
    }

    /// Opens it, unless somebody has since.
    fn open(&self, payee: &Payee) -> Result<Arc<Source>, String> {
        if let Some(source) = self.of(payee) {
            return Ok(source);
        }
        let source = Arc::new(Source::of_payee(payee)?);
        let mut sources = self.all();
        let before = sources.get(payee.id.as_str()).map(|one| &one.place);
        if let (Place::File(listed), Some(Place::File(listed_before))) = (&source.place, before) {
            listed.take_over(listed_before);
        }
        // The one before is closed when its last call has ended.
        sources.insert(payee.id.to_string(), source.clone());
        Ok(source)
    }

    fn all(&self) -> MutexGuard<'_, HashMap<String, Arc<Source>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn profile_of(payee: &Payee) -> Result<&DatabasesProfile, String> {
    let profile = payee.databases.as_deref();
    profile.ok_or_else(|| "the payee has no [databases] section".to_owned())
}

impl Source {
    /// Opens a payee's data as they are declared, without asking them for anything.
    pub(crate) fn of_payee(payee: &Payee) -> Result<Self, String> {
        Self::open(payee, profile_of(payee)?)
    }

    fn open(payee: &Payee, profile: &DatabasesProfile) -> Result<Self, String> {
        let clock = Zone::parse(profile.time_zone.name()).unwrap_or_default();
        let (place, zone) = match &profile.file {
            Some(file) => (Place::File(Arc::new(Listed::new(payee, profile, file)?)), clock.clone()),
            None => {
                let (server, zone) = Server::open(payee, profile)?;
                (Place::Database(Box::new(server)), zone)
            }
        };
        Ok(Self {
            payee: payee.clone(),
            profile: profile.clone(),
            place,
            clock,
            zone,
            checks: Semaphore::new(profile.check_connections as usize),
            in_line: AtomicUsize::new(0),
        })
    }

    pub(crate) fn currency(&self) -> Currency {
        self.payee.currency
    }

    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_secs(self.profile.timeout_seconds.into())
    }

    /// A place among the checks that are asked at a time; none when all stay taken.
    pub(crate) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        let _in_line = InLine::join(&self.in_line)?;
        tokio::time::timeout(PATIENCE, self.checks.acquire()).await.ok()?.ok()
    }
}

/// One that waits for its turn.
struct InLine<'a>(&'a AtomicUsize);

impl<'a> InLine<'a> {
    fn join(line: &'a AtomicUsize) -> Option<Self> {
        let joined = Self(line);
        (line.fetch_add(1, Ordering::Relaxed) < LINE_MAX).then_some(joined)
    }
}

impl Drop for InLine<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Server {
    /// With the zone of its sessions.
    fn open(payee: &Payee, profile: &DatabasesProfile) -> Result<(Self, Zone), String> {
        let url = profile.url.as_ref().ok_or("databases.url: is missing")?;
        let (write, session) = open("url", url, profile, limits(profile, profile.concurrency, false))?;
        let (field, read_url) = match &profile.read_url {
            Some(read_url) => ("read_url", read_url),
            None => ("url", url),
        };
        let (read, _) = open(
            field,
            read_url,
            profile,
            limits(profile, profile.check_connections, true),
        )?;
        if read.dialect() != write.dialect() {
            return Err("databases.read_url: is another kind of database than url".to_owned());
        }
        let compiled = Compiled::of_payee(payee, profile, write.dialect())?;
        let server = Self { write, read, compiled };
        Ok((server, session))
    }
}

fn open(field: &str, url: &SecretRef, profile: &DatabasesProfile, limits: Limits) -> Result<(Database, Zone), String> {
    let wrong = |why: String| format!("databases.{field}: {why}");
    let url: SecretString = fetch(url).map_err(wrong)?;
    for path in sql::files_of(url.expose_secret()) {
        permitted(&path).map_err(wrong)?;
    }
    let limits = Limits {
        zone: zone(profile, url.expose_secret()).map_err(|why| format!("databases.time_zone: {why}"))?,
        ..limits
    };
    let database = Database::open(&url, &limits).map_err(|error: DatabaseError| wrong(error.to_string()))?;
    Ok((database, limits.zone))
}

/// The zone of a session. MySQL knows zones by their names only where somebody has loaded them; one that will not change its
/// clock again is told as the offset it is.
fn zone(profile: &DatabasesProfile, url: &str) -> Result<Zone, String> {
    let declared = &profile.time_zone;
    let now = domain::clock::now();
    let is_mysql = url.starts_with("mysql:") || url.starts_with("mariadb:");
    let changes = declared.tz().following(now).next().is_some();
    let name = if is_mysql && !changes {
        now.to_zoned(declared.tz().clone()).strftime("%:z").to_string()
    } else {
        declared.name().to_owned()
    };
    Zone::parse(&name).ok_or_else(|| format!("{name} is not known to databases"))
}

fn limits(profile: &DatabasesProfile, connections: u32, read_only: bool) -> Limits {
    Limits {
        pool_size: connections,
        timeout: Duration::from_secs(profile.timeout_seconds.into()),
        create: false,
        zone: Zone::default(),
        application: APPLICATION,
        keep_plans: true,
        read_only,
    }
}
