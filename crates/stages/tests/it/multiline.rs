//! `multiline`.

use crate::kit::*;

const START: &str = "- multiline: { firstline: '^START', max_wait_time: 3s }";

#[test]
fn a_group_has_time_labels_and_values_of_its_first_line() {
    let yaml = "- regex: { expression: '^START (?P<id>\\d+)' }\n- multiline: { firstline: '^START' }\n- labels: { id: }";
    let mut run = Run::new(yaml);
    run.line("START 1").line("more").line("START 2");
    let record = run.last();
    assert_eq!(
        (record.line.as_str(), record.timestamp),
        ("START 1\nmore", NOW)
    );
    assert_eq!(record.label("id"), Some("1"));
}

#[test]
fn a_group_stands_for_all_its_bytes_and_holds_the_position() {
    let mut run = Run::new(START);
    run.line("before").line("START").line("a").line("b");
    assert_eq!(run.held_from(), Some(7));
    run.line("START");
    assert_eq!(run.held_from(), Some(17));
    assert_eq!(
        (run.last().spans.clone(), run.last().lines),
        (vec![(1, 7, 17)], 3)
    );
}

#[test]
fn a_group_ends_when_its_last_line_is_too_long_ago() {
    let mut run = Run::new(START);
    run.line("START").line("a");
    run.now += 2 * SECOND;
    run.flush();
    assert!(run.records.is_empty());
    run.line("b");
    run.now += 3 * SECOND;
    run.flush();
    assert_eq!(run.lines(), ["START\na\nb"]);
    assert_eq!(run.held_from(), None);
}

#[test]
fn a_line_behind_a_group_that_timed_out_opens_one_with_the_time_of_the_old_start() {
    let mut run = Run::new(START);
    run.line("START");
    run.now += 3 * SECOND;
    run.flush().line("late").finish();
    assert_eq!(run.lines(), ["START", "late"]);
    assert_eq!(run.last().timestamp, NOW);
}

#[test]
fn a_time_out_counts_by_the_time_of_reading_even_if_no_one_flushed() {
    let mut run = Run::new(START);
    run.line("START");
    run.now += 4 * SECOND;
    run.line("late").finish();
    assert_eq!(run.lines(), ["START", "late"]);
}

#[test]
fn a_group_with_as_many_lines_as_allowed_ends_and_goes_on_as_another() {
    let mut run = Run::new("- multiline: { firstline: '^S', max_lines: 2 }");
    run.line("S")
        .line("1")
        .line("2")
        .line("3")
        .line("4")
        .finish();
    assert_eq!(run.lines(), ["S\n1", "2\n3", "4"]);
}

#[test]
fn a_joined_line_counts_once_against_the_lines_of_a_group() {
    let mut run = Run::new("- cri: {}\n- multiline: { firstline: '^S', max_lines: 2 }");
    run.line("2019-01-01T01:00:00Z stdout F S")
        .line("2019-01-01T01:00:00Z stdout P a")
        .line("2019-01-01T01:00:00Z stdout P b")
        .line("2019-01-01T01:00:00Z stdout F c");
    assert_eq!(run.lines(), ["S\nabc"]);
    assert_eq!(run.last().lines, 4);
}

#[test]
fn streams_are_joined_apart() {
    let mut run = Run::new("- cri: {}\n- multiline: { firstline: '^S' }");
    run.line("2019-01-01T01:00:00Z stdout F S out")
        .line("2019-01-01T01:00:00Z stderr F S err")
        .line("2019-01-01T01:00:00Z stdout F more")
        .finish();
    assert_eq!(run.lines(), ["S err", "S out\nmore"]);
}

#[test]
fn files_are_joined_apart() {
    let mut run = Run::new(START);
    run.line("START 1");
    run.file = 2;
    run.line("START 2").line("more").finish();
    assert_eq!(run.lines(), ["START 2\nmore"]);
    run.file = 1;
    run.finish();
    assert_eq!(run.lines()[1], "START 1");
}

#[test]
fn a_forgotten_file_holds_nothing() {
    let mut run = Run::new(START);
    run.line("START 1");
    run.worker.forget(tailwater_record::FileId(1));
    assert_eq!(run.held_from(), None);
    run.line("more").finish();
    assert_eq!(run.lines(), ["more"]);
}

#[test]
fn a_group_goes_on_in_the_next_generation_of_its_file() {
    let mut run = Run::new(START);
    run.line("START 1").line("a");
    run.worker
        .hand_over(tailwater_record::FileId(1), tailwater_record::FileId(2));
    run.file = 2;
    run.line("b").line("START 2");
    assert_eq!(run.lines(), ["START 1\na\nb"]);
    assert_eq!(run.last().spans, [(1, 0, 10), (2, 10, 12)]);
    assert_eq!(run.worker.held_from(tailwater_record::FileId(1)), None);
}

#[test]
fn groups_drop_structured_metadata() {
    let mut run = Run::new("- structured_metadata: { m: job }\n- multiline: { firstline: '^S' }");
    run.line("S").finish();
    assert!(run.last().metadata.is_empty());
}

#[test]
fn groups_are_bounded() {
    let limits = tailwater_stages::Limits {
        max_group_bytes: 10,
        max_held_bytes: 40,
        max_streams: 2,
        ..tailwater_stages::Limits::default()
    };
    let compiled = tailwater_stages::Stages::compile_within(&stages(START), limits).unwrap();
    let mut run = Run::new(START);
    run.worker = compiled.worker();
    run.line("START").line("1234").line("5678");
    assert_eq!(
        run.lines(),
        ["START\n1234"],
        "a group of too many bytes goes on as another"
    );
    for file in 2..5 {
        run.file = file;
        run.line("START");
    }
    // Of the streams the oldest gave way, and nothing is lost.
    assert_eq!(run.lines(), ["START\n1234", "5678", "START"]);
}

#[test]
fn extracted_values_and_labels_of_groups_are_bounded_with_their_lines() {
    let limits = tailwater_stages::Limits {
        max_held_bytes: 5000,
        ..tailwater_stages::Limits::default()
    };
    let yaml = "- regex: { expression: '(?P<all>.*)' }\n- labels: { all: }\n- multiline: { firstline: '^S' }";
    let compiled = tailwater_stages::Stages::compile_within(&stages(yaml), limits).unwrap();
    let mut run = Run::new("[]");
    run.worker = compiled.worker();
    for file in 0..10 {
        run.file = file;
        run.line(format!("S{}", "x".repeat(999)));
    }
    // A line is held three times: as itself, as a value, and as a label.
    assert_eq!(run.records.len(), 9);
    run.finish();
    assert_eq!(run.records.len(), 10);
    assert!(!run.worker.holds_any());
}

const HEADED: &str =
    "- multiline: { firstline: '^# User', heading: '^# Time', max_wait_time: 3s, max_lines: 0 }";

#[test]
fn a_first_line_behind_a_heading_goes_on_with_its_group() {
    let mut run = Run::new(HEADED);
    run.line("# Time 1").line("# User a").line("SELECT 1");
    run.line("# User b").line("SELECT 2");
    run.line("# Time 2").line("# User c").line("SELECT 3");
    run.line("# User d").finish();
    assert_eq!(
        run.lines(),
        [
            "# Time 1\n# User a\nSELECT 1",
            "# User b\nSELECT 2",
            "# Time 2\n# User c\nSELECT 3",
            "# User d"
        ]
    );
}

#[test]
fn only_the_line_right_behind_a_heading_goes_on_with_it() {
    let mut run = Run::new(HEADED);
    run.line("# Time 1").line("other").line("# User a");
    run.line("# Time 2").line("# Time 3").line("# User b");
    run.line("# Time 4");
    run.now += 3 * SECOND;
    run.flush().line("# User c").finish();
    assert_eq!(
        run.lines(),
        [
            "# Time 1\nother",
            "# User a",
            "# Time 2",
            "# Time 3\n# User b",
            "# Time 4",
            "# User c"
        ]
    );
}

#[test]
fn an_empty_heading_leaves_nothing_above_the_first_line() {
    let mut run = Run::new("- multiline: { firstline: '^S', heading: '^$' }");
    run.line("").line("S 1").line("a");
    assert_eq!(run.held_from(), Some(0));
    run.line("").line("S 2").finish();
    assert_eq!(run.lines(), ["S 1\na", "S 2"]);
    assert_eq!(run.records[0].lines, 3);
}

#[test]
fn a_patient_worker_lets_groups_end_by_their_lines_alone() {
    let mut run = Run::new("- multiline: { firstline: '^S' }");
    run.worker.set_patient();
    run.line("S 1");
    run.now += 3_600 * SECOND;
    run.flush().line("a").line("S 2").finish();
    assert_eq!(run.lines(), ["S 1\na", "S 2"]);
}
