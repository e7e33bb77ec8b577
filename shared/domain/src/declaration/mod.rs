//! What an operator declares: payees, products, terminals. These are plain serde types, read from TOML files by the
//! executable and kept as JSON in the database; both ways go through [`read`], so nothing undeclared or half-checked is
//! ever served. A member that nobody knows is an error, not a shrug: a misspelt option must not silently be the default.
//!
//! Nothing here opens a file, resolves a secret or asks a name server; what only the far end can tell is `doctor`'s work.

mod card_file;
mod codes;
mod described;
mod group;
mod network;
mod online;
mod osmp;
mod pace;
mod pattern;
mod payee;
mod product;
mod profile_databases;
mod profile_register;
mod profile_unikassa;
mod relay;
mod requisites;
mod schedule;
mod secret;
mod terminal;

use serde::de::DeserializeOwned;
use serde::{Deserializer, Serialize};
use serde_json::Value;

pub use card_file::{AmountUnit, CardFileProfile, Place, TableFormat, TextEncoding};
pub use codes::{Codes, Meaning};
pub use described::{AnswerFormat, AnswerRules, Described, HttpMethod, Parsing, RequestTemplate};
pub use group::{TerminalGroup, TerminalLimits};
pub use network::is_private_address;
pub use online::Online;
pub use osmp::OsmpProfile;
pub use pace::{Day, QuietWindow, Rate, TimeOfDay};
pub use pattern::Pattern;
pub use payee::{AccountRule, AmountRule, FieldRule, Gateway, Payee};
pub use product::{Product, Reissue};
pub use profile_databases::{
    AmountAs, AskRule, DatabasesProfile, End, FileFormat, FileSource, PayStep, Statement, Step, StepKind, ValueType,
    When,
};
pub use profile_register::{
    AgeSeal, Align, Calendar, CalendarChoice, ColumnProfile, CommandSeal, DELIVERED_SERIES, DayOff, DecimalMark,
    DirectoryProfile, Fact, FormatKind, Formulas, GzipSeal, HEAD_NAMES, INPUT, LayoutProfile, LineEnd, MAIN_SERIES,
    MailProfile, OUTPUT, OnDayOff, OpenPgpSeal, RETRY_SECONDS_USUAL, Recipient, RegisterEncoding, RegisterFormat,
    RegisterProfile, SealStage, SeriesProfile, SeriesWhen, TextEscape, TooLong, Unmappable, ZipSeal, ascii_host,
    key_file, parse_mail_address, row_names,
};
pub use profile_unikassa::{BasicAuth, ClientCertificate, Dialect, UnikassaProfile, mask_secrets};
pub use relay::{RelayTls, RelayUrl, RelayUrlError};
pub use requisites::Requisites;
pub use schedule::{Schedule, Zone};
pub use secret::{SecretRef, SecretSource};
pub use terminal::Terminal;

use crate::invalid::Invalid;
use crate::text::no_control;

/// The longest name of a payee or product and the longest label of a field, in characters.
const NAME_MAX: usize = 200;

/// What payees, products and terminals have in common, so that `apply`, `list` and `show` are written once.
pub trait Declaration: DeserializeOwned + Serialize + Clone + PartialEq + std::fmt::Debug {
    /// The word for one of them: `payee`, `product` or `terminal`.
    const KIND: &'static str;

    /// The id it is declared under.
    fn id(&self) -> &str;

    /// Everything that is wrong with it, not only the first thing.
    fn check(&self) -> Result<(), Vec<Invalid>>;

    /// The declaration as it may be shown: secrets given as a value are masked, references to secrets stay readable.
    fn to_public_json(&self) -> Value {
        // These types hold string keys and finite numbers only, which is all that serialization could fail on.
        serde_json::to_value(self).unwrap_or(Value::Null)
    }
}

/// Reads and checks a declaration. Each refusal names the field by its path, for example `register.time_zone`.
pub fn read<'de, T, D>(deserializer: D) -> Result<T, Vec<Invalid>>
where
    T: Declaration,
    D: Deserializer<'de>,
{
    let declared: T = serde_path_to_error::deserialize(deserializer).map_err(|refused| {
        let path = refused.path().to_string();
        let field = if path == "." { T::KIND.to_owned() } else { path };
        vec![Invalid::new(field, refused.into_inner().to_string())]
    })?;
    declared.check()?;
    Ok(declared)
}

/// Gathers what is wrong, under the path of the part that is being looked at.
#[derive(Default)]
struct Findings(Vec<Invalid>);

impl Findings {
    fn refuse_if(&mut self, wrong: bool, field: &str, why: &str) {
        if wrong {
            self.0.push(Invalid::new(field, why));
        }
    }

    fn take(&mut self, outcome: Result<(), Invalid>) {
        self.0.extend(outcome.err());
    }

    fn within(&mut self, parent: &str, inner: Findings) {
        self.0.extend(inner.0.into_iter().map(|refused| refused.within(parent)));
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn finish(self) -> Result<(), Vec<Invalid>> {
        if self.0.is_empty() { Ok(()) } else { Err(self.0) }
    }
}

/// A name for people: not empty, no control characters, not longer than a line.
fn check_name(field: &str, name: &str) -> Result<(), Invalid> {
    if name.trim().is_empty() {
        return Err(Invalid::new(field, "is empty"));
    }
    no_control(field, name, NAME_MAX)
}

/// A recipient of the age format; the worker that encrypts parses it for good.
fn check_age_recipient(field: &str, recipient: &str) -> Result<(), Invalid> {
    let rest = recipient.strip_prefix("age1").unwrap_or_default();
    if rest.is_empty()
        || !rest
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
    {
        return Err(Invalid::new(
            field,
            "must be an age recipient: age1 and lower-case letters and digits",
        ));
    }
    Ok(())
}

/// Whether a list names anything twice.
fn has_repeats<T: PartialEq>(list: &[T]) -> bool {
    list.iter().enumerate().any(|(at, item)| list[..at].contains(item))
}

fn is_false(flag: &bool) -> bool {
    !flag
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_access;
#[cfg(test)]
mod tests_card_file;
#[cfg(test)]
mod tests_databases;
#[cfg(test)]
mod tests_dialects;
#[cfg(test)]
mod tests_look;
#[cfg(test)]
mod tests_rules;
#[cfg(test)]
mod tests_series;
