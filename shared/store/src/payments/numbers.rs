//! The numbers that payees see: from a sequence, with the epoch in front, so that after a lossy restore none is dealt twice.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::ids::{Number, PaymentId};
use uuid::Uuid;

use super::NewPayment;
use crate::{Store, StoreError, Tx};

/// So many are drawn at once. A process that ends leaves as many unused at most; gaps are allowed.
const BLOCK: usize = 1024;

/// Numbers drawn ahead by one worker: with a number in hand a payment is stored without a word from the database. Those of
/// two workers rise side by side; nothing but the eye goes by their order.
#[derive(Debug, Default)]
pub struct Numbers(Arc<InHand>);

#[derive(Debug, Default)]
struct InHand(Mutex<VecDeque<Number>>);

impl InHand {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Number>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Numbers {
    /// A number for each of these payments, in their order: the one its payee was told at a check, or the next one.
    pub(super) async fn deal(&self, tx: &Tx, fresh: &[&NewPayment<'_>]) -> Result<Vec<Number>, StoreError> {
        let told = told_at_check(tx, fresh).await?;
        let mut drawn = self.draw(tx, fresh.len() - told.len()).await?.into_iter();
        let number = |new: &&NewPayment<'_>| told.get(&new.payment_id).copied().or_else(|| drawn.next());
        let dealt: Vec<Number> = fresh.iter().filter_map(number).collect();
        if dealt.len() < fresh.len() {
            return Err(StoreError::unreadable("the sequence of numbers gave too few"));
        }
        Ok(dealt)
    }

    async fn draw(&self, tx: &Tx, count: usize) -> Result<Vec<Number>, StoreError> {
        let mut drawn: Vec<Number> = {
            let mut in_hand = self.0.lock();
            let there = count.min(in_hand.len());
            in_hand.drain(..there).collect()
        };
        let missing = count - drawn.len();
        if missing > 0 {
            let more = i64::try_from(missing + BLOCK).unwrap_or(i64::MAX);
            let row = tx
                .query_one(
                    "SELECT array_agg((SELECT epoch FROM ledger) * 1000000000000000 + nextval('payment_number'))
                     FROM generate_series(1, $1::int8)",
                    &[&more],
                )
                .await?;
            let mut more = row.get::<_, Vec<i64>>(0).into_iter().map(Number::new);
            for number in more.by_ref().take(missing) {
                drawn.push(number?);
            }
            let rest: Vec<Number> = more.collect::<Result<_, _>>()?;
            // What a sequence has dealt is only safe with the commit: a server that crashes before deals it once more.
            let in_hand = Arc::clone(&self.0);
            tx.once_committed(move || in_hand.lock().extend(rest));
        }
        Ok(drawn)
    }
}

/// Only some payees are told a number at a check; for the others the look would cost as much as an index.
async fn told_at_check(tx: &Tx, fresh: &[&NewPayment<'_>]) -> Result<HashMap<PaymentId, Number>, StoreError> {
    let asked: Vec<Uuid> = fresh
        .iter()
        .filter(|new| new.numbered_at_check)
        .map(|new| new.payment_id.as_uuid())
        .collect();
    if asked.is_empty() {
        return Ok(HashMap::new());
    }
    let rows = tx
        .query(
            "SELECT payment_id, number FROM dealt_number WHERE payment_id = ANY($1)",
            &[&asked],
        )
        .await?;
    rows.iter()
        .map(|row| Ok((PaymentId::from_uuid(row.get(0)), Number::new(row.get(1))?)))
        .collect()
}

/// The number of a payment that may follow a check, for payees that are told it then: dealt when the id is first seen, and
/// the payment's own ever after. It is kept from the last check on, or a day less: checks are repeated within seconds, and
/// a row whose place in its indexes stays is cheap to write.
pub async fn number_at_check(store: &Store, payment_id: PaymentId) -> Result<Number, StoreError> {
    let rows = store
        .query(
            "WITH known AS (
                 SELECT number FROM payment_identity WHERE payment_id = $1 AND number IS NOT NULL),
             dealt AS (
                 INSERT INTO dealt_number (payment_id, number)
                 SELECT $1, (SELECT epoch FROM ledger) * 1000000000000000 + nextval('payment_number')
                 WHERE NOT EXISTS (SELECT FROM known)
                 ON CONFLICT (payment_id) DO UPDATE SET dealt_at =
                     CASE WHEN dealt_number.dealt_at > excluded.dealt_at - interval '1 day' THEN dealt_number.dealt_at
                          ELSE excluded.dealt_at END
                 RETURNING number)
             SELECT number FROM known UNION ALL SELECT number FROM dealt",
            &[&payment_id.as_uuid()],
        )
        .await?;
    let number = rows.first().map(|row| row.get(0));
    let number = number.ok_or_else(|| StoreError::Changed("no number was dealt".into()))?;
    Ok(Number::new(number)?)
}

/// The oldest that are old enough, but for one that is told again this very moment.
pub(crate) const FORGOTTEN: &str = "DELETE FROM dealt_number WHERE payment_id = ANY(ARRAY(
         SELECT payment_id FROM dealt_number WHERE dealt_at < statement_timestamp() - $1::float8 * interval '1 day'
         ORDER BY dealt_at LIMIT $2))
     AND dealt_at < statement_timestamp() - $1::float8 * interval '1 day'";

/// Forgets up to `most` of the numbers that were told at checks more than `days` ago, the oldest first. Returns how many.
pub async fn forget_dealt(store: &Store, days: u32, most: i64) -> Result<u64, StoreError> {
    store.execute(FORGOTTEN, &[&f64::from(days), &most]).await
}
