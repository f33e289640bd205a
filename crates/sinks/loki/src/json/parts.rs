//! Taking a sealed body apart.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use flate2::Compression;
use serde::de::{DeserializeSeed, Deserializer, Error, SeqAccess, Visitor};
use serde_json::value::RawValue;
use tailwater_record::TimestampNs;
use tailwater_sink::{DecodedRecord, JsonPairs, SplitError, put_selector};

use super::{compress, decompress, put_stream_head};
use crate::{FOREIGN, TOO_FEW};

/// Cuts a body after its first records.
///
/// # Errors
/// Where the body was not sealed by [`super::JsonEncoder`] or made here, or has no more records than
/// that.
pub(crate) fn split(
    body: &Bytes,
    first_records: u32,
    level: u32,
) -> Result<(Bytes, Bytes), SplitError> {
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
    let level = Compression::new(level);
    Ok((compress(&first, level), compress(&second, level)))
}

/// Makes a body of the records that `keep` chooses; `None` where it chooses none.
///
/// # Errors
/// Where the body was not sealed by [`super::JsonEncoder`] or made here.
pub(crate) fn retain(
    body: &Bytes,
    keep: &mut dyn FnMut(u32) -> bool,
    level: u32,
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
            compress(&plain, Compression::new(level))
        }
    }))
}

/// Reads the records of a body.
///
/// # Errors
/// Where the body was not sealed by [`super::JsonEncoder`] or made here.
pub(crate) fn decode(
    body: &Bytes,
    each: &mut dyn FnMut(DecodedRecord<'_>),
) -> Result<(), SplitError> {
    let fail = crate::refusal(body);
    let plain = decompress(body).map_err(fail)?;
    let (mut labels, mut labels_of) = (String::new(), None);
    walk(&plain, |entry| {
        if labels_of != Some(entry.stream) {
            labels_of = Some(entry.stream);
            render_labels(&mut labels, entry.labels)?;
        }
        let Value(timestamp, line, metadata) = serde_json::from_str(entry.value.get()).ok()?;
        let metadata: Vec<(&str, &str)> = metadata.iter().collect();
        each(DecodedRecord {
            index: entry.index,
            timestamp: TimestampNs(timestamp.parse().ok()?),
            labels: &labels,
            metadata: &metadata,
            line: line.as_bytes(),
        });
        Some(())
    })
    .ok_or_else(|| fail(FOREIGN))
}

fn render_labels(text: &mut String, labels: &RawValue) -> Option<()> {
    let pairs: JsonPairs<'_> = serde_json::from_str(labels.get()).ok()?;
    text.clear();
    if pairs.iter().next().is_some() {
        put_selector(text, pairs.iter());
    }
    Some(())
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Push<'a> {
    #[serde(borrow)]
    streams: Vec<Stream<'a>>,
}

/// The values are left as text: a list of them would take many times their size.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Stream<'a> {
    #[serde(borrow, rename = "stream")]
    labels: &'a RawValue,
    #[serde(borrow)]
    values: &'a RawValue,
}

/// Timestamp, line, and structured metadata where there is any.
#[derive(serde::Deserialize)]
struct Value<'a>(
    #[serde(borrow)] Cow<'a, str>,
    #[serde(borrow)] Cow<'a, str>,
    #[serde(borrow, default)] JsonPairs<'a>,
);

/// One entry of a request that was written here.
struct Entry<'a> {
    /// Its place among all entries: that of the record that was appended.
    index: u32,
    /// The place of its stream among the streams.
    stream: usize,
    labels: &'a RawValue,
    value: &'a RawValue,
}

/// Gives every entry to `each`, in order; `None` where `plain` is not a request as it is written here
/// or `each` refuses an entry.
fn walk<'a>(plain: &'a [u8], mut each: impl FnMut(Entry<'a>) -> Option<()>) -> Option<()> {
    let push: Push<'a> = serde_json::from_slice(plain).ok()?;
    let mut index = 0_u32;
    for (stream, content) in push.streams.iter().enumerate() {
        let elements = Elements(|value| {
            each(Entry {
                index,
                stream,
                labels: content.labels,
                value,
            })?;
            index = index.checked_add(1)?;
            Some(())
        });
        elements
            .deserialize(&mut serde_json::Deserializer::from_str(
                content.values.get(),
            ))
            .ok()?;
    }
    Some(())
}

/// Reads an array, and gives each of its values away before the next is read.
struct Elements<F>(F);

impl<'de, F: FnMut(&'de RawValue) -> Option<()>> DeserializeSeed<'de> for Elements<F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, F: FnMut(&'de RawValue) -> Option<()>> Visitor<'de> for Elements<F> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut array: A) -> Result<(), A::Error> {
        while let Some(value) = array.next_element()? {
            (self.0)(value).ok_or_else(|| A::Error::custom("refused"))?;
        }
        Ok(())
    }
}

/// A request that is made of entries of another.
#[derive(Default)]
struct Part {
    body: Vec<u8>,
    /// The stream that is open, as the other request counts them.
    open: Option<usize>,
}

impl Part {
    /// Adds an entry as it stands, under the labels of its stream; one stream's follow each other.
    fn add(&mut self, entry: &Entry<'_>) {
        if self.open == Some(entry.stream) {
            self.body.push(b',');
        } else {
            let between: &[u8] = match self.open {
                Some(_) => b"]},",
                None => b"{\"streams\":[",
            };
            self.body.extend_from_slice(between);
            put_stream_head(&mut self.body, entry.labels.get().as_bytes());
            self.open = Some(entry.stream);
        }
        self.body.extend_from_slice(entry.value.get().as_bytes());
    }

    /// Returns the request; `None` where nothing was added.
    fn finish(mut self) -> Option<Vec<u8>> {
        self.open?;
        self.body.extend_from_slice(b"]}]}");
        Some(self.body)
    }
}
