//! What positions say of a file: an agent's that follows it, or an earlier run's.

use std::path::Path;
use std::sync::Arc;

use tailwater_position_store::{Position, PositionStore, StoredFile};
use tailwater_record::WINDOW_BYTES;
use tailwater_tailer::ListedFile;

use super::content::{Reach, reach};
use crate::exit::Failure;
use crate::positions::stored_copy;

/// `FrameState::at_archive_end` of the tailer, as positions hold it.
const ARCHIVE_END: u8 = 4;

/// Positions of a data directory as of one moment, for some sinks.
#[derive(Debug)]
pub(super) struct Stored {
    store: Option<PositionStore>,
    sinks: Vec<Arc<str>>,
}

impl Stored {
    /// Reads them without a trace; a directory that is not there has none.
    ///
    /// # Errors
    /// There are some, and they cannot be read.
    pub(super) fn of(directory: &Path, sinks: Vec<Arc<str>>) -> Result<Self, Failure> {
        let store = if directory.is_dir() {
            Some(stored_copy(directory).map_err(Failure::Runtime)?)
        } else {
            None
        };
        let store = store.filter(|store| !store.is_empty());
        Ok(Self { store, sinks })
    }

    /// Returns whether there is none for any file.
    pub(super) fn is_empty(&self) -> bool {
        self.store.is_none()
    }

    /// Returns how far the sink that is least far has a file; `None` where none of them has begun.
    pub(super) fn position(&self, file: &ListedFile) -> Option<Position> {
        let stored = self.by_inode(file).or_else(|| {
            let has_read = |reach| matches!(reach, Reach::Ends | Reach::GoesOn);
            self.by_content(file, has_read)
        })?;
        let positions = self.positions(stored);
        positions.min_by_key(|position| position.offset)
    }

    /// Returns whether the file is left to whoever these positions belong to: it is one that is followed, or
    /// has nothing but what was read of one. A copy that goes on is another file.
    pub(super) fn is_followed(&self, file: &ListedFile) -> bool {
        let followed = self.by_inode(file);
        let followed = followed.filter(|stored| self.positions(stored).next().is_some());
        let is_read = || {
            self.by_content(file, |reach| reach == Reach::Ends)
                .is_some()
        };
        followed.is_some() || is_read()
    }

    /// Returns whether a position says that nothing of the file is left.
    pub(super) fn is_at_end(file: &ListedFile, position: Position) -> bool {
        match file.compression() {
            Some(_) => position.place == ARCHIVE_END,
            None => position.offset >= file.len(),
        }
    }

    fn by_inode(&self, file: &ListedFile) -> Option<&StoredFile> {
        let (identity, head) = (file.identity(), file.head());
        let mut known = self.store.as_ref()?.find(identity.device, identity.inode);
        known.find(|stored| stored.identity.fingerprint.matches_head(head))
    }

    /// Finds a stored file whose content a file of another inode has, as far as it was read: it was compressed
    /// since, or copied. Short ones are alike by chance.
    fn by_content(
        &self,
        file: &ListedFile,
        is_wanted: impl Fn(Reach) -> bool,
    ) -> Option<&StoredFile> {
        let head = file.head();
        let has_read = |position: Position| {
            reach(file, position.offset, position.marker).is_ok_and(&is_wanted)
        };
        let begins_alike = |stored: &&StoredFile| {
            let fingerprint = stored.identity.fingerprint;
            fingerprint.len == WINDOW_BYTES && fingerprint.matches_head(head)
        };
        let mut known = self.store.as_ref()?.files().filter(begins_alike);
        known.find(|stored| {
            let mut positions = self.positions(stored).peekable();
            positions.peek().is_some()
                && positions.all(|position| {
                    position.offset >= u64::from(WINDOW_BYTES) && has_read(position)
                })
        })
    }

    /// The positions of the sinks in a file.
    fn positions(&self, stored: &StoredFile) -> impl Iterator<Item = Position> {
        let is_of_a_sink = |name: &str| {
            self.sinks.iter().any(|sink| {
                let rest = name.strip_prefix(&**sink);
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
        };
        stored
            .positions
            .iter()
            .filter(move |known| is_of_a_sink(&known.sink))
            .map(|known| known.position)
    }
}
