//! What a described request can tell, by name.

use jiff::Timestamp;
use minijinja::Value;
use serde::{Deserialize, Serialize};

use crate::declaration::Zone;
use crate::money::{Amount, Currency, format_minor};
use crate::template::ZONE;
use crate::text::Fields;

/// What is asked of a payee.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// May this account be paid.
    Check,
    /// Credit this payment.
    Pay,
    /// What became of it.
    Status,
    /// Take it back.
    Cancel,
    /// What was credited in a period.
    List,
}

impl Verb {
    /// The word of the protocol and of the declaration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Check => "check",
            Self::Pay => "pay",
            Self::Status => "status",
            Self::Cancel => "cancel",
            Self::List => "list",
        }
    }

    /// The names that a template of this verb may use. Of a check there may be nothing behind `amount` and `amount_minor`.
    pub(crate) fn names(self) -> Vec<&'static str> {
        const ANY_PAYMENT: [&str; 8] = [
            "number",
            "payment_id",
            "terminal",
            "account",
            "amount",
            "amount_minor",
            "currency",
            "fields",
        ];
        let (about, more): (&[&str], &[&str]) = match self {
            Self::Check => (&ANY_PAYMENT, &[]),
            Self::Pay | Self::Status => (&ANY_PAYMENT, &["fee", "fee_minor", "paid_at"]),
            Self::Cancel => (&ANY_PAYMENT, &["fee", "fee_minor", "paid_at", "reason"]),
            Self::List => (&[], &["from", "to", "after"]),
        };
        [about, more, &["now", SECRET][..]].concat()
    }
}

/// The name under which a payee's secret is there, in every request.
const SECRET: &str = "secret";

/// The values of one request, each under its name.
#[derive(Clone)]
pub struct Values(Vec<(String, Value)>);

impl Values {
    /// None yet. Moments are shown in this zone.
    pub fn new(zone: &Zone) -> Self {
        let values = Self(vec![(ZONE.to_owned(), Value::from(zone.name()))]);
        values.moment("now", crate::clock::now())
    }

    /// A text.
    #[must_use]
    pub fn text(mut self, name: &str, text: &str) -> Self {
        self.0.push((name.to_owned(), Value::from(text)));
        self
    }

    /// A moment; the filter `date` writes it in other ways.
    #[must_use]
    pub fn moment(self, name: &str, moment: Timestamp) -> Self {
        self.text(name, &moment.to_string())
    }

    /// An amount: `150.00` under its name, `15000` under `…_minor`. Of a check it may be missing.
    #[must_use]
    pub fn amount(mut self, name: &str, minor: Option<i64>, currency: Currency) -> Self {
        let value = |text: Option<String>| text.map_or(Value::from(()), Value::from);
        let major = minor.map(|minor| format_minor(minor, currency));
        self.0.push((name.to_owned(), value(major)));
        self.0
            .push((format!("{name}_minor"), value(minor.map(|minor| minor.to_string()))));
        self
    }

    /// What the payer entered.
    #[must_use]
    pub fn fields(mut self, fields: &Fields) -> Self {
        let entered: Value = fields
            .iter()
            .map(|(name, value)| (name.to_owned(), Value::from(value)))
            .collect();
        self.0.push(("fields".to_owned(), entered));
        self
    }

    /// The payee's secret.
    #[must_use]
    pub fn secret(self, secret: &str) -> Self {
        self.text(SECRET, secret)
    }

    /// An amount of the protocol's type.
    #[must_use]
    pub fn of_amount(self, amount: Option<Amount>, currency: Currency) -> Self {
        self.amount("amount", amount.map(Amount::minor), currency)
    }

    pub(super) fn to_value(&self) -> Value {
        self.0.iter().cloned().collect()
    }
}

/// Values are payers' data and secrets.
impl std::fmt::Debug for Values {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Values(…)")
    }
}
