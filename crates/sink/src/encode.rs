//! The synchronous half of a sink.

use bytes::Bytes;
use tailwater_record::RecordView;

/// What was put right while a batch was encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EncodeStats {
    /// Lines in which invalid UTF-8 was replaced, because the backend takes only text.
    pub replaced_utf8_records: u64,
}

/// A sealed body.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// The exact bytes of the wire.
    pub body: Bytes,
    /// What was put right on the way.
    pub stats: EncodeStats,
}

/// Builds the body of one request, record by record.
///
/// Synchronous, no I/O, no allocation per record in steady state: buffers are kept from one batch to
/// the next.
pub trait Encode: Send {
    /// Copies one record into the body. Never fails: what a backend cannot take is put right and
    /// counted.
    fn append(&mut self, record: &RecordView<'_>);

    /// Returns the bytes appended so far, before compression. `batch.max_bytes` is compared to it.
    fn len(&self) -> usize;

    /// Returns whether nothing was appended since the last seal.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Finishes the body, compresses it, and starts the next one.
    fn seal(&mut self) -> Encoded;
}
