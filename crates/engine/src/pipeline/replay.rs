//! What was in flight when an earlier run ended is read again with the same boundaries and timestamps:
//! the same bytes under the same number, so that a backend can recognize the repeat.

mod order;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use tailwater_position_store::{FileKey, Intent, IntentSpan};
use tailwater_record::BatchId;
use tailwater_tailer::{Chunk, FrameState, Now, ReadBuffer, Step};

use self::order::{Placed, Reading, reading_order};
use super::Pipeline;
use super::lane::Stamps;

/// The intents that an earlier run has left, as one thread works them off.
#[derive(Clone, Debug, Default)]
pub(crate) struct Replay {
    pub(super) intents: Vec<Pending>,
    /// The first look at the files is over: what is found later has lost its number.
    is_late: bool,
}

/// What is left of an intent.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) batch: BatchId,
    pub(super) sink: Arc<str>,
    pub(super) step: u64,
    pub(super) spans: Vec<IntentSpan>,
    /// No span of it was covered by positions.
    pub(super) is_whole: bool,
}

/// Where the cursors of a followed file are found.
type Place = (u64, usize);

impl Replay {
    /// Takes over the spans of intents that positions do not cover; `intents` in the order of their
    /// numbers.
    pub(crate) fn new(intents: impl IntoIterator<Item = (Intent, Vec<IntentSpan>)>) -> Self {
        let intents = intents.into_iter().map(|(intent, live)| Pending {
            batch: BatchId(intent.batch),
            sink: intent.sink,
            step: u64::from(intent.timestamp_step),
            is_whole: live.len() == intent.spans.len(),
            spans: live,
        });
        Self {
            intents: intents.collect(),
            is_late: false,
        }
    }

    /// Returns the last timestamp that was given to any record, rounded up to a whole step.
    pub(super) fn last_timestamp(&self, step: u64) -> u64 {
        let last = self.intents.iter().flat_map(|intent| {
            let end = |span: &IntentSpan| {
                let lines = u64::from(span.lines).saturating_mul(intent.step);
                span.first_timestamp_ns.saturating_add(lines)
            };
            intent.spans.iter().map(end)
        });
        let last = last.max().unwrap_or(0);
        last.next_multiple_of(step.max(1))
    }
}

impl Pipeline {
    /// Reads again what was in flight of the files that were just found. Nothing else is read of a file
    /// before.
    pub(super) fn replay_found(&mut self, found: &[u64], now: Now) {
        if self.replay.intents.is_empty() || found.is_empty() {
            return;
        }
        let places = self.places(found);
        let is_late = std::mem::replace(&mut self.replay.is_late, true);
        let mut left = Vec::new();
        for mut intent in std::mem::take(&mut self.replay.intents) {
            let before = intent.spans.len();
            let (found, missing): (Vec<_>, Vec<_>) = std::mem::take(&mut intent.spans)
                .into_iter()
                .partition(|span| places.contains_key(&place_key(span, &intent.sink)));
            let is_whole = intent.is_whole && !is_late && found.len() == before;
            if !found.is_empty() {
                self.replay_intent(&intent, &found, is_whole, &places, now.instant);
            }
            if !missing.is_empty() {
                left.push(Pending {
                    spans: missing,
                    is_whole: false,
                    ..intent
                });
            }
        }
        self.replay.intents = left;
    }

    /// Returns the cursors of some files by file and route. The first one of a sink also stands for the
    /// sink alone: intents of earlier versions name no route.
    fn places(&mut self, files: &[u64]) -> HashMap<(FileKey, Arc<str>), Place> {
        let mut places = HashMap::new();
        for id in files {
            let Some(file) = self.tailer.file_mut(*id) else {
                continue;
            };
            for (index, cursor) in file.cursors.iter().enumerate() {
                let (key, name) = (cursor.route.key, Arc::clone(&cursor.route.name));
                places.insert((key, name), (file.id, index));
                if let Some(lane) = self.plan.lane(cursor.sink) {
                    let sink = Arc::clone(&lane.outlet.name);
                    places.entry((key, sink)).or_insert((file.id, index));
                }
            }
        }
        places
    }

    fn replay_intent(
        &mut self,
        intent: &Pending,
        spans: &[IntentSpan],
        is_whole: bool,
        places: &HashMap<(FileKey, Arc<str>), Place>,
        now: Instant,
    ) {
        let mut slots: Vec<usize> = Vec::new();
        let mut is_same = is_whole;
        let mut broken: Vec<Place> = Vec::new();
        let mut open: Vec<(Place, Place)> = Vec::new();
        for reading in self.reading_order(spans, &intent.sink, places) {
            let Reading { place, chain, .. } = reading;
            // Without its beginning the rest of a group is no record: all of it is read as usual.
            let span = spans.get(reading.span);
            let span = span.filter(|_| !broken.contains(&chain));
            let slot = span.and_then(|span| self.replay_span(place, span, intent.step, now));
            let Some(slot) = slot else {
                is_same = false;
                broken.push(chain);
                continue;
            };
            if !slots.contains(&slot) {
                slots.push(slot);
            }
            open.push((chain, place));
            if !reading.goes_on {
                self.finish_read_again(&mut open, chain);
            }
        }
        is_same &= slots.len() == 1;
        for slot in slots {
            let Some(slot) = self.slots.get_mut(slot) else {
                continue;
            };
            if let Some(end) = self.plan.lane(slot.sink) {
                let id = is_same.then_some(intent.batch);
                slot.seal(end, &self.desk, id, now);
            }
        }
    }

    /// Returns the spans of an intent in the order they are read in.
    fn reading_order(
        &mut self,
        spans: &[IntentSpan],
        sink: &Arc<str>,
        places: &HashMap<(FileKey, Arc<str>), Place>,
    ) -> Vec<Reading> {
        let reads = spans.iter().map(|span| {
            let place = places.get(&place_key(span, sink)).copied();
            let place = place.unwrap_or_default();
            let file = self.tailer.file_mut(place.0).filter(|_| span.start == 0);
            Placed {
                place,
                route: &span.route,
                before: file.and_then(|file| file.predecessor()),
            }
        });
        reading_order(&reads.collect::<Vec<_>>())
    }

    /// Ends the groups of a chain that was read again: they ended there.
    fn finish_read_again(&mut self, open: &mut Vec<(Place, Place)>, chain: Place) {
        // The youngest file first: groups of the older ones have gone on in it.
        let ended: Vec<_> = open.extract_if(.., |(of, _)| *of == chain).collect();
        for (_, (id, index)) in ended.into_iter().rev() {
            let Some(file) = self.tailer.file_mut(id) else {
                continue;
            };
            let route = file.cursors.get(index).map(|cursor| &cursor.route);
            let held = route.and_then(|route| Some((route.workshop?, route.cursor.file)));
            if let Some((workshop, content)) = held {
                self.finish_held(workshop, content, true);
            }
        }
    }

    /// Reads one span into the open batch of its lane, but for the groups of lines that are open at its end;
    /// returns that. `None` where the cursor does not stand at its start, or the file does not hold its end any
    /// more: it is then read as usual.
    fn replay_span(
        &mut self,
        (id, index): Place,
        span: &IntentSpan,
        step: u64,
        now: Instant,
    ) -> Option<usize> {
        let is_there = self.tailer.holds(id, span.end, span.marker, now);
        let file = self.tailer.file_mut(id)?;
        let cursor = file.cursors.get_mut(index)?;
        if cursor.offset != span.start || !is_there {
            return None;
        }
        cursor.frame = FrameState::from_code(span.place);
        let slot = cursor.route.batch;
        let mut stamps = Stamps::again(span.first_timestamp_ns, step);
        let mut buffer = std::mem::replace(&mut self.buffer, ReadBuffer::empty());
        let mut at = span.start;
        while at < span.end {
            let step_taken = match self.tailer.read_again(id, index, &mut buffer, now) {
                Step::Chunk(chunk) => {
                    let chunk = chunk.until(span.end);
                    self.replay_chunk(id, index, &chunk, &mut stamps, now)
                }
                Step::Replaced { lost_bytes } => {
                    self.start_again(id, &lost_bytes);
                    None
                }
                Step::Skipped { .. } => continue,
                Step::ArchiveEnd { damage } => {
                    self.end_archive(id, index, damage);
                    None
                }
                Step::AtEnd | Step::Gated | Step::Failed(_) => None,
            };
            match step_taken.filter(|offset| *offset > at) {
                Some(offset) => at = offset,
                None => break,
            }
        }
        self.buffer = buffer;
        (at >= span.end).then_some(slot)
    }

    /// Frames a chunk with the timestamps that its lines had; returns the offset after it.
    fn replay_chunk(
        &mut self,
        id: u64,
        index: usize,
        chunk: &Chunk<'_>,
        stamps: &mut Stamps,
        now: Instant,
    ) -> Option<u64> {
        let (_, offset) = self.take_chunk(id, index, chunk, Some(stamps), now)?;
        let file = self.tailer.file_mut(id)?;
        file.consume(index, offset, chunk.marker_at(offset), false, now);
        Some(offset)
    }
}

/// Returns what the cursor of a span is found by.
fn place_key(span: &IntentSpan, sink: &Arc<str>) -> (FileKey, Arc<str>) {
    let name = if span.route.is_empty() {
        sink
    } else {
        &span.route
    };
    (span.key, Arc::clone(name))
}
