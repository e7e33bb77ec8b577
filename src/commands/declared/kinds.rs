//! Payees, products and terminals as kinds of declarations: their lists, and what is particular about applying them.

use std::path::Path;
use std::sync::Arc;

use contract::event::{Events, PaymentEvent};
use domain::declaration::{Calendar, Declaration, Payee, Product, Terminal, TerminalGroup, TerminalLimits};
use domain::invalid::Invalid;
use runtime::{emit, payment_item};
use serde_json::json;
use store::cards::{self, ExpiryRule};
use store::declarations::{self, Applied, Declarations, Declared};
use store::{Store, StoreError, Tx, deliveries, registers};

use super::read::read_all;
use super::{Kind, Written};
use crate::ending::Misconfigured;
use crate::output::Column;

impl Kind for Payee {
    const COLUMNS: &'static [Column<super::Listed<Self>>] = &[
        Column::new("payee", |row| json!(row.value.id)),
        Column::new("name", |row| json!(row.value.name)),
        Column::new("gateway", |row| json!(row.value.gateway)),
        Column::new("currency", |row| json!(row.value.currency)),
        Column::new("suspended", |row| json!(row.value.suspended)),
        Column::new("retired", |row| json!(row.value.retired)),
        Column::new("version", |row| json!(row.version)),
        Column::new("updated_at", |row| json!(row.updated_at)),
    ];

    fn all(declarations: Declarations) -> Vec<Declared<Self>> {
        declarations.payees.into_values().collect()
    }

    /// Whoever only looks may not read what a secret may stand in, and a list shows nothing of that.
    async fn listed(store: &Store) -> Result<Vec<Declared<Self>>, StoreError> {
        declarations::payee_cards(store).await
    }

    const FAMILY: &'static [&'static str] = &[Self::KIND, Calendar::KIND];

    /// Calendars stand in the files that name them, or beside those: they become part of the payee, so that a register is
    /// always explained by the payee's own version.
    fn complete(path: &Path, written: &mut [Written<Self>]) -> Result<(), Misconfigured> {
        let mut wrong = Vec::new();
        let mut calendars = None;
        for payee in written.iter_mut().map(|one| &mut one.value) {
            let Some(profile) = payee
                .register
                .as_mut()
                .filter(|profile| !profile.named_calendars().is_empty())
            else {
                continue;
            };
            if calendars.is_none() {
                calendars = Some(calendars_beside(path)?);
            }
            let find = |name: &str| {
                calendars
                    .as_ref()?
                    .iter()
                    .find(|calendar| calendar.id() == name)
                    .cloned()
            };
            profile.resolve_calendars(find);
            for (place, name) in profile.named_calendars() {
                wrong.push(format!(
                    "payee {}: register.{place}: no [[calendar]] called `{name}` stands in these files",
                    payee.id
                ));
            }
            let refused = payee.check().err().into_iter().flatten();
            wrong.extend(refused.map(|refused| format!("payee {}: {refused}", payee.id)));
        }
        if wrong.is_empty() {
            Ok(())
        } else {
            Err(Misconfigured(wrong))
        }
    }

    fn unusable_keys(&self) -> Vec<Invalid> {
        let Some(profile) = &self.register else {
            return Vec::new();
        };
        let mut unusable = ::registers::unusable_keys(profile);
        for (at, series) in profile.series.iter().enumerate() {
            // What a series does not say itself was looked at already.
            let says = |key: &str| series.own.contains_key(key);
            if let Some(own) = profile
                .of_series(&series.name)
                .filter(|_| says("seal") || says("age_recipients"))
            {
                let refused = ::registers::unusable_keys(&own).into_iter();
                unusable.extend(refused.map(|refused| refused.within(&format!("series[{at}]"))));
            }
        }
        unusable.into_iter().map(|refused| refused.within("register")).collect()
    }

    /// A register of one payment, which nobody gets.
    fn try_out(&self) -> Result<(), String> {
        formats::Layout::try_out(self).map_err(|error| format!("register: {error}"))
    }

    /// A file that does not speak of `suspended` leaves it as an operator has set it: applying a directory again must not
    /// resume a payee by the way.
    async fn prepare(store: &Store, tx: &Tx, written: &mut [Written<Self>]) -> Result<(), StoreError> {
        let current = declarations::load_in(tx).await?;
        for one in written.iter_mut().filter(|one| !one.members.contains("suspended")) {
            one.value.suspended = current
                .payees
                .get(&one.value.id)
                .is_some_and(|payee| payee.value.suspended);
        }
        // Another currency has all batches wait from then on: only the last ones do that.
        written.sort_by_key(|one| {
            let known = current.payees.get(&one.value.id);
            known.is_some_and(|known| known.value.currency != one.value.currency)
        });
        let payees: Vec<Payee> = written.iter().map(|one| one.value.clone()).collect();
        registers::close_before_change(store, tx, &payees).await.map(drop)
    }

    async fn apply(&self, tx: &Tx, who: &str, notes: &mut Vec<String>) -> Result<Applied, StoreError> {
        let before = declarations::payee_for_update(tx, &self.id).await?;
        let applied = declarations::apply_payee(tx, self, who).await?;
        // What cannot be read may have been.
        let was = before.as_ref().and_then(Payee::online);
        let was_idempotent = was.is_none_or(|was| was.idempotent);
        if let Some(online) = self.online().filter(|online| was_idempotent && !online.idempotent) {
            notes.extend(doubt_repetitions(tx, self, online.offers_status).await?);
        }
        Ok(applied)
    }
}

/// What waits to be sent again to a payee that credited a number once, and now does not. Says how much it is.
async fn doubt_repetitions(tx: &Tx, payee: &Payee, ask: bool) -> Result<Option<String>, StoreError> {
    let (doubtful, newly) = deliveries::doubt(tx, &payee.id, ask).await?;
    let mut events = Events::new(domain::clock::now());
    for due in &doubtful[..newly] {
        let why = "its payee is declared to credit twice, and may have credited it";
        let item = payment_item(due, due.state, Some(why.to_owned()))?;
        events.push_traced(PaymentEvent::Unknown, &item, due.traceparent.as_deref());
    }
    emit(tx, events, None).await?;
    let (id, count) = (&payee.id, doubtful.len());
    let then = if ask {
        "the payee is asked about them"
    } else {
        "settle or requeue them"
    };
    Ok((count > 0).then(|| {
        format!("payee {id}: {count} payments that may have been credited are unknown now and not sent again; {then}")
    }))
}

/// Those of a directory, or of the directory of a file.
fn calendars_beside(path: &Path) -> Result<Vec<Calendar>, Misconfigured> {
    let beside = path.parent().filter(|_| path.is_file()).unwrap_or(path);
    // A file that is named without its directory is in this one.
    let beside = if beside.as_os_str().is_empty() {
        Path::new(".")
    } else {
        beside
    };
    let calendars = read_all::<Calendar>(beside, Payee::FAMILY, |_| Vec::new())?;
    Ok(calendars.into_iter().map(|written| written.value).collect())
}

impl Kind for Product {
    const COLUMNS: &'static [Column<super::Listed<Self>>] = &[
        Column::new("product", |row| json!(row.value.id)),
        Column::new("name", |row| json!(row.value.name)),
        Column::new("payee", |row| json!(row.value.payee)),
        Column::new("face_value", |row| json!(row.value.face_value)),
        Column::new("price", |row| json!(row.value.price)),
        Column::new("currency", |row| json!(row.value.currency)),
        Column::new("suspended", |row| json!(row.value.suspended)),
        Column::new("version", |row| json!(row.version)),
        Column::new("updated_at", |row| json!(row.updated_at)),
    ];

    fn all(declarations: Declarations) -> Vec<Declared<Self>> {
        declarations.products.into_values().collect()
    }

    async fn apply(&self, tx: &Tx, who: &str, notes: &mut Vec<String>) -> Result<Applied, StoreError> {
        let applied = declarations::apply_product(tx, self, who).await?;
        let rule = ExpiryRule::of(self);
        let near = match applied {
            Applied::Changed => cards::count_expiring(tx, &rule).await?,
            Applied::Created | Applied::Unchanged => 0,
        };
        if near > 0 {
            let (id, days) = (&self.id, rule.days_left);
            notes.push(format!(
                "product {id}: {near} cards in stock have fewer than {days} days left and are withdrawn within a minute, for good"
            ));
        }
        if let Some(doubt) = self.doubtful_receipt() {
            let id = &self.id;
            notes.push(format!(
                "product {id}: {doubt} as card_file names them: one that lacks it may get the plain receipt"
            ));
        }
        Ok(applied)
    }
}

impl Kind for Terminal {
    const COLUMNS: &'static [Column<super::Listed<Self>>] = &[
        Column::new("terminal", |row| json!(row.value.id)),
        Column::new("group", |row| json!(row.value.group)),
        Column::new("users", |row| json!(row.value.users)),
        Column::new("sealed", |row| json!(row.value.age_recipient.is_some())),
        Column::new("holds", |row| json!(row.value.limits.holds)),
        Column::new("sales_per_hour", |row| json!(row.value.limits.sales_per_hour)),
        Column::new("unsold_per_hour", |row| json!(row.value.limits.unsold_per_hour)),
        Column::new("version", |row| json!(row.version)),
        Column::new("updated_at", |row| json!(row.updated_at)),
    ];

    fn all(declarations: Declarations) -> Vec<Declared<Self>> {
        declarations.terminals.into_values().collect()
    }

    const FAMILY: &'static [&'static str] = &[Self::KIND, TerminalGroup::KIND];

    fn groups(path: &Path) -> Result<Vec<TerminalGroup>, Misconfigured> {
        let groups = read_all::<TerminalGroup>(path, Self::FAMILY, |_| Vec::new())?;
        Ok(groups.into_iter().map(|written| written.value).collect())
    }

    /// With the limits of its group, where it has none of its own.
    async fn listed(store: &Store) -> Result<Vec<Declared<Self>>, StoreError> {
        let declarations = declarations::load(store).await?;
        let with_limits = |declared: &Declared<Self>| Declared {
            version: declared.version,
            value: Arc::new(Terminal {
                limits: declarations.limits_of(&declared.value.id, TerminalLimits::default()),
                ..(*declared.value).clone()
            }),
        };
        Ok(declarations.terminals.values().map(with_limits).collect())
    }

    fn unusable_keys(&self) -> Vec<Invalid> {
        let refused = |text: &String| {
            let why = text.parse::<age::x25519::Recipient>().err()?;
            Some(Invalid::new("age_recipient", format!("is not an age recipient: {why}")))
        };
        self.age_recipient.iter().filter_map(refused).collect()
    }

    async fn apply(&self, tx: &Tx, who: &str, _: &mut Vec<String>) -> Result<Applied, StoreError> {
        declarations::apply_terminal(tx, self, who).await
    }
}
