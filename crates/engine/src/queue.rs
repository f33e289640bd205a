//! The queue of one lane: sealed batches on their way from pipeline threads to the sender.
//!
//! Backpressure is the absence of room: nothing here ever waits for a sink, a pipeline thread reads no
//! further for a lane without room and goes on with the others. What gives at a full queue is the
//! lane's policy; with a spill, everything goes the way over the disk from then on until that is empty,
//! so that no batch overtakes another.

mod evict;

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use tailwater_record::{BatchId, EncodedBatch};
use tailwater_sink::Deliver;
use tailwater_tailer::Waker;

use crate::config::{Policy, Then, WhenFull};
use crate::envelope::EnvelopeSpan;

pub(crate) use evict::Evicted;

/// Spilled batches that are read ahead of the sender.
const READ_AHEAD_BATCHES: usize = 4;

/// Bytes of sealed batches in memory over all lanes, and the threads that wait for room.
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
        self.wake();
    }

    fn wake(&self) {
        if self.is_awaited.swap(false, Ordering::SeqCst) {
            let wakers = self.wakers.read().unwrap_or_else(PoisonError::into_inner);
            wakers.iter().for_each(Waker::wake);
        }
    }
}

/// A sealed batch as it is queued.
#[derive(Clone, Debug)]
pub(crate) struct Queued {
    pub(crate) batch: Arc<EncodedBatch>,
    /// For each record whether it is dropped last; empty where none is.
    pub(crate) kept: Vec<bool>,
}

/// A batch that the sender has taken.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    pub(crate) batch: Arc<EncodedBatch>,
    /// Where it was read from a spill.
    pub(crate) spilled: Option<Arc<Spilled>>,
}

/// What is known of a batch that was read from a spill.
#[derive(Debug)]
pub(crate) struct Spilled {
    /// The number of its frame.
    pub(crate) seq: u64,
    /// The sink that it was made for.
    pub(crate) sink: Arc<str>,
    pub(crate) spans: Vec<EnvelopeSpan>,
}

/// A batch that left for the sink and is not settled.
#[derive(Clone, Debug)]
struct InFlight {
    batch: Arc<EncodedBatch>,
    /// Its copy in the spill.
    seq: Option<u64>,
    /// That copy is durable, and the books say so.
    is_spilled: bool,
}

/// How the sink answered for a batch, seen from the spill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Copied {
    /// There is none in the spill.
    No,
    /// There is one, and its records are still in flight by the books.
    Unsynced(u64),
    /// There is one, and its records are spilled by the books.
    Durable(u64),
}

/// Sealed batches of one lane, those on the wire included, within a number of bytes.
#[derive(Debug)]
pub(crate) struct Queue {
    state: Mutex<State>,
    policy: Policy,
    deliver: Arc<dyn Deliver>,
    max_bytes: u64,
    budget: Arc<Budget>,
    filled: tokio::sync::Notify,
    /// The spill's thread waits here.
    spill_work: Condvar,
}

#[derive(Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a fact of its own, and all may hold at once"
)]
struct State {
    batches: VecDeque<Queued>,
    in_flight: BTreeMap<BatchId, InFlight>,
    /// Bytes queued, on the wire, and on their way to the spill.
    used_bytes: u64,
    /// Everything goes the way over the disk.
    is_spilling: bool,
    /// The spill takes nothing more.
    is_spill_full: bool,
    /// Batches read from the spill, for the sender.
    read_ahead: VecDeque<Taken>,
    /// Something for the spill's thread to look at.
    has_spill_work: bool,
    /// The sender takes nothing more from the spill.
    is_draining: bool,
    is_stopping: bool,
}

impl Queue {
    pub(crate) fn new(
        max_bytes: u64,
        policy: Policy,
        deliver: Arc<dyn Deliver>,
        budget: Arc<Budget>,
    ) -> Self {
        Self {
            state: Mutex::default(),
            policy,
            deliver,
            max_bytes,
            budget,
            filled: tokio::sync::Notify::new(),
            spill_work: Condvar::new(),
        }
    }

    /// Returns whether another batch may be made for this lane. Where not, the thread is woken when a
    /// batch is resolved.
    pub(crate) fn has_room(&self) -> bool {
        if self.takes_more() {
            return true;
        }
        self.budget.await_room();
        self.takes_more()
    }

    fn takes_more(&self) -> bool {
        let state = self.lock();
        if state.used_bytes < self.max_bytes {
            return true;
        }
        match self.policy.when_full {
            WhenFull::Block => false,
            WhenFull::DropNewest | WhenFull::DropOldest => true,
            // The spill's thread makes room, at the speed of the disk.
            WhenFull::Spill { then, .. } => state.is_spill_full && then != Then::Block,
        }
    }

    /// Adds a batch, and returns what had to go for it. A batch that was begun with room may exceed the
    /// limit by itself.
    #[must_use = "what is evicted is to be counted"]
    pub(crate) fn push(&self, queued: Queued) -> Vec<Evicted> {
        let bytes = queued.batch.memory_bytes();
        self.budget.used_bytes.fetch_add(bytes, Ordering::AcqRel);
        let mut state = self.lock();
        let before = state.used_bytes;
        state.used_bytes += bytes;
        state.batches.push_back(queued);
        // What was there before is never dropped for what comes.
        let newest = evict::Way::Newest {
            max_bytes: before.max(self.max_bytes),
        };
        let is_full = before >= self.max_bytes;
        let evicted = match self.policy.when_full {
            WhenFull::DropNewest if is_full => self.evict(&mut state, newest),
            WhenFull::Block | WhenFull::DropNewest => Vec::new(),
            WhenFull::DropOldest => self.evict(&mut state, evict::Way::Oldest),
            WhenFull::Spill { then, .. } => {
                state.is_spilling |= state.used_bytes >= self.max_bytes;
                state.has_spill_work |= state.is_spilling;
                match then {
                    _ if !is_full || !state.is_spill_full => Vec::new(),
                    Then::Block => Vec::new(),
                    Then::DropNewest => self.evict(&mut state, newest),
                    Then::DropOldest => self.evict(&mut state, evict::Way::Oldest),
                }
            }
        };
        let has_spill_work = state.has_spill_work;
        drop(state);
        self.filled.notify_one();
        if has_spill_work {
            self.spill_work.notify_one();
        }
        evicted
    }

    /// Takes the next batch, waiting for one. Its bytes stay counted until [`Queue::resolved`].
    ///
    /// # Cancel safety
    /// Nothing is taken where the future is dropped.
    pub(crate) async fn pop(&self) -> Taken {
        loop {
            let filled = self.filled.notified();
            if let Some(taken) = self.try_pop() {
                return taken;
            }
            filled.await;
        }
    }

    fn try_pop(&self) -> Option<Taken> {
        let mut state = self.lock();
        if state.is_spilling {
            if state.is_draining {
                return None;
            }
            let taken = state.read_ahead.pop_front()?;
            state.has_spill_work = true;
            drop(state);
            self.spill_work.notify_one();
            return Some(taken);
        }
        let queued = state.batches.pop_front()?;
        let in_flight = InFlight {
            batch: Arc::clone(&queued.batch),
            seq: None,
            is_spilled: false,
        };
        state.in_flight.insert(queued.batch.id, in_flight);
        Some(Taken {
            batch: queued.batch,
            spilled: None,
        })
    }

    /// Takes a batch that came from memory off the wire, and says whether the spill has a copy. While
    /// `settle` runs, the spill's thread does not look at it.
    pub(crate) fn resolved(&self, batch: &EncodedBatch, settle: impl FnOnce(Copied)) {
        let mut state = self.lock();
        let copied = match state.in_flight.remove(&batch.id) {
            None | Some(InFlight { seq: None, .. }) => Copied::No,
            Some(InFlight {
                seq: Some(seq),
                is_spilled: true,
                ..
            }) => Copied::Durable(seq),
            Some(InFlight { seq: Some(seq), .. }) => Copied::Unsynced(seq),
        };
        settle(copied);
        let bytes = batch.memory_bytes();
        state.used_bytes = state.used_bytes.saturating_sub(bytes);
        drop(state);
        self.budget.give_back(bytes);
    }

    /// Returns whether it holds as much as it may.
    pub(crate) fn is_full(&self) -> bool {
        self.used_bytes() >= self.max_bytes
    }

    /// Returns whether nothing is left that the disk does not have.
    pub(crate) fn is_empty_in_memory(&self) -> bool {
        self.lock().used_bytes == 0
    }

    pub(crate) fn used_bytes(&self) -> u64 {
        self.lock().used_bytes
    }

    pub(crate) fn max_bytes(&self) -> u64 {
        self.max_bytes
    }

    pub(crate) fn policy(&self) -> &Policy {
        &self.policy
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().batches.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the spill's thread is to do.
#[derive(Debug, Default)]
pub(crate) struct SpillWork {
    /// Batches to write, in order: first those on the wire that have no copy yet.
    pub(crate) batches: Vec<Queued>,
    /// How many of the first are on the wire.
    pub(crate) on_the_wire: usize,
    /// How many batches may be read ahead for the sender.
    pub(crate) read_ahead: usize,
    pub(crate) is_spilling: bool,
    pub(crate) is_stopping: bool,
}

/// The side of the spill's thread.
impl Queue {
    /// Waits until there is work, at most for `timeout`, and takes it; batches only where the thread
    /// `has_written` those it took before. They stay counted until [`Queue::spilled`].
    pub(crate) fn spill_work(&self, timeout: Duration, has_written: bool) -> SpillWork {
        let state = self.lock();
        let (mut state, _) = self
            .spill_work
            .wait_timeout_while(state, timeout, |state| {
                let has_batches = state.is_spilling && !state.batches.is_empty();
                !(state.has_spill_work || has_written && has_batches)
            })
            .unwrap_or_else(PoisonError::into_inner);
        state.has_spill_work = false;
        let mut work = SpillWork {
            is_spilling: state.is_spilling,
            is_stopping: state.is_stopping,
            ..SpillWork::default()
        };
        if !state.is_spilling {
            return work;
        }
        work.read_ahead = READ_AHEAD_BATCHES.saturating_sub(state.read_ahead.len());
        if !has_written {
            return work;
        }
        let in_flight = state.in_flight.values();
        work.batches = in_flight
            .filter(|in_flight| in_flight.seq.is_none())
            .map(|in_flight| Queued {
                batch: Arc::clone(&in_flight.batch),
                kept: Vec::new(),
            })
            .collect();
        work.on_the_wire = work.batches.len();
        let queued = std::mem::take(&mut state.batches);
        work.batches.extend(queued);
        work
    }

    /// A batch on the wire has a copy in the spill. Returns whether it is still unsettled.
    pub(crate) fn copied(&self, batch: BatchId, seq: u64) -> bool {
        let mut state = self.lock();
        let Some(in_flight) = state.in_flight.get_mut(&batch) else {
            return false;
        };
        in_flight.seq = Some(seq);
        true
    }

    /// A batch is durable in the spill. `enter` is called where its records are still in flight by the
    /// books, while no sender settles it; the memory is given back unless it is on the wire.
    pub(crate) fn spilled(
        &self,
        batch: &EncodedBatch,
        was_on_the_wire: bool,
        enter: impl FnOnce(),
    ) {
        let mut state = self.lock();
        if was_on_the_wire {
            if let Some(in_flight) = state.in_flight.get_mut(&batch.id) {
                in_flight.is_spilled = true;
                enter();
            }
            return;
        }
        enter();
        let bytes = batch.memory_bytes();
        state.used_bytes = state.used_bytes.saturating_sub(bytes);
        drop(state);
        self.budget.give_back(bytes);
    }

    /// The copies of batches on the wire are void.
    pub(crate) fn forget_copies(&self, void_from: u64) {
        let mut state = self.lock();
        for in_flight in state.in_flight.values_mut() {
            if in_flight.seq.is_some_and(|seq| seq >= void_from) {
                in_flight.seq = None;
            }
        }
    }

    /// Hands a batch that was read from the spill to the sender.
    pub(crate) fn read_ahead(&self, taken: Taken) {
        self.lock().read_ahead.push_back(taken);
        self.filled.notify_one();
    }

    /// Everything goes the way over the disk from now on.
    pub(crate) fn start_spilling(&self) {
        let mut state = self.lock();
        state.is_spilling = true;
        state.has_spill_work = true;
        drop(state);
        self.spill_work.notify_one();
    }

    /// The spill is empty: goes on in memory, first with what came `back` because it could not be
    /// written.
    pub(crate) fn stop_spilling(&self, back: impl DoubleEndedIterator<Item = Queued>) {
        let mut state = self.lock();
        state.is_spilling = false;
        for queued in back.rev() {
            state.batches.push_front(queued);
        }
        drop(state);
        self.filled.notify_one();
    }

    /// The spill takes nothing more, or takes more again.
    pub(crate) fn set_spill_full(&self, is_full: bool) {
        self.lock().is_spill_full = is_full;
        self.budget.wake();
    }

    /// What is on disk stays there for the next start, but for what the sender has taken.
    pub(crate) fn drain(&self) {
        self.lock().is_draining = true;
    }

    /// There is something for the spill's thread to look at.
    pub(crate) fn ring(&self) {
        self.lock().has_spill_work = true;
        self.spill_work.notify_one();
    }

    /// The spill's thread is to write what is left, and to end.
    pub(crate) fn stop(&self) {
        let mut state = self.lock();
        state.is_stopping = true;
        state.has_spill_work = true;
        state.is_spilling |= state.used_bytes > 0;
        drop(state);
        self.spill_work.notify_one();
    }
}

impl Drop for Queue {
    /// What was not resolved gives its bytes back to the process.
    fn drop(&mut self) {
        self.budget.give_back(self.used_bytes());
    }
}
