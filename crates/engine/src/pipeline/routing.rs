//! Giving files their cursors, and cursors their way.

use std::sync::Arc;

use tailwater_batcher::OpenBatch;
use tailwater_position_store::{FileKey, Position};
use tailwater_record::{CursorId, Marker};
use tailwater_tailer::file::seek_end;
use tailwater_tailer::{Cursor, FrameState, Now, ReadBuffer};

use super::lane::Slot;
use super::{Pipeline, unix_ns};
use crate::config::ReadFrom;
use crate::ledger::{Account, Progress};
use crate::rate::Allowance;
use crate::route::{Plan, Route, labels_of};

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
        let Some(file) = self.tailer.file_mut(id) else {
            return;
        };
        let Some(source) = self.plan.sources.get(file.source) else {
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
            labels: labels_of(source, &file.path),
            book: self.desk.books.route(&source.name, &name),
            key,
            content_number: self.desk.positions.content_number(),
            progress: Arc::new(Progress::default()),
            batch: slot,
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
        let tenant = end.outlet.key.tenant.clone();
        let batch = OpenBatch::new(end.encoder.make(), end.batch, tenant, self.stamps.step);
        self.slots.push(Slot {
            sink,
            batch,
            kept: Vec::new(),
        });
        Some(self.slots.len() - 1)
    }

    /// Takes over another plan; files and cursors that stand in both go on undisturbed.
    pub(super) fn reload(&mut self, plan: Plan) {
        (0..self.slots.len()).for_each(|index| self.seal(index));
        let mut plan = plan;
        plan.limits.shard = self.plan.limits.shard;
        plan.limits.is_for_remote = self.plan.limits.is_for_remote;
        self.plan = plan;
        self.detached.clear();
        self.allowances = vec![Allowance::default(); self.plan.sources.len()];
        self.slots.clear();
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
        let labels = labels_of(source, &path);
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
                    if let Some(cursor) = self
                        .tailer
                        .file_mut(id)
                        .and_then(|file| file.cursors.get_mut(index))
                    {
                        cursor.route.labels = labels.clone();
                        cursor.route.batch = slot;
                    }
                }
                (None, Some(key)) => self.open_cursor(id, sink, key, &stored, None),
                (None, None) => {}
            }
        }
        self.tailer.push_ready(id);
    }
}
