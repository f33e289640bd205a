//! `logfmt`: no line is lost or changed, and a pair written by the rules is found.

use std::sync::LazyLock;

use tailwater_stages::Stages;

use crate::{input, pass};

static STAGES: LazyLock<Stages> = LazyLock::new(|| {
    pass::list("- logfmt: { mapping: { a: , b: level, m: msg } }\n- labels: { a: , b: , m: }")
});

pub(crate) fn run(bytes: &[u8]) {
    let passed = pass::lines(&STAGES, &pass::labels(None), input::lines(bytes));
    for (record, line) in passed.records.iter().zip(input::lines(bytes)) {
        assert_eq!(record.line, line);
    }
    let (line, _) = input::line(bytes);
    if let Ok(value) = std::str::from_utf8(line) {
        check_written(value);
    }
}

/// Any text is found again under the key that it is written with.
fn check_written(value: &str) {
    let mut quoted = String::new();
    for character in value.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            _ => quoted.push(character),
        }
    }
    let line = format!("x=1 level=\"{quoted}\" y=");
    let passed = pass::one(&STAGES, line.as_bytes());
    let record = passed.only().expect("nothing is dropped");
    assert_eq!(record.label("b"), Some(value));
}
