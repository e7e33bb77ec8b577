//! Lines and messages off the wire, within limits. What is too long is read to its end and reported, so that the
//! dialogue stays in step.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// Longest command line. RFC 5321 asks for 512 and more with extensions; `AUTH` allows 12,288.
const MAX_LINE_BYTES: usize = 12_288;

/// A connection with lines.
pub(super) struct Wire {
    stream: BufReader<TcpStream>,
    idle_timeout: Duration,
}

/// One command line, without its end.
pub(super) enum Line {
    Text(String),
    TooLong,
    /// The client has left.
    End,
}

/// One message after `DATA`.
pub(super) enum Body {
    /// As it was before the sender's dot-stuffing; the CRLF before the final dot belongs to it.
    Whole(Vec<u8>),
    TooLarge,
    /// The client left before the final dot, so there is no message.
    End,
}

impl Wire {
    pub(super) fn new(stream: TcpStream, idle_timeout: Duration) -> Self {
        Self {
            stream: BufReader::new(stream),
            idle_timeout,
        }
    }

    pub(super) async fn say(&mut self, text: &str) -> io::Result<()> {
        self.stream.write_all(text.as_bytes()).await
    }

    /// The next command. A bare line feed ends it as well: people type at mail servers.
    pub(super) async fn line(&mut self) -> io::Result<Line> {
        let mut line = Vec::new();
        let mut too_long = false;
        loop {
            let bytes = self.fill().await?;
            if bytes.is_empty() {
                return Ok(Line::End);
            }
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let taken = end.map_or(bytes.len(), |end| end + 1);
            if line.len() + taken > MAX_LINE_BYTES {
                too_long = true;
            } else {
                line.extend_from_slice(&bytes[..taken]);
            }
            self.stream.consume(taken);
            if end.is_some() {
                break;
            }
        }
        if too_long {
            return Ok(Line::TooLong);
        }
        let text = String::from_utf8_lossy(&line);
        Ok(Line::Text(text.trim_end_matches(['\r', '\n']).to_owned()))
    }

    /// The message up to its final dot. Only CRLF ends a line here, or one mail could smuggle in another.
    pub(super) async fn body(&mut self, max_bytes: usize) -> io::Result<Body> {
        let mut unstuffed = Unstuffed::new(max_bytes);
        loop {
            let bytes = self.fill().await?;
            if bytes.is_empty() {
                return Ok(Body::End);
            }
            let (taken, ended) = unstuffed.take(bytes);
            self.stream.consume(taken);
            if ended {
                return Ok(unstuffed.end());
            }
        }
    }

    /// Says nothing and hears nothing until the client leaves.
    pub(super) async fn ignore(&mut self) {
        let mut buffer = [0; 1024];
        while let Ok(1..) = self.stream.read(&mut buffer).await {}
    }

    async fn fill(&mut self) -> io::Result<&[u8]> {
        tokio::time::timeout(self.idle_timeout, self.stream.fill_buf())
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?
    }
}

/// Removes dot-stuffing and finds the final dot, over any cuts between reads.
struct Unstuffed {
    bytes: Vec<u8>,
    max_bytes: usize,
    too_large: bool,
    at: At,
}

#[derive(Clone, Copy)]
enum At {
    LineStart,
    /// After a dot that began a line.
    Dot,
    /// After such a dot and a carriage return.
    DotCr,
    Within,
    /// After a carriage return within a line.
    Cr,
}

impl Unstuffed {
    fn new(max_bytes: usize) -> Self {
        Self {
            bytes: Vec::new(),
            max_bytes,
            too_large: false,
            at: At::LineStart,
        }
    }

    /// Takes what belongs to the message; says how much that was and whether the final dot came.
    fn take(&mut self, bytes: &[u8]) -> (usize, bool) {
        let mut taken = 0;
        while let Some(byte) = bytes.get(taken) {
            if let At::Within = self.at {
                // The bulk: everything up to the next carriage return at once.
                let rest = &bytes[taken..];
                let run = rest.iter().position(|byte| *byte == b'\r');
                let run = run.unwrap_or(rest.len());
                self.push(&rest[..run]);
                taken += run;
                if run < rest.len() {
                    self.push(b"\r");
                    self.at = At::Cr;
                    taken += 1;
                }
                continue;
            }
            taken += 1;
            if self.step(*byte) {
                return (taken, true);
            }
        }
        (taken, false)
    }

    fn step(&mut self, byte: u8) -> bool {
        match (self.at, byte) {
            (At::DotCr, b'\n') => return true,
            (At::LineStart, b'.') => self.at = At::Dot,
            (At::Dot, b'\r') => self.at = At::DotCr,
            (At::DotCr, _) => {
                self.push(b"\r");
                self.text(byte);
            }
            (At::Cr, b'\n') => {
                self.push(b"\n");
                self.at = At::LineStart;
            }
            _ => self.text(byte),
        }
        false
    }

    fn text(&mut self, byte: u8) {
        self.push(&[byte]);
        self.at = if byte == b'\r' { At::Cr } else { At::Within };
    }

    fn push(&mut self, bytes: &[u8]) {
        if self.bytes.len() + bytes.len() > self.max_bytes {
            self.too_large = true;
            self.bytes = Vec::new();
        } else if !self.too_large {
            self.bytes.extend_from_slice(bytes);
        }
    }

    fn end(self) -> Body {
        if self.too_large {
            Body::TooLarge
        } else {
            Body::Whole(self.bytes)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `stream` in pieces of `size` bytes; what is left over was not taken.
    fn unstuff(stream: &[u8], size: usize) -> (Vec<u8>, Vec<u8>) {
        let mut unstuffed = Unstuffed::new(1000);
        let mut from = 0;
        for piece in stream.chunks(size) {
            let (taken, ended) = unstuffed.take(piece);
            from += taken;
            if ended {
                return (unstuffed.bytes, stream[from..].to_vec());
            }
        }
        panic!("no final dot in {stream:?}");
    }

    #[test]
    fn dots_are_unstuffed_wherever_the_reads_are_cut() {
        for (stream, message, rest) in [
            (&b".\r\n"[..], &b""[..], &b""[..]),
            (b"a\r\n.\r\nQUIT\r\n", b"a\r\n", b"QUIT\r\n"),
            (b"..\r\n.\r\n", b".\r\n", b""),
            (b"..a\r\n...\r\n.\r\n", b".a\r\n..\r\n", b""),
            (b"a.\r\nb\r\n\r\n.\r\n", b"a.\r\nb\r\n\r\n", b""),
            // Only CRLF counts: these are text, whatever other servers make of them.
            (b"a\n.\nb\r.\rc\n.\r\nd\r\n.\r\n", b"a\n.\nb\r.\rc\n.\r\nd\r\n", b""),
            (b".\rx\r\n.\r\n", b"\rx\r\n", b""),
            (b".\n\r\n.\r\n", b"\n\r\n", b""),
            (b"a\r\r\n.\r\n", b"a\r\r\n", b""),
            (b".\r\r\n.\r\n", b"\r\r\n", b""),
        ] {
            for size in 1..=stream.len() {
                let (unstuffed, left) = unstuff(stream, size);
                assert_eq!(unstuffed, message, "{stream:?} by {size}");
                assert_eq!(left, rest, "{stream:?} by {size}");
            }
        }
    }

    #[test]
    fn a_message_at_the_limit_is_whole_and_one_above_is_too_large() {
        for (length, whole) in [(998, true), (999, false)] {
            let mut unstuffed = Unstuffed::new(1000);
            let stream = [vec![b'x'; length], b"\r\n.\r\n".to_vec()].concat();
            let ends: Vec<_> = stream.chunks(100).map(|part| unstuffed.take(part).1).collect();
            assert!(ends.last().unwrap());
            assert_eq!(matches!(unstuffed.end(), Body::Whole(_)), whole);
        }
    }
}
