//! Opening what was found, and beginning to follow it.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tailwater_record::{FileId, FileIdentity, Fingerprint, WINDOW_BYTES};

use crate::archive::{ArchiveRules, ArchivedFile, Compression, head_of};
use crate::directory::TailId;
use crate::file::{TailedFile, read_at};
use crate::frame::Encoding;
use crate::open::{OpenError, OpenedLog, open_log};
use crate::tailer::{Change, Matched, Now};
use crate::watch::DirId;

impl<R> crate::Tailer<R> {
    /// Opens a candidate; `None` where it is too old to begin with.
    pub(super) fn open_new(
        &mut self,
        path: &Path,
        matched: Matched,
        now: Now,
    ) -> Result<Option<OpenedLog>, OpenError> {
        if let Some(limit) = matched.ignore_older {
            let age = Self::modified_ns(path).map(|modified| now.unix_ns.saturating_sub(modified));
            if age.is_some_and(|age| u128::from(age) > limit.as_nanos()) {
                return Ok(None);
            }
        }
        self.make_room();
        open_log(path, &self.allowed_roots).map(Some)
    }

    /// Opens a name of a listing. Where it stands for another file by now, or for none, the name is
    /// forgotten and the directory listed again: both files are then seen as new.
    pub(super) fn open_listed(
        &mut self,
        id: DirId,
        name: &OsStr,
        inode: u64,
        matched: Matched,
        now: Now,
    ) -> Result<Option<OpenedLog>, OpenError> {
        let Some(path) = self.dirs.get(&id).map(|dir| dir.path.join(name)) else {
            return Ok(None);
        };
        match self.open_new(&path, matched, now) {
            Ok(Some(opened)) if opened.inode == inode => return Ok(Some(opened)),
            Ok(None) => {
                self.set_entry(id, name, |entry| entry.pending = true);
                return Ok(None);
            }
            Ok(Some(_)) | Err(OpenError::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        if let Some(dir) = self.dirs.get_mut(&id) {
            dir.names.remove(name);
            dir.is_dirty = true;
        }
        Ok(None)
    }

    /// Follows what was opened under a name of a directory, as a generation of `path`.
    pub(super) fn follow_as(
        &mut self,
        id: DirId,
        name: &OsStr,
        opened: OpenedLog,
        path: Arc<Path>,
        is_rotated: bool,
        now: Now,
    ) {
        let Some(current) = self.dirs.get(&id).map(|dir| dir.path.join(name)) else {
            return;
        };
        let tail = self.follow(opened, current, path, is_rotated, now);
        self.set_entry(id, name, |entry| {
            entry.file = tail;
            entry.pending = tail.is_none();
        });
    }

    /// Begins to follow a generation of `path` that is called `current` now.
    pub(super) fn follow(
        &mut self,
        opened: OpenedLog,
        current: PathBuf,
        path: Arc<Path>,
        is_rotated: bool,
        now: Now,
    ) -> Option<TailId> {
        if self.files.len() >= self.limits.max_files {
            self.stats.files_over_limit += 1;
            return None;
        }
        if self.is_excluded(&opened.real_path) {
            return None;
        }
        let look = self.look_at(&opened, &path, current.file_name().unwrap_or_default());
        if look.is_unclear(&opened, self.limits.rotate_wait, now) {
            // The next write to it has to tell.
            return None;
        }
        let archive = self.archive_of(&opened, &path, look.form);
        let grew_at = quiet_since(&opened, archive.is_some(), now);
        let head = look.head;
        self.next_id += 1;
        let id = self.next_id;
        let (path, current, predecessor) = self.enter_generation(id, path, current);
        let file = TailedFile {
            id,
            content: FileId(id),
            path,
            current: Some(current),
            identity: FileIdentity {
                device: opened.device,
                inode: opened.inode,
                fingerprint: Fingerprint::of_head(&head),
            },
            mark: Encoding::Auto.resolve(&head),
            cursors: Vec::new(),
            known_len: if archive.is_some() { 0 } else { opened.len },
            modified_ns: opened.modified_ns,
            identity_changed: true,
            descriptor: Some(opened.file),
            archive: archive.map(Box::new),
            last_used: now.instant,
            rotated_at: is_rotated.then_some(now.instant),
            grew_at,
            predecessor,
            successor: None,
            is_ready: false,
            is_reported_finished: false,
            is_out_of_sight: false,
            head,
            former: None,
            repacked: None,
        };
        self.by_inode.insert((opened.device, opened.inode), id);
        self.opened.insert(id);
        if file.is_archive() {
            self.archives.insert(id);
        }
        if is_rotated {
            self.attention.insert(id);
        }
        self.files.insert(id, Box::new(file));
        self.stats.files_found += 1;
        self.changes.push(Change::Found {
            id,
            at_start: self.is_initial,
        });
        self.push_ready(id);
        Some(id)
    }

    /// Enters a file as the newest generation of its path; returns its path and its name, shared, and the
    /// generation before it.
    fn enter_generation(
        &mut self,
        id: TailId,
        path: Arc<Path>,
        current: PathBuf,
    ) -> (Arc<Path>, Arc<Path>, Option<TailId>) {
        // One allocation for all of the same path.
        let current = if *current == *path {
            Arc::clone(&path)
        } else {
            current.into()
        };
        // With its key: that of the generation before goes with it.
        let predecessor = self.live.remove(&path);
        self.live.insert(Arc::clone(&path), id);
        if let Some(before) = predecessor.and_then(|before| self.files.get_mut(&before)) {
            before.successor = Some(id);
        }
        (path, current, predecessor)
    }

    /// Reads the head of a file that was found under a name, as a generation of `path`.
    pub(super) fn look_at(&self, opened: &OpenedLog, path: &Path, name: &OsStr) -> Look {
        let rules = self.matched(path).and_then(|matched| matched.archive);
        Look::at(opened, rules, name)
    }

    /// Returns what a file of `path` is beside a file, where it is an archive.
    pub(super) fn archive_of(
        &self,
        opened: &OpenedLog,
        path: &Path,
        form: Form,
    ) -> Option<ArchivedFile> {
        let rules = self.matched(path).and_then(|matched| matched.archive);
        let delay = rules.map_or(self.limits.rotate_wait, |rules| rules.delay);
        match form {
            Form::Archive(compression) => Some(ArchivedFile::new(compression, delay, &opened.file)),
            Form::Plain | Form::Unknown => None,
        }
    }

    pub(super) fn refuse(&mut self, path: PathBuf, error: &OpenError) {
        self.changes.push(Change::Refused {
            path,
            reason: error.reason(),
            detail: error.to_string(),
        });
    }

    pub(super) fn modified_ns(path: &Path) -> Option<u64> {
        let modified = std::fs::metadata(path).ok()?.modified().ok()?;
        let since = modified.duration_since(std::time::UNIX_EPOCH).ok()?;
        u64::try_from(since.as_nanos()).ok()
    }
}

/// Bytes of a head: one window.
const HEAD_BYTES: usize = WINDOW_BYTES as usize;

/// What the lines of a file are those of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Of its bytes.
    Plain,
    /// Of what they decode to.
    Archive(Compression),
    /// It is being written, and its first bytes do not tell yet.
    Unknown,
}

impl Form {
    /// Tells it by the first bytes of a file, and by its name where no source says that it reads archives.
    fn of(head: &[u8], rules: Option<ArchiveRules>, name: &OsStr) -> Self {
        let has_name = Compression::is_named_in(name);
        if let Some(compression) = rules.and_then(|rules| rules.compression) {
            return Self::Archive(compression);
        }
        if rules.is_none() && !has_name {
            return Self::Plain;
        }
        match Compression::detect(head) {
            Some(compression) => Self::Archive(compression),
            // Without a byte only the name gives reason to wait for one.
            None if head.is_empty() && has_name => Self::Unknown,
            None if !head.is_empty() && Compression::may_become_detectable(head) => Self::Unknown,
            None => Self::Plain,
        }
    }
}

/// What the first bytes of a file tell of it.
#[derive(Debug)]
pub(super) struct Look {
    /// Tells who it is, of its decoded bytes where it is an archive; empty where it cannot be read, as of an
    /// empty file.
    pub(super) head: Vec<u8>,
    pub(super) form: Form,
    /// It is an archive that nothing but its first bytes says to be one, and ends before the head does.
    is_cut: bool,
}

impl Look {
    pub(super) fn at(opened: &OpenedLog, rules: Option<ArchiveRules>, name: &OsStr) -> Self {
        // Not on the heap: a thousand short heads would leave as many holes there.
        let mut window = [0; HEAD_BYTES];
        let read = read_at(&opened.file, &mut window, 0).unwrap_or(0);
        let head = window.get(..read).unwrap_or_default();
        let form = Form::of(head, rules, name);
        if let Form::Archive(compression) = form {
            let head = head_of(&opened.file, compression);
            let is_told = rules.is_some_and(|rules| rules.compression.is_some());
            return Self {
                head: head.bytes,
                form,
                is_cut: head.is_cut && !is_told,
            };
        }
        Self {
            head: head.to_vec(),
            form,
            is_cut: false,
        }
    }

    /// Returns whether more has to be written before it can be told what it is.
    pub(super) fn is_unclear(&self, opened: &OpenedLog, wait: Duration, now: Now) -> bool {
        self.form == Form::Unknown || (self.is_cut && is_young(opened, wait, now))
    }
}

/// Returns when a file was written to last, by a clock that may not be that of its times: now where it may
/// have been a moment ago. What was in flight of an archive is read again without waiting.
fn quiet_since(opened: &OpenedLog, is_archive: bool, now: Now) -> Instant {
    if !is_archive {
        return now.instant;
    }
    let age = now.unix_ns.saturating_sub(opened.modified_ns);
    let since = now.instant.checked_sub(Duration::from_nanos(age));
    since.unwrap_or(now.instant)
}

/// Returns whether a file was written to not long ago, by a clock that may not be that of its times.
pub(super) fn is_young(opened: &OpenedLog, wait: Duration, now: Now) -> bool {
    let age = now.unix_ns.checked_sub(opened.modified_ns);
    age.is_some_and(|age| u128::from(age) < wait.as_nanos())
}
