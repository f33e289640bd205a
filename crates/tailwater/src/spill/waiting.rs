//! What of the files waits in spills.

use std::collections::HashMap;
use std::path::Path;

use tailwater_engine::envelope::Envelope;
use tailwater_position_store::FileKey;

use super::look;
use super::place::{Kind, Place};

/// For each content of a file the first byte that waits in a spill.
#[derive(Clone, Debug, Default)]
pub(crate) struct Waiting(HashMap<(FileKey, u32), u64>);

impl Waiting {
    /// Returns the first byte of a file in an epoch that no sink has taken yet and a spill holds.
    pub(crate) fn first_offset(&self, key: FileKey, epoch: u32) -> Option<u64> {
        self.0.get(&(key, epoch)).copied()
    }
}

/// Reads all spills of a data directory. Batches that cannot be taken apart are left out: where they are
/// from is not known.
///
/// # Errors
/// A directory cannot be listed.
pub(crate) fn waiting_spans(data_dir: &Path) -> anyhow::Result<Waiting> {
    let mut waiting = Waiting::default();
    for place in Place::all_below(data_dir)? {
        if place.kind != Kind::Spill {
            continue;
        }
        let storage = look::open(&place)?;
        look::frames(&place, &storage, |payload| {
            let Ok((envelope, _)) = Envelope::decode(payload) else {
                return Ok(());
            };
            for span in &envelope.spans {
                let first = waiting.0.entry((span.key, span.epoch)).or_insert(u64::MAX);
                *first = (*first).min(span.span.start);
            }
            Ok(())
        })?;
    }
    Ok(waiting)
}
