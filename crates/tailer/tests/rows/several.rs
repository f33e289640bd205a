//! Files of several sources.

use std::time::Duration;

use tailwater_tailer::{Encoding, Patterns, SourceFiles, WatchBackend};

use crate::host::{Host, Setup};

/// Adds a source of these globs.
fn add(setup: &mut Setup, include: &str) {
    let glob = format!("{}/{include}", setup.root.display());
    setup.others.push(SourceFiles {
        patterns: Patterns::new(&[glob], &[]).unwrap(),
        ignore_older: None,
        partial_line_timeout: None,
        archive: None,
    });
}

fn lines_of(host: &Host, source: usize) -> Vec<String> {
    let of_source = host.read.iter().filter(|line| line.source == source);
    of_source
        .map(|line| String::from_utf8_lossy(&line.bytes).into_owned())
        .collect()
}

#[test]
fn every_source_gets_every_line_through_rotations_and_truncation() {
    let mut host = Host::with(WatchBackend::Auto, &["*.log"], &[], |setup| {
        add(setup, "a.*");
        add(setup, "b.log");
    });
    let mut expected = Vec::new();
    for generation in 0..4 {
        for line in 0..10 {
            host.append("a.log", format!("{generation} {line}\n"));
            expected.push(format!("{generation} {line}"));
        }
        host.turn();
        host.rotate("a.log");
    }
    let file = host.append("a.log", "old\n");
    host.settle();
    file.set_len(0).unwrap();
    host.append("a.log", "new and longer\n");
    host.append("b.log", "b\n");
    host.settle();
    expected.extend(["old", "new and longer"].map(str::to_owned));
    assert_eq!(lines_of(&host, 1), expected);
    assert_eq!(lines_of(&host, 2), ["b"]);
    let first = lines_of(&host, 0);
    assert_eq!(first.len(), expected.len() + 1);
    let without_b = first.into_iter().filter(|line| line != "b");
    assert_eq!(without_b.collect::<Vec<_>>(), expected);
    host.restart();
    host.append("a.log", "last\n");
    host.settle();
    assert_eq!(lines_of(&host, 0).last().unwrap(), "last");
    expected.push("last".to_owned());
    assert_eq!(lines_of(&host, 1), expected);
}

/// The other source's line is whole when its writer has finished it.
#[test]
fn a_rest_is_sent_early_for_the_source_alone_that_wants_it() {
    let mut host = Host::with(WatchBackend::Auto, &["*.log"], &[], |setup| {
        setup.source.partial_line_timeout = Some(Duration::from_secs(1));
        add(setup, "*.log");
    });
    host.append("a.log", "half");
    host.settle();
    assert_eq!(lines_of(&host, 0), ["half"]);
    assert_eq!(lines_of(&host, 1), [""; 0]);
    host.append("a.log", " and half\n");
    host.settle();
    assert_eq!(lines_of(&host, 0), ["half", " and half"]);
    assert_eq!(lines_of(&host, 1), ["half and half"]);
}

#[test]
fn a_file_that_is_too_old_for_one_source_is_read_for_the_other() {
    for other_limit in [None, Some(Duration::from_secs(7 * 86_400))] {
        let mut host = Host::with(WatchBackend::Auto, &["*.log"], &[], |setup| {
            setup.source.ignore_older = Some(Duration::from_secs(3600));
            add(setup, "a.log");
            setup.others[0].ignore_older = other_limit;
        });
        let old = std::time::SystemTime::UNIX_EPOCH
            + Duration::from_nanos(host.unix_ns()).saturating_sub(Duration::from_secs(86_400));
        for name in ["a.log", "b.log"] {
            let file = host.append(name, format!("{name}\n"));
            file.set_modified(old).unwrap();
        }
        host.settle();
        assert_eq!(lines_of(&host, 0), ["a.log"]);
        assert_eq!(lines_of(&host, 1), ["a.log"]);
    }
}

#[test]
fn the_encoding_is_that_of_each_source() {
    let mut host = Host::with(WatchBackend::Auto, &["*.log"], &[], |_| {});
    host.append("a.log", b"\xff\xfea\x00");
    host.look();
    let file = host.tailer().files().next().unwrap();
    let utf16 = file.encoding(Encoding::Utf16Le);
    assert_eq!(file.encoding(Encoding::Auto), utf16);
    assert_ne!(file.encoding(Encoding::Utf8), utf16);
    assert_ne!(file.encoding(Encoding::Utf16Be), utf16);
}
