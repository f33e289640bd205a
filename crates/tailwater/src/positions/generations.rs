//! The files beside a log file whose names rotation gives, and what is known of them.

use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use tailwater_tailer::{Age, is_rotated_name};

use super::decide::Facts;

/// Names of one directory that are looked at.
const MAX_NAMES: usize = 1_000_000;

/// Generations of one file that are looked at: the youngest.
const MAX_GENERATIONS: usize = 1_000;

/// Endings of archives.
const ARCHIVES: [&str; 6] = [".gz", ".zst", ".bz2", ".xz", ".lz4", ".zip"];

/// A file that may be a generation of another.
#[derive(Clone, Debug)]
pub(super) struct Generation {
    pub(super) path: PathBuf,
    /// Whether a line begins at an offset is not looked at here.
    pub(super) facts: Facts,
}

/// The names in the directory that was asked for last: entries come in the order of their paths.
#[derive(Debug, Default)]
pub(super) struct Listing {
    directory: PathBuf,
    names: Vec<OsString>,
}

impl Listing {
    /// Returns the generations of a file, the oldest first. What cannot be looked at is left out.
    pub(super) fn generations_of(
        &mut self,
        path: &Path,
        is_of_another: impl Fn(&Path) -> bool,
    ) -> Vec<Generation> {
        let (Some(directory), Some(live)) = (path.parent(), path.file_name()) else {
            return Vec::new();
        };
        self.list(directory);
        let stem = stem_of(live);
        let first = self
            .names
            .partition_point(|name| name.as_bytes() < stem.as_bytes());
        let beside = self.names.get(first..).unwrap_or_default().iter();
        let mut found: Vec<(Age, Generation)> = beside
            .take_while(|name| name.as_bytes().starts_with(stem.as_bytes()))
            .filter_map(|name| {
                let is_archive = is_generation(live, name)?;
                let path = directory.join(name);
                // `app-2.log` may be a log of its own beside `app.log`; `app.log.2` is not.
                let has_own_ending = !name.as_bytes().starts_with(live.as_bytes());
                if has_own_ending && is_of_another(&path) {
                    return None;
                }
                let metadata = fs::symlink_metadata(&path).ok()?;
                let facts = Facts {
                    is_archive,
                    ..facts_of(&metadata)
                };
                let age = Age::of(live, name, facts.modified_ns);
                metadata
                    .is_file()
                    .then_some((age, Generation { path, facts }))
            })
            .collect();
        found.sort_by_key(|(age, _)| *age);
        let surplus = found.len().saturating_sub(MAX_GENERATIONS);
        let found = found.into_iter().skip(surplus);
        found.map(|(_, generation)| generation).collect()
    }

    fn list(&mut self, directory: &Path) {
        if self.directory == directory {
            return;
        }
        directory.clone_into(&mut self.directory);
        self.names = names_in(directory).unwrap_or_default();
        self.names.sort_unstable();
    }
}

fn names_in(directory: &Path) -> io::Result<Vec<OsString>> {
    let entries = fs::read_dir(directory)?.take(MAX_NAMES);
    entries
        .map(|entry| Ok(entry?.file_name()))
        .collect::<io::Result<Vec<OsString>>>()
}

/// Every name that rotation gives to a file begins so.
fn stem_of(live: &OsStr) -> &OsStr {
    let bytes = live.as_bytes();
    let dot = bytes.iter().rposition(|byte| *byte == b'.');
    let stem = dot.and_then(|dot| bytes.get(..dot));
    stem.map_or(live, OsStr::from_bytes)
}

/// Returns whether a name is an archive of a generation, if it is a generation at all.
fn is_generation(live: &OsStr, name: &OsStr) -> Option<bool> {
    if is_rotated_name(live, name) {
        return Some(false);
    }
    let mut endings = ARCHIVES.iter();
    let plain = endings.find_map(|ending| name.as_bytes().strip_suffix(ending.as_bytes()))?;
    is_rotated_name(live, OsStr::from_bytes(plain)).then_some(true)
}

/// Returns what the system says of a file.
pub(super) fn facts_of(metadata: &Metadata) -> Facts {
    Facts {
        len: metadata.len(),
        modified_ns: metadata.modified().map_or(0, ns),
        made_ns: metadata.created().ok().map(ns),
        ..Facts::default()
    }
}

fn ns(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn archives_are_told_from_generations_and_neighbors() {
        let check = |name: &str| is_generation(OsStr::new("app.log"), OsStr::new(name));
        assert_eq!(check("app.log.1"), Some(false));
        assert_eq!(check("app.log-20261121.093000"), Some(false));
        assert_eq!(check("app.log.2.gz"), Some(true));
        assert_eq!(check("app-20261121.log.zst"), Some(true));
        assert_eq!(check("app.log"), None);
        assert_eq!(check("app.log.gz"), None);
        assert_eq!(check("web.log.1"), None);
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "logs of another program")]
    fn generations_come_the_oldest_first_and_without_logs_of_others() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for name in [
            "app.log",
            "app.log.1",
            "app.log.2",
            "app.log.10",
            "app-2.log",
            "app.log.3.gz",
            "apple",
        ] {
            fs::write(at(name), name).unwrap();
        }
        fs::create_dir(at("app.log.4")).unwrap();
        let found =
            Listing::default().generations_of(&at("app.log"), |path| path == at("app-2.log"));
        let paths: Vec<PathBuf> = found.iter().map(|found| found.path.clone()).collect();
        let oldest_first = ["app.log.10", "app.log.3.gz", "app.log.2", "app.log.1"];
        assert_eq!(paths, oldest_first.map(at));
    }
}
