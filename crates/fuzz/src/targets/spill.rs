//! The segments of a spill: whatever stands there opens, every number is told once, and what is appended
//! is read.

use std::sync::Arc;

use tailwater_durable::CrashStorage;
use tailwater_engine::envelope::Envelope;
use tailwater_spill_buffer::{Limits, Read, Recovery, Seq, SpillBuffer, inspect, open};

use crate::files;

const LIMITS: Limits = Limits {
    max_bytes: 1 << 20,
    segment_bytes: 200,
    max_payload_bytes: 1000,
};

pub(crate) fn run(bytes: &[u8]) {
    // Two numbers between the segments.
    let storage = files::plant(bytes, |number| {
        format!("spill-{:020}.seg", 1 + (number - 1) * 3)
    });
    for segment in inspect(&storage).expect("no disk refuses") {
        let mut frames = 0;
        let report = segment.read(|_| frames += 1).expect("no disk refuses");
        assert_eq!(report.frames, frames);
    }
    let (mut spill, recovery) = open_on(&storage);
    assert!(recovery.first <= recovery.next);
    let frames = drain(&mut spill);
    let appended = spill.append(&[b"appended"]).expect("there is room");
    assert_eq!(appended, recovery.next);
    spill.sync().expect("no disk refuses");
    let (mut spill, recovery) = open_on(&storage.after_crash());
    assert_eq!(recovery.next, appended.next());
    let again = drain(&mut spill);
    let last = again
        .last()
        .map(|(seq, payload)| (*seq, payload.as_slice()));
    assert_eq!(last, Some((appended, &b"appended"[..])));
    assert!(again.starts_with(&frames), "what was read is read again");
}

fn open_on(storage: &CrashStorage) -> (SpillBuffer, Recovery) {
    open(Arc::new(storage.clone()), LIMITS, Seq::FIRST).expect("no disk refuses")
}

/// Reads everything. What is read covers the numbers from first to next, once and in order.
fn drain(spill: &mut SpillBuffer) -> Vec<(Seq, Vec<u8>)> {
    let mut frames = Vec::new();
    let mut at = spill.status().first;
    loop {
        let (first, next) = match spill.read(at).expect("no disk refuses") {
            Read::Frame { seq, payload } => {
                drop(Envelope::decode(&payload));
                frames.push((seq, payload));
                (seq, seq.next())
            }
            Read::Lost { first, next } | Read::Newer { first, next, .. } => (first, next),
            Read::End => break,
        };
        assert_eq!(first, at);
        assert!(next > at);
        at = next;
    }
    assert_eq!(at, spill.status().next);
    frames
}
