//! Lines that carry their own proof.
//!
//! `<file> <seq> <len> <hash> <payload>`: two decimal numbers, the bytes of the payload, its XXH64 as
//! 16 hexadecimal digits, and the payload, which is a function of the three numbers. A line that was
//! cut, joined with another or changed in one bit is recognised, and so is the line it was.
//!
//! A line may say its level, in front as logfmt does: `level=error `. The payload depends on it too, so
//! that a line which lost its level is recognised as well.
//!
//! The payload is printable ASCII and holds quotes, backslashes and spaces, also at its ends: what
//! escapes or trims wrongly is found out.

use std::io::Write as _;

use xxhash_rust::xxh64::xxh64;

/// Which line of which file a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LineId {
    /// The number of the file, chosen by the test; generations of a rotated file share it.
    pub file: u32,
    /// The number of the line within the file; the first is 0.
    pub seq: u64,
}

/// Why a line is not one that a writer wrote.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TornLine {
    /// The numbers in front are missing or wrong.
    #[error("no file, sequence, length and hash in front")]
    Header,
    /// The payload is shorter or longer than it was.
    #[error("payload has {found} bytes instead of {expected}")]
    Length {
        /// What the line says of itself.
        expected: usize,
        /// What is there.
        found: usize,
    },
    /// The payload does not have its hash, or is not the one of these numbers.
    #[error("payload was changed")]
    Payload,
}

/// What stands before the level of a line.
const LEVEL_PREFIX: &[u8] = b"level=";

/// Appends a line, without a delimiter, whose payload has `payload_bytes` bytes.
pub fn push_line(out: &mut Vec<u8>, id: LineId, payload_bytes: usize) {
    push_body(out, id, b"", payload_bytes);
}

/// Appends a line as [`push_line`] does, with its level in front: a word of lower-case letters.
pub fn push_line_of_level(out: &mut Vec<u8>, id: LineId, level: &str, payload_bytes: usize) {
    out.extend_from_slice(LEVEL_PREFIX);
    out.extend_from_slice(level.as_bytes());
    out.push(b' ');
    push_body(out, id, level.as_bytes(), payload_bytes);
}

fn push_body(out: &mut Vec<u8>, id: LineId, level: &[u8], payload_bytes: usize) {
    let payload = Payload::new(id, level, payload_bytes);
    let hash = xxh64(&payload.clone().collect::<Vec<u8>>(), 0);
    write!(out, "{} {} {payload_bytes} {hash:016x} ", id.file, id.seq)
        .expect("a vector takes every write");
    out.extend(payload);
}

/// Recognises a line that [`push_line`] or [`push_line_of_level`] made.
///
/// # Errors
/// [`TornLine`] where the line is anything else, be it one bit.
pub fn parse_line(line: &[u8]) -> Result<LineId, TornLine> {
    let (level, line) = split_level(line)?;
    let mut fields = line.splitn(5, |byte| *byte == b' ');
    let mut next = || fields.next().ok_or(TornLine::Header);
    let file = number(next()?)?;
    let seq = number(next()?)?;
    let payload_bytes = usize::try_from(number(next()?)?).map_err(|_too_large| TornLine::Header)?;
    let hash = next()?;
    let payload = next()?;
    if payload.len() != payload_bytes {
        return Err(TornLine::Length {
            expected: payload_bytes,
            found: payload.len(),
        });
    }
    let id = LineId {
        file: u32::try_from(file).map_err(|_too_large| TornLine::Header)?,
        seq,
    };
    let is_whole = hash == format!("{:016x}", xxh64(payload, 0)).as_bytes()
        && payload
            .iter()
            .copied()
            .eq(Payload::new(id, level, payload_bytes));
    is_whole.then_some(id).ok_or(TornLine::Payload)
}

/// Takes the level off a line; it is empty where the line says none.
fn split_level(line: &[u8]) -> Result<(&[u8], &[u8]), TornLine> {
    let Some(line) = line.strip_prefix(LEVEL_PREFIX) else {
        return Ok((b"", line));
    };
    let end = line.iter().position(|byte| *byte == b' ');
    let (level, rest) = line.split_at(end.ok_or(TornLine::Header)?);
    let rest = rest.strip_prefix(b" ").filter(|_| !level.is_empty());
    Ok((level, rest.ok_or(TornLine::Header)?))
}

/// Reads a number that is written as [`push_line`] writes it: no sign, no zero in front.
fn number(field: &[u8]) -> Result<u64, TornLine> {
    let is_plain =
        field.iter().all(u8::is_ascii_digit) && (field.len() == 1 || field.first() != Some(&b'0'));
    std::str::from_utf8(field)
        .ok()
        .filter(|_| is_plain)
        .and_then(|digits| digits.parse().ok())
        .ok_or(TornLine::Header)
}

/// Printable bytes that depend on the numbers and the level of the line.
#[derive(Clone)]
struct Payload {
    state: u64,
    left: usize,
}

impl Payload {
    fn new(id: LineId, level: &[u8], payload_bytes: usize) -> Self {
        let length = u64::try_from(payload_bytes).unwrap_or(u64::MAX);
        let of_level = if level.is_empty() { 0 } else { xxh64(level, 0) };
        let seed = mix(u64::from(id.file)) ^ mix(id.seq ^ mix(length)) ^ of_level;
        Self {
            state: seed,
            left: payload_bytes,
        }
    }
}

impl Iterator for Payload {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        const FIRST: u8 = b' ';
        const COUNT: u64 = 95;
        self.left = self.left.checked_sub(1)?;
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        u8::try_from(mix(self.state) % COUNT)
            .ok()?
            .checked_add(FIRST)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

/// The finishing step of the `SplitMix64` generator: every bit of the result depends on every bit.
pub(crate) fn mix(state: u64) -> u64 {
    let state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: LineId = LineId {
        file: 7,
        seq: 1_234,
    };

    fn line(payload_bytes: usize) -> Vec<u8> {
        let mut out = Vec::new();
        push_line(&mut out, ID, payload_bytes);
        out
    }

    fn line_of_level(payload_bytes: usize) -> Vec<u8> {
        let mut out = Vec::new();
        push_line_of_level(&mut out, ID, "error", payload_bytes);
        out
    }

    #[test]
    fn a_line_is_recognised_whatever_its_length() {
        for payload_bytes in [0, 1, 100, 5_000] {
            assert_eq!(parse_line(&line(payload_bytes)), Ok(ID));
            assert_eq!(parse_line(&line_of_level(payload_bytes)), Ok(ID));
        }
    }

    #[test]
    fn a_line_cut_anywhere_is_torn() {
        for whole in [line(60), line_of_level(60)] {
            for end in 0..whole.len() {
                assert!(parse_line(&whole[..end]).is_err(), "cut to {end} bytes");
            }
            for start in 1..whole.len() {
                assert!(parse_line(&whole[start..]).is_err(), "cut from {start}");
            }
        }
    }

    #[test]
    fn a_line_changed_in_any_bit_is_torn() {
        for whole in [line(40), line_of_level(40)] {
            for index in 0..whole.len() {
                for bit in 0..8 {
                    let mut changed = whole.clone();
                    changed[index] ^= 1 << bit;
                    assert!(parse_line(&changed).is_err(), "byte {index}, bit {bit}");
                }
            }
        }
    }

    #[test]
    fn two_lines_that_were_joined_are_torn() {
        let joined = [line(20), line(20)].concat();
        assert!(matches!(parse_line(&joined), Err(TornLine::Length { .. })));
    }

    #[test]
    fn payloads_hold_what_must_be_escaped() {
        let payload = line(2_000);
        for byte in [b'"', b'\\', b' ', b'%', b'{'] {
            assert!(payload.contains(&byte), "{}", char::from(byte));
        }
        assert!(payload.iter().all(|byte| (b' '..=b'~').contains(byte)));
    }
}
