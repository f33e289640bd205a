//! The lines of the body.

use bytes::Bytes;
use tailwater_record::{LabelSet, RecordView};
use tailwater_sink::{Encode, EncodeStats, Encoded, EncoderFactory};

use crate::json;

/// How a record is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// A JSON object.
    Ndjson,
    /// The bytes of the line.
    Text,
    /// The line with every control character but tab, and every byte that is not UTF-8, as `\xNN`.
    EscapedText,
}

/// Makes the encoders of a file sink.
#[derive(Debug)]
pub(crate) struct FileEncoderFactory {
    layout: Layout,
}

impl FileEncoderFactory {
    pub(crate) fn new(layout: Layout) -> Self {
        Self { layout }
    }
}

impl EncoderFactory for FileEncoderFactory {
    fn make(&self) -> Box<dyn Encode> {
        Box::new(FileEncoder {
            layout: self.layout,
            body: Vec::new(),
            labels: RenderedLabels::default(),
            stats: EncodeStats::default(),
        })
    }
}

struct FileEncoder {
    layout: Layout,
    body: Vec<u8>,
    labels: RenderedLabels,
    stats: EncodeStats,
}

impl Encode for FileEncoder {
    fn append(&mut self, record: &RecordView<'_>) {
        match self.layout {
            Layout::Ndjson => self.append_json(record),
            Layout::Text => self.body.extend_from_slice(record.line),
            Layout::EscapedText => push_printable(&mut self.body, record.line),
        }
        self.body.push(b'\n');
    }

    fn len(&self) -> usize {
        self.body.len()
    }

    fn seal(&mut self) -> Encoded {
        // A copy of exactly the right size: the batch may wait in memory for long, and the memory
        // budget counts its length; the capacity stays here for the next batch.
        let body = Bytes::copy_from_slice(&self.body);
        self.body.clear();
        Encoded {
            body,
            stats: std::mem::take(&mut self.stats),
        }
    }
}

impl FileEncoder {
    fn append_json(&mut self, record: &RecordView<'_>) {
        let body = &mut self.body;
        body.extend_from_slice(b"{\"timestamp\":\"");
        json::push_time(body, record.timestamp);
        body.extend_from_slice(b"\",\"labels\":");
        body.extend_from_slice(self.labels.render(record.labels));
        body.extend_from_slice(b",\"offset\":");
        json::push_number(body, record.span.start);
        if !record.metadata.is_empty() {
            body.extend_from_slice(b",\"metadata\":");
            push_object(body, record.metadata.iter().copied());
        }
        body.extend_from_slice(b",\"line\":");
        let is_utf8 = json::push_lossy(body, record.line);
        body.push(b'}');
        self.stats.replaced_utf8_records += u64::from(!is_utf8);
    }
}

/// The JSON of the label set that was seen last: records come in runs of one stream.
#[derive(Default)]
struct RenderedLabels {
    of: Option<LabelSet>,
    json: Vec<u8>,
}

impl RenderedLabels {
    fn render(&mut self, labels: &LabelSet) -> &[u8] {
        if !self.of.as_ref().is_some_and(|known| known.is_same(labels)) {
            self.json.clear();
            push_object(&mut self.json, labels.iter());
            self.of = Some(labels.clone());
        }
        &self.json
    }
}

fn push_object<'a>(out: &mut Vec<u8>, pairs: impl Iterator<Item = (&'a str, &'a str)>) {
    out.push(b'{');
    for (index, (name, value)) in pairs.enumerate() {
        if index > 0 {
            out.push(b',');
        }
        json::push_str(out, name);
        out.push(b':');
        json::push_str(out, value);
    }
    out.push(b'}');
}

/// Appends a line so that it cannot drive a terminal.
///
/// The second set of control characters (U+0080 to U+009F) counts too: some terminals obey it.
fn push_printable(out: &mut Vec<u8>, line: &[u8]) {
    for chunk in line.utf8_chunks() {
        for character in chunk.valid().chars() {
            let mut utf8 = [0_u8; 4];
            let bytes = character.encode_utf8(&mut utf8).as_bytes();
            if character.is_control() && character != '\t' {
                push_hex_escapes(out, bytes);
            } else {
                out.extend_from_slice(bytes);
            }
        }
        push_hex_escapes(out, chunk.invalid());
    }
}

fn push_hex_escapes(out: &mut Vec<u8>, bytes: &[u8]) {
    for byte in bytes {
        out.extend_from_slice(b"\\x");
        json::push_hex(out, *byte);
    }
}

#[cfg(test)]
mod tests {
    use tailwater_record::{Span, TimestampNs};

    use super::*;

    fn labels() -> LabelSet {
        LabelSet::new([("job", "web\"1\""), ("host", "a")]).unwrap()
    }

    fn record<'a>(line: &'a [u8], labels: &'a LabelSet) -> RecordView<'a> {
        RecordView {
            line,
            span: Span {
                start: 40,
                end: 41 + line.len() as u64,
            },
            timestamp: TimestampNs(1_772_323_199_000_000_007),
            labels,
            severity: None,
            metadata: &[],
        }
    }

    fn encode(layout: Layout, lines: &[&[u8]]) -> Encoded {
        let labels = labels();
        let mut encoder = FileEncoderFactory::new(layout).make();
        for line in lines {
            encoder.append(&record(line, &labels));
        }
        encoder.seal()
    }

    #[test]
    fn a_record_is_one_json_object_on_one_line() {
        let sealed = encode(Layout::Ndjson, &[b"GET /\t\"x\"\r"]);
        assert_eq!(
            std::str::from_utf8(&sealed.body).unwrap(),
            concat!(
                r#"{"timestamp":"2026-02-28T23:59:59.000000007Z","labels":{"host":"a","job":"web\"1\""},"#,
                r#""offset":40,"line":"GET /\t\"x\"\r"}"#,
                "\n"
            )
        );
        assert_eq!(sealed.stats.replaced_utf8_records, 0);
    }

    #[test]
    fn metadata_is_written_where_there_is_any() {
        let labels = labels();
        let mut encoder = FileEncoderFactory::new(Layout::Ndjson).make();
        encoder.append(&RecordView {
            metadata: &[("trace", "7"), ("pod", "a\\b")],
            ..record(b"x", &labels)
        });
        let object: serde_json::Value = serde_json::from_slice(&encoder.seal().body).unwrap();
        assert_eq!(
            object["metadata"],
            serde_json::json!({"trace": "7", "pod": "a\\b"})
        );
    }

    #[test]
    fn lines_with_invalid_utf8_are_counted_once_each_and_per_batch() {
        let labels = labels();
        let mut encoder = FileEncoderFactory::new(Layout::Ndjson).make();
        for line in [&b"\xff \xff"[..], b"fine", b"\xc3"] {
            encoder.append(&record(line, &labels));
        }
        assert_eq!(encoder.seal().stats.replaced_utf8_records, 2);
        encoder.append(&record(b"fine", &labels));
        assert_eq!(encoder.seal().stats.replaced_utf8_records, 0);
    }

    #[test]
    fn every_record_has_the_labels_of_its_own_stream() {
        let one = labels();
        let two = LabelSet::new([("job", "db")]).unwrap();
        let mut encoder = FileEncoderFactory::new(Layout::Ndjson).make();
        for labels in [&one, &two, &one, &one] {
            encoder.append(&record(b"x", labels));
        }
        let body = encoder.seal().body;
        let jobs: Vec<_> = body
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| {
                let object: serde_json::Value = serde_json::from_slice(line).unwrap();
                object["labels"]["job"].as_str().unwrap().to_owned()
            })
            .collect();
        assert_eq!(jobs, ["web\"1\"", "db", "web\"1\"", "web\"1\""]);
    }

    #[test]
    fn text_is_the_bytes_of_the_line() {
        let sealed = encode(Layout::Text, &[b"\x1b[31m\xff\tred", b""]);
        assert_eq!(&*sealed.body, b"\x1b[31m\xff\tred\n\n");
    }

    #[test]
    fn text_on_a_terminal_cannot_drive_it() {
        let sealed = encode(
            Layout::EscapedText,
            &["\x1b[2J\ttab \u{9b}31m \u{e9}\n".as_bytes(), b"\x9b \x7f"],
        );
        assert_eq!(
            std::str::from_utf8(&sealed.body).unwrap(),
            "\\x1b[2J\ttab \\xc2\\x9b31m \u{e9}\\x0a\n\\x9b \\x7f\n"
        );
    }

    #[test]
    fn an_encoder_is_empty_after_it_was_sealed() {
        let labels = labels();
        let mut encoder = FileEncoderFactory::new(Layout::Text).make();
        encoder.append(&record(b"abc", &labels));
        assert_eq!(encoder.len(), 4);
        assert_eq!(&*encoder.seal().body, b"abc\n");
        assert!(encoder.is_empty());
    }
}
