//! Cards whose last day is near or past: taken out of stock before anybody is sold one.

use domain::declaration::{Product, Zone};
use domain::ids::ProductId;
use jiff::civil::Date;
use serde_json::json;

use super::day_in;
use crate::audit::{self, Act};
use crate::{Store, StoreError, Tx};

/// Who did it, in the audit log.
const SYSTEM: &str = "system";

/// How near its last day a product's card may come.
#[derive(Clone, Debug)]
pub struct ExpiryRule {
    /// Of what.
    pub product: ProductId,
    /// A card with fewer days left, its last one not counted, is withdrawn; 0 = when its last day is past.
    pub days_left: u32,
    /// Whose days they are.
    pub time_zone: Zone,
}

impl ExpiryRule {
    /// That of a product as declared.
    pub fn of(product: &Product) -> Self {
        Self {
            product: product.id.clone(),
            days_left: product.withdraw_days_before_expiry,
            time_zone: product.time_zone.clone(),
        }
    }
}

/// What was withdrawn of a product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withdrawn {
    /// Of what.
    pub product: ProductId,
    /// Which cards.
    pub serials: Vec<String>,
}

/// Available cards of a product that come too near their last day by this rule: the next sweeps withdraw them.
pub async fn count_expiring(tx: &Tx, rule: &ExpiryRule) -> Result<i64, StoreError> {
    let sql = format!(
        "SELECT count(*) FROM card
         WHERE product_id = $1 AND state = 'available' AND expires_on < (SELECT {} + $2::int FROM (VALUES ($3::text)) z (zone))",
        day_in("zone")
    );
    let days = i32::try_from(rule.days_left).unwrap_or(i32::MAX);
    let row = tx
        .query_one(&sql, &[&rule.product.as_str(), &days, &rule.time_zone.name()])
        .await?;
    Ok(row.get(0))
}

/// Withdraws up to `most` available cards of each product that come too near their last day by the database's clock, in
/// the product's time zone; one that is held is left until it comes back. Each product's share is in the audit log, by serial.
pub async fn withdraw_expiring(store: &Store, rules: &[ExpiryRule], most: i64) -> Result<Vec<Withdrawn>, StoreError> {
    let products: Vec<&str> = rules.iter().map(|rule| rule.product.as_str()).collect();
    let days: Vec<i32> = rules
        .iter()
        .map(|rule| i32::try_from(rule.days_left).unwrap_or(i32::MAX))
        .collect();
    let zones: Vec<&str> = rules.iter().map(|rule| rule.time_zone.name()).collect();
    let tx = store.begin().await?;
    let sql = format!(
        "WITH near AS (
                 SELECT near.card_id FROM (
                     SELECT product_id, {} + days_left AS good_until
                     FROM UNNEST($1::text[], $2::int[], $4::text[]) AS declared (product_id, days_left, zone) OFFSET 0
                 ) rule
                 CROSS JOIN (VALUES ('fresh'), ('returned')) AS pools (pool)
                 CROSS JOIN LATERAL (
                     SELECT card_id FROM card
                     WHERE card.product_id = rule.product_id AND state = 'available' AND card.pool = pools.pool
                       AND expires_on IS NOT NULL AND expires_on < rule.good_until
                     ORDER BY expires_on, pos LIMIT $3 FOR UPDATE SKIP LOCKED
                 ) near
             )
             UPDATE card SET state = 'withdrawn', out_of_date = true, updated_at = clock_timestamp()
             WHERE card_id = ANY(ARRAY(SELECT card_id FROM near))
             RETURNING product_id, serial, expires_on",
        day_in("zone")
    );
    let rows = tx.query(&sql, &[&products, &days, &most, &zones]).await?;
    let mut withdrawn = Vec::new();
    for rule in rules {
        let own = rows.iter().filter(|row| row.get::<_, &str>(0) == rule.product.as_str());
        let (serials, last_days): (Vec<_>, Vec<_>) =
            own.map(|row| (row.get::<_, String>(1), row.get::<_, Date>(2))).unzip();
        let (Some(first), Some(last)) = (last_days.iter().min(), last_days.iter().max()) else {
            continue;
        };
        let act = Act {
            who: SYSTEM,
            act: "cards withdraw-expiring",
            subject_kind: "product",
            subject: rule.product.as_str(),
            reason: Some(&format!("fewer than {} days are left", rule.days_left)),
            before: Some(json!({ "state": "available" })),
            after: Some(json!({
                "state": "withdrawn", "cards": serials.len(), "last_days": [first, last], "serials": serials,
            })),
        };
        audit::record(&tx, &act).await?;
        withdrawn.push(Withdrawn {
            product: rule.product.clone(),
            serials,
        });
    }
    tx.commit().await?;
    Ok(withdrawn)
}
