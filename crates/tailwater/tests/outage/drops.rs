//! Policies that drop: the counters say exactly what is missing, and what is to be kept goes last.

use tailwater_testkit::fault_sink::SinkState;
use tailwater_testkit::writer::{LogWriter, WriterOptions};

use crate::rig::Rig;
use crate::setup::{
    MANY, assert_dropped_exactly, assert_only_newest, bring_up, end, leveled_writer, rig, rig_with,
    take_down, wait_read, wait_settled, writer,
};

/// One line in four is an error.
const LEVELS: &[&str] = &["debug", "info", "debug", "error"];

/// Less than a batch: what is on the wire when the others come.
const FIRST_LINES: u64 = 200;

/// What a run came to.
struct Dropped {
    /// The numbers of the lines that are missing.
    missing: Vec<u64>,
    /// How many lines were written.
    written: u64,
    /// How many of the first lines were on the wire all the time, where nothing is dropped.
    on_the_wire: u64,
    /// At most so many lines are in a batch.
    lines_per_batch: u64,
}

/// Writes so many lines while the sink is down; asserts that what is missing afterwards is counted.
fn drop_some(rig: &Rig, mut writer: LogWriter, lines: u64) -> Dropped {
    take_down(rig);
    let agent = rig.start();
    writer.write_lines(FIRST_LINES).unwrap();
    wait_refused(rig);
    writer.write_lines(lines - FIRST_LINES).unwrap();
    let written = [writer.written()];
    wait_read(&agent, &written);
    bring_up(rig);
    wait_settled(&agent);
    let missing = assert_dropped_exactly(rig, &agent, "queue_full", &written).concat();
    end(agent);
    Dropped {
        missing,
        written: lines,
        on_the_wire: rig.sink.inspect(|state| state.requests()[0].entries),
        lines_per_batch: rig.sink.inspect(|state| {
            let entries = state.requests().iter().map(|request| request.entries);
            entries.max().unwrap()
        }),
    }
}

/// Waits until the first request was refused: what it holds is on the wire from then on.
fn wait_refused(rig: &Rig) {
    let is_refused = |state: &SinkState| !state.requests().is_empty();
    assert!(rig.sink.wait_until(is_refused, crate::rig::DEADLINE));
}

#[test]
fn drop_newest_drops_what_comes_last_and_counts_it() {
    let rig = rig(&["when_full: drop_newest"]);
    let writer = writer(&rig, "a.log", 1);
    let Dropped {
        missing,
        written,
        lines_per_batch,
        ..
    } = drop_some(&rig, writer, MANY);
    assert_only_newest(&missing, written, lines_per_batch);
}

#[test]
fn drop_oldest_drops_what_has_waited_longest_and_counts_it() {
    let rig = rig(&["when_full: drop_oldest"]);
    let writer = writer(&rig, "a.log", 1);
    let Dropped {
        missing,
        written,
        on_the_wire,
        ..
    } = drop_some(&rig, writer, MANY);
    let end = missing.last().unwrap() + 1;
    let expected: Vec<u64> = (on_the_wire..end).collect();
    assert_eq!(missing, expected, "something newer was dropped");
    assert!(end < written, "nothing of the newest was kept");
}

fn level_of(seq: u64) -> &'static str {
    let options = WriterOptions {
        levels: LEVELS,
        ..WriterOptions::default()
    };
    options.level_of(seq).unwrap()
}

/// What a stage says is grave goes last, whatever the line says.
#[test]
fn what_is_kept_goes_by_the_severity_that_a_stage_has_set() {
    let stages = "    stages: [ { regex: { expression: 'level=(?P<level>\\w+)' } }, { level: { map: { info: ERROR, error: INFO } } } ]\n";
    let rig = rig_with(stages, "", &["when_full: drop_newest", "keep: [error]"]);
    let writer = leveled_writer(&rig, "a.log", 1, LEVELS);
    let dropped = drop_some(&rig, writer, MANY / 5);
    let level_is = |level: &'static str| move |seq: &&u64| level_of(**seq) == level;
    assert_eq!(dropped.missing.iter().filter(level_is("info")).count(), 0);
    assert!(dropped.missing.iter().filter(level_is("error")).count() > 0);
}

/// The errors have room in the queue once everything else is gone.
fn keeps_errors_that_have_room(when_full: &str) {
    let rig = rig(&[when_full, "keep: [error]"]);
    let writer = leveled_writer(&rig, "a.log", 1, LEVELS);
    let dropped = drop_some(&rig, writer, MANY / 5);
    let errors = dropped
        .missing
        .iter()
        .filter(|seq| level_of(**seq) == "error");
    assert_eq!(errors.count(), 0, "an error was dropped that had room");
}

/// Returns the lines that were kept beside the errors, those on the wire left out, the last error that
/// was dropped, and how many lines are in a batch. The errors alone are more than the queue holds.
fn drop_errors_too(when_full: &str) -> (Vec<u64>, u64, u64) {
    let rig = rig(&[when_full, "keep: [error]"]);
    let writer = leveled_writer(&rig, "a.log", 1, LEVELS);
    let Dropped {
        missing,
        written,
        on_the_wire,
        lines_per_batch,
    } = drop_some(&rig, writer, MANY);
    let mut newest_first = missing.iter().rev();
    let last_error = newest_first.find(|seq| level_of(**seq) == "error");
    let last_error = *last_error.expect("errors were dropped");
    let is_kept = |seq: &u64| level_of(*seq) != "error" && missing.binary_search(seq).is_err();
    let others = (on_the_wire..written).filter(is_kept).collect();
    (others, last_error, lines_per_batch)
}

#[test]
fn with_drop_newest_no_error_is_dropped_that_has_room() {
    keeps_errors_that_have_room("when_full: drop_newest");
}

#[test]
fn with_drop_oldest_no_error_is_dropped_that_has_room() {
    keeps_errors_that_have_room("when_full: drop_oldest");
}

#[test]
fn with_drop_newest_no_error_is_dropped_while_another_line_is_kept() {
    let (others, last_error, _) = drop_errors_too("when_full: drop_newest");
    // What came later found the room that a whole batch had left.
    assert!(others.iter().all(|seq| *seq > last_error), "{others:?}");
}

#[test]
fn with_drop_oldest_no_error_is_dropped_while_another_line_is_kept() {
    let (others, last_error, lines_per_batch) = drop_errors_too("when_full: drop_oldest");
    assert!(others.iter().all(|seq| *seq > last_error), "{others:?}");
    // The oldest errors go batch by batch: the last line that came found the room of one.
    let kept = u64::try_from(others.len()).unwrap();
    assert!(
        kept <= lines_per_batch,
        "{kept} lines were kept beside errors"
    );
}
