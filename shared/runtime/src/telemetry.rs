//! Logs and metrics of a process: structured lines, and one recorder that `/metrics` renders.

use std::io::IsTerminal as _;
use std::sync::OnceLock;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;

/// lapin logs a returned message whole, which may hold what a payer entered (our supervisor says what it finds); lettre logs
/// passwords and mails at debug, tokio-postgres what goes into every statement.
const QUIET: &str = "lapin=off,lettre=info,tokio_postgres=info,pgp=off,calamine=off";

/// Starts the log, with a filter that [`check_filter`] has seen. Lines go to standard error: standard output belongs to what
/// a command prints.
pub fn start_log(filter: Option<&str>, json: bool) {
    let builder = tracing_subscriber::fmt()
        .with_env_filter(env_filter(filter))
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    // A second start (tests) changes nothing.
    let _ = if json {
        builder.json().flatten_event(true).try_init()
    } else {
        builder.try_init()
    };
}

/// Starts the log in a file, for a command that draws on the terminal while workers run in its process.
pub fn start_log_in(file: std::fs::File, filter: Option<&str>) {
    start_log_to(file, filter);
}

/// Starts the log in anything that takes a whole event at a time.
pub fn start_log_to(writer: impl std::io::Write + Send + 'static, filter: Option<&str>) {
    let writer = std::sync::Mutex::new(writer);
    let builder = tracing_subscriber::fmt()
        .with_env_filter(env_filter(filter))
        .with_ansi(false);
    let _ = builder.with_writer(writer).try_init();
}

/// Why a filter cannot be used.
pub(crate) fn check_filter(filter: &str) -> Result<(), String> {
    EnvFilter::try_new(filter).map(drop).map_err(|error| error.to_string())
}

fn env_filter(filter: Option<&str>) -> EnvFilter {
    let directives = format!("{},{QUIET}", filter.unwrap_or("info"));
    EnvFilter::try_new(&directives).unwrap_or_else(|_| EnvFilter::new(format!("info,{QUIET}")))
}

/// Starts the recorder, once per process.
pub fn start_metrics() {
    recorder();
    bus::describe_metrics();
}

/// What has been measured, in the Prometheus text format.
pub fn render_metrics() -> String {
    recorder().map_or_else(String::new, |handle| handle.render())
}

fn recorder() -> Option<&'static PrometheusHandle> {
    static RECORDER: OnceLock<Option<PrometheusHandle>> = OnceLock::new();
    RECORDER
        .get_or_init(|| {
            let seconds = [0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0, 60.0];
            // From acceptance to the payee's word: a payee that is down for a day is seen, too.
            let delivery = [
                0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0, 28_800.0, 86_400.0,
            ];
            let sizes = [1.0, 4.0, 16.0, 64.0, 256.0];
            PrometheusBuilder::new()
                .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &seconds)
                .and_then(|builder| builder.set_buckets_for_metric(Matcher::Suffix("_size".into()), &sizes))
                .and_then(|builder| {
                    builder.set_buckets_for_metric(Matcher::Full("unigate_delivery_seconds".into()), &delivery)
                })
                .and_then(PrometheusBuilder::install_recorder)
                .inspect_err(|error| tracing::error!(%error, "no metrics"))
                .ok()
        })
        .as_ref()
}
