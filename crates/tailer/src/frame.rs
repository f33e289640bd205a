//! Framing: bytes of a file to lines.
//!
//! A line ends with `\n` or `\r\n`; exactly one `\r` goes with the `\n`, any other stays. Empty lines
//! are lines, and a line may hold any bytes. The offset a [`Framer`] ends at is where the next read
//! starts: what it cannot decide yet is read again, so nothing is copied from chunk to chunk and a
//! line that fits is a slice of the read buffer.
//!
//! What a file holds beside its lines is skipped: a byte order mark at offset 0, the rest of a
//! truncated line, a hole that truncation left behind. It lies between the spans of two records, or
//! between the last span and [`Framer::offset`].

mod framer;
mod utf16;

#[cfg(test)]
mod tests;

use tailwater_record::Span;

pub use framer::Framer;

/// The smallest limit of a line; a smaller one is read as this.
///
/// It leaves room for [`TRUNCATED_SUFFIX`] and some characters before it.
pub const MIN_LINE_BYTES: usize = 64;

/// What a chunk holds beyond `max_line_bytes`, at least: room to see that a line of exactly the limit
/// ends there, with `\r\n` in UTF-16.
pub const MIN_LOOKAHEAD_BYTES: usize = 4;

/// The end of a line whose rest was skipped.
pub const TRUNCATED_SUFFIX: &str = "...[truncated]";

/// The end of a piece of a line that goes on in the next record.
pub const CONTINUED_SUFFIX: &str = "...[continued]";

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

/// How the bytes of one file are read as text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ResolvedEncoding {
    /// Bytes with `\n` between lines, shipped as they are; they need not be UTF-8.
    #[default]
    Utf8,
    /// UTF-16, little-endian, decoded to UTF-8.
    Utf16Le,
    /// UTF-16, big-endian, decoded to UTF-8.
    Utf16Be,
}

impl Encoding {
    /// Decides the encoding of a file that begins with `head`.
    ///
    /// `head` holds the first 2 bytes at least where the file has them: an empty or one-byte head has
    /// no mark and resolves to UTF-8, so a file that grows is resolved again.
    pub fn resolve(self, head: &[u8]) -> ResolvedEncoding {
        let marked = if head.starts_with(ResolvedEncoding::Utf16Le.mark()) {
            ResolvedEncoding::Utf16Le
        } else if head.starts_with(ResolvedEncoding::Utf16Be.mark()) {
            ResolvedEncoding::Utf16Be
        } else {
            ResolvedEncoding::Utf8
        };
        self.resolve_marked(marked)
    }

    /// Decides the encoding of a file whose byte order mark, or the lack of one, says `marked`.
    pub fn resolve_marked(self, marked: ResolvedEncoding) -> ResolvedEncoding {
        match self {
            Self::Auto => marked,
            Self::Utf8 => ResolvedEncoding::Utf8,
            Self::Utf16Le => ResolvedEncoding::Utf16Le,
            Self::Utf16Be => ResolvedEncoding::Utf16Be,
        }
    }
}

impl ResolvedEncoding {
    /// Returns the byte order mark.
    fn mark(self) -> &'static [u8] {
        match self {
            Self::Utf8 => b"\xef\xbb\xbf",
            Self::Utf16Le => b"\xff\xfe",
            Self::Utf16Be => b"\xfe\xff",
        }
    }

    /// Returns how many bytes belong together at least.
    pub(crate) fn unit_bytes(self) -> usize {
        match self {
            Self::Utf8 => 1,
            Self::Utf16Le | Self::Utf16Be => utf16::UNIT_BYTES,
        }
    }

    /// Returns the index after the last newline of `text`, which begins with a whole unit.
    pub fn end_of_last_line(self, text: &[u8]) -> Option<usize> {
        let newline = match self {
            Self::Utf8 => memchr::memrchr(b'\n', text),
            Self::Utf16Le | Self::Utf16Be => utf16::find_last_newline(text, self),
        };
        newline.map(|at| at + self.unit_bytes())
    }
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

/// Where a cursor is within a line, carried from chunk to chunk.
///
/// It belongs to the offset the last [`Framer`] ended at. A cursor that starts anywhere else starts
/// with the default, which takes the next byte for the first of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct FrameState {
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
enum Place {
    /// At the first byte of a line.
    #[default]
    LineStart,
    /// In NUL bytes that no writer wrote.
    Hole,
    /// In the rest of a truncated line.
    SkippedLine,
    /// Between two pieces of a split line.
    SplitLine,
    /// After the last byte of an archive.
    ArchiveEnd,
}

impl FrameState {
    /// Starts a file that was truncated while it was followed.
    ///
    /// A writer that does not append goes on at its old offset, and the file gets a hole of NUL bytes
    /// before it. A run of them at the start is skipped and counted, up to the first other byte.
    pub fn start_after_truncation() -> Self {
        Self { place: Place::Hole }
    }

    /// All of an archive was read: it need not be decoded again to find that nothing follows.
    pub fn at_archive_end() -> Self {
        Self {
            place: Place::ArchiveEnd,
        }
    }

    /// Returns whether all of an archive was read.
    pub fn is_archive_end(self) -> bool {
        self.place == Place::ArchiveEnd
    }

    /// Returns a number to store beside the offset, so that a cursor goes on within a long line after a
    /// restart: 0 at the first byte of a line, 1 in a hole, 2 in the rest of a truncated line, 3 between
    /// two pieces of a split one, 4 after the last byte of an archive.
    pub fn code(self) -> u8 {
        match self.place {
            Place::LineStart => 0,
            Place::Hole => 1,
            Place::SkippedLine => 2,
            Place::SplitLine => 3,
            Place::ArchiveEnd => 4,
        }
    }

    /// Takes up a stored number; one that no version knows is the first byte of a line.
    pub fn from_code(code: u8) -> Self {
        let place = match code {
            1 => Place::Hole,
            2 => Place::SkippedLine,
            3 => Place::SplitLine,
            4 => Place::ArchiveEnd,
            _ => Place::LineStart,
        };
        Self { place }
    }
}

/// What framing did beside yielding whole lines; the framer adds to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct FrameStats {
    /// Lines over the limit of which the beginning was kept.
    pub truncated_lines: u64,
    /// Lines over the limit that became several records.
    pub split_lines: u64,
    /// Bytes of truncated lines that were not kept, up to the `\n`, which does not count.
    pub skipped_bytes: u64,
    /// NUL bytes of holes that were skipped.
    pub hole_bytes: u64,
    /// UTF-16 records in which something was replaced by U+FFFD.
    pub undecodable_lines: u64,
}

/// What follows the last byte of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChunkEnd {
    /// More of the file, now or later: an unterminated rest is left for the next chunk.
    MoreMayFollow,
    /// Nothing: an unterminated rest is the last line.
    Finished,
}

/// One framed record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Framed<'f> {
    /// The line without its delimiter, at most `max_line_bytes` of the file and a marking suffix
    /// within them; UTF-16 takes up to half as much again when it is decoded.
    pub line: &'f [u8],
    /// Its bytes in the file, delimiter included.
    ///
    /// The span of a truncated record covers the whole line, or of a line that is longer than the
    /// chunk what the chunk holds of it; the rest lies before the next record.
    pub span: Span,
    /// Whether it is all of a line.
    pub cut: Cut,
}

/// Whether a record is all of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// A whole line, or the last piece of one that was split.
    Whole,
    /// The beginning of a line, marked with [`TRUNCATED_SUFFIX`]; the rest is skipped.
    Truncated,
    /// A piece of a line, marked with [`CONTINUED_SUFFIX`]; the next record goes on.
    Continued,
    /// The last line of a finished file, or the last piece of it, without a delimiter.
    Unterminated,
}
