//! A payee's secrets, kept out of what it says. It may quote the request that it refuses, and its words go into the database and into
//! events, to operators, terminals and payers.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use contract::unikassa::{CheckAnswer, ListAnswer};
use couriers::Told;
use domain::exchange::percent_encoded;
use domain::text::Fields;
use secrecy::{ExposeSecret, SecretString};

/// What is read in the place of a secret.
pub(crate) const MASK: &str = "***";
/// Secrets of fewer bytes are not looked for: they would be found in every other sum.
const SHORTEST: usize = 4;
/// Words of this many characters may have been cut in the middle of a secret.
const CUT: usize = 500;
/// Several signing secrets may stand side by side; each begins so.
const SIGNING: &str = "whsec_";

/// The texts that nothing may have in it that a payee says: its secrets, in every form in which a request writes them or a
/// payee quotes one. What is read by it is shown to people and decides nothing.
#[derive(Clone, Debug)]
pub(crate) struct Mask(Arc<[SecretString]>);

impl Mask {
    /// Of these secrets, and of a user and a password of HTTP Basic authentication.
    pub(crate) fn of<'a>(
        secrets: impl IntoIterator<Item = &'a SecretString>,
        basic: Option<&(String, SecretString)>,
    ) -> Self {
        let mut found: Vec<String> = secrets
            .into_iter()
            .flat_map(|secret| parts(secret.expose_secret()))
            .collect();
        if let Some((user, password)) = basic {
            found.push(password.expose_secret().to_owned());
            found.push(STANDARD.encode(format!("{user}:{}", password.expose_secret())));
        }
        let mut forms: Vec<String> = found.iter().flat_map(|secret| written(secret)).collect();
        forms.retain(|form| form.len() >= SHORTEST);
        // The longest first: what is left of it once a shorter one is masked would still tell something.
        forms.sort_by(|one, other| other.len().cmp(&one.len()).then_with(|| one.cmp(other)));
        forms.dedup();
        Self(forms.into_iter().map(SecretString::from).collect())
    }

    /// A text without them.
    pub(crate) fn over(&self, mut text: String) -> String {
        for form in self.forms() {
            if text.contains(form) {
                text = text.replace(form, MASK);
            }
        }
        if text.chars().count() >= CUT
            && let Some(begun) = self.forms().filter_map(|form| begun_at_the_end(&text, form)).min()
        {
            text.truncate(begun);
            text.push_str(MASK);
        }
        text
    }

    /// The same of what came of a call: everything in it that is the payee's.
    pub(crate) fn told(&self, told: Told) -> Told {
        let over = |words: Option<String>| words.map(|words| self.over(words));
        Told {
            result: over(told.result),
            error: over(told.error),
            provider_reference: over(told.provider_reference),
            response: over(told.response),
            ..told
        }
    }

    /// The same of what is answered to a check.
    pub(crate) fn checked(&self, mut answer: CheckAnswer) -> CheckAnswer {
        let over = |words: Option<String>| words.map(|words| self.over(words));
        answer.reason = over(answer.reason);
        answer.display = over(answer.display);
        for ask in &mut answer.ask {
            ask.label = self.over(std::mem::take(&mut ask.label));
        }
        let fields = answer.fields.into_inner().into_iter();
        let fields = fields.map(|(name, value)| (name, self.over(value))).collect();
        // None gets longer by it, so none is refused.
        answer.fields = Fields::new(fields).unwrap_or_default();
        answer
    }

    /// The same of a page of a list.
    pub(crate) fn listed(&self, mut page: ListAnswer) -> ListAnswer {
        for item in &mut page.items {
            item.provider_reference = item.provider_reference.take().map(|name| self.over(name));
        }
        page
    }

    fn forms(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|form| form.expose_secret())
    }
}

/// A secret as it is passed on, and what of it is one by itself.
fn parts(secret: &str) -> Vec<String> {
    let signing = secret
        .split(|c: char| c == ',' || c.is_whitespace())
        .filter_map(|part| part.strip_prefix(SIGNING));
    let signing = signing.flat_map(|key| [format!("{SIGNING}{key}"), key.to_owned()]);
    std::iter::once(secret.to_owned()).chain(signing).collect()
}

/// A text as queries, forms, JSON and XML write it.
fn written(text: &str) -> Vec<String> {
    let percent = percent_encoded(text);
    let json = serde_json::Value::from(text).to_string();
    let inside = json.strip_prefix('"').and_then(|json| json.strip_suffix('"'));
    let json = inside.unwrap_or_default().to_owned();
    let xml = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    vec![
        text.to_owned(),
        percent.replace("%20", "+"),
        in_small_hex(&percent),
        percent,
        // As PHP does.
        json.replace('/', "\\/"),
        json,
        xml.replace('"', "&quot;").replace('\'', "&apos;"),
        xml.replace('"', "&quot;").replace('\'', "&#39;"),
        xml,
    ]
}

/// What is percent-encoded, with the digits of hexadecimal numbers as some write them: `%2f`.
fn in_small_hex(percent: &str) -> String {
    let mut parts = percent.split('%');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (digits, rest) = part.split_at_checked(2).unwrap_or((part, ""));
        text.extend(["%", &digits.to_ascii_lowercase(), rest]);
    }
    text
}

/// Where the beginning of a form stands that a text ends with.
fn begun_at_the_end(text: &str, form: &str) -> Option<usize> {
    (SHORTEST..form.len())
        .rev()
        .filter(|length| form.is_char_boundary(*length))
        .find(|length| text.ends_with(&form[..*length]))
        .map(|length| text.len() - length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(secret: &str) -> Mask {
        Mask::of(&[SecretString::from(secret)], None)
    }

    #[test]
    fn a_secret_is_masked_however_it_is_written() {
        let mask = of("s3/c &\"<r>'t");
        for said in [
            "s3/c &\"<r>'t",
            "s3%2Fc%20%26%22%3Cr%3E%27t",
            "s3%2fc%20%26%22%3cr%3e%27t",
            "s3%2Fc+%26%22%3Cr%3E%27t",
            r#"s3/c &\"<r>'t"#,
            r#"s3\/c &\"<r>'t"#,
            "s3/c &amp;&quot;&lt;r&gt;&apos;t",
            "s3/c &amp;&quot;&lt;r&gt;&#39;t",
            "s3/c &amp;\"&lt;r&gt;'t",
        ] {
            let text = mask.over(format!("unknown key {said}, and {said}"));
            assert_eq!(text, "unknown key ***, and ***", "{said}");
        }
        let two = of("whsec_b25lLW9uZS1vbmU= whsec_dHdvLXR3by10d28=");
        assert_eq!(
            two.over("whsec_dHdvLXR3by10d28= or b25lLW9uZS1vbmU=".to_owned()),
            "*** or ***"
        );
        let basic = Mask::of(&[], Some(&("Aladdin".to_owned(), "open sesame".to_owned().into())));
        let said = "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ== is not Aladdin:open sesame";
        assert_eq!(basic.over(said.to_owned()), "Basic *** is not Aladdin:***");
        assert!(!format!("{basic:?}").contains("sesame"));
    }

    #[test]
    fn what_is_cut_in_the_middle_of_a_secret_does_not_end_with_its_beginning() {
        let mask = of("abc123-and-more");
        let long = |end: &str| format!("{}{end}", "x".repeat(CUT - end.len()));
        assert!(mask.over(long("abc123-an")).ends_with("xx***"));
        assert!(mask.over(long("abc")).ends_with("xabc"), "three letters tell nothing");
        assert_eq!(mask.over("as short as abc123-an".to_owned()), "as short as abc123-an");
    }

    #[test]
    fn a_short_secret_would_mask_everything_and_none_masks_nothing() {
        let said = || "17: 150.17".to_owned();
        assert_eq!(of("17").over(said()), said());
        assert_eq!(of("").over(said()), said());
        assert_eq!(Mask::of(&[], None).over(said()), said());
    }
}
