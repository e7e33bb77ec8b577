//! The worklist.

use domain::card::{CaseKind, Resolution};
use domain::ids::{ProductId, ReservationId, TerminalId};
use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use crate::{Store, StoreError};

/// A case as operators see it. Amounts in minor units; cards by serial only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CaseRow {
    /// Its id.
    pub case_id: Uuid,
    /// What it is about.
    pub kind: CaseKind,
    /// When.
    pub opened_at: Timestamp,
    /// By which operator; none = by the sale itself.
    pub opened_by: Option<String>,
    /// How long it has been open, or was, in seconds.
    pub age_seconds: i64,
    /// Of what.
    pub product: ProductId,
    /// The card that was paid for.
    pub serial: String,
    /// Who took the money.
    pub terminal: TerminalId,
    /// The sale.
    pub reservation_id: ReservationId,
    /// What was paid.
    pub amount: Option<i64>,
    /// What of it was above the price.
    pub surplus: i64,
    /// The currency.
    pub currency: Option<String>,
    /// On the payer's slip.
    pub receipt_number: Option<String>,
    /// When it was paid, by the terminal's clock.
    pub paid_at: Option<Timestamp>,
    /// Who has the card: in a conflict another sale.
    pub holder: Option<ReservationId>,
    /// Under which another card was given.
    pub replacement_reservation_id: Option<ReservationId>,
    /// Which.
    pub replacement_serial: Option<String>,
    /// How it was resolved; none = it is open.
    pub resolution: Option<Resolution>,
    /// When.
    pub resolved_at: Option<Timestamp>,
    /// By whom.
    pub resolved_by: Option<String>,
    /// What went back.
    pub refund_amount: Option<i64>,
    /// How.
    pub refund_method: Option<String>,
    /// By which document it can be found again.
    pub refund_reference: Option<String>,
    /// Why.
    pub note: Option<String>,
}

/// Which cases, by whether they are resolved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CaseState {
    /// Those that wait for somebody.
    #[default]
    Open,
    /// Those that do not.
    Resolved,
    /// All.
    All,
}

/// Which cases to list; what is not said does not matter.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Open, resolved or all.
    pub state: CaseState,
    /// Only of this kind.
    pub kind: Option<CaseKind>,
    /// Only about cards of this product.
    pub product: Option<ProductId>,
    /// Only about sales of this terminal.
    pub terminal: Option<TerminalId>,
    /// Opened at this moment or later.
    pub from: Option<Timestamp>,
    /// Opened before this moment.
    pub to: Option<Timestamp>,
    /// Resolved at this moment or later.
    pub resolved_from: Option<Timestamp>,
    /// Resolved before this moment.
    pub resolved_to: Option<Timestamp>,
}

const SELECT: &str = "SELECT c.case_id, c.kind, c.opened_at, c.opened_by,
           extract(epoch FROM coalesce(c.resolved_at, clock_timestamp()) - c.opened_at)::bigint,
           card.product_id, card.serial, r.terminal_id, c.reservation_id, r.amount, coalesce(r.surplus, 0), r.currency,
           r.receipt_number, r.paid_at, card.reservation_id, c.replacement_reservation_id, given.serial, c.resolution,
           c.resolved_at, c.resolved_by, c.refund_amount, c.refund_method, c.refund_reference, c.note
    FROM card_case c JOIN reservation r USING (reservation_id) JOIN card ON card.card_id = c.card_id
         LEFT JOIN reservation instead ON instead.reservation_id = c.replacement_reservation_id
         LEFT JOIN card given ON given.card_id = instead.card_id";

/// Lists cases, the longest open first.
pub async fn list(store: &Store, filter: &Filter) -> Result<Vec<CaseRow>, StoreError> {
    let resolved = match filter.state {
        CaseState::Open => Some(false),
        CaseState::Resolved => Some(true),
        CaseState::All => None,
    };
    let sql = format!(
        "{SELECT} WHERE ($1::boolean IS NULL OR (c.resolution IS NOT NULL) = $1) AND ($2::text IS NULL OR c.kind = $2)
           AND ($3::text IS NULL OR card.product_id = $3) AND ($4::text IS NULL OR r.terminal_id = $4)
           AND ($5::timestamptz IS NULL OR c.opened_at >= $5) AND ($6::timestamptz IS NULL OR c.opened_at < $6)
           AND ($7::timestamptz IS NULL OR c.resolved_at >= $7) AND ($8::timestamptz IS NULL OR c.resolved_at < $8)
         ORDER BY c.opened_at, c.case_id"
    );
    let rows = store
        .query(
            &sql,
            &[
                &resolved,
                &filter.kind.map(CaseKind::as_str),
                &filter.product.as_ref().map(ProductId::as_str),
                &filter.terminal.as_ref().map(TerminalId::as_str),
                &filter.from,
                &filter.to,
                &filter.resolved_from,
                &filter.resolved_to,
            ],
        )
        .await?;
    rows.iter().map(case_of).collect()
}

/// One case.
pub async fn find(store: &Store, case_id: Uuid) -> Result<Option<CaseRow>, StoreError> {
    let sql = format!("{SELECT} WHERE c.case_id = $1");
    store
        .query_opt(&sql, &[&case_id])
        .await?
        .as_ref()
        .map(case_of)
        .transpose()
}

/// How many cases are open, by kind, and how long the oldest has been, in seconds.
pub async fn count_open(store: &Store) -> Result<Vec<(CaseKind, i64, i64)>, StoreError> {
    let rows = store
        .query(
            "SELECT kind, count(*), extract(epoch FROM clock_timestamp() - min(opened_at))::bigint FROM card_case
             WHERE resolution IS NULL GROUP BY kind ORDER BY kind",
            &[],
        )
        .await?;
    rows.iter()
        .map(|row| Ok((CaseKind::parse(row.get(0))?, row.get(1), row.get(2))))
        .collect()
}

fn case_of(row: &Row) -> Result<CaseRow, StoreError> {
    let reservation = |at: usize| row.get::<_, Option<Uuid>>(at).map(ReservationId::from_uuid);
    Ok(CaseRow {
        case_id: row.get(0),
        kind: CaseKind::parse(row.get(1))?,
        opened_at: row.get(2),
        opened_by: row.get(3),
        age_seconds: row.get(4),
        product: ProductId::parse(row.get(5))?,
        serial: row.get(6),
        terminal: TerminalId::parse(row.get(7))?,
        reservation_id: ReservationId::from_uuid(row.get(8)),
        amount: row.get(9),
        surplus: row.get(10),
        currency: row.get(11),
        receipt_number: row.get(12),
        paid_at: row.get(13),
        holder: reservation(14),
        replacement_reservation_id: reservation(15),
        replacement_serial: row.get(16),
        resolution: row.get::<_, Option<&str>>(17).map(Resolution::parse).transpose()?,
        resolved_at: row.get(18),
        resolved_by: row.get(19),
        refund_amount: row.get(20),
        refund_method: row.get(21),
        refund_reference: row.get(22),
        note: row.get(23),
    })
}
