//! The internet provider: the receiver as it is shipped, with the example's configuration and tables, on a SQLite file of
//! its own. Between it and us is a network that can be cut.

use std::path::Path;

use anyhow::Context as _;
use receiver::{Config, SecretRef};
use testkit::proxy::FaultProxy;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::holdings::Holdings;

const CONFIG: &str = include_str!("../../examples/receiver/sqlite.toml");
const SCHEMA: &str = include_str!("../../examples/receiver/sqlite.sql");

/// The provider's billing.
pub(super) struct Billing {
    config: Config,
    network: FaultProxy,
    shutdown: CancellationToken,
    served: JoinHandle<Result<(), receiver::Error>>,
    /// What its subscribers owe and own before the day.
    balance_before: i64,
}

impl Billing {
    /// Makes the database in `file` and serves.
    pub(super) async fn start(file: &Path, secret: &str) -> anyhow::Result<Self> {
        let mut config = Config::from_toml(CONFIG).context("examples/receiver/sqlite.toml")?;
        config.secret = SecretRef::new(secret);
        config.database.url = SecretRef::new(format!("sqlite://{}", file.display()));
        receiver::init_db(&config, Some(SCHEMA))
            .await
            .context("the provider's database")?;
        let balance_before = balance(&config).await?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let network = FaultProxy::start(listener.local_addr()?).await?;
        let shutdown = CancellationToken::new();
        let served = tokio::spawn(receiver::serve(config.clone(), listener, shutdown.clone()));
        Ok(Self {
            config,
            network,
            shutdown,
            served,
            balance_before,
        })
    }

    /// Where it is called.
    pub(super) fn url(&self) -> String {
        format!("http://{}{}", self.network.addr, self.config.base_path)
    }

    /// The answer to the next call is lost on its way back.
    pub(super) fn lose_next_answer(&self) {
        self.network.reset_answers_after(0);
    }

    /// Nobody reaches it any more.
    pub(super) async fn go_down(&self) {
        self.network.cut().await;
    }

    /// It is back.
    pub(super) fn come_back(&self) {
        self.network.mend();
    }

    /// What its database holds now, read past the receiver's own journal: these are the provider's tables.
    pub(super) async fn holdings(&self) -> anyhow::Result<Holdings> {
        // One row: the receiver returns few, since no statement of a payee needs many.
        let rows = receiver::look(
            &self.config,
            "select count(*) as n, count(distinct number) as numbers, coalesce(sum(amount), 0) as total,
                    coalesce(group_concat(number || ':' || amount, ' '), '') as each_one
             from payments where cancelled = 0",
        )
        .await?;
        let row = rows.first().context("the provider's payments")?;
        let grown = balance(&self.config).await? - self.balance_before;
        Ok(Holdings::of_row(|name| row.get(name).cloned(), grown))
    }

    /// Stops serving.
    pub(super) async fn stop(self) {
        self.shutdown.cancel();
        drop(self.network);
        if let Ok(Err(error)) = self.served.await {
            tracing::warn!(%error, "the provider's billing did not end well");
        }
    }
}

async fn balance(config: &Config) -> anyhow::Result<i64> {
    let rows = receiver::look(config, "select coalesce(sum(balance), 0) as total from subscribers").await?;
    rows.first()
        .and_then(|row| row.get("total")?.parse().ok())
        .context("the subscribers' balances")
}
