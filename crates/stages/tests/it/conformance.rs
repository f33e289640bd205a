//! Cases of Promtail's own tests, by their numbers in our list of them. Those about the client and
//! the files stand with the engine.

use tailwater_record::FileId;

use crate::kit::*;

const APACHE: &str = r#"11.11.11.11 - frank [25/Jan/2000:14:00:01 -0500] "GET /1986.js HTTP/1.1" 200 932 "-" "Mozilla/5.0 (Windows; U; Windows NT 5.1; de; rv:1.9.1.7) Gecko/20091221 Firefox/3.5.7 GTB6""#;

#[test]
fn case_01_cri_gives_line_stream_and_time() {
    let line = "2019-01-01T01:00:00.000000001Z stderr F message";
    let record = one("- cri: {}", line);
    assert_eq!(record.line, "message");
    assert_eq!(record.label("stream"), Some("stderr"));
    assert_eq!(record.timestamp, ns("2019-01-01T01:00:00.000000001Z"));
}

#[test]
fn case_02_cri_keeps_the_time_where_it_is_bad_and_lines_of_another_shape() {
    let record = one("- cri: {}", "3242 stderr F message");
    assert_eq!(record.line, "message");
    assert_eq!(record.label("stream"), Some("stderr"));
    assert_eq!(record.timestamp, NOW);
    let record = one("- cri: {}", "i'm invalid!!!");
    assert_eq!(record.line, "i'm invalid!!!");
    assert_eq!(record.labels, [("job".to_owned(), "test".to_owned())]);
    assert_eq!(record.timestamp, NOW);
}

#[test]
fn case_04_cri_releases_all_partial_lines_at_one_stream_too_many() {
    let mut run = Run::new("- cri: { max_partial_lines: 3 }");
    for (stream, flag, line) in [
        ("A", 'P', "partial line 1 "),
        ("B", 'P', "partial line 2 "),
        ("A", 'P', "partial line 3 "),
        ("C", 'P', "partial line 4 "),
        ("D", 'P', "partial line 5 "),
        ("A", 'F', "log finished"),
        ("C", 'F', "another full log"),
        ("D", 'F', "yet an another full log"),
    ] {
        run.labels = set(&[("label", stream)]);
        run.line(format!(
            "2019-05-07T18:57:50.904275087+00:00 stdout {flag} {line}"
        ));
    }
    let mut lines = run.lines();
    lines.sort_unstable();
    let expected = [
        "another full log",
        "log finished",
        "partial line 1 partial line 3 ",
        "partial line 2 ",
        "partial line 4 ",
        "partial line 5 yet an another full log",
    ];
    assert_eq!(lines, expected);
    for (line, stream) in [("partial line 2 ", "B"), ("log finished", "A")] {
        let record = run.records.iter().find(|record| record.line == line);
        assert_eq!(record.unwrap().label("label"), Some(stream));
    }
}

#[test]
fn case_06_docker_gives_the_log_with_its_newline_and_keeps_other_lines() {
    let line = r#"{"log":"log message\n","stream":"stderr","time":"hi!"}"#;
    let record = one("- docker: {}", line);
    assert_eq!(record.line, "log message\n");
    assert_eq!(record.label("stream"), Some("stderr"));
    assert_eq!(record.timestamp, NOW);
    let record = one("- docker: {}", "i'm not json!");
    assert_eq!(record.line, "i'm not json!");
    assert_eq!(record.labels, [("job".to_owned(), "test".to_owned())]);
}

#[test]
fn case_07_multiline_joins_from_a_first_line_to_the_next() {
    let mut run = Run::new("- multiline: { firstline: '^START', max_wait_time: 3s }");
    for line in [
        "not a start line before 1",
        "not a start line before 2",
        "START line 1",
        "not a start line",
        "START line 2",
        "START line 3",
    ] {
        run.line(line);
    }
    run.finish();
    let expected = [
        "not a start line before 1",
        "not a start line before 2",
        "START line 1\nnot a start line",
        "START line 2",
        "START line 3",
    ];
    assert_eq!(run.lines(), expected);
    assert_eq!(run.worker.held_from(FileId(1)), None);
}

#[test]
fn case_09_match_runs_or_drops_what_its_selector_chooses() {
    for (selector, is_chosen) in [
        (r#"{foo="bar"} |= "foo""#, true),
        (r#"{foo="bar"} |~ "foo""#, true),
        (r#"{foo="bar"} |= "bar""#, false),
        (r#"{foo="bar"} |~ "bar""#, false),
        (r#"{foo="bar"} != "bar""#, true),
        (r#"{foo="bar"} !~ "bar""#, true),
        (r#"{foo="bar"} != "foo""#, false),
        (r#"{foo="bar"} !~ "foo""#, false),
        (r#"{foo="bar"}"#, true),
        (r#"{foo!="bar"}"#, false),
        (r#"{foo="bar",bar!="test"}"#, true),
        (r#"{foo="bar",bar=~"te.*"}"#, false),
        (r#"{foo=~"bar|baz"}"#, true),
        (r#"{foo!~"bar|baz"}"#, false),
        (r#"{other=""}"#, true),
        (r#"{foo=""}"#, false),
    ] {
        let kept = format!(
            "- match: {{ selector: '{selector}', stages: [ {{ static_labels: {{ test_label: x }} }} ] }}"
        );
        let mut run = Run::new(&kept).labels(&[("foo", "bar")]);
        run.line("foo");
        assert_eq!(
            run.last().label("test_label").is_some(),
            is_chosen,
            "{selector}"
        );
        let dropped = format!("- match: {{ selector: '{selector}', action: drop }}");
        let mut run = Run::new(&dropped).labels(&[("foo", "bar")]);
        run.line("foo");
        assert_eq!(run.records.is_empty(), is_chosen, "{selector}");
    }
}

#[test]
fn case_09_match_refuses_what_is_no_selector_of_labels_and_lines() {
    for selector in [
        "{}",
        "foo",
        "{",
        "",
        r#"{foo="bar"} |= "foo" | status >= 200"#,
        r#"{foo="bar"} !~ "[]""#,
    ] {
        let yaml = format!("- match: {{ selector: '{selector}', action: drop }}");
        assert_eq!(
            compile_error(&yaml).path(),
            "[0].match.selector",
            "{selector}"
        );
    }
}

#[test]
fn case_10_drop_takes_lines_that_are_longer_and_none_that_are_as_long() {
    for (line, is_dropped) in [
        ("12345678901", true),
        ("1234567890", false),
        ("123456789", false),
    ] {
        let mut run = Run::new("- drop: { longer_than: 10b }");
        run.line(line);
        assert_eq!(run.records.is_empty(), is_dropped, "{line}");
    }
}

#[test]
fn case_13_replace_changes_what_its_group_captures_alone() {
    let yaml = r"- replace: { expression: '11.11.11.11 - (\S+) .*', replace: dummy }";
    assert_eq!(one(yaml, APACHE).line, APACHE.replace("frank", "dummy"));
}

#[test]
fn case_15_replace_makes_each_group_anew_by_a_template() {
    let yaml = r#"
- replace:
    expression: '^(?P<ip>\S+) (?P<identd>\S+) (?P<user>\S+) \[(?P<timestamp>[\w:/]+\s[+\-]\d{4})\] "(?P<action>\S+)\s?(?P<path>\S+)?\s?(?P<protocol>\S+)?" (?P<status>\d{3}|-) (\d+|-)\s?"?(?P<referer>[^"]*)"?\s?"?(?P<useragent>[^"]*)?"?$'
    replace: '{{ if eq .Value "200" }}{{ Replace .Value "200" "HttpStatusOk" -1 }}{{ else }}{{ .Value | ToUpper }}{{ end }}'
"#;
    let expected = r#"11.11.11.11 - FRANK [25/JAN/2000:14:00:01 -0500] "GET /1986.JS HTTP/1.1" HttpStatusOk 932 "-" "MOZILLA/5.0 (WINDOWS; U; WINDOWS NT 5.1; DE; RV:1.9.1.7) GECKO/20091221 FIREFOX/3.5.7 GTB6""#;
    assert_eq!(one(yaml, APACHE).line, expected);
    for (name, value) in [
        ("status", "HttpStatusOk"),
        ("user", "FRANK"),
        ("path", "/1986.JS"),
        ("ip", "11.11.11.11"),
        ("identd", "-"),
        ("timestamp", "25/JAN/2000:14:00:01 -0500"),
        ("action", "GET"),
        ("protocol", "HTTP/1.1"),
        ("referer", "-"),
    ] {
        assert_eq!(
            extracted(yaml, name, APACHE).as_deref(),
            Some(value),
            "{name}"
        );
    }
}

/// The time that a `timestamp` stage reads of a whole line.
fn time(settings: &str, text: &str) -> u64 {
    let source = "- regex: { expression: '(?P<t>.+)' }";
    let yaml = format!("{source}\n- timestamp: {{ source: t, {settings} }}");
    one(&yaml, text).timestamp
}

#[test]
fn case_17_timestamp_reads_the_units_since_the_epoch() {
    for (format, text, expected) in [
        ("Unix", "1562708916.414123", "2019-07-09T21:48:36.414123Z"),
        (
            "Unix",
            "1562708916.000000123",
            "2019-07-09T21:48:36.000000123Z",
        ),
        ("Unix", "1562708916", "2019-07-09T21:48:36Z"),
        ("UnixMs", "1562708916414", "2019-07-09T21:48:36.414Z"),
        ("UnixUs", "1562708916414123", "2019-07-09T21:48:36.414123Z"),
        (
            "UnixNs",
            "1562708916000000123",
            "2019-07-09T21:48:36.000000123Z",
        ),
    ] {
        assert_eq!(
            time(&format!("format: {format}"), text),
            ns(expected),
            "{format} {text}"
        );
    }
}

#[test]
fn case_19_timestamp_tries_the_fallback_formats() {
    let settings = "format: UnixMs, fallback_formats: [ UnixDate, RFC3339Nano, RFC3339 ]";
    let expected = ns("2012-11-01T22:08:41-04:00");
    assert_eq!(time(settings, "2012-11-01T22:08:41-04:00"), expected);
}

#[test]
fn case_21_structured_metadata_demotes_a_label() {
    let mut run = Run::new("- structured_metadata: { pod: }")
        .labels(&[("source", "test"), ("pod", "ingester-0")]);
    run.line("x");
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(run.last().metadata, [pair("pod", "ingester-0")]);
    assert_eq!(run.last().labels, [pair("source", "test")]);
}
