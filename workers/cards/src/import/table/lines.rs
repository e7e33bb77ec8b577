//! Lines of a text of any length, each held to a most: what is longer is passed over in bounded memory and told. A line ends
//! with a line feed, a carriage return, or both, and in one file in different ways.

use std::io::{self, BufRead, BufReader};

use zeroize::Zeroizing;

use crate::import::container::Stream;

/// The longest line, in bytes.
pub(super) const LINE_MAX: usize = 64 * 1024;

/// Lines of a text.
pub(super) struct Lines<'t> {
    source: BufReader<&'t mut dyn Stream>,
    number: u64,
    after_return: bool,
    line: Zeroizing<Vec<u8>>,
}

/// A line, without what ends it.
pub(super) enum Line<'l> {
    Whole(&'l [u8]),
    TooLong,
}

impl<'t> Lines<'t> {
    pub(super) fn new(source: &'t mut dyn Stream) -> Self {
        Self {
            source: BufReader::with_capacity(LINE_MAX, source),
            number: 0,
            after_return: false,
            line: Zeroizing::new(Vec::with_capacity(256)),
        }
    }

    /// The number of the line read last, from 1.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// The next line, also an empty one.
    pub(super) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        self.line.clear();
        let mut too_long = false;
        let mut any = false;
        loop {
            let mut buffer = self.source.fill_buf()?;
            if self.after_return && buffer.first() == Some(&b'\n') {
                self.source.consume(1);
                self.after_return = false;
                buffer = self.source.fill_buf()?;
            }
            self.after_return = self.after_return && buffer.is_empty();
            if buffer.is_empty() {
                if !any {
                    return Ok(None);
                }
                break;
            }
            any = true;
            let end = buffer.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            let taken = end.unwrap_or(buffer.len());
            too_long = too_long || self.line.len() + taken > LINE_MAX;
            if !too_long {
                self.line.extend_from_slice(&buffer[..taken]);
            }
            let ending = end.map(|at| buffer[at]);
            self.source.consume(taken + usize::from(end.is_some()));
            if let Some(ending) = ending {
                self.after_return = ending == b'\r';
                break;
            }
        }
        self.number += 1;
        Ok(Some(if too_long {
            Line::TooLong
        } else {
            Line::Whole(self.line.as_slice())
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[u8]) -> Vec<Option<Vec<u8>>> {
        let mut source = text;
        let mut lines = Lines::new(&mut source);
        let mut found = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            found.push(match line {
                Line::Whole(line) => Some(line.to_vec()),
                Line::TooLong => None,
            });
        }
        assert_eq!(lines.number(), found.len() as u64);
        found
    }

    #[test]
    fn lines_end_in_every_way_and_keep_their_numbers() {
        let texts = |text: &str| -> Vec<String> {
            lines(text.as_bytes())
                .into_iter()
                .map(|line| String::from_utf8(line.unwrap()).unwrap())
                .collect()
        };
        assert_eq!(texts("a\nb\r\nc\rd"), ["a", "b", "c", "d"]);
        assert_eq!(texts("a\r\r\nb\n\n"), ["a", "", "b", ""]);
        assert_eq!(texts("\n"), [""]);
        assert!(texts("").is_empty());
        // A carriage return at the very end of what was read at once belongs to the line feed that follows.
        let edge = format!("{}\r\nb", "a".repeat(LINE_MAX - 1));
        assert_eq!(texts(&edge)[1], "b");
    }

    #[test]
    fn a_line_that_is_too_long_is_passed_over() {
        let mut text = b"a\n".to_vec();
        text.extend(std::iter::repeat_n(b'x', 5 * LINE_MAX));
        text.extend(b"\nb\n");
        text.extend(std::iter::repeat_n(b'y', LINE_MAX));
        let found = lines(&text);
        assert_eq!((found.len(), &found[1]), (4, &None));
        assert_eq!(found[3].as_ref().unwrap().len(), LINE_MAX);
    }
}
