//! Declaring a product: what its cards came in under stays.

use domain::declaration::Product;
use serde_json::Value;

use super::{Applied, Plain, apply_plain, check_zone, lock_current, raise_generation};
use crate::{StoreError, Tx};

/// Declares a product. [`StoreError::Changed`] where its time zone is not known to the database, or another currency comes too
/// late.
pub async fn apply_product(tx: &Tx, product: &Product, who: &str) -> Result<Applied, StoreError> {
    check_zone(tx, &product.time_zone, || format!("product {}: time_zone", product.id)).await?;
    let sql = Plain {
        current: "SELECT version, declaration FROM product WHERE product_id = $1 FOR NO KEY UPDATE",
        write: "INSERT INTO product (product_id, version, declaration) VALUES ($1, $2, $3)
                ON CONFLICT (product_id) DO UPDATE SET version = excluded.version, declaration = excluded.declaration,
                    updated_at = clock_timestamp()",
    };
    if let Some((_, old)) = lock_current(tx, sql.current, product.id.as_str()).await? {
        check_currency(tx, product, &old).await?;
    }
    apply_plain(tx, sql, product, who).await
}

/// The currency can be put right until a file of cards came in: they may have amounts of their own, which were read in it.
async fn check_currency(tx: &Tx, product: &Product, old: &Value) -> Result<(), StoreError> {
    let (was, is) = (old["currency"].as_str().unwrap_or_default(), product.currency.code());
    if was == is {
        return Ok(());
    }
    // Whoever takes up a file from here on waits with its declaration for the end of this transaction.
    raise_generation(tx).await?;
    let came_in = tx
        .query_one(
            "SELECT EXISTS (SELECT FROM card_batch WHERE product_id = $1)
                 OR EXISTS (SELECT FROM card_import WHERE product_id = $1 AND state = 'working')",
            &[&product.id.as_str()],
        )
        .await?;
    if came_in.get(0) {
        return Err(StoreError::Changed(format!(
            "product {}: the currency cannot change from {was} to {is}: a file of its cards came in, or is coming in; declare \
             another product",
            product.id
        )));
    }
    Ok(())
}
