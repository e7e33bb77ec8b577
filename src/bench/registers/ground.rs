//! The payments, made once, and the copies that each measurement works on.

use anyhow::Context as _;
use domain::declaration::Payee;
use store::declarations;
use store::rehearsal::registers as rehearsal;

use crate::bench::ground::{Ground, Grounds};

/// All payees but for their ids. The recipient's key is nobody's.
const PAYEE: &str = r#"
    id = "bench-00000"
    name = "Горводоканал"
    gateway = "registers"
    currency = "RUB"
    account = { pattern = "^[0-9]{10}$" }
    amount = { min = 100, max = 1500000 }
    [[field]]
    name = "payer"
    label = "Payer"
    [[field]]
    name = "meter_cold"
    label = "Cold water meter"
    [register]
    every_seconds = 86400
    time_zone = "Europe/Moscow"
    format = "csv"
    zip = true
    age_recipients = ["RECIPIENT"]
    mail_to = ["buh@example.org"]
"#;

/// A database with payments that are in no register yet.
pub(super) struct Source {
    pub(super) payees: u32,
    pub(super) payments: u32,
    grounds: Grounds,
    ground: Ground,
}

impl Source {
    /// Makes it.
    pub(super) async fn make(grounds: &Grounds, purpose: &str, payees: u32, payments: u32) -> anyhow::Result<Self> {
        tracing::info!(payees, payments, "making the payments");
        let ground = grounds.make(purpose, None).await?;
        let source = Self {
            payees,
            payments,
            grounds: grounds.clone(),
            ground,
        };
        source.fill().await?;
        Ok(source)
    }

    async fn fill(&self) -> anyhow::Result<()> {
        let text = PAYEE.replace("RECIPIENT", &super::tools::recipient());
        let payee: Payee = toml::from_str(&text).context("the benchmark's payee")?;
        let tx = self.ground.store.begin().await?;
        declarations::lock_for_apply(&tx).await?;
        declarations::apply_payee(&tx, &payee, "bench").await?;
        tx.commit().await?;
        Ok(rehearsal::owe(&self.ground.store, self.payees, self.payments).await?)
    }

    /// A database with the same.
    pub(super) async fn copy(&self) -> anyhow::Result<Ground> {
        self.grounds.make("copy", Some(&self.ground.settings.store)).await
    }

    pub(super) async fn clear(self) -> anyhow::Result<()> {
        self.ground.clear().await
    }
}
