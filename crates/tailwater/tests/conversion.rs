//! What Promtail's configuration says and what its conversion says come to the same.

#![expect(
    clippy::unwrap_used,
    reason = "functions of tests outside of `#[test]`"
)]

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::{Value, json};
use tailwater_promtail::{Flags, Host};
use tailwater_record::{FileId, LabelSet, Span, TimestampNs};
use tailwater_stages::{Entry, Outcome, StageConfig, Stages};

const START_NS: u64 = 1_767_225_600_000_000_000;

/// Returns the stages that run once a configuration of Promtail is converted.
fn converted(stages: &[Value]) -> Option<Arc<Stages>> {
    let text = json!({
        "clients": [{ "url": "http://127.0.0.1:3100/loki/api/v1/push" }],
        "positions": { "filename": "/tmp/positions.yaml" },
        "scrape_configs": [{
            "job_name": "app",
            "pipeline_stages": stages,
            "static_configs": [{
                "targets": ["localhost"],
                "labels": { "job": "app", "__path__": "/var/log/app.log" },
            }],
        }],
    });
    let host = Host {
        name: "web-7".to_owned(),
        ..Host::default()
    };
    let flags = Flags::parse(["-config.file=promtail.yaml"]).unwrap();
    let loaded = tailwater_promtail::load_text(&text.to_string(), None, &flags, &host).unwrap();
    let native = tailwater_promtail::convert(&loaded, &loaded.targets());
    // Variables of the environment are no part of what Promtail's file says.
    let variables = HashMap::from([("1".to_owned(), "variable".to_owned())]);
    let config = tailwater::config::parse(&native.text, "native", None, &variables);
    let config = config.unwrap_or_else(|error| panic!("{error}\n{}", native.text));
    config.engine.sources.first().unwrap().stages.clone()
}

/// Returns the stages as they are written.
fn written(stages: &[Value]) -> Stages {
    let list = stages
        .iter()
        .map(|stage| serde_json::from_value::<StageConfig>(stage.clone()).unwrap());
    Stages::compile(&list.collect::<Vec<_>>()).unwrap()
}

/// What became of some lines: of a record its parts, of a dropped line the reason.
fn run(stages: &Stages, lines: &[String]) -> Vec<String> {
    let labels = LabelSet::new([("filename", "/var/log/app.log"), ("job", "app")]).unwrap();
    let mut worker = stages.worker();
    let mut outcomes = Vec::new();
    let mut note = |outcome: Outcome<'_>| {
        outcomes.push(match outcome {
            Outcome::Dropped(dropped) => format!("dropped: {}", dropped.reason),
            Outcome::Record(record) => {
                let labels: BTreeMap<&str, &str> = record.labels.iter().collect();
                let line = String::from_utf8_lossy(record.line);
                format!(
                    "{line:?} {} {labels:?} {:?} {:?} {}",
                    record.timestamp.0, record.metadata, record.tenant, record.lines
                )
            }
        });
    };
    let (mut offset, mut timestamp) = (0, START_NS);
    for line in lines {
        let end = offset + line.len() as u64 + 1;
        timestamp += 1_000_000;
        let entry = Entry {
            file: FileId(1),
            seed: 7,
            span: Span { start: offset, end },
            line: line.as_bytes(),
            timestamp: TimestampNs(timestamp),
            labels: &labels,
        };
        worker.process(&entry, &mut note);
        offset = end;
    }
    worker.flush(TimestampNs(timestamp + 10_000_000_000), &mut note);
    worker.finish(FileId(1), &mut note);
    outcomes
}

/// Texts that YAML, variables and expressions read in ways of their own.
fn awkward() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "plain",
        "${1}",
        "$1",
        "$$",
        "${NAME:-x}",
        "a: b",
        "# no comment",
        "- item",
        "yes",
        "null",
        "~",
        "0x10",
        "1e3",
        "it's",
        "\"quoted\"",
        "tab\there",
        "line\nbreak",
        " leading and trailing ",
        "{curly}",
        "[square]",
        "&anchor",
        "*alias",
        "!tag",
        "%percent",
        "@at",
        "`tick`",
        "ümläut",
        "\u{1f600}",
        "\\d+\\s*",
        "{{ .Value }}",
        "",
    ])
    .prop_map(str::to_owned)
}

fn name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["level", "user", "status", "msg", "time", "app"])
}

fn leaf_stage() -> impl Strategy<Value = Value> {
    prop_oneof![
        name().prop_map(|name| json!({ "json": { "expressions": { name: null, "time": "time" } } })),
        name().prop_map(|name| json!({ "logfmt": { "mapping": { name: null } } })),
        (name(), awkward()).prop_map(|(name, text)| {
            let literal = regex_escape(&text);
            json!({ "regex": { "expression": format!("(?P<{name}>{literal}|\\w+)") } })
        }),
        (awkward(), awkward()).prop_map(|(text, with)| {
            let literal = regex_escape(&text);
            json!({ "replace": { "expression": format!("({literal})x?"), "replace": no_template(&with) } })
        }),
        (name(), awkward()).prop_map(|(name, text)| {
            json!({ "template": { "source": name, "template": format!("{}{{{{ .Value }}}}", no_template(&text)) } })
        }),
        (name(), awkward()).prop_map(|(name, value)| json!({ "static_labels": { name: value } })),
        name().prop_map(|name| json!({ "labels": { name: null } })),
        name().prop_map(|name| json!({ "labeldrop": [name] })),
        name().prop_map(|name| json!({ "labelallow": [name, "job"] })),
        name().prop_map(|name| json!({ "structured_metadata": { name: null } })),
        name().prop_map(|name| json!({ "output": { "source": name } })),
        name().prop_map(|name| json!({ "tenant": { "source": name } })),
        (name(), awkward()).prop_map(|(name, value)| {
            json!({ "drop": { "source": name, "value": value, "drop_counter_reason": "why" } })
        }),
        Just(json!({ "drop": { "longer_than": "64b" } })),
        Just(json!({ "timestamp": { "source": "time", "format": "RFC3339" } })),
        Just(json!({ "multiline": { "firstline": "^\\S", "max_lines": 3 } })),
        Just(json!({ "cri": {} })),
        Just(json!({ "docker": {} })),
        Just(json!({ "pack": { "labels": ["job"], "ingest_timestamp": false } })),
        Just(json!({ "decolorize": {} })),
        Just(json!({ "sampling": { "rate": 0.5 } })),
        Just(json!({ "limit": { "rate": 1000, "burst": 5, "drop": true } })),
    ]
}

fn stage() -> impl Strategy<Value = Value> {
    let nested = prop::collection::vec(leaf_stage(), 1..3);
    let selected = (nested, awkward()).prop_map(|(stages, text)| {
        let filter = text
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n");
        let selector = format!("{{job=\"app\"}} != \"{}\"", filter.replace('\t', "\\t"));
        json!({ "match": { "selector": selector, "stages": stages } })
    });
    prop_oneof![5 => leaf_stage(), 1 => selected]
}

fn regex_escape(text: &str) -> String {
    let is_plain = |letter: char| letter.is_alphanumeric() || letter == ' ';
    text.chars().fold(String::new(), |mut escaped, letter| {
        if !is_plain(letter) && letter.is_ascii() && !letter.is_control() {
            escaped.push('\\');
        }
        escaped.push(letter);
        escaped
    })
}

fn no_template(text: &str) -> String {
    text.replace("{{", "{").replace("}}", "}")
}

fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        (awkward(), 0..600_u32).prop_map(|(text, status)| {
            json!({ "level": "warn", "user": text, "status": status, "msg": "m", "time": "2026-01-02T03:04:05Z" })
                .to_string()
        }),
        (awkward(), 0..9_u32).prop_map(|(text, n)| format!("level=info user={n} msg=\"{text}\"").replace('\n', " ")),
        awkward().prop_map(|text| format!("2026-01-02T03:04:05.5Z stdout P {text}").replace('\n', " ")),
        awkward().prop_map(|text| format!("2026-01-02T03:04:05.5Z stderr F {text}").replace('\n', " ")),
        awkward().prop_map(|text| format!("  {text}").replace('\n', " ")),
        awkward().prop_map(|text| text.replace('\n', " ")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn stages_of_promtail_and_of_its_conversion_give_equal_records(
        stages in prop::collection::vec(stage(), 1..6),
        lines in prop::collection::vec(line(), 1..20),
    ) {
        let expected = run(&written(&stages), &lines);
        let found = converted(&stages).expect("a list that is not empty");
        prop_assert_eq!(run(&found, &lines), expected);
    }
}
