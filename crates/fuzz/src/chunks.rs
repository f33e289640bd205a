//! Frames a file that is read in chunks.

use tailwater_record::Span;
use tailwater_tailer::frame::{
    ChunkEnd, FrameConfig, FrameState, FrameStats, Framer, MIN_LINE_BYTES, MIN_LOOKAHEAD_BYTES,
    OverLimit,
};
use tailwater_tailer::{Cut, Encoding};

/// How a file is framed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Framing {
    pub(crate) config: FrameConfig,
    pub(crate) is_after_truncation: bool,
}

impl Framing {
    /// Frames by the byte order mark, from the start of a file.
    pub(crate) fn new(max_line_bytes: usize, is_split: bool) -> Self {
        let over_limit = if is_split {
            OverLimit::Split
        } else {
            OverLimit::Truncate
        };
        let config = FrameConfig {
            max_line_bytes,
            over_limit,
            encoding: Encoding::Auto,
        };
        Self {
            config,
            is_after_truncation: false,
        }
    }
}

/// A framed record, copied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Framed {
    pub(crate) line: Vec<u8>,
    pub(crate) span: Span,
    pub(crate) cut: Cut,
}

/// Reads a file to its end, in chunks that are longer by `extra_bytes` than the shortest, and checks that
/// the spans rise and that the end is reached. The span of a truncated line goes as far as the chunk does.
pub(crate) fn read(framing: &Framing, file: &[u8], extra_bytes: usize) -> Vec<Framed> {
    let encoding = framing.config.encoding.resolve(file);
    let limit = framing.config.max_line_bytes.max(MIN_LINE_BYTES);
    let chunk_bytes = extra_bytes.saturating_add(limit + MIN_LOOKAHEAD_BYTES);
    let mut state = if framing.is_after_truncation {
        FrameState::start_after_truncation()
    } else {
        FrameState::default()
    };
    let (mut scratch, mut counts) = (Vec::new(), FrameStats::default());
    let mut records: Vec<Framed> = Vec::new();
    let mut offset = 0_usize;
    loop {
        let rest = file.get(offset..).unwrap_or_default();
        let chunk = rest.get(..chunk_bytes).unwrap_or(rest);
        let end = if chunk.len() == rest.len() {
            ChunkEnd::Finished
        } else {
            ChunkEnd::MoreMayFollow
        };
        // What is stored between two chunks is enough to go on.
        state = FrameState::from_code(state.code());
        let at = u64::try_from(offset).unwrap_or(u64::MAX);
        let mut framer = Framer::new(
            &framing.config,
            encoding,
            &mut state,
            chunk,
            at,
            end,
            &mut scratch,
            &mut counts,
        );
        while let Some(record) = framer.next() {
            let Span { start, end } = record.span;
            let before = records.last().map_or(0, |last| last.span.end);
            assert!(
                before <= start && start < end,
                "{start}..{end} after {before}"
            );
            records.push(Framed {
                line: record.line.to_vec(),
                span: record.span,
                cut: record.cut,
            });
        }
        let next = usize::try_from(framer.offset()).unwrap_or(usize::MAX);
        if end == ChunkEnd::Finished {
            assert_eq!(next, file.len(), "a finished file is read to its end");
            return records;
        }
        assert!(next > offset, "a full chunk is never stuck");
        offset = next;
    }
}
