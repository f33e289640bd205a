//! Appending and syncing.

use tailwater_durable::{AppendFile, StorageError};

use crate::format::{self, MAX_PAYLOAD_BYTES, PREFIX_BYTES, SEGMENT_HEADER_BYTES, to_u64};
use crate::spill::{Segment, SpillBuffer, remove_if_there};
use crate::{Seq, open};

/// Most memory that is kept between appends.
const MAX_IDLE_SCRATCH_BYTES: usize = 1024 * 1024;

/// Why a payload was not appended; nothing of it is on disk.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// The limit is reached: releasing gives room.
    #[error(
        "the spill holds {used_bytes} bytes, and {frame_bytes} more exceed its limit of {max_bytes}"
    )]
    Full {
        /// What the segments take.
        used_bytes: u64,
        /// What the payload would take.
        frame_bytes: u64,
        /// The limit.
        max_bytes: u64,
    },
    /// The disk or the quota is full; what was written is cut off again. Trying again can help.
    #[error("the disk of the spill is full")]
    DiskFull(#[source] StorageError),
    /// The payload is longer than the spill takes, however empty it is.
    #[error("a payload of {payload_bytes} bytes exceeds {max_bytes}")]
    TooLong {
        /// Its length.
        payload_bytes: usize,
        /// The most that is taken.
        max_bytes: usize,
    },
    /// A new segment was due, and the one before it could not be synced.
    #[error("cannot finish a segment of the spill")]
    Sync(#[source] SyncError),
    /// The disk refused.
    #[error("cannot append to the spill")]
    Storage(#[source] StorageError),
}

/// Appended frames could not be made durable.
///
/// Everything that was appended and not synced is void, from `void_from` on: the caller appends it again,
/// under the same numbers, and reads from there again. Where it was released meanwhile it stays so.
#[derive(Debug, thiserror::Error)]
#[error("cannot sync the spill: frames from {void_from} on are void")]
pub struct SyncError {
    /// The number of the first void frame, and of the next one that is appended.
    pub void_from: Seq,
    /// What failed.
    pub source: StorageError,
}

/// The last segment, while it is appended to.
#[derive(Debug)]
pub(crate) struct Active {
    /// `None` until a segment that was found at opening is written to.
    file: Option<Box<dyn AppendFile>>,
    /// Where the last frame ends.
    end_offset: u64,
    /// It holds what was not synced, or is not known to be.
    is_dirty: bool,
    /// It could not be cut back to whole frames; only to be synced.
    is_closed: bool,
}

impl Active {
    /// A segment that was found, with whole frames up to `end_offset`.
    pub(crate) fn found(end_offset: u64, has_frames: bool) -> Self {
        Self {
            file: None,
            end_offset,
            is_dirty: has_frames,
            is_closed: false,
        }
    }
}

impl SpillBuffer {
    /// Appends one payload, given in parts, and returns its number.
    ///
    /// # Durability
    /// Survives a power cut only after [`SpillBuffer::sync`]. Where a new segment begins, the one before
    /// it is synced first.
    ///
    /// # Errors
    /// [`AppendError`]; the payload is not in the spill. After [`AppendError::Sync`] earlier ones are not
    /// either; after the others what was appended before still is.
    pub fn append(&mut self, parts: &[&[u8]]) -> Result<Seq, AppendError> {
        let frame_bytes = self.check_len(parts)?;
        if self.is_segment_done(frame_bytes) {
            // Room is asked for first: a full spill is no reason to finish a segment.
            self.check_room(frame_bytes.saturating_add(SEGMENT_HEADER_BYTES))?;
            self.sync().map_err(AppendError::Sync)?;
            self.abandon_active();
        }
        let needs_header = self
            .active
            .as_ref()
            .is_none_or(|active| active.end_offset == 0);
        let header_bytes = if needs_header {
            SEGMENT_HEADER_BYTES
        } else {
            0
        };
        self.check_room(frame_bytes.saturating_add(header_bytes))?;
        let mut scratch = std::mem::take(&mut self.scratch);
        let encoded = self.encode(&mut scratch, needs_header, parts);
        let appended = encoded.and_then(|()| self.write(&scratch));
        scratch.clear();
        scratch.shrink_to(MAX_IDLE_SCRATCH_BYTES);
        self.scratch = scratch;
        appended?;
        let seq = Seq(self.next);
        self.next = seq.next().0;
        Ok(seq)
    }

    /// Makes everything that was appended durable. Does nothing where nothing was appended.
    ///
    /// # Durability
    /// On `Ok` every frame below the returned number survives a power cut.
    ///
    /// # Errors
    /// [`SyncError`]: what was appended since the last successful sync is void. A failed sync is never
    /// tried again on the same file; the next append begins a new one, and creates a directory again that
    /// was removed.
    pub fn sync(&mut self) -> Result<Seq, SyncError> {
        match self.try_sync() {
            Ok(()) => {
                self.synced = self.next;
                Ok(Seq(self.synced))
            }
            Err(source) => Err(self.void(source)),
        }
    }

    fn try_sync(&mut self) -> Result<(), StorageError> {
        if self.active.as_ref().is_some_and(|active| active.is_dirty) {
            let file = self.active_file()?;
            file.sync()?;
        }
        if let Some(active) = &mut self.active {
            active.is_dirty = false;
            if self.is_name_dirty {
                self.storage.sync_dir()?;
            }
        }
        self.is_name_dirty = false;
        Ok(())
    }

    /// Drops what was not synced: it may be on disk or not, and no later sync would tell.
    fn void(&mut self, source: StorageError) -> SyncError {
        self.next = self.synced;
        self.scanner = None;
        self.abandon_active();
        if matches!(source, StorageError::Displaced { .. }) {
            self.forget_missing();
        }
        SyncError {
            void_from: Seq(self.next),
            source,
        }
    }

    /// Never writes to the last segment again. Where it holds no number it is no segment any more, and
    /// its name is free for the next one.
    pub(crate) fn abandon_active(&mut self) {
        self.active = None;
        let Some(last) = self.segments.back().copied() else {
            return;
        };
        if last.first >= self.next {
            // Where it stays, `create` removes it before the name is used again.
            drop(remove_if_there(&*self.storage, last.first));
            self.forget(self.segments.len().saturating_sub(1));
        }
    }

    /// Somebody removed the directory: what is gone takes no space.
    fn forget_missing(&mut self) {
        let found = match open::list(&*self.storage) {
            Ok(found) => found,
            Err(error) if error.is_not_found() => return self.segments.clear(),
            Err(_) => return,
        };
        self.segments
            .retain(|segment| found.iter().any(|found| found.first == segment.first));
    }

    fn check_len(&self, parts: &[&[u8]]) -> Result<u64, AppendError> {
        let lens = parts.iter().map(|part| part.len());
        let payload_bytes = lens.fold(0, usize::saturating_add);
        let overhead_bytes = SEGMENT_HEADER_BYTES.saturating_add(to_u64(PREFIX_BYTES));
        let when_empty = self.limits.max_bytes.saturating_sub(overhead_bytes);
        let max_bytes = self
            .limits
            .max_payload_bytes
            .min(MAX_PAYLOAD_BYTES)
            .min(usize::try_from(when_empty).unwrap_or(usize::MAX));
        if payload_bytes > max_bytes {
            return Err(AppendError::TooLong {
                payload_bytes,
                max_bytes,
            });
        }
        Ok(to_u64(payload_bytes.saturating_add(PREFIX_BYTES)))
    }

    fn check_room(&self, frame_bytes: u64) -> Result<(), AppendError> {
        let used_bytes = self.used_bytes();
        let max_bytes = self.limits.max_bytes;
        if used_bytes.saturating_add(frame_bytes) <= max_bytes {
            Ok(())
        } else {
            Err(AppendError::Full {
                used_bytes,
                frame_bytes,
                max_bytes,
            })
        }
    }

    /// Returns whether the last segment takes no frame of this length: it is long enough, or can take
    /// none at all.
    fn is_segment_done(&self, frame_bytes: u64) -> bool {
        let (Some(active), Some(last)) = (&self.active, self.segments.back()) else {
            return false;
        };
        let has_frames = last.first < self.next;
        let is_over = active.end_offset.saturating_add(frame_bytes) > self.limits.segment_bytes;
        active.is_closed || (has_frames && is_over)
    }

    fn encode(
        &self,
        out: &mut Vec<u8>,
        needs_header: bool,
        parts: &[&[u8]],
    ) -> Result<(), AppendError> {
        out.clear();
        let too_long = |error: tailwater_durable::frame::FrameTooLong| AppendError::TooLong {
            payload_bytes: error.payload_bytes,
            max_bytes: MAX_PAYLOAD_BYTES,
        };
        if needs_header {
            format::append_header(out, self.next).map_err(too_long)?;
        }
        format::append_payload(out, self.next, parts).map_err(too_long)
    }

    /// Writes whole frames at the end, or nothing.
    fn write(&mut self, bytes: &[u8]) -> Result<(), AppendError> {
        if self.active.is_none() {
            return self.write_first(bytes).map_err(append_error);
        }
        let end_offset = self.active.as_ref().map_or(0, |active| active.end_offset);
        let written = match self.active_file() {
            Ok(file) => file
                .append(bytes)
                .map_err(|error| (error, file.truncate(end_offset).is_ok())),
            Err(error) => Err((error, false)),
        };
        match written {
            Ok(()) => {
                self.grow(to_u64(bytes.len()));
                Ok(())
            }
            Err((error, is_cut_back)) => {
                if !is_cut_back {
                    self.close();
                }
                Err(append_error(error))
            }
        }
    }

    fn grow(&mut self, appended_bytes: u64) {
        if let (Some(active), Some(last)) = (&mut self.active, self.segments.back_mut()) {
            active.end_offset = active.end_offset.saturating_add(appended_bytes);
            active.is_dirty = true;
            last.bytes = active.end_offset;
        }
    }

    /// The next append finishes the segment and begins a new one; what it holds can still be synced.
    fn close(&mut self) {
        if let (Some(active), Some(last)) = (&mut self.active, self.segments.back_mut()) {
            active.is_closed = true;
            let found_bytes = self.storage.len(&format::name(last.first));
            last.bytes = found_bytes.unwrap_or(last.bytes);
        }
    }

    /// Begins a segment; a failed one leaves no file.
    fn write_first(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        let first = self.next;
        self.segments.retain(|segment| segment.first < first);
        let mut file = self.create(first)?;
        if let Err(error) = file.append(bytes) {
            drop(remove_if_there(&*self.storage, first));
            return Err(error);
        }
        let end_offset = to_u64(bytes.len());
        self.is_name_dirty = true;
        self.segments.push_back(Segment {
            first,
            bytes: end_offset,
            is_discarded: false,
        });
        self.active = Some(Active {
            file: Some(file),
            end_offset,
            is_dirty: true,
            is_closed: false,
        });
        Ok(())
    }

    fn create(&self, first: u64) -> Result<Box<dyn AppendFile>, StorageError> {
        let name = format::name(first);
        let file = self.storage.open_append(&name)?;
        if file.is_empty() {
            return Ok(file);
        }
        // What a failure left behind, perhaps with bytes that a failed sync dropped.
        drop(file);
        self.storage.remove(&name)?;
        self.storage.open_append(&name)
    }

    /// Returns the file of the last segment; one that was found is opened, and its torn tail cut off.
    fn active_file(&mut self) -> Result<&mut dyn AppendFile, StorageError> {
        let name = format::name(self.segments.back().map_or(0, |last| last.first));
        let displaced = || StorageError::Displaced {
            path: self.storage.directory().join(&name),
        };
        let (Some(active), Some(last)) = (&mut self.active, self.segments.back_mut()) else {
            return Err(displaced());
        };
        if active.file.is_none() {
            let mut file = self.storage.open_append(&name)?;
            if file.len() < active.end_offset {
                return Err(displaced());
            }
            file.truncate(active.end_offset)?;
            last.bytes = active.end_offset;
            // It may have read what was cut off.
            self.scanner = None;
            active.file = Some(file);
        }
        let file = active.file.as_mut().ok_or_else(displaced)?;
        Ok(&mut **file)
    }
}

fn append_error(error: StorageError) -> AppendError {
    if error.is_disk_full() {
        AppendError::DiskFull(error)
    } else {
        AppendError::Storage(error)
    }
}
