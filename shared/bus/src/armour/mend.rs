//! Rewriting of single frames, in place but for one that is too large. What cannot be understood at all is left as it is:
//! only the broker itself could have made it so, and the library's error is then the right one.

use super::Greeting;

/// The wire contract allows JSON this deep; headers have no reason to be deeper.
const DEEPEST: u32 = 32;
/// What the broker adds to headers, and what is left of them where they are too many.
const BROKERS_OWN: [&[u8]; 2] = [b"x-delivery-count", b"x-death"];
/// For all of the broker's own. With every other property as long as can be it fits into the smallest frame.
const ROOM: usize = 1024;

/// `basic.deliver`, `basic.return` and `basic.get-ok` carry names that a publisher chose.
pub(super) fn method(payload: &mut [u8]) {
    let mut cursor = Cursor { bytes: payload, at: 0 };
    let _ = match (cursor.u16(), cursor.u16()) {
        (Some(60), Some(50)) => cursor.skip(2).and_then(|()| cursor.strings(3)),
        (Some(60), Some(60)) => cursor
            .strings(1)
            .and_then(|()| cursor.skip(9))
            .and_then(|()| cursor.strings(2)),
        (Some(60), Some(71)) => cursor.skip(9).and_then(|()| cursor.strings(2)),
        _ => None,
    };
}

/// The properties of a message, in the order of the protocol.
pub(super) fn header(payload: &mut [u8]) {
    let mut cursor = Cursor { bytes: payload, at: 0 };
    // Class, weight, body size.
    let Some(flags) = cursor.skip(12).and_then(|()| cursor.u16()) else {
        return;
    };
    let _ = (0..14).try_for_each(|place| {
        if flags & (0x8000 >> place) == 0 {
            return Some(());
        }
        match place {
            2 => cursor.table(),
            // Delivery mode and priority.
            3 | 4 => cursor.skip(1),
            // The timestamp.
            9 => cursor.skip(8),
            _ => cursor.strings(1),
        }
    });
}

/// The same properties with nothing left of the headers but the broker's own, as far as they can be told apart; with none
/// at all where not even that is possible. Always short.
pub(super) fn without_headers(payload: &[u8]) -> Vec<u8> {
    shortened(payload).unwrap_or_else(|| {
        let mut bare = payload[..payload.len().min(12)].to_vec();
        bare.extend([0, 0]);
        bare
    })
}

fn shortened(payload: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = payload.to_vec();
    let mut cursor = Cursor {
        bytes: &mut bytes,
        at: 12,
    };
    let flags = cursor.u16()?;
    if flags & 0x2000 == 0 {
        return None;
    }
    // Before the headers come the type and the encoding of the content.
    cursor.strings((flags >> 14).count_ones() as usize)?;
    let start = cursor.at;
    let length = cursor.u32()?;
    let kept = brokers_own(cursor.take(length)?);
    let after = &payload[start + 4 + length..];
    // No properties are longer.
    if after.len() > 11 * 256 {
        return None;
    }
    let kept_length = u32::try_from(kept.len()).ok()?.to_be_bytes();
    Some([&payload[..start], &kept_length, &kept, after].concat())
}

/// The entries of the broker's own, if they can be read and are few.
fn brokers_own(table: &mut [u8]) -> Vec<u8> {
    let length = table.len();
    let mut kept = Vec::new();
    let mut cursor = Cursor { bytes: table, at: 0 };
    while cursor.at < length {
        let start = cursor.at;
        let Some(name) = cursor.short_string() else { break };
        let wanted = BROKERS_OWN.contains(&&*name);
        if cursor.value(DEEPEST).is_none() {
            break;
        }
        let entry = &cursor.bytes[start..cursor.at];
        if wanted && kept.len() + entry.len() <= ROOM {
            kept.extend_from_slice(entry);
        }
    }
    kept
}

/// The largest frame the broker offers in `connection.tune`.
pub(super) fn frame_limit(payload: &[u8]) -> Option<u32> {
    let (head, rest) = payload.split_first_chunk::<6>()?;
    let limit = rest.first_chunk::<4>()?;
    // Class and method, then the number of channels.
    (head[..4] == [0, 10, 0, 30]).then_some(u32::from_be_bytes(*limit))
}

/// What the broker says about itself in `connection.start`.
pub(super) fn greeting(payload: &[u8]) -> Option<Greeting> {
    let mut bytes = payload.to_vec();
    let mut cursor = Cursor {
        bytes: &mut bytes,
        at: 0,
    };
    if (cursor.u16()?, cursor.u16()?) != (10, 10) {
        return None;
    }
    cursor.skip(2)?;
    let mut found = Greeting::default();
    let end = cursor.u32()?.checked_add(cursor.at)?;
    while cursor.at < end {
        let key = cursor.short_string()?.to_vec();
        let kind = cursor.u8()?;
        let length = match kind {
            b'S' | b'F' => cursor.u32()?,
            b't' => 1,
            _ => return Some(found),
        };
        let value = String::from_utf8_lossy(cursor.take(length)?).into_owned();
        match key.as_slice() {
            b"product" => found.product = value,
            b"version" => found.version = value,
            _ => {}
        }
    }
    Some(found)
}

struct Cursor<'a> {
    bytes: &'a mut [u8],
    at: usize,
}

impl Cursor<'_> {
    fn take(&mut self, count: usize) -> Option<&mut [u8]> {
        let taken = self.bytes.get_mut(self.at..self.at.checked_add(count)?)?;
        self.at += count;
        Some(taken)
    }

    fn skip(&mut self, count: usize) -> Option<()> {
        self.take(count).map(|_| ())
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    fn u32(&mut self) -> Option<usize> {
        self.take(4)
            .map(|bytes| u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize)
    }

    fn short_string(&mut self) -> Option<&mut [u8]> {
        let length = self.u8()?;
        self.take(usize::from(length))
    }

    fn strings(&mut self, count: usize) -> Option<()> {
        (0..count).try_for_each(|_| {
            let text = self.short_string()?;
            if std::str::from_utf8(text).is_err() {
                text.iter_mut()
                    .filter(|byte| !byte.is_ascii())
                    .for_each(|byte| *byte = b'?');
            }
            Some(())
        })
    }

    fn table(&mut self) -> Option<()> {
        let length = self.u32()?;
        let table = self.take(length)?;
        if entries(table, DEEPEST).is_none() {
            make_opaque(table);
        }
        Some(())
    }

    fn value(&mut self, depth: u32) -> Option<()> {
        let kind = self.take(1)?;
        if depth == 0 && matches!(kind[0], b'F' | b'A') {
            kind[0] = b'x';
        }
        match kind[0] {
            b'V' => Some(()),
            b't' | b'b' | b'B' => self.skip(1),
            b's' | b'U' | b'u' => self.skip(2),
            b'I' | b'i' | b'f' => self.skip(4),
            b'D' => self.skip(5),
            b'L' | b'l' | b'd' | b'T' => self.skip(8),
            b'S' | b'x' => self.u32().and_then(|length| self.skip(length)),
            b'F' => {
                let length = self.u32()?;
                entries(self.take(length)?, depth - 1)
            }
            b'A' => {
                let length = self.u32()?;
                let mut values = Cursor {
                    bytes: self.take(length)?,
                    at: 0,
                };
                while values.at < length {
                    values.value(depth - 1)?;
                }
                Some(())
            }
            _ => None,
        }
    }
}

fn entries(table: &mut [u8], depth: u32) -> Option<()> {
    let length = table.len();
    let mut cursor = Cursor { bytes: table, at: 0 };
    while cursor.at < length {
        cursor.strings(1)?;
        cursor.value(depth)?;
    }
    Some(())
}

/// One entry without a name that swallows everything, or empty entries where that does not fit.
fn make_opaque(table: &mut [u8]) {
    let length = table.len();
    if length >= 6 {
        table[..2].copy_from_slice(&[0, b'x']);
        table[2..6].copy_from_slice(&u32::try_from(length - 6).unwrap_or(0).to_be_bytes());
    } else if length >= 2 {
        let odd = length % 2 * 3;
        table[..odd].copy_from_slice(&[1, b'?', b'V'][..odd]);
        table[odd..]
            .chunks_exact_mut(2)
            .for_each(|entry| entry.copy_from_slice(&[0, b'V']));
    }
}
