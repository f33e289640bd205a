//! Random changes, commits, compactions and restarts against a map.
//!
//! Goal: after a restart the store is what was committed last, and after a power cut it is nothing
//! older than that.

#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use proptest::collection::vec;
use proptest::prelude::*;
use tailwater_durable::CrashStorage;
use tailwater_position_store::{FileKey, Journal, Position, PositionStore};
use tailwater_record::FileIdentity;

use support::{identity, offsets, open_on, position};

/// Which of the known files is meant: an index, taken modulo their number.
type Which = usize;

#[derive(Clone, Debug)]
enum Action {
    Insert {
        inode: u64,
        path: Vec<u8>,
    },
    Grow(Which),
    Move {
        which: Which,
        sink: u8,
        offset: u64,
    },
    Rename {
        which: Which,
        path: Vec<u8>,
    },
    Forget(Which),
    Redo {
        which: Which,
        epoch: u32,
        offset: u64,
    },
    Note {
        name: u8,
        value: Vec<u8>,
    },
    RemoveNote(u8),
    Commit,
    LoseGroup,
    Compact,
    Restart,
    PowerCut,
}

fn action() -> impl Strategy<Value = Action> {
    let path = || vec(any::<u8>(), 0..12);
    prop_oneof![
        3 => (0..4_u64, path()).prop_map(|(inode, path)| Action::Insert { inode, path }),
        1 => any::<Which>().prop_map(Action::Grow),
        8 => (any::<Which>(), 0..3_u8, 0..1000_u64)
            .prop_map(|(which, sink, offset)| Action::Move { which, sink, offset }),
        1 => (any::<Which>(), path()).prop_map(|(which, path)| Action::Rename { which, path }),
        1 => any::<Which>().prop_map(Action::Forget),
        1 => (any::<Which>(), 0..3_u32, 0..1000_u64)
            .prop_map(|(which, epoch, offset)| Action::Redo { which, epoch, offset }),
        3 => (0..4_u8, vec(any::<u8>(), 0..4))
            .prop_map(|(name, value)| Action::Note { name, value }),
        1 => (0..4_u8).prop_map(Action::RemoveNote),
        4 => Just(Action::Commit),
        1 => Just(Action::LoseGroup),
        1 => Just(Action::Compact),
        2 => Just(Action::Restart),
        1 => Just(Action::PowerCut),
    ]
}

#[derive(Clone, Debug, PartialEq)]
struct ModelFile {
    identity: FileIdentity,
    path: PathBuf,
    positions: BTreeMap<String, Position>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Model {
    files: BTreeMap<FileKey, ModelFile>,
    notes: BTreeMap<String, Vec<u8>>,
}

struct Run {
    storage: CrashStorage,
    store: PositionStore,
    journal: Journal,
    now: Model,
    committed: Model,
    highest_key: FileKey,
}

impl Run {
    fn new() -> Self {
        let storage = CrashStorage::new();
        let (store, journal, _) = open_on(&storage).unwrap();
        Self {
            storage,
            store,
            journal,
            now: Model::default(),
            committed: Model::default(),
            highest_key: FileKey(0),
        }
    }

    fn pick(&self, which: Which) -> Option<FileKey> {
        let index = which.checked_rem(self.now.files.len())?;
        self.now.files.keys().nth(index).copied()
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Insert { inode, path } => self.insert(inode, &path),
            Action::Grow(which) => self.grow(which),
            Action::Move {
                which,
                sink,
                offset,
            } => self.move_position(which, sink, offset),
            Action::Rename { which, path } => self.rename(which, &path),
            Action::Forget(which) => {
                if let Some(key) = self.pick(which) {
                    self.store.forget(key);
                    self.now.files.remove(&key);
                }
            }
            Action::Redo {
                which,
                epoch,
                offset,
            } => self.redo(which, epoch, offset),
            Action::Note { name, value } => {
                let name = format!("note-{name}");
                self.store.set_note(&name, &value).unwrap();
                self.now.notes.insert(name, value);
            }
            Action::RemoveNote(name) => {
                let name = format!("note-{name}");
                self.store.remove_note(&name);
                self.now.notes.remove(&name);
            }
            Action::Commit => {
                if let Some(group) = self.store.take_group() {
                    self.journal.append(&group).unwrap();
                }
                self.committed = self.now.clone();
            }
            Action::LoseGroup => {
                if let Some(group) = self.store.take_group() {
                    self.store.restore_group(group);
                }
            }
            Action::Compact => {
                self.journal.compact(&self.store.snapshot()).unwrap();
                self.committed = self.now.clone();
            }
            Action::Restart => self.reopen(self.storage.clone()),
            Action::PowerCut => self.reopen(self.storage.after_crash()),
        }
    }

    fn insert(&mut self, inode: u64, path: &[u8]) {
        let path = PathBuf::from(OsStr::from_bytes(path));
        let identity = identity(inode, &inode.to_le_bytes());
        let Ok(key) = self.store.insert(identity, path.as_path(), 1) else {
            return;
        };
        assert!(key > self.highest_key, "{key:?} was given out before");
        self.highest_key = key;
        let positions = BTreeMap::new();
        let file = ModelFile {
            identity,
            path,
            positions,
        };
        self.now.files.insert(key, file);
    }

    fn grow(&mut self, which: Which) {
        let Some(key) = self.pick(which) else { return };
        let file = self.now.files.get_mut(&key).unwrap();
        let len = usize::from(file.identity.fingerprint.len).saturating_add(5);
        file.identity = identity(file.identity.inode, &vec![7; len]);
        self.store.set_identity(key, file.identity);
    }

    fn move_position(&mut self, which: Which, sink: u8, offset: u64) {
        let Some(key) = self.pick(which) else { return };
        let sink = format!("sink-{sink}");
        self.store
            .set_position(key, &sink, position(offset), offset);
        let file = self.now.files.get_mut(&key).unwrap();
        file.positions.insert(sink, position(offset));
    }

    fn redo(&mut self, which: Which, epoch: u32, offset: u64) {
        let Some(key) = self.pick(which) else { return };
        let sink = "sink-0";
        let is_epoch = self.store.epoch(key) == Some(epoch);
        let is_moved = self.store.redo(key, epoch, sink, position(offset));
        let file = self.now.files.get_mut(&key).unwrap();
        let known = file.positions.get(sink).map(|known| known.offset);
        assert_eq!(
            is_moved,
            is_epoch && known.is_none_or(|known| known < offset)
        );
        if is_moved {
            file.positions.insert(sink.to_owned(), position(offset));
        }
    }

    fn rename(&mut self, which: Which, path: &[u8]) {
        let Some(key) = self.pick(which) else { return };
        let path = Path::new(OsStr::from_bytes(path));
        self.store.set_path(key, path);
        path.clone_into(&mut self.now.files.get_mut(&key).unwrap().path);
    }

    /// What was not committed is gone, with keys that only it had.
    fn reopen(&mut self, storage: CrashStorage) {
        let (store, journal, recovery) = open_on(&storage).unwrap();
        assert_eq!(recovery.damaged_frames, 0);
        assert_eq!(recovery.torn_tail_bytes, 0);
        (self.storage, self.store, self.journal) = (storage, store, journal);
        self.now = self.committed.clone();
        self.highest_key = self.now.files.keys().last().copied().unwrap_or(FileKey(0));
    }

    fn check(&self) {
        let files = self.store.files();
        let notes = self.store.notes();
        let found = Model {
            files: files.map(|file| (file.key, model_of(file))).collect(),
            notes: notes
                .map(|(name, value)| (name.to_owned(), value.to_vec()))
                .collect(),
        };
        assert_eq!(found, self.now);
        let files = self.now.files.values();
        let positions: usize = files.map(|file| file.positions.len()).sum();
        assert_eq!(
            offsets(&self.store).len(),
            positions,
            "one per file and sink"
        );
        for (key, file) in &self.now.files {
            let FileIdentity { device, inode, .. } = file.identity;
            let mut by_inode = self.store.find(device, inode);
            assert!(by_inode.any(|found| found.key == *key));
            let mut by_path = self.store.find_by_path(&file.path);
            assert!(by_path.any(|found| found.key == *key));
        }
    }
}

fn model_of(file: &tailwater_position_store::StoredFile) -> ModelFile {
    let positions = file.positions.iter();
    ModelFile {
        identity: file.identity,
        path: file.path.to_path_buf(),
        positions: positions
            .map(|stored| (stored.sink.to_string(), stored.position))
            .collect(),
    }
}

proptest! {
    #[test]
    fn the_store_is_what_was_entered_and_after_a_restart_what_was_committed(
        actions in vec(action(), 0..80),
    ) {
        let mut run = Run::new();
        for action in actions {
            run.act(action);
            run.check();
        }
    }
}
