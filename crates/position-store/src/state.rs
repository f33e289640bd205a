//! The positions in memory.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tailwater_record::{FileIdentity, Marker};

use crate::record::Record;

/// Number of a file within the store: rising, never used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileKey(pub u64);

/// How far a sink has taken a file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// Every byte before this offset is resolved.
    pub offset: u64,
    /// The guard of the offset.
    pub marker: Marker,
}

/// A sink's position in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPosition {
    /// The sink's key in the configuration.
    pub sink: Arc<str>,
    /// How far it is.
    pub position: Position,
}

/// What is stored of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredFile {
    /// Its number.
    pub key: FileKey,
    /// Who it is.
    pub identity: FileIdentity,
    /// The path it was found under.
    pub path: PathBuf,
    /// When a position of it last moved, in nanoseconds since the epoch.
    pub updated_ns: u64,
    /// The positions of the sinks.
    pub positions: Vec<StoredPosition>,
}

/// The bounds of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreLimits {
    /// Files that are stored at most.
    pub max_files: usize,
    /// Size of a journal that is read at most.
    pub max_journal_bytes: u64,
    /// A journal below this size is not compacted.
    pub min_compaction_bytes: u64,
}

impl Default for StoreLimits {
    /// Twice the files that are followed by default, for those that are gone and not yet forgotten.
    fn default() -> Self {
        Self {
            max_files: 200_000,
            max_journal_bytes: 512 << 20,
            min_compaction_bytes: 1 << 20,
        }
    }
}

/// The store holds as many files as it may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the position store holds {max_files} files, its limit")]
pub struct StoreFull {
    /// The limit.
    pub max_files: usize,
}

/// Everything that has changed since the last group, encoded.
#[derive(Clone, Debug)]
pub struct Group {
    pub(crate) bytes: Vec<u8>,
    files: BTreeSet<FileKey>,
    positions: BTreeSet<(FileKey, Arc<str>)>,
    forgotten: BTreeSet<FileKey>,
}

/// The whole store, encoded.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub(crate) bytes: Vec<u8>,
}

/// The positions of all files and sinks.
#[derive(Clone, Debug)]
pub struct PositionStore {
    limits: StoreLimits,
    files: BTreeMap<FileKey, StoredFile>,
    by_inode: HashMap<(u64, u64), Vec<FileKey>>,
    by_path: HashMap<PathBuf, Vec<FileKey>>,
    next_key: u64,
    dirty_files: BTreeSet<FileKey>,
    dirty_positions: BTreeSet<(FileKey, Arc<str>)>,
    forgotten: BTreeSet<FileKey>,
}

impl PositionStore {
    pub(crate) fn new(limits: StoreLimits) -> Self {
        Self {
            limits,
            files: BTreeMap::new(),
            by_inode: HashMap::new(),
            by_path: HashMap::new(),
            next_key: 1,
            dirty_files: BTreeSet::new(),
            dirty_positions: BTreeSet::new(),
            forgotten: BTreeSet::new(),
        }
    }

    /// Returns every file, in the order of their numbers.
    pub fn files(&self) -> impl Iterator<Item = &StoredFile> {
        self.files.values()
    }

    /// Returns how many files are stored.
    pub fn len(&self) -> usize {
        self.files.len()
    }

    /// Returns whether nothing is stored.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Returns a file.
    pub fn get(&self, key: FileKey) -> Option<&StoredFile> {
        self.files.get(&key)
    }

    /// Returns the files with this inode: several where it was reused.
    pub fn find(&self, device: u64, inode: u64) -> impl Iterator<Item = &StoredFile> {
        let keys = self
            .by_inode
            .get(&(device, inode))
            .map(Vec::as_slice)
            .unwrap_or_default();
        keys.iter().filter_map(|key| self.files.get(key))
    }

    /// Returns the files that were found under this path: one for each generation.
    pub fn find_by_path(&self, path: &Path) -> impl Iterator<Item = &StoredFile> {
        let keys = self
            .by_path
            .get(path)
            .map(Vec::as_slice)
            .unwrap_or_default();
        keys.iter().filter_map(|key| self.files.get(key))
    }

    /// Enters a new file.
    ///
    /// # Errors
    /// [`StoreFull`] at the limit of files.
    pub fn insert(
        &mut self,
        identity: FileIdentity,
        path: &Path,
        now_ns: u64,
    ) -> Result<FileKey, StoreFull> {
        if self.files.len() >= self.limits.max_files {
            return Err(StoreFull {
                max_files: self.limits.max_files,
            });
        }
        let key = FileKey(self.next_key);
        self.put(StoredFile {
            key,
            identity,
            path: path.to_owned(),
            updated_ns: now_ns,
            positions: Vec::new(),
        });
        self.dirty_files.insert(key);
        Ok(key)
    }

    /// Enters who a file is now: its fingerprint has grown, or its content is another.
    pub fn set_identity(&mut self, key: FileKey, identity: FileIdentity) {
        let Some(file) = self.files.get_mut(&key) else {
            return;
        };
        if file.identity == identity {
            return;
        }
        let before = (file.identity.device, file.identity.inode);
        file.identity = identity;
        let now = (identity.device, identity.inode);
        if before != now {
            remove_key(&mut self.by_inode, &before, key);
            self.by_inode.entry(now).or_default().push(key);
        }
        self.dirty_files.insert(key);
    }

    /// Moves a position. In memory at once; durable once the next group is.
    pub fn set_position(&mut self, key: FileKey, sink: &str, position: Position, now_ns: u64) {
        let Some(file) = self.files.get_mut(&key) else {
            return;
        };
        file.updated_ns = now_ns;
        let stored = file
            .positions
            .iter_mut()
            .find(|stored| &*stored.sink == sink);
        let sink = match stored {
            Some(stored) if stored.position == position => return,
            Some(stored) => {
                stored.position = position;
                Arc::clone(&stored.sink)
            }
            None => {
                let sink: Arc<str> = sink.into();
                file.positions.push(StoredPosition {
                    sink: Arc::clone(&sink),
                    position,
                });
                sink
            }
        };
        self.dirty_positions.insert((key, sink));
    }

    /// Forgets a file.
    pub fn forget(&mut self, key: FileKey) {
        if self.take(key).is_some() {
            self.dirty_files.remove(&key);
            self.dirty_positions.retain(|(dirty, _)| *dirty != key);
            self.forgotten.insert(key);
        }
    }

    /// Forgets the files whose positions moved last before `older_than_ns` and that `keep` does not
    /// want; returns them.
    pub fn expire(
        &mut self,
        older_than_ns: u64,
        keep: impl Fn(FileKey) -> bool,
    ) -> Vec<StoredFile> {
        let old: Vec<StoredFile> = self
            .files
            .values()
            .filter(|file| file.updated_ns < older_than_ns && !keep(file.key))
            .cloned()
            .collect();
        old.iter().for_each(|file| self.forget(file.key));
        old
    }

    /// Takes everything that has changed since the last time; `None` where nothing has.
    pub fn take_group(&mut self) -> Option<Group> {
        let files = std::mem::take(&mut self.dirty_files);
        let positions = std::mem::take(&mut self.dirty_positions);
        let forgotten = std::mem::take(&mut self.forgotten);
        let mut bytes = Vec::new();
        for key in &forgotten {
            Record::Forget(*key).append(&mut bytes);
        }
        for file in files.iter().filter_map(|key| self.files.get(key)) {
            Record::of_file(file).append(&mut bytes);
        }
        for (key, sink) in &positions {
            let Some(file) = self.files.get(key) else {
                continue;
            };
            let Some(stored) = file.positions.iter().find(|stored| stored.sink == *sink) else {
                continue;
            };
            Record::of_position(file, stored).append(&mut bytes);
        }
        (!bytes.is_empty()).then_some(Group {
            bytes,
            files,
            positions,
            forgotten,
        })
    }

    /// Takes back a group that could not be written: it is part of the next one.
    pub fn restore_group(&mut self, group: Group) {
        self.dirty_files.extend(group.files);
        self.dirty_positions.extend(group.positions);
        self.forgotten.extend(group.forgotten);
    }

    /// Encodes everything.
    pub fn snapshot(&self) -> Snapshot {
        let mut bytes = Vec::new();
        for file in self.files.values() {
            Record::of_file(file).append(&mut bytes);
            for stored in &file.positions {
                Record::of_position(file, stored).append(&mut bytes);
            }
        }
        Snapshot { bytes }
    }

    /// Estimates the size of a snapshot, without making it.
    pub fn live_bytes(&self) -> u64 {
        self.files.len() as u64 * 256
    }

    /// Applies a record that was read.
    pub(crate) fn apply(&mut self, record: Record) {
        match record {
            Record::File {
                key,
                identity,
                path,
                updated_ns,
            } => {
                let positions = self
                    .take(key)
                    .map(|file| file.positions)
                    .unwrap_or_default();
                if self.files.len() < self.limits.max_files {
                    self.put(StoredFile {
                        key,
                        identity,
                        path,
                        updated_ns,
                        positions,
                    });
                }
            }
            Record::Position {
                key,
                sink,
                position,
                updated_ns,
            } => {
                self.set_position(key, &sink, position, updated_ns);
            }
            Record::Forget(key) => drop(self.take(key)),
        }
        self.dirty_files.clear();
        self.dirty_positions.clear();
    }

    /// Adds a file that damage has taken out of a newer generation.
    pub(crate) fn adopt(&mut self, file: &StoredFile) {
        if !self.files.contains_key(&file.key) && self.files.len() < self.limits.max_files {
            self.put(file.clone());
        }
    }

    fn put(&mut self, file: StoredFile) {
        let key = file.key;
        self.next_key = self.next_key.max(key.0.saturating_add(1));
        self.by_inode
            .entry((file.identity.device, file.identity.inode))
            .or_default()
            .push(key);
        self.by_path.entry(file.path.clone()).or_default().push(key);
        self.files.insert(key, file);
    }

    fn take(&mut self, key: FileKey) -> Option<StoredFile> {
        let file = self.files.remove(&key)?;
        remove_key(
            &mut self.by_inode,
            &(file.identity.device, file.identity.inode),
            key,
        );
        remove_key(&mut self.by_path, &file.path, key);
        Some(file)
    }
}

fn remove_key<I: std::hash::Hash + Eq + Clone>(
    index: &mut HashMap<I, Vec<FileKey>>,
    at: &I,
    key: FileKey,
) {
    if let Some(keys) = index.get_mut(at) {
        keys.retain(|known| *known != key);
        if keys.is_empty() {
            index.remove(at);
        }
    }
}
