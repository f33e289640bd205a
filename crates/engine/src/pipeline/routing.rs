//! Giving files their cursors, and cursors their way.

use std::path::Path;
use std::sync::Arc;

use tailwater_position_store::{FileKey, Position};
use tailwater_record::{CursorId, LabelSet};
use tailwater_tailer::file::seek_end;
use tailwater_tailer::{Cursor, FrameState, Now, ReadBuffer};

use super::inherit::{Stored, starts};
use super::slot::Slot;
use super::staged::Workshop;
use super::{Pipeline, unix_ns};
use crate::config::ReadFrom;
use crate::ledger::{Account, Progress};
use crate::rate::Allowance;
use crate::route::{Feed, LeveledLabels, Plan, Route, SinkEnd, SourceEnd, labels_of, with_labels};

/// A route of a file: the index of its source, and its way to its lane.
type FileRoute = (usize, Feed);

impl Pipeline {
    /// Gives a new file a cursor for each route of its sources, where earlier runs left off.
    pub(super) fn open_cursors(&mut self, id: u64, at_start: bool, now: Now) {
        let Some(file) = self.tailer.file_mut(id) else {
            return;
        };
        let path = Arc::clone(&file.path);
        let (key, stored) = self.desk.positions.recall(file, now.unix_ns);
        let Some(key) = key else { return };
        file.identity_changed = false;
        let routes = self.routes_of(&path);
        let is_new_to_a_known_host = at_start && self.desk.positions.was_empty();
        self.open_routes(id, key, &stored, &routes, is_new_to_a_known_host);
        if let Some(file) = self.tailer.file_mut(id) {
            file.drop_head();
        }
        self.tailer.push_ready(id);
    }

    /// Returns the routes of the files under a path.
    fn routes_of(&self, path: &Path) -> Vec<FileRoute> {
        let sources = self.tailer.sources_of(path);
        let feeds = sources.filter_map(|index| Some((index, &self.plan.sources.get(index)?.feeds)));
        feeds
            .flat_map(|(index, feeds)| feeds.iter().map(move |feed| (index, feed.clone())))
            .collect()
    }

    /// Opens a cursor for each route that has none.
    fn open_routes(
        &mut self,
        id: u64,
        key: FileKey,
        stored: &Stored,
        routes: &[FileRoute],
        is_new_to_a_known_host: bool,
    ) {
        let names: Vec<&Arc<str>> = routes.iter().map(|(_, feed)| &feed.name).collect();
        let starts = starts(stored, &names);
        if let Some(file) = self.tailer.file_mut(id) {
            // No room for more: of many thousands of files, each has one cursor.
            file.cursors.reserve_exact(routes.len());
        }
        for ((source, feed), known) in routes.iter().zip(starts.positions) {
            if self.cursor_of(id, feed).is_some() {
                continue;
            }
            let end = match known {
                None if is_new_to_a_known_host => self.start_at_end(id, *source),
                None | Some(_) => None,
            };
            let position = known.or(end).unwrap_or_default();
            self.open_cursor(id, *source, feed, key, position);
        }
        // The heirs are entered first: whatever a checkpoint holds, nothing is sent from the start.
        self.desk.positions.remove(key, &starts.taken_over);
        let epoch = self.desk.positions.epoch(key);
        if let Some(file) = self.tailer.file_mut(id) {
            let cursors = file.cursors.iter();
            cursors.for_each(|cursor| self.desk.ledger.set_epoch(cursor.route.cursor, epoch));
        }
    }

    /// Returns which cursor of a file is that of a route.
    fn cursor_of(&mut self, id: u64, feed: &Feed) -> Option<usize> {
        let mut cursors = self.tailer.file_mut(id)?.cursors.iter();
        cursors.position(|cursor| is_cursor_of(cursor, feed))
    }

    /// Returns the end of a file, where its source begins there.
    fn start_at_end(&mut self, id: u64, source: usize) -> Option<Position> {
        let source = self.plan.sources.get(source)?;
        let file = self.tailer.file_mut(id)?;
        // The end of an archive is the end of what it was made of: nothing would ever be read.
        if source.read_from != ReadFrom::End || file.is_rotated() || file.is_archive() {
            return None;
        }
        let (offset, marker) = seek_end(file, source.frame.encoding).ok()?;
        Some(Position {
            offset,
            marker,
            place: 0,
        })
    }

    fn open_cursor(
        &mut self,
        id: u64,
        source_index: usize,
        feed: &Feed,
        key: FileKey,
        position: Position,
    ) {
        let Some(slot) = self.slot_of(feed.lane) else {
            return;
        };
        let workshop = self.workshop_of(source_index, feed.lane);
        let (Some(file), Some(source), Some(lane)) = (
            self.tailer.file_mut(id),
            self.plan.sources.get(source_index),
            self.plan.lane(feed.lane),
        ) else {
            return;
        };
        self.next_reader = self.next_reader.wrapping_add(1);
        let cursor = CursorId {
            file: file.content,
            sink: feed.lane,
            reader: self.next_reader,
        };
        let route = Route {
            cursor,
            name: Arc::clone(&feed.name),
            labels: route_labels(source, lane, &file.path),
            leveled: LeveledLabels::default(),
            book: self.desk.books.route(&source.name, &lane.outlet.name),
            key,
            content_number: self.desk.positions.content_number(),
            progress: Arc::new(Progress::default()),
            batch: slot,
            workshop,
        };
        self.desk.positions.remember(key, &feed.name, position);
        let account = Account {
            route: route.book,
            name: Arc::clone(&feed.name),
            key,
            epoch: self.desk.positions.epoch(key),
            path: Arc::clone(&file.path),
            progress: Arc::clone(&route.progress),
        };
        self.desk.ledger.open(cursor, account, position.offset);
        let (offset, marker) = (position.offset, position.marker);
        let mut cursor = Cursor::new(source_index, feed.lane, offset, marker, route);
        cursor.frame = FrameState::from_code(position.place);
        file.cursors.push(cursor);
    }

    /// Returns the open batch for the lines of a lane, opening it where there is none.
    fn slot_of(&mut self, sink: u32) -> Option<usize> {
        Slot::find_or_open(&mut self.slots, &self.plan, sink, self.stamps.step)
    }

    /// Returns the stages of a source for a lane, setting them up where they are not; `None` where the
    /// source has none.
    fn workshop_of(&mut self, source: usize, sink: u32) -> Option<usize> {
        Workshop::find_or_set_up(&mut self.workshops, &self.plan, source, sink)
    }

    /// Takes over another plan; files and cursors that stand in both go on undisturbed.
    pub(super) fn reload(&mut self, plan: Plan) {
        self.take_back_held();
        (0..self.slots.len()).for_each(|index| self.seal(index));
        let mut plan = plan;
        plan.limits.shard = self.plan.limits.shard;
        plan.limits.is_for_remote = self.plan.limits.is_for_remote;
        self.plan = plan;
        self.detached.clear();
        self.allowances = vec![Allowance::default(); self.plan.sources.len()];
        self.slots.clear();
        self.workshops.clear();
        self.shared_allowance = Allowance::default();
        self.buffer = ReadBuffer::new(self.plan.max_line_bytes);
        let files = self
            .plan
            .sources
            .iter()
            .map(|source| source.files.clone())
            .collect();
        self.tailer
            .reconfigure(self.plan.limits.clone(), files, self.plan.roots.clone());
        let ids: Vec<u64> = self.tailer.files().map(|file| file.id).collect();
        for id in ids {
            self.reroute(id);
        }
    }

    /// Gives a file the routes of the new plan.
    fn reroute(&mut self, id: u64) {
        let Some(path) = self.tailer.file_mut(id).map(|file| Arc::clone(&file.path)) else {
            return;
        };
        let is_followed = self.tailer.sources_of(&path).next().is_some();
        let routes = self.routes_of(&path);
        let Some(file) = self.tailer.file_mut(id) else {
            return;
        };
        let ledger = &self.desk.ledger;
        file.cursors.retain(|cursor| {
            let stays = routes.iter().any(|(_, feed)| is_cursor_of(cursor, feed));
            if !stays {
                ledger.close(cursor.route.cursor);
            }
            stays
        });
        if !is_followed {
            self.finished.remove(&id);
            self.tailer.release(id);
            return;
        }
        let (key, stored) = self.desk.positions.recall(file, unix_ns());
        for (source, feed) in &routes {
            let Some(index) = self.cursor_of(id, feed) else {
                continue;
            };
            let slot = self.slot_of(feed.lane).unwrap_or(0);
            let workshop = self.workshop_of(*source, feed.lane);
            if let Some(cursor) = self
                .tailer
                .file_mut(id)
                .and_then(|file| file.cursors.get_mut(index))
                && let Some(source_end) = self.plan.sources.get(*source)
                && let Some(lane) = self.plan.lane(feed.lane)
            {
                cursor.source = *source;
                cursor.route.labels = route_labels(source_end, lane, &path);
                cursor.route.batch = slot;
                cursor.route.workshop = workshop;
            }
        }
        if let Some(key) = key {
            self.open_routes(id, key, &stored, &routes, false);
        }
        self.tailer.push_ready(id);
    }

    /// Lets every file be read again from where its first open group of lines begins: the stages are set
    /// up anew.
    fn take_back_held(&mut self) {
        let mut workshops = std::mem::take(&mut self.workshops);
        for workshop in &mut workshops {
            for (id, content, place) in workshop.take_back() {
                let Some(file) = self.tailer.file_mut(id) else {
                    continue;
                };
                for cursor in &mut file.cursors {
                    let id = cursor.route.cursor;
                    let is_its = cursor.source == workshop.source && id.sink == workshop.sink;
                    if id.file == content && is_its {
                        cursor.offset = place.offset;
                        cursor.marker = place.marker;
                        cursor.frame = FrameState::from_code(place.code);
                        cursor.is_drained = false;
                    }
                }
                self.tailer.push_ready(id);
            }
        }
    }
}

/// Returns the labels that a file's lines have on the way to a lane: before the stages those of the source
/// alone, without stages also the sink's.
pub(super) fn route_labels(source: &SourceEnd, end: &SinkEnd, path: &std::path::Path) -> LabelSet {
    let labels = labels_of(source, path);
    if source.stages.is_some() {
        return labels;
    }
    with_labels(&labels, &end.labels)
}

/// Returns whether a cursor is that of a route.
fn is_cursor_of(cursor: &Cursor<Route>, feed: &Feed) -> bool {
    cursor.sink == feed.lane && cursor.route.name == feed.name
}
