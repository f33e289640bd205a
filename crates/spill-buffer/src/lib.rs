//! A durable queue of opaque payloads on disk, for sinks that are slow.
//!
//! Payloads become numbered frames in segment files. [`SpillBuffer`] appends at the end, reads from any
//! number on, and gives space back segment by segment, down to zero files. What is damaged or missing is
//! told as an exact range of numbers and never stands in the way of the rest. The format is
//! docs/formats/spill.md.
//!
//! Single owner, no threads, no clock: when to sync and what to do when it is full is up to the caller.

mod append;
mod discard;
mod format;
mod inspect;
mod open;
mod read;
mod scan;
mod spill;
mod tail;

use std::fmt;

pub use append::{AppendError, SyncError};
pub use format::VERSION;
pub use inspect::{InspectedFrame, InspectedSegment, Inspection, SegmentReport, inspect};
pub use open::{OpenError, Recovery, open};
pub use read::{Read, ReadError};
pub use spill::{SpillBuffer, Status};

/// Number of a frame: rising by one, from [`Seq::FIRST`].
///
/// A number that was synced is never used for another payload in the same directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Seq(pub u64);

impl Seq {
    /// The number of the first frame of an empty directory.
    pub const FIRST: Self = Self(1);

    /// Returns the number after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a spill may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of all segment files together.
    ///
    /// Space comes back in whole segments, so this is to be several times `segment_bytes`.
    pub max_bytes: u64,
    /// Most bytes of one segment file, unless a single frame is longer.
    pub segment_bytes: u64,
    /// Most bytes of one payload; at most 64 MiB less 8 bytes, whatever is given.
    pub max_payload_bytes: usize,
}

impl Limits {
    /// Segments of 16 MiB and payloads of up to 32 MiB, `max_bytes` in all.
    pub fn new(max_bytes: u64) -> Self {
        Self {
            max_bytes,
            segment_bytes: 16 * 1024 * 1024,
            max_payload_bytes: 32 * 1024 * 1024,
        }
    }
}
