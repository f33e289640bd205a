//! `drop`, `limit`, `sampling`.

use crate::kit::*;

/// Whether a `drop` with these settings drops the line, behind a `json` that extracts a, b, n, z.
fn drops(settings: &str, line: &str) -> bool {
    let yaml =
        format!("- json: {{ expressions: {{ a: , b: , n: , z: }} }}\n- drop: {{ {settings} }}");
    let mut run = Run::new(&yaml);
    run.line(line);
    assert_eq!(run.records.len() + run.dropped.len(), 1);
    !run.dropped.is_empty()
}

/// Case 10.
#[test]
fn lines_that_are_longer_are_dropped() {
    for (line, is_dropped) in [
        ("12345678901", true),
        ("1234567890", false),
        ("123456789", false),
    ] {
        assert_eq!(drops("longer_than: 10b", line), is_dropped, "{line}");
        assert_eq!(drops("longer_than: 10", line), is_dropped, "{line}");
    }
    assert!(!drops("longer_than: 8kb", &"x".repeat(8192)));
    assert!(drops("longer_than: 8kb", &"x".repeat(8193)));
}

#[test]
fn lines_whose_time_is_older_are_dropped() {
    let yaml = "- json: { expressions: { t: } }\n- timestamp: { source: t, format: RFC3339 }\n- drop: { older_than: 24h, drop_counter_reason: line_too_old }";
    let mut run = Run::new(yaml);
    run.line(r#"{"t":"2026-11-20T09:59:59Z"}"#);
    assert_eq!(run.dropped, [("line_too_old".to_owned(), 1)]);
    run.line(r#"{"t":"2026-11-20T10:00:01Z"}"#);
    assert_eq!(run.records.len(), 1);
}

#[test]
fn a_source_alone_drops_where_it_is_there_even_empty_or_null() {
    for (line, is_dropped) in [
        (r#"{"a":"x"}"#, true),
        (r#"{"a":""}"#, true),
        (r#"{"a":null}"#, true),
        ("text", false),
    ] {
        assert_eq!(drops("source: a", line), is_dropped, "{line}");
    }
    assert!(
        drops("source: a", "{}"),
        "json sets a missing key to nothing, but sets it"
    );
}

#[test]
fn of_a_list_without_a_value_all_sources_must_be_there() {
    let yaml = "- regex: { expression: '(?P<a>a)' }\n- regex: { expression: '(?P<b>b)' }\n- drop: { source: [ a, b ] }";
    for (line, is_dropped) in [("ab", true), ("a", false), ("b", false), ("", false)] {
        let mut run = Run::new(yaml);
        run.line(line);
        assert_eq!(!run.dropped.is_empty(), is_dropped, "{line}");
    }
}

#[test]
fn values_of_a_list_are_joined_and_missing_ones_skipped() {
    let line = r#"{"a":"x","z":null,"b":"y"}"#;
    assert!(drops("source: [ a, z, b ], value: 'x;y'", line));
    assert!(!drops("source: [ a, z, b ], value: 'x;;y'", line));
    assert!(drops(
        "source: [ a, b ], separator: '#', value: 'x#y'",
        line
    ));
    assert!(drops("source: [ a, b ], expression: '^x;y$'", line));
    assert!(drops("source: [ b, a ], value: 'y;x'", line));
}

#[test]
fn a_value_must_equal_the_whole_source() {
    assert!(drops("source: a, value: x", r#"{"a":"x"}"#));
    assert!(!drops("source: a, value: x", r#"{"a":"xx"}"#));
    assert!(!drops("source: a, value: x", r#"{"b":"x"}"#));
    assert!(drops("source: \"n\", value: 200", r#"{"n":200}"#));
}

#[test]
fn an_expression_is_searched_in_the_source_or_in_the_line() {
    assert!(drops("expression: '.*(debug|trace).*'", "a debug line"));
    assert!(drops("expression: 'debug'", "a debug line"));
    assert!(!drops("expression: 'debug'", "an info line"));
    assert!(drops("source: a, expression: '^de'", r#"{"a":"debug"}"#));
    assert!(!drops(
        "source: a, expression: '^de'",
        r#"{"a":"info","b":"debug"}"#
    ));
    assert!(!drops("source: a, expression: ''", "text"));
}

#[test]
fn all_that_is_given_must_hold() {
    let settings = "source: a, value: x, longer_than: 12b";
    assert!(drops(settings, r#"{"a":"x", "b":1}"#));
    assert!(!drops(settings, r#"{"a":"x"}"#));
    assert!(!drops(settings, r#"{"a":"y", "b":1}"#));
    let several =
        "- drop: { expression: one }\n- drop: { expression: two, drop_counter_reason: second }";
    let mut run = Run::new(several);
    run.line("one").line("two").line("three");
    assert_eq!(
        run.dropped,
        [("drop_stage".to_owned(), 1), ("second".to_owned(), 1)]
    );
    assert_eq!(run.lines(), ["three"]);
}

#[test]
fn a_label_is_a_source_of_drop() {
    let mut run = Run::new("- drop: { source: job, value: test }");
    run.line("x");
    assert_eq!(run.dropped.len(), 1);
}

#[test]
fn lines_above_a_rate_are_dropped() {
    let mut run = Run::new("- limit: { rate: 10, burst: 5, drop: true }");
    for _ in 0..20 {
        run.line("x");
    }
    assert_eq!(run.records.len(), 5);
    assert_eq!(run.dropped.len(), 15);
    assert_eq!(run.dropped[0].0, "ratelimit_drop_stage");
}

#[test]
fn a_rate_fills_up_again_up_to_the_burst() {
    let mut run = Run::new("- limit: { rate: 10, burst: 5, drop: true }");
    for _ in 0..10 {
        run.line("x");
    }
    run.now += 100 * SECOND;
    for _ in 0..10 {
        run.line("x");
    }
    assert_eq!(run.records.len(), 10);
}

#[test]
fn a_limit_that_does_not_drop_says_how_long_to_wait() {
    let mut run = Run::new("- limit: { rate: 2, burst: 1 }");
    run.line("x");
    assert_eq!(run.worker.take_pause(), None);
    let now = run.now;
    run.line("x");
    let until = run.worker.take_pause().unwrap().0;
    assert!(
        (now + 490_000_000..=now + 500_000_000).contains(&until),
        "{}",
        until - now
    );
    assert_eq!(run.worker.take_pause(), None);
    assert_eq!(run.records.len(), 2);
}

#[test]
fn a_limit_by_label_counts_each_value_apart_and_lines_without_it_not_at_all() {
    let mut run = Run::new("- limit: { rate: 1, burst: 2, drop: true, by_label_name: app }");
    for app in ["a", "b", "a", "a", "b", "b"] {
        run.labels = set(&[("app", app)]);
        run.line(app);
    }
    run.labels = set(&[("job", "x")]);
    for _ in 0..5 {
        run.line("none");
    }
    assert_eq!(
        run.lines(),
        ["a", "b", "a", "b", "none", "none", "none", "none", "none"]
    );
    let counts = run.stages.registry().dropped_by_label();
    let expected = |value: &str| ("app".to_owned(), value.to_owned(), 1);
    assert_eq!(counts, [expected("a"), expected("b")]);
}

#[test]
fn values_of_a_limit_by_label_are_bounded() {
    let mut run = Run::new(
        "- limit: { rate: 1, burst: 1, drop: true, by_label_name: app, max_distinct_labels: 1 }",
    );
    run.labels = set(&[("app", "first")]);
    run.line("x").line("x");
    assert_eq!(run.dropped.len(), 1);
    for app in 0..10_000 {
        run.labels = set(&[("app", &app.to_string())]);
        run.line("x");
    }
    // The state was begun anew, and so was that of the first value.
    run.labels = set(&[("app", "first")]);
    run.line("x");
    assert_eq!(run.dropped.len(), 1);
    assert!(run.stages.registry().dropped_by_label().is_empty());
}

#[test]
fn workers_share_a_limit() {
    let mut run = Run::new("- limit: { rate: 1, burst: 2, drop: true }");
    run.line("x");
    run.worker = run.stages.worker();
    run.line("x").line("x");
    assert_eq!((run.records.len(), run.dropped.len()), (2, 1));
}

#[test]
fn sampling_keeps_about_its_share() {
    let mut run = Run::new("- sampling: { rate: 0.25 }");
    for _ in 0..10_000 {
        run.line("x");
    }
    assert!(
        (2_200..2_800).contains(&run.records.len()),
        "{}",
        run.records.len()
    );
    assert_eq!(run.dropped[0].0, "sampling_stage");
}

#[test]
fn sampling_decides_alike_in_a_replay() {
    let kept = || {
        let mut run = Run::new("- sampling: { rate: 0.5, drop_counter_reason: share }");
        for number in 0..200 {
            run.line(number.to_string());
        }
        (run.records, run.dropped)
    };
    assert_eq!(kept(), kept());
    assert_eq!(kept().1[0].0, "share");
}

#[test]
fn sampling_of_all_and_of_nothing() {
    for (rate, kept) in [("1", 100), ("1.0", 100), ("0", 0)] {
        let mut run = Run::new(&format!("- sampling: {{ rate: {rate} }}"));
        for _ in 0..100 {
            run.line("x");
        }
        assert_eq!(run.records.len(), kept, "{rate}");
    }
}

#[test]
fn sampling_within_match_takes_only_the_chosen_lines() {
    let yaml = "- match: { selector: '{job=\"test\"} |= \"debug\"', stages: [ { sampling: { rate: 0 } } ] }";
    let mut run = Run::new(yaml);
    run.line("debug").line("info");
    assert_eq!(run.lines(), ["info"]);
}

#[test]
fn sampling_differs_from_file_to_file() {
    let kept = |file| {
        let stages =
            tailwater_stages::Stages::compile(&stages("- sampling: { rate: 0.5 }")).unwrap();
        let (mut worker, labels) = (stages.worker(), set(&[]));
        let mut kept = Vec::new();
        for offset in 0..64 {
            let entry = tailwater_stages::Entry {
                file: tailwater_record::FileId(1),
                seed: file,
                span: tailwater_record::Span {
                    start: offset,
                    end: offset + 1,
                },
                line: b"",
                timestamp: tailwater_record::TimestampNs(NOW),
                labels: &labels,
            };
            worker.process(&entry, &mut |outcome| {
                kept.push(matches!(outcome, tailwater_stages::Outcome::Record(_)));
            });
        }
        kept
    };
    assert_ne!(kept(1), kept(2));
    assert_eq!(kept(1), kept(1));
}
