//! A table of dBase III. Read by hand as it is written: amounts stay decimal, and the code page is the table's own.

use encoding_rs::{Encoding, IBM866, WINDOWS_1251};
use jiff::civil::Date;

use super::{Line, ReadError, Reading, Received};
use crate::write::dbf::unique_names;

const HEADER_BYTES: usize = 32;
const FIELD_BYTES: usize = 32;
const HEADER_END: u8 = 0x0d;
const DELETED: u8 = b'*';
/// What follows the last record; old programs fill the rest of their last block with it, or with zeros.
const END: u8 = 0x1a;

struct Field {
    name: String,
    kind: u8,
    start: usize,
    width: usize,
}

pub(super) fn read(reading: &Reading<'_>, bytes: &[u8]) -> Result<Received, ReadError> {
    let broken = || ReadError::Malformed("is no table of dBase III".to_owned());
    let number = |at: usize, width: usize| {
        let bytes = bytes.get(at..at + width)?;
        Some(
            bytes
                .iter()
                .rev()
                .fold(0_usize, |sum, byte| sum * 256 + usize::from(*byte)),
        )
    };
    // 0x03: without memo fields; 0x83 has them in a file of their own, which is not read.
    if !matches!(bytes.first(), Some(0x03 | 0x83)) {
        return Err(broken());
    }
    let (count, header, width) = (number(4, 4), number(8, 2), number(10, 2));
    let (Some(count), Some(header), Some(width)) = (count, header, width) else {
        return Err(broken());
    };
    let encoding = match bytes.get(29) {
        Some(0x65 | 0x26) => Some(IBM866),
        Some(0xc9 | 0x57) => Some(WINDOWS_1251),
        _ => reading.layout.charset.legacy(),
    };
    let fields = fields(bytes.get(HEADER_BYTES..header).ok_or_else(broken)?);
    let widths: usize = 1 + fields.iter().map(|field| field.width).sum::<usize>();
    if fields.is_empty() || widths != width {
        return Err(broken());
    }
    let rest = bytes.get(header + count * width..).unwrap_or_default();
    if !rest.iter().all(|byte| matches!(*byte, END | 0)) {
        return Err(ReadError::Malformed(
            "has more records than its header tells".to_owned(),
        ));
    }
    let names = unique_names(&reading.layout.columns);
    let day = &reading.layout.style.date;
    let mut lines = Vec::new();
    for at in 0..count {
        let record = bytes.get(header + at * width..header + (at + 1) * width);
        let record = record.ok_or_else(|| ReadError::Malformed(format!("ends in record {} of {count}", at + 1)))?;
        if record.first() == Some(&DELETED) {
            continue;
        }
        let cells: Result<Vec<String>, ReadError> = names
            .iter()
            .map(|name| {
                let field = fields.iter().find(|field| field.name == *name);
                field.map_or(Ok(String::new()), |field| cell(record, field, encoding, day))
            })
            .collect();
        let cells = cells?;
        let cells: Vec<&str> = cells.iter().map(String::as_str).collect();
        lines.push(Line {
            line: at as u64 + 1,
            payment: reading.payment(&cells),
        });
    }
    Ok(Received {
        lines,
        ..Received::default()
    })
}

fn fields(header: &[u8]) -> Vec<Field> {
    let mut start = 1;
    let described = header
        .chunks(FIELD_BYTES)
        .take_while(|field| field.first() != Some(&HEADER_END) && field.len() == FIELD_BYTES);
    described
        .map(|field| {
            let name: String = field
                .iter()
                .take(11)
                .take_while(|byte| **byte != 0)
                .map(|byte| char::from(*byte))
                .collect();
            let one = Field {
                name: name.to_ascii_uppercase(),
                kind: field.get(11).copied().unwrap_or_default(),
                start,
                width: field.get(16).copied().map_or(0, usize::from),
            };
            start += one.width;
            one
        })
        .collect()
}

/// A field as text, a day as the layout writes it.
fn cell(record: &[u8], field: &Field, encoding: Option<&'static Encoding>, day: &str) -> Result<String, ReadError> {
    let raw = record.get(field.start..field.start + field.width).unwrap_or_default();
    let text = match encoding {
        Some(encoding) => encoding.decode_without_bom_handling(raw).0.into_owned(),
        None => String::from_utf8(raw.to_vec()).map_err(|_| ReadError::Encoding("the code page it names"))?,
    };
    let text = text.trim_matches([' ', '\0']);
    match Date::strptime("%Y%m%d", text) {
        Ok(date) if field.kind == b'D' => Ok(date.strftime(day).to_string()),
        _ => Ok(text.to_owned()),
    }
}
