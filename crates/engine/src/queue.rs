//! The queue of one sink: sealed batches on their way from pipeline threads to the sender.
//!
//! Backpressure is the absence of room: nothing here ever waits for a sink, a pipeline thread reads no
//! further for a sink without room and goes on with the others.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tailwater_record::EncodedBatch;
use tailwater_tailer::Waker;

/// Bytes of sealed batches in memory over all sinks.
#[derive(Debug, Default)]
pub(crate) struct Budget {
    used_bytes: AtomicU64,
    max_bytes: AtomicU64,
    /// Pipeline threads that wait for room.
    wakers: RwLock<Vec<Waker>>,
    /// Times that a pipeline thread found no room.
    pub(crate) refusals: AtomicU64,
    is_awaited: AtomicBool,
}

impl Budget {
    pub(crate) fn set_limit(&self, max_bytes: u64) {
        self.max_bytes.store(max_bytes, Ordering::Release);
    }

    pub(crate) fn set_wakers(&self, wakers: Vec<Waker>) {
        *self.wakers.write().unwrap_or_else(PoisonError::into_inner) = wakers;
    }

    pub(crate) fn used_bytes(&self) -> u64 {
        self.used_bytes.load(Ordering::Acquire)
    }

    pub(crate) fn max_bytes(&self) -> u64 {
        self.max_bytes.load(Ordering::Acquire)
    }

    /// Asks to be woken when a batch is resolved; look for room once more after this.
    fn await_room(&self) {
        self.refusals.fetch_add(1, Ordering::Relaxed);
        self.is_awaited.store(true, Ordering::SeqCst);
    }

    fn give_back(&self, bytes: u64) {
        self.used_bytes.fetch_sub(bytes, Ordering::AcqRel);
        if self.is_awaited.swap(false, Ordering::SeqCst) {
            let wakers = self.wakers.read().unwrap_or_else(PoisonError::into_inner);
            wakers.iter().for_each(Waker::wake);
        }
    }
}

/// Sealed batches of one sink, those on the wire included, within a number of bytes.
#[derive(Debug)]
pub(crate) struct Queue {
    batches: Mutex<VecDeque<EncodedBatch>>,
    /// Bytes queued and on the wire.
    used_bytes: AtomicU64,
    max_bytes: u64,
    budget: Arc<Budget>,
    filled: tokio::sync::Notify,
}

impl Queue {
    pub(crate) fn new(max_bytes: u64, budget: Arc<Budget>) -> Self {
        Self {
            batches: Mutex::default(),
            used_bytes: AtomicU64::new(0),
            max_bytes,
            budget,
            filled: tokio::sync::Notify::new(),
        }
    }

    /// Returns whether another batch may be made for this sink. Where not, the thread is woken when a
    /// batch is resolved.
    pub(crate) fn has_room(&self) -> bool {
        if self.is_below_limits() {
            return true;
        }
        self.budget.await_room();
        self.is_below_limits()
    }

    /// Adds a batch. Always succeeds: a batch that was begun with room may exceed the limit by itself.
    pub(crate) fn push(&self, batch: EncodedBatch) {
        let bytes = batch.memory_bytes();
        self.used_bytes.fetch_add(bytes, Ordering::AcqRel);
        self.budget.used_bytes.fetch_add(bytes, Ordering::AcqRel);
        self.lock().push_back(batch);
        self.filled.notify_one();
    }

    /// Takes the next batch, waiting for one. Its bytes stay counted until [`Queue::resolved`].
    ///
    /// # Cancel safety
    /// Nothing is taken where the future is dropped.
    pub(crate) async fn pop(&self) -> EncodedBatch {
        loop {
            let filled = self.filled.notified();
            if let Some(batch) = self.lock().pop_front() {
                return batch;
            }
            filled.await;
        }
    }

    /// Gives back the room of a batch that was taken.
    pub(crate) fn resolved(&self, memory_bytes: u64) {
        self.used_bytes.fetch_sub(memory_bytes, Ordering::AcqRel);
        self.budget.give_back(memory_bytes);
    }

    /// Returns whether nothing is queued or on the wire.
    pub(crate) fn is_idle(&self) -> bool {
        self.used_bytes() == 0
    }

    pub(crate) fn used_bytes(&self) -> u64 {
        self.used_bytes.load(Ordering::Acquire)
    }

    pub(crate) fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    fn is_below_limits(&self) -> bool {
        self.used_bytes() < self.max_bytes && self.budget.used_bytes() < self.budget.max_bytes()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<EncodedBatch>> {
        self.batches.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Queue {
    /// What was not resolved gives its bytes back to the process.
    fn drop(&mut self) {
        self.budget.give_back(self.used_bytes());
    }
}
