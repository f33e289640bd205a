//! Giving up what is in the middle, and numbers that are gone.

use std::ops::Range;

use tailwater_durable::StorageError;

use crate::append::SyncError;
use crate::spill::{SpillBuffer, remove_if_there};
use crate::{Seq, format, scan};

impl SpillBuffer {
    /// Returns the numbers of the first segment that can be [discarded](SpillBuffer::discard) and holds
    /// none below `from`.
    pub fn whole_segment_from(&self, from: Seq) -> Option<Range<Seq>> {
        let lowest = from.0.max(self.released);
        let index = (0..self.segments.len()).find(|index| {
            let segment = self.segments.get(*index);
            segment.is_some_and(|segment| segment.first >= lowest) && self.can_discard(*index)
        })?;
        let first = self.segments.get(index)?.first;
        Some(Seq(first)..Seq(self.end_of(index)))
    }

    /// Removes the segment that begins with `first`, wherever it stands: one that is not appended to, and
    /// of no newer version. Returns the bytes that were given back. Its numbers are told as lost from then
    /// on.
    ///
    /// # Errors
    /// [`StorageError`] where it cannot be removed; it is then still there.
    pub fn discard(&mut self, first: Seq) -> Result<u64, StorageError> {
        let mut segments = self.segments.iter();
        let found = segments.position(|segment| segment.first == first.0);
        let Some(index) = found.filter(|index| self.can_discard(*index)) else {
            return Ok(0);
        };
        remove_if_there(&*self.storage, first.0)?;
        self.forget_scanner(first.0);
        let Some(segment) = self.segments.get_mut(index) else {
            return Ok(0);
        };
        // It keeps its place until it is released: the one before it still ends here, and what is void
        // in that stays void.
        segment.is_discarded = true;
        Ok(std::mem::take(&mut segment.bytes))
    }

    /// Uses no number below `next` any more: they were given to frames that are gone. What is skipped is
    /// told as lost.
    ///
    /// # Errors
    /// As [`SpillBuffer::sync`], which comes first.
    pub fn reserve(&mut self, next: Seq) -> Result<(), SyncError> {
        if next.0 > self.next {
            self.sync()?;
            self.abandon_active();
            self.next = next.0;
            self.synced = next.0;
        }
        Ok(())
    }

    fn can_discard(&self, index: usize) -> bool {
        let is_last = index.saturating_add(1) >= self.segments.len();
        let Some(segment) = self.segments.get(index).filter(|_| !is_last) else {
            return false;
        };
        let version = scan::version(&*self.storage, segment.first);
        let is_newer =
            version.is_ok_and(|version| version.is_some_and(|version| version > format::VERSION));
        !segment.is_discarded && !is_newer
    }
}
