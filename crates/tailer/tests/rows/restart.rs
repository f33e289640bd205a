//! What happens while the agent is down: rows F03, F07, F16, F38 of the catalog, and the restarts of the
//! conformance list.

use std::time::Duration;

use tailwater_tailer::WatchBackend;

use crate::host::{Host, append_in, rename_in};

/// 9: only what was appended while the agent was down.
#[test]
fn after_a_restart_only_what_was_appended_is_read() {
    let mut host = Host::new();
    host.append("a.log", "1\n2\n");
    host.settle();
    host.stop();
    host.append("a.log", "3\n");
    host.start();
    host.settle();
    assert_eq!(host.lines(), ["1", "2", "3"]);
}

/// 10: the file has left the globs, and another has its name.
#[test]
fn a_file_renamed_out_of_the_globs_while_down_is_read_before_its_successor() {
    let mut host = Host::new();
    host.append("a.log", "1\n");
    host.settle();
    host.stop();
    host.append("a.log", "2\n");
    host.rename("a.log", "a.log.1");
    host.append("a.log", "3\n");
    host.start();
    host.settle();
    assert_eq!(host.lines(), ["1", "2", "3"]);
}

/// F03: generations that no run has seen stand between the last that was read and the new one.
#[test]
fn three_rotations_while_down_are_read_in_order() {
    for watch in [WatchBackend::Auto, WatchBackend::Poll] {
        let mut host = Host::with(watch, &["*.log"], &[], |_| {});
        host.append("a.log", "1\n");
        host.settle();
        host.stop();
        host.append("a.log", "2\n");
        for line in ["3\n", "4\n", "5\n"] {
            host.rotate("a.log");
            host.append("a.log", line);
        }
        host.start();
        host.settle();
        assert_eq!(host.lines(), ["1", "2", "3", "4", "5"], "{watch:?}");
        assert_eq!(host.lines_of("a.log").len(), 5, "the label stays");
    }
}

/// F03: the last rotation comes after the directory was listed and before its files are opened.
#[test]
fn a_rotation_during_the_first_look_costs_neither_lines_nor_their_order() {
    for watch in [WatchBackend::Auto, WatchBackend::Poll] {
        let mut host = Host::with(watch, &["*.log"], &[], |_| {});
        host.append("a.log", "1\n");
        host.settle();
        host.stop();
        host.append("a.log", "2\n");
        for line in ["3\n", "4\n"] {
            host.rotate("a.log");
            host.append("a.log", line);
        }
        host.memory.on_first_look.set(Some(|directory| {
            rename_in(directory, "a.log.2", "a.log.3");
            rename_in(directory, "a.log.1", "a.log.2");
            rename_in(directory, "a.log", "a.log.1");
            append_in(directory, "a.log", "5\n");
        }));
        host.start();
        host.settle();
        assert_eq!(host.lines(), ["1", "2", "3", "4", "5"], "{watch:?}");
        assert_eq!(host.missing, 0, "{watch:?}");
    }
}

/// F03: the time of a file is that of the last tick of the kernel, which the position was written after.
#[test]
fn a_generation_made_within_the_tick_of_the_last_position_is_found() {
    let mut host = Host::new();
    host.append("a.log", "1\n");
    host.settle();
    host.stop();
    for line in ["2\n", "3\n"] {
        host.rotate("a.log");
        host.append("a.log", line);
    }
    let updated_ns = host.modified_ns("a.log.1") + 5_000_000;
    host.memory.set_updated(updated_ns);
    host.start();
    host.settle();
    assert_eq!(host.lines(), ["1", "2", "3"]);
}

/// F03 with the names that `dateext` gives.
#[test]
fn dated_rotations_while_down_are_read_in_order() {
    let mut host = Host::new();
    host.append("a.log", "1\n");
    host.settle();
    host.stop();
    for (date, line) in [("20261120", "2\n"), ("20261121", "3\n")] {
        host.rename("a.log", &format!("a.log-{date}"));
        host.append("a.log", line);
    }
    host.start();
    host.settle();
    assert_eq!(host.lines(), ["1", "2", "3"]);
}

/// F03: a rotation during each of two downtimes, and a file that stays rotated is not read again.
#[test]
fn rotated_files_are_not_read_again_by_the_runs_after() {
    let mut host = Host::new();
    host.append("a.log", "1\n");
    host.settle();
    for line in ["2\n", "3\n", "4\n"] {
        host.stop();
        host.rotate("a.log");
        host.append("a.log", line);
        host.start();
        host.settle();
        host.restart();
        host.settle();
    }
    assert_eq!(host.lines(), ["1", "2", "3", "4"]);
}

/// 11: nothing of the file was ever seen.
#[test]
fn a_file_made_while_down_is_read_whole() {
    let mut host = Host::new();
    host.append("a.log", "1\n");
    host.settle();
    host.stop();
    host.append("b.log", "2\n3\n");
    host.start();
    host.settle();
    assert_eq!(host.lines(), ["1", "2", "3"]);
}

/// 12 and F06: the inode is the same, the content is not, and it may be longer.
#[test]
fn a_file_truncated_while_down_is_read_from_its_start() {
    for line in ["new\n".to_owned(), format!("{}\n", "new ".repeat(1000))] {
        let mut host = Host::new();
        let writer = host.append("a.log", "old 1\nold 2\n");
        host.settle();
        host.stop();
        writer.set_len(0).unwrap();
        host.append("a.log", &line);
        host.start();
        host.settle();
        assert_eq!(
            host.lines(),
            ["old 1", "old 2", line.trim_end_matches('\n')]
        );
    }
}

/// F07: the path and perhaps the inode are the same, the file is not.
#[test]
fn a_file_made_again_while_down_is_read_from_its_start() {
    let mut host = Host::new();
    host.append("a.log", "1 of the old file\n");
    host.settle();
    for round in 0..20 {
        host.stop();
        host.remove("a.log");
        host.append("a.log", format!("{round} of a new file\nand more\n"));
        host.start();
        host.settle();
    }
    assert_eq!(host.read.len(), 41);
}

/// 13 and F16: half a line before, half of it after.
#[test]
fn a_line_that_is_ended_while_down_is_delivered_whole_and_once() {
    let mut host = Host::new();
    host.append("a.log", "1\nhal");
    host.settle();
    host.stop();
    host.append("a.log", "f\n3\n");
    host.start();
    host.settle();
    assert_eq!(host.lines(), ["1", "half", "3"]);
}

/// F14: a fingerprint of a few bytes is confirmed by the head that has grown since.
#[test]
fn a_file_shorter_than_its_fingerprint_is_known_again_as_it_grows() {
    let mut host = Host::new();
    for line in 0..100 {
        host.append("a.log", format!("{line} of a file that grows\n"));
        host.settle();
        host.restart();
    }
    host.settle();
    assert_eq!(host.read.len(), 100);
}

/// An empty file has no head to be known by, and no line to repeat.
#[test]
fn a_file_found_empty_is_read_from_its_start_after_a_restart() {
    let mut host = Host::new();
    host.append("a.log", "");
    host.settle();
    host.restart();
    host.append("a.log", "1\n");
    host.settle();
    host.restart();
    host.append("a.log", "2\n");
    host.settle();
    assert_eq!(host.lines(), ["1", "2"]);
}

/// F13 over a restart: two files that begin alike change places.
#[test]
fn files_that_begin_alike_and_change_places_while_down_are_told_apart() {
    let banner = format!("{}\n", "the same first two KiB ".repeat(100));
    let mut host = Host::new();
    host.append("a.log", format!("{banner}a1\n"));
    host.append("b.log", format!("{banner}b1\n"));
    host.settle();
    host.stop();
    host.rename("a.log", "c");
    host.rename("b.log", "a.log");
    host.rename("c", "b.log");
    host.append("b.log", "a2\n");
    host.append("a.log", "b2\n");
    host.start();
    host.settle();
    let mut lines = host.sorted_lines();
    lines.retain(|line| line.len() == 2);
    assert_eq!(lines, ["a1", "a2", "b1", "b2"]);
    assert_eq!(host.read.len(), 6);
}

/// F38: what was not made durable is read again, from a whole line, and nothing else is.
#[test]
fn after_a_crash_reading_goes_on_at_the_last_durable_position() {
    let mut host = Host::new();
    host.append("a.log", "1\n");
    host.settle();
    host.checkpoint();
    host.append("a.log", "2\n");
    host.settle();
    host.crash();
    host.append("a.log", "3\n");
    host.start();
    host.settle();
    assert_eq!(host.lines(), ["1", "2", "2", "3"]);
}

/// F38 with F03: a file that was found a moment before the crash has been renamed since.
#[test]
fn a_file_found_just_before_a_crash_is_found_again_under_another_name() {
    let mut host = Host::new();
    host.append("a.log", "1\n");
    host.turn();
    host.crash();
    host.rotate("a.log");
    host.append("a.log", "2\n");
    host.start();
    host.settle();
    assert_eq!(host.lines(), ["1", "1", "2"]);
}

/// Each sink goes on where it was, however far apart they are.
#[test]
fn every_sink_has_its_own_position_over_a_restart() {
    let mut host = Host::with(WatchBackend::Auto, &["*.log"], &[], |setup| {
        setup.sinks = 2;
    });
    host.append("a.log", "1\n");
    host.settle();
    host.blocked.push(1);
    host.append("a.log", "2\n");
    host.settle();
    host.stop();
    host.blocked.clear();
    host.append("a.log", "3\n");
    host.start();
    host.settle();
    for sink in [0, 1] {
        let lines = host.read.iter().filter(|line| line.sink == sink);
        let lines: Vec<&[u8]> = lines.map(|line| line.bytes.as_slice()).collect();
        assert_eq!(lines, [b"1", b"2", b"3"], "sink {sink}");
    }
}

/// A file that is gone when the agent is back is told, not forgotten in silence.
#[test]
fn a_file_deleted_while_down_is_told_as_missing() {
    let mut host = Host::new();
    host.append("a.log", "1\n");
    host.settle();
    host.stop();
    host.remove("a.log");
    host.start();
    host.settle();
    assert_eq!(host.missing, 1);
    assert_eq!(host.lines(), ["1"]);
}

/// F35 as far as names go: what is closed when its whole directory goes may come back with it.
#[test]
fn closed_files_whose_directory_goes_and_comes_back_are_not_read_again() {
    let mut host = Host::with(WatchBackend::Auto, &["d/*.log"], &[], |setup| {
        setup.limits.close_idle = Duration::from_secs(1);
    });
    std::fs::create_dir(host.path("d")).unwrap();
    host.append("d/a.log", "1\n");
    host.settle();
    assert_eq!(host.tailer().open_files(), 0);
    host.rename("d", "away");
    host.settle();
    host.append("away/a.log", "2\n");
    host.rename("away", "d");
    host.settle();
    assert_eq!(host.lines(), ["1", "2"]);
}
