//! One chunk's way into the batch of its lane, whichever thread reads it.

use tailwater_tailer::{Chunk, FrameState, FrameStats, Framer, ResolvedEncoding, TailId};

use super::lane::{Lane, Taken, enter_stats};
use super::slot::Place;
use super::staged::{StagedLane, Workshop};
use crate::route::SourceEnd;

/// The way of the next chunk of a cursor.
pub(super) struct Way<'a> {
    pub(super) lane: Lane<'a>,
    /// The file within the tailer.
    pub(super) file: TailId,
    /// The stages that its lines go through, where there are any.
    pub(super) workshop: Option<&'a mut Workshop>,
    pub(super) source: &'a SourceEnd,
    pub(super) encoding: ResolvedEncoding,
    pub(super) frame: &'a mut FrameState,
    pub(super) scratch: &'a mut Vec<u8>,
}

/// What came of a chunk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Passed {
    pub(super) taken: Taken,
    /// The offset after what was framed.
    pub(super) offset: u64,
    /// Lines that were read.
    pub(super) lines: u64,
}

impl Way<'_> {
    /// Frames a chunk and copies its lines into the open batch, by way of the stages where there are any; it
    /// stands in the books then.
    pub(super) fn take(self, chunk: &Chunk<'_>) -> Passed {
        let Self {
            mut lane,
            file,
            workshop,
            source,
            encoding,
            frame,
            scratch,
        } = self;
        let (desk, route) = (lane.seal.desk, lane.route);
        // As the file stands before it is framed: what is skipped at the start of a chunk is skipped at once.
        let start = Place {
            offset: chunk.offset,
            marker: chunk.marker_at(chunk.offset),
            code: frame.code(),
        };
        let mut stats = FrameStats::default();
        let mut framer = Framer::new(
            &source.frame,
            encoding,
            frame,
            chunk.bytes(),
            chunk.offset,
            chunk.end,
            scratch,
            &mut stats,
        );
        let (taken, lines) = match workshop {
            Some(workshop) => StagedLane {
                lane,
                file,
                workshop,
            }
            .take(&mut framer, chunk, start, source),
            None => lane.take(&mut framer, chunk, start, source),
        };
        let offset = framer.offset();
        enter_stats(desk, route.book, &stats);
        route.progress.add_lines(lines);
        Passed {
            taken,
            offset,
            lines,
        }
    }
}
