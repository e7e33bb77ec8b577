//! The lanes of this process: what each has in hand, whether it is down, and the relays behind them. A lane that is away or
//! slow fills its own places and nobody else's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use domain::declaration::{MailProfile, RelayUrl};
use runtime::aside::Aside;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::gate::Gate;
use crate::relay::{Relay, SendError, TIMEOUT};

/// Mails of a lane in hand per process.
pub(crate) const PLACES: usize = 8;

/// One relay or directory, as this process sees it.
#[derive(Debug)]
pub(crate) struct Lane {
    gate: Mutex<Gate>,
    room: Arc<Semaphore>,
    /// Held while a file is being written, also by a writer that nobody waits for any longer.
    writers: Arc<Semaphore>,
}

impl Default for Lane {
    fn default() -> Self {
        Self {
            gate: Mutex::default(),
            room: Arc::new(Semaphore::new(PLACES)),
            writers: Arc::new(Semaphore::new(PLACES)),
        }
    }
}

impl Lane {
    fn resting(rest: Option<Duration>) -> Self {
        Self {
            gate: Mutex::new(Gate::resting(rest)),
            ..Self::default()
        }
    }

    pub(crate) fn gate(&self) -> MutexGuard<'_, Gate> {
        // Nothing panics while it is held.
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Places for at most so many mails that may go out now.
    pub(crate) fn places(&self, most: usize) -> Vec<OwnedSemaphorePermit> {
        let admitted = self.gate().admits(most, Instant::now());
        let place = |_| self.room.clone().try_acquire_owned().ok();
        (0..admitted).map_while(place).collect()
    }

    /// Leave to write one more file; none while as many as may hang.
    pub(crate) fn writer(&self) -> Option<OwnedSemaphorePermit> {
        self.writers.clone().try_acquire_owned().ok()
    }
}

/// All lanes that were ever served here.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    known: Mutex<HashMap<String, Arc<Lane>>>,
    rest: Option<Duration>,
}

impl Lanes {
    /// Each is left alone for this long when it is away.
    pub(crate) fn resting(rest: Duration) -> Self {
        Self {
            known: Mutex::default(),
            rest: Some(rest),
        }
    }

    pub(crate) fn of(&self, lane: &str) -> Arc<Lane> {
        let mut lanes = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let lane = lanes.entry(lane.to_owned());
        lane.or_insert_with(|| Arc::new(Lane::resting(self.rest))).clone()
    }
}

/// The installation's relay, and those of payees.
#[derive(Debug)]
pub(crate) struct Relays {
    usual: Option<Arc<Relay>>,
    own: Mutex<HashMap<String, Own>>,
    /// Where payees' secrets are fetched: one may lie on a share that hangs.
    aside: Aside,
}

/// A relay with the secrets it was made with.
struct Own {
    url: RelayUrl,
    secrets: Secrets,
    relay: Arc<Relay>,
}

#[derive(Default)]
struct Secrets {
    password: Option<SecretString>,
    ca: Option<SecretString>,
}

impl Relays {
    pub(crate) fn new(usual: Option<Relay>) -> Self {
        Self {
            usual: usual.map(Arc::new),
            own: Mutex::default(),
            aside: Aside::default(),
        }
    }

    pub(crate) fn has_usual(&self) -> bool {
        self.usual.is_some()
    }

    /// How long a send can take.
    pub(crate) fn timeout(&self) -> Duration {
        self.usual.as_ref().map_or(TIMEOUT, |relay| relay.timeout())
    }

    /// The relay of a lane. A payee's own is asked for its secrets each time, so that a renewed one needs no restart.
    pub(crate) async fn of(&self, lane: &str, profile: Option<&MailProfile>) -> Result<Arc<Relay>, SendError> {
        let Some((profile, url)) = profile.and_then(|profile| Some((profile, profile.relay.as_ref()?))) else {
            let missing = || SendError::Unprepared("UNIGATE_SMTP_URL is not set".to_owned());
            return self.usual.clone().ok_or_else(missing);
        };
        let declared = profile.clone();
        let fetched = self.aside.look(lane, move || Secrets::of(&declared)).await;
        let secrets = fetched.map_err(SendError::Unprepared).flatten()?;
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = own.get(lane)
            && known.url == *url
            && known.secrets.are(&secrets)
        {
            return Ok(known.relay.clone());
        }
        let relay = Arc::new(made(url, &secrets)?.with_timeout(self.timeout()));
        let made = Own {
            url: url.clone(),
            secrets,
            relay: relay.clone(),
        };
        own.insert(lane.to_owned(), made);
        Ok(relay)
    }
}

/// The relay of a payee's own, with its secrets as they are here; `None` where it has none. To be tried, not to be kept.
pub fn own_relay(profile: &MailProfile) -> Result<Option<Relay>, SendError> {
    let Some(url) = &profile.relay else { return Ok(None) };
    made(url, &Secrets::of(profile)?).map(Some)
}

fn made(url: &RelayUrl, secrets: &Secrets) -> Result<Relay, SendError> {
    let relay = Relay::new(url.clone(), secrets.password.as_ref());
    let relay = relay.map_err(|error| SendError::Unprepared(format!("relay: {error}")))?;
    Ok(relay.with_ca(secrets.ca.as_ref().map(|ca| ca.expose_secret().to_owned())))
}

impl Secrets {
    fn of(profile: &MailProfile) -> Result<Self, SendError> {
        let fetched = |field: &str, secret: &Option<_>| {
            let fetched = secret.as_ref().map(runtime::secret::fetch).transpose();
            fetched.map_err(|why| SendError::Unprepared(format!("{field}: {why}")))
        };
        Ok(Self {
            password: fetched("relay_password", &profile.relay_password)?,
            ca: fetched("relay_ca", &profile.relay_ca)?,
        })
    }

    fn are(&self, other: &Self) -> bool {
        let same = |one: &Option<SecretString>, two: &Option<SecretString>| {
            one.as_ref().map(ExposeSecret::expose_secret) == two.as_ref().map(ExposeSecret::expose_secret)
        };
        same(&self.password, &other.password) && same(&self.ca, &other.ca)
    }
}

impl std::fmt::Debug for Own {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Own").field("url", &self.url).finish_non_exhaustive()
    }
}
