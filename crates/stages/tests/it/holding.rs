//! What a worker holds, and what it forgets.

use tailwater_record::{FileId, TimestampNs};
use tailwater_stages::{Held, Stages};

use crate::kit::*;

const START: &str = "- multiline: { firstline: '^START', max_wait_time: 3s }";
const CRI: &str = "2019-01-01T01:00:00Z stdout";

/// The first bytes of the groups of a file, and after how many milliseconds they were read.
fn held(run: &Run, file: u64) -> Vec<(u64, u64)> {
    let mut held = Vec::new();
    run.worker
        .held(FileId(file), &mut |Held { start, read_at }| {
            held.push((start, (read_at.0 - NOW) / 1_000_000));
        });
    held.sort_unstable();
    assert_eq!(
        run.worker.held_from(FileId(file)),
        held.first().map(|(start, _)| *start)
    );
    held
}

#[test]
fn every_open_group_is_held_with_the_time_its_first_line_was_read_at() {
    let mut run = Run::new("- cri: {}\n- multiline: { firstline: '^S' }");
    run.line(format!("{CRI} F S 1"))
        .line(format!("{CRI} F more"))
        .line("2019-01-01T01:00:00Z stderr F S 2");
    assert_eq!(held(&run, 1), [(0, 0), (69, 2)]);
    run.line(format!("{CRI} F S 3"));
    assert_eq!(held(&run, 1), [(69, 2), (103, 3)]);
    assert_eq!(held(&run, 2), []);
}

#[test]
fn a_joined_line_in_a_group_is_held_from_its_first_part() {
    let mut run = Run::new("- cri: {}\n- multiline: { firstline: '^S' }");
    run.line(format!("{CRI} P S"));
    assert_eq!(held(&run, 1), [(0, 0)], "by `cri`");
    run.line(format!("{CRI} F 1"));
    assert_eq!(held(&run, 1), [(0, 0)], "by `multiline`");
}

#[test]
fn a_group_that_was_handed_over_is_held_in_both_files() {
    let mut run = Run::new(START);
    run.line("START").line("a");
    run.worker.hand_over(FileId(1), FileId(2));
    assert_eq!(held(&run, 1), [(0, 0)]);
    assert_eq!(held(&run, 2), []);
    run.file = 2;
    run.line("b");
    assert_eq!((held(&run, 1), held(&run, 2)), (vec![(0, 0)], vec![(8, 2)]));
    run.line("START");
    assert_eq!((held(&run, 1), held(&run, 2)), (vec![], vec![(10, 3)]));
}

#[test]
fn a_group_is_not_handed_over_where_its_stream_has_begun() {
    let mut run = Run::new(START);
    run.line("START 1");
    run.file = 2;
    run.line("START 2");
    run.worker.hand_over(FileId(1), FileId(2));
    assert_eq!((held(&run, 1), held(&run, 2)), (vec![(0, 0)], vec![(8, 1)]));
    run.finish();
    run.file = 1;
    run.finish();
    assert_eq!(run.lines(), ["START 2", "START 1"]);
}

#[test]
fn nothing_is_held_between_a_full_group_and_the_next_line() {
    let mut run = Run::new("- multiline: { firstline: '^S', max_lines: 2 }");
    run.line("S").line("1");
    assert_eq!(run.lines(), ["S\n1"]);
    assert_eq!(held(&run, 1), []);
    assert!(!run.worker.holds_any());
    run.line("2");
    assert_eq!(held(&run, 1), [(4, 2)]);
    assert!(run.worker.holds_any());
}

#[test]
fn nothing_is_held_after_a_flush_that_gave_the_group() {
    let mut run = Run::new(START);
    run.line("START");
    assert!(run.worker.holds_any());
    run.now += 3 * SECOND;
    run.flush();
    assert!(!run.worker.holds_any());
    assert_eq!(held(&run, 1), []);
    run.line("late");
    assert!(run.worker.holds_any());
    run.finish();
    assert!(!run.worker.holds_any());
}

#[test]
fn nothing_is_held_of_a_file_that_is_forgotten() {
    let mut run = Run::new("- cri: {}");
    run.line(format!("{CRI} P a"));
    assert!(run.worker.holds_any());
    run.worker.forget(FileId(1));
    assert!(!run.worker.holds_any());
    assert_eq!(held(&run, 1), []);
}

#[test]
fn stages_that_hold_lines_are_told_apart_also_where_they_are_nested() {
    let is_grouping = |yaml: &str| Stages::compile(&stages(yaml)).unwrap().is_grouping();
    assert!(is_grouping("- cri: {}"));
    assert!(is_grouping(START));
    assert!(is_grouping(
        "- match: { selector: '{a=\"b\"}', stages: [{ match: { selector: '{c=\"d\"}', stages: [{ cri: {} }] } }] }"
    ));
    assert!(!is_grouping("- docker: {}\n- output: { source: a }"));
    assert!(!is_grouping("[]"));
}

#[test]
fn a_finished_file_that_is_read_again_gives_the_same_records() {
    let yaml = "
        - regex: { expression: '^(START|at) (?P<t>\\S+Z)' }
        - timestamp: { source: t, format: RFC3339 }
        - multiline: { firstline: '^START' }";
    let lines = [
        "alone",
        "START 2026-01-01T00:00:00Z",
        "more",
        "START ?",
        "tail",
    ];
    let mut run = Run::new(yaml);
    let mut first = Vec::new();
    for again in 0..3 {
        run.now = NOW;
        run.resume_at(0);
        lines.iter().for_each(|line| {
            run.line(line);
        });
        run.finish();
        let records = std::mem::take(&mut run.records);
        if again == 0 {
            first.clone_from(&records);
        }
        assert_eq!(records, first);
    }
    assert_eq!(first[0].timestamp, NOW, "no fudge by a later line");
}

#[test]
fn lines_that_were_counted_before_count_in_no_metric_and_take_no_tokens() {
    let yaml = "
        - metrics: { seen: { type: Counter, config: { match_all: true, action: inc } } }
        - limit: { rate: 1, burst: 2, drop: true }";
    let mut run = Run::new(yaml);
    let mut again = run.stages.worker();
    again.set_metrics(false);
    let first = std::mem::replace(&mut run.worker, again);
    run.line("1").line("2").line("3");
    assert_eq!((run.lines(), run.dropped.len()), (vec!["1", "2"], 1));
    let count = |run: &Run| {
        let samples = run.stages.registry().snapshot(TimestampNs(run.now));
        samples[0].series.len()
    };
    assert_eq!(count(&run), 0);
    let mut again = std::mem::replace(&mut run.worker, first);
    run.line("4").line("5");
    assert_eq!(run.lines(), ["1", "2", "4", "5"], "the tokens were left");
    assert_eq!(count(&run), 1);
    again.set_metrics(true);
    run.worker = again;
    run.line("6");
    assert_eq!(run.dropped.len(), 2, "it shares the tokens again");
}
