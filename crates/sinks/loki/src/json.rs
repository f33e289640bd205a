//! The push request in JSON: `{"streams":[{"stream":{…},"values":[["<ns>","line",{…}]]}]}`.

use std::io::Write as _;

use bytes::Bytes;
use serde_json::value::RawValue;
use tailwater_record::{LabelSet, RecordView};
use tailwater_sink::{Encode, EncodeStats, Encoded, SplitError};

use crate::MAX_BODY_BYTES;

/// Writes the JSON body and compresses it with gzip.
pub(crate) struct JsonEncoder {
    body: Vec<u8>,
    level: flate2::Compression,
    open: Option<LabelSet>,
    stats: EncodeStats,
}

impl JsonEncoder {
    pub(crate) fn new(gzip_level: u32) -> Self {
        Self {
            body: Vec::new(),
            level: flate2::Compression::new(gzip_level),
            open: None,
            stats: EncodeStats::default(),
        }
    }
}

impl Encode for JsonEncoder {
    fn append(&mut self, record: &RecordView<'_>) {
        match &self.open {
            Some(labels) if labels.is_same(record.labels) => self.body.push(b','),
            Some(_) => {
                self.body.extend_from_slice(b"]},");
                self.begin_stream(record.labels);
            }
            None => {
                self.body.extend_from_slice(b"{\"streams\":[");
                self.begin_stream(record.labels);
            }
        }
        self.body.extend_from_slice(b"[\"");
        put_decimal(&mut self.body, record.timestamp.0);
        self.body.extend_from_slice(b"\",");
        if let Ok(line) = std::str::from_utf8(record.line) {
            put_string(&mut self.body, line);
        } else {
            self.stats.replaced_utf8_records += 1;
            put_string(&mut self.body, &String::from_utf8_lossy(record.line));
        }
        if !record.metadata.is_empty() {
            self.body.push(b',');
            put_object(&mut self.body, record.metadata.iter().copied());
        }
        self.body.push(b']');
    }

    fn len(&self) -> usize {
        self.body.len()
    }

    fn seal(&mut self) -> Encoded {
        if self.open.take().is_some() {
            self.body.extend_from_slice(b"]}]}");
        }
        let body = gzip(&self.body, self.level);
        self.body.clear();
        Encoded {
            body,
            stats: std::mem::take(&mut self.stats),
        }
    }
}

impl JsonEncoder {
    fn begin_stream(&mut self, labels: &LabelSet) {
        self.body.extend_from_slice(b"{\"stream\":");
        put_object(&mut self.body, labels.iter());
        self.body.extend_from_slice(b",\"values\":[");
        self.open = Some(labels.clone());
    }
}

fn put_object<'a>(body: &mut Vec<u8>, pairs: impl Iterator<Item = (&'a str, &'a str)>) {
    body.push(b'{');
    for (index, (name, value)) in pairs.enumerate() {
        if index > 0 {
            body.push(b',');
        }
        put_string(body, name);
        body.push(b':');
        put_string(body, value);
    }
    body.push(b'}');
}

/// Appends a JSON string. Writing to memory cannot fail, and a string always serializes.
fn put_string(body: &mut Vec<u8>, text: &str) {
    drop(serde_json::to_writer(body, text));
}

fn put_decimal(body: &mut Vec<u8>, value: u64) {
    drop(serde_json::to_writer(body, &value));
}

fn gzip(plain: &[u8], level: flate2::Compression) -> Bytes {
    let mut encoder = flate2::write::GzEncoder::new(Vec::with_capacity(plain.len() / 4), level);
    // Writing to memory cannot fail.
    drop(encoder.write_all(plain));
    Bytes::from(encoder.finish().unwrap_or_default())
}

#[derive(serde::Deserialize)]
struct Push<'a> {
    #[serde(borrow)]
    streams: Vec<Stream<'a>>,
}

#[derive(serde::Deserialize)]
struct Stream<'a> {
    #[serde(borrow)]
    stream: &'a RawValue,
    #[serde(borrow)]
    values: Vec<&'a RawValue>,
}

/// Cuts a body after its first records.
pub(crate) fn split(
    body: &Bytes,
    first_records: u32,
    gzip_level: u32,
) -> Result<(Bytes, Bytes), SplitError> {
    use std::io::Read as _;
    let fail = |reason| SplitError {
        body_bytes: body.len(),
        reason,
    };
    let mut plain = Vec::new();
    let limit = MAX_BODY_BYTES as u64;
    flate2::read::GzDecoder::new(&**body)
        .take(limit)
        .read_to_end(&mut plain)
        .map_err(|_| fail("not a gzip body"))?;
    let push: Push<'_> = serde_json::from_slice(&plain).map_err(|_| fail("not a push request"))?;
    let mut left = usize::try_from(first_records).unwrap_or(usize::MAX);
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for stream in &push.streams {
        let at = left.min(stream.values.len());
        left -= at;
        let (head, tail) = stream
            .values
            .split_at_checked(at)
            .ok_or_else(|| fail("not a stream"))?;
        put_stream(&mut first, stream.stream, head);
        put_stream(&mut second, stream.stream, tail);
    }
    let level = flate2::Compression::new(gzip_level);
    let close = |mut half: Vec<u8>| {
        half.extend_from_slice(b"]}");
        gzip(&half, level)
    };
    Ok((close(first), close(second)))
}

fn put_stream(half: &mut Vec<u8>, labels: &RawValue, values: &[&RawValue]) {
    if values.is_empty() {
        return;
    }
    half.extend_from_slice(if half.is_empty() {
        b"{\"streams\":[".as_slice()
    } else {
        b","
    });
    half.extend_from_slice(b"{\"stream\":");
    half.extend_from_slice(labels.get().as_bytes());
    half.extend_from_slice(b",\"values\":[");
    for (index, value) in values.iter().enumerate() {
        if index > 0 {
            half.push(b',');
        }
        half.extend_from_slice(value.get().as_bytes());
    }
    half.extend_from_slice(b"]}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use tailwater_record::{Span, TimestampNs};

    fn plain(body: &Bytes) -> serde_json::Value {
        serde_json::from_reader(flate2::read::GzDecoder::new(&**body)).unwrap()
    }

    #[test]
    fn streams_lines_and_metadata_stand_where_loki_reads_them_and_splits_keep_them() {
        let a = LabelSet::new([("job", "a\"b")]).unwrap();
        let b = LabelSet::new([("job", "b")]).unwrap();
        let mut encoder = JsonEncoder::new(1);
        let lines: [(&LabelSet, &[u8]); 3] =
            [(&a, b"one \"quoted\""), (&b, b"two \xFF"), (&b, b"three\t")];
        for (index, (labels, line)) in lines.into_iter().enumerate() {
            encoder.append(&RecordView {
                line,
                span: Span { start: 0, end: 1 },
                timestamp: TimestampNs(index as u64 + 7),
                labels,
                metadata: if index == 2 { &[("offset", "5")] } else { &[] },
            });
        }
        let sealed = encoder.seal();
        assert_eq!(sealed.stats.replaced_utf8_records, 1);
        let expected = serde_json::json!({"streams": [
            {"stream": {"job": "a\"b"}, "values": [["7", "one \"quoted\""]]},
            {"stream": {"job": "b"}, "values": [["8", "two \u{FFFD}"], ["9", "three\t", {"offset": "5"}]]},
        ]});
        assert_eq!(plain(&sealed.body), expected);
        let (first, second) = split(&sealed.body, 2, 1).unwrap();
        assert_eq!(
            plain(&first)["streams"][1]["values"],
            serde_json::json!([["8", "two \u{FFFD}"]])
        );
        let rest = serde_json::json!({"streams": [
            {"stream": {"job": "b"}, "values": [["9", "three\t", {"offset": "5"}]]}]});
        assert_eq!(plain(&second), rest);
        assert!(split(&Bytes::from_static(b"nonsense"), 1, 1).is_err());
    }
}
