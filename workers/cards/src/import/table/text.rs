//! A table that is text: lines decoded and cut into cells. A line is a row: no value of a card has a line's end in it, so a
//! quote that is not closed spoils its own line and no other.
//!
//! The csv crate is not used here. It reads an unclosed quote, or text behind a closing one, without a word, and a PIN that
//! was read a little differently from how it was written is sold all the same.

use std::borrow::Cow;

use domain::declaration::{CardFileProfile, Place, TableFormat, TextEncoding};
use domain::money::Currency;
use encoding_rs::{Encoding, IBM866, WINDOWS_1251};

use super::columns::{Cell, Columns};
use super::lines::{LINE_MAX, Line, Lines};
use super::{BadRow, Sink};
use crate::import::container::{Stream, told};

/// What old programs of DOS end a file with.
const END_OF_FILE: u8 = 0x1a;
const UTF8_MARK: &[u8] = b"\xef\xbb\xbf";

/// How a line is cut.
enum Cut {
    At {
        delimiter: char,
        quotes: bool,
    },
    /// In the order of the starts.
    Fixed(Vec<Span>),
}

/// A column at a fixed position.
struct Span {
    /// Its first character, from 0.
    start: usize,
    /// The one behind its last.
    end: usize,
    /// The name of what has to be whole, where it might not be.
    whole: Option<String>,
}

/// Reads every row. An error is about the file as a whole.
pub(super) fn read(
    source: &mut dyn Stream,
    profile: &CardFileProfile,
    currency: Currency,
    sink: &mut Sink<'_>,
) -> Result<(), String> {
    let mut lines = Lines::new(source);
    let mut skip = profile.skip_lines;
    let mut table: Option<(Columns, Cut)> = if profile.has_header() {
        None
    } else {
        Some((Columns::of_places(profile, currency)?, cut_of(profile, None)))
    };
    let mut any = false;
    loop {
        let number = lines.number() + 1;
        let Some(line) = lines.next().map_err(|error| told(&error))? else {
            break;
        };
        let line = match line {
            Line::Whole(line) if number == 1 => unmarked(line, profile.encoding)?,
            Line::Whole(line) => line,
            Line::TooLong => {
                any = true;
                if skip > 0 {
                    skip -= 1;
                } else if table.is_none() {
                    return Err(format!("line {number}: the header is longer than {LINE_MAX} bytes"));
                } else {
                    let why = format!("is longer than {LINE_MAX} bytes");
                    sink(Err(BadRow { line: number, why })).map_err(super::stopped)?;
                }
                continue;
            }
        };
        any = any || !line.is_empty();
        if skip > 0 {
            skip -= 1;
            continue;
        }
        if is_blank(line) {
            continue;
        }
        let decoded = decode(line, profile.encoding);
        match &table {
            None => {
                let header = decoded.map_err(|why| format!("line {number}: the header {why}"))?;
                table = Some(header_of(&header, number, profile, currency)?);
            }
            Some((columns, cut)) => {
                let row = decoded.and_then(|text| {
                    let cells = cells_of(&text, cut)?;
                    columns.row(number, &cells)
                });
                sink(row.map_err(|why| BadRow { line: number, why })).map_err(super::stopped)?;
            }
        }
    }
    match table {
        _ if !any => Err("the file is empty".into()),
        None => Err("the file has no header".into()),
        Some(_) => Ok(()),
    }
}

/// How many lines may be rows.
pub(super) fn count(source: &mut dyn Stream, profile: &CardFileProfile) -> Result<u64, String> {
    let mut lines = Lines::new(source);
    let mut skip = u64::from(profile.skip_lines);
    let mut rows: u64 = 0;
    while let Some(line) = lines.next().map_err(|error| told(&error))? {
        let blank = matches!(line, Line::Whole(line) if is_blank(line));
        match skip {
            0 if !blank => rows += 1,
            0 => {}
            _ => skip -= 1,
        }
    }
    Ok(rows.saturating_sub(u64::from(profile.has_header())))
}

fn is_blank(line: &[u8]) -> bool {
    let line = line.trim_ascii();
    line.is_empty() || line == [END_OF_FILE]
}

/// The first line without its mark, which has to agree with what is declared.
fn unmarked(line: &[u8], encoding: TextEncoding) -> Result<&[u8], String> {
    if line.starts_with(b"\xff\xfe") || line.starts_with(b"\xfe\xff") {
        return Err("the file is UTF-16: save it as UTF-8".into());
    }
    match line.strip_prefix(UTF8_MARK) {
        Some(rest) if encoding == TextEncoding::Utf8 => Ok(rest),
        Some(_) => {
            Err("the file begins with the mark of UTF-8, and card_file.encoding declares another encoding".into())
        }
        None => Ok(line),
    }
}

fn header_of(
    header: &str,
    number: u64,
    profile: &CardFileProfile,
    currency: Currency,
) -> Result<(Columns, Cut), String> {
    let cut = cut_of(profile, Some(header));
    let cells = cells_of(header, &cut).map_err(|why| format!("line {number}: the header {why}"))?;
    let names = cells
        .into_iter()
        .map(|cell| match cell {
            Cell::Text(name) => name.trim().to_owned(),
            _ => String::new(),
        })
        .collect();
    let columns = Columns::of_header(profile, currency, names)?;
    Ok((columns, cut))
}

fn cut_of(profile: &CardFileProfile, header: Option<&str>) -> Cut {
    if profile.format == TableFormat::Fixed {
        let mut spans: Vec<Span> = profile
            .places()
            .filter_map(|(path, place)| match place {
                Place::Span { start, length } => Some(Span {
                    start: *start as usize - 1,
                    end: *start as usize - 1 + *length as usize,
                    whole: whole(&path).filter(|_| !profile.packed).map(str::to_owned),
                }),
                _ => None,
            })
            .collect();
        // As the roles of the cells are: those that start at once stay in the order in which they are declared.
        spans.sort_by_key(|span| span.start);
        return Cut::Fixed(spans);
    }
    Cut::At {
        delimiter: profile.delimiter.unwrap_or_else(|| header.map_or(',', delimiter_of)),
        quotes: profile.quotes.unwrap_or(true),
    }
}

/// The name of a serial or a secret; of anything else less may be read than there is.
fn whole(path: &str) -> Option<&str> {
    match path {
        "serial" => Some(path),
        _ => path.strip_prefix("secret."),
    }
}

/// The separator that the header uses most.
fn delimiter_of(header: &str) -> char {
    let count = |wanted: char| header.chars().filter(|c| *c == wanted).count();
    // Of equally many the one listed last wins, so a header of one column is comma-separated.
    ['\t', ';', ',']
        .into_iter()
        .max_by_key(|delimiter| count(*delimiter))
        .unwrap_or(',')
}

fn decode(line: &[u8], encoding: TextEncoding) -> Result<Cow<'_, str>, String> {
    let utf8 = std::str::from_utf8(line);
    let by: &'static Encoding = match (encoding, &utf8) {
        (_, Ok(text)) if line.is_ascii() => return Ok(Cow::Borrowed(text)),
        (TextEncoding::Utf8, Ok(text)) => return Ok(Cow::Borrowed(text)),
        (TextEncoding::Utf8, Err(error)) => {
            return Err(format!("is not UTF-8 at byte {} of the line", error.valid_up_to() + 1));
        }
        // Text of one byte a character that happens to be UTF-8 throughout is not seen in practice; the other mistake is.
        (TextEncoding::Windows1251 | TextEncoding::Cp866, Ok(_)) => {
            return Err("is UTF-8, and card_file.encoding declares another encoding".into());
        }
        (TextEncoding::Windows1251, Err(_)) => WINDOWS_1251,
        (TextEncoding::Cp866, Err(_)) => IBM866,
    };
    by.decode_without_bom_handling_and_without_replacement(line)
        .ok_or_else(|| format!("is not {}", by.name()))
}

fn cells_of<'l>(line: &'l str, cut: &Cut) -> Result<Vec<Cell<'l>>, String> {
    match cut {
        Cut::At { delimiter, quotes } => cut_at(line, *delimiter, *quotes),
        Cut::Fixed(spans) => cut_fixed(line, spans),
    }
}

fn cut_at(line: &str, delimiter: char, quotes: bool) -> Result<Vec<Cell<'_>>, String> {
    let mut cells = Vec::with_capacity(8);
    let mut rest = line;
    loop {
        let column = cells.len() + 1;
        let after = match rest.trim_start_matches(' ').strip_prefix('"') {
            Some(quoted) if quotes => {
                let (value, after) =
                    unquote(quoted).ok_or_else(|| format!("column {column}: a quote is not closed"))?;
                cells.push(Cell::Text(value));
                after.trim_start_matches(|c| c == ' ' && c != delimiter)
            }
            _ => {
                let end = rest.find(delimiter).unwrap_or(rest.len());
                cells.push(Cell::Text(Cow::Borrowed(&rest[..end])));
                &rest[end..]
            }
        };
        match after.strip_prefix(delimiter) {
            Some(next) => rest = next,
            None if after.is_empty() => return Ok(cells),
            None => return Err(format!("column {column}: something follows the closing quote")),
        }
    }
}

/// What stands between quotes, a doubled one being one, and what follows the closing one.
fn unquote(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let mut value = Cow::Borrowed("");
    let mut rest = text;
    loop {
        let (part, after) = rest.split_once('"')?;
        value += part;
        match after.strip_prefix('"') {
            Some(more) => {
                value += "\"";
                rest = more;
            }
            None => return Some((value, after)),
        }
    }
}

fn cut_fixed<'l>(line: &'l str, spans: &[Span]) -> Result<Vec<Cell<'l>>, String> {
    let mut starts: Vec<usize> = line.char_indices().map(|(at, _)| at).collect();
    let length = starts.len();
    starts.push(line.len());
    spans
        .iter()
        .map(|span| match (starts.get(span.start), starts.get(span.end)) {
            (Some(from), Some(to)) => {
                let (cell, rest) = (&line[*from..*to], &line[*to..]);
                match &span.whole {
                    Some(name) if goes_on(cell, rest) && !is_named(span.end, spans) => Err(format!(
                        "{name}: is followed without a blank by what no column is declared for: it is longer than declared, or \
                         there is a column that card_file.packed would have to allow"
                    )),
                    _ => Ok(Cell::Text(Cow::Borrowed(cell))),
                }
            }
            // Cut off or not padded: nobody can tell, and half a PIN is none.
            _ => Err(format!(
                "has {length} characters where the columns need {}",
                spans.iter().map(|span| span.end).max().unwrap_or(0)
            )),
        })
        .collect()
}

/// Whether what stands in a cell may not have ended with it.
fn goes_on(cell: &str, rest: &str) -> bool {
    let is_seen = |c: char| !c.is_whitespace() && !c.is_control();
    cell.ends_with(is_seen) && rest.starts_with(is_seen)
}

/// Whether the character there belongs to a column.
fn is_named(at: usize, spans: &[Span]) -> bool {
    spans.iter().any(|span| (span.start..span.end).contains(&at))
}
