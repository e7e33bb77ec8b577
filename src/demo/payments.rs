//! A terminal that takes payments.

use futures::future::join_all;
use serde_json::{Value, json};

use super::cards::now;
use super::memory::{Taken, in_short};
use super::players::Players;
use super::scenario::{Payment, UTILITY};

/// A terminal at the payments.
#[derive(Clone, Copy)]
pub(super) struct PaymentDesk<'a> {
    pub(super) players: &'a Players,
    pub(super) terminal: usize,
}

impl PaymentDesk<'_> {
    /// Takes a payment: perhaps asks the payee first, tells of it as often as planned, perhaps takes it back.
    pub(super) async fn take(&self, payment: &Payment) {
        if payment.check {
            self.check(payment).await;
        }
        let body = self.body(payment);
        let tellings = join_all((0..payment.copies).map(|_| self.tell(payment, &body))).await;
        self.players
            .memory
            .expect_once("payment.accepted", &tellings, "accepted");
        if payment.revoke {
            self.revoke(payment, &["revoked", "refused not_revocable"]).await;
        } else if payment.check {
            self.status(payment).await;
        }
    }

    /// Takes a payment back that nobody has heard of, and then tells of it.
    pub(super) async fn revoke_first(&self, payment: &Payment) {
        self.revoke(payment, &["revoked"]).await;
        self.refused(payment, self.body(payment), "refused revoked").await;
    }

    /// Tells of a payment that will be refused for this reason.
    pub(super) async fn refused(&self, payment: &Payment, body: Value, reason: &str) {
        self.remember(payment);
        if let Some(answer) = self.players.till.tell(self.terminal, "payment.accepted", &body).await {
            self.players.memory.expect("payment.accepted", &answer, &[reason]);
        }
    }

    /// Tells of a payment once and remembers its number.
    pub(super) async fn tell(&self, payment: &Payment, body: &Value) -> Option<Value> {
        self.remember(payment);
        let answer = self.players.till.tell(self.terminal, "payment.accepted", body).await?;
        let memory = &self.players.memory;
        if memory.expect("payment.accepted", &answer, &["accepted", "already_accepted"]) {
            let number = answer["number"].as_str().unwrap_or_default().to_owned();
            let before = memory.note(|all| {
                all.payments
                    .entry(payment.id)
                    .or_default()
                    .number
                    .replace(number.clone())
            });
            if before.is_some_and(|before| before != number) {
                memory.surprise("payment.accepted: two numbers for one payment");
            }
        }
        Some(answer)
    }

    /// Asks the payee; where it asks back, what the payer enters is told with the next question.
    async fn check(&self, payment: &Payment) {
        if payment.payee == UTILITY {
            self.ask(payment, &json!({}), &["ask", "refused account_not_found"])
                .await;
        }
        // A provider that is down, and an account that a payee does not have, are told as such.
        let expected: &[&str] = match payment.payee {
            "isp" => &["payable", "unavailable", "refused account_not_found"],
            UTILITY => &["payable", "refused account_not_found"],
            _ => &["payable"],
        };
        self.ask(payment, &json!(payment.fields), expected).await;
    }

    async fn ask(&self, payment: &Payment, fields: &Value, expected: &[&str]) {
        let body = json!({
            "payment_id": payment.id, "terminal": self.name(), "payee": payment.payee, "account": payment.account,
            "amount": payment.amount, "currency": "RUB", "fields": fields,
        });
        if let Some(answer) = self.players.till.ask(self.terminal, "payment.check", &body).await {
            self.players.memory.expect("payment.check", &answer, expected);
        }
    }

    async fn status(&self, payment: &Payment) {
        let body = json!({"payment_id": payment.id, "terminal": self.name()});
        if let Some(answer) = self.players.till.ask(self.terminal, "payment.status", &body).await {
            self.players.memory.expect("payment.status", &answer, &["ok"]);
        }
    }

    async fn revoke(&self, payment: &Payment, expected: &[&str]) {
        let body = json!({"payment_id": payment.id, "terminal": self.name(), "reason": "the payer changed their mind"});
        if let Some(answer) = self.players.till.tell(self.terminal, "payment.revoke", &body).await {
            self.players.memory.expect("payment.revoke", &answer, expected);
            if in_short(&answer) == "revoked" {
                self.players
                    .memory
                    .note(|all| all.payments.entry(payment.id).or_default().revoked = true);
            }
        }
    }

    fn remember(&self, payment: &Payment) {
        self.players.memory.note(|all| {
            let taken = all.payments.entry(payment.id).or_default();
            *taken = Taken {
                payee: payment.payee.to_owned(),
                terminal: self.name().to_owned(),
                account: payment.account.clone(),
                amount: payment.amount,
                fee: payment.fee,
                ..taken.clone()
            };
        });
    }

    /// The message, as a front-end writes it.
    pub(super) fn body(&self, payment: &Payment) -> Value {
        json!({
            "payment_id": payment.id, "terminal": self.name(), "payee": payment.payee, "account": payment.account,
            "fields": payment.fields, "amount": payment.amount, "fee": payment.fee, "currency": "RUB",
            "paid_at": now(), "receipt_number": payment.receipt,
        })
    }

    fn name(&self) -> &str {
        self.players.name(self.terminal)
    }
}
