//! Where each record of a batch on disk came from.

use tailwater_engine::envelope::{Envelope, EnvelopeSpan};
use tailwater_record::Span;

/// Where one record came from.
#[derive(Clone, Copy, Debug)]
pub(super) struct RecordOrigin<'e> {
    /// What it is part of.
    pub(super) of: &'e EnvelopeSpan,
    /// Its own bytes, delimiter included.
    pub(super) span: Span,
}

/// Returns the origins of the records, by their index; fewer where the envelope does not tell.
pub(super) fn of_records(envelope: &Envelope) -> Vec<RecordOrigin<'_>> {
    let mut origins = Vec::with_capacity(envelope.record_ends.len());
    let mut ends = envelope.record_ends.iter();
    for of in &envelope.spans {
        let first = of.span.start;
        let mut start = first;
        for _ in 0..of.records {
            let Some(end) = ends.next() else {
                return origins;
            };
            let end = first.saturating_add(u64::from(*end));
            origins.push(RecordOrigin {
                of,
                span: Span { start, end },
            });
            start = end;
        }
    }
    origins
}

/// Returns a span for a record alone.
pub(super) fn alone(origin: &RecordOrigin<'_>) -> EnvelopeSpan {
    EnvelopeSpan {
        span: origin.span,
        records: 1,
        line_bytes: origin.span.len(),
        ..origin.of.clone()
    }
}
