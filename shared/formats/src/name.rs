//! What a register's file is called: as the contract has it, or as the payee's template says. A name is a name and not a
//! place, whatever was put into it, and no two registers of a payee's year have the same.
//!
//! Nothing is cut off a name: what tells it from others may stand at its end. Texts that may be long are cut before they go
//! into it, and what is too long all the same is refused when the payee is declared.

use std::borrow::Cow;

use domain::declaration::RegisterProfile;

use crate::head::Head;
use crate::layout::Layout;
use crate::{FormatError, values};

/// The longest name, with all that the file is wrapped in, in bytes. File systems take 255; the rest is for a draft beside it
/// and for the extension of another format.
pub(crate) const NAME_BYTES_MAX: usize = 240;
/// What goes into a name of a text that may be long, in characters: names of payees and banks, addresses, constants.
const TEXT_MAX: usize = 40;

impl Layout {
    /// The name of the file, with its extension: `gorvodokanal-main-000042.csv`. A part's has `-2of3`; a copy's has `COPY`,
    /// and `COPY-OPEN` where it holds payments that are in no regular register.
    pub fn file_name(&self, head: &Head) -> Result<String, FormatError> {
        let (stem, tells_part) = match &self.file_name {
            None => (self.usual_stem(head), false),
            Some(template) => {
                let filled = values::fill(template, "file_name", &values::of_name(self, head))?;
                let mut stem = harmless(filled.trim());
                let says_copy = template.speaks_of("copy") && stem.contains("COPY");
                if stem.is_empty() {
                    stem = self.usual_stem(head);
                } else if head.is_copy && !says_copy {
                    stem.push_str("-COPY");
                }
                (stem, template.speaks_of("part"))
            }
        };
        let (part, parts) = head.part;
        let place = if parts > 1 && !tells_part {
            format!("-{part}of{parts}")
        } else {
            String::new()
        };
        Ok(opened(format!("{stem}{place}.{}", self.extension), head.open))
    }

    /// The same with all that the file is wrapped in.
    pub(crate) fn sealed_name(&self, profile: &RegisterProfile, head: &Head) -> Result<String, FormatError> {
        Ok(profile.sealed_name(&self.file_name(head)?))
    }

    /// `gorvodokanal-main-000042`, or `gorvodokanal-main-COPY-000003`: copies are counted apart.
    fn usual_stem(&self, head: &Head) -> String {
        let copy = if head.is_copy { "COPY-" } else { "" };
        format!("{}-{}-{copy}{:06}", self.payee.id, head.series, head.sequence)
    }
}

/// A copy that holds payments not yet in a regular register says so beside the mark that every copy's name has.
fn opened(name: String, open: i64) -> String {
    match name.rfind("COPY").filter(|_| open > 0) {
        Some(at) => format!("{}COPY-OPEN{}", &name[..at], &name[at + 4..]),
        None => name,
    }
}

/// As much of a text as goes into a name.
pub(crate) fn short(text: &str) -> Cow<'_, str> {
    match text.char_indices().nth(TEXT_MAX) {
        Some((end, _)) => Cow::Borrowed(text[..end].trim_end()),
        None => Cow::Borrowed(text),
    }
}

/// Letters, digits and what stands between them; a name that begins with a point would be hidden.
fn harmless(name: &str) -> String {
    let letter = |c: char| {
        if c.is_alphanumeric() || "-_.".contains(c) {
            c
        } else {
            '_'
        }
    };
    let name: String = name.chars().map(letter).collect();
    name.trim_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::{harmless, short};

    #[test]
    fn a_name_is_no_place_and_no_command() {
        for (raw, clean) in [
            ("7701234567_2026-11-24_1", "7701234567_2026-11-24_1"),
            ("../../etc/passwd", "_.._etc_passwd"),
            ("a\r\nBcc: x", "a__Bcc__x"),
            ("C:\\x;rm -rf", "C__x_rm_-rf"),
            ("..", ""),
            ("Реестр №1", "Реестр__1"),
        ] {
            assert_eq!(harmless(raw), clean, "{raw:?}");
        }
    }

    #[test]
    fn of_a_long_text_the_beginning_goes_into_a_name() {
        assert_eq!(short("МУП «Горводоканал»"), "МУП «Горводоканал»");
        assert_eq!(short(&"я".repeat(500)), "я".repeat(40));
        assert_eq!(short(&format!("{} и Ко", "я".repeat(39))), "я".repeat(39));
    }
}
