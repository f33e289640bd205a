//! A file that was named, read once: from wherever to the end it had when it was opened.
//!
//! Nothing is followed here: no events, no generations. An archive is known by its magic, whatever it is
//! called, and read as the bytes that it stands for; all offsets are those of these.

mod foreign;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tailwater_record::{FileIdentity, Fingerprint, WINDOW_BYTES};

use crate::archive::{Decoder, head_of};
use crate::file::read_at;
use crate::open::{AllowedRoots, OpenError, open_log};
use crate::{Compression, Damage};

/// Compressed bytes read at once.
const INPUT_BYTES: usize = 128 * 1024;

/// A file that was named, opened.
#[derive(Clone, Debug)]
pub struct ListedFile {
    file: Arc<File>,
    identity: FileIdentity,
    head: Vec<u8>,
    len: u64,
    modified_ns: u64,
    real_path: PathBuf,
    compression: Option<Compression>,
}

impl ListedFile {
    /// Opens a file as those are opened that a glob finds: see [`open_log`].
    ///
    /// # Errors
    /// [`OpenError`]; a file that is refused is not opened.
    pub fn open(path: &Path, roots: &AllowedRoots) -> Result<Self, OpenError> {
        let opened = open_log(path, roots)?;
        let raw = first_window(&opened.file);
        let compression = Compression::detect(&raw);
        let head = match compression {
            Some(compression) => head_of(&opened.file, compression).bytes,
            None => raw,
        };
        Ok(Self {
            file: Arc::new(opened.file),
            identity: FileIdentity {
                device: opened.device,
                inode: opened.inode,
                fingerprint: Fingerprint::of_head(&head),
            },
            head,
            len: opened.len,
            modified_ns: opened.modified_ns,
            real_path: opened.real_path,
            compression,
        })
    }

    /// Returns who it is, by what it decodes to.
    pub fn identity(&self) -> FileIdentity {
        self.identity
    }

    /// Returns the first bytes of what it decodes to, at most one window.
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// Returns its size on the disk when it was opened, in bytes.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Returns whether it had no byte when it was opened.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Returns when it was last written to, in nanoseconds since the epoch; 0 before it.
    pub fn modified_ns(&self) -> u64 {
        self.modified_ns
    }

    /// Returns where it lies, links resolved.
    pub fn real_path(&self) -> &Path {
        &self.real_path
    }

    /// Returns how it is compressed; `None` for a plain file.
    pub fn compression(&self) -> Option<Compression> {
        self.compression
    }

    /// Says what it is where its bytes are no lines, being packed in a way that nothing here unpacks: `a zip archive`.
    pub fn packed_as(&self) -> Option<&'static str> {
        foreign::packed_as(&self.head, self.compression)
    }

    /// Begins to read it at an offset; an archive at its first byte, for a decoder goes forward only.
    pub fn read_from(&self, offset: u64) -> ListedReader {
        let unpacking = self.compression.map(|compression| Unpacking {
            decoder: Decoder::new(compression),
            input: vec![0; INPUT_BYTES].into_boxed_slice(),
            next: 0,
            end: 0,
        });
        let start = if unpacking.is_some() { 0 } else { offset };
        ListedReader {
            file: Arc::clone(&self.file),
            len: self.len,
            raw_offset: start,
            offset: start,
            unpacking,
        }
    }
}

/// Returns the first bytes as they stand on the disk; none where they cannot be read.
fn first_window(file: &File) -> Vec<u8> {
    let mut head = vec![0; usize::from(WINDOW_BYTES)];
    let read = read_at(file, &mut head, 0).unwrap_or(0);
    head.truncate(read);
    head
}

/// Reads a listed file on to its end.
#[derive(Debug)]
pub struct ListedReader {
    file: Arc<File>,
    len: u64,
    /// The next byte to read from the disk.
    raw_offset: u64,
    offset: u64,
    unpacking: Option<Unpacking>,
}

#[derive(Debug)]
struct Unpacking {
    decoder: Decoder,
    input: Box<[u8]>,
    /// What of `input` is not decoded yet.
    next: usize,
    end: usize,
}

/// What one call has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filled {
    /// How many bytes.
    pub bytes: usize,
    /// Set where nothing follows.
    pub end: Option<ListedEnd>,
}

/// How a file ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListedEnd {
    /// All of it was read.
    Whole,
    /// What follows cannot be decoded.
    Damaged(Damage),
}

impl ListedReader {
    /// Returns the offset of the next byte.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Returns how many bytes were taken from the disk; those of a plain file before its start count.
    pub fn raw_offset(&self) -> u64 {
        self.raw_offset
    }

    /// Reads until `target` is full or the file is at its end.
    ///
    /// # Errors
    /// Those of reading the file; also where it has become shorter since it was opened.
    pub fn fill(&mut self, target: &mut [u8]) -> io::Result<Filled> {
        let filled = match self.unpacking {
            Some(_) => self.unpack(target),
            None => self.copy(target),
        }?;
        self.offset = self.offset.saturating_add(filled.bytes as u64);
        Ok(filled)
    }

    fn copy(&mut self, target: &mut [u8]) -> io::Result<Filled> {
        let mut bytes = 0;
        let mut end = None;
        while let Some(rest) = target.get_mut(bytes..).filter(|rest| !rest.is_empty()) {
            let left = self.len.saturating_sub(self.raw_offset);
            if left == 0 {
                end = Some(ListedEnd::Whole);
                break;
            }
            bytes += self.read(rest, left)?;
        }
        let is_over = self.raw_offset >= self.len;
        Ok(Filled {
            bytes,
            end: end.or_else(|| is_over.then_some(ListedEnd::Whole)),
        })
    }

    fn unpack(&mut self, target: &mut [u8]) -> io::Result<Filled> {
        let mut bytes = 0;
        while let Some(unpacking) = &mut self.unpacking
            && let Some(output) = target.get_mut(bytes..)
            && !output.is_empty()
        {
            let input = unpacking.input.get(unpacking.next..unpacking.end);
            let step = unpacking.decoder.step(input.unwrap_or_default(), output);
            bytes = bytes.saturating_add(step.made);
            unpacking.next = unpacking.next.saturating_add(step.taken);
            let end = match step.damage {
                Some(damage) => Some(ListedEnd::Damaged(damage)),
                None if step.made > 0 || step.taken > 0 => None,
                None => self.refill()?,
            };
            if end.is_some() {
                return Ok(Filled { bytes, end });
            }
        }
        Ok(Filled { bytes, end: None })
    }

    /// Reads more compressed bytes behind those that are not decoded yet; returns how the file ends
    /// where there are none.
    fn refill(&mut self) -> io::Result<Option<ListedEnd>> {
        let Some(mut unpacking) = self.unpacking.take() else {
            return Ok(Some(ListedEnd::Whole));
        };
        unpacking
            .input
            .copy_within(unpacking.next..unpacking.end, 0);
        unpacking.end = unpacking.end.saturating_sub(unpacking.next);
        unpacking.next = 0;
        let left = self.len.saturating_sub(self.raw_offset);
        let target = unpacking.input.get_mut(unpacking.end..).unwrap_or_default();
        if left == 0 || target.is_empty() {
            let is_whole = unpacking.end == 0 && unpacking.decoder.is_after_a_member();
            self.unpacking = Some(unpacking);
            return Ok(Some(if is_whole {
                ListedEnd::Whole
            } else {
                ListedEnd::Damaged(Damage::Truncated)
            }));
        }
        let read = self.read(target, left);
        unpacking.end = unpacking
            .end
            .saturating_add(read.as_ref().map_or(0, |read| *read));
        self.unpacking = Some(unpacking);
        read.map(|_| None)
    }

    /// Reads once, at most so many bytes and at least one.
    fn read(&mut self, target: &mut [u8], left: u64) -> io::Result<usize> {
        let wanted = usize::try_from(left)
            .unwrap_or(usize::MAX)
            .min(target.len());
        let read = read_at(
            &self.file,
            target.get_mut(..wanted).unwrap_or_default(),
            self.raw_offset,
        )?;
        if read == 0 {
            return Err(io::Error::new(
                io::ErrorKind::UnexpectedEof,
                "the file has become shorter while it was read",
            ));
        }
        self.raw_offset = self.raw_offset.saturating_add(read as u64);
        Ok(read)
    }
}
