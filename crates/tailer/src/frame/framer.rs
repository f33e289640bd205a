//! The framer of one chunk.

use std::fmt;

use memchr::memchr;
use tailwater_record::Span;

use super::{
    CONTINUED_SUFFIX, ChunkEnd, Cut, FrameConfig, FrameState, FrameStats, Framed, MIN_LINE_BYTES,
    MIN_LOOKAHEAD_BYTES, OverLimit, Place, ResolvedEncoding, TRUNCATED_SUFFIX, utf16,
};

/// Frames one chunk of one file.
///
/// # Invariants
/// The records of a chunk are in file order and do not overlap; `offset()` never goes back. The same
/// file yields the same lines however it is cut into chunks.
pub struct Framer<'a> {
    encoding: ResolvedEncoding,
    over_limit: OverLimit,
    max_line_bytes: usize,
    /// Where a line that fits has ended, with its delimiter.
    window_bytes: usize,
    chunk: &'a [u8],
    /// Offset of the chunk in its file.
    chunk_offset: u64,
    /// Index in the chunk of the first byte that is neither yielded nor skipped, `<= chunk.len()`.
    next_index: usize,
    end: ChunkEnd,
    state: &'a mut FrameState,
    scratch: &'a mut Vec<u8>,
    stats: &'a mut FrameStats,
}

impl<'a> Framer<'a> {
    /// Starts on a chunk, and skips what it begins with that is not a line.
    ///
    /// `chunk` holds the file's bytes from `offset` on, where the last framer of this cursor ended.
    /// It is empty only at the end of the file, and where the file has more it is at least
    /// `max_line_bytes + `[`MIN_LOOKAHEAD_BYTES`] long (with a limit of at least [`MIN_LINE_BYTES`]):
    /// of a shorter chunk perhaps nothing can be framed. `scratch` holds lines that are not slices
    /// of the chunk; at most `1.5 * max_line_bytes + 32` bytes of it are used.
    #[expect(
        clippy::too_many_arguments,
        reason = "each is a thing of its own, lent for one chunk"
    )]
    pub fn new(
        config: &FrameConfig,
        encoding: ResolvedEncoding,
        frame_state: &'a mut FrameState,
        chunk: &'a [u8],
        offset: u64,
        end: ChunkEnd,
        scratch: &'a mut Vec<u8>,
        stats: &'a mut FrameStats,
    ) -> Self {
        let limit = config.max_line_bytes.max(MIN_LINE_BYTES);
        let max_line_bytes = match encoding {
            ResolvedEncoding::Utf8 => limit,
            ResolvedEncoding::Utf16Le | ResolvedEncoding::Utf16Be => utf16::floor_even(limit),
        };
        let delimiter_bytes = match encoding {
            ResolvedEncoding::Utf8 => "\r\n".len(),
            ResolvedEncoding::Utf16Le | ResolvedEncoding::Utf16Be => MIN_LOOKAHEAD_BYTES,
        };
        let mut framer = Self {
            encoding,
            over_limit: config.over_limit,
            max_line_bytes,
            window_bytes: max_line_bytes.saturating_add(delimiter_bytes),
            chunk,
            chunk_offset: offset,
            next_index: 0,
            end,
            state: frame_state,
            scratch,
            stats,
        };
        framer.skip_what_is_no_line();
        framer
    }

    /// Returns the next record of the chunk; `None` where the next chunk is needed.
    #[expect(
        clippy::should_implement_trait,
        reason = "a record borrows the framer's scratch"
    )]
    #[inline]
    pub fn next(&mut self) -> Option<Framed<'_>> {
        if self.encoding != ResolvedEncoding::Utf8 {
            return self.next_utf16();
        }
        let rest = self.rest();
        let window = rest.get(..self.window_bytes).unwrap_or(rest);
        let Some(newline) = memchr(b'\n', window) else {
            return self.next_without_newline();
        };
        let line = without_carriage_return(window.get(..newline).unwrap_or_default());
        if line.len() > self.max_line_bytes {
            return Some(self.next_over_limit());
        }
        self.state.place = Place::LineStart;
        let span = self.take(newline.saturating_add(1));
        let cut = Cut::Whole;
        Some(Framed { line, span, cut })
    }

    /// Returns the offset after everything that was yielded or skipped: where the next chunk starts.
    ///
    /// An unterminated rest within the limit is before it only if the chunk is finished.
    pub fn offset(&self) -> u64 {
        self.chunk_offset.saturating_add(bytes(self.next_index))
    }

    /// Returns where the framer is within a line, which belongs to its offset.
    pub fn state(&self) -> FrameState {
        *self.state
    }

    fn rest(&self) -> &'a [u8] {
        self.chunk.get(self.next_index..).unwrap_or_default()
    }

    /// Moves on by `len` bytes of the chunk and returns their span.
    fn take(&mut self, len: usize) -> Span {
        let start = self.offset();
        self.next_index = self.next_index.saturating_add(len);
        Span {
            start,
            end: self.offset(),
        }
    }

    fn next_utf16(&mut self) -> Option<Framed<'_>> {
        let rest = self.rest();
        let window = rest.get(..self.window_bytes).unwrap_or(rest);
        let Some(newline) = utf16::find_newline(window, self.encoding) else {
            return self.next_without_newline();
        };
        let line = self.without_carriage_return(window.get(..newline).unwrap_or_default());
        if line.len() > self.max_line_bytes {
            return Some(self.next_over_limit());
        }
        self.state.place = Place::LineStart;
        let span = self.take(newline.saturating_add(utf16::UNIT_BYTES));
        Some(self.decoded(line, span, Cut::Whole))
    }

    /// Decides about a rest that no newline within reach ends.
    #[cold]
    fn next_without_newline(&mut self) -> Option<Framed<'_>> {
        let rest = self.rest();
        let is_finished = self.end == ChunkEnd::Finished;
        // A `\r` at the end may be half of a delimiter as long as more may follow.
        let line = if is_finished {
            rest
        } else {
            self.without_carriage_return(self.whole_units(rest))
        };
        if line.len() > self.max_line_bytes {
            return Some(self.next_over_limit());
        }
        if !is_finished || rest.is_empty() {
            return None;
        }
        self.state.place = Place::LineStart;
        let span = self.take(rest.len());
        match self.encoding {
            ResolvedEncoding::Utf8 => Some(Framed {
                line,
                span,
                cut: Cut::Unterminated,
            }),
            ResolvedEncoding::Utf16Le | ResolvedEncoding::Utf16Be => {
                Some(self.decoded(line, span, Cut::Unterminated))
            }
        }
    }

    /// Yields the beginning of what is left of a line that is over the limit.
    #[cold]
    fn next_over_limit(&mut self) -> Framed<'_> {
        let (suffix, cut) = match self.over_limit {
            OverLimit::Truncate => (TRUNCATED_SUFFIX, Cut::Truncated),
            OverLimit::Split => (CONTINUED_SUFFIX, Cut::Continued),
        };
        let kept = self.head_of_line(self.max_line_bytes.saturating_sub(suffix.len()));
        let mut span = self.take(kept.len());
        match self.over_limit {
            OverLimit::Truncate => {
                self.stats.truncated_lines = self.stats.truncated_lines.saturating_add(1);
                self.skip_line();
                span.end = self.offset();
            }
            OverLimit::Split => {
                let is_first_piece = self.state.place != Place::SplitLine;
                self.stats.split_lines = self
                    .stats
                    .split_lines
                    .saturating_add(u64::from(is_first_piece));
                self.state.place = Place::SplitLine;
            }
        }
        self.fill_scratch(kept);
        self.scratch.extend_from_slice(suffix.as_bytes());
        let line = self.scratch.as_slice();
        Framed { line, span, cut }
    }

    /// Returns the longest beginning of the rest that ends between two characters, at most
    /// `max_bytes`.
    fn head_of_line(&self, max_bytes: usize) -> &'a [u8] {
        let rest = self.rest();
        let len = match self.encoding {
            ResolvedEncoding::Utf8 => floor_char_boundary(rest, max_bytes),
            ResolvedEncoding::Utf16Le | ResolvedEncoding::Utf16Be => {
                utf16::floor_char_boundary(rest, max_bytes, self.encoding)
            }
        };
        rest.get(..len).unwrap_or(rest)
    }

    fn decoded(&mut self, line: &[u8], span: Span, cut: Cut) -> Framed<'_> {
        self.fill_scratch(line);
        let line = self.scratch.as_slice();
        Framed { line, span, cut }
    }

    fn fill_scratch(&mut self, line: &[u8]) {
        self.scratch.clear();
        match self.encoding {
            ResolvedEncoding::Utf8 => self.scratch.extend_from_slice(line),
            ResolvedEncoding::Utf16Le | ResolvedEncoding::Utf16Be => {
                let is_lossy = utf16::decode(line, self.encoding, self.scratch);
                self.stats.undecodable_lines = self
                    .stats
                    .undecodable_lines
                    .saturating_add(u64::from(is_lossy));
            }
        }
    }

    fn skip_what_is_no_line(&mut self) {
        if self.chunk_offset == 0 && self.chunk.starts_with(self.encoding.mark()) {
            self.state.place = Place::LineStart;
            self.next_index = self.encoding.mark().len();
        } else if self.encoding != ResolvedEncoding::Utf8 && self.chunk_offset % 2 == 1 {
            // Half a unit was sent as the end of a file that has grown since.
            self.next_index = self.chunk.len().min(1);
        }
        match self.state.place {
            Place::Hole => self.skip_hole(),
            Place::SkippedLine => self.skip_line(),
            Place::LineStart | Place::SplitLine | Place::ArchiveEnd => {}
        }
    }

    /// Skips to the end of the line, or of the chunk if that comes first.
    fn skip_line(&mut self) {
        let rest = self.rest();
        let newline = match self.encoding {
            ResolvedEncoding::Utf8 => memchr(b'\n', rest).map(|at| (at, 1)),
            ResolvedEncoding::Utf16Le | ResolvedEncoding::Utf16Be => {
                utf16::find_newline(rest, self.encoding).map(|at| (at, utf16::UNIT_BYTES))
            }
        };
        let (skipped, delimiter_bytes) = newline.unwrap_or((self.whole_units(rest).len(), 0));
        self.state.place = match newline {
            Some(_) => Place::LineStart,
            None => Place::SkippedLine,
        };
        self.stats.skipped_bytes = self.stats.skipped_bytes.saturating_add(bytes(skipped));
        self.next_index = self
            .next_index
            .saturating_add(skipped)
            .saturating_add(delimiter_bytes);
    }

    /// Skips NUL bytes; any other byte ends the hole.
    fn skip_hole(&mut self) {
        let rest = self.rest();
        let nul_bytes = leading_nul_bytes(rest);
        let is_all_nul = nul_bytes == rest.len();
        let skipped = if is_all_nul {
            self.whole_units(rest).len()
        } else if self.encoding == ResolvedEncoding::Utf8 {
            nul_bytes
        } else {
            // The last NUL may be half of the first character.
            utf16::floor_even(nul_bytes)
        };
        if !is_all_nul {
            self.state.place = Place::LineStart;
        }
        self.stats.hole_bytes = self.stats.hole_bytes.saturating_add(bytes(skipped));
        self.next_index = self.next_index.saturating_add(skipped);
    }

    /// Returns what can be looked at before more of the file is there: no half unit.
    fn whole_units<'b>(&self, rest: &'b [u8]) -> &'b [u8] {
        if self.encoding == ResolvedEncoding::Utf8 || self.end == ChunkEnd::Finished {
            return rest;
        }
        rest.get(..utf16::floor_even(rest.len())).unwrap_or(rest)
    }

    fn without_carriage_return<'b>(&self, line: &'b [u8]) -> &'b [u8] {
        match self.encoding {
            ResolvedEncoding::Utf8 => without_carriage_return(line),
            ResolvedEncoding::Utf16Le => line.strip_suffix(b"\r\0").unwrap_or(line),
            ResolvedEncoding::Utf16Be => line.strip_suffix(b"\0\r").unwrap_or(line),
        }
    }
}

impl fmt::Debug for Framer<'_> {
    /// Leaves out the bytes: they are an operator's logs.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Framer")
            .field("encoding", &self.encoding)
            .field("state", &self.state)
            .field("offset", &self.offset())
            .finish_non_exhaustive()
    }
}

fn without_carriage_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Returns the largest length, at most `max_bytes`, that does not end within a UTF-8 character.
///
/// A run of continuation bytes longer than any character has is cut where it stands.
fn floor_char_boundary(text: &[u8], max_bytes: usize) -> usize {
    let is_continuation = |at: &usize| text.get(*at).is_some_and(|byte| byte & 0xc0 == 0x80);
    let earliest = max_bytes.saturating_sub(3);
    (earliest..=max_bytes)
        .rev()
        .find(|at| !is_continuation(at))
        .unwrap_or(max_bytes)
}

/// Counts the NUL bytes that `text` begins with.
fn leading_nul_bytes(text: &[u8]) -> usize {
    // Whole blocks first, without a branch per byte: holes are gigabytes long.
    const BLOCK_BYTES: usize = 64;
    let is_hole = |block: &&[u8]| block.iter().fold(0, |seen, byte| seen | byte) == 0;
    let blocks = text.chunks_exact(BLOCK_BYTES).take_while(is_hole).count();
    let in_blocks = blocks.saturating_mul(BLOCK_BYTES);
    let after_blocks = text.get(in_blocks..).unwrap_or_default();
    let in_rest = after_blocks.iter().take_while(|byte| **byte == 0).count();
    in_blocks.saturating_add(in_rest)
}

fn bytes(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}
