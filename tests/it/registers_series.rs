//! Any payments and any sequence of closings, changes, revocations, kills and re-sends: each payment is in exactly one
//! regular register of its series, files hold what was frozen, sequences have no gaps.

mod office;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use store::registers::Listed;
use testkit::process::{Process, run};
use testkit::wait_for;

use crate::fixtures::new_id;
use crate::world::PATIENCE;
use office::{Office, gvk};

/// Sequences of moves that are played; each starts some processes.
const CASES: u32 = 4;
const SERVICES: [&str; 4] = ["cold", "hot", "heat", ""];

#[derive(Debug, Clone)]
enum Move {
    /// So many payments for a service, in one batch.
    Pay(usize, u8),
    /// One of the last payments, of which the very last has number 0.
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
    /// Everything so far, once more; or with what is open too.
    Resend(bool),
    /// The identical file of a register, once more.
    MailAgain(usize),
}

fn one_move() -> impl Strategy<Value = Move> {
    prop_oneof![
        6 => (0..SERVICES.len(), 1..6_u8).prop_map(|(service, count)| Move::Pay(service, count)),
        4 => (0..12_usize).prop_map(Move::Revoke),
        3 => (1..60_u8).prop_map(Move::Hours),
        3 => Just(Move::CloseDue),
        1 => Just(Move::CloseNow),
        1 => Just(Move::Change),
        1 => Just(Move::Suspend),
        2 => Just(Move::LoseBuild),
        1 => Just(Move::Work),
        1 => Just(Move::Die("registers:after_freeze")),
        1 => Just(Move::Die("registers:before_record")),
        1 => Just(Move::Die("registers:after_part")),
        1 => Just(Move::Die("registers:after_record")),
        2 => any::<bool>().prop_map(Move::Resend),
        2 => (0..12_usize).prop_map(Move::MailAgain),
    ]
}

impl Office {
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
            Move::Resend(include_open) => self.resend(*include_open).await,
            Move::MailAgain(which) => self.mail_again(*which).await,
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
            let left = "SELECT state, last_error FROM register WHERE state <> 'built'";
            let left = self.sql(left).await;
            let failed = |register: &Vec<Option<String>>| register[0].as_deref() == Some("failed");
            assert!(!left.iter().any(failed), "{left:?}");
            left.is_empty().then_some(())
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
            self.check_copy(copy, &held).await;
        }
        for (id, sha256) in &self.mailed_again {
            let register = registers.iter().find(|one| one.summary.register_id == *id).unwrap();
            assert_eq!(&register.sha256, sha256, "what was mailed again is still its file");
        }
        let mails = self.sql("SELECT count(*) FROM mailing WHERE again = 1").await;
        assert_eq!(mails[0][0], Some(self.mailed_again.len().to_string()));
        let findings = store::invariants::check_all(&self.store).await.unwrap();
        let broken: Vec<_> = findings
            .iter()
            .filter(|found| found.invariant == 4 && found.broken > 0)
            .collect();
        assert!(broken.is_empty(), "{broken:?}");
    }

    /// A copy holds what its registers hold, and what was open when it was asked for, if that was wanted.
    async fn check_copy(&self, copy: &Listed, held: &BTreeMap<String, &str>) {
        let about = &copy.summary;
        assert!(self.copies.contains(&about.register_id));
        let rows = self.rows(copy).await;
        let numbers: BTreeSet<&String> = rows.iter().map(|(number, _)| number).collect();
        let total: i64 = rows.iter().map(|(_, amount)| amount).sum();
        assert_eq!(
            (numbers.len(), rows.len() as i64, total),
            (rows.len(), about.count, about.total),
            "{copy:?}"
        );
        // What was open then may have been revoked since.
        let was_open = |number: &str| {
            let mut revoked = self.paid.iter().filter(|paid| paid.revoked);
            about.open > 0 && revoked.any(|paid| paid.number == number && paid.series == about.series)
        };
        for number in numbers {
            let own = held.get(number).copied() == Some(about.series.as_str());
            assert!(own || was_open(number), "{number}: {copy:?}");
        }
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
