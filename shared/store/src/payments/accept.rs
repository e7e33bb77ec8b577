//! Acceptance: identity first, then the ledger row, then history, set-based.

use std::collections::{HashMap, HashSet};

use domain::declaration::Gateway;
use domain::ids::{Number, PayeeId, PaymentId, TerminalId};
use domain::money::{Amount, Currency, Fee};
use domain::text::{Account, Fields, ReceiptNumber};
use jiff::Timestamp;
use uuid::Uuid;

use super::Numbers;
use crate::{StoreError, Tx};

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

/// Stores payments, with numbers from these. The first of several with one id stands. Outcomes are in the order given.
///
/// Ids are looked for only where the transaction expects repetitions; one that was known after all has it fail as
/// [`StoreError::Repeated`], at the commit at the latest. So a batch of new payments takes a single flight. One that only other
/// terminals have revoked in advance is as good as new, and taken over.
pub async fn accept(tx: &Tx, numbers: &Numbers, payments: &[NewPayment<'_>]) -> Result<Vec<Acceptance>, StoreError> {
    let known = if tx.expects_repeats() {
        Known::of(tx, payments).await?
    } else {
        Known::default()
    };
    let mut seen = HashSet::with_capacity(payments.len());
    let is_first = |new: &&NewPayment<'_>| known.judge(new).is_none() && seen.insert(new.payment_id);
    let mut firsts: Vec<&NewPayment<'_>> = payments.iter().filter(is_first).collect();
    firsts.sort_unstable_by_key(|new| new.payment_id);
    let numbers = numbers.deal(tx, &firsts).await?;
    if !firsts.is_empty() {
        write_identities(tx, &firsts, &numbers, &known).await?;
        insert_history(tx, &firsts, &numbers).await?;
    }

    let fresh: HashMap<PaymentId, (Number, &[u8; 32])> = firsts
        .iter()
        .zip(&numbers)
        .map(|(new, number)| (new.payment_id, (*number, &new.fingerprint)))
        .collect();
    let mut told = HashSet::with_capacity(fresh.len());
    let outcome = |new: &NewPayment<'_>| {
        known.judge(new).unwrap_or_else(|| match fresh.get(&new.payment_id) {
            Some((number, _)) if told.insert(new.payment_id) => Acceptance::Accepted(*number),
            Some((number, fingerprint)) if **fingerprint == new.fingerprint => Acceptance::Already(*number),
            _ => Acceptance::Reused,
        })
    };
    Ok(payments.iter().map(outcome).collect())
}

/// A payment id that has been seen.
#[derive(Clone, Debug)]
pub struct Identity {
    number: Option<Number>,
    fingerprint: Option<Vec<u8>>,
    disposition: String,
    terminal: Option<String>,
}

impl Identity {
    /// What a payment of this terminal with this content under the id gets. None: nobody but another terminal has revoked it in
    /// advance, who has no say in it.
    pub fn judge(&self, terminal: &TerminalId, fingerprint: &[u8; 32]) -> Option<Acceptance> {
        Some(match (self.disposition.as_str(), self.number) {
            ("revoked", _) if self.is_anothers(terminal) => return None,
            ("revoked", _) => Acceptance::Revoked,
            ("accepted", Some(number)) if self.fingerprint.as_deref() == Some(&fingerprint[..]) => {
                Acceptance::Already(number)
            }
            ("accepted", _) => Acceptance::Reused,
            _ => Acceptance::Settled,
        })
    }

    fn is_anothers(&self, terminal: &TerminalId) -> bool {
        self.terminal.as_deref().is_some_and(|known| known != terminal.as_str())
    }
}

/// What is known of the ids of payments. Those that only other terminals have revoked in advance are locked: the payment takes
/// them over.
#[derive(Default)]
struct Known {
    identities: HashMap<PaymentId, Identity>,
    /// Terminals that have revoked an id in advance after another one had.
    besides: HashSet<(PaymentId, String)>,
}

impl Known {
    async fn of(tx: &Tx, payments: &[NewPayment<'_>]) -> Result<Self, StoreError> {
        let ids: Vec<PaymentId> = payments.iter().map(|new| new.payment_id).collect();
        let identities = known_identities(tx, &ids).await?;
        let mut known = Self {
            identities,
            besides: HashSet::new(),
        };
        let free = |new: &&NewPayment<'_>| known.identities.contains_key(&new.payment_id) && known.judge(new).is_none();
        let free: Vec<Uuid> = payments
            .iter()
            .filter(free)
            .map(|new| new.payment_id.as_uuid())
            .collect();
        if free.is_empty() {
            return Ok(known);
        }
        // Looked at again behind the lock.
        let locked = format!("{IDENTITIES} ORDER BY payment_id FOR UPDATE");
        known
            .identities
            .extend(identities_of(&tx.query(&locked, &[&free]).await?)?);
        let sql = "SELECT payment_id, terminal_id FROM revoked_besides WHERE payment_id = ANY($1)";
        let besides = tx.query(sql, &[&free]).await?;
        let besides = besides.iter().map(|row| (PaymentId::from_uuid(row.get(0)), row.get(1)));
        known.besides = besides.collect();
        Ok(known)
    }

    /// None: it is as good as new.
    fn judge(&self, new: &NewPayment<'_>) -> Option<Acceptance> {
        let identity = self.identities.get(&new.payment_id)?;
        let judged = identity.judge(new.terminal, &new.fingerprint);
        let revoked = || {
            let by = (new.payment_id, new.terminal.to_string());
            self.besides.contains(&by).then_some(Acceptance::Revoked)
        };
        judged.or_else(revoked)
    }
}

const IDENTITIES: &str = "SELECT payment_id, number, fingerprint, disposition, terminal_id FROM payment_identity
     WHERE payment_id = ANY($1)";

/// Those of the ids that have been seen.
pub async fn known_identities(tx: &Tx, ids: &[PaymentId]) -> Result<HashMap<PaymentId, Identity>, StoreError> {
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let ids: Vec<Uuid> = ids.iter().map(|id| id.as_uuid()).collect();
    identities_of(&tx.query(IDENTITIES, &[&ids]).await?)
}

fn identities_of(rows: &[tokio_postgres::Row]) -> Result<HashMap<PaymentId, Identity>, StoreError> {
    rows.iter()
        .map(|row| {
            let number = row.get::<_, Option<i64>>(1).map(Number::new).transpose()?;
            let identity = Identity {
                number,
                fingerprint: row.get(2),
                disposition: row.get(3),
                terminal: row.get(4),
            };
            Ok((PaymentId::from_uuid(row.get(0)), identity))
        })
        .collect()
}

const NEW_IDENTITIES: &str = "INSERT INTO payment_identity (payment_id, number, fingerprint, disposition, terminal_id)
     SELECT id, number, fingerprint, 'accepted', terminal
     FROM UNNEST($1::uuid[], $2::int8[], $3::bytea[], $4::text[]) AS new (id, number, fingerprint, terminal)
     ORDER BY id";
/// The rows are locked.
const TAKEN_OVER: &str = "UPDATE payment_identity i SET number = new.number, fingerprint = new.fingerprint,
            disposition = 'accepted', terminal_id = new.terminal, accepted_at = clock_timestamp()
     FROM UNNEST($1::uuid[], $2::int8[], $3::bytea[], $4::text[]) AS new (id, number, fingerprint, terminal)
     WHERE i.payment_id = new.id";

/// New identities are inserted in the order of their ids, those that are taken over are there.
async fn write_identities(
    tx: &Tx,
    sorted: &[&NewPayment<'_>],
    numbers: &[Number],
    known: &Known,
) -> Result<(), StoreError> {
    for (sql, taken) in [(TAKEN_OVER, true), (NEW_IDENTITIES, false)] {
        let rows = || {
            let all = sorted.iter().zip(numbers);
            all.filter(move |(new, _)| known.identities.contains_key(&new.payment_id) == taken)
        };
        let ids: Vec<Uuid> = rows().map(|(new, _)| new.payment_id.as_uuid()).collect();
        if ids.is_empty() {
            continue;
        }
        let numbers: Vec<i64> = rows().map(|(_, number)| number.get()).collect();
        let fingerprints: Vec<&[u8]> = rows().map(|(new, _)| &new.fingerprint[..]).collect();
        let terminals: Vec<&str> = rows().map(|(new, _)| new.terminal.as_str()).collect();
        tx.execute_later(sql, &[&ids, &numbers, &fingerprints, &terminals])
            .await?;
    }
    Ok(())
}

async fn insert_history(tx: &Tx, fresh: &[&NewPayment<'_>], numbers: &[Number]) -> Result<(), StoreError> {
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
/// acceptance, stamped from the same row, never falls as they rise. The series is written with them, and never again; those of
/// the batch's payees are read together (`OFFSET 0`), where a look for each row would be a tenth of what the insert costs.
///
/// `only_row` has the ledger's row found by its key. Read whole, it counts as forbidden to workers (`enable_seqscan`): a
/// plan for a batch without registers does without, so the plan for any batch looks dearer than plans made for each, for
/// ever, and every batch is planned anew.
const INSERT_HISTORY: &str = "WITH dealt AS (
         UPDATE ledger SET last_position = last_position + $17::int8, clock = greatest(clock, clock_timestamp())
         WHERE only_row AND $17::int8 > 0 RETURNING last_position - $17::int8 AS before, clock)
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
          LEFT JOIN (SELECT series_id, payee_id, name FROM series WHERE payee_id = ANY($3) OFFSET 0) series
              ON new.place IS NOT NULL AND series.payee_id = new.payee AND series.name = new.series";

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
    fn of(rows: &[&'a NewPayment<'_>], numbers: &[Number]) -> Result<Self, StoreError> {
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
            numbers: numbers.iter().map(|number| number.get()).collect(),
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
