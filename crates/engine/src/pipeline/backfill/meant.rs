//! The file that was meant: while a run takes its time, logs are rotated, and names go to other files.

use std::fs;
use std::os::unix::fs::DirEntryExt as _;
use std::path::Path;

use tailwater_tailer::{AllowedRoots, ListedFile};

use crate::backfill::{Entry, FileState, Listed};
use crate::checkpoint::error_chain;

/// Opens a file of the plan: what had its path when the run began, under that name or another one of its directory.
///
/// # Errors
/// It cannot be read, is gone, or is not what it was: another run finds what became of it.
pub(super) fn open(entry: &Entry, roots: &AllowedRoots) -> Result<ListedFile, FileState> {
    let opened = ListedFile::open(&entry.path, roots);
    let Some(listed) = entry.listed else {
        return opened.map_err(|error| FileState::Unreadable(error_chain(&error)));
    };
    let file = match opened {
        Ok(file) if listed.is(&file) => file,
        other => renamed(&entry.path, listed, roots).ok_or_else(|| {
            let reason = match other {
                Ok(_) => "another file has its name since the run began: run it again".to_owned(),
                Err(error) => error_chain(&error),
            };
            FileState::Unreadable(reason)
        })?,
    };
    if !listed.is_unchanged(&file) {
        let reason = "it was written anew since the run began: run it again";
        return Err(FileState::Unreadable(reason.to_owned()));
    }
    Ok(file)
}

/// Finds a file under another name of its directory.
fn renamed(path: &Path, listed: Listed, roots: &AllowedRoots) -> Option<ListedFile> {
    let entries = fs::read_dir(path.parent()?).ok()?.flatten();
    let mut same = entries.filter(|entry| entry.ino() == listed.inode());
    same.find_map(|entry| {
        let file = ListedFile::open(&entry.path(), roots).ok()?;
        listed.is(&file).then_some(file)
    })
}
