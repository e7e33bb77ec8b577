//! The template of a header or a trailer, read backwards: what stands between its words are the values it was filled with.

use domain::template::{Template, Values};

/// Marks around a value's name, which no template has.
const OPEN: char = '\u{e000}';
const CLOSE: char = '\u{e001}';
const TEXT_MAX: usize = 64 * 1024;

/// The lines of a template: what they say, and where values stand.
pub(super) struct Pattern {
    lines: Vec<Vec<Piece>>,
}

enum Piece {
    Words(String),
    Value(String),
}

impl Pattern {
    /// None where the template does something to its values and cannot be read backwards.
    pub(super) fn of(template: &Template, names: &[&str], constants: &[(&str, &str)]) -> Option<Self> {
        let mut values = Values::default();
        for name in names {
            values.text(name, &format!("{OPEN}{name}{CLOSE}"));
        }
        values.members("constants", constants.iter().copied());
        let text = template.fill(&values, TEXT_MAX).ok()?;
        Some(Self {
            lines: text.lines().map(pieces).collect(),
        })
    }

    /// How many lines it takes.
    pub(super) fn height(&self) -> usize {
        self.lines.len()
    }

    /// The values in these lines, by name; none where they are not of this template.
    pub(super) fn values<'t>(&self, lines: &[&'t str]) -> Option<Vec<(&str, &'t str)>> {
        if lines.len() != self.lines.len() {
            return None;
        }
        let mut found = Vec::new();
        for (pieces, line) in self.lines.iter().zip(lines) {
            let mut rest: &'t str = line;
            let mut pieces = pieces.iter().peekable();
            while let Some(piece) = pieces.next() {
                match piece {
                    Piece::Words(words) => rest = rest.strip_prefix(words.as_str())?,
                    Piece::Value(name) => {
                        let end = match pieces.peek() {
                            Some(Piece::Words(next)) => rest.find(next.as_str())?,
                            _ => rest.len(),
                        };
                        let (value, after) = rest.split_at(end);
                        found.push((name.as_str(), value));
                        rest = after;
                    }
                }
            }
            if !rest.is_empty() {
                return None;
            }
        }
        Some(found)
    }
}

fn pieces(line: &str) -> Vec<Piece> {
    let mut found = Vec::new();
    let mut rest = line;
    while let Some((words, after)) = rest.split_once(OPEN) {
        let (name, after) = after.split_once(CLOSE).unwrap_or((after, ""));
        if !words.is_empty() {
            found.push(Piece::Words(words.to_owned()));
        }
        found.push(Piece::Value(name.to_owned()));
        rest = after;
    }
    if !rest.is_empty() {
        found.push(Piece::Words(rest.to_owned()));
    }
    found
}
