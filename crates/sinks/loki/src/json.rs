//! The push request in JSON, compressed with gzip.
//!
//! ```text
//! {"streams":[{"stream":{"job":"x"},"values":[["<ns>","line",{"name":"value"}]]}]}
//! ```

mod parts;

pub(crate) use parts::{decode, retain, split};

use std::io::{Read as _, Write as _};

use bytes::Bytes;
use flate2::Compression;
use tailwater_record::{LabelSet, RecordView};
use tailwater_sink::{Encode, EncodeStats, Encoded};

use crate::labels::LabelCache;
use crate::protobuf::replace_invalid;
use crate::{MAX_BODY_BYTES, MAX_KEPT_BYTES};

const EMPTY: &[u8] = b"{\"streams\":[]}";

/// Writes the JSON body and compresses it with gzip.
pub(crate) struct JsonEncoder {
    body: Vec<u8>,
    level: Compression,
    labels: LabelCache,
    /// The stream whose values are open.
    open: Option<LabelSet>,
    /// A line in which invalid UTF-8 was replaced, on its way into `body`.
    replaced: String,
    stats: EncodeStats,
}

impl JsonEncoder {
    /// Compresses with gzip at `level`, 0 to 9.
    pub(crate) fn new(level: u32) -> Self {
        Self {
            body: Vec::new(),
            level: Compression::new(level),
            labels: LabelCache::new(|labels| {
                let mut text = Vec::new();
                put_object(&mut text, labels.iter());
                text
            }),
            open: None,
            replaced: String::new(),
            stats: EncodeStats::default(),
        }
    }

    /// Puts whatever has to stand between the last record and one of `labels`.
    fn begin_record(&mut self, labels: &LabelSet) {
        match &self.open {
            Some(open) if open == labels => {
                self.body.push(b',');
                return;
            }
            Some(_) => self.body.extend_from_slice(b"]},"),
            None => self.body.extend_from_slice(b"{\"streams\":["),
        }
        put_stream_head(&mut self.body, self.labels.get(labels));
        self.open = Some(labels.clone());
    }
}

impl Encode for JsonEncoder {
    fn append(&mut self, record: &RecordView<'_>) {
        self.begin_record(record.labels);
        self.body.extend_from_slice(b"[\"");
        put_decimal(&mut self.body, record.timestamp.0);
        self.body.extend_from_slice(b"\",");
        if let Ok(line) = std::str::from_utf8(record.line) {
            put_string(&mut self.body, line);
        } else {
            self.stats.replaced_utf8_records += 1;
            replace_invalid(record.line, &mut self.replaced);
            put_string(&mut self.body, &self.replaced);
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
        let body = if self.open.take().is_some() {
            self.body.extend_from_slice(b"]}]}");
            compress(&self.body, self.level)
        } else {
            compress(EMPTY, self.level)
        };
        self.body.clear();
        self.body.shrink_to(MAX_KEPT_BYTES);
        self.replaced.shrink_to(MAX_KEPT_BYTES);
        Encoded {
            body,
            stats: std::mem::take(&mut self.stats),
        }
    }
}

/// Begins a stream up to its first value.
fn put_stream_head(body: &mut Vec<u8>, labels: &[u8]) {
    body.extend_from_slice(b"{\"stream\":");
    body.extend_from_slice(labels);
    body.extend_from_slice(b",\"values\":[");
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

fn put_string(body: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(body, text).expect("a string always serializes into memory");
}

fn put_decimal(body: &mut Vec<u8>, value: u64) {
    serde_json::to_writer(body, &value).expect("a number always serializes into memory");
}

fn compress(plain: &[u8], level: Compression) -> Bytes {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
    encoder
        .write_all(plain)
        .and_then(|()| encoder.finish())
        .map(|packed| Bytes::copy_from_slice(&packed))
        .expect("writing to memory cannot fail")
}

/// Undoes the compression; at most [`MAX_BODY_BYTES`] come of it.
pub(crate) fn decompress(body: &[u8]) -> Result<Vec<u8>, &'static str> {
    let limit = MAX_BODY_BYTES as u64;
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(body)
        .take(limit + 1)
        .read_to_end(&mut plain)
        .map_err(|_| "not a gzip body")?;
    if plain.len() > MAX_BODY_BYTES {
        return Err("larger than any batch");
    }
    Ok(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tailwater_record::{Span, TimestampNs};

    fn record<'a>(
        labels: &'a LabelSet,
        timestamp: u64,
        line: &'a [u8],
        metadata: &'a [(&'a str, &'a str)],
    ) -> RecordView<'a> {
        RecordView {
            line,
            span: Span { start: 0, end: 1 },
            timestamp: TimestampNs(timestamp),
            labels,
            severity: None,
            metadata,
        }
    }

    fn text(body: &Bytes) -> String {
        String::from_utf8(decompress(body).unwrap()).unwrap()
    }

    #[test]
    fn streams_lines_and_metadata_stand_where_loki_reads_them() {
        let a = LabelSet::new([("job", "a\"b")]).unwrap();
        let b = LabelSet::new([("job", "b"), ("host", "h")]).unwrap();
        let mut encoder = JsonEncoder::new(1);
        encoder.append(&record(&a, 7, b"one \"quoted\"", &[]));
        encoder.append(&record(&b, 8, b"two \xFF", &[]));
        encoder.append(&record(&b, 9, b"three\t\x01", &[("offset", "5")]));
        let sealed = encoder.seal();
        assert_eq!(sealed.stats.replaced_utf8_records, 1);
        assert_eq!(
            text(&sealed.body),
            concat!(
                r#"{"streams":[{"stream":{"job":"a\"b"},"values":[["7","one \"quoted\""]]},"#,
                r#"{"stream":{"host":"h","job":"b"},"values":[["8","two �"],"#,
                r#"["9","three\t\u0001",{"offset":"5"}]]}]}"#
            )
        );
        let (first, second) = split(&sealed.body, 2, 1).unwrap();
        assert_eq!(
            text(&second),
            r#"{"streams":[{"stream":{"host":"h","job":"b"},"values":[["9","three\t\u0001",{"offset":"5"}]]}]}"#
        );
        assert!(text(&first).ends_with(r#""values":[["8","two �"]]}]}"#));
    }

    #[test]
    fn what_is_left_of_a_stream_stands_under_its_labels_and_an_empty_one_is_left_out() {
        let a = LabelSet::new([("job", "a")]).unwrap();
        let none = LabelSet::new::<&str, &str>([]).unwrap();
        let mut encoder = JsonEncoder::new(1);
        for (labels, timestamp) in [(&a, 1), (&none, 2), (&a, 3), (&a, 4)] {
            encoder.append(&record(labels, timestamp, b"x", &[]));
        }
        let body = encoder.seal().body;
        let kept = |keep: fn(u32) -> bool| retain(&body, &mut |index| keep(index), 1).unwrap();
        assert_eq!(
            text(&kept(|index| index != 1 && index != 2).unwrap()),
            concat!(
                r#"{"streams":[{"stream":{"job":"a"},"values":[["1","x"]]},"#,
                r#"{"stream":{"job":"a"},"values":[["4","x"]]}]}"#
            )
        );
        assert_eq!(kept(|_| false), None);
        let mut labels = Vec::new();
        decode(&body, &mut |record| labels.push(record.labels.to_owned())).unwrap();
        assert_eq!(labels, [r#"{job="a"}"#, "", r#"{job="a"}"#, r#"{job="a"}"#]);
    }

    #[test]
    fn a_body_that_another_wrote_is_neither_chosen_from_nor_decoded() {
        let pack = |plain: &str| compress(plain.as_bytes(), Compression::new(1));
        let stream = |labels: &str, values: &str| {
            pack(&format!(
                r#"{{"streams":[{{"stream":{labels},"values":{values}}}]}}"#
            ))
        };
        let foreign = "not a push request as this sink writes it";
        let nested = "[".repeat(100_000);
        for body in [
            pack("[]"),
            pack(r#"{"streams":[],"more":1}"#),
            stream("{}", "{}"),
            pack(&nested),
            stream("{}", &nested),
        ] {
            assert_eq!(retain(&body, &mut |_| true, 1).unwrap_err().reason, foreign);
            assert_eq!(decode(&body, &mut |_| ()).unwrap_err().reason, foreign);
        }
        // A choice looks no deeper than it has to.
        for body in [
            stream("{}", r#"[["1"]]"#),
            stream("{}", r#"[["1","x",{},0]]"#),
            stream("{}", r#"[["-1","x"]]"#),
            stream("{}", r#"[[1,"x"]]"#),
            stream("7", r#"[["1","x"]]"#),
        ] {
            assert_eq!(decode(&body, &mut |_| ()).unwrap_err().reason, foreign);
        }
        let torn = Bytes::from_static(b"\x1f\x8b\x08torn");
        let reason = "not a gzip body";
        assert_eq!(retain(&torn, &mut |_| true, 1).unwrap_err().reason, reason);
        assert_eq!(decode(&torn, &mut |_| ()).unwrap_err().reason, reason);
    }

    #[test]
    fn a_body_that_a_few_bytes_become_is_decompressed_no_further_than_any_batch() {
        // Members of gzip that follow each other are not read, so one must be that large.
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Compression::new(1));
        let zeros = vec![b' '; 1 << 20];
        for _ in 0..=MAX_BODY_BYTES >> 20 {
            encoder.write_all(&zeros).unwrap();
        }
        let body = Bytes::from(encoder.finish().unwrap());
        let reason = "larger than any batch";
        assert_eq!(split(&body, 1, 1).unwrap_err().reason, reason);
        assert_eq!(retain(&body, &mut |_| true, 1).unwrap_err().reason, reason);
        assert_eq!(decode(&body, &mut |_| ()).unwrap_err().reason, reason);
    }

    #[test]
    fn a_body_that_another_wrote_is_not_split() {
        let reason = |plain: &[u8]| {
            let body = compress(plain, Compression::new(1));
            split(&body, 1, 1).unwrap_err().reason
        };
        let foreign = "not a push request as this sink writes it";
        assert_eq!(reason(b"[]"), foreign);
        assert_eq!(reason(br#"{"streams":[],"more":1}"#), foreign);
        assert_eq!(reason(EMPTY), "fewer records than the split asks for");
        let torn = Bytes::from_static(b"\x1f\x8b\x08torn");
        assert_eq!(split(&torn, 1, 1).unwrap_err().reason, "not a gzip body");
    }
}
