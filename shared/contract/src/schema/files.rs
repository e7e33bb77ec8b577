//! The generated documents as files: written on request, compared in the test run. Below the directory it is given, it
//! touches `asyncapi.json` and `schemas/` and nothing else.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{asyncapi_document, schemas};

const DOCUMENT: &str = "asyncapi.json";
const SCHEMAS: &str = "schemas";

/// A file that does not say what the types say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// It is not there, or cannot be read.
    Missing(PathBuf),
    /// It says something else, first in this line.
    Differs(PathBuf, usize),
    /// Nothing generates it.
    Leftover(PathBuf),
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(path) => write!(f, "{}: is missing", path.display()),
            Self::Differs(path, line) => {
                write!(f, "{}:{line}: differs from the types", path.display())
            }
            Self::Leftover(path) => write!(f, "{}: nothing generates it", path.display()),
        }
    }
}

/// Writes the AsyncAPI document and all schemas below `docs`, and removes schemas that nothing generates any more.
pub fn write_to(docs: &Path) -> io::Result<()> {
    let files = generated();
    for (name, text) in &files {
        let path = docs.join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::write(path, text)?;
    }
    leftovers(docs, &files).iter().try_for_each(std::fs::remove_file)
}

/// Compares what lies below `docs` with what the types say.
pub fn check_against(docs: &Path) -> Result<(), Vec<Difference>> {
    let files = generated();
    let mut differences: Vec<Difference> = files
        .iter()
        .filter_map(|(name, text)| compare(&docs.join(name), text))
        .collect();
    differences.extend(leftovers(docs, &files).into_iter().map(Difference::Leftover));
    if differences.is_empty() {
        Ok(())
    } else {
        Err(differences)
    }
}

fn compare(path: &Path, text: &str) -> Option<Difference> {
    let Ok(found) = std::fs::read_to_string(path) else {
        return Some(Difference::Missing(path.to_owned()));
    };
    if found == text {
        return None;
    }
    let same = found
        .lines()
        .zip(text.lines())
        .take_while(|(left, right)| left == right)
        .count();
    Some(Difference::Differs(path.to_owned(), same + 1))
}

/// Every file by its name relative to `docs`.
fn generated() -> BTreeMap<PathBuf, String> {
    let schemas = schemas()
        .into_iter()
        .map(|(name, schema)| (Path::new(SCHEMAS).join(name), render(&schema)));
    schemas
        .chain([(PathBuf::from(DOCUMENT), render(&asyncapi_document()))])
        .collect()
}

fn render(document: &Value) -> String {
    // With `{:#}` a value prints itself indented, and it cannot fail.
    format!("{document:#}\n")
}

/// Schema files that nothing generates.
fn leftovers(docs: &Path, files: &BTreeMap<PathBuf, String>) -> Vec<PathBuf> {
    let mut left = Vec::new();
    let mut open = vec![PathBuf::from(SCHEMAS)];
    while let Some(directory) = open.pop() {
        let Ok(entries) = std::fs::read_dir(docs.join(&directory)) else {
            continue;
        };
        for entry in entries.flatten() {
            let name = directory.join(entry.file_name());
            if entry.path().is_dir() {
                open.push(name);
            } else if !files.contains_key(&name) {
                left.push(docs.join(name));
            }
        }
    }
    left.sort();
    left
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_found_and_written_away() {
        let docs = std::env::temp_dir().join(format!("contract-{}", uuid::Uuid::now_v7()));
        let missing = check_against(&docs).unwrap_err();
        assert_eq!(missing.len(), generated().len());

        write_to(&docs).unwrap();
        assert_eq!(check_against(&docs), Ok(()));

        let changed = docs.join("schemas/messages/card.sell.json");
        let leftover = docs.join("schemas/messages/card.steal.json");
        std::fs::write(&changed, "{\n  \"a\": 1\n}\n").unwrap();
        std::fs::write(&leftover, "{}").unwrap();
        assert_eq!(
            check_against(&docs),
            Err(vec![Difference::Differs(changed, 2), Difference::Leftover(leftover)])
        );

        write_to(&docs).unwrap();
        assert_eq!(check_against(&docs), Ok(()));
        std::fs::remove_dir_all(&docs).unwrap();
    }

    #[test]
    fn the_documents_of_this_repository_say_what_the_types_say() {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
        if let Err(differences) = check_against(&docs) {
            let lines: Vec<String> = differences.iter().map(Difference::to_string).collect();
            panic!("run `unigate contract write`:\n{}", lines.join("\n"));
        }
    }
}
