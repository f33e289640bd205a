//! What stands behind the last valid frame of the last segment.
//!
//! A crash leaves the torn start of an append there, which nobody was promised. Damage to the last
//! frames leaves the same, but these may have been promised: they keep their numbers, and are told as
//! lost. The two are told apart by whether the bytes are all there.

use tailwater_durable::{Storage, StorageError};

use crate::format::{Head, PREFIX_BYTES, SEGMENT_HEADER_BYTES, to_u64};
use crate::scan::Scanner;

/// Frames at the end that are there in length and not valid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct DamagedTail {
    pub(crate) frames: u64,
    /// Where they end and the torn tail begins.
    pub(crate) end_offset: u64,
}

/// Looks at the bytes from `offset` to the end of the file, among which is no valid frame.
pub(crate) fn look(
    scanner: &mut Scanner,
    storage: &dyn Storage,
    offset: u64,
    end: u64,
) -> Result<DamagedTail, StorageError> {
    // What begins the file is its header, not a frame with a number.
    let start = offset.max(SEGMENT_HEADER_BYTES);
    let mut tail = DamagedTail {
        frames: 0,
        end_offset: start,
    };
    while let Some(frame_end) = whole_frame(scanner, storage, tail.end_offset, end)? {
        tail.frames = tail.frames.saturating_add(1);
        tail.end_offset = frame_end;
    }
    if tail.frames == 0 {
        tail.end_offset = offset;
    }
    Ok(tail)
}

/// Returns where the damaged frame at `offset` ends, if all of its bytes are there.
fn whole_frame(
    scanner: &mut Scanner,
    storage: &dyn Storage,
    offset: u64,
    end: u64,
) -> Result<Option<u64>, StorageError> {
    let bytes = scanner.bytes(storage, offset, PREFIX_BYTES, end)?;
    if bytes.len() < PREFIX_BYTES {
        return Ok(None);
    }
    if let Some(head) = Head::parse(bytes)
        && head.frame_bytes() >= PREFIX_BYTES
    {
        let frame_end = offset.saturating_add(to_u64(head.frame_bytes()));
        let is_confirmed = head.has_magic || frame_end == end;
        if frame_end <= end && is_confirmed {
            return Ok(Some(frame_end));
        }
    }
    let is_whole = scanner.is_whole_but_for_length(storage, offset..end)?;
    Ok(is_whole.then_some(end))
}
