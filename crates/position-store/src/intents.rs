//! Intents: what a batch is made of, noted before it is first sent.
//!
//! After a crash the spans of a batch that was sent and not resolved are read again with the same
//! boundaries and the same timestamps, so that the sink can recognize the repeat. Nothing here is ever
//! synced: a power cut costs repeats under new timestamps, and no line. The format is
//! docs/formats/intents.md.

use std::collections::BTreeMap;
use std::sync::Arc;

use tailwater_durable::{AppendFile, Storage, StorageError};
use tailwater_record::Marker;

use self::record::{
    HEADER_FRAME_BYTES, Header, MAX_ROUTES_BYTES, MAX_SINK_BYTES, MAX_SPANS, frame_bytes,
};
use crate::names;
use crate::state::{FileKey, PositionStore};

mod open;
mod record;
#[cfg(test)]
mod tests;

pub use open::IntentRecovery;

const PREFIX: &str = "intents-";

/// Longest file that is read or written.
const MAX_FILE_BYTES: u64 = 64 << 20;

/// A stretch of one file that a batch holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IntentSpan {
    /// The file.
    pub key: FileKey,
    /// The epoch of the file, [`PositionStore::epoch`], when the span was read.
    pub epoch: u32,
    /// Its first byte.
    pub start: u64,
    /// The byte after its last one; a span with `end <= start` holds nothing.
    pub end: u64,
    /// The guard of `end`: an inode that was reused within a checkpoint can pass for the file.
    pub marker: Marker,
    /// How the bytes at the start are to be framed: opaque here, see
    /// [`Position::place`](crate::Position::place).
    pub place: u8,
    /// How many lines were read of it, each under a timestamp of its own.
    pub lines: u32,
    /// The timestamp that the first of them was given, in nanoseconds since the epoch.
    pub first_timestamp_ns: u64,
    /// The name that the position of its reader is stored under; empty for the sink's, as in an intent
    /// that was written before there were several.
    pub route: Arc<str>,
}

/// What a batch is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// The number of the batch.
    pub batch: u64,
    /// The sink's key in the configuration; at most 16 KiB.
    pub sink: Arc<str>,
    /// Nanoseconds between the timestamps of two lines of a span.
    pub timestamp_step: u32,
    /// The spans, in the order of the batch.
    pub spans: Vec<IntentSpan>,
}

impl Intent {
    /// Returns the spans that the positions do not yet cover: those whose file is known in the same
    /// epoch and whose end is beyond its reader's position in it. A span that is covered in part is
    /// returned as a whole; where its reader has no position all are.
    pub fn live_spans(&self, store: &PositionStore) -> Vec<IntentSpan> {
        let is_live = |span: &&IntentSpan| {
            let is_known = store.epoch(span.key) == Some(span.epoch);
            let name = Some(&span.route).filter(|route| !route.is_empty());
            let position = store.position(span.key, name.unwrap_or(&self.sink));
            is_known
                && span.start < span.end
                && position.is_none_or(|position| span.end > position.offset)
        };
        self.spans.iter().filter(is_live).cloned().collect()
    }
}

/// The bounds of the intents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IntentLimits {
    /// Batches without an outcome that are remembered at most. More than that are still read.
    pub max_live: usize,
    /// Spans of a batch at most; the format holds no more than 4096.
    pub max_spans: usize,
    /// A file over this many bytes is rotated, unless what is live makes up half of it.
    pub rotate_bytes: u64,
}

impl Default for IntentLimits {
    fn default() -> Self {
        Self {
            max_live: 4096,
            max_spans: MAX_SPANS,
            rotate_bytes: 4 << 20,
        }
    }
}

/// Why an intent was not written. The batch can be sent all the same: its repeat after a crash is then
/// not recognized.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IntentError {
    /// There are as many batches without an outcome as may be.
    #[error("{max_live} batches have an intent and no outcome, the limit")]
    TooMany {
        /// The limit.
        max_live: usize,
    },
    /// The batch has too many spans.
    #[error("the batch has {spans} spans, the limit of an intent is {max_spans}")]
    TooManySpans {
        /// How many it has.
        spans: usize,
        /// The limit.
        max_spans: usize,
    },
    /// The name of the sink is too long.
    #[error("the name of the sink has {sink_bytes} bytes, the limit is {max_bytes}")]
    SinkTooLong {
        /// Its length.
        sink_bytes: usize,
        /// The limit.
        max_bytes: usize,
    },
    /// The names that its spans are stored under are too long together.
    #[error("the names of the routes have {route_bytes} bytes, the limit is {max_bytes}")]
    RoutesTooLong {
        /// Their length.
        route_bytes: usize,
        /// The limit.
        max_bytes: usize,
    },
    /// The intents of all batches without an outcome do not fit in a file that is read again.
    #[error("the intents would take {file_bytes} bytes, the limit is {max_bytes}")]
    TooLong {
        /// What they would take.
        file_bytes: u64,
        /// The limit.
        max_bytes: u64,
    },
    /// The disk refused.
    #[error("cannot write the intent")]
    Storage(#[source] StorageError),
}

/// The intents of the batches without an outcome, and the file that they are appended to.
///
/// # Invariants
/// A file that was there at opening is never appended to, nor one whose end is not known after a
/// failure. Every number that was tried is below the next number of every later header.
#[derive(Debug)]
pub struct Intents {
    storage: Arc<dyn Storage>,
    limits: IntentLimits,
    live: BTreeMap<u64, Intent>,
    /// Greater than every number of a batch that was found or tried.
    next_batch: u64,
    /// The generation in use, or the newest that was found where there is none.
    generation: u64,
    /// `None` until the first append, and after a failure that could not be cut off.
    file: Option<Box<dyn AppendFile>>,
    /// The length of the file over which it is rotated.
    rotate_at: u64,
}

impl Intents {
    /// Reads the intents of a directory. All of them count as live: the caller resolves those that
    /// [`Intent::live_spans`] finds covered. Nothing is written; the first append begins a new file.
    ///
    /// # Errors
    /// [`StorageError`] where the directory cannot be listed. Damage and files that cannot be used are
    /// counted in [`IntentRecovery`], and never refused.
    pub fn open(
        storage: Arc<dyn Storage>,
        limits: IntentLimits,
    ) -> Result<(Self, IntentRecovery), StorageError> {
        let found = open::read(&*storage)?;
        let recovery = found.recovery;
        let live = recovery.intents.iter();
        let intents = Self {
            storage,
            limits,
            live: live.map(|intent| (intent.batch, intent.clone())).collect(),
            next_batch: recovery.next_batch,
            generation: found.newest,
            file: None,
            rotate_at: limits.rotate_bytes,
        };
        Ok((intents, recovery))
    }

    /// Writes the intent of a batch that is about to be sent, in one write, and remembers the batch as
    /// live. An intent under a number that is live replaces the one before it.
    ///
    /// # Durability
    /// On `Ok` the intent survives a crash of the process. It is not synced: a power cut may take it.
    ///
    /// # Errors
    /// [`IntentError`]; the batch is then not remembered, and what was written of it is cut off or left
    /// behind in a file that is no longer appended to. The next append can succeed.
    pub fn append(&mut self, intent: Intent) -> Result<(), IntentError> {
        // First: also a batch whose intent is refused is sent under its number.
        self.next_batch = self.next_batch.max(intent.batch.saturating_add(1));
        self.check(&intent)?;
        let appended_bytes = frame_bytes(&intent);
        let len = self.len_bytes();
        let is_full = len.saturating_add(appended_bytes) > MAX_FILE_BYTES;
        if self.file.is_none() || is_full {
            self.rotate(&intent)?;
        } else if len <= self.rotate_at {
            self.append_frame(&intent)?;
        } else if let Err(error) = self.rotate(&intent) {
            // The file in use still takes intents; after as many bytes again it is tried once more.
            self.rotate_at = len.saturating_add(self.limits.rotate_bytes);
            let error = &error as &(dyn std::error::Error + 'static);
            tracing::warn!(error, "cannot rotate the intents");
            self.append_frame(&intent)?;
        }
        self.live.insert(intent.batch, intent);
        Ok(())
    }

    /// Forgets a batch. In memory only: on disk the intent is gone with the next rotation. So the
    /// positions must cover it durably: with an older one the batch is sent again, and needs its intent.
    pub fn resolve(&mut self, batch: u64) {
        self.live.remove(&batch);
    }

    /// Returns the intents of the batches without an outcome, by number.
    pub fn live(&self) -> impl Iterator<Item = &Intent> {
        self.live.values()
    }

    /// Returns whether a batch has an intent and no outcome.
    pub fn is_live(&self, batch: u64) -> bool {
        self.live.contains_key(&batch)
    }

    /// Returns how many batches have an intent and no outcome.
    pub fn live_len(&self) -> usize {
        self.live.len()
    }

    /// Returns the bytes of the file in use; 0 where the next append begins a new one.
    pub fn len_bytes(&self) -> u64 {
        self.file.as_ref().map_or(0, |file| file.len())
    }

    fn check(&self, intent: &Intent) -> Result<(), IntentError> {
        let max_spans = self.limits.max_spans.min(MAX_SPANS);
        if intent.spans.len() > max_spans {
            return Err(IntentError::TooManySpans {
                spans: intent.spans.len(),
                max_spans,
            });
        }
        if intent.sink.len() > MAX_SINK_BYTES {
            return Err(IntentError::SinkTooLong {
                sink_bytes: intent.sink.len(),
                max_bytes: MAX_SINK_BYTES,
            });
        }
        let route_bytes = record::route_bytes(intent);
        if route_bytes > MAX_ROUTES_BYTES {
            return Err(IntentError::RoutesTooLong {
                route_bytes,
                max_bytes: MAX_ROUTES_BYTES,
            });
        }
        if self.live.len() >= self.limits.max_live && !self.live.contains_key(&intent.batch) {
            return Err(IntentError::TooMany {
                max_live: self.limits.max_live,
            });
        }
        Ok(())
    }

    fn append_frame(&mut self, intent: &Intent) -> Result<(), IntentError> {
        let Some(file) = self.file.as_mut() else {
            return self.rotate(intent);
        };
        let mut bytes = Vec::new();
        record::append_intent(&mut bytes, intent);
        let len_before = file.len();
        let appended = file.append(&bytes);
        if appended.is_err() && file.truncate(len_before).is_err() {
            self.file = None;
        }
        appended.map_err(IntentError::Storage)
    }

    /// Begins a new file with what is live and `intent`, and removes all older ones. Where that fails
    /// the file in use stays in use, and the number of the new one is tried again.
    fn rotate(&mut self, intent: &Intent) -> Result<(), IntentError> {
        let generation = self.generation.saturating_add(1);
        let bytes = self.sealed(generation, intent)?;
        let name = names::name(PREFIX, generation);
        let file = match begin(&*self.storage, &name, &bytes) {
            Ok(file) => file,
            Err(source) => {
                // Gives the space of a full disk back; what stays is a part of what is live.
                drop(self.storage.remove(&name));
                return Err(IntentError::Storage(source));
            }
        };
        // Rotating again at once is of no use where most of the file is live.
        self.rotate_at = file.len().saturating_mul(2).max(self.limits.rotate_bytes);
        self.file = Some(file);
        self.generation = generation;
        if let Err(error) = self.remove_old() {
            // It costs space and nothing else; the next rotation tries again.
            let error = &error as &(dyn std::error::Error + 'static);
            tracing::warn!(error, "cannot remove old intents");
        }
        Ok(())
    }

    /// Returns the bytes of a generation that holds what is live and `intent`.
    fn sealed(&self, generation: u64, intent: &Intent) -> Result<Vec<u8>, IntentError> {
        let others = || {
            let live = self.live.values();
            live.filter(|other| other.batch != intent.batch)
        };
        let file_bytes = others()
            .map(frame_bytes)
            .fold(frame_bytes(intent), u64::saturating_add)
            .saturating_add(HEADER_FRAME_BYTES);
        if file_bytes > MAX_FILE_BYTES {
            return Err(IntentError::TooLong {
                file_bytes,
                max_bytes: MAX_FILE_BYTES,
            });
        }
        let mut bytes = Vec::with_capacity(usize::try_from(file_bytes).unwrap_or(0));
        let next_batch = self.next_batch;
        record::append_header(
            &mut bytes,
            Header {
                generation,
                next_batch,
            },
        );
        others().for_each(|other| record::append_intent(&mut bytes, other));
        record::append_intent(&mut bytes, intent);
        Ok(bytes)
    }

    fn remove_old(&self) -> Result<(), StorageError> {
        for generation in names::list(&*self.storage, PREFIX)? {
            if generation != self.generation {
                self.storage.remove(&names::name(PREFIX, generation))?;
            }
        }
        Ok(())
    }
}

/// Writes a file as a whole, without making it durable; what an attempt before it left is cut off.
fn begin(
    storage: &dyn Storage,
    name: &str,
    bytes: &[u8],
) -> Result<Box<dyn AppendFile>, StorageError> {
    let mut file = storage.open_append(name)?;
    if !file.is_empty() {
        file.truncate(0)?;
    }
    file.append(bytes)?;
    Ok(file)
}
