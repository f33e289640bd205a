//! Every preset makes of its samples what stands beside them.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use tailwater_presets::{Preset, all, find};
use tailwater_record::{FileId, LabelSet, Span, TimestampNs};
use tailwater_stages::{Entry, Expression, Outcome, Processed, StageConfig, Stages};

/// When the samples are read: lines without a year are of the year before it.
const NOW: &str = "2026-11-21T12:00:00Z";

/// Where the samples were written, in place of the host's zone.
const ZONE: &str = "Europe/Berlin";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    summary: String,
    paths: Vec<String>,
    begins: String,
    stages: Vec<StageConfig>,
}

fn read(text: &str) -> Text {
    let tree = tailwater_yaml::read(text).unwrap();
    tailwater_yaml::shape::read(&tree).unwrap()
}

fn samples(preset: &Preset) -> PathBuf {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples");
    samples.join(preset.name)
}

fn now() -> TimestampNs {
    let now: jiff::Timestamp = NOW.parse().unwrap();
    TimestampNs(now.as_nanosecond().try_into().unwrap())
}

/// Writes a record as `expected.ndjson` has it, its keys in order.
fn write_record(out: &mut String, record: &Processed<'_>) {
    let time = jiff::Timestamp::from_nanosecond(record.timestamp.0.into()).unwrap();
    let labels: BTreeMap<&str, &str> = record.labels.iter().collect();
    let metadata: BTreeMap<&str, &str> = record.metadata.iter().copied().collect();
    let quoted = |text: &str| serde_json::to_string(text).unwrap();
    write!(out, r#"{{"lines":{},"timestamp":"#, record.lines).unwrap();
    if record.timestamp == now() {
        out.push_str("null");
    } else {
        out.push_str(&quoted(&time.to_string()));
    }
    let level = record
        .severity
        .map(|severity| quoted(&severity.to_string()));
    let level = level.unwrap_or_else(|| "null".to_owned());
    let (labels, metadata) = (
        serde_json::to_string(&labels).unwrap(),
        serde_json::to_string(&metadata).unwrap(),
    );
    let line = quoted(&String::from_utf8_lossy(record.line));
    writeln!(
        out,
        r#","level":{level},"labels":{labels},"metadata":{metadata},"line":{line}}}"#
    )
    .unwrap();
}

/// Sends the lines of a text through a preset's stages.
fn run(preset: &Preset, input: &[u8]) -> String {
    let text = preset
        .text
        .replace("location: Local", &format!("location: {ZONE}"));
    let stages = Stages::compile(&read(&text).stages);
    let mut worker = stages
        .unwrap_or_else(|error| panic!("{}: {error}", preset.name))
        .worker();
    let labels = LabelSet::new([("job", "sample")]).unwrap();
    let mut out = String::new();
    let mut emit = |outcome: Outcome<'_>| match outcome {
        Outcome::Record(record) => write_record(&mut out, &record),
        Outcome::Dropped(dropped) => panic!("{} drops: {dropped:?}", preset.name),
    };
    let mut start = 0;
    for line in input.split_inclusive(|byte| *byte == b'\n') {
        let end = start + u64::try_from(line.len()).unwrap();
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let entry = Entry {
            file: FileId(1),
            seed: 0,
            span: Span { start, end },
            line: line.strip_suffix(b"\r").unwrap_or(line),
            timestamp: now(),
            labels: &labels,
        };
        worker.process(&entry, &mut emit);
        start = end;
    }
    worker.finish(FileId(1), &mut emit);
    out
}

#[test]
fn every_preset_makes_of_its_samples_what_is_expected() {
    let mut failed = String::new();
    for preset in all() {
        let samples = samples(preset);
        let input = std::fs::read(samples.join("input.log"))
            .unwrap_or_else(|error| panic!("{} has no samples: {error}", preset.name));
        let lines = input.split(|byte| *byte == b'\n').count();
        assert!(lines > 10, "{} has too few samples", preset.name);
        let expected = std::fs::read_to_string(samples.join("expected.ndjson"));
        let found = run(preset, &input);
        if found != expected.unwrap_or_default() {
            write!(failed, "==== {}\n{found}", preset.name).unwrap();
        }
    }
    assert!(
        failed.is_empty(),
        "these make something else:\n{failed}===="
    );
}

#[test]
fn every_preset_is_what_the_crate_says_of_its_text() {
    for preset in all() {
        let text = read(preset.text);
        assert_eq!(text.summary, preset.summary, "{}", preset.name);
        assert!(!text.stages.is_empty(), "{}", preset.name);
        let is_lower = |byte: u8| byte.is_ascii_lowercase() || b"_0123456789".contains(&byte);
        assert!(preset.name.bytes().all(is_lower), "{}", preset.name);
        assert!(
            text.paths.iter().all(|path| path.starts_with('/')),
            "{}",
            preset.name
        );
        let begins = Expression::new(&text.begins, "begins");
        assert!(begins.is_ok(), "{}: {begins:?}", preset.name);
        // `tailwater presets NAME` prints what follows.
        assert!(preset.text.contains("\nstages:\n"), "{}", preset.name);
    }
}

#[test]
fn an_entry_begins_where_its_group_begins() {
    for preset in all() {
        let text = read(preset.text);
        let begins = Expression::new(&text.begins, "begins").unwrap();
        let input = std::fs::read(samples(preset).join("input.log")).unwrap();
        let lines = input.split(|byte| *byte == b'\n');
        let firsts: Vec<&[u8]> = lines.filter(|line| begins.is_match(line)).collect();
        assert!(firsts.len() > 4, "{}", preset.name);
        for stage in &text.stages {
            if let StageConfig::Multiline(multiline) = stage {
                let group = Expression::new(&multiline.firstline, "firstline").unwrap();
                let strays = firsts.iter().filter(|line| !group.is_match(line));
                assert_eq!(strays.count(), 0, "{}", preset.name);
            }
        }
    }
}

#[test]
fn a_time_that_cannot_be_read_is_never_guessed() {
    for preset in all() {
        for stage in read(preset.text).stages {
            if let StageConfig::Timestamp(timestamp) = stage {
                let action = timestamp.action_on_failure.as_deref();
                assert_eq!(action, Some("skip"), "{}", preset.name);
            }
        }
    }
}

#[test]
fn no_preset_loses_a_byte_of_garbage() {
    let garbage =
        b"\xff\xfe\x00binary\x1b[2J\n\n  \n{\n\"\n=\n<\n[\n%!s(MISSING)\n\r\n- -\n".as_slice();
    for preset in all() {
        let records = run(preset, garbage);
        let count: u64 = records
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .inspect(|record| assert!(record["timestamp"].is_null(), "{}: {record}", preset.name))
            .map(|record| record["lines"].as_u64().unwrap())
            .sum();
        assert_eq!(count, 11, "{}: {records}", preset.name);
    }
}

#[test]
fn every_folder_of_samples_has_a_preset() {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("samples");
    for folder in std::fs::read_dir(samples).unwrap() {
        let name = folder.unwrap().file_name().into_string().unwrap();
        assert!(find(&name).is_some(), "{name}");
    }
}
