//! Reads push requests back: for tests, and for whatever stands in for Loki in them.
//!
//! Takes what any client of the push API sends, not only what this crate writes. The bytes may be
//! hostile: nothing here panics, recurses or takes memory without a bound.

use std::collections::BTreeMap;

use bytes::Bytes;
use tailwater_record::TimestampNs;
use tailwater_sink::{DecodedRecord, SplitError, put_selector};

use crate::settings::Encoding;
use crate::wire::{Fields, Malformed, Value, field};

/// Records that one request in protobuf may hold: an entry takes two bytes there and many times that
/// once it is read.
pub const MAX_RECORDS: usize = 4 << 20;

/// One stream of a request; the same labels may stand in several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DecodedStream {
    /// Its labels: `{a="x", b="y"}`, sorted by name where the request came in JSON.
    pub labels: String,
    /// Its entries, in the order of the request.
    pub entries: Vec<DecodedEntry>,
}

/// One entry of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodedEntry {
    /// When it happened.
    pub timestamp: TimestampNs,
    /// The line.
    pub line: String,
    /// Structured metadata, in the order of the request; sorted by name where it came in JSON.
    pub metadata: Vec<(String, String)>,
}

/// Why a request could not be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The body is not compressed as it says, or too large.
    #[error("cannot decompress a body of {body_bytes} bytes: {reason}")]
    Compression {
        /// Size of the body.
        body_bytes: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A message does not follow its schema.
    #[error("cannot read a push request: not a valid {part}")]
    Malformed {
        /// The message.
        part: &'static str,
    },
    /// The request holds more than [`MAX_RECORDS`] records.
    #[error("cannot read a push request of more than {MAX_RECORDS} records")]
    TooManyRecords,
}

const fn malformed(part: &'static str) -> DecodeError {
    DecodeError::Malformed { part }
}

/// Gives each record of a body that this sink has made, in order.
///
/// # Errors
/// [`SplitError`] where it is no such body.
pub(crate) fn decode_records(
    encoding: Encoding,
    body: &Bytes,
    each: &mut dyn FnMut(DecodedRecord<'_>),
) -> Result<(), SplitError> {
    match encoding {
        Encoding::Protobuf => crate::protobuf::decode(body, each),
        Encoding::Json => crate::json::decode(body, each),
    }
}

/// Decompresses and reads a body as it is sealed.
///
/// # Errors
/// [`DecodeError`] where it is none, or larger than [`crate::MAX_BODY_BYTES`].
pub fn decode_body(encoding: Encoding, body: &[u8]) -> Result<Vec<DecodedStream>, DecodeError> {
    match encoding {
        Encoding::Protobuf => decode_protobuf(&decompress_snappy(body)?),
        Encoding::Json => decode_json(&decompress_gzip(body)?),
    }
}

/// Decompresses one snappy block of at most [`crate::MAX_BODY_BYTES`].
///
/// # Errors
/// [`DecodeError::Compression`] where it is none, or larger.
pub fn decompress_snappy(body: &[u8]) -> Result<Vec<u8>, DecodeError> {
    crate::protobuf::decompress(body).map_err(|reason| DecodeError::Compression {
        body_bytes: body.len(),
        reason,
    })
}

/// Decompresses gzip of at most [`crate::MAX_BODY_BYTES`].
///
/// # Errors
/// [`DecodeError::Compression`] where it is none, or larger.
pub fn decompress_gzip(body: &[u8]) -> Result<Vec<u8>, DecodeError> {
    crate::json::decompress(body).map_err(|reason| DecodeError::Compression {
        body_bytes: body.len(),
        reason,
    })
}

/// Reads a decompressed push request in protobuf; fields it does not know are passed over.
///
/// # Errors
/// [`DecodeError`] where it is none.
pub fn decode_protobuf(request: &[u8]) -> Result<Vec<DecodedStream>, DecodeError> {
    let mut streams = Vec::new();
    let mut records_left = MAX_RECORDS;
    for field in Fields::of(request) {
        let (number, value) = known(field, "request")?;
        if let (field::PUSH_STREAM, Value::Bytes(stream)) = (number, value) {
            streams.push(decode_stream(stream, &mut records_left)?);
        }
    }
    Ok(streams)
}

fn decode_stream(stream: &[u8], records_left: &mut usize) -> Result<DecodedStream, DecodeError> {
    // A stream of no bytes counts as a record: it takes memory as well.
    take_record(records_left)?;
    let mut decoded = DecodedStream::default();
    for field in Fields::of(stream) {
        match known(field, "stream")? {
            (field::STREAM_LABELS, value) => {
                text(value, "stream")?.clone_into(&mut decoded.labels);
            }
            (field::STREAM_ENTRY, Value::Bytes(entry)) => {
                decoded.entries.push(decode_entry(entry, records_left)?);
            }
            _ => {}
        }
    }
    Ok(decoded)
}

fn decode_entry(entry: &[u8], records_left: &mut usize) -> Result<DecodedEntry, DecodeError> {
    let mut metadata = Vec::new();
    let (timestamp, line) = read_entry(entry, &mut metadata, records_left)?;
    let metadata = metadata.into_iter();
    Ok(DecodedEntry {
        timestamp,
        line: line.to_owned(),
        metadata: metadata
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
    })
}

/// Reads one entry and adds its pairs to `metadata`; the entry and each pair take one of
/// `records_left`.
pub(crate) fn read_entry<'a>(
    entry: &'a [u8],
    metadata: &mut Vec<(&'a str, &'a str)>,
    records_left: &mut usize,
) -> Result<(TimestampNs, &'a str), DecodeError> {
    take_record(records_left)?;
    let (mut read_timestamp, mut line) = (TimestampNs(0), "");
    for field in Fields::of(entry) {
        match known(field, "entry")? {
            (field::ENTRY_TIMESTAMP, Value::Bytes(timestamp)) => {
                read_timestamp = decode_timestamp(timestamp)?;
            }
            (field::ENTRY_LINE, value) => line = text(value, "entry")?,
            (field::ENTRY_METADATA, Value::Bytes(pair)) => {
                take_record(records_left)?;
                metadata.push(decode_pair(pair)?);
            }
            _ => {}
        }
    }
    Ok((read_timestamp, line))
}

fn decode_timestamp(timestamp: &[u8]) -> Result<TimestampNs, DecodeError> {
    const NANOS_PER_SECOND: u64 = 1_000_000_000;
    let (mut seconds, mut nanos) = (0, 0);
    for field in Fields::of(timestamp) {
        match known(field, "timestamp")? {
            (field::TIMESTAMP_SECONDS, Value::Varint(value)) => seconds = value,
            (field::TIMESTAMP_NANOS, Value::Varint(value)) => nanos = value,
            _ => {}
        }
    }
    Some(nanos)
        .filter(|nanos| *nanos < NANOS_PER_SECOND)
        .and_then(|nanos| seconds.checked_mul(NANOS_PER_SECOND)?.checked_add(nanos))
        .map(TimestampNs)
        .ok_or(malformed("timestamp"))
}

fn decode_pair(pair: &[u8]) -> Result<(&str, &str), DecodeError> {
    let mut decoded = ("", "");
    for field in Fields::of(pair) {
        match known(field, "label pair")? {
            (field::PAIR_NAME, value) => decoded.0 = text(value, "label pair")?,
            (field::PAIR_VALUE, value) => decoded.1 = text(value, "label pair")?,
            _ => {}
        }
    }
    Ok(decoded)
}

/// Returns a field by a number that fits this schema; any other is 0, which none has.
fn known<'a>(
    field: Result<crate::wire::Field<'a>, Malformed>,
    part: &'static str,
) -> Result<(u8, Value<'a>), DecodeError> {
    let field = field.map_err(|Malformed| malformed(part))?;
    Ok((u8::try_from(field.number).unwrap_or(0), field.value))
}

fn text<'a>(value: Value<'a>, part: &'static str) -> Result<&'a str, DecodeError> {
    match value {
        Value::Bytes(bytes) => std::str::from_utf8(bytes).map_err(|_| malformed(part)),
        Value::Varint(_) | Value::Fixed => Err(malformed(part)),
    }
}

fn take_record(records_left: &mut usize) -> Result<(), DecodeError> {
    *records_left = records_left
        .checked_sub(1)
        .ok_or(DecodeError::TooManyRecords)?;
    Ok(())
}

#[derive(serde::Deserialize)]
struct JsonPush {
    streams: Vec<JsonStream>,
}

#[derive(serde::Deserialize)]
struct JsonStream {
    stream: BTreeMap<String, String>,
    values: Vec<JsonEntry>,
}

/// Timestamp, line, and structured metadata where there is any.
#[derive(serde::Deserialize)]
struct JsonEntry(String, String, #[serde(default)] BTreeMap<String, String>);

/// Reads a decompressed push request in JSON.
///
/// # Errors
/// [`DecodeError`] where it is none.
pub fn decode_json(request: &[u8]) -> Result<Vec<DecodedStream>, DecodeError> {
    let push: JsonPush =
        serde_json::from_slice(request).map_err(|_| malformed("JSON push request"))?;
    push.streams.into_iter().map(decode_json_stream).collect()
}

fn decode_json_stream(stream: JsonStream) -> Result<DecodedStream, DecodeError> {
    let mut labels = String::new();
    let pairs = stream.stream.iter();
    put_selector(&mut labels, pairs.map(|(name, value)| (&**name, &**value)));
    let entries = stream.values.into_iter();
    let entries = entries.map(|JsonEntry(timestamp, line, metadata)| {
        Ok(DecodedEntry {
            timestamp: TimestampNs(timestamp.parse().map_err(|_| malformed("timestamp"))?),
            line,
            metadata: metadata.into_iter().collect(),
        })
    });
    Ok(DecodedStream {
        labels,
        entries: entries.collect::<Result<_, _>>()?,
    })
}

/// Reads labels as Loki writes and takes them: `{a="x", b="y"}`, double quotes, Go's escapes.
///
/// # Errors
/// [`DecodeError::Malformed`] where they are none.
pub fn parse_labels(labels: &str) -> Result<Vec<(String, String)>, DecodeError> {
    parse_selector(labels).ok_or(malformed("label set"))
}

fn parse_selector(labels: &str) -> Option<Vec<(String, String)>> {
    let mut rest = labels.trim().strip_prefix('{')?.trim_start();
    let mut pairs = Vec::new();
    while !rest.starts_with('}') {
        if !pairs.is_empty() {
            rest = rest.strip_prefix(',')?.trim_start();
        }
        let (name, after) = rest.split_once('=')?;
        let quoted = after.trim_start().strip_prefix('"')?;
        let (value, after) = unquote(quoted)?;
        pairs.push((name.trim_end().to_owned(), value));
        rest = after.trim_start();
    }
    (rest == "}").then_some(pairs)
}

/// Reads up to the closing quote; returns the value and what follows the quote.
fn unquote(quoted: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = quoted.chars();
    loop {
        match chars.next()? {
            '"' => return Some((value, chars.as_str())),
            '\\' => match chars.next()? {
                'a' => value.push('\u{7}'),
                'b' => value.push('\u{8}'),
                'f' => value.push('\u{C}'),
                'n' => value.push('\n'),
                'r' => value.push('\r'),
                't' => value.push('\t'),
                'v' => value.push('\u{B}'),
                'x' => value.push(take_number(&mut chars, 2).filter(char::is_ascii)?),
                'u' => value.push(take_number(&mut chars, 4)?),
                'U' => value.push(take_number(&mut chars, 8)?),
                plain @ ('"' | '\\' | '\'') => value.push(plain),
                _ => return None,
            },
            plain => value.push(plain),
        }
    }
}

fn take_number(chars: &mut std::str::Chars<'_>, digits: u32) -> Option<char> {
    let mut number = 0_u32;
    for _ in 0..digits {
        number = (number << 4) | chars.next()?.to_digit(16)?;
    }
    char::from_u32(number)
}
