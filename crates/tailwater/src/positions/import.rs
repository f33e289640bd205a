//! Promtail's positions as positions of ours.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tailwater_engine::{EngineConfig, SourceConfig};
use tailwater_position_store::promtail::PromtailFile;
use tailwater_position_store::{FileKey, Position, PositionStore};
use tailwater_record::{FileIdentity, Fingerprint, WINDOW_BYTES};
use tailwater_tailer::AllowedRoots;
use tailwater_tailer::open::{OpenError, OpenedLog, open_log};

use super::decide::{self, Decision, Facts, decide};
use super::generations::{Generation, Listing, facts_of};
use super::line_start;
use super::summary::{Outcome, Summary};

#[cfg(test)]
mod tests;

/// Endings of files that Promtail unpacks and counts the lines of.
const ARCHIVES: [&str; 4] = [".gz", ".z", ".bz2", ".zip"];

/// What is done where the store has a position already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// It stays: it is newer than Promtail's.
    Keep,
    /// It is replaced.
    Replace,
}

/// Enters the positions of a positions file into the store, for every sink of the configuration. Nothing
/// is durable before the store's next group is.
///
/// `tell` hears of every entry. Reads the head of each file and what stands before its offset, no more.
pub(super) fn import(
    config: &EngineConfig,
    file: &PromtailFile,
    store: &mut PositionStore,
    known: Known,
    mut tell: impl FnMut(&Path, Outcome),
) -> Summary {
    let mut import = Import {
        config,
        roots: roots_of(config),
        tracked: tracked(file),
        saved_ns: file.saved_ns.unwrap_or(0),
        known,
        listing: Listing::default(),
        entered: HashMap::new(),
        restarted: Vec::new(),
        store,
    };
    let mut summary = Summary::new(file.positions.cursors);
    let mut add = |path: &Path, outcome: Outcome| {
        tell(path, outcome);
        summary.add(outcome);
    };
    for path in &file.positions.refused {
        let is_read = import.source_of(&absolute(path)).is_some();
        let outcome = if is_read {
            Outcome::NoNumber
        } else {
            Outcome::NotRead
        };
        add(path, outcome);
    }
    for (path, offset) in &file.positions.offsets {
        let path = absolute(path);
        add(&path, import.entry(&path, *offset));
    }
    import.restart();
    summary
}

/// Returns the directories that links may lead into, as the agent has them.
fn roots_of(config: &EngineConfig) -> AllowedRoots {
    let sources = config.sources.iter();
    let named = sources.flat_map(|source| source.patterns.roots());
    let listed = config.tailing.allowed_roots.iter();
    AllowedRoots::new(
        named
            .map(|root| root.dir.as_path())
            .chain(listed.map(PathBuf::as_path)),
    )
}

fn tracked(file: &PromtailFile) -> HashSet<PathBuf> {
    let paths = file.positions.offsets.keys();
    paths.map(|path| absolute(path)).collect()
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_no_directory| path.to_owned())
}

/// One import on its way.
struct Import<'a> {
    config: &'a EngineConfig,
    roots: AllowedRoots,
    /// Paths that have an entry of their own.
    tracked: HashSet<PathBuf>,
    saved_ns: u64,
    known: Known,
    listing: Listing,
    /// What was entered by this import, and where.
    entered: HashMap<FileKey, u64>,
    /// Files that start at 0 unless another entry is about them: the path, and the path of the entry.
    restarted: Vec<(PathBuf, PathBuf)>,
    store: &'a mut PositionStore,
}

impl Import<'_> {
    fn source_of(&self, path: &Path) -> Option<&SourceConfig> {
        let mut sources = self.config.sources.iter();
        sources.find(|source| source.patterns.matches(path))
    }

    fn entry(&mut self, path: &Path, offset: u64) -> Outcome {
        if self.source_of(path).is_none() {
            return Outcome::NotRead;
        }
        let name = path.as_os_str().as_encoded_bytes();
        if ARCHIVES
            .iter()
            .any(|ending| name.ends_with(ending.as_bytes()))
        {
            return Outcome::Archive;
        }
        let live = match open_log(path, &self.roots) {
            Ok(live) => Some(live),
            Err(OpenError::NotFound { .. }) => None,
            Err(_refused_by_the_agent_too) => return Outcome::Unreadable,
        };
        let facts = live.as_ref().and_then(|live| live.file.metadata().ok());
        let facts = facts.map(|metadata| facts_of(&metadata));
        let generations = self.generations(path, offset, facts.as_ref());
        let generation_facts: Vec<Facts> = generations.iter().map(|found| found.facts).collect();
        match decide(offset, self.saved_ns, facts.as_ref(), &generation_facts) {
            Decision::Here => match live {
                Some(live) => self.resume(path, &live, offset),
                None => Outcome::Missing,
            },
            Decision::Rotated { generation, unseen } => self.resume_rotated(
                path,
                offset,
                generations.get(generation),
                &unseen,
                &generations,
            ),
            Decision::Unclear { generations: these } => {
                self.start_all(path, &these, &generations);
                Outcome::ReadAgain
            }
            Decision::Restarted { unseen } => {
                self.start_all(path, &unseen, &generations);
                if live.is_some() {
                    self.restarted.push((path.to_owned(), path.to_owned()));
                }
                Outcome::Restarted
            }
            Decision::Missing => Outcome::Missing,
        }
    }

    /// Looks for generations where the file at the path does not settle it.
    fn generations(&mut self, path: &Path, offset: u64, live: Option<&Facts>) -> Vec<Generation> {
        if decide::is_settled(offset, self.saved_ns, live) {
            return Vec::new();
        }
        let tracked = &self.tracked;
        let mut found = self
            .listing
            .generations_of(path, |path| tracked.contains(path));
        for generation in &mut found {
            let facts = &mut generation.facts;
            if facts.is_archive || facts.len < offset {
                continue;
            }
            let opened = open_log(&generation.path, &self.roots).ok();
            let position = opened.and_then(|opened| self.position_in(path, &opened, offset).ok());
            facts.has_line_at_offset = position.is_some_and(|position| position.offset == offset);
        }
        found
    }

    fn resume(&mut self, path: &Path, opened: &OpenedLog, offset: u64) -> Outcome {
        let Ok(position) = self.position_in(path, opened, offset) else {
            return Outcome::Unreadable;
        };
        let outcome = self.enter(path, opened, position);
        if outcome == Outcome::Resumed && position.offset != offset {
            return Outcome::ResumedAtLineStart;
        }
        outcome
    }

    /// Enters a generation under the path that Promtail read it by: the agent finds it by its inode,
    /// whatever it is called, and then the file that has the path now.
    fn resume_rotated(
        &mut self,
        path: &Path,
        offset: u64,
        generation: Option<&Generation>,
        unseen: &[usize],
        generations: &[Generation],
    ) -> Outcome {
        let opened = generation.and_then(|found| open_log(&found.path, &self.roots).ok());
        let Some(opened) = opened else {
            return Outcome::Unreadable;
        };
        let outcome = self.resume(path, &opened, offset);
        self.start_all(path, unseen, generations);
        if matches!(outcome, Outcome::Resumed | Outcome::ResumedAtLineStart) {
            return Outcome::ResumedInRotated;
        }
        outcome
    }

    fn start_all(&mut self, path: &Path, these: &[usize], generations: &[Generation]) {
        let found = these.iter().filter_map(|index| generations.get(*index));
        let paths = found.map(|found| (found.path.clone(), path.to_owned()));
        self.restarted.extend(paths);
    }

    /// Enters files at their start: the agent would not find generations otherwise, and would begin at
    /// the end of a file that it takes for one it has never seen. A file that another entry is about goes
    /// on where that one says.
    fn restart(&mut self) {
        for (path, entry) in std::mem::take(&mut self.restarted) {
            let Ok(opened) = open_log(&path, &self.roots) else {
                continue;
            };
            let key = self.find(&identity_of(&opened), &opened);
            if key.is_none_or(|key| !self.entered.contains_key(&key)) {
                self.enter(&entry, &opened, Position::default());
            }
        }
    }

    fn position_in(
        &self,
        path: &Path,
        opened: &OpenedLog,
        offset: u64,
    ) -> std::io::Result<Position> {
        let encoding = self.source_of(path).map(|source| source.frame.encoding);
        let head = head_of(&opened.file);
        line_start::find(
            &opened.file,
            offset,
            encoding.unwrap_or_default().resolve(&head),
        )
    }

    /// Returns what is stored of a file, by the same measure as when the agent finds it.
    fn find(&self, identity: &FileIdentity, opened: &OpenedLog) -> Option<FileKey> {
        let head = head_of(&opened.file);
        let stored = self.store.find(identity.device, identity.inode);
        stored
            .filter(|stored| stored.identity.fingerprint.matches_head(&head))
            .max_by_key(|stored| stored.identity.fingerprint.len)
            .map(|stored| stored.key)
    }

    /// Returns the names of a sink's positions in a file: its own, and those of its sources.
    fn positions_of(&self, key: FileKey, sink: &str) -> Vec<Arc<str>> {
        let stored = self.store.get(key).map(|stored| &stored.positions);
        let names = stored.into_iter().flatten().map(|stored| &stored.sink);
        let is_its = |name: &&Arc<str>| name.split('/').next() == Some(sink);
        names.filter(is_its).cloned().collect()
    }

    fn enter(&mut self, path: &Path, opened: &OpenedLog, position: Position) -> Outcome {
        let identity = identity_of(opened);
        let key = match self.find(&identity, opened) {
            Some(key) => key,
            None => match self.store.insert(identity, path, self.saved_ns) {
                Ok(key) => key,
                Err(_full) => return Outcome::NoRoom,
            },
        };
        // Two entries can be about one file, of which one is out of date: the lines between come twice.
        let entered = self.entered.get(&key).copied();
        if entered.is_some_and(|offset| offset <= position.offset) {
            return Outcome::Resumed;
        }
        let is_replaced = entered.is_some() || self.known == Known::Replace;
        let mut has_entered = false;
        for sink in &self.config.sinks {
            let stored = self.positions_of(key, &sink.name);
            if !stored.is_empty() && !is_replaced {
                continue;
            }
            // By the sink alone: every source that reads the file begins there.
            self.store.remove_positions(key, &stored);
            self.store
                .set_position(key, &sink.name, position, self.saved_ns);
            has_entered = true;
        }
        if !has_entered {
            return Outcome::Known;
        }
        self.store.set_path(key, path);
        self.store.set_identity(key, identity);
        self.entered.insert(key, position.offset);
        Outcome::Resumed
    }
}

fn identity_of(opened: &OpenedLog) -> FileIdentity {
    FileIdentity {
        device: opened.device,
        inode: opened.inode,
        fingerprint: Fingerprint::of_head(&head_of(&opened.file)),
    }
}

/// Reads the first bytes of a file; none where it cannot be read.
fn head_of(file: &File) -> Vec<u8> {
    let mut head = vec![0; usize::from(WINDOW_BYTES)];
    let mut filled = 0;
    while let Some(rest) = head.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, u64::try_from(filled).unwrap_or(0)) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    head.truncate(filled);
    head
}
