//! Damages, crashes and fills up the disk under the intents.
//!
//! Goal: they always open; what is found was appended, damage costs at most the intent that it hit;
//! and no number of a batch that the disk knows is given out again.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use tailwater_durable::{CrashStorage, Fault, Storage, Unsynced, frame};
use tailwater_position_store::{
    FileKey, Intent, IntentLimits, IntentRecovery, IntentSpan, Intents,
};
use tailwater_record::Marker;

/// Small enough for a workload of a few batches to rotate.
const LIMITS: IntentLimits = IntentLimits {
    max_live: 8,
    max_spans: 4,
    rotate_bytes: 400,
};

fn open_on(storage: &CrashStorage) -> (Intents, IntentRecovery) {
    Intents::open(Arc::new(storage.clone()), LIMITS).unwrap()
}

/// The intent of a batch; of the same number it is always the same.
fn intent(batch: u64) -> Intent {
    let span = |key| IntentSpan {
        key: FileKey(key),
        epoch: 1,
        start: batch,
        end: batch.saturating_add(100),
        marker: Marker {
            len: 100,
            hash: batch,
        },
        place: 2,
        lines: 7,
        first_timestamp_ns: batch.wrapping_add(1_700_000_000_000_000_000),
        route: if key == 0 { "" } else { "central/app" }.into(),
    };
    Intent {
        batch,
        sink: "central".into(),
        timestamp_step: 1,
        spans: (0..batch % 3).map(span).collect(),
    }
}

/// A header and four intents.
fn written() -> (String, Vec<u8>) {
    let storage = CrashStorage::new();
    let (mut intents, _) = open_on(&storage);
    for batch in 1..5 {
        intents.append(intent(batch)).unwrap();
    }
    let name = storage.list().unwrap().pop().unwrap();
    let bytes = storage.live(&name).unwrap();
    (name, bytes)
}

fn read(name: &str, bytes: Vec<u8>) -> IntentRecovery {
    let storage = CrashStorage::new();
    storage.plant(name, bytes);
    open_on(&storage).1
}

#[test]
fn a_flipped_bit_costs_at_most_the_intent_that_it_hit_and_is_counted() {
    let (name, good) = written();
    for bit in 0..good.len() * 8 {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let recovery = read(&name, bytes);
        let lost: Vec<u64> = (1..5)
            .filter(|batch| !recovery.intents.contains(&intent(*batch)))
            .collect();
        assert!(lost.len() <= 1, "bit {bit} costs {lost:?}");
        assert_eq!(recovery.intents.len() + lost.len(), 4, "bit {bit}");
        let is_counted = recovery.damaged_frames > 0 || recovery.torn_tail_bytes > 0;
        assert!(is_counted, "bit {bit}");
    }
}

#[test]
fn a_cut_file_has_the_intents_before_the_cut_and_is_no_damage() {
    let (name, good) = written();
    let mut most = 0;
    for len in 0..=good.len() {
        let recovery = read(&name, good[..len].to_vec());
        let found = u64::try_from(recovery.intents.len()).unwrap();
        let expected: Vec<Intent> = (1..=found).map(intent).collect();
        assert_eq!(recovery.intents, expected, "cut to {len}");
        assert!(found >= most, "cut to {len}");
        assert_eq!(recovery.damaged_frames, 0, "cut to {len}");
        most = found;
    }
    assert_eq!(most, 4);
}

/// What is known of the numbers that were given out.
#[derive(Default)]
struct Known {
    /// Whose intent was appended.
    appended: BTreeSet<u64>,
    /// Of those, the ones without an outcome.
    live: BTreeSet<u64>,
    /// All that were tried, the failed ones included.
    tried: BTreeSet<u64>,
}

impl Known {
    /// Asserts what holds after a crash of the process; `case` names the run.
    fn check_process_crash(&self, recovery: &IntentRecovery, case: &str) {
        let found: BTreeMap<u64, &Intent> = by_number(recovery);
        for batch in &self.live {
            assert_eq!(found.get(batch), Some(&&intent(*batch)), "{case}");
        }
        let next = Some(&recovery.next_batch);
        assert!(self.appended.last() < next, "{case}: next {next:?}");
    }

    /// Asserts what holds after a power cut.
    fn check_power_cut(&self, recovery: &IntentRecovery, case: &str) {
        for (batch, found) in by_number(recovery) {
            assert!(self.tried.contains(&batch), "{case}: batch {batch}");
            assert_eq!(*found, intent(batch), "{case}");
            assert!(recovery.next_batch > batch, "{case}");
        }
    }
}

fn by_number(recovery: &IntentRecovery) -> BTreeMap<u64, &Intent> {
    let intents = recovery.intents.iter();
    let found: BTreeMap<u64, &Intent> = intents.map(|found| (found.batch, found)).collect();
    assert_eq!(found.len(), recovery.intents.len(), "each number once");
    assert!(found.values().copied().eq(&recovery.intents), "in order");
    found
}

/// Four runs of a process that ends without notice, with batches that resolve out of order; after
/// every step the power is cut in every way.
fn workload(storage: &CrashStorage, case: &str) {
    let mut known = Known::default();
    for round in 0..4 {
        let (mut intents, recovery) = open_on(storage);
        known.check_process_crash(&recovery, case);
        for found in &recovery.intents {
            if !known.live.contains(&found.batch) {
                intents.resolve(found.batch);
            }
        }
        for batch in recovery.next_batch..recovery.next_batch + 9 {
            known.tried.insert(batch);
            if intents.append(intent(batch)).is_ok() {
                assert!(known.appended.insert(batch), "{case}: {batch} again");
                known.live.insert(batch);
            }
            if batch % 4 != round {
                intents.resolve(batch);
                known.live.remove(&batch);
            }
            if batch % 3 == 0 {
                // What the positions do when they are compacted.
                storage.sync_dir().ok();
            }
            for unsynced in unsynced() {
                let after = storage.after_crash_with(unsynced);
                let case = format!("{case}, batch {batch}, {unsynced:?}");
                known.check_power_cut(&open_on(&after).1, &case);
            }
        }
        for batch in std::mem::take(&mut known.live).into_iter().skip(2) {
            intents.resolve(batch);
        }
    }
    assert!(known.appended.len() >= 30, "{case}: it goes on");
}

fn unsynced() -> Vec<Unsynced> {
    let torn = [0, 1, 12, 33, 60, 100, 150, 333, 100_000];
    let torn = torn.map(|keep_bytes| Unsynced::TornAppend { keep_bytes });
    let all = [Unsynced::Lost, Unsynced::NamesKept]
        .into_iter()
        .chain(torn);
    all.collect()
}

#[test]
fn after_a_fault_or_a_crash_at_any_operation_they_open_and_no_known_number_is_given_out_again() {
    let rehearsal = CrashStorage::new();
    workload(&rehearsal, "no fault");
    let operations = rehearsal.operations();
    assert!(operations > 60, "{operations} are too few to mean anything");
    for operation in 0..operations {
        for fault in [Fault::DiskFull, Fault::Io] {
            let storage = CrashStorage::new();
            storage.fail_at(operation, fault);
            workload(&storage, &format!("operation {operation}, {fault:?}"));
        }
    }
}

#[test]
fn a_process_that_crashed_after_a_power_cut_goes_on() {
    let storage = CrashStorage::new();
    workload(&storage, "before");
    for unsynced in unsynced() {
        let after = storage.after_crash_with(unsynced);
        let (mut intents, before) = open_on(&after);
        for found in &before.intents {
            intents.resolve(found.batch);
        }
        let next = before.next_batch;
        intents.append(intent(next)).unwrap();
        let (_, recovery) = open_on(&after);
        assert_eq!(recovery.intents, [intent(next)], "{unsynced:?}");
        assert_eq!(recovery.next_batch, next + 1, "{unsynced:?}");
    }
}

/// Files of any bytes, of valid frames with any payload, and of headers and intents with any numbers.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let number = prop_oneof![any::<u64>(), 0..9_u64, u64::MAX - 2..=u64::MAX];
    let framed = |kind, payload: &[u8]| {
        let mut out = Vec::new();
        frame::append(&mut out, kind, payload).unwrap();
        out
    };
    let header = (0..3_u32, number.clone(), number.clone());
    let header = header.prop_map(|(version, generation, next)| {
        let numbers = [generation.to_le_bytes(), next.to_le_bytes()];
        [&version.to_le_bytes()[..], &numbers.concat()].concat()
    });
    let intent = (number, vec(any::<u8>(), 0..90));
    let intent = intent.prop_map(|(batch, spans)| {
        let fixed = [&batch.to_le_bytes()[..], b"\x01\0\0\0\x01\0s"];
        [&fixed.concat()[..], &spans].concat()
    });
    let garbage = || vec(any::<u8>(), 0..120);
    let piece = prop_oneof![
        garbage(),
        (0..5_u8, garbage()).prop_map(move |(kind, payload)| framed(kind, &payload)),
        header.prop_map(move |payload| framed(1, &payload)),
        intent.prop_map(move |payload| framed(2, &payload)),
    ];
    vec(piece, 0..8).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_bytes_open_and_take_the_next_intent(
        files in vec((any::<bool>(), any::<u64>(), hostile()), 0..4),
    ) {
        let storage = CrashStorage::new();
        for (is_near, number, bytes) in files {
            let number = if is_near { number % 3 } else { number };
            storage.plant(&format!("intents-{number:020}.journal"), bytes);
        }
        let (mut intents, before) = open_on(&storage);
        for found in &before.intents {
            prop_assert!(found.batch < before.next_batch);
            intents.resolve(found.batch);
        }
        let batch = before.next_batch.min(u64::MAX - 1);
        intents.append(intent(batch)).unwrap();
        let (_, after) = open_on(&storage);
        prop_assert_eq!(after.intents, [intent(batch)]);
        prop_assert!(after.next_batch >= before.next_batch);
    }
}
