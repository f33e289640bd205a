//! Descriptors: opened again when they are needed, and closed within the limit.

use std::path::Path;
use std::time::Instant;

use super::Tailer;
use crate::directory::TailId;
use crate::open::{OpenError, open_log};

impl<R> Tailer<R> {
    /// Closes descriptors of files at their end that were quiet for long and can be opened again.
    pub(super) fn close_idle(&mut self, now: Instant) {
        let close_idle = self.limits.close_idle;
        let idle: Vec<TailId> = self
            .opened
            .iter()
            .filter_map(|id| self.files.get(id))
            .filter(|file| file.current.is_some() && !file.is_ready)
            .filter(|file| {
                now.saturating_duration_since(file.last_used.max(file.grew_at)) >= close_idle
            })
            .map(|file| file.id)
            .collect();
        idle.into_iter().for_each(|id| self.close(id));
    }

    pub(crate) fn close(&mut self, id: TailId) {
        if let Some(file) = self.files.get_mut(&id) {
            file.descriptor = None;
            file.close_decoders();
            self.note_decoders(id);
        }
        self.opened.remove(&id);
    }

    /// Closes the descriptors used longest ago, an eighth of the limit, where the limit is reached.
    pub(crate) fn make_room(&mut self) {
        if self.opened.len() < self.limits.max_open_files {
            return;
        }
        let mut closable: Vec<(Instant, TailId)> = self
            .opened
            .iter()
            .filter_map(|id| self.files.get(id))
            .filter(|file| file.current.is_some())
            .map(|file| (file.last_used, file.id))
            .collect();
        closable.sort_unstable();
        for (_, id) in closable
            .into_iter()
            .take((self.limits.max_open_files / 8).max(1))
        {
            self.stats.descriptors_evicted += 1;
            self.close(id);
        }
    }

    /// Opens a file that was closed, under the name it has now, and checks that it is the same.
    ///
    /// # Errors
    /// [`OpenError`]; `NotFound` where the names have changed since the last listing.
    pub fn ensure_open(&mut self, id: TailId, now: Instant) -> Result<(), OpenError> {
        let Some(file) = self.files.get(&id) else {
            return Ok(());
        };
        if file.is_open() {
            return Ok(());
        }
        let Some(path) = file.current.clone() else {
            return Err(OpenError::NotFound {
                path: file.path.to_path_buf(),
            });
        };
        self.make_room();
        let opened = open_log(&path, &self.allowed_roots)?;
        let Some(file) = self.files.get_mut(&id) else {
            return Ok(());
        };
        if (opened.device, opened.inode) != (file.identity.device, file.identity.inode) {
            // The names have changed since the last listing: the next one tells where it went.
            self.mark_parent(&path);
            return Err(OpenError::NotFound {
                path: path.to_path_buf(),
            });
        }
        file.descriptor = Some(opened.file);
        file.last_used = now;
        self.opened.insert(id);
        Ok(())
    }

    fn mark_parent(&mut self, path: &Path) {
        let dir = path
            .parent()
            .and_then(|parent| self.dir_by_path.get(parent));
        if let Some(dir) = dir.and_then(|id| self.dirs.get_mut(id)) {
            dir.is_dirty = true;
        }
    }
}
