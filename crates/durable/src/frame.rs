//! Frames: the unit that is written and checked.
//!
//! | field   | bytes | meaning                                            |
//! |---------|-------|----------------------------------------------------|
//! | magic   | 4     | `TWF1`                                             |
//! | len     | 4     | payload bytes, little-endian                       |
//! | crc     | 4     | CRC-32 (IEEE) over `len`, `kind` and payload, little-endian |
//! | kind    | 1     | what the payload is; the format of the file says   |
//! | payload | `len` |                                                    |
//!
//! Frames stand one after the other without padding. A reader that finds something else looks for the
//! next frame whose checksum holds, so damage costs the frames it hit and no others. What follows the
//! last valid frame is the torn tail: expected after a crash, in the last file that was written.

use std::iter::FusedIterator;

/// How every frame begins.
pub const MAGIC: [u8; 4] = *b"TWF1";

/// Bytes before the payload.
pub const HEADER_BYTES: usize = 13;

/// Longest payload that can be written, 64 MiB; formats set smaller limits of their own.
pub const MAX_PAYLOAD_BYTES: u32 = 64 * 1024 * 1024;

/// A payload is longer than [`MAX_PAYLOAD_BYTES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {payload_bytes} payload bytes exceeds {MAX_PAYLOAD_BYTES}")]
pub struct FrameTooLong {
    /// Its length.
    pub payload_bytes: usize,
}

/// Returns the bytes that stand before `payload`, for callers that write both without copying.
///
/// # Errors
/// [`FrameTooLong`] where the payload exceeds [`MAX_PAYLOAD_BYTES`].
pub fn header(kind: u8, payload: &[u8]) -> Result<[u8; HEADER_BYTES], FrameTooLong> {
    let len = u32::try_from(payload.len())
        .ok()
        .filter(|len| *len <= MAX_PAYLOAD_BYTES)
        .ok_or(FrameTooLong {
            payload_bytes: payload.len(),
        })?;
    let [m0, m1, m2, m3] = MAGIC;
    let [l0, l1, l2, l3] = len.to_le_bytes();
    let [c0, c1, c2, c3] = checksum(len, kind, payload).to_le_bytes();
    Ok([m0, m1, m2, m3, l0, l1, l2, l3, c0, c1, c2, c3, kind])
}

/// Appends one frame to `out`.
///
/// # Errors
/// [`FrameTooLong`] where the payload exceeds [`MAX_PAYLOAD_BYTES`]; `out` is as it was.
pub fn append(out: &mut Vec<u8>, kind: u8, payload: &[u8]) -> Result<(), FrameTooLong> {
    out.extend_from_slice(&header(kind, payload)?);
    out.extend_from_slice(payload);
    Ok(())
}

fn checksum(len: u32, kind: u8, payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&len.to_le_bytes());
    hasher.update(&[kind]);
    hasher.update(payload);
    hasher.finalize()
}

/// A frame whose checksum holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// Where it starts, in bytes from the start of what is read.
    pub offset: u64,
    /// What the payload is.
    pub kind: u8,
    /// What was written.
    pub payload: &'a [u8],
}

impl Frame<'_> {
    /// Returns the length on disk, header included.
    pub fn frame_bytes(&self) -> u64 {
        to_u64(HEADER_BYTES.saturating_add(self.payload.len()))
    }

    /// Returns the offset after the frame.
    pub fn end_offset(&self) -> u64 {
        self.offset.saturating_add(self.frame_bytes())
    }
}

/// What a [`FrameReader`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scanned<'a> {
    /// A valid frame.
    Frame(Frame<'a>),
    /// Bytes that are no frame, with a valid frame after them.
    Damaged {
        /// Where they start.
        offset: u64,
        /// How many they are.
        skipped_bytes: u64,
    },
    /// Bytes that are no frame, with no valid frame after them: what a crash leaves of the last write.
    TornTail {
        /// Where they start: where the file must be cut before anything is appended.
        offset: u64,
        /// How many they are.
        tail_bytes: u64,
    },
}

/// Reads frames, and goes on after damage.
///
/// Yields frames and gaps in the order of their offsets; they cover the bytes without overlap. Any
/// bytes are safe to read. A damaged stretch costs a search: time in proportion to its length, or,
/// where it is full of crafted frame starts, to its length times `max_payload_bytes`.
#[derive(Clone, Debug)]
pub struct FrameReader<'a> {
    bytes: &'a [u8],
    /// Index of the next byte that was not yielded; `<= bytes.len()`.
    next: usize,
    max_payload_bytes: usize,
}

impl<'a> FrameReader<'a> {
    /// Reads `bytes` from the start; a frame with a payload over `max_payload_bytes` is damage.
    pub fn new(bytes: &'a [u8], max_payload_bytes: usize) -> Self {
        Self {
            bytes,
            next: 0,
            max_payload_bytes,
        }
    }

    /// Returns the frame that starts at `start`, if one does.
    fn frame_at(&self, start: usize) -> Option<Frame<'a>> {
        let (header, rest) = self.bytes.get(start..)?.split_first_chunk()?;
        let &[m0, m1, m2, m3, l0, l1, l2, l3, c0, c1, c2, c3, kind]: &[u8; HEADER_BYTES] = header;
        if [m0, m1, m2, m3] != MAGIC {
            return None;
        }
        let len = u32::from_le_bytes([l0, l1, l2, l3]);
        let payload_bytes = usize::try_from(len)
            .ok()
            .filter(|bytes| *bytes <= self.max_payload_bytes)?;
        let payload = rest.get(..payload_bytes)?;
        let is_valid = checksum(len, kind, payload) == u32::from_le_bytes([c0, c1, c2, c3]);
        is_valid.then(|| Frame {
            offset: to_u64(start),
            kind,
            payload,
        })
    }

    /// Returns the index of the first frame after `start`.
    fn resynchronize(&self, start: usize) -> Option<usize> {
        let mut from = start.checked_add(1)?;
        loop {
            let mut windows = self.bytes.get(from..)?.windows(MAGIC.len());
            let found = from.checked_add(windows.position(|window| window == MAGIC)?)?;
            if self.frame_at(found).is_some() {
                return Some(found);
            }
            from = found.checked_add(1)?;
        }
    }
}

impl<'a> Iterator for FrameReader<'a> {
    type Item = Scanned<'a>;

    fn next(&mut self) -> Option<Scanned<'a>> {
        let start = self.next;
        if start >= self.bytes.len() {
            return None;
        }
        if let Some(frame) = self.frame_at(start) {
            let end = start
                .saturating_add(HEADER_BYTES)
                .saturating_add(frame.payload.len());
            self.next = end;
            return Some(Scanned::Frame(frame));
        }
        let offset = to_u64(start);
        let resumed = self.resynchronize(start);
        self.next = resumed.unwrap_or(self.bytes.len());
        let skipped_bytes = to_u64(self.next.saturating_sub(start));
        Some(match resumed {
            Some(_) => Scanned::Damaged {
                offset,
                skipped_bytes,
            },
            None => Scanned::TornTail {
                offset,
                tail_bytes: skipped_bytes,
            },
        })
    }
}

impl FusedIterator for FrameReader<'_> {}

/// Lengths of memory fit in 64 bits on every system there is.
fn to_u64(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
