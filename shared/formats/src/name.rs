//! What a register's file is called: as the contract has it, or as the payee's template says. A name is a name and not a
//! place, whatever was put into it, and no two registers of a series have the same.

use crate::head::Head;
use crate::layout::Layout;
use crate::{FormatError, values};

/// The longest name without its extension, in characters.
const STEM_MAX: usize = 120;

impl Layout {
    /// The name of the file, with its extension: `gorvodokanal-main-000042.csv`.
    pub fn file_name(&self, head: &Head) -> Result<String, FormatError> {
        let usual = self.usual_stem(head);
        let (stem, tells_part) = match &self.file_name {
            None => (usual, false),
            Some(template) => {
                let filled = values::fill(template, "file_name", &values::of_head(self, head))?;
                let mut stem = harmless(filled.trim());
                if stem.is_empty() {
                    stem = usual;
                } else if head.is_copy && !stem.contains("COPY") {
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
        Ok(format!("{stem}{place}.{}", self.extension))
    }

    /// `gorvodokanal-main-000042`, or `gorvodokanal-main-COPY-000003`: copies are counted apart.
    fn usual_stem(&self, head: &Head) -> String {
        let copy = if head.is_copy { "COPY-" } else { "" };
        format!("{}-{}-{copy}{:06}", self.payee.id, head.series, head.sequence)
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
    let name: String = name.chars().map(letter).take(STEM_MAX).collect();
    name.trim_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::harmless;

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
        assert_eq!(harmless(&"я".repeat(500)).chars().count(), 120);
    }
}
