//! A template of a file or a mail: read once, filled many times.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use minijinja::{Environment, Value};

use super::{ENGINE, Escape, Limited, TemplateError, ZONE, names, refusal_of};
use crate::declaration::Zone;

/// A template that has passed the grammar.
#[derive(Debug, Clone)]
pub struct Template {
    /// Large, and the same for every copy of the template.
    engine: Arc<Environment<'static>>,
    escape: Escape,
    /// The names it speaks of, those of `fields` and other maps apart.
    spoken: Vec<String>,
    /// What it takes out of `fields`.
    fields: Vec<String>,
}

impl Template {
    /// Reads a template that may speak of `known`; one that speaks of anything else is refused.
    pub fn parse(source: &str, escape: Escape, known: &[&str]) -> Result<Self, TemplateError> {
        let found = names(source, &[])?;
        if let Some(other) = found.others.iter().find(|name| !known.contains(&name.as_str())) {
            let why = format!("speaks of `{other}`; there are {}", known.join(", "));
            return Err(TemplateError { line: 1, why });
        }
        let mut engine = ENGINE.clone();
        // What is written is what is meant: an empty line at the end is one.
        engine.set_keep_trailing_newline(true);
        engine
            .add_template_owned(escape.as_str(), source.to_owned())
            .map_err(|error| refusal_of(&error, true))?;
        Ok(Self {
            engine: Arc::new(engine),
            escape,
            spoken: found.others.into_iter().collect(),
            fields: found.fields.into_iter().collect(),
        })
    }

    /// Whether it speaks of something.
    pub fn speaks_of(&self, name: &str) -> bool {
        self.spoken.iter().any(|spoken| spoken == name)
    }

    /// What it takes out of `fields`, by name.
    pub fn fields(&self) -> &[String] {
        &self.fields
    }

    /// Fills it in; `longest` is in bytes. The error repeats no value.
    pub fn fill(&self, values: &Values, longest: usize) -> Result<String, TemplateError> {
        let mut text = Limited {
            taken: Vec::with_capacity(longest.min(1024)),
            longest,
        };
        self.engine
            .get_template(self.escape.as_str())
            .and_then(|template| template.render_captured_to(values.to_value(), &mut text).map(drop))
            .map_err(|error| refusal_of(&error, false))?;
        String::from_utf8(text.taken).map_err(|_| TemplateError {
            line: 1,
            why: "the text is not UTF-8".to_owned(),
        })
    }
}

/// What a template is filled with, by name.
#[derive(Clone, Default)]
pub struct Values(BTreeMap<String, Value>);

impl Values {
    /// None yet. The filter `date` shows moments in this zone.
    pub fn new(zone: &Zone) -> Self {
        let mut values = Self::default();
        values.text(ZONE, zone.name());
        values
    }

    /// A text.
    pub fn text(&mut self, name: &str, text: &str) {
        self.put(name, Value::from(text));
    }

    /// A number; the filter `pad` gives it leading zeros.
    pub fn number(&mut self, name: &str, number: i64) {
        self.put(name, Value::from(number));
    }

    /// Yes or no.
    pub fn flag(&mut self, name: &str, flag: bool) {
        self.put(name, Value::from(flag));
    }

    /// A moment; the filter `date` writes it in other ways.
    pub fn moment(&mut self, name: &str, moment: Timestamp) {
        self.text(name, &moment.to_string());
    }

    /// Several texts under names of their own.
    pub fn members<'a>(&mut self, name: &str, members: impl IntoIterator<Item = (&'a str, &'a str)>) {
        let members = members.into_iter().map(|(key, text)| (key, Value::from(text)));
        self.put(name, members.collect());
    }

    fn put(&mut self, name: &str, value: Value) {
        self.0.insert(name.to_owned(), value);
    }

    fn to_value(&self) -> Value {
        self.0
            .iter()
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }
}

/// Values are payers' data.
impl std::fmt::Debug for Values {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Values(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(source: &str, escape: Escape) -> Result<String, TemplateError> {
        let template = Template::parse(source, escape, &["number", "name", "fields", "at"])?;
        let mut values = Values::new(&Zone::parse("Europe/Moscow").unwrap());
        values.number("number", 42);
        values.text("name", "{{ number }} <b> \"x\"");
        values.members("fields", [("meter", "00123")]);
        values.moment("at", "2026-11-23T21:30:00Z".parse().unwrap());
        template.fill(&values, 200)
    }

    #[test]
    fn values_are_put_in_and_never_looked_at_again() {
        let plain = |source| filled(source, Escape::Nothing).unwrap();
        assert_eq!(
            plain("{{ number | pad(6) }} {{ name }}"),
            "000042 {{ number }} <b> \"x\""
        );
        assert_eq!(plain("{{ fields.meter }}\n\n"), "00123\n\n");
        assert_eq!(plain("{{ at | date('%d.%m.%Y %H:%M') }}"), "24.11.2026 00:30");
        let xml = filled("<a>{{ name }}</a>", Escape::Xml).unwrap();
        assert_eq!(xml, "<a>{{ number }} &lt;b&gt; &quot;x&quot;</a>");
        let json = filled("{\"a\": \"{{ name }}\"}", Escape::Json).unwrap();
        assert_eq!(json, r#"{"a": "{{ number }} <b> \"x\""}"#);
    }

    #[test]
    fn what_is_wrong_is_said_without_a_value() {
        for (source, why) in [
            (
                "{{ amount }}",
                "line 1: speaks of `amount`; there are number, name, fields, at",
            ),
            (
                "{{ name * 3 }}",
                "line 1: a template prints values and does not calculate",
            ),
            ("{{ number | pad(41) }}", "line 1: invalid operation"),
            ("x\n{{ fields.none }}", "line 2: undefined value"),
            (
                "{% for a in [1,2,3,4,5,6,7,8,9] %}{{ name }}{{ name }}{% endfor %}",
                "line 1: comes to more than 200 bytes",
            ),
        ] {
            assert_eq!(
                filled(source, Escape::Nothing).unwrap_err().to_string(),
                why,
                "{source}"
            );
        }
        let template = Template::parse("{{ number }}{{ fields.a }}", Escape::Nothing, &["number", "fields"]).unwrap();
        assert!(template.speaks_of("number") && !template.speaks_of("name"));
        assert_eq!(template.fields(), ["a"]);
    }
}
