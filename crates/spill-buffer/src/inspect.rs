//! Looking at the segments of a directory without changing anything.

use std::collections::VecDeque;

use tailwater_durable::{Storage, StorageError};

use crate::format::{self, KIND_HEADER, VERSION};
use crate::scan::{Found, Scanner, Step};
use crate::spill::Segment;
use crate::{Seq, open, scan};

/// Returns the segments of a directory, the oldest first. Nothing on disk is changed; a spill that is in
/// use may be looked at, and what is appended meanwhile is not seen.
///
/// # Errors
/// [`StorageError`] where the directory cannot be listed.
pub fn inspect(storage: &dyn Storage) -> Result<Inspection<'_>, StorageError> {
    Ok(Inspection {
        storage,
        segments: open::list(storage)?,
    })
}

/// The segments of a directory.
#[derive(Debug)]
pub struct Inspection<'a> {
    storage: &'a dyn Storage,
    segments: VecDeque<Segment>,
}

impl<'a> Iterator for Inspection<'a> {
    type Item = InspectedSegment<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let segment = self.segments.pop_front()?;
        Some(InspectedSegment {
            storage: self.storage,
            segment,
            end: self.segments.front().map(|following| following.first),
        })
    }
}

/// A segment file that can be looked at.
#[derive(Debug)]
pub struct InspectedSegment<'a> {
    storage: &'a dyn Storage,
    segment: Segment,
    /// Where the next segment begins.
    end: Option<u64>,
}

/// A frame that can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InspectedFrame<'a> {
    /// Its number.
    pub seq: Seq,
    /// Where it starts in the segment.
    pub offset: u64,
    /// What was appended.
    pub payload: &'a [u8],
    /// A sync failed after it, and its number was used again: [`SpillBuffer::read`] passes it.
    ///
    /// [`SpillBuffer::read`]: crate::SpillBuffer::read
    pub is_void: bool,
}

/// What a segment holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SegmentReport {
    /// The version in its header; `None` where the header cannot be read.
    pub version: Option<u32>,
    /// Its length in bytes.
    pub bytes: u64,
    /// Frames that can be read, the void ones included; 0 where the version is newer.
    pub frames: u64,
    /// Those of them that are void.
    pub void_frames: u64,
    /// Frames of a kind that this version does not know.
    pub unknown_frames: u64,
    /// The number of the first frame that can be read.
    pub first: Option<Seq>,
    /// The number of the last frame that can be read.
    pub last: Option<Seq>,
    /// Stretches that are no frame, with a frame or the end of the file after them.
    pub damaged_stretches: u64,
    /// Their bytes.
    pub damaged_bytes: u64,
    /// Bytes behind the last frame.
    pub torn_tail_bytes: u64,
}

impl InspectedSegment<'_> {
    /// Returns the name of the file.
    pub fn name(&self) -> String {
        format::name(self.segment.first)
    }

    /// Returns the number that the segment begins with by its name.
    pub fn first(&self) -> Seq {
        Seq(self.segment.first)
    }

    /// Returns the length of the file when the directory was listed.
    pub fn bytes(&self) -> u64 {
        self.segment.bytes
    }

    /// Reads the segment; `on_frame` is given each frame. Frames of a newer version are not read.
    ///
    /// # Errors
    /// [`StorageError`] where the file cannot be read.
    pub fn read(
        &self,
        mut on_frame: impl FnMut(InspectedFrame<'_>),
    ) -> Result<SegmentReport, StorageError> {
        let bytes = self.segment.bytes;
        let mut scanner = Scanner::new(self.segment.first);
        let mut report = SegmentReport {
            version: scan::version(self.storage, self.segment.first)?,
            bytes,
            ..SegmentReport::default()
        };
        if report.version.is_some_and(|version| version > VERSION) {
            return Ok(report);
        }
        loop {
            match scanner.peek(self.storage, bytes)? {
                Step::Frame(found) => {
                    if let Some(frame) = self.frame(&scanner, &found) {
                        on_frame(frame);
                    }
                    report.count(&found, self.end);
                    scanner.pass(&found);
                }
                Step::Damaged {
                    offset,
                    damaged_bytes,
                } => {
                    report.damaged_stretches = report.damaged_stretches.saturating_add(1);
                    report.damaged_bytes = report.damaged_bytes.saturating_add(damaged_bytes);
                    scanner.skip_to(offset.saturating_add(damaged_bytes));
                }
                Step::Tail { tail_bytes, .. } => {
                    report.torn_tail_bytes = tail_bytes;
                    scanner.skip_to(bytes);
                }
                Step::End => return Ok(report),
            }
        }
    }

    fn frame<'s>(&self, scanner: &'s Scanner, found: &Found) -> Option<InspectedFrame<'s>> {
        let seq = found.seq?;
        Some(InspectedFrame {
            seq: Seq(seq),
            offset: found.offset,
            payload: scanner.payload(found),
            is_void: is_void(seq, self.end),
        })
    }
}

impl SegmentReport {
    fn count(&mut self, found: &Found, end: Option<u64>) {
        let Some(seq) = found.seq else {
            let is_header = found.kind == KIND_HEADER && found.offset == 0;
            let unknown = u64::from(!is_header);
            self.unknown_frames = self.unknown_frames.saturating_add(unknown);
            return;
        };
        self.frames = self.frames.saturating_add(1);
        let void = u64::from(is_void(seq, end));
        self.void_frames = self.void_frames.saturating_add(void);
        self.first = self.first.or(Some(Seq(seq)));
        self.last = self.last.max(Some(Seq(seq)));
    }
}

fn is_void(seq: u64, end: Option<u64>) -> bool {
    end.is_some_and(|end| seq >= end)
}
