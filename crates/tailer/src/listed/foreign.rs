//! Files that are packed in a way that nothing here unpacks: their bytes are no lines.

use crate::Compression;

/// How such files begin. Source: the magic numbers of file(1); none is the beginning of a text.
const BEGINNINGS: [(&[u8], &str); 12] = [
    (b"\x04\x22\x4d\x18", "compressed by lz4"),
    (b"\x02\x21\x4c\x18", "compressed by lz4"),
    (b"\x1f\x9d", "compressed by compress"),
    (b"\x1f\x1e", "compressed by pack"),
    (b"\x1f\xa0", "compressed by compress"),
    (b"LZIP\x01", "compressed by lzip"),
    (b"\x89LZO\0\r\n\x1a\n", "compressed by lzop"),
    (b"LRZI\0", "compressed by lrzip"),
    (b"PK\x03\x04", "a zip archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"Rar!\x1a\x07", "a rar archive"),
    (b"LPKSHHRH", "a journal of systemd"),
];

/// Where a tar archive has its magic number. Source: POSIX.1-2017, pax, "ustar Interchange Format".
const TAR_MAGIC: std::ops::Range<usize> = 257..262;

/// Says what a file is whose first bytes, decoded as far as they can be, are those of no text; `None` where they
/// may be.
pub(super) fn packed_as(head: &[u8], compression: Option<Compression>) -> Option<&'static str> {
    if compression.is_some() && Compression::detect(head).is_some() {
        return Some("compressed twice");
    }
    if head.get(TAR_MAGIC) == Some(b"ustar") {
        return Some("a tar archive");
    }
    let mut known = BEGINNINGS.iter();
    let found = known.find(|(beginning, _)| head.starts_with(beginning))?;
    Some(found.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_in_another_way_is_known_by_how_it_begins() {
        for (beginning, name) in BEGINNINGS {
            let head = [beginning, b"rest"].concat();
            assert_eq!(packed_as(&head, None), Some(name));
            assert_eq!(packed_as(&head, Some(Compression::Gzip)), Some(name));
        }
        let mut tar = [0; 512];
        tar[TAR_MAGIC].copy_from_slice(b"ustar");
        assert_eq!(packed_as(&tar, None), Some("a tar archive"));
        assert_eq!(packed_as(b"\x1f\x8b\x08\0\0\0", None), None);
        let twice = packed_as(b"\x1f\x8b\x08\0\0\0", Some(Compression::Gzip));
        assert_eq!(twice, Some("compressed twice"));
    }

    #[test]
    fn lines_are_not_taken_for_an_archive() {
        for head in [
            &b""[..],
            b"\x1f",
            b"PK\n",
            b"LZIP is a program\n",
            b"7z: no such file\n",
            b"Rar! said the lion\n",
            b"\xff\xfeP\0K\0",
        ] {
            assert_eq!(packed_as(head, None), None, "{head:?}");
        }
        assert_eq!(packed_as(&b"ustar ".repeat(100), None), None);
    }
}
