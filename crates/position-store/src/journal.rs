//! The journal on disk: generations of frames.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use tailwater_durable::frame::{self, FrameReader, Scanned};
use tailwater_durable::{AppendFile, Storage, StorageError};

use crate::record::{Fields, KIND_HEADER, KIND_SNAPSHOT_END, MAX_PAYLOAD_BYTES, Record, VERSION};
use crate::state::{FileKey, Group, PositionStore, Snapshot, StoreLimits};

/// Generations that are kept: the one in use and the one before it.
const KEPT_GENERATIONS: usize = 2;

/// A journal grows to this many times what is live before it is compacted.
const COMPACTION_FACTOR: u64 = 4;

/// Why the positions could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The directory cannot be read or written.
    #[error("cannot open the positions in `{}`", directory.display())]
    Storage {
        /// The directory.
        directory: PathBuf,
        /// What failed.
        source: StorageError,
    },
    /// There are journals and none can be used.
    #[error("the positions in `{}` are damaged beyond use", directory.display())]
    Unusable {
        /// The directory.
        directory: PathBuf,
        /// How many journals there are.
        generations: usize,
    },
    /// A newer version of tailwater wrote them.
    #[error("the positions in `{}` have format version {found}, this version reads up to {VERSION}", directory.display())]
    NewerVersion {
        /// The directory.
        directory: PathBuf,
        /// The version that was found.
        found: u32,
    },
}

impl OpenError {
    /// Says what the operator can do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Storage { .. } => {
                "give the agent's user a directory that it may write in, with room: `data_dir`"
            }
            Self::Unusable { .. } => {
                "move the files `positions-*.journal` away to begin anew: every file is then sent from its first byte again"
            }
            Self::NewerVersion { .. } => {
                "run the version that wrote them, or move the files `positions-*.journal` away"
            }
        }
    }
}

/// Why positions could not be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// A write failed before: nothing more is appended until a new generation is written.
    #[error("an earlier write of the positions failed")]
    Poisoned,
    /// The disk refused.
    #[error("cannot write the positions")]
    Storage(#[source] StorageError),
}

/// What opening found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// The generation that was read; 0 where there was none.
    pub generation: u64,
    /// Files it held.
    pub files: usize,
    /// Stretches that were no valid frame, and frames that made no sense.
    pub damaged_frames: u64,
    /// Bytes of those stretches.
    pub skipped_bytes: u64,
    /// Bytes after the last valid frame: expected after a crash.
    pub torn_tail_bytes: u64,
    /// A newer generation could not be used.
    pub used_previous: bool,
    /// Files that only the generation before still held.
    pub recovered_files: usize,
}

/// The journal that is appended to.
#[derive(Debug)]
pub struct Journal {
    storage: Arc<dyn Storage>,
    limits: StoreLimits,
    generation: u64,
    /// `None` after a failure.
    file: Option<Box<dyn AppendFile>>,
}

/// Opens the positions of a directory. What is usable is written as a new generation at once, so that
/// a directory that cannot be written is noticed here and a torn tail is never appended to.
///
/// # Durability
/// On `Ok` everything that was read is durable in one file.
///
/// # Errors
/// [`OpenError`]; nothing was changed.
pub fn open(
    storage: Arc<dyn Storage>,
    limits: StoreLimits,
    now_ns: u64,
) -> Result<(PositionStore, Journal, Recovery), OpenError> {
    let directory = storage.directory().to_owned();
    let fail = |source| OpenError::Storage {
        directory: directory.clone(),
        source,
    };
    let generations = generations(&*storage).map_err(fail)?;
    let mut recovery = Recovery::default();
    let mut store = PositionStore::new(limits);
    let mut found = false;
    for (index, generation) in generations.iter().enumerate() {
        let Ok(bytes) = storage.read(&name(*generation), limits.max_journal_bytes) else {
            continue;
        };
        match Loaded::read(&bytes, limits) {
            Loaded::Unusable => recovery.used_previous = true,
            Loaded::Newer(version) => {
                return Err(OpenError::NewerVersion {
                    directory,
                    found: version,
                });
            }
            Loaded::Usable(mut loaded) => {
                if loaded.recovery.damaged_frames > 0 {
                    let before = generations.get(index + 1);
                    loaded.adopt_from(before.and_then(|before| {
                        storage.read(&name(*before), limits.max_journal_bytes).ok()
                    }));
                }
                let used_previous = recovery.used_previous;
                recovery = Recovery {
                    generation: *generation,
                    used_previous,
                    ..loaded.recovery
                };
                store = loaded.store;
                found = true;
                break;
            }
        }
    }
    if !found && !generations.is_empty() {
        return Err(OpenError::Unusable {
            directory,
            generations: generations.len(),
        });
    }
    recovery.files = store.len();
    let newest = generations.first().copied().unwrap_or(0);
    let mut journal = Journal {
        storage,
        limits,
        generation: newest,
        file: None,
    };
    journal
        .write_generation(&store.snapshot(), now_ns)
        .map_err(fail)?;
    Ok((store, journal, recovery))
}

impl Journal {
    /// Appends a group and makes it durable.
    ///
    /// # Durability
    /// On `Ok` the group survives a power cut. On `Err` any prefix of it may; nothing more is appended
    /// until [`Journal::reopen_with`].
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn append(&mut self, group: &Group) -> Result<(), JournalError> {
        let file = self.file.as_mut().ok_or(JournalError::Poisoned)?;
        let result = file.append(&group.bytes).and_then(|()| file.sync());
        if result.is_err() {
            self.file = None;
        }
        result.map_err(JournalError::Storage)
    }

    /// Goes on after a failure with a new generation; the failed file is not touched again.
    ///
    /// # Durability
    /// As [`Journal::compact`].
    ///
    /// # Errors
    /// [`JournalError`]; the journal stays poisoned.
    pub fn reopen_with(&mut self, snapshot: &Snapshot) -> Result<(), JournalError> {
        self.compact(snapshot)
    }

    /// Returns whether the journal holds mostly what is no longer true.
    pub fn needs_compaction(&self, live_bytes: u64) -> bool {
        let len = self.file.as_ref().map_or(u64::MAX, |file| file.len());
        self.file.is_some()
            && len
                > self
                    .limits
                    .min_compaction_bytes
                    .max(live_bytes.saturating_mul(COMPACTION_FACTOR))
    }

    /// Writes a new generation that holds the snapshot alone, and goes on with it.
    ///
    /// # Durability
    /// On `Ok` the snapshot survives a power cut. On `Err` the generation before it does.
    ///
    /// # Errors
    /// [`JournalError`]; the journal is poisoned where the new generation could not be opened.
    pub fn compact(&mut self, snapshot: &Snapshot) -> Result<(), JournalError> {
        self.write_generation(snapshot, 0)
            .map_err(JournalError::Storage)
    }

    fn write_generation(&mut self, snapshot: &Snapshot, now_ns: u64) -> Result<(), StorageError> {
        let generation = self.generation.saturating_add(1);
        let mut header = Vec::with_capacity(20);
        header.extend_from_slice(&VERSION.to_le_bytes());
        header.extend_from_slice(&generation.to_le_bytes());
        header.extend_from_slice(&now_ns.to_le_bytes());
        let mut bytes = Vec::with_capacity(snapshot.bytes.len() + 64);
        // Both are far below the limit of a frame, so neither can fail.
        frame::append(&mut bytes, KIND_HEADER, &header).ok();
        bytes.extend_from_slice(&snapshot.bytes);
        frame::append(&mut bytes, KIND_SNAPSHOT_END, &[]).ok();
        self.storage.replace(&name(generation), &bytes)?;
        self.file = None;
        self.generation = generation;
        self.file = Some(self.storage.open_append(&name(generation))?);
        self.remove_old();
        Ok(())
    }

    /// Removes what is no longer needed. A generation that stays costs space and nothing else.
    fn remove_old(&self) {
        for generation in generations(&*self.storage)
            .unwrap_or_default()
            .into_iter()
            .skip(KEPT_GENERATIONS)
        {
            if let Err(error) = self.storage.remove(&name(generation)) {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "cannot remove an old position journal"
                );
            }
        }
    }
}

fn name(generation: u64) -> String {
    format!("positions-{generation:020}.journal")
}

/// Returns the generations of a directory, the newest first.
fn generations(storage: &dyn Storage) -> Result<Vec<u64>, StorageError> {
    let names = storage.list()?;
    let number = |name: &String| {
        name.strip_prefix("positions-")?
            .strip_suffix(".journal")?
            .parse()
            .ok()
    };
    let mut generations: Vec<u64> = names.iter().filter_map(number).collect();
    generations.sort_unstable_by(|a, b| b.cmp(a));
    Ok(generations)
}

/// What one generation holds.
enum Loaded {
    Usable(Box<Generation>),
    Unusable,
    Newer(u32),
}

struct Generation {
    store: PositionStore,
    forgotten: HashSet<FileKey>,
    recovery: Recovery,
}

impl Loaded {
    /// Reads a generation: usable where it begins with its header and its snapshot is complete.
    fn read(bytes: &[u8], limits: StoreLimits) -> Self {
        let mut generation = Generation {
            store: PositionStore::new(limits),
            forgotten: HashSet::new(),
            recovery: Recovery::default(),
        };
        let (mut has_header, mut has_snapshot) = (false, false);
        for scanned in FrameReader::new(bytes, MAX_PAYLOAD_BYTES) {
            match scanned {
                Scanned::Frame(frame) if frame.kind == KIND_HEADER => {
                    match Fields(frame.payload).u32() {
                        Some(version) if version > VERSION => return Self::Newer(version),
                        version => has_header = version.is_some() && frame.offset == 0,
                    }
                }
                Scanned::Frame(frame) if frame.kind == KIND_SNAPSHOT_END => has_snapshot = true,
                Scanned::Frame(frame) => match Record::read(&frame) {
                    Some(record) => generation.apply(record),
                    None => generation.recovery.damaged_frames += 1,
                },
                Scanned::Damaged { skipped_bytes, .. } => {
                    generation.recovery.damaged_frames += 1;
                    generation.recovery.skipped_bytes += skipped_bytes;
                }
                Scanned::TornTail { tail_bytes, .. } => {
                    generation.recovery.torn_tail_bytes = tail_bytes;
                }
            }
        }
        if has_header && has_snapshot {
            Self::Usable(Box::new(generation))
        } else {
            Self::Unusable
        }
    }
}

impl Generation {
    fn apply(&mut self, record: Record) {
        if let Record::Forget(key) = record {
            self.forgotten.insert(key);
        }
        self.store.apply(record);
    }

    /// Takes files that damage has hit from the generation before, where they may be behind: that
    /// costs duplicates and no line.
    fn adopt_from(&mut self, before: Option<Vec<u8>>) {
        let limits = StoreLimits {
            max_files: usize::MAX,
            ..StoreLimits::default()
        };
        let Some(Loaded::Usable(before)) = before.map(|bytes| Loaded::read(&bytes, limits)) else {
            return;
        };
        for file in before
            .store
            .files()
            .filter(|file| !self.forgotten.contains(&file.key))
        {
            if self.store.get(file.key).is_none() {
                self.recovery.recovered_files += 1;
                self.store.adopt(file);
            }
        }
    }
}

#[cfg(test)]
mod tests;
