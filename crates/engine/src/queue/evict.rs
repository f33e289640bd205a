//! Making room by dropping records.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tailwater_record::{BatchId, BatchSpan, EncodedBatch};

use super::{Queue, Queued, State};

/// Where dropping begins, and how far it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// From the end of the queue, until it holds at most so many bytes.
    Newest { max_bytes: u64 },
    /// From its head, until it is within its limit.
    Oldest,
}

/// What was dropped of a batch.
#[derive(Debug)]
pub(crate) struct Evicted {
    /// Its number.
    pub(crate) batch: BatchId,
    /// The spans of the batch, each with the records that were dropped of it.
    pub(crate) spans: Vec<BatchSpan>,
    /// Nothing is left of the batch: its spans are resolved.
    pub(crate) is_whole: bool,
}

impl Queue {
    /// Drops until the queue is within its limit, or empty: first the records that are not to be kept,
    /// batch by batch, then whole batches. What is on the wire is left alone.
    pub(super) fn evict(&self, state: &mut State, way: Way) -> Vec<Evicted> {
        let mut evicted = Vec::new();
        if !self.policy.keep.is_empty() {
            self.strip(state, way, &mut evicted);
        }
        while self.is_over(state, way) {
            let dropped = match way {
                Way::Newest { .. } => state.batches.pop_back(),
                Way::Oldest => state.batches.pop_front(),
            };
            let Some(dropped) = dropped else {
                break;
            };
            self.give_up(state, dropped.batch.memory_bytes());
            evicted.push(Evicted {
                batch: dropped.batch.id,
                spans: dropped.batch.spans.clone(),
                is_whole: true,
            });
        }
        evicted
    }

    fn strip(&self, state: &mut State, way: Way, evicted: &mut Vec<Evicted>) {
        let count = state.batches.len();
        for step in 0..count {
            if !self.is_over(state, way) {
                break;
            }
            let index = match way {
                Way::Newest { .. } => count - 1 - step,
                Way::Oldest => step,
            };
            let Some(queued) = state.batches.get(index) else {
                continue;
            };
            if !queued.kept.is_empty() && queued.kept.iter().all(|kept| *kept) {
                continue;
            }
            let before = queued.batch.memory_bytes();
            let (stripped, dropped) = self.without_unkept(queued);
            let after = stripped
                .as_ref()
                .map_or(0, |stripped| stripped.batch.memory_bytes());
            evicted.push(dropped);
            self.give_up(state, before.saturating_sub(after));
            // A batch of nothing keeps its place until the walk is over.
            if let Some(place) = state.batches.get_mut(index) {
                *place = stripped.unwrap_or_else(|| Queued {
                    batch: Arc::new(nothing_of(&place.batch)),
                    kept: Vec::new(),
                });
            }
        }
        state
            .batches
            .retain(|queued| !queued.batch.spans.is_empty());
    }

    /// Returns what is left of a batch once the records that are not to be kept are gone.
    fn without_unkept(&self, queued: &Queued) -> (Option<Queued>, Evicted) {
        let whole = |queued: &Queued| Evicted {
            batch: queued.batch.id,
            spans: queued.batch.spans.clone(),
            is_whole: true,
        };
        if !queued.kept.contains(&true) {
            return (None, whole(queued));
        }
        let is_kept = |index: u32| {
            let index = usize::try_from(index).unwrap_or(usize::MAX);
            queued.kept.get(index).copied().unwrap_or(false)
        };
        let body = self
            .deliver
            .retain(&queued.batch.body, &mut |index| is_kept(index));
        let body = match body {
            Ok(Some(body)) => body,
            Ok(None) => return (None, whole(queued)),
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "cannot take records out of a sealed batch, all of it is dropped"
                );
                return (None, whole(queued));
            }
        };
        let mut batch = EncodedBatch {
            body,
            record_ends: Vec::new(),
            ..EncodedBatch::clone(&queued.batch)
        };
        let mut dropped = queued.batch.spans.clone();
        let mut first = 0_u32;
        for (left, dropped) in batch.spans.iter_mut().zip(&mut dropped) {
            let indexes = first..first.saturating_add(left.records);
            first = indexes.end;
            let kept = indexes.filter(|index| is_kept(*index)).count();
            let kept = u32::try_from(kept).unwrap_or(u32::MAX);
            dropped.records = left.records.saturating_sub(kept);
            left.records = kept;
        }
        let ends = queued.batch.record_ends.iter().zip(&queued.kept);
        batch.record_ends = ends
            .filter(|(_, kept)| **kept)
            .map(|(end, _)| *end)
            .collect();
        let kept = vec![true; batch.record_ends.len()];
        let stripped = Queued {
            batch: Arc::new(batch),
            kept,
        };
        let evicted = Evicted {
            batch: queued.batch.id,
            spans: dropped,
            is_whole: false,
        };
        (Some(stripped), evicted)
    }

    fn is_over(&self, state: &State, way: Way) -> bool {
        let max_bytes = match way {
            Way::Newest { max_bytes } => max_bytes,
            Way::Oldest => self.max_bytes,
        };
        state.used_bytes > max_bytes
    }

    fn give_up(&self, state: &mut State, bytes: u64) {
        state.used_bytes = state.used_bytes.saturating_sub(bytes);
        self.budget.used_bytes.fetch_sub(bytes, Ordering::AcqRel);
    }
}

/// A batch without records takes no room and is taken out at once.
fn nothing_of(batch: &EncodedBatch) -> EncodedBatch {
    EncodedBatch {
        id: batch.id,
        body: bytes::Bytes::new(),
        tenant: None,
        spans: Vec::new(),
        record_ends: Vec::new(),
    }
}
