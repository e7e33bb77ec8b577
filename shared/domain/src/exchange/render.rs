//! A described request, filled in. What stands in a query or a form is percent-encoded as a whole; what is put into a path,
//! into JSON or XML is escaped for it; a header takes no line break. So nothing that a payer typed can become anything but
//! a value.

use url::Url;

use super::percent_encoded_pairs;
use super::values::Values;
use crate::declaration::{HttpMethod, RequestTemplate};
use crate::invalid::Invalid;
use crate::template::{Escape, fill, refusal_of};

/// The largest body that is made, in bytes.
const BODY_MAX: usize = 64 * 1024;
/// The longest value of a query, a form or a header, and the longest path, in bytes.
const VALUE_MAX: usize = 8 * 1024;

/// A request, ready to be sent.
#[derive(Clone)]
pub struct Rendered {
    /// GET, POST or PUT.
    pub method: HttpMethod,
    /// Where to.
    pub url: Url,
    /// Names and values; the type of the body is among them.
    pub headers: Vec<(String, String)>,
    /// Empty for none.
    pub body: String,
}

/// May hold a secret.
impl std::fmt::Debug for Rendered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Rendered({:?} …)", self.method)
    }
}

impl Rendered {
    /// The request as operators read it: the first line and the body. Headers are left out.
    pub fn shown(&self) -> String {
        let query = self.url.query().map(|query| format!("?{query}")).unwrap_or_default();
        let first = format!("{} {}{query}", self.method.as_str(), self.url.path());
        if self.body.is_empty() {
            first
        } else {
            format!("{first}\n{}", self.body)
        }
    }
}

/// Fills a request in, under the payee's base URL. The error names the part of the description at fault.
pub fn render(template: &RequestTemplate, base: &Url, values: &Values) -> Result<Rendered, Invalid> {
    let one = |field: &str, text: &str, escape: Escape, longest: usize| {
        fill(text, escape, values.to_value(), longest)
            .map_err(|error| Invalid::new(field, refusal_of(&error, false).to_string()))
    };
    let several = |field: &str, all: &std::collections::BTreeMap<String, String>| {
        let mut filled = Vec::with_capacity(all.len());
        for (name, text) in all {
            let value = one(&format!("{field}.{name}"), text, Escape::Nothing, VALUE_MAX)?;
            // What comes to nothing is left out: that is how an optional one is written.
            if !value.is_empty() {
                filled.push((name.clone(), value));
            }
        }
        Ok::<_, Invalid>(filled)
    };
    let mut url = base.clone();
    extend(&mut url, &one("path", &template.path, Escape::Path, VALUE_MAX)?)?;
    let query = encoded(&several("query", &template.query)?);
    url.set_query((!query.is_empty()).then_some(&*query));
    let mut headers = several("headers", &template.headers)?;
    for (name, value) in &headers {
        if value.chars().any(char::is_control) {
            return Err(Invalid::new(format!("headers.{name}"), "holds a control character"));
        }
    }
    let (kind, body) = if let Some(json) = &template.json {
        ("application/json", one("json", json, Escape::Json, BODY_MAX)?)
    } else if let Some(xml) = &template.xml {
        ("text/xml; charset=utf-8", one("xml", xml, Escape::Xml, BODY_MAX)?)
    } else if let Some(form) = &template.form {
        ("application/x-www-form-urlencoded", encoded(&several("form", form)?))
    } else {
        ("", String::new())
    };
    if !kind.is_empty()
        && !headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("content-type"))
    {
        headers.push(("content-type".to_owned(), kind.to_owned()));
    }
    Ok(Rendered {
        method: template.method,
        url,
        headers,
        body,
    })
}

fn encoded(pairs: &[(String, String)]) -> String {
    percent_encoded_pairs(pairs.iter().map(|(name, value)| (name.as_str(), value.as_str())))
}

/// Puts a path under the base. What would lead out of it (`..`) is refused, not followed.
fn extend(url: &mut Url, path: &str) -> Result<(), Invalid> {
    if path.is_empty() {
        return Ok(());
    }
    let whole = format!("{}{path}", url.path().trim_end_matches('/'));
    url.set_path(&whole);
    if url.path() == whole {
        Ok(())
    } else {
        Err(Invalid::new(
            "path",
            "does not come to a path as it stands: it begins with / and has no . or .. between two of them",
        ))
    }
}
