//! `json`, `logfmt`, `regex`, `eventlogmessage`, `output`.

use crate::kit::*;

const JSON: &str = r#"{"time":"2012-11-01T22:08:41+00:00","app":"loki","n":125,"f":1.50,"big":9007199254740993,
    "ok":true,"nil":null,"component":["parser","type"],"nested":{"child":"value","a-b":1},"level":"WARN"}"#;

fn json(expression: &str) -> Option<String> {
    let yaml = format!("- json: {{ expressions: {{ out: '{expression}' }} }}");
    extracted(&yaml, "out", JSON)
}

#[test]
fn json_values_become_text_as_promtail_writes_them() {
    assert_eq!(json("app").unwrap(), "loki");
    assert_eq!(json("n").unwrap(), "125");
    assert_eq!(json("f").unwrap(), "1.5");
    assert_eq!(json("big").unwrap(), "9007199254740992");
    assert_eq!(json("ok").unwrap(), "true");
    assert_eq!(json("nil"), None);
    assert_eq!(json("missing"), None);
    assert_eq!(json("component").unwrap(), r#"["parser","type"]"#);
    assert_eq!(json("nested").unwrap(), r#"{"child":"value","a-b":1}"#);
}

#[test]
fn json_expressions_are_jmespath() {
    assert_eq!(json("nested.child").unwrap(), "value");
    assert_eq!(json("nested.\"a-b\"").unwrap(), "1");
    assert_eq!(json("component[1]").unwrap(), "type");
    assert_eq!(json("missing || level").unwrap(), "WARN");
    assert_eq!(json("length(component)").unwrap(), "2");
    assert_eq!(
        json("component[?@ == `\"parser\"`] | [0]").unwrap(),
        "parser"
    );
    assert_eq!(json("[app, level]").unwrap(), r#"["loki","WARN"]"#);
    assert_eq!(json("{a: app}").unwrap(), r#"{"a":"loki"}"#);
}

#[test]
fn json_without_an_expression_takes_the_key_of_the_name() {
    let yaml = "- json: { expressions: { app: , level: '' } }\n- labels: { app: , level: }";
    let record = one(yaml, JSON);
    assert_eq!(
        (record.label("app"), record.label("level")),
        (Some("loki"), Some("WARN"))
    );
}

#[test]
fn json_of_a_source_is_read_and_a_missing_source_changes_nothing() {
    let yaml = "- json: { expressions: { inner: msg } }\n- json: { source: inner, expressions: { out: a } }";
    assert_eq!(
        extracted(yaml, "out", r#"{"msg":"{\"a\":\"b\"}"}"#).unwrap(),
        "b"
    );
    assert_eq!(extracted(yaml, "out", r#"{"other":1}"#), None);
}

#[test]
fn malformed_json_stays_unless_it_is_to_be_dropped() {
    for malformed in ["", "[1]", "12", "{", "not json", "{\"a\":1} x"] {
        assert_eq!(
            one("- json: { expressions: { a: } }", malformed).line,
            malformed
        );
        let mut run = Run::new("- json: { expressions: { a: }, drop_malformed: true }");
        run.line(malformed);
        assert_eq!(run.dropped, [("json_malformed".to_owned(), 1)]);
    }
}

#[test]
fn a_json_null_replaces_the_value_of_an_earlier_stage() {
    let yaml = "- regex: { expression: '(?P<a>x)' }\n- json: { expressions: { a: } }";
    assert_eq!(extracted(yaml, "a", r#"{"a":null,"x":1}"#), None);
}

#[test]
fn logfmt_keys_are_mapped() {
    let yaml = "- logfmt: { mapping: { timestamp: time, app: , duration: , unknown: } }";
    let line = r#"time=2012-11-01T22:08:41+00:00 app="loki app" level=WARN duration=125 bare message="a \"b\"\n""#;
    assert_eq!(
        extracted(yaml, "timestamp", line).unwrap(),
        "2012-11-01T22:08:41+00:00"
    );
    assert_eq!(extracted(yaml, "app", line).unwrap(), "loki app");
    assert_eq!(extracted(yaml, "duration", line).unwrap(), "125");
    assert_eq!(extracted(yaml, "unknown", line), None);
    let yaml = "- logfmt: { mapping: { out: message, bare: } }";
    assert_eq!(extracted(yaml, "out", line).unwrap(), "a \"b\"\n");
    assert_eq!(extracted(yaml, "bare", line).unwrap(), "");
}

#[test]
fn of_two_names_for_one_logfmt_key_one_is_set() {
    let yaml = "- logfmt: { mapping: { a: key, b: key } }";
    let set = |name| extracted(yaml, name, "key=x").is_some();
    assert_eq!([set("a"), set("b")], [false, true]);
}

#[test]
fn logfmt_keys_before_a_mistake_are_kept() {
    let yaml = "- logfmt: { mapping: { a: , b: , c: } }";
    for line in [
        "a=1 b\"x c=3",
        "a=1 =2 c=3",
        "a=1 b=\"open c=3",
        "a=1 b=2=3 c=3",
    ] {
        assert_eq!(extracted(yaml, "a", line).unwrap(), "1", "{line}");
        assert_eq!(extracted(yaml, "c", line), None, "{line}");
    }
}

#[test]
fn logfmt_of_an_empty_mapping_value_takes_the_name() {
    assert_eq!(
        extracted("- logfmt: { mapping: { level: '' } }", "level", "level=x").unwrap(),
        "x"
    );
    assert_eq!(
        one("- logfmt: { mapping: { level: } }", "no pairs here").line,
        "no pairs here"
    );
}

#[test]
fn logfmt_of_a_source_and_the_last_of_equal_keys() {
    let yaml = "- json: { expressions: { m: } }\n- logfmt: { source: m, mapping: { a: } }";
    assert_eq!(extracted(yaml, "a", r#"{"m":"a=1 a=2"}"#).unwrap(), "2");
}

#[test]
fn logfmt_is_read_from_all_lines_of_a_record() {
    let yaml = "- logfmt: { mapping: { a: , b: , c: } }";
    let line = "a=1 bare\r\n\n b=2\nc=\"x y\" a=3";
    let values = ["a", "b", "c"].map(|name| extracted(yaml, name, line));
    assert_eq!(
        values,
        ["3", "2", "x y"].map(|value| Some(value.to_owned()))
    );
    // A quoted value that is still open at the end of its line is a mistake, which ends the reading.
    for line in ["a=1 b=\"x\ny\" c=3", "a=1 b=\"x\\\ny\" c=3"] {
        let values = ["a", "b", "c"].map(|name| extracted(yaml, name, line));
        assert_eq!(values, [Some("1".to_owned()), None, None], "{line}");
    }
}

#[test]
fn logfmt_values_are_text_and_may_be_empty() {
    let yaml = "- logfmt: { mapping: { a: , b: } }";
    assert_eq!(extracted(yaml, "a", "a= b=1.50").unwrap(), "");
    assert_eq!(extracted(yaml, "b", "a= b=1.50").unwrap(), "1.50");
}

const APACHE: &str = r#"11.11.11.11 - frank [25/Jan/2000:14:00:01 -0500] "GET /1986.js HTTP/1.1" 200 932 "-" "Mozilla/5.0""#;

#[test]
fn named_groups_of_a_regex_are_extracted() {
    let yaml = r#"- regex: { expression: '^(?P<ip>\S+) (?P<identd>\S+) (?P<user>\S+) \[(?P<timestamp>[\w:/]+\s[+\-]\d{4})\] "(?P<action>\S+)\s?(?P<path>\S+)?\s?(?P<protocol>\S+)?" (?P<status>\d{3}|-) (?P<size>\d+|-)\s?"?(?P<referer>[^"]*)"?\s?"?(?P<useragent>[^"]*)?"?$' }"#;
    for (name, expected) in [
        ("ip", "11.11.11.11"),
        ("timestamp", "25/Jan/2000:14:00:01 -0500"),
        ("path", "/1986.js"),
        ("status", "200"),
        ("useragent", "Mozilla/5.0"),
    ] {
        assert_eq!(extracted(yaml, name, APACHE).unwrap(), expected);
    }
}

#[test]
fn an_optional_group_that_took_no_part_is_empty() {
    let yaml = "- regex: { expression: 'a(?P<b>b)?(?P<c>c)' }";
    assert_eq!(extracted(yaml, "b", "ac").unwrap(), "");
    assert_eq!(extracted(yaml, "c", "ac").unwrap(), "c");
}

#[test]
fn a_regex_that_does_not_match_changes_nothing() {
    let yaml = "- regex: { expression: '(?P<a>x)' }\n- regex: { expression: '(?P<a>y)' }";
    assert_eq!(extracted(yaml, "a", "x").unwrap(), "x");
    assert_eq!(one("- regex: { expression: '(z)' }", "x").line, "x");
}

#[test]
fn a_regex_of_a_source_is_not_anchored() {
    let yaml = "- json: { expressions: { p: } }\n- regex: { source: p, expression: '/(?<n>\\d+)' }";
    assert_eq!(extracted(yaml, "n", r#"{"p":"/a/17/b"}"#).unwrap(), "17");
    assert_eq!(extracted(yaml, "n", r#"{"p":null}"#), None);
}

#[test]
fn a_regex_reads_bytes_that_are_not_utf8() {
    let yaml = "- regex: { expression: '^(?P<a>.*) (?P<b>\\w+)$' }";
    assert_eq!(extracted(yaml, "b", b"\xff\xfe end").unwrap(), "end");
}

#[test]
fn a_value_of_a_regex_can_be_read_from_a_line_that_was_made() {
    let yaml = "- json: { expressions: { m: } }\n- output: { source: m }\n- regex: { expression: '(?P<a>\\d+)$' }";
    assert_eq!(extracted(yaml, "a", r#"{"m":"a\t12"}"#).unwrap(), "12");
}

#[test]
fn output_replaces_the_line_where_the_source_is_there() {
    let yaml = "- json: { expressions: { m: , n: , z: } }\n- output: { source: m }";
    assert_eq!(one(yaml, r#"{"m":"text"}"#).line, "text");
    assert_eq!(one(yaml, r#"{"m":12}"#).line, "12");
    assert_eq!(one(yaml, r#"{"m":""}"#).line, "");
    assert_eq!(one(yaml, r#"{"m":null}"#).line, r#"{"m":null}"#);
    assert_eq!(one(yaml, r#"{"x":1}"#).line, r#"{"x":1}"#);
}

#[test]
fn the_last_output_wins_and_extracted_values_outlive_it() {
    let yaml =
        "- json: { expressions: { a: , b: } }\n- output: { source: a }\n- output: { source: b }";
    let line = r#"{"a":"first","b":"second"}"#;
    assert_eq!(one(yaml, line).line, "second");
    assert_eq!(extracted(yaml, "a", line).unwrap(), "first");
}

#[test]
fn output_of_bytes_that_are_not_utf8_keeps_them() {
    let yaml = "- regex: { expression: '^x(?P<m>.*)$' }\n- output: { source: m }";
    assert_eq!(one(yaml, b"x\xff\xfe").line, "\u{fffd}\u{fffd}");
}

#[test]
fn output_changes_neither_time_nor_labels_nor_the_bytes_it_stands_for() {
    let yaml = "- json: { expressions: { m: } }\n- output: { source: m }";
    let record = one(yaml, r#"{"m":""}"#);
    assert_eq!((record.timestamp, record.label("job")), (NOW, Some("test")));
    assert_eq!(record.spans, [(1, 0, 9)]);
}

#[test]
fn a_label_is_a_source_of_output() {
    let mut run = Run::new("- output: { source: job }");
    run.line("x");
    assert_eq!(run.lines(), ["test"]);
}

const EVENT: &str = "Key1: Value 1\r\nKey 2:Value: 2\r\nno key here\r\n1st: x\r\nempty: ";

fn event(settings: &str, name: &str) -> Option<String> {
    let yaml = format!("- json: {{ expressions: {{ message: }} }}\n- eventlogmessage: {settings}");
    let line = serde_json::json!({ "message": EVENT }).to_string();
    extracted(&yaml, name, line)
}

#[test]
fn keys_of_an_event_are_extracted() {
    assert_eq!(event("{}", "Key1").unwrap(), "Value 1");
    assert_eq!(event("{}", "Key_2").unwrap(), "Value: 2");
    assert_eq!(event("{}", "_st").unwrap(), "x");
    assert_eq!(event("{}", "empty").unwrap(), "");
}

#[test]
fn keys_of_an_event_that_are_no_names_can_be_left_out() {
    assert_eq!(event("{ drop_invalid_labels: true }", "Key_2"), None);
    assert_eq!(
        event("{ drop_invalid_labels: true }", "Key1").unwrap(),
        "Value 1"
    );
}

#[test]
fn a_key_of_an_event_that_is_taken_gets_a_suffix_or_wins() {
    let yaml = |settings: &str| {
        format!("- json: {{ expressions: {{ message: , taken: }} }}\n- eventlogmessage: {settings}")
    };
    let line = serde_json::json!({ "message": "taken: new", "taken": "old" }).to_string();
    assert_eq!(extracted(&yaml("{}"), "taken", &line).unwrap(), "old");
    assert_eq!(
        extracted(&yaml("{}"), "taken_extracted", &line).unwrap(),
        "new"
    );
    assert_eq!(
        extracted(&yaml("{ overwrite_existing: true }"), "taken", &line).unwrap(),
        "new"
    );
}

#[test]
fn an_event_whose_message_is_null_is_dropped() {
    let mut run = Run::new("- json: { expressions: { message: } }\n- eventlogmessage:");
    run.line(r#"{"message":null}"#).line("{}");
    assert_eq!(
        run.dropped,
        vec![("eventlogmessage_stage".to_owned(), 1); 2]
    );
    run.line("not json");
    assert_eq!(run.lines(), ["not json"]);
}

#[test]
fn a_message_of_an_event_can_have_another_name() {
    let yaml = "- json: { expressions: { m: } }\n- eventlogmessage: { source: m }";
    assert_eq!(extracted(yaml, "k", r#"{"m":"k: v"}"#).unwrap(), "v");
}
