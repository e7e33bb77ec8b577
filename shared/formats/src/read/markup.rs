//! XML and JSON Lines: payments by the names of their columns. Nothing is expanded but what every XML has.

use domain::Currency;
use quick_xml::Reader;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesStart, Event};
use serde_json::{Map, Value};

use super::text::decoded;
use super::{Line, ReadError, Reading, Received};

pub(super) fn json_lines(reading: &Reading<'_>, bytes: &[u8]) -> Result<Received, ReadError> {
    let text = decoded(reading, bytes)?;
    let lines = text.lines().zip(1..).filter(|(text, _)| !text.trim().is_empty());
    let lines = lines.map(|(text, line)| Line {
        line,
        payment: serde_json::from_str::<Map<String, Value>>(text)
            .map_err(|error| format!("is no JSON object: {error}"))
            .and_then(|object| {
                let cells: Vec<String> = reading
                    .layout
                    .columns
                    .iter()
                    .map(|column| plain(object.get(&column.name)))
                    .collect();
                reading.payment(&cells.iter().map(String::as_str).collect::<Vec<_>>())
            }),
    });
    Ok(Received {
        lines: lines.collect(),
        told_count: None,
        told_total: None,
    })
}

fn plain(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

pub(super) fn xml(reading: &Reading<'_>, bytes: &[u8]) -> Result<Received, ReadError> {
    let layout = reading.layout;
    let text = decoded(reading, bytes)?;
    let broken = |why: &str| ReadError::Malformed(format!("is not well-formed XML: {why}"));
    let mut reader = Reader::from_str(&text);
    let mut cells = vec![String::new(); layout.columns.len()];
    let mut path: Vec<String> = Vec::new();
    let mut has_root = false;
    let mut received = Received {
        lines: Vec::new(),
        told_count: None,
        told_total: None,
    };
    loop {
        let inside = match path.as_slice() {
            [_, element, column] if *element == layout.element => {
                layout.columns.iter().position(|known| known.name == *column)
            }
            _ => None,
        };
        let mut put = |text: &str| {
            if let Some(cell) = inside.and_then(|at| cells.get_mut(at)) {
                cell.push_str(text);
            }
        };
        match reader.read_event().map_err(|error| broken(&error.to_string()))? {
            Event::Start(start) => {
                has_root = true;
                let name = String::from_utf8_lossy(start.local_name().as_ref()).into_owned();
                if path.is_empty() {
                    read_root(&start, reading.currency, &mut received);
                }
                if path.len() == 8 {
                    return Err(broken("nests deeper than 8"));
                }
                path.push(name);
            }
            Event::End(_) => {
                let ended = path.pop().unwrap_or_default();
                if path.len() == 1 && ended == layout.element {
                    let line = received.lines.len() as u64 + 1;
                    let payment = reading.payment(&cells.iter().map(String::as_str).collect::<Vec<_>>());
                    received.lines.push(Line { line, payment });
                    cells.iter_mut().for_each(String::clear);
                }
            }
            Event::Text(text) => put(&text.xml10_content().map_err(|_| broken("wrong text"))?),
            Event::CData(text) => put(&text.xml10_content().map_err(|_| broken("wrong text"))?),
            Event::GeneralRef(entity) => {
                let letter = entity.resolve_char_ref().map_err(|_| broken("a wrong character"))?;
                let name = entity.decode().map_err(|_| broken("a wrong entity"))?;
                match (letter, resolve_xml_entity(&name)) {
                    (Some(letter), _) => put(letter.encode_utf8(&mut [0; 4])),
                    (None, Some(text)) => put(text),
                    (None, None) => return Err(broken("names an entity, which is not read")),
                }
            }
            Event::DocType(_) => return Err(broken("has a document type, which is not read")),
            Event::Eof if path.is_empty() && has_root => return Ok(received),
            Event::Eof => return Err(broken("ends too early")),
            Event::Empty(_) => has_root = true,
            Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
        }
    }
}

/// What the root tells of all payments.
fn read_root(start: &BytesStart<'_>, currency: Currency, received: &mut Received) {
    for attribute in start.attributes().flatten() {
        let value = String::from_utf8_lossy(&attribute.value).into_owned();
        match attribute.key.as_ref() {
            b"count" => received.told_count = value.parse().ok(),
            b"total" => {
                let total = domain::money::parse_major(&value, currency);
                received.told_total = total.map(domain::Amount::minor);
            }
            _ => {}
        }
    }
}
