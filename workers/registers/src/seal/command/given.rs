//! What a program was given, as far as has to be remembered of it: how it began, and which words were in it. A program that
//! fails may repeat what it choked on; an operator is to read why it failed, and nobody what a payer has entered.

use std::sync::{Arc, Mutex, PoisonError};

/// Bits of the set of words. When a large file has filled it, more is masked, never less.
const BITS: usize = 1 << 20;
/// Shorter words tell nobody anything.
const WORD_MIN: usize = 3;
/// How much of the beginning is compared: as much as begins no two things alike by chance.
pub(super) const HEAD_BYTES: usize = 64;
/// The longest message that is kept.
const MESSAGE_CHARS_MAX: usize = 300;
/// What stands for a word that was given.
const MASK: &str = "***";

/// How what a program is given begins; shared with whoever looks at what comes out.
#[derive(Clone, Default)]
pub(super) struct Head(Arc<Mutex<Vec<u8>>>);

impl Head {
    /// Remembers what is given from this place on, as far as it is of the beginning.
    fn offer(&self, at: usize, data: &[u8]) {
        if at < HEAD_BYTES {
            let mut head = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            // What was offered and not taken is offered again.
            head.truncate(at);
            let missing = HEAD_BYTES - head.len();
            head.extend_from_slice(&data[..missing.min(data.len())]);
        }
    }

    /// Whether what came out begins as what went in.
    pub(super) fn begins_like(&self, came: &[u8]) -> bool {
        let head = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let both = head.len().min(came.len());
        both > 0 && head[..both] == came[..both]
    }

    /// Whether it is known to be the whole beginning of what went in: more may still come of what is shorter.
    pub(super) fn is_whole(&self, came: &[u8]) -> bool {
        came.len() == HEAD_BYTES && *self.0.lock().unwrap_or_else(PoisonError::into_inner) == came
    }
}

pub(super) struct Given {
    head: Head,
    taken: usize,
    words: Vec<u64>,
    word: Word,
}

/// A word under way: FNV-1a over its bytes.
#[derive(Clone, Copy)]
struct Word {
    hash: u64,
    length: usize,
}

impl Default for Word {
    fn default() -> Self {
        Self {
            hash: 0xcbf2_9ce4_8422_2325,
            length: 0,
        }
    }
}

impl Word {
    fn add(&mut self, byte: u8) {
        self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        self.length += 1;
    }

    /// Its two bits in the set.
    fn bits(self) -> [usize; 2] {
        let bit = |hash: u64| usize::try_from(hash % BITS as u64).unwrap_or(0);
        [bit(self.hash), bit(self.hash >> 32)]
    }
}

impl Default for Given {
    fn default() -> Self {
        Self {
            head: Head::default(),
            taken: 0,
            words: vec![0; BITS / 64],
            word: Word::default(),
        }
    }
}

/// Letters of any script, in whatever encoding, and digits.
fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte >= 0x80
}

impl Given {
    /// How it begins.
    pub(super) fn head(&self) -> Head {
        self.head.clone()
    }

    /// What is about to be given: the program may answer before [`Given::take`].
    pub(super) fn offer(&self, data: &[u8]) {
        self.head.offer(self.taken, data);
    }

    /// What was given of what was offered.
    pub(super) fn take(&mut self, data: &[u8]) {
        self.taken += data.len();
        for byte in data {
            if is_of_word(*byte) {
                self.word.add(*byte);
            } else {
                self.end_word();
            }
        }
    }

    fn end_word(&mut self) {
        let word = std::mem::take(&mut self.word);
        if word.length >= WORD_MIN {
            for bit in word.bits() {
                self.words[bit / 64] |= 1 << (bit % 64);
            }
        }
    }

    fn has(&self, word: &[u8]) -> bool {
        let mut hashed = Word::default();
        word.iter().for_each(|byte| hashed.add(*byte));
        let is_set = |bit: usize| self.words[bit / 64] & (1 << (bit % 64)) != 0;
        hashed.length >= WORD_MIN && (hashed.bits().into_iter().all(is_set) || hashed.hash == self.word.hash)
    }

    /// What a program said, on one line, without the words it was given.
    pub(super) fn masked(&self, said: &[u8]) -> String {
        let mut shown: Vec<u8> = Vec::with_capacity(said.len());
        for run in said.chunk_by(|left, right| is_of_word(*left) == is_of_word(*right)) {
            if is_of_word(run[0]) && self.has(run) {
                shown.extend_from_slice(MASK.as_bytes());
            } else {
                shown.extend_from_slice(run);
            }
        }
        let text = String::from_utf8_lossy(&shown).replace(char::is_control, " ");
        let words: Vec<&str> = text.split_whitespace().collect();
        let line = words.join(" ");
        // The end of what is said is what it failed of.
        let cut = line.chars().count().saturating_sub(MESSAGE_CHARS_MAX);
        line.chars().skip(cut).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_is_not_told() {
        let mut given = Given::default();
        // Cut anywhere.
        given.take("1;1920679795;Иван".as_bytes());
        given.take("ов;150.00\r\n2;77".as_bytes());
        given.take(b"3");
        let said = "error: cannot parse \"1920679795\" of Иванов (150.00)\n\tat 773: bad tag";
        assert_eq!(
            given.masked(said.as_bytes()),
            "error: cannot parse \"***\" of *** (***.00) at ***: bad tag"
        );
        assert_eq!(given.masked(b"\x1b[31mno key\xff"), "[31mno key\u{fffd}");
        assert_eq!(given.masked("x".repeat(1000).as_bytes()).len(), MESSAGE_CHARS_MAX);
    }

    #[test]
    fn what_comes_back_as_it_went_is_seen() {
        let mut given = Given::default();
        let head = given.head();
        assert!(!head.begins_like(b""), "nothing went in");
        given.offer(b"number;accepted_at");
        assert!(head.begins_like(b"number;accepted_at;paid_at") && head.begins_like(b"number"));
        assert!(!head.begins_like(b"\x30\x82\x01") && !head.begins_like(b""));
        // A part of it is taken, and the rest offered again.
        given.take(b"number;");
        let rest = [b'x'; HEAD_BYTES];
        given.offer(&rest);
        let whole = [&b"number;"[..], &rest].concat();
        assert!(head.is_whole(&whole[..HEAD_BYTES]) && !head.is_whole(&whole[..HEAD_BYTES - 1]));
        given.take(&rest);
        given.offer(b"y");
        assert!(head.is_whole(&whole[..HEAD_BYTES]));
    }
}
