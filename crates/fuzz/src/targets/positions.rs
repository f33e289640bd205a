//! The journals of positions: whatever stands there opens or is refused, and what was read is read again.

use std::sync::Arc;

use tailwater_durable::CrashStorage;
use tailwater_position_store::{
    FileKey, Journal, OpenError, PositionStore, Recovery, StoreLimits, open,
};

use crate::files;

const LIMITS: StoreLimits = StoreLimits {
    max_files: 100,
    max_journal_bytes: 1 << 20,
    min_compaction_bytes: 0,
};

pub(crate) fn run(bytes: &[u8]) {
    let storage = files::plant(bytes, |number| format!("positions-{number:020}.journal"));
    let (store, mut journal, recovery) = match open_on(&storage) {
        Ok(opened) => opened,
        Err(error) => return assert!(!error.hint().is_empty()),
    };
    assert_eq!(store.len(), recovery.files);
    let offsets = offsets(&store);
    let compacted = journal.compact(&store.snapshot());
    assert!(compacted.is_ok(), "{compacted:?}");
    let (again, _, recovery) = open_on(&storage).expect("it was written just now");
    assert_eq!(offsets, self::offsets(&again));
    assert_eq!(recovery.damaged_frames, 0);
    assert_eq!(recovery.torn_tail_bytes, 0);
    assert!(!recovery.used_previous);
}

fn open_on(storage: &CrashStorage) -> Result<(PositionStore, Journal, Recovery), OpenError> {
    open(Arc::new(storage.clone()), LIMITS, 1)
}

/// The offsets of every file and sink.
fn offsets(store: &PositionStore) -> Vec<(FileKey, String, u64)> {
    let mut offsets: Vec<_> = store
        .files()
        .flat_map(|file| {
            file.positions
                .iter()
                .map(|stored| (file.key, stored.sink.to_string(), stored.position.offset))
        })
        .collect();
    offsets.sort_by(|one, other| (one.0.0, &one.1).cmp(&(other.0.0, &other.1)));
    offsets
}
