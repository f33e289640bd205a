//! The journal on disk: appending, and writing generations.

use std::sync::Arc;

use tailwater_durable::{AppendFile, Storage, StorageError};
use tailwater_failpoint::failpoint;

use crate::generation::{self, is_put_aside, is_unfinished, name, unusable_name};
use crate::state::{Group, Snapshot, StoreLimits};

#[cfg(test)]
mod tests;

/// A journal grows to this many times what is live before it is compacted.
const COMPACTION_FACTOR: u64 = 4;

/// Why positions could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// What the disk holds is not known: nothing is appended until a new generation is written.
    #[error("the position journal is poisoned until a new generation is written")]
    Poisoned,
    /// The journal would become longer than is read again.
    #[error("the position journal would hold {journal_bytes} bytes, the limit is {max_bytes}")]
    TooLong {
        /// What it would hold.
        journal_bytes: u64,
        /// The limit.
        max_bytes: u64,
    },
    /// The disk refused.
    #[error("cannot write the positions")]
    Storage(#[source] StorageError),
}

/// The journal that is appended to.
#[derive(Debug)]
pub struct Journal {
    storage: Arc<dyn Storage>,
    limits: StoreLimits,
    /// The generation in use; 0 for none.
    generation: u64,
    /// The last number that was tried. A number is never used twice: a file whose sync failed could
    /// be found again under it.
    last_generation: u64,
    /// `None` where the journal is poisoned.
    file: Option<Box<dyn AppendFile>>,
    /// What was opened was damaged: it is to be written anew, whatever its size.
    needs_rewrite: bool,
    /// Generations that could not be used, to be put aside.
    unusable: Vec<u64>,
}

impl Journal {
    /// Creates a poisoned journal.
    pub(crate) fn new(
        storage: Arc<dyn Storage>,
        limits: StoreLimits,
        generation: u64,
        last_generation: u64,
        unusable: Vec<u64>,
    ) -> Self {
        Self {
            storage,
            limits,
            generation,
            last_generation,
            file: None,
            needs_rewrite: true,
            unusable,
        }
    }

    /// Goes on with the generation that was read, cut to `cut_to` bytes where its tail is torn.
    pub(crate) fn resume(
        &mut self,
        cut_to: Option<u64>,
        needs_rewrite: bool,
    ) -> Result<(), StorageError> {
        let mut file = self.storage.open_append(&name(self.generation))?;
        if let Some(len) = cut_to {
            file.truncate(len)?;
        }
        self.file = Some(file);
        self.needs_rewrite = needs_rewrite;
        Ok(())
    }

    /// Appends a group and makes it durable.
    ///
    /// # Durability
    /// On `Ok` the group survives a power cut. On `Err` any part of it may; the caller gives the group
    /// back with [`PositionStore::restore_group`](crate::PositionStore::restore_group).
    ///
    /// # Errors
    /// [`JournalError::Storage`] where the disk refused: poisoned where the sync failed, which is
    /// never tried again; not where there was no room and what was written could be cut off.
    /// [`JournalError::Poisoned`] after that: [`Journal::reopen_with`] is the way out.
    /// [`JournalError::TooLong`] where only a compaction helps.
    pub fn append(&mut self, group: &Group) -> Result<(), JournalError> {
        let file = self.file.as_mut().ok_or(JournalError::Poisoned)?;
        let len_before = file.len();
        check_len(len_before, &group.bytes, self.limits)?;
        if let Err(source) = file.append(&group.bytes) {
            if file.truncate(len_before).is_err() {
                self.file = None;
            }
            return Err(JournalError::Storage(source));
        }
        failpoint("checkpoint_sync");
        if let Err(source) = file.sync() {
            self.file = None;
            return Err(JournalError::Storage(source));
        }
        Ok(())
    }

    /// Returns whether an earlier failure left it unknown what the disk holds.
    pub fn is_poisoned(&self) -> bool {
        self.file.is_none()
    }

    /// Returns the number of the generation in use.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Returns the bytes of the generation in use; 0 where the journal is poisoned.
    pub fn len_bytes(&self) -> u64 {
        self.file.as_ref().map_or(0, |file| file.len())
    }

    /// Goes on after a failure with a new generation; the failed file is not written to again.
    ///
    /// # Durability
    /// As [`Journal::compact`].
    ///
    /// # Errors
    /// [`JournalError`]; what was poisoned stays so.
    pub fn reopen_with(&mut self, snapshot: &Snapshot) -> Result<(), JournalError> {
        self.compact(snapshot)
    }

    /// Returns whether the journal holds mostly what is no longer true, or was found damaged.
    pub fn needs_compaction(&self, live_bytes: u64) -> bool {
        let worth_bytes = live_bytes.saturating_mul(COMPACTION_FACTOR);
        let max_bytes = worth_bytes.max(self.limits.min_compaction_bytes);
        self.needs_rewrite || self.len_bytes() > max_bytes
    }

    /// Writes a new generation that holds the snapshot alone, and goes on with it. The generation that
    /// was in use is kept until the next compaction, older ones are removed.
    ///
    /// # Durability
    /// On `Ok` the snapshot survives a power cut. On `Err` either it or what was durable before does.
    ///
    /// # Errors
    /// [`JournalError::Storage`], [`JournalError::TooLong`]. The generation in use is appended to
    /// further where the new one has left no trace; otherwise the journal is poisoned.
    pub fn compact(&mut self, snapshot: &Snapshot) -> Result<(), JournalError> {
        let generation = self.last_generation.saturating_add(1);
        let bytes = snapshot.sealed(generation);
        check_len(0, &bytes, self.limits)?;
        self.last_generation = generation;
        self.write_generation(generation, &bytes)
            .map_err(JournalError::Storage)
    }

    fn write_generation(&mut self, generation: u64, bytes: &[u8]) -> Result<(), StorageError> {
        if let Err(error) = self.storage.replace(&name(generation), bytes) {
            // A newer generation that is there, durable or not, hides what is appended to this one.
            let found = generation::list(&*self.storage);
            if found.map_or(true, |found| found.contains(&generation)) {
                self.file = None;
            }
            return Err(error);
        }
        let previous = std::mem::replace(&mut self.generation, generation);
        self.file = None;
        self.file = Some(self.storage.open_append(&name(generation))?);
        self.needs_rewrite = false;
        if let Err(error) = self.remove_old(previous) {
            // It costs space and nothing else; the next compaction tries again.
            let error = &error as &(dyn std::error::Error + 'static);
            tracing::warn!(error, "cannot remove an old position journal");
        }
        Ok(())
    }

    /// Leaves the generation in use, `previous`, and the newest of those that could not be used.
    fn remove_old(&mut self, previous: u64) -> Result<(), StorageError> {
        let aside = self.unusable.iter().max().copied();
        let is_leftover =
            |found: &&String| is_unfinished(found) || (aside.is_some() && is_put_aside(found));
        for found in self.storage.list()?.iter().filter(is_leftover) {
            self.storage.remove(found)?;
        }
        for generation in generation::list(&*self.storage)? {
            if generation == self.generation || generation == previous {
                continue;
            }
            if Some(generation) == aside {
                // Somebody may still want to look at it, or to repair it.
                let to = unusable_name(generation);
                self.storage.rename(&name(generation), &to)?;
            } else {
                self.storage.remove(&name(generation))?;
            }
        }
        self.unusable.clear();
        Ok(())
    }
}

fn check_len(len_before: u64, bytes: &[u8], limits: StoreLimits) -> Result<(), JournalError> {
    let appended = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    let journal_bytes = len_before.saturating_add(appended);
    let max_bytes = limits.max_journal_bytes;
    if journal_bytes <= max_bytes {
        Ok(())
    } else {
        Err(JournalError::TooLong {
            journal_bytes,
            max_bytes,
        })
    }
}
