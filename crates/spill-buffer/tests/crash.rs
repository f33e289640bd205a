//! Cuts the power at every sync of a scripted workload, and makes every operation of it fail.
//!
//! Goal: whatever the disk kept of what was not synced, the spill opens, and every payload that was
//! acknowledged by a sync is read back, in order, unless it was released.

#![expect(clippy::unwrap_used, reason = "tests")]

mod support;

use tailwater_durable::{CrashStorage, Fault, Unsynced};
use tailwater_spill_buffer::{AppendError, Seq, SpillBuffer};

use support::{drain, frames, open_on, payload};

/// What a run of the workload was promised.
#[derive(Clone, Copy, Debug)]
struct Promise {
    /// Everything below was acknowledged by a sync.
    synced: u64,
    /// Everything below was released, and the caller knows.
    released: u64,
}

/// The owner of a spill: appends what is not durable again after a failed sync.
struct Owner {
    spill: SpillBuffer,
    promise: Promise,
}

/// How often an owner tries again before it takes the disk for dead.
const TRIES: u32 = 4;

impl Owner {
    fn append_to(&mut self, end: u64) -> Option<()> {
        for _ in 0..TRIES {
            while self.spill.status().next.0 < end {
                let next = self.spill.status().next;
                match self.spill.append(&[&payload(next.0)]) {
                    Ok(seq) => assert_eq!(seq, next),
                    Err(AppendError::Sync(error)) => {
                        assert_eq!(error.void_from, self.spill.status().next);
                        break;
                    }
                    Err(_) => break,
                }
            }
            let is_whole = self.spill.status().next.0 == end;
            if is_whole && self.spill.sync().is_ok() {
                self.promise.synced = end;
                return Some(());
            }
        }
        None
    }

    fn release(&mut self, below: u64) {
        self.promise.released = below;
        self.spill.release(Seq(below)).ok();
    }
}

/// Thirty payloads over several segments, syncs of one and of many, releases of some and of all, and a
/// restart without a power cut.
fn workload(storage: &CrashStorage) -> Promise {
    let mut promise = Promise {
        synced: 1,
        released: 1,
    };
    for round in 0..2 {
        let (spill, _) = open_on(storage, promise.released);
        let mut owner = Owner { spill, promise };
        let finished = script(&mut owner, 30 * round);
        promise = owner.promise;
        if finished.is_none() {
            break;
        }
    }
    promise
}

fn script(owner: &mut Owner, from: u64) -> Option<()> {
    owner.append_to(from + 2)?;
    owner.append_to(from + 3)?;
    owner.append_to(from + 12)?;
    owner.release(from + 7);
    owner.append_to(from + 20)?;
    owner.release(from + 20);
    owner.append_to(from + 21)?;
    owner.append_to(from + 31)
}

fn check(after: &CrashStorage, promise: Promise, case: &str) {
    let (mut spill, recovery) = open_on(after, promise.released);
    let drained = drain(&mut spill);
    let Promise { synced, released } = promise;
    assert!(recovery.next.0 >= synced, "{case}: {recovery:?}");
    let promised: Vec<_> = drained
        .frames
        .iter()
        .filter(|frame| frame.0 < synced)
        .cloned()
        .collect();
    assert_eq!(promised, frames(released..synced), "{case}");
    for (number, found) in &drained.frames {
        assert_eq!(*found, payload(*number), "{case}");
    }
    let next = spill.append(&[b"goes on"]).unwrap();
    spill.sync().unwrap();
    let (mut again, _) = open_on(&after.after_crash(), promise.released);
    let last = drain(&mut again).frames.pop();
    assert_eq!(last, Some((next.0, b"goes on".to_vec())), "{case}");
}

fn kept() -> impl Iterator<Item = Unsynced> {
    let torn = [1, 5, 13, 20, 25, 26, 40, 60, 500];
    let torn = torn.map(|keep_bytes| Unsynced::TornAppend { keep_bytes });
    [Unsynced::Lost, Unsynced::NamesKept]
        .into_iter()
        .chain(torn)
}

#[test]
fn what_was_synced_is_read_back_after_a_power_cut_at_every_sync() {
    let rehearsal = CrashStorage::new();
    let whole = workload(&rehearsal);
    assert_eq!((whole.synced, whole.released), (61, 50));
    assert!(rehearsal.syncs() > 20);
    for sync in 0..rehearsal.syncs() {
        let storage = CrashStorage::freezing_at(sync);
        let promise = workload(&storage);
        for unsynced in kept() {
            let case = format!("cut at sync {sync}, {unsynced:?}");
            check(&storage.after_crash_with(unsynced), promise, &case);
        }
    }
}

#[test]
fn what_was_synced_is_read_back_after_a_failure_of_every_operation() {
    let rehearsal = CrashStorage::new();
    workload(&rehearsal);
    for operation in 0..rehearsal.operations() {
        for fault in [Fault::DiskFull, Fault::Io] {
            let storage = CrashStorage::new();
            storage.fail_at(operation, fault);
            let promise = workload(&storage);
            assert_eq!(promise.synced, 61, "one failure is got over");
            let case = format!("{fault:?} at operation {operation}");
            check(&storage.after_crash(), promise, &case);
            check(&storage, promise, &case);
        }
    }
}
