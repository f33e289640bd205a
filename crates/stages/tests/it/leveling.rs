//! `level`, and the `keep` of `sampling`.

use crate::kit::*;

/// The severity of a line whose whole text is extracted as `level`.
fn severity(settings: &str, line: &str) -> Option<&'static str> {
    let yaml = format!("- regex: {{ expression: '^(?P<level>.*)$' }}\n- level: {settings}");
    one(&yaml, line).severity
}

/// The severity of the extracted value `v`, in a line that says nothing itself.
fn of_value(settings: &str, value: &str) -> Option<&'static str> {
    let yaml = format!(
        "- json: {{ expressions: {{ v: , m: }} }}\n- output: {{ source: m }}\n- level: {{ source: v{settings} }}"
    );
    one(&yaml, format!(r#"{{"v":{value},"m":"a line"}}"#)).severity
}

#[test]
fn a_record_has_no_severity_without_the_stage() {
    assert_eq!(one("- labels: { level: }", "ERROR: x").severity, None);
}

#[test]
fn the_words_of_loggers_are_known_in_any_case() {
    for (words, text) in [
        ("trace TRC FINEST verbose trace4 trace8 V", "TRACE"),
        ("FINER trace3", "TRACE2"),
        ("debug DBG FINE DEBUG5 D1 D", "DEBUG"),
        ("DEBUG1 config", "DEBUG4"),
        (
            "info INFORMATION informational INF LOG System I deprecated",
            "INFO",
        ),
        ("notice Note N INFO2", "INFO2"),
        ("warn WARNING Warning wrn W", "WARN"),
        ("error ERR SEVERE E", "ERROR"),
        ("ERROR3", "ERROR3"),
        ("fatal CRITICAL crit FTL dpanic F C", "FATAL"),
        ("alert", "FATAL2"),
        ("emerg emergency", "FATAL3"),
        ("PANIC", "FATAL4"),
    ] {
        for word in words.split(' ') {
            let known = of_value("", &format!("{word:?}"));
            let expected = match word {
                "D1" => "DEBUG4",
                _ => text,
            };
            assert_eq!(known, Some(expected), "{word}");
        }
    }
    for word in [
        "loud",
        "-",
        "",
        "D9",
        "INFO9",
        "a very long word that names nothing",
    ] {
        assert_eq!(of_value("", &format!("{word:?}")), None, "{word}");
    }
}

#[test]
fn what_is_written_around_a_word_is_no_part_of_it() {
    for (value, text) in [
        ("[WARN]", "WARN"),
        (" error: ", "ERROR"),
        ("<Note>", "INFO2"),
        ("PHP Warning", "WARN"),
        ("PHP Fatal error:", "FATAL"),
        ("PHP Parse error", "ERROR"),
        ("php deprecated", "INFO"),
    ] {
        assert_eq!(of_value("", &format!("{value:?}")), Some(text), "{value}");
    }
}

#[test]
fn priorities_of_syslog_are_known_with_and_without_a_facility() {
    let texts = [
        "FATAL3", "FATAL2", "FATAL", "ERROR", "WARN", "INFO2", "INFO", "DEBUG",
    ];
    for (number, text) in texts.iter().enumerate() {
        let facility = 8 * 3 + number;
        for value in [
            number.to_string(),
            format!("\"<{number}>\""),
            format!("\"<{facility}>\""),
        ] {
            assert_eq!(of_value(", from: syslog", &value), Some(*text), "{value}");
        }
    }
    assert_eq!(of_value(", from: syslog", "\"warning\""), Some("WARN"));
    assert_eq!(of_value(", from: syslog", "192"), None);
}

#[test]
fn a_status_is_an_error_from_500_on_and_a_warning_from_400_on() {
    for (status, text) in [
        ("100", Some("INFO")),
        ("200", Some("INFO")),
        ("\"304\"", Some("INFO")),
        ("400", Some("WARN")),
        ("499", Some("WARN")),
        ("500", Some("ERROR")),
        ("599", Some("ERROR")),
        ("600", None),
        ("99", None),
        ("\"-\"", None),
        ("2000", None),
    ] {
        assert_eq!(of_value(", from: http_status", status), text, "{status}");
    }
}

#[test]
fn numbers_of_pino_and_levels_between_them_are_known() {
    for (number, text) in [
        ("10", Some("TRACE")),
        ("20", Some("DEBUG")),
        ("30", Some("INFO")),
        ("35", Some("INFO")),
        ("40", Some("WARN")),
        ("50", Some("ERROR")),
        ("60", Some("FATAL")),
        ("\"warn\"", Some("WARN")),
        ("9", None),
        ("100", None),
    ] {
        assert_eq!(of_value(", from: pino", number), text, "{number}");
    }
    assert_eq!(of_value("", "30"), None, "a number is no word");
}

#[test]
fn words_of_ones_own_come_first() {
    let map = ", map: { '#': WARN, '*': 10, notice: error, \"1\": DEBUG }";
    for (value, text) in [
        ("#", Some("WARN")),
        ("*", Some("INFO2")),
        ("NOTICE", Some("ERROR")),
        ("1", Some("DEBUG")),
        ("warn", Some("WARN")),
        (".", None),
    ] {
        assert_eq!(of_value(map, &format!("{value:?}")), text, "{value}");
    }
}

#[test]
fn a_value_that_says_nothing_leaves_it_to_the_line_and_then_to_the_default() {
    assert_eq!(severity("{}", "disk: error: no space"), Some("ERROR"));
    assert_eq!(
        severity("{ default: INFO }", "disk: error: no space"),
        Some("ERROR")
    );
    assert_eq!(severity("{ default: INFO }", "nothing of it"), Some("INFO"));
    assert_eq!(severity("{ default: 14 }", "nothing of it"), Some("WARN2"));
    assert_eq!(severity("{}", "nothing of it"), None);
    assert_eq!(one("- level:", "[warn] x").severity, Some("WARN"));
    assert_eq!(of_value("", "null"), None);
}

#[test]
fn the_value_counts_more_than_the_line() {
    let yaml = "- logfmt: { mapping: { level: } }\n- level: {}";
    assert_eq!(
        one(yaml, "level=info msg=\"ERROR: x\"").severity,
        Some("INFO")
    );
    let yaml =
        "- json: { expressions: { status: } }\n- level: { source: status, from: http_status }";
    assert_eq!(
        one(yaml, r#"{"status":200,"level":"error"}"#).severity,
        Some("INFO")
    );
}

#[test]
fn a_second_stage_changes_only_what_it_can_read() {
    let yaml = "- json: { expressions: { a: , b: } }\n- level: { source: a }\n- level: { source: b, default: FATAL }";
    let of = |line: &str| one(yaml, line).severity;
    assert_eq!(of(r#"{"a":"debug","b":"warn"}"#), Some("WARN"));
    assert_eq!(of(r#"{"a":"debug","b":"?"}"#), Some("DEBUG"));
    assert_eq!(of(r#"{"a":"?","b":"?"}"#), Some("FATAL"));
}

#[test]
fn a_nested_stage_is_for_the_lines_that_are_chosen() {
    let yaml = "- match: { selector: '{job=\"test\"} |= \"x\"', stages: [ { level: { default: WARN } } ] }";
    assert_eq!(one(yaml, "x").severity, Some("WARN"));
    assert_eq!(one(yaml, "y").severity, None);
}

#[test]
fn joined_lines_have_the_severity_of_the_first() {
    let yaml = "- regex: { expression: '^(?P<level>[A-Z]+) ' }\n- level: { default: INFO }\n- multiline: { firstline: '^[A-Z]' }";
    let mut run = Run::new(yaml);
    run.line("WARN first")
        .line("  at x")
        .line("ERROR second")
        .line("  FATAL: y")
        .finish();
    let severities: Vec<_> = run.records.iter().map(|record| record.severity).collect();
    assert_eq!(severities, [Some("WARN"), Some("ERROR")]);
    assert_eq!(run.records[0].lines, 2);
}

#[test]
fn behind_a_join_the_whole_text_is_looked_at() {
    let yaml = "- multiline: { firstline: '^[a-z]' }\n- level: {}";
    let mut run = Run::new(yaml);
    run.line("first").line("  ERROR: y").finish();
    assert_eq!(run.last().severity, Some("ERROR"));
}

#[test]
fn a_severity_is_no_label_and_no_metadata() {
    let record = one("- level: { default: INFO }", "x");
    assert_eq!((record.label("level"), record.metadata.len()), (None, 0));
}

#[test]
fn settings_that_mean_nothing_are_refused_by_their_place() {
    for (settings, path) in [
        ("{ from: journal }", "[0].level.from"),
        ("{ source: '' }", "[0].level.source"),
        ("{ default: loud }", "[0].level.default"),
        ("{ default: 25 }", "[0].level.default"),
        ("{ default: -1 }", "[0].level.default"),
        ("{ map: { a: loud } }", "[0].level.map.a"),
        ("{ map: { a: 0 } }", "[0].level.map.a"),
    ] {
        assert_eq!(
            compile_error(&format!("- level: {settings}")).path(),
            path,
            "{settings}"
        );
    }
    let unknown: Result<Vec<tailwater_stages::StageConfig>, _> =
        serde_saphyr::from_str("- level: { sources: a }");
    assert!(unknown.is_err());
}

#[test]
fn sampling_keeps_what_is_grave_enough() {
    let mut run = Run::new("- sampling: { rate: 0, keep: { level: warn } }");
    for line in [
        "DEBUG x",
        "INFO x",
        "nothing",
        "WARN x",
        "[error] x",
        "level=fatal",
    ] {
        run.line(line);
    }
    assert_eq!(run.lines(), ["WARN x", "[error] x", "level=fatal"]);
    assert_eq!(run.dropped.len(), 3);
    assert!(
        run.dropped
            .iter()
            .all(|(reason, _)| reason == "sampling_stage")
    );
}

#[test]
fn sampling_goes_by_the_severity_that_a_stage_has_set_where_one_has() {
    let yaml = "- logfmt: { mapping: { status: } }\n- level: { source: status, from: http_status }\n- sampling: { rate: 0, keep: { level: warn } }";
    let mut run = Run::new(yaml);
    for line in [
        "status=200 ERROR",
        "status=404",
        "status=500",
        "status=- ERROR",
        "status=-",
    ] {
        run.line(line);
    }
    assert_eq!(run.lines(), ["status=404", "status=500", "status=- ERROR"]);
}

#[test]
fn sampling_with_keep_drops_the_same_share_of_the_rest() {
    let rest = |keep: &str| {
        let mut run = Run::new(&format!("- sampling: {{ rate: 0.3{keep} }}"));
        for number in 0..2_000 {
            run.line(if number % 10 == 0 { "WARN x" } else { "INFO x" });
        }
        run.records.retain(|record| record.line == "INFO x");
        (run.records.len(), run.records)
    };
    assert_eq!(rest(""), rest(", keep: { level: warn }"));
    assert!((500..700).contains(&rest("").0));
}

#[test]
fn a_level_to_keep_must_be_one() {
    for (settings, path) in [
        (
            "{ rate: 0.5, keep: { level: loud } }",
            "[0].sampling.keep.level",
        ),
        ("{ rate: 2, keep: { level: warn } }", "[0].sampling.rate"),
    ] {
        assert_eq!(
            compile_error(&format!("- sampling: {settings}")).path(),
            path
        );
    }
}
