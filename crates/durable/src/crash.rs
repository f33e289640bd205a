//! A storage whose power can be cut.
//!
//! Names and contents live twice: as the running process sees them and as the disk holds them. Only a
//! sync copies from the one to the other: [`AppendFile::sync`] the bytes of a file, a directory sync
//! the names. A test runs its workload once to count the syncs, then once per sync with the power cut
//! there, and opens what is left.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::storage::{io_error, part_of, path_of};
use crate::{AppendFile, Storage, StorageError, TEMPORARY_SUFFIX};

/// What the disk still holds of what was never synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsynced {
    /// Nothing: neither names nor bytes.
    Lost,
    /// The first bytes of what was appended to each file since its last sync, at most this many.
    TornAppend {
        /// Bytes that are kept of each file.
        keep_bytes: usize,
    },
    /// All names, without the bytes: what a file system leaves that writes its directories first.
    NamesKept,
}

/// What an operation is made to fail with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// ENOSPC; an append leaves the first half of its bytes in the file.
    DiskFull,
    /// EIO; a sync drops what it should have written, and later syncs report success without it.
    Io,
}

/// A directory in memory that forgets what was not synced; clones share it.
#[derive(Clone, Debug)]
pub struct CrashStorage {
    directory: PathBuf,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    live_names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    files: BTreeMap<u64, Contents>,
    next_file: u64,
    syncs: u64,
    operations: u64,
    freeze_at_sync: Option<u64>,
    is_frozen: bool,
    fault: Option<(u64, Fault)>,
    capacity_bytes: Option<u64>,
}

#[derive(Debug, Default)]
struct Contents {
    live: Vec<u8>,
    durable: Vec<u8>,
    /// Ranges that a failed sync dropped: no later sync writes them.
    dropped: Vec<(usize, usize)>,
}

impl Default for CrashStorage {
    fn default() -> Self {
        Self::with_state(State::default())
    }
}

impl CrashStorage {
    /// Creates an empty storage that never fails.
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates an empty storage whose power is cut at the sync with this number, counted from 0: that
    /// sync writes nothing, and it and everything after it fails.
    pub fn freezing_at(sync: u64) -> Self {
        let storage = Self::new();
        storage.freeze_at(sync);
        storage
    }

    /// Cuts the power at the sync with this number, counted from 0 at the creation of the storage.
    pub fn freeze_at(&self, sync: u64) {
        self.lock().freeze_at_sync = Some(sync);
    }

    /// Makes the operation with this number fail, counted from 0 at the creation of the storage.
    ///
    /// Every call that changes something is one operation; a `replace` is five: create, write, sync,
    /// rename, sync of the directory.
    pub fn fail_at(&self, operation: u64, fault: Fault) {
        self.lock().fault = Some((operation, fault));
    }

    /// Makes appends fail as on a full disk once the files hold this many bytes together; what still
    /// fits is appended. Removing files gives room again, and so does a greater capacity.
    pub fn set_capacity(&self, bytes: u64) {
        self.lock().capacity_bytes = Some(bytes);
    }

    /// Returns how many syncs, of files and of the directory, were asked for.
    pub fn syncs(&self) -> u64 {
        self.lock().syncs
    }

    /// Returns how many operations that [`CrashStorage::fail_at`] counts were asked for.
    pub fn operations(&self) -> u64 {
        self.lock().operations
    }

    /// Returns a new storage with what the disk holds after a power cut now, all unsynced lost.
    #[must_use]
    pub fn after_crash(&self) -> Self {
        self.after_crash_with(Unsynced::Lost)
    }

    /// Returns a new storage with what the disk holds after a power cut now.
    #[must_use]
    pub fn after_crash_with(&self, unsynced: Unsynced) -> Self {
        let state = self.lock();
        let names = match unsynced {
            Unsynced::NamesKept => &state.live_names,
            Unsynced::Lost | Unsynced::TornAppend { .. } => &state.durable_names,
        };
        let mut after = State::default();
        for (name, file) in names {
            let Some(contents) = state.files.get(file) else {
                continue;
            };
            after.adopt(name, contents.after_crash(unsynced));
        }
        Self::with_state(after)
    }

    /// Returns the bytes of a file as the running process sees them.
    pub fn live(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.lock();
        let file = state.live_names.get(name)?;
        state.files.get(file).map(|contents| contents.live.clone())
    }

    /// Puts a durable file there, or replaces one: what a test damages from outside.
    pub fn plant(&self, name: &str, bytes: Vec<u8>) {
        self.lock().adopt(name, bytes);
    }

    fn with_state(state: State) -> Self {
        Self {
            directory: PathBuf::from("(crash)"),
            state: Arc::new(Mutex::new(state)),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    fn error(
        &self,
        action: &'static str,
        name: &str,
    ) -> impl FnOnce(io::ErrorKind) -> StorageError {
        let path = self.directory.join(name);
        move |kind| io_error(action, &path)(kind.into())
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl State {
    fn adopt(&mut self, name: &str, bytes: Vec<u8>) {
        let file = self.create();
        self.files.insert(
            file,
            Contents {
                live: bytes.clone(),
                durable: bytes,
                dropped: Vec::new(),
            },
        );
        self.live_names.insert(name.to_owned(), file);
        self.durable_names.insert(name.to_owned(), file);
    }

    fn create(&mut self) -> u64 {
        let file = self.next_file;
        self.next_file = file.saturating_add(1);
        self.files.insert(file, Contents::default());
        file
    }

    fn contents(&self, name: &str) -> Result<&Contents, io::ErrorKind> {
        let file = self.live_names.get(name);
        file.and_then(|file| self.files.get(file))
            .ok_or(io::ErrorKind::NotFound)
    }

    /// Returns how many bytes the capacity leaves.
    fn free_bytes(&self) -> usize {
        let Some(capacity_bytes) = self.capacity_bytes else {
            return usize::MAX;
        };
        let files = self.live_names.values();
        let lens = files.filter_map(|file| self.files.get(file).map(|found| found.live.len()));
        let capacity_bytes = usize::try_from(capacity_bytes).unwrap_or(usize::MAX);
        capacity_bytes.saturating_sub(lens.sum())
    }

    /// Counts one operation; an error is the fault that was asked for.
    fn operate(&mut self) -> Result<(), io::ErrorKind> {
        if self.is_frozen {
            return Err(io::ErrorKind::BrokenPipe);
        }
        let number = self.operations;
        self.operations = number.saturating_add(1);
        match self.fault {
            Some((at, Fault::DiskFull)) if at == number => Err(io::ErrorKind::StorageFull),
            Some((at, Fault::Io)) if at == number => Err(io::ErrorKind::Other),
            Some(_) | None => Ok(()),
        }
    }

    /// Counts one operation that is a sync; an error is the power cut or the fault.
    fn operate_sync(&mut self) -> Result<(), io::ErrorKind> {
        let number = self.syncs;
        self.syncs = number.saturating_add(1);
        if self.freeze_at_sync == Some(number) {
            self.is_frozen = true;
        }
        self.operate()
    }

    fn append(&mut self, file: u64, bytes: &[u8]) -> Result<(), io::ErrorKind> {
        let allowed = self.operate();
        let kept = match allowed {
            Ok(()) => part_of(bytes, 0, self.free_bytes()),
            Err(io::ErrorKind::StorageFull) => bytes.get(..bytes.len() / 2).unwrap_or_default(),
            Err(_) => &[],
        };
        if let Some(contents) = self.files.get_mut(&file) {
            contents.live.extend_from_slice(kept);
        }
        if allowed.is_ok() && kept.len() < bytes.len() {
            return Err(io::ErrorKind::StorageFull);
        }
        allowed
    }

    fn sync(&mut self, file: u64) -> Result<(), io::ErrorKind> {
        let allowed = self.operate_sync();
        let is_power_on = !self.is_frozen;
        if let Some(contents) = self.files.get_mut(&file) {
            match allowed {
                Ok(()) => contents.sync(),
                Err(_) if is_power_on => contents.drop_unsynced(),
                Err(_) => {}
            }
        }
        allowed
    }

    fn sync_names(&mut self) -> Result<(), io::ErrorKind> {
        self.operate_sync()?;
        self.durable_names = self.live_names.clone();
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> Result<(), io::ErrorKind> {
        self.operate()?;
        let file = self
            .live_names
            .remove(from)
            .ok_or(io::ErrorKind::NotFound)?;
        self.live_names.insert(to.to_owned(), file);
        Ok(())
    }

    fn replace(&mut self, name: &str, bytes: &[u8]) -> Result<(), (&'static str, io::ErrorKind)> {
        let temporary = format!("{name}{TEMPORARY_SUFFIX}");
        self.operate().map_err(|kind| ("create", kind))?;
        let file = self.create();
        self.live_names.insert(temporary.clone(), file);
        let written = self
            .append(file, bytes)
            .map_err(|kind| ("write", kind))
            .and_then(|()| self.sync(file).map_err(|kind| ("sync", kind)))
            .and_then(|()| {
                self.rename(&temporary, name)
                    .map_err(|kind| ("rename", kind))
            });
        if written.is_err() && !self.is_frozen {
            self.live_names.remove(&temporary);
        }
        written?;
        self.sync_names()
            .map_err(|kind| ("sync the directory of", kind))
    }
}

impl Contents {
    fn sync(&mut self) {
        self.durable.clone_from(&self.live);
        for (start, end) in &self.dropped {
            let end = self.durable.len().min(*end);
            if let Some(range) = self.durable.get_mut(*start..end) {
                range.fill(0);
            }
        }
    }

    fn drop_unsynced(&mut self) {
        self.dropped.push((self.durable.len(), self.live.len()));
    }

    fn after_crash(&self, unsynced: Unsynced) -> Vec<u8> {
        let mut bytes = self.durable.clone();
        let appended = self.live.get(bytes.len()..).unwrap_or_default();
        match unsynced {
            Unsynced::TornAppend { keep_bytes } => {
                let kept = appended.get(..keep_bytes).unwrap_or(appended);
                bytes.extend_from_slice(kept);
            }
            Unsynced::Lost | Unsynced::NamesKept => {}
        }
        bytes
    }
}

impl Storage for CrashStorage {
    fn directory(&self) -> &Path {
        &self.directory
    }

    fn read(&self, name: &str, max_bytes: u64) -> Result<Vec<u8>, StorageError> {
        let path = path_of(&self.directory, name)?;
        let bytes = self
            .live(name)
            .ok_or(io::ErrorKind::NotFound)
            .map_err(self.error("open", name))?;
        if u64::try_from(bytes.len()).is_ok_and(|len| len <= max_bytes) {
            Ok(bytes)
        } else {
            Err(StorageError::TooLong { path, max_bytes })
        }
    }

    fn read_at(&self, name: &str, offset: u64, max_bytes: usize) -> Result<Vec<u8>, StorageError> {
        path_of(&self.directory, name)?;
        let state = self.lock();
        let contents = state.contents(name).map_err(self.error("open", name))?;
        Ok(part_of(&contents.live, offset, max_bytes).to_vec())
    }

    fn len(&self, name: &str) -> Result<u64, StorageError> {
        path_of(&self.directory, name)?;
        let state = self.lock();
        let contents = state.contents(name).map_err(self.error("open", name))?;
        Ok(u64::try_from(contents.live.len()).unwrap_or(u64::MAX))
    }

    fn open_append(&self, name: &str) -> Result<Box<dyn AppendFile>, StorageError> {
        let path = path_of(&self.directory, name)?;
        let mut state = self.lock();
        state.operate().map_err(self.error("open", name))?;
        let known = state.live_names.get(name).copied();
        let file = known.unwrap_or_else(|| {
            let file = state.create();
            state.live_names.insert(name.to_owned(), file);
            file
        });
        Ok(Box::new(CrashFile {
            state: Arc::clone(&self.state),
            name: name.to_owned(),
            path,
            file,
            len: state.files.get(&file).map_or(0, |found| found.live.len()),
            is_poisoned: false,
        }))
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), StorageError> {
        path_of(&self.directory, name)?;
        let replaced = self.lock().replace(name, bytes);
        replaced.map_err(|(action, kind)| self.error(action, name)(kind))
    }

    fn rename(&self, from: &str, to: &str) -> Result<(), StorageError> {
        path_of(&self.directory, from)?;
        path_of(&self.directory, to)?;
        let renamed = self.lock().rename(from, to);
        renamed.map_err(self.error("rename", from))
    }

    fn remove(&self, name: &str) -> Result<(), StorageError> {
        path_of(&self.directory, name)?;
        let mut state = self.lock();
        let removed = state.operate().and_then(|()| {
            let removed = state.live_names.remove(name);
            removed.map(drop).ok_or(io::ErrorKind::NotFound)
        });
        removed.map_err(self.error("remove", name))
    }

    fn list(&self) -> Result<Vec<String>, StorageError> {
        Ok(self.lock().live_names.keys().cloned().collect())
    }

    fn sync_dir(&self) -> Result<(), StorageError> {
        let synced = self.lock().sync_names();
        synced.map_err(self.error("sync directory", ""))
    }
}

#[derive(Debug)]
struct CrashFile {
    state: Arc<Mutex<State>>,
    name: String,
    path: PathBuf,
    file: u64,
    len: usize,
    is_poisoned: bool,
}

impl CrashFile {
    fn check_poison(&self) -> Result<(), StorageError> {
        if self.is_poisoned {
            Err(StorageError::Poisoned {
                path: self.path.clone(),
            })
        } else {
            Ok(())
        }
    }

    fn check_place(&self) -> Result<(), StorageError> {
        if lock(&self.state).live_names.get(&self.name) == Some(&self.file) {
            Ok(())
        } else {
            Err(StorageError::Displaced {
                path: self.path.clone(),
            })
        }
    }
}

impl AppendFile for CrashFile {
    fn append(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        self.check_poison()?;
        lock(&self.state)
            .append(self.file, bytes)
            .map_err(|kind| io_error("append to", &self.path)(kind.into()))?;
        self.len = self.len.saturating_add(bytes.len());
        Ok(())
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        self.check_poison()?;
        // A statement of its own: the guard is given back before `check_place` takes it.
        let synced = lock(&self.state).sync(self.file);
        let synced = synced
            .map_err(|kind| io_error("sync", &self.path)(kind.into()))
            .and_then(|()| self.check_place());
        self.is_poisoned = synced.is_err();
        synced
    }

    fn len(&self) -> u64 {
        u64::try_from(self.len).unwrap_or(u64::MAX)
    }

    fn truncate(&mut self, len: u64) -> Result<(), StorageError> {
        self.check_poison()?;
        let mut state = lock(&self.state);
        state
            .operate()
            .map_err(|kind| io_error("truncate", &self.path)(kind.into()))?;
        self.len = usize::try_from(len).unwrap_or(usize::MAX);
        if let Some(contents) = state.files.get_mut(&self.file) {
            contents.live.truncate(self.len);
        }
        Ok(())
    }
}
