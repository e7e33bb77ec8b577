//! Acceptance: identity first, then the ledger row, then history, set-based.

use std::collections::{HashMap, HashSet};

use domain::declaration::Gateway;
use domain::ids::{Number, PayeeId, PaymentId, TerminalId};
use domain::money::{Amount, Currency, Fee};
use domain::text::{Account, Fields, ReceiptNumber};
use jiff::Timestamp;
use uuid::Uuid;

use crate::{Store, StoreError, Tx};

/// A payment that passed every check of its payee.
#[derive(Clone, Debug)]
pub struct NewPayment<'a> {
    /// Chosen by the terminal.
    pub payment_id: PaymentId,
    /// Equal fingerprints are the same content.
    pub fingerprint: [u8; 32],
    /// Who gets the money.
    pub payee: &'a PayeeId,
    /// The payee's declaration it was checked against.
    pub payee_version: i32,
    /// How the payee is served.
    pub gateway: Gateway,
    /// Who took the money.
    pub terminal: &'a TerminalId,
    /// Whose account with the payee.
    pub account: &'a Account,
    /// What the payee gets, in minor units.
    pub amount: Amount,
    /// What the payer paid on top, in minor units.
    pub fee: Fee,
    /// ISO 4217.
    pub currency: Currency,
    /// What the payer entered.
    pub fields: &'a Fields,
    /// As printed for the payer.
    pub receipt_number: Option<&'a ReceiptNumber>,
    /// By the terminal's clock.
    pub paid_at: Timestamp,
    /// The payee's series of registers it goes into; payees with registers only.
    pub series: &'a str,
    /// Hours after acceptance when deliveries are given up; online payees only.
    pub give_up_hours: Option<i32>,
    /// W3C trace context.
    pub traceparent: Option<&'a str>,
    /// Its payee may know the payment's number from a check.
    pub numbered_at_check: bool,
}

/// What became of a payment at the door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acceptance {
    /// Stored now, under this number.
    Accepted(Number),
    /// Stored before, the same content, under this number.
    Already(Number),
    /// The id is known with other content.
    Reused,
    /// The id was revoked before the payment came.
    Revoked,
    /// An operator has settled this id by hand.
    Settled,
}

/// Stores payments. The first of several with one id stands. Outcomes are in the order given.
pub async fn accept(tx: &Tx, payments: &[NewPayment<'_>]) -> Result<Vec<Acceptance>, StoreError> {
    let mut seen = HashSet::with_capacity(payments.len());
    let mut firsts: Vec<&NewPayment<'_>> = payments.iter().filter(|new| seen.insert(new.payment_id)).collect();
    firsts.sort_unstable_by_key(|new| new.payment_id);
    let numbers = insert_identities(tx, &firsts).await?;
    let fresh: Vec<&NewPayment<'_>> = firsts
        .iter()
        .copied()
        .filter(|new| numbers.contains_key(&new.payment_id))
        .collect();
    insert_history(tx, &fresh, &numbers).await?;

    let told: HashMap<PaymentId, [u8; 32]> = fresh.iter().map(|new| (new.payment_id, new.fingerprint)).collect();
    let unknown: Vec<PaymentId> = firsts
        .iter()
        .map(|new| new.payment_id)
        .filter(|id| !numbers.contains_key(id))
        .collect();
    let known = known_identities(tx, &unknown).await?;
    let mut first_of = HashSet::with_capacity(fresh.len());
    payments
        .iter()
        .map(|new| match numbers.get(&new.payment_id) {
            Some(&number) if first_of.insert(new.payment_id) => Ok(Acceptance::Accepted(number)),
            Some(&number) if told.get(&new.payment_id) == Some(&new.fingerprint) => Ok(Acceptance::Already(number)),
            Some(_) => Ok(Acceptance::Reused),
            None => known
                .get(&new.payment_id)
                .map(|identity| identity.judge(&new.fingerprint))
                .ok_or_else(|| StoreError::Changed("a payment's identity vanished".into())),
        })
        .collect()
}

/// The number of a payment that may follow a check, for payees that are told it then: dealt when the id is first seen, and
/// the payment's own ever after.
pub async fn number_at_check(store: &Store, payment_id: PaymentId) -> Result<Number, StoreError> {
    let rows = store
        .query(
            "WITH known AS (
                 SELECT number FROM payment_identity WHERE payment_id = $1 AND number IS NOT NULL),
             dealt AS (
                 INSERT INTO dealt_number (payment_id, number)
                 SELECT $1, (SELECT epoch FROM ledger) * 1000000000000000 + nextval('payment_number')
                 WHERE NOT EXISTS (SELECT FROM known)
                 ON CONFLICT (payment_id) DO UPDATE SET payment_id = excluded.payment_id RETURNING number)
             SELECT number FROM known UNION ALL SELECT number FROM dealt",
            &[&payment_id.as_uuid()],
        )
        .await?;
    let number = rows.first().map(|row| row.get(0));
    let number = number.ok_or_else(|| StoreError::Changed("no number was dealt".into()))?;
    Ok(Number::new(number)?)
}

/// A payment id that has been seen.
#[derive(Clone, Debug)]
pub struct Identity {
    number: Option<Number>,
    fingerprint: Option<Vec<u8>>,
    disposition: String,
}

impl Identity {
    /// What a message with this content under the id gets.
    pub fn judge(&self, fingerprint: &[u8; 32]) -> Acceptance {
        match (self.disposition.as_str(), self.number) {
            ("revoked", _) => Acceptance::Revoked,
            ("accepted", Some(number)) if self.fingerprint.as_deref() == Some(&fingerprint[..]) => {
                Acceptance::Already(number)
            }
            ("accepted", _) => Acceptance::Reused,
            _ => Acceptance::Settled,
        }
    }
}

/// Those of the ids that have been seen.
pub async fn known_identities(tx: &Tx, ids: &[PaymentId]) -> Result<HashMap<PaymentId, Identity>, StoreError> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let ids: Vec<Uuid> = ids.iter().map(|id| id.as_uuid()).collect();
    let rows = tx
        .query(
            "SELECT payment_id, number, fingerprint, disposition FROM payment_identity WHERE payment_id = ANY($1)",
            &[&ids],
        )
        .await?;
    rows.iter()
        .map(|row| {
            let number = row.get::<_, Option<i64>>(1).map(Number::new).transpose()?;
            let identity = Identity {
                number,
                fingerprint: row.get(2),
                disposition: row.get(3),
            };
            Ok((PaymentId::from_uuid(row.get(0)), identity))
        })
        .collect()
}

async fn insert_identities(tx: &Tx, sorted: &[&NewPayment<'_>]) -> Result<HashMap<PaymentId, Number>, StoreError> {
    if sorted.is_empty() {
        return Ok(HashMap::new());
    }
    let ids: Vec<Uuid> = sorted.iter().map(|new| new.payment_id.as_uuid()).collect();
    let fingerprints: Vec<&[u8]> = sorted.iter().map(|new| &new.fingerprint[..]).collect();
    let terminals: Vec<&str> = sorted.iter().map(|new| new.terminal.as_str()).collect();
    let numbered: Vec<bool> = sorted.iter().map(|new| new.numbered_at_check).collect();
    // The epoch stands in front of the sequence: after a lossy restore no number is dealt twice. A payee that was checked
    // first may know the payment's number already; for the others the look would cost as much as an index.
    let rows = tx
        .query(
            "INSERT INTO payment_identity (payment_id, number, fingerprint, disposition, terminal_id)
             SELECT id, coalesce(CASE WHEN numbered THEN (SELECT dealt.number FROM dealt_number dealt
                                                          WHERE dealt.payment_id = id) END,
                        (SELECT epoch FROM ledger) * 1000000000000000 + nextval('payment_number')),
                    fingerprint, 'accepted', terminal
             FROM UNNEST($1::uuid[], $2::bytea[], $3::text[], $4::bool[]) AS new (id, fingerprint, terminal, numbered)
             ORDER BY id
             ON CONFLICT DO NOTHING RETURNING payment_id, number",
            &[&ids, &fingerprints, &terminals, &numbered],
        )
        .await?;
    rows.iter()
        .map(|row| Ok((PaymentId::from_uuid(row.get(0)), Number::new(row.get(1))?)))
        .collect()
}

async fn insert_history(
    tx: &Tx,
    fresh: &[&NewPayment<'_>],
    numbers: &HashMap<PaymentId, Number>,
) -> Result<(), StoreError> {
    if fresh.is_empty() {
        return Ok(());
    }
    let columns = Columns::of(fresh, numbers)?;
    // With the commit: whatever waits for the ledger row waits for one flight.
    tx.execute_later(
        INSERT_HISTORY,
        &[
            &columns.ids,
            &columns.numbers,
            &columns.payees,
            &columns.versions,
            &columns.gateways,
            &columns.terminals,
            &columns.accounts,
            &columns.amounts,
            &columns.fees,
            &columns.currencies,
            &columns.fields,
            &columns.receipts,
            &columns.paid_at,
            &columns.traces,
            &columns.give_up,
            &columns.places,
            &columns.registered,
            &columns.series,
        ],
    )
    .await
}

/// Payments of online payees are due at once. Those of register payees have a place among themselves: their positions
/// are dealt from the ledger row, which stays locked until the commit, so they rise in commit order, and the time of
/// acceptance, stamped from the same row, never falls as they rise. The series is written with them, and never again.
const INSERT_HISTORY: &str = "WITH dealt AS (
         UPDATE ledger SET last_position = last_position + $17::int8, clock = greatest(clock, clock_timestamp())
         WHERE $17::int8 > 0 RETURNING last_position - $17::int8 AS before, clock)
     INSERT INTO payment (payment_id, number, payee_id, payee_version, gateway, terminal_id, account, amount, fee, currency,
                          fields, receipt_number, paid_at, traceparent, give_up_at, accepted_at, next_act, due_at,
                          series_id, position)
     SELECT new.id, new.number, new.payee, new.version, new.gateway, new.terminal, new.account, new.amount, new.fee,
            new.currency, new.fields::jsonb, new.receipt, new.paid_at, new.trace,
            clock_timestamp() + make_interval(hours => new.give_up), coalesce(dealt.clock, clock_timestamp()),
            CASE WHEN new.place IS NULL THEN 'pay' END, CASE WHEN new.place IS NULL THEN clock_timestamp() END,
            series.series_id, dealt.before + new.place
     FROM UNNEST($1::uuid[], $2::int8[], $3::text[], $4::int4[], $5::text[], $6::text[], $7::text[], $8::int8[],
                 $9::int8[], $10::text[], $11::text[], $12::text[], $13::timestamptz[], $14::text[], $15::int4[],
                 $16::int8[], $18::text[])
              AS new (id, number, payee, version, gateway, terminal, account, amount, fee, currency, fields, receipt,
                      paid_at, trace, give_up, place, series)
          LEFT JOIN dealt ON new.place IS NOT NULL
          LEFT JOIN series ON new.place IS NOT NULL AND series.payee_id = new.payee AND series.name = new.series";

/// The rows turned on their side, as UNNEST takes them.
struct Columns<'a> {
    ids: Vec<Uuid>,
    numbers: Vec<i64>,
    payees: Vec<&'a str>,
    versions: Vec<i32>,
    gateways: Vec<&'a str>,
    terminals: Vec<&'a str>,
    accounts: Vec<&'a str>,
    amounts: Vec<i64>,
    fees: Vec<i64>,
    currencies: Vec<&'a str>,
    // JSON as text: PostgreSQL parses it anyway.
    fields: Vec<String>,
    receipts: Vec<Option<&'a str>>,
    paid_at: Vec<Timestamp>,
    traces: Vec<Option<&'a str>>,
    give_up: Vec<Option<i32>>,
    // The place among those with registers, from 1, and how many these are.
    places: Vec<Option<i64>>,
    registered: i64,
    series: Vec<&'a str>,
}

impl<'a> Columns<'a> {
    fn of(rows: &[&'a NewPayment<'_>], numbers: &HashMap<PaymentId, Number>) -> Result<Self, StoreError> {
        let number_of = |row: &&NewPayment<'_>| {
            numbers
                .get(&row.payment_id)
                .map(|number| number.get())
                .ok_or_else(|| StoreError::unreadable("no number"))
        };
        let mut registered = 0;
        let places = rows.iter().map(|row| {
            (row.gateway == Gateway::Registers).then(|| {
                registered += 1;
                registered
            })
        });
        let places = places.collect();
        Ok(Self {
            ids: rows.iter().map(|row| row.payment_id.as_uuid()).collect(),
            numbers: rows.iter().map(number_of).collect::<Result<_, _>>()?,
            payees: rows.iter().map(|row| row.payee.as_str()).collect(),
            versions: rows.iter().map(|row| row.payee_version).collect(),
            gateways: rows.iter().map(|row| row.gateway.as_str()).collect(),
            terminals: rows.iter().map(|row| row.terminal.as_str()).collect(),
            accounts: rows.iter().map(|row| row.account.as_str()).collect(),
            amounts: rows.iter().map(|row| row.amount.minor()).collect(),
            fees: rows.iter().map(|row| row.fee.minor()).collect(),
            currencies: rows.iter().map(|row| row.currency.code()).collect(),
            fields: rows
                .iter()
                .map(|row| serde_json::to_string(row.fields))
                .collect::<Result<_, _>>()?,
            receipts: rows
                .iter()
                .map(|row| row.receipt_number.map(ReceiptNumber::as_str))
                .collect(),
            paid_at: rows.iter().map(|row| row.paid_at).collect(),
            traces: rows.iter().map(|row| row.traceparent).collect(),
            give_up: rows.iter().map(|row| row.give_up_hours).collect(),
            places,
            registered,
            series: rows.iter().map(|row| row.series).collect(),
        })
    }
}
