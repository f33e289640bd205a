//! The path of a line through the stages of its source: from the framer into the open batches.
//!
//! Stages may hold lines, to join them. A span then ends where the first open group begins, and the next
//! one starts there: so a position never passes a line that is held, and what is held when the agent ends
//! is read again. Records of other groups of the file may already be sent by then; they are repeated.

mod made;
mod workshop;

use std::time::Duration;

use tailwater_batcher::Fill;
use tailwater_record::{FileId, LabelSet};
use tailwater_stages::{Entry, Held, Outcome, Processed};
use tailwater_tailer::{Chunk, Framer, TailId};

use self::made::{Made, sent_metadata};
pub(super) use self::workshop::Workshop;
use self::workshop::{Group, HeldCursor};
use super::lane::{Gate, Lane, Metadata, OVER_ALL, Pass, Seal, Taken, Tally, place};
use super::severity::Grading;
use super::slot::{Place, Slot};
use crate::route::{ExtraLabels, SourceEnd};

/// One chunk's way through the stages.
pub(super) struct StagedLane<'a> {
    pub(super) lane: Lane<'a>,
    /// The file within the tailer.
    pub(super) file: TailId,
    pub(super) workshop: &'a mut Workshop,
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
        let mut tally = Tally::new(self.lane.route.book);
        let mut ground = Ground::default();
        let before = self.workshop.held.remove(&self.lane.route.cursor.file);
        if let Some(before) = before {
            (ground.groups, ground.goes_on_in) = (before.groups, before.goes_on_in);
        }
        self.start_span(start, &ground);
        let mut taken = Taken::Whole;
        while taken == Taken::Whole {
            let is_over_rate = match (self.lane.own.ask(), self.lane.shared.ask()) {
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
            self.lane.own.spend(line.line.len());
            ground.note(line.span.start, code);
            let read_at = self.lane.stamps.next();
            self.lane.slot.note_line(read_at);
            let entry = Entry {
                file: self.lane.route.cursor.file,
                seed: self.lane.route.key.0,
                span: line.span,
                line: line.line,
                timestamp: read_at,
                labels: &self.lane.route.labels,
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
        self.lane.slot.end_span(at);
        self.hold(ground, read_to);
        tally.enter(self.lane.seal.desk);
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
            slot: self.lane.slot,
            seal: self.lane.seal,
            grading: self.lane.seal.grading(*severity),
            metadata,
            shared: &mut self.lane.shared,
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
        let cursor = self.lane.route.cursor;
        match ground.groups.first() {
            Some(group) => {
                self.lane
                    .slot
                    .start_span(cursor, group.at, self.lane.seal.now);
                self.lane.slot.note_line(group.read_at);
            }
            None => self
                .lane
                .slot
                .start_span(cursor, read_to, self.lane.seal.now),
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
        self.lane.slot.end_span(at);
        tally.enter(self.lane.seal.desk);
        let mut is_full = cut == Cut::Seal;
        if !self.workshop.touched.is_empty() {
            let fill = self
                .workshop
                .release_touched(self.lane.slot, self.lane.seal);
            is_full |= fill == Fill::IsFull;
        }
        let has_room = !is_full || self.lane.seal.seal(self.lane.slot);
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
                .held(self.lane.route.cursor.file, &mut |held| {
                    groups.push(ground.group(&before, chunk, held));
                });
            groups.sort_by_key(|group: &Group| group.at.offset);
            groups.dedup_by_key(|group| group.at.offset);
            ground.groups = groups;
        }
        ground.groups.first().map_or(read_to, |group| group.at)
    }

    /// Keeps the cursor among those with open groups, if it has any.
    fn hold(&mut self, ground: Ground, read_to: Place) {
        if ground.groups.is_empty() {
            return;
        }
        let held = HeldCursor {
            cursor: self.lane.route.cursor,
            file: self.file,
            book: self.lane.route.book,
            groups: ground.groups,
            read_to,
            ended_at: None,
            goes_on_in: ground.goes_on_in,
        };
        self.workshop.held.insert(self.lane.route.cursor.file, held);
    }
}

/// What is known of the lines of a chunk at which a group may begin.
#[derive(Debug, Default)]
struct Ground {
    /// The groups that are open, the first one first.
    groups: Vec<Group>,
    /// The file that they were handed over to.
    goes_on_in: Option<FileId>,
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
