//! `json` with paths of keys: it takes what another parser takes, and finds the same values.

use std::sync::LazyLock;

use serde::de::IgnoredAny;
use serde_json::Value;
use tailwater_stages::Stages;

use crate::pass::{self, Record};

static STAGES: LazyLock<Stages> = LazyLock::new(|| {
    pass::list(
        r#"
- json: { drop_malformed: true, expressions: { a: , b: a.b, c: 'd."e f"', g: '"é".g.g' } }
- labels: { a: , b: , c: , g: }
"#,
    )
});

const PATHS: [(&str, &[&str]); 4] = [
    ("a", &["a"]),
    ("b", &["a", "b"]),
    ("c", &["d", "e f"]),
    ("g", &["é", "g", "g"]),
];

/// Containers within each other that the stage reads.
const MAX_DEPTH: usize = 10_000;

pub(crate) fn run(bytes: &[u8]) {
    let passed = pass::one(&STAGES, bytes);
    let Some(record) = passed.only() else {
        let is_json = serde_json::from_slice::<IgnoredAny>(bytes).is_ok();
        let opens_object = bytes.trim_ascii_start().starts_with(b"{");
        let opened = bytes.iter().filter(|byte| b"[{".contains(byte)).count();
        // A number that no float holds is malformed as well.
        let may_be_refused = !opens_object || opened >= MAX_DEPTH || has_long_number(bytes);
        assert!(!is_json || may_be_refused, "a JSON object was dropped");
        return;
    };
    assert_eq!(record.line, bytes, "the line stays as it is");
    let taken = serde_json::from_slice::<IgnoredAny>(bytes);
    assert!(taken.is_ok(), "taken for JSON, which it is not: {taken:?}");
    if let Ok(object @ Value::Object(_)) = serde_json::from_slice(bytes) {
        PATHS
            .iter()
            .for_each(|(label, path)| check(record, label, find(&object, path)));
    }
}

/// Whether it may hold a number beyond the range of floats.
fn has_long_number(bytes: &[u8]) -> bool {
    let mut digits = bytes.split(|byte| !byte.is_ascii_digit());
    bytes.iter().any(|byte| b"eE".contains(byte)) || digits.any(|digits| digits.len() > 300)
}

fn find<'v>(object: &'v Value, path: &[&str]) -> Option<&'v Value> {
    path.iter().try_fold(object, |value, key| value.get(key))
}

fn check(record: &Record, label: &str, value: Option<&Value>) {
    let found = record.label(label);
    match value {
        None | Some(Value::Null) => assert_eq!(found, None, "{label}"),
        Some(Value::Bool(value)) => assert_eq!(found, Some(&*value.to_string()), "{label}"),
        Some(Value::String(text)) => assert_eq!(found, Some(text.as_str()), "{label}"),
        Some(Value::Number(number)) => {
            let found: f64 = found.and_then(|text| text.parse().ok()).expect("a number");
            let expected = number.as_f64().unwrap_or(f64::NAN);
            let error = (found - expected).abs();
            assert!(error <= expected.abs() * 1e-12, "{found} for {expected}");
        }
        Some(container @ (Value::Array(_) | Value::Object(_))) => {
            let text = found.expect("a container is written anew");
            let again: Value = serde_json::from_str(text).expect("what was written is JSON");
            assert!(is_alike(&again, container), "{label}: {text}");
        }
    }
}

/// Compares shapes and texts, and takes numbers as they come: they are written as floats.
fn is_alike(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(_), Value::Number(_)) => true,
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(a, b)| is_alike(a, b))
        }
        (Value::Object(one), Value::Object(other)) => {
            let alike = |(key, value)| other.get(key).is_some_and(|other| is_alike(value, other));
            one.len() == other.len() && one.iter().all(alike)
        }
        (one, other) => one == other,
    }
}
