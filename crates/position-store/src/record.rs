//! The records of the journal, all integers little-endian; each is the payload of one frame.
//!
//! | kind | record       | fields                                                             |
//! |------|--------------|--------------------------------------------------------------------|
//! | 1    | header       | version u32, generation u64, created u64, next key u64, files u64  |
//! | 2    | file         | key u64, epoch u32, device u64, inode u64, fingerprint (length u16, hash u128), updated u64, path (length u16, bytes), positions |
//! | 3    | position     | key u64, epoch u32, updated u64, position                          |
//! | 4    | forget       | key u64                                                            |
//! | 5    | snapshot end | generation u64                                                     |
//! | 6    | note         | name (length u16, UTF-8 bytes), present u8, value                  |
//! | 7    | unused       |                                                                    |
//!
//! A position is: offset u64, marker (length u16, hash u64), place u8, sink (length u16, UTF-8 bytes).
//! Names of sinks stand in every position, not in a table: the loss of a table would cost every
//! position.
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

use crate::fields::{Fields, append_short};
use crate::state::{FileKey, Position, StoredFile, StoredPosition};

const KIND_HEADER: u8 = 1;
const KIND_FILE: u8 = 2;
const KIND_POSITION: u8 = 3;
const KIND_FORGET: u8 = 4;
const KIND_SNAPSHOT_END: u8 = 5;
const KIND_NOTE: u8 = 6;

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

/// Longest name of a note.
pub(crate) const MAX_NOTE_NAME_BYTES: usize = 512;

/// Longest value of a note.
pub(crate) const MAX_NOTE_VALUE_BYTES: usize = 4096;

const HEADER_PAYLOAD_BYTES: usize = 36;

/// Bytes of the frame that every generation begins with.
pub(crate) const HEADER_FRAME_BYTES: usize = HEADER_BYTES + HEADER_PAYLOAD_BYTES;

/// Bytes of a file record in its frame, without the path and the positions.
const FILE_FRAME_BYTES: usize = HEADER_BYTES + 8 + 4 + 8 + 8 + 2 + 16 + 8 + 2;

/// Bytes of a position in a file record, without the sink's name.
const POSITION_BYTES: usize = 8 + 2 + 8 + 1 + 2;

/// Bytes of a note in its frame, without its name and its value.
const NOTE_FRAME_BYTES: usize = HEADER_BYTES + 2 + 1;

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
    Note {
        name: Arc<str>,
        /// `None` where the note was removed.
        value: Option<Vec<u8>>,
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

/// Returns the bytes that a note takes in a snapshot.
pub(crate) fn note_bytes(name: &str, value: &[u8]) -> u64 {
    let bytes = NOTE_FRAME_BYTES
        .saturating_add(name.len())
        .saturating_add(value.len());
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

/// Appends a note as it is now: `None` where it was removed.
pub(crate) fn append_note(out: &mut Vec<u8>, name: &str, value: Option<&[u8]>) {
    let mut payload = Vec::with_capacity(64);
    append_short(&mut payload, name.as_bytes());
    payload.push(u8::from(value.is_some()));
    payload.extend_from_slice(value.unwrap_or_default());
    append(out, KIND_NOTE, &payload);
}

fn append_position_fields(payload: &mut Vec<u8>, stored: &StoredPosition) {
    let Position {
        offset,
        marker,
        place,
    } = stored.position;
    payload.extend_from_slice(&offset.to_le_bytes());
    payload.extend_from_slice(&marker.len.to_le_bytes());
    payload.extend_from_slice(&marker.hash.to_le_bytes());
    payload.push(place);
    append_short(payload, stored.sink.as_bytes());
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
        KIND_NOTE => fields.note(),
        // A second header has no meaning: every generation has a file of its own.
        KIND_HEADER => None,
        _ => return Decoded::Unknown,
    };
    record
        .filter(|_| fields.is_empty())
        .map_or(Decoded::Malformed, Decoded::Record)
}

impl Fields<'_> {
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
        self.is_empty().then_some(header)
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
        while !self.is_empty() {
            positions.push(self.position()?);
        }
        let file = StoredFile {
            key,
            identity,
            path: PathBuf::from(path).into(),
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

    pub(crate) fn marker(&mut self) -> Option<Marker> {
        Some(Marker {
            len: self.window()?,
            hash: self.u64()?,
        })
    }

    fn position(&mut self) -> Option<StoredPosition> {
        let position = Position {
            offset: self.u64()?,
            marker: self.marker()?,
            place: self.u8()?,
        };
        Some(StoredPosition {
            sink: Arc::from(self.name(MAX_SINK_BYTES)?),
            position,
        })
    }

    fn note(&mut self) -> Option<Record> {
        let name = Arc::from(self.name(MAX_NOTE_NAME_BYTES)?);
        let is_present = self.u8()?;
        let value = self.rest(MAX_NOTE_VALUE_BYTES)?;
        let value = match is_present {
            0 if value.is_empty() => None,
            1 => Some(value.to_vec()),
            _ => return None,
        };
        Some(Record::Note { name, value })
    }
}
