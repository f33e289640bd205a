//! `cri` and `docker`.

use crate::kit::*;

#[test]
fn partial_lines_are_joined_with_the_time_of_the_last_one() {
    let mut run = Run::new("- cri: {}");
    run.line("2019-01-01T01:00:00Z stdout P one ");
    assert_eq!(run.held_from(), Some(0));
    run.line("2019-01-01T01:00:01Z stdout P two ")
        .line("2019-01-01T01:00:02Z stdout F three");
    assert_eq!(run.held_from(), None);
    let record = run.last();
    assert_eq!(record.line, "one two three");
    assert_eq!(record.timestamp, ns("2019-01-01T01:00:02Z"));
    assert_eq!(record.lines, 3);
    assert_eq!(record.spans.len(), 1);
    assert_eq!(record.spans[0].1, 0);
}

#[test]
fn streams_of_one_file_are_joined_apart() {
    let mut run = Run::new("- cri: {}");
    run.line("2019-01-01T01:00:00Z stdout P out ")
        .line("2019-01-01T01:00:00Z stderr F err")
        .line("2019-01-01T01:00:00Z stdout F end");
    assert_eq!(run.lines(), ["err", "out end"]);
}

#[test]
fn flags_with_a_tag_are_of_a_whole_line() {
    assert_eq!(
        one("- cri: {}", "2019-01-01T01:00:00Z stdout P:x message").line,
        "message"
    );
}

#[test]
fn a_joined_line_is_cut_only_if_asked_for() {
    let lines = [
        "2019-01-01T01:00:00Z stdout P 12345",
        "2019-01-01T01:00:00Z stdout F 6789",
    ];
    let yaml = "- cri: { max_partial_line_size: 7, max_partial_line_size_truncate: true }";
    let mut run = Run::new(yaml);
    run.line(lines[0]).line(lines[1]);
    assert_eq!(run.lines(), ["1234567"]);
    let mut run = Run::new("- cri: { max_partial_line_size: 7 }");
    run.line(lines[0]).line(lines[1]);
    assert_eq!(run.lines(), ["123456789"]);
    let mut run = Run::new("- cri: { max_partial_line_size_truncate: true }");
    run.line(lines[0]).line(lines[1]);
    assert_eq!(run.lines(), [""]);
}

#[test]
fn content_may_be_empty_and_have_any_bytes() {
    assert_eq!(one("- cri: {}", "2019-01-01T01:00:00Z stdout F ").line, "");
    let odd = "2019-01-01T01:00:00Z stdout F";
    assert_eq!(one("- cri: {}", odd).line, odd);
    let record = one("- cri: {}", b"2019-01-01T01:00:00Z stdout F a\xff b");
    assert_eq!(record.line, "a\u{fffd} b");
}

#[test]
fn a_partial_line_survives_a_rotation_of_its_file() {
    let mut run = Run::new("- cri: {}");
    run.line("2019-01-01T01:00:00Z stdout P one ");
    run.worker
        .hand_over(tailwater_record::FileId(1), tailwater_record::FileId(2));
    assert_eq!(run.held_from(), Some(0));
    run.file = 2;
    run.line("2019-01-01T01:00:00Z stdout F two");
    assert_eq!(run.lines(), ["one two"]);
    assert_eq!(
        run.last()
            .spans
            .iter()
            .map(|span| span.0)
            .collect::<Vec<_>>(),
        [1, 2]
    );
}

#[test]
fn a_docker_line_has_the_time_it_says() {
    let line = r#"{"log":"x","stream":"stdout","time":"2019-04-30T02:12:41.8443515Z"}"#;
    assert_eq!(
        one("- docker:", line).timestamp,
        ns("2019-04-30T02:12:41.8443515Z")
    );
}

#[test]
fn a_docker_line_without_a_time_comes_a_nanosecond_after_the_last() {
    let mut run = Run::new("- docker: {}");
    run.line(r#"{"log":"a","stream":"stdout","time":"2019-04-30T02:12:41Z"}"#);
    run.line(r#"{"log":"b","stream":"stdout","time":"?"}"#);
    run.line(r#"{"log":"c","stream":"stderr","time":"?"}"#);
    let times: Vec<u64> = run.records.iter().map(|record| record.timestamp).collect();
    let first = ns("2019-04-30T02:12:41Z");
    assert_eq!(times, [first, first + 1, NOW + 2_000_000]);
}

#[test]
fn docker_does_not_join_partial_lines() {
    let mut run = Run::new("- docker: {}");
    run.line(r#"{"log":"a"}"#).line(r#"{"log":"b\n"}"#);
    assert_eq!(run.lines(), ["a", "b\n"]);
}

#[test]
fn an_extracted_value_of_docker_can_be_used_behind_it() {
    let yaml = "- docker: {}";
    let line = r#"{"log":"x","stream":"stdout","time":"2019-04-30T02:12:41Z"}"#;
    assert_eq!(
        extracted(yaml, "timestamp", line).unwrap(),
        "2019-04-30T02:12:41Z"
    );
}
