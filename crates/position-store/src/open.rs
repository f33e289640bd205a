//! Opening: from what is on disk to a state and a journal.

use std::path::PathBuf;
use std::sync::Arc;

use tailwater_durable::{Storage, StorageError};

use crate::generation::{self, Generation, GenerationError, Loaded, Scan};
use crate::journal::{Journal, JournalError};
use crate::record::{Header, VERSION};
use crate::state::{PositionStore, StoreLimits};

/// Why the positions could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The directory cannot be read or written.
    #[error("cannot open the positions in {}", directory.display())]
    Storage {
        /// The directory.
        directory: PathBuf,
        /// What failed.
        source: StorageError,
    },
    /// There are journals and none can be used. Beginning anew in silence would send everything again.
    #[error("none of the {generations} position journals in {} can be used", directory.display())]
    Unusable {
        /// The directory.
        directory: PathBuf,
        /// How many journals there are.
        generations: usize,
        /// What is wrong with the newest.
        source: GenerationError,
    },
    /// A newer version of tailwater wrote them.
    #[error("the positions in {} have format version {found}, newer than {VERSION}", directory.display())]
    NewerVersion {
        /// The directory.
        directory: PathBuf,
        /// The version that was found.
        found: u32,
    },
    /// The first journal cannot be written.
    #[error("cannot begin a position journal in {}", directory.display())]
    Begin {
        /// The directory.
        directory: PathBuf,
        /// What failed.
        source: JournalError,
    },
}

impl OpenError {
    /// Says what the operator can do.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Storage { .. } | Self::Begin { .. } => {
                "give the agent's user a directory that it may write in, with room: `data_dir`"
            }
            Self::Unusable { .. } => {
                "move the files `positions-*.journal` away to begin anew: every file that is still \
                 there is then sent from its first byte again"
            }
            Self::NewerVersion { .. } => {
                "run the version that wrote them, or move the files `positions-*.journal` away: \
                 every file that is still there is then sent from its first byte again"
            }
        }
    }
}

/// What opening found, for the log and the counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovery {
    /// The generation that was read; 0 where there was none.
    pub generation: u64,
    /// Files that are known now.
    pub files: usize,
    /// Stretches that held no valid frame, with a valid one after them, and frames of a known kind
    /// that made no sense.
    pub damaged_frames: u64,
    /// Bytes of those.
    pub skipped_bytes: u64,
    /// Bytes after the last valid frame, cut off: expected after a crash.
    pub torn_tail_bytes: u64,
    /// Valid frames of a kind that this version does not know.
    pub unknown_frames: u64,
    /// Generations without a valid header, or that could not be read.
    pub unusable_generations: usize,
    /// A newer generation could not be used, or its snapshot was damaged and the one before filled
    /// in: some positions are older than they were.
    pub used_previous: bool,
    /// Files that only the generation before still held.
    pub recovered_files: usize,
}

impl Recovery {
    fn add(&mut self, scan: Scan) {
        self.damaged_frames = self.damaged_frames.saturating_add(scan.damaged_frames);
        self.skipped_bytes = self.skipped_bytes.saturating_add(scan.skipped_bytes);
        self.torn_tail_bytes = self.torn_tail_bytes.saturating_add(scan.torn_tail_bytes);
        self.unknown_frames = self.unknown_frames.saturating_add(scan.unknown_frames);
    }
}

/// Opens the positions of a directory.
///
/// A directory without journals gets a first one. Otherwise the newest usable generation is read and
/// appended to, its torn tail cut off; where its snapshot is damaged, the generation before it fills
/// in what is missing. Damage is counted in [`Recovery`], and costs duplicates and no line.
///
/// # Durability
/// What was read is as durable as it was. Where a newer generation than the one that was read cannot
/// be used, nothing is written here: the journal asks for compaction, and until then is poisoned.
///
/// # Errors
/// [`OpenError`]; [`OpenError::hint`] says what to do. Journals that cannot be used are left as they
/// are.
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
    let generations = generation::list(&*storage).map_err(fail)?;
    let Some(newest) = generations.first().copied() else {
        return begin(storage, limits, now_ns);
    };
    let mut search = Search {
        storage: &*storage,
        limits,
        generations: generations.len(),
        remaining: generations.iter(),
        unusable: Vec::new(),
    };
    let Some(current) = search.next_usable()? else {
        return Err(search.give_up(newest, GenerationError::NoHeader { generation: newest }));
    };
    let newer_unusable = search.unusable.len();
    let (store, scan, mut recovery) = search.read(&current, now_ns)?;
    recovery.used_previous |= newer_unusable > 0;
    recovery.unusable_generations = search.unusable.len();
    let unusable = search.unusable.into_iter().map(|(number, _)| number);
    let unusable = unusable.collect();
    let number = current.header.generation;
    let mut journal = Journal::new(Arc::clone(&storage), limits, number, newest, unusable);
    // Appending below an unusable newer generation would be undone should that one become readable.
    if newer_unusable == 0 {
        let needs_rewrite = scan.damaged_frames > 0 || !scan.is_snapshot_whole;
        let cut_to = (scan.torn_tail_bytes > 0).then_some(scan.valid_bytes);
        journal.resume(cut_to, needs_rewrite).map_err(fail)?;
    }
    Ok((store, journal, recovery))
}

fn begin(
    storage: Arc<dyn Storage>,
    limits: StoreLimits,
    now_ns: u64,
) -> Result<(PositionStore, Journal, Recovery), OpenError> {
    let directory = storage.directory().to_owned();
    let store = PositionStore::new(limits, now_ns);
    let mut journal = Journal::new(storage, limits, 0, 0, Vec::new());
    journal
        .compact(&store.snapshot())
        .map_err(|source| OpenError::Begin { directory, source })?;
    Ok((store, journal, Recovery::default()))
}

/// The way from the newest generation to older ones.
struct Search<'a> {
    storage: &'a dyn Storage,
    limits: StoreLimits,
    generations: usize,
    remaining: std::slice::Iter<'a, u64>,
    /// Those that were passed, the newest first.
    unusable: Vec<(u64, GenerationError)>,
}

impl Search<'_> {
    fn next_usable(&mut self) -> Result<Option<Generation>, OpenError> {
        for number in self.remaining.by_ref() {
            match generation::load(self.storage, *number, self.limits.max_journal_bytes) {
                Loaded::Usable(generation) => return Ok(Some(generation)),
                Loaded::Unusable(error) => self.unusable.push((*number, error)),
                Loaded::Newer(found) => {
                    return Err(OpenError::NewerVersion {
                        directory: self.storage.directory().to_owned(),
                        found,
                    });
                }
            }
        }
        Ok(None)
    }

    /// Reads `current`, over the generation before it where its snapshot is damaged.
    fn read(
        &mut self,
        current: &Generation,
        now_ns: u64,
    ) -> Result<(PositionStore, Scan, Recovery), OpenError> {
        let mut recovery = Recovery {
            generation: current.header.generation,
            ..Recovery::default()
        };
        let mut store = PositionStore::new(self.limits, now_ns);
        let scan = current.replay(&mut store);
        recovery.add(scan);
        if !scan.is_snapshot_whole {
            let files = store.len();
            if let Some(previous) = self.next_usable()? {
                // Records replace older ones, so the newer generation is read again on top.
                store = PositionStore::new(self.limits, now_ns);
                recovery.add(previous.replay(&mut store));
                current.replay(&mut store);
                recovery.used_previous = true;
                recovery.recovered_files = store.len().saturating_sub(files);
            }
            if store.is_empty() && current.header.files > 0 {
                let Header {
                    generation, files, ..
                } = current.header;
                let error = GenerationError::NoFiles { generation, files };
                return Err(self.give_up(generation, error));
            }
        }
        recovery.files = store.len();
        Ok((store, scan, recovery))
    }

    /// Reports `error` of generation `number`, or that of a newer one which was passed before it.
    fn give_up(&mut self, number: u64, error: GenerationError) -> OpenError {
        let mut passed = self.unusable.drain(..);
        let newer = passed.find(|(passed, _)| *passed >= number);
        OpenError::Unusable {
            directory: self.storage.directory().to_owned(),
            generations: self.generations,
            source: newer.map_or(error, |(_, error)| error),
        }
    }
}
