//! Which files of a tailer have decoders, and which wait for one.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::{DECODER_IDLE, MAX_DECODER_BYTES, MAX_DECODERS};
use crate::directory::TailId;
use crate::file::{Cursor, TailedFile};

/// The decoders of one tailer.
#[derive(Debug, Default)]
pub(crate) struct Decoders {
    /// Files with at least one.
    open: BTreeSet<TailId>,
    /// Files that wait for one.
    pub(crate) waiting: BTreeSet<TailId>,
}

impl<R> TailedFile<R> {
    /// Returns how many decoders are open.
    fn decoders(&self) -> usize {
        let cursors = self.cursors.iter();
        cursors.filter(|cursor| cursor.has_decoder()).count()
    }

    /// Returns the memory that its decoders take.
    fn decoder_bytes(&self) -> u64 {
        let unpackers = self
            .cursors
            .iter()
            .filter_map(|cursor| cursor.unpacker.as_ref());
        unpackers.map(|unpacker| unpacker.memory_bytes()).sum()
    }

    /// Closes its decoders: its cursors begin again with the first byte, and skip.
    pub(crate) fn close_decoders(&mut self) {
        for cursor in &mut self.cursors {
            cursor.close_decoder();
        }
    }
}

impl<R> crate::Tailer<R> {
    /// Returns how many decoders of archives are open.
    pub fn open_decoders(&self) -> usize {
        let open = self.decoders.open.iter();
        open.filter_map(|id| self.files.get(id))
            .map(|file| file.decoders())
            .sum()
    }

    /// Returns whether a cursor has the decoder it needs, or may have one. Where not, its file is ready
    /// again when one is free.
    pub(crate) fn has_decoder(&mut self, id: TailId, cursor: usize, now: Instant) -> bool {
        if !self.needs_decoder(id, cursor)
            || self.may_open_decoder()
            || self.close_decoders_idle_for(DECODER_IDLE, id, now)
        {
            return true;
        }
        self.decoders.waiting.insert(id);
        false
    }

    fn may_open_decoder(&self) -> bool {
        let open = self.decoders.open.iter();
        let bytes = open.filter_map(|id| self.files.get(id));
        let bytes: u64 = bytes.map(|file| file.decoder_bytes()).sum();
        bytes < MAX_DECODER_BYTES && self.open_decoders() < MAX_DECODERS
    }

    fn needs_decoder(&self, id: TailId, cursor: usize) -> bool {
        self.files.get(&id).is_some_and(|file| {
            let cursor = file.cursors.get(cursor);
            file.is_archive() && cursor.is_some_and(Cursor::needs_decoder)
        })
    }

    /// Sees to it that a cursor can have a decoder at once, whoever loses one.
    pub(crate) fn make_room_for_decoder(&mut self, id: TailId, cursor: usize, now: Instant) {
        if self.needs_decoder(id, cursor) && !self.may_open_decoder() {
            self.close_decoders_idle_for(Duration::ZERO, id, now);
        }
    }

    /// Closes the decoders of the other file whose turn was longest ago, if that was so long ago.
    fn close_decoders_idle_for(
        &mut self,
        idle: Duration,
        wanted_for: TailId,
        now: Instant,
    ) -> bool {
        let open = self.decoders.open.iter();
        let others = open.filter(|id| **id != wanted_for);
        let oldest = others
            .filter_map(|id| self.files.get(id))
            .filter(|file| now.saturating_duration_since(file.last_used) >= idle)
            .min_by_key(|file| file.last_used)
            .map(|file| file.id);
        let Some(oldest) = oldest else {
            return false;
        };
        if let Some(file) = self.files.get_mut(&oldest) {
            file.close_decoders();
        }
        self.decoders.open.remove(&oldest);
        true
    }

    /// Takes note of the decoders that a file has now; where one has become free, a file that waits may
    /// go on.
    pub(crate) fn note_decoders(&mut self, id: TailId) {
        let count = self.files.get(&id).map_or(0, |file| file.decoders());
        if count > 0 {
            self.decoders.open.insert(id);
            return;
        }
        if self.decoders.open.remove(&id) {
            self.let_one_decode();
        }
    }

    /// Gives a file that waits for a decoder its turn.
    pub(crate) fn let_one_decode(&mut self) {
        if let Some(id) = self.decoders.waiting.pop_first() {
            self.push_ready(id);
        }
    }
}
