//! Text from outside on one line: what keeps a payee's name from becoming a second header of a mail, from turning around
//! the text beside it, and a server's words from breaking a log or a column.

/// `text` on one line: control characters, line and paragraph separators become spaces, runs of spaces one space;
/// what would change the direction of its surroundings is left out; at most `max` characters.
pub fn one_line(text: &str, max: usize) -> String {
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

/// Whether it is a mark of bidirectional text, which turns what stands beside it around.
pub fn turns_around(letter: char) -> bool {
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
}
