//! The frames of an intent file, all integers little-endian.
//!
//! | kind | record | fields                                                                 |
//! |------|--------|------------------------------------------------------------------------|
//! | 1    | header | version u32, generation u64, next batch u64                            |
//! | 2    | intent | batch u64, timestamp step u32, sink (length u16, UTF-8 bytes), spans to the end |
//! | 3    | intent | the same up to the sink, number of routes u16, each length u16 and UTF-8 bytes, spans to the end, each with the index of its route u16 before it |
//!
//! A span is: key u64, epoch u32, start u64, end u64, marker (length u16, hash u64), place u8, lines
//! u32, first timestamp u64.
//! Source: docs/formats/intents.md, section 3.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tailwater_durable::frame::{self, Frame, HEADER_BYTES};

use super::{Intent, IntentSpan};
use crate::fields::{Fields, append_short};

const KIND_HEADER: u8 = 1;
const KIND_INTENT: u8 = 2;
const KIND_ROUTED_INTENT: u8 = 3;

/// The version that is written.
const VERSION: u32 = 1;

/// Most spans of one intent.
pub(super) const MAX_SPANS: usize = 4096;

/// Longest name of a sink, as in the position journal.
pub(super) const MAX_SINK_BYTES: usize = crate::record::MAX_SINK_BYTES;

/// Longest names of routes in one intent, their lengths included.
pub(super) const MAX_ROUTES_BYTES: usize = 256 * 1024;

/// Longest payload that is read: the most spans and the longest names fit.
pub(super) const MAX_PAYLOAD_BYTES: usize = 512 * 1024;

const SPAN_BYTES: usize = 8 + 4 + 8 + 8 + 2 + 8 + 1 + 4 + 8;
const INTENT_FIXED_BYTES: usize = 8 + 4 + 2;
const HEADER_PAYLOAD_BYTES: usize = 4 + 8 + 8;

const ROUTE_INDEX_BYTES: usize = 2;

const _: () = assert!(
    INTENT_FIXED_BYTES
        + MAX_SINK_BYTES
        + ROUTE_INDEX_BYTES
        + MAX_ROUTES_BYTES
        + MAX_SPANS * (ROUTE_INDEX_BYTES + SPAN_BYTES)
        <= MAX_PAYLOAD_BYTES
);

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
    let (route_bytes, span_bytes) = if is_routed(intent) {
        let route_bytes = ROUTE_INDEX_BYTES.saturating_add(route_bytes(intent));
        (route_bytes, ROUTE_INDEX_BYTES + SPAN_BYTES)
    } else {
        (0, SPAN_BYTES)
    };
    let bytes = intent
        .spans
        .len()
        .saturating_mul(span_bytes)
        .saturating_add(HEADER_BYTES + INTENT_FIXED_BYTES)
        .saturating_add(intent.sink.len())
        .saturating_add(route_bytes);
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// Returns the bytes that the names of an intent's routes take, their lengths included.
pub(super) fn route_bytes(intent: &Intent) -> usize {
    let routes: BTreeSet<&str> = intent.spans.iter().map(|span| &*span.route).collect();
    let lens = routes
        .into_iter()
        .map(|route| route.len().saturating_add(2));
    lens.fold(0, usize::saturating_add)
}

fn is_routed(intent: &Intent) -> bool {
    intent.spans.iter().any(|span| !span.route.is_empty())
}

pub(super) fn append_header(out: &mut Vec<u8>, header: Header) {
    let mut payload = Vec::with_capacity(HEADER_PAYLOAD_BYTES);
    payload.extend_from_slice(&VERSION.to_le_bytes());
    payload.extend_from_slice(&header.generation.to_le_bytes());
    payload.extend_from_slice(&header.next_batch.to_le_bytes());
    append(out, KIND_HEADER, &payload);
}

/// Appends an intent, whose spans and names are within the limits.
pub(super) fn append_intent(out: &mut Vec<u8>, intent: &Intent) {
    let capacity = usize::try_from(frame_bytes(intent)).unwrap_or(0);
    let mut payload = Vec::with_capacity(capacity);
    payload.extend_from_slice(&intent.batch.to_le_bytes());
    payload.extend_from_slice(&intent.timestamp_step.to_le_bytes());
    append_short(&mut payload, intent.sink.as_bytes());
    if !is_routed(intent) {
        let spans = intent.spans.iter();
        spans.for_each(|span| append_span(&mut payload, span));
        return append(out, KIND_INTENT, &payload);
    }
    let routes: BTreeSet<&str> = intent.spans.iter().map(|span| &*span.route).collect();
    // There are no more of them than spans.
    let indexes: BTreeMap<&str, u16> = routes.into_iter().zip(0..).collect();
    let count = u16::try_from(indexes.len()).unwrap_or(u16::MAX);
    payload.extend_from_slice(&count.to_le_bytes());
    for route in indexes.keys() {
        append_short(&mut payload, route.as_bytes());
    }
    for span in &intent.spans {
        let index = indexes.get(&*span.route).copied().unwrap_or(u16::MAX);
        payload.extend_from_slice(&index.to_le_bytes());
        append_span(&mut payload, span);
    }
    append(out, KIND_ROUTED_INTENT, &payload);
}

fn append_span(payload: &mut Vec<u8>, span: &IntentSpan) {
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
        KIND_INTENT => fields.intent(Fields::spans).map(Decoded::Intent),
        KIND_ROUTED_INTENT => fields.intent(Fields::routed_spans).map(Decoded::Intent),
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

    fn intent(&mut self, spans: impl Fn(&mut Self) -> Option<Vec<IntentSpan>>) -> Option<Intent> {
        // The last number is none: there would be no next one.
        let batch = self.u64().filter(|batch| *batch < u64::MAX)?;
        let timestamp_step = self.u32()?;
        let sink = Arc::from(self.name(MAX_SINK_BYTES)?);
        Some(Intent {
            batch,
            sink,
            timestamp_step,
            spans: spans(self)?,
        })
    }

    fn spans(&mut self) -> Option<Vec<IntentSpan>> {
        let of_sink: Arc<str> = "".into();
        let mut spans = Vec::new();
        while !self.is_empty() {
            if spans.len() == MAX_SPANS {
                return None;
            }
            spans.push(self.span(&of_sink)?);
        }
        Some(spans)
    }

    fn routed_spans(&mut self) -> Option<Vec<IntentSpan>> {
        let count = usize::from(self.u16()?);
        let mut routes: Vec<Arc<str>> = Vec::new();
        for _ in 0..count.min(MAX_SPANS) {
            routes.push(self.name(MAX_SINK_BYTES)?.into());
        }
        let mut spans = Vec::new();
        while !self.is_empty() {
            if spans.len() == MAX_SPANS {
                return None;
            }
            let route = routes.get(usize::from(self.u16()?))?;
            spans.push(self.span(route)?);
        }
        Some(spans)
    }

    fn span(&mut self, route: &Arc<str>) -> Option<IntentSpan> {
        Some(IntentSpan {
            route: Arc::clone(route),
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
