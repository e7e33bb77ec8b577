//! XML and JSON Lines: payments by the names of their columns. Nothing is expanded but what every XML has.

use quick_xml::Reader;
use quick_xml::escape::resolve_xml_entity;
use quick_xml::events::{BytesStart, Event};
use serde_json::{Map, Value};

use super::text::{decoded, received};
use super::{Line, ReadError, Reading, Received, shown};

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
        ..Received::default()
    })
}

fn plain(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

/// Every child of the root is a payment or a refused line: nothing in it is passed over.
pub(super) fn xml(reading: &Reading<'_>, bytes: &[u8]) -> Result<Received, ReadError> {
    let text = decoded(reading, bytes)?;
    let mut reader = Reader::from_str(&text);
    // `<payment/>` begins and ends like any other.
    reader.config_mut().expand_empty_elements = true;
    let mut document = Document {
        reading,
        path: Vec::new(),
        cells: vec![String::new(); reading.layout.columns.len()],
        wrong: None,
        lines: Vec::new(),
        told: None,
    };
    loop {
        match reader.read_event().map_err(|error| broken(&error.to_string()))? {
            Event::Start(start) => document.begin(&start)?,
            Event::End(_) => document.end(),
            Event::Text(text) => document.put(&text.xml10_content().map_err(|_| broken("wrong text"))?)?,
            Event::CData(text) => document.put(&text.xml10_content().map_err(|_| broken("wrong text"))?)?,
            Event::GeneralRef(entity) => {
                let letter = entity.resolve_char_ref().map_err(|_| broken("a wrong character"))?;
                let name = entity.decode().map_err(|_| broken("a wrong entity"))?;
                match (letter, resolve_xml_entity(&name)) {
                    (Some(letter), _) => document.put(letter.encode_utf8(&mut [0; 4]))?,
                    (None, Some(text)) => document.put(text)?,
                    (None, None) => return Err(broken("names an entity, which is not read")),
                }
            }
            Event::DocType(_) => return Err(broken("has a document type, which is not read")),
            Event::Eof => break,
            Event::Empty(_) | Event::Comment(_) | Event::Decl(_) | Event::PI(_) => {}
        }
    }
    match document.told {
        Some(told) if document.path.is_empty() => received(reading, "root", &told, document.lines),
        _ => Err(broken("ends too early")),
    }
}

fn broken(why: &str) -> ReadError {
    ReadError::Malformed(format!("is not well-formed XML: {why}"))
}

/// A document being read.
struct Document<'r, 'l> {
    reading: &'r Reading<'l>,
    /// The elements around what is read now, the root first.
    path: Vec<String>,
    /// Of the payment that is read now, one per column of the layout.
    cells: Vec<String>,
    /// What is wrong with it, whatever its cells say.
    wrong: Option<String>,
    lines: Vec<Line>,
    /// What the root tells of all payments, once there is a root.
    told: Option<Vec<(String, String)>>,
}

impl Document<'_, '_> {
    fn begin(&mut self, start: &BytesStart<'_>) -> Result<(), ReadError> {
        let name = String::from_utf8_lossy(start.local_name().as_ref()).into_owned();
        let element = &self.reading.layout.element;
        match self.path.len() {
            0 if self.told.is_some() => return Err(broken("has a second root")),
            0 => self.told = Some(attributes(start)?),
            1 if name != *element => self.wrong = Some(format!("`{}` is no `{element}` of this layout", shown(&name))),
            8 => return Err(broken("nests deeper than 8")),
            _ => {}
        }
        self.path.push(name);
        if let Some(at) = self.column()
            && !self.cells[at].is_empty()
        {
            self.wrong = Some(format!("{}: is there twice", self.reading.layout.columns[at].name));
        }
        Ok(())
    }

    fn end(&mut self) {
        self.path.pop();
        if self.path.len() != 1 {
            return;
        }
        let cells: Vec<&str> = self.cells.iter().map(String::as_str).collect();
        let payment = match self.wrong.take() {
            Some(wrong) => Err(wrong),
            None => self.reading.payment(&cells),
        };
        let line = self.lines.len() as u64 + 1;
        self.lines.push(Line { line, payment });
        self.cells.iter_mut().for_each(String::clear);
    }

    fn put(&mut self, text: &str) -> Result<(), ReadError> {
        if self.path.len() < 2 && !text.trim().is_empty() {
            return Err(ReadError::Malformed("has text outside of its payments".to_owned()));
        }
        if let Some(at) = self.column() {
            self.cells[at].push_str(text);
        }
        Ok(())
    }

    /// Which of the layout's columns the innermost element is.
    fn column(&self) -> Option<usize> {
        let layout = self.reading.layout;
        match self.path.as_slice() {
            [_, element, name] if *element == layout.element => {
                layout.columns.iter().position(|column| column.name == *name)
            }
            _ => None,
        }
    }
}

fn attributes(start: &BytesStart<'_>) -> Result<Vec<(String, String)>, ReadError> {
    let texts = start.attributes().map(|attribute| {
        let attribute = attribute.map_err(|error| broken(&error.to_string()))?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok((text(attribute.key.as_ref()), text(&attribute.value)))
    });
    texts.collect()
}
