//! `replace`, `template`, `pack`, `decolorize`.

use crate::kit::*;

fn replaced(expression: &str, replace: &str, line: &str) -> String {
    one(
        &format!("- replace: {{ expression: '{expression}', replace: '{replace}' }}"),
        line,
    )
    .line
}

#[test]
fn all_matches_are_replaced() {
    assert_eq!(replaced(r"(\d{2})", "*", "ab 12 cd 34"), "ab * cd *");
}

#[test]
fn an_expression_without_groups_replaces_nothing() {
    assert_eq!(replaced(r"\d{2}", "*", "ab 12"), "ab 12");
}

#[test]
fn an_empty_replacement_deletes() {
    assert_eq!(
        replaced(r"password=(\S+)", "", "user=a password=b c"),
        "user=a password= c"
    );
}

#[test]
fn of_groups_within_each_other_the_outermost_is_replaced() {
    assert_eq!(replaced(r"(a(b)c)", "<{{ .Value }}>", "xabcx"), "x<abc>x");
}

#[test]
fn a_source_is_changed_and_the_line_is_not() {
    let yaml = "- json: { expressions: { m: , by: } }\n- replace: { source: m, expression: '(\\d+)', replace: '{{ .by }}' }";
    let line = r#"{"m":"a 12 b","by":"N"}"#;
    assert_eq!(extracted(yaml, "m", line).unwrap(), "a N b");
    assert_eq!(one(yaml, line).line, line);
}

#[test]
fn what_does_not_match_or_whose_template_fails_stays() {
    assert_eq!(replaced(r"(\d)", "x", "abc"), "abc");
    assert_eq!(replaced(r"(\w)", "{{ ToUpper .missing }}", "abc"), "abc");
}

#[test]
fn groups_that_touch_are_replaced_as_promtail_does() {
    assert_eq!(replaced(r"(a)(b)", "x", "-ab-"), "-xb-");
}

#[test]
fn matches_of_no_length_come_to_an_end() {
    assert_eq!(replaced(r"(x*)", "-", "axb"), "-a-b-");
}

/// The value of `v` after a template on it, where `v` is the line, and `n` is missing.
fn template(template: &str, line: &str) -> Option<String> {
    let yaml = format!(
        "- regex: {{ expression: '(?s)^(?P<v>.*)$' }}\n- template: {{ source: v, template: {} }}",
        serde_json::to_string(template).unwrap()
    );
    extracted(&yaml, "v", line)
}

#[test]
fn templates_print_values_and_call_functions() {
    for (text, expected) in [
        ("{{ .Value }} appended", "Some Value appended"),
        ("{{.Value}}{{- /* gone */ -}} !", "Some Value!"),
        ("{{ .Entry | ToUpper }}", "SOME VALUE"),
        ("{{ ToLower .Value }}", "some value"),
        (r#"{{ Replace .Value " " "_" -1 | ToLower }}"#, "some_value"),
        (r#"{{ Replace .Value "e" "3" 1 }}"#, "Som3 Value"),
        (
            r#"{{ regexReplaceAll "(Some)" .Value "${1}foo" }}"#,
            "Somefoo Value",
        ),
        (
            r#"{{ regexReplaceAllLiteral "(Some)" .Value "${1}" }}"#,
            "${1} Value",
        ),
        (r#"{{ Trim .Value "Se" }}"#, "ome Valu"),
        (
            r#"{{ TrimLeft .Value "So" }}{{ TrimRight .Value "eu" }}"#,
            "me ValueSome Val",
        ),
        (
            r#"{{ TrimPrefix .Value "Some " }}{{ TrimSuffix .Value " Value" }}"#,
            "ValueSome",
        ),
        ("[{{ TrimSpace \"  a b \" }}]", "[a b]"),
        ("{{ .n }} and {{ .Value }}", "<no value> and Some Value"),
        ("{{ add 7 3 }}", "10"),
        (
            "{{ .Value | len | printf \"%05d|%-4s|%s\" 7 \"x\" }}",
            "00007|x   |%!s(int=10)",
        ),
        (r#"{{ index . "Value" }}"#, "Some Value"),
        (r#"{{ "a" | default "b" }}{{ .n | default "c" }}"#, "ac"),
        ("{{ trunc 4 .Value }}{{ substr 5 7 .Value }}", "SomeVa"),
        (
            r#"{{ contains "Val" .Value }} {{ hasPrefix "x" .Value }}"#,
            "true false",
        ),
        ("{{ .Value | quote }}", "\"Some Value\""),
        ("{{ .Value | b64enc | b64dec | upper }}", "SOME VALUE"),
        (
            r#"{{ ternary "yes" "no" (regexMatch "^S" .Value) }}"#,
            "yes",
        ),
        (r#"{{ print "a" 1 2 "b" true }}"#, "a1 2btrue"),
    ] {
        assert_eq!(
            template(text, "Some Value").as_deref(),
            Some(expected),
            "{text}"
        );
    }
}

#[test]
fn templates_decide() {
    let text = r#"{{ if eq .Value "WARN" }}warning{{ else if or (eq .Value "ERR") (eq .Value "CRIT") }}bad{{ else }}{{ .Value }}{{ end }}"#;
    for (line, expected) in [("WARN", "warning"), ("CRIT", "bad"), ("INFO", "INFO")] {
        assert_eq!(template(text, line).unwrap(), expected);
    }
    let text = r#"{{ if and .Value (not .n) (ne .Value "a") (lt (len .Value) 3) }}yes{{ else }}no{{ end }}"#;
    assert_eq!(template(text, "bc").unwrap(), "yes");
    assert_eq!(template(text, "bcd").unwrap(), "no");
    assert_eq!(template(r#"{{ eq .Value "a" "b" }}"#, "b").unwrap(), "true");
}

#[test]
fn templates_keep_values_in_variables() {
    for (text, expected) in [
        ("{{ $v := ToUpper .Value }}{{ $v }}-{{$v}}", "AB-AB"),
        (
            "{{- $v := \"x\" -}} {{ if .Value }}{{ $v = .Value }}{{ end }}{{ $v }}",
            "ab",
        ),
        (
            "{{ $v := \"x\" }}{{ if .Value }}{{ $v := .Value }}{{ $v }}{{ end }}{{ $v }}",
            "abx",
        ),
        (
            "{{ if $v := .missing }}{{ $v }}{{ else }}none{{ $v }}{{ end }}",
            "none<no value>",
        ),
        (
            "{{ $n := len .Value }}{{ if gt $n 1 }}{{ printf \"%d\" $n }}{{ end }}",
            "2",
        ),
        (
            "{{$a:=.Value}}{{$b:=$a|ToUpper}}{{ eq $a $b }}{{ $.Value }}",
            "falseab",
        ),
    ] {
        assert_eq!(template(text, "ab").unwrap(), expected, "{text}");
    }
}

#[test]
fn a_point_within_with_is_its_value_where_that_is_true() {
    for (text, expected) in [
        ("{{ with .Value }}<{{ . }}>{{ end }}", "<ab>"),
        (
            "{{ with .missing }}{{ . }}{{ else }}{{ .Value }}{{ end }}",
            "ab",
        ),
        (
            "{{ with .missing }}{{ . }}{{ else with .Value }}{{ ToUpper . }}{{ end }}",
            "AB",
        ),
        (
            "{{ with ToUpper .Value }}{{ $.Value }}{{ with $.Value }}{{ . }}{{ end }}{{ . }}{{ end }}",
            "ababAB",
        ),
        (
            "{{ with $v := .Value }}{{ $v }}{{ if true }}{{ . | ToUpper }}{{ end }}{{ end }}{{ .Value }}",
            "abABab",
        ),
        (
            "{{ with .Value }}{{ index $ \"Value\" }}{{ end }}{{ index . \"Value\" }}",
            "abab",
        ),
    ] {
        assert_eq!(template(text, "ab").unwrap(), expected, "{text}");
    }
}

#[test]
fn templates_take_texts_apart() {
    let path = "/var/log/pods/shop_web-1_7f/nginx/0.log";
    for (text, expected) in [
        (r#"{{ index (splitList "/" .Value) 4 }}"#, "shop_web-1_7f"),
        (r#"{{ (split "_" .Value)._1 }}"#, "web-1"),
        (
            r#"{{ $p := splitList "/" .Value }}{{ $p._5 }} {{ len $p }}"#,
            "nginx 7",
        ),
        (r#"{{ splitList "/" .Value | last }}"#, "0.log"),
        (
            r#"{{ splitList "/" .Value | initial | rest | first }}"#,
            "var",
        ),
        (
            r#"{{ join "-" (splitList "/" "a/b/c") }}{{ join "-" .Value | len }}"#,
            "a-b-c39",
        ),
        (
            r#"{{ splitList "," "a,b" }}{{ printf "%v" (list 1 "x") }}"#,
            "[a b][1 x]",
        ),
        (
            r#"{{ if has "b" (list "a" "b") }}yes{{ end }}{{ with list }}x{{ else }}none{{ end }}"#,
            "yesnone",
        ),
        (
            r#"{{ (split "," "a")._7 }}{{ splitList "" "ab" }}"#,
            "<no value>[a b]",
        ),
        (
            r"{{ base .Value }} {{ dir .Value }} {{ ext .Value }}",
            "0.log /var/log/pods/shop_web-1_7f/nginx .log",
        ),
        (
            r#"{{ base "" }} {{ base "//" }} {{ base "a/b/" }} {{ dir "a" }} {{ dir "/a//../b/c" }} {{ dir "../../a" }}"#,
            ". / b . /b ../..",
        ),
        (
            r#"{{ println "a" 1 }}{{ indent 2 "a\nb" }}{{ nindent 1 "c" }}"#,
            "a 1\n  a\n  b\n c",
        ),
        (
            r#"{{ abbrev 6 "abcdefgh" }} {{ abbrev 8 "abcdefgh" }} {{ abbrev 3 "abcdefgh" }}"#,
            "abc... abcdefgh abcdefgh",
        ),
        (
            r#"{{ mustRegexReplaceAll "[0-9]+" "a1b22" "<$0>" }}{{ mustRegexFind "b." "abc" }}"#,
            "a<1>b<22>bc",
        ),
    ] {
        assert_eq!(template(text, path).unwrap(), expected, "{text}");
    }
}

#[test]
fn templates_reckon_as_sprig_does() {
    for (text, expected) in [
        ("{{ add1 41 }} {{ max 1 .n 3 }} {{ min 4 \"2\" }}", "42 3 2"),
        (
            "{{ floor 2.7 }} {{ ceil \"2.1\" }} {{ round 3.14159 2 }} {{ round 2.5 0 }}",
            "2 3 3.14 3",
        ),
        ("{{ atoi \"12\" }} {{ atoi \"x\" }}", "12 0"),
    ] {
        assert_eq!(template(text, "v").unwrap(), expected, "{text}");
    }
}

#[test]
fn hashes_are_those_of_promtail() {
    let hash = template(r#"{{ Hash .Value "salt" }}"#, "this is PII data").unwrap();
    assert_eq!(
        hash,
        "0807ea24e992127128b38e4930f7155013786a4999c73a25910318a793847658"
    );
    let hash = template(r#"{{ Sha2Hash .Value "salt" }}"#, "this is PII data").unwrap();
    assert_eq!(
        hash,
        "5526fd6f8ad457279cf8ff06453c6cb61bf479fa826e3b099caa6c846f9376f2"
    );
}

#[test]
fn an_empty_result_takes_the_value_away_and_a_missing_source_is_made() {
    assert_eq!(template("", "x"), None);
    assert_eq!(template("{{ if eq .Value \"y\" }}z{{ end }}", "x"), None);
    assert_eq!(
        extracted("- template: { source: new, template: 'TEST' }", "new", "x").unwrap(),
        "TEST"
    );
    let yaml = "- template: { source: new, template: '{{ .job | ToUpper }} {{ .Entry }}' }";
    assert_eq!(extracted(yaml, "new", "x").unwrap(), "TEST x");
}

#[test]
fn a_template_that_fails_on_a_line_changes_nothing() {
    for text in [
        "{{ .n | ToLower }}",
        "{{ lt .Value 3 }}",
        "{{ div 1 0 }}",
        "{{ b64dec \"?\" }}",
        "{{ index (splitList \" \" .Value) 2 }}",
        "{{ index .Value 0 }}",
        "{{ first .Value }}",
        "{{ (ToLower .Value)._0 }}",
        "{{ list (list 1) }}",
        "{{ indent 999999999999 .Value }}",
        "{{ splitList \"\" (repeat 20000 \"x\") }}",
    ] {
        assert_eq!(
            template(text, "Some Value").unwrap(),
            "Some Value",
            "{text}"
        );
    }
}

#[test]
fn extracted_numbers_are_text_in_templates() {
    let yaml = "- json: { expressions: { n: , z: } }\n- template: { source: out, template: '{{ .n }}{{ eq .n \"12\" }}{{ .z }}' }";
    assert_eq!(
        extracted(yaml, "out", r#"{"n":12.0,"z":null}"#).unwrap(),
        "12true<no value>"
    );
}

#[test]
fn what_templates_cannot_do_is_refused_by_its_column() {
    for (text, column) in [
        ("{{ range .Value }}x{{ end }}", 4),
        ("{{ $x }}", 4),
        ("{{ $x = .Value }}", 4),
        ("{{ $x := $x }}", 10),
        ("{{ if .a }}{{ $x := .a }}{{ end }}{{ $x }}", 38),
        ("{{ if $x := .a }}{{ end }}{{ $x }}", 30),
        ("{{ ToLower $x := .a }}", 12),
        ("{{ $x := .a }}{{ $x.b }}", 20),
        ("{{ $.a.b }}", 4),
        ("{{ $ }}", 4),
        ("{{ with .a }}{{ .b }}{{ end }}", 17),
        ("{{ index . 1 }}", 4),
        ("{{ (ToLower .a).b }}", 16),
        ("{{ with .a }}x", 3),
        ("ab{{ unknown .Value }}", 6),
        ("{{ .Value", 10),
        ("{{ if .Value }}x", 3),
        ("x{{ end }}", 4),
        ("{{ .Value.field }}", 4),
        ("{{ . }}", 4),
        ("{{ ToLower }}", 4),
        ("{{ ToLower .a .b }}", 4),
        ("{{ now }}", 4),
        ("{{ env \"HOME\" }}", 4),
        ("{{ regexReplaceAll .Value .a .b }}", 4),
        ("{{ regexReplaceAll \"(\" .a .b }}", 4),
        ("{{ printf \"%z\" .a }}", 4),
        ("{{ template \"x\" }}", 4),
        ("{{ (.Value }}", 5),
        ("{{ .Value | .a }}", 13),
        ("{{ if .a }}{{ else range .b }}{{ end }}", 14),
    ] {
        let yaml = format!(
            "- template: {{ source: v, template: {} }}",
            serde_json::to_string(text).unwrap()
        );
        let error = compile_error(&yaml);
        assert_eq!(error.path(), "[0].template.template", "{text}");
        assert!(
            error.problem().ends_with(&format!("at column {column}")),
            "{text}: {error}"
        );
        assert!(!error.hint().is_empty());
    }
}

#[test]
fn pack_puts_labels_and_values_into_the_line() {
    let yaml = "- json: { expressions: { a: , z: } }\n- pack: { labels: [ job, a, z, missing ] }";
    let record = one(yaml, r#"{"a":"x<","z":null}"#);
    assert_eq!(
        record.line,
        r#"{"a":"x\u003c","job":"test","_entry":"{\"a\":\"x\u003c\",\"z\":null}"}"#
    );
    assert!(record.labels.is_empty());
}

#[test]
fn pack_without_labels_wraps_the_line() {
    assert_eq!(
        one("- pack: {}", "a \"b\"\n").line,
        r#"{"_entry":"a \"b\"\n"}"#
    );
    assert_eq!(one("- pack:", "x").line, r#"{"_entry":"x"}"#);
}

#[test]
fn pack_takes_the_time_of_reading_unless_told_otherwise() {
    let yaml = |settings: &str| {
        format!(
            "- regex: {{ expression: '(?P<t>.+)' }}\n- timestamp: {{ source: t, format: Unix }}\n- pack: {settings}"
        )
    };
    assert_eq!(one(&yaml("{}"), "1562708916").timestamp, NOW);
    assert_eq!(
        one(&yaml("{ ingest_timestamp: false }"), "1562708916").timestamp,
        1_562_708_916 * SECOND
    );
}

#[test]
fn pack_keeps_the_labels_it_does_not_name() {
    let mut run = Run::new("- pack: { labels: [ a ] }").labels(&[("a", "1"), ("b", "2")]);
    run.line("x");
    assert_eq!(run.last().labels, [("b".to_owned(), "2".to_owned())]);
    assert_eq!(run.last().line, r#"{"a":"1","_entry":"x"}"#);
}

#[test]
fn pack_packs_the_extracted_value_rather_than_the_label() {
    let yaml = "- json: { expressions: { job: } }\n- pack: { labels: [ job ] }";
    let record = one(yaml, r#"{"job":"json"}"#);
    assert!(
        record.line.starts_with(r#"{"job":"json","#),
        "{}",
        record.line
    );
    assert!(record.labels.is_empty());
}

#[test]
fn ansi_escapes_are_removed() {
    for (line, expected) in [
        ("\u{1b}[0;32mgreen\u{1b}[0m text", "green text"),
        ("\u{1b}[38;5;196mred\u{1b}[K", "red"),
        ("\u{1b}]0;title\u{7}text", "text"),
        ("no escapes [0m", "no escapes [0m"),
        ("\u{1b}[1mü\u{1b}[22m", "ü"),
        ("end \u{1b}", "end \u{1b}"),
    ] {
        assert_eq!(one("- decolorize: {}", line).line, expected);
    }
}

#[test]
fn escapes_are_removed_from_the_line_of_that_moment_and_from_no_value() {
    let yaml = "- json: { expressions: { m: } }\n- output: { source: m }\n- decolorize:";
    let line = r#"{"m":"\u001b[1mbold\u001b[0m"}"#;
    assert_eq!(one(yaml, line).line, "bold");
    assert_eq!(
        extracted(yaml, "m", line).unwrap(),
        "\u{1b}[1mbold\u{1b}[0m"
    );
}

#[test]
fn escapes_among_bytes_that_are_not_utf8_are_removed() {
    let record = one("- decolorize: {}", b"\xff\x1b[1mx\x1b[0m");
    assert_eq!(record.line, "\u{fffd}x");
}

#[test]
fn a_line_can_be_parsed_once_its_escapes_are_gone() {
    let yaml = "- decolorize: {}\n- logfmt: { mapping: { level: } }";
    let line = "\u{1b}[32mlevel\u{1b}[0m=info";
    assert_eq!(extracted(yaml, "level", line).unwrap(), "info");
}

#[test]
fn a_line_of_escapes_alone_becomes_empty_and_is_kept() {
    let record = one("- decolorize:", "\u{1b}[0m\u{1b}[K");
    assert_eq!((record.line.as_str(), record.lines), ("", 1));
}
