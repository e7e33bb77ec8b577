//! Text from outside, made safe for mail: the one place that keeps a name from becoming a second header, a payee's
//! name from turning around the text beside it, and a server's words from breaking a log or a column.

/// `text` on one line: control characters, line and paragraph separators become spaces, runs of spaces one space;
/// what would change the direction of its surroundings is left out; at most `max` characters.
pub(crate) fn one_line(text: &str, max: usize) -> String {
    let mut line = String::with_capacity(text.len().min(4 * max));
    let mut length = 0;
    for letter in text.chars().filter(|letter| !turns_around(*letter)) {
        let letter = if letter.is_control() || letter.is_whitespace() {
            ' '
        } else {
            letter
        };
        if letter == ' ' && (line.is_empty() || line.ends_with(' ')) {
            continue;
        }
        if length == max {
            break;
        }
        line.push(letter);
        length += 1;
    }
    line.truncate(line.trim_end().len());
    line
}

/// `name` as the name of a file on any system: one line, nothing that separates paths or needs quoting.
pub(crate) fn file_name(name: &str, max: usize) -> String {
    let cleaned = one_line(name, max).replace(['/', '\\', ':', '*', '?', '"', '<', '>', '|', ';', '%'], "_");
    match cleaned.trim_matches(['.', ' ']) {
        "" => "register".to_owned(),
        name => name.to_owned(),
    }
}

/// `name` for programs that know ASCII only.
pub(crate) fn ascii(name: &str) -> String {
    name.chars()
        .map(|letter| if letter.is_ascii() { letter } else { '_' })
        .collect()
}

/// Marks of bidirectional text.
fn turns_around(letter: char) -> bool {
    matches!(letter, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_stays_a_line() {
        for (text, line) in [
            ("Горводоканал", "Горводоканал"),
            ("a\r\nBcc: all@example.org", "a Bcc: all@example.org"),
            ("\u{0}\t a\u{85}\u{2028}b \u{7f}", "a b"),
            ("invoice\u{202e}gpj.exe", "invoicegpj.exe"),
            ("abcdef", "abcde"),
            ("abcd ef", "abcd"),
            ("", ""),
        ] {
            let max = if text.starts_with("abcd") { 5 } else { 100 };
            assert_eq!(one_line(text, max), line, "{text:?}");
        }
    }

    #[test]
    fn a_file_name_is_one() {
        for (name, clean) in [
            ("gvk-main-000001.csv.zip", "gvk-main-000001.csv.zip"),
            ("../../etc/passwd", "_.._etc_passwd"),
            ("a\"; filename=\"b.exe", "a__ filename=_b.exe"),
            ("реестр за май.csv", "реестр за май.csv"),
            ("\r\n", "register"),
            ("..", "register"),
        ] {
            assert_eq!(file_name(name, 100), clean, "{name:?}");
        }
        assert_eq!(ascii("реестр-1.csv"), "______-1.csv");
    }
}
