//! Appending to a file that holds whole lines only.
//!
//! | moment                         | what is in the file afterwards                       |
//! |--------------------------------|------------------------------------------------------|
//! | a batch was written (and synced) | all of it, and it counts as delivered              |
//! | a write or sync failed         | what was there before: the file is cut back          |
//! | the cut failed too             | part of it; cut before anything else is appended     |
//! | the process died while writing | the whole lines of it; the torn one is cut at open   |

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::PathBuf;

use crate::failure::AppendError;
use crate::stream::write_from;

/// Mode of a new file: logs are nobody else's business.
const NEW_FILE_MODE: u32 = 0o640;

/// Bytes at the end of a file that are searched for the start of its torn last line. A file without
/// a line in them was not written by this sink, and is left alone.
const MAX_TORN_LINE_BYTES: u64 = 16 * 1024 * 1024;

/// A file that batches are appended to.
#[derive(Debug)]
pub(crate) struct FileTarget {
    path: PathBuf,
    rotated_path: PathBuf,
    sync: bool,
    max_bytes: Option<u64>,
    open: Option<OpenFile>,
}

#[derive(Debug)]
struct OpenFile {
    file: File,
    device: u64,
    inode: u64,
    is_regular: bool,
    /// Where a failed batch begins that is not cut off yet.
    cut_to: Option<u64>,
    /// Whether the file's name is known to survive a power cut.
    is_name_synced: bool,
}

impl FileTarget {
    /// Takes the path; the file is opened with the first batch.
    pub(crate) fn new(
        path: PathBuf,
        rotated_path: PathBuf,
        sync: bool,
        max_bytes: Option<u64>,
    ) -> Self {
        Self {
            path,
            rotated_path,
            sync,
            max_bytes,
            open: None,
        }
    }

    /// Appends a batch of whole lines.
    ///
    /// # Durability
    /// With `sync`, the batch survives a power cut when this returns `Ok`. On `Err` nothing of it is
    /// in the file, or it is cut off before the next batch.
    pub(crate) fn append(&mut self, body: &[u8]) -> Result<(), AppendError> {
        if self.is_replaced() {
            self.open = None;
        }
        let mut open = match self.open.take() {
            Some(open) => open,
            None => self.open_file()?,
        };
        if self.is_full(&open, body)? {
            drop(open);
            self.rotate()?;
            open = self.open_file()?;
        }
        let appended = self.append_to(&mut open, body);
        self.open = Some(open);
        appended
    }

    /// Returns whether the path leads to another file than the open one, or to none.
    fn is_replaced(&self) -> bool {
        let Some(open) = &self.open else {
            return false;
        };
        !fs::metadata(&self.path)
            .is_ok_and(|now| now.dev() == open.device && now.ino() == open.inode)
    }

    fn is_full(&self, open: &OpenFile, body: &[u8]) -> Result<bool, AppendError> {
        let Some(max_bytes) = self.max_bytes.filter(|_| open.is_regular) else {
            return Ok(false);
        };
        // A failed batch at its end does not count: rotated away, its part would stay for good.
        let file_bytes = match open.cut_to {
            Some(_) => return Ok(false),
            None => self.len_of(open)?,
        };
        let body_bytes = u64::try_from(body.len()).unwrap_or(u64::MAX);
        Ok(file_bytes > 0 && file_bytes.saturating_add(body_bytes) > max_bytes)
    }

    fn append_to(&self, open: &mut OpenFile, body: &[u8]) -> Result<(), AppendError> {
        if let Some(len) = open.cut_to {
            self.cut(open, len)?;
        }
        let len = self.len_of(open)?;
        let mut written = 0;
        let stored = write_from(&open.file, body, &mut written)
            .map_err(|source| self.system("append to", source))
            .and_then(|()| self.sync(open));
        if stored.is_err() && open.is_regular {
            open.cut_to = Some(len);
            if let Err(error) = self.cut(open, len) {
                tracing::warn!(
                    path = %self.path.display(),
                    offset = len,
                    error = &error as &(dyn std::error::Error + 'static),
                    "failed batch is not cut off yet"
                );
            }
        }
        stored
    }

    fn len_of(&self, open: &OpenFile) -> Result<u64, AppendError> {
        let metadata = open.file.metadata();
        metadata
            .map(|metadata| metadata.len())
            .map_err(|source| self.system("look at", source))
    }

    fn cut(&self, open: &mut OpenFile, len: u64) -> Result<(), AppendError> {
        // Somebody may have emptied the file since; it must not grow by a hole.
        if self.len_of(open)? > len {
            open.file
                .set_len(len)
                .map_err(|source| self.system("cut back", source))?;
        }
        open.cut_to = None;
        Ok(())
    }

    fn sync(&self, open: &mut OpenFile) -> Result<(), AppendError> {
        if !self.sync || !open.is_regular {
            return Ok(());
        }
        open.file
            .sync_data()
            .map_err(|source| self.system("sync", source))?;
        if !open.is_name_synced {
            // A new file is found after a power cut only once its directory is synced, and a file
            // that is already there may be new from a run that did not come this far.
            fs::canonicalize(&self.path)
                .and_then(|path| match path.parent() {
                    Some(directory) => File::open(directory)?.sync_all(),
                    None => Ok(()),
                })
                .map_err(|source| self.system("sync the directory of", source))?;
            open.is_name_synced = true;
        }
        Ok(())
    }

    /// Opens the file, makes it where it is missing, and cuts off a torn last line.
    fn open_file(&self) -> Result<OpenFile, AppendError> {
        // Before opening: a FIFO without a reader would hold the thread, and some devices can only
        // be written.
        let is_regular = match fs::metadata(&self.path) {
            Ok(metadata) if metadata.is_file() => true,
            Ok(metadata) if metadata.file_type().is_char_device() => false,
            Ok(_) => {
                let path = self.path.clone();
                return Err(AppendError::NotAFile { path });
            }
            Err(_) => true,
        };
        let (file, metadata) = OpenOptions::new()
            .append(true)
            .read(is_regular)
            .create(is_regular)
            .mode(NEW_FILE_MODE)
            .open(&self.path)
            .and_then(|file| file.metadata().map(|metadata| (file, metadata)))
            .map_err(|source| self.system("open", source))?;
        if is_regular {
            self.lock(&file)?;
            self.cut_torn_line(&file)?;
        }
        Ok(OpenFile {
            file,
            device: metadata.dev(),
            inode: metadata.ino(),
            is_regular,
            cut_to: None,
            is_name_synced: false,
        })
    }

    fn lock(&self, file: &File) -> Result<(), AppendError> {
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => AppendError::Locked {
                path: self.path.clone(),
            },
            TryLockError::Error(source) => self.system("lock", source),
        })
    }

    fn cut_torn_line(&self, file: &File) -> Result<(), AppendError> {
        let len = file
            .metadata()
            .map(|metadata| metadata.len())
            .map_err(|source| self.system("look at", source))?;
        let whole = end_of_last_line(file, len).map_err(|source| self.system("read", source))?;
        let Some(whole) = whole else {
            return Err(AppendError::NoLines {
                path: self.path.clone(),
                searched_bytes: MAX_TORN_LINE_BYTES,
            });
        };
        if whole < len {
            tracing::warn!(
                path = %self.path.display(),
                offset = whole,
                bytes = len.saturating_sub(whole),
                "torn last line cut off"
            );
            file.set_len(whole)
                .map_err(|source| self.system("cut back", source))?;
        }
        Ok(())
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the directory is synced with the first batch of the new file, before it counts"
    )]
    fn rotate(&self) -> Result<(), AppendError> {
        fs::rename(&self.path, &self.rotated_path).map_err(|source| self.system("rotate", source))
    }

    fn system(&self, step: &'static str, source: io::Error) -> AppendError {
        AppendError::System {
            step,
            path: self.path.clone(),
            source,
        }
    }
}

/// Returns the offset after the last newline; `None` where there is none in the bytes searched and
/// the file is longer than those.
fn end_of_last_line(file: &File, len: u64) -> io::Result<Option<u64>> {
    const CHUNK_BYTES: u64 = 64 * 1024;
    let floor = len.saturating_sub(MAX_TORN_LINE_BYTES);
    let mut end = len;
    let mut chunk = Vec::new();
    while end > floor {
        let start = end.saturating_sub(CHUNK_BYTES).max(floor);
        chunk.resize(usize::try_from(end - start).unwrap_or(0), 0);
        file.read_exact_at(&mut chunk, start)?;
        if let Some(index) = chunk.iter().rposition(|byte| *byte == b'\n') {
            let after = u64::try_from(index).unwrap_or(0).saturating_add(1);
            return Ok(Some(start.saturating_add(after)));
        }
        end = start;
    }
    Ok((floor == 0).then_some(0))
}

#[cfg(test)]
mod tests;
