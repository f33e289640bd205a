//! Taking a sealed body apart.

use bytes::Bytes;
use tailwater_sink::{DecodedRecord, MAX_PAIRS, SplitError};

use super::{BlockWriter, decompress};
use crate::decode::read_entry;
use crate::wire::{Fields, Value, begin_stream, end_stream, field};
use crate::{FOREIGN, TOO_FEW};

/// Cuts a body after its first records.
///
/// # Errors
/// Where the body was not sealed by [`super::ProtobufEncoder`] or made here, or has no more records
/// than that.
pub(crate) fn split(body: &Bytes, first_records: u32) -> Result<(Bytes, Bytes), SplitError> {
    let fail = crate::refusal(body);
    let plain = decompress(body).map_err(fail)?;
    let (mut first, mut second) = (Part::default(), Part::default());
    walk(&plain, |entry| {
        let half = if entry.index < first_records {
            &mut first
        } else {
            &mut second
        };
        half.add(&entry);
        Some(())
    })
    .ok_or_else(|| fail(FOREIGN))?;
    let halves = first.finish().zip(second.finish());
    let (first, second) = halves.ok_or_else(|| fail(TOO_FEW))?;
    let mut block = BlockWriter::new();
    Ok((block.compress(&first), block.compress(&second)))
}

/// Makes a body of the records that `keep` chooses; `None` where it chooses none.
///
/// # Errors
/// Where the body was not sealed by [`super::ProtobufEncoder`] or made here.
pub(crate) fn retain(
    body: &Bytes,
    keep: &mut dyn FnMut(u32) -> bool,
) -> Result<Option<Bytes>, SplitError> {
    let fail = crate::refusal(body);
    let plain = decompress(body).map_err(fail)?;
    let (mut kept, mut is_whole) = (Part::default(), true);
    walk(&plain, |entry| {
        if keep(entry.index) {
            kept.add(&entry);
        } else {
            is_whole = false;
        }
        Some(())
    })
    .ok_or_else(|| fail(FOREIGN))?;
    Ok(kept.finish().map(|plain| {
        if is_whole {
            body.clone()
        } else {
            BlockWriter::new().compress(&plain)
        }
    }))
}

/// Reads the records of a body.
///
/// # Errors
/// Where the body was not sealed by [`super::ProtobufEncoder`] or made here.
pub(crate) fn decode(
    body: &Bytes,
    each: &mut dyn FnMut(DecodedRecord<'_>),
) -> Result<(), SplitError> {
    let fail = crate::refusal(body);
    let plain = decompress(body).map_err(fail)?;
    let mut metadata = Vec::new();
    walk(&plain, |entry| {
        metadata.clear();
        // The entry itself counts as one.
        let mut pairs_left = MAX_PAIRS + 1;
        let (timestamp, line) = read_entry(entry.content, &mut metadata, &mut pairs_left).ok()?;
        each(DecodedRecord {
            index: entry.index,
            timestamp,
            labels: Some(entry.labels)
                .filter(|labels| *labels != "{}")
                .unwrap_or_default(),
            metadata: &metadata,
            line: line.as_bytes(),
        });
        Some(())
    })
    .ok_or_else(|| fail(FOREIGN))
}

/// One entry of a request that was written here.
struct Entry<'a> {
    /// Its place among all entries: that of the record that was appended.
    index: u32,
    /// The place of its stream among the streams.
    stream: usize,
    /// The labels of its stream, and the field that they are.
    labels: &'a str,
    labels_field: &'a [u8],
    content: &'a [u8],
    /// The field that the entry is.
    whole: &'a [u8],
}

/// Gives every entry to `each`, in order; `None` where `plain` is not a request as it is written here
/// or `each` refuses an entry.
fn walk<'a>(plain: &'a [u8], mut each: impl FnMut(Entry<'a>) -> Option<()>) -> Option<()> {
    let mut index = 0_u32;
    for (stream, content) in Fields::of(plain).enumerate() {
        let content = content.ok()?.bytes_of(field::PUSH_STREAM)?;
        let mut fields = Fields::of(content);
        let labels = fields.next()?.ok()?;
        let text = labels.bytes_of(field::STREAM_LABELS)?;
        let text = std::str::from_utf8(text).ok()?;
        for entry in fields {
            let entry = entry.ok()?;
            each(Entry {
                index,
                stream,
                labels: text,
                labels_field: labels.whole,
                content: entry.bytes_of(field::STREAM_ENTRY)?,
                whole: entry.whole,
            })?;
            index = index.checked_add(1)?;
        }
    }
    Some(())
}

impl<'a> crate::wire::Field<'a> {
    /// Returns what stands in the field where it has this number and holds bytes.
    fn bytes_of(&self, number: u8) -> Option<&'a [u8]> {
        match self.value {
            Value::Bytes(bytes) if self.number == u64::from(number) => Some(bytes),
            Value::Bytes(_) | Value::Varint(_) | Value::Fixed => None,
        }
    }
}

/// A request that is made of entries of another.
#[derive(Default)]
struct Part {
    body: Vec<u8>,
    /// The stream that is open, as the other request counts them, and where its length stands.
    open: Option<(usize, usize)>,
}

impl Part {
    /// Adds an entry as it stands, under the labels of its stream; one stream's follow each other.
    fn add(&mut self, entry: &Entry<'_>) {
        if self.open.is_none_or(|(stream, _)| stream != entry.stream) {
            self.end_stream();
            let len_at = begin_stream(&mut self.body, entry.labels_field);
            self.open = Some((entry.stream, len_at));
        }
        self.body.extend_from_slice(entry.whole);
    }

    fn end_stream(&mut self) {
        if let Some((_, len_at)) = self.open.take() {
            end_stream(&mut self.body, len_at);
        }
    }

    /// Returns the request; `None` where nothing was added.
    fn finish(mut self) -> Option<Vec<u8>> {
        self.end_stream();
        (!self.body.is_empty()).then_some(self.body)
    }
}
