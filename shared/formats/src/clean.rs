//! Text from payers, made harmless for a register. This is the one place that does it, for every text of every format.
//!
//! Nothing is dropped in silence: a character that cannot stand becomes a space, a text that a spreadsheet would run as a
//! formula gets an apostrophe in front. Separators and quotes are the format's business.

use std::borrow::Cow;

use domain::declaration::Formulas;

/// A text as it may stand in a register.
pub(crate) fn text(raw: &str, formulas: Formulas) -> Cow<'_, str> {
    let is_formula = match formulas {
        Formulas::Keep => false,
        Formulas::Disarm => begins_formula(raw),
        Formulas::DisarmText => begins_formula(raw) && !is_signed_number(raw),
    };
    if !is_formula && !raw.contains(cannot_stand) {
        return Cow::Borrowed(raw);
    }
    let mut cleaned = String::with_capacity(raw.len() + 1);
    if is_formula {
        cleaned.push('\'');
    }
    cleaned.extend(raw.chars().map(|c| if cannot_stand(c) { ' ' } else { c }));
    Cow::Owned(cleaned)
}

/// What a spreadsheet's formula begins with; some take the full-width signs of Asian keyboards for the same.
pub(crate) const FORMULA_SIGNS: [char; 8] = ['=', '+', '-', '@', '＝', '＋', '－', '＠'];

/// Whether a spreadsheet would take text for a formula, or for what it trims to one.
pub fn begins_formula(raw: &str) -> bool {
    raw.starts_with(FORMULA_SIGNS) || raw.starts_with(['\t', '\r'])
}

/// `+79161234567`, `-5`: a sign and digits, which a spreadsheet shows as a number and does not run.
fn is_signed_number(raw: &str) -> bool {
    let digits = raw.strip_prefix(['+', '-']).unwrap_or_default();
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Control characters, what some readers take for the end of a line though it is none, and what no XML may have.
fn cannot_stand(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{fffe}' | '\u{ffff}')
}

/// The same, for columns that a reader splits without understanding quotes: neither a separator nor a quote that a reader
/// would take for the beginning of a quoted text is left. What became a formula by that is disarmed like any other.
pub(crate) fn unquoted<'t>(
    clean: Cow<'t, str>,
    separator: char,
    replacement: &str,
    formulas: Formulas,
) -> Cow<'t, str> {
    if !clean.contains(separator) && !clean.starts_with('"') {
        return clean;
    }
    let mut out = String::with_capacity(clean.len());
    for (at, letter) in clean.chars().enumerate() {
        if letter == separator || (letter == '"' && at == 0) {
            out.push_str(replacement);
        } else {
            out.push(letter);
        }
    }
    Cow::Owned(text(&out, formulas).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disarmed(raw: &str) -> Cow<'_, str> {
        text(raw, Formulas::Disarm)
    }

    #[test]
    fn formulas_are_disarmed() {
        for (raw, clean) in [
            ("=1+1", "'=1+1"),
            ("+79161234567", "'+79161234567"),
            ("-5", "'-5"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "' =1"),
            ("\r=1", "' =1"),
            ("＝1+1", "'＝1+1"),
            ("＋1", "'＋1"),
            ("－1", "'－1"),
            ("＠SUM(A1)", "'＠SUM(A1)"),
            ("1=1", "1=1"),
            ("", ""),
        ] {
            assert_eq!(disarmed(raw), clean, "{raw:?}");
        }
    }

    #[test]
    fn a_number_with_a_sign_may_stay_as_it_is() {
        let mild = |raw| text(raw, Formulas::DisarmText);
        for (raw, clean) in [
            ("+79161234567", "+79161234567"),
            ("-5", "-5"),
            ("-5+A1", "'-5+A1"),
            ("+", "'+"),
            ("--5", "'--5"),
            ("=5", "'=5"),
            ("＋5", "'＋5"),
        ] {
            assert_eq!(mild(raw), clean, "{raw:?}");
        }
        assert_eq!(text("=1\n", Formulas::Keep), "=1 ");
    }

    #[test]
    fn nothing_ends_a_line_or_reaches_a_terminal() {
        assert_eq!(
            disarmed("a\r\nb\0c\u{1b}[2Jd\u{85}e\u{2028}f\u{ffff}g"),
            "a  b c [2Jd e f g"
        );
        assert_eq!(disarmed("Иванов; \"И. И.\""), "Иванов; \"И. И.\"");
    }

    #[test]
    fn without_quotes_a_separator_is_replaced() {
        let plain = |raw| unquoted(Cow::Borrowed(raw), ';', " ", Formulas::Disarm);
        assert_eq!(plain("a;b;"), "a b ");
        assert_eq!(plain("\"Ромашка\" ООО"), " Ромашка\" ООО");
        assert_eq!(plain("ООО \"Ромашка\""), "ООО \"Ромашка\"");
    }

    #[test]
    fn what_became_a_formula_without_quotes_is_disarmed() {
        let by = |raw, replacement, formulas| unquoted(Cow::Borrowed(raw), ';', replacement, formulas);
        assert_eq!(by(";1+1", "=", Formulas::Disarm), "'=1+1");
        assert_eq!(by("\"1+1", "＝", Formulas::Disarm), "'＝1+1");
        assert_eq!(by(";1+1", "-", Formulas::DisarmText), "'-1+1");
        assert_eq!(by(";11", "-", Formulas::DisarmText), "-11");
        assert_eq!(by(";1+1", "=", Formulas::Keep), "=1+1");
        assert_eq!(by("'=1;1", "=", Formulas::Disarm), "'=1=1");
    }
}
