//! Opening the files of a chain, finding where earlier runs left off, and ending them.

use std::path::Path;
use std::sync::Arc;

use tailwater_position_store::{FileKey, Position, StoredFile};
use tailwater_record::{CursorId, FileId, Marker, WINDOW_BYTES};
use tailwater_tailer::{Chunk, ChunkEnd, FrameState, ListedFile, Now, ResolvedEncoding};

use super::blocks::{Block, Blocks, Check, End, Found};
use super::redo::RedoSpan;
use super::{ChainReader, Ended, meant};
use crate::backfill::{Entry, FileState};
use crate::checkpoint::error_chain;
use crate::ledger::{Account, Progress};
use crate::pipeline::inherit::{Starts, starts};
use crate::pipeline::routing::route_labels;
use crate::pipeline::slot::Slot;
use crate::pipeline::staged::Workshop;
use crate::route::{LeveledLabels, Route};

/// The file that is read.
#[derive(Debug)]
pub(super) struct OpenedFile {
    /// Its entry on the board.
    pub(super) index: usize,
    pub(super) source: usize,
    /// Its number for the books.
    pub(super) content: FileId,
    pub(super) encoding: ResolvedEncoding,
    pub(super) blocks: Blocks,
    /// It is known where it begins, and its cursors are there.
    pub(super) is_started: bool,
    pub(super) cursors: Vec<Tap>,
    file: ListedFile,
    path: Arc<Path>,
    known: Vec<KnownFile>,
}

/// What is stored of a file that may be this one.
#[derive(Debug)]
struct KnownFile {
    stored: StoredFile,
    starts: Starts,
}

/// A cursor: one route's reader in the file.
#[derive(Debug)]
pub(super) struct Tap {
    pub(super) route: Route,
    /// The next byte to frame.
    pub(super) offset: u64,
    pub(super) marker: Marker,
    pub(super) frame: FrameState,
    /// Where it began in this run.
    start: u64,
    pub(super) lines: u64,
    /// Whether there may be something to frame.
    pub(super) is_behind: bool,
    /// The content whose open groups its first lines may join.
    pub(super) joins: Option<FileId>,
    /// What is read again as it was in flight when an earlier run ended.
    pub(super) redo: Option<RedoSpan>,
}

impl OpenedFile {
    /// Goes on with the next block, where there is one.
    pub(super) fn advance(&mut self) -> bool {
        let end = self.blocks.block.end_offset();
        let least = self.offset().min(end);
        let has_more = self
            .blocks
            .advance(least.saturating_sub(u64::from(WINDOW_BYTES)));
        if has_more {
            self.cursors.iter_mut().for_each(|tap| tap.is_behind = true);
        }
        has_more
    }

    /// Returns up to where all cursors are.
    pub(super) fn offset(&self) -> u64 {
        let offsets = self.cursors.iter().map(|tap| tap.offset);
        offsets.min().unwrap_or(u64::MAX)
    }

    /// Returns whether lines of it were read in this run.
    fn has_moved(&self) -> bool {
        self.cursors.iter().any(|tap| tap.offset > tap.start)
    }
}

impl Tap {
    /// Returns the bytes from where it is on; `None` where the block does not reach it.
    pub(super) fn chunk<'b>(&self, block: &'b Block) -> Option<Chunk<'b>> {
        let end = match block.end {
            Some(End::Whole | End::Damaged(_)) => ChunkEnd::Finished,
            Some(End::Failed(_)) | None => ChunkEnd::MoreMayFollow,
        };
        let chunk = Chunk::of_listed(block.around(self.offset)?, self.offset, end);
        Some(match &self.redo {
            Some(span) => chunk.until(span.end),
            None => chunk,
        })
    }
}

impl ChainReader {
    /// Opens the next file there is; returns whether there was anything to do.
    pub(super) fn open_next(&mut self, now: Now) -> bool {
        let Some(chain) = &mut self.chain else {
            self.chain = self.shared.board.take_chain();
            if self.chain.is_none() {
                self.guard = None;
            }
            return self.chain.is_some();
        };
        let source = chain.source;
        let Some(index) = chain.files.next() else {
            self.end_chain();
            return true;
        };
        let board = Arc::clone(&self.shared.board);
        if let Some(entry) = board.files.get(index) {
            entry.set_state(FileState::Reading);
            if let Err(state) = self.open(index, entry, source, now) {
                self.pass_over(entry, state);
            }
        }
        true
    }

    /// Nothing is read of a file: what is open of the one before ends there.
    fn pass_over(&mut self, entry: &Entry, state: FileState) {
        self.finish_groups();
        if let FileState::Unreadable(reason) = &state {
            tracing::error!(path = %entry.path.display(), reason, "file cannot be read, others go on");
        }
        entry.set_state(state);
    }

    /// Seals everything: a batch holds lines of one chain.
    fn end_chain(&mut self) {
        self.finish_groups();
        for slot in 0..self.slots.len() {
            self.end_redo_of(slot);
            self.seal(slot);
        }
        self.chain = None;
    }

    /// Opens a file and starts to read it.
    ///
    /// # Errors
    /// What becomes of it where nothing is read of it.
    fn open(
        &mut self,
        index: usize,
        entry: &Entry,
        source: usize,
        now: Now,
    ) -> Result<(), FileState> {
        let unreadable = |error: &dyn std::error::Error| FileState::Unreadable(error_chain(error));
        let file = meant::open(entry, &self.plan.roots)?;
        let mut excluded = self.plan.limits.excluded_paths.iter();
        if excluded.any(|excluded| file.real_path().starts_with(excluded)) {
            let reason = "it is one of the agent's own files".to_owned();
            return Err(FileState::Unreadable(reason));
        }
        if let Some(packed) = file.packed_as() {
            let reason = format!("it is {packed}, which is not read: unpack it first");
            return Err(FileState::Unreadable(reason));
        }
        entry.begin(file.len(), 0);
        if file.is_empty() {
            entry.set_state(FileState::Whole);
            return Ok(());
        }
        let path: Arc<Path> = entry.path.as_path().into();
        let known = self.known_files(&file, &path, source);
        if let Some(known) = known.iter().find(|known| known.is_delivered(&file)) {
            let offset = known.from();
            entry.begin(file.len(), offset);
            entry.note_decoded(offset);
            return Err(FileState::AlreadyDelivered);
        }
        let checks = known.iter().map(KnownFile::check).collect();
        let waker = self.waker.clone();
        let blocks = Blocks::start(file.clone(), checks, self.plan.max_line_bytes, waker)
            .map_err(|e| unreadable(&e))?;
        let encoding = self
            .plan
            .sources
            .get(source)
            .map(|source| source.frame.encoding);
        self.next_id += 1;
        self.opened = Some(OpenedFile {
            index,
            source,
            content: FileId(self.next_id),
            encoding: encoding.unwrap_or_default().resolve(file.head()),
            blocks,
            is_started: false,
            cursors: Vec::new(),
            file,
            path,
            known,
        });
        if self
            .opened
            .as_ref()
            .is_some_and(|opened| opened.known.is_empty())
        {
            self.start_file(Found::None, now);
        }
        Ok(())
    }

    /// Returns what is stored that a file may be, with where each route would start.
    fn known_files(&self, file: &ListedFile, path: &Path, source: usize) -> Vec<KnownFile> {
        let positions = &self.desk.positions;
        let lookup = &self.shared.lookup;
        let candidates = lookup.candidates(positions, file, path, &self.plan.roots);
        // A position is left over where no source has it, whichever of them the file is read for now.
        let sources = self.plan.sources.iter().enumerate();
        let routes = sources
            .flat_map(|(index, source)| source.feeds.iter().map(move |feed| (index, &feed.name)));
        let routes: Vec<(usize, &Arc<str>)> = routes.collect();
        let names: Vec<&Arc<str>> = routes.iter().map(|(_, name)| *name).collect();
        let known = candidates.into_iter().map(|stored| {
            let positions = stored.positions.iter();
            let positions: Vec<(Arc<str>, Position)> = positions
                .map(|known| (Arc::clone(&known.sink), known.position))
                .collect();
            let mut starts = starts(&positions, &names);
            let own = routes.iter().zip(std::mem::take(&mut starts.positions));
            let own = own.filter(|((index, _), _)| *index == source);
            starts.positions = own.map(|(_, start)| start).collect();
            KnownFile { stored, starts }
        });
        known.collect()
    }

    /// Gives the file its cursors: those of the stored file that it is, or new ones.
    pub(super) fn start_file(&mut self, found: Found, now: Now) {
        let Some(mut opened) = self.opened.take() else {
            return;
        };
        let mut known = std::mem::take(&mut opened.known);
        let known = match found {
            Found::Check(index) if index < known.len() => Some(known.swap_remove(index)),
            Found::Check(_) | Found::None => None,
        };
        let identity = opened.file.identity();
        let positions = &self.desk.positions;
        let key = match &known {
            Some(known) => {
                let key = known.stored.key;
                self.shared.lookup.claim(key);
                positions.move_to(key, identity, &opened.path);
                Some(key)
            }
            None => positions.enter(identity, &opened.path, now.unix_ns),
        };
        let board = Arc::clone(&self.shared.board);
        let (Some(key), Some(entry)) = (key, board.files.get(opened.index)) else {
            let reason = "there is no room for its position".to_owned();
            if let Some(entry) = board.files.get(opened.index) {
                self.pass_over(entry, FileState::Unreadable(reason));
            }
            return;
        };
        let starts = known.map(|known| known.starts).unwrap_or_default();
        self.open_taps(&mut opened, key, &starts);
        let from = opened.cursors.iter().map(|tap| tap.offset).min();
        let from = from.unwrap_or(0);
        if from > 0 {
            self.finish_groups();
        }
        let joins = self.unfinished;
        for tap in opened.cursors.iter_mut().filter(|tap| tap.offset == 0) {
            tap.joins = joins;
        }
        entry.begin(opened.file.len(), from);
        opened.is_started = true;
        self.opened = Some(opened);
    }

    /// Opens a cursor for each route of the source.
    fn open_taps(&mut self, opened: &mut OpenedFile, key: FileKey, starts: &Starts) {
        let source = self.plan.sources.get(opened.source);
        let feeds = source
            .map(|source| source.feeds.clone())
            .unwrap_or_default();
        let label = self.chain.as_ref().map(|chain| Arc::clone(&chain.path));
        let label = label.unwrap_or_else(|| Arc::clone(&opened.path));
        for (index, feed) in feeds.iter().enumerate() {
            let known = starts.positions.get(index).copied().flatten();
            let (batch, workshop) = (
                self.slot_of(feed.lane),
                self.workshop_of(opened.source, feed.lane),
            );
            let (Some(source), Some(end), Some(batch)) = (
                self.plan.sources.get(opened.source),
                self.plan.lane(feed.lane),
                batch,
            ) else {
                continue;
            };
            let cursor = CursorId {
                file: opened.content,
                sink: feed.lane,
                reader: u32::try_from(index).unwrap_or(u32::MAX),
            };
            let position = known.unwrap_or_default();
            if known.is_none() {
                self.desk.positions.remember(key, &feed.name, position);
            }
            let route = Route {
                cursor,
                name: Arc::clone(&feed.name),
                labels: route_labels(source, end, &label),
                leveled: LeveledLabels::default(),
                book: self.desk.books.route(&source.name, &end.outlet.name),
                key,
                content_number: self.desk.positions.content_number(),
                progress: Arc::new(Progress::default()),
                batch,
                workshop,
            };
            opened.cursors.push(Tap::new(route, position));
        }
        // The heirs are entered first: whatever a checkpoint holds, nothing is sent from the start.
        self.desk.positions.remove(key, &starts.taken_over);
        let epoch = self.desk.positions.epoch(key);
        for Tap { route, offset, .. } in &opened.cursors {
            let account = Account {
                route: route.book,
                name: Arc::clone(&route.name),
                key,
                epoch,
                path: Arc::clone(&opened.path),
                progress: Arc::clone(&route.progress),
            };
            self.desk.ledger.open(route.cursor, account, *offset);
        }
    }

    /// Returns the open batch for the lines of a lane, opening it where there is none.
    fn slot_of(&mut self, sink: u32) -> Option<usize> {
        Slot::find_or_open(&mut self.slots, &self.plan, sink, self.stamps.step)
    }

    /// Returns the stages of a source for a lane, setting them up where they are not; `None` where the
    /// source has none.
    fn workshop_of(&mut self, source: usize, sink: u32) -> Option<usize> {
        let index = Workshop::find_or_set_up(&mut self.workshops, &self.plan, source, sink)?;
        self.workshops.get_mut(index)?.set_patient();
        Some(index)
    }

    /// Closes a file that was read as far as it can be.
    pub(super) fn end_file(&mut self) {
        let Some(mut opened) = self.opened.take() else {
            return;
        };
        let Some(end) = opened.blocks.block.end.clone() else {
            return;
        };
        let has_moved = opened.has_moved();
        let is_noted = end == End::Whole && opened.file.compression().is_some();
        for tap in &mut opened.cursors {
            // The file ends before what is read again does.
            if tap.redo.take().is_some() {
                self.end_span(tap.route.batch, false);
            }
            self.ended.push(tap.ended(is_noted));
        }
        if has_moved {
            self.unfinished = Some(opened.content);
        }
        let board = Arc::clone(&self.shared.board);
        let Some(entry) = board.files.get(opened.index) else {
            return;
        };
        if !matches!(end, End::Failed(_)) {
            entry.note_decoded(opened.blocks.block.end_offset());
        }
        let path = &opened.path;
        let state = match end {
            End::Whole if !has_moved && opened.cursors.iter().any(|tap| tap.start > 0) => {
                FileState::AlreadyDelivered
            }
            End::Whole => FileState::Whole,
            End::Damaged(damage) => {
                let offset = opened.blocks.block.end_offset();
                tracing::error!(path = %path.display(), offset, reason = damage.as_str(), "archive is damaged, what could be decoded before is delivered");
                self.note_damage();
                self.finish_groups();
                FileState::Damaged(damage)
            }
            End::Failed(reason) => {
                tracing::error!(path = %path.display(), reason, "file cannot be read further, others go on");
                self.forget_groups();
                FileState::Unreadable(reason)
            }
        };
        entry.set_state(state);
        (0..self.slots.len()).for_each(|slot| self.seal_if_redone(slot));
    }

    fn note_damage(&self) {
        let mut tailing = self
            .tailing
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        tailing.damaged_archives += 1;
    }

    /// Gives up the open groups: their lines are read again by the next run.
    fn forget_groups(&mut self) {
        self.unfinished = None;
        for workshop in &mut self.workshops {
            drop(workshop.take_back());
        }
    }
}

impl Tap {
    fn new(route: Route, position: Position) -> Self {
        let stored = FrameState::from_code(position.place);
        Self {
            route,
            offset: position.offset,
            marker: position.marker,
            // An archive that was written to since is looked through for more.
            frame: if stored.is_archive_end() {
                FrameState::default()
            } else {
                stored
            },
            start: position.offset,
            lines: 0,
            is_behind: false,
            joins: None,
            redo: None,
        }
    }

    /// Returns whether all of what is read again is framed.
    pub(super) fn is_span_over(&self) -> bool {
        let span = self.redo.as_ref();
        span.is_some_and(|span| self.offset >= span.end)
    }

    fn ended(&self, is_noted: bool) -> Ended {
        Ended {
            cursor: self.route.cursor,
            key: self.route.key,
            name: Arc::clone(&self.route.name),
            progress: Arc::clone(&self.route.progress),
            end: Position {
                offset: self.offset,
                marker: self.marker,
                place: FrameState::at_archive_end().code(),
            },
            is_noted,
        }
    }
}

impl KnownFile {
    /// Returns where the file would be read from.
    fn from(&self) -> u64 {
        let offset = |start: &Option<Position>| start.map_or(0, |start| start.offset);
        self.starts.positions.iter().map(offset).min().unwrap_or(0)
    }

    fn check(&self) -> Check {
        let known = self.starts.positions.iter().flatten();
        let places = known.map(|start| (start.offset, start.marker));
        Check {
            places: places.filter(|(offset, _)| *offset > 0).collect(),
            from: self.from(),
        }
    }

    /// Returns whether an earlier run has delivered all of an archive that was not written to since.
    fn is_delivered(&self, file: &ListedFile) -> bool {
        let mut starts = self.starts.positions.iter();
        let is_at_end = |start: &Option<Position>| {
            start.is_some_and(|start| FrameState::from_code(start.place).is_archive_end())
        };
        let (stored, found) = (self.stored.identity, file.identity());
        file.compression().is_some()
            && (stored.device, stored.inode) == (found.device, found.inode)
            && file.modified_ns() < self.stored.updated_ns
            && starts.all(is_at_end)
    }
}
