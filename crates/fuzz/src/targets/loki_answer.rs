//! Answers of Loki to a batch: what each says of it, and which records it names. The first byte chooses the
//! status and the encoding.

use std::sync::LazyLock;

use serde_json::json;
use tailwater_record::{BatchId, EncodedBatch, LabelSet, RecordView, Span, TimestampNs};
use tailwater_sink::{DeliverError, SinkSettings};
use tailwater_sink_loki::answer::{Answer, MAX_ANSWER_BYTES, judge_batch};
use tailwater_sink_loki::{Encoding, LokiSettings};

use crate::input;

/// The batch that is answered, in both encodings.
static BATCHES: LazyLock<[(Encoding, EncodedBatch); 2]> = LazyLock::new(|| {
    [("protobuf", Encoding::Protobuf), ("json", Encoding::Json)]
        .map(|(name, encoding)| (encoding, batch(name)))
});

const STATUSES: [u16; 4] = [400, 413, 429, 500];

/// Whether a record is of the second stream, and its second: some at one time, one out of order.
const SECONDS: [(bool, u64); 8] = [
    (false, 1_800_000_000),
    (true, 1_800_000_000),
    (false, 1_800_000_010),
    (false, 1_800_000_010),
    (true, 1_799_999_999),
    (true, 1_800_003_600),
    (false, 1_800_007_200),
    (true, 1_800_007_200),
];

pub(crate) fn run(bytes: &[u8]) {
    let (way, body) = input::choice(bytes, 8);
    let [protobuf, json] = &*BATCHES;
    let (encoding, batch) = if way % 2 == 0 { protobuf } else { json };
    let status = STATUSES.get(usize::from(way / 2)).copied().unwrap_or(400);
    let answer = Answer {
        status,
        retry_after: None,
        body: body.get(..MAX_ANSWER_BYTES).unwrap_or(body).to_vec(),
    };
    match judge_batch(&answer, batch, *encoding) {
        Err(DeliverError::Refused {
            detail, records, ..
        }) => {
            assert!(status == 400 || records.is_empty());
            assert!(detail.len() <= 1024, "{detail}");
            assert!(records.is_sorted() && records.iter().all(|index| *index < batch.records()));
        }
        Err(DeliverError::Retryable { detail, .. }) => assert!(detail.len() <= 1024, "{detail}"),
        Ok(_) => unreachable!("{status} is no success"),
    }
}

fn batch(encoding: &str) -> EncodedBatch {
    let settings = json!({"url": "http://127.0.0.1/", "encoding": encoding});
    let settings: LokiSettings = serde_json::from_value(settings).expect("they are right");
    let mut encoder = settings.build().expect("they are right").encoder.make();
    let [one, two] = ["one", "two"].map(|job| LabelSet::new([("job", job)]).expect("it is a set"));
    let mut record_ends = Vec::new();
    for ((place, end), (is_second, seconds)) in (0_u64..).zip((5_u32..).step_by(5)).zip(SECONDS) {
        encoder.append(&RecordView {
            line: b"line",
            span: Span {
                start: u64::from(end) - 5,
                end: u64::from(end),
            },
            timestamp: TimestampNs(seconds * 1_000_000_000 + place),
            labels: if is_second { &two } else { &one },
            metadata: &[],
            severity: None,
        });
        record_ends.push(end);
    }
    EncodedBatch {
        id: BatchId(1),
        body: encoder.seal().body,
        tenant: None,
        spans: Vec::new(),
        record_ends,
    }
}
