//! The stock, made once, and the shops that each measurement opens on a copy of it.

use anyhow::Context as _;
use bus::frontend::Frontend;
use cards::vault::{self, BatchKey, CardPlace};
use contract::answer::SecretFields;
use domain::declaration::Product;
use domain::ids::ProductId;
use runtime::{Context, end_within};
use sha2::{Digest, Sha256};
use store::rehearsal::{self, Sealed};
use store::{Store, declarations};

use super::Size;
use crate::bench::ground::{Ground, Grounds, IDENTITY};

/// Cards put into stock in one statement.
const CHUNK: usize = 5000;

const PRODUCT: &str = r#"
    id = "bench-100"
    name = "Bench 100"
    face_value = 10000
    price = 10000
    currency = "RUB"
    holds_seconds = [600, 15]
    grace_seconds = 3600
    reissue_exposed = true
"#;

/// A database with a full stock, of which copies are made.
pub(super) struct Stock {
    pub(super) size: Size,
    grounds: Grounds,
    ground: Ground,
}

/// A copy of the stock with a namespace, and front-ends in front of it.
pub(super) struct Shop {
    pub(super) ground: Ground,
    pub(super) frontend: Frontend,
}

pub(super) fn product() -> anyhow::Result<ProductId> {
    Ok(ProductId::parse("bench-100")?)
}

/// The details of a card, as many as issuers give.
pub(super) fn details(nth: usize) -> [(&'static str, String); 2] {
    [
        ("pin", format!("{:016}", nth * 7919 + 1)),
        ("activation", format!("*111*{nth:012}#")),
    ]
}

pub(super) fn serial(nth: usize) -> String {
    format!("B-{nth:09}")
}

/// Cards sealed for the places from 1 on.
pub(super) fn sealed(key: &BatchKey, batch_id: i64, nths: std::ops::Range<usize>) -> anyhow::Result<Vec<Sealed>> {
    nths.map(|nth| {
        let pos = i64::try_from(nth + 1)?;
        let fields = details(nth).map(|(name, value)| (name.to_owned(), value.into())).into();
        Ok(Sealed {
            pos,
            sealed: key.seal(CardPlace { batch_id, pos }, &SecretFields::new(fields))?,
            blind_index: Sha256::digest(nth.to_be_bytes()).into(),
            serial: serial(nth),
        })
    })
    .collect()
}

impl Stock {
    /// Makes it; without cards in it where nobody opens a shop on a copy of it.
    pub(super) async fn make(grounds: &Grounds, size: Size, filled: bool) -> anyhow::Result<Self> {
        let ground = grounds.make("stock", None).await?;
        // The copies have its vault.
        let grounds = grounds.with_identity(ground.file(IDENTITY));
        let stock = Self { size, grounds, ground };
        if filled {
            stock.fill().await?;
        }
        Ok(stock)
    }

    async fn fill(&self) -> anyhow::Result<()> {
        let store = &self.ground.store;
        declare(store).await?;
        let (vault, _) = vault::open(store, &self.ground.file(IDENTITY)).await?;
        let (key, wrapped) = vault.new_batch_key()?;
        let product = product()?;
        let tx = store.begin().await?;
        let batch_id = rehearsal::open_batch(&tx, &product, vault.version(), &wrapped).await?;
        tx.commit().await?;
        for first in (0..self.size.cards).step_by(CHUNK) {
            let cards = sealed(&key, batch_id, first..(first + CHUNK).min(self.size.cards))?;
            let tx = store.begin().await?;
            rehearsal::add_stock(&tx, &product, batch_id, &cards).await?;
            tx.commit().await?;
        }
        Ok(rehearsal::settle(store).await?)
    }

    /// Whether its server clears away dead rows by itself.
    pub(super) async fn has_autovacuum(&self) -> anyhow::Result<bool> {
        Ok(rehearsal::has_autovacuum(&self.ground.store).await?)
    }

    /// Opens a shop on a copy of the stock.
    pub(super) async fn open(&self, purpose: &str) -> anyhow::Result<Shop> {
        Shop::on(self.grounds.make(purpose, Some(&self.ground.settings.store)).await?).await
    }

    /// Opens a shop with the product and nothing in stock.
    pub(super) async fn open_empty(&self, purpose: &str) -> anyhow::Result<Shop> {
        let ground = self.grounds.make(purpose, None).await?;
        declare(&ground.store).await?;
        Shop::on(ground).await
    }

    pub(super) async fn clear(self) -> anyhow::Result<()> {
        self.ground.clear().await
    }
}

async fn declare(store: &Store) -> anyhow::Result<()> {
    let product: Product = toml::from_str(PRODUCT).context("the benchmark's product")?;
    let tx = store.begin().await?;
    declarations::lock_for_apply(&tx).await?;
    declarations::apply_product(&tx, &product, "bench").await?;
    Ok(tx.commit().await?)
}

impl Shop {
    async fn on(ground: Ground) -> anyhow::Result<Self> {
        let frontend = Frontend::connect(&ground.settings.bus).await?;
        Ok(Self { ground, frontend })
    }

    /// Starts a whole cards worker in this process.
    pub(super) async fn start_worker(&self) -> anyhow::Result<Context> {
        let context = self.ground.start().await?;
        cards::start(&context).await?;
        Ok(context)
    }

    /// Ends the worker and takes everything away.
    pub(super) async fn close(self) -> anyhow::Result<()> {
        self.frontend.close().await;
        self.ground.clear().await
    }
}

/// Ends a worker while its shop stays open.
pub(super) async fn stop(worker: Context) {
    worker.shutdown.cancel();
    end_within(&worker).await;
}
