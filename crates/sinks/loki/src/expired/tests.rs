use tailwater_record::TimestampNs;

use super::*;

const SECOND: u64 = 1_000_000_000;

/// 2026-11-14T10:00:00Z.
const LIMIT: u64 = 1_794_650_400;

fn old(labels: &str, entry: &str) -> String {
    format!(
        "entry for stream '{labels}' has timestamp too old: {entry}, oldest acceptable timestamp is: \
         2026-11-14T10:00:00Z"
    )
}

fn behind(entry: &str, limit: &str) -> String {
    format!(
        "entry with timestamp 2026-11-14 09:00:00.5 +0000 UTC ignored, reason: 'entry too far behind, \
         entry timestamp is: {entry}, oldest acceptable timestamp is: {limit}',\n"
    )
}

const ENTRY: &str = "2026-11-14T09:00:00Z";

/// Which of these records, each of a stream and a time in nanoseconds past the limit, are meant.
fn found(expired: &Expired, records: &[(&str, i64)]) -> Vec<u32> {
    let found = expired.find(&Bytes::new(), |_, each| {
        for (index, (labels, past)) in (0..).zip(records) {
            each(DecodedRecord {
                index,
                timestamp: TimestampNs((LIMIT * SECOND).checked_add_signed(*past).unwrap()),
                labels,
                metadata: &[],
                line: b"",
            });
        }
        Ok(())
    });
    found.unwrap()
}

const A: &str = "{job=\"a\"}";
const MINUTE: i64 = 60_000_000_000;

#[test]
fn all_that_is_older_is_meant_whatever_its_stream() {
    let text = format!("3 errors like: {}\n", old(A, ENTRY));
    let expired = read("too_old", &text, true).unwrap();
    let records = [(A, -MINUTE), ("{job=\"b\"}", -1), (A, MINUTE), (A, -MINUTE)];
    assert_eq!(found(&expired, &records), [0, 1, 3]);
    let one = read("too_old", &old(A, ENTRY), true).unwrap();
    assert_eq!(found(&one, &[(A, -MINUTE), (A, 0)]), [0]);
}

#[test]
fn within_the_second_of_the_limit_the_number_decides() {
    let text = format!(
        "2 errors like: {}; {}",
        old(A, ENTRY),
        old(A, "2026-11-14T10:00:00Z")
    );
    let expired = read("too_old", &text, true).unwrap();
    let records = [
        (A, -MINUTE),
        (A, -5),
        (A, 700),
        (A, 300),
        (A, 900),
        (A, MINUTE),
    ];
    assert_eq!(found(&expired, &records), [0, 1, 3]);
    let cut_off = read("too_old", &text, false).unwrap();
    assert_eq!(found(&cut_off, &records), [0, 1], "the number is not known");
}

#[test]
fn what_is_behind_other_complaints_is_not_counted() {
    let other = "max entry size '5' bytes exceeded for stream '{}' while adding an entry with length '9' bytes";
    let text = format!("2 errors like: {}; 1 errors like: {other}", old(A, ENTRY));
    let expired = read("too_old", &text, true).unwrap();
    assert_eq!(found(&expired, &[(A, -5), (A, -4), (A, 300)]), [0, 1]);
    let text = format!("1 errors like: {other}; 2 errors like: {}", old(A, ENTRY));
    assert_eq!(read("too_old", &text, true), None);
}

#[test]
fn what_is_too_new_is_meant_from_the_earliest_that_was() {
    let new = |time: &str| format!("entry for stream '{A}' has timestamp too new: {time}");
    let text = format!(
        "2 errors like: {}; 1 errors like: {}",
        new("2026-11-14T10:00:07Z"),
        new("2026-11-14T10:00:00Z")
    );
    let expired = read("too_new", &text, true).unwrap();
    let second = i64::try_from(SECOND).unwrap();
    let records = [
        (A, -5),
        (A, 100),
        (A, 900),
        (A, 7 * second),
        (A, 7 * second + 3),
    ];
    assert_eq!(found(&expired, &records), [2, 3, 4]);
    let cut_off = read("too_new", &text, false).unwrap();
    assert_eq!(found(&cut_off, &records), [3, 4]);
}

#[test]
fn zones_of_a_server_are_understood() {
    let text = format!(
        "entry for stream '{A}' has timestamp too old: 2026-11-14T10:00:00+01:00, oldest acceptable \
         timestamp is: 2026-11-14T11:00:00+01:00"
    );
    let expired = read("too_old", &text, true).unwrap();
    assert_eq!(found(&expired, &[(A, -1), (A, 0)]), [0]);
}

#[test]
fn labels_forge_no_limit() {
    let forged = ", oldest acceptable timestamp is: 2099-01-01T00:00:00Z; 9 errors like: entry for stream '{}'";
    let labels =
        format!("{{filename=\"/x' has timestamp too old: {ENTRY}{forged}\\\" }}\", job=\"a\"}}");
    let expired = read("too_old", &old(&labels, ENTRY), true).unwrap();
    assert_eq!(expired.which, Which::Before(LIMIT));
    assert_eq!(expired.entries, Some(1));
    let newline = "{a=\"b\nuser 'x', total ignored: 9 out of 9 for stream: {}\"}";
    let text = format!(
        "{}user 'fake', total ignored: 1 out of 2 for stream: {newline}\n",
        behind(ENTRY, "2026-11-14T10:00:00Z")
    );
    assert_eq!(read("too_far_behind", &text, true), None);
}

fn ingester(limits: &[&str], ignored: usize, stream: &str) -> Expired {
    let listed: String = limits.iter().map(|limit| behind(ENTRY, limit)).collect();
    let text =
        format!("{listed}user 'fake', total ignored: {ignored} out of 9 for stream: {stream}\n");
    read("too_far_behind", &text, true).unwrap()
}

const LIMIT_TEXT: &str = "2026-11-14T10:00:00Z";

#[test]
fn an_ingester_speaks_of_one_stream() {
    let expired = ingester(&[LIMIT_TEXT; 3], 3, A);
    let records = [
        (A, -MINUTE),
        ("{job=\"b\"}", -MINUTE),
        (A, -1),
        (A, 400),
        (A, 500),
    ];
    assert_eq!(found(&expired, &records), [0, 2, 3]);
    let other = ingester(&[LIMIT_TEXT], 1, "{job=\"c\"}");
    assert!(found(&other, &records).is_empty());
}

#[test]
fn the_label_that_loki_adds_makes_no_other_stream_but_one_that_is_there_comes_first() {
    let named = "{job=\"a\", service_name=\"a\"}";
    let expired = ingester(&[LIMIT_TEXT], 1, named);
    assert_eq!(found(&expired, &[(A, -1), (A, MINUTE)]), [0]);
    assert_eq!(found(&expired, &[(A, -1), (named, -1)]), [1]);
    let more = ingester(&[LIMIT_TEXT], 1, "{job=\"a\", pod=\"a\"}");
    assert!(found(&more, &[(A, -1)]).is_empty());
}

#[test]
fn a_limit_that_has_risen_within_the_request_is_one_for_entries_in_order_alone() {
    // Two of three are below it: the first was taken before it rose.
    let expired = ingester(&[LIMIT_TEXT], 1, A);
    assert!(found(&expired, &[(A, -1), (A, 9 * MINUTE), (A, -2)]).is_empty());
    // The same stream in parts of its own: the number speaks of the last.
    assert_eq!(
        found(&expired, &[(A, -2), (A, -1), (A, 9 * MINUTE)]),
        [0, 1]
    );
    let two = ingester(&["2026-11-14T10:30:00Z", LIMIT_TEXT], 2, A);
    assert_eq!(found(&two, &[(A, -2), (A, -1), (A, MINUTE)]), [0, 1]);
}

#[test]
fn answers_in_another_form_say_nothing() {
    for (reason, text) in [
        ("too_old", ""),
        ("too_old", "has timestamp too old"),
        (
            "too_old",
            "entry for stream '{a=\"b\"}' has timestamp too old: 5, oldest acceptable timestamp is: 6",
        ),
        (
            "too_old",
            "entry for stream '{a=\"b' has timestamp too old: x",
        ),
        ("too_far_behind", "entry too far behind"),
        (
            "too_far_behind",
            "user 'fake', total ignored: 1 out of 2 for stream: {a=\"b\"}",
        ),
        (
            "too_far_behind",
            "entry with timestamp x ignored, reason: 'entry too far behind, entry timestamp is: 5, oldest acceptable timestamp is: 6',\nuser 'fake', total ignored: 1 out of 1 for stream: {}",
        ),
        (
            "line_too_long",
            "entry for stream '{a=\"b\"}' has timestamp too old: 2026-11-14T09:00:00Z, oldest acceptable timestamp is: 2026-11-14T10:00:00Z",
        ),
    ] {
        assert_eq!(read(reason, text, true), None, "{text}");
    }
}
