//! Reading a segment in windows, frame by frame, and going on after damage.

use std::ops::Range;

use tailwater_durable::frame::{HEADER_BYTES, MAGIC};
use tailwater_durable::{Storage, StorageError};

use crate::format::{self, Head, KIND_HEADER, KIND_PAYLOAD, MAX_PAYLOAD_BYTES, PREFIX_BYTES};
use crate::format::{PREFIX_BYTES_U64, to_u64};

/// A window is this long, or one frame where that is longer.
const READ_AHEAD_BYTES: usize = 1024 * 1024;

/// No header of any version is longer.
const MAX_HEADER_BYTES: usize = 4096;

/// Places that are looked at behind damage before the first of them is believed.
const MAX_CANDIDATES: usize = 8;

/// A place in a segment, and the bytes that were read there.
///
/// The file may grow at its end while it is read; whatever else happens to it, any bytes are safe.
#[derive(Debug)]
pub(crate) struct Scanner {
    name: String,
    /// The number in the name.
    first: u64,
    offset: u64,
    /// No frame at or after `offset` is to have a number below: what has, is from elsewhere.
    min_seq: u64,
    window: Vec<u8>,
    window_start: u64,
}

/// What stands at the offset.
#[derive(Debug)]
pub(crate) enum Step {
    Frame(Found),
    /// No frame, with a frame or the end of the file where the damage ends.
    Damaged {
        offset: u64,
        damaged_bytes: u64,
    },
    /// No frame, and none after it.
    Tail {
        offset: u64,
        tail_bytes: u64,
    },
    End,
}

/// A frame whose checksum holds, and whose number is possible where it is a payload.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) offset: u64,
    pub(crate) kind: u8,
    /// The number of a payload frame.
    pub(crate) seq: Option<u64>,
    frame_bytes: usize,
}

impl Found {
    pub(crate) fn end_offset(&self) -> u64 {
        self.offset.saturating_add(to_u64(self.frame_bytes))
    }
}

impl Scanner {
    pub(crate) fn new(first: u64) -> Self {
        Self {
            name: format::name(first),
            first,
            offset: 0,
            min_seq: first,
            window: Vec::new(),
            window_start: 0,
        }
    }

    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    pub(crate) fn min_seq(&self) -> u64 {
        self.min_seq
    }

    /// Returns what stands at the offset, in a file of `end` bytes; stays there.
    pub(crate) fn peek(&mut self, storage: &dyn Storage, end: u64) -> Result<Step, StorageError> {
        let offset = self.offset;
        if offset >= end {
            return Ok(Step::End);
        }
        if let Some(found) = self.frame_at(storage, offset, end)? {
            return Ok(Step::Frame(found));
        }
        let resumed = self.resume_after(storage, offset, end)?;
        Ok(match resumed {
            Some(resumed) => Step::Damaged {
                offset,
                damaged_bytes: resumed.saturating_sub(offset),
            },
            None => Step::Tail {
                offset,
                tail_bytes: end.saturating_sub(offset),
            },
        })
    }

    /// Goes on behind a frame.
    pub(crate) fn pass(&mut self, found: &Found) {
        self.offset = found.end_offset();
        if let Some(seq) = found.seq {
            self.min_seq = self.min_seq.max(seq.saturating_add(1));
        }
    }

    /// Goes on at an offset, behind damage or at the end.
    pub(crate) fn skip_to(&mut self, offset: u64) {
        self.offset = offset;
    }

    /// Returns the payload of a frame that [`Scanner::peek`] returned last.
    pub(crate) fn payload(&self, found: &Found) -> &[u8] {
        let prefix_bytes = match found.seq {
            Some(_) => PREFIX_BYTES,
            None => HEADER_BYTES,
        };
        let range = self.range_of(found, prefix_bytes);
        self.window.get(range).unwrap_or_default()
    }

    /// Takes the payload of a frame that [`Scanner::peek`] returned last. A long one is not copied:
    /// two of them would be in memory otherwise.
    pub(crate) fn take_payload(&mut self, found: &Found) -> Vec<u8> {
        let is_window = self.window_start == found.offset && self.window.len() == found.frame_bytes;
        if !is_window || found.seq.is_none() {
            return self.payload(found).to_vec();
        }
        let mut payload = std::mem::take(&mut self.window);
        payload.drain(..PREFIX_BYTES.min(payload.len()));
        payload
    }

    /// Gives the memory of the window back.
    pub(crate) fn forget_window(&mut self) {
        self.window = Vec::new();
    }

    fn range_of(&self, found: &Found, prefix_bytes: usize) -> Range<usize> {
        let start = found.offset.saturating_sub(self.window_start);
        let start = usize::try_from(start).unwrap_or(usize::MAX);
        start.saturating_add(prefix_bytes)..start.saturating_add(found.frame_bytes)
    }

    /// Returns `len` bytes at `offset`, fewer where the file ends before.
    pub(crate) fn bytes(
        &mut self,
        storage: &dyn Storage,
        offset: u64,
        len: usize,
        end: u64,
    ) -> Result<&[u8], StorageError> {
        let rest_bytes = usize::try_from(end.saturating_sub(offset)).unwrap_or(usize::MAX);
        let len = len.min(rest_bytes);
        let window_end = self.window_start.saturating_add(to_u64(self.window.len()));
        let is_there =
            offset >= self.window_start && offset.saturating_add(to_u64(len)) <= window_end;
        if !is_there {
            // Before the next one is read: both may be long.
            self.window = Vec::new();
            let len = len.max(READ_AHEAD_BYTES).min(rest_bytes);
            self.window = storage.read_at(&self.name, offset, len)?;
            self.window_start = offset;
        }
        let start = usize::try_from(offset.saturating_sub(self.window_start)).unwrap_or(usize::MAX);
        let rest = self.window.get(start..).unwrap_or_default();
        Ok(rest.get(..len).unwrap_or(rest))
    }

    fn frame_at(
        &mut self,
        storage: &dyn Storage,
        offset: u64,
        end: u64,
    ) -> Result<Option<Found>, StorageError> {
        let first = self.first;
        let bytes = self.bytes(storage, offset, PREFIX_BYTES, end)?;
        let Some(head) = Head::parse(bytes).filter(|head| head.has_magic) else {
            return Ok(None);
        };
        let frame_bytes = head.frame_bytes();
        if offset.saturating_add(to_u64(frame_bytes)) > end {
            return Ok(None);
        }
        let mut seq = None;
        if head.kind == KIND_PAYLOAD {
            let number = bytes.get(HEADER_BYTES..).and_then(format::seq_of);
            seq = number.filter(|number| is_possible(*number, first, offset));
            if seq.is_none() || frame_bytes < PREFIX_BYTES {
                return Ok(None);
            }
        }
        let bytes = self.bytes(storage, offset, frame_bytes, end)?;
        let is_valid = bytes.len() == frame_bytes && format::is_valid(bytes);
        Ok(is_valid.then_some(Found {
            offset,
            kind: head.kind,
            seq,
            frame_bytes,
        }))
    }

    /// Returns where the damage at `offset` ends; `None` where no frame follows.
    ///
    /// A payload can contain what looks like a frame. So a place is believed first where the damaged
    /// bytes up to it are a frame in all but its length, then the end that they declare, and only then
    /// the first place with a frame.
    fn resume_after(
        &mut self,
        storage: &dyn Storage,
        offset: u64,
        end: u64,
    ) -> Result<Option<u64>, StorageError> {
        let mut resumed = self.declared_end(storage, offset, end)?;
        let search_end = resumed.unwrap_or(end);
        let mut from = offset.saturating_add(1);
        for _ in 0..MAX_CANDIDATES {
            let Some(candidate) = self.search(storage, from..search_end, end)? else {
                break;
            };
            if self.is_whole_but_for_length(storage, offset..candidate)? {
                return Ok(Some(candidate));
            }
            resumed = resumed.or(Some(candidate));
            from = candidate.saturating_add(1);
        }
        Ok(resumed)
    }

    /// Returns where the damaged frame at `offset` ends by its own account, if a frame or the end of
    /// the file stands there.
    fn declared_end(
        &mut self,
        storage: &dyn Storage,
        offset: u64,
        end: u64,
    ) -> Result<Option<u64>, StorageError> {
        let bytes = self.bytes(storage, offset, HEADER_BYTES, end)?;
        let Some(head) = Head::parse(bytes) else {
            return Ok(None);
        };
        let declared_end = offset.saturating_add(to_u64(head.frame_bytes()));
        if declared_end == end {
            return Ok(Some(declared_end));
        }
        let found = self.frame_at(storage, declared_end, end)?;
        Ok(found.map(|found| found.offset))
    }

    /// Returns whether these bytes are one payload frame in which nothing but the length is damaged.
    pub(crate) fn is_whole_but_for_length(
        &mut self,
        storage: &dyn Storage,
        range: Range<u64>,
    ) -> Result<bool, StorageError> {
        let max_bytes = PREFIX_BYTES.saturating_add(MAX_PAYLOAD_BYTES);
        let len = range.end.saturating_sub(range.start);
        if !(PREFIX_BYTES_U64..=to_u64(max_bytes)).contains(&len) {
            return Ok(false);
        }
        let bytes = self.bytes(storage, range.start, max_bytes, range.end)?;
        Ok(format::is_valid_but_for_length(bytes))
    }

    /// Returns the offset of the first payload frame that starts in a range.
    fn search(
        &mut self,
        storage: &dyn Storage,
        range: Range<u64>,
        end: u64,
    ) -> Result<Option<u64>, StorageError> {
        let mut from = range.start;
        while let Some(candidate) = self.find_magic(storage, from, range.end)? {
            let found = self.frame_at(storage, candidate, end)?;
            let seq = found.and_then(|found| found.seq);
            if seq.is_some_and(|seq| seq >= self.min_seq) {
                return Ok(Some(candidate));
            }
            from = candidate.saturating_add(1);
        }
        Ok(None)
    }

    fn find_magic(
        &mut self,
        storage: &dyn Storage,
        from: u64,
        end: u64,
    ) -> Result<Option<u64>, StorageError> {
        let mut from = from;
        loop {
            let window_end = self.window_start.saturating_add(to_u64(self.window.len()));
            let is_in_window = (self.window_start..window_end).contains(&from);
            let held = if is_in_window { window_end - from } else { 0 };
            let held = usize::try_from(held).unwrap_or(usize::MAX);
            let len = if held > MAGIC.len() {
                held
            } else {
                READ_AHEAD_BYTES
            };
            let bytes = self.bytes(storage, from, len, end)?;
            if bytes.len() < MAGIC.len() {
                return Ok(None);
            }
            let mut windows = bytes.windows(MAGIC.len());
            if let Some(index) = windows.position(|window| window == MAGIC) {
                return Ok(Some(from.saturating_add(to_u64(index))));
            }
            // The last bytes may be the start of a magic that ends in the next window.
            let passed = bytes.len().saturating_sub(MAGIC.len() - 1);
            from = from.saturating_add(to_u64(passed));
        }
    }
}

/// Returns the version in the header of a segment, if the header is valid.
pub(crate) fn version(storage: &dyn Storage, first: u64) -> Result<Option<u32>, StorageError> {
    let bytes = storage.read_at(&format::name(first), 0, MAX_HEADER_BYTES)?;
    let head = Head::parse(&bytes).filter(|head| head.kind == KIND_HEADER);
    let header = head.and_then(|head| bytes.get(..head.frame_bytes()));
    let header = header.filter(|header| format::is_valid(header));
    let payload = header.and_then(|header| header.get(HEADER_BYTES..));
    Ok(payload.and_then(format::version_of))
}

/// Returns whether the frame at this offset can have this number: the numbers of a segment have no
/// gaps, and every frame before it took bytes.
fn is_possible(seq: u64, first: u64, offset: u64) -> bool {
    let max_before = offset / PREFIX_BYTES_U64;
    (first..=first.saturating_add(max_before)).contains(&seq)
}
