//! What the tests of the spill share: small limits, payloads that tell their number, and reading to the
//! end.

use std::ops::Range;
use std::sync::Arc;

use tailwater_durable::CrashStorage;
use tailwater_spill_buffer::{Limits, Read, Recovery, Seq, SpillBuffer, open};

/// Four or five payloads fill a segment.
pub(crate) const LIMITS: Limits = Limits {
    max_bytes: 1 << 20,
    segment_bytes: 200,
    max_payload_bytes: 1000,
};

/// What is read from the first number to the end.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Drained {
    pub(crate) frames: Vec<(u64, Vec<u8>)>,
    pub(crate) lost: Vec<Range<u64>>,
    pub(crate) newer: Vec<Range<u64>>,
}

pub(crate) fn payload(number: u64) -> Vec<u8> {
    format!("payload {number}").into_bytes()
}

pub(crate) fn open_on(storage: &CrashStorage, released: u64) -> (SpillBuffer, Recovery) {
    open(Arc::new(storage.clone()), LIMITS, Seq(released)).unwrap()
}

/// Reads everything. What is read covers the numbers from first to next, once and in order.
pub(crate) fn drain(spill: &mut SpillBuffer) -> Drained {
    let mut drained = Drained::default();
    let mut at = spill.status().first;
    loop {
        let (first, next) = match spill.read(at).unwrap() {
            Read::Frame { seq, payload } => {
                drained.frames.push((seq.0, payload));
                (seq, seq.next())
            }
            Read::Lost { first, next } => {
                drained.lost.push(first.0..next.0);
                (first, next)
            }
            Read::Newer { first, next, .. } => {
                drained.newer.push(first.0..next.0);
                (first, next)
            }
            Read::End => break,
        };
        assert_eq!(first, at);
        assert!(next > at);
        at = next;
    }
    assert_eq!(at, spill.status().next);
    drained
}

/// The frames with these numbers, with their payloads.
pub(crate) fn frames(numbers: impl IntoIterator<Item = u64>) -> Vec<(u64, Vec<u8>)> {
    let frame = |number| (number, payload(number));
    numbers.into_iter().map(frame).collect()
}
