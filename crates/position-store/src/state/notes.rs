//! Notes: small opaque facts that are committed in the same group as the positions.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::PositionStore;
use crate::record::{MAX_NOTE_NAME_BYTES, MAX_NOTE_VALUE_BYTES, note_bytes};

/// Notes that are entered at most. More than that are still read from a journal.
const MAX_NOTES: usize = 4096;

/// Why a note was not entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NoteError {
    /// There are as many as may be.
    #[error("the position store holds {max_notes} notes, its limit")]
    TooMany {
        /// The limit.
        max_notes: usize,
    },
    /// The name is too long.
    #[error("the name of a note has {name_bytes} bytes, the limit is {max_bytes}")]
    NameTooLong {
        /// Its length.
        name_bytes: usize,
        /// The limit.
        max_bytes: usize,
    },
    /// The value is too long.
    #[error("the value of a note has {value_bytes} bytes, the limit is {max_bytes}")]
    ValueTooLong {
        /// Its length.
        value_bytes: usize,
        /// The limit.
        max_bytes: usize,
    },
}

/// The notes of a store and which of them the next group takes.
#[derive(Clone, Debug, Default)]
pub(super) struct Notes {
    values: BTreeMap<Arc<str>, Vec<u8>>,
    changed: BTreeSet<Arc<str>>,
    live_bytes: u64,
}

impl Notes {
    pub(super) fn get(&self, name: &str) -> Option<&[u8]> {
        self.values.get(name).map(Vec::as_slice)
    }

    pub(super) fn live_bytes(&self) -> u64 {
        self.live_bytes
    }

    pub(super) fn take_changed(&mut self) -> BTreeSet<Arc<str>> {
        std::mem::take(&mut self.changed)
    }

    pub(super) fn restore_changed(&mut self, names: BTreeSet<Arc<str>>) {
        self.changed.extend(names);
    }

    /// Enters a value, or removes it, without marking it as changed.
    pub(super) fn apply(&mut self, name: Arc<str>, value: Option<Vec<u8>>) {
        if let Some(known) = self.values.remove(&name) {
            self.live_bytes = self.live_bytes.saturating_sub(note_bytes(&name, &known));
        }
        if let Some(value) = value {
            self.live_bytes = self.live_bytes.saturating_add(note_bytes(&name, &value));
            self.values.insert(name, value);
        }
    }

    fn change(&mut self, name: &str, value: Option<&[u8]>) {
        if self.get(name) == value {
            return;
        }
        let name: Arc<str> = name.into();
        self.apply(Arc::clone(&name), value.map(<[u8]>::to_vec));
        self.changed.insert(name);
    }

    fn check(&self, name: &str, value: &[u8]) -> Result<(), NoteError> {
        if name.len() > MAX_NOTE_NAME_BYTES {
            return Err(NoteError::NameTooLong {
                name_bytes: name.len(),
                max_bytes: MAX_NOTE_NAME_BYTES,
            });
        }
        if value.len() > MAX_NOTE_VALUE_BYTES {
            return Err(NoteError::ValueTooLong {
                value_bytes: value.len(),
                max_bytes: MAX_NOTE_VALUE_BYTES,
            });
        }
        if self.values.len() >= MAX_NOTES && !self.values.contains_key(name) {
            return Err(NoteError::TooMany {
                max_notes: MAX_NOTES,
            });
        }
        Ok(())
    }
}

impl PositionStore {
    /// Enters a note, or gives it another value: at most 4096 notes, names of at most 512 bytes, values
    /// of at most 4096. What it means is the business of the caller.
    ///
    /// # Durability
    /// In memory at once. Durable together with every position that is in the same group, or was in an
    /// earlier one, once [`Journal::append`](crate::Journal::append) of that group has returned. Of a
    /// group that was being written in a crash of the process, the journal holds a prefix, in which the
    /// notes come last: positions without their notes. After a power cut it holds any part of the
    /// group, so a note may also be there without a position.
    ///
    /// # Errors
    /// [`NoteError`] with the limit; the note is then as it was.
    pub fn set_note(&mut self, name: &str, value: &[u8]) -> Result<(), NoteError> {
        self.notes.check(name, value)?;
        self.notes.change(name, Some(value));
        Ok(())
    }

    /// Removes a note, durably as [`PositionStore::set_note`] enters one. Without one nothing happens.
    pub fn remove_note(&mut self, name: &str) {
        self.notes.change(name, None);
    }

    /// Returns the value of a note.
    pub fn note(&self, name: &str) -> Option<&[u8]> {
        self.notes.get(name)
    }

    /// Returns every note with its value, in the order of the names.
    pub fn notes(&self) -> impl Iterator<Item = (&str, &[u8])> {
        let notes = self.notes.values.iter();
        notes.map(|(name, value)| (&**name, value.as_slice()))
    }
}
