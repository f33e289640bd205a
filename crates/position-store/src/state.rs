//! The positions in memory.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use tailwater_record::{FileIdentity, Fingerprint, Marker};

use crate::record::{
    self, HEADER_FRAME_BYTES, Header, MAX_PATH_BYTES, MAX_SINK_BYTES, Record, file_bytes,
};

use self::keys::Keys;
use self::notes::Notes;

mod keys;
mod notes;
#[cfg(test)]
mod tests;

pub use notes::NoteError;

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
    /// How the bytes at the offset are to be framed: opaque here; 0 = at the start of a line.
    pub place: u8,
}

/// A reader's position in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredPosition {
    /// The name it is stored under: opaque here. The engine writes the sink's key in the configuration,
    /// `/` and the source's key; earlier versions, and imports, the sink's key alone.
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
    /// The path it was found under; any bytes, not necessarily UTF-8. Shared with whoever follows it.
    pub path: Arc<Path>,
    /// When it was entered or a position of it last set, in nanoseconds since the epoch.
    pub updated_ns: u64,
    /// The positions, one per sink.
    pub positions: Vec<StoredPosition>,
}

/// The bounds of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StoreLimits {
    /// Files that are entered at most. More than that are still read from a journal.
    pub max_files: usize,
    /// Bytes of a journal that are read or written at most.
    pub max_journal_bytes: u64,
    /// A journal of at most this many bytes is not compacted for its size.
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

/// What has changed since the last group, at most once per file, sink and note, encoded.
#[derive(Clone, Debug)]
#[must_use = "a group that is neither written nor restored is missing on disk"]
pub struct Group {
    pub(crate) bytes: Vec<u8>,
    files: BTreeSet<FileKey>,
    positions: BTreeSet<(FileKey, Arc<str>)>,
    forgotten: BTreeSet<FileKey>,
    notes: BTreeSet<Arc<str>>,
}

impl Group {
    /// Returns the bytes it takes in the journal.
    pub fn len_bytes(&self) -> usize {
        self.bytes.len()
    }
}

/// The whole store, encoded, with room for the header before it.
#[derive(Clone, Debug)]
pub struct Snapshot {
    bytes: Vec<u8>,
    header: Header,
}

impl Snapshot {
    /// Returns the bytes of a generation that holds the snapshot alone.
    pub(crate) fn sealed(&self, generation: u64) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.bytes.len().saturating_add(2 * HEADER_FRAME_BYTES));
        let header = Header {
            generation,
            ..self.header
        };
        record::append_header(&mut bytes, header);
        bytes.extend_from_slice(&self.bytes);
        record::append_snapshot_end(&mut bytes, generation);
        bytes
    }
}

/// The positions of all files and sinks, and the notes that are committed with them.
///
/// # Invariants
/// Every change is in the next group until that group is taken. Holds at most `max_files` files that
/// were entered, and one position per file and sink.
#[derive(Clone, Debug)]
pub struct PositionStore {
    limits: StoreLimits,
    /// Boxed: a node of a tree that grows at its end is half empty.
    files: BTreeMap<FileKey, Box<Entry>>,
    by_inode: HashMap<(u64, u64), Keys>,
    by_path: HashMap<Arc<Path>, Keys>,
    /// Names that positions share; the sinks of all configurations that left a position.
    sinks: BTreeSet<Arc<str>>,
    next_key: u64,
    live_bytes: u64,
    latest_ns: u64,
    dirty_files: BTreeSet<FileKey>,
    dirty_positions: BTreeSet<(FileKey, Arc<str>)>,
    forgotten: BTreeSet<FileKey>,
    notes: Notes,
}

#[derive(Clone, Debug)]
struct Entry {
    file: StoredFile,
    /// Rises whenever a position goes back or the content becomes another: see the format.
    epoch: u32,
}

impl Entry {
    /// Starts an epoch: positions that were written before are void.
    fn raise_epoch(&mut self) {
        self.epoch = self.epoch.saturating_add(1);
    }

    fn position(&self, sink: &str) -> Option<Position> {
        let mut positions = self.file.positions.iter();
        let known = positions.find(|known| &*known.sink == sink);
        known.map(|known| known.position)
    }

    fn place(&mut self, stored: StoredPosition) {
        let mut positions = self.file.positions.iter_mut();
        if let Some(known) = positions.find(|known| known.sink == stored.sink) {
            known.position = stored.position;
        } else {
            // No room for more: of many thousands of files, each has one position.
            self.file.positions.reserve_exact(1);
            self.file.positions.push(stored);
        }
    }
}

impl PositionStore {
    pub(crate) fn new(limits: StoreLimits, now_ns: u64) -> Self {
        Self {
            limits,
            files: BTreeMap::new(),
            by_inode: HashMap::new(),
            by_path: HashMap::new(),
            sinks: BTreeSet::new(),
            next_key: 1,
            live_bytes: 0,
            latest_ns: now_ns,
            dirty_files: BTreeSet::new(),
            dirty_positions: BTreeSet::new(),
            forgotten: BTreeSet::new(),
            notes: Notes::default(),
        }
    }

    /// Returns every file, in the order of their numbers.
    pub fn files(&self) -> impl Iterator<Item = &StoredFile> {
        self.files.values().map(|entry| &entry.file)
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
        self.files.get(&key).map(|entry| &entry.file)
    }

    /// Returns the position of a sink in a file.
    pub(crate) fn position(&self, key: FileKey, sink: &str) -> Option<Position> {
        self.files.get(&key)?.position(sink)
    }

    /// Returns the epoch of a file: it rises whenever a position of the file goes back and whenever its
    /// content becomes another.
    pub fn epoch(&self, key: FileKey) -> Option<u32> {
        self.files.get(&key).map(|entry| entry.epoch)
    }

    /// Returns the files with this inode: several where it was reused.
    pub fn find(&self, device: u64, inode: u64) -> impl Iterator<Item = &StoredFile> {
        let keys = self.by_inode.get(&(device, inode));
        let keys = keys.map(Keys::as_slice).unwrap_or_default();
        keys.iter().filter_map(|key| self.get(*key))
    }

    /// Returns the files that were found under this path: one for each generation.
    pub fn find_by_path(&self, path: &Path) -> impl Iterator<Item = &StoredFile> {
        let keys = self.by_path.get(path).map(Keys::as_slice);
        keys.unwrap_or_default()
            .iter()
            .filter_map(|key| self.get(*key))
    }

    /// Enters a new file. A path over 32 KiB, which no system opens, is left empty.
    ///
    /// # Errors
    /// [`StoreFull`] at the limit of files.
    pub fn insert(
        &mut self,
        identity: FileIdentity,
        path: impl Into<Arc<Path>>,
        now_ns: u64,
    ) -> Result<FileKey, StoreFull> {
        if self.files.len() >= self.limits.max_files {
            return Err(StoreFull {
                max_files: self.limits.max_files,
            });
        }
        let key = FileKey(self.next_key);
        let file = StoredFile {
            key,
            identity,
            path: kept_path(path.into()),
            updated_ns: now_ns,
            positions: Vec::new(),
        };
        self.latest_ns = self.latest_ns.max(now_ns);
        self.put(Box::new(Entry { file, epoch: 0 }));
        self.dirty_files.insert(key);
        Ok(key)
    }

    /// Enters who a file is now. A longer fingerprint is the same content, grown; another one that is
    /// not longer is another content, and the positions of all sinks start over.
    pub fn set_identity(&mut self, key: FileKey, identity: FileIdentity) {
        let Some(known) = self.get(key).map(|file| file.identity) else {
            return;
        };
        if known == identity {
            return;
        }
        let Some(mut entry) = self.take(key) else {
            return;
        };
        entry.file.identity = identity;
        if is_other_content(known.fingerprint, identity.fingerprint) {
            entry.raise_epoch();
            entry.file.positions.clear();
        }
        self.put(entry);
        self.dirty_files.insert(key);
    }

    /// Enters where a file is now. A path over 32 KiB, which no system opens, is left empty.
    pub fn set_path(&mut self, key: FileKey, path: impl Into<Arc<Path>>) {
        let path = kept_path(path.into());
        if self.get(key).is_none_or(|file| file.path == path) {
            return;
        }
        let Some(mut entry) = self.take(key) else {
            return;
        };
        entry.file.path = path;
        self.put(entry);
        self.dirty_files.insert(key);
    }

    /// Moves a position, also back. In memory at once; durable once the next group is.
    ///
    /// A file that was forgotten has no positions: nothing happens. The name of a sink is at most
    /// 16 KiB long; a position under a longer one is not kept, and its file is read again.
    pub fn set_position(&mut self, key: FileKey, sink: &str, position: Position, now_ns: u64) {
        if sink.len() > MAX_SINK_BYTES {
            return;
        }
        let sink = self.shared_name(sink);
        let Some(entry) = self.files.get_mut(&key) else {
            return;
        };
        self.latest_ns = self.latest_ns.max(now_ns);
        entry.file.updated_ns = now_ns;
        let known = entry.position(&sink);
        if known == Some(position) {
            return;
        }
        let bytes_before = file_bytes(&entry.file);
        if known.is_some_and(|known| known.offset > position.offset) {
            entry.raise_epoch();
            self.dirty_files.insert(key);
        }
        entry.place(StoredPosition {
            sink: Arc::clone(&sink),
            position,
        });
        let grown_bytes = file_bytes(&entry.file).saturating_sub(bytes_before);
        self.live_bytes = self.live_bytes.saturating_add(grown_bytes);
        self.dirty_positions.insert((key, sink));
    }

    /// Removes positions of a file by their names, which raises its epoch where there was one: what was
    /// noted of the file under the epoch before is void. In memory at once; durable once the next group
    /// is.
    pub fn remove_positions(&mut self, key: FileKey, sinks: &[Arc<str>]) {
        let Some(mut entry) = self.take(key) else {
            return;
        };
        let count = entry.file.positions.len();
        entry
            .file
            .positions
            .retain(|stored| !sinks.contains(&stored.sink));
        if entry.file.positions.len() < count {
            entry.raise_epoch();
            self.dirty_files.insert(key);
        }
        self.put(entry);
    }

    /// Moves a position on to where something else that is durable already has it, at the start: only
    /// where the file is known, in the same epoch, and only forward. Returns whether it moved; what is
    /// durable is as with [`PositionStore::set_position`]. The time of the file stays that of the run
    /// that read it: what was made since is told by that.
    pub fn redo(&mut self, key: FileKey, epoch: u32, sink: &str, position: Position) -> bool {
        let Some(entry) = self.files.get(&key) else {
            return false;
        };
        let known = entry.position(sink).map(|known| known.offset);
        let is_ahead = known.is_none_or(|known| known < position.offset);
        let is_moved = entry.epoch == epoch && is_ahead && sink.len() <= MAX_SINK_BYTES;
        if is_moved {
            let updated_ns = entry.file.updated_ns;
            self.set_position(key, sink, position, updated_ns);
        }
        is_moved
    }

    /// Forgets a file.
    pub fn forget(&mut self, key: FileKey) {
        if self.take(key).is_some() {
            self.forgotten.insert(key);
        }
    }

    /// Forgets the files that were updated last before `older_than_ns` and that `keep` does not want;
    /// returns them.
    pub fn expire(
        &mut self,
        older_than_ns: u64,
        keep: impl Fn(FileKey) -> bool,
    ) -> Vec<StoredFile> {
        let old: Vec<StoredFile> = self
            .files()
            .filter(|file| file.updated_ns < older_than_ns && !keep(file.key))
            .cloned()
            .collect();
        for file in &old {
            self.forget(file.key);
        }
        old
    }

    /// Takes what has changed since the last time; `None` where nothing has.
    ///
    /// The caller hands the group to [`Journal::append`](crate::Journal::append), and back to
    /// [`PositionStore::restore_group`] where that fails.
    pub fn take_group(&mut self) -> Option<Group> {
        let mut group = Group {
            bytes: Vec::new(),
            files: std::mem::take(&mut self.dirty_files),
            positions: std::mem::take(&mut self.dirty_positions),
            forgotten: std::mem::take(&mut self.forgotten),
            notes: self.notes.take_changed(),
        };
        for key in &group.forgotten {
            record::append_forget(&mut group.bytes, *key);
        }
        for entry in group.files.iter().filter_map(|key| self.files.get(key)) {
            record::append_file(&mut group.bytes, &entry.file, entry.epoch);
        }
        for (key, sink) in &group.positions {
            // Also where the record of the whole file has it: a step back is so written twice, and
            // damage to one of the two does not bring the position ahead of it back.
            let Some(entry) = self.files.get(key) else {
                continue;
            };
            let mut positions = entry.file.positions.iter();
            if let Some(stored) = positions.find(|stored| stored.sink == *sink) {
                record::append_position(&mut group.bytes, &entry.file, entry.epoch, stored);
            }
        }
        // Last, so that a prefix of the group has no note of a position that it lacks.
        for name in &group.notes {
            record::append_note(&mut group.bytes, name, self.notes.get(name));
        }
        (!group.bytes.is_empty()).then_some(group)
    }

    /// Takes back a group that could not be written: what it covers is part of the next one, with the
    /// values of then.
    pub fn restore_group(&mut self, group: Group) {
        self.dirty_files.extend(group.files);
        self.dirty_positions.extend(group.positions);
        self.forgotten.extend(group.forgotten);
        self.notes.restore_changed(group.notes);
    }

    /// Encodes everything, also what is not yet in any group that was written.
    pub fn snapshot(&self) -> Snapshot {
        let mut bytes = Vec::with_capacity(usize::try_from(self.live_bytes()).unwrap_or(0));
        for entry in self.files.values() {
            record::append_file(&mut bytes, &entry.file, entry.epoch);
        }
        for (name, value) in self.notes() {
            record::append_note(&mut bytes, name, Some(value));
        }
        let header = Header {
            generation: 0,
            created_ns: self.latest_ns,
            next_key: self.next_key,
            files: u64::try_from(self.files.len()).unwrap_or(u64::MAX),
        };
        Snapshot { bytes, header }
    }

    /// Returns the bytes that a snapshot takes, without making it.
    pub fn live_bytes(&self) -> u64 {
        self.live_bytes.saturating_add(self.notes.live_bytes())
    }

    /// Keeps keys from being given out that a generation had already used.
    pub(crate) fn reserve_keys(&mut self, next_key: u64) {
        self.next_key = self.next_key.max(next_key);
    }

    /// Applies a record that was read, in the order of the journal.
    pub(crate) fn apply(&mut self, record: Record) {
        match record {
            Record::File { file, epoch } => self.apply_file(file, epoch),
            Record::Position {
                key,
                epoch,
                updated_ns,
                stored,
            } => {
                // Also where its file is missing: the key was given out.
                self.reserve_keys(key.0.saturating_add(1));
                self.apply_position(key, epoch, updated_ns, stored);
            }
            Record::Forget(key) => {
                self.reserve_keys(key.0.saturating_add(1));
                drop(self.take(key));
            }
            Record::Note { name, value } => self.notes.apply(name, value),
            Record::SnapshotEnd { .. } => {}
        }
    }

    fn apply_file(&mut self, file: StoredFile, epoch: u32) {
        let known = self.take(file.key);
        if let Some(known) = &known
            && known.epoch > epoch
        {
            self.put(known.clone());
            return;
        }
        let kept = known.filter(|known| known.epoch == epoch);
        let kept = kept.map(|known| known.file.positions).unwrap_or_default();
        let mut entry = Box::new(Entry { file, epoch });
        for mut stored in std::mem::replace(&mut entry.file.positions, kept) {
            stored.sink = self.shared_name(&stored.sink);
            entry.place(stored);
        }
        self.put(entry);
    }

    fn apply_position(
        &mut self,
        key: FileKey,
        epoch: u32,
        updated_ns: u64,
        mut stored: StoredPosition,
    ) {
        stored.sink = self.shared_name(&stored.sink);
        let Some(entry) = self.files.get_mut(&key) else {
            return;
        };
        let bytes_before = file_bytes(&entry.file);
        if epoch > entry.epoch {
            entry.epoch = epoch;
            entry.file.positions.clear();
        }
        if epoch == entry.epoch {
            entry.place(stored);
            entry.file.updated_ns = updated_ns;
        }
        let bytes_now = file_bytes(&entry.file);
        self.live_bytes = self
            .live_bytes
            .saturating_sub(bytes_before)
            .saturating_add(bytes_now);
    }

    fn shared_name(&mut self, sink: &str) -> Arc<str> {
        if let Some(known) = self.sinks.get(sink) {
            return Arc::clone(known);
        }
        let name: Arc<str> = sink.into();
        self.sinks.insert(Arc::clone(&name));
        name
    }

    fn put(&mut self, entry: Box<Entry>) {
        let FileIdentity { device, inode, .. } = entry.file.identity;
        let key = entry.file.key;
        self.reserve_keys(key.0.saturating_add(1));
        self.live_bytes = self.live_bytes.saturating_add(file_bytes(&entry.file));
        keys::add(&mut self.by_inode, (device, inode), key);
        keys::add(&mut self.by_path, Arc::clone(&entry.file.path), key);
        self.files.insert(key, entry);
    }

    fn take(&mut self, key: FileKey) -> Option<Box<Entry>> {
        let entry = self.files.remove(&key)?;
        let FileIdentity { device, inode, .. } = entry.file.identity;
        self.live_bytes = self.live_bytes.saturating_sub(file_bytes(&entry.file));
        keys::remove(&mut self.by_inode, &(device, inode), key);
        keys::remove(&mut self.by_path, &*entry.file.path, key);
        Some(entry)
    }
}

/// Two hashes over different lengths cannot be compared: a longer one is taken for growth, and the
/// markers of the positions tell where that is wrong.
fn is_other_content(known: Fingerprint, now: Fingerprint) -> bool {
    known != now && now.len <= known.len
}

fn kept_path(path: Arc<Path>) -> Arc<Path> {
    if path.as_os_str().len() <= MAX_PATH_BYTES {
        path
    } else {
        Path::new("").into()
    }
}
