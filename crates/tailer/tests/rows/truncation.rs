//! Content that changes in place: rows F04 to F06 and F19 of the catalog.

use std::io::{Seek as _, SeekFrom, Write as _};

use tailwater_tailer::WatchBackend;

use crate::host::Host;

const BACKENDS: [WatchBackend; 3] = [WatchBackend::Auto, WatchBackend::Notify, WatchBackend::Poll];

/// F04 and 15 of the other list: shorter, equal and longer than before.
#[test]
fn truncated_and_written_again_is_read_from_its_start_by_every_backend() {
    for watch in BACKENDS {
        for next in ["x\n", "three\nfour\n", "another and a longer line\nmore\n"] {
            let mut host = Host::with(watch, &["*.log"], &[], |setup| {
                setup.limits.rescan_interval = std::time::Duration::from_millis(100);
            });
            let mut writer = host.append("a.log", "first\ntwo\n");
            host.settle();
            writer.set_len(0).unwrap();
            writer.write_all(next.as_bytes()).unwrap();
            host.settle();
            let expected: Vec<&str> = ["first", "two"].into_iter().chain(next.lines()).collect();
            assert_eq!(host.lines(), expected, "{watch:?}");
            assert_eq!(host.stats.truncations, 1);
        }
    }
}

/// F04: emptied is a truncation, whatever comes after and however late.
#[test]
fn truncated_to_nothing_and_written_much_later() {
    let mut host = Host::new();
    let mut writer = host.append("a.log", "1\n2\n");
    host.settle();
    writer.set_len(0).unwrap();
    host.settle();
    writer.write_all(b"3\n").unwrap();
    host.settle();
    writer.set_len(0).unwrap();
    writer.write_all(b"4\n").unwrap();
    host.settle();
    assert_eq!(host.lines(), ["1", "2", "3", "4"]);
    assert_eq!(host.stats.truncations, 2);
}

/// 16 of the other list: the same bytes again cannot be told from the old ones once all is read; a
/// shorter size tells them.
#[test]
fn truncated_and_seen_empty_the_same_bytes_are_lines_anew() {
    let mut host = Host::new();
    let mut writer = host.append("a.log", "same\n");
    host.settle();
    writer.set_len(0).unwrap();
    host.turn();
    writer.write_all(b"same\n").unwrap();
    host.settle();
    assert_eq!(host.lines(), ["same", "same"]);
}

/// F04: what was seen and not read is counted, for the slowest of the sinks.
#[test]
fn bytes_lost_to_a_truncation_are_counted() {
    let mut host = Host::with(WatchBackend::Auto, &["*.log"], &[], |setup| {
        setup.sinks = 2;
    });
    host.append("a.log", "1\n");
    host.settle();
    host.blocked.push(1);
    let mut writer = host.append("a.log", "22\n333\n");
    host.settle();
    writer.set_len(0).unwrap();
    writer.write_all(b"4\n").unwrap();
    host.settle();
    host.blocked.clear();
    host.settle();
    assert_eq!(host.lost_bytes, 7);
    assert_eq!(host.sorted_lines(), ["1", "1", "22", "333", "4", "4"]);
}

/// F05: truncated in the middle of a chunk that is being read.
#[test]
fn truncated_between_two_reads_glues_nothing() {
    let mut host = Host::new();
    let line = "a line of the first content\n";
    let mut writer = host.append("a.log", line.repeat(20_000));
    host.look();
    assert!(host.pass() > 0);
    writer.set_len(0).unwrap();
    writer
        .write_all("the second\n".repeat(3).as_bytes())
        .unwrap();
    host.settle();
    let lines = host.lines();
    let (second, first): (Vec<_>, Vec<_>) = lines.iter().partition(|line| *line == "the second");
    assert_eq!(second.len(), 3);
    assert!(first.iter().all(|read| read.as_str() == line.trim_end()));
    // What was not read of the first is gone, and said to be.
    let read_bytes = first.len() * line.len();
    assert_eq!(host.lost_bytes, (20_000 * line.len() - read_bytes) as u64);
}

/// F06 for ever: rotated in place again and again, faster and slower than it is read.
#[test]
fn a_copytruncate_loop_repeats_nothing_and_tears_nothing() {
    let mut host = Host::new();
    let mut writer = host.append("a.log", "");
    let mut seq = 0;
    for round in 0_u32..60 {
        for _ in 0..=(round % 7) {
            writer
                .write_all(format!("{seq:06} line\n").as_bytes())
                .unwrap();
            seq += 1;
        }
        host.turn();
        if round % 3 == 0 {
            std::fs::copy(host.path("a.log"), host.path("a.log.1")).unwrap();
            writer.set_len(0).unwrap();
        }
    }
    host.settle();
    let expected: Vec<String> = (0..seq).map(|seq| format!("{seq:06} line")).collect();
    assert_eq!(host.lines(), expected);
}

/// F19 on a grand scale: a hole of 64 MiB is not shipped, and costs no block of the disk.
#[test]
fn a_large_hole_is_skipped_whole() {
    const HOLE: u64 = 64 << 20;
    let mut host = Host::new();
    let mut writer = std::fs::OpenOptions::new()
        .create_new(true)
        .write(true)
        .open(host.path("a.log"))
        .unwrap();
    writer.write_all(b"before\n").unwrap();
    host.turn();
    writer.set_len(0).unwrap();
    writer.seek(SeekFrom::Start(HOLE)).unwrap();
    writer.write_all(b"after\nmore\n").unwrap();
    host.settle();
    assert_eq!(host.lines(), ["before", "after", "more"]);
    assert_eq!(host.counts.hole_bytes, HOLE);
}

/// A truncated file that is then rotated is finished like any other.
#[test]
fn truncated_and_then_rotated_is_read_before_its_successor() {
    let mut host = Host::new();
    let mut writer = host.append("a.log", "1\n");
    host.settle();
    writer.set_len(0).unwrap();
    writer.write_all(b"2\n").unwrap();
    host.rotate("a.log");
    host.append("a.log", "3\n");
    host.settle();
    assert_eq!(host.lines(), ["1", "2", "3"]);
}
