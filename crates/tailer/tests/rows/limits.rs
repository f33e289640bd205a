//! Where something runs short: rows F02, F26 to F31 and F37 of the catalog.

use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
use tailwater_tailer::WatchBackend;

use crate::host::Host;

/// F02: nothing is taken for ten rotations; then everything comes, oldest first.
#[test]
fn ten_rotations_while_the_sink_takes_nothing_are_read_in_order() {
    let mut host = Host::new();
    host.append("a.log", "0\n");
    host.settle();
    host.blocked.push(0);
    for number in 1..=10 {
        host.rotate("a.log");
        host.append("a.log", format!("{number}\n"));
        host.settle();
    }
    host.blocked.clear();
    host.settle();
    let expected: Vec<String> = (0..=10).map(|number| number.to_string()).collect();
    assert_eq!(host.lines(), expected);
}

/// 21 of the other list: rotated and deleted meanwhile; the descriptors hold what was not taken.
#[test]
fn files_deleted_while_the_sink_takes_nothing_are_read_to_their_end() {
    let mut host = Host::new();
    host.append("a.log", "0\n");
    host.settle();
    host.blocked.push(0);
    for number in 1..=5 {
        host.rename("a.log", "old");
        host.append("a.log", format!("{number}\n"));
        host.settle();
        host.remove("old");
        host.settle();
    }
    host.blocked.clear();
    host.settle();
    assert_eq!(host.lines(), ["0", "1", "2", "3", "4", "5"]);
    assert_eq!(host.lost_bytes, 0);
}

/// F72: one of two sinks takes nothing; the other goes on over rotations.
#[test]
fn a_blocked_sink_holds_up_no_other() {
    let mut host = Host::with(WatchBackend::Auto, &["*.log"], &[], |setup| {
        setup.sinks = 2;
    });
    host.blocked.push(1);
    for number in 0..3 {
        host.append("a.log", format!("{number}\n"));
        host.settle();
        host.rotate("a.log");
    }
    assert_eq!(host.lines(), ["0", "1", "2"]);
    host.blocked.clear();
    host.settle();
    assert_eq!(host.lines(), ["0", "1", "2", "0", "1", "2"]);
}

/// F26: a pass gives every file a chunk, so a cold one waits for one chunk of each other at most.
#[test]
fn a_hot_file_has_one_chunk_of_each_pass() {
    let mut host = Host::new();
    host.append("hot.log", "hot line\n".repeat(200_000));
    for file in 0..50 {
        host.append(&format!("cold{file}.log"), "cold\n");
    }
    host.look();
    host.pass();
    let lines = host.lines();
    assert_eq!(lines.iter().filter(|line| *line == "cold").count(), 50);
    let from_hot = lines.iter().filter(|line| *line == "hot line").count();
    assert!(
        from_hot * 9 <= tailwater_tailer::file::CHUNK_BYTES,
        "{from_hot}"
    );
}

/// F30: with one descriptor.
#[test]
fn a_single_descriptor_is_enough() {
    let mut host = Host::with(WatchBackend::Auto, &["*.log"], &[], |setup| {
        setup.limits.max_open_files = 1;
    });
    for round in 0..3 {
        for file in 0..10 {
            host.append(&format!("{file}.log"), format!("{round}\n"));
        }
        host.settle();
        for file in 0..10 {
            host.rotate(&format!("{file}.log"));
        }
    }
    host.settle();
    assert_eq!(host.read.len(), 30);
}

/// F27: descriptors of quiet files are closed, and opened again by the next write.
#[test]
fn quiet_files_hold_no_descriptor() {
    let mut host = Host::new();
    for file in 0..20 {
        host.append(&format!("{file}.log"), "1\n");
    }
    host.settle();
    assert_eq!(host.tailer().open_files(), 20);
    for _ in 0..3 {
        host.advance(Duration::from_secs(301));
        host.turn();
    }
    assert_eq!(host.tailer().open_files(), 0);
    for file in 0..20 {
        host.append(&format!("{file}.log"), "2\n");
    }
    host.settle();
    assert_eq!(host.read.len(), 40);
}

/// F27: a closed file that is rotated is opened under its new name, and read to its end.
#[test]
fn a_closed_file_that_is_rotated_and_written_is_read_before_its_successor() {
    let mut host = Host::new();
    let mut writer = host.append("a.log", "1\n");
    host.settle();
    host.advance(Duration::from_secs(301));
    host.turn();
    assert_eq!(host.tailer().open_files(), 0);
    host.rotate("a.log");
    std::io::Write::write_all(&mut writer, b"2\n").unwrap();
    host.append("a.log", "3\n");
    host.settle();
    assert_eq!(host.lines(), ["1", "2", "3"]);
}

/// F27 with F07: a closed file is deleted, and its inode is another's.
#[test]
fn a_closed_file_that_is_deleted_and_made_again_is_read_from_its_start() {
    let mut host = Host::new();
    host.append("a.log", "a long first line\n");
    host.settle();
    for round in 0..20 {
        host.advance(Duration::from_secs(301));
        host.turn();
        host.remove("a.log");
        host.append("a.log", format!("{round} and some more of the line\n"));
        host.settle();
    }
    assert_eq!(host.read.len(), 21);
}

/// A file that goes makes room for one that was left.
#[test]
fn a_file_over_the_limit_is_followed_once_there_is_room() {
    let mut host = Host::with(WatchBackend::Auto, &["*.log"], &[], |setup| {
        setup.limits.max_files = 2;
        setup.limits.rescan_interval = Duration::from_secs(1);
    });
    for file in ["a.log", "b.log", "c.log"] {
        host.append(file, format!("{file}\n"));
    }
    host.settle();
    assert_eq!(host.lines(), ["a.log", "b.log"]);
    host.remove("a.log");
    (0..5).for_each(|_| host.settle());
    assert_eq!(host.lines(), ["a.log", "b.log", "c.log"]);
}

/// F31 for a thread without the rights of root: refused, then allowed; the open one goes on.
#[test]
fn a_file_without_permission_is_read_once_it_has_it() {
    let own = capabilities(None).unwrap();
    let mut reduced = own;
    reduced.effective -= CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH;
    set_capabilities(None, reduced).unwrap();
    let mut host = Host::new();
    let mode = |host: &Host, name: &str, mode| {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(host.path(name), permissions).unwrap();
    };
    host.append("open.log", "1\n");
    host.settle();
    let mut writer = host.append("shut.log", "2\n");
    mode(&host, "shut.log", 0o000);
    mode(&host, "open.log", 0o200);
    host.append("open.log", "3\n");
    host.settle();
    assert_eq!(host.lines(), ["1", "3"]);
    assert_eq!(
        host.refused.first(),
        Some(&(host.path("shut.log"), "permission_denied"))
    );
    std::io::Write::write_all(&mut writer, b"4\n").unwrap();
    mode(&host, "shut.log", 0o400);
    host.settle();
    assert_eq!(host.lines(), ["1", "3", "2", "4"]);
}

/// F31 for a directory: its files are kept, and read on when it can be listed again.
#[test]
fn a_directory_without_permission_loses_nothing() {
    let own = capabilities(None).unwrap();
    let mut reduced = own;
    reduced.effective -= CapabilitySet::DAC_OVERRIDE | CapabilitySet::DAC_READ_SEARCH;
    set_capabilities(None, reduced).unwrap();
    let mut host = Host::with(WatchBackend::Auto, &["**/*.log"], &[], |setup| {
        setup.limits.rescan_interval = Duration::from_secs(1);
    });
    std::fs::create_dir(host.path("d")).unwrap();
    let mode = |host: &Host, mode| {
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(host.path("d"), permissions).unwrap();
    };
    let mut writer = host.append("d/a.log", "1\n");
    host.settle();
    mode(&host, 0o000);
    std::io::Write::write_all(&mut writer, b"2\n").unwrap();
    host.settle();
    mode(&host, 0o700);
    std::io::Write::write_all(&mut writer, b"3\n").unwrap();
    host.append("d/b.log", "4\n");
    host.settle();
    assert_eq!(host.sorted_lines(), ["1", "2", "3", "4"]);
}

/// F37: the wall clock says nothing about when a file is finished, closed or truncated.
#[test]
fn steps_of_the_wall_clock_change_nothing() {
    const HOUR_NS: i64 = 3_600_000_000_000;
    let mut host = Host::new();
    host.append("a.log", "1\n");
    host.settle();
    for (step, line) in [(HOUR_NS, 2), (-HOUR_NS, 3), (-1_000 * HOUR_NS, 4), (0, 5)] {
        host.clock_error_ns = step;
        host.rotate("a.log");
        host.append("a.log", format!("{line}\n"));
        host.settle();
        host.restart();
        host.settle();
    }
    assert_eq!(host.lines(), ["1", "2", "3", "4", "5"]);
    assert_eq!(host.stats.truncations, 0);
}

/// F28: more events than the kernel keeps; everything is looked at again.
#[test]
fn an_overflow_of_the_event_queue_loses_nothing() {
    let limit = std::fs::read_to_string("/proc/sys/fs/inotify/max_queued_events").unwrap();
    let limit: usize = limit.trim().parse().unwrap();
    let mut host = Host::new();
    let mut writers = [host.append("a.log", ""), host.append("b.log", "")];
    host.settle();
    // Two files in turn: equal events in a row would be one.
    for _ in 0..=limit / 2 {
        for writer in &mut writers {
            std::io::Write::write_all(writer, b"x\n").unwrap();
        }
    }
    host.append("c.log", "last\n");
    host.settle();
    assert_eq!(host.stats.watch_overflows, 1);
    assert_eq!(host.read.len(), 2 * (limit / 2 + 1) + 1);
}
