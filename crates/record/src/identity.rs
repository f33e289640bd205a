//! What tells one file from another, and one content of a file from the next.

use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

/// Bytes at the head of a file that its fingerprint covers at most, and bytes before an offset that
/// a [`Marker`] covers at most.
///
/// Both are equal on purpose: a read that starts one window before an offset below this length
/// starts at 0, so the head is in the buffer while the fingerprint can still grow. 1 KiB covers the
/// last whole line of nearly every log, so lines with identical tails are told apart.
pub const WINDOW_BYTES: u16 = 1024;

/// A hash over the first `len` bytes of a file.
///
/// It grows with the file up to [`WINDOW_BYTES`]: a file has an identity from its first byte, and a
/// stored fingerprint of 12 bytes is checked against the first 12 bytes of the file that is there now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Fingerprint {
    /// How many bytes are hashed, `<= WINDOW_BYTES`.
    pub len: u16,
    /// XXH3-128 of those bytes; 0 where `len` is 0.
    pub hash: u128,
}

impl Fingerprint {
    /// Hashes the head of a file; bytes after the first [`WINDOW_BYTES`] are not looked at.
    pub fn of_head(head: &[u8]) -> Self {
        let head = head.get(..usize::from(WINDOW_BYTES)).unwrap_or(head);
        let len = u16::try_from(head.len()).unwrap_or(WINDOW_BYTES);
        Self {
            len,
            hash: if len == 0 { 0 } else { xxh3_128(head) },
        }
    }

    /// Returns whether a file that now begins with `head` can be the file this was taken of.
    ///
    /// `head` holds the first [`WINDOW_BYTES`] of the file, or all of a shorter file. A file that has
    /// become shorter than the fingerprint does not match.
    pub fn matches_head(self, head: &[u8]) -> bool {
        head.get(..usize::from(self.len))
            .is_some_and(|prefix| Self::of_head(prefix) == self)
    }

    /// Returns whether the fingerprint can still grow.
    pub fn is_growing(self) -> bool {
        self.len < WINDOW_BYTES
    }
}

/// A hash over the `len` bytes that end at some offset: the guard of that offset.
///
/// Before bytes at an offset are used, the bytes before it are compared with the marker: a file that
/// was truncated and has grown past the offset again, or an inode that was reused, does not match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub struct Marker {
    /// How many bytes before the offset are hashed: the smaller of the offset and [`WINDOW_BYTES`].
    pub len: u16,
    /// XXH3-64 of those bytes; 0 where `len` is 0.
    pub hash: u64,
}

impl Marker {
    /// Takes the marker of the offset that `before` ends at.
    ///
    /// `before` holds the bytes that precede the offset; only the last [`WINDOW_BYTES`] count.
    pub fn of_tail(before: &[u8]) -> Self {
        let skip = before.len().saturating_sub(usize::from(WINDOW_BYTES));
        let tail = before.get(skip..).unwrap_or(before);
        let len = u16::try_from(tail.len()).unwrap_or(WINDOW_BYTES);
        Self {
            len,
            hash: if len == 0 { 0 } else { xxh3_64(tail) },
        }
    }

    /// Returns whether the bytes that precede an offset are those the marker was taken of.
    pub fn matches_tail(self, before: &[u8]) -> bool {
        let skip = before.len().checked_sub(usize::from(self.len));
        skip.and_then(|skip| before.get(skip..))
            .is_some_and(|tail| Self::of_tail(tail) == self)
    }
}

/// Who a file is: where its inode lives, confirmed by how it begins.
///
/// Neither half identifies a file alone: inodes are reused, and many files begin alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct FileIdentity {
    /// Device number (`st_dev`).
    pub device: u64,
    /// Inode number (`st_ino`).
    pub inode: u64,
    /// How the file begins.
    pub fingerprint: Fingerprint,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_of_a_short_file_matches_the_file_after_it_has_grown() {
        let young = Fingerprint::of_head(b"first");
        assert!(young.matches_head(b"first line\nsecond line\n"));
        assert!(!young.matches_head(b"other line\n"));
        assert!(
            !young.matches_head(b"fir"),
            "a shorter file is another content"
        );
    }

    #[test]
    fn a_fingerprint_covers_one_window_and_no_more() {
        let mut head = vec![b'x'; usize::from(WINDOW_BYTES)];
        let full = Fingerprint::of_head(&head);
        head.extend_from_slice(b"more");
        assert!(!full.is_growing());
        assert_eq!(full, Fingerprint::of_head(&head));
    }

    #[test]
    fn a_marker_tells_equal_tails_from_different_lines() {
        let before = Marker::of_tail(b"seq=1 the same long tail\n");
        assert!(before.matches_tail(b"seq=1 the same long tail\n"));
        assert!(!before.matches_tail(b"seq=2 the same long tail\n"));
        assert!(Marker::default().matches_tail(b""));
    }
}
