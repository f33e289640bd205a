//! What a list of stages must be.

use tailwater_stages::{StageConfig, Stages};

use crate::kit::*;

#[test]
fn every_stage_is_read_as_promtail_writes_it() {
    let yaml = r#"
- docker: {}
- cri:
- json: { expressions: { a: , b: c }, source: x, drop_malformed: true }
- logfmt: { mapping: { a: } }
- regex: { expression: '(?P<a>.*)' }
- replace: { expression: '(.*)', replace: '{{ .Value }}' }
- template: { source: a, template: '{{ .Value }}' }
- timestamp: { source: a, format: RFC3339, location: Etc/UTC, action_on_failure: skip }
- output: { source: a }
- labels: { a: , b: c }
- labelallow: [ a ]
- labeldrop: [ a ]
- static_labels: { a: b }
- structured_metadata: { a: }
- metrics: { m: { type: Counter, source: a, config: { action: inc } } }
- tenant: { value: a }
- match: { selector: '{a="b"}', stages: [ { decolorize: {} } ] }
- multiline: { firstline: '^a', max_wait_time: 3s, max_lines: 10 }
- pack: { labels: [ a ] }
- limit: { rate: 10, burst: 10 }
- sampling: { rate: 0.1 }
- drop: { source: [ a, b ], older_than: 24h, longer_than: 8kb }
- decolorize:
- eventlogmessage: {}
"#;
    let configured = stages(yaml);
    assert_eq!(configured.len(), 24);
    let compiled = Stages::compile(&configured).unwrap();
    assert!(!compiled.is_empty());
    assert!(compiled.drop_reasons().any(|reason| reason == "drop_stage"));
}

#[test]
fn settings_that_promtail_reads_weakly_may_stand_in_quotes() {
    let weak = r#"
- multiline: { firstline: '^a', max_lines: "10" }
- pack: { labels: pod, ingest_timestamp: "false" }
- limit: { rate: "2.5", burst: "20", drop: "true", by_label_name: a, max_distinct_labels: "20000" }
- limit: { rate: 10, burst: 10, drop: '' }
- sampling: { rate: "0.5" }
- drop: { source: a, value: 404, longer_than: 8192 }
"#;
    let strict = r#"
- multiline: { firstline: '^a', max_lines: 10 }
- pack: { labels: [ pod ], ingest_timestamp: false }
- limit: { rate: 2.5, burst: 20, drop: true, by_label_name: a, max_distinct_labels: 20000 }
- limit: { rate: 10, burst: 10, drop: false }
- sampling: { rate: 0.5 }
- drop: { source: [ a ], value: "404", longer_than: "8192" }
"#;
    assert_eq!(stages(weak), stages(strict));
    for bad in [
        "- multiline: { firstline: '^a', max_lines: many }",
        "- multiline: { firstline: '^a', max_lines: '-1' }",
        "- multiline: { firstline: '^a', max_lines: -1 }",
        "- pack: { labels: { a: b } }",
        "- pack: { ingest_timestamp: maybe }",
        "- limit: { rate: fast, burst: 1 }",
        "- limit: { rate: 1, burst: 0.5 }",
        "- limit: { rate: 1, burst: }",
        "- limit: { burst: 1 }",
        "- sampling: { rate: [ 1 ] }",
    ] {
        assert!(
            serde_saphyr::from_str::<Vec<StageConfig>>(bad).is_err(),
            "{bad}"
        );
    }
}

#[test]
fn an_empty_list_passes_lines_through() {
    let compiled = Stages::compile(&[]).unwrap();
    assert!(compiled.is_empty());
    assert_eq!(one("[]", "line\u{0}").line, "line\u{0}");
}

#[test]
fn unknown_stages_and_keys_and_stages_with_two_names_are_refused() {
    for yaml in [
        "- unknown: {}",
        "- cri: { unknown: 1 }",
        "- { cri: {}, docker: {} }",
        "- regex: {}",
        "- match: { selector: '{a=\"b\"}', stages: [ { unknown: {} } ] }",
    ] {
        assert!(
            serde_saphyr::from_str::<Vec<StageConfig>>(yaml).is_err(),
            "{yaml}"
        );
    }
}

/// Checks the place of the refusal, and that it says what is wrong and what to do.
fn refuses(yaml: &str, path: &str) {
    let error = compile_error(yaml);
    assert_eq!(error.path(), path, "{yaml}");
    assert!(!error.problem().is_empty() && !error.hint().is_empty());
    let text = error.to_string();
    assert!(
        text.starts_with("cannot use stage [") && !text.ends_with('.'),
        "{text}"
    );
}

#[test]
fn mistakes_of_parsers_are_named_by_their_place() {
    for (yaml, path) in [
        ("- regex: { expression: '(' }", "[0].regex.expression"),
        (
            "- cri: {}\n- json: { expressions: { a: 'b[' } }",
            "[1].json.expressions.a",
        ),
        ("- json: { expressions: {} }", "[0].json"),
        (
            "- json: { expressions: { a: }, source: '' }",
            "[0].json.source",
        ),
        ("- logfmt: { mapping: {} }", "[0].logfmt"),
        ("- labels: { 'a-b': }", "[0].labels.a-b"),
        ("- static_labels: { '1': x }", "[0].static_labels.1"),
        (
            "- structured_metadata: { 'a b': }",
            "[0].structured_metadata.a b",
        ),
        ("- labelallow: []", "[0].labelallow"),
        (
            "- timestamp: { source: t, format: yyyy-MM-dd }",
            "[0].timestamp.format",
        ),
        (
            "- timestamp: { source: t, format: RFC3339, location: Nowhere/City }",
            "[0].timestamp.location",
        ),
        (
            "- timestamp: { source: t, format: RFC3339, action_on_failure: x }",
            "[0].timestamp.action_on_failure",
        ),
        (
            "- timestamp: { source: t, format: Unix, fallback_formats: [ Unix, xx ] }",
            "[0].timestamp.fallback_formats[1]",
        ),
    ] {
        refuses(yaml, path);
    }
}

#[test]
fn mistakes_of_other_stages_are_named_by_their_place() {
    for (yaml, path) in [
        ("- drop: {}", "[0].drop"),
        ("- drop: { value: x }", "[0].drop.value"),
        (
            "- drop: { source: a, value: x, expression: y }",
            "[0].drop.expression",
        ),
        ("- drop: { expression: '(' }", "[0].drop.expression"),
        ("- drop: { older_than: 1d }", "[0].drop.older_than"),
        ("- drop: { longer_than: 8x }", "[0].drop.longer_than"),
        ("- multiline: { firstline: '(' }", "[0].multiline.firstline"),
        (
            "- multiline: { firstline: a, heading: '(' }",
            "[0].multiline.heading",
        ),
        (
            "- multiline: { firstline: a, max_wait_time: 3 }",
            "[0].multiline.max_wait_time",
        ),
        ("- tenant: {}", "[0].tenant"),
        ("- tenant: { value: a, source: b }", "[0].tenant"),
        ("- limit: { rate: 0, burst: 1 }", "[0].limit.rate"),
        ("- limit: { rate: 1, burst: 0 }", "[0].limit.burst"),
        (
            "- limit: { rate: 1, burst: 1, by_label_name: a }",
            "[0].limit.by_label_name",
        ),
        ("- sampling: { rate: 2 }", "[0].sampling.rate"),
        ("- replace: { expression: '(' }", "[0].replace.expression"),
        (
            "- replace: { expression: '(a)', replace: '{{' }",
            "[0].replace.replace",
        ),
        (
            "- eventlogmessage: { source: 'a b' }",
            "[0].eventlogmessage.source",
        ),
        (
            "- geoip: { db: x, source: ip, db_type: city }",
            "[0].geoip.db",
        ),
        (
            "- match: { selector: '{a=\"b\"}', stages: [ { regex: { expression: '(' } } ] }",
            "[0].match.stages[0].regex.expression",
        ),
    ] {
        refuses(yaml, path);
    }
}

#[test]
fn stages_can_be_shared_by_threads_and_a_worker_can_be_sent_to_one() {
    fn is_shared<T: Send + Sync>() {}
    fn is_sent<T: Send>() {}
    is_shared::<Stages>();
    is_sent::<tailwater_stages::Worker>();
}

#[test]
fn matches_nested_without_end_are_refused() {
    let mut stage: StageConfig = stages("- decolorize: {}").remove(0);
    for _ in 0..40 {
        let StageConfig::Match(mut outer) = stages("- match: { selector: '{a=\"b\"}' }").remove(0)
        else {
            unreachable!("it is a match");
        };
        outer.stages = vec![stage];
        stage = StageConfig::Match(outer);
    }
    let error = Stages::compile(&[stage]).unwrap_err();
    assert!(error.problem().contains("nested too deep"));
}
