//! What is in stock and for how long it will do, and whose secrets are due to be shredded.

use domain::ids::ProductId;
use tokio_postgres::Row;

use super::day_in;
use crate::{Store, StoreError, Tx};

/// The rate of selling is that of so many days, unless said otherwise.
pub const RATE_DAYS: u32 = 7;

/// A product's cards by where they are: each card is counted once.
#[derive(Clone, Debug, PartialEq)]
pub struct Stock {
    /// Of what.
    pub product: ProductId,
    /// Never shown to anyone, and good for as long as the product demands.
    pub fresh: i64,
    /// Came back unsold, and as good.
    pub returned: i64,
    /// Held for a payer.
    pub held: i64,
    /// The hold is over, the grace is not.
    pub lapsed: i64,
    /// Sold.
    pub sold: i64,
    /// Too near their last day to be sold, or past it: withdrawn for that, or about to be.
    pub expired: i64,
    /// Do not work, as far as an operator or a failed opening has said.
    pub faulty: i64,
    /// Taken out by an operator.
    pub withdrawn: i64,
    /// Sold per day: the sales of the days asked for, divided by as many days, or by those since the product's first file
    /// if that is younger (one at least).
    pub per_day: f64,
    /// For how many days what can be sold will do at this rate; none while nothing is sold. What came back counts if it
    /// may be offered again, now or later.
    pub days_left: Option<f64>,
    /// The threshold below which the stock counts as low; 0 = none.
    pub low_stock: i64,
}

/// Every product's stock, at the rate of the last seven days.
pub async fn stock(store: &Store) -> Result<Vec<Stock>, StoreError> {
    stock_at_rate(store, RATE_DAYS).await
}

/// Every product's stock. What is in stock is counted by its indexes, the order keeping the planner on them; of what was
/// sold, only what [`settle_sold`] has not come to yet. So it costs what there is, not what there ever was.
pub async fn stock_at_rate(store: &Store, rate_days: u32) -> Result<Vec<Stock>, StoreError> {
    let rate_days = rate_days.max(1);
    let rows = store.query(&counts(), &[&f64::from(rate_days)]).await?;
    rows.iter().map(|row| stock_of(row, rate_days)).collect()
}

/// The first last day with which a card of product `p` is still sold, worked out once per product.
fn good_until() -> String {
    format!(
        "SELECT {} + coalesce((p.declaration ->> 'withdraw_days_before_expiry')::int, 0) AS good_until OFFSET 0",
        day_in("coalesce(p.declaration ->> 'time_zone', 'UTC')")
    )
}

/// Each count has one index: what is in stock by its pool, what runs out by its day, what was set aside by its state. Cards
/// that are somebody's are counted by their reservations, which have indexes of what is held and what is in grace anyway: an
/// index of cards by their state would get an entry with each card that is reserved.
fn counts() -> String {
    format!(
        "WITH open AS (
        SELECT c.product_id, c.state, count(*) AS cards
        FROM (SELECT card_id FROM reservation WHERE state = 'held' UNION ALL
              SELECT card_id FROM reservation WHERE state = 'lapsed') r JOIN card c USING (card_id)
        WHERE c.state IN ('reserved', 'lapsed') GROUP BY c.product_id, c.state
    ),
    recent AS (
        SELECT product_id, count(*) AS sold FROM reservation
        WHERE state = 'sold' AND ended_at >= statement_timestamp() - $1::float8 * interval '1 day' GROUP BY product_id
    )
    SELECT p.product_id,
           (SELECT count(*) FROM (SELECT FROM card c WHERE c.product_id = p.product_id AND state = 'available'
                AND pool = 'fresh' ORDER BY pos OFFSET 0) fresh),
           (SELECT count(*) FROM card c WHERE c.product_id = p.product_id AND state = 'available' AND pool = 'returned'),
           (SELECT count(*) FROM card c WHERE c.product_id = p.product_id AND state = 'available' AND pool = 'fresh'
                AND expires_on IS NOT NULL AND expires_on < near.good_until),
           (SELECT count(*) FROM card c WHERE c.product_id = p.product_id AND state = 'available' AND pool = 'returned'
                AND expires_on IS NOT NULL AND expires_on < near.good_until),
           coalesce((SELECT cards FROM open o WHERE o.product_id = p.product_id AND o.state = 'reserved'), 0),
           coalesce((SELECT cards FROM open o WHERE o.product_id = p.product_id AND o.state = 'lapsed'), 0),
           coalesce(kept.sold_settled, 0) + (SELECT count(*) FROM reservation r WHERE r.product_id = p.product_id
                AND state = 'sold' AND ended_at >= coalesce(kept.settled_until, '-infinity')),
           (SELECT count(*) FROM card c WHERE c.product_id = p.product_id AND state = 'faulty'),
           (SELECT count(*) FROM card c WHERE c.product_id = p.product_id AND state = 'withdrawn'),
           (SELECT count(*) FROM card c WHERE c.product_id = p.product_id AND state = 'withdrawn' AND out_of_date),
           coalesce(recent.sold, 0),
           (SELECT extract(epoch FROM statement_timestamp() - min(created_at))::float8 / 86400 FROM card_batch b
                WHERE b.product_id = p.product_id),
           coalesce((p.declaration ->> 'low_stock')::bigint, 0),
           coalesce(p.declaration ->> 'reissue_exposed', 'false') <> 'false'
    FROM product p
    CROSS JOIN LATERAL ({}) near
    LEFT JOIN product_stock kept USING (product_id)
    LEFT JOIN recent USING (product_id)
    ORDER BY p.product_id",
        good_until()
    )
}

/// Adds sales that are over and done with to the kept count of sold cards, product by product. A sale is written with the
/// time of its transaction's statements, and no transaction lasts for an hour: what ended before that is all there.
pub async fn settle_sold(store: &Store) -> Result<(), StoreError> {
    let tx = store.begin().await?;
    // Locked first, so that whoever else is at it has either been or passes by.
    let rows = tx
        .query(
            "SELECT product_id FROM product_stock WHERE settled_until < statement_timestamp() - interval '70 minutes'
             ORDER BY product_id FOR UPDATE SKIP LOCKED",
            &[],
        )
        .await?;
    let products: Vec<&str> = rows.iter().map(|row| row.get(0)).collect();
    tx.execute(
        "UPDATE product_stock s SET settled_until = due.until, sold_settled = sold_settled + (
             SELECT count(*) FROM reservation r WHERE r.product_id = s.product_id AND state = 'sold'
                AND ended_at >= s.settled_until AND ended_at < due.until)
         FROM (SELECT statement_timestamp() - interval '1 hour' AS until OFFSET 0) due
         WHERE s.product_id = ANY($1)",
        &[&products],
    )
    .await?;
    tx.commit().await
}

fn stock_of(row: &Row, rate_days: u32) -> Result<Stock, StoreError> {
    let (fresh_near, returned_near): (i64, i64) = (row.get(3), row.get(4));
    let (withdrawn, out_of_date): (i64, i64) = (row.get(9), row.get(10));
    let fresh = row.get::<_, i64>(1) - fresh_near;
    let returned = row.get::<_, i64>(2) - returned_near;
    let age_days = row.get::<_, Option<f64>>(12).unwrap_or(0.0);
    let per_day = row.get::<_, i64>(11) as f64 / age_days.clamp(1.0, f64::from(rate_days));
    let is_reissued: bool = row.get(14);
    let sellable = fresh + if is_reissued { returned } else { 0 };
    Ok(Stock {
        product: ProductId::parse(row.get(0))?,
        fresh,
        returned,
        held: row.get(5),
        lapsed: row.get(6),
        sold: row.get(7),
        expired: fresh_near + returned_near + out_of_date,
        faulty: row.get(8),
        withdrawn: withdrawn - out_of_date,
        per_day,
        days_left: (per_day > 0.0).then(|| sellable as f64 / per_day),
        low_stock: row.get(13),
    })
}

/// How much of a product could be reserved now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Available {
    /// Of what.
    pub product: ProductId,
    /// Fresh ones.
    pub fresh: i64,
    /// Those that came back and may be offered again by now.
    pub returned: i64,
}

/// How much of these products could be reserved now, in their order; counted up to `most` each (a count costs its size).
pub async fn available(tx: &Tx, products: &[ProductId], most: i64) -> Result<Vec<Available>, StoreError> {
    let ids: Vec<&str> = products.iter().map(ProductId::as_str).collect();
    // The order keeps the planner on the indexes of what is left: unordered, a small `most` reads through all that was sold.
    // After no days (never) is never.
    let sql = format!(
        "SELECT w.product_id,
                    (SELECT count(*) FROM (SELECT FROM card c WHERE c.product_id = w.product_id AND state = 'available'
                         AND pool = 'fresh' AND (expires_on IS NULL OR expires_on >= near.good_until)
                         ORDER BY pos LIMIT $2) fresh),
                    (SELECT count(*) FROM (SELECT FROM card c WHERE c.product_id = w.product_id AND state = 'available'
                         AND pool = 'returned'
                         AND came_back_at <= statement_timestamp() - reissue.after_days * interval '1 day'
                         AND (expires_on IS NULL OR expires_on >= near.good_until)
                         ORDER BY came_back_at, pos LIMIT $2) returned)
             FROM UNNEST($1::text[]) WITH ORDINALITY AS w (product_id, place)
             LEFT JOIN product p USING (product_id)
             CROSS JOIN LATERAL (
                 SELECT CASE p.declaration ->> 'reissue_exposed' WHEN 'true' THEN 0 WHEN 'false' THEN NULL
                             ELSE (p.declaration ->> 'reissue_exposed')::float8 END AS after_days OFFSET 0
             ) reissue
             CROSS JOIN LATERAL ({}) near
             ORDER BY w.place",
        good_until()
    );
    let rows = tx.query(&sql, &[&ids, &most]).await?;
    rows.iter()
        .map(|row| {
            Ok(Available {
                product: ProductId::parse(row.get(0))?,
                fresh: row.get(1),
                returned: row.get(2),
            })
        })
        .collect()
}

/// Locks what is kept of the stock of these products: whoever counts it then says what was so after everybody before. Goes out
/// with the next statement.
pub async fn lock_stock(tx: &Tx, products: &[ProductId]) -> Result<(), StoreError> {
    let ids: Vec<&str> = products.iter().map(ProductId::as_str).collect();
    tx.execute_later(
        "SELECT FROM product_stock WHERE product_id = ANY($1) ORDER BY product_id FOR NO KEY UPDATE",
        &[&ids],
    )
    .await
}

/// Which of these products ever had a card: by their files, which are few and come with their cards. Asked before anything is counted: a count from before the first file's commit, put
/// beside cards seen after it, would be a stock that has run low.
pub async fn ever_stocked(tx: &Tx, products: &[ProductId]) -> Result<Vec<ProductId>, StoreError> {
    let ids: Vec<&str> = products.iter().map(ProductId::as_str).collect();
    let rows = tx
        .query(
            "SELECT w.product_id FROM UNNEST($1::text[]) WITH ORDINALITY AS w (product_id, place)
             WHERE EXISTS (SELECT FROM card_batch b WHERE b.product_id = w.product_id AND b.last_card IS DISTINCT FROM 0)
             ORDER BY w.place",
            &[&ids],
        )
        .await?;
    rows.iter().map(|row| Ok(ProductId::parse(row.get(0))?)).collect()
}

/// Notes whether the stock of a product is low that ever had any ([`ever_stocked`]). True when it has just become so.
pub async fn low_crossing(tx: &Tx, product: &ProductId, low: bool) -> Result<bool, StoreError> {
    let changed = tx
        .execute(
            "UPDATE product_stock SET low = $2 WHERE product_id = $1 AND low <> $2",
            &[&product.as_str(), &low],
        )
        .await?;
    Ok(low && changed == 1)
}

/// Forgets the details of up to `most` cards of a product sold more than `days` ago. The blind index stays.
pub async fn shred(store: &Store, product: &ProductId, days: u32, most: i64) -> Result<u64, StoreError> {
    store
        .execute(
            "UPDATE card SET sealed = NULL WHERE card_id = ANY(ARRAY(
                 SELECT card_id FROM card WHERE product_id = $1 AND state = 'sold' AND sealed IS NOT NULL
                    AND updated_at < statement_timestamp() - $2 * interval '1 day'
                 ORDER BY updated_at LIMIT $3 FOR UPDATE SKIP LOCKED))",
            &[&product.as_str(), &f64::from(days), &most],
        )
        .await
}
