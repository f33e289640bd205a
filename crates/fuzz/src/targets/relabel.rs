//! `relabel_configs`: rules over labels. A rule is seven lines: action, source labels, separator, regex,
//! replacement, target label and modulus; an empty one is left out.
//!
//! Whatever they do, a target that is left has a path and no label of Promtail's own.

use serde_json::{Map, Value, json};
use tailwater_promtail::{Flags, Host, load_text};

/// What the lines of a rule mean.
const KEYS: [&str; 7] = [
    "action",
    "source_labels",
    "separator",
    "regex",
    "replacement",
    "target_label",
    "modulus",
];

/// Rules of one input.
const MAX_RULES: usize = 8;

pub(crate) fn run(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    let lines: Vec<&str> = text.split('\n').take(MAX_RULES * KEYS.len()).collect();
    let rules: Vec<Value> = lines.chunks(KEYS.len()).map(rule).collect();
    let labels = json!({
        "__path__": "/var/log/*.log", "job": "web", "app_kubernetes_io_name": "shop", "empty": "",
        "unicode": "\u{e9}\u{1f980}",
    });
    let config = json!({
        "clients": [{"url": "http://127.0.0.1/"}],
        "scrape_configs": [{
            "job_name": "fuzz",
            "static_configs": [{"targets": ["one", "two"], "labels": labels}],
            "relabel_configs": rules,
        }],
    });
    let flags = Flags::default();
    let Ok(loaded) = load_text(&config.to_string(), None, &flags, &Host::default()) else {
        return;
    };
    let found = loaded.targets();
    assert_eq!(found, loaded.targets());
    assert_eq!(found.targets.len() + found.dropped.len(), 2);
    for target in &found.targets {
        let mut names = target.labels.iter().map(|(name, _)| name);
        assert!(names.all(|name| !name.starts_with("__")), "{target:?}");
    }
}

fn rule(lines: &[&str]) -> Value {
    let written = KEYS.iter().zip(lines).filter(|(_, line)| !line.is_empty());
    let entry = |(key, line): (&&str, &&str)| {
        let value = match *key {
            "source_labels" => line.split(',').map(Value::from).collect(),
            "modulus" => line.parse::<u64>().map_or(Value::Null, Value::from),
            _ => Value::from(*line),
        };
        ((*key).to_owned(), value)
    };
    Value::Object(written.map(entry).collect::<Map<_, _>>())
}
