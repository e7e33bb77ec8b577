//! The import of a whole card file by `unigate cards import`, beside three times a COPY of the same rows and, once, the
//! cryptography that nobody can do without.

use std::time::{Duration, Instant};

use anyhow::ensure;
use cards::vault;
use contract::answer::SecretFields;
use store::rehearsal;

use super::shop::{Shop, Stock, details, product, sealed, serial};
use crate::bench::ground::CARD_FILE;

/// How many times the COPY an import may take. What the cryptography takes is added as it is: it can be done but once.
const TIMES_THE_COPY: u32 = 3;

/// Seconds of the import, and what it may take.
pub(super) async fn measure(stock: &Stock) -> anyhow::Result<(f64, f64)> {
    let cards = stock.size.cards;
    let shop = stock.open_empty("import").await?;
    shop.start_worker().await?;
    let text = file(cards);
    let path = shop.ground.file(CARD_FILE);
    std::fs::write(&path, &text)?;
    let ours = import(&shop, &path).await?;
    ensure!(
        rehearsal::are_files_done(&shop.ground.store).await?,
        "the file is not done"
    );
    let bound = bound(&shop, text, cards).await?;
    shop.close().await?;
    Ok((ours, bound))
}

fn file(cards: usize) -> String {
    let mut text = String::from("serial,pin,activation\n");
    for nth in 0..cards {
        let [(_, pin), (_, activation)] = details(nth);
        text.extend([&*serial(nth), ",", &pin, ",", &activation, "\n"]);
    }
    text
}

async fn import(shop: &Shop, path: &std::path::Path) -> anyhow::Result<f64> {
    let begun = Instant::now();
    let status = shop
        .ground
        .command(&["cards", "import", "--product", "bench-100", "--wait", "3600"])?
        .arg(path)
        .status()
        .await?;
    ensure!(status.success(), "`unigate cards import` ended with {status}");
    Ok(begun.elapsed().as_secs_f64())
}

/// The file sealed once and opened twice (it is checked before it is entered), every card sealed and indexed; and the COPY.
async fn bound(shop: &Shop, text: String, cards: usize) -> anyhow::Result<f64> {
    let store = &shop.ground.store;
    let (vault, _) = vault::open(store, &shop.ground.settings.vault_identity_file).await?;
    let (key, wrapped) = vault.new_batch_key()?;
    let tx = store.begin().await?;
    let batch_id = rehearsal::open_batch(&tx, &product()?, vault.version(), &wrapped).await?;
    tx.commit().await?;
    let (rows, crypto) = tokio::task::spawn_blocking(move || {
        let begun = Instant::now();
        let identity = age::x25519::Identity::generate();
        let sealed_file = age::encrypt(&identity.to_public(), text.as_bytes())?;
        for _ in 0..2 {
            drop(age::decrypt(&identity, &sealed_file)?);
        }
        for nth in 0..cards {
            let fields = details(nth).map(|(name, value)| (name.to_owned(), value.into())).into();
            std::hint::black_box(vault.index_key().of_card(&SecretFields::new(fields)));
        }
        let rows = sealed(&key, batch_id, 0..cards)?;
        anyhow::Ok((rows, begun.elapsed()))
    })
    .await??;
    let copied = rehearsal::copy_in(&shop.ground.settings.store, &product()?, batch_id, &rows).await?;
    tracing::info!(?crypto, ?copied, "the bound of the import");
    Ok(allowed(copied, crypto).as_secs_f64())
}

fn allowed(copied: Duration, crypto: Duration) -> Duration {
    copied * TIMES_THE_COPY + crypto
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_copy_counts_three_times_and_the_cryptography_once() {
        let seconds = Duration::from_secs;
        assert_eq!(allowed(seconds(10), seconds(7)), seconds(37));
    }
}
