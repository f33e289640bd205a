//! Records that wait for more lines, and where in their files they start.

use std::collections::HashMap;

use tailwater_record::{FileId, LabelSet, TimestampNs};

use crate::draft::{Buffers, Draft, Parts, PartsRef, Slot, Start, Value};
use crate::limits::Limits;
use crate::worker::Held;

/// A record that waits: a copy of a draft, with lines joined to it.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    pub(crate) line: Vec<u8>,
    /// The bytes of files that it stands for, in the order of reading.
    pub(crate) parts: Parts,
    pub(crate) lines: u64,
    /// Records that were joined; one can stand for several lines itself.
    pub(crate) joined: u64,
    pub(crate) timestamp: TimestampNs,
    pub(crate) now: TimestampNs,
    seed: u64,
    labels: LabelSet,
    /// The text of `values` and of the metadata.
    buffers: Buffers,
}

impl Group {
    /// Copies all of a draft but its line and its place in the file.
    pub(crate) fn of(draft: &Draft<'_>) -> Self {
        let labels = draft.labels().clone();
        let mut buffers = Buffers::default();
        let mut arena = Vec::new();
        let mut scratch = Draft::new(
            Start {
                line: &[],
                labels: &labels,
                timestamp: draft.timestamp,
                now: draft.now,
                seed: draft.seed,
                parts: PartsRef::default(),
                lines: 0,
            },
            std::mem::take(&mut buffers),
        );
        scratch.buffers.clear(draft.buffers.values.len());
        for (index, value) in draft.buffers.values.iter().enumerate() {
            let copy = match value {
                Value::Text(text) => {
                    arena.clear();
                    arena.extend_from_slice(draft.bytes(*text));
                    Value::Text(scratch.keep(&arena))
                }
                Value::Missing | Value::Nil | Value::Number(_) | Value::Bool(_) => *value,
            };
            scratch.set(Slot(index), copy);
        }
        let buffers = scratch.buffers;
        Self {
            line: Vec::new(),
            parts: Parts::default(),
            lines: 0,
            joined: 0,
            timestamp: draft.timestamp,
            now: draft.now,
            seed: draft.seed,
            labels,
            buffers,
        }
    }

    /// Joins the line of a draft to it, after `separator` where there is a line already.
    pub(crate) fn join(&mut self, draft: &Draft<'_>, separator: &[u8]) {
        if !self.line.is_empty() {
            self.line.extend_from_slice(separator);
        }
        self.line.extend_from_slice(draft.line_bytes());
        self.take_place(draft);
    }

    /// Takes over which lines a draft stands for.
    pub(crate) fn take_place(&mut self, draft: &Draft<'_>) {
        self.parts.join(draft.parts_ref());
        self.lines += draft.lines;
        self.joined += 1;
        self.now = draft.now;
    }

    /// Takes the lines out, for a record of their own; what is not of the lines stays.
    pub(crate) fn release(&mut self) -> Self {
        let line = std::mem::take(&mut self.line);
        let parts = std::mem::take(&mut self.parts);
        let lines = std::mem::take(&mut self.lines);
        self.joined = 0;
        Self {
            line,
            parts,
            lines,
            ..self.clone()
        }
    }

    /// Starts a draft that goes on behind the stage that held the group.
    pub(crate) fn draft(&self, mut buffers: Buffers) -> Draft<'_> {
        buffers.clear(0);
        buffers.arena.extend_from_slice(&self.buffers.arena);
        buffers.values.extend_from_slice(&self.buffers.values);
        let start = Start {
            line: &self.line,
            labels: &self.labels,
            timestamp: self.timestamp,
            now: self.now,
            seed: self.seed,
            parts: self.parts.as_ref(),
            lines: self.lines,
        };
        Draft::new(start, buffers)
    }
}

/// A stream of a file: what groups are kept apart by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct StreamKey {
    pub(crate) file: FileId,
    pub(crate) labels: LabelSet,
}

impl StreamKey {
    /// The stream of the same labels in another file.
    fn of(&self, file: FileId) -> Self {
        Self {
            file,
            labels: self.labels.clone(),
        }
    }
}

/// The groups of one stage, by stream.
#[derive(Clone, Debug)]
pub(crate) struct Groups {
    streams: HashMap<StreamKey, (u64, Group)>,
    /// Rises with every stream that is begun or goes on, so that the oldest is known.
    clock: u64,
    held_bytes: usize,
    /// Groups that have lines.
    open: usize,
    limits: Limits,
}

impl Groups {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            streams: HashMap::new(),
            clock: 0,
            held_bytes: 0,
            open: 0,
            limits,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.streams.len()
    }

    /// Returns whether so many bytes more would be too many for a group.
    pub(crate) fn is_too_large(&self, group: &Group, bytes: usize) -> bool {
        group.lines > 0 && group.line.len().saturating_add(bytes) > self.limits.max_group_bytes
    }

    /// Takes a stream out; [`Groups::put`] gives it back.
    pub(crate) fn take(&mut self, key: &StreamKey) -> Option<Group> {
        let (_, group) = self.streams.remove(key)?;
        self.held_bytes = self.held_bytes.saturating_sub(group.line.len());
        self.open -= usize::from(group.lines > 0);
        Some(group)
    }

    /// Keeps a stream, and releases the oldest where there are too many streams or bytes.
    pub(crate) fn put(&mut self, key: StreamKey, group: Group, released: &mut Vec<Group>) {
        self.clock += 1;
        self.held_bytes += group.line.len();
        self.open += usize::from(group.lines > 0);
        self.streams.insert(key, (self.clock, group));
        while self.held_bytes > self.limits.max_held_bytes
            || self.streams.len() > self.limits.max_streams
        {
            let oldest = self.streams.iter().min_by_key(|(_, (clock, _))| *clock);
            let Some(key) = oldest.map(|(key, _)| key.clone()) else {
                return;
            };
            released.extend(self.take(&key).filter(|group| group.lines > 0));
        }
    }

    /// Releases and forgets the streams that are chosen, in the order of their last lines.
    pub(crate) fn release_where(
        &mut self,
        chosen: impl Fn(&StreamKey, &Group) -> bool,
        released: &mut Vec<Group>,
    ) {
        let mut keys: Vec<(u64, StreamKey)> = self
            .streams
            .iter()
            .filter(|(key, (_, group))| chosen(key, group))
            .map(|(key, (clock, _))| (*clock, key.clone()))
            .collect();
        keys.sort_by_key(|(clock, _)| *clock);
        for (_, key) in keys {
            released.extend(self.take(&key).filter(|group| group.lines > 0));
        }
    }

    /// Releases the groups that are chosen; their streams are not forgotten.
    pub(crate) fn release_but_keep(
        &mut self,
        chosen: impl Fn(&Group) -> bool,
        released: &mut Vec<Group>,
    ) {
        let mut expired: Vec<(u64, Group)> = Vec::new();
        self.streams.values_mut().for_each(|(clock, group)| {
            if group.lines > 0 && chosen(group) {
                self.held_bytes = self.held_bytes.saturating_sub(group.line.len());
                self.open -= 1;
                expired.push((*clock, group.release()));
            }
        });
        expired.sort_by_key(|(clock, _)| *clock);
        released.extend(expired.into_iter().map(|(_, group)| group));
    }

    /// Lets the streams of a file go on in another one; one that has begun there already stays.
    pub(crate) fn hand_over(&mut self, from: FileId, to: FileId) {
        let streams = self.streams.keys();
        let moves: Vec<(StreamKey, StreamKey)> = streams
            .filter(|key| key.file == from)
            .map(|key| (key.clone(), key.of(to)))
            .filter(|(_, next)| !self.streams.contains_key(next))
            .collect();
        for (key, next) in moves {
            if let Some(stream) = self.streams.remove(&key) {
                self.streams.insert(next, stream);
            }
        }
    }

    /// Returns the first byte of a file that a group holds.
    pub(crate) fn held_from(&self, file: FileId) -> Option<u64> {
        let mut first = None;
        self.held(file, &mut |held| {
            first = Some(first.map_or(held.start, |start: u64| start.min(held.start)));
        });
        first
    }

    /// Gives where each group starts in a file.
    #[expect(
        clippy::iter_over_hash_type,
        reason = "the caller is told that there is no order"
    )]
    pub(crate) fn held(&self, file: FileId, each: &mut dyn FnMut(Held)) {
        for (_, group) in self.streams.values() {
            let parts = group.parts.as_ref();
            let mut in_file = parts.iter().filter(|(part, _)| part.file == file);
            if let Some((part, read_at)) = in_file.next() {
                let start = part.span.start;
                each(Held { start, read_at });
            }
        }
    }

    /// Returns whether a group is open.
    pub(crate) fn holds_any(&self) -> bool {
        self.open > 0
    }

    /// Forgets the streams of a file, and what they hold.
    pub(crate) fn forget(&mut self, file: FileId) {
        self.release_where(|key, _| key.file == file, &mut Vec::new());
    }
}
