//! Opening: the last segment tells where numbers go on, the others are not read.

use std::collections::VecDeque;
use std::sync::Arc;

use tailwater_durable::{Storage, StorageError};

use crate::append::Active;
use crate::scan::{Scanner, Step};
use crate::spill::{Segment, SpillBuffer};
use crate::{Limits, Seq, format, scan, tail};

/// Why a spill cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The directory cannot be listed, or the files in it not be looked at.
    #[error("cannot list the segments of the spill")]
    Storage(#[source] StorageError),
}

/// What opening found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// Segment files that are left.
    pub segments: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Bytes behind the last frame of the last segment: the start of an append that a crash cut off.
    /// They are cut off before anything is appended.
    pub torn_tail_bytes: u64,
    /// Damaged stretches in the last segment.
    pub damaged_frames: u64,
    /// 1 where the last segment is of a newer version; others are met while reading.
    pub newer_segments: u64,
    /// 1 where the last segment cannot be read. Numbers go on behind all that it can hold.
    pub unreadable_segments: u64,
    /// Frames that are known to be missing: those before the first segment and in the last one.
    /// [`SpillBuffer::read`] tells them again, and those of the other segments.
    pub lost_frames: u64,
    /// The lowest number that was not released.
    pub first: Seq,
    /// The number of the next frame that is appended.
    pub next: Seq,
}

/// Opens a spill. Every frame below `released` was released before: segments that hold no other are
/// removed, frames that are left are not read.
///
/// Reads the last segment, whatever the others hold. Damage is counted and never refused.
///
/// # Durability
/// What is found counts as synced. The first [`SpillBuffer::sync`] makes it so, also where a process
/// ended before its own.
///
/// # Errors
/// [`OpenError::Storage`] where the directory cannot be listed.
pub fn open(
    storage: Arc<dyn Storage>,
    limits: Limits,
    released: Seq,
) -> Result<(SpillBuffer, Recovery), OpenError> {
    let released = released.0.max(Seq::FIRST.0);
    let segments = list(&*storage).map_err(OpenError::Storage)?;
    let last = match segments.back() {
        Some(segment) => scan_last(&*storage, *segment, released),
        None => Last::default(),
    };
    let front = segments.front().map_or(released, |segment| segment.first);
    let next = last.next.max(released);
    let mut spill = SpillBuffer {
        storage,
        limits,
        active: last.active,
        is_name_dirty: !segments.is_empty(),
        segments,
        released,
        synced: next,
        next,
        scanner: None,
        scratch: Vec::new(),
    };
    // Where one cannot be removed it costs space and nothing else; the next release tries again.
    drop(spill.release(Seq(released)));
    if spill.is_empty() {
        // What is found and released, and could not be removed, has no place for the next number.
        spill.active = None;
    }
    let status = spill.status();
    let recovery = Recovery {
        segments: status.segments,
        bytes: status.bytes,
        torn_tail_bytes: last.torn_tail_bytes,
        damaged_frames: last.damaged_frames,
        newer_segments: last.newer_segments,
        unreadable_segments: last.unreadable_segments,
        lost_frames: last
            .lost_frames
            .saturating_add(front.saturating_sub(released)),
        first: status.first,
        next: status.next,
    };
    Ok((spill, recovery))
}

/// Returns the segments of a directory in the order of their numbers.
pub(crate) fn list(storage: &dyn Storage) -> Result<VecDeque<Segment>, StorageError> {
    let names = storage.list()?;
    let mut firsts: Vec<u64> = names.iter().filter_map(|n| format::first_of(n)).collect();
    firsts.sort_unstable();
    let mut segments = VecDeque::with_capacity(firsts.len());
    for first in firsts {
        match storage.len(&format::name(first)) {
            Ok(bytes) => segments.push_back(Segment {
                first,
                bytes,
                is_discarded: false,
            }),
            Err(error) if error.is_not_found() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(segments)
}

/// What the last segment tells.
#[derive(Debug, Default)]
struct Last {
    /// The number after its last frame.
    next: u64,
    active: Option<Active>,
    torn_tail_bytes: u64,
    damaged_frames: u64,
    newer_segments: u64,
    unreadable_segments: u64,
    lost_frames: u64,
}

fn scan_last(storage: &dyn Storage, segment: Segment, released: u64) -> Last {
    // Every frame takes a byte at least, in every version.
    let behind_all = segment
        .first
        .saturating_add(segment.bytes)
        .saturating_add(1);
    let unreadable = Last {
        next: behind_all,
        unreadable_segments: 1,
        ..Last::default()
    };
    match scan::version(storage, segment.first) {
        Ok(Some(version)) if version > format::VERSION => Last {
            next: behind_all,
            newer_segments: 1,
            ..Last::default()
        },
        Ok(_) => scan_frames(storage, segment, released).unwrap_or(unreadable),
        Err(_) => unreadable,
    }
}

fn scan_frames(
    storage: &dyn Storage,
    segment: Segment,
    released: u64,
) -> Result<Last, StorageError> {
    let mut last = Last::default();
    let mut scanner = Scanner::new(segment.first);
    let mut found_frames = 0_u64;
    let mut end_offset = 0;
    loop {
        match scanner.peek(storage, segment.bytes)? {
            Step::Frame(found) => {
                let is_new = found.seq.is_some_and(|seq| seq >= scanner.min_seq());
                let is_held = is_new && found.seq.is_some_and(|seq| seq >= released);
                found_frames = found_frames.saturating_add(u64::from(is_held));
                scanner.pass(&found);
                end_offset = found.end_offset();
            }
            Step::Damaged {
                offset,
                damaged_bytes,
            } if offset.saturating_add(damaged_bytes) < segment.bytes => {
                last.damaged_frames = last.damaged_frames.saturating_add(1);
                scanner.skip_to(offset.saturating_add(damaged_bytes));
            }
            Step::Damaged { offset, .. } | Step::Tail { offset, .. } => {
                let tail = tail::look(&mut scanner, storage, offset, segment.bytes)?;
                last.damaged_frames = last.damaged_frames.saturating_add(tail.frames);
                last.next = tail.frames;
                end_offset = tail.end_offset;
                break;
            }
            Step::End => break,
        }
    }
    last.next = last.next.saturating_add(scanner.min_seq());
    let held_from = segment.first.max(released);
    let held_frames = last.next.saturating_sub(held_from);
    last.lost_frames = held_frames.saturating_sub(found_frames);
    last.torn_tail_bytes = segment.bytes.saturating_sub(end_offset);
    last.active = Some(Active::found(end_offset, last.next > segment.first));
    Ok(last)
}
