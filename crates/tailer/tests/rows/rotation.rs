//! Renames, deletions, truncations: rows F01 to F11, F16, F17, F19 of the catalog.

use std::io::{Seek as _, SeekFrom, Write as _};
use std::time::Duration;

use tailwater_tailer::WatchBackend;

use crate::host::Host;

/// F01, and 2 of the conformance list.
#[test]
fn renamed_and_created_with_the_old_descriptor_still_written() {
    let mut host = Host::new();
    let mut old = host.append("a.log", "1\n");
    host.turn();
    host.rename("a.log", "a.log.1");
    host.append("a.log", "3\n");
    host.turn();
    old.write_all(b"2\n").unwrap();
    host.settle();
    assert_eq!(host.lines(), ["1", "2", "3"]);
}

/// 3: two renames in a row, each old descriptor still written.
#[test]
fn two_renames_in_a_row_with_every_descriptor_still_written() {
    let mut host = Host::new();
    let mut first = host.append("a.log", "1\n");
    host.turn();
    host.rename("a.log", "a.log.1");
    let mut second = host.append("a.log", "3\n");
    host.rename("a.log.1", "a.log.2");
    host.rename("a.log", "a.log.1");
    host.append("a.log", "5\n");
    first.write_all(b"2\n").unwrap();
    second.write_all(b"4\n").unwrap();
    host.settle();
    assert_eq!(host.lines(), ["1", "2", "3", "4", "5"]);
}

/// 4, and rows 14 and 19 of the other list: faster than any listing, with each backend.
#[test]
fn ten_rotations_between_two_turns_are_read_once_and_in_order() {
    for watch in [WatchBackend::Auto, WatchBackend::Poll] {
        let mut host = Host::with(watch, &["*.log"], &[], |_| {});
        host.append("a.log", "0\n");
        host.settle();
        for number in 1..=10 {
            for rotated in (1..number).rev() {
                host.rename(
                    &format!("a.log.{rotated}"),
                    &format!("a.log.{}", rotated + 1),
                );
            }
            host.rename("a.log", "a.log.1");
            host.append("a.log", format!("{number}\n"));
        }
        host.settle();
        let expected: Vec<String> = (0..=10).map(|number| number.to_string()).collect();
        assert_eq!(host.lines(), expected, "{watch:?}");
    }
}

/// F04 and 5: a writer that appends keeps its descriptor.
#[test]
fn copytruncate_under_a_writer_that_appends() {
    let mut host = Host::new();
    let mut writer = host.append("a.log", "1\n2\n");
    host.turn();
    std::fs::copy(host.path("a.log"), host.path("a.log.1")).unwrap();
    writer.set_len(0).unwrap();
    writer.write_all(b"3\n").unwrap();
    host.settle();
    assert_eq!(host.lines(), ["1", "2", "3"]);
    assert_eq!(host.stats.truncations, 1);
}

/// F06 and 6: the size says nothing, and neither does the tail of a line.
#[test]
fn truncated_and_regrown_past_the_offset_with_identical_tails() {
    let mut host = Host::new();
    let tail = "x".repeat(100);
    let lines = |from: u32, to: u32| -> String {
        (from..to).map(|seq| format!("{seq:05} {tail}\n")).collect()
    };
    let mut writer = host.append("a.log", lines(0, 200));
    host.turn();
    writer.set_len(0).unwrap();
    writer.write_all(lines(200, 500).as_bytes()).unwrap();
    host.settle();
    assert_eq!(host.read.len(), 500);
    assert_eq!(host.stats.truncations, 1);
}

/// F06 with identical heads: only the bytes before the offset differ.
#[test]
fn truncated_and_regrown_past_the_offset_with_an_identical_head() {
    let mut host = Host::new();
    let banner = format!("{}\n", "banner ".repeat(300));
    let mut writer = host.append("a.log", format!("{banner}old\n"));
    host.turn();
    writer.set_len(0).unwrap();
    writer
        .write_all(format!("{banner}new\nmore\n").as_bytes())
        .unwrap();
    host.settle();
    let lines = host.lines();
    assert_eq!(lines.len(), 5);
    assert_eq!(lines[3..], ["new", "more"]);
}

/// F05: half a line, then truncation: nothing is glued to what comes after.
#[test]
fn half_a_line_before_a_truncation_is_not_glued_to_the_next_content() {
    let mut host = Host::new();
    let mut writer = host.append("a.log", "1\nhalf");
    host.turn();
    writer.set_len(0).unwrap();
    writer.write_all(b"2\n").unwrap();
    host.settle();
    assert_eq!(host.lines(), ["1", "2"]);
}

/// F07 and 8: deleted and made again, whatever inode it gets.
#[test]
fn deleted_and_made_again_is_read_from_its_start() {
    let mut host = Host::new();
    host.append("a.log", "a long first line of the old file\n");
    host.settle();
    for round in 0..20 {
        std::fs::remove_file(host.path("a.log")).unwrap();
        host.append("a.log", format!("new {round}\n"));
        host.settle();
    }
    assert_eq!(host.read.len(), 21);
}

/// F08 and 20: deleted with unread lines.
#[test]
fn deleted_while_open_is_read_to_its_end() {
    let mut host = Host::new();
    let mut writer = host.append("a.log", "1\n");
    host.turn();
    writer.write_all(b"2\n").unwrap();
    std::fs::remove_file(host.path("a.log")).unwrap();
    host.turn();
    writer.write_all(b"3\n").unwrap();
    host.settle();
    assert_eq!(host.lines(), ["1", "2", "3"]);
}

/// F10 and 7: a link is turned to another file; the old one is written once more.
#[test]
fn a_link_turned_to_another_file_ends_neither() {
    let mut host = Host::with(WatchBackend::Auto, &["links/*.log"], &[], |setup| {
        setup.limits.max_files = 100;
    });
    std::fs::create_dir(host.path("links")).unwrap();
    std::fs::create_dir(host.path("links/real")).unwrap();
    host.append("links/real/0", "1\n");
    std::os::unix::fs::symlink("real/0", host.path("links/a.log")).unwrap();
    host.settle();
    host.append("links/real/1", "3\n");
    std::os::unix::fs::symlink("real/1", host.path("links/new")).unwrap();
    host.rename("links/new", "links/a.log");
    host.append("links/real/0", "2\n");
    host.settle();
    let mut lines = host.lines();
    lines.sort();
    assert_eq!(lines, ["1", "2", "3"]);
}

/// F11: the directory is moved away and made again.
#[test]
fn a_directory_moved_away_and_made_again_is_followed_anew() {
    let mut host = Host::new();
    std::fs::create_dir(host.path("d")).unwrap();
    let mut old = host.append("d/a.log", "1\n");
    host.settle();
    host.rename("d", "gone");
    std::fs::create_dir(host.path("d")).unwrap();
    old.write_all(b"2\n").unwrap();
    host.append("d/a.log", "3\n");
    host.settle();
    let mut lines = host.lines();
    lines.sort();
    assert_eq!(lines, ["1", "2", "3"]);
}

/// F17 and 4 of the other list: the last line has no newline.
#[test]
fn the_last_line_without_a_newline_is_sent_once_when_the_file_is_finished() {
    let mut host = Host::new();
    host.append("a.log", "1\n2");
    host.settle();
    assert_eq!(host.lines(), ["1"], "a live file may go on");
    host.rename("a.log", "a.log.1");
    host.append("a.log", "3\n");
    host.settle();
    assert_eq!(host.lines(), ["1", "2", "3"]);
    let deleted = host.append("b.log", "4");
    host.turn();
    std::fs::remove_file(host.path("b.log")).unwrap();
    drop(deleted);
    host.settle();
    assert_eq!(host.lines(), ["1", "2", "3", "4"]);
}

/// F19: a writer at an offset of its own leaves a hole behind a truncation.
#[test]
fn the_hole_of_a_truncation_is_skipped_and_counted() {
    let mut host = Host::new();
    let path = host.path("a.log");
    let mut writer = std::fs::OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .open(path)
        .unwrap();
    writer.write_all(&b"x\n".repeat(5000)).unwrap();
    host.turn();
    writer.set_len(0).unwrap();
    writer.seek(SeekFrom::Start(10_000)).unwrap();
    writer.write_all(b"after\n").unwrap();
    host.settle();
    assert_eq!(host.lines().last().unwrap(), "after");
    assert_eq!(host.counts.hole_bytes, 10_000);
}

/// 18 of the other list: the path is missing for a while.
#[test]
fn a_slow_rotation_with_no_file_in_between_repeats_nothing() {
    let mut host = Host::new();
    host.append("a.log", "1\n");
    host.settle();
    host.rename("a.log", "a.log.1");
    host.settle();
    host.append("a.log", "2\n");
    host.settle();
    assert_eq!(host.lines(), ["1", "2"]);
}

/// F26: one hot file and many cold ones; the cold ones wait for one chunk at most.
#[test]
fn one_hot_file_starves_no_other() {
    let mut host = Host::new();
    host.append("hot.log", "hot line\n".repeat(100_000));
    for file in 0..50 {
        host.append(&format!("cold{file}.log"), "cold\n");
    }
    host.settle();
    assert_eq!(host.read.len(), 100_050);
}

/// After an outage a file may have twenty generations: each was quiet while nobody could read it.
#[test]
fn generations_that_were_quiet_before_they_could_be_read_are_read_without_waiting_for_each() {
    let mut host = Host::new();
    host.append("a.log", "0\n");
    host.settle();
    host.blocked = vec![0];
    for generation in 1..=5 {
        host.append("a.log", format!("{generation}\n"));
        host.look();
        host.rotate("a.log");
        host.append("a.log", "");
        host.look();
    }
    host.advance(Duration::from_secs(2));
    host.blocked.clear();
    // A quarter of the time that a single one would have to be quiet for.
    (0..12).for_each(|_| host.turn());
    assert_eq!(host.lines(), ["0", "1", "2", "3", "4", "5"]);
}
