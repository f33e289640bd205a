//! `match`.

use crate::kit::*;

/// Whether a selector chooses the line `foo` with the label foo="bar".
fn chooses(selector: &str) -> bool {
    let yaml = format!("- match: {{ selector: '{selector}', action: drop }}");
    let mut run = Run::new(&yaml).labels(&[("foo", "bar")]);
    run.line("foo");
    !run.dropped.is_empty()
}

/// Case 9: what chooses, what does not.
#[test]
fn selectors_choose_by_labels_and_line() {
    for selector in [
        r#"{foo="bar"} |= "foo""#,
        r#"{foo="bar"}"#,
        r#"{foo=~"ba.*"}"#,
        r#"{foo!="x"}"#,
        r#"{foo!~"x.*"}"#,
        r#"{other=""}"#,
        r#"{foo="bar"} != "bar""#,
        r#"{foo="bar"} |~ "^f""#,
        r#"{foo="bar"} !~ "o{3}""#,
        r#"{foo="bar",other!="x"} |= "f" |= "o""#,
    ] {
        assert!(chooses(selector), "{selector}");
    }
    for selector in [
        r#"{foo="bar"} |= "bar""#,
        r#"{foo!="bar"}"#,
        r#"{foo=""}"#,
        r#"{foo=~"b"}"#,
        r#"{foo=~"a.*"}"#,
        r#"{foo!~"bar|x"}"#,
        r#"{other="x"}"#,
        r#"{foo="bar"} != "foo""#,
        r#"{foo="bar"} |~ "^o""#,
        r#"{foo="bar"} !~ "oo""#,
        r#"{foo="bar",other="x"}"#,
    ] {
        assert!(!chooses(selector), "{selector}");
    }
}

/// Case 9: a label that is missing is empty.
#[test]
fn a_missing_label_is_an_empty_one() {
    let yaml = "- match: { selector: '{foo=\"\"}', stages: [ { static_labels: { hit: yes } } ] }";
    assert_eq!(one(yaml, "x").label("hit"), Some("yes"));
}

/// Case 9: what is refused.
#[test]
fn selectors_that_cannot_work_are_refused() {
    for selector in [
        "{}",
        "foo",
        "{",
        "",
        r#"{foo="bar"} |= "foo" | status >= 200"#,
        r#"{foo="bar"} !~ "[]""#,
    ] {
        let error = compile_error(&format!(
            "- match: {{ selector: '{selector}', action: drop }}"
        ));
        assert_eq!(error.path(), "[0].match.selector", "{selector}");
    }
}

#[test]
fn nested_stages_run_for_chosen_lines_alone() {
    let yaml = "- match: { selector: '{job=\"test\"} |= \"json\"', pipeline_name: n, stages: [ { regex: { expression: '(?P<a>\\d+)' } }, { labels: { a: } } ] }\n- static_labels: { behind: yes }";
    let mut run = Run::new(yaml);
    run.line("json 12").line("text 13");
    assert_eq!(run.records[0].label("a"), Some("12"));
    assert_eq!(run.records[1].label("a"), None);
    assert!(
        run.records
            .iter()
            .all(|record| record.label("behind") == Some("yes"))
    );
}

#[test]
fn a_nested_pipeline_starts_with_the_labels_as_extracted_values() {
    // The value of the line is replaced by that of the label when the nested stages start.
    let yaml = "- json: { expressions: { job: } }\n- match: { selector: '{job=\"test\"}', stages: [ { output: { source: job } } ] }";
    assert_eq!(one(yaml, r#"{"job":"from the line"}"#).line, "test");
    let yaml = "- json: { expressions: { job: } }\n- output: { source: job }";
    assert_eq!(
        one(yaml, r#"{"job":"from the line"}"#).line,
        "from the line"
    );
}

#[test]
fn extracted_values_of_nested_stages_stay() {
    let yaml = "- match: { selector: '{job=\"test\"}', stages: [ { regex: { expression: '(?P<a>x)' } } ] }";
    assert_eq!(extracted(yaml, "a", "x").unwrap(), "x");
}

#[test]
fn matches_can_stand_within_each_other() {
    let yaml = r#"
- match:
    selector: '{job="test"}'
    stages:
    - static_labels: { level: one }
    - match:
        selector: '{level="one"} |= "a"'
        stages:
        - static_labels: { level: two }
        - match: { selector: '{level="two"} |= "ab"', action: drop, drop_counter_reason: deep }
    - static_labels: { outer: yes }
"#;
    let mut run = Run::new(yaml);
    run.line("ab").line("a").line("b");
    assert_eq!(run.dropped, [("deep".to_owned(), 1)]);
    let levels: Vec<_> = run
        .records
        .iter()
        .map(|record| record.label("level").unwrap())
        .collect();
    assert_eq!(levels, ["two", "one"]);
    assert!(
        run.records
            .iter()
            .all(|record| record.label("outer") == Some("yes"))
    );
}

#[test]
fn line_filters_see_the_line_of_that_moment() {
    let yaml = "- json: { expressions: { m: } }\n- output: { source: m }\n- match: { selector: '{job=\"test\"} |= \"{\"', action: drop }";
    assert_eq!(one(yaml, r#"{"m":"text"}"#).line, "text");
}

#[test]
fn dropped_lines_have_a_reason() {
    let mut run = Run::new("- match: { selector: '{job=\"test\"}', action: drop }");
    run.line("x");
    assert_eq!(run.dropped, [("match_stage".to_owned(), 1)]);
}

#[test]
fn actions_and_stages_must_fit() {
    let refused = |settings: &str| {
        compile_error(&format!(
            "- match: {{ selector: '{{a=\"b\"}}', {settings} }}"
        ))
        .path()
        .to_owned()
    };
    assert_eq!(refused("action: keep"), "[0].match.stages");
    assert_eq!(
        refused("action: drop, stages: [ { cri: {} } ]"),
        "[0].match.stages"
    );
    assert_eq!(
        refused("action: other, stages: [ { cri: {} } ]"),
        "[0].match.action"
    );
    assert_eq!(
        refused("action: drop, pipeline_name: ''"),
        "[0].match.pipeline_name"
    );
}

#[test]
fn a_group_within_match_goes_on_behind_it() {
    let yaml = "- match: { selector: '{job=\"test\"}', stages: [ { multiline: { firstline: '^S' } }, { static_labels: { in: yes } } ] }\n- static_labels: { behind: yes }";
    let mut run = Run::new(yaml);
    run.line("S 1").line("more").line("S 2").finish();
    assert_eq!(run.lines(), ["S 1\nmore", "S 2"]);
    for record in &run.records {
        assert_eq!(
            (record.label("in"), record.label("behind")),
            (Some("yes"), Some("yes"))
        );
    }
}
