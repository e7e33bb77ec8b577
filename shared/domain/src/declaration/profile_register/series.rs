//! Several sequences of registers of one payee: which payments go into which, and what a series says for itself.
//!
//! A series has everything that `[register]` says, and may say any of it otherwise. Which series a payment is of is found
//! once, at its acceptance, and kept with it.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::super::{FieldRule, Findings, Pattern, has_repeats};
use super::RegisterProfile;
use crate::invalid::Invalid;
use crate::text::Fields;

/// The series of what is in no other.
pub const MAIN_SERIES: &str = "main";
/// The series of what was delivered to an online payee.
pub const DELIVERED_SERIES: &str = "delivered";

/// The most series of a payee besides `main`.
const SERIES_MAX: usize = 100;
/// The longest name: it is part of the file's.
const NAME_MAX: usize = 32;
/// What says when a range ends. A series that says any of it says all of it.
const CLOSING: [&str; 4] = ["schedule", "every_payments", "every_seconds", "every_hours"];
/// What is judged together of what the file looks like.
const LOOK: [&str; 4] = ["format", "layout", "encoding", "max_bytes"];
/// What all series of a payee have in common.
const SHARED: [&str; 2] = ["series", "time_zone"];

/// A `[[register.series]]` of a payee.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeriesProfile {
    /// Its name, part of the file's: `gorvodokanal-water-000001.csv`.
    pub name: String,
    /// Which payments it takes; the first series that takes one has it.
    pub when: SeriesWhen,
    /// What it says otherwise than `[register]`.
    #[serde(flatten)]
    pub own: Map<String, Value>,
}

/// Which payments a series takes: those for which everything holds that is said here.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeriesWhen {
    /// A field the payer entered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// It is one of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
    /// It matches this as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<Pattern>,
    /// The terminal is in one of these groups.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub terminal_groups: Vec<String>,
}

impl SeriesWhen {
    fn takes(&self, fields: &Fields, group: Option<&str>) -> bool {
        let entered = |name: &String| fields.get(name).is_some_and(|value| self.fits(value));
        self.field.as_ref().is_none_or(entered)
            && (self.terminal_groups.is_empty()
                || group.is_some_and(|group| self.terminal_groups.iter().any(|own| own == group)))
    }

    fn fits(&self, value: &str) -> bool {
        match &self.pattern {
            Some(pattern) => pattern.is_match(value),
            None => self.values.iter().any(|own| own == value),
        }
    }

    fn check(&self, fields: &[FieldRule]) -> Findings {
        let mut found = Findings::default();
        let Some(name) = &self.field else {
            found.refuse_if(
                self.terminal_groups.is_empty(),
                "",
                "says nothing: name a field, or terminal_groups",
            );
            found.refuse_if(!self.values.is_empty(), "values", "are of a field: name it");
            found.refuse_if(self.pattern.is_some(), "pattern", "is of a field: name it");
            return found;
        };
        found.refuse_if(
            self.values.is_empty() == self.pattern.is_none(),
            "field",
            "needs either values or a pattern",
        );
        let Some(rule) = fields.iter().find(|rule| rule.name == *name) else {
            found.refuse_if(true, "field", "is no field that the payer is asked for");
            return found;
        };
        for (at, value) in self.values.iter().enumerate() {
            let never = value.is_empty() || rule.pattern.as_ref().is_some_and(|pattern| !pattern.is_match(value));
            found.refuse_if(
                never,
                &format!("values[{at}]"),
                "never comes: the field's own pattern refuses it",
            );
        }
        found
    }
}

impl RegisterProfile {
    /// The series that a payment goes into.
    pub fn series_of(&self, fields: &Fields, terminal_group: Option<&str>) -> &str {
        let taking = self
            .series
            .iter()
            .find(|series| series.when.takes(fields, terminal_group));
        taking.map_or(MAIN_SERIES, |series| &series.name)
    }

    /// The names of all series of a payee with gateway `registers`, `main` first.
    pub fn series_names(&self) -> impl Iterator<Item = &str> {
        std::iter::once(MAIN_SERIES).chain(self.series.iter().map(|series| series.name.as_str()))
    }

    /// What holds for a series: what it says itself, and else what `[register]` says. None = no such series is declared.
    pub fn of_series(&self, name: &str) -> Option<Self> {
        if [MAIN_SERIES, DELIVERED_SERIES].contains(&name) {
            return Some(self.clone());
        }
        let series = self.series.iter().find(|series| series.name == name)?;
        // Whatever was declared was checked.
        self.with(series).ok()
    }

    fn with(&self, series: &SeriesProfile) -> Result<Self, Invalid> {
        let unreadable = |why: serde_json::Error| Invalid::new("", why.to_string());
        let Value::Object(mut all) = serde_json::to_value(self).map_err(unreadable)? else {
            return Err(Invalid::new("", "is not a table"));
        };
        all.remove("series");
        if CLOSING.iter().any(|key| series.own.contains_key(*key)) {
            all.retain(|key, _| !CLOSING.contains(&key.as_str()));
        }
        all.extend(series.own.clone());
        serde_path_to_error::deserialize(Value::Object(all))
            .map_err(|refused| Invalid::new(refused.path().to_string(), refused.inner().to_string()))
    }

    /// What is wrong with the series; `fields` are those that the payer is asked for.
    pub(in crate::declaration) fn check_series(&self, fields: &[FieldRule]) -> Findings {
        let mut found = Findings::default();
        found.refuse_if(self.series.len() > SERIES_MAX, "series", "are more than 100");
        let names: Vec<&str> = self.series.iter().map(|series| series.name.as_str()).collect();
        found.refuse_if(has_repeats(&names), "series", "has a name twice");
        for (at, series) in self.series.iter().enumerate() {
            found.within(&format!("series[{at}]"), self.check_one(series, fields));
        }
        found
    }

    fn check_one(&self, series: &SeriesProfile, fields: &[FieldRule]) -> Findings {
        let mut found = Findings::default();
        found.refuse_if(
            !is_series_name(&series.name),
            "name",
            "must match ^[a-z][a-z0-9_-]{0,31}$ and be neither main nor delivered",
        );
        found.within("when", series.when.check(fields));
        for key in SHARED.into_iter().filter(|key| series.own.contains_key(*key)) {
            found.refuse_if(
                true,
                key,
                "is the same for all series of a payee: it stands in [register]",
            );
        }
        if !found.is_empty() {
            return found;
        }
        match self.with(series) {
            Ok(whole) => {
                let has_own = |keys: &[&str]| keys.iter().any(|key| series.own.contains_key(*key));
                let (closing, look) = (has_own(&CLOSING), has_own(&LOOK));
                // What it has from `[register]` is refused there.
                let is_own = |field: &str| {
                    let root = field.split(['.', '[']).next().unwrap_or_default();
                    series.own.contains_key(root)
                        || (closing && CLOSING.contains(&root))
                        || (look && LOOK.contains(&root))
                };
                let all = whole.check().0.into_iter().chain(whole.check_file(fields).0);
                found.0.extend(all.filter(|refused| is_own(&refused.field)));
                if let Some(Ok(name)) = whole.name_template().filter(|_| has_own(&["file_name"])) {
                    found.refuse_if(
                        !name.speaks_of("series"),
                        "file_name",
                        "must say series: main and every other one count their own registers",
                    );
                }
            }
            Err(refused) => found.take(Err(refused)),
        }
        found
    }

    /// The names of calendars that stand for the calendars themselves, each with its path.
    pub fn named_calendars(&self) -> Vec<(String, String)> {
        let mut named = Vec::new();
        if let Some(super::CalendarChoice::Named(name)) = &self.calendar {
            named.push(("calendar".to_owned(), name.clone()));
        }
        for (at, series) in self.series.iter().enumerate() {
            if let Some(Value::String(name)) = series.own.get("calendar") {
                named.push((format!("series[{at}].calendar"), name.clone()));
            }
        }
        named
    }

    /// Puts calendars in the place of their names.
    pub fn resolve_calendars(&mut self, find: impl Fn(&str) -> Option<super::Calendar>) {
        if let Some(super::CalendarChoice::Named(name)) = &self.calendar
            && let Some(found) = find(name)
        {
            self.calendar = Some(super::CalendarChoice::Own(Box::new(found)));
        }
        for own in self
            .series
            .iter_mut()
            .filter_map(|series| series.own.get_mut("calendar"))
        {
            if let Some(found) = own.as_str().and_then(&find)
                && let Ok(found) = serde_json::to_value(found)
            {
                *own = found;
            }
        }
    }
}

fn is_series_name(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"_-".contains(&byte);
    name.len() <= NAME_MAX
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(fits)
        && ![MAIN_SERIES, DELIVERED_SERIES].contains(&name)
}
