//! Any payments and any sequence of closings, changes, revocations, kills and re-sends: each payment is in exactly one
//! regular register of its series, files hold what was frozen, sequences have no gaps.

use std::collections::{BTreeMap, BTreeSet};

use domain::declaration::Payee;
use domain::ids::{PaymentId, TerminalId};
use domain::{Account, Amount, Currency, Fee, Fields, PayeeId, RegisterId};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;
use store::payments::{Acceptance, NewPayment, Numbers, Revoked};
use store::registers::{CopyRequest, Listed};
use store::{Store, declarations, payments};
use testkit::process::{Process, run};
use testkit::stand::Stand;
use testkit::wait_for;

use crate::fixtures::new_id;
use crate::world::PATIENCE;

/// Sequences of moves that are played; each starts some processes.
const CASES: u32 = 5;
const SERVICES: [&str; 4] = ["cold", "hot", "heat", ""];

#[derive(Debug, Clone)]
enum Move {
    /// So many payments for a service, in one batch.
    Pay(usize, u8),
    Revoke(usize),
    /// Everything there is becomes so many hours older.
    Hours(u8),
    CloseDue,
    CloseNow,
    /// Declares the payee with or without its second series.
    Change,
    /// Suspends or resumes it.
    Suspend,
    /// A builder takes a register and is never heard of again.
    LoseBuild,
    /// A worker closes and builds, and is asked to end.
    Work,
    /// A worker process dies at this point.
    Die(&'static str),
    /// Everything so far, once more.
    Resend,
}

fn one_move() -> impl Strategy<Value = Move> {
    prop_oneof![
        6 => (0..SERVICES.len(), 1..6_u8).prop_map(|(service, count)| Move::Pay(service, count)),
        3 => (0..40_usize).prop_map(Move::Revoke),
        3 => (1..60_u8).prop_map(Move::Hours),
        3 => Just(Move::CloseDue),
        1 => Just(Move::CloseNow),
        1 => Just(Move::Change),
        1 => Just(Move::Suspend),
        2 => Just(Move::LoseBuild),
        1 => Just(Move::Work),
        1 => Just(Move::Die("registers:after_freeze")),
        1 => Just(Move::Die("registers:before_record")),
        1 => Just(Move::Resend),
    ]
}

fn gvk() -> PayeeId {
    PayeeId::parse("gvk").unwrap()
}

/// Nightly and, for `cold`, every six hours, also without payments; `hot` by fours, where it is declared.
fn payee(with_hot: bool, suspended: bool) -> Payee {
    let when = |service: &str| json!({ "field": "service", "values": [service] });
    let mut series = vec![json!({ "name": "cold", "when": when("cold"), "every_hours": 6 })];
    if with_hot {
        series.push(json!({ "name": "hot", "when": when("hot"), "every_payments": 4 }));
    }
    let declared: Payee = serde_json::from_value(json!({
        "id": "gvk", "name": "Gorvodokanal", "gateway": "registers", "currency": "RUB", "suspended": suspended,
        "account": { "pattern": "^.{1,40}$" }, "amount": { "min": 1, "max": 100_000_000 },
        "field": [{ "name": "service", "label": "Service" }],
        "register": { "schedule": "0 0 * * *", "time_zone": "Europe/Moscow", "send_empty": true, "series": series },
    }))
    .unwrap();
    declared.check().unwrap();
    declared
}

/// A payment that was accepted.
#[derive(Debug)]
struct Paid {
    id: PaymentId,
    number: String,
    series: String,
    amount: i64,
    revoked: bool,
}

struct Office {
    stand: Stand,
    store: Store,
    payee: Payee,
    with_hot: bool,
    paid: Vec<Paid>,
    copies: Vec<RegisterId>,
}

impl Office {
    async fn open() -> Self {
        let stand = Stand::new().await;
        let mut office = Self {
            store: stand.store(),
            stand,
            payee: payee(true, false),
            with_hot: true,
            paid: Vec::new(),
            copies: Vec::new(),
        };
        office.declare(true, false).await;
        office
    }

    /// The way `payees apply` does.
    async fn declare(&mut self, with_hot: bool, suspended: bool) {
        let payee = payee(with_hot, suspended);
        let tx = self.store.begin().await.unwrap();
        declarations::lock_for_apply(&tx).await.unwrap();
        store::registers::close_before_change(&self.store, &tx, std::slice::from_ref(&payee))
            .await
            .unwrap();
        declarations::apply_payee(&tx, &payee, "test").await.unwrap();
        tx.commit().await.unwrap();
        (self.payee, self.with_hot) = (payee, with_hot);
    }

    async fn sql(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        store::scratch::sql(&self.store, sql).await.unwrap()
    }

    async fn pay(&mut self, service: &str, count: u8) {
        let terminal = TerminalId::parse("T-1").unwrap();
        let (account, payee_id) = (Account::new("1920679795").unwrap(), gvk());
        let entered = json!({ "service": service });
        let fields: Fields = serde_json::from_value(entered).unwrap();
        let series = self.payee.series_of(&fields, None).to_owned();
        let amounts = (0..count).map(|n| 100 + 7 * (self.paid.len() as i64 + i64::from(n)));
        let new: Vec<NewPayment<'_>> = amounts
            .map(|amount| NewPayment {
                payment_id: PaymentId::from_uuid(uuid::Uuid::now_v7()),
                fingerprint: [0; 32],
                payee: &payee_id,
                payee_version: 1,
                gateway: self.payee.gateway,
                terminal: &terminal,
                account: &account,
                amount: Amount::new(amount).unwrap(),
                fee: Fee::new(10).unwrap(),
                currency: Currency::parse("RUB").unwrap(),
                fields: &fields,
                receipt_number: None,
                paid_at: domain::clock::now(),
                series: &series,
                give_up_hours: None,
                traceparent: None,
                numbered_at_check: false,
            })
            .collect();
        let tx = self.store.begin().await.unwrap();
        let accepted = payments::accept(&tx, &Numbers::default(), &new).await.unwrap();
        tx.commit().await.unwrap();
        for (new, acceptance) in new.iter().zip(accepted) {
            let Acceptance::Accepted(number) = acceptance else {
                panic!("{acceptance:?}")
            };
            self.paid.push(Paid {
                id: new.payment_id,
                number: number.to_string(),
                series: series.clone(),
                amount: new.amount.minor(),
                revoked: false,
            });
        }
    }

    async fn revoke(&mut self, which: usize) {
        let Some(paid) = self.paid.get_mut(which) else { return };
        let tx = self.store.begin().await.unwrap();
        let terminal = TerminalId::parse("T-1").unwrap();
        let revoked = payments::revoke(&tx, paid.id, &terminal, None, |_| None).await.unwrap();
        tx.commit().await.unwrap();
        match revoked {
            Revoked::Now(_) => paid.revoked = true,
            Revoked::Already => assert!(paid.revoked),
            Revoked::Closed => assert!(!paid.revoked),
            other => panic!("{other:?}"),
        }
    }

    async fn grow_older(&self, hours: u8) {
        let by = format!("interval '{hours} hours'");
        self.sql(&format!(
            "UPDATE payment SET accepted_at = accepted_at - {by};
             UPDATE register SET cutoff = cutoff - {by}, closed_at = closed_at - {by}, period_from = period_from - {by},
                 period_to = period_to - {by}, first_accepted_at = first_accepted_at - {by},
                 last_accepted_at = last_accepted_at - {by};
             UPDATE series SET last_cutoff = last_cutoff - {by}, next_cutoff = next_cutoff - {by};
             UPDATE payee SET updated_at = updated_at - {by}"
        ))
        .await;
    }

    /// A worker that dies when it comes to this point, which is where there is something to do for it.
    async fn die(&mut self, point: &str) {
        if self.payee.suspended || !self.with_hot {
            return;
        }
        self.pay("hot", 4).await;
        let mut environment = self.stand.environment();
        environment.push(("UNIGATE_TEST_DIE_AT".to_owned(), point.to_owned()));
        Process::start(&environment, &["run", "registers"]).dies().await;
        self.expire_leases().await;
    }

    /// Whoever held a build is taken for dead.
    async fn expire_leases(&self) {
        self.sql("UPDATE register SET lease_until = clock_timestamp(), due_at = clock_timestamp() WHERE lease_token IS NOT NULL")
            .await;
    }

    /// As a builder does that dies right after it took a register.
    async fn lose_build(&self) {
        self.sql(
            "UPDATE register SET lease_token = gen_random_uuid(), attempts = attempts + 1,
                 lease_until = clock_timestamp() + interval '1 minute', due_at = clock_timestamp() + interval '1 minute'
             WHERE register_id = (SELECT register_id FROM register WHERE state = 'frozen' ORDER BY due_at LIMIT 1)",
        )
        .await;
    }

    async fn resend(&mut self) {
        let now = domain::clock::now();
        let request = CopyRequest {
            payee: gvk(),
            from: now - jiff::SignedDuration::from_hours(24 * 300),
            to: now,
            requested_by: "test".into(),
            to_address: None,
            format: None,
            include_open: false,
        };
        // Refused where nothing is closed yet.
        if let Ok(copies) = store::registers::resend(&self.store, &request).await {
            self.copies.extend(copies);
        }
    }

    async fn play(&mut self, one: &Move) {
        match one {
            Move::Pay(service, count) => self.pay(SERVICES[*service], *count).await,
            Move::Revoke(which) => self.revoke(*which).await,
            Move::Hours(hours) => self.grow_older(*hours).await,
            Move::CloseDue => drop(registers::close_all_due(&self.store).await.unwrap()),
            Move::CloseNow => {
                let closed = store::registers::close_now(&self.store, &gvk(), "op").await;
                assert_eq!(closed.is_err(), self.payee.suspended);
            }
            Move::Change => self.declare(!self.with_hot, self.payee.suspended).await,
            Move::Suspend => self.declare(self.with_hot, !self.payee.suspended).await,
            Move::LoseBuild => self.lose_build().await,
            Move::Work => {
                let worker = Process::start_ready(&self.stand.environment(), &["run", "registers"]).await;
                assert!(worker.end().await.success());
            }
            Move::Die(point) => self.die(point).await,
            Move::Resend => self.resend().await,
        }
    }

    /// Everybody comes back, what is open is closed, and a worker builds the rest.
    async fn end_the_day(&mut self) {
        self.declare(true, false).await;
        registers::close_all_due(&self.store).await.unwrap();
        store::registers::close_now(&self.store, &gvk(), "test").await.unwrap();
        self.expire_leases().await;
        let worker = Process::start(&self.stand.environment(), &["run", "registers"]);
        wait_for("everything to be built", PATIENCE, async || {
            let left = "SELECT count(*) FROM register WHERE state <> 'built'";
            (self.sql(left).await[0][0].as_deref() == Some("0")).then_some(())
        })
        .await;
        assert!(worker.end().await.success());
    }

    /// Number and amount of each row of a register's file, as an operator saves it.
    async fn rows(&self, register: &Listed) -> Vec<(String, i64)> {
        let id = register.summary.register_id.to_string();
        let file = std::env::temp_dir().join(format!("unigate-test-{}.csv", new_id()));
        let arguments = ["registers", "save", &id, &file.display().to_string()];
        let done = run(&self.stand.environment(), &arguments).await;
        assert_eq!(done.code, Some(0), "{done:?}");
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::remove_file(&file).unwrap();
        let row = |line: &str| {
            let cells: Vec<&str> = line.split(';').collect();
            (cells[0].to_owned(), cells[4].replace('.', "").parse().unwrap())
        };
        text.lines().skip(1).map(row).collect()
    }

    async fn check(&self) {
        let registers = store::registers::list(&self.store, None).await.unwrap();
        let mut held: BTreeMap<String, &str> = BTreeMap::new();
        let mut sequences: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
        for register in registers.iter().filter(|register| !register.summary.is_copy) {
            let about = &register.summary;
            let rows = self.rows(register).await;
            let total: i64 = rows.iter().map(|(_, amount)| amount).sum();
            assert_eq!((rows.len() as i64, total), (about.count, about.total), "{register:?}");
            assert!(
                about.count > 0 || about.series != "hot",
                "nobody wants a register of nothing: {register:?}"
            );
            sequences.entry(&about.series).or_default().push(about.sequence);
            for (number, _) in rows {
                let before = held.insert(number.clone(), &about.series);
                assert_eq!(before, None, "{number} is in two registers");
            }
        }
        let expected = self.paid.iter().filter(|paid| !paid.revoked);
        let expected: BTreeMap<String, &str> = expected
            .map(|paid| (paid.number.clone(), paid.series.as_str()))
            .collect();
        assert_eq!(held, expected);
        for (series, mut own) in sequences {
            own.sort_unstable();
            assert!(own.iter().copied().eq(1..=own.len() as i32), "{series}: {own:?}");
        }
        let sum: i64 = registers
            .iter()
            .filter(|register| !register.summary.is_copy)
            .map(|register| register.summary.total)
            .sum();
        let paid: i64 = self
            .paid
            .iter()
            .filter(|paid| !paid.revoked)
            .map(|paid| paid.amount)
            .sum();
        assert_eq!(sum, paid);
        for copy in registers.iter().filter(|register| register.summary.is_copy) {
            assert!(self.copies.contains(&copy.summary.register_id));
            let rows = self.rows(copy).await;
            let numbers: BTreeSet<&String> = rows.iter().map(|(number, _)| number).collect();
            assert_eq!((numbers.len(), rows.len() as i64), (rows.len(), copy.summary.count));
            assert!(
                numbers
                    .iter()
                    .all(|number| held.get(*number) == Some(&copy.summary.series.as_str()))
            );
        }
        let findings = store::invariants::check_all(&self.store).await.unwrap();
        let broken: Vec<_> = findings
            .iter()
            .filter(|found| found.invariant == 4 && found.broken > 0)
            .collect();
        assert!(broken.is_empty(), "{broken:?}");
    }
}

#[test]
fn whatever_happens_each_payment_is_in_one_register_of_its_series() {
    let tokio = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    let config = Config {
        cases: CASES,
        // Each step down is as much work as a case.
        max_shrink_iters: 8,
        failure_persistence: None,
        ..Config::default()
    };
    let played = TestRunner::new(config).run(&proptest::collection::vec(one_move(), 8..26), |moves| {
        tokio.block_on(async {
            let mut office = Office::open().await;
            for one in &moves {
                office.play(one).await;
            }
            office.end_the_day().await;
            office.check().await;
        });
        Ok(())
    });
    if let Err(failed) = played {
        panic!("{failed}");
    }
}
