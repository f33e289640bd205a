//! What users of Promtail trip over, and have come to rely on.

use tailwater_record::FileId;

use crate::kit::*;

fn cri(flag: char, content: &str) -> String {
    format!("2019-01-01T01:00:00Z stdout {flag} {content}")
}

#[test]
fn no_limit_of_partial_lines_and_one_of_0_mean_100_streams() {
    for yaml in ["- cri: {}", "- cri: { max_partial_lines: 0 }"] {
        let mut run = Run::new(yaml);
        for stream in 0..100 {
            run.labels = set(&[("stream_of", &stream.to_string())]);
            run.line(cri('P', "a"));
        }
        assert!(run.records.is_empty(), "{yaml}");
        run.labels = set(&[("stream_of", "another")]);
        run.line(cri('P', "b"));
        assert_eq!(run.records.len(), 100, "{yaml}");
        assert_eq!(run.held_from(), Some(100 * 32), "{yaml}");
    }
}

#[test]
fn a_stream_that_goes_on_releases_all_as_well_when_as_many_as_allowed_are_held() {
    let mut run = Run::new("- cri: { max_partial_lines: 1 }");
    run.line(cri('P', "one ")).line(cri('P', "two "));
    assert_eq!(run.lines(), ["one "]);
    run.line(cri('F', "three"));
    assert_eq!(run.lines(), ["one ", "two three"]);
}

#[test]
fn a_partial_line_is_cut_each_time_it_grows_and_never_within_a_limit_it_was_not_given() {
    let yaml = "- cri: { max_partial_line_size: 6, max_partial_line_size_truncate: true }";
    let mut run = Run::new(yaml);
    for part in ["1234", "5678", "9abc"] {
        run.line(cri('P', part));
    }
    run.line(cri('F', "def"))
        .line(cri('F', "a whole line is not cut"));
    assert_eq!(run.lines(), ["123456", "a whole line is not cut"]);
    assert_eq!(run.records[0].lines, 4);
}

#[test]
fn fudged_times_follow_each_other_by_a_nanosecond() {
    let yaml = "- json: { expressions: { t: } }\n- timestamp: { source: t, format: RFC3339 }";
    let mut run = Run::new(yaml);
    run.line("before any time");
    assert_eq!(run.last().timestamp, NOW);
    run.line(r#"{"t":"2026-01-01T00:00:00Z"}"#);
    for later in 1..4 {
        run.line("without");
        assert_eq!(run.last().timestamp, ns("2026-01-01T00:00:00Z") + later);
    }
    run.line(r#"{"t":"2026-01-02T00:00:00Z"}"#).line("{}");
    assert_eq!(run.last().timestamp, ns("2026-01-02T00:00:00Z") + 1);
}

#[test]
fn a_fudged_time_follows_the_lines_of_its_own_file_and_goes_with_it_through_a_rotation() {
    let yaml = "- json: { expressions: { t: } }\n- timestamp: { source: t, format: RFC3339 }";
    let mut run = Run::new(yaml);
    run.line(r#"{"t":"2026-01-01T00:00:00Z"}"#);
    run.file = 2;
    run.line("without");
    assert_eq!(run.last().timestamp, NOW + 1_000_000);
    run.worker.hand_over(FileId(1), FileId(3));
    run.file = 3;
    run.line("without");
    assert_eq!(run.last().timestamp, ns("2026-01-01T00:00:00Z") + 1);
}

#[test]
fn fudging_remembers_ten_thousand_label_sets_and_not_all() {
    let yaml = r"
- regex: { expression: '^(?P<id>\d+) (?P<t>\S+)$' }
- regex: { expression: '^(?P<id>\d+)' }
- labels: { id: }
- timestamp: { source: t, format: RFC3339 }";
    let mut run = Run::new(yaml);
    for id in 0..30_000 {
        run.line(format!("{id} 2026-01-01T00:00:00Z"));
    }
    run.line("29999");
    assert_eq!(run.last().timestamp, ns("2026-01-01T00:00:00Z") + 1);
    run.line("20001");
    assert_eq!(run.last().timestamp, ns("2026-01-01T00:00:00Z") + 1);
    let read_at = run.now;
    run.line("0");
    assert_eq!(run.last().timestamp, read_at);
}

#[test]
fn of_a_list_of_drop_all_must_be_there_though_promtails_manual_says_one() {
    let yaml = "- json: { expressions: { a: , b: } }\n- drop: { source: [ a, c ] }";
    assert_eq!(one(yaml, r#"{"a":1,"b":2}"#).lines, 1);
    let yaml = "- json: { expressions: { a: , b: } }\n- drop: { source: [ a, b ] }";
    let mut run = Run::new(yaml);
    run.line(r#"{"a":1,"b":2}"#);
    assert!(run.records.is_empty());
}

#[test]
fn a_list_of_drop_is_matched_as_one_text() {
    let yaml = r"
- json: { expressions: { a: , b: , c: } }
- drop: { source: [ a, b, c ], separator: '#', expression: '^x#z$' }";
    let mut run = Run::new(yaml);
    run.line(r#"{"a":"x","b":null,"c":"z"}"#);
    assert_eq!(run.dropped, [("drop_stage".to_owned(), 1)]);
    run.line(r#"{"a":"x","b":"","c":"z"}"#);
    assert_eq!(
        run.lines(),
        [r#"{"a":"x","b":"","c":"z"}"#],
        "an empty value is a value"
    );
}

#[test]
fn a_demoted_label_goes_by_the_name_of_its_source() {
    let yaml = "- structured_metadata: { renamed: pod, job: node }";
    let mut run = Run::new(yaml).labels(&[("pod", "p"), ("node", "n"), ("job", "j")]);
    run.line("x");
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        run.last().metadata,
        [pair("job", "n"), pair("renamed", "p")]
    );
    assert_eq!(run.last().labels, [pair("job", "j")]);
}

#[test]
fn a_nested_pipeline_gives_extracted_values_the_values_of_labels() {
    let yaml = r#"
- json: { expressions: { job: } }
- match:
    selector: '{job="test"}'
    stages: [ { output: { source: job } } ]
- labels: { seen: job }"#;
    let record = one(yaml, r#"{"job":"of the line"}"#);
    assert_eq!(record.line, "test", "the label's, not the line's");
    assert_eq!(record.label("seen"), Some("test"), "and it stays");
}

#[test]
fn groups_are_replaced_by_their_names_once_the_environment_was_expanded() {
    // Users write `$${1}`, of which the expansion of the environment leaves this.
    let yaml = r#"
- regex: { expression: '(?P<m>.*)' }
- template: { source: m, template: '{{ regexReplaceAll "user=(\\S+)" .Value "user=<${1}>" }}' }
- output: { source: m }"#;
    assert_eq!(one(yaml, "a user=b c").line, "a user=<b> c");
    // Without the braces the name is as long as it can be: there is no group `1_`.
    let yaml = yaml.replace("<${1}>", "$1_");
    assert_eq!(one(&yaml, "a user=b c").line, "a user= c");
}

#[test]
fn lines_that_were_dropped_as_malformed_are_told_apart_from_those_promtail_counts() {
    let yaml = "- json: { expressions: { a: }, drop_malformed: true }\n- drop: { source: a }";
    let mut run = Run::new(yaml);
    run.line("no JSON").line(r#"{"a":1}"#);
    let reasons: Vec<&str> = run
        .dropped
        .iter()
        .map(|(reason, _)| reason.as_str())
        .collect();
    assert_eq!(reasons, ["json_malformed", "drop_stage"]);
}

#[test]
fn a_line_behind_a_full_group_has_the_time_of_the_first_start() {
    let mut run = Run::new("- multiline: { firstline: '^S', max_lines: 2 }");
    run.line("S").line("1").line("2").finish();
    assert_eq!(run.lines(), ["S\n1", "2"]);
    assert_eq!(run.last().timestamp, NOW);
}

#[test]
fn a_restart_at_any_line_gives_the_same_records() {
    let lists = [
        "- multiline: { firstline: '^S' }",
        "- cri: {}",
        "- cri: {}\n- multiline: { firstline: '^S' }\n- drop: { expression: drop }",
    ];
    let lines: Vec<String> = ["S 1", "a", "S drop", "b", "S 2", "S 3", "c", "d"]
        .iter()
        .zip("FFPFPPFF".chars())
        .map(|(content, flag)| cri(flag, content))
        .collect();
    let bare = ["alone", "S 1", "a", "b", "S 2", "S 3", "c"].map(str::to_owned);
    for (list, lines) in lists.iter().zip([&bare[..], &lines, &lines]) {
        let mut whole = Run::new(list);
        for line in lines {
            whole.line(line);
        }
        whole.finish();
        for stop in 0..=lines.len() {
            let mut first = Run::new(list);
            for line in lines.iter().take(stop) {
                first.line(line);
            }
            let end = first.offset();
            let from = first.held_from().unwrap_or(end);
            let mut again = Run::new(list);
            again.resume_at(from);
            let mut offset = 0;
            for line in lines {
                if offset >= from {
                    again.line(line);
                }
                offset += line.len() as u64 + 1;
            }
            again.finish();
            let mut records = first.records;
            records.append(&mut again.records);
            let view = |records: &[Record]| -> Vec<(String, u64, u64)> {
                let each = records.iter();
                each.map(|record| (record.line.clone(), record.lines, record.spans[0].1))
                    .collect()
            };
            assert_eq!(view(&records), view(&whole.records), "{list} at {stop}");
        }
    }
}
