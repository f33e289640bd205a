//! The records of the journal: docs/formats/positions.md, section 3.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;
use std::sync::Arc;

use tailwater_durable::frame::{self, Frame};
use tailwater_record::{FileIdentity, Fingerprint, Marker};

use crate::state::{FileKey, Position, StoredFile, StoredPosition};

/// Begins a generation: version, generation, time of writing.
pub(crate) const KIND_HEADER: u8 = 1;
/// A file.
const KIND_FILE: u8 = 2;
/// A position.
const KIND_POSITION: u8 = 3;
/// A file that is forgotten.
const KIND_FORGET: u8 = 4;
/// Ends the snapshot that a generation begins with.
pub(crate) const KIND_SNAPSHOT_END: u8 = 5;

/// The version that is written.
pub(crate) const VERSION: u32 = 1;

/// Longest payload: a path of 64 KiB and the fields around it.
pub(crate) const MAX_PAYLOAD_BYTES: usize = 128 * 1024;

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Record {
    File {
        key: FileKey,
        identity: FileIdentity,
        path: PathBuf,
        updated_ns: u64,
    },
    Position {
        key: FileKey,
        sink: Arc<str>,
        position: Position,
        updated_ns: u64,
    },
    Forget(FileKey),
}

impl Record {
    pub(crate) fn of_file(file: &StoredFile) -> Self {
        Self::File {
            key: file.key,
            identity: file.identity,
            path: file.path.clone(),
            updated_ns: file.updated_ns,
        }
    }

    pub(crate) fn of_position(file: &StoredFile, stored: &StoredPosition) -> Self {
        Self::Position {
            key: file.key,
            sink: Arc::clone(&stored.sink),
            position: stored.position,
            updated_ns: file.updated_ns,
        }
    }

    /// Appends the record as one frame. A path too long for a frame is left out: its file is read
    /// again after a restart, which costs duplicates and no line.
    pub(crate) fn append(&self, bytes: &mut Vec<u8>) {
        let mut payload = Vec::with_capacity(128);
        let kind = match self {
            Self::File {
                key,
                identity,
                path,
                updated_ns,
            } => {
                payload.extend_from_slice(&key.0.to_le_bytes());
                payload.extend_from_slice(&identity.device.to_le_bytes());
                payload.extend_from_slice(&identity.inode.to_le_bytes());
                payload.extend_from_slice(&identity.fingerprint.len.to_le_bytes());
                payload.extend_from_slice(&identity.fingerprint.hash.to_le_bytes());
                payload.extend_from_slice(&updated_ns.to_le_bytes());
                payload.extend_from_slice(path.as_os_str().as_bytes());
                KIND_FILE
            }
            Self::Position {
                key,
                sink,
                position,
                updated_ns,
            } => {
                payload.extend_from_slice(&key.0.to_le_bytes());
                payload.extend_from_slice(&position.offset.to_le_bytes());
                payload.extend_from_slice(&position.marker.len.to_le_bytes());
                payload.extend_from_slice(&position.marker.hash.to_le_bytes());
                payload.extend_from_slice(&updated_ns.to_le_bytes());
                payload.extend_from_slice(sink.as_bytes());
                KIND_POSITION
            }
            Self::Forget(key) => {
                payload.extend_from_slice(&key.0.to_le_bytes());
                KIND_FORGET
            }
        };
        if payload.len() <= MAX_PAYLOAD_BYTES {
            // Far below the limit of a frame, so it cannot fail.
            frame::append(bytes, kind, &payload).ok();
        }
    }

    /// Reads a record; `None` where the frame is of another kind or too short for its own.
    pub(crate) fn read(frame: &Frame<'_>) -> Option<Self> {
        let mut fields = Fields(frame.payload);
        match frame.kind {
            KIND_FILE => Some(Self::File {
                key: FileKey(fields.u64()?),
                identity: FileIdentity {
                    device: fields.u64()?,
                    inode: fields.u64()?,
                    fingerprint: Fingerprint {
                        len: fields.u16()?,
                        hash: fields.u128()?,
                    },
                },
                updated_ns: fields.u64()?,
                path: PathBuf::from(OsString::from_vec(fields.0.to_vec())),
            }),
            KIND_POSITION => Some(Self::Position {
                key: FileKey(fields.u64()?),
                position: Position {
                    offset: fields.u64()?,
                    marker: Marker {
                        len: fields.u16()?,
                        hash: fields.u64()?,
                    },
                },
                updated_ns: fields.u64()?,
                sink: std::str::from_utf8(fields.0).ok()?.into(),
            }),
            KIND_FORGET => Some(Self::Forget(FileKey(fields.u64()?))),
            _ => None,
        }
    }
}

/// Reads little-endian fields from the front.
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl Fields<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.take().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    pub(crate) fn u128(&mut self) -> Option<u128> {
        self.take().map(u128::from_le_bytes)
    }
}
