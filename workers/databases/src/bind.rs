//! Parameters: which names a statement of a step may use, what each is in the database, and the values they get. A value
//! that is not of its parameter's type is refused here, before any statement has run.

use std::collections::BTreeMap;

use contract::message::PaymentCheck;
use domain::declaration::{DatabasesProfile, Payee, StepKind, ValueType};
use domain::money::{Amount, Currency};
use domain::scenario::Known;
use jiff::Timestamp;
use jiff::civil::DateTime;
use sql::{AmountAs, Kind, Statement, Values, Vocabulary, Zone};
use store::deliveries::Due;
use uuid::Uuid;

/// The payee's own name for a payment: a column of `pay`, and a parameter of what is asked about it afterwards.
pub(crate) const REFERENCE: &str = "provider_reference";
/// How many digits behind the point a decimal parameter keeps.
const DECIMAL_DIGITS: u32 = 6;

/// The names of one step.
pub(crate) struct Names {
    kind: StepKind,
    amount: Kind,
    declared: BTreeMap<String, Kind>,
}

impl Names {
    pub(crate) fn of(payee: &Payee, profile: &DatabasesProfile, kind: StepKind) -> Self {
        let amount = amount_as(profile).kind(payee.currency.digits());
        if kind == StepKind::List {
            let declared = BTreeMap::new();
            return Self { kind, amount, declared };
        }
        let fields = fields(payee, profile);
        let mut declared: BTreeMap<String, Kind> = fields.map(|name| (name.clone(), Kind::Text)).collect();
        if knows_reference(kind) {
            declared.insert(REFERENCE.to_owned(), Kind::Text);
        }
        for (name, value) in &profile.types {
            declared.insert(name.clone(), kind_of(*value, amount));
        }
        Self { kind, amount, declared }
    }
}

/// The fields that a payer enters, and those that a check has given a terminal to carry: what else a terminal sends has no name
/// here, since a statement may mean a column of one before it by that.
pub(crate) fn fields<'a>(payee: &'a Payee, profile: &'a DatabasesProfile) -> impl Iterator<Item = &'a String> {
    let asked = profile.asks().map(|ask| &ask.name);
    let carried = profile.check.iter().flat_map(|check| &check.carry);
    payee.field.iter().map(|field| &field.name).chain(asked).chain(carried)
}

/// Whether a step is about a payment that the payee may have told its own name for.
pub(crate) fn knows_reference(kind: StepKind) -> bool {
    matches!(kind, StepKind::Status | StepKind::Cancel)
}

fn kind_of(value: ValueType, amount: Kind) -> Kind {
    match value {
        ValueType::Text => Kind::Text,
        ValueType::Integer => Kind::Integer,
        ValueType::Decimal => Kind::Decimal { digits: DECIMAL_DIGITS },
        ValueType::Money => amount,
        ValueType::Moment => Kind::Moment,
        ValueType::Uuid => Kind::Uuid,
    }
}

pub(crate) fn amount_as(profile: &DatabasesProfile) -> AmountAs {
    match profile.amount_as {
        domain::declaration::AmountAs::Minor => AmountAs::Minor,
        domain::declaration::AmountAs::Decimal => AmountAs::Decimal,
    }
}

/// The payment's own names win over everything a row or a payer could bring.
fn own(kind: StepKind, name: &str, amount: Kind) -> Option<Kind> {
    let known = kind != StepKind::Check;
    match name {
        "from" | "to" if kind == StepKind::List => Some(Kind::Moment),
        "after" | "limit" if kind == StepKind::List => Some(Kind::Integer),
        _ if kind == StepKind::List => None,
        "payment_id" => Some(Kind::Uuid),
        "account" | "currency" | "fields" | "terminal" => Some(Kind::Text),
        "amount" => Some(amount),
        "number" if known => Some(Kind::Integer),
        "fee" if known => Some(amount),
        "paid_at" if known => Some(Kind::Moment),
        "reason" if kind == StepKind::Cancel => Some(Kind::Text),
        _ => None,
    }
}

impl Vocabulary for Names {
    fn kind_of(&self, name: &str) -> Option<Kind> {
        own(self.kind, name, self.amount).or_else(|| self.declared.get(name).copied())
    }

    fn names(&self) -> String {
        const OWN: [&str; 14] = [
            "account",
            "amount",
            "currency",
            "payment_id",
            "terminal",
            "fields",
            "number",
            "fee",
            "paid_at",
            "reason",
            "from",
            "to",
            "after",
            "limit",
        ];
        let own = OWN
            .into_iter()
            .filter(|name| own(self.kind, name, self.amount).is_some());
        let all: Vec<String> = own
            .chain(self.declared.keys().map(String::as_str))
            .map(|name| format!(":{name}"))
            .collect();
        format!(
            "{}; columns of earlier statements are declared in databases.types",
            all.join(" ")
        )
    }
}

/// What a payment brings to every statement of a step.
pub(crate) struct Brought {
    own: Values,
    pub(crate) kind: StepKind,
    amount: Kind,
    /// Of dates and times that say none, in the session that the statements run in.
    zone: Zone,
}

impl Brought {
    pub(crate) fn by_check(asked: &PaymentCheck, currency: Currency, amount_as: AmountAs, zone: &Zone) -> Self {
        let mut own = Values::default();
        own.text("payment_id", asked.payment_id.to_string());
        own.text("account", asked.account.as_str());
        own.text("terminal", asked.terminal.as_str());
        match asked.amount {
            Some(amount) => own.amount(amount, currency, amount_as),
            None => own.text("currency", currency.code()),
        }
        own.text("fields", serde_json::to_string(&asked.fields).unwrap_or_default());
        let amount = amount_as.kind(currency.digits());
        Self {
            own,
            kind: StepKind::Check,
            amount,
            zone: zone.clone(),
        }
    }

    /// An error is about a row of ours that makes no sense.
    pub(crate) fn by_payment(
        due: &Due,
        kind: StepKind,
        currency: Currency,
        amount_as: AmountAs,
        zone: &Zone,
    ) -> Result<Self, String> {
        let mut own = Values::default();
        own.integer("number", due.number.get());
        own.text("payment_id", due.payment_id.to_string());
        own.text("account", due.account.as_str());
        own.text("terminal", due.terminal.as_str());
        own.text("paid_at", due.paid_at.to_string());
        own.text("fields", due.fields.to_string());
        own.optional_text("reason", due.revoke_reason.clone());
        let amount = Amount::new(due.amount).map_err(|wrong| wrong.to_string())?;
        own.amount(amount, currency, amount_as);
        match amount_as {
            AmountAs::Minor => own.integer("fee", due.fee),
            AmountAs::Decimal => own.text("fee", domain::money::format_minor(due.fee, currency)),
        }
        let amount = amount_as.kind(currency.digits());
        Ok(Self {
            own,
            kind,
            amount,
            zone: zone.clone(),
        })
    }

    /// The values of one statement: the payment's own, and what is known by now. An error names the parameter whose value is
    /// not of its type; it repeats no value.
    pub(crate) fn values(&self, statement: &Statement, known: &Known) -> Result<Values, String> {
        let mut values = self.own.clone();
        for parameter in &statement.parameters {
            if own(self.kind, &parameter.name, self.amount).is_some() {
                continue;
            }
            let given = known.get(&parameter.name).and_then(Option::as_deref);
            // An empty field is one that was not entered: to anything but text it is nothing.
            let given = given.filter(|text| parameter.kind == Kind::Text || !text.is_empty());
            if let Some(text) = given {
                self.give(&mut values, &parameter.name, parameter.kind, text)
                    .map_err(|why| format!("{}: {why}", parameter.name))?;
            }
        }
        Ok(values)
    }

    fn give(&self, values: &mut Values, name: &str, kind: Kind, text: &str) -> Result<(), &'static str> {
        let trimmed = text.trim();
        match kind {
            Kind::Integer => values.integer(name, trimmed.parse().map_err(|_| "is no integer")?),
            Kind::Text => values.text(name, text),
            Kind::Uuid => values.text(name, trimmed.parse::<Uuid>().map_err(|_| "is no UUID")?.to_string()),
            Kind::Decimal { .. } => {
                let point = trimmed.replace(',', ".");
                if !domain::scenario::is_decimal(&point) {
                    return Err("is no decimal number");
                }
                values.text(name, point);
            }
            Kind::Moment | Kind::Utc => {
                // What a row told by the session's clock is bound as the moment that it was.
                let local = || self.zone.moment(trimmed.parse::<DateTime>().ok()?);
                let moment = trimmed.parse::<Timestamp>().ok().or_else(local);
                values.text(name, moment.ok_or("is no date and time")?.to_string());
            }
        }
        Ok(())
    }
}
