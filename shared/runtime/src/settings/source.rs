//! Where settings come from: a variable, else `unigate.toml`, which says the same under the same name, without the prefix and
//! in lower case. A table's name goes before the names in it: `[terminals] open = true` is `terminals_open = true`.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use secrecy::SecretString;
use toml::{Table, Value};

use super::{SettingsError, wrong};

const PREFIX: &str = "UNIGATE_";

/// Both places, and what was asked of them.
pub(super) struct Source<L> {
    lookup: L,
    file: File,
    asked: RefCell<BTreeSet<String>>,
}

impl<L: Fn(&str) -> Option<String>> Source<L> {
    /// Reads the file that `UNIGATE_CONFIG` names, or `./unigate.toml` if there is one.
    pub(super) fn open(lookup: L) -> Result<Self, SettingsError> {
        let file = match lookup("UNIGATE_CONFIG") {
            Some(path) => File::read(Path::new(&path))?,
            None if Path::new("unigate.toml").exists() => File::read(Path::new("unigate.toml"))?,
            None => File::default(),
        };
        Ok(Self {
            file,
            ..Self::silent(lookup)
        })
    }

    /// Reads no file.
    pub(super) fn silent(lookup: L) -> Self {
        Self {
            lookup,
            file: File::default(),
            asked: RefCell::default(),
        }
    }

    /// What a variable says, or the file in its place.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.asked.borrow_mut().insert(name.to_owned());
        (self.lookup)(name).or_else(|| self.file.said.get(name).cloned())
    }

    /// A variable that is not ours.
    pub(super) fn foreign(&self, name: &str) -> Option<String> {
        (self.lookup)(name)
    }

    pub(super) fn path(&self, name: &str) -> Option<PathBuf> {
        self.text(name).map(PathBuf::from)
    }

    pub(super) fn secret(&self, name: &str) -> Option<SecretString> {
        self.text(name).map(SecretString::from)
    }

    pub(super) fn parsed<T: FromStr<Err: Display>>(&self, name: &str, default: T) -> Result<T, SettingsError> {
        let Some(text) = self.text(name) else {
            return Ok(default);
        };
        text.parse().map_err(|error| wrong(name, format!("`{text}`: {error}")))
    }

    pub(super) fn flag(&self, name: &str, default: bool) -> Result<bool, SettingsError> {
        match self.text(name).as_deref() {
            None => Ok(default),
            Some("true" | "1" | "yes" | "on") => Ok(true),
            Some("false" | "0" | "no" | "off") => Ok(false),
            Some(other) => Err(wrong(name, format!("`{other}` is neither true nor false"))),
        }
    }

    /// The variables that the file says, when everything has been asked for: what is left over in it means nothing.
    pub(super) fn all_known(self) -> Result<BTreeSet<String>, SettingsError> {
        let asked = self.asked.into_inner();
        match self.file.said.keys().find(|name| !asked.contains(*name)) {
            Some(unknown) => {
                let key = unknown.trim_start_matches(PREFIX).to_lowercase();
                let place = format!("{}: {key}", self.file.place);
                Err(wrong(&place, "is no setting"))
            }
            None => Ok(self.file.said.into_keys().collect()),
        }
    }
}

/// `unigate.toml`, by the names of variables.
#[derive(Default)]
struct File {
    place: String,
    said: BTreeMap<String, String>,
}

impl File {
    fn read(path: &Path) -> Result<Self, SettingsError> {
        let place = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| wrong(&place, error))?;
        let table: Table = text
            .parse()
            .map_err(|error: toml::de::Error| wrong(&place, error.message()))?;
        let mut file = Self {
            place,
            said: BTreeMap::new(),
        };
        file.take("", table)?;
        Ok(file)
    }

    fn take(&mut self, before: &str, table: Table) -> Result<(), SettingsError> {
        for (name, value) in table {
            let key = format!("{before}{name}");
            let text = match value {
                Value::Table(table) => {
                    self.take(&format!("{key}_"), table)?;
                    continue;
                }
                Value::String(text) => text,
                Value::Integer(_) | Value::Float(_) | Value::Boolean(_) => value.to_string(),
                Value::Datetime(_) | Value::Array(_) => {
                    return Err(self.wrong(&key, "has to be a text, a number, true or false"));
                }
            };
            if key != key.to_lowercase() {
                return Err(self.wrong(&key, "is no setting; they are written in lower case"));
            }
            let variable = format!("{PREFIX}{}", key.to_uppercase());
            // An empty one counts as absent, as in the environment.
            if !text.is_empty() && self.said.insert(variable, text).is_some() {
                return Err(self.wrong(&key, "is said twice"));
            }
        }
        Ok(())
    }

    fn wrong(&self, key: &str, why: &str) -> SettingsError {
        wrong(&format!("{}: {key}", self.place), why)
    }
}
