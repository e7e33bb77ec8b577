//! A payee: who gets the money, through which gateway, and what an account, an amount and a field must look like. The rules
//! of acceptance are asked here by intake, for `payment.check` and `payment.accepted` alike, so the two cannot disagree.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{
    DatabasesProfile, Declaration, Findings, MAIN_SERIES, Online, Pattern, RegisterProfile, Requisites,
    UnikassaProfile, check_name, is_false, mask_secrets,
};
use crate::ids::PayeeId;
use crate::invalid::Invalid;
use crate::limits::FIELDS_MAX;
use crate::money::{Amount, Currency};
use crate::text::{Account, Fields, is_field_key};

/// A payee as declared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Payee {
    /// Its id; never reused for another.
    pub id: PayeeId,
    /// Its name for people.
    pub name: String,
    /// How it is served.
    pub gateway: Gateway,
    /// The only currency it takes.
    pub currency: Currency,
    /// What an account looks like.
    pub account: AccountRule,
    /// How much may be paid at once.
    pub amount: AmountRule,
    /// Payments are taken and wait; nothing goes out.
    #[serde(default, skip_serializing_if = "is_false")]
    pub suspended: bool,
    /// No more payments are taken; what is open still goes out.
    #[serde(default, skip_serializing_if = "is_false")]
    pub retired: bool,
    /// What the payer is asked for besides the account, in the order of asking.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub field: Vec<FieldRule>,
    /// Its numbers with the tax office and its bank, for registers.
    #[serde(default, skip_serializing_if = "Requisites::is_empty")]
    pub requisites: Requisites,
    /// For gateway `registers`; with the online gateways, of what was delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub register: Option<RegisterProfile>,
    /// For gateway `unikassa`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unikassa: Option<UnikassaProfile>,
    /// For gateway `databases`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub databases: Option<Box<DatabasesProfile>>,
}

/// How a payee is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Gateway {
    /// By files of payments, mailed.
    Registers,
    /// Online, by our protocol or a dialect of it.
    Unikassa,
    /// Straight into its own data.
    Databases,
}

impl Gateway {
    /// The word of the declaration and of the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Registers => "registers",
            Self::Unikassa => "unikassa",
            Self::Databases => "databases",
        }
    }

    /// Reads the word of the declaration or the database.
    pub fn parse(word: &str) -> Result<Self, Invalid> {
        [Self::Registers, Self::Unikassa, Self::Databases]
            .into_iter()
            .find(|gateway| gateway.as_str() == word)
            .ok_or_else(|| Invalid::new("gateway", "must be registers, unikassa or databases"))
    }

    /// Whether payments are delivered one by one.
    pub fn is_online(self) -> bool {
        !matches!(self, Self::Registers)
    }
}

impl std::fmt::Display for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What an account looks like.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountRule {
    /// The whole account matches this.
    pub pattern: Pattern,
}

/// How much may be paid at once, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AmountRule {
    /// The least.
    pub min: Amount,
    /// The most.
    pub max: Amount,
}

/// A field the payer is asked for; terminals get it as it stands here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FieldRule {
    /// Its key in `fields`.
    pub name: String,
    /// What the payer reads.
    pub label: String,
    /// The whole value matches this; nothing = any value does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<Pattern>,
    /// Whether a payment without it is refused.
    #[serde(default)]
    pub required: bool,
}

impl Payee {
    /// Whether an account may be paid at all.
    pub fn accept_account(&self, account: &Account) -> Result<(), Invalid> {
        if self.account.pattern.is_match(account.as_str()) {
            Ok(())
        } else {
            Err(Invalid::new("account", "does not look like an account of this payee"))
        }
    }

    /// Whether an amount is within the limits.
    pub fn accept_amount(&self, amount: Amount) -> Result<(), Invalid> {
        let AmountRule { min, max } = self.amount;
        if (min..=max).contains(&amount) {
            Ok(())
        } else {
            Err(Invalid::new(
                "amount",
                format!("must be from {} to {} minor units", min.minor(), max.minor()),
            ))
        }
    }

    /// Whether a currency is the payee's.
    pub fn accept_currency(&self, currency: Currency) -> Result<(), Invalid> {
        if currency == self.currency {
            Ok(())
        } else {
            Err(Invalid::new("currency", format!("must be {}", self.currency)))
        }
    }

    /// How it is called, where payments are delivered one by one.
    pub fn online(&self) -> Option<Online<'_>> {
        match self.gateway {
            Gateway::Registers => None,
            Gateway::Unikassa => self.unikassa.as_ref().map(UnikassaProfile::online),
            Gateway::Databases => self.databases.as_deref().map(DatabasesProfile::online),
        }
    }

    /// Checks the declared fields and says which required ones are still to be entered. Fields nobody declared are kept
    /// as they are; an empty value counts as not entered.
    pub fn accept_fields(&self, fields: &Fields) -> Result<Vec<&FieldRule>, Invalid> {
        let mut missing = Vec::new();
        for rule in &self.field {
            match fields.get(&rule.name).filter(|value| !value.is_empty()) {
                Some(value) if rule.pattern.as_ref().is_some_and(|pattern| !pattern.is_match(value)) => {
                    return Err(Invalid::new(&rule.name, "does not match its pattern").within("fields"));
                }
                None if rule.required => missing.push(rule),
                Some(_) | None => {}
            }
        }
        Ok(missing)
    }

    /// The series of registers that a payment goes into.
    pub fn series_of(&self, fields: &Fields, terminal_group: Option<&str>) -> &str {
        let profile = self.register.as_ref();
        profile.map_or(MAIN_SERIES, |profile| profile.series_of(fields, terminal_group))
    }

    /// The payee as a series of its registers has it: with what that series says otherwise. One that is not declared any
    /// more is as `[register]` says.
    #[must_use]
    pub fn for_series(mut self, name: &str) -> Self {
        if let Some(own) = self.register.as_ref().and_then(|profile| profile.of_series(name)) {
            self.register = Some(own);
        }
        self
    }

    /// Everything that is wrong with the declaration.
    pub fn check(&self) -> Result<(), Vec<Invalid>> {
        let mut found = Findings::default();
        found.take(check_name("name", &self.name));
        found.refuse_if(self.amount.min > self.amount.max, "amount", "min is larger than max");
        self.check_fields(&mut found);
        self.check_gateway(&mut found);
        found.within("requisites", self.requisites.check());
        if let Some(profile) = &self.register {
            found.within("register", profile.check_file(&self.field));
        }
        found.finish()
    }

    fn check_fields(&self, found: &mut Findings) {
        found.refuse_if(self.field.len() > FIELDS_MAX, "field", "there are more than 32");
        for (at, rule) in self.field.iter().enumerate() {
            let name = format!("field[{at}].name");
            found.refuse_if(!is_field_key(&rule.name), &name, "must match ^[a-z][a-z0-9_]{0,31}$");
            let declared_before = self.field[..at].iter().any(|other| other.name == rule.name);
            found.refuse_if(declared_before, &name, "is declared twice");
            found.take(check_name(&format!("field[{at}].label"), &rule.label));
        }
    }

    /// A section that the gateway does not read is refused: whoever wrote it expects it to count.
    fn check_gateway(&self, found: &mut Findings) {
        match (&self.register, self.gateway) {
            (Some(profile), Gateway::Registers) => {
                found.within("register", profile.check());
                found.within("register", profile.check_series(&self.field));
            }
            (Some(profile), Gateway::Unikassa | Gateway::Databases) => {
                found.within("register", profile.check_of_delivered());
            }
            (None, gateway) => found.refuse_if(
                gateway == Gateway::Registers,
                "register",
                "is missing: gateway = \"registers\" needs it",
            ),
        }
        match (&self.unikassa, self.gateway == Gateway::Unikassa) {
            (Some(profile), true) => found.within("unikassa", profile.check(self)),
            (Some(_), false) => found.refuse_if(true, "unikassa", "is read only with gateway = \"unikassa\""),
            (None, needed) => found.refuse_if(needed, "unikassa", "is missing: gateway = \"unikassa\" needs it"),
        }
        match (&self.databases, self.gateway == Gateway::Databases) {
            (Some(profile), true) => found.within("databases", profile.check(self)),
            (Some(_), false) => found.refuse_if(true, "databases", "is read only with gateway = \"databases\""),
            (None, needed) => found.refuse_if(needed, "databases", "is missing: gateway = \"databases\" needs it"),
        }
    }
}

impl Declaration for Payee {
    const KIND: &'static str = "payee";

    fn id(&self) -> &str {
        self.id.as_str()
    }

    fn check(&self) -> Result<(), Vec<Invalid>> {
        Payee::check(self)
    }

    fn to_public_json(&self) -> Value {
        let mut shown = serde_json::to_value(self).unwrap_or(Value::Null);
        mask_secrets(&mut shown);
        shown
    }
}
