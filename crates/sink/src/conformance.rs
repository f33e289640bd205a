//! The laws that every sink's encoder and splitter keep, checked over random records.
//!
//! A sink crate enables the feature `conformance` for its tests, says in a [`Subject`] how its bodies
//! are read back, and calls [`check`]. Each law is also a function of its own.
//!
//! A law that is broken panics with the smallest records that break it.

use std::fmt::Debug;

use bytes::Bytes;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use tailwater_record::{LabelSet, RecordView, Span, TimestampNs};

use crate::{Deliver, Encode, Encoded, EncoderFactory};

/// Records of one random case.
const MAX_RECORDS: usize = 24;

/// Random cases per law.
const CASES: u32 = 96;

/// A sink under test.
pub trait Subject {
    /// What the sink keeps of a record.
    type Record: PartialEq + Debug;

    /// Returns the factory of the encoders under test.
    fn encoders(&self) -> &dyn EncoderFactory;

    /// Returns the deliverer whose `split` is under test; nothing is delivered.
    fn deliver(&self) -> &dyn Deliver;

    /// Reads the records of a sealed body, in order. Panics where it is none.
    fn decode(&self, body: &Bytes) -> Vec<Self::Record>;

    /// Returns what [`Self::decode`] must yield for a record that was appended.
    fn expected(&self, record: &OwnedRecord) -> Self::Record;

    /// Returns whether the sink takes only text, and so counts each line that is not UTF-8.
    fn counts_replaced_utf8(&self) -> bool;
}

/// One record of a random case.
#[derive(Clone, Debug)]
pub struct OwnedRecord {
    /// The line, any bytes but a line feed.
    pub line: Vec<u8>,
    /// Where it is said to stand.
    pub span: Span,
    /// Its time.
    pub timestamp: TimestampNs,
    /// Its stream.
    pub labels: LabelSet,
    /// Its structured metadata, sorted by name.
    pub metadata: Vec<(String, String)>,
}

/// Checks every law.
///
/// # Panics
/// Where a law is broken, with the records that break it.
pub fn check(subject: &impl Subject) {
    records_are_read_back_in_order(subject);
    an_empty_encoder_seals_no_records(subject);
    a_seal_leaves_nothing_behind(subject);
    the_same_records_have_the_same_bytes(subject);
    the_length_rises_with_every_record(subject);
    a_split_keeps_every_record_in_order(subject);
    a_split_down_to_single_records_keeps_every_record(subject);
    a_foreign_body_is_never_split_in_a_panic(subject);
}

/// Law: what is read from a sealed body is what was appended, in order, and every line in which
/// text was replaced is counted.
///
/// # Panics
/// Where the law is broken.
pub fn records_are_read_back_in_order(subject: &impl Subject) {
    for_random_records(|records| {
        let sealed = seal_all(&mut *subject.encoders().make(), records);
        expect_records(subject, &sealed.body, records)?;
        let invalid = records
            .iter()
            .filter(|record| std::str::from_utf8(&record.line).is_err())
            .count();
        let counted = if subject.counts_replaced_utf8() {
            invalid
        } else {
            0
        };
        prop_assert_eq!(sealed.stats.replaced_utf8_records, counted as u64);
        Ok(())
    });
}

/// Law: an encoder to which nothing was appended is empty, and seals a body without records.
///
/// # Panics
/// Where the law is broken.
pub fn an_empty_encoder_seals_no_records(subject: &impl Subject) {
    let mut encoder = subject.encoders().make();
    for _ in 0..2 {
        assert!(
            encoder.is_empty(),
            "an encoder without records is not empty"
        );
        assert_eq!(encoder.len(), 0, "an encoder without records has a length");
        let sealed = encoder.seal();
        let records = subject.decode(&sealed.body);
        assert!(records.is_empty(), "records from nowhere: {records:?}");
        assert_eq!(sealed.stats, crate::EncodeStats::default());
    }
}

/// Law: after a seal the encoder is empty, and the next body is that of a new encoder.
///
/// # Panics
/// Where the law is broken.
pub fn a_seal_leaves_nothing_behind(subject: &impl Subject) {
    for_random_records(|records| {
        let (first, second) = records.split_at(records.len() / 2);
        let mut encoder = subject.encoders().make();
        drop(seal_all(&mut *encoder, first));
        prop_assert!(encoder.is_empty());
        prop_assert_eq!(encoder.len(), 0);
        let used = seal_all(&mut *encoder, second);
        let new = seal_all(&mut *subject.encoders().make(), second);
        prop_assert_eq!(used.body, new.body);
        prop_assert_eq!(used.stats, new.stats);
        Ok(())
    });
}

/// Law: the bytes depend on the records alone, so that a batch that is made again after a crash is
/// recognised by the backend.
///
/// # Panics
/// Where the law is broken.
pub fn the_same_records_have_the_same_bytes(subject: &impl Subject) {
    for_random_records(|records| {
        let first = seal_all(&mut *subject.encoders().make(), records);
        // Equal label sets in other allocations: a restart has no others.
        let again: Vec<OwnedRecord> = records.iter().map(with_own_labels).collect();
        let second = seal_all(&mut *subject.encoders().make(), &again);
        prop_assert_eq!(first.body, second.body);
        Ok(())
    });
}

/// Law: every record adds to the length, at least about what its line takes.
///
/// # Panics
/// Where the law is broken.
pub fn the_length_rises_with_every_record(subject: &impl Subject) {
    for_random_records(|records| {
        let mut encoder = subject.encoders().make();
        for record in records {
            let before = encoder.len();
            append(&mut *encoder, record);
            prop_assert!(encoder.len() > before);
            prop_assert!(encoder.len() - before >= record.line.len());
            prop_assert!(!encoder.is_empty());
        }
        Ok(())
    });
}

/// Law: a split after any record yields the records before and after it, in order.
///
/// # Panics
/// Where the law is broken.
pub fn a_split_keeps_every_record_in_order(subject: &impl Subject) {
    for_random_records(|records| {
        let body = seal_all(&mut *subject.encoders().make(), records).body;
        for at in 1..records.len() {
            let (first, second) = split(subject, &body, at)?;
            let (before, after) = records.split_at(at);
            expect_records(subject, &first, before)?;
            expect_records(subject, &second, after)?;
        }
        Ok(())
    });
}

/// Law: halves can be split again, as the search for a refused record does, down to one record each.
///
/// # Panics
/// Where the law is broken.
pub fn a_split_down_to_single_records_keeps_every_record(subject: &impl Subject) {
    for_random_records(|records| {
        let body = seal_all(&mut *subject.encoders().make(), records).body;
        let mut pieces = vec![(body, records)];
        let mut singles = 0;
        while let Some((body, records)) = pieces.pop() {
            expect_records(subject, &body, records)?;
            let at = records.len() / 2;
            if at == 0 {
                singles += 1;
                continue;
            }
            let (first, second) = split(subject, &body, at)?;
            let (before, after) = records.split_at(at);
            pieces.extend([(first, before), (second, after)]);
        }
        prop_assert_eq!(singles, records.len());
        Ok(())
    });
}

/// Law: bytes that this sink did not seal, or that were damaged, are split or refused, never a panic.
///
/// # Panics
/// Where the law is broken.
pub fn a_foreign_body_is_never_split_in_a_panic(subject: &impl Subject) {
    for_random_records(|records| {
        let body = seal_all(&mut *subject.encoders().make(), records).body;
        for record in records {
            drop(
                subject
                    .deliver()
                    .split(&Bytes::from(record.line.clone()), 1),
            );
        }
        for cut in 0..body.len().min(64) {
            drop(subject.deliver().split(&body.slice(..cut), 1));
            let mut damaged = body.to_vec();
            if let Some(byte) = damaged.get_mut(cut) {
                *byte ^= 0x55;
            }
            drop(subject.deliver().split(&Bytes::from(damaged), 1));
        }
        Ok(())
    });
}

fn for_random_records(law: impl Fn(&[OwnedRecord]) -> Result<(), TestCaseError>) {
    let config = Config {
        cases: CASES,
        failure_persistence: None,
        ..Config::default()
    };
    let outcome = TestRunner::new(config).run(&records(), |records| law(&records));
    assert!(outcome.is_ok(), "{}", outcome.expect_err("it is not ok"));
}

fn records() -> impl Strategy<Value = Vec<OwnedRecord>> {
    prop::collection::vec(record(), 1..MAX_RECORDS)
}

fn record() -> impl Strategy<Value = OwnedRecord> {
    let pair = ("[a-z_]{1,8}", any_text());
    let metadata = prop::collection::btree_map(pair.0, pair.1, 0..3);
    (line(), any::<u64>(), 0..1_u64 << 40, labels(), metadata).prop_map(
        |(line, timestamp, start, labels, metadata)| OwnedRecord {
            span: Span {
                start,
                end: start + line.len() as u64 + 1,
            },
            line,
            timestamp: TimestampNs(timestamp),
            labels,
            metadata: metadata.into_iter().collect(),
        },
    )
}

/// Lines as they are found: text, text with what must be escaped, any bytes, and long ones, whose
/// lengths take more bytes.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let byte = any::<u8>().prop_map(|byte| if byte == b'\n' { b' ' } else { byte });
    prop_oneof![
        4 => any_text().prop_map(|text| text.replace('\n', " ").into_bytes()),
        2 => prop::collection::vec(byte, 0..200),
        1 => (120..140_usize).prop_map(|len| vec![b'm'; len]),
        1 => (16_300..16_500_usize).prop_map(|len| vec![b'l'; len]),
    ]
}

fn any_text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ -~]{0,80}",
        r#"[\\"\t\r\n\x00-\x1F{}\[\],:=é日\u{200B}\u{2028}\u{FEFF}🦀]{0,20}"#,
        any::<String>(),
    ]
}

/// Few enough sets for runs of one stream and for streams that return.
fn labels() -> impl Strategy<Value = LabelSet> {
    let value = prop_oneof![3 => "[a-c]", 1 => any_text()];
    value.prop_map(|value| label_set(vec![("job".into(), value), ("host".into(), "h".into())]))
}

fn label_set(pairs: Vec<(String, String)>) -> LabelSet {
    LabelSet::new(pairs).expect("the names are valid and distinct")
}

fn with_own_labels(record: &OwnedRecord) -> OwnedRecord {
    let pairs = record.labels.iter();
    OwnedRecord {
        labels: label_set(pairs.map(|(n, v)| (n.to_owned(), v.to_owned())).collect()),
        ..record.clone()
    }
}

fn append(encoder: &mut dyn Encode, record: &OwnedRecord) {
    let metadata: Vec<(&str, &str)> = record
        .metadata
        .iter()
        .map(|(name, value)| (&**name, &**value))
        .collect();
    encoder.append(&RecordView {
        line: &record.line,
        span: record.span,
        timestamp: record.timestamp,
        labels: &record.labels,
        metadata: &metadata,
    });
}

fn seal_all(encoder: &mut dyn Encode, records: &[OwnedRecord]) -> Encoded {
    for record in records {
        append(encoder, record);
    }
    encoder.seal()
}

fn expect_records<S: Subject>(
    subject: &S,
    body: &Bytes,
    records: &[OwnedRecord],
) -> Result<(), TestCaseError> {
    let expected: Vec<S::Record> = records
        .iter()
        .map(|record| subject.expected(record))
        .collect();
    prop_assert_eq!(subject.decode(body), expected);
    Ok(())
}

fn split(
    subject: &impl Subject,
    body: &Bytes,
    first_records: usize,
) -> Result<(Bytes, Bytes), TestCaseError> {
    let first_records = u32::try_from(first_records).unwrap_or(u32::MAX);
    subject
        .deliver()
        .split(body, first_records)
        .map_err(|error| TestCaseError::fail(error.to_string()))
}
