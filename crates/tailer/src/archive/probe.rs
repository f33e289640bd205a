//! Looking into an archive without following it: how its content begins, and whether it is another one's.

use std::fs::File;

use tailwater_record::{Marker, WINDOW_BYTES};

use super::unpacker::{Budget, Stop};
use super::{Compression, MAX_PROBED_BYTES, MAX_SAMPLED_BYTES, Unpacker};

/// How the content of an archive begins.
#[derive(Debug, Default)]
pub(crate) struct Head {
    /// At most one window; empty where it cannot be decoded.
    pub(crate) bytes: Vec<u8>,
    /// The archive ends within a member before the window is full: it may still be written.
    pub(crate) is_cut: bool,
}

/// What the bytes of an archive before some offset are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Likeness {
    /// Those that a marker was taken of.
    Same,
    /// Others, or the content ends before.
    Other,
    /// They cannot be decoded: it is damaged or cut before them.
    Damaged,
    /// They lie further behind its beginning than is looked.
    Far,
}

/// A place of an archive to compare another file with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Sample {
    pub(crate) offset: u64,
    pub(crate) marker: Marker,
    /// The archive ends within a member before.
    pub(crate) is_cut: bool,
}

/// Decodes the head that tells who an archive is.
pub(crate) fn head_of(file: &File, compression: Compression) -> Head {
    let mut unpacker = Unpacker::new(compression);
    let len = usize::from(WINDOW_BYTES);
    // What cannot be read is found out when it is read for its lines.
    let stop = unpacker.fill(file, 0, len, &mut Budget::of_a_turn());
    Head {
        bytes: unpacker.from(0).to_vec(),
        is_cut: stop.is_ok_and(|stop| stop == Stop::Starved),
    }
}

/// Decodes up to an offset and compares the bytes before it.
pub(crate) fn compare(
    file: &File,
    compression: Compression,
    offset: u64,
    marker: Marker,
) -> Likeness {
    let start = offset.saturating_sub(u64::from(marker.len));
    let mut unpacker = Unpacker::new(compression);
    loop {
        let wanted = usize::from(marker.len);
        let Ok(stop) = unpacker.fill(file, start, wanted, &mut Budget::of_a_turn()) else {
            return Likeness::Damaged;
        };
        if let Some(before) = unpacker.from(start).get(..wanted)
            && unpacker.decoded_end() >= offset
        {
            return if marker.matches_tail(before) {
                Likeness::Same
            } else {
                Likeness::Other
            };
        }
        match stop {
            Stop::End => return Likeness::Other,
            Stop::Damaged(_) | Stop::Starved => return Likeness::Damaged,
            // Empty members take bytes and make none.
            Stop::Pause
                if unpacker.raw_offset().max(unpacker.decoded_end()) >= MAX_PROBED_BYTES =>
            {
                return Likeness::Far;
            }
            Stop::Pause => {}
        }
    }
}

/// Decodes up to the end, or as far as is needed to tell two files apart.
pub(crate) fn sample(file: &File, compression: Compression) -> Sample {
    let window = u64::from(WINDOW_BYTES);
    let mut unpacker = Unpacker::new(compression);
    let mut is_cut = false;
    while unpacker.raw_offset().max(unpacker.decoded_end()) < MAX_SAMPLED_BYTES {
        let start = unpacker.decoded_end().saturating_sub(window);
        let len = MAX_SAMPLED_PIECE_BYTES;
        match unpacker.fill(file, start, len, &mut Budget::of_a_turn()) {
            Ok(Stop::Pause) => {}
            Ok(Stop::Starved) => {
                is_cut = true;
                break;
            }
            Ok(Stop::End | Stop::Damaged(_)) | Err(_) => break,
        }
    }
    let offset = unpacker.decoded_end();
    let before = unpacker.from(offset.saturating_sub(window));
    Sample {
        offset,
        marker: Marker::of_tail(before),
        is_cut,
    }
}

/// Decoded bytes that a sample is moved on by: more than one window.
const MAX_SAMPLED_PIECE_BYTES: usize = 64 * 1024;
