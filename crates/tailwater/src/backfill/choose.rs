//! From the files that were found to those that are read, in their order.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tailwater_engine::Chain;
use tailwater_tailer::pattern::{Found, WalkError};
use tailwater_tailer::{AllowedRoots, ListedFile};

use super::content::{self, Relation};
use super::find::Selection;
use super::order::{self, Log};
use super::stored::Stored;
use crate::config::Config;

/// Why a file that was found is not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Skipped {
    pub(super) path: PathBuf,
    pub(super) reason: SkipReason,
}

/// Why a file that was found is not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SkipReason {
    /// The agent on the data directory follows it, for the same sink.
    Followed,
    /// The agent writes it.
    Own,
    /// Another one holds all that it holds.
    Copy(PathBuf),
}

impl SkipReason {
    /// Says it, as what is behind the path.
    pub(super) fn words(&self) -> String {
        match self {
            Self::Followed => "the agent follows it and delivers it".to_owned(),
            Self::Own => "the agent writes it".to_owned(),
            Self::Copy(of) => format!("its content is in {}", crate::check::printable(of)),
        }
    }
}

/// What is read, and what is not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Chosen {
    pub(super) logs: Vec<Log>,
    pub(super) skipped: Vec<Skipped>,
    pub(super) unreadable: Vec<WalkError>,
}

/// Directories that files may really lie in: those of the source, and those that the configuration allows.
pub(super) fn roots(config: &Config) -> AllowedRoots {
    let engine = &config.engine;
    let sources = engine.sources.iter();
    let named = sources.flat_map(|source| source.patterns.roots());
    let named = named.map(|root| root.dir.as_path());
    AllowedRoots::new(named.chain(engine.tailing.allowed_roots.iter().map(PathBuf::as_path)))
}

/// Chooses. `followed` are the positions of the agent; `None` where they do not count.
pub(super) fn choose(
    config: &Config,
    selection: Selection,
    followed: Option<&Stored>,
    roots: &AllowedRoots,
) -> Chosen {
    let mut skipped = Vec::new();
    let own = &config.engine.tailing.excluded_paths;
    let followed = followed.filter(|followed| !followed.is_empty());
    let skip_reason = |file: &Found| {
        if own.iter().any(|own| file.path.starts_with(own)) {
            return Some(SkipReason::Own);
        }
        let followed = followed?;
        let opened = content::open(&file.path, roots).ok()?;
        followed
            .is_followed(&opened)
            .then_some(SkipReason::Followed)
    };
    let mut files = Vec::new();
    for file in selection.files {
        match skip_reason(&file) {
            Some(reason) => skipped.push(Skipped {
                path: file.path,
                reason,
            }),
            None => files.push(file),
        }
    }
    let mut logs = order::logs(files);
    for log in &mut logs {
        skipped.extend(remove_copies(log, roots));
    }
    logs.retain(|log| !log.files.is_empty());
    Chosen {
        logs,
        skipped,
        unreadable: selection.unreadable,
    }
}

impl Chosen {
    /// Returns the files as the engine reads them.
    pub(super) fn chains(&self) -> Vec<Chain> {
        let files = |log: &Log| log.files.iter().map(|file| file.path.clone()).collect();
        self.logs
            .iter()
            .map(|log| Chain {
                source: 0,
                path: log.live.clone(),
                files: files(log),
            })
            .collect()
    }

    /// Returns whether a file of this path is, or was, one of these logs.
    pub(super) fn has_log_of(&self, path: &Path) -> bool {
        let live = order::live_path(path, &order::name_of(path).live);
        self.logs
            .iter()
            .any(|log| log.live == live || log.files.iter().any(|file| file.path == path))
    }
}

/// Takes files out of a log whose content another one of the same name has: `app.log.1` beside `app.log.1.gz` while
/// it is compressed. Where both hold the same, the archive stays: the other one is about to go.
fn remove_copies(log: &mut Log, roots: &AllowedRoots) -> Vec<Skipped> {
    let mut twins: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
    for file in &log.files {
        let twins = twins.entry(bare(&file.path)).or_default();
        twins.push(file.path.clone());
    }
    let mut skipped = Vec::new();
    for paths in twins.into_values().filter(|paths| paths.len() > 1) {
        skipped.extend(copies_among(paths, roots));
    }
    log.files
        .retain(|file| !skipped.iter().any(|copy| copy.path == file.path));
    skipped
}

fn copies_among(mut paths: Vec<PathBuf>, roots: &AllowedRoots) -> Vec<Skipped> {
    // The plain one last.
    paths.sort_by_key(|path| std::cmp::Reverse(path.as_os_str().len()));
    let mut kept: Vec<(PathBuf, ListedFile)> = Vec::new();
    let mut skipped = Vec::new();
    for path in paths {
        let Ok(file) = content::open(&path, roots) else {
            continue;
        };
        let relations = kept
            .iter()
            .map(|(_, known)| content::compare(known, &file).unwrap_or(Relation::Different));
        let relations: Vec<Relation> = relations.collect();
        let holder = relations
            .iter()
            .position(|known| matches!(known, Relation::Equal | Relation::SecondIsShorter));
        if let Some((of, _)) = holder.and_then(|holder| kept.get(holder)) {
            skipped.push(copy(path, of));
            continue;
        }
        let mut relations = relations.into_iter();
        kept.retain(|(known, _)| {
            let is_shorter = relations.next() == Some(Relation::FirstIsShorter);
            if is_shorter {
                skipped.push(copy(known.clone(), &path));
            }
            !is_shorter
        });
        kept.push((path, file));
    }
    skipped
}

fn copy(path: PathBuf, of: &Path) -> Skipped {
    let reason = SkipReason::Copy(of.to_owned());
    Skipped { path, reason }
}

/// Returns a path without the ending of a compressed file.
fn bare(path: &Path) -> PathBuf {
    if order::name_of(path).is_compressed {
        path.with_extension("")
    } else {
        path.to_owned()
    }
}

#[cfg(test)]
mod tests;
