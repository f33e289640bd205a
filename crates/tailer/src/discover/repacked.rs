//! The same content in another file: what was compressed, or decompressed again.
//!
//! Rotation writes `app.log.1.gz` beside `app.log.1` and takes the latter away. Neither inode nor name tells
//! that both hold the same; their content does: an archive is known by how its decoded bytes begin, and
//! by those before the position. What is found so is not read beside the file that is followed: it is what
//! becomes of that file once its own last name is gone and its descriptor was read to the end.
//!
//! | a file that is followed | and its content in another |
//! |---|---|
//! | has its name still | the other one is left alone |
//! | has none, and is open | is read to its end, then it goes on as the other |
//! | has none, and is closed | goes on as the other at once, at its offsets |
//! | was followed by an earlier run, and is not found | goes on as the other, before younger generations |

mod earlier;

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use tailwater_record::{Fingerprint, Marker, WINDOW_BYTES};

use super::follow::{Form, Look, is_young};
use super::generations::{Age, is_rotated_name};
use crate::archive::{Compression, Likeness, compare, sample};
use crate::directory::{Kind, TailId};
use crate::file::TailedFile;
use crate::open::{OpenError, OpenedLog, open_log};
use crate::tailer::{Matched, Now};
use crate::watch::DirId;

/// Files of one directory whose heads are looked at for what may have become of others.
const MAX_CANDIDATES: usize = 1024;

/// How a content is known.
#[derive(Clone, Copy, Debug)]
struct Content<'a> {
    /// The name that its file was found under.
    live: &'a OsStr,
    fingerprint: Fingerprint,
    /// The position that is furthest.
    offset: u64,
    marker: Marker,
}

/// A file that may hold the content of another.
#[derive(Debug)]
pub(super) struct Sibling {
    pub(super) name: OsString,
    pub(super) inode: u64,
    modified_ns: u64,
    look: Look,
}

/// What a new file is to those that are followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Its content is its own.
    New,
    /// It holds what another one does.
    Repacked,
    /// It is being written, and may become what another one holds.
    Unclear,
}

impl Content<'_> {
    /// Returns how surely a file holds it; `None` where it does not.
    fn likeness(&self, opened: &OpenedLog, look: &Look, name: &OsStr) -> Option<Likeness> {
        let fingerprint = self.fingerprint;
        if fingerprint.len == 0 || !fingerprint.matches_head(&look.head) {
            return None;
        }
        let likeness = match look.form {
            Form::Archive(compression) => {
                compare(&opened.file, compression, self.offset, self.marker)
            }
            Form::Plain => compare_plain(opened, self.offset, self.marker),
            Form::Unknown => return None,
        };
        // A file of another name has to say more than that it begins alike.
        let is_sure = !fingerprint.is_growing() && self.offset > 0 && likeness == Likeness::Same;
        (likeness != Likeness::Other && (is_sure || is_sibling(self.live, name)))
            .then_some(likeness)
    }
}

impl<R> TailedFile<R> {
    /// Returns whether decompression gives a name to it, where it is an archive.
    fn unpacks_to(&self, name: &OsStr) -> bool {
        let current = self.current.as_deref().and_then(Path::file_name);
        current.is_some_and(|current| current != name && Compression::bare_name(current) == name)
    }

    fn content(&self) -> Content<'_> {
        let cursors = self.cursors.iter();
        let furthest = cursors.max_by_key(|cursor| cursor.offset);
        Content {
            live: self.path.file_name().unwrap_or_default(),
            fingerprint: self.identity.fingerprint,
            offset: furthest.map_or(0, |cursor| cursor.offset),
            marker: furthest.map_or(Marker::default(), |cursor| cursor.marker),
        }
    }
}

impl<R> crate::Tailer<R> {
    /// A file has lost its last name: finds what holds its content now. Where the file is not open either,
    /// it goes on as that at once; returns whether it does.
    pub(super) fn go_on_repacked(&mut self, tail: TailId, id: DirId, now: Now) -> bool {
        if let Some(file) = self.files.get_mut(&tail) {
            file.grow_head();
        }
        let Some(sibling) = self.find_repacked(tail, id) else {
            return false;
        };
        let device = self.dirs.get(&id).map_or(0, |dir| dir.device);
        let Some(file) = self.files.get_mut(&tail) else {
            return false;
        };
        file.repacked = Some(sibling.inode);
        let is_open = file.is_open();
        self.repacked.insert((device, sibling.inode), tail);
        !is_open && self.move_to(tail, id, &sibling.name, now)
    }

    /// A file without a name was read to its end: it goes on as what holds the same content, where there
    /// is such a file; returns whether it does.
    pub(crate) fn move_to_repacked(&mut self, tail: TailId, now: std::time::Instant) -> bool {
        let parent = self.files.get(&tail).and_then(|file| file.path.parent());
        let id = parent
            .and_then(|parent| self.dir_by_path.get(parent))
            .copied();
        let now = Now {
            instant: now,
            unix_ns: 0,
        };
        let Some(id) = id else {
            return false;
        };
        let known = self.files.get(&tail).and_then(|file| file.repacked);
        let named = known.and_then(|inode| {
            let dir = self.dirs.get(&id)?;
            let mut names = dir.names.iter();
            let (name, _) = names.find(|(_, entry)| {
                entry.inode == inode && entry.kind == Kind::File && entry.file.is_none()
            })?;
            Some((name.clone(), inode))
        });
        if let Some((name, inode)) = &named
            && self.has_moved_on(id, name, *inode)
        {
            // The next listing tells its name.
            if let Some(dir) = self.dirs.get_mut(&id) {
                dir.is_dirty = true;
            }
            return true;
        }
        let name = named.map(|(name, _)| name);
        let name = name.or_else(|| Some(self.find_repacked(tail, id)?.name));
        name.is_some_and(|name| self.move_to(tail, id, &name, now))
    }

    /// Returns whether a name has gone to another file since its directory was listed, or is gone.
    fn has_moved_on(&self, id: DirId, name: &OsStr, inode: u64) -> bool {
        let path = self.dirs.get(&id).map(|dir| dir.path.join(name));
        let found = path.map(|path| open_log(&path, &self.allowed_roots));
        match found {
            Some(Ok(opened)) => opened.inode != inode,
            Some(Err(OpenError::NotFound { .. })) => true,
            Some(Err(_)) | None => false,
        }
    }

    /// Finds the file of a directory that holds the content of one that has no name.
    fn find_repacked(&mut self, tail: TailId, id: DirId) -> Option<Sibling> {
        let dir = self.dirs.get(&id)?;
        let file = self.files.get(&tail)?;
        if file.identity.fingerprint.len == 0 {
            return None;
        }
        let live = file.path.file_name()?;
        let names: Vec<OsString> = dir
            .names
            .iter()
            .filter(|(_, entry)| entry.kind == Kind::File && entry.file.is_none())
            .filter(|(_, entry)| !self.by_inode.contains_key(&(dir.device, entry.inode)))
            .filter(|(name, _)| {
                let is_archive = Compression::is_archive_name(name);
                (is_archive && is_sibling(live, name))
                    || (file.is_archive() && file.unpacks_to(name))
            })
            .map(|(name, _)| name.clone())
            .take(MAX_CANDIDATES)
            .collect();
        let mut best: Option<((bool, Age), Sibling)> = None;
        for name in names {
            let path = self.dirs.get(&id)?.path.join(&name);
            let Ok(opened) = open_log(&path, &self.allowed_roots) else {
                continue;
            };
            let file = self.files.get(&tail)?;
            let look = self.look_at(&opened, &file.path, &name);
            let Some(is_surely) = holds(file, &opened, &look, &name) else {
                continue;
            };
            let live = file.path.file_name().unwrap_or_default();
            let rank = (is_surely, Age::of(live, &name, opened.modified_ns));
            if best.as_ref().is_none_or(|(known, _)| *known < rank) {
                best = Some((rank, Sibling::new(name, &opened, look)));
            }
        }
        best.map(|(_, sibling)| sibling)
    }

    /// Lets a file go on as another one with the same content, at its offsets.
    fn move_to(&mut self, tail: TailId, id: DirId, name: &OsStr, now: Now) -> bool {
        let Some((path, device)) = self
            .dirs
            .get(&id)
            .map(|dir| (dir.path.join(name), dir.device))
        else {
            return false;
        };
        let Some(file) = self.files.get(&tail) else {
            return false;
        };
        let was_read = file.is_open() && file.is_drained();
        let former = (file.identity.device, file.identity.inode);
        let Ok(opened) = open_log(&path, &self.allowed_roots) else {
            return false;
        };
        let look = self.look_at(&opened, &file.path, name);
        if look.form == Form::Unknown || !file.identity.fingerprint.matches_head(&look.head) {
            return false;
        }
        let archive = self.archive_of(&opened, &file.path, look.form);
        if self.by_inode.get(&former) == Some(&tail) {
            self.by_inode.remove(&former);
        }
        self.repacked.remove(&(device, opened.inode));
        self.by_inode.insert((opened.device, opened.inode), tail);
        let is_archive = archive.is_some();
        let Some(file) = self.files.get_mut(&tail) else {
            return false;
        };
        if is_archive {
            self.archives.insert(tail);
        } else {
            self.archives.remove(&tail);
        }
        file.archive = archive.map(Box::new);
        if let Some(archive) = &mut file.archive {
            archive.stand_in();
        }
        file.identity.device = opened.device;
        file.identity.inode = opened.inode;
        file.learn_head(&look.head);
        file.identity_changed = true;
        file.modified_ns = opened.modified_ns;
        if !is_archive {
            file.known_len = opened.len;
        }
        file.descriptor = Some(opened.file);
        file.current = Some(path.into());
        file.repacked = None;
        file.is_reported_finished = false;
        file.last_used = now.instant;
        file.grew_at = now.instant;
        for cursor in &mut file.cursors {
            cursor.go_on_in(is_archive, was_read);
        }
        self.opened.insert(tail);
        self.note_decoders(tail);
        self.attention.insert(tail);
        self.set_entry(id, name, |entry| {
            entry.file = Some(tail);
            entry.pending = false;
        });
        self.push_ready(tail);
        true
    }

    /// Tells whether a new file of a directory holds what one that is followed holds.
    pub(super) fn standing_of(
        &mut self,
        id: DirId,
        name: &OsStr,
        opened: &OpenedLog,
        matched: Matched,
        now: Now,
    ) -> Standing {
        let inode = (opened.device, opened.inode);
        if self.repacked.contains_key(&inode) {
            return Standing::Repacked;
        }
        // Whoever says how files are compressed wants each of them.
        let is_told = matched
            .archive
            .is_some_and(|rules| rules.compression.is_some());
        let is_by_magic = matched.archive.is_some() || Compression::is_named_in(name);
        if is_told || !(is_by_magic || self.is_name_of_an_archive(id, name)) {
            return Standing::New;
        }
        let look = Look::at(opened, matched.archive, name);
        let is_young = is_young(opened, self.limits.rotate_wait, now);
        if look.is_unclear(opened, self.limits.rotate_wait, now) {
            return Standing::Unclear;
        }
        if is_young && look.form == Form::Plain && self.may_be_unpacked(name, &look) {
            return Standing::Unclear;
        }
        self.learn_heads(id, name, now);
        for tail in self.alike(id, name, &look) {
            match self.is_of(tail, opened, &look, name, is_young, now) {
                Standing::New => {}
                Standing::Repacked => {
                    if let Some(file) = self.files.get_mut(&tail) {
                        file.repacked = Some(opened.inode);
                    }
                    self.repacked.insert(inode, tail);
                    return Standing::Repacked;
                }
                Standing::Unclear => return Standing::Unclear,
            }
        }
        Standing::New
    }

    /// Returns whether a name is that which decompression gives to an archive that is followed.
    fn is_name_of_an_archive(&self, id: DirId, name: &OsStr) -> bool {
        let Some(dir) = self.dirs.get(&id).filter(|_| !self.archives.is_empty()) else {
            return false;
        };
        let mut archives = self.archives.iter().filter_map(|id| self.files.get(id));
        archives.any(|file| file.path.parent() == Some(&dir.path) && file.unpacks_to(name))
    }

    /// Returns whether a plain file may become the content of an archive, and is shorter yet than what tells.
    /// What has the name that others are followed under is read at once.
    fn may_be_unpacked(&self, name: &OsStr, look: &Look) -> bool {
        let mut archives = self.archives.iter().filter_map(|id| self.files.get(id));
        archives.any(|file| {
            let len = usize::from(file.identity.fingerprint.len);
            file.unpacks_to(name) && file.path.file_name() != Some(name) && look.head.len() < len
        })
    }

    /// Looks at how the files begin that may have become an archive before they were read.
    fn learn_heads(&mut self, id: DirId, name: &OsStr, now: Now) {
        let Some(dir) = self.dirs.get(&id) else {
            return;
        };
        let named = dir.names.values().filter_map(|entry| entry.file);
        let young: BTreeSet<TailId> = named
            .chain(self.attention.iter().copied())
            .filter(|tail| {
                self.files.get(tail).is_some_and(|file| {
                    let live = file.path.file_name().unwrap_or_default();
                    file.identity.fingerprint.is_growing() && is_sibling(live, name)
                })
            })
            .collect();
        for tail in young {
            self.learn_head(tail, now.instant);
        }
    }

    /// Returns the files that begin as a new one of their directory does, and may be it in another form.
    fn alike(&self, id: DirId, name: &OsStr, look: &Look) -> Vec<TailId> {
        let Some(dir) = self.dirs.get(&id) else {
            return Vec::new();
        };
        let named = dir.names.values().filter_map(|entry| entry.file);
        let ids: BTreeSet<TailId> = if look.form == Form::Plain {
            self.archives.clone()
        } else {
            named.chain(self.attention.iter().copied()).collect()
        };
        let files = ids.into_iter().filter_map(|tail| self.files.get(&tail));
        files
            .filter(|file| file.path.parent() == Some(&dir.path))
            .filter(|file| look.form != Form::Plain || file.unpacks_to(name))
            .filter(|file| file.identity.fingerprint.len > 0)
            .filter(|file| file.identity.fingerprint.matches_head(&look.head))
            .map(|file| file.id)
            .collect()
    }

    /// Tells whether a new file holds what one that begins like it holds, by a long stretch of both: what is
    /// taken for the same is not read.
    fn is_of(
        &mut self,
        tail: TailId,
        opened: &OpenedLog,
        look: &Look,
        name: &OsStr,
        is_young: bool,
        now: Now,
    ) -> Standing {
        drop(self.ensure_open(tail, now.instant));
        let Some(file) = self.files.get(&tail) else {
            return Standing::New;
        };
        let of_file = file.compression().zip(file.descriptor.as_ref());
        let of_file = of_file.map(|(compression, open)| sample(open, compression));
        let (is_unclear, is_same) = match (look.form, of_file) {
            (Form::Archive(compression), None) => {
                let sample = sample(&opened.file, compression);
                let is_same = sample.offset > 0 && file.holds(sample.offset, sample.marker);
                (sample.is_cut, is_same)
            }
            (Form::Archive(compression), Some(of_file)) => {
                let sample = sample(&opened.file, compression);
                let current = file.current.as_deref().and_then(Path::file_name);
                let is_its_name =
                    current.map(Compression::bare_name) == Some(Compression::bare_name(name));
                (
                    sample.is_cut && is_its_name,
                    sample == of_file && is_its_name,
                )
            }
            (Form::Plain, Some(of_file)) => {
                let likeness = compare_plain(opened, of_file.offset, of_file.marker);
                (opened.len < of_file.offset, likeness == Likeness::Same)
            }
            (Form::Plain | Form::Unknown, _) => (false, false),
        };
        match (is_unclear && is_young, is_same) {
            (true, _) => Standing::Unclear,
            (false, true) => Standing::Repacked,
            (false, false) => Standing::New,
        }
    }
}

impl Sibling {
    fn new(name: OsString, opened: &OpenedLog, look: Look) -> Self {
        Self {
            name,
            inode: opened.inode,
            modified_ns: opened.modified_ns,
            look,
        }
    }
}

/// Returns whether a file holds the content of one that has no name any more, and if so, whether that is
/// sure. Its descriptor says it best; without one, the bytes before its position do.
fn holds<R>(file: &TailedFile<R>, opened: &OpenedLog, look: &Look, name: &OsStr) -> Option<bool> {
    if opened.inode == file.identity.inode && opened.device == file.identity.device {
        return None;
    }
    let content = file.content();
    if let Form::Archive(compression) = look.form
        && file.is_open()
        && !file.is_archive()
    {
        let is_alike = content.fingerprint.matches_head(&look.head);
        let is_named_so = !content.fingerprint.is_growing() || is_sibling(content.live, name);
        if !is_alike || !is_named_so {
            return None;
        }
        let sample = sample(&opened.file, compression);
        let is_it = sample.offset > 0 && file.holds(sample.offset, sample.marker);
        return is_it.then_some(true);
    }
    let likeness = content.likeness(opened, look, name)?;
    Some(likeness == Likeness::Same)
}

/// Compares the bytes before an offset of a file with a marker.
fn compare_plain(opened: &OpenedLog, offset: u64, marker: Marker) -> Likeness {
    let mut before = vec![0; usize::from(marker.len.min(WINDOW_BYTES))];
    let start = offset.saturating_sub(u64::from(marker.len));
    let is_read = opened.file.read_exact_at(&mut before, start).is_ok();
    if is_read && marker.matches_tail(&before) {
        Likeness::Same
    } else {
        Likeness::Other
    }
}

/// Returns whether rotation and compression may give a name to a file called `live`, which may itself be a
/// name that they gave.
fn is_sibling(live: &OsStr, name: &OsStr) -> bool {
    let (live, name) = (Compression::bare_name(live), Compression::bare_name(name));
    if live == name || is_rotated_name(live, name) {
        return true;
    }
    // `app.log.1`, found under that name.
    let bytes = live.as_encoded_bytes();
    let end = bytes.iter().rposition(|byte| !byte.is_ascii_digit());
    let stem = end.and_then(|end| bytes.split_at_checked(end));
    let Some((stem, [b'.' | b'-', _, ..])) = stem else {
        return false;
    };
    let name = name.as_encoded_bytes();
    name == stem
        || name
            .strip_prefix(stem)
            .and_then(|rest| rest.split_first())
            .is_some_and(|(separator, rest)| {
                matches!(separator, b'.' | b'-') && rest.iter().all(u8::is_ascii_digit)
            })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_one_file_are_told_from_those_of_others() {
        let check = |live: &str, name: &str| is_sibling(OsStr::new(live), OsStr::new(name));
        for (live, name) in [
            ("app.log", "app.log.gz"),
            ("app.log", "app.log.2.gz"),
            ("app.log", "app.log-20261121.xz"),
            ("app.log", "app-20261121.log.zst"),
            ("app.log.1", "app.log.2.gz"),
            ("app.log.2.gz", "app.log.2"),
            ("app.log.2.gz", "app.log.3"),
            ("app.log.1", "app.log"),
        ] {
            assert!(check(live, name), "{live} {name}");
        }
        for (live, name) in [
            ("app.log", "other.log.1.gz"),
            ("app.log", "app.logger.gz"),
            ("app.log.1", "application.gz"),
            ("app.log.1", "app.log.x.gz"),
        ] {
            assert!(!check(live, name), "{live} {name}");
        }
    }
}
