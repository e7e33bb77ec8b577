//! A scripted payee that speaks the Unikassa protocol over HTTP (and two others), keeps a ledger of what it credited and remembers every
//! request. It reads JSON as it comes and shares no message types with the gateway, so that both cannot be wrong in the
//! same way; only signatures are verified with the contract's own function.
//!
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
//! use testkit::payee::{Behaviour, Payee, Verb};
//!
//! let payee = Payee::start().await?;
//! payee.script(Verb::Pay, [Behaviour::status(500), Behaviour::ResetAfterCredit]);
//! // … the first pay gets a 500, the second is credited and its answer lost, the third is `already_accepted` …
//! payee.wait_for_requests(Verb::Pay, 3, std::time::Duration::from_secs(10)).await;
//! assert_eq!(payee.credits("1"), 1);
//! # Ok(())
//! # }
//! ```

mod behaviour;
mod ledger;
mod request;
mod serve;
mod speech;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_tongues;
mod wire;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use contract::webhook::Secrets;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;

pub use self::behaviour::Behaviour;
use self::ledger::Ledger;
pub use self::ledger::{Entry, EntryState, Repeats};
pub use self::request::{Request, Signature, Verb};
pub use self::speech::Tongue;
use crate::door::Door;
use crate::{lock, wait_on};

/// Path under which the payee answers.
const BASE: &str = "/unikassa";

/// A running payee. Dropping it closes its connections.
pub struct Payee {
    /// Where it listens.
    pub addr: SocketAddr,
    door: Door,
    desk: Arc<Desk>,
    serving: AbortHandle,
}

/// What its requests share.
struct Desk {
    secrets: Option<Secrets>,
    state: Mutex<State>,
    changed: watch::Sender<u64>,
    released: watch::Sender<u64>,
}

struct State {
    ledger: Ledger,
    requests: Vec<Request>,
    scripts: HashMap<Verb, VecDeque<Behaviour>>,
    standing: HashMap<Verb, Behaviour>,
    doubles_at_once: bool,
    at_once: usize,
    most_at_once: usize,
}

impl Payee {
    /// Starts on a free local port: idempotent, and believing every request.
    pub async fn start() -> io::Result<Self> {
        Self::start_with(None).await
    }

    /// The same, but requests whose signature fits none of `secrets` are answered 401 and touch no ledger.
    pub async fn start_signed(secrets: Secrets) -> io::Result<Self> {
        Self::start_with(Some(secrets)).await
    }

    async fn start_with(secrets: Option<Secrets>) -> io::Result<Self> {
        let desk = Arc::new(Desk {
            secrets,
            state: Mutex::new(State {
                ledger: Ledger::new(),
                requests: Vec::new(),
                scripts: HashMap::new(),
                standing: HashMap::new(),
                doubles_at_once: false,
                at_once: 0,
                most_at_once: 0,
            }),
            changed: watch::Sender::new(0),
            released: watch::Sender::new(0),
        });
        let (sender, wires) = mpsc::unbounded_channel();
        let door = Door::open(SocketAddr::from(([127, 0, 0, 1], 0)), move |guest| {
            // Fails only when the payee is being dropped, and then the guest has to go anyway.
            let _ = sender.send(wire::Wire::new(guest));
        })?;
        let serving = tokio::spawn(serve::run(door.addr(), wires, desk.clone()));
        Ok(Self {
            addr: door.addr(),
            door,
            desk,
            serving: serving.abort_handle(),
        })
    }

    /// The base URL, without a slash at its end.
    pub fn url(&self) -> String {
        format!("http://{}{BASE}", self.addr)
    }

    /// The same in another tongue.
    pub fn url_in(&self, tongue: Tongue) -> String {
        let base = match tongue {
            Tongue::Unikassa => BASE,
            Tongue::Osmp => "/osmp",
            Tongue::Rest => "/rest",
        };
        format!("http://{}{base}", self.addr)
    }

    /// Behaviours for the next requests of a verb, in this order; after them the standing one applies.
    pub fn script(&self, verb: Verb, behaviours: impl IntoIterator<Item = Behaviour>) {
        let mut state = lock(&self.desk.state);
        state.scripts.entry(verb).or_default().extend(behaviours);
    }

    /// What happens to a verb's requests that no script covers; `Behaviour::Accept` unless told otherwise.
    pub fn always(&self, verb: Verb, behaviour: Behaviour) {
        lock(&self.desk.state).standing.insert(verb, behaviour);
    }

    /// Whether a known number is credited again by a repeated pay (false) or not (true, as at the start).
    pub fn set_idempotent(&self, idempotent: bool) {
        self.set_repeats(if idempotent { Repeats::Known } else { Repeats::Credited });
    }

    /// What a repeated pay meets.
    pub fn set_repeats(&self, repeats: Repeats) {
        lock(&self.desk.state).ledger.repeats = repeats;
    }

    /// Whether a check is carried out like a pay.
    pub fn set_credits_on_check(&self, credits: bool) {
        lock(&self.desk.state).ledger.credits_on_check = credits;
    }

    /// Whether a pay is credited twice while another request is under way.
    pub fn set_doubles_at_once(&self, doubles: bool) {
        lock(&self.desk.state).doubles_at_once = doubles;
    }

    /// Lets the requests go that are held now (`Behaviour::Hold`).
    pub fn release(&self) {
        self.desk.released.send_modify(|times| *times += 1);
    }

    /// Decides what is pending: credits it.
    pub fn settle(&self, number: &str) {
        lock(&self.desk.state).ledger.settle(number);
        self.desk.announce();
    }

    /// Decides what is pending: refuses it.
    pub fn refuse(&self, number: &str, reason: &str) {
        lock(&self.desk.state).ledger.refuse(number, reason);
        self.desk.announce();
    }

    /// Everything the payee knows, by number.
    pub fn ledger(&self) -> BTreeMap<String, Entry> {
        lock(&self.desk.state).ledger.entries.clone()
    }

    /// How many times this number was credited.
    pub fn credits(&self, number: &str) -> u32 {
        lock(&self.desk.state)
            .ledger
            .entries
            .get(number)
            .map_or(0, |entry| entry.credits)
    }

    /// Every request so far, in the order they were read.
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.desk.state).requests.clone()
    }

    /// Every request of one verb.
    pub fn requests_of(&self, verb: Verb) -> Vec<Request> {
        let mut requests = self.requests();
        requests.retain(|request| request.verb == Some(verb));
        requests
    }

    /// The largest number of requests that were under way at the same moment.
    pub fn most_at_once(&self) -> usize {
        lock(&self.desk.state).most_at_once
    }

    /// Waits for at least `count` requests of a verb and returns them; panics when `timeout` is over.
    pub async fn wait_for_requests(&self, verb: Verb, count: usize, timeout: Duration) -> Vec<Request> {
        let what = format!("{count} requests {verb:?}");
        wait_on(&what, timeout, self.desk.changed.subscribe(), || {
            let requests = self.requests_of(verb);
            (requests.len() >= count).then_some(requests)
        })
        .await
    }

    /// Waits until at least `count` numbers are credited and returns the ledger; panics when `timeout` is over.
    pub async fn wait_for_credits(&self, count: usize, timeout: Duration) -> BTreeMap<String, Entry> {
        let what = format!("{count} credited numbers");
        wait_on(&what, timeout, self.desk.changed.subscribe(), || {
            let ledger = self.ledger();
            let credited = ledger.values().filter(|entry| entry.credits > 0).count();
            (credited >= count).then_some(ledger)
        })
        .await
    }

    /// Resets all connections and refuses new ones.
    pub async fn down(&self) {
        self.door.shut().await;
    }

    /// Listens again, on the same port.
    pub fn up(&self) -> io::Result<()> {
        self.door.reopen()
    }
}

impl Drop for Payee {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Desk {
    fn announce(&self) {
        self.changed.send_modify(|changes| *changes += 1);
    }
}
