//! A stretch of the decoded bytes of an open file, moved forward.

use std::fs::File;
use std::io;

use super::{Compression, Damage, Decoder, MAX_TURN_IN_BYTES, MAX_TURN_OUT_BYTES};
use crate::file::read_at;

/// Compressed bytes read at once.
const INPUT_BYTES: usize = 64 * 1024;

/// Decoded bytes made at once.
const PIECE_BYTES: usize = 64 * 1024;

/// Why nothing more was decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// There is as much as was asked for, or the turn is over: there is more.
    Pause,
    /// All that the file holds is decoded, and its last member goes on.
    Starved,
    /// All that the file holds is decoded, and its last member has ended, or it is empty.
    End,
    /// What follows cannot be decoded.
    Damaged(Damage),
}

/// The decoder of one cursor, and the decoded bytes around the cursor.
#[derive(Debug)]
pub(crate) struct Unpacker {
    decoder: Decoder,
    input: Box<[u8]>,
    /// What of `input` is not decoded yet.
    next: usize,
    end: usize,
    /// The next compressed byte to read.
    raw_offset: u64,
    /// Decoded bytes from `start` on.
    decoded: Vec<u8>,
    start: u64,
    damage: Option<Damage>,
}

/// What is left of one turn.
#[derive(Debug)]
pub(super) struct Budget {
    taken: u64,
    made: u64,
}

impl Budget {
    pub(super) fn of_a_turn() -> Self {
        Self { taken: 0, made: 0 }
    }

    fn is_spent(&self) -> bool {
        self.taken >= MAX_TURN_IN_BYTES || self.made >= MAX_TURN_OUT_BYTES
    }

    /// Returns the bytes that were decoded.
    pub(super) fn made(&self) -> u64 {
        self.made
    }
}

impl Unpacker {
    pub(crate) fn new(compression: Compression) -> Self {
        Self {
            decoder: Decoder::new(compression),
            input: vec![0; INPUT_BYTES].into_boxed_slice(),
            next: 0,
            end: 0,
            raw_offset: 0,
            decoded: Vec::new(),
            start: 0,
            damage: None,
        }
    }

    /// Returns the memory that its decoder takes.
    pub(super) fn memory_bytes(&self) -> u64 {
        self.decoder.memory_bytes()
    }

    /// Returns the compressed bytes that were read.
    pub(super) fn raw_offset(&self) -> u64 {
        self.raw_offset
    }

    /// Returns the offset after the last decoded byte.
    pub(super) fn decoded_end(&self) -> u64 {
        self.start.saturating_add(self.decoded.len() as u64)
    }

    /// Returns whether the decoded bytes from an offset on are here, or still to come.
    pub(super) fn reaches(&self, offset: u64) -> bool {
        self.start <= offset
    }

    /// Returns the decoded bytes from an offset on.
    pub(super) fn from(&self, offset: u64) -> &[u8] {
        let skipped = usize::try_from(offset.saturating_sub(self.start)).unwrap_or(usize::MAX);
        self.decoded.get(skipped..).unwrap_or_default()
    }

    /// Decodes until `len` bytes from `offset` on are here; what lies before is given up.
    ///
    /// # Errors
    /// Those of reading the file.
    pub(super) fn fill(
        &mut self,
        file: &File,
        offset: u64,
        len: usize,
        budget: &mut Budget,
    ) -> io::Result<Stop> {
        loop {
            self.forget_before(offset);
            if let Some(damage) = self.damage {
                return Ok(Stop::Damaged(damage));
            }
            let wanted = len.saturating_sub(self.from(offset).len());
            if wanted == 0 || budget.is_spent() {
                return Ok(Stop::Pause);
            }
            let is_skipping = self.decoded_end() < offset;
            let piece = if is_skipping {
                PIECE_BYTES
            } else {
                wanted.min(PIECE_BYTES)
            };
            if !self.decode(piece, budget) && !self.read(file, budget)? {
                let is_whole = self.raw_offset == 0 || self.decoder.is_after_a_member();
                let is_clean = self.next == self.end;
                return Ok(if is_whole && is_clean {
                    Stop::End
                } else {
                    Stop::Starved
                });
            }
        }
    }

    /// Gives up what lies before an offset.
    fn forget_before(&mut self, offset: u64) {
        let given_up = usize::try_from(offset.saturating_sub(self.start)).unwrap_or(usize::MAX);
        let given_up = given_up.min(self.decoded.len());
        self.decoded.drain(..given_up);
        self.start = self.start.saturating_add(given_up as u64);
    }

    /// Decodes at most so many bytes; returns whether anything was done.
    fn decode(&mut self, piece: usize, budget: &mut Budget) -> bool {
        let len = self.decoded.len();
        self.decoded.resize(len.saturating_add(piece), 0);
        let input = self.input.get(self.next..self.end).unwrap_or_default();
        let output = self.decoded.get_mut(len..).unwrap_or_default();
        let step = self.decoder.step(input, output);
        self.decoded.truncate(len.saturating_add(step.made));
        self.next = self.next.saturating_add(step.taken);
        self.damage = step.damage;
        budget.made = budget.made.saturating_add(step.made as u64);
        step.made > 0 || step.taken > 0 || step.damage.is_some()
    }

    /// Reads more of the file behind what is not decoded yet; returns whether there was any.
    fn read(&mut self, file: &File, budget: &mut Budget) -> io::Result<bool> {
        self.input.copy_within(self.next..self.end, 0);
        self.end = self.end.saturating_sub(self.next);
        self.next = 0;
        let target = self.input.get_mut(self.end..).unwrap_or_default();
        if target.is_empty() {
            return Ok(false);
        }
        let read = read_at(file, target, self.raw_offset)?;
        self.end = self.end.saturating_add(read);
        self.raw_offset = self.raw_offset.saturating_add(read as u64);
        budget.taken = budget.taken.saturating_add(read as u64);
        Ok(read > 0)
    }
}
