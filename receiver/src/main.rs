//! `unigate-receiver`: the program a payee's administrator runs. Exit codes: 0 done, 1 failed, 2 wrong usage, 64 bad
//! configuration.

use std::io::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use receiver::{Config, Given, Severity};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

const BAD_CONFIGURATION: u8 = 64;
/// The longest wait for an answer about health.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(5);

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
    /// Try every statement of the configuration in a transaction that is rolled back.
    CheckConfig {
        /// The configuration, instead of --config.
        file: Option<PathBuf>,
        /// An account of yours to try the statements with.
        #[arg(long)]
        account: Option<String>,
        /// An amount to try them with, in minor units.
        #[arg(long)]
        amount: Option<i64>,
        /// What a payer enters, as NAME=VALUE; for each field once.
        #[arg(long = "field", value_name = "NAME=VALUE", value_parser = name_and_value)]
        fields: Vec<(String, String)>,
    },
    /// Ask the receiver that runs with this configuration whether it is ready.
    Health,
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
    let path = match &arguments.command {
        Command::CheckConfig { file: Some(file), .. } => file,
        _ => &arguments.config,
    };
    let config = match read_config(path) {
        Ok(config) => config,
        Err(error) => {
            tracing::error!("{}: {error:#}", path.display());
            return ExitCode::from(BAD_CONFIGURATION);
        }
    };
    let done = match arguments.command {
        Command::Run { .. } => run(config).await,
        Command::CheckConfig {
            account,
            amount,
            fields,
            ..
        } => {
            let given = Given {
                account,
                amount,
                fields: fields.into_iter().collect(),
            };
            check_config(&config, &given).await
        }
        Command::Health => health(&config).await,
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

fn name_and_value(text: &str) -> Result<(String, String), &'static str> {
    let (name, value) = text.split_once('=').ok_or("write NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// What the container's health check asks: `/readyz` of the address in the configuration, spoken by hand because the
/// program needs no other client.
async fn health(config: &Config) -> anyhow::Result<ExitCode> {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let mut address = config.listen;
    if address.ip().is_unspecified() {
        address.set_ip(match address {
            SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    let asked = async {
        let mut stream = tokio::net::TcpStream::connect(address).await?;
        stream.write_all(b"GET /readyz HTTP/1.0\r\n\r\n").await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        anyhow::Ok(answer)
    };
    let answer = tokio::time::timeout(HEALTH_TIMEOUT, asked)
        .await
        .context("no answer")??;
    let ready = answer.split_whitespace().nth(1) == Some("200");
    writeln!(std::io::stdout(), "{}", if ready { "ready" } else { "not ready" })?;
    Ok(if ready { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn check_config(config: &Config, given: &Given) -> anyhow::Result<ExitCode> {
    let findings = receiver::check_config(config, given).await;
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
