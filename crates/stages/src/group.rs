//! Records that wait for more lines, and where in their files they start.

use std::collections::{BTreeMap, HashMap};

use tailwater_record::{FileId, LabelSet, Severity, TimestampNs};

use crate::draft::{Buffers, Draft, Parts, Start};
use crate::interner::Mix;
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
    /// Whether its last line is the heading of the one behind.
    pub(crate) is_headed: bool,
    pub(crate) timestamp: TimestampNs,
    pub(crate) now: TimestampNs,
    seed: u64,
    severity: Option<Severity>,
    labels: LabelSet,
    /// The extracted values, and their text.
    buffers: Buffers,
    /// Where [`Groups`] knows it to start.
    starts: Vec<(FileId, u64, u64)>,
}

impl Group {
    /// Copies all of a draft but its line and its place in the file.
    fn of(draft: &Draft<'_>) -> Self {
        let mut group = Self {
            line: Vec::new(),
            parts: Parts::default(),
            lines: 0,
            joined: 0,
            is_headed: false,
            timestamp: draft.timestamp,
            now: draft.now,
            seed: draft.seed,
            severity: draft.severity,
            labels: draft.labels().clone(),
            buffers: Buffers::default(),
            starts: Vec::new(),
        };
        draft.copy_values(&mut group.buffers);
        group
    }

    /// Takes time, severity, labels and values of a draft instead of its own.
    fn follow(&mut self, draft: &Draft<'_>) {
        self.timestamp = draft.timestamp;
        self.seed = draft.seed;
        self.severity = draft.severity;
        self.labels.clone_from(draft.labels());
        draft.copy_values(&mut self.buffers);
    }

    /// Bytes that are kept for it: the line, the text of the values, and the labels.
    fn bytes(&self) -> usize {
        let labels = self.labels.iter();
        let labels: usize = labels.map(|(name, value)| name.len() + value.len()).sum();
        self.line.len() + self.buffers.arena.len() + labels
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
    fn take_place(&mut self, draft: &Draft<'_>) {
        self.parts.join(draft.parts_ref());
        self.lines += draft.lines;
        self.joined += 1;
        self.is_headed = false;
        self.now = draft.now;
    }

    /// Takes the lines out, for a record of their own; what is not of the lines stays.
    fn release(&mut self) -> Self {
        let line = std::mem::take(&mut self.line);
        let parts = std::mem::take(&mut self.parts);
        let lines = std::mem::take(&mut self.lines);
        let starts = std::mem::take(&mut self.starts);
        self.joined = 0;
        self.is_headed = false;
        Self {
            line,
            parts,
            lines,
            starts,
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
            severity: self.severity,
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

/// How a line is joined to a group.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Join<'a> {
    /// What stands between two lines.
    pub(crate) separator: &'a [u8],
    /// Bytes at which the joined line is cut.
    pub(crate) max_line_bytes: Option<usize>,
}

/// A group, and when its stream was begun or went on: the smallest clock is that of the oldest.
#[derive(Clone, Debug)]
struct Stream {
    clock: u64,
    group: Group,
}

/// The groups of one stage, by stream.
#[derive(Clone, Debug)]
pub(crate) struct Groups {
    streams: HashMap<StreamKey, Stream, Mix>,
    /// Where the open groups start in their files, with the clock at that time and the times of
    /// reading: the clock keeps those apart that start in one place.
    starts: BTreeMap<(FileId, u64, u64), TimestampNs>,
    clock: u64,
    /// Bytes of all streams, those without an open group among them.
    held_bytes: usize,
    limits: Limits,
}

impl Groups {
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            streams: HashMap::default(),
            starts: BTreeMap::new(),
            clock: 0,
            held_bytes: 0,
            limits,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.streams.len()
    }

    pub(crate) fn get(&self, key: &StreamKey) -> Option<&Group> {
        self.streams.get(key).map(|stream| &stream.group)
    }

    /// Returns whether so many bytes more would be too many for a group.
    pub(crate) fn is_too_large(&self, group: &Group, bytes: usize) -> bool {
        group.lines > 0 && group.line.len().saturating_add(bytes) > self.limits.max_group_bytes
    }

    /// Returns whether so many bytes more would be too many for the group of a stream.
    pub(crate) fn has_no_room(&self, key: &StreamKey, bytes: usize) -> bool {
        let group = self.get(key);
        group.is_some_and(|group| self.is_too_large(group, bytes))
    }

    /// Gives a stream time, labels and values of a draft; it is begun where there is none. `room` gives
    /// room for its lines: empty, with the capacity that another group needed.
    pub(crate) fn open(
        &mut self,
        key: &StreamKey,
        draft: &Draft<'_>,
        room: impl FnOnce() -> Vec<u8>,
    ) {
        if let Some(Stream { group, .. }) = self.streams.get_mut(key) {
            self.held_bytes -= group.bytes();
            group.follow(draft);
            if group.line.capacity() == 0 {
                group.line = room();
            }
            self.held_bytes += group.bytes();
            return;
        }
        let group = Group {
            line: room(),
            ..Group::of(draft)
        };
        self.held_bytes += group.bytes();
        self.streams.insert(key.clone(), Stream { clock: 0, group });
    }

    /// Joins a line to the group of a stream, and releases the oldest groups where there are too many
    /// streams or bytes. Returns how many records the group has joined.
    pub(crate) fn join(
        &mut self,
        key: &StreamKey,
        draft: &Draft<'_>,
        join: Join<'_>,
        released: &mut Vec<Group>,
    ) -> u64 {
        let Some(Stream { clock, group }) = self.streams.get_mut(key) else {
            return 0;
        };
        self.clock += 1;
        *clock = self.clock;
        let parts = group.parts.parts.len();
        self.held_bytes -= group.line.len();
        group.join(draft, join.separator);
        if let Some(max) = join.max_line_bytes {
            group.line.truncate(max);
        }
        self.held_bytes += group.line.len();
        for (part, read_at) in group.parts.as_ref().iter().skip(parts) {
            let start = (part.file, part.span.start, self.clock);
            group.starts.push(start);
            self.starts.insert(start, read_at);
        }
        let joined = group.joined;
        self.make_room(released);
        joined
    }

    /// Remembers that the last line of a stream's group is a heading.
    pub(crate) fn set_headed(&mut self, key: &StreamKey) {
        if let Some(Stream { group, .. }) = self.streams.get_mut(key) {
            group.is_headed = group.lines > 0;
        }
    }

    /// Releases the oldest groups where there are too many streams or bytes.
    ///
    /// Several at once, so that what it costs to find them is borne by many lines.
    fn make_room(&mut self, released: &mut Vec<Group>) {
        let Limits {
            max_held_bytes,
            max_streams,
            ..
        } = self.limits;
        if self.held_bytes <= max_held_bytes && self.streams.len() <= max_streams {
            return;
        }
        let max_bytes = max_held_bytes - max_held_bytes / 8;
        let max_streams = max_streams - max_streams / 8;
        for key in self.keys_by_age(|_, _| true) {
            if self.held_bytes <= max_bytes && self.streams.len() <= max_streams {
                return;
            }
            released.extend(self.take(&key));
        }
    }

    /// The streams that are chosen, the oldest first.
    fn keys_by_age(&self, chosen: impl Fn(&StreamKey, &Group) -> bool) -> Vec<StreamKey> {
        let mut keys: Vec<(u64, &StreamKey)> = self
            .streams
            .iter()
            .filter(|(key, stream)| chosen(key, &stream.group))
            .map(|(key, stream)| (stream.clock, key))
            .collect();
        keys.sort_unstable_by_key(|(clock, _)| *clock);
        keys.into_iter().map(|(_, key)| key.clone()).collect()
    }

    /// Takes the group of a stream out, without forgetting the stream; nothing where none is open.
    pub(crate) fn release(&mut self, key: &StreamKey) -> Option<Group> {
        let group = &mut self.streams.get_mut(key)?.group;
        if group.lines == 0 {
            return None;
        }
        self.held_bytes -= group.line.len();
        let group = group.release();
        self.close(&group);
        Some(group)
    }

    /// Takes the group of a stream out, and forgets the stream; nothing where none is open.
    pub(crate) fn take(&mut self, key: &StreamKey) -> Option<Group> {
        let Stream { group, .. } = self.streams.remove(key)?;
        self.held_bytes -= group.bytes();
        self.close(&group);
        (group.lines > 0).then_some(group)
    }

    /// Forgets where a group starts.
    fn close(&mut self, group: &Group) {
        for start in &group.starts {
            self.starts.remove(start);
        }
    }

    /// Releases and forgets the streams that are chosen, in the order of their last lines.
    pub(crate) fn release_where(
        &mut self,
        chosen: impl Fn(&StreamKey) -> bool,
        released: &mut Vec<Group>,
    ) {
        for key in self.keys_by_age(|key, _| chosen(key)) {
            released.extend(self.take(&key));
        }
    }

    /// Releases the groups whose last line came at a time or before; their streams are not
    /// forgotten.
    pub(crate) fn release_until(&mut self, last: TimestampNs, released: &mut Vec<Group>) {
        let is_over = |_: &StreamKey, group: &Group| group.lines > 0 && group.now <= last;
        for key in self.keys_by_age(is_over) {
            released.extend(self.release(&key));
        }
    }

    /// Lets the streams of a file go on in another one; one that has begun there already stays.
    pub(crate) fn hand_over(&mut self, from: FileId, to: FileId) {
        for key in self.keys_by_age(|key, _| key.file == from) {
            let next = StreamKey {
                file: to,
                labels: key.labels.clone(),
            };
            if !self.streams.contains_key(&next)
                && let Some(stream) = self.streams.remove(&key)
            {
                self.streams.insert(next, stream);
            }
        }
    }

    /// Returns the first byte of a file that a group holds.
    pub(crate) fn held_from(&self, file: FileId) -> Option<u64> {
        let mut starts = self.starts.range((file, 0, 0)..=(file, u64::MAX, u64::MAX));
        starts.next().map(|((_, start, _), _)| *start)
    }

    /// Gives where each group starts in a file, the first one first.
    pub(crate) fn held(&self, file: FileId, each: &mut dyn FnMut(Held)) {
        let starts = self.starts.range((file, 0, 0)..=(file, u64::MAX, u64::MAX));
        for ((_, start, _), read_at) in starts {
            each(Held {
                start: *start,
                read_at: *read_at,
            });
        }
    }

    /// Returns whether a group is open.
    pub(crate) fn holds_any(&self) -> bool {
        !self.starts.is_empty()
    }

    /// Forgets the streams of a file, and what they hold.
    pub(crate) fn forget(&mut self, file: FileId) {
        self.release_where(|key| key.file == file, &mut Vec::new());
    }
}
