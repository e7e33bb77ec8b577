//! What a payee's answer says, by the rules that describe it.

use std::fmt;

use jiff::Timestamp;
use jiff::fmt::strtime;

use super::document::{Document, Selector};
use crate::declaration::{AmountAs, AnswerFormat, AnswerRules, Codes, Meaning, Zone};
use crate::ids::Number;
use crate::invalid::Invalid;
use crate::money::{Amount, Currency, parse_major, parse_minor};

/// The longest text of a payee that is kept, in characters.
const TEXT_MAX: usize = 500;

/// What was heard, all of it clean and cut. Nothing of it is trusted but the meaning of the code; what is echoed is there to be
/// compared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Heard {
    /// The payee's code, or `HTTP 409`.
    pub code: String,
    /// What it means; `None`: nobody said, so nobody knows.
    pub meaning: Option<Meaning>,
    /// The number it says it is about.
    pub number: Option<String>,
    /// The sum it says it credited.
    pub amount: Option<Sum>,
    /// The payee's own name for the payment.
    pub reference: Option<String>,
    /// Words for people.
    pub comment: Option<String>,
    /// What is owed; of a check.
    pub amount_due: Option<Sum>,
}

/// A sum as a payee wrote it, in the units in which it counts. It prints as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sum {
    text: String,
    amount_as: AmountAs,
}

impl Sum {
    /// What was written, in units of this kind.
    pub fn new(text: impl Into<String>, amount_as: AmountAs) -> Self {
        Self {
            text: text.into(),
            amount_as,
        }
    }

    /// The amount; `None`: it is none of this currency. `150`, `150.00`, `150,0000` and `150.0` are one sum in major units, `15000`
    /// and `15000.0` in minor ones.
    pub fn amount(&self, currency: Currency) -> Option<Amount> {
        let short = without_idle_zeros(self.text.trim());
        match self.amount_as {
            AmountAs::Decimal => parse_major(&short, currency),
            AmountAs::Minor => parse_minor(&short),
        }
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)?;
        match self.amount_as {
            AmountAs::Decimal => Ok(()),
            AmountAs::Minor => f.write_str(" in minor units"),
        }
    }
}

fn without_idle_zeros(sum: &str) -> String {
    let whole = sum.replace(',', ".");
    match whole.split_once('.') {
        Some((units, rest)) => match rest.trim_end_matches('0') {
            "" => units.to_owned(),
            rest => format!("{units}.{rest}"),
        },
        None => whole,
    }
}

/// Reads an answer. The HTTP status has the word where the rules say so, else the body.
pub fn read(rules: &AnswerRules, codes: &Codes, status: u16, body: &[u8]) -> Result<Heard, String> {
    if let Some(meaning) = rules.http.get(&status.to_string()).copied() {
        // What is in the body still tells whom it is about, where it can be read.
        let read = Document::read(rules.format, rules.parsing, body).ok();
        let details = read.map(|document| details(rules, &document)).transpose()?;
        return Ok(Heard {
            code: format!("HTTP {status}"),
            meaning: Some(meaning),
            ..details.unwrap_or_default()
        });
    }
    if let Some(code) = plain_code(rules, body)? {
        return Ok(Heard {
            meaning: codes.meaning(&code, rules.parsing),
            code: clean(&code),
            ..Heard::default()
        });
    }
    let document = Document::read(rules.format, rules.parsing, body)?;
    let selector = rules.result.as_deref().ok_or("is not one that the profile describes")?;
    let code = pick(rules.format, &document, Some(selector))?.ok_or_else(|| format!("has no {selector}"))?;
    Ok(Heard {
        meaning: codes.meaning(&code, rules.parsing),
        code: clean(&code),
        ..details(rules, &document)?
    })
}

/// Some programs answer in plain text although they should not; where that is declared, the code is found in it.
fn plain_code(rules: &AnswerRules, body: &[u8]) -> Result<Option<String>, String> {
    let Some(expression) = &rules.plain_text else {
        return Ok(None);
    };
    let text = String::from_utf8_lossy(body);
    let is_markup = text
        .trim_start_matches('\u{feff}')
        .trim_start()
        .starts_with(['<', '{', '[']);
    if is_markup {
        return Ok(None);
    }
    let text = Document::Text(text.into_owned());
    pick(AnswerFormat::Text, &text, Some(expression))
}

fn details(rules: &AnswerRules, document: &Document) -> Result<Heard, String> {
    let get = |selector: &Option<String>| {
        let picked = pick(rules.format, document, selector.as_deref());
        picked.map(|text| text.map(|text| clean(&text)))
    };
    let sum = |selector: &Option<String>| get(selector).map(|text| text.map(|text| Sum::new(text, rules.amount_as)));
    Ok(Heard {
        number: get(&rules.number)?,
        amount: sum(&rules.amount)?,
        reference: get(&rules.reference)?,
        comment: get(&rules.comment)?,
        amount_due: sum(&rules.amount_due)?,
        ..Heard::default()
    })
}

fn pick(format: AnswerFormat, document: &Document, selector: Option<&str>) -> Result<Option<String>, String> {
    let Some(selector) = selector else { return Ok(None) };
    let selector = Selector::parse(format, selector).map_err(|refused| refused.why)?;
    document.pick(&selector)
}

/// A payee's words go into the database, on receipts and to operators' terminals. A NUL would cost the record of the whole call.
fn clean(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(TEXT_MAX)
        .collect()
}

/// One payment as the payee has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeardItem {
    /// Its number.
    pub number: Number,
    /// What was credited.
    pub amount: Amount,
    /// When.
    pub credited_at: Timestamp,
    /// The payee's own name for it.
    pub reference: Option<String>,
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The payments.
    pub items: Vec<HeardItem>,
    /// What to ask the next page with.
    pub next: Option<String>,
}

/// Reads a page of what a payee credited. An item that cannot be read makes the page unreadable, as does a code that is no
/// success: a payment left out would be taken for one that the payee does not have.
pub fn read_list(rules: &AnswerRules, currency: Currency, zone: &Zone, body: &[u8]) -> Result<Page, String> {
    let document = Document::read(rules.format, rules.parsing, body)?;
    if let Some(result) = &rules.result {
        let code = pick(rules.format, &document, Some(result))?.ok_or_else(|| format!("has no {result}"))?;
        if rules.codes.meaning(&code, rules.parsing) != Some(Meaning::Success) {
            return Err(format!("has the code {}, which is no success", clean(&code)));
        }
    }
    let selector = rules
        .items
        .as_deref()
        .ok_or("is not described: answer.items is missing")?;
    let selector = Selector::parse(rules.format, selector).map_err(|refused| refused.why)?;
    let items = document.items(&selector)?;
    let items = items
        .iter()
        .enumerate()
        .map(|(at, item)| read_item(rules, currency, zone, item).map_err(|why| format!("has item {}: {why}", at + 1)))
        .collect::<Result<_, _>>()?;
    Ok(Page {
        items,
        next: pick(rules.format, &document, rules.next.as_deref())?,
    })
}

fn read_item(rules: &AnswerRules, currency: Currency, zone: &Zone, item: &Document) -> Result<HeardItem, String> {
    let get = |name: &str, selector: &Option<String>| {
        pick(rules.format, item, selector.as_deref())?.ok_or_else(|| format!("no {name}"))
    };
    let amount = get("amount", &rules.amount)?;
    let moment = get("credited_at", &rules.credited_at)?;
    Ok(HeardItem {
        number: Number::parse(&get("number", &rules.number)?).map_err(|refused: Invalid| refused.to_string())?,
        amount: Sum::new(amount, rules.amount_as)
            .amount(currency)
            .ok_or("amount is no sum")?,
        credited_at: read_moment(&moment, rules.date_format.as_deref(), zone)
            .ok_or("credited_at is no moment of the declared format")?,
        reference: pick(rules.format, item, rules.reference.as_deref())?.map(|text| clean(&text)),
    })
}

/// RFC 3339 where no format is declared; a time without a zone is in the profile's.
pub(super) fn read_moment(text: &str, format: Option<&str>, zone: &Zone) -> Option<Timestamp> {
    let Some(format) = format else {
        return text.parse().ok();
    };
    let parsed = strtime::parse(format, text).ok()?;
    if let Ok(moment) = parsed.to_timestamp() {
        return Some(moment);
    }
    let civil = parsed.to_datetime().ok()?;
    civil.to_zoned(zone.tz().clone()).ok().map(|zoned| zoned.timestamp())
}
