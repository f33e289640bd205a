//! One journal file: its name, and reading it.

use tailwater_durable::frame::{Frame, FrameReader, Scanned};
use tailwater_durable::{Storage, StorageError, TEMPORARY_SUFFIX};

use crate::names::{self, SUFFIX};
use crate::record::{Decoded, DecodedHeader, Header, MAX_PAYLOAD_BYTES, Record};
use crate::record::{decode, decode_header};
use crate::state::PositionStore;

const PREFIX: &str = "positions-";
const UNUSABLE_SUFFIX: &str = ".unusable";

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GenerationError {
    /// It cannot be read.
    #[error("cannot read generation {generation}")]
    Read {
        /// Its number.
        generation: u64,
        /// What failed.
        source: StorageError,
    },
    /// It does not begin with a valid header of its own number.
    #[error("generation {generation} has no valid header")]
    NoHeader {
        /// Its number.
        generation: u64,
    },
    /// Its header promises files, and no record of any of them is left.
    #[error("none of the {files} files of generation {generation} can be read")]
    NoFiles {
        /// Its number.
        generation: u64,
        /// How many there were.
        files: u64,
    },
}

/// A journal file that begins with a valid header.
pub(crate) struct Generation {
    pub(crate) header: Header,
    bytes: Vec<u8>,
}

/// What a journal file turned out to be.
pub(crate) enum Loaded {
    Usable(Generation),
    Unusable(GenerationError),
    Newer(u32),
}

/// What reading the records of a generation found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scan {
    pub(crate) damaged_frames: u64,
    pub(crate) skipped_bytes: u64,
    pub(crate) torn_tail_bytes: u64,
    pub(crate) unknown_frames: u64,
    /// Where the last valid frame ends.
    pub(crate) valid_bytes: u64,
    /// The end of the snapshot was read, every file record before it, and no damage.
    pub(crate) is_snapshot_whole: bool,
}

pub(crate) fn name(generation: u64) -> String {
    names::name(PREFIX, generation)
}

/// The name under which a journal that cannot be used is put aside.
pub(crate) fn unusable_name(generation: u64) -> String {
    format!("{PREFIX}{generation:020}{UNUSABLE_SUFFIX}")
}

/// Returns whether the file is a journal that a crash left unfinished.
pub(crate) fn is_unfinished(name: &str) -> bool {
    let journal = name.strip_suffix(TEMPORARY_SUFFIX).unwrap_or_default();
    journal.starts_with(PREFIX) && journal.ends_with(SUFFIX)
}

/// Returns whether the file is a journal that was put aside.
pub(crate) fn is_put_aside(name: &str) -> bool {
    name.starts_with(PREFIX) && name.ends_with(UNUSABLE_SUFFIX)
}

/// Returns the generations of a directory, the newest first.
pub(crate) fn list(storage: &dyn Storage) -> Result<Vec<u64>, StorageError> {
    names::list(storage, PREFIX)
}

/// Reads a journal file and its header.
pub(crate) fn load(storage: &dyn Storage, generation: u64, max_bytes: u64) -> Loaded {
    let bytes = match storage.read(&name(generation), max_bytes) {
        Ok(bytes) => bytes,
        Err(source) => {
            return Loaded::Unusable(GenerationError::Read { generation, source });
        }
    };
    let header = match FrameReader::new(&bytes, MAX_PAYLOAD_BYTES).next() {
        Some(Scanned::Frame(frame)) => decode_header(&frame),
        Some(Scanned::Damaged { .. } | Scanned::TornTail { .. }) | None => DecodedHeader::Malformed,
    };
    match header {
        DecodedHeader::Newer(version) => Loaded::Newer(version),
        // A copy of another generation under this name would bring old positions back.
        DecodedHeader::Header(header) if header.generation == generation => {
            Loaded::Usable(Generation { header, bytes })
        }
        DecodedHeader::Header(_) | DecodedHeader::Malformed => {
            Loaded::Unusable(GenerationError::NoHeader { generation })
        }
    }
}

impl Generation {
    /// Applies all records to `store`.
    pub(crate) fn replay(&self, store: &mut PositionStore) -> Scan {
        store.reserve_keys(self.header.next_key);
        let mut scan = Scan::default();
        let mut snapshot_files = Some(0_u64);
        let frames = FrameReader::new(&self.bytes, MAX_PAYLOAD_BYTES);
        // The first frame is the header, which is read.
        for scanned in frames.skip(1) {
            let record = match scanned {
                Scanned::Frame(frame) => scan.take_frame(&frame),
                Scanned::Damaged { skipped_bytes, .. } => {
                    scan.add_damage(skipped_bytes);
                    None
                }
                Scanned::TornTail { tail_bytes, .. } => {
                    scan.torn_tail_bytes = tail_bytes;
                    None
                }
            };
            match &record {
                Some(Record::SnapshotEnd { generation }) => {
                    // Positions and notes are not counted in the header: damage may have hit one.
                    scan.is_snapshot_whole |= *generation == self.header.generation
                        && snapshot_files.take() == Some(self.header.files)
                        && scan.damaged_frames == 0;
                }
                Some(Record::File { .. }) => {
                    snapshot_files = snapshot_files.map(|files| files.saturating_add(1));
                }
                Some(Record::Position { .. } | Record::Forget(_) | Record::Note { .. }) | None => {}
            }
            if let Some(record) = record {
                store.apply(record);
            }
        }
        let len = u64::try_from(self.bytes.len()).unwrap_or(u64::MAX);
        scan.valid_bytes = len.saturating_sub(scan.torn_tail_bytes);
        scan
    }
}

impl Scan {
    fn take_frame(&mut self, frame: &Frame<'_>) -> Option<Record> {
        match decode(frame) {
            Decoded::Record(record) => Some(record),
            Decoded::Unknown => {
                self.unknown_frames = self.unknown_frames.saturating_add(1);
                None
            }
            Decoded::Malformed => {
                self.add_damage(frame.frame_bytes());
                None
            }
        }
    }

    fn add_damage(&mut self, skipped_bytes: u64) {
        self.damaged_frames = self.damaged_frames.saturating_add(1);
        self.skipped_bytes = self.skipped_bytes.saturating_add(skipped_bytes);
    }
}
