//! What the client library cannot bear is made harmless before it reads it.
//!
//! Anyone who may publish chooses the routing key, the properties and the headers of a message, and the broker passes
//! them on as bytes. The client library ends the whole connection over a short string that is not UTF-8, and recurses
//! without limit into nested headers. One such message would come back after every reconnect and stop every queue of
//! the process. So method and header frames are rewritten in place: bytes of a broken string become `?`, a table nested
//! too deep becomes a byte array, a table that cannot be read becomes one opaque entry. Bodies pass untouched, and so does
//! everything that is in order.
//!
//! One thing is made shorter: the broker takes headers that fill a frame, and may add its own to them, while the library
//! ends the connection over a frame that is larger than was agreed. Of such headers only the broker's own are left.

mod mend;
#[cfg(test)]
mod tests;

const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;
const HEARTBEAT: u8 = 8;
/// Type, channel, size; the end octet comes after the payload.
const FRAME_HEAD: usize = 7;
/// What a frame has besides its payload.
const FRAME_COST: usize = FRAME_HEAD + 1;
/// No smaller limit may be agreed on.
const SMALLEST_LIMIT: u32 = 4096;
/// Far above any negotiated frame; more than this is not AMQP.
const LARGEST_FRAME: usize = 16 << 20;

/// Takes bytes from the broker in any portions and gives them on, whole frames at a time where frames must be looked at.
#[derive(Debug, Default)]
pub(crate) struct Armour {
    bytes: Vec<u8>,
    /// Where unread bytes begin.
    read_to: usize,
    /// Up to here bytes were looked at and may be read.
    safe_to: usize,
    /// What is left of a frame that is not looked at.
    pass: usize,
    /// Not AMQP (a wrong port, say): the library shall say so itself.
    foreign: bool,
    greeting: Option<Greeting>,
    /// The largest frame, as a whole: what we ask for, and then what is agreed. 0 where nobody set a limit.
    frame_max: u32,
}

/// What the broker says about itself when a connection opens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Greeting {
    /// `RabbitMQ`, hopefully.
    pub product: String,
    /// Its version.
    pub version: String,
}

impl std::fmt::Display for Greeting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.product, self.version)
    }
}

impl Armour {
    /// For a connection on which the library asks for this limit of frames (0: the broker's).
    pub(crate) fn with_frame_max(frame_max: u32) -> Self {
        Self {
            frame_max,
            ..Self::default()
        }
    }

    /// Takes what came from the broker.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        if self.read_to == self.bytes.len() {
            self.bytes.clear();
            (self.read_to, self.safe_to) = (0, 0);
        }
        self.bytes.extend_from_slice(bytes);
        self.advance();
    }

    /// Copies what is safe to `target` and returns how much that was.
    pub(crate) fn read(&mut self, target: &mut [u8]) -> usize {
        let count = target.len().min(self.safe_to - self.read_to);
        target[..count].copy_from_slice(&self.bytes[self.read_to..self.read_to + count]);
        self.read_to += count;
        count
    }

    /// What the broker said about itself, once.
    pub(crate) fn take_greeting(&mut self) -> Option<Greeting> {
        self.greeting.take()
    }

    fn advance(&mut self) {
        loop {
            let there = self.bytes.len() - self.safe_to;
            if self.foreign {
                self.safe_to += there;
                return;
            }
            if self.pass > 0 {
                let passing = self.pass.min(there);
                self.pass -= passing;
                self.safe_to += passing;
                if self.pass > 0 {
                    return;
                }
                continue;
            }
            if there < FRAME_HEAD {
                // The broker's refusal of our protocol version is shorter than a frame: `AMQP` and four bytes.
                self.foreign = self.bytes.get(self.safe_to) == Some(&b'A');
                if self.foreign {
                    continue;
                }
                return;
            }
            let frame = &self.bytes[self.safe_to..];
            let size = u32::from_be_bytes([frame[3], frame[4], frame[5], frame[6]]) as usize;
            match frame[0] {
                kind @ (METHOD | HEADER) if size <= LARGEST_FRAME => {
                    if there < size + FRAME_COST {
                        return;
                    }
                    self.look_at(kind, size);
                }
                BODY | HEARTBEAT if size <= LARGEST_FRAME => self.pass = size + FRAME_COST,
                _ => self.foreign = true,
            }
        }
    }

    /// Mends the frame that is whole and next.
    fn look_at(&mut self, kind: u8, size: usize) {
        let start = self.safe_to + FRAME_HEAD;
        let payload = &mut self.bytes[start..start + size];
        let mut left = size;
        if kind == HEADER {
            mend::header(payload);
            if self.frame_max > 0 && size + FRAME_COST > self.frame_max as usize {
                let shorter = mend::without_headers(payload);
                left = shorter.len();
                self.bytes.splice(start..start + size, shorter);
                // It was a `u32` and has become less.
                let length = u32::try_from(left).unwrap_or_default().to_be_bytes();
                self.bytes[start - length.len()..start].copy_from_slice(&length);
            }
        } else {
            mend::method(payload);
            self.greeting = self.greeting.take().or_else(|| mend::greeting(payload));
            if let Some(theirs) = mend::frame_limit(payload) {
                self.agree(theirs);
            }
        }
        self.safe_to += left + FRAME_COST;
    }

    /// As the library does: the smaller of both limits, where both have one.
    fn agree(&mut self, theirs: u32) {
        if theirs > 0 && (self.frame_max == 0 || theirs < self.frame_max) {
            self.frame_max = theirs.max(SMALLEST_LIMIT);
        }
    }
}
