//! What was in flight when an earlier run was killed is made again while its files are read: the same
//! bytes under the same number, so that a backend can recognize the repeat.
//!
//! Files are read in one order only, so the spans of a batch come up as they did when it was made, and
//! nothing of another batch between them.

use tailwater_position_store::IntentSpan;
use tailwater_record::{BatchId, Marker};
use tailwater_tailer::FrameState;

use super::opened::Tap;
use super::{ChainReader, Turn};
use crate::pipeline::lane::Stamps;
use crate::pipeline::replay::{Pending, Replay};

/// What is to be made again, and the batches that are being made again.
#[derive(Debug)]
pub(super) struct Redo {
    intents: Vec<Pending>,
    /// By the indexes of the slots.
    under_way: Vec<Option<Remaking>>,
}

/// A batch that is made again.
#[derive(Clone, Copy, Debug)]
struct Remaking {
    batch: BatchId,
    /// Spans that were not read yet.
    spans_left: usize,
    /// It will be what it was.
    is_same: bool,
}

/// A span that is read again.
#[derive(Debug)]
pub(super) struct RedoSpan {
    pub(super) end: u64,
    pub(super) stamps: Stamps,
    marker: Marker,
}

impl Redo {
    pub(super) fn new(replay: Replay) -> Self {
        Self {
            intents: replay.intents,
            under_way: Vec::new(),
        }
    }

    /// Returns whether the open batch of a slot is one that is made again.
    pub(super) fn is_under_way(&self, slot: usize) -> bool {
        self.under_way.get(slot).is_some_and(Option::is_some)
    }

    fn of_slot(&mut self, slot: usize) -> &mut Option<Remaking> {
        if self.under_way.len() <= slot {
            self.under_way.resize(slot + 1, None);
        }
        // It was made just now where it was not there.
        self.under_way
            .get_mut(slot)
            .expect("there is an entry for every slot up to this one")
    }

    /// Takes out the span that begins where a cursor is, with the batch it belongs to.
    fn take_span(&mut self, tap: &Tap, sink: &str) -> Option<(Remaking, u64, IntentSpan)> {
        let route = &tap.route;
        let is_it = |span: &IntentSpan| {
            let is_named = *span.route == *route.name || span.route.is_empty();
            span.key == route.key && is_named && span.start == tap.offset
        };
        let of_sink = self
            .intents
            .iter_mut()
            .filter(|intent| *intent.sink == *sink);
        for intent in of_sink {
            let Some(at) = intent.spans.iter().position(is_it) else {
                continue;
            };
            let remaking = Remaking {
                batch: intent.batch,
                spans_left: intent.spans.len(),
                is_same: intent.is_whole,
            };
            let (step, span) = (intent.step, intent.spans.remove(at));
            self.intents.retain(|intent| !intent.spans.is_empty());
            return Some((remaking, step, span));
        }
        None
    }
}

impl ChainReader {
    /// Ends the span that a cursor has read again, and begins the next one. Returns what the turn came to,
    /// where that is all.
    pub(super) fn prepare_redo(&mut self, index: usize) -> Option<Turn> {
        let opened = self.opened.as_mut()?;
        let block = &opened.blocks.block;
        let tap = opened.cursors.get_mut(index)?;
        if tap.is_span_over() {
            let is_at_block_end = block.end_offset() <= tap.offset;
            if is_at_block_end && block.end.is_none() {
                // Whether the file ends here says what becomes of its open groups.
                tap.is_behind = false;
                return Some(Turn::Done);
            }
            let span = tap.redo.take()?;
            let is_same = tap.marker == span.marker && tap.offset == span.end;
            let is_file_end = is_at_block_end;
            let (slot, workshop) = (tap.route.batch, tap.route.workshop);
            let content = opened.content;
            if let Some(workshop) = workshop.filter(|_| !is_file_end) {
                self.finish_groups_of(workshop, content);
            }
            self.end_span(slot, is_same);
            if !is_file_end {
                self.seal_if_redone(slot);
            }
            return Some(Turn::More);
        }
        if tap.offset >= block.end_offset() {
            tap.is_behind = false;
            return Some(Turn::Done);
        }
        if tap.redo.is_none() {
            self.begin_redo(index);
        }
        None
    }

    /// Begins to read again what begins where a cursor is, if anything does.
    fn begin_redo(&mut self, index: usize) {
        let Some(tap) = self
            .opened
            .as_mut()
            .and_then(|opened| opened.cursors.get_mut(index))
        else {
            return;
        };
        let slot = tap.route.batch;
        let end = self.plan.lane(tap.route.cursor.sink);
        let Some((remaking, step, span)) =
            end.and_then(|end| self.redo.take_span(tap, &end.outlet.name))
        else {
            if self.redo.is_under_way(slot) {
                self.end_redo_of(slot);
            }
            return;
        };
        tap.frame = FrameState::from_code(span.place);
        tap.redo = Some(RedoSpan {
            end: span.end,
            stamps: Stamps::again(span.first_timestamp_ns, step),
            marker: span.marker,
        });
        let current = *self.redo.of_slot(slot);
        if current.is_some_and(|current| current.batch == remaking.batch) {
            return;
        }
        self.end_redo_of(slot);
        self.seal(slot);
        *self.redo.of_slot(slot) = Some(remaking);
    }

    /// A span was read again.
    pub(super) fn end_span(&mut self, slot: usize, is_same: bool) {
        if let Some(remaking) = self.redo.of_slot(slot) {
            remaking.spans_left = remaking.spans_left.saturating_sub(1);
            remaking.is_same &= is_same;
        }
    }

    /// Seals a batch that is made again, where all of its spans were read and none of its records waits in
    /// an open group.
    pub(super) fn seal_if_redone(&mut self, slot: usize) {
        let sink = self.slots.get(slot).map(|slot| slot.sink);
        let mut workshops = self.workshops.iter();
        let waits = workshops.any(|workshop| Some(workshop.sink) == sink && workshop.holds_any());
        let is_read = self
            .redo
            .of_slot(slot)
            .is_some_and(|remaking| remaking.spans_left == 0);
        if is_read && !waits {
            self.end_redo_of(slot);
        }
    }

    /// Something else follows in a lane: the batch that was made again is sealed as far as it goes.
    pub(super) fn end_redo_of(&mut self, slot: usize) {
        let Some(remaking) = *self.redo.of_slot(slot) else {
            return;
        };
        let is_read = remaking.spans_left == 0;
        if is_read && let Some(content) = self.unfinished {
            // All of its lines are there: what is still open was sent without the next file.
            let sink = self.slots.get(slot).map(|slot| slot.sink);
            for workshop in 0..self.workshops.len() {
                if self.workshops.get(workshop).map(|workshop| workshop.sink) == sink {
                    self.finish_groups_of(workshop, content);
                }
            }
        }
        *self.redo.of_slot(slot) = None;
        let is_same = remaking.is_same && is_read;
        self.seal_as(slot, is_same.then_some(remaking.batch));
    }
}
