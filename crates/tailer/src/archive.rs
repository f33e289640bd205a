//! Compressed files, read as the bytes that they stand for.
//!
//! A cursor of an archive has a decoder of its own. All offsets are those of the decoded bytes, so
//! chunks, frames, markers and positions are what they are for a plain file. A decoder goes forward
//! only: a cursor that starts within a file has it decoded from its first byte, and skips.
//!
//! | bound | of what |
//! |---|---|
//! | `MAX_ZSTD_WINDOW_BITS`, `MAX_XZ_BYTES` | what one decoder takes, where a file asks for much |
//! | one chunk and one window | decoded bytes that a decoder keeps |
//! | `MAX_TURN_IN_BYTES`, `MAX_TURN_OUT_BYTES` | what one turn takes and makes |
//! | `MAX_DECODERS`, `MAX_DECODER_BYTES` | decoders that are open at once in one tailer; others wait |
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
//! | asks for a larger window than a decoder may have | damaged where it does |
//! | not of this format | damaged at its first byte: nothing of it is delivered |
//!
//! A damaged archive is told of once and is as finished as a whole one.

mod decoder;
mod decoders;
mod probe;
mod read;
mod unpacker;

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::time::Duration;

pub use decoder::{Decoded, Decoder};
pub(crate) use decoders::Decoders;
pub(crate) use probe::{Likeness, compare, head_of, sample};
pub(crate) use read::{ArchivedFile, Seen};
pub(crate) use unpacker::Unpacker;

/// Decoders that are open at once in one tailer. One of gzip or zlib takes 50 kB, one of bzip2 up to 4 MB,
/// one of zstd or xz its window: 2 to 8 MiB as their programs write files unless told otherwise.
pub(crate) const MAX_DECODERS: usize = 8;

/// Memory of the decoders of one tailer at which no further one is opened. The last may exceed it.
pub(crate) const MAX_DECODER_BYTES: u64 = 256 << 20;

/// A decoder that was not used for this long is closed where another file waits for one: its cursor
/// decodes the file again from its first byte.
pub(crate) const DECODER_IDLE: Duration = Duration::from_secs(5);

/// Compressed bytes that one turn of a cursor takes at most.
const MAX_TURN_IN_BYTES: u64 = 4 << 20;

/// Decoded bytes that one turn of a cursor makes at most, most of them where it skips.
const MAX_TURN_OUT_BYTES: u64 = 16 << 20;

/// Decoded bytes that are looked through at once for a position that may be within an archive. What lies
/// further behind is compared when it is read.
const MAX_PROBED_BYTES: u64 = 64 << 20;

/// Decoded bytes of which the last are compared with a file that is followed, to tell whether an archive
/// was made of it.
const MAX_SAMPLED_BYTES: u64 = 4 << 20;

/// The largest window of a zstd frame that is decoded, as a power of two: 128 MiB, as `zstd -d` does
/// unless told otherwise. Only `zstd --long=28` and more writes larger ones.
const MAX_ZSTD_WINDOW_BITS: u32 = 27;

/// What a decoder of xz may take: the dictionary of `xz -9`, 64 MiB, and what belongs to it.
const MAX_XZ_BYTES: u64 = 66 << 20;

/// How a file is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Compression {
    /// RFC 1952, one member or several.
    Gzip,
    /// RFC 1950.
    Zlib,
    /// bzip2, one stream or several.
    Bzip2,
    /// RFC 8878, frames of any number, also such as are to be skipped. Windows of up to 128 MiB.
    Zstd,
    /// The `.xz` format, one stream or several. Dictionaries of up to 64 MiB.
    Xz,
}

/// Whether some bytes begin like an archive of one format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begins {
    Yes,
    /// They are too few to tell.
    Maybe,
    No,
}

impl Compression {
    /// All that can be told by how a file begins.
    const DETECTABLE: [Self; 4] = [Self::Gzip, Self::Bzip2, Self::Zstd, Self::Xz];

    /// Finds out by its first bytes how a file is compressed, of which 6 are enough; `None` where it is
    /// not, or cannot be told. Two bytes of zlib say too little, so it is never found.
    pub fn detect(head: &[u8]) -> Option<Self> {
        let mut all = Self::DETECTABLE.into_iter();
        all.find(|compression| compression.begins(head) == Begins::Yes)
    }

    /// Returns whether more bytes of a file can still make an archive of it that [`Self::detect`] finds.
    pub(crate) fn may_become_detectable(head: &[u8]) -> bool {
        let mut all = Self::DETECTABLE.into_iter();
        all.any(|compression| compression.begins(head) == Begins::Maybe)
    }

    /// Returns the ending that its program gives to names, with its dot.
    pub fn ending(self) -> &'static str {
        match self {
            Self::Gzip => ".gz",
            Self::Zlib => ".zz",
            Self::Bzip2 => ".bz2",
            Self::Zstd => ".zst",
            Self::Xz => ".xz",
        }
    }

    /// Returns whether a name ends like that of an archive whose format can be told.
    pub fn is_archive_name(name: &OsStr) -> bool {
        let name = name.as_encoded_bytes();
        let mut all = Self::DETECTABLE.into_iter();
        all.any(|compression| name.ends_with(compression.ending().as_bytes()))
    }

    /// Returns whether a name says that its file is an archive, or the beginning of one that is still
    /// written: `app.log.1.gz.part`, also `app.log.gz-20261121`.
    pub(crate) fn is_named_in(name: &OsStr) -> bool {
        let name = name.as_encoded_bytes();
        Self::DETECTABLE.into_iter().any(|format| {
            let ending = format.ending().as_bytes();
            let mut places = memchr::memmem::find_iter(name, ending);
            places.any(|at| {
                let rest = name.get(at.saturating_add(ending.len())..);
                let next = rest.and_then(|rest| rest.first());
                next.is_none_or(|byte| !byte.is_ascii_alphanumeric())
            })
        })
    }

    /// Returns a name without the ending of an archive whose format can be told.
    pub(crate) fn bare_name(name: &OsStr) -> &OsStr {
        let bytes = name.as_encoded_bytes();
        let mut all = Self::DETECTABLE.into_iter();
        let bare = all.find_map(|format| bytes.strip_suffix(format.ending().as_bytes()));
        bare.map_or(name, OsStr::from_bytes)
    }

    /// Looks at what may be the first bytes of a file, or of a member that follows another.
    fn begins(self, input: &[u8]) -> Begins {
        let is = |magic: &[u8]| {
            let is_alike = input.iter().zip(magic).all(|(byte, magic)| byte == magic);
            match is_alike {
                true if input.len() >= magic.len() => Begins::Yes,
                true => Begins::Maybe,
                false => Begins::No,
            }
        };
        match self {
            Self::Gzip => is(b"\x1f\x8b\x08"),
            // The format knows one stream and no more.
            Self::Zlib => Begins::No,
            // The digit is the size of its blocks; behind it the first block begins, or the end.
            Self::Bzip2 => match input.get(3) {
                Some(size @ b'1'..=b'9') => match input.get(4) {
                    Some(0x17) => is(&[b'B', b'Z', b'h', *size, 0x17, 0x72]),
                    Some(_) | None => is(&[b'B', b'Z', b'h', *size, 0x31, 0x41]),
                },
                Some(_) => Begins::No,
                None => is(b"BZh9"),
            },
            Self::Zstd => match input.first() {
                // Frames to be skipped have one of 16 numbers.
                Some(first @ 0x50..=0x5f) => is(&[*first, 0x2a, 0x4d, 0x18]),
                Some(_) | None => is(b"\x28\xb5\x2f\xfd"),
            },
            Self::Xz => is(b"\xfd7zXZ\0"),
        }
    }
}

/// How the files of a source are read that are archives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ArchiveRules {
    /// How they are compressed. `None`: each as its first bytes say, and a file that does not begin like
    /// an archive is followed as ever.
    pub compression: Option<Compression>,
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
    /// Decoding it takes more memory than a decoder may have.
    WindowTooLarge,
    /// It was taken for what has become of a file, by its name and how it begins, and holds something else
    /// before the position.
    OtherContent,
}

impl Damage {
    /// Returns the word for it in logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Corrupt => "corrupt",
            Self::Truncated => "truncated",
            Self::TrailingBytes => "trailing_bytes",
            Self::WindowTooLarge => "window_too_large",
            Self::OtherContent => "other_content",
        }
    }
}
