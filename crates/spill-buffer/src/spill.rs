//! The spill: its segments, what is released of them, and its figures.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use tailwater_durable::{Storage, StorageError};

use crate::append::Active;
use crate::scan::Scanner;
use crate::{Limits, Seq, format, scan};

/// A queue of numbered payloads on disk, with one owner.
///
/// # Invariants
/// - `released <= synced <= next`; every frame in between the first and the last of them is in a
///   segment, or is told as lost.
/// - Segments stand in the order of their numbers; one ends where the next one begins, the last one at
///   `next`.
/// - All segments but the last one are durable.
pub struct SpillBuffer {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) limits: Limits,
    pub(crate) segments: VecDeque<Segment>,
    /// What is appended to: the last of the segments.
    pub(crate) active: Option<Active>,
    /// A segment was created, or found, and the directory not synced since.
    pub(crate) is_name_dirty: bool,
    /// Every number below was released.
    pub(crate) released: u64,
    /// Every number below is durable, released, or was found at opening.
    pub(crate) synced: u64,
    /// The number of the next frame.
    pub(crate) next: u64,
    pub(crate) scanner: Option<Scanner>,
    /// Where frames are put together.
    pub(crate) scratch: Vec<u8>,
}

/// A segment file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    /// The number in its name.
    pub(crate) first: u64,
    pub(crate) bytes: u64,
    /// Its file is removed, and all of its numbers are lost.
    pub(crate) is_discarded: bool,
}

/// The figures of a spill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status {
    /// Segment files.
    pub segments: usize,
    /// Bytes of all segment files.
    pub bytes: u64,
    /// The limit of `bytes`.
    pub max_bytes: u64,
    /// The lowest number that was not released; `next` where there is none.
    pub first: Seq,
    /// The number of the next frame that is appended.
    pub next: Seq,
    /// Every frame below was synced, released, or found at opening.
    pub synced: Seq,
}

impl fmt::Debug for SpillBuffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SpillBuffer")
            .field("directory", &self.storage.directory())
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}

impl SpillBuffer {
    /// Returns the figures.
    pub fn status(&self) -> Status {
        Status {
            segments: self
                .segments
                .iter()
                .filter(|segment| !segment.is_discarded)
                .count(),
            bytes: self.used_bytes(),
            max_bytes: self.limits.max_bytes,
            first: Seq(self.released),
            next: Seq(self.next),
            synced: Seq(self.synced),
        }
    }

    /// Returns whether every frame was released.
    pub fn is_empty(&self) -> bool {
        self.released >= self.next
    }

    /// Returns the numbers of the oldest segment that are not released; releasing below their end is
    /// what gives space back soonest.
    pub fn oldest_segment(&self) -> Option<Range<Seq>> {
        let index = (0..self.segments.len()).find(|index| self.end_of(*index) > self.released)?;
        let first = self.segments.get(index)?.first.max(self.released);
        Some(Seq(first)..Seq(self.end_of(index)))
    }

    /// Releases every frame below `below`: removes the segments that hold no other, also the last one.
    /// Returns the bytes that were given back.
    ///
    /// Segments of a newer version are left, whatever their numbers.
    ///
    /// # Durability
    /// What is released is not on disk: the caller makes `below` durable, for the next
    /// [`open`](crate::open()), before it releases; otherwise frames that are gone are told as lost then.
    /// A removed segment can come back after a power cut, and is removed by the next opening.
    ///
    /// # Errors
    /// [`StorageError`] where a segment cannot be removed: it is tried again by the next release.
    pub fn release(&mut self, below: Seq) -> Result<u64, StorageError> {
        self.released = self.released.max(below.0.min(self.next));
        // Nobody waits for these to become durable any more.
        self.synced = self.synced.max(self.released);
        let mut given_back = 0_u64;
        let mut index = 0;
        while self.end_of(index) <= self.released {
            let Some(segment) = self.segments.get(index).copied() else {
                break;
            };
            if self.is_newer(segment) {
                index = index.saturating_add(1);
                continue;
            }
            if index.saturating_add(1) == self.segments.len() {
                self.active = None;
            }
            remove_if_there(&*self.storage, segment.first)?;
            self.forget(index);
            given_back = given_back.saturating_add(segment.bytes);
        }
        Ok(given_back)
    }

    pub(crate) fn used_bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Returns the number after the last one of a segment: where the next segment begins.
    pub(crate) fn end_of(&self, index: usize) -> u64 {
        let following = self.segments.get(index.saturating_add(1));
        following.map_or(self.next, |following| following.first)
    }

    /// Takes a segment out of the list.
    pub(crate) fn forget(&mut self, index: usize) {
        let Some(segment) = self.segments.remove(index) else {
            return;
        };
        self.forget_scanner(segment.first);
        if self.segments.is_empty() {
            self.is_name_dirty = false;
        }
    }

    pub(crate) fn forget_scanner(&mut self, first: u64) {
        let mut scanner = self.scanner.iter();
        if scanner.any(|scanner| scanner.first() == first) {
            self.scanner = None;
        }
    }

    /// A segment whose header cannot be read is one of ours, and damaged.
    fn is_newer(&self, segment: Segment) -> bool {
        let version = scan::version(&*self.storage, segment.first);
        version.is_ok_and(|version| version.is_some_and(|version| version > format::VERSION))
    }
}

/// Removes a segment file; one that is gone is removed.
pub(crate) fn remove_if_there(storage: &dyn Storage, first: u64) -> Result<(), StorageError> {
    match storage.remove(&format::name(first)) {
        Err(error) if !error.is_not_found() => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}
