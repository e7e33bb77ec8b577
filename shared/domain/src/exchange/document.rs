//! An answer as a document, and what is picked out of it: by JSON pointer, by a path of XML, or by a regular expression.

use regex::{Regex, RegexBuilder};
use serde_json::Value;

use super::xml::{self, Node};
use crate::declaration::{AnswerFormat, Parsing};
use crate::invalid::Invalid;
use crate::text::no_control;

/// The longest selector, in characters.
const SELECTOR_MAX: usize = 500;
/// What one compiled expression may take.
const COMPILED_MAX_BYTES: usize = 1024 * 1024;

/// An answer, read.
#[derive(Debug, Clone)]
pub enum Document {
    /// JSON.
    Json(Value),
    /// XML.
    Xml(XmlDocument),
    /// Anything: a text.
    Text(String),
}

/// An element and how its names are compared.
#[derive(Debug, Clone)]
pub struct XmlDocument {
    root: Node,
    any_case: bool,
}

impl Document {
    /// Reads an answer. Strict: as its format says. Lenient: white space or a byte order mark before `<?xml`, names in
    /// another case, and bytes that are not UTF-8 (they are shown as such) do no harm.
    pub fn read(format: AnswerFormat, parsing: Parsing, body: &[u8]) -> Result<Self, String> {
        let lenient = parsing == Parsing::Lenient;
        let text = match std::str::from_utf8(body) {
            Ok(text) => text.into(),
            Err(_) if lenient => String::from_utf8_lossy(body),
            Err(_) => return Err("is not UTF-8".to_owned()),
        };
        let bare = text.trim_start_matches('\u{feff}').trim();
        if bare.is_empty() {
            return Err("is empty".to_owned());
        }
        match format {
            AnswerFormat::Json => {
                let read = serde_json::from_str(if lenient { bare } else { &text });
                read.map(Self::Json).map_err(|_| "is not JSON".to_owned())
            }
            AnswerFormat::Xml => {
                if !lenient && bare.starts_with("<?xml") && !text.starts_with("<?xml") {
                    return Err("has something before <?xml".to_owned());
                }
                let root = xml::parse(bare)?;
                Ok(Self::Xml(XmlDocument {
                    root,
                    any_case: lenient,
                }))
            }
            AnswerFormat::Text => Ok(Self::Text(text.into_owned())),
        }
    }

    /// The one value a selector finds, trimmed; `None` when there is none or it is empty. More than one is an error: nobody
    /// can say which of them counts.
    pub fn pick(&self, selector: &Selector) -> Result<Option<String>, String> {
        let found = match (self, &selector.way) {
            (Self::Json(value), Way::Pointer) => value.pointer(&selector.written).and_then(scalar),
            (Self::Xml(document), Way::Path(steps)) => {
                let mut found = document.texts(steps).into_iter();
                let first = found.next();
                if found.next().is_some() {
                    return Err(format!("has {} more than once", selector.written));
                }
                first
            }
            (Self::Text(text), Way::Expression(expression)) => expression
                .captures(text)
                .and_then(|found| found.get(1))
                .map(|group| group.as_str().to_owned()),
            _ => None,
        };
        Ok(found.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()))
    }

    /// What a selector finds, each a document of its own, in which paths begin anew. An answer without the place where the items
    /// would stand is an error, and no empty list: it may be about something else, such as why there is none.
    pub fn items(&self, selector: &Selector) -> Result<Vec<Self>, String> {
        let missing = || format!("has no list at {}", selector.written);
        match (self, &selector.way) {
            (Self::Json(value), Way::Pointer) => match value.pointer(&selector.written) {
                Some(Value::Array(items)) => Ok(items.iter().cloned().map(Self::Json).collect()),
                _ => Err(missing()),
            },
            (Self::Xml(document), Way::Path(steps)) => {
                let found = document.nodes(steps);
                let around = match steps.split_last() {
                    Some((_, around)) if !around.is_empty() => document.nodes(around),
                    _ => found.clone(),
                };
                if around.is_empty() {
                    return Err(missing());
                }
                let items = found.into_iter().map(|node| {
                    Self::Xml(XmlDocument {
                        // Paths begin with what is around: an item is the only child of a root of its own.
                        root: Node {
                            children: node.children.clone(),
                            attributes: node.attributes.clone(),
                            ..Node::default()
                        },
                        any_case: document.any_case,
                    })
                });
                Ok(items.collect())
            }
            _ => Err(missing()),
        }
    }
}

fn scalar(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(word) => Some(word.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

impl XmlDocument {
    fn same(&self, name: &str, step: &str) -> bool {
        name == step || (self.any_case && name.to_lowercase() == step.to_lowercase())
    }

    /// Elements at the end of a path. A document's path begins with its root; that of an item, with what is inside.
    fn nodes(&self, steps: &[String]) -> Vec<&Node> {
        let mut steps = steps.iter();
        let mut found = vec![&self.root];
        if !self.root.name.is_empty() {
            let Some(first) = steps.next() else { return found };
            found.retain(|root| self.same(&root.name, first));
        }
        for step in steps {
            found = found
                .into_iter()
                .flat_map(|node| node.children.iter().filter(|child| self.same(&child.name, step)))
                .collect();
        }
        found
    }

    fn texts(&self, steps: &[String]) -> Vec<String> {
        let (last, before) = match steps.split_last() {
            Some((last, before)) => (last, before),
            None => return Vec::new(),
        };
        match last.strip_prefix('@') {
            None => self.nodes(steps).into_iter().map(|node| node.text.clone()).collect(),
            Some(wanted) => self
                .nodes(before)
                .into_iter()
                .flat_map(|node| &node.attributes)
                .filter(|(name, _)| self.same(name, wanted))
                .map(|(_, value)| value.clone())
                .collect(),
        }
    }
}

/// Where something stands in an answer.
#[derive(Debug, Clone)]
pub struct Selector {
    written: String,
    way: Way,
}

#[derive(Debug, Clone)]
enum Way {
    Pointer,
    Path(Vec<String>),
    Expression(Regex),
}

impl Selector {
    /// Reads a selector as its format writes it: a JSON pointer (`/payment/status`), a path of XML
    /// (`/response/result`, `/response/@code`) or a regular expression whose first group is the value.
    pub fn parse(format: AnswerFormat, written: &str) -> Result<Self, Invalid> {
        let refused = |why: String| Invalid::new("", why);
        no_control("", written, SELECTOR_MAX)?;
        let way = match format {
            AnswerFormat::Json if written.starts_with('/') => Way::Pointer,
            AnswerFormat::Json => return Err(refused("must be a JSON pointer, such as /payment/status".to_owned())),
            AnswerFormat::Xml => Way::Path(path(written).ok_or_else(|| {
                refused("must be a path such as /response/result, or /response/@code for an attribute".to_owned())
            })?),
            AnswerFormat::Text => {
                let expression = RegexBuilder::new(written)
                    .size_limit(COMPILED_MAX_BYTES)
                    .multi_line(true)
                    .build()
                    .map_err(|_| refused("is not a regular expression".to_owned()))?;
                if expression.captures_len() != 2 {
                    return Err(refused(
                        "must have one group: what stands in it is the value".to_owned(),
                    ));
                }
                Way::Expression(expression)
            }
        };
        Ok(Self {
            written: written.to_owned(),
            way,
        })
    }
}

fn path(written: &str) -> Option<Vec<String>> {
    let steps: Vec<String> = written.strip_prefix('/')?.split('/').map(str::to_owned).collect();
    let is_name = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || "-._".contains(c));
    let last = steps.len() - 1;
    steps
        .iter()
        .enumerate()
        .all(|(at, step)| match step.strip_prefix('@') {
            Some(name) => at == last && is_name(name),
            None => is_name(step),
        })
        .then_some(steps)
}
