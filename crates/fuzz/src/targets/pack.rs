//! `pack`: what comes out is JSON that holds the line and the labels as they were.

use std::sync::LazyLock;

use serde_json::Value;
use tailwater_stages::Stages;

use crate::{input, pass};

static STAGES: LazyLock<Stages> = LazyLock::new(|| {
    pass::list("- pack: { labels: [ v, job, missing ], ingest_timestamp: false }")
});

pub(crate) fn run(bytes: &[u8]) {
    let Some((value, line)) = input::text_line(bytes) else {
        return;
    };
    let labels = pass::labels(Some(value));
    let passed = pass::lines(&STAGES, &labels, std::iter::once(line));
    let record = passed.only().expect("nothing is dropped");
    let packed: Value = serde_json::from_slice(&record.line).expect("it is JSON");
    let field = |name: &str| packed.get(name).and_then(Value::as_str).map(str::to_owned);
    assert_eq!(field("_entry"), Some(lossy(line)));
    assert_eq!(field("v").as_deref(), Some(value));
    assert_eq!(field("job").as_deref(), Some("test"));
    assert!(record.labels.is_empty(), "{:?}", record.labels);
}

/// The text with a replacement character for each stretch that is not UTF-8.
fn lossy(line: &[u8]) -> String {
    String::from_utf8_lossy(line).into_owned()
}
