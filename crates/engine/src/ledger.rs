//! The ledger: from resolved batches to positions.
//!
//! Batches may be resolved out of order. The spans of a cursor are kept in the order they were sealed,
//! and its position is the end of the resolved prefix: nothing else moves a position.

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use tailwater_position_store::{FileKey, Position};
use tailwater_record::{BatchId, BatchSpan, CursorId, EncodedBatch, Marker};

use crate::books::RouteIndex;

/// How far a cursor is acked, for its pipeline thread to read without a lock.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    acked_offset: AtomicU64,
    read_lines: AtomicU64,
}

impl Progress {
    pub(crate) fn acked_offset(&self) -> u64 {
        self.acked_offset.load(Ordering::Acquire)
    }

    /// Lines read since the cursor was made.
    pub(crate) fn read_lines(&self) -> u64 {
        self.read_lines.load(Ordering::Relaxed)
    }

    pub(crate) fn add_lines(&self, lines: u64) {
        self.read_lines.fetch_add(lines, Ordering::Relaxed);
    }
}

/// What the ledger knows of a cursor.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    pub(crate) route: RouteIndex,
    /// The name that its position is stored under.
    pub(crate) name: Arc<str>,
    pub(crate) key: FileKey,
    /// Of the file's content in the position store.
    pub(crate) epoch: u32,
    pub(crate) path: Arc<Path>,
    pub(crate) progress: Arc<Progress>,
}

/// A position that has moved.
#[derive(Debug)]
pub(crate) struct Moved {
    pub(crate) key: FileKey,
    pub(crate) name: Arc<str>,
    pub(crate) position: Position,
}

#[derive(Debug)]
struct Frontier {
    account: Account,
    pending: VecDeque<Pending>,
    /// The content is gone, or the cursor is: what is still unresolved moves no position.
    is_closed: bool,
}

#[derive(Debug)]
struct Pending {
    end: u64,
    marker: Marker,
    place: u8,
    /// Records that are not resolved.
    records: u64,
    sealed_at: Instant,
    /// The batches that hold records of it and are not resolved: several where its records have several
    /// tenants. By their numbers, for a batch may be resolved twice: as spilled, and as delivered.
    open: Vec<BatchId>,
}

/// All cursors with their unresolved spans. Bounded by the queues: a span is here while its batch is.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<Frontiers>);

/// Boxed: a table of large values is mostly holes, and doubles to grow.
type Frontiers = HashMap<CursorId, Box<Frontier>>;

impl Ledger {
    /// Opens the account of a cursor that starts at `offset`.
    pub(crate) fn open(&self, cursor: CursorId, account: Account, offset: u64) {
        account
            .progress
            .acked_offset
            .store(offset, Ordering::Release);
        let frontier = Frontier {
            account,
            pending: VecDeque::new(),
            is_closed: false,
        };
        self.lock().insert(cursor, Box::new(frontier));
    }

    /// Closes an account: its position moves no more.
    pub(crate) fn close(&self, cursor: CursorId) {
        let mut frontiers = self.lock();
        if let Some(frontier) = frontiers.get_mut(&cursor) {
            frontier.is_closed = true;
            if frontier.pending.is_empty() {
                frontiers.remove(&cursor);
            }
        }
    }

    /// The epoch of a cursor's file has become another.
    pub(crate) fn set_epoch(&self, cursor: CursorId, epoch: u32) {
        if let Some(frontier) = self.lock().get_mut(&cursor) {
            frontier.account.epoch = epoch;
        }
    }

    /// Enters the spans of a sealed batch, before it can be resolved. Of batches that are sealed together
    /// the lead comes first; none may be resolved before all are entered.
    pub(crate) fn enter(&self, batch: &EncodedBatch, sealed_at: Instant) {
        let mut frontiers = self.lock();
        for span in &batch.spans {
            if let Some(frontier) = frontiers.get_mut(&span.cursor) {
                frontier.enter(batch.id, span, sealed_at);
            }
        }
    }

    /// Returns the account behind a span.
    pub(crate) fn account(&self, cursor: CursorId) -> Option<Account> {
        self.lock()
            .get(&cursor)
            .map(|frontier| frontier.account.clone())
    }

    /// Marks the spans of a batch as resolved; returns the positions that have moved.
    pub(crate) fn resolve(&self, batch: BatchId, spans: &[BatchSpan]) -> Vec<Moved> {
        let mut frontiers = self.lock();
        let mut moved = Vec::with_capacity(spans.len());
        for span in spans {
            let Some(frontier) = frontiers.get_mut(&span.cursor) else {
                continue;
            };
            moved.extend(frontier.resolve(batch, span));
            if frontier.is_closed && frontier.pending.is_empty() {
                frontiers.remove(&span.cursor);
            }
        }
        moved
    }

    /// Takes out every cursor of a sink: what is unresolved will be read again. Returns the records of
    /// each route that were.
    pub(crate) fn abandon(&self, sink: u32) -> Vec<(RouteIndex, u64)> {
        let mut abandoned = Vec::new();
        self.lock().retain(|cursor, frontier| {
            let stays = cursor.sink != sink;
            if !stays {
                let records = frontier.pending.iter().map(|pending| pending.records);
                abandoned.push((frontier.account.route, records.sum()));
            }
            stays
        });
        abandoned
    }

    /// Returns when the oldest unresolved span of a cursor was sealed.
    pub(crate) fn oldest_unresolved(&self, cursor: CursorId) -> Option<Instant> {
        self.lock()
            .get(&cursor)?
            .pending
            .front()
            .map(|pending| pending.sealed_at)
    }

    /// Returns when the oldest unresolved span of a sink was sealed.
    pub(crate) fn oldest_of_sink(&self, sink: u32) -> Option<Instant> {
        let frontiers = self.lock();
        let of_sink = frontiers.iter().filter(|(cursor, _)| cursor.sink == sink);
        of_sink
            .filter_map(|(_, frontier)| Some(frontier.pending.front()?.sealed_at))
            .min()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Frontiers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Frontier {
    fn enter(&mut self, batch: BatchId, span: &BatchSpan, sealed_at: Instant) {
        let records = u64::from(span.records);
        if let Some(covering) = self.covering(span.span.end) {
            covering.open.push(batch);
            covering.records += records;
            return;
        }
        if self.pending.is_empty() {
            // Of many thousands of files, most have no more than one.
            self.pending.reserve_exact(1);
        }
        self.pending.push_back(Pending {
            end: span.span.end,
            marker: span.marker,
            place: span.end_place,
            records,
            sealed_at,
            open: vec![batch],
        });
    }

    /// Returns the span that an end belongs to: ends never fall within a cursor.
    fn covering(&mut self, end: u64) -> Option<&mut Pending> {
        let at = self.pending.partition_point(|pending| pending.end < end);
        self.pending.get_mut(at)
    }

    fn resolve(&mut self, batch: BatchId, span: &BatchSpan) -> Option<Moved> {
        let found = self.covering(span.span.end)?;
        // A part of several spans that the lead holds as one stands in it several times.
        let at = found.open.iter().position(|open| *open == batch)?;
        found.open.swap_remove(at);
        found.records = found.records.saturating_sub(u64::from(span.records));
        let mut last = None;
        while self
            .pending
            .front()
            .is_some_and(|pending| pending.open.is_empty())
        {
            last = self.pending.pop_front();
        }
        let last = last?;
        if self.pending.is_empty() {
            // Nobody may ever write to the file again.
            self.pending = VecDeque::new();
        }
        self.account
            .progress
            .acked_offset
            .store(last.end, Ordering::Release);
        if self.is_closed {
            return None;
        }
        Some(Moved {
            key: self.account.key,
            name: Arc::clone(&self.account.name),
            position: Position {
                offset: last.end,
                marker: last.marker,
                place: last.place,
            },
        })
    }
}
