//! Loki's push request, read independently of the agent's encoder.
//!
//! Stricter than Loki where an agent could hide a mistake: a line that is not UTF-8, a stream without
//! labels, and a field that an agent must not send are refused.

use std::io::Read;
use std::sync::Arc;

use flate2::read::{GzDecoder, ZlibDecoder};
use serde_json::Value as Json;

use super::labels;
use super::protobuf::{Value, fields};

/// Bytes that a body may have once it is decompressed.
const MAX_DECOMPRESSED_BYTES: usize = 1 << 30;

/// One line of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Push {
    /// The stream, as the client wrote it.
    pub(super) labels: Arc<str>,
    pub(super) timestamp_ns: i64,
    pub(super) line: Vec<u8>,
    pub(super) metadata: Vec<(String, String)>,
}

/// Decodes a body by the headers that came with it. The error is what Loki answers with 400.
pub(super) fn decode(
    content_type: Option<&str>,
    content_encoding: Option<&str>,
    body: &[u8],
) -> Result<Vec<Push>, String> {
    let media_type = content_type.and_then(|value| value.split(';').next());
    match (media_type.map(str::trim), content_encoding.unwrap_or("")) {
        (None | Some("application/x-protobuf"), "" | "snappy") => decode_protobuf(&unsnap(body)?),
        (Some("application/json"), encoding) => decode_json(&inflate(encoding, body)?),
        (media_type, encoding) => Err(format!(
            "Content-Type {media_type:?} with Content-Encoding {encoding:?} not supported"
        )),
    }
}

fn unsnap(body: &[u8]) -> Result<Vec<u8>, String> {
    let decompressed_bytes =
        snap::raw::decompress_len(body).map_err(|error| format!("snappy: {error}"))?;
    if decompressed_bytes > MAX_DECOMPRESSED_BYTES {
        return Err("snappy: decoded block is too large".into());
    }
    snap::raw::Decoder::new()
        .decompress_vec(body)
        .map_err(|error| format!("snappy: {error}"))
}

fn inflate(encoding: &str, body: &[u8]) -> Result<Vec<u8>, String> {
    let limit = u64::try_from(MAX_DECOMPRESSED_BYTES).unwrap_or(u64::MAX);
    let mut out = Vec::new();
    let read = match encoding {
        "" => {
            out.extend_from_slice(body);
            Ok(body.len())
        }
        "gzip" => GzDecoder::new(body).take(limit).read_to_end(&mut out),
        "deflate" => ZlibDecoder::new(body).take(limit).read_to_end(&mut out),
        other => return Err(format!("Content-Encoding {other:?} not supported")),
    };
    read.map_err(|error| format!("{encoding}: {error}"))?;
    if out.len() == MAX_DECOMPRESSED_BYTES {
        return Err(format!("{encoding}: too large"));
    }
    Ok(out)
}

fn decode_protobuf(bytes: &[u8]) -> Result<Vec<Push>, String> {
    let mut pushes = Vec::new();
    for field in fields(bytes) {
        match field? {
            (1, Value::Bytes(stream)) => decode_stream(stream, &mut pushes)?,
            (number, _) => return Err(format!("unexpected field {number} in a push request")),
        }
    }
    Ok(pushes)
}

fn decode_stream(bytes: &[u8], pushes: &mut Vec<Push>) -> Result<(), String> {
    let mut stream = "";
    let mut entries = Vec::new();
    for field in fields(bytes) {
        match field? {
            (1, Value::Bytes(text)) => stream = utf8("labels", text)?,
            (2, Value::Bytes(entry)) => entries.push(entry),
            (3, Value::Varint(_)) => {}
            (number, _) => return Err(format!("unexpected field {number} in a stream")),
        }
    }
    let stream = checked_labels(stream)?;
    for entry in entries {
        pushes.push(decode_entry(entry, &stream)?);
    }
    Ok(())
}

fn decode_entry(bytes: &[u8], stream: &Arc<str>) -> Result<Push, String> {
    let mut push = Push {
        labels: Arc::clone(stream),
        timestamp_ns: 0,
        line: Vec::new(),
        metadata: Vec::new(),
    };
    for field in fields(bytes) {
        match field? {
            (1, Value::Bytes(timestamp)) => push.timestamp_ns = decode_timestamp(timestamp)?,
            (2, Value::Bytes(line)) => push.line = utf8("line", line)?.as_bytes().to_vec(),
            (3, Value::Bytes(pair)) => push.metadata.push(decode_pair(pair)?),
            (number, _) => return Err(format!("unexpected field {number} in an entry")),
        }
    }
    Ok(push)
}

fn decode_timestamp(bytes: &[u8]) -> Result<i64, String> {
    let (mut seconds, mut nanos) = (0_u64, 0_u64);
    for field in fields(bytes) {
        match field? {
            (1, Value::Varint(value)) => seconds = value,
            (2, Value::Varint(value)) => nanos = value,
            (number, _) => return Err(format!("unexpected field {number} in a timestamp")),
        }
    }
    // A negative number is a varint of 64 bits; no log line is older than the epoch.
    i64::try_from(seconds)
        .ok()
        .filter(|_| nanos < 1_000_000_000)
        .and_then(|seconds| seconds.checked_mul(1_000_000_000))
        .and_then(|time| time.checked_add(i64::try_from(nanos).ok()?))
        .ok_or_else(|| format!("timestamp out of range: {seconds} s, {nanos} ns"))
}

fn decode_pair(bytes: &[u8]) -> Result<(String, String), String> {
    let (mut name, mut value) = ("", "");
    for field in fields(bytes) {
        match field? {
            (1, Value::Bytes(text)) => name = utf8("metadata name", text)?,
            (2, Value::Bytes(text)) => value = utf8("metadata value", text)?,
            (number, _) => return Err(format!("unexpected field {number} in a label pair")),
        }
    }
    Ok((name.to_owned(), value.to_owned()))
}

fn utf8<'a>(what: &str, bytes: &'a [u8]) -> Result<&'a str, String> {
    std::str::from_utf8(bytes).map_err(|error| format!("{what} is no UTF-8: {error}"))
}

fn checked_labels(text: &str) -> Result<Arc<str>, String> {
    match labels::parse(text) {
        Ok(pairs) if pairs.is_empty() => {
            Err("error at least one label pair is required per stream".into())
        }
        Ok(_) => Ok(Arc::from(text)),
        Err(error) => Err(format!("error parsing labels '{text}' with error: {error}")),
    }
}

fn decode_json(bytes: &[u8]) -> Result<Vec<Push>, String> {
    let request: Json = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
    let mut pushes = Vec::new();
    for stream in array(request.get("streams"), "streams")? {
        let mut pairs = string_pairs(stream.get("stream"))?;
        pairs.sort();
        let pairs = pairs.iter().map(|(name, value)| (&**name, &**value));
        let stream_labels = checked_labels(&labels::render(pairs))?;
        for value in array(stream.get("values"), "values")? {
            pushes.push(decode_json_value(value, &stream_labels)?);
        }
    }
    Ok(pushes)
}

fn decode_json_value(value: &Json, stream: &Arc<str>) -> Result<Push, String> {
    let parts = array(Some(value), "value")?;
    let text = |index: usize, what: &str| {
        let part = parts.get(index).and_then(Json::as_str);
        part.ok_or_else(|| format!("no {what} in a value"))
    };
    let timestamp_ns = text(0, "timestamp")?
        .parse()
        .map_err(|error| format!("timestamp in a value: {error}"))?;
    Ok(Push {
        labels: Arc::clone(stream),
        timestamp_ns,
        line: text(1, "line")?.as_bytes().to_vec(),
        metadata: match parts.get(2) {
            Some(metadata) => string_pairs(Some(metadata))?,
            None => Vec::new(),
        },
    })
}

fn array<'a>(value: Option<&'a Json>, what: &str) -> Result<&'a Vec<Json>, String> {
    let array = value.and_then(Json::as_array);
    array.ok_or_else(|| format!("`{what}` is no array"))
}

fn string_pairs(value: Option<&Json>) -> Result<Vec<(String, String)>, String> {
    let object = value
        .and_then(Json::as_object)
        .ok_or("no object of strings")?;
    let pair = |(name, value): (&String, &Json)| {
        let value = value.as_str().ok_or("a value that is no string")?;
        Ok((name.clone(), value.to_owned()))
    };
    object.iter().map(pair).collect()
}

#[cfg(test)]
mod tests;
