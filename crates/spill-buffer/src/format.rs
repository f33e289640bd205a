//! The layout of a segment file. Source: docs/formats/spill.md.
//!
//! | kind | frame   | payload                                            |
//! |------|---------|----------------------------------------------------|
//! | 1    | header  | version u32, number of the first frame u64         |
//! | 2    | payload | number u64, then the bytes of the caller           |
//!
//! Integers are little-endian. The frames are those of [`tailwater_durable::frame`].

use tailwater_durable::frame::{self, HEADER_BYTES, MAGIC};

use crate::Seq;

/// The version of the segments that is written; a newer one is left alone.
pub const VERSION: u32 = 1;

pub(crate) const KIND_HEADER: u8 = 1;
pub(crate) const KIND_PAYLOAD: u8 = 2;

const SEQ_BYTES: usize = 8;
const SEGMENT_HEADER_PAYLOAD_BYTES: usize = 12;

/// Bytes before the payload of the caller.
pub(crate) const PREFIX_BYTES: usize = HEADER_BYTES + SEQ_BYTES;
pub(crate) const PREFIX_BYTES_U64: u64 = PREFIX_BYTES as u64;

/// Bytes of the frame that every segment begins with.
pub(crate) const SEGMENT_HEADER_BYTES: u64 = (HEADER_BYTES + SEGMENT_HEADER_PAYLOAD_BYTES) as u64;

/// Longest payload of a caller that fits in a frame.
pub(crate) const MAX_PAYLOAD_BYTES: usize = frame::MAX_PAYLOAD_BYTES as usize - SEQ_BYTES;

const PREFIX: &str = "spill-";
const SUFFIX: &str = ".seg";

/// Numbers from here on are not ours: no directory is in use long enough to come near, and below it
/// sums of numbers and file lengths do not overflow.
const MAX_FIRST: u64 = 1 << 62;

/// Returns the name of the segment that begins with this number.
pub(crate) fn name(first: u64) -> String {
    format!("{PREFIX}{first:020}{SUFFIX}")
}

/// Returns the number that a segment of this name begins with, if it is one of ours.
pub(crate) fn first_of(found: &str) -> Option<u64> {
    let digits = found.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    let first = digits.parse().ok()?;
    let is_ours = (Seq::FIRST.0..MAX_FIRST).contains(&first) && found == name(first);
    is_ours.then_some(first)
}

/// Appends the header of a segment.
pub(crate) fn append_header(out: &mut Vec<u8>, first: u64) -> Result<(), frame::FrameTooLong> {
    let mut payload = [0; SEGMENT_HEADER_PAYLOAD_BYTES];
    let (version, number) = payload.split_at_mut(size_of::<u32>());
    version.copy_from_slice(&VERSION.to_le_bytes());
    number.copy_from_slice(&first.to_le_bytes());
    frame::append(out, KIND_HEADER, &payload)
}

/// Appends a payload frame; the parts are one after the other.
pub(crate) fn append_payload(
    out: &mut Vec<u8>,
    seq: u64,
    parts: &[&[u8]],
) -> Result<(), frame::FrameTooLong> {
    let start = out.len();
    out.extend_from_slice(&[0; HEADER_BYTES]);
    out.extend_from_slice(&seq.to_le_bytes());
    parts.iter().for_each(|part| out.extend_from_slice(part));
    let written = out.get_mut(start..).unwrap_or_default();
    if let Some((header, payload)) = written.split_first_chunk_mut::<HEADER_BYTES>() {
        *header = frame::header(KIND_PAYLOAD, payload)?;
    }
    Ok(())
}

/// Returns the version that the payload of a segment header tells; every version begins with it.
pub(crate) fn version_of(payload: &[u8]) -> Option<u32> {
    payload
        .first_chunk()
        .map(|bytes| u32::from_le_bytes(*bytes))
}

/// Returns the number that the payload of a frame begins with.
pub(crate) fn seq_of(payload: &[u8]) -> Option<u64> {
    payload
        .first_chunk()
        .map(|bytes| u64::from_le_bytes(*bytes))
}

/// The first bytes of what may be a frame, not checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    pub(crate) has_magic: bool,
    /// Bytes of the payload, as they are declared.
    pub(crate) payload_bytes: usize,
    pub(crate) kind: u8,
}

impl Head {
    /// Reads the first 13 bytes; `None` where there are fewer, or where they declare more than any
    /// frame has.
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let [m0, m1, m2, m3, l0, l1, l2, l3, _, _, _, _, kind] =
            *bytes.first_chunk::<HEADER_BYTES>()?;
        let len = u32::from_le_bytes([l0, l1, l2, l3]);
        if len > frame::MAX_PAYLOAD_BYTES {
            return None;
        }
        Some(Self {
            has_magic: [m0, m1, m2, m3] == MAGIC,
            payload_bytes: usize::try_from(len).ok()?,
            kind,
        })
    }

    /// Returns the declared length of the whole frame.
    pub(crate) fn frame_bytes(&self) -> usize {
        HEADER_BYTES.saturating_add(self.payload_bytes)
    }
}

/// Returns whether the checksum of the frame that these bytes are holds: writing its payload again
/// gives the same header.
pub(crate) fn is_valid(bytes: &[u8]) -> bool {
    let Some((header, payload)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
        return false;
    };
    let [.., kind] = *header;
    frame::header(kind, payload).is_ok_and(|expected| expected == *header)
}

/// Returns whether these bytes are one payload frame in which nothing but the length is damaged.
pub(crate) fn is_valid_but_for_length(bytes: &[u8]) -> bool {
    let Some((header, payload)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
        return false;
    };
    let without_length = |header: [u8; HEADER_BYTES]| {
        let [m0, m1, m2, m3, _, _, _, _, c0, c1, c2, c3, kind] = header;
        [m0, m1, m2, m3, c0, c1, c2, c3, kind]
    };
    frame::header(KIND_PAYLOAD, payload)
        .is_ok_and(|expected| without_length(expected) == without_length(*header))
}

/// Lengths of memory fit in 64 bits on every system there is.
pub(crate) fn to_u64(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
