use proptest::prelude::*;
use tailwater_record::{LabelSet, RecordView, Span, TimestampNs};
use tailwater_sink::Encode as _;

use super::{ProtobufEncoder, selector, split, take_field, take_varint};

/// (labels, seconds, nanos, line, metadata)
type Entry = (String, u64, u64, Vec<u8>, Vec<(String, String)>);

fn decode(body: &[u8]) -> Vec<Entry> {
    let plain = snap::raw::Decoder::new().decompress_vec(body).unwrap();
    let mut entries = Vec::new();
    let mut rest: &[u8] = &plain;
    while !rest.is_empty() {
        let mut stream = take_field(&mut rest).unwrap().content;
        let labels = String::from_utf8(take_field(&mut stream).unwrap().content.to_vec()).unwrap();
        while !stream.is_empty() {
            let mut entry = take_field(&mut stream).unwrap().content;
            let mut time = take_field(&mut entry).unwrap().content;
            let (mut seconds, mut nanos) = (0, 0);
            while !time.is_empty() {
                match take_varint(&mut time).unwrap() {
                    8 => seconds = take_varint(&mut time).unwrap(),
                    16 => nanos = take_varint(&mut time).unwrap(),
                    other => panic!("unknown tag {other}"),
                }
            }
            let line = take_field(&mut entry).unwrap().content.to_vec();
            let mut metadata = Vec::new();
            while !entry.is_empty() {
                let mut pair = take_field(&mut entry).unwrap().content;
                let mut text =
                    || String::from_utf8(take_field(&mut pair).unwrap().content.to_vec()).unwrap();
                metadata.push((text(), text()));
            }
            entries.push((labels.clone(), seconds, nanos, line, metadata));
        }
    }
    entries
}

fn encode(records: &[(u8, u64, Vec<u8>)]) -> (Vec<Entry>, bytes::Bytes, u64) {
    let sets: Vec<LabelSet> = (0..3)
        .map(|job| LabelSet::new([("job", format!("j{job}")), ("q", "a\"b\\c\n".into())]).unwrap())
        .collect();
    let mut encoder = ProtobufEncoder::default();
    let mut expected = Vec::new();
    for (job, time, line) in records {
        let labels = &sets[usize::from(job % 3)];
        let metadata: &[(&str, &str)] = if time % 2 == 0 {
            &[]
        } else {
            &[("offset", "12"), ("zone", "eu")]
        };
        encoder.append(&RecordView {
            line,
            span: Span { start: 0, end: 1 },
            timestamp: TimestampNs(*time),
            labels,
            metadata,
        });
        expected.push((
            selector(labels),
            time / 1_000_000_000,
            time % 1_000_000_000,
            String::from_utf8_lossy(line).into_owned().into_bytes(),
            metadata
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
        ));
    }
    let sealed = encoder.seal();
    assert!(encoder.is_empty(), "a sealed encoder starts anew");
    (expected, sealed.body, sealed.stats.replaced_utf8_records)
}

#[test]
fn labels_are_quoted_as_go_does() {
    let labels = LabelSet::new([("b", "x\"\\\n\u{1}é"), ("a", "y")]).unwrap();
    assert_eq!(selector(&labels), "{a=\"y\", b=\"x\\\"\\\\\\n\\u0001é\"}");
}

#[test]
fn invalid_text_is_replaced_and_counted() {
    let (expected, body, replaced) =
        encode(&[(0, 1, b"ok".to_vec()), (0, 2, vec![b'a', 0xFF, b'b'])]);
    assert_eq!(replaced, 1);
    assert_eq!(decode(&body), expected);
    assert_eq!(expected[1].3, "a\u{FFFD}b".as_bytes());
}

proptest! {
    #[test]
    fn what_is_encoded_is_decoded_and_every_split_keeps_every_record(
        records in prop::collection::vec((any::<u8>(), 0_u64..4_000_000_000_000_000_000, prop::collection::vec(any::<u8>(), 0..300)), 1..30),
        at in any::<prop::sample::Index>(),
    ) {
        let (expected, body, _) = encode(&records);
        prop_assert_eq!(&decode(&body), &expected);
        if records.len() > 1 {
            let first = at.index(records.len() - 1) + 1;
            let (head, tail) = split(&body, u32::try_from(first).unwrap()).unwrap();
            let mut both = decode(&head);
            prop_assert_eq!(both.len(), first);
            both.extend(decode(&tail));
            prop_assert_eq!(both, expected);
        }
    }

    #[test]
    fn a_body_of_any_bytes_is_split_or_refused_without_a_panic(body in prop::collection::vec(any::<u8>(), 0..200)) {
        let plain = snap::raw::Encoder::new().compress_vec(&body).unwrap();
        for bytes in [body, plain] {
            if let Ok((head, tail)) = split(&bytes::Bytes::from(bytes), 1) {
                prop_assert!(head.len() + tail.len() > 0);
            }
        }
    }
}
