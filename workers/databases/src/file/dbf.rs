//! dBase tables. Read here and not by a library, since those take numbers through binary fractions: an account is digits.

use domain::declaration::TextEncoding;

use super::rows::{Line, decode, value};

/// Bytes of the table's head, and of the description of one field.
const HEAD: usize = 32;
const FIELD: usize = 32;
/// Ends the descriptions.
const END_OF_FIELDS: u8 = 0x0d;
/// Marks a record that was deleted.
const DELETED: u8 = b'*';

struct Field {
    name: String,
    kind: u8,
    length: usize,
}

/// The names of fields, and the records that are not deleted. A table that is shorter than its head says was cut off.
pub(super) fn read(bytes: &[u8], encoding: TextEncoding) -> Result<(Vec<String>, Vec<Line>), String> {
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
    let records = end.and_then(|end| bytes.get(begin..end));
    let records = records.ok_or_else(|| format!("is cut off: it says that it has {count} records"))?;
    let mut lines = Vec::with_capacity(count);
    for (at, record) in records.chunks_exact(length).enumerate() {
        if record[0] != DELETED {
            let values = values(&fields, &record[1..], encoding);
            lines.push((at + 1, values.map_err(|why| format!("record {}: {why}", at + 1))?));
        }
    }
    Ok((fields.into_iter().map(|field| field.name).collect(), lines))
}

fn fields(descriptions: &[u8]) -> Result<Vec<Field>, String> {
    let described = descriptions.chunks(FIELD).take_while(|field| field[0] != END_OF_FIELDS);
    described
        .map(|field| {
            let field = field
                .get(..FIELD)
                .ok_or("is no dBase table: a field's description is cut off")?;
            let name = field[..11].split(|byte| *byte == 0).next().unwrap_or_default();
            Ok(Field {
                name: String::from_utf8_lossy(name).trim().to_owned(),
                kind: field[11],
                length: usize::from(field[16]),
            })
        })
        .collect()
}

fn values(fields: &[Field], mut record: &[u8], encoding: TextEncoding) -> Result<Vec<Option<String>>, String> {
    fields
        .iter()
        .map(|field| {
            let (bytes, rest) = record.split_at(field.length);
            record = rest;
            let text = decode(bytes, encoding).map_err(|why| format!("{} {why}", field.name))?;
            let text = text.trim_matches(['\0', ' ']);
            match field.kind {
                b'C' | b'N' | b'F' => Ok(value(text)),
                b'D' => date(text).map_err(|why| format!("{} {why}", field.name)),
                b'L' => Ok(match text {
                    "T" | "t" | "Y" | "y" => Some("true".to_owned()),
                    "F" | "f" | "N" | "n" => Some("false".to_owned()),
                    _ => None,
                }),
                // A memo is in another file; what is not asked for is no matter.
                _ => Ok(None),
            }
        })
        .collect()
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
