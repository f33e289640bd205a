//! How grave a record is, on its way to the sink.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;

use tailwater_testkit::fault_sink::{Entry, SinkState};

use crate::rig::{DEADLINE, Rig, stop, wait_settled};

fn append(path: &Path, text: &str) {
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.create(true).append(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

/// What a record was sent with: its structured metadata, and the label `level`.
type Sent = (Vec<(String, String)>, Option<String>);

fn sent(state: &SinkState) -> BTreeMap<String, Sent> {
    let entries = state.entries().iter();
    let sent = entries.map(|entry: &Entry| {
        let line = String::from_utf8(entry.line.clone()).unwrap();
        (line, (entry.metadata.clone(), entry.label("level")))
    });
    sent.collect()
}

/// Sends a text; returns what each of its records was sent with.
fn send(source_keys: &str, text: &str, records: usize) -> BTreeMap<String, Sent> {
    let rig = Rig::new(source_keys, "");
    append(&rig.log("a.log"), text);
    let mut agent = rig.start();
    let has_all = |state: &SinkState| sent(state).len() >= records;
    let arrived = rig.sink.wait_until(has_all, DEADLINE);
    let found = rig.sink.inspect(sent);
    assert!(arrived, "{} of {records}\n{}", found.len(), agent.log());
    wait_settled(&agent);
    stop(&mut agent);
    found
}

fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    let pairs = pairs.iter();
    pairs
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn severity(text: &str, number: &str) -> Vec<(String, String)> {
    pairs(&[("severity_text", text), ("severity_number", number)])
}

const LINES: &str = "ERROR one\n[notice] two\nthree\n";

#[test]
fn nothing_of_the_severity_is_sent_where_it_is_not_asked_for() {
    for keys in ["", "    severity: none\n", "    stages: [ { level: } ]\n"] {
        let found = send(keys, LINES, 3);
        assert!(
            found.values().all(|sent| *sent == Sent::default()),
            "{found:?}"
        );
    }
}

#[test]
fn lines_without_stages_are_sent_with_what_they_say() {
    let found = send("    severity: structured_metadata\n", LINES, 3);
    assert_eq!(found["ERROR one"], (severity("ERROR", "17"), None));
    assert_eq!(found["[notice] two"], (severity("INFO", "9"), None));
    assert_eq!(found["three"], (Vec::new(), None));
}

#[test]
fn it_stands_between_the_other_structured_metadata() {
    let keys = "    severity: structured_metadata\n    structured_metadata: { team: shop }\n    offset_metadata: at\n";
    let found = send(keys, LINES, 3);
    let (metadata, _) = &found["[notice] two"];
    let expected = [
        ("team", "shop"),
        ("severity_text", "INFO"),
        ("severity_number", "9"),
        ("at", "10"),
    ];
    assert_eq!(*metadata, pairs(&expected));
    assert_eq!(found["three"].0, pairs(&[("team", "shop"), ("at", "23")]));
}

#[test]
fn as_a_label_it_is_a_word_and_a_line_that_says_none_has_none() {
    let found = send("    severity: label\n", LINES, 3);
    let label = |line: &str| found[line].1.as_deref();
    assert_eq!(label("ERROR one"), Some("error"));
    assert_eq!(label("[notice] two"), Some("info"));
    assert_eq!(label("three"), None);
    assert!(found.values().all(|(metadata, _)| metadata.is_empty()));
}

const STATUS: &str = "    stages: [ { logfmt: { mapping: { status: } } }, { level: { source: status, from: http_status } } ]\n";

#[test]
fn what_a_stage_has_set_counts_more_than_the_line() {
    let text = "status=200 ERROR\nstatus=404 x\nstatus=- ERROR\nstatus=- x\n";
    let found = send(
        &format!("    severity: structured_metadata\n{STATUS}"),
        text,
        4,
    );
    assert_eq!(found["status=200 ERROR"].0, severity("INFO", "9"));
    assert_eq!(found["status=404 x"].0, severity("WARN", "13"));
    assert_eq!(found["status=- ERROR"].0, severity("ERROR", "17"));
    assert_eq!(found["status=- x"].0, Vec::new());
    let found = send(&format!("    severity: label\n{STATUS}"), text, 4);
    assert_eq!(found["status=200 ERROR"].1.as_deref(), Some("info"));
    assert_eq!(found["status=404 x"].1.as_deref(), Some("warn"));
}

#[test]
fn the_label_and_the_metadata_of_a_stage() {
    let stages = "    stages: [ { logfmt: { mapping: { level: } } }, { labels: { level: } }, { structured_metadata: { severity_text: level } } ]\n";
    let line = "level=warning x";
    let found = send(
        &format!("    severity: label\n{stages}"),
        &format!("{line}\n"),
        1,
    );
    assert_eq!(
        found[line].1.as_deref(),
        Some("warn"),
        "the label is replaced"
    );
    let found = send(
        &format!("    severity: structured_metadata\n{stages}"),
        &format!("{line}\n"),
        1,
    );
    assert_eq!(
        found[line].0,
        pairs(&[("severity_text", "warning")]),
        "its own stays"
    );
}

/// Chunks of 256 KiB, batches of 64 KiB and groups that reach over both.
#[test]
fn it_is_the_same_wherever_chunks_and_batches_end() {
    let levels = ["DEBUG", "INFO", "WARN", "ERROR", "nothing"];
    let mut text = String::new();
    for number in 0..12_000 {
        let level = levels[number % levels.len()];
        writeln!(text, "{number:06} {level} of the first line").unwrap();
        if number % 3 == 0 {
            writeln!(
                text,
                "   FATAL: in a line behind it, {}",
                "x".repeat(number % 97)
            )
            .unwrap();
        }
    }
    let stages = "    stages: [ { regex: { expression: '^\\d+ (?P<level>\\w+)' } }, { level: { default: TRACE } }, { multiline: { firstline: '^\\d', max_wait_time: 1s } } ]\n";
    let found = send(
        &format!("    severity: structured_metadata\n{stages}"),
        &text,
        12_000,
    );
    for (line, (metadata, _)) in &found {
        let number: usize = line.split(' ').next().unwrap().parse().unwrap();
        let expected = match levels[number % levels.len()] {
            "nothing" => ("TRACE", "1"),
            "DEBUG" => ("DEBUG", "5"),
            "INFO" => ("INFO", "9"),
            "WARN" => ("WARN", "13"),
            _ => ("ERROR", "17"),
        };
        assert_eq!(*metadata, severity(expected.0, expected.1), "{line}");
    }
    assert_eq!(found.len(), 12_000);
}
