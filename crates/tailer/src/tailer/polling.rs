//! Hearing of changes, and looking for those that no event tells of.

#![expect(
    clippy::iter_over_hash_type,
    reason = "directories and files are treated alike; turns have a queue of their own"
)]

use std::time::{Duration, Instant};

use super::{Change, Now, Tailer};
use crate::directory::TailId;
use crate::watch::{DirId, Heard};

impl<R> Tailer<R> {
    /// Takes up what the watch has heard; returns whether it was anything.
    pub(crate) fn listen(&mut self) -> bool {
        let (mut overflowed, mut heard_any) = (false, false);
        let (dirs, files, ready) = (&mut self.dirs, &mut self.files, &mut self.ready);
        let undecided = &self.undecided;
        self.watch.drain(&mut |heard| {
            heard_any = true;
            match heard {
                Heard::Modified(dir, name) => {
                    let Some(dir) = dirs.get_mut(&dir) else {
                        return;
                    };
                    match dir.names.get(name) {
                        // It is looked at again with the next poll, not with each write of a large archive.
                        Some(entry) if entry.pending && undecided.contains(&dir.id) => {}
                        Some(entry) if entry.pending => dir.is_dirty = true,
                        Some(entry) => {
                            let Some(file) = entry.file.and_then(|id| files.get_mut(&id)) else {
                                return;
                            };
                            if !file.is_ready {
                                file.is_ready = true;
                                ready.push_back(file.id);
                            }
                        }
                        None => dir.is_dirty = true,
                    }
                }
                Heard::Names(dir) | Heard::Gone(dir) => {
                    if let Some(dir) = dirs.get_mut(&dir) {
                        dir.is_dirty = true;
                    }
                }
                Heard::Renamed(dir, from, to) => {
                    if let Some(dir) = dirs.get_mut(&dir) {
                        dir.hear_rename(from, to);
                    }
                }
                Heard::Overflow => overflowed = true,
            }
        });
        if overflowed {
            self.stats.watch_overflows += 1;
            self.mark_all();
        }
        heard_any
    }

    /// Looks at everything again: every directory is listed, every size compared.
    pub(super) fn mark_all(&mut self) {
        for dir in self.dirs.values_mut() {
            dir.is_dirty = true;
            for entry in dir.names.values_mut() {
                entry.pending |= entry.file.is_none();
            }
        }
        let ids: Vec<TailId> = self.files.keys().copied().collect();
        ids.into_iter().for_each(|id| self.check_len(id));
    }

    /// Puts a file in turn whose size is not the one last seen.
    fn check_len(&mut self, id: TailId) {
        let Some(file) = self.files.get(&id) else {
            return;
        };
        if file.look_at_len().is_some_and(|len| len != file.seen_len()) {
            self.push_ready(id);
        }
    }

    pub(super) fn needs_polling(&self) -> bool {
        !self.attention.is_empty()
            || !self.retries.is_empty()
            || !self.decoders.waiting.is_empty()
            || self.polled_dirs > 0
            || self.is_root_missing
            || !self.undecided.is_empty()
    }

    /// What no event tells of: files without a name, directories without a watch, missing roots.
    pub(super) fn poll(&mut self, now: Now) {
        self.polls = self.polls.wrapping_add(1);
        self.add_roots();
        let attention: Vec<TailId> = self.attention.iter().copied().collect();
        for id in attention {
            self.attend(id, now.instant);
        }
        std::mem::take(&mut self.retries)
            .into_iter()
            .for_each(|id| self.push_ready(id));
        self.let_one_decode();
        for id in std::mem::take(&mut self.undecided) {
            if let Some(dir) = self.dirs.get_mut(&id) {
                dir.is_dirty = true;
            }
        }
        // Files that were quiet for long are looked at every eighth time.
        let all = self.polls.is_multiple_of(8);
        let polled: Vec<DirId> = self
            .dirs
            .values()
            .filter(|dir| !dir.has_events)
            .map(|dir| dir.id)
            .collect();
        for dir in polled {
            let Some(dir) = self.dirs.get_mut(&dir) else {
                continue;
            };
            dir.is_dirty = true;
            let ids: Vec<TailId> = dir.names.values().filter_map(|entry| entry.file).collect();
            for id in ids {
                let is_active = self.files.get(&id).is_some_and(|file| {
                    now.instant.saturating_duration_since(file.grew_at) < Duration::from_secs(60)
                });
                if all || is_active {
                    self.check_len(id);
                }
            }
        }
    }

    /// Looks at one file that events do not tell of.
    fn attend(&mut self, id: TailId, now: Instant) {
        let rotate_wait = self.limits.rotate_wait;
        let Some(file) = self.files.get_mut(&id) else {
            self.attention.remove(&id);
            return;
        };
        let has_partial = file
            .cursors
            .iter()
            .any(|cursor| cursor.partial_since.is_some());
        let is_done = !file.is_rotated() && !file.awaits_archive_end();
        if is_done && !has_partial {
            self.attention.remove(&id);
            return;
        }
        if file.current.is_none() && file.is_drained() && !file.is_reported_finished {
            let is_deleted = file.is_deleted();
            // A writer may still hold a file that was moved away; a deleted one is held for less,
            // because it takes space that its owner believes to be free.
            let linger = if is_deleted {
                rotate_wait.saturating_mul(5)
            } else {
                self.limits.close_idle
            };
            if file.descriptor.is_none() || file.is_quiet(now, linger) {
                if self.move_to_repacked(id, now) {
                    return;
                }
                self.finish(id, is_deleted);
            }
        }
        let Some(file) = self.files.get(&id) else {
            return;
        };
        let is_watched = file.current.is_some() && file.is_drained();
        if is_watched {
            self.attention.remove(&id);
        } else {
            self.push_ready(id);
        }
    }

    fn finish(&mut self, id: TailId, is_deleted: bool) {
        if let Some(file) = self.files.get_mut(&id) {
            file.is_reported_finished = true;
            self.changes.push(Change::Finished { id, is_deleted });
        }
    }
}
