//! The path of a line through the stages of its source: from the framer into the open batches.
//!
//! Stages may hold lines, to join them. A span then ends where the first open group begins, and the next
//! one starts there: so a position never passes a line that is held, and what is held when the agent ends
//! is read again. Records of other groups of the file may already be sent by then; they are repeated.

mod made;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tailwater_batcher::Fill;
use tailwater_record::{CursorId, FileId, LabelSet, TimestampNs};
use tailwater_stages::{Entry, Held, Outcome, Processed, Worker};
use tailwater_tailer::{Chunk, Framer, TailId};

use self::made::{Made, sent_metadata};
use super::lane::{Gate, Metadata, OVER_ALL, Pass, Seal, Stamps, Taken, Tally, place};
use super::severity::Grading;
use super::slot::{Place, Slot};
use crate::books::RouteIndex;
use crate::config::SeverityForm;
use crate::route::{ExtraLabels, Plan, Route, SinkEnd, SourceEnd};

/// How long the open groups of a file that was read to its end wait for the first line of the file that
/// took its path.
const SUCCESSOR_WAIT: Duration = Duration::from_secs(30);

/// The stages of one source on their way to one lane, with what they hold.
#[derive(Debug)]
pub(super) struct Workshop {
    /// Index of the source.
    pub(super) source: usize,
    /// The number of the lane's outlet.
    pub(super) sink: u32,
    worker: Worker,
    is_grouping: bool,
    /// The cursors with an open group. Bounded by the streams that stages hold.
    held: HashMap<FileId, HeldCursor>,
    labels: ExtraLabels,
    /// Structured metadata of the source.
    metadata: Vec<(String, String)>,
    offset_metadata: Option<String>,
    /// How the severity of its records is sent.
    severity: SeverityForm,
    /// Records of other files than the one that is being read.
    made: Vec<Made>,
    /// Other files whose groups have changed.
    touched: Vec<FileId>,
}

/// A cursor with an open group.
#[derive(Debug)]
pub(super) struct HeldCursor {
    cursor: CursorId,
    /// Its file within the tailer.
    pub(super) file: TailId,
    book: RouteIndex,
    /// Where its open groups begin, the first one first; never empty.
    groups: Vec<Group>,
    /// How far the file was read.
    read_to: Place,
    /// Since when it is known to be read to its end, its path lost to another file.
    ended_at: Option<Instant>,
}

/// Where an open group begins, and when its first line was read.
#[derive(Clone, Copy, Debug)]
struct Group {
    at: Place,
    read_at: TimestampNs,
}

impl Workshop {
    /// Returns the stages of a source for a lane, setting them up where they are not; `None` where the
    /// source has none.
    pub(super) fn find_or_set_up(
        workshops: &mut Vec<Self>,
        plan: &Plan,
        source: usize,
        sink: u32,
    ) -> Option<usize> {
        let known = workshops
            .iter()
            .position(|workshop| workshop.source == source && workshop.sink == sink);
        if known.is_some() {
            return known;
        }
        let (of_source, end) = (plan.sources.get(source)?, plan.lane(sink)?);
        workshops.push(Self::new(source, of_source, end)?);
        Some(workshops.len() - 1)
    }

    /// Sets up the stages of a source, where it has any; `index` is the source's.
    pub(super) fn new(index: usize, source: &SourceEnd, end: &SinkEnd) -> Option<Self> {
        let stages = source.stages.as_deref()?;
        // Metrics are made of lines once, however many sinks they go to.
        let is_counting = source.feeds.first().map(|feed| feed.lane) == Some(end.outlet.id);
        let mut worker = stages.worker();
        worker.set_metrics(is_counting);
        Some(Self {
            source: index,
            sink: end.outlet.id,
            worker,
            is_grouping: stages.is_grouping(),
            held: HashMap::new(),
            labels: ExtraLabels::new(Arc::clone(&end.labels)),
            metadata: source.structured_metadata.clone(),
            offset_metadata: source.offset_metadata.clone(),
            severity: source.severity,
            made: Vec::new(),
            touched: Vec::new(),
        })
    }

    /// Lets groups end by their lines alone: they were written long before they are read.
    pub(super) fn set_patient(&mut self) {
        self.worker.set_patient();
    }

    pub(super) fn holds_any(&self) -> bool {
        !self.held.is_empty()
    }

    pub(super) fn holds(&self, file: FileId) -> bool {
        self.held.contains_key(&file)
    }

    /// Lets the open groups of a file that was read to its end go on in the one that took its path.
    pub(super) fn hand_over(&mut self, from: FileId, to: FileId) {
        if self.holds(from) {
            self.worker.hand_over(from, to);
        }
    }

    /// Gives up what is held of every file; returns where each is to be read from again.
    pub(super) fn take_back(&mut self) -> Vec<(TailId, FileId, Place)> {
        let held = std::mem::take(&mut self.held);
        held.into_iter()
            .filter_map(|(content, held)| {
                self.worker.forget(content);
                Some((held.file, content, held.groups.first()?.at))
            })
            .collect()
    }

    /// Sends the groups whose time is over.
    pub(super) fn flush(&mut self, slot: &mut Slot, now_ns: u64, seal: Seal<'_>) {
        self.give(slot, seal, |worker, emit| {
            worker.flush(TimestampNs(now_ns), emit);
        });
    }

    /// Sends the open groups of a file, which does not go on.
    pub(super) fn finish(&mut self, slot: &mut Slot, file: FileId, seal: Seal<'_>) {
        if self.holds(file) {
            self.give(slot, seal, |worker, emit| worker.finish(file, emit));
            self.held.remove(&file);
        }
    }

    /// Returns the files with open groups.
    pub(super) fn held_files(&self) -> impl Iterator<Item = (FileId, TailId)> {
        self.held
            .iter()
            .map(|(content, held)| (*content, held.file))
    }

    /// Notes that a file was read to its end; returns whether its groups have waited long enough for the
    /// next one.
    pub(super) fn is_overdue(&mut self, file: FileId, has_successor: bool, now: Instant) -> bool {
        let Some(held) = self.held.get_mut(&file) else {
            return false;
        };
        let ended_at = *held.ended_at.get_or_insert(now);
        !has_successor || now.saturating_duration_since(ended_at) >= SUCCESSOR_WAIT
    }

    /// Takes groups out of the worker into the batches, outside any chunk.
    fn give(
        &mut self,
        slot: &mut Slot,
        seal: Seal<'_>,
        by: impl FnOnce(&mut Worker, &mut dyn FnMut(Outcome<'_>)),
    ) {
        let Some(book) = self.held.values().next().map(|held| held.book) else {
            return;
        };
        let mut tally = Tally::new(book);
        let (made, touched) = (&mut self.made, &mut self.touched);
        let (metadata, offset_name) = (&self.metadata, self.offset_metadata.as_deref());
        let grading = seal.grading(self.severity);
        by(&mut self.worker, &mut |outcome| match outcome {
            Outcome::Dropped(dropped) => {
                tally.records += 1;
                tally.joined_lines += dropped.lines.saturating_sub(1);
                tally.drop_by_stage(dropped.reason, dropped.is_counted_by_promtail);
                touched.extend(dropped.parts.iter().map(|part| part.file));
            }
            Outcome::Record(record) => {
                tally.records += 1;
                tally.joined_lines += record.lines.saturating_sub(1);
                touched.extend(record.parts.iter().map(|part| part.file));
                made.push(Made::of(&record, metadata, offset_name, grading));
            }
        });
        tally.enter(seal.desk);
        if self.release_touched(slot, seal) == Fill::IsFull {
            seal.seal(slot);
        }
    }

    /// Copies the records of other files than the one that is being read, with their spans.
    fn release_touched(&mut self, slot: &mut Slot, seal: Seal<'_>) -> Fill {
        let mut touched = std::mem::take(&mut self.touched);
        touched.sort_unstable();
        touched.dedup();
        let mut fill = Fill::HasRoom;
        for file in &touched {
            if self.release(slot, seal, *file) == Fill::IsFull {
                fill = Fill::IsFull;
            }
        }
        touched.clear();
        self.touched = touched;
        for lost in self.made.drain(..) {
            tracing::error!(file = ?lost.file(), "a record of a file that is not followed any more is lost");
        }
        fill
    }

    /// Copies the records of one such file, and moves its span up to what it still holds.
    fn release(&mut self, slot: &mut Slot, seal: Seal<'_>, file: FileId) -> Fill {
        let Some(mut held) = self.held.remove(&file) else {
            return Fill::HasRoom;
        };
        let Some(first) = held.groups.first().copied() else {
            return Fill::HasRoom;
        };
        let mut starts: Vec<u64> = Vec::new();
        self.worker
            .held(file, &mut |group| starts.push(group.start));
        held.groups
            .retain(|group| starts.contains(&group.at.offset));
        slot.start_span(held.cursor, first.at, seal.now);
        slot.note_line(first.read_at);
        let mut fullest = Fill::HasRoom;
        let labels = &mut self.labels;
        let grading = seal.grading(self.severity);
        self.made.retain(|made| {
            if made.file() != file {
                return true;
            }
            let filled = made.append_to(slot, seal.end, labels, grading);
            if filled == Fill::IsFull {
                fullest = Fill::IsFull;
            }
            false
        });
        let at = held.groups.first().map_or(held.read_to, |group| group.at);
        slot.end_span(at);
        if !held.groups.is_empty() {
            self.held.insert(file, held);
        }
        fullest
    }
}

/// One chunk's way through the stages.
pub(super) struct StagedLane<'a> {
    pub(super) slot: &'a mut Slot,
    pub(super) route: &'a Route,
    /// The file within the tailer.
    pub(super) file: TailId,
    pub(super) workshop: &'a mut Workshop,
    pub(super) stamps: &'a mut Stamps,
    pub(super) own: Gate<'a>,
    pub(super) shared: Gate<'a>,
    pub(super) seal: Seal<'a>,
}

impl StagedLane<'_> {
    /// Takes every line of the chunk through the stages, copies what leaves them, and seals batches as
    /// they fill. Returns what it came to, and how many lines were read.
    pub(super) fn take(
        &mut self,
        framer: &mut Framer<'_>,
        chunk: &Chunk<'_>,
        start: Place,
        source: &SourceEnd,
    ) -> (Taken, u64) {
        let mut metadata = Metadata::of(source);
        let mut tally = Tally::new(self.route.book);
        let mut ground = Ground::default();
        let before = self.workshop.held.remove(&self.route.cursor.file);
        ground.groups = before.map(|held| held.groups).unwrap_or_default();
        self.start_span(start, &ground);
        let mut taken = Taken::Whole;
        while taken == Taken::Whole {
            let is_over_rate = match (self.own.ask(), self.shared.ask()) {
                (Pass::Wait(wait), _) | (_, Pass::Wait(wait)) => {
                    taken = Taken::TooFast(wait);
                    break;
                }
                (own, _) => own == Pass::Drop,
            };
            let code = framer.state().code();
            let Some(line) = framer.next() else {
                break;
            };
            tally.read(line.line);
            if is_over_rate {
                tally.records += 1;
                tally.drop_one("rate_limited");
                continue;
            }
            self.own.spend(line.line.len());
            ground.note(line.span.start, code);
            let read_at = self.stamps.next();
            self.slot.note_line(read_at);
            let entry = Entry {
                file: self.route.cursor.file,
                seed: self.route.key.0,
                span: line.span,
                line: line.line,
                timestamp: read_at,
                labels: &self.route.labels,
            };
            let is_cut_due = self.process(&entry, &mut metadata, chunk.offset, &mut tally);
            if is_cut_due != Cut::None {
                taken = self.cut(
                    is_cut_due,
                    place(framer, chunk),
                    chunk,
                    &mut ground,
                    &mut tally,
                );
            }
            if let Some(until) = self.workshop.worker.take_pause() {
                let wait = Duration::from_nanos(until.0.saturating_sub(read_at.0));
                taken = Taken::TooFast(wait);
            }
        }
        let read_to = place(framer, chunk);
        let at = self.settle(read_to, chunk, &mut ground);
        self.slot.end_span(at);
        self.hold(ground.groups, read_to);
        tally.enter(self.seal.desk);
        (taken, tally.all_lines)
    }

    /// Takes one line through the stages; returns whether the span must be cut behind it.
    fn process(
        &mut self,
        entry: &Entry<'_>,
        metadata: &mut Metadata<'_>,
        chunk_start: u64,
        tally: &mut Tally,
    ) -> Cut {
        let Workshop {
            worker,
            labels,
            made,
            touched,
            metadata: source_metadata,
            offset_metadata,
            severity,
            ..
        } = &mut *self.workshop;
        let mut sorter = Sorter {
            file: entry.file,
            chunk_start,
            slot: self.slot,
            seal: self.seal,
            grading: self.seal.grading(*severity),
            metadata,
            shared: &mut self.shared,
            tally,
            labels,
            source_metadata,
            offset_name: offset_metadata.as_deref(),
            made,
            touched,
            cut: Cut::None,
        };
        worker.process(entry, &mut |outcome| sorter.sort(&outcome));
        sorter.cut
    }

    /// Starts a span where the first open group begins, or where the chunk is.
    fn start_span(&mut self, read_to: Place, ground: &Ground) {
        let cursor = self.route.cursor;
        match ground.groups.first() {
            Some(group) => {
                self.slot.start_span(cursor, group.at, self.seal.now);
                self.slot.note_line(group.read_at);
            }
            None => self.slot.start_span(cursor, read_to, self.seal.now),
        }
    }

    /// Ends the span behind a line and starts the next one, and seals the batch where it is full.
    fn cut(
        &mut self,
        cut: Cut,
        read_to: Place,
        chunk: &Chunk<'_>,
        ground: &mut Ground,
        tally: &mut Tally,
    ) -> Taken {
        let at = self.settle(read_to, chunk, ground);
        self.slot.end_span(at);
        tally.enter(self.seal.desk);
        let mut is_full = cut == Cut::Seal;
        if !self.workshop.touched.is_empty() {
            let fill = self.workshop.release_touched(self.slot, self.seal);
            is_full |= fill == Fill::IsFull;
        }
        let has_room = !is_full || self.seal.seal(self.slot);
        self.start_span(read_to, ground);
        if has_room {
            Taken::Whole
        } else {
            Taken::NoRoom
        }
    }

    /// Looks up which groups are open now; returns where the first one begins, or how far the file was
    /// read.
    fn settle(&mut self, read_to: Place, chunk: &Chunk<'_>, ground: &mut Ground) -> Place {
        if self.workshop.is_grouping {
            let before = std::mem::take(&mut ground.groups);
            let mut groups = Vec::new();
            self.workshop
                .worker
                .held(self.route.cursor.file, &mut |held| {
                    groups.push(ground.group(&before, chunk, held));
                });
            groups.sort_by_key(|group: &Group| group.at.offset);
            groups.dedup_by_key(|group| group.at.offset);
            ground.groups = groups;
        }
        ground.groups.first().map_or(read_to, |group| group.at)
    }

    /// Keeps the cursor among those with open groups, if it has any.
    fn hold(&mut self, groups: Vec<Group>, read_to: Place) {
        if groups.is_empty() {
            return;
        }
        let held = HeldCursor {
            cursor: self.route.cursor,
            file: self.file,
            book: self.route.book,
            groups,
            read_to,
            ended_at: None,
        };
        self.workshop.held.insert(self.route.cursor.file, held);
    }
}

/// What is known of the lines of a chunk at which a group may begin.
#[derive(Debug, Default)]
struct Ground {
    /// The groups that are open, the first one first.
    groups: Vec<Group>,
    /// Lines that do not begin where a line of the file does: the rest of one that was split.
    odd: Vec<(u64, u8)>,
}

impl Ground {
    fn note(&mut self, start: u64, code: u8) {
        if code != 0 {
            self.odd.push((start, code));
        }
    }

    fn group(&self, before: &[Group], chunk: &Chunk<'_>, held: Held) -> Group {
        let known = before.iter().find(|group| group.at.offset == held.start);
        known.copied().unwrap_or_else(|| {
            let odd = self.odd.iter().find(|(start, _)| *start == held.start);
            Group {
                at: Place {
                    offset: held.start,
                    marker: chunk.marker_at(held.start),
                    code: odd.map_or(0, |(_, code)| *code),
                },
                read_at: held.read_at,
            }
        })
    }
}

/// Why a span ends behind a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Cut {
    None,
    /// So that the timestamps of its lines can be given again, or another file's records stand by
    /// themselves.
    Span,
    /// The batch is full.
    Seal,
}

/// Where what leaves the stages goes.
struct Sorter<'a, 'g, 'm> {
    file: FileId,
    chunk_start: u64,
    slot: &'a mut Slot,
    seal: Seal<'a>,
    grading: Grading<'a>,
    metadata: &'a mut Metadata<'m>,
    shared: &'a mut Gate<'g>,
    tally: &'a mut Tally,
    labels: &'a mut ExtraLabels,
    source_metadata: &'a [(String, String)],
    offset_name: Option<&'a str>,
    made: &'a mut Vec<Made>,
    touched: &'a mut Vec<FileId>,
    cut: Cut,
}

impl Sorter<'_, '_, '_> {
    fn sort(&mut self, outcome: &Outcome<'_>) {
        let (parts, lines) = match outcome {
            Outcome::Record(record) => (record.parts, record.lines),
            Outcome::Dropped(dropped) => (dropped.parts, dropped.lines),
        };
        self.tally.records += 1;
        self.tally.joined_lines += lines.saturating_sub(1);
        let mut is_ours = true;
        for part in parts {
            if part.file != self.file {
                is_ours &= parts.first().is_some_and(|first| first.file == self.file);
                self.touched.push(part.file);
                self.cut = self.cut.max(Cut::Span);
            } else if part.span.start < self.chunk_start {
                self.cut = self.cut.max(Cut::Span);
            }
        }
        match outcome {
            Outcome::Dropped(dropped) => {
                self.tally
                    .drop_by_stage(dropped.reason, dropped.is_counted_by_promtail);
            }
            Outcome::Record(_) if self.shared.ask() == Pass::Drop => self.tally.drop_one(OVER_ALL),
            Outcome::Record(record) if is_ours => self.append(record),
            Outcome::Record(record) => {
                let made = Made::of(record, self.source_metadata, self.offset_name, self.grading);
                self.made.push(made);
            }
        }
    }

    fn append(&mut self, record: &Processed<'_>) {
        self.shared.spend(record.line.len());
        let grading = self.grading;
        let severity = grading.grade(record.severity, record.line);
        let is_kept = grading.is_kept(severity);
        let labels: &LabelSet = self.labels.with(record.labels, grading.label(severity));
        let sent = sent_metadata(record, grading.metadata(severity));
        self.metadata.set_severity(sent);
        let mut digits = [0_u8; 20];
        let mut view = record.view();
        (view.labels, view.severity) = (labels, severity);
        let end = self.seal.end;
        let fill = if self.metadata.is_empty() {
            self.slot.append_made(end, record.tenant, &view, is_kept)
        } else {
            let with_offset = self.metadata.with_offset(view.span.start, &mut digits);
            let all = with_offset
                .as_ref()
                .unwrap_or(&*self.metadata)
                .with(record.metadata);
            view.metadata = all.fixed();
            self.slot.append_made(end, record.tenant, &view, is_kept)
        };
        if fill == Fill::IsFull {
            self.cut = Cut::Seal;
        }
    }
}
