//! Reading what is on disk.

use std::collections::BTreeMap;

use tailwater_durable::frame::{FrameReader, Scanned};
use tailwater_durable::{Storage, StorageError};

use super::record::{Decoded, MAX_PAYLOAD_BYTES, decode};
use super::{Intent, MAX_FILE_BYTES, PREFIX};
use crate::names;

/// Files that are read at most, the newest first. Two stand there after a crash; more only where none
/// could be removed for long.
const MAX_GENERATIONS: usize = 16;

/// The first number of a batch.
const FIRST_BATCH: u64 = 1;

/// What opening found, for the restart, the log and the counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct IntentRecovery {
    /// The intents, in the order of their numbers, each number once. Also of batches that were
    /// resolved since the last rotation.
    pub intents: Vec<Intent>,
    /// Greater than every number that was found; 1 where there is none.
    pub next_batch: u64,
    /// Stretches that held no valid frame, with a valid one after them, and frames of a known kind
    /// that made no sense.
    pub damaged_frames: u64,
    /// Bytes of those.
    pub skipped_bytes: u64,
    /// Bytes after the last valid frame: expected after a crash.
    pub torn_tail_bytes: u64,
    /// Valid frames of a kind that this version does not know.
    pub unknown_frames: u64,
    /// Files that were not read: over 64 MiB, not readable, of a newer version, or beyond the newest
    /// 16. The next rotation removes them.
    pub skipped_generations: u64,
}

/// What is on disk.
pub(super) struct Found {
    pub(super) recovery: IntentRecovery,
    /// The number of the newest file; 0 where there is none.
    pub(super) newest: u64,
}

/// Reads all files, and of two intents with the same number takes the newer one.
pub(super) fn read(storage: &dyn Storage) -> Result<Found, StorageError> {
    let generations = names::list(storage, PREFIX)?;
    let newest = generations.first().copied().unwrap_or(0);
    let passed = generations.len().saturating_sub(MAX_GENERATIONS);
    let mut reading = Reading {
        intents: BTreeMap::new(),
        recovery: IntentRecovery {
            next_batch: FIRST_BATCH,
            skipped_generations: u64::try_from(passed).unwrap_or(u64::MAX),
            ..IntentRecovery::default()
        },
    };
    for generation in generations.into_iter().take(MAX_GENERATIONS).rev() {
        let bytes = storage.read(&names::name(PREFIX, generation), MAX_FILE_BYTES);
        let is_read = bytes.is_ok_and(|bytes| reading.read(&bytes, generation));
        if !is_read {
            let skipped = &mut reading.recovery.skipped_generations;
            *skipped = skipped.saturating_add(1);
        }
    }
    let mut recovery = reading.recovery;
    recovery.intents = reading.intents.into_values().collect();
    Ok(Found { recovery, newest })
}

struct Reading {
    intents: BTreeMap<u64, Intent>,
    recovery: IntentRecovery,
}

impl Reading {
    /// Takes in a file; `false` where its version is newer. The header alone is nothing that intents
    /// need: where it is damaged they are read all the same.
    fn read(&mut self, bytes: &[u8], generation: u64) -> bool {
        for scanned in FrameReader::new(bytes, MAX_PAYLOAD_BYTES) {
            let frame = match scanned {
                Scanned::Frame(frame) => frame,
                Scanned::Damaged { skipped_bytes, .. } => {
                    self.add_damage(skipped_bytes);
                    continue;
                }
                Scanned::TornTail { tail_bytes, .. } => {
                    let torn = &mut self.recovery.torn_tail_bytes;
                    *torn = torn.saturating_add(tail_bytes);
                    continue;
                }
            };
            match decode(&frame) {
                Decoded::Newer(_) => return false,
                Decoded::Header(header) => {
                    self.raise(header.next_batch);
                    if header.generation != generation {
                        self.add_damage(frame.frame_bytes());
                    }
                }
                Decoded::Intent(intent) => {
                    self.raise(intent.batch.saturating_add(1));
                    self.intents.insert(intent.batch, intent);
                }
                Decoded::Unknown => {
                    let unknown = &mut self.recovery.unknown_frames;
                    *unknown = unknown.saturating_add(1);
                }
                Decoded::Malformed => self.add_damage(frame.frame_bytes()),
            }
        }
        true
    }

    fn raise(&mut self, next_batch: u64) {
        self.recovery.next_batch = self.recovery.next_batch.max(next_batch);
    }

    fn add_damage(&mut self, skipped_bytes: u64) {
        let recovery = &mut self.recovery;
        recovery.damaged_frames = recovery.damaged_frames.saturating_add(1);
        recovery.skipped_bytes = recovery.skipped_bytes.saturating_add(skipped_bytes);
    }
}
