//! Declarations read from TOML files. A file holds one thing, its members at the top, or several under `[[payee]]`,
//! `[[product]]`, `[[terminal]]`; `[[group]]` may stand beside `[[terminal]]`. All files are looked at before anything is done, and everything that is wrong is said
//! with its file, line and path.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use domain::declaration::{self, Declaration};
use domain::invalid::Invalid;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use crate::ending::Misconfigured;

/// A declaration as it stands in a file.
#[derive(Debug)]
pub(crate) struct Written<T> {
    /// What it says.
    pub(crate) value: T,
    /// The members that are there, so that what is left out can be told from what is said to be the default.
    pub(crate) members: BTreeSet<String>,
}

/// Reads every `*.toml` of a directory (or one file), in the order of their names.
///
/// `family` are the kinds that may stand in one file; what a file without lists holds is one of the first.
pub(crate) fn read_all<T: Declaration>(
    path: &Path,
    family: &[&str],
    unusable: impl Fn(&T) -> Vec<Invalid>,
) -> Result<Vec<Written<T>>, Misconfigured> {
    let mut all = Vec::new();
    let mut wrong = Vec::new();
    let mut places: BTreeMap<String, String> = BTreeMap::new();
    for file in files_of(path)? {
        let name = file.display().to_string();
        let text = match std::fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) => {
                wrong.push(format!("{name}: {error}"));
                continue;
            }
        };
        for item in read_file::<T>(&name, &text, family, &unusable) {
            match item {
                Ok((place, written)) => match places.insert(written.value.id().to_owned(), place.clone()) {
                    None => all.push(written),
                    Some(first) => wrong.push(format!(
                        "{place}: {} {} is declared already at {first}",
                        T::KIND,
                        written.value.id()
                    )),
                },
                Err(lines) => wrong.extend(lines),
            }
        }
    }
    if wrong.is_empty() {
        Ok(all)
    } else {
        Err(Misconfigured(wrong))
    }
}

fn files_of(path: &Path) -> Result<Vec<PathBuf>, Misconfigured> {
    let unreadable = |error: std::io::Error| Misconfigured(vec![format!("{}: {error}", path.display())]);
    if std::fs::metadata(path).map_err(unreadable)?.is_file() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(unreadable)? {
        let file = entry.map_err(unreadable)?.path();
        if file.extension().is_some_and(|extension| extension == "toml") && file.is_file() {
            files.push(file);
        }
    }
    if files.is_empty() {
        return Err(Misconfigured(vec![format!("{}: holds no *.toml file", path.display())]));
    }
    files.sort();
    Ok(files)
}

type Item<T> = Result<(String, Written<T>), Vec<String>>;

/// The things of one file, each with its place or with what is wrong with it.
fn read_file<T: Declaration>(
    name: &str,
    text: &str,
    family: &[&str],
    unusable: &impl Fn(&T) -> Vec<Invalid>,
) -> Vec<Item<T>> {
    let at = |span: Range<usize>| format!("{name}:{}", line_of(text, span.start));
    let table = match DeTable::parse(text) {
        Ok(table) => table,
        Err(error) => {
            let place = error.span().map_or_else(|| name.to_owned(), at);
            return vec![Err(vec![format!("{place}: {}", error.message())])];
        }
    };
    let items = match things_of(T::KIND, family, table) {
        Ok(items) => items,
        Err((span, why)) => return vec![Err(vec![format!("{}: {why}", at(span))])],
    };
    let read = |(prefix, thing): (String, Spanned<DeValue<'_>>)| {
        let place = at(thing.span());
        let lines = |refused: Vec<Invalid>| -> Vec<String> {
            let line = |invalid: &Invalid| {
                let span = span_of(&thing, &invalid.field).unwrap_or_else(|| thing.span());
                format!(
                    "{}: {}: {}",
                    at(span),
                    path_of(T::KIND, &prefix, invalid),
                    reason_of(invalid)
                )
            };
            refused.iter().map(line).collect()
        };
        let value: T = declaration::read(ValueDeserializer::from(thing.clone())).map_err(lines)?;
        let refused = unusable(&value);
        if !refused.is_empty() {
            return Err(lines(refused));
        }
        let members = thing
            .get_ref()
            .as_table()
            .map(|members| members.keys().map(|key| key.get_ref().to_string()));
        Ok((
            place,
            Written {
                value,
                members: members.into_iter().flatten().collect(),
            },
        ))
    };
    items.into_iter().map(read).collect()
}

/// The path as it stands in the file. A refusal of the thing as a whole carries its kind as the field.
fn path_of(kind: &str, prefix: &str, invalid: &Invalid) -> String {
    match (prefix, invalid.field == kind) {
        ("", _) => invalid.field.clone(),
        (_, true) => prefix.to_owned(),
        (_, false) => invalid.clone().within(prefix).field,
    }
}

/// toml repeats the path behind its reason.
fn reason_of(invalid: &Invalid) -> String {
    let reason = invalid.why.split("\nin `").next().unwrap_or_default();
    reason.trim().replace('\n', " ")
}

type Things<'i> = Vec<(String, Spanned<DeValue<'i>>)>;

/// One thing, or those under the kind's own name. What is wrong with a file as a whole is said once, by the first kind.
fn things_of<'i>(
    kind: &str,
    family: &[&str],
    table: Spanned<DeTable<'i>>,
) -> Result<Things<'i>, (Range<usize>, String)> {
    let span = table.span();
    let mut table = table.into_inner();
    let is_first = family.first() == Some(&kind);
    let is_list = |name: &&str| table.get(*name).is_some_and(|value| value.get_ref().is_array());
    if !family.iter().any(is_list) {
        let one = (String::new(), Spanned::new(span, DeValue::Table(table)));
        return Ok(if is_first { vec![one] } else { Vec::new() });
    }
    let belongs = |key: &Spanned<_>, value: &Spanned<DeValue<'_>>| {
        let key: &std::borrow::Cow<'_, str> = key.get_ref();
        family.contains(&&**key) && value.get_ref().is_array()
    };
    if let Some((other, _)) = table.iter().find(|(key, value)| is_first && !belongs(key, value)) {
        let lists: Vec<String> = family.iter().map(|name| format!("[[{name}]]")).collect();
        let why = format!(
            "`{}` stands beside {}; a file holds one {kind} or several",
            other.get_ref(),
            lists.join(" or ")
        );
        return Err((other.span(), why));
    }
    let Some(DeValue::Array(array)) = table.remove(kind).map(Spanned::into_inner) else {
        return Ok(Vec::new());
    };
    Ok(array
        .into_iter()
        .enumerate()
        .map(|(at, thing)| (format!("{kind}[{at}]"), thing))
        .collect())
}

/// Where a path (`register.mail_to[1]`) stands, or the innermost part of it that is there.
fn span_of(thing: &Spanned<DeValue<'_>>, path: &str) -> Option<Range<usize>> {
    let mut here = thing;
    let mut found = None;
    for step in path.split(['.', '[', ']']).filter(|step| !step.is_empty()) {
        here = match here.get_ref() {
            DeValue::Table(table) => match table.get_key_value(step) {
                Some((key, value)) => {
                    found = Some(key.span());
                    value
                }
                None => break,
            },
            DeValue::Array(array) => match step.parse::<usize>().ok().and_then(|at| array.get(at)) {
                Some(value) => {
                    found = Some(value.span());
                    value
                }
                None => break,
            },
            _ => break,
        };
    }
    found
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.as_bytes()[..offset.min(text.len())]
        .iter()
        .filter(|byte| **byte == b'\n')
        .count()
}

#[cfg(test)]
mod tests;
