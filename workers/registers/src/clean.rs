//! Text from payers, made harmless for a register. This is the one place that does it, for every text of every format.
//!
//! Nothing is dropped in silence: a character that cannot stand becomes a space, a text that a spreadsheet would run as a
//! formula gets an apostrophe in front. Separators and quotes are the format's business.

use std::borrow::Cow;

/// A text as it may stand in a register.
pub(crate) fn text(raw: &str) -> Cow<'_, str> {
    let is_formula = raw.starts_with(['=', '+', '-', '@', '\t', '\r']);
    if !is_formula && !raw.contains(breaks_lines) {
        return Cow::Borrowed(raw);
    }
    let mut cleaned = String::with_capacity(raw.len() + 1);
    if is_formula {
        cleaned.push('\'');
    }
    cleaned.extend(raw.chars().map(|c| if breaks_lines(c) { ' ' } else { c }));
    Cow::Owned(cleaned)
}

/// Control characters, and what some readers take for the end of a line though it is none.
fn breaks_lines(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn formulas_are_disarmed() {
        for (raw, clean) in [
            ("=1+1", "'=1+1"),
            ("+79161234567", "'+79161234567"),
            ("-5", "'-5"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "' =1"),
            ("\r=1", "' =1"),
            ("1=1", "1=1"),
            ("", ""),
        ] {
            assert_eq!(text(raw), clean, "{raw:?}");
        }
    }

    #[test]
    fn nothing_ends_a_line_or_reaches_a_terminal() {
        assert_eq!(text("a\r\nb\0c\u{1b}[2Jd\u{85}e\u{2028}f"), "a  b c [2Jd e f");
        assert_eq!(text("Иванов; \"И. И.\""), "Иванов; \"И. И.\"");
    }
}
