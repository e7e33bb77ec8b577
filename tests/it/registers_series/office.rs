//! An office with one payee: everything that can happen to its payments and registers, by whoever does it.

use std::collections::BTreeMap;

use domain::declaration::Payee;
use domain::ids::{PaymentId, TerminalId};
use domain::{Account, Amount, Currency, Fee, Fields, PayeeId, RegisterId};
use serde_json::json;
use store::payments::{Acceptance, NewPayment, Numbers, Revoked};
use store::registers::{self, CopyRequest};
use store::{Store, declarations, payments};
use testkit::process::Process;
use testkit::stand::Stand;

pub(super) fn gvk() -> PayeeId {
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
pub(super) struct Paid {
    pub(super) id: PaymentId,
    pub(super) number: String,
    pub(super) series: String,
    pub(super) amount: i64,
    pub(super) revoked: bool,
}

pub(super) struct Office {
    pub(super) stand: Stand,
    pub(super) store: Store,
    pub(super) payee: Payee,
    pub(super) with_hot: bool,
    pub(super) paid: Vec<Paid>,
    pub(super) copies: Vec<RegisterId>,
    /// Registers whose file was mailed again, and the file. Nobody takes the mails: no mailer runs.
    pub(super) mailed_again: BTreeMap<RegisterId, Option<Vec<u8>>>,
}

impl Office {
    pub(super) async fn open() -> Self {
        let stand = Stand::new().await;
        let mut office = Self {
            store: stand.store(),
            stand,
            payee: payee(true, false),
            with_hot: true,
            paid: Vec::new(),
            copies: Vec::new(),
            mailed_again: BTreeMap::new(),
        };
        office.declare(true, false).await;
        office
    }

    /// The way `payees apply` does.
    pub(super) async fn declare(&mut self, with_hot: bool, suspended: bool) {
        let payee = payee(with_hot, suspended);
        let tx = self.store.begin().await.unwrap();
        declarations::lock_for_apply(&tx).await.unwrap();
        registers::close_before_change(&self.store, &tx, std::slice::from_ref(&payee))
            .await
            .unwrap();
        declarations::apply_payee(&tx, &payee, "test").await.unwrap();
        tx.commit().await.unwrap();
        (self.payee, self.with_hot) = (payee, with_hot);
    }

    pub(super) async fn sql(&self, sql: &str) -> Vec<Vec<Option<String>>> {
        store::scratch::sql(&self.store, sql).await.unwrap()
    }

    pub(super) async fn pay(&mut self, service: &str, count: u8) {
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

    pub(super) async fn revoke(&mut self, which: usize) {
        let Some(paid) = self.paid.iter_mut().rev().nth(which) else {
            return;
        };
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

    pub(super) async fn grow_older(&self, hours: u8) {
        let by = format!("interval '{hours} hours'");
        self.sql(&format!(
            "UPDATE payment SET accepted_at = accepted_at - {by}, updated_at = updated_at - {by};
             UPDATE register SET cutoff = cutoff - {by}, closed_at = closed_at - {by}, period_from = period_from - {by},
                 period_to = period_to - {by}, first_accepted_at = first_accepted_at - {by},
                 last_accepted_at = last_accepted_at - {by};
             UPDATE series SET last_cutoff = last_cutoff - {by}, next_cutoff = next_cutoff - {by};
             UPDATE payee SET updated_at = updated_at - {by}"
        ))
        .await;
    }

    /// A worker that dies when it comes to this point, which is where there is something to do for it.
    pub(super) async fn die(&mut self, point: &str) {
        if self.payee.suspended || !self.with_hot {
            return;
        }
        self.pay("hot", 4).await;
        let mut environment = self.stand.environment();
        environment.push(("UNIGATE_TEST_DIE_AT".to_owned(), point.to_owned()));
        Process::start(&environment, &["run", "registers"]).dies().await;
        self.expire_leases().await;
    }

    /// Whoever held a build is taken for dead, and not for killed by it: days are short here, and builders die often.
    pub(super) async fn expire_leases(&self) {
        self.sql("UPDATE register SET lease_until = clock_timestamp(), due_at = clock_timestamp(), vanished = 0 WHERE lease_token IS NOT NULL")
            .await;
    }

    /// As a builder does that dies right after it took a register.
    pub(super) async fn lose_build(&self) {
        self.sql(
            "UPDATE register SET lease_token = gen_random_uuid(), attempts = attempts + 1,
                 lease_until = clock_timestamp() + interval '1 minute', due_at = clock_timestamp() + interval '1 minute'
             WHERE register_id = (SELECT register_id FROM register WHERE state = 'frozen' ORDER BY due_at LIMIT 1)",
        )
        .await;
    }

    /// Everything so far once more, or with what is open too.
    pub(super) async fn resend(&mut self, include_open: bool) {
        let now = domain::clock::now();
        let request = CopyRequest {
            payee: gvk(),
            from: now - jiff::SignedDuration::from_hours(24 * 300),
            to: now,
            requested_by: "test".into(),
            to_address: None,
            format: None,
            include_open,
        };
        // Refused where nothing is closed yet.
        if let Ok(copies) = registers::resend(&self.store, &request).await {
            self.copies.extend(copies);
        }
    }

    /// The identical file of a register once more. Refused while it has none, and while the mail before is under way.
    pub(super) async fn mail_again(&mut self, which: usize) {
        let registers = registers::list(&self.store, None).await.unwrap();
        let Some(register) = registers.get(which) else { return };
        let id = register.summary.register_id;
        let mails = registers::mail_again(&self.store, id, Some("auditor@example.org"), "test").await;
        let is_free = register.state == "built" && !self.mailed_again.contains_key(&id);
        assert_eq!(mails.ok(), is_free.then_some(1), "{register:?}");
        if is_free {
            self.mailed_again.insert(id, register.sha256.clone());
        }
    }
}
