//! `unigate-receiver`: the program a payee's administrator runs. Exit codes: 0 done, 1 failed, 2 wrong usage, 64 bad
//! configuration.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use receiver::{Config, Severity};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

const BAD_CONFIGURATION: u8 = 64;

/// Takes signed payments of the gateway and enters them into your database.
#[derive(Parser)]
#[command(name = "unigate-receiver", version)]
struct Arguments {
    /// The configuration.
    #[arg(long, value_name = "FILE", default_value = "receiver.toml", global = true)]
    config: PathBuf,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve until asked to stop.
    Run {
        /// Write logs as JSON, one object per line.
        #[arg(long)]
        json: bool,
    },
    /// Try everything the configuration names, changing nothing.
    CheckConfig {
        /// An account of yours to try the statements with.
        #[arg(long)]
        account: Option<String>,
    },
    /// Make the table `unigate_payment`, in which payments are remembered.
    InitDb {
        /// SQL to run first, as it stands: your own tables.
        #[arg(long, value_name = "FILE")]
        schema: Option<PathBuf>,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let json = matches!(arguments.command, Command::Run { json: true });
    start_logging(json);
    // Fails only when a provider is installed already, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let config = match read_config(&arguments.config) {
        Ok(config) => config,
        Err(error) => {
            tracing::error!("{}: {error:#}", arguments.config.display());
            return ExitCode::from(BAD_CONFIGURATION);
        }
    };
    let done = match arguments.command {
        Command::Run { .. } => run(config).await,
        Command::CheckConfig { account } => check_config(&config, account.as_deref()).await,
        Command::InitDb { schema } => init_db(&config, schema.as_deref()).await,
    };
    done.unwrap_or_else(|error| {
        tracing::error!("{error:#}");
        match error.downcast_ref::<receiver::Error>() {
            Some(receiver::Error::Open(_)) => ExitCode::from(BAD_CONFIGURATION),
            _ => ExitCode::FAILURE,
        }
    })
}

fn read_config(path: &Path) -> anyhow::Result<Config> {
    Ok(Config::from_toml(&std::fs::read_to_string(path)?)?)
}

async fn run(config: Config) -> anyhow::Result<ExitCode> {
    let listener = tokio::net::TcpListener::bind(config.listen).await;
    let listener = listener.with_context(|| format!("cannot listen on {}", config.listen))?;
    tracing::info!(address = %listener.local_addr()?, path = config.base_path, "receiving payments");
    let shutdown = CancellationToken::new();
    tokio::spawn(cancel_on_signal(shutdown.clone()));
    receiver::serve(config, listener, shutdown).await?;
    Ok(ExitCode::SUCCESS)
}

/// Interrupt and terminate both mean: finish and stop.
async fn cancel_on_signal(shutdown: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};

    match signal(SignalKind::terminate()) {
        Ok(mut terminate) => {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
        }
        Err(error) => {
            tracing::warn!(%error, "SIGTERM cannot be caught");
            let _ = tokio::signal::ctrl_c().await;
        }
    }
    shutdown.cancel();
}

async fn check_config(config: &Config, account: Option<&str>) -> anyhow::Result<ExitCode> {
    let findings = receiver::check_config(config, account).await;
    let mut out = std::io::stdout().lock();
    for finding in &findings {
        let severity = match finding.severity {
            Severity::Fine => "ok     ",
            Severity::Warning => "warning",
            Severity::Error => "error  ",
        };
        writeln!(out, "{severity}  {}: {}", finding.place, finding.text)?;
    }
    let bad = findings.iter().any(|finding| finding.severity == Severity::Error);
    Ok(if bad {
        ExitCode::from(BAD_CONFIGURATION)
    } else {
        ExitCode::SUCCESS
    })
}

async fn init_db(config: &Config, schema: Option<&Path>) -> anyhow::Result<ExitCode> {
    let schema = schema.map(std::fs::read_to_string).transpose().context("--schema")?;
    receiver::init_db(config, schema.as_deref()).await?;
    writeln!(std::io::stdout(), "the table unigate_payment is there")?;
    Ok(ExitCode::SUCCESS)
}

fn start_logging(json: bool) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info,sqlx=warn"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    if json {
        builder.json().init();
    } else {
        builder.init();
    }
}
