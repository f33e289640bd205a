//! Who a file is: rows F12 to F15, F27, F30.

use tailwater_tailer::WatchBackend;

use crate::host::Host;

/// F12: one file, several names, several globs.
#[test]
fn hard_links_and_overlapping_globs_are_read_once() {
    let mut host = Host::with(WatchBackend::Auto, &["*.log", "a.*"], &[], |_| {});
    host.append("a.log", "1\n");
    std::fs::hard_link(host.path("a.log"), host.path("b.log")).unwrap();
    host.settle();
    host.append("b.log", "2\n");
    host.settle();
    std::fs::remove_file(host.path("a.log")).unwrap();
    host.append("b.log", "3\n");
    host.settle();
    assert_eq!(host.lines(), ["1", "2", "3"]);
}

/// F13 and F15: content alone identifies nothing.
#[test]
fn files_that_begin_alike_are_told_apart() {
    let mut host = Host::new();
    let banner = format!("{}\n", "the same first two KiB ".repeat(100));
    for file in 0..100 {
        host.append(&format!("{file}.log"), format!("{banner}{file}\n"));
    }
    host.settle();
    assert_eq!(host.read.len(), 200);
}

/// F14: there is no least size, and growing re-reads nothing.
#[test]
fn a_file_of_one_byte_is_read_at_once_and_not_again_as_it_grows() {
    let mut host = Host::new();
    host.append("a.log", "\n");
    host.settle();
    assert_eq!(host.read.len(), 1);
    for line in 0..200 {
        host.append("a.log", format!("line {line}\n"));
        host.turn();
    }
    host.settle();
    assert_eq!(host.read.len(), 201);
}

/// F27 and F30: far more files than descriptors.
#[test]
fn fifty_files_with_eight_descriptors_are_all_read_through_rotation() {
    let mut host = Host::with(WatchBackend::Auto, &["*.log"], &[], |setup| {
        setup.limits.max_open_files = 8;
    });
    for round in 0..3 {
        for file in 0..50 {
            host.append(&format!("{file}.log"), format!("{round}\n"));
        }
        host.settle();
    }
    for file in 0..50 {
        host.rename(&format!("{file}.log"), &format!("{file}.log.1"));
        host.append(&format!("{file}.log.1"), "late\n");
        host.append(&format!("{file}.log"), "next\n");
    }
    host.settle();
    assert_eq!(host.read.len(), 50 * 5);
    assert!(host.stats.descriptors_evicted > 0);
}

/// The limit of files is counted, and the others go on.
#[test]
fn files_over_the_limit_are_counted_and_left() {
    let mut host = Host::with(WatchBackend::Auto, &["*.log"], &[], |setup| {
        setup.limits.max_files = 3;
    });
    for file in 0..5 {
        host.append(&format!("{file}.log"), "x\n");
    }
    host.settle();
    assert_eq!(host.read.len(), 3);
    assert!(host.stats.files_over_limit >= 2);
}

/// The `notify` backend hears of new files, writes and renames too.
#[test]
fn the_notify_backend_follows_a_rotation() {
    let mut host = Host::with(WatchBackend::Notify, &["*.log"], &[], |setup| {
        setup.limits.rescan_interval = std::time::Duration::from_millis(100);
    });
    host.append("a.log", "1\n");
    host.settle();
    host.rename("a.log", "a.log.1");
    host.append("a.log", "2\n");
    host.settle();
    assert_eq!(host.lines(), ["1", "2"]);
}
