//! Intake, closers and revocations in any interleaving, under the locks the store takes: each payment is in exactly one
//! register, what was frozen stays true, and a revocation either came before the freeze or was refused.

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::money::Amount;

const SERIES: usize = 3;
/// The series whose payee wants registers without payments too.
const SENDS_EMPTY: usize = 2;

/// One move of somebody. A move whose lock is taken by another is waited for, which is: it does not happen now.
#[derive(Debug, Clone)]
enum Move {
    /// Time passes; at times the database's wall clock is set back.
    Tick(i64),
    /// Takes the ledger row, positions and the time of acceptance for payments of these series; nothing is visible yet.
    BeginIntake(Vec<usize>),
    CommitIntake,
    AbortIntake,
    /// A closer's first transaction: the ledger's clock is raised to a moment that has come.
    RaiseClock {
        series: usize,
        ago: i64,
    },
    /// A closer's second transaction.
    Close {
        series: usize,
    },
    BeginRevoke {
        payment: usize,
    },
    CommitRevoke,
}

fn one_move() -> impl Strategy<Value = Move> {
    let series = 0..SERIES;
    prop_oneof![
        2 => (-15..20_i64).prop_map(Move::Tick),
        4 => proptest::collection::vec(series.clone(), 1..4).prop_map(Move::BeginIntake),
        4 => Just(Move::CommitIntake),
        1 => Just(Move::AbortIntake),
        3 => (series.clone(), 0..30_i64).prop_map(|(series, ago)| Move::RaiseClock { series, ago }),
        3 => series.prop_map(|series| Move::Close { series }),
        2 => (0..60_usize).prop_map(|payment| Move::BeginRevoke { payment }),
        2 => Just(Move::CommitRevoke),
    ]
}

#[derive(Debug, Clone)]
struct Row {
    series: usize,
    open: OpenPayment,
}

#[derive(Debug)]
struct Office {
    wall: i64,
    clock: i64,
    last_position: i64,
    /// The transaction that holds the ledger row, with the rows it will show.
    intake: Option<Vec<Row>>,
    rows: Vec<Row>,
    series: [Series; SERIES],
    /// Cut-offs whose clock has been raised and whose closing is still to come.
    raised: [Vec<i64>; SERIES],
    /// The payment whose revocation holds its series' row, shared.
    revoking: Option<usize>,
    registers: Vec<(usize, i64, i64, Frozen)>,
}

fn stamp(second: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + SignedDuration::from_secs(second)
}

fn second(at: Timestamp) -> i64 {
    at.as_second()
}

impl Office {
    fn new() -> Self {
        let series = Series {
            last_hi: 0,
            last_sequence: 0,
            last_cutoff: stamp(0),
        };
        Self {
            wall: 1000,
            clock: 0,
            last_position: 0,
            intake: None,
            rows: Vec::new(),
            series: [series; SERIES],
            raised: Default::default(),
            revoking: None,
            registers: Vec::new(),
        }
    }

    fn begin_intake(&mut self, series: &[usize]) {
        let accepted_at = self.clock.max(self.wall);
        let rows = series.iter().zip(self.last_position + 1..).map(|(series, position)| {
            let amount = Amount::new(1000 + position).unwrap();
            Row {
                series: *series,
                open: OpenPayment {
                    position,
                    accepted_at: stamp(accepted_at),
                    amount,
                    revoked: false,
                },
            }
        });
        self.intake = Some(rows.collect());
    }

    fn commit_intake(&mut self) {
        let Some(rows) = self.intake.take() else { return };
        self.clock = self.clock.max(second(rows[0].open.accepted_at));
        self.last_position += i64::try_from(rows.len()).unwrap();
        self.rows.extend(rows);
    }

    fn close(&mut self, of: usize, cutoff: i64) {
        let before = self.series[of];
        let open = self.rows.iter().filter(|row| row.series == of).map(|row| row.open);
        let closing = close(&before, stamp(cutoff), open, of == SENDS_EMPTY);
        self.series[of] = before.after(stamp(cutoff), &closing);
        if let Closing::Register(frozen) = closing {
            self.registers.push((of, second(before.last_cutoff), cutoff, frozen));
        }
    }

    fn take(&mut self, one: Move) {
        let ledger_is_free = self.intake.is_none();
        match one {
            Move::Tick(seconds) => self.wall += seconds,
            Move::BeginIntake(series) if ledger_is_free => self.begin_intake(&series),
            Move::CommitIntake => self.commit_intake(),
            Move::AbortIntake => self.intake = None,
            Move::RaiseClock { series, ago } if ledger_is_free => {
                let cutoff = self.wall - ago;
                self.clock = self.clock.max(cutoff);
                self.raised[series].push(cutoff);
            }
            Move::Close { series } if self.revoking.is_none_or(|payment| self.rows[payment].series != series) => {
                if let Some(cutoff) = self.raised[series].pop() {
                    self.close(series, cutoff);
                }
            }
            Move::BeginRevoke { payment } if self.revoking.is_none() => {
                let open = self
                    .rows
                    .get(payment)
                    .filter(|row| row.open.position > self.series[row.series].last_hi);
                self.revoking = open.map(|_| payment);
            }
            Move::CommitRevoke => {
                if let Some(payment) = self.revoking.take() {
                    self.rows[payment].open.revoked = true;
                }
            }
            Move::BeginIntake(_) | Move::RaiseClock { .. } | Move::Close { .. } | Move::BeginRevoke { .. } => {}
        }
    }

    /// Everybody finishes, and each series is closed once more.
    fn end_the_day(&mut self) {
        self.commit_intake();
        self.take(Move::CommitRevoke);
        self.wall = self.wall.max(self.clock) + 1;
        for series in 0..SERIES {
            self.close(series, self.wall);
        }
    }

    /// The positions that a register's file holds if it is built now.
    fn in_file<'a>(&'a self, of: usize, frozen: &'a Frozen) -> impl Iterator<Item = &'a OpenPayment> {
        let in_range = move |row: &&Row| row.series == of && (frozen.lo..=frozen.hi).contains(&row.open.position);
        self.rows.iter().filter(in_range).map(|row| &row.open)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn each_position_is_in_exactly_one_register(moves in proptest::collection::vec(one_move(), 1..80)) {
        let mut office = Office::new();
        for one in moves {
            office.take(one);
        }
        office.end_the_day();
        for row in &office.rows {
            let holding = office.registers.iter().filter(|(of, _, _, frozen)| {
                *of == row.series && (frozen.lo..=frozen.hi).contains(&row.open.position)
            });
            let times = holding.count();
            prop_assert!(times == 1 || (times == 0 && row.open.revoked), "{:?} is in {} registers", row, times);
        }
        for (of, last_cutoff, cutoff, frozen) in &office.registers {
            let kept = || office.in_file(*of, frozen).filter(|payment| !payment.revoked);
            prop_assert_eq!(kept().count() as u64, frozen.payment_count, "something changed after the freeze");
            prop_assert_eq!(kept().map(|payment| i128::from(payment.amount.minor())).sum::<i128>(), frozen.total);
            let revoked = office.in_file(*of, frozen).filter(|payment| payment.revoked).count() as u64;
            prop_assert_eq!(revoked, frozen.revoked_count);
            let accepted = |payment: &OpenPayment| second(payment.accepted_at);
            prop_assert!(kept().all(|payment| (*last_cutoff..*cutoff).contains(&accepted(payment))), "on another's day");
            prop_assert!(frozen.payment_count > 0 || *of == SENDS_EMPTY, "nobody wants a register of nothing");
            let told = (second(frozen.first_accepted_at), second(frozen.last_accepted_at));
            prop_assert!(frozen.payment_count > 0 || told == (*last_cutoff, *cutoff));
        }
        for of in 0..SERIES {
            let own: Vec<_> = office.registers.iter().filter(|register| register.0 == of).map(|register| register.3).collect();
            prop_assert!(own.iter().zip(1..).all(|(frozen, sequence)| frozen.sequence == sequence));
            prop_assert!(own.windows(2).all(|pair| pair[0].hi < pair[1].lo));
        }
    }
}
