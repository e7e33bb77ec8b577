//! Who does what: shifts of errands drawn from the seed, and those that must be there whatever it draws.

use std::collections::BTreeMap;

use rand::Rng;
use rand::rngs::StdRng;
use uuid::Uuid;

use super::super::people;
use super::{Act, DECLARED_TERMINALS, Debtor, Ending, Errand, FINES, HOUSING, INBOX, Payment, Spoilt, UTILITY};

/// Each of them once per so many terminals.
pub(super) const SPOILT: [Spoilt; 8] = [
    Spoilt::NotJson,
    Spoilt::NotText,
    Spoilt::WrongKey,
    Spoilt::UnknownPayee,
    Spoilt::Fraction,
    Spoilt::WrongAccount,
    Spoilt::TooMuch,
    Spoilt::TooLarge,
];

/// Accounts the provider's billing has, and one that it has not.
const SUBSCRIBERS: [&str; 3] = ["1001", "1002", "1003"];
const NO_SUBSCRIBER: &str = "4040";

/// Draws errands.
pub(super) struct Planner {
    pub(super) rng: StdRng,
    pub(super) terminals: usize,
    /// Receipts printed so far.
    pub(super) receipts: u32,
    /// Whether there is a provider with an inbox.
    pub(super) has_inbox: bool,
    /// Who has to be in the data of payees that have their own.
    pub(super) debtors: Vec<Debtor>,
}

/// How much more a meter shows than last time, at most.
const USED_MAX: u32 = 400;

impl Planner {
    pub(super) fn opening(&mut self) -> Vec<Act> {
        let endings = [
            (Ending::Abandoned, 12),
            (Ending::SoldInGrace, 25),
            (Ending::SoldAfterGrace, 25),
        ];
        let mut acts = Vec::new();
        for (ending, per) in endings {
            for _ in 0..(self.terminals / per).max(2) {
                acts.push(self.card(ending));
            }
        }
        acts
    }

    /// Nothing but a payment, so that it is its answer and no other that is lost.
    pub(super) fn first(&mut self) -> Act {
        let payment = self.subscription();
        let payment = Payment {
            account: SUBSCRIBERS[0].to_owned(),
            copies: 1,
            check: false,
            ..payment
        };
        Act {
            terminal: self.terminal(),
            errand: Errand::Pay(payment),
        }
    }

    pub(super) fn morning(&mut self) -> Vec<Act> {
        let mut acts = self.shift(25);
        for spoilt in SPOILT {
            for _ in 0..(self.terminals / 100).max(1) {
                let payment = self.utility();
                let act = Act {
                    terminal: self.terminal(),
                    errand: Errand::Spoilt(spoilt, payment),
                };
                acts.insert(self.rng.random_range(0..=acts.len()), act);
            }
        }
        for _ in 0..2 {
            let act = Act {
                terminal: self.terminal(),
                errand: Errand::RevokedFirst(self.utility()),
            };
            acts.push(act);
        }
        // The terminal that gets its cards sealed, the last of the declared ones, sells some in any case.
        for ending in [Ending::Sold { copies: 1 }, Ending::Reprinted] {
            let act = self.card(ending);
            acts.push(Act {
                terminal: DECLARED_TERMINALS - 1,
                ..act
            });
        }
        acts
    }

    /// About one errand and a half per terminal, so many in a hundred of them payments to the provider.
    pub(super) fn shift(&mut self, online: u32) -> Vec<Act> {
        (0..self.terminals * 3 / 2)
            .map(|_| match self.rng.random_range(0..100) {
                0..5 => Act {
                    terminal: self.terminal(),
                    errand: Errand::Look,
                },
                5..35 => {
                    let ending = self.ending();
                    self.card(ending)
                }
                _ if self.rng.random_ratio(online, 100) => Act {
                    terminal: self.terminal(),
                    errand: Errand::Pay(self.subscription()),
                },
                _ if self.rng.random_ratio(2, 5) => Act {
                    terminal: self.terminal(),
                    errand: Errand::Pay(self.payment_into_own_data()),
                },
                _ => Act {
                    terminal: self.terminal(),
                    errand: Errand::Pay(self.utility()),
                },
            })
            .collect()
    }

    fn ending(&mut self) -> Ending {
        match self.rng.random_range(0..10) {
            0..5 => Ending::Sold { copies: 1 },
            5 => Ending::Sold { copies: 3 },
            6 => Ending::Reprinted,
            _ => Ending::Released,
        }
    }

    fn card(&mut self, ending: Ending) -> Act {
        let reservation = self.id();
        Act {
            terminal: self.terminal(),
            errand: Errand::Card {
                reservation,
                ending,
                receipt: self.receipt(),
            },
        }
    }

    /// A payment to one of the two payees with registers.
    fn utility(&mut self) -> Payment {
        let rng = &mut self.rng;
        let payer = people::payer(rng);
        let (payee, account, fields) = if rng.random_ratio(3, 5) {
            let fields = BTreeMap::from([("payer", payer), ("meter_cold", people::cubic_metres(rng))]);
            ("gorvodokanal", people::account(rng, 10), fields)
        } else {
            let meter = people::gigacalories(rng);
            let fields = BTreeMap::from([
                ("payer", payer),
                ("address", people::address(rng)),
                ("meter_heat", meter),
            ]);
            ("teploset", people::account(rng, 8), fields)
        };
        let revoke = rng.random_ratio(1, 30);
        Payment {
            revoke,
            ..self.payment(payee, account, fields)
        }
    }

    /// A payment to the internet provider.
    fn subscription(&mut self) -> Payment {
        let nobody = self.rng.random_ratio(1, 30);
        let account = if nobody {
            NO_SUBSCRIBER
        } else {
            people::one_of(&mut self.rng, &SUBSCRIBERS)
        };
        let fields = BTreeMap::from([("payer", people::payer(&mut self.rng))]);
        self.payment("isp", account.to_owned(), fields)
    }

    /// A payment into a payee's own data: what is due there, and for the utility a reading of the meter. Now and then
    /// nobody there knows the account.
    fn payment_into_own_data(&mut self) -> Payment {
        let payees = [UTILITY, FINES, HOUSING, INBOX];
        let payees = if self.has_inbox { &payees[..] } else { &payees[..3] };
        let payee = people::one_of(&mut self.rng, payees);
        let nth = self.debtors.len() + 1;
        let mut account = match payee {
            UTILITY => format!("{}", 200_000_000 + nth),
            FINES => format!("1881017701234567{nth:04}"),
            HOUSING => nth.to_string(),
            _ => format!("client-{nth}"),
        };
        let debtor = Debtor {
            payee,
            account: account.clone(),
            name: people::tenant(&mut self.rng),
            due: self.rng.random_range(1_000..300_000),
            reading: self.rng.random_range(0..90_000),
        };
        let mut fields = BTreeMap::new();
        if payee == UTILITY {
            let reading = debtor.reading + self.rng.random_range(0..=USED_MAX);
            fields.insert("meter_cold", reading.to_string());
        }
        let amount = debtor.due;
        if payee != UTILITY || !self.rng.random_ratio(1, 12) {
            self.debtors.push(debtor);
        } else {
            // Nobody's: the next debtor has the number that this one would have had.
            account = format!("{}", 250_000_000 + nth);
        }
        Payment {
            amount,
            ..self.payment(payee, account, fields)
        }
    }

    fn payment(&mut self, payee: &'static str, account: String, fields: BTreeMap<&'static str, String>) -> Payment {
        Payment {
            id: self.id(),
            payee,
            account,
            amount: self.rng.random_range(100..500_000),
            fee: if self.rng.random_bool(0.5) {
                self.rng.random_range(0..5_000)
            } else {
                0
            },
            fields,
            receipt: self.receipt(),
            copies: if self.rng.random_ratio(1, 10) { 3 } else { 1 },
            check: self.rng.random_ratio(1, 4),
            revoke: false,
        }
    }

    fn terminal(&mut self) -> usize {
        self.rng.random_range(0..self.terminals)
    }

    fn receipt(&mut self) -> String {
        self.receipts += 1;
        format!("{:06}", self.receipts)
    }

    pub(super) fn ids(&mut self, count: usize) -> Vec<Uuid> {
        (0..count).map(|_| self.id()).collect()
    }

    fn id(&mut self) -> Uuid {
        uuid::Builder::from_random_bytes(self.rng.random()).into_uuid()
    }
}
