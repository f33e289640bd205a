//! The first bytes of a file, for those who only want to look at it.

use std::fs::File;
use std::io;

use super::unpacker::{Budget, Stop, Unpacker};
use super::{Compression, Damage};
use crate::file::read_at;

/// Bytes that tell whether a file is an archive.
const MAGIC_BYTES: usize = 16;

/// The first bytes of a file, decoded where it is an archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// At most as many as were asked for.
    pub bytes: Vec<u8>,
    /// How the file is compressed; `None` for a plain one.
    pub compression: Option<Compression>,
    /// What follows them.
    pub end: HeadEnd,
}

/// What follows the head of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadEnd {
    /// Nothing: it is all of the file.
    Whole,
    /// More of the file.
    Cut,
    /// What cannot be decoded.
    Damaged(Damage),
}

/// Reads the first `max_bytes` of a file, of an archive those that it stands for. Whether it is one is
/// told by how it begins.
///
/// Of an archive that stands for little, at most one turn's bytes are read.
///
/// # Errors
/// Those of reading the file.
pub fn read_head(file: &File, max_bytes: usize) -> io::Result<Head> {
    let magic = read_plain(file, MAGIC_BYTES)?;
    let compression = Compression::detect(&magic);
    // One more tells whether there are more.
    let wanted = max_bytes.saturating_add(1);
    let (mut bytes, end) = match compression {
        None => (read_plain(file, wanted)?, HeadEnd::Whole),
        Some(compression) => {
            let mut unpacker = Unpacker::new(compression);
            let stop = unpacker.fill(file, 0, wanted, &mut Budget::of_a_turn())?;
            let end = match stop {
                Stop::Pause => HeadEnd::Cut,
                Stop::End => HeadEnd::Whole,
                Stop::Starved => HeadEnd::Damaged(Damage::Truncated),
                Stop::Damaged(damage) => HeadEnd::Damaged(damage),
            };
            (unpacker.into_decoded(), end)
        }
    };
    let is_cut = bytes.len() > max_bytes;
    bytes.truncate(max_bytes);
    Ok(Head {
        bytes,
        compression,
        end: if is_cut { HeadEnd::Cut } else { end },
    })
}

fn read_plain(file: &File, max_bytes: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; max_bytes];
    let mut len = 0;
    while let Some(target) = bytes.get_mut(len..).filter(|target| !target.is_empty()) {
        let read = read_at(file, target, u64::try_from(len).unwrap_or(u64::MAX))?;
        if read == 0 {
            break;
        }
        len = len.saturating_add(read);
    }
    bytes.truncate(len);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn head(text: &[u8], max_bytes: usize) -> Head {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text).unwrap();
        read_head(&file, max_bytes).unwrap()
    }

    fn gzipped(text: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn a_plain_file_is_read_as_far_as_is_asked_for() {
        let found = head(b"1234", 4);
        assert_eq!((&*found.bytes, found.end), (&b"1234"[..], HeadEnd::Whole));
        let found = head(b"12345", 4);
        assert_eq!((&*found.bytes, found.end), (&b"1234"[..], HeadEnd::Cut));
        assert_eq!(head(b"", 4).end, HeadEnd::Whole);
        assert_eq!(found.compression, None);
    }

    #[test]
    fn an_archive_is_decoded_as_far_as_is_asked_for() {
        let text = b"line\n".repeat(40_000);
        let found = head(&gzipped(&text), 100_000);
        assert_eq!((found.bytes.len(), found.end), (100_000, HeadEnd::Cut));
        assert_eq!(found.compression, Some(Compression::Gzip));
        let found = head(&gzipped(&text), 300_000);
        assert_eq!((found.bytes, found.end), (text, HeadEnd::Whole));
    }

    #[test]
    fn of_a_damaged_archive_there_is_what_comes_before_the_damage() {
        let mut archive = gzipped(b"line\n");
        archive.extend_from_slice(b"other bytes");
        let found = head(&archive, 100);
        let damage = HeadEnd::Damaged(Damage::TrailingBytes);
        assert_eq!((&*found.bytes, found.end), (&b"line\n"[..], damage));
        archive.truncate(archive.len() - 15);
        assert_eq!(head(&archive, 100).end, HeadEnd::Damaged(Damage::Truncated));
    }
}
