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

use crate::{DecodedRecord, Deliver, Encode, Encoded, EncoderFactory, put_selector};

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

    /// Returns the deliverer that takes bodies apart under test; nothing is delivered.
    fn deliver(&self) -> &dyn Deliver;

    /// Reads the records of a sealed body, in order. Panics where it is none.
    fn decode(&self, body: &Bytes) -> Vec<Self::Record>;

    /// Returns what [`Self::decode`] must yield for a record that was appended.
    fn expected(&self, record: &OwnedRecord) -> Self::Record;

    /// Returns what [`Deliver::decode`] must yield for a record that was appended.
    ///
    /// As it is here, the sink keeps all of it, and its line as text.
    fn decoded(&self, record: &OwnedRecord) -> Decoded {
        Decoded::whole(record)
    }

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

/// What [`Deliver::decode`] yields of one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// Its time.
    pub timestamp: TimestampNs,
    /// Its stream.
    pub labels: String,
    /// Its structured metadata.
    pub metadata: Vec<(String, String)>,
    /// Its line.
    pub line: Vec<u8>,
}

impl Decoded {
    /// Returns all of a record, with U+FFFD for what is not UTF-8 in its line.
    pub fn whole(record: &OwnedRecord) -> Self {
        let mut labels = String::new();
        if record.labels.iter().next().is_some() {
            put_selector(&mut labels, record.labels.iter());
        }
        Self {
            timestamp: record.timestamp,
            labels,
            metadata: record.metadata.clone(),
            line: String::from_utf8_lossy(&record.line).into_owned().into(),
        }
    }

    /// Returns what is left where a body keeps no more than the line.
    pub fn line_alone(line: Vec<u8>) -> Self {
        Self {
            timestamp: TimestampNs(0),
            labels: String::new(),
            metadata: Vec::new(),
            line,
        }
    }

    fn of(record: DecodedRecord<'_>) -> Self {
        let metadata = record.metadata.iter();
        Self {
            timestamp: record.timestamp,
            labels: record.labels.to_owned(),
            metadata: metadata
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            line: record.line.to_vec(),
        }
    }
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
    the_records_of_a_body_are_decoded_with_their_indexes(subject);
    any_choice_of_records_is_kept_as_it_stands(subject);
    the_whole_is_the_same_body_and_none_is_no_body(subject);
    what_was_retained_is_taken_apart_again(subject);
    a_foreign_body_is_taken_apart_or_refused(subject);
    the_name_of_the_format_can_be_written_anywhere(subject);
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

/// Law: what is decoded from a body is what was appended, and its indexes count from 0.
///
/// # Panics
/// Where the law is broken.
pub fn the_records_of_a_body_are_decoded_with_their_indexes(subject: &impl Subject) {
    for_random_records(|records| {
        let body = seal_all(&mut *subject.encoders().make(), records).body;
        expect_decoded(subject, &body, records)
    });
    let empty = subject.encoders().make().seal().body;
    let mut seen = 0;
    let read = subject.deliver().decode(&empty, &mut |_| seen += 1);
    assert_eq!((read, seen), (Ok(()), 0), "records from nowhere");
}

/// Law: `retain` asks once for each record, in order, and keeps those that were chosen, with
/// everything that belongs to them; what a split makes is such a choice.
///
/// # Panics
/// Where the law is broken.
pub fn any_choice_of_records_is_kept_as_it_stands(subject: &impl Subject) {
    for_random_records(|records| {
        let body = seal_all(&mut *subject.encoders().make(), records).body;
        for chosen in choices(records) {
            let kept = retain(subject, &body, &chosen)?;
            let expected = choose(records, &chosen);
            prop_assert_eq!(kept.is_none(), expected.is_empty());
            let Some(kept) = kept else { continue };
            expect_records(subject, &kept, &expected)?;
            expect_decoded(subject, &kept, &expected)?;
        }
        Ok(())
    });
}

/// Law: keeping every record changes no byte, so a repeat is still recognised; keeping none, and
/// keeping any of none, leaves no body.
///
/// # Panics
/// Where the law is broken.
pub fn the_whole_is_the_same_body_and_none_is_no_body(subject: &impl Subject) {
    for_random_records(|records| {
        let body = seal_all(&mut *subject.encoders().make(), records).body;
        let whole = retain(subject, &body, &vec![true; records.len()])?;
        prop_assert_eq!(whole, Some(body.clone()));
        prop_assert_eq!(retain(subject, &body, &vec![false; records.len()])?, None);
        Ok(())
    });
    let empty = subject.encoders().make().seal().body;
    let kept = subject.deliver().retain(&empty, &mut |_| true);
    assert_eq!(kept, Ok(None), "a body of no records");
}

/// Law: a body that was made by `retain` is split and chosen from like one that was sealed.
///
/// # Panics
/// Where the law is broken.
pub fn what_was_retained_is_taken_apart_again(subject: &impl Subject) {
    for_random_records(|records| {
        let body = seal_all(&mut *subject.encoders().make(), records).body;
        for chosen in choices(records) {
            let Some(kept) = retain(subject, &body, &chosen)? else {
                continue;
            };
            let remaining = choose(records, &chosen);
            let fewer: Vec<bool> = (0..remaining.len()).map(|index| index % 3 == 1).collect();
            if let Some(kept) = retain(subject, &kept, &fewer)? {
                expect_records(subject, &kept, &choose(&remaining, &fewer))?;
            }
            let at = remaining.len() / 2;
            if at > 0 {
                let (first, second) = split(subject, &kept, at)?;
                let (before, after) = remaining.split_at(at);
                expect_records(subject, &first, before)?;
                expect_records(subject, &second, after)?;
            }
        }
        Ok(())
    });
}

/// Law: bytes that this sink did not seal, or that were damaged, are taken apart or refused, never a
/// panic.
///
/// # Panics
/// Where the law is broken.
pub fn a_foreign_body_is_taken_apart_or_refused(subject: &impl Subject) {
    for_random_records(|records| {
        let body = seal_all(&mut *subject.encoders().make(), records).body;
        for record in records {
            take_apart(subject, &Bytes::from(record.line.clone()));
        }
        for cut in 0..body.len().min(64) {
            take_apart(subject, &body.slice(..cut));
            take_apart(subject, &body.slice(cut..));
            let mut damaged = body.to_vec();
            if let Some(byte) = damaged.get_mut(cut) {
                *byte ^= 0x55;
            }
            take_apart(subject, &Bytes::from(damaged));
        }
        Ok(())
    });
}

/// Law: the name of the format is of a few plain characters and stays the same.
///
/// # Panics
/// Where the law is broken.
pub fn the_name_of_the_format_can_be_written_anywhere(subject: &impl Subject) {
    let wire = subject.deliver().wire();
    assert!((1..=64).contains(&wire.len()), "length of `{wire}`");
    let is_plain = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-');
    assert!(wire.bytes().all(is_plain), "characters of `{wire}`");
    assert_eq!(wire, subject.deliver().wire());
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
        severity: None,
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

/// Choices of records: every second, those of one stream, all but an end of the body, one of them,
/// and one that is as good as random.
fn choices(records: &[OwnedRecord]) -> Vec<Vec<bool>> {
    let last = records.len().saturating_sub(1);
    let first_labels = records.first().map(|record| &record.labels);
    let choice = |is_chosen: &dyn Fn(usize, &OwnedRecord) -> bool| {
        let records = records.iter().enumerate();
        records
            .map(|(index, record)| is_chosen(index, record))
            .collect()
    };
    vec![
        choice(&|index, _| index % 2 == 0),
        choice(&|index, _| index % 2 == 1),
        choice(&|_, record| Some(&record.labels) == first_labels),
        choice(&|_, record| Some(&record.labels) != first_labels),
        choice(&|index, _| index != 0),
        choice(&|index, _| index != last),
        choice(&|index, _| index == last / 2),
        choice(&|_, record| record.timestamp.0.is_multiple_of(3)),
    ]
}

fn choose(records: &[OwnedRecord], chosen: &[bool]) -> Vec<OwnedRecord> {
    let chosen = records.iter().zip(chosen).filter(|(_, chosen)| **chosen);
    chosen.map(|(record, _)| record.clone()).collect()
}

fn retain(
    subject: &impl Subject,
    body: &Bytes,
    chosen: &[bool],
) -> Result<Option<Bytes>, TestCaseError> {
    let mut asked = Vec::new();
    let kept = subject.deliver().retain(body, &mut |index| {
        asked.push(index);
        let index = usize::try_from(index).unwrap_or(usize::MAX);
        chosen.get(index).copied().unwrap_or_default()
    });
    let expected: Vec<u32> = (0..).take(chosen.len()).collect();
    prop_assert_eq!(asked, expected);
    kept.map_err(|error| TestCaseError::fail(error.to_string()))
}

fn expect_decoded(
    subject: &impl Subject,
    body: &Bytes,
    records: &[OwnedRecord],
) -> Result<(), TestCaseError> {
    let mut decoded = Vec::new();
    subject
        .deliver()
        .decode(body, &mut |record| {
            decoded.push((record.index, Decoded::of(record)));
        })
        .map_err(|error| TestCaseError::fail(error.to_string()))?;
    let expected: Vec<(u32, Decoded)> = (0..)
        .zip(records.iter().map(|record| subject.decoded(record)))
        .collect();
    prop_assert_eq!(decoded, expected);
    Ok(())
}

fn take_apart(subject: &impl Subject, body: &Bytes) {
    let deliver = subject.deliver();
    drop(deliver.split(body, 1));
    drop(deliver.retain(body, &mut |index| index % 2 == 1));
    drop(deliver.decode(body, &mut |_| ()));
}
