//! Giving files their cursors, and cursors their way.

use std::sync::Arc;

use tailwater_position_store::{FileKey, Position};
use tailwater_record::{CursorId, LabelSet, Marker};
use tailwater_tailer::file::seek_end;
use tailwater_tailer::{Cursor, FrameState, Now, ReadBuffer};

use super::slot::Slot;
use super::staged::Workshop;
use super::{Pipeline, unix_ns};
use crate::config::ReadFrom;
use crate::ledger::{Account, Progress};
use crate::rate::Allowance;
use crate::route::{Plan, Route, SinkEnd, SourceEnd, labels_of, with_labels};

impl Pipeline {
    /// Gives a new file a cursor for each sink of its source, where earlier runs left off.
    pub(super) fn open_cursors(&mut self, id: u64, at_start: bool, now: Now) {
        let Some(file) = self.tailer.file_mut(id) else {
            return;
        };
        let Some(source) = self.plan.sources.get(file.source) else {
            return;
        };
        let sinks = source.sinks.clone();
        let is_new_to_a_known_host = at_start && self.desk.positions.was_empty();
        let start = match source.read_from {
            ReadFrom::End if is_new_to_a_known_host && !file.is_rotated() => seek_end(file).ok(),
            ReadFrom::End | ReadFrom::Beginning => None,
        };
        let (key, stored) = self.desk.positions.recall(file, now.unix_ns);
        let Some(key) = key else { return };
        file.identity_changed = false;
        for sink in sinks {
            self.open_cursor(id, sink, key, &stored, start);
        }
        if let Some(file) = self.tailer.file_mut(id) {
            file.drop_head();
        }
        self.tailer.push_ready(id);
    }

    fn open_cursor(
        &mut self,
        id: u64,
        sink: u32,
        key: FileKey,
        stored: &[(Arc<str>, Position)],
        start: Option<(u64, Marker)>,
    ) {
        let Some(name) = self
            .plan
            .lane(sink)
            .map(|lane| Arc::clone(&lane.outlet.name))
        else {
            return;
        };
        let Some(slot) = self.slot_of(sink) else {
            return;
        };
        let source = self.tailer.file_mut(id).map(|file| file.source);
        let workshop = source.and_then(|source| self.workshop_of(source, sink));
        let Some(file) = self.tailer.file_mut(id) else {
            return;
        };
        let (Some(source), Some(end)) = (self.plan.sources.get(file.source), self.plan.lane(sink))
        else {
            return;
        };
        let known = stored
            .iter()
            .find(|(stored, _)| *stored == name)
            .map(|(_, position)| *position);
        let position = match (known, start) {
            (Some(position), _) => position,
            (None, Some((offset, marker))) => Position {
                offset,
                marker,
                place: 0,
            },
            (None, None) => Position::default(),
        };
        let cursor = CursorId {
            file: file.content,
            sink,
        };
        let route = Route {
            cursor,
            labels: route_labels(source, end, &file.path),
            book: self.desk.books.route(&source.name, &name),
            key,
            content_number: self.desk.positions.content_number(),
            progress: Arc::new(Progress::default()),
            batch: slot,
            workshop,
            read_lines: 0,
        };
        let epoch = self.desk.positions.remember(key, &name, position);
        let account = Account {
            route: route.book,
            key,
            epoch,
            path: Arc::clone(&file.path),
            progress: Arc::clone(&route.progress),
        };
        self.desk.ledger.open(cursor, account, position.offset);
        let mut cursor = Cursor::new(sink, position.offset, position.marker, route);
        cursor.frame = FrameState::from_code(position.place);
        file.cursors.push(cursor);
    }

    /// Returns the open batch for the lines of a lane, opening it where there is none.
    fn slot_of(&mut self, sink: u32) -> Option<usize> {
        let known = self.slots.iter().position(|slot| slot.sink == sink);
        if known.is_some() {
            return known;
        }
        let end = self.plan.lane(sink)?;
        self.slots.push(Slot::new(end, self.stamps.step));
        Some(self.slots.len() - 1)
    }

    /// Returns the stages of a source for a lane, setting them up where they are not; `None` where the
    /// source has none.
    fn workshop_of(&mut self, source: usize, sink: u32) -> Option<usize> {
        let known = self
            .workshops
            .iter()
            .position(|workshop| workshop.source == source && workshop.sink == sink);
        if known.is_some() {
            return known;
        }
        let (of_source, end) = (self.plan.sources.get(source)?, self.plan.lane(sink)?);
        let workshop = Workshop::new(source, of_source, end)?;
        self.workshops.push(workshop);
        Some(self.workshops.len() - 1)
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
        let Some(source_index) = self.tailer.source_of(&path) else {
            if let Some(file) = self.tailer.file_mut(id) {
                file.cursors
                    .iter()
                    .for_each(|cursor| self.desk.ledger.close(cursor.route.cursor));
            }
            self.finished.remove(&id);
            self.tailer.release(id);
            return;
        };
        let Some(file) = self.tailer.file_mut(id) else {
            return;
        };
        file.source = source_index;
        let Some(source) = self.plan.sources.get(source_index) else {
            return;
        };
        let sinks = source.sinks.clone();
        let ledger = &self.desk.ledger;
        file.cursors.retain(|cursor| {
            let stays = sinks.contains(&cursor.sink);
            if !stays {
                ledger.close(cursor.route.cursor);
            }
            stays
        });
        let now_ns = unix_ns();
        let (key, stored) = self.desk.positions.recall(file, now_ns);
        for sink in sinks {
            let kept = self
                .tailer
                .file_mut(id)
                .and_then(|file| file.cursors.iter().position(|cursor| cursor.sink == sink));
            match (kept, key) {
                (Some(index), _) => {
                    let slot = self.slot_of(sink).unwrap_or(0);
                    let workshop = self.workshop_of(source_index, sink);
                    if let Some(cursor) = self
                        .tailer
                        .file_mut(id)
                        .and_then(|file| file.cursors.get_mut(index))
                        && let Some(source) = self.plan.sources.get(source_index)
                        && let Some(end) = self.plan.lane(sink)
                    {
                        cursor.route.labels = route_labels(source, end, &path);
                        cursor.route.batch = slot;
                        cursor.route.workshop = workshop;
                    }
                }
                (None, Some(key)) => self.open_cursor(id, sink, key, &stored, None),
                (None, None) => {}
            }
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
                    if id.file == content && id.sink == workshop.sink {
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
fn route_labels(source: &SourceEnd, end: &SinkEnd, path: &std::path::Path) -> LabelSet {
    let labels = labels_of(source, path);
    if source.stages.is_some() {
        return labels;
    }
    with_labels(&labels, &end.labels)
}
