//! dBase tables. Read here and not by a library, since those take numbers through binary fractions: an account is digits.

use domain::declaration::{FileSource, TextEncoding};

use super::rows::{Row, Rows, decode, value};

/// Bytes of the table's head, and of the description of one field.
const HEAD: usize = 32;
const FIELD: usize = 32;
/// Ends the descriptions.
const END_OF_FIELDS: u8 = 0x0d;
/// Marks a record that was deleted.
const DELETED: u8 = b'*';
/// Marks one that was not.
const KEPT: u8 = b' ';

/// Types of fields that are read: text, numbers as digits, dates, flags. Others keep binary numbers, or memos in another file.
const READ: [u8; 5] = *b"CNFDL";

struct Field {
    name: String,
    kind: u8,
    /// Where it begins in a record.
    begin: usize,
    length: usize,
}

/// The records that are not deleted. A table that is shorter than its head says was cut off; one with more records than that was
/// left by its program before it had told the head.
pub(super) fn read(bytes: &[u8], file: &FileSource, encoding: TextEncoding) -> Result<Vec<Row>, String> {
    let head = bytes.get(..HEAD).ok_or("is no dBase table: it is too short")?;
    let word = |at: usize| usize::from(u16::from_le_bytes([head[at], head[at + 1]]));
    let count = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
    let (begin, length) = (word(8), word(10));
    let fields = fields(bytes.get(HEAD..begin).ok_or("is no dBase table: its head is cut off")?)?;
    let wanted: usize = 1 + fields.iter().map(|field| field.length).sum::<usize>();
    if fields.is_empty() || length != wanted {
        return Err("is no dBase table: its fields do not make up its records".to_owned());
    }
    let end = count.checked_mul(length).and_then(|records| records.checked_add(begin));
    let cut_off = || format!("is cut off: it says that it has {count} records");
    let (records, behind) = end
        .and_then(|end| Some((bytes.get(begin..end)?, bytes.get(end..)?)))
        .ok_or_else(cut_off)?;
    if matches!(behind.first(), Some(&(KEPT | DELETED))) {
        let more = behind.len().div_ceil(length);
        return Err(format!(
            "says that it has {count} records, and {more} more are behind them: it was not written to its end"
        ));
    }
    let names: Vec<String> = fields.iter().map(|field| field.name.clone()).collect();
    let mut rows = Rows::under(file, &names)?;
    let declared = rows.places.iter().map(|place| &fields[*place]);
    for field in declared {
        if !READ.contains(&field.kind) {
            let (name, kind) = (&field.name, char::from(field.kind));
            return Err(format!(
                "its column {name} is of type {kind}, which is not read: leave it out"
            ));
        }
    }
    for (at, record) in records.chunks_exact(length).enumerate() {
        if record[0] != DELETED {
            let taken = rows.take(|place| one(&fields[place], record, encoding));
            taken.map_err(|why| format!("record {}: {why}", at + 1))?;
        }
    }
    Ok(rows.end())
}

fn fields(descriptions: &[u8]) -> Result<Vec<Field>, String> {
    let described = descriptions.chunks(FIELD).take_while(|field| field[0] != END_OF_FIELDS);
    // The mark of deletion comes first.
    let mut begin = 1;
    described
        .map(|field| {
            let field = field
                .get(..FIELD)
                .ok_or("is no dBase table: a field's description is cut off")?;
            let name = field[..11].split(|byte| *byte == 0).next().unwrap_or_default();
            let length = usize::from(field[16]);
            begin += length;
            Ok(Field {
                name: String::from_utf8_lossy(name).trim().to_owned(),
                kind: field[11],
                begin: begin - length,
                length,
            })
        })
        .collect()
}

/// The value of one field of a record.
fn one(field: &Field, record: &[u8], encoding: TextEncoding) -> Result<Option<String>, String> {
    let of_it = |why: &str| format!("{} {why}", field.name);
    let bytes = &record[field.begin..][..field.length];
    let text = decode(bytes, encoding).map_err(|why| of_it(&why))?;
    let text = text.trim_matches(['\0', ' ']);
    match field.kind {
        b'D' => date(text).map_err(of_it),
        b'L' => Ok(match text {
            "T" | "t" | "Y" | "y" => Some("true".to_owned()),
            "F" | "f" | "N" | "n" => Some("false".to_owned()),
            _ => None,
        }),
        _ => Ok(value(text)),
    }
}

/// `20261123` as `2026-11-23`.
fn date(text: &str) -> Result<Option<String>, &'static str> {
    if text.is_empty() || text == "00000000" {
        return Ok(None);
    }
    if text.len() != 8 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err("is no date");
    }
    Ok(Some(format!("{}-{}-{}", &text[..4], &text[4..6], &text[6..])))
}
