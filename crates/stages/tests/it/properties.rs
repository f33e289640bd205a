//! What holds for every line.

use proptest::prelude::*;

use crate::kit::*;

/// Single stages, and lists of them, that any line may meet.
const LISTS: &[&str] = &[
    "- cri: {}",
    "- docker: {}",
    "- json: { expressions: { a: , b: 'a.b', c: 'a[0]' } }\n- labels: { a: , b: , c: }",
    "- json: { expressions: { a: }, drop_malformed: true }\n- output: { source: a }",
    "- logfmt: { mapping: { a: , b: } }\n- labels: { a: , b: }",
    "- regex: { expression: '(?P<a>\\w+)\\W*(?P<b>.*)' }\n- output: { source: b }",
    "- replace: { expression: '(\\w)(.)?', replace: '<{{ .Value }}>' }",
    "- template: { source: t, template: '{{ .Entry | title | trunc 9 | quote }}' }\n- output: { source: t }",
    "- regex: { expression: '(?P<t>.*)' }\n- timestamp: { source: t, format: RFC3339, fallback_formats: [ Unix, 'Jan _2 15:04:05.000', '02/Jan/06 3PM MST' ] }",
    "- drop: { expression: 'a', longer_than: 3b }",
    "- match: { selector: '{job=\"test\"} |= \"a\" !~ \"b+\"', stages: [ { decolorize: {} }, { pack: {} } ] }",
    "- multiline: { firstline: '^[a-m]', max_lines: 3 }",
    "- multiline: { firstline: '^[a-m]', heading: '^[g-t]', max_lines: 3 }",
    "- cri: {}\n- multiline: { firstline: '^[a-m]' }\n- static_labels: { a: b }",
    "- sampling: { rate: 0.5 }\n- structured_metadata: { j: job }\n- tenant: { label: job }",
    "- regex: { expression: '(?P<level>\\w+)' }\n- level: { default: WARN }\n- multiline: { firstline: '^[a-m]' }",
    "- logfmt: { mapping: { a: } }\n- level: { source: a, from: syslog }\n- sampling: { rate: 0.1, keep: { level: warn } }",
    "- regex: { expression: '(?s)(?P<message>.*)' }\n- eventlogmessage: {}\n- labels: { a: }",
];

fn line() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..64),
        "[ -~]{0,40}".prop_map(String::into_bytes),
        r#"\{("[a-c]{1,2}":("[^"\\\x00-\x1f]{0,8}"|-?[0-9]{1,4}(\.[0-9]{1,3})?|null|true|\[1,"x"\]|\{"b":"\\u00e9"\}),?){0,3}\}"#
            .prop_map(String::into_bytes),
        r"2019-0[1-9]-0[1-9]T01:00:00(\.[0-9]{1,9})?Z (stdout|stderr) [FP] [a-z ]{0,8}".prop_map(String::into_bytes),
        r#"([a-c]=("[^"]{0,6}"|[a-z0-9]{0,4}) ?){0,4}"#.prop_map(String::into_bytes),
    ]
}

fn run(list: &str, lines: &[Vec<u8>]) -> Run {
    let mut run = Run::new(list);
    for line in lines {
        run.line(line);
    }
    run
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_line_comes_out_once(lines in prop::collection::vec(line(), 1..12), index in 0..LISTS.len()) {
        let mut run = run(LISTS[index], &lines);
        let held = run.held_from().is_some();
        run.finish();
        let kept: u64 = run.records.iter().map(|record| record.lines).sum();
        let dropped: u64 = run.dropped.iter().map(|(_, lines)| lines).sum();
        prop_assert_eq!(kept + dropped, lines.len() as u64);
        prop_assert!(run.held_from().is_none(), "held before: {}", held);
    }

    #[test]
    fn the_same_lines_give_the_same_records(lines in prop::collection::vec(line(), 1..12), index in 0..LISTS.len()) {
        let once = run(LISTS[index], &lines);
        let again = run(LISTS[index], &lines);
        prop_assert_eq!(&once.records, &again.records);
        prop_assert_eq!(&once.dropped, &again.dropped);
    }

    #[test]
    fn a_worker_that_saw_other_files_gives_the_same_records(
        lines in prop::collection::vec(line(), 1..8),
        others in prop::collection::vec(line(), 1..8),
        index in 0..LISTS.len(),
    ) {
        // Times may be fudged by what came before, and samples go by offsets: not those lists.
        prop_assume!(!LISTS[index].contains("timestamp") && !LISTS[index].contains("sampling"));
        prop_assume!(!LISTS[index].contains("cri") && !LISTS[index].contains("docker"));
        let alone = run(LISTS[index], &lines);
        let mut beside = Run::new(LISTS[index]);
        beside.file = 2;
        for line in &others {
            beside.line(line);
        }
        beside.finish();
        let before = beside.records.len();
        beside.file = 1;
        for line in &lines {
            beside.line(line);
        }
        let text = |records: &[Record]| -> Vec<_> {
            records.iter().map(|record| (record.line.clone(), record.labels.clone())).collect()
        };
        prop_assert_eq!(text(&alone.records), text(&beside.records[before..]));
    }

    #[test]
    fn any_text_is_compiled_or_refused(text in "[ -~é]{0,24}") {
        let quoted = serde_json::to_string(&text).unwrap();
        for stage in [
            format!("- regex: {{ expression: {quoted} }}"),
            format!("- template: {{ source: a, template: {quoted} }}"),
            format!("- timestamp: {{ source: a, format: {quoted} }}"),
            format!("- match: {{ selector: {quoted}, action: drop }}"),
            format!("- json: {{ expressions: {{ a: {quoted} }} }}"),
            format!("- drop: {{ longer_than: {quoted}, older_than: {quoted} }}"),
        ] {
            let compiled = tailwater_stages::Stages::compile(&stages(&stage));
            prop_assert!(compiled.is_ok() || !compiled.unwrap_err().problem().is_empty());
        }
    }
}
