//! Lines that mean harm.

use crate::kit::*;

/// All that reads a line, and what it read goes everywhere.
const ALL: &str = r#"
- cri: {}
- docker: {}
- json: { expressions: { a: , b: a.b, c: 'a[0] || length(keys(@))' } }
- logfmt: { mapping: { a: , d: level } }
- regex: { expression: '(?P<e>(x+x+)+y)?(?P<f>\w+)' }
- replace: { expression: '(\d+)', replace: '{{ .Value | ToUpper }}{{ .a }}' }
- template: { source: g, template: '{{ .Entry | TrimSpace | trunc 100 }}{{ .f }}' }
- eventlogmessage: { source: e }
- timestamp: { source: a, format: '2006-01-02 15:04:05', fallback_formats: [ Unix, RFC3339 ] }
- decolorize: {}
- labels: { a: , e: }
- structured_metadata: { g: }
- match: { selector: '{job="test"} |~ "a.*b"', stages: [ { pack: { labels: [ f ] } } ] }
- multiline: { firstline: '^[\[{0-9]' }
"#;

#[test]
fn lines_of_ten_megabytes_pass() {
    let mut run = Run::new(ALL);
    let ten_megabytes = 10 << 20;
    run.line(format!("{{\"a\":\"{}\"}}", "x".repeat(ten_megabytes)));
    run.line("[".repeat(ten_megabytes));
    run.line("x".repeat(ten_megabytes));
    run.line("a=".repeat(ten_megabytes / 2));
    run.line("\\".repeat(ten_megabytes));
    run.line(format!(
        "{{\"a\":{}1{}}}",
        "[".repeat(1 << 20),
        "]".repeat(1 << 20)
    ));
    run.finish();
    let lines: u64 = run.records.iter().map(|record| record.lines).sum();
    assert_eq!(lines, 6);
}

/// Each stage alone, behind one that extracts all of the line.
const EACH: &[&str] = &[
    "cri: {}",
    "docker: {}",
    "json: { expressions: { a: , b: 'a[0]' }, source: all }",
    "logfmt: { mapping: { a: }, source: all }",
    "regex: { expression: '(?P<a>.)(?P<b>\\w*)', source: all }",
    "replace: { expression: '(.)', replace: '{{ .Value | quote }}', source: all }",
    "template: { source: all, template: '{{ .all | trunc 10 | title }}{{ .Entry | ToUpper }}' }",
    "timestamp: { source: all, format: RFC3339 }",
    "timestamp: { source: all, format: '2006 Jan _2 15:04:05.000 MST', location: Europe/Berlin }",
    "output: { source: all }",
    "labels: { a: all }",
    "labelallow: [ job ]",
    "labeldrop: [ job ]",
    "static_labels: { a: b }",
    "structured_metadata: { a: all, job: }",
    "metrics: { a: { type: Gauge, source: all, config: { action: set } } }",
    "tenant: { source: all }",
    "match: { selector: '{job=\"test\"} |~ \".\"', stages: [ { output: { source: all } } ] }",
    "multiline: { firstline: '^.' }",
    "pack: { labels: [ all, job ] }",
    "limit: { rate: 5, burst: 3, drop: true }",
    "sampling: { rate: 0.5 }",
    "drop: { source: all, expression: 'x' }",
    "decolorize: {}",
    "eventlogmessage: { source: all }",
    "truncate: { max_bytes: 3 }",
];

#[test]
fn every_stage_takes_every_line_and_gives_it_once_and_alike_again() {
    let mut lines: Vec<Vec<u8>> = vec![
        Vec::new(),
        vec![0; 9],
        vec![0xff; 9],
        vec![0x80, 0xbf, 0xc2, 0xe2, 0x82, 0xf0, 0x9f, 0x8e],
        b"\xed\xa0\x80 surrogate".to_vec(),
        b"{\"a\":\"\\ud800\",\"a\":\"\xff\"}".to_vec(),
        b"{\"a\":1e999}".to_vec(),
        b"a=\"\\x\" =b \x00=\xff".to_vec(),
        b"\x1b[38;5;1m\x1b[\x1b]0;x".to_vec(),
        b"9999-12-31T23:59:59.999999999Z".to_vec(),
        b"-1".to_vec(),
        b"99999999999999999999999".to_vec(),
        b"a: b\r\n: \r\n\xff: c\r\n".to_vec(),
        b"2019-01-01T01:00:00Z stdout P \xff\x00".to_vec(),
    ];
    lines.push(b"[".repeat(100_000));
    lines.push(b"{\"a\":".repeat(100_000));
    lines.push("é".repeat(50_000).into_bytes());
    for stage in EACH {
        let yaml = format!("- regex: {{ expression: '(?s)(?P<all>.*)' }}\n- {stage}");
        let pass = || {
            let mut run = Run::new(&yaml);
            for line in &lines {
                run.line(line);
            }
            run.finish();
            (run.records, run.dropped)
        };
        let (records, dropped) = pass();
        let kept: u64 = records.iter().map(|record| record.lines).sum();
        let gone: u64 = dropped.iter().map(|(_, lines)| lines).sum();
        assert_eq!(kept + gone, lines.len() as u64, "{stage}");
        assert!(pass() == (records, dropped), "{stage}");
    }
}

#[test]
fn a_regex_with_nested_repetitions_is_linear() {
    let mut run = Run::new("- regex: { expression: '^(a+)+$' }\n- drop: { expression: '(x*)*y' }");
    run.line("a".repeat(1 << 20) + "b")
        .line("x".repeat(1 << 20));
    assert_eq!(run.records.len(), 2);
}

/// Each match looked at the whole line again, to see how it is read.
#[test]
fn a_long_line_of_many_matches_is_replaced_in_one_pass() {
    let mut run = Run::new("- replace: { expression: '(x)', replace: 'y' }");
    let many = 1 << 20;
    run.line("x ".repeat(many))
        .line("é".to_owned() + &" x".repeat(many));
    let lines = run.lines();
    assert!(lines[0] == "y ".repeat(many));
    assert!(lines[1] == "é".to_owned() + &" y".repeat(many));
}

/// An expression of 64 KiB once overflowed the stack, where the configuration was read or at a line.
#[test]
fn a_deep_json_expression_is_refused_before_it_fills_the_stack() {
    for piece in [
        "a.", "a[?b", "!", "&", "(", "[", "{a:", "a[*].", "*.", "a||", "a&&", "a|", "a==", "a<",
        "max(", "\"a\".",
    ] {
        let operators = piece.matches(|c| ".[({!&|*=<>".contains(c)).count();
        let list = |count: usize, end: &str| {
            let quoted = serde_json::to_string(&(piece.repeat(count) + end)).unwrap();
            stages(&format!("- json: {{ expressions: {{ x: {quoted} }} }}"))
        };
        let is_too_deep = |count, end| {
            let compiled = tailwater_stages::Stages::compile(&list(count, end));
            compiled.is_err_and(|error| error.problem().contains("operators"))
        };
        assert!(!is_too_deep(200 / operators, "a"), "{piece}");
        assert!(is_too_deep(201, "a"), "{piece}");
        assert!(is_too_deep(20_000, ""), "{piece}");
    }
    let line = "{\"a\":".repeat(100) + "1" + &"}".repeat(100);
    for expression in [
        "a.".repeat(99) + "a",
        "[*][0].".repeat(50) + "a",
        "!".repeat(200) + "a",
    ] {
        let expression = serde_json::to_string(&expression).unwrap();
        let yaml = format!("- json: {{ expressions: {{ x: {expression} }} }}");
        assert_eq!(one(&yaml, &line).line, line);
    }
}

#[test]
fn a_deep_json_line_is_malformed_or_read_but_never_fatal() {
    let yaml = "- json: { expressions: { a: , b: 'a[0][0]' } }\n- output: { source: a }";
    for depth in [10, 127, 128, 129, 9_000, 100_000] {
        let line = format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        let record = one(yaml, &line);
        assert!(
            line.contains(&record.line) && record.line.contains(&"[".repeat(depth)),
            "{depth}"
        );
    }
}

#[test]
fn nuls_and_bytes_that_are_not_utf8_pass_unchanged() {
    let yaml = "- json: { expressions: { m: } }\n- output: { source: m }";
    let mut run = Run::new(yaml);
    run.line(b"{\"m\":\"a\xff\xfeb\"}")
        .line(b"\x00\x00")
        .line(b"\xf0\x28\x8c\x28");
    assert_eq!(
        run.lines(),
        ["a\u{fffd}\u{fffd}b", "\0\0", "\u{fffd}(\u{fffd}("]
    );
}

#[test]
fn many_label_sets_and_streams_stay_bounded() {
    let yaml = "- regex: { expression: '(?P<id>\\d+)' }\n- labels: { id: }\n- multiline: { firstline: '^\\d' }";
    let mut run = Run::new(yaml);
    for id in 0..6_000 {
        run.line(format!("{id}"));
    }
    // Those above the bound were released, some at a time, in their order.
    let max_streams = tailwater_stages::Limits::default().max_streams;
    let held = 6_000 - run.records.len();
    assert!(held <= max_streams && held > max_streams / 2, "{held}");
    let numbers: Vec<String> = (0..run.records.len()).map(|id| id.to_string()).collect();
    assert_eq!(run.lines(), numbers);
    run.finish();
    assert_eq!(run.records.len(), 6_000);
}

#[test]
fn results_that_would_fill_the_memory_are_not_made() {
    let line = "x".repeat(1 << 20);
    for stage in [
        "- replace: { expression: '(x)', replace: '{{ .all }}' }",
        "- template: { source: all, template: '{{ Replace .Entry \"x\" .Entry -1 }}' }",
        "- template: { source: all, template: '{{ Replace .Entry \"\" .Entry -1 }}' }",
        "- template: { source: all, template: '{{ regexReplaceAll \"x\" .Entry .Entry }}' }",
        "- template: { source: all, template: '{{ repeat 999999999 .Entry }}' }",
    ] {
        let yaml = format!(
            "- regex: {{ expression: '(?P<all>.*)' }}\n{stage}\n- output: {{ source: all }}"
        );
        assert!(one(&yaml, &line).line == line, "{stage}");
    }
}

#[test]
fn settings_nested_without_end_are_refused_or_taken_but_never_fatal() {
    for depth in [10, 300, 20_000] {
        for (open, inner, close) in [
            ("(", "a", ")"),
            ("!", "a", ""),
            ("[", "a", "]"),
            ("a[", "0", "]"),
            ("{a:", "a", "}"),
            ("a.", "b", ""),
            ("a|", "b", ""),
            ("a||", "b", ""),
            ("length(", "a", ")"),
            ("&", "a", ""),
        ] {
            let text = format!("{}{inner}{}", open.repeat(depth), close.repeat(depth));
            for stage in [
                format!("- json: {{ expressions: {{ x: '{text}' }} }}"),
                format!("- regex: {{ expression: '{text}' }}"),
                format!("- template: {{ source: x, template: '{{{{ {text} }}}}' }}"),
                format!("- match: {{ selector: '{text}', action: drop }}"),
            ] {
                let compiled = tailwater_stages::Stages::compile(&stages(&stage));
                if let Ok(compiled) = compiled {
                    let mut run = Run::new("[]");
                    run.worker = compiled.worker();
                    run.line(r#"{"a":[{"a":[{"a":1}]}]}"#);
                    assert_eq!(
                        run.records.len() + run.dropped.len(),
                        1,
                        "{depth} of {open}"
                    );
                }
            }
        }
        let ifs = format!(
            "{}x{}",
            "{{ if .a }}".repeat(depth),
            "{{ end }}".repeat(depth)
        );
        let yaml = format!("- template: {{ source: x, template: '{ifs}' }}");
        let compiled = tailwater_stages::Stages::compile(&stages(&yaml));
        assert_eq!(compiled.is_ok(), depth == 10);
    }
}
