//! `unigate demo`: a day of a small operator, planned from a seed and played at full speed against everything real:
//! RabbitMQ, PostgreSQL, all workers, a mail server, the receiver as an internet provider's program on a SQLite file, and payees
//! whose own data are worked with: on PostgreSQL, on MariaDB, in a workbook and in dBase.
//! At its end the invariants are checked one by one; any that does not hold is a failure.
//!
//! It works in databases and a broker namespace of its own, named `unigate_demo_…`, and takes them away at the end, also
//! after a failure and when it is interrupted. It touches nothing else on any server.

mod billing;
mod books;
mod cards;
mod day;
mod declared;
mod holdings;
mod invariants;
mod memory;
mod operator;
mod payments;
mod people;
mod place;
mod players;
mod progress;
mod quiet;
mod scarce;
mod scenario;
mod services;
mod spoilt;
mod stock;
mod summary;
mod till;
mod wait;
mod witness;

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{anyhow, bail};
use futures::FutureExt;
use runtime::{Settings, on_signal, telemetry};
use tokio_util::sync::CancellationToken;

use crate::ending::{Ending, Outcome};
use crate::output::{note, say};
use invariants::Evidence;
use place::Place;
use progress::Progress;
use scenario::Scenario;
use services::Services;

/// The log of the demo's own process, in its directory.
const LOG_FILE: &str = "demo.log";

/// What `unigate demo` is told.
#[derive(Debug, clap::Args)]
pub(crate) struct DemoArgs {
    /// Plans the day: the same seed, the same ids, names and errands
    #[arg(long)]
    seed: Option<u64>,
    /// Leave everything running at the end, until Ctrl-C, and the database and the queues in place
    #[arg(long)]
    keep: bool,
    /// How many terminals there are
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(20..=5000))]
    terminals: u32,
    /// Where mails, register files and the log are put, in a directory per demo
    #[arg(long, value_name = "DIR", default_value = ".data/demo")]
    out: PathBuf,
    /// Take away a demo that was kept, with its files
    #[arg(long, value_name = "NAME", conflicts_with_all = ["keep", "seed"])]
    remove: Option<String>,
}

/// Plays the day. Fails if an invariant does.
pub(crate) async fn run(args: DemoArgs) -> Outcome {
    let settings = Settings::load()?;
    if let Some(name) = &args.remove {
        let had_files = place::remove(settings, name, &args.out).await?;
        let out = args.out.display();
        say(match had_files {
            true => format!("{name} is gone, and its files in {out}"),
            false => format!("{name} is gone; there are no files of it in {out}"),
        })?;
        return Ok(Ending::Done);
    }
    let filter = settings.log.filter.clone();
    let place = Place::choose(settings, &args.out)?;
    telemetry::start_log_in(std::fs::File::create(place.out.join(LOG_FILE))?, filter.as_deref());
    let stop = CancellationToken::new();
    on_signal(stop.clone())?;
    let played = play(&args, &place, &stop).await;
    if args.keep && played.is_ok() {
        say(format!(
            "kept: {0}; `unigate demo --remove {0}` takes it away",
            place.name
        ))?;
    } else if place.is_made()
        && let Err(error) = place.clear().await
    {
        note(&format!("{} could not be taken away: {error:#}", place.name));
        played?;
        return Ok(Ending::Failed);
    }
    played
}

async fn play(args: &DemoArgs, place: &Place, stop: &CancellationToken) -> Outcome {
    let seed = args.seed.unwrap_or_else(|| rand::random_range(0..1_000_000));
    say(format!(
        "{}: seed {seed}, {} terminals, files in {}",
        place.name,
        args.terminals,
        place.out.display()
    ))?;
    let begun = Instant::now();
    let mut progress = Progress::begin();
    progress.chapter("a database, queues, workers, a provider and a mail server are made");
    let scenario = Scenario::plan(seed, args.terminals as usize, place.sites.has_inbox());
    if !place.sites.has_inbox() {
        say("UNIGATE_TEST_MARIADB_URL names no MariaDB: the provider with an inbox there is left out")?;
    }
    tracing::info!(payments = scenario.payments(), cards = scenario.stock.cards, "planned");
    place.make().await?;
    let mut services = Services::start(place, &scenario).await?;
    // Whatever happens in there, the workers are ended and what was made is taken away.
    let living = AssertUnwindSafe(live(&mut services, place, &scenario, &mut progress)).catch_unwind();
    let lived = tokio::select! {
        () = stop.cancelled() => Err(anyhow!("interrupted")),
        lived = living => lived.unwrap_or_else(|_| Err(anyhow!("the demo itself broke off"))),
    };
    drop(progress);
    let ending = match lived {
        Ok(evidence) => conclude(args, place, &services, &evidence, begun, stop).await,
        Err(error) => Err(error),
    };
    services.end().await;
    ending
}

/// The day, and what is known of it when it is over.
async fn live(
    services: &mut Services,
    place: &Place,
    scenario: &Scenario,
    progress: &mut Progress,
) -> anyhow::Result<Evidence> {
    let played = day::play(services, scenario, place.user.clone(), &place.out, progress).await?;
    let quiet = quiet::wait(&services.context.store, &services.witness).await?;
    progress.chapter("the invariants are checked");
    let overdue = progress.longest_overdue_hold();
    Evidence::gather(services, played, quiet, overdue, scenario.stock.clone(), &place.out).await
}

/// Tells how it went; with `--keep`, waits to be interrupted.
async fn conclude(
    args: &DemoArgs,
    place: &Place,
    services: &Services,
    evidence: &Evidence,
    begun: Instant,
    stop: &CancellationToken,
) -> Outcome {
    let verdicts = evidence.judge();
    summary::print(
        &services.context.store,
        evidence,
        &verdicts,
        &place.out,
        begun.elapsed(),
    )
    .await?;
    if args.keep {
        let address = services.context.http_address;
        say("")?;
        say(format!(
            "It goes on running until Ctrl-C; health and metrics are at http://{address}/metrics. To look at it:"
        ))?;
        for line in place.environment() {
            say(format!("  {line}"))?;
        }
        say(format!(
            "  export UNIGATE_SMTP_URL='{}' UNIGATE_HTTP_ADDRESS={address}",
            services.relay_url()
        ))?;
        say("  unigate payments list; unigate cards stock; unigate registers list; unigate parked list")?;
        stop.cancelled().await;
    } else if stop.is_cancelled() {
        bail!("interrupted");
    }
    Ok(Ending::done_if(verdicts.iter().all(invariants::Verdict::holds)))
}
