//! What a sink refuses for good: kept on disk, within its bounds, and counted.

use tailwater_testkit::fault_sink::{Poison, Stored};
use tailwater_testkit::oracle::Verdict;
use tailwater_testkit::writer::WriterOptions;

use crate::rig::Rig;
use crate::setup::{
    MANY, assert_count, bring_up, end, files_below, leveled_writer, metric, rig, take_down,
    wait_read, wait_settled, writer,
};

/// One line in twenty is refused.
const LEVELS: &[&str] = &[
    "info", "info", "info", "info", "info", "info", "info", "info", "info", "fatal", "info",
    "info", "info", "info", "info", "info", "info", "info", "info", "warn",
];

const REJECTED: &str = "tailwater_rejected_records_total";
const KEPT: &str = "tailwater_dead_letter_records_total";

fn refuse(rig: &Rig, substring: &[u8], others: Stored) {
    let substring = substring.to_vec();
    rig.sink
        .script(|script| script.rules.poison = Some(Poison { substring, others }));
}

fn bytes_on_disk(rig: &Rig) -> u64 {
    let files = files_below(rig, "dead-letters");
    files
        .iter()
        .map(|file| std::fs::metadata(file).unwrap().len())
        .sum()
}

/// Asserts that the lines of that level, and no others, are missing and counted as rejected and kept.
fn refused_lines_are_kept(policy: &[&str], is_down_before: bool) {
    let rig = rig(policy);
    refuse(&rig, b"level=fatal ", Stored::Nothing);
    if is_down_before {
        take_down(&rig);
    }
    let agent = rig.start();
    let lines = if is_down_before { MANY / 4 } else { 1000 };
    let mut writer = leveled_writer(&rig, "a.log", 1, LEVELS);
    writer.write_lines(lines).unwrap();
    let written = [writer.written()];
    wait_read(&agent, &written);
    bring_up(&rig);
    wait_settled(&agent);
    let missing = rig.sink.inspect(|state| state.missing(written[0]));
    let options = WriterOptions {
        levels: LEVELS,
        ..WriterOptions::default()
    };
    let fatal: Vec<u64> = (0..lines)
        .filter(|seq| options.level_of(*seq) == Some("fatal"))
        .collect();
    assert_eq!(missing, fatal);
    let count = lines / 20;
    assert_count("rejected", metric(&agent, REJECTED, &[]), count);
    assert_count("kept", metric(&agent, KEPT, &[]), count);
    rig.verdict(&written).assert_exact_but_for(count);
    let on_disk = metric(&agent, "tailwater_dead_letter_bytes", &[]);
    assert_count("bytes on disk", on_disk, bytes_on_disk(&rig));
    assert!(on_disk > 0.5, "nothing is on disk");
    end(agent);
}

#[test]
fn lines_that_are_refused_are_on_disk_and_counted() {
    refused_lines_are_kept(&[], false);
}

#[test]
fn lines_that_are_refused_after_they_were_spilled_are_on_disk_and_counted() {
    refused_lines_are_kept(&["when_full: spill"], true);
}

#[test]
fn refused_lines_stay_within_their_bytes_and_what_made_room_is_counted() {
    let rig = rig(&["dead_letters: { max_bytes: 1MiB }"]);
    // Refused as a whole, so that it does not take a request for each line.
    refuse(&rig, b" ", Stored::GoodLines);
    let agent = rig.start();
    let mut writer = writer(&rig, "a.log", 1);
    writer.write_lines(MANY).unwrap();
    let written = [writer.written()];
    wait_read(&agent, &written);
    wait_settled(&agent);
    assert_count("rejected", metric(&agent, REJECTED, &[]), MANY);
    assert_count("kept", metric(&agent, KEPT, &[]), MANY);
    assert!(metric(&agent, "tailwater_dead_letter_evictions_total", &[]) > 0.5);
    let bytes = bytes_on_disk(&rig);
    assert!(bytes > 1 << 19 && bytes <= 1 << 20, "{bytes} bytes on disk");
    let verdict: Verdict = rig.verdict(&written);
    verdict.assert_exact_but_for(MANY);
    end(agent);
}

#[test]
fn where_none_are_to_be_kept_refused_lines_are_counted_and_no_more() {
    let rig = rig(&["dead_letters: { max_bytes: 0 }"]);
    refuse(&rig, b" ", Stored::GoodLines);
    let agent = rig.start();
    let mut writer = writer(&rig, "a.log", 1);
    writer.write_lines(1000).unwrap();
    let written = [writer.written()];
    wait_read(&agent, &written);
    wait_settled(&agent);
    assert_count("rejected", metric(&agent, REJECTED, &[]), 1000);
    assert_count("kept", metric(&agent, KEPT, &[]), 0);
    assert_eq!(
        files_below(&rig, "dead-letters"),
        Vec::<std::path::PathBuf>::new()
    );
    rig.verdict(&written).assert_exact_but_for(1000);
    end(agent);
}
