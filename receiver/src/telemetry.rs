//! Counters of this receiver. They live in a recorder of its own, not in the process's, so that a receiver inside another
//! program (the demo, a test) counts for itself.

use std::time::{Duration, Instant};

use metrics::with_local_recorder;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};

const REQUESTS: &str = "unigate_receiver_requests_total";
const CONTENDED: &str = "unigate_receiver_contended_total";
const READY: &str = "unigate_receiver_ready";
const SECONDS: &str = "unigate_receiver_request_seconds";
const BUCKETS: [f64; 8] = [0.005, 0.02, 0.05, 0.2, 0.5, 2.0, 5.0, 20.0];

/// How often the recorder is asked to sum up what it has not been asked for.
const UPKEEP: Duration = Duration::from_secs(5);

/// The counters of one receiver.
pub(crate) struct Telemetry {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
}

impl Telemetry {
    pub(crate) fn new() -> Self {
        let builder = PrometheusBuilder::new();
        // It refuses only an empty list of buckets, and then goes on with its own.
        let builder = builder
            .set_buckets_for_metric(Matcher::Full(SECONDS.to_owned()), &BUCKETS)
            .unwrap_or_else(|_| PrometheusBuilder::new());
        let recorder = builder.build_recorder();
        let handle = recorder.handle();
        with_local_recorder(&recorder, || {
            metrics::describe_counter!(REQUESTS, "Requests by what was asked and how it ended.");
            metrics::describe_counter!(CONTENDED, "Transactions tried again because of another one.");
            metrics::describe_gauge!(
                READY,
                "1 when the database answered the last time it was asked, by a request or by /readyz."
            );
            metrics::describe_histogram!(SECONDS, metrics::Unit::Seconds, "How long requests took.");
        });
        Self { recorder, handle }
    }

    /// Counts a request: `act` is `pay`, `result` the protocol's word or why there was none.
    pub(crate) fn count(&self, act: &'static str, result: &'static str, since: Instant) {
        with_local_recorder(&self.recorder, || {
            metrics::counter!(REQUESTS, "act" => act, "result" => result).increment(1);
            metrics::histogram!(SECONDS, "act" => act).record(since.elapsed().as_secs_f64());
        });
    }

    /// Counts a transaction that is tried again.
    pub(crate) fn count_contended(&self, act: &'static str) {
        with_local_recorder(&self.recorder, || {
            metrics::counter!(CONTENDED, "act" => act).increment(1)
        });
    }

    /// Records whether the database answers.
    pub(crate) fn set_ready(&self, ready: bool) {
        let value = if ready { 1.0 } else { 0.0 };
        with_local_recorder(&self.recorder, || metrics::gauge!(READY).set(value));
    }

    /// The text Prometheus reads.
    pub(crate) fn render(&self) -> String {
        self.handle.render()
    }

    /// Keeps the memory of the counters small while nobody reads them. Never ends.
    pub(crate) async fn upkeep(&self) {
        let mut ticks = tokio::time::interval(UPKEEP);
        loop {
            ticks.tick().await;
            self.handle.run_upkeep();
        }
    }
}
