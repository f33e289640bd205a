//! The stage that ends the records of another time.

use tailwater_record::TimestampNs;
use tailwater_stages::OUTSIDE_TIME_RANGE;

use crate::kit::*;

const STAMPED: &str =
    "- regex: { expression: '^(?P<t>[0-9]+) ' }\n- timestamp: { source: t, format: Unix }\n";

/// Runs stages that want the seconds 100 to 199.
fn within(yaml: &str) -> Run {
    let mut run = Run::new(yaml);
    let seconds = TimestampNs(100 * SECOND)..TimestampNs(200 * SECOND);
    run.stages = run.stages.within(seconds);
    run.worker = run.stages.worker();
    run
}

#[test]
fn records_of_another_time_are_dropped_and_counted_under_a_reason_of_their_own() {
    let mut run = within(STAMPED);
    for line in ["99 a", "100 b", "199 c", "200 d"] {
        run.line(line);
    }
    let lines: Vec<&str> = run.records.iter().map(|record| &*record.line).collect();
    assert_eq!(lines, ["100 b", "199 c"]);
    assert_eq!(
        run.dropped,
        [
            (OUTSIDE_TIME_RANGE.to_owned(), 1),
            (OUTSIDE_TIME_RANGE.to_owned(), 1)
        ]
    );
    assert_eq!(
        run.stages.drop_reasons().collect::<Vec<_>>(),
        [OUTSIDE_TIME_RANGE]
    );
}

#[test]
fn records_that_leave_nested_stages_pass_it_too() {
    let yaml = format!(
        "- match:\n    selector: '{{job=\"test\"}}'\n    stages:\n{}",
        indented()
    );
    let mut run = within(&yaml);
    run.line("99 a").line("150 b");
    assert_eq!(run.records.len(), 1);
    assert_eq!(run.dropped.len(), 1);
}

fn indented() -> String {
    STAMPED
        .lines()
        .flat_map(|line| ["      ", line, "\n"])
        .collect()
}

#[test]
fn a_group_has_the_time_of_its_first_line() {
    let mut run = within(&format!(
        "- multiline: {{ firstline: '^[0-9]' }}\n{STAMPED}"
    ));
    for line in ["150 a", " more", "300 b", " more", "160 c"] {
        run.line(line);
    }
    let lines: Vec<&str> = run.records.iter().map(|record| &*record.line).collect();
    assert_eq!(lines, ["150 a\n more"]);
    assert_eq!(run.dropped, [(OUTSIDE_TIME_RANGE.to_owned(), 2)]);
}

#[test]
fn whether_any_stage_sets_the_time_is_known() {
    let sets_time = |yaml: &str| Run::new(yaml).stages.sets_time();
    assert!(sets_time(STAMPED));
    assert!(sets_time("- docker:"));
    assert!(sets_time("- cri:"));
    assert!(sets_time(&format!(
        "- match:\n    selector: '{{job=\"test\"}}'\n    stages:\n{}",
        indented()
    )));
    assert!(!sets_time("- output: { source: t }"));
}
