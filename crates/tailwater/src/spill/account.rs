//! What the positions of a data directory say of its spills.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use tailwater_durable::{Disk, Storage};
use tailwater_engine::offline::{self, LaneAccount};

use crate::exit::Failure;
use crate::run;

/// Opens the account of a lane, for the one process that has the lock of the data directory.
pub(super) fn open(data_dir: &Path, lane: &str, max_files: usize) -> Result<LaneAccount, Failure> {
    let storage = Disk::open(data_dir).map_err(|error| Failure::Runtime(error.into()))?;
    let storage: Arc<dyn Storage> = Arc::new(storage);
    let (store, journal) = run::open_positions(&storage, max_files)?;
    Ok(LaneAccount::new(lane, store, journal))
}

/// Returns for every lane the number below which its frames were delivered, by what is durable; nothing
/// where that cannot be read. Changes nothing, beside a running agent too.
pub(super) fn acked_frames(data_dir: &Path) -> BTreeMap<String, u64> {
    let store = crate::positions::stored_copy(data_dir).ok();
    store
        .map(|store| offline::acked_frames(&store))
        .unwrap_or_default()
}
