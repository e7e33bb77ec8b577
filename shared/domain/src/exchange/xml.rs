//! XML as payees write it, read into a small tree. Nothing is expanded but the five entities every XML has and characters
//! by their number; a document type is refused, so none can be declared; depth is bounded, and size by whoever read the
//! answer.

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

/// How deep an answer may nest.
const DEPTH_MAX: usize = 32;

/// An element.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Node {
    /// Without a prefix of a namespace.
    pub(super) name: String,
    pub(super) attributes: Vec<(String, String)>,
    pub(super) children: Vec<Node>,
    pub(super) text: String,
}

/// Reads one document. The error says what is wrong, and repeats nothing of it.
pub(super) fn parse(text: &str) -> Result<Node, String> {
    let broken = |_| "is not well-formed XML".to_owned();
    let mut reader = Reader::from_str(text);
    let mut open: Vec<Node> = Vec::new();
    let mut root: Option<Node> = None;
    loop {
        match reader.read_event().map_err(broken)? {
            Event::Start(start) => {
                if root.is_some() {
                    return Err("has more than one root".to_owned());
                }
                if open.len() == DEPTH_MAX {
                    return Err(format!("nests deeper than {DEPTH_MAX}"));
                }
                open.push(node(&start)?);
            }
            Event::Empty(start) => {
                let empty = node(&start)?;
                close(empty, &mut open, &mut root)?;
            }
            // The reader has compared its name with the one that was opened.
            Event::End(_) => {
                let ended = open.pop().ok_or("is not well-formed XML")?;
                close(ended, &mut open, &mut root)?;
            }
            Event::Text(text) => add(&mut open, &text.xml10_content().map_err(|_| "is not UTF-8")?)?,
            Event::CData(text) => add(&mut open, &text.xml10_content().map_err(|_| "is not UTF-8")?)?,
            Event::GeneralRef(entity) => {
                let character = entity.resolve_char_ref().map_err(|_| "has a wrong character")?;
                let name = entity.decode().map_err(|_| "is not UTF-8")?;
                let text = match character {
                    Some(character) => character.to_string(),
                    None => quick_xml::escape::resolve_xml_entity(&name)
                        .ok_or("names an entity, which is not read")?
                        .to_owned(),
                };
                add(&mut open, &text)?;
            }
            Event::DocType(_) => return Err("has a document type, which is not read".to_owned()),
            Event::Decl(_) | Event::PI(_) | Event::Comment(_) => {}
            Event::Eof => break,
        }
    }
    match (root, open.is_empty()) {
        (Some(root), true) => Ok(root),
        _ => Err("is not well-formed XML".to_owned()),
    }
}

fn node(start: &BytesStart<'_>) -> Result<Node, String> {
    let mut attributes = Vec::new();
    for attribute in start.attributes() {
        let attribute = attribute.map_err(|_| "has an attribute that is not well-formed")?;
        let value = attribute
            .normalized_value(quick_xml::XmlVersion::Explicit1_0)
            .map_err(|_| "has an attribute that is not well-formed")?;
        attributes.push((name_of(attribute.key.local_name().as_ref())?, value.into_owned()));
    }
    Ok(Node {
        name: name_of(start.local_name().as_ref())?,
        attributes,
        ..Node::default()
    })
}

fn name_of(bytes: &[u8]) -> Result<String, String> {
    let name = std::str::from_utf8(bytes).map_err(|_| "is not UTF-8")?;
    // The reader finds where a name ends, not whether it is one.
    let is_name = name.chars().all(|c| c.is_alphanumeric() || "-._".contains(c))
        && name.starts_with(|c: char| c.is_alphabetic() || c == '_');
    if is_name {
        Ok(name.to_owned())
    } else {
        Err("has a name that is none".to_owned())
    }
}

fn close(ended: Node, open: &mut [Node], root: &mut Option<Node>) -> Result<(), String> {
    match open.last_mut() {
        Some(parent) => parent.children.push(ended),
        None if root.is_none() => *root = Some(ended),
        None => return Err("has more than one root".to_owned()),
    }
    Ok(())
}

/// Text outside of the root may only be white space.
fn add(open: &mut [Node], text: &str) -> Result<(), String> {
    match open.last_mut() {
        Some(node) => node.text.push_str(text),
        None if text.trim().is_empty() => {}
        None => return Err("has text outside of its root".to_owned()),
    }
    Ok(())
}
