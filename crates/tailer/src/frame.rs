//! Framing: bytes of a file to lines.

use tailwater_record::Span;

/// What happens to a line over the limit. It never stops the file and is never held in memory whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum OverLimit {
    /// The first `max_line_bytes` are kept, marked, and the rest of the line is skipped and counted.
    #[default]
    Truncate,
    /// The line becomes several records of at most `max_line_bytes`, each but the last marked.
    Split,
}

/// How the bytes of a file are read as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Encoding {
    /// By the byte order mark, else bytes with `\n` between lines.
    #[default]
    Auto,
    /// Bytes with `\n` between lines; a UTF-8 mark at the start is dropped.
    Utf8,
    /// UTF-16, little-endian.
    Utf16Le,
    /// UTF-16, big-endian.
    Utf16Be,
}

/// How a source's files are framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameConfig {
    /// Longest line in bytes, delimiter excluded; at least 64.
    pub max_line_bytes: usize,
    /// What happens to a longer line.
    pub over_limit: OverLimit,
    /// How bytes are read as text.
    pub encoding: Encoding,
}

/// How the bytes of one file are read, decided by its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ResolvedEncoding {
    /// Bytes with `\n` between lines.
    #[default]
    Utf8,
    /// UTF-16, little-endian.
    Utf16Le,
    /// UTF-16, big-endian.
    Utf16Be,
}

impl Encoding {
    /// Decides how a file is read that begins with `head`.
    pub fn resolve(self, head: &[u8]) -> ResolvedEncoding {
        match self {
            Self::Utf8 => ResolvedEncoding::Utf8,
            Self::Utf16Le => ResolvedEncoding::Utf16Le,
            Self::Utf16Be => ResolvedEncoding::Utf16Be,
            Self::Auto if head.starts_with(&[0xFF, 0xFE]) => ResolvedEncoding::Utf16Le,
            Self::Auto if head.starts_with(&[0xFE, 0xFF]) => ResolvedEncoding::Utf16Be,
            Self::Auto => ResolvedEncoding::Utf8,
        }
    }
}

/// Whether an unterminated rest of a chunk is a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkEnd {
    /// It may go on: it is left for the next read.
    MoreMayFollow,
    /// The file is finished: it is the last line.
    Finished,
}

/// What a cursor carries from one chunk to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameState {
    within: Within,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Within {
    /// At the start of a line.
    #[default]
    LineStart,
    /// In a line over the limit, of which the rest is skipped.
    Skipped,
    /// In a line over the limit, of which pieces were sent.
    Split,
    /// At the start of a file that was truncated: leading NUL bytes are a hole.
    Hole,
}

impl FrameState {
    /// The state at the start of a file that was truncated under its writer: a leading run of NUL
    /// bytes is the hole that a writer leaves that writes on at its old offset.
    pub fn start_after_truncation() -> Self {
        Self { within: Within::Hole }
    }
}

/// What was put right or passed over while framing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameStats {
    /// Lines cut at the limit.
    pub truncated_lines: u64,
    /// Lines that became several records.
    pub split_lines: u64,
    /// Bytes of lines over the limit that were skipped.
    pub skipped_bytes: u64,
    /// Leading NUL bytes of truncated files.
    pub hole_bytes: u64,
    /// UTF-16 lines in which something was not text and was replaced.
    pub undecodable_lines: u64,
}

/// How a record relates to its line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// It is the whole line.
    Whole,
    /// It is the start of a line over the limit; the rest is skipped.
    Truncated,
    /// It is a piece of a line over the limit; the next record goes on.
    Continued,
    /// It is the last line, which has no delimiter.
    Unterminated,
}

/// One record of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Framed<'f> {
    /// The line without its delimiter.
    pub line: &'f [u8],
    /// Where it stands in the file, delimiter included; of a truncated line, what was kept of it.
    pub span: Span,
    /// How it relates to its line.
    pub cut: Cut,
}

/// Ends a line that was cut.
const TRUNCATED: &[u8] = b"...[truncated]";

/// Ends a piece that the next record continues.
const CONTINUED: &[u8] = b"...[continued]";

/// Makes records of the bytes of one chunk.
///
/// The chunk must hold the longest line whole: at least `max_line_bytes + 4` bytes, or the rest of the
/// file. What is not consumed is read again from [`Framer::offset`].
#[derive(Debug)]
pub struct Framer<'a> {
    config: &'a FrameConfig,
    encoding: ResolvedEncoding,
    state: &'a mut FrameState,
    rest: &'a [u8],
    offset: u64,
    end: ChunkEnd,
    scratch: &'a mut Vec<u8>,
    stats: &'a mut FrameStats,
}

impl<'a> Framer<'a> {
    /// Begins a chunk whose first byte stands at `offset`.
    #[expect(clippy::too_many_arguments, reason = "made once per chunk, of parts with different lives")]
    pub fn new(
        config: &'a FrameConfig,
        encoding: ResolvedEncoding,
        state: &'a mut FrameState,
        chunk: &'a [u8],
        offset: u64,
        end: ChunkEnd,
        scratch: &'a mut Vec<u8>,
        stats: &'a mut FrameStats,
    ) -> Self {
        Self { config, encoding, state, rest: chunk, offset, end, scratch, stats }
    }

    /// Returns the offset after everything that was yielded or skipped.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Returns the next record; `None` where the rest of the chunk is no whole line.
    #[inline]
    pub fn next(&mut self) -> Option<Framed<'_>> {
        if self.state.within == Within::LineStart && self.encoding == ResolvedEncoding::Utf8 {
            // The path of nearly every line: one search, two slices.
            if let Some(at) = memchr::memchr(b'\n', self.rest)
                && at <= self.config.max_line_bytes
            {
                let (line, rest) = self.rest.split_at_checked(at)?;
                self.rest = rest.get(1..).unwrap_or_default();
                let start = self.offset;
                self.offset = start.saturating_add(at as u64 + 1);
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                let line = if start == 0 { line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line) } else { line };
                return Some(Framed { line, span: Span { start, end: self.offset }, cut: Cut::Whole });
            }
        }
        self.next_slowly()
    }

    /// Everything else: UTF-16, lines over the limit, holes, last lines.
    fn next_slowly(&mut self) -> Option<Framed<'_>> {
        if self.state.within == Within::Hole {
            self.skip_hole();
        }
        if self.state.within == Within::Skipped {
            self.skip_line()?;
        }
        if self.rest.is_empty() {
            return None;
        }
        match self.find_newline() {
            Some((len, delimiter)) if len <= self.limit() => {
                let was_split = self.state.within == Within::Split;
                self.state.within = Within::LineStart;
                // The delimiter right after the last piece ends the line and is no line itself.
                if was_split && len == 0 {
                    self.consume(delimiter);
                    return self.next_slowly();
                }
                Some(self.emit(len, delimiter, Cut::Whole))
            }
            None if self.rest.len() <= self.limit() + self.unit() => match self.end {
                ChunkEnd::MoreMayFollow => None,
                ChunkEnd::Finished => {
                    self.state.within = Within::LineStart;
                    let len = self.rest.len().min(self.limit() + self.unit());
                    Some(self.emit(len, 0, Cut::Unterminated))
                }
            },
            Some(_) | None => Some(self.cut_line()),
        }
    }

    /// Bytes of one code unit.
    fn unit(&self) -> usize {
        if self.encoding == ResolvedEncoding::Utf8 { 1 } else { 2 }
    }

    /// The longest line in bytes, in whole units, with room for the `\r` before its `\n`.
    fn limit(&self) -> usize {
        self.config.max_line_bytes - self.config.max_line_bytes % self.unit()
    }

    /// Finds the next delimiter: the bytes before it, and its own length.
    fn find_newline(&self) -> Option<(usize, usize)> {
        let newline: [u8; 2] = match self.encoding {
            ResolvedEncoding::Utf8 => return memchr::memchr(b'\n', self.rest).map(|at| (at, 1)),
            ResolvedEncoding::Utf16Le => [b'\n', 0],
            ResolvedEncoding::Utf16Be => [0, b'\n'],
        };
        self.rest.chunks_exact(2).position(|unit| unit == newline).map(|at| (at * 2, 2))
    }

    fn consume(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
        self.offset = self.offset.saturating_add(bytes as u64);
    }

    fn skip_hole(&mut self) {
        let nuls = self.rest.iter().take_while(|byte| **byte == 0).count();
        // In UTF-16 the first character may begin with a NUL byte.
        let nuls = if self.encoding == ResolvedEncoding::Utf16Be && nuls < self.rest.len() { nuls & !1 } else { nuls };
        self.consume(nuls);
        self.stats.hole_bytes = self.stats.hole_bytes.saturating_add(nuls as u64);
        if !self.rest.is_empty() {
            self.state.within = Within::LineStart;
        }
    }

    /// Skips the rest of a line over the limit; `None` where it does not end in this chunk.
    fn skip_line(&mut self) -> Option<()> {
        let found = self.find_newline();
        let bytes = found.map_or(self.rest.len() - self.rest.len() % self.unit(), |(len, _)| len);
        self.consume(bytes);
        self.stats.skipped_bytes = self.stats.skipped_bytes.saturating_add(bytes as u64);
        let (_, delimiter) = found?;
        self.consume(delimiter);
        self.state.within = Within::LineStart;
        Some(())
    }

    /// Yields the start or a piece of a line over the limit.
    fn cut_line(&mut self) -> Framed<'_> {
        let (mark, cut, next) = match self.config.over_limit {
            OverLimit::Truncate => (TRUNCATED, Cut::Truncated, Within::Skipped),
            OverLimit::Split => (CONTINUED, Cut::Continued, Within::Split),
        };
        if cut == Cut::Truncated {
            self.stats.truncated_lines += 1;
        } else if self.state.within != Within::Split {
            self.stats.split_lines += 1;
        }
        self.state.within = next;
        let room = self.limit().saturating_sub(mark.len() * self.unit());
        let kept = self.character_boundary(room.max(self.unit() * 4));
        let start = self.offset;
        let bytes = self.rest.get(..kept).unwrap_or_default();
        self.scratch.clear();
        if self.encoding == ResolvedEncoding::Utf8 {
            let bytes = if start == 0 { bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes) } else { bytes };
            self.scratch.extend_from_slice(bytes);
        } else if !decode_utf16(bytes, self.encoding, start == 0, self.scratch) {
            self.stats.undecodable_lines += 1;
        }
        self.scratch.extend_from_slice(mark);
        self.consume(kept);
        Framed { line: self.scratch, span: Span { start, end: self.offset }, cut }
    }

    /// Moves a cut back so that it splits no character.
    fn character_boundary(&self, at: usize) -> usize {
        let byte = |index: usize| self.rest.get(index).copied().unwrap_or(0);
        match self.encoding {
            ResolvedEncoding::Utf8 => {
                let back = (0..4_usize).find(|back| byte(at.saturating_sub(*back)) & 0xC0 != 0x80);
                at.saturating_sub(back.unwrap_or(0))
            }
            ResolvedEncoding::Utf16Le | ResolvedEncoding::Utf16Be => {
                let at = at & !1;
                let high = if self.encoding == ResolvedEncoding::Utf16Le { byte(at + 1) } else { byte(at) };
                if (0xDC..=0xDF).contains(&high) { at.saturating_sub(2) } else { at }
            }
        }
    }

    fn emit(&mut self, len: usize, delimiter: usize, cut: Cut) -> Framed<'_> {
        let start = self.offset;
        let bytes = self.rest.get(..len).unwrap_or_default();
        self.consume(len + delimiter);
        let span = Span { start, end: self.offset };
        if self.encoding == ResolvedEncoding::Utf8 {
            let line = if start == 0 { bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes) } else { bytes };
            let line = if delimiter > 0 { line.strip_suffix(b"\r").unwrap_or(line) } else { line };
            return Framed { line, span, cut };
        }
        self.scratch.clear();
        if !decode_utf16(bytes, self.encoding, start == 0, self.scratch) {
            self.stats.undecodable_lines += 1;
        }
        if delimiter > 0 && self.scratch.last() == Some(&b'\r') {
            self.scratch.pop();
        }
        Framed { line: self.scratch, span, cut }
    }
}

/// Appends UTF-16 as UTF-8; returns whether all of it was text.
fn decode_utf16(bytes: &[u8], encoding: ResolvedEncoding, at_start: bool, text: &mut Vec<u8>) -> bool {
    let (pairs, odd) = bytes.as_chunks::<2>();
    let units = pairs.iter().map(|unit| match encoding {
        ResolvedEncoding::Utf16Be => u16::from_be_bytes(*unit),
        ResolvedEncoding::Utf16Le | ResolvedEncoding::Utf8 => u16::from_le_bytes(*unit),
    });
    let skip = usize::from(at_start && units.clone().next() == Some(0xFEFF));
    let mut is_text = odd.is_empty();
    let mut utf8 = [0_u8; 4];
    for char in char::decode_utf16(units.skip(skip)) {
        is_text &= char.is_ok();
        let char = char.unwrap_or(char::REPLACEMENT_CHARACTER);
        text.extend_from_slice(char.encode_utf8(&mut utf8).as_bytes());
    }
    if !odd.is_empty() {
        text.extend_from_slice(char::REPLACEMENT_CHARACTER.encode_utf8(&mut utf8).as_bytes());
    }
    is_text
}
