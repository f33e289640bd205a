//! The laws of every sink, over both encodings, and what reading a body back has to withstand.

use bytes::Bytes;
use proptest::prelude::*;
use tailwater_record::TimestampNs;
use tailwater_sink::conformance::{OwnedRecord, Subject, check};
use tailwater_sink::{Deliver, EncoderFactory, SinkParts, SinkSettings as _};
use tailwater_sink_loki::decode::{decode_body, decode_json, decode_protobuf, parse_labels};
use tailwater_sink_loki::{Encoding, LokiSettings};

struct Loki {
    encoding: Encoding,
    parts: SinkParts,
}

impl Loki {
    fn new(encoding: Encoding, settings: &str) -> Self {
        let settings: LokiSettings = serde_json::from_str(settings).unwrap();
        Self {
            encoding,
            parts: settings.build().unwrap(),
        }
    }
}

/// What Loki keeps of a record.
type Kept = (
    Vec<(String, String)>,
    TimestampNs,
    String,
    Vec<(String, String)>,
);

impl Subject for Loki {
    type Record = Kept;

    fn encoders(&self) -> &dyn EncoderFactory {
        &*self.parts.encoder
    }

    fn deliver(&self) -> &dyn Deliver {
        &*self.parts.deliver
    }

    fn decode(&self, body: &Bytes) -> Vec<Kept> {
        let mut records = Vec::new();
        for stream in decode_body(self.encoding, body).unwrap() {
            let labels = parse_labels(&stream.labels).unwrap();
            for entry in stream.entries {
                records.push((labels.clone(), entry.timestamp, entry.line, entry.metadata));
            }
        }
        records
    }

    fn expected(&self, record: &OwnedRecord) -> Kept {
        let labels = record.labels.iter();
        (
            labels.map(|(n, v)| (n.to_owned(), v.to_owned())).collect(),
            record.timestamp,
            String::from_utf8_lossy(&record.line).into_owned(),
            record.metadata.clone(),
        )
    }

    fn counts_replaced_utf8(&self) -> bool {
        true
    }
}

#[test]
fn protobuf_keeps_the_laws_of_every_sink() {
    check(&Loki::new(
        Encoding::Protobuf,
        r#"{"url":"http://127.0.0.1:9"}"#,
    ));
}

#[test]
fn json_keeps_the_laws_of_every_sink() {
    check(&Loki::new(
        Encoding::Json,
        r#"{"url":"http://127.0.0.1:9","encoding":"json","gzip_level":0}"#,
    ));
}

#[test]
fn labels_are_read_as_loki_reads_them() {
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(parse_labels("{}").unwrap(), []);
    assert_eq!(
        parse_labels(r#" { a = "x" ,b="y\"\n\x41\u00e9\U0001F980}" } "#).unwrap(),
        [pair("a", "x"), pair("b", "y\"\n\u{41}é🦀}")]
    );
    for wrong in [
        "",
        "{",
        "a=\"x\"",
        "{a}",
        "{a=x}",
        "{a=\"x}",
        "{a=\"x\" b=\"y\"}",
        "{a=\"\\q\"}",
        "{a=\"\\xFF\"}",
        "{a=\"\\u12\"}",
        "{a=\"\\ud800\"}",
        "{a=\"x\"} more",
    ] {
        assert!(parse_labels(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn what_other_clients_may_send_is_read_and_what_none_may_is_refused() {
    // A stream with a hash (field 3), an entry with parsed labels (field 4), as Promtail's schema has.
    let request = [
        0x0A, 0x14, 0x0A, 0x02, b'{', b'}', 0x12, 0x0C, 0x0A, 0x04, 0x08, 0x01, 0x10, 0x02, 0x12,
        0x00, 0x22, 0x02, 0x0A, 0x00, 0x18, 0x07,
    ];
    let streams = decode_protobuf(&request).unwrap();
    assert_eq!(streams.len(), 1);
    assert_eq!(streams[0].labels, "{}");
    assert_eq!(streams[0].entries.len(), 1);
    assert_eq!(streams[0].entries[0].timestamp, TimestampNs(1_000_000_002));

    let negative_seconds = [
        0x0A, 0x0F, 0x12, 0x0D, 0x0A, 0x0B, 0x08, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF,
        0xFF, 0x01,
    ];
    assert!(decode_protobuf(&negative_seconds).is_err());
    let invalid_text = [0x0A, 0x05, 0x12, 0x03, 0x12, 0x01, 0xFF];
    assert!(decode_protobuf(&invalid_text).is_err());
    assert!(decode_json(br#"{"streams":[{"stream":{},"values":[["1"]]}]}"#).is_err());
    assert!(decode_json(br#"{"streams":[{"stream":{},"values":[["1","x",{},0]]}]}"#).is_err());
    assert!(decode_json(br#"{"streams":[{"stream":{},"values":[[1,"x"]]}]}"#).is_err());
    assert!(decode_json(&vec![b'['; 100_000]).is_err());
}

proptest! {
    #[test]
    fn bytes_of_any_kind_are_read_or_refused_without_a_panic(
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), 0x08..0x1B_u8, 0..12_u8], 0..300),
        text in any::<String>(),
    ) {
        let read = decode_protobuf(&bytes).map(|streams| streams.len());
        prop_assert!(read.is_err() || read.is_ok_and(|streams| streams <= bytes.len()));
        prop_assert!(decode_body(Encoding::Json, &bytes).is_err());
        drop(decode_body(Encoding::Protobuf, &bytes));
        drop(parse_labels(&text));
    }
}
