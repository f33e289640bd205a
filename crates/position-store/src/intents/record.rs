//! The frames of an intent file, all integers little-endian.
//!
//! | kind | record | fields                                                                 |
//! |------|--------|------------------------------------------------------------------------|
//! | 1    | header | version u32, generation u64, next batch u64                            |
//! | 2    | intent | batch u64, timestamp step u32, sink (length u16, UTF-8 bytes), spans to the end |
//!
//! A span is: key u64, epoch u32, start u64, end u64, marker (length u16, hash u64), place u8, lines
//! u32, first timestamp u64.
//! Source: docs/formats/intents.md, section 3.

use std::sync::Arc;

use tailwater_durable::frame::{self, Frame, HEADER_BYTES};

use super::{Intent, IntentSpan};
use crate::fields::{Fields, append_short};

const KIND_HEADER: u8 = 1;
const KIND_INTENT: u8 = 2;

/// The version that is written.
const VERSION: u32 = 1;

/// Most spans of one intent.
pub(super) const MAX_SPANS: usize = 4096;

/// Longest name of a sink, as in the position journal.
pub(super) const MAX_SINK_BYTES: usize = crate::record::MAX_SINK_BYTES;

/// Longest payload that is read: the most spans and the longest name fit.
pub(super) const MAX_PAYLOAD_BYTES: usize = 224 * 1024;

const SPAN_BYTES: usize = 8 + 4 + 8 + 8 + 2 + 8 + 1 + 4 + 8;
const INTENT_FIXED_BYTES: usize = 8 + 4 + 2;
const HEADER_PAYLOAD_BYTES: usize = 4 + 8 + 8;

const _: () =
    assert!(INTENT_FIXED_BYTES + MAX_SINK_BYTES + MAX_SPANS * SPAN_BYTES <= MAX_PAYLOAD_BYTES);

/// Bytes of the frame that every file begins with.
pub(super) const HEADER_FRAME_BYTES: u64 = (HEADER_BYTES + HEADER_PAYLOAD_BYTES) as u64;

/// How a file begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) generation: u64,
    /// Greater than every number of a batch that was appended before the file was begun.
    pub(super) next_batch: u64,
}

/// What a valid frame turned out to be.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Decoded {
    Header(Header),
    /// A version that is newer than this one knows.
    Newer(u32),
    Intent(Intent),
    /// A kind that this version does not know.
    Unknown,
    /// A known kind whose fields make no sense.
    Malformed,
}

/// Returns the bytes that an intent takes in its frame.
pub(super) fn frame_bytes(intent: &Intent) -> u64 {
    let bytes = intent
        .spans
        .len()
        .saturating_mul(SPAN_BYTES)
        .saturating_add(HEADER_BYTES + INTENT_FIXED_BYTES)
        .saturating_add(intent.sink.len());
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

pub(super) fn append_header(out: &mut Vec<u8>, header: Header) {
    let mut payload = Vec::with_capacity(HEADER_PAYLOAD_BYTES);
    payload.extend_from_slice(&VERSION.to_le_bytes());
    payload.extend_from_slice(&header.generation.to_le_bytes());
    payload.extend_from_slice(&header.next_batch.to_le_bytes());
    append(out, KIND_HEADER, &payload);
}

/// Appends an intent, whose spans and sink are within the limits.
pub(super) fn append_intent(out: &mut Vec<u8>, intent: &Intent) {
    let capacity = usize::try_from(frame_bytes(intent)).unwrap_or(0);
    let mut payload = Vec::with_capacity(capacity);
    payload.extend_from_slice(&intent.batch.to_le_bytes());
    payload.extend_from_slice(&intent.timestamp_step.to_le_bytes());
    append_short(&mut payload, intent.sink.as_bytes());
    for span in &intent.spans {
        payload.extend_from_slice(&span.key.0.to_le_bytes());
        payload.extend_from_slice(&span.epoch.to_le_bytes());
        payload.extend_from_slice(&span.start.to_le_bytes());
        payload.extend_from_slice(&span.end.to_le_bytes());
        payload.extend_from_slice(&span.marker.len.to_le_bytes());
        payload.extend_from_slice(&span.marker.hash.to_le_bytes());
        payload.push(span.place);
        payload.extend_from_slice(&span.lines.to_le_bytes());
        payload.extend_from_slice(&span.first_timestamp_ns.to_le_bytes());
    }
    append(out, KIND_INTENT, &payload);
}

fn append(out: &mut Vec<u8>, kind: u8, payload: &[u8]) {
    assert!(
        payload.len() <= MAX_PAYLOAD_BYTES,
        "an intent is longer than a reader takes: {} bytes",
        payload.len()
    );
    frame::append(out, kind, payload).expect("an intent is far below the longest frame");
}

pub(super) fn decode(frame: &Frame<'_>) -> Decoded {
    let mut fields = Fields(frame.payload);
    let decoded = match frame.kind {
        // A header anywhere else has no meaning: every generation has a file of its own.
        KIND_HEADER if frame.offset == 0 => match fields.u32() {
            // A newer version may have other fields, so they are not looked at.
            Some(newer) if newer > VERSION => return Decoded::Newer(newer),
            Some(VERSION) => fields.intent_header().map(Decoded::Header),
            Some(_) | None => None,
        },
        KIND_HEADER => None,
        KIND_INTENT => fields.intent().map(Decoded::Intent),
        _ => return Decoded::Unknown,
    };
    decoded
        .filter(|_| fields.is_empty())
        .unwrap_or(Decoded::Malformed)
}

impl Fields<'_> {
    fn intent_header(&mut self) -> Option<Header> {
        Some(Header {
            generation: self.u64()?,
            next_batch: self.u64()?,
        })
    }

    fn intent(&mut self) -> Option<Intent> {
        // The last number is none: there would be no next one.
        let batch = self.u64().filter(|batch| *batch < u64::MAX)?;
        let timestamp_step = self.u32()?;
        let sink = Arc::from(self.name(MAX_SINK_BYTES)?);
        let mut spans = Vec::new();
        while !self.is_empty() {
            if spans.len() == MAX_SPANS {
                return None;
            }
            spans.push(self.span()?);
        }
        Some(Intent {
            batch,
            sink,
            timestamp_step,
            spans,
        })
    }

    fn span(&mut self) -> Option<IntentSpan> {
        Some(IntentSpan {
            key: self.key()?,
            epoch: self.u32()?,
            start: self.u64()?,
            end: self.u64()?,
            marker: self.marker()?,
            place: self.u8()?,
            lines: self.u32()?,
            first_timestamp_ns: self.u64()?,
        })
    }
}
