use std::fmt::Write as _;

use tailwater_record::{LabelSet, RecordView, Span};
use tailwater_sink::conformance::{self, Decoded, OwnedRecord, Subject};
use tailwater_sink::{Deliver, EncoderFactory};

use super::*;
use crate::deliver::{FileDeliver, Target};
use crate::encode::FileEncoderFactory;
use crate::stream::StreamTarget;

/// A file sink under the laws of every sink.
struct File {
    layout: Layout,
    encoders: FileEncoderFactory,
    deliver: FileDeliver,
}

impl File {
    fn new(layout: Layout) -> Self {
        let target = Target::Stream(StreamTarget::standard_output());
        Self {
            layout,
            encoders: FileEncoderFactory::new(layout),
            deliver: FileDeliver::new("-".into(), layout, target),
        }
    }

    /// Returns the line that stands for a record: its own, or what the encoder is to make of it.
    fn line(&self, record: &OwnedRecord) -> Vec<u8> {
        match self.layout {
            Layout::Text => record.line.clone(),
            Layout::Ndjson => String::from_utf8_lossy(&record.line).into_owned().into(),
            Layout::EscapedText => {
                let mut text = String::new();
                for chunk in record.line.utf8_chunks() {
                    for char in chunk.valid().chars() {
                        if char.is_control() && char != '\t' {
                            escape(&mut text, char.to_string().as_bytes());
                        } else {
                            text.push(char);
                        }
                    }
                    escape(&mut text, chunk.invalid());
                }
                text.into_bytes()
            }
        }
    }
}

fn escape(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        write!(text, "\\x{byte:02x}").unwrap();
    }
}

impl Subject for File {
    /// A JSON object, or a line in its place.
    type Record = Result<serde_json::Value, Vec<u8>>;

    fn encoders(&self) -> &dyn EncoderFactory {
        &self.encoders
    }

    fn deliver(&self) -> &dyn Deliver {
        &self.deliver
    }

    fn decode(&self, body: &Bytes) -> Vec<Self::Record> {
        let lines = body.split_inclusive(|byte| *byte == b'\n');
        lines
            .map(|line| match self.layout {
                Layout::Ndjson => Ok(serde_json::from_slice(line).unwrap()),
                Layout::Text | Layout::EscapedText => {
                    Err(line.strip_suffix(b"\n").unwrap().to_vec())
                }
            })
            .collect()
    }

    fn expected(&self, record: &OwnedRecord) -> Self::Record {
        if self.layout != Layout::Ndjson {
            return Err(self.line(record));
        }
        let mut time = Vec::new();
        json::push_time(&mut time, record.timestamp);
        let object = |pairs: &mut dyn Iterator<Item = (&str, &str)>| {
            let pairs = pairs.map(|(name, value)| (name.to_owned(), value.into()));
            serde_json::Value::Object(pairs.collect())
        };
        let mut expected = serde_json::json!({
            "timestamp": String::from_utf8(time).unwrap(),
            "labels": object(&mut record.labels.iter()),
            "offset": record.span.start,
            "line": String::from_utf8(self.line(record)).unwrap(),
        });
        if !record.metadata.is_empty() {
            let mut pairs = record
                .metadata
                .iter()
                .map(|(name, value)| (&**name, &**value));
            expected["metadata"] = object(&mut pairs);
        }
        Ok(expected)
    }

    fn decoded(&self, record: &OwnedRecord) -> Decoded {
        let line = self.line(record);
        match self.layout {
            Layout::Ndjson => Decoded {
                line,
                ..Decoded::whole(record)
            },
            Layout::Text | Layout::EscapedText => Decoded::line_alone(line),
        }
    }

    fn counts_replaced_utf8(&self) -> bool {
        self.layout == Layout::Ndjson
    }
}

#[test]
fn ndjson_keeps_the_laws_of_every_sink() {
    conformance::check(&File::new(Layout::Ndjson));
}

#[test]
fn text_keeps_the_laws_of_every_sink() {
    conformance::check(&File::new(Layout::Text));
}

#[test]
fn escaped_text_keeps_the_laws_of_every_sink() {
    conformance::check(&File::new(Layout::EscapedText));
}

#[test]
fn layouts_have_different_names() {
    let wire = |layout| File::new(layout).deliver.wire();
    let names = [Layout::Ndjson, Layout::Text, Layout::EscapedText].map(wire);
    assert_eq!(names, ["ndjson", "text", "text-escaped"]);
}

#[test]
fn a_body_is_split_after_its_first_records() {
    let (first, rest) = split(&Bytes::from_static(b"a\n\nb\nc\n"), 3).unwrap();
    assert_eq!((&*first, &*rest), (&b"a\n\nb\n"[..], &b"c\n"[..]));
}

#[test]
fn a_body_that_holds_too_few_lines_is_not_split() {
    for (body, first_records) in [
        (&b"a\nb\n"[..], 0),
        (b"a\nb\n", 2),
        (b"a\nb\n", 3),
        (b"", 1),
        (b"a\nb", 1),
    ] {
        let error = split(&Bytes::from_static(body), first_records).unwrap_err();
        assert_eq!(error.body_bytes, body.len(), "{first_records}");
    }
}

#[test]
fn lines_are_chosen_by_their_index_and_a_torn_one_is_refused() {
    let body = Bytes::from_static(b"a\n\nb\nc\n");
    let kept = retain(&body, &mut |index| index % 2 == 1).unwrap();
    assert_eq!(kept.as_deref(), Some(&b"\nc\n"[..]));
    assert_eq!(retain(&body, &mut |_| false), Ok(None));
    assert_eq!(retain(&body, &mut |_| true), Ok(Some(body)));
    let torn = Bytes::from_static(b"a\nb");
    assert!(retain(&torn, &mut |index| index == 0).is_err());
    assert!(decode(Layout::Text, &torn, &mut |_| ()).is_err());
}

/// Returns how many records are read, or why one is not.
fn read(line: &str) -> Result<u32, &'static str> {
    let mut records = 0;
    decode(
        Layout::Ndjson,
        &Bytes::from(format!("{line}\n")),
        &mut |_| records += 1,
    )
    .map(|()| records)
    .map_err(|error| error.reason)
}

#[test]
fn objects_of_others_are_refused() {
    const WRITTEN: &str = concat!(
        r#"{"timestamp":"2026-02-28T23:59:59.000000007Z","labels":{"a":"x"},"#,
        r#""offset":40,"metadata":{"b":"y"},"line":"text"}"#
    );
    assert_eq!(read(WRITTEN), Ok(1));
    for (from, to) in [
        ("2026-02-28", "2026-02-30"),
        ("23:59", "24:59"),
        (".000000007Z", ".007Z"),
        (".000000007Z", ".000000007+00:00"),
        ("2026-02-28", "2600-02-28"),
        ("2026-02-28", "1969-02-28"),
        ("\"x\"", "1"),
        ("40", "-40"),
        ("\"line\"", "\"other\""),
        ("\"offset\":40,", ""),
        ("\"text\"", "\"text\",\"more\":1"),
    ] {
        let changed = WRITTEN.replacen(from, to, 1);
        assert_ne!(changed, WRITTEN);
        assert_eq!(
            read(&changed),
            Err("a line is no record as JSON"),
            "{changed}"
        );
    }
    for foreign in ["", "null", "[]", "text", "{}"] {
        assert_eq!(
            read(foreign),
            Err("a line is no record as JSON"),
            "{foreign}"
        );
    }
}

#[test]
fn a_record_without_labels_has_an_empty_selector() {
    let labels = LabelSet::new::<&str, &str>([]).unwrap();
    let mut encoder = FileEncoderFactory::new(Layout::Ndjson).make();
    encoder.append(&RecordView {
        line: b"x",
        span: Span { start: 0, end: 2 },
        timestamp: TimestampNs(7),
        labels: &labels,
        severity: None,
        metadata: &[],
    });
    let mut seen = Vec::new();
    decode(Layout::Ndjson, &encoder.seal().body, &mut |record| {
        seen.push((record.timestamp, record.labels.to_owned()));
    })
    .unwrap();
    assert_eq!(seen, [(TimestampNs(7), String::new())]);
}
