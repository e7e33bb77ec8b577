//! Just enough of SQL's grammar to tell a parameter from a colon in a string, a comment, a cast or a quoted name.

use super::Dialect;

/// A piece of a statement. Pieces in their order are the whole text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// `:name`, without the colon.
    Parameter(&'a str),
    /// A keyword or a name.
    Word(&'a str),
    /// A string, a quoted name, a number, an operator.
    Code(&'a str),
    /// A placeholder of the database's own.
    Foreign(&'a str),
    /// A comment.
    Comment(&'a str),
    /// White space.
    Space(&'a str),
    /// `;`
    Semicolon,
}

/// Cuts a statement into pieces.
pub(super) struct Scanner<'a> {
    text: &'a str,
    at: usize,
    dialect: Dialect,
}

fn is_word_start(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || !byte.is_ascii()
}

fn is_word(byte: u8) -> bool {
    is_word_start(byte) || byte.is_ascii_digit()
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str, dialect: Dialect) -> Self {
        Self { text, at: 0, dialect }
    }

    fn rest(&self) -> &'a [u8] {
        &self.text.as_bytes()[self.at..]
    }

    /// Takes so many bytes. Callers stop only at ASCII bytes, hence between characters.
    fn take(&mut self, length: usize) -> &'a str {
        let from = self.at;
        self.at = (from + length).min(self.text.len());
        &self.text[from..self.at]
    }

    fn take_while(&mut self, from: usize, fits: impl Fn(u8) -> bool) -> &'a str {
        let more = self.rest().iter().skip(from).take_while(|&&byte| fits(byte)).count();
        self.take(from + more)
    }

    /// The length up to and including the closing quote; a doubled quote, or one after a backslash, does not close.
    fn quoted(&self, open: usize, close: u8, backslash: bool) -> Result<usize, &'static str> {
        let rest = self.rest();
        let mut at = open;
        while let Some(&byte) = rest.get(at) {
            if byte == b'\\' && self.dialect == Dialect::Odbc {
                return Err("has a backslash between quotes, which databases read in different ways");
            }
            let escaped = backslash && byte == b'\\';
            if escaped || byte == close && rest.get(at + 1) == Some(&close) {
                at += 2;
            } else if byte == close {
                return Ok(at + 1);
            } else {
                at += 1;
            }
        }
        Err("has a quote that is not closed")
    }

    /// The length of `/* … */`; PostgreSQL nests them, and MySQL runs what is in some.
    fn comment(&self) -> Result<usize, &'static str> {
        let (rest, mut depth, mut at) = (self.rest(), 0, 0);
        if matches!(self.dialect, Dialect::Mysql | Dialect::Odbc)
            && (rest.starts_with(b"/*!") || rest.starts_with(b"/*M!"))
        {
            return Err("has a comment that is run (/*!): write what is to be run as it is");
        }
        while at + 1 < rest.len() {
            match &rest[at..at + 2] {
                b"/*" if depth == 0 || self.dialect == Dialect::Postgres => {
                    depth += 1;
                    at += 2;
                }
                b"*/" => {
                    depth -= 1;
                    at += 2;
                    if depth == 0 {
                        return Ok(at);
                    }
                }
                _ => at += 1,
            }
        }
        Err("has a comment that is not closed")
    }

    /// `$$ … $$` or `$tag$ … $tag$`, whole; `None` when this `$` opens none.
    fn dollar_quoted(&self) -> Option<Result<usize, &'static str>> {
        let rest = &self.text[self.at..];
        let tag_end = 1 + rest[1..].find(|c: char| !(c.is_alphanumeric() || c == '_'))?;
        if rest.as_bytes()[tag_end] != b'$' || rest.as_bytes()[1].is_ascii_digit() {
            return None;
        }
        let tag = &rest[..=tag_end];
        let body = &rest[tag.len()..];
        Some(
            body.find(tag)
                .map(|at| 2 * tag.len() + at)
                .ok_or("has a dollar quote that is not closed"),
        )
    }

    fn dollar(&mut self) -> Result<Piece<'a>, &'static str> {
        if self.dialect == Dialect::Postgres
            && let Some(length) = self.dollar_quoted()
        {
            return Ok(Piece::Code(self.take(length?)));
        }
        Ok(Piece::Foreign(self.take_while(1, is_word)))
    }

    fn word(&mut self) -> Result<Piece<'a>, &'static str> {
        let postgres = self.dialect == Dialect::Postgres;
        // Others than SQLite allow a dollar inside a name; taken for the start of a dollar quote, it would hide what
        // follows.
        let dollar = self.dialect != Dialect::Sqlite;
        let word = self.take_while(0, |byte| is_word(byte) || dollar && byte == b'$');
        let escapes = postgres && word.eq_ignore_ascii_case("e");
        if escapes && self.rest().first() == Some(&b'\'') {
            let length = self.quoted(1, b'\'', true)?;
            self.take(length);
            let from = self.at - length - word.len();
            return Ok(Piece::Code(&self.text[from..self.at]));
        }
        Ok(Piece::Word(word))
    }

    fn piece(&mut self) -> Result<Piece<'a>, &'static str> {
        let rest = self.rest();
        let (byte, next) = (rest[0], rest.get(1).copied().unwrap_or(0));
        let (sqlite, mysql) = (self.dialect == Dialect::Sqlite, self.dialect == Dialect::Mysql);
        let odbc = self.dialect == Dialect::Odbc;
        let length = match byte {
            b';' => {
                self.take(1);
                return Ok(Piece::Semicolon);
            }
            // To MySQL two dashes are a comment only with a space behind them; else they are two signs.
            b'-' if next == b'-' && (!mysql || rest.get(2).is_none_or(|&byte| byte <= b' ')) => {
                return Ok(Piece::Comment(self.take_while(2, |byte| byte != b'\n')));
            }
            b'/' if next == b'*' => {
                let length = self.comment()?;
                return Ok(Piece::Comment(self.take(length)));
            }
            b'#' if mysql => return Ok(Piece::Comment(self.take_while(1, |byte| byte != b'\n'))),
            b'$' if !mysql => return self.dollar(),
            b'?' if sqlite || mysql || odbc => return Ok(Piece::Foreign(self.take_while(1, is_word))),
            b'@' | b'#' if sqlite && is_word_start(next) => return Ok(Piece::Foreign(self.take_while(1, is_word))),
            b':' if next == b':' => 2,
            b':' if is_word_start(next) => return Ok(Piece::Parameter(&self.take_while(1, is_word)[1..])),
            b'\'' | b'"' => self.quoted(1, byte, mysql)?,
            b'`' if sqlite || mysql || odbc => self.quoted(1, b'`', false)?,
            b'[' if sqlite => self.quoted(1, b']', false)?,
            _ if byte.is_ascii_whitespace() => {
                return Ok(Piece::Space(self.take_while(1, |byte| byte.is_ascii_whitespace())));
            }
            _ if is_word_start(byte) => return self.word(),
            _ => 1,
        };
        Ok(Piece::Code(self.take(length)))
    }
}

impl<'a> Iterator for Scanner<'a> {
    type Item = Result<Piece<'a>, &'static str>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.text.len() {
            return None;
        }
        let piece = self.piece();
        if piece.is_err() {
            self.at = self.text.len();
        }
        Some(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    proptest::proptest! {
        /// Any text is cut into pieces or refused; the pieces are all of it.
        #[test]
        fn no_text_breaks_the_scanner(text in "[a-zя:;'\"$@?/*\\[\\]\\\\ \n-]{0,40}") {
            for dialect in [Dialect::Sqlite, Dialect::Postgres, Dialect::Mysql, Dialect::Odbc] {
                let pieces: Result<Vec<Piece<'_>>, _> = Scanner::new(&text, dialect).collect();
                let length = |piece: &Piece<'_>| match piece {
                    Piece::Parameter(name) => name.len() + 1,
                    Piece::Semicolon => 1,
                    Piece::Word(t) | Piece::Code(t) | Piece::Foreign(t) | Piece::Comment(t) | Piece::Space(t) => t.len(),
                };
                if let Ok(pieces) = pieces {
                    proptest::prop_assert_eq!(pieces.iter().map(length).sum::<usize>(), text.len());
                }
            }
        }
    }
}
