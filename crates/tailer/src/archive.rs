//! Compressed files, read as the bytes that they stand for.
//!
//! A cursor of an archive has a decoder of its own. All offsets are those of the decoded bytes, so
//! chunks, frames, markers and positions are what they are for a plain file. A decoder goes forward
//! only: a cursor that starts within a file has it decoded from its first byte, and skips.
//!
//! | bound | of what |
//! |---|---|
//! | one chunk and one window | decoded bytes that a decoder keeps |
//! | `MAX_TURN_IN_BYTES`, `MAX_TURN_OUT_BYTES` | what one turn takes and makes |
//! | `MAX_DECODERS` | decoders that are open at once in one tailer; others wait |
//!
//! So a small file that stands for a huge one costs time, turn by turn, and never memory.
//!
//! | file | what becomes of it |
//! |---|---|
//! | several members, one after the other | read as one; zero bytes after a member are padding |
//! | empty | has no line, and may still be written |
//! | ends within a member | may still be written: once it was quiet, it is damaged there |
//! | damaged, or a checksum that is wrong | what was decoded before is delivered |
//! | other bytes after the last member | damaged there: they are no lines |
//! | not of this format | damaged at its first byte: nothing of it is delivered |
//!
//! A damaged archive is told of once and is as finished as a whole one.

mod decoder;
mod decoders;
mod read;
mod unpacker;

use std::time::Duration;

pub(crate) use decoders::Decoders;
pub(crate) use read::{ArchivedFile, Seen};
pub(crate) use unpacker::{Unpacker, head_of};

/// Decoders that are open at once in one tailer. One of bzip2 takes up to 4 MB, the others 50 kB.
pub(crate) const MAX_DECODERS: usize = 8;

/// A decoder that was not used for this long is closed where another file waits for one: its cursor
/// decodes the file again from its first byte.
pub(crate) const DECODER_IDLE: Duration = Duration::from_secs(5);

/// Compressed bytes that one turn of a cursor takes at most.
const MAX_TURN_IN_BYTES: u64 = 4 << 20;

/// Decoded bytes that one turn of a cursor makes at most, most of them where it skips.
const MAX_TURN_OUT_BYTES: u64 = 16 << 20;

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Compression {
    /// RFC 1952, one member or several.
    Gzip,
    /// RFC 1950.
    Zlib,
    /// bzip2, one stream or several.
    Bzip2,
}

/// How the files of a source are read that are archives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ArchiveRules {
    /// How they are compressed.
    pub compression: Compression,
    /// An archive is left alone until it was not written to for this long.
    pub delay: Duration,
}

/// Why an archive ends before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Damage {
    /// The compressed bytes make no sense, or a checksum is wrong.
    Corrupt,
    /// It ends within a member, and was not written to for long.
    Truncated,
    /// Something else follows its last member.
    TrailingBytes,
}

impl Damage {
    /// Returns the word for it in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Corrupt => "corrupt",
            Self::Truncated => "truncated",
            Self::TrailingBytes => "trailing_bytes",
        }
    }
}
