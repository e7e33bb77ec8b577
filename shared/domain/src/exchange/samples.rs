//! A description tried out when it is declared: filled in with everything that payers may type, whole and with whatever may
//! be missing left out. What comes of it must be a request of the same shape each time.

use url::Url;

use super::values::{Values, Verb};
use super::{render, xml};
use crate::declaration::{FieldRule, Payee, RequestTemplate, Zone};
use crate::invalid::Invalid;
use crate::text::Fields;

use crate::template::names;

/// What payers type at their worst.
const HOSTILE: &str = "a\"b'c\\d<e>&f;g=h]]>--{{ i }}%2e/j ?#\u{436}";

/// Everything that can be known to be wrong with a request before there is a payment.
pub(crate) fn check(verb: Verb, template: &RequestTemplate, base: &Url, zone: &Zone, payee: &Payee) -> Vec<Invalid> {
    let mut found: Vec<Invalid> = texts(template)
        .into_iter()
        .filter_map(|(field, text)| check_names(verb, text, payee).err().map(|why| Invalid::new(field, why)))
        .collect();
    if !found.is_empty() {
        return found;
    }
    let required = |rule: &FieldRule| rule.required;
    let any = |_: &FieldRule| true;
    // A check knows of no amount yet, and of none of the fields it may be about to ask for.
    let barest = if verb == Verb::Check {
        |_: &FieldRule| false
    } else {
        required
    };
    for (fields, whole) in [(entered(payee, any), true), (entered(payee, barest), false)] {
        let values = sample(verb, zone, payee, &fields, whole);
        match render(template, base, &values) {
            Ok(rendered) => found.extend(check_body(template, &rendered.body).err()),
            Err(refused) => found.push(refused),
        }
    }
    found.truncate(1);
    found
}

/// Every template of a request and where it stands.
fn texts(template: &RequestTemplate) -> Vec<(String, &str)> {
    let mut all = vec![("path".to_owned(), template.path.as_str())];
    let groups = [
        ("query", Some(&template.query)),
        ("headers", Some(&template.headers)),
        ("form", template.form.as_ref()),
    ];
    for (group, members) in groups {
        for (name, text) in members.into_iter().flatten() {
            all.push((format!("{group}.{name}"), text));
        }
    }
    let bodies = [("json", &template.json), ("xml", &template.xml)];
    all.extend(
        bodies
            .into_iter()
            .filter_map(|(name, text)| Some((name.to_owned(), text.as_deref()?))),
    );
    all
}

fn check_names(verb: Verb, text: &str, payee: &Payee) -> Result<(), String> {
    let standard = verb.names();
    let spoken = names(text, &standard).map_err(|error| error.to_string())?;
    if let Some(other) = spoken.others.first() {
        return Err(format!("names `{other}`; there is: {}", standard.join(", ")));
    }
    let declared = |name: &String| payee.field.iter().any(|rule| rule.name == *name);
    match spoken.fields.iter().find(|name| !declared(name)) {
        Some(other) => Err(format!(
            "names `fields.{other}`, which the payee does not declare as a [[field]]"
        )),
        None => Ok(()),
    }
}

fn entered(payee: &Payee, wanted: impl Fn(&FieldRule) -> bool) -> Fields {
    let fields = payee.field.iter().filter(|rule| wanted(rule));
    Fields::new(fields.map(|rule| (rule.name.clone(), HOSTILE.to_owned())).collect()).unwrap_or_default()
}

fn sample(verb: Verb, zone: &Zone, payee: &Payee, fields: &Fields, whole: bool) -> Values {
    let minor = payee.amount.max.minor();
    let amount = (whole || verb != Verb::Check).then_some(minor);
    let moment = jiff::Timestamp::UNIX_EPOCH;
    let mut values = Values::new(zone)
        .secret("sample")
        .text("number", "1000000000000017")
        .text("payment_id", "0199c0de-0000-7000-8000-000000000017")
        .text("terminal", "T-0001")
        .text("account", HOSTILE)
        .amount("amount", amount, payee.currency)
        .amount("fee", Some(0), payee.currency)
        .text("currency", payee.currency.code())
        .moment("paid_at", moment)
        .fields(fields)
        .text("reason", HOSTILE)
        .moment("from", moment)
        .moment("to", moment);
    values = values.text("after", if whole { HOSTILE } else { "" });
    values
}

fn check_body(template: &RequestTemplate, body: &str) -> Result<(), Invalid> {
    if template.json.is_some() {
        let read: Result<serde_json::Value, _> = serde_json::from_str(body);
        read.map_err(|error| {
            let why =
                format!("is not JSON once it is filled in ({error}); a value stands in quotes: \"{{{{ account }}}}\"");
            Invalid::new("json", why)
        })?;
    }
    if template.xml.is_some() {
        xml::parse(body).map_err(|why| Invalid::new("xml", format!("{why} once it is filled in")))?;
    }
    Ok(())
}
