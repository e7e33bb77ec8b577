//! Text to bytes. What the encoding lacks is an error or a substitute, as the payee wants; never silence, and never what
//! a browser would write.

use domain::declaration::{RegisterEncoding, Unmappable};
use encoding_rs::{EncoderResult, Encoding, IBM866, KOI8_R, KOI8_U, WINDOWS_1251};

use crate::error::{FormatError, Spot};
use crate::report::{Change, Report};

/// An encoding with what becomes of characters it lacks.
#[derive(Debug, Clone)]
pub(crate) struct Charset {
    declared: RegisterEncoding,
    unmappable: Unmappable,
}

impl Charset {
    pub(crate) fn new(declared: RegisterEncoding, unmappable: Unmappable) -> Self {
        Self { declared, unmappable }
    }

    pub(crate) fn unmappable(&self) -> Unmappable {
        self.unmappable
    }

    /// As it is called in a file.
    pub(crate) fn name(&self) -> &'static str {
        match self.declared {
            RegisterEncoding::Utf8 | RegisterEncoding::Utf8Bom => "UTF-8",
            RegisterEncoding::Windows1251 => "windows-1251",
            RegisterEncoding::Cp866 => "IBM866",
            RegisterEncoding::Koi8R => "KOI8-R",
            RegisterEncoding::Koi8U => "KOI8-U",
        }
    }

    /// The byte by which a DBF names its code page.
    pub(crate) fn dbf_mark(&self) -> u8 {
        match self.declared {
            RegisterEncoding::Windows1251 => 0xc9,
            _ => 0x65,
        }
    }

    /// What a file begins with.
    pub(crate) fn mark(&self) -> &'static [u8] {
        match self.declared {
            RegisterEncoding::Utf8Bom => b"\xef\xbb\xbf",
            _ => b"",
        }
    }

    pub(crate) fn legacy(&self) -> Option<&'static Encoding> {
        match self.declared {
            RegisterEncoding::Utf8 | RegisterEncoding::Utf8Bom => None,
            RegisterEncoding::Windows1251 => Some(WINDOWS_1251),
            RegisterEncoding::Cp866 => Some(IBM866),
            RegisterEncoding::Koi8R => Some(KOI8_R),
            RegisterEncoding::Koi8U => Some(KOI8_U),
        }
    }

    /// Appends a text.
    pub(crate) fn append(
        &self,
        out: &mut Vec<u8>,
        text: &str,
        place: impl Fn() -> Spot,
        report: &mut Report,
    ) -> Result<(), FormatError> {
        let Some(encoding) = self.legacy() else {
            out.extend_from_slice(text.as_bytes());
            return Ok(());
        };
        let mut rest = text;
        loop {
            let mut encoder = encoding.new_encoder();
            // One byte a character, and never more than the text has.
            out.reserve(rest.len() + 4);
            let (result, read) = encoder.encode_from_utf8_to_vec_without_replacement(rest, out, true);
            rest = rest.get(read..).unwrap_or_default();
            match result {
                EncoderResult::InputEmpty => return Ok(()),
                EncoderResult::OutputFull => {}
                EncoderResult::Unmappable(character) => match self.unmappable {
                    Unmappable::Error => {
                        return Err(FormatError::Unmappable {
                            place: place(),
                            encoding: self.name(),
                            character,
                        });
                    }
                    Unmappable::Substitute(letter) => {
                        out.push(letter as u8);
                        report.note(Change::Substituted(character), &place);
                    }
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Spot {
        Spot {
            number: None,
            column: "header".to_owned(),
        }
    }

    #[test]
    fn what_an_encoding_lacks_is_visible_and_reported() {
        let mut report = Report::default();
        for (encoding, text, bytes) in [
            (RegisterEncoding::Windows1251, "Ё€₸!", &[0xa8, 0x88, b'?', b'!'][..]),
            (RegisterEncoding::Cp866, "Ёж€", &[0xf0, 0xa6, b'?']),
            (RegisterEncoding::Koi8R, "Ёі", &[0xb3, b'?']),
            (RegisterEncoding::Koi8U, "Ёі", &[0xb3, 0xa6]),
            (RegisterEncoding::Utf8, "₸", "₸".as_bytes()),
        ] {
            let mut out = Vec::new();
            let charset = Charset::new(encoding, Unmappable::default());
            charset.append(&mut out, text, place, &mut report).unwrap();
            assert_eq!(out, bytes, "{encoding:?}");
        }
        assert_eq!(report.substituted, 3);
        assert_eq!(report.first[0].to_string(), "header: `₸` (U+20B8) has a substitute");
    }

    #[test]
    fn or_an_error_that_names_it() {
        let charset = Charset::new(RegisterEncoding::Cp866, Unmappable::Error);
        let refused = charset.append(&mut Vec::new(), "a€", place, &mut Report::default());
        assert_eq!(refused.unwrap_err().to_string(), "header: IBM866 has no `€` (U+20AC)");
    }
}
