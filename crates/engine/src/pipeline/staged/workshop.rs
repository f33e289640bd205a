//! The stages of one source on their way to one lane, and what they hold.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tailwater_batcher::Fill;
use tailwater_record::{CursorId, FileId, TimestampNs};
use tailwater_stages::{Outcome, Worker};
use tailwater_tailer::TailId;

use super::made::Made;
use crate::books::RouteIndex;
use crate::config::SeverityForm;
use crate::pipeline::lane::{Seal, Tally};
use crate::pipeline::slot::{Place, Slot};
use crate::route::{ExtraLabels, Plan, SinkEnd, SourceEnd};

/// How long the open groups of a file that was read to its end wait for the first line of the file that
/// took its path.
const SUCCESSOR_WAIT: Duration = Duration::from_secs(30);

/// The stages of one source on their way to one lane, with what they hold.
#[derive(Debug)]
pub(in crate::pipeline) struct Workshop {
    /// Index of the source.
    pub(in crate::pipeline) source: usize,
    /// The number of the lane's outlet.
    pub(in crate::pipeline) sink: u32,
    pub(super) worker: Worker,
    pub(super) is_grouping: bool,
    /// The cursors with an open group. Bounded by the streams that stages hold.
    pub(super) held: HashMap<FileId, HeldCursor>,
    pub(super) labels: ExtraLabels,
    /// Structured metadata of the source.
    pub(super) metadata: Vec<(String, String)>,
    pub(super) offset_metadata: Option<String>,
    /// How the severity of its records is sent.
    pub(super) severity: SeverityForm,
    /// Records of other files than the one that is being read.
    pub(super) made: Vec<Made>,
    /// Other files whose groups have changed.
    pub(super) touched: Vec<FileId>,
}

/// A cursor with an open group.
#[derive(Debug)]
pub(super) struct HeldCursor {
    pub(super) cursor: CursorId,
    /// Its file within the tailer.
    pub(super) file: TailId,
    pub(super) book: RouteIndex,
    /// Where its open groups begin, the first one first; never empty.
    pub(super) groups: Vec<Group>,
    /// How far the file was read.
    pub(super) read_to: Place,
    /// Since when it is known to be read to its end, its path lost to another file.
    pub(super) ended_at: Option<Instant>,
    /// The file that its open groups were handed over to.
    pub(super) goes_on_in: Option<FileId>,
}

/// Where an open group begins, and when its first line was read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Group {
    pub(super) at: Place,
    pub(super) read_at: TimestampNs,
}

impl Workshop {
    /// Returns the stages of a source for a lane, setting them up where they are not; `None` where the
    /// source has none.
    pub(in crate::pipeline) fn find_or_set_up(
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
    pub(in crate::pipeline) fn new(
        index: usize,
        source: &SourceEnd,
        end: &SinkEnd,
    ) -> Option<Self> {
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
    pub(in crate::pipeline) fn set_patient(&mut self) {
        self.worker.set_patient();
    }

    pub(in crate::pipeline) fn holds_any(&self) -> bool {
        !self.held.is_empty()
    }

    pub(in crate::pipeline) fn holds(&self, file: FileId) -> bool {
        self.held.contains_key(&file)
    }

    /// Lets the open groups of a file that was read to its end go on in the one that took its path.
    pub(in crate::pipeline) fn hand_over(&mut self, from: FileId, to: FileId) {
        let worker = &mut self.worker;
        self.held.values_mut().for_each(|held| {
            // Groups without a line of the file in between are open in that too.
            if held.cursor.file == from || held.goes_on_in == Some(from) {
                let open_in = held.goes_on_in.replace(to);
                worker.hand_over(open_in.unwrap_or(held.cursor.file), to);
            }
        });
    }

    /// Gives up what is held of every file; returns where each is to be read from again.
    pub(in crate::pipeline) fn take_back(&mut self) -> Vec<(TailId, FileId, Place)> {
        let held = std::mem::take(&mut self.held);
        held.into_iter()
            .filter_map(|(content, held)| {
                let open_in = held.goes_on_in.into_iter().chain([content]);
                open_in.for_each(|file| self.worker.forget(file));
                Some((held.file, content, held.groups.first()?.at))
            })
            .collect()
    }

    /// Sends the groups whose time is over.
    pub(in crate::pipeline) fn flush(&mut self, slot: &mut Slot, now_ns: u64, seal: Seal<'_>) {
        self.give(slot, seal, |worker, emit| {
            worker.flush(TimestampNs(now_ns), emit);
        });
    }

    /// Sends the open groups of a file, which does not go on. Those that have lines of the next file stay:
    /// they end with that.
    pub(in crate::pipeline) fn finish(&mut self, slot: &mut Slot, file: FileId, seal: Seal<'_>) {
        let next = self.next_of(file).filter(|next| !self.holds(*next));
        self.finish_both(slot, file, next, seal);
    }

    /// Sends the open groups of a file whose content is gone, and what the next file has of them: that goes
    /// on without.
    pub(in crate::pipeline) fn give_up(&mut self, slot: &mut Slot, file: FileId, seal: Seal<'_>) {
        let next = self.next_of(file);
        self.finish_both(slot, file, next, seal);
    }

    fn next_of(&self, file: FileId) -> Option<FileId> {
        self.held.get(&file)?.goes_on_in
    }

    fn finish_both(&mut self, slot: &mut Slot, file: FileId, next: Option<FileId>, seal: Seal<'_>) {
        if !self.holds(file) {
            return;
        }
        self.give(slot, seal, |worker, emit| {
            worker.finish(file, emit);
            if let Some(next) = next {
                worker.finish(next, emit);
            }
        });
        if self.worker.held_from(file).is_none() {
            self.held.remove(&file);
        }
    }

    /// Returns the files with open groups.
    pub(in crate::pipeline) fn held_files(&self) -> impl Iterator<Item = (FileId, TailId)> {
        self.held
            .iter()
            .map(|(content, held)| (*content, held.file))
    }

    /// Notes that a file was read to its end; returns whether its groups have waited long enough for the
    /// next one.
    pub(in crate::pipeline) fn is_overdue(
        &mut self,
        file: FileId,
        has_successor: bool,
        now: Instant,
    ) -> bool {
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

    /// Copies the records of other files than the one that is being read, with their spans. Those of younger
    /// files come first, so that the spans of a batch tell whether a group went over the end of a file: the
    /// later part of it stands before the earlier one.
    pub(super) fn release_touched(&mut self, slot: &mut Slot, seal: Seal<'_>) -> Fill {
        let mut touched = std::mem::take(&mut self.touched);
        touched.sort_unstable_by(|one, other| other.cmp(one));
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
