//! A spill whose directory or segments are damaged, gone, or not ours to use: nothing hangs, what is
//! lost is counted to the line, and what is whole arrives.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use tailwater_testkit::wait;
use tailwater_testkit::writer::LogWriter;

use crate::rig::{DEADLINE, Rig, stop};
use crate::setup::{
    MANY, assert_all_acked, assert_count, assert_dropped_exactly, bring_up, dropped, end, float,
    metric, rig, segments, take_down, wait_books, wait_delivered, wait_gone, wait_read,
    wait_settled, wait_spilled, writer,
};

/// Segments are an eighth of it: 512 KiB, a handful for what the tests write.
const SPILL: &[&str] = &["when_full: spill", "spill: { max_bytes: 4MiB }"];

/// Leaves a backlog of several segments of a file that is gone, and stops.
fn leave_segments(rig: &Rig) -> (LogWriter, Vec<PathBuf>) {
    take_down(rig);
    let mut agent = rig.start();
    let mut writer = writer(rig, "a.log", 1);
    writer.write_lines(MANY).unwrap();
    wait_read(&agent, &[writer.written()]);
    wait_spilled(rig, &agent);
    stop(&mut agent);
    fs::remove_file(rig.log("a.log")).unwrap();
    let segments = segments(rig);
    assert!(segments.len() > 3, "too few segments: {segments:?}");
    bring_up(rig);
    (writer, segments)
}

/// Starts on what is left; asserts that exactly what is missing is counted, and returns it.
fn judge_damage(rig: &Rig, writer: &LogWriter) -> Vec<u64> {
    let agent = rig.start();
    wait_gone(rig, &agent);
    let missing = assert_dropped_exactly(rig, &agent, "spill_damaged", &[writer.written()]);
    end(agent);
    missing.concat()
}

#[test]
fn a_segment_that_is_missing_costs_its_lines_and_no_others() {
    let rig = rig(SPILL);
    let (writer, segments) = leave_segments(&rig);
    fs::remove_file(&segments[1]).unwrap();
    let missing = judge_damage(&rig, &writer);
    let first = missing[0];
    let contiguous: Vec<u64> = (first..).take(missing.len()).collect();
    assert_eq!(missing, contiguous, "more than one segment is missing");
    assert!(first > 0 && *missing.last().unwrap() < MANY - 1);
}

#[test]
fn the_first_and_the_last_segment_missing_cost_their_lines_and_no_others() {
    let rig = rig(SPILL);
    let (writer, segments) = leave_segments(&rig);
    fs::remove_file(segments.first().unwrap()).unwrap();
    fs::remove_file(segments.last().unwrap()).unwrap();
    let missing = judge_damage(&rig, &writer);
    assert_eq!(missing[0], 0);
    assert_eq!(*missing.last().unwrap(), MANY - 1);
}

#[test]
fn all_segments_missing_are_counted_to_the_line() {
    let rig = rig(SPILL);
    let (writer, segments) = leave_segments(&rig);
    for segment in &segments {
        fs::remove_file(segment).unwrap();
    }
    let missing = judge_damage(&rig, &writer);
    assert_eq!(missing.len(), usize::try_from(MANY).unwrap());
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.set_len(0).unwrap();
    file.write_all_at(&bytes, 0).unwrap();
}

#[test]
fn a_bit_that_has_flipped_costs_the_frame_that_it_hit() {
    let rig = rig(SPILL);
    let (writer, segments) = leave_segments(&rig);
    change(&segments[1], |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 4;
    });
    let missing = judge_damage(&rig, &writer);
    let lines = missing.len();
    assert!(
        lines < 1000,
        "more than one batch is missing: {lines} lines"
    );
}

/// Writes the header of a segment as this version of the format would be written.
fn set_version(path: &Path, version: u32) {
    /// docs/formats/spill.md: a frame of kind 1 with the version and the number of the first frame.
    const HEADER: std::ops::Range<usize> = 0..25;
    change(path, |bytes| {
        let mut payload = version.to_le_bytes().to_vec();
        payload.extend_from_slice(&bytes[17..25]);
        let mut header = Vec::new();
        tailwater_durable::frame::append(&mut header, 1, &payload).unwrap();
        bytes[HEADER].copy_from_slice(&header);
    });
}

#[test]
fn a_segment_of_a_newer_version_is_left_and_said_and_goes_on_with_the_version_that_knows_it() {
    let rig = rig(SPILL);
    let (mut writer, segments) = leave_segments(&rig);
    set_version(&segments[1], 2);
    let mut agent = rig.start();
    wait::until(DEADLINE, "the agent says why it waits", || {
        agent
            .log()
            .contains("a newer version of tailwater wrote this spill")
    })
    .unwrap();
    // Live lines wait behind it, and the agent is well.
    writer.reopen().unwrap();
    writer.write_lines(500).unwrap();
    wait_books(&agent, "live lines are read", |books| {
        books[0].read > float(MANY + 500) - 0.5
    });
    stop(&mut agent);
    assert!(segments[1].exists(), "the segment was removed");
    set_version(&segments[1], 1);
    let agent = rig.start();
    let written = [writer.written()];
    wait_delivered(&rig, &agent, &written);
    rig.verdict(&written).assert_exact();
    assert_all_acked(&agent, &written);
    assert_count("dropped", dropped(&agent, "spill_damaged"), 0);
    end(agent);
}

#[test]
fn a_file_in_place_of_the_directory_counts_as_a_full_spill_until_it_is_gone() {
    let rig = rig(SPILL);
    let lane = rig.directory.path().join("data/spill/loki");
    fs::create_dir_all(lane.parent().unwrap()).unwrap();
    let mut file = fs::OpenOptions::new()
        .create_new(true)
        .write(true)
        .open(&lane)
        .unwrap();
    file.write_all(b"not a directory").unwrap();
    take_down(&rig);
    let agent = rig.start();
    let mut writer = writer(&rig, "a.log", 1);
    writer.write_lines(MANY).unwrap();
    wait_books(&agent, "the spill counts as full", |_| {
        metric(&agent, "tailwater_spill_full", &[]) > 0.5
    });
    let read = metric(&agent, "tailwater_read_records_total", &[]);
    assert!(read < float(MANY), "nothing was held back");
    assert!(
        agent.log().contains("the spill cannot be used"),
        "{}",
        agent.log()
    );
    fs::remove_file(&lane).unwrap();
    wait_read(&agent, &[writer.written()]);
    wait_spilled(&rig, &agent);
    bring_up(&rig);
    let written = [writer.written()];
    wait_delivered(&rig, &agent, &written);
    rig.verdict(&written).assert_exact();
    assert_all_acked(&agent, &written);
    end(agent);
}

#[test]
fn a_spill_that_cannot_be_used_does_not_hold_up_a_sink_that_takes_everything() {
    let rig = rig(SPILL);
    let lane = rig.directory.path().join("data/spill/loki");
    fs::create_dir_all(lane.parent().unwrap()).unwrap();
    fs::OpenOptions::new()
        .create_new(true)
        .write(true)
        .open(&lane)
        .unwrap();
    let agent = rig.start();
    let mut writer = writer(&rig, "a.log", 1);
    for _ in 0..10 {
        writer.write_lines(500).unwrap();
        let written = [writer.written()];
        let has_all = rig
            .sink
            .wait_until(|state| state.has_all(&written), DEADLINE);
        assert!(has_all, "{}", agent.log());
    }
    wait_settled(&agent);
    rig.verdict(&[writer.written()]).assert_exact();
    end(agent);
}

/// The queue is full, and the disk is no way out: once the sink takes lines again they go there.
#[test]
fn a_spill_that_cannot_be_used_does_not_hold_up_a_sink_that_is_back() {
    let rig = rig(SPILL);
    let lane = rig.directory.path().join("data/spill/loki");
    fs::create_dir_all(lane.parent().unwrap()).unwrap();
    fs::OpenOptions::new()
        .create_new(true)
        .write(true)
        .open(&lane)
        .unwrap();
    take_down(&rig);
    let agent = rig.start();
    let mut writer = writer(&rig, "a.log", 1);
    writer.write_lines(MANY).unwrap();
    wait_books(&agent, "the spill counts as full", |_| {
        metric(&agent, "tailwater_spill_full", &[]) > 0.5
    });
    bring_up(&rig);
    let written = [writer.written()];
    let has_all = rig
        .sink
        .wait_until(|state| state.has_all(&written), DEADLINE);
    assert!(has_all, "{}", agent.log());
    wait_settled(&agent);
    rig.verdict(&written).assert_exact();
    assert_all_acked(&agent, &written);
    end(agent);
}

#[test]
fn a_directory_that_is_removed_under_the_agent_costs_what_was_in_it_and_is_made_again() {
    let rig = rig(SPILL);
    take_down(&rig);
    let agent = rig.start();
    let mut writer = writer(&rig, "a.log", 1);
    writer.write_lines(MANY / 2).unwrap();
    wait_read(&agent, &[writer.written()]);
    wait_spilled(&rig, &agent);
    fs::remove_dir_all(rig.directory.path().join("data/spill/loki")).unwrap();
    writer.write_lines(MANY / 2).unwrap();
    wait_read(&agent, &[writer.written()]);
    bring_up(&rig);
    wait_gone(&rig, &agent);
    let written = [writer.written()];
    let missing = assert_dropped_exactly(&rig, &agent, "spill_damaged", &written).concat();
    assert!(
        missing.iter().all(|seq| *seq < MANY / 2),
        "lines are missing that came later"
    );
    // It spills again.
    take_down(&rig);
    let already = missing.len();
    writer.write_lines(MANY / 2).unwrap();
    wait_read(&agent, &[writer.written()]);
    wait_spilled(&rig, &agent);
    bring_up(&rig);
    wait_gone(&rig, &agent);
    let written = [writer.written()];
    let missing = assert_dropped_exactly(&rig, &agent, "spill_damaged", &written).concat();
    assert_eq!(missing.len(), already, "more was lost");
    end(agent);
}
