//! A template read backwards: what stands between its words are the values it was filled with.

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
    pub(super) fn of(template: &Template, names: &[&str], fields: &[&str], constants: &[(&str, &str)]) -> Option<Self> {
        let mut values = Values::default();
        for name in names {
            values.text(name, &format!("{OPEN}{name}{CLOSE}"));
        }
        let marked: Vec<(&str, String)> = fields
            .iter()
            .map(|field| (*field, format!("{OPEN}fields.{field}{CLOSE}")))
            .collect();
        values.members("fields", marked.iter().map(|(field, mark)| (*field, mark.as_str())));
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

    /// Whether it has words for a frame: a first and a last line that are always the same, and something in between.
    pub(super) fn is_framed(&self) -> bool {
        let always = |line: Option<&Vec<Piece>>| line.is_some_and(|line| matches!(line[..], [Piece::Words(_)]));
        self.height() > 2 && always(self.lines.first()) && always(self.lines.last())
    }

    /// Whether a line is its first one.
    pub(super) fn begins_with(&self, line: &str) -> bool {
        self.lines.first().is_some_and(|pieces| matched(pieces, line).is_some())
    }

    /// Whether a line is its last one.
    pub(super) fn ends_with(&self, line: &str) -> bool {
        self.lines.last().is_some_and(|pieces| matched(pieces, line).is_some())
    }

    /// Whether it has a value of this name.
    pub(super) fn tells(&self, name: &str) -> bool {
        let mut pieces = self.lines.iter().flatten();
        pieces.any(|piece| matches!(piece, Piece::Value(told) if told == name))
    }

    /// The values in lines that are of it, in whatever order they come; others are passed over.
    pub(super) fn found_in<'t>(&self, lines: &[&'t str]) -> Vec<(&str, &'t str)> {
        let of = |line: &&'t str| self.lines.iter().find_map(|pieces| matched(pieces, line));
        lines.iter().filter_map(of).flatten().collect()
    }

    /// The values in these lines, by name; none where they are not of this template.
    pub(super) fn values<'t>(&self, lines: &[&'t str]) -> Option<Vec<(&str, &'t str)>> {
        if lines.len() != self.lines.len() {
            return None;
        }
        let mut found = Vec::new();
        for (pieces, line) in self.lines.iter().zip(lines) {
            found.extend(matched(pieces, line)?);
        }
        Some(found)
    }
}

/// The values in a line, by name; none where it is another line.
fn matched<'p, 't>(pieces: &'p [Piece], line: &'t str) -> Option<Vec<(&'p str, &'t str)>> {
    let mut found = Vec::new();
    let mut rest = line;
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
    rest.is_empty().then_some(found)
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
