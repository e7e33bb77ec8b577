//! What terminals, operators and couriers read of payments.

use domain::ids::{Number, PaymentId};
use domain::payment::PaymentState;
use futures::{Stream, StreamExt};
use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

use super::filter::{Conditions, Filter};
use crate::{Store, StoreError, Tx, paged};

/// A payment as stored, with the state every reader calls it by.
#[derive(Clone, Debug)]
pub struct PaymentRow {
    /// Chosen by the terminal.
    pub payment_id: PaymentId,
    /// What the payee sees.
    pub number: Number,
    /// Who gets the money.
    pub payee: String,
    /// `registers`, `unikassa` or `databases`.
    pub gateway: String,
    /// Who took the money.
    pub terminal: String,
    /// Whose account.
    pub account: String,
    /// Minor units.
    pub amount: i64,
    /// Minor units.
    pub fee: i64,
    /// ISO 4217.
    pub currency: String,
    /// What the payer entered.
    pub fields: Value,
    /// As printed.
    pub receipt_number: Option<String>,
    /// By the terminal's clock.
    pub paid_at: Timestamp,
    /// By the database's clock.
    pub accepted_at: Timestamp,
    /// The stored state.
    pub state: PaymentState,
    /// The state as readers call it: `registered`, `reported` and a suspended payee's `stopped` among them.
    pub shown_state: String,
    /// Raised by every operator's act.
    pub generation: i32,
    /// Calls made.
    pub attempts: i32,
    /// Calls that may have been credited.
    pub maybes: i32,
    /// When it is due next.
    pub due_at: Option<Timestamp>,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// The payee's own id of it.
    pub provider_reference: Option<String>,
    /// What a person should look at.
    pub flags: Vec<String>,
    /// Its series, for register payees.
    pub series_id: Option<i64>,
    /// Its place in the ledger, for register payees.
    pub position: Option<i64>,
    /// The register it is in.
    pub register_id: Option<Uuid>,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// W3C trace context.
    pub traceparent: Option<String>,
}

const COLUMNS: &str = "payment_id, number, payee_id, gateway, terminal_id, account, amount, fee, currency, fields, \
     receipt_number, paid_at, accepted_at, state, shown_state, generation, attempts, maybes, due_at, last_error, \
     provider_reference, flags, series_id, position, register_id, shown_updated_at, traceparent";

fn payment_of(row: &tokio_postgres::Row) -> Result<PaymentRow, StoreError> {
    Ok(PaymentRow {
        payment_id: PaymentId::from_uuid(row.get(0)),
        number: Number::new(row.get(1))?,
        payee: row.get(2),
        gateway: row.get(3),
        terminal: row.get(4),
        account: row.get(5),
        amount: row.get(6),
        fee: row.get(7),
        currency: row.get(8),
        fields: row.get(9),
        receipt_number: row.get(10),
        paid_at: row.get(11),
        accepted_at: row.get(12),
        state: PaymentState::parse(row.get(13))?,
        shown_state: row.get(14),
        generation: row.get(15),
        attempts: row.get(16),
        maybes: row.get(17),
        due_at: row.get(18),
        last_error: row.get(19),
        provider_reference: row.get(20),
        flags: row.get(21),
        series_id: row.get(22),
        position: row.get(23),
        register_id: row.get(24),
        updated_at: row.get(25),
        traceparent: row.get(26),
    })
}

/// Locks a payment for the rest of the transaction.
pub(super) async fn row_for_update(tx: &Tx, payment_id: PaymentId) -> Result<Option<PaymentRow>, StoreError> {
    let locked = tx
        .query_opt(
            "SELECT 1 FROM payment WHERE payment_id = $1 FOR UPDATE",
            &[&payment_id.as_uuid()],
        )
        .await?;
    if locked.is_none() {
        return Ok(None);
    }
    let sql = format!("SELECT {COLUMNS} FROM payment_view WHERE payment_id = $1");
    tx.query_opt(&sql, &[&payment_id.as_uuid()])
        .await?
        .as_ref()
        .map(payment_of)
        .transpose()
}

/// What `payment.status` tells.
#[derive(Clone, Debug)]
pub struct Status {
    /// Which.
    pub payment_id: PaymentId,
    /// Who took the money; nobody else is told.
    pub terminal: String,
    /// What the payee sees; none for one revoked before it came.
    pub number: Option<Number>,
    /// As readers call it.
    pub state: String,
    /// Calls made.
    pub attempts: i32,
    /// What went wrong last.
    pub last_error: Option<String>,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// The status of those of the payments that are known. One that was revoked before it came has a status for each terminal that
/// revoked it.
pub async fn status(tx: &Tx, ids: &[PaymentId]) -> Result<Vec<Status>, StoreError> {
    let ids: Vec<Uuid> = ids.iter().map(|id| id.as_uuid()).collect();
    let rows = tx
        .query(
            "SELECT payment_id, terminal_id, number, shown_state, attempts, last_error, shown_updated_at
             FROM payment_view WHERE payment_id = ANY($1)
             UNION ALL
             SELECT payment_id, coalesce(terminal_id, ''), NULL, 'revoked', 0, NULL, accepted_at
             FROM payment_identity WHERE payment_id = ANY($1) AND disposition = 'revoked'
             UNION ALL
             SELECT payment_id, terminal_id, NULL, 'revoked', 0, NULL, revoked_at
             FROM revoked_besides WHERE payment_id = ANY($1)",
            &[&ids],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Status {
                payment_id: PaymentId::from_uuid(row.get(0)),
                terminal: row.get(1),
                number: row.get::<_, Option<i64>>(2).map(Number::new).transpose()?,
                state: row.get(3),
                attempts: row.get(4),
                last_error: row.get(5),
                updated_at: row.get(6),
            })
        })
        .collect()
}

/// Lists payments, the latest first.
pub async fn list(store: &Store, filter: &Filter) -> Result<Vec<PaymentRow>, StoreError> {
    let (sql, conditions) = listing(filter);
    let rows = store.query(&sql, &conditions.params()).await?;
    rows.iter().map(payment_of).collect()
}

/// The same, as they come, however many. Who reads them may not be away for long: [`StoreError::ReaderAway`].
pub async fn each(
    store: &Store,
    filter: &Filter,
) -> Result<impl Stream<Item = Result<PaymentRow, StoreError>> + use<>, StoreError> {
    let (sql, conditions) = listing(filter);
    let rows = paged::rows(store.begin().await?, &sql, &conditions.params()).await?;
    Ok(rows.map(|row| payment_of(&row?)))
}

fn listing(filter: &Filter) -> (String, Conditions) {
    let mut conditions = Conditions::of(filter);
    let limit = conditions.place(filter.limit);
    let sql = format!(
        "SELECT {COLUMNS} FROM payment_view p WHERE {} ORDER BY accepted_at DESC, number DESC LIMIT {limit}::int8",
        conditions.sql()
    );
    (sql, conditions)
}

/// The list of all that is stopped, for a test that looks at plans.
#[cfg(feature = "scratch")]
pub(crate) fn stopped(online: bool) -> String {
    let state = Some(domain::payment::PaymentState::Stopped);
    let filter = Filter {
        state,
        online,
        ..Filter::default()
    };
    listing(&filter).0
}

/// One payment.
pub async fn find(store: &Store, payment_id: PaymentId) -> Result<Option<PaymentRow>, StoreError> {
    let sql = format!("SELECT {COLUMNS} FROM payment_view WHERE payment_id = $1");
    store
        .query_opt(&sql, &[&payment_id.as_uuid()])
        .await?
        .as_ref()
        .map(payment_of)
        .transpose()
}

/// How many payments are in which state, by payee.
pub async fn count_by_state(store: &Store) -> Result<Vec<(String, String, i64)>, StoreError> {
    let rows = store
        .query(
            "SELECT payee_id, shown_state, count(*) FROM payment_view GROUP BY 1, 2 ORDER BY 1, 2",
            &[],
        )
        .await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect())
}

/// How many payment ids have been seen.
pub async fn count_identities(store: &Store) -> Result<u64, StoreError> {
    let count: i64 = store
        .query_one("SELECT count(*) FROM payment_identity", &[])
        .await?
        .get(0);
    Ok(u64::try_from(count).unwrap_or(0))
}
