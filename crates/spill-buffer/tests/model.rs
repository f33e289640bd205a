//! Random appends, syncs, releases, failures, restarts, power cuts and flipped bits against a map.
//!
//! Goal: the spill always opens; what was synced is read in order with what was appended, until it is
//! released; and a flipped bit costs one frame at most, which is told as lost.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod support;

use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::prelude::*;
use tailwater_durable::{CrashStorage, Fault, Storage, Unsynced};
use tailwater_spill_buffer::{AppendError, Read, Recovery, Seq, SpillBuffer, SyncError};

use support::{Drained, drain, frames, open_on, payload};

#[derive(Clone, Copy, Debug)]
enum Action {
    Append(usize),
    Sync,
    Read(u64),
    /// Releases this share of what is held, in 1/8.
    Release(u64),
    /// Makes an operation fail that comes so much later.
    Fail(u64, Fault),
    /// The disk is full once it holds so much more.
    Fill(u64),
    Empty,
    Restart,
    PowerCut(Unsynced),
    /// Flips a bit of a file, both modulo their number, while the process is down.
    Flip(usize, usize),
}

fn action() -> impl Strategy<Value = Action> {
    let fault = prop_oneof![Just(Fault::DiskFull), Just(Fault::Io)];
    let unsynced = prop_oneof![
        Just(Unsynced::Lost),
        Just(Unsynced::NamesKept),
        (0..100_usize).prop_map(|keep_bytes| Unsynced::TornAppend { keep_bytes }),
    ];
    prop_oneof![
        12 => (0..60_usize).prop_map(Action::Append),
        4 => Just(Action::Sync),
        1 => (0..100_u64).prop_map(Action::Read),
        2 => (0..9_u64).prop_map(Action::Release),
        1 => (0..4_u64, fault).prop_map(|(after, fault)| Action::Fail(after, fault)),
        1 => (0..100_u64).prop_map(Action::Fill),
        1 => Just(Action::Empty),
        1 => Just(Action::Restart),
        2 => unsynced.prop_map(Action::PowerCut),
        2 => any::<(usize, usize)>().prop_map(|(file, bit)| Action::Flip(file, bit)),
    ]
}

type Payloads = BTreeMap<u64, Vec<u8>>;

struct Run {
    storage: CrashStorage,
    spill: SpillBuffer,
    /// What the owner keeps elsewhere.
    released: u64,
    /// What was acknowledged by a sync, and not released or lost.
    synced: Payloads,
    /// What this process has appended since.
    pending: Payloads,
    /// Whatever was appended under a number; void and cut off frames may come back.
    appended: BTreeSet<(u64, Vec<u8>)>,
}

impl Run {
    fn new() -> Self {
        let storage = CrashStorage::new();
        let (spill, _) = open_on(&storage, 1);
        Self {
            storage,
            spill,
            released: 1,
            synced: Payloads::new(),
            pending: Payloads::new(),
            appended: BTreeSet::new(),
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Append(len) => self.append(len),
            Action::Sync => self.sync(),
            Action::Read(from) => self.read(from),
            Action::Release(share) => self.release(share),
            Action::Fail(after, fault) => {
                let operation = self.storage.operations() + after;
                self.storage.fail_at(operation, fault);
            }
            Action::Fill(more) => {
                let names = self.storage.list().unwrap();
                let lens = names.iter().map(|name| self.storage.len(name).unwrap());
                self.storage.set_capacity(lens.sum::<u64>() + more);
            }
            Action::Empty => self.storage.set_capacity(u64::MAX),
            Action::Restart => {
                self.reopen(self.storage.clone());
            }
            Action::PowerCut(unsynced) => {
                self.reopen(self.storage.after_crash_with(unsynced));
            }
            Action::Flip(file, bit) => self.flip(file, bit),
        }
    }

    fn append(&mut self, len: usize) {
        // Distinct, so that a frame that was written again is told from what was void.
        let count = u64::try_from(self.appended.len()).unwrap();
        let payload = [payload(count), vec![b'.'; len]].concat();
        match self.spill.append(&[&payload]) {
            Ok(seq) => {
                self.pending.insert(seq.0, payload.clone());
                self.appended.insert((seq.0, payload));
                self.promote();
            }
            Err(AppendError::Sync(error)) => self.void(&error),
            Err(_) => self.promote(),
        }
    }

    fn sync(&mut self) {
        match self.spill.sync() {
            Ok(next) => {
                assert_eq!(next, self.spill.status().next);
                self.promote();
                assert!(self.pending.is_empty());
            }
            Err(error) => self.void(&error),
        }
    }

    /// A new segment begins with a sync of the one before.
    fn promote(&mut self) {
        let unsynced = self.pending.split_off(&self.spill.status().synced.0);
        self.synced.append(&mut self.pending);
        self.pending = unsynced;
    }

    fn void(&mut self, error: &SyncError) {
        self.promote();
        assert_eq!(error.void_from, self.spill.status().next);
        let first = self.pending.keys().next().copied();
        assert_eq!(error.void_from.0, first.unwrap_or(error.void_from.0));
        self.pending.clear();
    }

    fn read(&mut self, from: u64) {
        let status = self.spill.status();
        let read = self.spill.read(Seq(from)).unwrap();
        let at = match read {
            Read::Frame { seq, .. } => seq,
            Read::Lost { first, .. } | Read::Newer { first, .. } => first,
            Read::End => status.next.max(Seq(from)),
        };
        assert_eq!(at, status.first.max(Seq(from)));
    }

    fn release(&mut self, share: u64) {
        let status = self.spill.status();
        let held = status.next.0 - status.first.0;
        self.released = status.first.0 + held * share / 8;
        self.synced = self.synced.split_off(&self.released);
        self.pending = self.pending.split_off(&self.released);
        // Where a file cannot be removed, a later release or opening does it.
        let is_whole = self.spill.release(Seq(self.released)).is_ok();
        if is_whole && self.spill.is_empty() {
            assert_eq!(self.spill.status().bytes, 0);
        }
    }

    fn reopen(&mut self, storage: CrashStorage) -> Recovery {
        let (spill, recovery) = open_on(&storage, self.released);
        (self.storage, self.spill) = (storage, spill);
        self.pending.clear();
        recovery
    }

    fn flip(&mut self, file: usize, bit: usize) {
        let names = self.storage.list().unwrap();
        let Some(index) = file.checked_rem(names.len()) else {
            return;
        };
        let mut bytes = self.storage.live(&names[index]).unwrap();
        let Some(bit) = bit.checked_rem(bytes.len() * 8) else {
            return;
        };
        bytes[bit / 8] ^= 1 << (bit % 8);
        self.storage.plant(&names[index], bytes);
        let recovery = self.reopen(self.storage.clone());
        let before = self.synced.len();
        let cut_off = self.synced.split_off(&recovery.next.0);
        assert!(
            cut_off.is_empty() || recovery.torn_tail_bytes > 0,
            "cut off in silence"
        );
        let lost = drain(&mut self.spill).lost;
        let is_lost = |number: &u64| lost.iter().any(|range| range.contains(number));
        self.synced.retain(|number, _| !is_lost(number));
        assert!(
            before - self.synced.len() <= 1,
            "one bit cost more than one frame"
        );
    }

    fn check(&mut self) {
        let Drained { frames, newer, .. } = drain(&mut self.spill);
        assert!(newer.is_empty());
        let found: Payloads = frames.iter().cloned().collect();
        for (number, payload) in self.synced.iter().chain(&self.pending) {
            assert_eq!(found.get(number), Some(payload), "number {number}");
        }
        for frame in frames {
            assert!(
                self.appended.contains(&frame),
                "{frame:?} was never appended"
            );
        }
        let status = self.spill.status();
        assert!(status.first <= status.synced && status.synced <= status.next);
        assert_eq!(status.first, Seq(self.released));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn what_was_synced_is_read_in_order_until_it_is_released(actions in vec(action(), 0..80)) {
        let mut run = Run::new();
        for action in actions {
            run.act(action);
            run.check();
        }
    }
}

#[test]
fn the_model_holds_for_a_run_without_failures() {
    let mut run = Run::new();
    for _ in 0..20 {
        run.act(Action::Append(0));
        run.check();
    }
    run.act(Action::Sync);
    run.act(Action::PowerCut(Unsynced::Lost));
    let expected: Vec<_> = frames(0..20)
        .into_iter()
        .map(|(count, payload)| (count + 1, payload))
        .collect();
    assert_eq!(drain(&mut run.spill).frames, expected);
}
