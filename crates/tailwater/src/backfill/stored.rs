//! What positions say of a file: an agent's that follows it, or an earlier run's.

use std::path::Path;
use std::sync::Arc;

use tailwater_position_store::{Position, PositionStore, StoredFile};
use tailwater_tailer::ListedFile;

use super::content::has_marker;
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
        let stored = self.find(file)?;
        let positions = self.positions(stored);
        positions.min_by_key(|position| position.offset)
    }

    /// Returns whether a position says that nothing of the file is left.
    pub(super) fn is_at_end(file: &ListedFile, position: Position) -> bool {
        match file.compression() {
            Some(_) => position.place == ARCHIVE_END,
            None => position.offset >= file.len(),
        }
    }

    fn find(&self, file: &ListedFile) -> Option<&StoredFile> {
        let store = self.store.as_ref()?;
        let (identity, head) = (file.identity(), file.head());
        let is_it = |stored: &&StoredFile| stored.identity.fingerprint.matches_head(head);
        store
            .find(identity.device, identity.inode)
            .find(is_it)
            .or_else(|| {
                store
                    .files()
                    .filter(is_it)
                    .find(|stored| self.has_read(file, stored))
            })
    }

    /// Returns whether a file of another inode has the content up to where a stored one was read: it was
    /// compressed since, or copied.
    fn has_read(&self, file: &ListedFile, stored: &StoredFile) -> bool {
        let mut positions = self.positions(stored).peekable();
        positions.peek().is_some()
            && stored.identity.fingerprint.len > 0
            && positions
                .all(|position| has_marker(file, position.offset, position.marker).unwrap_or(false))
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
