//! The records of the journal, all integers little-endian; each is the payload of one frame.
//!
//! | kind | record       | fields                                                             |
//! |------|--------------|--------------------------------------------------------------------|
//! | 1    | header       | version u32, generation u64, created u64, next key u64, files u64  |
//! | 2    | file         | key u64, epoch u32, device u64, inode u64, fingerprint (length u16, hash u128), updated u64, path (length u16, bytes), positions |
//! | 3    | position     | key u64, epoch u32, updated u64, position                          |
//! | 4    | forget       | key u64                                                            |
//! | 5    | snapshot end | generation u64                                                     |
//! | 6, 7 | reserved     | batch intents and their resolutions                                |
//!
//! A position is: offset u64, marker (length u16, hash u64), sink (length u16, UTF-8 bytes). Names of
//! sinks stand in every position, not in a table: the loss of a table would cost every position.
//!
//! The **epoch** of a file rises whenever one of its positions goes back or its content becomes
//! another, and a record with a newer epoch voids all positions of older ones. A step back is so
//! written by the file record that raises the epoch and is repeated by every position after it: losing
//! one of them leaves no position that is too far ahead. Source: docs/formats/positions.md, section 3.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;
use std::sync::Arc;

use tailwater_durable::frame::{self, Frame, HEADER_BYTES};
use tailwater_record::{FileIdentity, Fingerprint, Marker, WINDOW_BYTES};

use crate::state::{FileKey, Position, StoredFile, StoredPosition};

const KIND_HEADER: u8 = 1;
const KIND_FILE: u8 = 2;
const KIND_POSITION: u8 = 3;
const KIND_FORGET: u8 = 4;
const KIND_SNAPSHOT_END: u8 = 5;

/// The version that is written.
pub(crate) const VERSION: u32 = 1;

/// Longest payload. At most 2^24 - 1, so that a length always holds a zero byte: no path can then
/// contain a frame, and no file name can be mistaken for one where damage is searched.
pub(crate) const MAX_PAYLOAD_BYTES: usize = 128 * 1024;

/// A file record takes in positions up to this size; further ones follow as records of their own.
const MAX_INLINE_BYTES: usize = 64 * 1024;

/// Longest path that is kept; the system opens none over 4096 bytes.
pub(crate) const MAX_PATH_BYTES: usize = 32 * 1024;

/// Longest name of a sink that is kept.
pub(crate) const MAX_SINK_BYTES: usize = 16 * 1024;

const HEADER_PAYLOAD_BYTES: usize = 36;

/// Bytes of the frame that every generation begins with.
pub(crate) const HEADER_FRAME_BYTES: usize = HEADER_BYTES + HEADER_PAYLOAD_BYTES;

/// Bytes of a file record in its frame, without the path and the positions.
const FILE_FRAME_BYTES: usize = HEADER_BYTES + 8 + 4 + 8 + 8 + 2 + 16 + 8 + 2;

/// Bytes of a position in a file record, without the sink's name.
const POSITION_BYTES: usize = 8 + 2 + 8 + 2;

/// How a generation begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) generation: u64,
    pub(crate) created_ns: u64,
    /// Greater than every key that was given out before the generation was written.
    pub(crate) next_key: u64,
    /// File records of the snapshot.
    pub(crate) files: u64,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    File {
        file: StoredFile,
        epoch: u32,
    },
    Position {
        key: FileKey,
        epoch: u32,
        updated_ns: u64,
        stored: StoredPosition,
    },
    Forget(FileKey),
    SnapshotEnd {
        generation: u64,
    },
}

/// What a valid frame turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Decoded {
    Record(Record),
    /// A kind that this version does not know.
    Unknown,
    /// A known kind whose fields make no sense.
    Malformed,
}

/// What the first frame of a generation turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DecodedHeader {
    Header(Header),
    /// A version that is newer than [`VERSION`].
    Newer(u32),
    Malformed,
}

/// Returns the bytes that a file takes in a snapshot; short of it by a frame per 64 KiB of positions.
pub(crate) fn file_bytes(file: &StoredFile) -> u64 {
    let positions = file
        .positions
        .iter()
        .map(|stored| POSITION_BYTES.saturating_add(stored.sink.len()));
    let bytes = FILE_FRAME_BYTES
        .saturating_add(file.path.as_os_str().len())
        .saturating_add(positions.sum());
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

pub(crate) fn append_header(out: &mut Vec<u8>, header: Header) {
    let mut payload = Vec::with_capacity(HEADER_PAYLOAD_BYTES);
    payload.extend_from_slice(&VERSION.to_le_bytes());
    payload.extend_from_slice(&header.generation.to_le_bytes());
    payload.extend_from_slice(&header.created_ns.to_le_bytes());
    payload.extend_from_slice(&header.next_key.to_le_bytes());
    payload.extend_from_slice(&header.files.to_le_bytes());
    append(out, KIND_HEADER, &payload);
}

/// Appends a file with all its positions.
pub(crate) fn append_file(out: &mut Vec<u8>, file: &StoredFile, epoch: u32) {
    let mut payload = Vec::with_capacity(256);
    let Fingerprint { len, hash } = file.identity.fingerprint;
    payload.extend_from_slice(&file.key.0.to_le_bytes());
    payload.extend_from_slice(&epoch.to_le_bytes());
    payload.extend_from_slice(&file.identity.device.to_le_bytes());
    payload.extend_from_slice(&file.identity.inode.to_le_bytes());
    payload.extend_from_slice(&len.to_le_bytes());
    payload.extend_from_slice(&hash.to_le_bytes());
    payload.extend_from_slice(&file.updated_ns.to_le_bytes());
    append_short(&mut payload, file.path.as_os_str().as_bytes());
    let mut positions = file.positions.iter();
    for stored in positions.by_ref() {
        append_position_fields(&mut payload, stored);
        if payload.len() >= MAX_INLINE_BYTES {
            break;
        }
    }
    append(out, KIND_FILE, &payload);
    for stored in positions {
        append_position(out, file, epoch, stored);
    }
}

/// Appends one position of a file.
pub(crate) fn append_position(
    out: &mut Vec<u8>,
    file: &StoredFile,
    epoch: u32,
    stored: &StoredPosition,
) {
    let mut payload = Vec::with_capacity(64);
    payload.extend_from_slice(&file.key.0.to_le_bytes());
    payload.extend_from_slice(&epoch.to_le_bytes());
    payload.extend_from_slice(&file.updated_ns.to_le_bytes());
    append_position_fields(&mut payload, stored);
    append(out, KIND_POSITION, &payload);
}

pub(crate) fn append_forget(out: &mut Vec<u8>, key: FileKey) {
    append(out, KIND_FORGET, &key.0.to_le_bytes());
}

pub(crate) fn append_snapshot_end(out: &mut Vec<u8>, generation: u64) {
    append(out, KIND_SNAPSHOT_END, &generation.to_le_bytes());
}

fn append_position_fields(payload: &mut Vec<u8>, stored: &StoredPosition) {
    let Position { offset, marker } = stored.position;
    payload.extend_from_slice(&offset.to_le_bytes());
    payload.extend_from_slice(&marker.len.to_le_bytes());
    payload.extend_from_slice(&marker.hash.to_le_bytes());
    append_short(payload, stored.sink.as_bytes());
}

/// Appends a length and the bytes.
fn append_short(payload: &mut Vec<u8>, bytes: &[u8]) {
    let len = u16::try_from(bytes.len())
        .expect("paths and names over MAX_PATH_BYTES and MAX_SINK_BYTES do not enter the store");
    payload.extend_from_slice(&len.to_le_bytes());
    payload.extend_from_slice(bytes);
}

fn append(out: &mut Vec<u8>, kind: u8, payload: &[u8]) {
    assert!(
        payload.len() <= MAX_PAYLOAD_BYTES,
        "a record is longer than a reader takes: {} bytes",
        payload.len()
    );
    frame::append(out, kind, payload).expect("a record is far below the longest frame");
}

/// Reads the first frame of a generation.
pub(crate) fn decode_header(frame: &Frame<'_>) -> DecodedHeader {
    if frame.kind != KIND_HEADER || frame.offset != 0 {
        return DecodedHeader::Malformed;
    }
    let mut fields = Fields(frame.payload);
    match fields.u32() {
        // A newer version may have other fields, so they are not looked at.
        Some(newer) if newer > VERSION => DecodedHeader::Newer(newer),
        Some(VERSION) => fields
            .header()
            .map_or(DecodedHeader::Malformed, DecodedHeader::Header),
        Some(_) | None => DecodedHeader::Malformed,
    }
}

/// Reads any other frame.
pub(crate) fn decode(frame: &Frame<'_>) -> Decoded {
    let mut fields = Fields(frame.payload);
    let record = match frame.kind {
        KIND_FILE => fields.file(),
        KIND_POSITION => fields.position_record(),
        KIND_FORGET => fields.key().map(Record::Forget),
        KIND_SNAPSHOT_END => fields
            .u64()
            .map(|generation| Record::SnapshotEnd { generation }),
        // A second header has no meaning: every generation has a file of its own.
        KIND_HEADER => None,
        _ => return Decoded::Unknown,
    };
    record
        .filter(|_| fields.0.is_empty())
        .map_or(Decoded::Malformed, Decoded::Record)
}

/// Reads fields from the front; `None` where the bytes are too few or make no sense.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }

    fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn u128(&mut self) -> Option<u128> {
        self.take().map(u128::from_le_bytes)
    }

    fn short(&mut self, max_bytes: usize) -> Option<&'a [u8]> {
        let len = usize::from(self.u16()?);
        let (bytes, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        (len <= max_bytes).then_some(bytes)
    }

    fn key(&mut self) -> Option<FileKey> {
        self.u64().map(FileKey)
    }

    fn window(&mut self) -> Option<u16> {
        self.u16().filter(|len| *len <= WINDOW_BYTES)
    }

    fn header(&mut self) -> Option<Header> {
        let header = Header {
            generation: self.u64()?,
            created_ns: self.u64()?,
            next_key: self.u64()?,
            files: self.u64()?,
        };
        self.0.is_empty().then_some(header)
    }

    fn file(&mut self) -> Option<Record> {
        let key = self.key()?;
        let epoch = self.u32()?;
        let identity = FileIdentity {
            device: self.u64()?,
            inode: self.u64()?,
            fingerprint: Fingerprint {
                len: self.window()?,
                hash: self.u128()?,
            },
        };
        let updated_ns = self.u64()?;
        let path = OsString::from_vec(self.short(MAX_PATH_BYTES)?.to_vec());
        let mut positions = Vec::new();
        while !self.0.is_empty() {
            positions.push(self.position()?);
        }
        let file = StoredFile {
            key,
            identity,
            path: PathBuf::from(path),
            updated_ns,
            positions,
        };
        Some(Record::File { file, epoch })
    }

    fn position_record(&mut self) -> Option<Record> {
        Some(Record::Position {
            key: self.key()?,
            epoch: self.u32()?,
            updated_ns: self.u64()?,
            stored: self.position()?,
        })
    }

    fn position(&mut self) -> Option<StoredPosition> {
        let position = Position {
            offset: self.u64()?,
            marker: Marker {
                len: self.window()?,
                hash: self.u64()?,
            },
        };
        let sink = std::str::from_utf8(self.short(MAX_SINK_BYTES)?).ok()?;
        Some(StoredPosition {
            sink: Arc::from(sink),
            position,
        })
    }
}
