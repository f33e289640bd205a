//! What the engine would remember of files: identities at once, positions as of a checkpoint.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tailwater_record::{FileIdentity, Marker};
use tailwater_tailer::{FrameState, Known, KnownFile, TailId, TailedFile};

use crate::host::route;

/// An offset, its guard, and the place in a line.
pub(crate) type Position = (u64, Marker, FrameState);

#[derive(Clone, Debug)]
struct Stored {
    identity: FileIdentity,
    path: PathBuf,
    updated_ns: u64,
    positions: BTreeMap<u32, Position>,
    /// Its number in this run, where it is followed: it may become another inode.
    tail: Option<TailId>,
}

/// The position store, in memory.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    files: Vec<Stored>,
    durable: Vec<Stored>,
    /// As it was when the run began: the tailer asks about earlier runs only.
    earlier: Vec<Stored>,
    /// Happens when the tailer first asks for the files of a directory: after it has listed that, and
    /// before it has opened anything.
    pub(crate) on_first_look: Cell<Option<fn(&Path)>>,
}

impl Memory {
    pub(crate) fn begin_run(&mut self) {
        for file in &mut self.files {
            file.tail = None;
        }
        self.earlier = self.files.clone();
    }

    pub(crate) fn save(&mut self) {
        self.durable = self.files.clone();
    }

    /// Goes back to what was saved. Files that were found since are known, from their start.
    pub(crate) fn restore(&mut self) {
        for file in &mut self.files {
            let inode = |file: &Stored| (file.identity.device, file.identity.inode);
            match self
                .durable
                .iter()
                .find(|saved| inode(saved) == inode(file))
            {
                Some(saved) => file.clone_from(saved),
                None => file.positions.clear(),
            }
        }
    }

    /// Finds what is stored of a file that was found, or enters it.
    pub(crate) fn recall(&mut self, file: &TailedFile<()>, now_ns: u64) -> BTreeMap<u32, Position> {
        let identity = file.identity;
        let former = self.files.iter_mut().find(|stored| {
            let known = (stored.identity.inode, stored.identity.fingerprint);
            file.former() == Some(known) && *stored.path == *file.path
        });
        if let Some(stored) = former {
            stored.identity = identity;
            stored.tail = Some(file.id);
            return stored.positions.clone();
        }
        let same = self.files.iter_mut().find(|stored| {
            (stored.identity.device, stored.identity.inode) == (identity.device, identity.inode)
                && stored.identity.fingerprint.matches_head(file.head())
        });
        if let Some(stored) = same {
            stored.identity = identity;
            stored.tail = Some(file.id);
            return stored.positions.clone();
        }
        self.files.push(Stored {
            identity,
            path: file.path.to_path_buf(),
            updated_ns: now_ns,
            positions: BTreeMap::new(),
            tail: Some(file.id),
        });
        BTreeMap::new()
    }

    pub(crate) fn set_identity(&mut self, file: &TailedFile<()>, now_ns: u64) {
        if let Some(stored) = self.stored_mut(file) {
            stored.identity = file.identity;
            stored.updated_ns = now_ns;
            stored.positions.clear();
        }
    }

    /// Takes over who a file is that was not read.
    pub(crate) fn learn_identity(&mut self, file: &TailedFile<()>) {
        if let Some(stored) = self.stored_mut(file) {
            stored.identity = file.identity;
        }
    }

    pub(crate) fn set_position(&mut self, file: &TailedFile<()>, index: usize, now_ns: u64) {
        let cursor = file.cursors.get(index).unwrap();
        let position = (cursor.offset, cursor.marker, cursor.frame);
        if let Some(stored) = self.stored_mut(file) {
            stored.identity = file.identity;
            stored.updated_ns = now_ns;
            stored
                .positions
                .insert(route(cursor.source, cursor.sink), position);
        }
    }

    /// Has all files updated at this time.
    pub(crate) fn set_updated(&mut self, updated_ns: u64) {
        for file in &mut self.files {
            file.updated_ns = updated_ns;
        }
    }

    pub(crate) fn forget(&mut self, file: &TailedFile<()>) {
        self.files.retain(|stored| stored.tail != Some(file.id));
    }

    fn stored_mut(&mut self, file: &TailedFile<()>) -> Option<&mut Stored> {
        let mut files = self.files.iter_mut();
        files.find(|stored| stored.tail == Some(file.id))
    }
}

fn furthest(stored: &Stored) -> Position {
    let positions = stored.positions.values().copied();
    positions
        .max_by_key(|position| position.0)
        .unwrap_or_default()
}

impl Known for Memory {
    fn in_directory(&self, directory: &Path) -> Vec<KnownFile> {
        if let Some(happens) = self.on_first_look.take() {
            happens(directory);
        }
        self.earlier
            .iter()
            .filter(|stored| stored.path.parent() == Some(directory))
            .map(|stored| KnownFile {
                path: stored.path.as_path().into(),
                inode: stored.identity.inode,
                fingerprint: stored.identity.fingerprint,
                updated_ns: stored.updated_ns,
                offset: furthest(stored).0,
                marker: furthest(stored).1,
                is_archive_end: furthest(stored).2.is_archive_end(),
            })
            .collect()
    }

    fn is_known(&self, device: u64, inode: u64) -> bool {
        self.earlier
            .iter()
            .any(|stored| (stored.identity.device, stored.identity.inode) == (device, inode))
    }
}
