//! Finding what is stored of files that are read once.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tailwater_position_store::{FileKey, PositionStore, StoredFile};
use tailwater_record::{FileIdentity, Fingerprint, WINDOW_BYTES};
use tailwater_tailer::{AllowedRoots, ListedFile};

use super::Positions;

/// Stored files that begin alike, of which one is looked for, at most.
const MAX_CANDIDATES: usize = 16;

/// What was stored when a run began, by how files begin, and the files that the run lists.
///
/// A file that was renamed or compressed since has another inode and another name, and begins as before.
#[derive(Debug)]
pub(crate) struct Lookup {
    by_head: HashMap<Fingerprint, Vec<FileKey>>,
    /// The lengths of those fingerprints.
    lens: BTreeSet<u16>,
    listed: HashMap<(u64, u64), PathBuf>,
    /// Stored files that are a file of this run by now.
    claimed: Mutex<HashSet<FileKey>>,
}

impl Lookup {
    /// Takes up what is stored, and the inodes of the files that are listed.
    pub(crate) fn new(
        store: &PositionStore,
        listed: impl IntoIterator<Item = ((u64, u64), PathBuf)>,
    ) -> Self {
        let mut by_head: HashMap<Fingerprint, Vec<FileKey>> = HashMap::new();
        for file in store.files() {
            let fingerprint = file.identity.fingerprint;
            if fingerprint.len > 0 {
                by_head.entry(fingerprint).or_default().push(file.key);
            }
        }
        Self {
            lens: by_head.keys().map(|fingerprint| fingerprint.len).collect(),
            by_head,
            listed: listed.into_iter().collect(),
            claimed: Mutex::default(),
        }
    }

    /// Returns what is stored under the inode of a file, or else what began as it does; which of them it
    /// is, the markers of their positions tell. The one that moved last comes first.
    pub(crate) fn candidates(
        &self,
        positions: &Positions,
        file: &ListedFile,
        path: &Path,
        roots: &AllowedRoots,
    ) -> Vec<StoredFile> {
        let FileIdentity { device, inode, .. } = file.identity();
        let store = positions.lock();
        let by_inode = store.find(device, inode).filter(|stored| {
            let fingerprint = stored.identity.fingerprint;
            if fingerprint.len == 0 {
                return *stored.path == *path;
            }
            fingerprint.matches_head(file.head())
        });
        let mut found: Vec<StoredFile> = by_inode.cloned().collect();
        if found.is_empty() {
            found = self.by_head(&store, file, path);
        }
        drop(store);
        // Off the lock: it opens files.
        found.retain(|stored| !self.is_elsewhere(stored, file, roots));
        found.sort_by_key(|stored| std::cmp::Reverse(stored.updated_ns));
        found.truncate(MAX_CANDIDATES);
        found
    }

    /// A stored file is one of this run: it is no other one's.
    pub(crate) fn claim(&self, key: FileKey) {
        self.claimed
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(key);
    }

    fn by_head(&self, store: &PositionStore, file: &ListedFile, path: &Path) -> Vec<StoredFile> {
        let claimed = self.claimed.lock().unwrap_or_else(PoisonError::into_inner);
        let heads = self.lens.iter().filter_map(|len| {
            let head = file.head().get(..usize::from(*len))?;
            self.by_head.get(&Fingerprint::of_head(head))
        });
        let stored = heads.flatten().filter(|key| !claimed.contains(key));
        let stored = stored.filter_map(|key| store.get(*key));
        let is_it = |stored: &&StoredFile| {
            let fingerprint = stored.identity.fingerprint;
            // Short files begin alike by chance: it stayed where it was, if it is the same.
            let is_near = fingerprint.len == WINDOW_BYTES || stored.path.parent() == path.parent();
            is_near && fingerprint.matches_head(file.head())
        };
        stored.filter(is_it).cloned().collect()
    }

    /// Returns whether a stored file is another one of those that are listed.
    fn is_elsewhere(&self, stored: &StoredFile, file: &ListedFile, roots: &AllowedRoots) -> bool {
        let FileIdentity {
            device,
            inode,
            fingerprint,
        } = stored.identity;
        let FileIdentity {
            device: own_device,
            inode: own_inode,
            ..
        } = file.identity();
        if (device, inode) == (own_device, own_inode) {
            return false;
        }
        let other = self.listed.get(&(device, inode));
        let other = other.and_then(|path| ListedFile::open(path, roots).ok());
        other.is_some_and(|other| fingerprint.matches_head(other.head()))
    }
}

impl Positions {
    /// Enters under which name and inode a stored file is found now.
    pub(crate) fn move_to(&self, key: FileKey, identity: FileIdentity, path: &Arc<Path>) {
        let mut store = self.lock();
        store.set_identity(key, identity);
        store.set_path(key, Arc::clone(path));
        drop(store);
        self.followed().insert(key);
    }

    /// Enters a file that nothing is stored of; `None` where there is no room for it.
    pub(crate) fn enter(
        &self,
        identity: FileIdentity,
        path: &Arc<Path>,
        now_ns: u64,
    ) -> Option<FileKey> {
        let mut store = self.lock();
        let entered = store
            .insert(identity, Arc::clone(path), now_ns)
            .or_else(|_| {
                self.make_room(&mut store);
                store.insert(identity, Arc::clone(path), now_ns)
            });
        drop(store);
        match entered {
            Ok(key) => {
                self.followed().insert(key);
                self.found_content();
                Some(key)
            }
            Err(error) => {
                tracing::error!(path = %path.display(), %error, "file is not read: no room for its position");
                None
            }
        }
    }
}
