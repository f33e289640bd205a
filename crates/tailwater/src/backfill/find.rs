//! Which files are meant.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use tailwater_tailer::Patterns;
use tailwater_tailer::pattern::{Found, PatternError, WalkError, walk};

use super::order::{self, Place};
use crate::config::{absolute_glob, escaped};
use crate::exit::Failure;

/// Directory entries that are looked at for all globs together.
const MAX_ENTRIES: usize = 10_000_000;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Selection {
    pub(super) files: Vec<Found>,
    /// What should be read and cannot be.
    pub(super) unreadable: Vec<WalkError>,
}

/// Finds what the command line names. A name that is there counts as it is, whatever characters it has.
///
/// # Errors
/// A glob that is none, or that matches no file.
pub(super) fn named(globs: &[String]) -> Result<(Selection, Patterns), Failure> {
    let mut all = Selection::default();
    let mut absolute = Vec::new();
    for glob in globs {
        let is_there = fs::symlink_metadata(glob).is_ok();
        let (above, below) = without_parents(glob).unwrap_or((String::new(), glob));
        let pattern = if is_there {
            absolute_glob(&(literal(&above) + &literal(below)))
        } else {
            absolute_glob(&(literal(&above) + below))
        };
        let patterns = Patterns::new(std::slice::from_ref(&pattern), &[])
            .map_err(|error| Failure::Usage(error.to_string()))?;
        let mut found = walked(&patterns);
        if is_there && found.files.is_empty() && found.unreadable.is_empty() {
            found.unreadable.push(not_a_file(Path::new(glob)));
        }
        if found.files.is_empty() && found.unreadable.is_empty() {
            let glob = glob.escape_debug();
            return Err(Failure::Runtime(anyhow::anyhow!("no file matches {glob}")));
        }
        all.files.extend(found.files);
        all.unreadable.extend(found.unreadable);
        absolute.push(pattern);
    }
    let patterns =
        Patterns::new(&absolute, &[]).map_err(|error| Failure::Usage(error.to_string()))?;
    Ok((all.once(), patterns))
}

/// Takes `..` out of the front of a glob: paths become labels, and are those of the agent from wherever it is run.
fn without_parents(glob: &str) -> Option<(String, &str)> {
    let leading = || glob.starts_with("../").then_some(0);
    let last = glob.rfind("/../").map(|slash| slash + 1);
    let end = last.or_else(leading)? + "..".len();
    let (above, below) = glob.split_at_checked(end)?;
    // One behind a wildcard stays, and is refused.
    let above = fs::canonicalize(above).ok()?;
    Some((above.to_str()?.trim_end_matches('/').to_owned(), below))
}

/// Writes a text as a glob that matches nothing else.
fn literal(text: &str) -> String {
    text.chars().flat_map(escaped).collect()
}

/// Finds what a source includes, and all that was rotated from it, also where the live file is gone.
///
/// # Errors
/// It includes no file.
pub(super) fn of_source(patterns: &Patterns) -> Result<Selection, Failure> {
    let mut all = walked(patterns);
    let logs: BTreeSet<PathBuf> = all.files.iter().map(live_path).collect();
    let around = around(patterns).map_err(|error| Failure::Usage(error.to_string()))?;
    // What cannot be listed was told of by the first walk.
    let beside = walked(&around).files;
    let is_included = |path: &Path| logs.contains(path) || patterns.matches(path);
    all.files.extend(
        beside
            .into_iter()
            .filter(|file| is_rotated_from(&file.path, &is_included)),
    );
    if all.files.is_empty() && all.unreadable.is_empty() {
        let globs = patterns.includes().join(", ");
        let globs = globs.escape_debug();
        return Err(Failure::Runtime(anyhow::anyhow!("no file matches {globs}")));
    }
    Ok(all.once())
}

fn live_path(file: &Found) -> PathBuf {
    order::live_path(&file.path, &order::name_of(&file.path).live)
}

/// Returns globs of all that stands where files of a source can be.
fn around(patterns: &Patterns) -> Result<Patterns, PatternError> {
    let globs = patterns.roots().iter().flat_map(|root| {
        let dir = root.dir.to_string_lossy();
        let dir = literal(dir.trim_end_matches('/'));
        match root.max_depth {
            // A glob with braces can be of several levels.
            Some(depth) => (1..=depth)
                .map(|level| format!("{dir}{}", "/*".repeat(level)))
                .collect(),
            None => vec![format!("{dir}/**/*")],
        }
    });
    Patterns::new(&globs.collect::<Vec<_>>(), &[])
}

/// Returns whether a file is a rotated or compressed one of a log that is included.
fn is_rotated_from(path: &Path, is_included: &dyn Fn(&Path) -> bool) -> bool {
    let name = order::name_of(path);
    let is_rotated = name.place != Place::Live || name.is_compressed;
    if is_rotated && is_included(&order::live_path(path, &name.live)) {
        return true;
    }
    // A glob may name generations: `app-*.log`.
    let is_packed = name.is_compressed && is_included(&path.with_extension(""));
    let within = || name.with_number_within();
    is_packed || within().is_some_and(|(live, _)| is_included(&order::live_path(path, &live)))
}

fn walked(patterns: &Patterns) -> Selection {
    let (files, unreadable) = walk(patterns, MAX_ENTRIES);
    Selection { files, unreadable }
}

fn not_a_file(path: &Path) -> WalkError {
    let reason = match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => {
            "it is a directory: name its files, as with `/*` behind it".to_owned()
        }
        Ok(_) => "it is not a regular file".to_owned(),
        Err(error) => error.to_string(),
    };
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    WalkError { path, reason }
}

impl Selection {
    /// Leaves out what stands there twice, also under another name.
    fn once(mut self) -> Self {
        self.files.sort_by(|one, other| one.path.cmp(&other.path));
        let mut seen = HashSet::new();
        self.files.retain(|file| {
            fs::metadata(&file.path).map_or(true, |found| seen.insert((found.dev(), found.ino())))
        });
        self.unreadable
            .sort_by(|one, other| one.path.cmp(&other.path));
        self.unreadable.dedup();
        self
    }
}

#[cfg(test)]
mod tests;
