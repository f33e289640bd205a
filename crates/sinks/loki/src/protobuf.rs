//! `PushRequest` in protobuf, written straight into the bytes of the batch.
//!
//! ```text
//! PushRequest   { repeated StreamAdapter streams = 1 }
//! StreamAdapter { string labels = 1; repeated EntryAdapter entries = 2 }
//! EntryAdapter  { Timestamp timestamp = 1; string line = 2; repeated LabelPair metadata = 3 }
//! Timestamp     { int64 seconds = 1; int32 nanos = 2 }
//! LabelPair     { string name = 1; string value = 2 }
//! ```
//!
//! Consecutive records of one stream go into one `StreamAdapter`. When the stream changes, the length
//! of the open one is filled in and the next begins, so a stream may stand in a request several times,
//! which Loki takes, and no line is copied twice to sort it.

use std::fmt::Write as _;

use bytes::Bytes;
use tailwater_record::{LabelSet, RecordView};
use tailwater_sink::{Encode, EncodeStats, Encoded, SplitError};

use crate::MAX_BODY_BYTES;

/// Tag of field `number` with wire type 2, length-delimited.
const fn tag(number: u8) -> u8 {
    number << 3 | 2
}

/// Bytes kept for the length of a stream, which is known only at its end. A varint may be padded:
/// every parser reads `0x80` bytes as seven zero bits. Four hold 256 MiB.
const STREAM_LEN_BYTES: usize = 4;

/// Writes the protobuf body and compresses it as one snappy block.
pub(crate) struct ProtobufEncoder {
    body: Vec<u8>,
    compressed: Vec<u8>,
    snappy: snap::raw::Encoder,
    /// The stream whose adapter is open, and where its length stands.
    open: Option<(LabelSet, usize)>,
    stats: EncodeStats,
}

impl Default for ProtobufEncoder {
    fn default() -> Self {
        Self {
            body: Vec::new(),
            compressed: Vec::new(),
            snappy: snap::raw::Encoder::new(),
            open: None,
            stats: EncodeStats::default(),
        }
    }
}

impl Encode for ProtobufEncoder {
    fn append(&mut self, record: &RecordView<'_>) {
        match &self.open {
            Some((labels, _)) if labels.is_same(record.labels) => {}
            _ => self.begin_stream(record.labels),
        }
        if std::str::from_utf8(record.line).is_ok() {
            put_entry(&mut self.body, record, record.line);
        } else {
            self.stats.replaced_utf8_records += 1;
            let line = String::from_utf8_lossy(record.line);
            put_entry(&mut self.body, record, line.as_bytes());
        }
    }

    fn len(&self) -> usize {
        self.body.len()
    }

    fn seal(&mut self) -> Encoded {
        self.end_stream();
        let body = compress(&mut self.snappy, &self.body, &mut self.compressed);
        self.body.clear();
        Encoded {
            body,
            stats: std::mem::take(&mut self.stats),
        }
    }
}

impl ProtobufEncoder {
    fn begin_stream(&mut self, labels: &LabelSet) {
        self.end_stream();
        self.body.push(tag(1));
        let len_at = self.body.len();
        self.body.extend_from_slice(&[0; STREAM_LEN_BYTES]);
        put_bytes(&mut self.body, 1, selector(labels).as_bytes());
        self.open = Some((labels.clone(), len_at));
    }

    fn end_stream(&mut self) {
        if let Some((_, len_at)) = self.open.take() {
            patch_len(&mut self.body, len_at);
        }
    }
}

/// Fills in a stream's length, padded to its fixed width.
fn patch_len(body: &mut [u8], len_at: usize) {
    let len = body.len().saturating_sub(len_at + STREAM_LEN_BYTES);
    let Some(target) = body.get_mut(len_at..len_at + STREAM_LEN_BYTES) else {
        return;
    };
    for (index, byte) in target.iter_mut().enumerate() {
        let seven = u8::try_from((len >> (7 * index)) & 0x7F).unwrap_or(0);
        let more = if index + 1 < STREAM_LEN_BYTES {
            0x80
        } else {
            0
        };
        *byte = seven | more;
    }
}

/// Appends one entry: the only copy that is made of a line.
fn put_entry(body: &mut Vec<u8>, record: &RecordView<'_>, line: &[u8]) {
    let (seconds, nanos) = record.timestamp.parts();
    let time_len = 1
        + varint_len(seconds)
        + if nanos == 0 {
            0
        } else {
            1 + varint_len(u64::from(nanos))
        };
    let metadata_len: usize = record
        .metadata
        .iter()
        .map(|(name, value)| field_len(field_len(name.len()) + field_len(value.len())))
        .sum();
    let entry_len = field_len(time_len) + field_len(line.len()) + metadata_len;
    body.reserve(entry_len + 16);
    body.push(tag(2));
    put_varint(body, entry_len as u64);
    body.push(tag(1));
    put_varint(body, time_len as u64);
    body.push(1 << 3);
    put_varint(body, seconds);
    if nanos != 0 {
        body.push(2 << 3);
        put_varint(body, u64::from(nanos));
    }
    put_bytes(body, 2, line);
    for (name, value) in record.metadata {
        body.push(tag(3));
        put_varint(
            body,
            (field_len(name.len()) + field_len(value.len())) as u64,
        );
        put_bytes(body, 1, name.as_bytes());
        put_bytes(body, 2, value.as_bytes());
    }
}

fn put_bytes(body: &mut Vec<u8>, number: u8, bytes: &[u8]) {
    body.push(tag(number));
    put_varint(body, bytes.len() as u64);
    body.extend_from_slice(bytes);
}

fn put_varint(body: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        body.push(u8::try_from(value & 0x7F).unwrap_or(0) | 0x80);
        value >>= 7;
    }
    body.push(u8::try_from(value).unwrap_or(0));
}

fn varint_len(value: u64) -> usize {
    let bits = 64 - (value | 1).leading_zeros() as usize;
    bits.div_ceil(7)
}

/// The bytes of a length-delimited field with `len` bytes of content.
fn field_len(len: usize) -> usize {
    1 + varint_len(len as u64) + len
}

/// Writes labels as Loki parses them: `{a="x", b="y"}`, values quoted as Go does.
pub(crate) fn selector(labels: &LabelSet) -> String {
    let mut text = String::from("{");
    for (index, (name, value)) in labels.iter().enumerate() {
        if index > 0 {
            text.push_str(", ");
        }
        text.push_str(name);
        text.push_str("=\"");
        for char in value.chars() {
            match char {
                '"' => text.push_str("\\\""),
                '\\' => text.push_str("\\\\"),
                '\n' => text.push_str("\\n"),
                '\r' => text.push_str("\\r"),
                '\t' => text.push_str("\\t"),
                char if char.is_control() => {
                    // Writing to a string cannot fail.
                    write!(text, "\\u{:04x}", u32::from(char)).ok();
                }
                char => text.push(char),
            }
        }
        text.push('"');
    }
    text.push('}');
    text
}

fn compress(snappy: &mut snap::raw::Encoder, body: &[u8], scratch: &mut Vec<u8>) -> Bytes {
    let room = snap::raw::max_compress_len(body.len());
    if scratch.len() < room {
        scratch.resize(room, 0);
    }
    // It fails only above 4 GiB or without room, and neither is the case.
    let len = snappy.compress(body, scratch).unwrap_or(0);
    Bytes::copy_from_slice(scratch.get(..len).unwrap_or_default())
}

/// Cuts a body after its first records.
pub(crate) fn split(body: &Bytes, first_records: u32) -> Result<(Bytes, Bytes), SplitError> {
    let fail = |reason| SplitError {
        body_bytes: body.len(),
        reason,
    };
    let len = snap::raw::decompress_len(body).map_err(|_| fail("not a snappy block"))?;
    if len > MAX_BODY_BYTES {
        return Err(fail("too large"));
    }
    let plain = snap::raw::Decoder::new()
        .decompress_vec(body)
        .map_err(|_| fail("not a snappy block"))?;
    let (mut first, mut second) = (Vec::new(), Vec::new());
    let mut left = first_records;
    let mut rest: &[u8] = &plain;
    while !rest.is_empty() {
        let stream = take_field(&mut rest)
            .filter(|field| field.number == 1)
            .ok_or_else(|| fail("not a push request"))?;
        split_stream(stream.content, &mut left, &mut first, &mut second)
            .ok_or_else(|| fail("not a stream"))?;
    }
    let mut snappy = snap::raw::Encoder::new();
    let mut scratch = Vec::new();
    Ok((
        compress(&mut snappy, &first, &mut scratch),
        compress(&mut snappy, &second, &mut scratch),
    ))
}

/// Adds the entries of one stream to the halves they belong to.
fn split_stream(
    stream: &[u8],
    left: &mut u32,
    first: &mut Vec<u8>,
    second: &mut Vec<u8>,
) -> Option<()> {
    let mut rest = stream;
    let labels = take_field(&mut rest)
        .filter(|field| field.number == 1)?
        .whole;
    let (mut head, mut tail) = (labels.to_vec(), labels.to_vec());
    while !rest.is_empty() {
        let entry = take_field(&mut rest)
            .filter(|field| field.number == 2)?
            .whole;
        if *left > 0 {
            *left -= 1;
            head.extend_from_slice(entry);
        } else {
            tail.extend_from_slice(entry);
        }
    }
    for (half, stream) in [(first, head), (second, tail)] {
        if stream.len() > labels.len() {
            put_bytes(half, 1, &stream);
        }
    }
    Some(())
}

/// One length-delimited field.
struct Field<'a> {
    number: u64,
    content: &'a [u8],
    /// Tag, length and content.
    whole: &'a [u8],
}

fn take_field<'a>(rest: &mut &'a [u8]) -> Option<Field<'a>> {
    let all = *rest;
    let key = take_varint(rest)?;
    let len = usize::try_from(take_varint(rest)?).ok()?;
    let (content, after) = rest.split_at_checked(len)?;
    *rest = after;
    let whole = all.get(..all.len().checked_sub(after.len())?)?;
    (key & 7 == 2).then_some(Field {
        number: key >> 3,
        content,
        whole,
    })
}

fn take_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests;
