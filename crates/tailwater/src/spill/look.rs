//! Reading a directory of segments without changing it, beside whoever uses it.

use std::sync::Arc;

use anyhow::Context as _;
use tailwater_durable::Storage;
use tailwater_spill_buffer::{InspectedSegment, Limits, Seq, inspect};

use super::place::Place;
use super::read_only::ReadOnly;
/// What state a directory is in. Counts are of frames that wait, and not of those that were delivered
/// and stand beside them.
#[derive(Debug, Default, serde::Serialize)]
pub(super) struct Condition {
    /// Segment files.
    pub(super) segments: u64,
    /// Their bytes.
    pub(super) bytes: u64,
    /// Frames that can be read.
    pub(super) frames: u64,
    /// Frames that were delivered; their segments still hold others.
    pub(super) delivered_frames: u64,
    /// Numbers without a frame: damaged, or their segment is missing.
    pub(super) lost_frames: u64,
    /// Frames of a sync that failed, and that were written again.
    pub(super) void_frames: u64,
    /// Frames of a kind that this version does not know.
    pub(super) unknown_frames: u64,
    /// Stretches that are no frame.
    pub(super) damaged_stretches: u64,
    /// Their bytes.
    pub(super) damaged_bytes: u64,
    /// Bytes behind the last frame: an append that is going on, or that a crash cut off.
    pub(super) torn_tail_bytes: u64,
    /// Segments that a newer version wrote.
    pub(super) newer_segments: u64,
    /// Segments that the disk does not give.
    pub(super) unreadable_segments: u64,
}

impl Condition {
    /// Returns whether something is there, or was, that cannot be read.
    pub(super) fn is_damaged(&self) -> bool {
        let wrong = [
            self.lost_frames,
            self.unknown_frames,
            self.damaged_stretches,
            self.newer_segments,
            self.unreadable_segments,
        ];
        wrong.iter().any(|count| *count > 0)
    }
}

/// Opens a directory to be read and nothing else.
pub(super) fn open(place: &Place) -> anyhow::Result<Arc<dyn Storage>> {
    ReadOnly::open(&place.directory)
}

/// Returns the number after the last frame. Of a last segment that is damaged at its end this is what its
/// bytes leave room for.
fn next_seq(storage: &Arc<dyn Storage>) -> anyhow::Result<u64> {
    let opened =
        tailwater_spill_buffer::open(Arc::clone(storage), Limits::new(u64::MAX), Seq::FIRST);
    let (buffer, _) = opened?;
    Ok(buffer.status().next.0)
}

/// Reads every frame that waits in a directory, in the order of their numbers.
///
/// # Errors
/// The directory cannot be listed, or `on_frame` has failed; then no further one is read.
pub(super) fn frames(
    place: &Place,
    storage: &Arc<dyn Storage>,
    mut on_frame: impl FnMut(&[u8]) -> anyhow::Result<()>,
) -> anyhow::Result<Condition> {
    let cannot_list = || {
        format!(
            "cannot look at {}",
            crate::check::printable(&place.directory)
        )
    };
    // Asked first: what is appended meanwhile must not look as if it were missing.
    let next = next_seq(storage).with_context(cannot_list)?;
    let mut condition = Condition::default();
    let mut segments = inspect(&**storage).with_context(cannot_list)?.peekable();
    while let Some(segment) = segments.next() {
        let end = segments.peek().map(|following| following.first().0);
        let numbers = Numbers {
            acked: place.acked,
            end,
            next,
        };
        numbers.read(&segment, &mut condition, &mut on_frame)?;
    }
    Ok(condition)
}

/// The numbers that a segment is expected to hold.
struct Numbers {
    /// Every frame below it was delivered.
    acked: u64,
    /// Where the next segment begins.
    end: Option<u64>,
    /// The number after the last frame of all.
    next: u64,
}

impl Numbers {
    fn read(
        &self,
        segment: &InspectedSegment<'_>,
        condition: &mut Condition,
        on_frame: &mut impl FnMut(&[u8]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut waiting = 0_u64;
        let mut delivered = 0_u64;
        let mut outcome = Ok(());
        let read = segment.read(|frame| {
            if frame.is_void || outcome.is_err() {
                return;
            }
            if frame.seq.0 < self.acked {
                delivered += 1;
                return;
            }
            waiting += 1;
            outcome = on_frame(frame.payload);
        });
        outcome?;
        let report = match read {
            Ok(report) => report,
            // Its owner has given it back meanwhile.
            Err(error) if error.is_not_found() => return Ok(()),
            Err(_) => {
                condition.segments += 1;
                condition.bytes += segment.bytes();
                condition.unreadable_segments += 1;
                return Ok(());
            }
        };
        condition.segments += 1;
        condition.bytes += report.bytes;
        condition.frames += waiting;
        condition.delivered_frames += delivered;
        condition.void_frames += report.void_frames;
        condition.unknown_frames += report.unknown_frames;
        condition.damaged_stretches += report.damaged_stretches;
        condition.damaged_bytes += report.damaged_bytes;
        condition.torn_tail_bytes += report.torn_tail_bytes;
        let is_newer = is_newer(&report);
        condition.newer_segments += u64::from(is_newer);
        if !is_newer {
            let last = report.last.map_or(0, |last| last.next().0);
            let end = self.end.unwrap_or(self.next.max(last));
            let first = segment.first().0.max(self.acked);
            condition.lost_frames += end.saturating_sub(first).saturating_sub(waiting);
        }
        Ok(())
    }
}

/// A segment of a newer version is not read: it has bytes, and no frame, damage or tail.
fn is_newer(report: &tailwater_spill_buffer::SegmentReport) -> bool {
    report
        .version
        .is_some_and(|version| version > tailwater_spill_buffer::VERSION)
}
