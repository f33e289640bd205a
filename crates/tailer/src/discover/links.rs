//! Symbolic links: where they lead, and hearing of it when that changes.

use std::path::Path;

use super::Difference;
use super::directories::MAX_DEPTH;
use crate::directory::Kind;
use crate::open::OpenError;
use crate::tailer::Now;
use crate::watch::DirId;

/// Links in a row that are followed, as many as container runtimes make, twice.
const MAX_LINKS: usize = 8;

impl<R> crate::Tailer<R> {
    pub(super) fn find_directories_and_links(
        &mut self,
        id: DirId,
        difference: &Difference,
        now: Now,
    ) {
        let depth = self.dirs.get(&id).map_or(MAX_DEPTH, |dir| dir.depth + 1);
        for (name, _, kind) in &difference.fresh {
            let path = difference.path_of(name);
            match kind {
                Kind::Directory => self.add_directory(&path, depth),
                Kind::Link if std::fs::metadata(&path).is_ok_and(|target| target.is_dir()) => {
                    // The listing below a link is the listing of what it leads to: only where the
                    // operator allows that place.
                    let real = std::fs::canonicalize(&path);
                    if real.is_ok_and(|real| self.allowed_roots.contains(&real)) {
                        self.add_directory(&path, depth);
                    }
                }
                Kind::Link if difference.is_mine => {
                    self.consider_link(&path, now);
                    let is_open = self.live.contains_key(path.as_path());
                    self.set_entry(id, name, |entry| entry.pending = !is_open);
                }
                Kind::Link | Kind::File | Kind::Other => {}
            }
        }
    }

    /// Follows what a link leads to now, where the link matches.
    pub(super) fn consider_link(&mut self, link: &Path, now: Now) {
        let Some(matched) = self.matched(link) else {
            return;
        };
        if self.is_excluded(link) {
            return;
        }
        self.watch_way_of(link);
        let opened = match self.open_new(link, matched, now) {
            Ok(Some(opened)) => opened,
            Ok(None) | Err(OpenError::NotFound { .. }) => return,
            Err(error) => return self.refuse(link.to_owned(), &error),
        };
        let before = self.live.get(link).copied();
        let target = self.by_inode.get(&(opened.device, opened.inode)).copied();
        if target.is_some() {
            return;
        }
        let real_path = opened.real_path.clone();
        let Some(tail) = self.follow(opened, real_path.clone(), link.into(), false, now) else {
            return;
        };
        if let Some(file) = before.and_then(|before| self.files.get_mut(&before))
            && file.rotated_at.is_none()
        {
            file.lose_path(now.instant);
            self.stats.rotations += 1;
            let id = file.id;
            self.attention.insert(id);
            self.push_ready(id);
        }
        let dir = real_path
            .parent()
            .and_then(|parent| self.directory_at(parent));
        if let (Some(dir), Some(name)) = (dir, real_path.file_name()) {
            self.set_entry(dir, name, |entry| entry.file = Some(tail));
        }
    }

    /// Watches every directory that the way of a link leads through, so that a swap is heard of.
    fn watch_way_of(&mut self, link: &Path) {
        let mut at = link.to_owned();
        for _ in 0..MAX_LINKS {
            let Ok(target) = std::fs::read_link(&at) else {
                break;
            };
            let parent = at.parent().unwrap_or(Path::new("/"));
            at = if target.is_absolute() {
                target
            } else {
                parent.join(target)
            };
            self.watch_for_link(&at, link);
        }
    }

    fn watch_for_link(&mut self, at: &Path, link: &Path) {
        // By the name the kernel has for it: the same place is reached through dots and links too.
        let Some(parent) = at.parent().and_then(|parent| parent.canonicalize().ok()) else {
            return;
        };
        self.insert_directory(&parent, MAX_DEPTH);
        let dir = self.directory_at(&parent);
        if let Some(dir) = dir.and_then(|id| self.dirs.get_mut(&id))
            && !dir.links.iter().any(|known| known == link)
        {
            dir.links.push(link.to_owned());
        }
    }
}
