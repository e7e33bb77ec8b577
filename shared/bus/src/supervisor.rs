//! Owns the connections. The library's own recovery stays off: whatever ends (an error, a close, a silence, a channel
//! that broke) ends the whole line, which is torn down and rebuilt from nothing, with growing, jittered pauses.
//!
//! Publishing and consuming have a connection each: a broker short of memory stops reading from publishers, and
//! acknowledgements must not wait behind that.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::{Stream, StreamExt};
use lapin::Event;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

use crate::connect::Link;
use crate::publish::PublishLine;
use crate::strangers::Trusted;
use crate::topology::{self, Report};
use crate::{BusError, BusSettings, metrics, reconnect_delay};

/// The library's events may be missed; its state cannot.
const WATCH_INTERVAL: Duration = Duration::from_millis(250);
/// A line that lived this long was a good one: its end starts the pauses anew.
const PROVEN_AFTER: Duration = Duration::from_secs(10);
/// How often a missing topology is looked for, and how often it is complained about.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
const COMPLAIN_INTERVAL: Duration = Duration::from_secs(10);

/// How often what nobody would notice is looked for.
const CARE_INTERVAL: Duration = Duration::from_secs(30);
/// Opening may take its time; a line that is open sees the end itself and says goodbye.
const OPENING_GRACE: Duration = Duration::from_secs(3);

/// How fast one of the two connects again.
struct Pace {
    role: &'static str,
    attempt: u32,
    begun: Instant,
}

impl Pace {
    fn new(role: &'static str) -> Self {
        Self {
            role,
            attempt: 0,
            begun: Instant::now(),
        }
    }

    fn begin(&mut self) {
        self.begun = Instant::now();
    }

    fn next(&mut self, was_connected: bool) -> Duration {
        if was_connected && self.begun.elapsed() > PROVEN_AFTER {
            self.attempt = 0;
        }
        let delay = reconnect_delay(self.attempt);
        self.attempt += 1;
        delay
    }
}

/// What the supervisors share with the handle.
#[derive(Debug)]
pub(crate) struct Supervisor {
    pub(crate) settings: BusSettings,
    pub(crate) publish: watch::Sender<Option<Arc<PublishLine>>>,
    pub(crate) consume: watch::Sender<Option<Arc<Link>>>,
    pub(crate) trusted: Trusted,
    /// Publishing failed: something may have been deleted.
    pub(crate) suspicion: Notify,
    /// One of the two has connected: the other need not sit out its pause.
    pub(crate) sighted: Notify,
    /// Hang up now.
    pub(crate) stop: CancellationToken,
    /// Do not connect again.
    pub(crate) shutdown: CancellationToken,
}

impl Supervisor {
    /// Keeps the publishing connection until stopped.
    pub(crate) async fn keep_publishing(&self) {
        // One that a panic left behind is not ours to watch.
        self.publish.send_replace(None);
        let mut pace = Pace::new("publish");
        while self.may_connect() {
            pace.begin();
            let outcome = tokio::select! {
                outcome = self.publish_once() => outcome,
                () = self.stopped_for(OPENING_GRACE) => return,
            };
            self.pause(&mut pace, outcome).await;
        }
    }

    /// Keeps the consuming connection until stopped.
    pub(crate) async fn keep_consuming(&self) {
        self.consume.send_replace(None);
        // Once the topology was in order it is ours to restore: a broker that comes back empty must not need a human.
        let mut was_in_order = false;
        let mut pace = Pace::new("consume");
        while self.may_connect() {
            pace.begin();
            let outcome = tokio::select! {
                outcome = self.consume_once(&mut was_in_order) => outcome,
                () = self.stopped_for(OPENING_GRACE) => return,
            };
            self.pause(&mut pace, outcome).await;
        }
    }

    /// Connects, and returns when that connection has ended.
    async fn publish_once(&self) -> Result<(), BusError> {
        let line = Arc::new(PublishLine::open(&self.settings).await?);
        self.sighted.notify_waiters();
        let events = pin!(line.link.connection.events_listener());
        tracing::info!(broker = %line.link.broker, "connected to publish");
        self.publish.send_replace(Some(line.clone()));
        metrics::connected("publish", true);
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = line.failure() => self.suspicion.notify_one(),
            () = ended(events, || line.is_alive()) => {}
        }
        self.publish.send_replace(None);
        metrics::connected("publish", false);
        metrics::blocked(false);
        self.trusted.forget();
        line.link.close().await;
        Ok(())
    }

    /// Connects, waits for the topology, and returns when that connection has ended.
    async fn consume_once(&self, was_in_order: &mut bool) -> Result<(), BusError> {
        let link = Arc::new(Link::open(&self.settings, "consume").await?);
        self.sighted.notify_waiters();
        let events = pin!(link.connection.events_listener());
        let outcome = tokio::select! {
            () = self.stop.cancelled() => Ok(()),
            outcome = self.serve(&link, was_in_order) => outcome,
            () = ended(events, || link.connection.status().connected()) => Ok(()),
        };
        self.consume.send_replace(None);
        metrics::connected("consume", false);
        link.close().await;
        outcome
    }

    async fn serve(&self, link: &Arc<Link>, was_in_order: &mut bool) -> Result<(), BusError> {
        self.wait_for_topology(link, was_in_order).await?;
        tracing::info!(broker = %link.broker, "connected to consume; the topology is in order");
        self.consume.send_replace(Some(link.clone()));
        metrics::connected("consume", true);
        loop {
            tokio::select! {
                () = tokio::time::sleep(CARE_INTERVAL) => {}
                () = self.suspicion.notified() => {}
            }
            self.care_for_topology(link).await?;
        }
    }

    /// An exchange that somebody deleted ends no session and no connection: it has to be looked for.
    async fn care_for_topology(&self, link: &Link) -> Result<(), BusError> {
        let missing = topology::limited(topology::missing_on(link, &self.settings.namespace)).await?;
        if missing.is_empty() {
            return Ok(());
        }
        tracing::error!(?missing, "deleted by somebody: declared again");
        let report = self.look(link, true).await?;
        if report.in_order() {
            Ok(())
        } else {
            Err(BusError::OutOfOrder)
        }
    }

    fn may_connect(&self) -> bool {
        !self.stop.is_cancelled() && !self.shutdown.is_cancelled()
    }

    async fn pause(&self, pace: &mut Pace, outcome: Result<(), BusError>) {
        if self.stop.is_cancelled() {
            return;
        }
        let (role, attempt) = (pace.role, pace.attempt);
        let delay = pace.next(outcome.is_ok());
        match outcome {
            Ok(()) => tracing::warn!(role, "the connection to the broker ended"),
            Err(error) => tracing::warn!(role, attempt, %error, "no connection to the broker"),
        }
        metrics::reconnecting(role);
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = tokio::time::sleep(delay) => {}
            () = self.sighted.notified() => {}
        }
    }

    async fn stopped_for(&self, grace: Duration) {
        self.stop.cancelled().await;
        tokio::time::sleep(grace).await;
    }

    /// Returns when the topology is in order: found so, or made so where that is allowed.
    async fn wait_for_topology(&self, link: &Link, was_in_order: &mut bool) -> Result<(), BusError> {
        let mut complained: Option<Instant> = None;
        loop {
            let report = self.look(link, self.settings.apply_topology || *was_in_order).await?;
            if report.in_order() {
                *was_in_order = true;
                return Ok(());
            }
            if complained.is_none_or(|last| last.elapsed() >= COMPLAIN_INTERVAL) {
                complained = Some(Instant::now());
                complain(&report);
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
    }

    async fn look(&self, link: &Link, may_apply: bool) -> Result<Report, BusError> {
        let namespace = &self.settings.namespace;
        if may_apply {
            match topology::limited(topology::apply_on(link, namespace)).await {
                Err(error) if error.is_access_refused() => {}
                outcome => return outcome,
            }
        }
        topology::limited(topology::check_arguments_on(link, namespace)).await
    }
}

fn complain(report: &Report) {
    for difference in &report.differences {
        tracing::error!(name = difference.name, "topology: {}", difference.what);
    }
    tracing::error!(
        differences = report.differences.len(),
        "waiting for the topology; run: unigate topology apply"
    );
}

/// Returns when the line has ended. There is one listener per connection: two would take events from each other.
async fn ended(mut events: impl Stream<Item = Event> + Unpin, is_alive: impl Fn() -> bool) {
    let mut watch = tokio::time::interval(WATCH_INTERVAL);
    loop {
        tokio::select! {
            _ = watch.tick() => {}
            event = events.next() => match event {
                Some(Event::ConnectionBlocked(reason)) => {
                    tracing::warn!(reason, "the broker does not read what we publish: memory or disk alarm");
                    metrics::blocked(true);
                }
                Some(Event::ConnectionUnblocked) => {
                    tracing::info!("the broker reads again");
                    metrics::blocked(false);
                }
                // A channel's error comes here too, and is its session's affair.
                Some(_) => {}
                None => return,
            },
        }
        if !is_alive() {
            return;
        }
    }
}
