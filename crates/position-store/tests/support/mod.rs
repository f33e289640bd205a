//! What the tests of the journal share: short names for identities, positions and contents.

use std::collections::BTreeMap;
use std::sync::Arc;

use tailwater_durable::CrashStorage;
use tailwater_position_store::{
    FileKey, Journal, OpenError, Position, PositionStore, Recovery, StoreLimits, open,
};
use tailwater_record::{FileIdentity, Fingerprint, Marker};

/// The offsets of every file and sink.
pub(crate) type Offsets = BTreeMap<(FileKey, String), u64>;

/// Small enough for a workload of a few files to outgrow.
pub(crate) const LIMITS: StoreLimits = StoreLimits {
    max_files: 100,
    max_journal_bytes: 1 << 20,
    min_compaction_bytes: 0,
};

pub(crate) fn identity(inode: u64, head: &[u8]) -> FileIdentity {
    FileIdentity {
        device: 1,
        inode,
        fingerprint: Fingerprint::of_head(head),
    }
}

pub(crate) fn position(offset: u64) -> Position {
    Position {
        offset,
        marker: Marker::of_tail(&offset.to_le_bytes()),
        place: u8::try_from(offset % 7).unwrap_or(0),
    }
}

pub(crate) fn open_on(
    storage: &CrashStorage,
) -> Result<(PositionStore, Journal, Recovery), OpenError> {
    open(Arc::new(storage.clone()), LIMITS, 1)
}

pub(crate) fn offsets(store: &PositionStore) -> Offsets {
    let of_file = |file: &tailwater_position_store::StoredFile| {
        let key = file.key;
        let positions = file.positions.clone();
        positions
            .into_iter()
            .map(move |stored| ((key, stored.sink.to_string()), stored.position.offset))
    };
    store.files().flat_map(of_file).collect()
}
