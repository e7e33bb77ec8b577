//! A real SMTP server (RFC 5321) that keeps what it gets: the demo's mailbox, and a script for tests. It relays
//! nothing, adds nothing to a message and speaks no TLS.
//!
//! ```no_run
//! # async fn example() -> std::io::Result<()> {
//! use testkit::mail::{Behaviour, MailServer, Step};
//!
//! let server = MailServer::start("127.0.0.1:0").await?;
//! server.script([Behaviour::Answer { at: Step::Rcpt, code: 451 }, Behaviour::Close { at: Step::Kept }]);
//! // … the first message is put off, the second is kept without a word, the third is accepted …
//! let mails = server.wait_for_mails(2, std::time::Duration::from_secs(10)).await;
//! assert_eq!(mails[0].raw, mails[1].raw);
//! # Ok(())
//! # }
//! ```

mod command;
mod keep;
mod message;
mod session;
#[cfg(test)]
mod tests;
mod wire;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::ToSocketAddrs;
use tokio::sync::watch;

pub use self::message::{Attachment, Mail};
use crate::door::Door;
use crate::{lock, wait_on};

/// Where in a message's dialogue a scripted behaviour strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// At `MAIL FROM`.
    Mail,
    /// At every `RCPT TO`.
    Rcpt,
    /// At `DATA`, before the message.
    Data,
    /// After the final dot; the message is thrown away.
    Dot,
    /// After the final dot; the message is kept, whatever the sender is told.
    Kept,
}

/// What happens to one message.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Behaviour {
    /// It is accepted and kept.
    #[default]
    Accept,
    /// This step is answered with this code, for example 451 or 550; the dialogue goes on from there.
    Answer {
        /// The step.
        at: Step,
        /// The reply code.
        code: u16,
    },
    /// No word comes from this step on, while the connection stays open.
    Silent {
        /// The step.
        at: Step,
    },
    /// The connection is closed at this step, without an answer.
    Close {
        /// The step.
        at: Step,
    },
}

/// What happens to one connection before anything was said on it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Greeting {
    /// The usual `220`.
    #[default]
    Accept,
    /// This code instead, for example 421 or 554, and the end of the connection.
    Answer(u16),
    /// Nothing, while the connection stays open.
    Silent,
    /// The connection is closed at once.
    Close,
}

/// What the server keeps to.
#[derive(Debug, Clone)]
pub struct MailSettings {
    /// Every message is written here as `000001.eml` and so on before it is answered, as well as kept in memory.
    pub directory: Option<PathBuf>,
    /// User and password that `AUTH PLAIN` has to show before any mail; without it nobody is asked.
    pub login: Option<(String, String)>,
    /// Larger messages are refused (552).
    pub max_message_bytes: usize,
    /// More recipients of one message are put off (452).
    pub max_recipients: usize,
    /// More connections at once are put off (421).
    pub max_connections: usize,
    /// A client that says nothing for so long is let go (421).
    pub idle_timeout: Duration,
}

impl Default for MailSettings {
    fn default() -> Self {
        Self {
            directory: None,
            login: None,
            max_message_bytes: 64 * 1024 * 1024,
            max_recipients: 100,
            max_connections: 256,
            idle_timeout: Duration::from_secs(300),
        }
    }
}

/// A running server. Dropping it closes its connections; what it wrote to a directory stays.
pub struct MailServer {
    /// Where it listens.
    pub addr: SocketAddr,
    door: Door,
    office: Arc<Office>,
}

/// What the sessions share.
struct Office {
    settings: MailSettings,
    /// Number of the next file in the directory.
    next_file: tokio::sync::Mutex<u32>,
    desk: Mutex<Desk>,
    kept: watch::Sender<usize>,
}

#[derive(Default)]
struct Desk {
    mails: Vec<Mail>,
    behaviours: VecDeque<Behaviour>,
    greetings: VecDeque<Greeting>,
    refused: BTreeMap<String, u16>,
    open: usize,
    connections: usize,
    messages: usize,
}

impl MailServer {
    /// Starts on `addr`, for example `127.0.0.1:0`, keeping mail in memory only.
    pub async fn start(addr: impl ToSocketAddrs) -> io::Result<Self> {
        Self::start_with(addr, MailSettings::default()).await
    }

    /// Starts on `addr` with `settings`; the directory is created.
    pub async fn start_with(addr: impl ToSocketAddrs, settings: MailSettings) -> io::Result<Self> {
        let addr = tokio::net::lookup_host(addr)
            .await?
            .next()
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no address to listen on"))?;
        let next_file = match &settings.directory {
            Some(directory) => keep::prepare(directory).await?,
            None => 1,
        };
        let office = Arc::new(Office {
            settings,
            next_file: tokio::sync::Mutex::new(next_file),
            desk: Mutex::default(),
            kept: watch::Sender::new(0),
        });
        let serves = office.clone();
        let door = Door::open(addr, move |guest| {
            tokio::spawn(session::serve(guest, serves.clone()));
        })?;
        Ok(Self {
            addr: door.addr(),
            door,
            office,
        })
    }

    /// Everything kept so far, oldest first.
    pub fn inbox(&self) -> Vec<Mail> {
        lock(&self.office.desk).mails.clone()
    }

    /// Waits until at least `count` mails are kept and returns them; panics when `timeout` is over.
    pub async fn wait_for_mails(&self, count: usize, timeout: Duration) -> Vec<Mail> {
        let kept = self.office.kept.subscribe();
        wait_on(&format!("{count} mails"), timeout, kept, || {
            let mails = &lock(&self.office.desk).mails;
            (mails.len() >= count).then(|| mails.clone())
        })
        .await
    }

    /// Behaviours for the next messages (counted by `MAIL FROM`), in this order; after them messages are accepted.
    pub fn script(&self, behaviours: impl IntoIterator<Item = Behaviour>) {
        lock(&self.office.desk).behaviours.extend(behaviours);
    }

    /// Greetings for the next connections, in this order; after them connections are accepted.
    pub fn greet(&self, greetings: impl IntoIterator<Item = Greeting>) {
        lock(&self.office.desk).greetings.extend(greetings);
    }

    /// From now on mail for this address is refused with `code` (550, 450 …).
    pub fn refuse_recipient(&self, address: &str, code: u16) {
        lock(&self.office.desk).refused.insert(address.to_lowercase(), code);
    }

    /// Takes `refuse_recipient` back.
    pub fn accept_recipient(&self, address: &str) {
        lock(&self.office.desk).refused.remove(&address.to_lowercase());
    }

    /// How many connections were made so far.
    pub fn connections(&self) -> usize {
        lock(&self.office.desk).connections
    }

    /// How many messages were begun so far (`MAIL FROM`), whatever became of them.
    pub fn messages(&self) -> usize {
        lock(&self.office.desk).messages
    }

    /// Closes all connections and refuses new ones.
    pub async fn down(&self) {
        self.door.shut().await;
    }

    /// Listens again, on the same address.
    pub fn up(&self) -> io::Result<()> {
        self.door.reopen()
    }
}

impl Office {
    /// Counts a connection in, unless there are too many.
    fn enter(self: &Arc<Self>) -> Option<(Present, Greeting)> {
        let mut desk = lock(&self.desk);
        desk.connections += 1;
        if desk.open >= self.settings.max_connections {
            return None;
        }
        desk.open += 1;
        let greeting = desk.greetings.pop_front().unwrap_or_default();
        Some((Present(self.clone()), greeting))
    }

    fn next_behaviour(&self) -> Behaviour {
        let mut desk = lock(&self.desk);
        desk.messages += 1;
        desk.behaviours.pop_front().unwrap_or_default()
    }

    fn refusal(&self, address: &str) -> Option<u16> {
        lock(&self.desk).refused.get(&address.to_lowercase()).copied()
    }

    /// Files a message; when this returns, it is kept.
    async fn keep(&self, mail: Mail) -> io::Result<()> {
        if let Some(directory) = &self.settings.directory {
            let mut next = self.next_file.lock().await;
            keep::write(directory, *next, &mail.raw).await?;
            *next += 1;
        }
        let count = {
            let mut desk = lock(&self.desk);
            desk.mails.push(mail);
            desk.mails.len()
        };
        self.kept.send_replace(count);
        Ok(())
    }
}

/// A connection that counts as open.
struct Present(Arc<Office>);

impl Drop for Present {
    fn drop(&mut self) {
        lock(&self.0.desk).open -= 1;
    }
}
