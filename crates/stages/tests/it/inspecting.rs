//! What an inspector is told.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use tailwater_record::{FileId, LabelSet, Span, TimestampNs};
use tailwater_stages::{Change, Entry, Fate, Inspector, Outcome, StageConfig, Stages};

#[derive(Debug, Default)]
struct Told(Mutex<String>);

impl Inspector for Told {
    fn step(&self, stage: &str, changes: &[Change], fate: Fate) {
        let mut told = self.0.lock().unwrap();
        writeln!(told, "{stage}: {fate:?}").unwrap();
        for Change {
            what,
            before,
            after,
        } in changes
        {
            writeln!(told, "  {what}: {before:?} -> {after:?}").unwrap();
        }
    }
}

/// Returns what the inspector is told of some lines, and the lines that leave the stages.
fn inspect(stages: &serde_json::Value, lines: &[&str]) -> (String, Vec<String>) {
    let stages: Vec<StageConfig> = serde_json::from_value(stages.clone()).unwrap();
    let told = Arc::new(Told::default());
    let inspector: Arc<dyn Inspector> = Arc::<Told>::clone(&told);
    let stages = Stages::compile(&stages).unwrap().inspected(&inspector);
    let mut worker = stages.worker();
    let labels = LabelSet::new([("job", "a")]).unwrap();
    let mut left = Vec::new();
    let mut keep = |outcome: Outcome<'_>| {
        if let Outcome::Record(record) = outcome {
            left.push(String::from_utf8(record.line.to_vec()).unwrap());
        }
    };
    for (number, line) in (0_u64..).zip(lines) {
        let entry = Entry {
            file: FileId(1),
            seed: 1,
            span: Span {
                start: number * 100,
                end: number * 100 + 100,
            },
            line: line.as_bytes(),
            timestamp: TimestampNs(1_000_000_000),
            labels: &labels,
        };
        worker.process(&entry, &mut keep);
    }
    worker.finish(FileId(1), &mut keep);
    drop(worker);
    let told = told.0.lock().unwrap().clone();
    (told, left)
}

#[test]
fn every_stage_tells_what_it_has_changed() {
    let stages = serde_json::json!([
        { "json": { "expressions": { "level": "", "n": "", "text": "msg" } } },
        { "labels": { "level": "" } },
        { "labeldrop": ["job"] },
        { "timestamp": { "source": "n", "format": "Unix" } },
        { "output": { "source": "text" } },
        { "drop": { "expression": "^never$" } },
    ]);
    let (told, left) = inspect(&stages, &[r#"{"level":"warn","n":2.5,"msg":"hello"}"#]);
    assert_eq!(
        told,
        r#"json: GoesOn
  Extracted["level"]: None -> Some("warn")
  Extracted["n"]: None -> Some("2.5")
  Extracted["text"]: None -> Some("hello")
labels: GoesOn
  Entry.Labels["level"]: None -> Some("warn")
labeldrop: GoesOn
  Entry.Labels["job"]: Some("a") -> None
timestamp: GoesOn
  Entry.Entry.Timestamp: Some("1970-01-01T00:00:01Z") -> Some("1970-01-01T00:00:02.5Z")
output: GoesOn
  Entry.Entry.Line: Some("{\"level\":\"warn\",\"n\":2.5,\"msg\":\"hello\"}") -> Some("hello")
drop: GoesOn
"#
    );
    assert_eq!(left, ["hello"]);
}

#[test]
fn stages_that_drop_hold_and_nest_do_so_as_when_nobody_looks() {
    let stages = serde_json::json!([
        { "multiline": { "firstline": "^\\[" } },
        { "match": { "selector": "{job=\"a\"} |= \"bad\"", "action": "drop" } },
        { "match": { "selector": "{job=\"b\"}", "stages": [{ "static_labels": { "x": "y" } }] } },
    ]);
    let (told, left) = inspect(&stages, &["[1", " more", "[2 bad", "[3"]);
    assert_eq!(left, ["[1\n more", "[3"]);
    assert!(told.contains("multiline: IsHeld"), "{told}");
    assert!(told.contains("match: IsDropped"), "{told}");
    assert!(!told.contains("static_labels"), "{told}");
}
