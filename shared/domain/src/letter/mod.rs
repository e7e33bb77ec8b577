//! What the mail that carries a register says: a ready text in the payee's language, or templates of the payee's own.
//!
//! Whatever a template says, the subject names payee, sequence, count and total, a copy has `COPY` in it and a part its number:
//! a template that leaves one out is refused when it is declared ([`check`]), and what one leaves out for a certain
//! register all the same (it may choose) is added. Names in it were written by other people: they are put in as one line
//! each, and never looked at again.

mod subject;
mod texts;
mod values;

use jiff::Timestamp;
use minijinja::Value;
use serde::{Deserialize, Serialize};

use crate::declaration::Zone;
use crate::ids::RegisterId;
use crate::invalid::Invalid;
use crate::line::one_line;
use crate::money::Currency;
use crate::template::{self, Escape, TemplateError, names, refusal_of};

/// The longest template of a subject, and of a body, in characters.
const SUBJECT_TEMPLATE_MAX: usize = 500;
const BODY_TEMPLATE_MAX: usize = 8_000;
/// The longest subject, in characters, and the longest body, in bytes.
const SUBJECT_MAX: usize = 300;
const BODY_MAX: usize = 32 * 1024;

/// The language of a ready text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// English.
    #[default]
    En,
    /// Russian.
    Ru,
}

/// A register, or a part of one, as a mail tells of it.
#[derive(Debug, Clone)]
pub struct Letter<'a> {
    /// The payee's id.
    pub payee: &'a str,
    /// Its name for people.
    pub name: &'a str,
    /// The series; `main` goes without saying.
    pub series: &'a str,
    /// Counted from 1 within the series.
    pub sequence: i32,
    /// Whether it is a copy.
    pub is_copy: bool,
    /// Of the payments of a copy, in all its parts, how many were in no regular register.
    pub open: i64,
    /// Which part it is, where it comes in several.
    pub part: Option<Part>,
    /// Payments in it; 0 in one that says that there were none.
    pub count: i64,
    /// Their sum in minor units.
    pub total: i64,
    /// Their currency.
    pub currency: Currency,
    /// Acceptance of its first and last payment, or the period it is about.
    pub accepted: (Timestamp, Timestamp),
    /// The payee's time zone.
    pub zone: &'a Zone,
    /// The attachment's name.
    pub file_name: &'a str,
    /// The attachment's size.
    pub file_bytes: i64,
    /// The register's id.
    pub register_id: RegisterId,
}

/// One of the files of a register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Which, counted from 1.
    pub number: i32,
    /// How many there are.
    pub of: i32,
}

/// A payee's own templates; what is not given is the ready text.
#[derive(Debug, Clone, Copy, Default)]
pub struct Templates<'a> {
    /// Of the ready text.
    pub language: Language,
    /// Of the subject.
    pub subject: Option<&'a str>,
    /// Of the text.
    pub body: Option<&'a str>,
}

/// What a mail says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// On one line.
    pub subject: String,
    /// Lines that end in CRLF.
    pub body: String,
    /// What went wrong with the payee's own template, if anything: the ready text stands in for it.
    pub fallback: Option<TemplateError>,
}

/// Writes the mail. Never fails: a template that comes to nothing gives way to the ready text.
pub fn write(templates: Templates<'_>, letter: &Letter<'_>) -> Written {
    let ready = texts::of(templates.language);
    let values = values::of(letter);
    let mut fallback = None;
    let mut filled = |own: Option<&str>, ready: &str, longest: usize| {
        if let Some(own) = own {
            match fill(own, values.clone(), longest) {
                Ok(text) => return text,
                Err(error) => fallback = Some(refusal_of(&error, false)),
            }
        }
        // The ready texts are filled in for every kind of register in the tests.
        fill(ready, values.clone(), longest).unwrap_or_default()
    };
    let subject = filled(templates.subject, ready.subject, 4 * SUBJECT_MAX);
    let body = filled(templates.body, ready.body, BODY_MAX);
    Written {
        subject: subject::completed(&one_line(&subject, SUBJECT_MAX), templates.language, letter),
        body: lines(&body),
        fallback,
    }
}

/// Everything that can be known to be wrong with a payee's own templates before there is a register.
pub fn check(templates: Templates<'_>) -> Result<(), Invalid> {
    let both = [
        ("subject", templates.subject, SUBJECT_TEMPLATE_MAX, 4 * SUBJECT_MAX),
        ("body", templates.body, BODY_TEMPLATE_MAX, BODY_MAX),
    ];
    for (field, template, template_max, longest) in both {
        let Some(template) = template else { continue };
        let refused = |why: String| Invalid::new(field, why);
        let at_fault = |error: TemplateError| refused(error.to_string());
        if template.chars().count() > template_max {
            return Err(refused(format!("is longer than {template_max} characters")));
        }
        if template.chars().any(|c| c.is_control() && c != '\n') {
            return Err(refused("holds a control character other than a line feed".to_owned()));
        }
        let spoken = names(template, &values::NAMES).map_err(at_fault)?;
        if let Some(other) = spoken.others.first() {
            let known = values::NAMES.join(", ");
            return Err(refused(format!("names `{other}`; there are {known}")));
        }
        let zone = Zone::utc();
        for sample in values::samples(&zone) {
            let text =
                fill(template, values::of(&sample), longest).map_err(|error| at_fault(refusal_of(&error, true)))?;
            let missing = subject::missing(&one_line(&text, SUBJECT_MAX), &sample);
            // That it is a copy, or which part, is added where it is not said.
            if field == "subject" && !missing.is_empty() {
                return Err(refused(format!(
                    "does not always name the payee, {{{{ sequence }}}}, {{{{ count }}}} and {{{{ total }}}}: {} is missing from `{}`",
                    missing.join(" and "),
                    one_line(&text, SUBJECT_MAX)
                )));
            }
        }
    }
    Ok(())
}

fn fill(template: &str, values: Value, longest: usize) -> Result<String, minijinja::Error> {
    template::fill(template, Escape::Nothing, values, longest)
}

/// A text as mails have it: CRLF at the end of each line, no other control character, no blank lines at its end.
fn lines(text: &str) -> String {
    let mut clean = String::with_capacity(text.len() + 64);
    for line in text.trim_end().lines() {
        clean.extend(line.trim_end().chars().filter(|c| !c.is_control()));
        clean.push_str("\r\n");
    }
    clean
}

#[cfg(test)]
mod tests;
