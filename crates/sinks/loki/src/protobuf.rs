//! `PushRequest` in protobuf, written straight into the bytes of the batch, as one snappy block.
//!
//! ```text
//! PushRequest   { repeated StreamAdapter streams = 1 }
//! StreamAdapter { string labels = 1; repeated EntryAdapter entries = 2 }
//! EntryAdapter  { Timestamp timestamp = 1; string line = 2; repeated LabelPair metadata = 3 }
//! Timestamp     { int64 seconds = 1; int32 nanos = 2 }
//! LabelPair     { string name = 1; string value = 2 }
//! ```

mod parts;

pub(crate) use parts::{decode, retain, split};

use bytes::Bytes;
use tailwater_record::{LabelSet, RecordView};
use tailwater_sink::{Encode, EncodeStats, Encoded, put_selector};

use crate::labels::LabelCache;
use crate::wire::{
    begin_stream, end_stream, field, field_len, padded_varint, put_bytes, put_varint, tag_bytes,
    tag_varint,
};
use crate::{MAX_BODY_BYTES, MAX_KEPT_BYTES};

/// Content of a timestamp: two tags and two varints of five bytes. Five hold 35 bits: the seconds of
/// every [`tailwater_record::TimestampNs`] and the nanoseconds of every second. A time of today takes
/// them anyway, and a fixed width makes the head of an entry one copy without a branch.
const TIMESTAMP_LEN: u8 = 12;

/// An entry with less content than this has lengths of two bytes.
const SHORT_ENTRY_BYTES: usize = 1 << 14;

/// Writes the protobuf body and compresses it as one snappy block.
pub(crate) struct ProtobufEncoder {
    body: Vec<u8>,
    block: BlockWriter,
    labels: LabelCache,
    /// The stream that is open, and where its length stands in `body`.
    open: Option<(LabelSet, usize)>,
    /// A line in which invalid UTF-8 was replaced, on its way into `body`.
    replaced: String,
    stats: EncodeStats,
}

impl Default for ProtobufEncoder {
    fn default() -> Self {
        Self {
            body: Vec::new(),
            block: BlockWriter::new(),
            labels: LabelCache::new(labels_field),
            open: None,
            replaced: String::new(),
            stats: EncodeStats::default(),
        }
    }
}

impl Encode for ProtobufEncoder {
    fn append(&mut self, record: &RecordView<'_>) {
        let is_open = matches!(&self.open, Some((labels, _)) if labels == record.labels);
        if !is_open {
            self.begin_stream(record.labels);
        }
        if std::str::from_utf8(record.line).is_ok() {
            put_entry(&mut self.body, record, record.line);
        } else {
            self.append_replaced(record);
        }
    }

    fn len(&self) -> usize {
        self.body.len()
    }

    fn seal(&mut self) -> Encoded {
        self.end_stream();
        let body = self.block.compress(&self.body);
        self.body.clear();
        self.body.shrink_to(MAX_KEPT_BYTES);
        self.replaced.shrink_to(MAX_KEPT_BYTES);
        Encoded {
            body,
            stats: std::mem::take(&mut self.stats),
        }
    }
}

impl ProtobufEncoder {
    fn begin_stream(&mut self, labels: &LabelSet) {
        self.end_stream();
        let len_at = begin_stream(&mut self.body, self.labels.get(labels));
        self.open = Some((labels.clone(), len_at));
    }

    fn end_stream(&mut self) {
        if let Some((_, len_at)) = self.open.take() {
            end_stream(&mut self.body, len_at);
        }
    }

    #[cold]
    fn append_replaced(&mut self, record: &RecordView<'_>) {
        self.stats.replaced_utf8_records += 1;
        replace_invalid(record.line, &mut self.replaced);
        put_entry(&mut self.body, record, self.replaced.as_bytes());
    }
}

/// Writes `line` to `text` with U+FFFD in the place of what is not UTF-8.
pub(crate) fn replace_invalid(line: &[u8], text: &mut String) {
    text.clear();
    for chunk in line.utf8_chunks() {
        text.push_str(chunk.valid());
        if !chunk.invalid().is_empty() {
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }
}

/// Appends one entry: the only copy that is made of a line.
fn put_entry(body: &mut Vec<u8>, record: &RecordView<'_>, line: &[u8]) {
    let (seconds, nanos) = record.timestamp.parts();
    let timestamp = timestamp_field(seconds, nanos);
    let metadata_len: usize = record
        .metadata
        .iter()
        .map(|(name, value)| field_len(pair_len(name, value)))
        .sum();
    let short_len = timestamp.len() + 3 + line.len() + metadata_len;
    if short_len < SHORT_ENTRY_BYTES {
        put_head::<2>(body, short_len, timestamp, line.len());
    } else {
        put_head::<5>(body, short_len + 3, timestamp, line.len());
    }
    body.extend_from_slice(line);
    for (name, value) in record.metadata {
        body.push(tag_bytes(field::ENTRY_METADATA));
        put_varint(body, pair_len(name, value) as u64);
        put_bytes(body, field::PAIR_NAME, name.as_bytes());
        put_bytes(body, field::PAIR_VALUE, value.as_bytes());
    }
}

/// Appends what stands before a line; both lengths take `W` bytes.
fn put_head<const W: usize>(
    body: &mut Vec<u8>,
    entry_len: usize,
    timestamp: [u8; 14],
    line_len: usize,
) {
    body.reserve(entry_len + 1 + W);
    body.push(tag_bytes(field::STREAM_ENTRY));
    body.extend_from_slice(&padded_varint::<W>(entry_len as u64));
    body.extend_from_slice(&timestamp);
    body.push(tag_bytes(field::ENTRY_LINE));
    body.extend_from_slice(&padded_varint::<W>(line_len as u64));
}

fn timestamp_field(seconds: u64, nanos: u32) -> [u8; 14] {
    let [s0, s1, s2, s3, s4] = padded_varint(seconds);
    let [n0, n1, n2, n3, n4] = padded_varint(u64::from(nanos));
    let (timestamp, second, nano) = (
        tag_bytes(field::ENTRY_TIMESTAMP),
        tag_varint(field::TIMESTAMP_SECONDS),
        tag_varint(field::TIMESTAMP_NANOS),
    );
    [
        timestamp,
        TIMESTAMP_LEN,
        second,
        s0,
        s1,
        s2,
        s3,
        s4,
        nano,
        n0,
        n1,
        n2,
        n3,
        n4,
    ]
}

fn pair_len(name: &str, value: &str) -> usize {
    field_len(name.len()) + field_len(value.len())
}

fn labels_field(labels: &LabelSet) -> Vec<u8> {
    let mut text = String::new();
    put_selector(&mut text, labels.iter());
    let mut bytes = Vec::with_capacity(field_len(text.len()));
    put_bytes(&mut bytes, field::STREAM_LABELS, text.as_bytes());
    bytes
}

/// Bytes of a body that snappy compresses without a look at those before them. Given to it one after the
/// other, they need no room for the largest block that the whole body can become.
const PART_BYTES: usize = 1 << 16;

/// Compresses bodies as snappy blocks.
struct BlockWriter {
    snappy: snap::raw::Encoder,
    /// Room for the largest that a part can become; its content is of no account.
    room: Box<[u8]>,
    block: Vec<u8>,
}

impl BlockWriter {
    fn new() -> Self {
        Self {
            snappy: snap::raw::Encoder::new(),
            room: vec![0; snap::raw::max_compress_len(PART_BYTES)].into(),
            block: Vec::new(),
        }
    }

    fn compress(&mut self, body: &[u8]) -> Bytes {
        self.block.clear();
        put_varint(&mut self.block, body.len() as u64);
        for part in body.chunks(PART_BYTES) {
            let len = self
                .snappy
                .compress(part, &mut self.room)
                .expect("there is room for any part");
            // Its length stands before it; that of all of them stands before the first.
            let own = self.room.iter().take_while(|byte| **byte >= 0x80).count() + 1;
            let compressed = self.room.get(own..len).unwrap_or_default();
            self.block.extend_from_slice(compressed);
        }
        let block = Bytes::copy_from_slice(&self.block);
        self.block.shrink_to(MAX_KEPT_BYTES);
        block
    }
}

/// Undoes the compression; at most [`MAX_BODY_BYTES`] come of it.
pub(crate) fn decompress(body: &[u8]) -> Result<Vec<u8>, &'static str> {
    let not_snappy = |_| "not a snappy block";
    if snap::raw::decompress_len(body).map_err(not_snappy)? > MAX_BODY_BYTES {
        return Err("larger than any batch");
    }
    snap::raw::Decoder::new()
        .decompress_vec(body)
        .map_err(not_snappy)
}

#[cfg(test)]
mod tests;
