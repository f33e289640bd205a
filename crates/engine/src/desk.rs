//! The desk: where what becomes of a batch is entered, once and in one place.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tailwater_failpoint::failpoint;
use tailwater_position_store::{FileKey, Intent, IntentSpan, Intents};
use tailwater_record::{BatchSpan, EncodedBatch, Marker, Share, Span};

use crate::books::{Books, Note, Outcome, RouteIndex};
use crate::checkpoint::Positions;
use crate::envelope::EnvelopeSpan;
use crate::ledger::Ledger;
use crate::outlet::Outlet;
use crate::pipeline::Replay;
use crate::queue::{Copied, Evicted, Taken};

/// Refusals of one batch that are logged one by one.
const MAX_LOGGED_REFUSALS: usize = 10;

/// After so many intents a checkpoint is due, whatever its interval.
const HURRY_AFTER_INTENTS: usize = 1024;

/// The note that holds a number above that of every batch.
pub(crate) const NEXT_BATCH: &str = "next_batch";

/// What all lanes share.
#[derive(Debug)]
pub(crate) struct Desk {
    pub(crate) books: Books,
    pub(crate) ledger: Ledger,
    pub(crate) positions: Arc<Positions>,
    /// `None` where nothing is kept.
    pub(crate) intents: Option<Mutex<Intents>>,
    pub(crate) intent_failures: AtomicU64,
    /// Nanoseconds from one record's timestamp to the next.
    pub(crate) timestamp_step: AtomicU64,
    /// Greater than the number of every batch.
    pub(crate) next_batch: AtomicU64,
    /// Held while records change their column in the books and positions move with them: a checkpoint
    /// has both or neither, so that the next start counts no record twice and leaves none out.
    pub(crate) cut: Mutex<()>,
}

/// Where a span of a batch came from.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    /// `None` where the books do not know it any more.
    pub(crate) route: Option<RouteIndex>,
    pub(crate) path: Arc<Path>,
    pub(crate) source: Arc<str>,
    pub(crate) key: FileKey,
    pub(crate) epoch: u32,
    pub(crate) span: Span,
    pub(crate) share: Share,
    pub(crate) end_place: u8,
    pub(crate) marker: Marker,
    pub(crate) records: u32,
    pub(crate) line_bytes: u64,
}

impl Origin {
    /// Returns it as it stands on disk.
    pub(crate) fn into_span(self) -> EnvelopeSpan {
        EnvelopeSpan {
            source: self.source,
            path: self.path,
            key: self.key,
            epoch: self.epoch,
            // A frame that holds some of the records moves no position when it is found again: the others
            // may have been on the wire.
            span: match self.share {
                Share::All => self.span,
                Share::Lead | Share::Part => Span {
                    end: self.span.start,
                    ..self.span
                },
            },
            end_place: self.end_place,
            marker: self.marker,
            records: self.records,
            line_bytes: self.line_bytes,
        }
    }
}

/// A record that was refused for good.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rejected {
    pub(crate) record_index: u32,
    pub(crate) reason: &'static str,
}

/// Records of a batch that were given up, by their indexes.
#[derive(Clone, Debug)]
pub(crate) struct GivenUp {
    pub(crate) records: Range<u32>,
    pub(crate) reason: &'static str,
}

/// The records of a batch that were not delivered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lost {
    pub(crate) rejected: Vec<Rejected>,
    pub(crate) given_up: Vec<GivenUp>,
}

impl Desk {
    /// Notes what a batch is made of before it is first sent, so that it is made again after a crash.
    /// Where that fails the batch is sent all the same: its repeat would not be recognized. A batch of parts
    /// needs none: they are made again with their lead.
    pub(crate) fn intend(&self, batch: &EncodedBatch, outlet: &Outlet) {
        let Some(intents) = &self.intents else {
            return;
        };
        if batch.spans.iter().all(|span| span.share == Share::Part) {
            return;
        }
        failpoint("intent_before");
        // A span without bytes has nothing that could be read again.
        let spans = batch.spans.iter().filter(|span| !span.span.is_empty());
        let spans = spans.filter_map(|span| {
            let account = self.ledger.account(span.cursor)?;
            Some(IntentSpan {
                key: account.key,
                epoch: account.epoch,
                start: span.span.start,
                end: span.span.end,
                marker: span.marker,
                place: span.start_place,
                lines: span.lines,
                first_timestamp_ns: span.first_timestamp.0,
                route: account.name,
            })
        });
        let intent = Intent {
            batch: batch.id.0,
            sink: Arc::clone(&outlet.name),
            timestamp_step: u32::try_from(self.timestamp_step.load(Ordering::Relaxed)).unwrap_or(1),
            spans: spans.collect(),
        };
        let mut intents = lock(intents);
        if intent.spans.is_empty() || intents.is_live(intent.batch) {
            return;
        }
        let appended = intents.append(intent);
        if intents.live_len().is_multiple_of(HURRY_AFTER_INTENTS) {
            self.positions.hurry();
        }
        drop(intents);
        if let Err(error) = appended
            && self.intent_failures.fetch_add(1, Ordering::Relaxed) == 0
        {
            tracing::error!(
                error = &error as &dyn std::error::Error,
                "cannot note what is sent: after a crash it is sent again under other timestamps"
            );
        }
        failpoint("intent_after");
    }

    /// Takes up the intents that an earlier run has left; forgets those that positions cover.
    pub(crate) fn replay(&self, found: Vec<Intent>) -> Replay {
        let store = self.positions.lock();
        let live: Vec<(Intent, Vec<IntentSpan>)> = found
            .into_iter()
            .map(|intent| {
                let live = intent.live_spans(&store);
                (intent, live)
            })
            .filter(|(_, live)| !live.is_empty())
            .collect();
        drop(store);
        self.forget_intents(&self.covered_intents());
        if !live.is_empty() {
            tracing::info!(
                batches = live.len(),
                "what was in flight when the agent ended is sent again as it was"
            );
        }
        Replay::new(live)
    }

    pub(crate) fn cut(&self) -> MutexGuard<'_, ()> {
        self.cut.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns what is stored beside the positions.
    pub(crate) fn notes(&self) -> Vec<Note> {
        let mut notes = self.books.notes();
        let next_batch = self.next_batch.load(Ordering::Relaxed);
        notes.push((NEXT_BATCH.to_owned(), next_batch.to_string().into_bytes()));
        notes
    }

    /// Returns the batches whose intents the positions cover by now.
    pub(crate) fn covered_intents(&self) -> Vec<u64> {
        let Some(intents) = &self.intents else {
            return Vec::new();
        };
        let intents = lock(intents);
        let store = self.positions.lock();
        let live = intents.live();
        live.filter(|intent| intent.live_spans(&store).is_empty())
            .map(|intent| intent.batch)
            .collect()
    }

    /// Drops the intents of batches that durable positions cover: no start sends them again.
    pub(crate) fn forget_intents(&self, covered: &[u64]) {
        if let Some(intents) = &self.intents {
            let mut intents = lock(intents);
            covered.iter().for_each(|batch| intents.resolve(*batch));
        }
    }

    /// Returns where the spans of a batch came from, in the order of its records.
    pub(crate) fn origins(&self, taken: &Taken) -> Vec<Origin> {
        let Some(spilled) = &taken.spilled else {
            let spans = taken.batch.spans.iter();
            return spans.map(|span| self.origin(span)).collect();
        };
        let of_span = |span: &EnvelopeSpan| Origin {
            route: Some(self.books.route(&span.source, &spilled.sink)),
            path: Arc::clone(&span.path),
            source: Arc::clone(&span.source),
            key: span.key,
            epoch: span.epoch,
            span: span.span,
            share: Share::All,
            end_place: span.end_place,
            marker: span.marker,
            records: span.records,
            line_bytes: span.line_bytes,
        };
        spilled.spans.iter().map(of_span).collect()
    }

    /// Returns where a span of a cursor came from.
    pub(crate) fn origin(&self, span: &BatchSpan) -> Origin {
        let account = self.ledger.account(span.cursor);
        let (route, path, source, key, epoch) = match account {
            Some(account) => (
                Some(account.route),
                account.path,
                self.books.source_of(account.route),
                account.key,
                account.epoch,
            ),
            None => (None, Path::new("").into(), "".into(), FileKey(0), 0),
        };
        Origin {
            route,
            path,
            source,
            key,
            epoch,
            span: span.span,
            share: span.share,
            end_place: span.end_place,
            marker: span.marker,
            records: span.records,
            line_bytes: span.line_bytes,
        }
    }

    /// Enters what became of a batch into the books, and moves the positions.
    pub(crate) fn settle(&self, taken: &Taken, origins: &[Origin], lost: &Lost, outlet: &Outlet) {
        failpoint("settle");
        report(taken, origins, &lost.rejected, outlet);
        let outcomes = outcomes(origins, lost);
        if let Some(spilled) = &taken.spilled {
            outlet.ack_spilled(spilled.seq, outcomes);
            return;
        }
        outlet.queue.resolved(&taken.batch, |copied| match copied {
            Copied::Durable(seq) => outlet.ack_spilled_quietly(seq, outcomes),
            Copied::No | Copied::Unsynced(_) => {
                let cut = self.cut();
                self.books.settle(&outcomes);
                let moved = self.ledger.resolve(taken.batch.id, &taken.batch.spans);
                self.positions.advance(moved);
                drop(cut);
                if let Copied::Unsynced(seq) = copied {
                    outlet.ack_spilled_quietly(seq, Vec::new());
                }
            }
        });
        outlet.queue.ring();
    }

    /// Counts what a policy has dropped, and moves the positions over it.
    pub(crate) fn settle_evicted(&self, evicted: &[Evicted], reason: &'static str) {
        let _cut = self.cut();
        for evicted in evicted {
            for span in &evicted.spans {
                if let Some(account) = self.ledger.account(span.cursor) {
                    self.books
                        .drop_records(account.route, u64::from(span.records), reason);
                }
            }
            if evicted.is_whole {
                let moved = self.ledger.resolve(evicted.batch, &evicted.spans);
                self.positions.advance(moved);
            }
        }
    }
}

/// Adds up what became of the records of a batch, by route.
fn outcomes(origins: &[Origin], lost: &Lost) -> Vec<Outcome> {
    let mut by_route: BTreeMap<RouteIndex, Outcome> = BTreeMap::new();
    let mut first_record = 0_u32;
    for origin in origins {
        let indexes = first_record..first_record.saturating_add(origin.records);
        first_record = indexes.end;
        let Some(route) = origin.route else {
            continue;
        };
        let outcome = by_route.entry(route).or_insert_with(|| Outcome {
            route,
            ..Outcome::default()
        });
        outcome.records += u64::from(origin.records);
        let mut is_whole = true;
        for rejected in lost
            .rejected
            .iter()
            .filter(|rejected| indexes.contains(&rejected.record_index))
        {
            is_whole = false;
            *outcome
                .rejected
                .entry(Cow::Borrowed(rejected.reason))
                .or_default() += 1;
        }
        for given_up in &lost.given_up {
            let start = given_up.records.start.max(indexes.start);
            let records = given_up.records.end.min(indexes.end).saturating_sub(start);
            if records > 0 {
                is_whole = false;
                *outcome
                    .dropped
                    .entry(Cow::Borrowed(given_up.reason))
                    .or_default() += u64::from(records);
            }
        }
        if is_whole {
            outcome.acked_bytes += origin.line_bytes;
        }
    }
    by_route.into_values().collect()
}

/// Names the refused records by file and offset, never by content.
fn report(taken: &Taken, origins: &[Origin], rejected: &[Rejected], outlet: &Outlet) {
    for rejected in rejected.iter().take(MAX_LOGGED_REFUSALS) {
        let record = record_at(origins, &taken.batch.record_ends, rejected.record_index);
        let path = record.map(|(origin, _)| origin.path.display().to_string());
        let offset = record.map(|(_, span)| span.start);
        tracing::error!(
            sink = &*outlet.name,
            path,
            offset,
            reason = rejected.reason,
            "record rejected by the sink for good"
        );
    }
    let suppressed = rejected.len().saturating_sub(MAX_LOGGED_REFUSALS);
    if suppressed > 0 {
        tracing::error!(sink = &*outlet.name, suppressed, "more records rejected");
    }
}

/// Returns where a record of a batch came from, and its bytes.
pub(crate) fn record_at<'o>(
    origins: &'o [Origin],
    record_ends: &[u32],
    record_index: u32,
) -> Option<(&'o Origin, Span)> {
    let mut first_index = 0_u32;
    for origin in origins {
        let next_index = first_index.checked_add(origin.records)?;
        if record_index >= next_index {
            first_index = next_index;
            continue;
        }
        let index = usize::try_from(record_index).ok()?;
        let end = u64::from(*record_ends.get(index)?);
        let before = (record_index > first_index)
            .then(|| record_ends.get(index.checked_sub(1)?))
            .flatten();
        // Records of several open groups of one file do not end in the order of their bytes.
        let start = before.copied().map_or(0, u64::from).min(end);
        let span = Span {
            start: origin.span.start.checked_add(start)?,
            end: origin.span.start.checked_add(end)?,
        };
        return Some((origin, span));
    }
    None
}

fn lock(intents: &Mutex<Intents>) -> MutexGuard<'_, Intents> {
    intents.lock().unwrap_or_else(PoisonError::into_inner)
}
