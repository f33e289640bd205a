//! What `export` prints: every record once, with all that is known of it.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::process::Stdio;

use tailwater_testkit::fault_sink::FaultSink;
use tailwater_testkit::line::parse_line;
use tailwater_testkit::writer::Written;

use crate::rig::{Rig, command, spill, stop, text, wait_for};

fn exported(run: &str) -> Vec<serde_json::Value> {
    let lines = run.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Asserts that the records are the lines that were written, each once and with its place.
#[track_caller]
fn assert_exact(records: &[serde_json::Value], written: &[Written], rig: &Rig) {
    let mut found = BTreeSet::new();
    for record in records {
        let line = record["line"].as_str().unwrap();
        let id = parse_line(line.as_bytes()).unwrap();
        assert!(found.insert(id), "{id:?} was exported twice");
        let path = rig.log(if id.file == 1 { "one.log" } else { "two.log" });
        assert_eq!(record["path"], text(&path));
        assert_eq!(record["source"], "app");
        assert_eq!(record["sink"], "central.one");
        assert_eq!(record["tenant"], "shop");
        let log = std::fs::read(&path).unwrap();
        let offset = usize::try_from(record["offset"].as_u64().unwrap()).unwrap();
        assert!(log[offset..].starts_with(format!("{line}\n").as_bytes()));
    }
    let expected: u64 = written.iter().map(|written| written.acked).sum();
    assert_eq!(found.len() as u64, expected);
}

#[test]
fn every_line_of_a_spill_is_exported_once_whatever_the_encoding() {
    for encoding in ["protobuf", "json"] {
        let rig = Rig::with_dead_sink(&format!(", encoding: {encoding}"));
        let written = rig.spill_lines();
        let run = spill(&["export", "--config", &text(&rig.config_path())]);
        let records = exported(&run.clean());
        assert_exact(&records, &written, &rig);
        for record in &records {
            let timestamp = record["timestamp"].as_str().unwrap();
            assert!(timestamp.starts_with("20") && timestamp.ends_with('Z'));
            assert_eq!(record["labels"]["job"], "a \"b\"");
            assert_eq!(record["reason"], serde_json::Value::Null);
        }
    }
}

#[test]
fn what_a_file_sink_could_not_write_is_exported_too() {
    for format in ["ndjson", "text"] {
        let sink = FaultSink::start().unwrap();
        let kind = format!("file: {{ path: \"/nowhere/at/all/out\", format: {format} }}");
        let rig = Rig::with_sink(sink, &kind);
        let written = rig.spill_lines();
        let records = exported(&spill(&["export", &text(&rig.spill())]).clean());
        assert_exact(&records, &written, &rig);
        let has_time = records[0]["timestamp"].is_string();
        assert_eq!(has_time, format == "ndjson");
    }
}

#[test]
fn a_dead_letter_is_exported_with_its_reason_and_its_place() {
    let rig = Rig::with_poison();
    let mut agent = rig.start();
    rig.writer("one.log", 1).write_lines(50).unwrap();
    let offset = rig.write_poison("one.log", "hunter2");
    wait_for(&agent, "it is refused", |books| books.rejected > 0.5);
    stop(&mut agent);
    let records = exported(&spill(&["export", &text(&rig.dead_letters())]).clean());
    assert_eq!(records.len(), 1);
    assert_eq!(records[0]["line"], "POISON hunter2");
    assert_eq!(records[0]["offset"], offset);
    assert_eq!(records[0]["path"], text(&rig.log("one.log")));
    assert!(!records[0]["reason"].as_str().unwrap().is_empty());
}

#[test]
fn a_reader_that_has_seen_enough_ends_the_export_quietly() {
    let rig = Rig::with_dead_sink("");
    rig.spill_lines();
    let mut child = command(&["export", &text(&rig.spill())])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // More is exported than a pipe holds.
    drop(child.stdout.take());
    let mut errors = String::new();
    let mut stderr = child.stderr.take().unwrap();
    stderr.read_to_string(&mut errors).unwrap();
    assert_eq!(errors, "");
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
