//! Finding files: rows F10 to F12, F21, F24, F33 and F34 of the catalog, and `ignore_older`.

use std::fs::FileTimes;
use std::os::unix::fs::symlink;
use std::time::{Duration, UNIX_EPOCH};

use tailwater_tailer::{Encoding, Patterns, WatchBackend};

use crate::host::Host;

const BACKENDS: [WatchBackend; 3] = [WatchBackend::Auto, WatchBackend::Notify, WatchBackend::Poll];

fn repaired(setup: &mut crate::host::Setup) {
    setup.limits.rescan_interval = Duration::from_millis(100);
}

/// 1, 2 and 11 by every backend: found, written, rotated, deleted, made again.
#[test]
fn the_life_of_a_file_is_followed_by_every_backend() {
    for watch in BACKENDS {
        let mut host = Host::with(watch, &["**/*.log"], &[], repaired);
        host.append("a.log", "1\n");
        host.settle();
        let mut old = host.append("a.log", "2\n");
        host.settle();
        host.rotate("a.log");
        host.append("a.log", "4\n");
        std::io::Write::write_all(&mut old, b"3\n").unwrap();
        host.settle();
        host.remove("a.log");
        host.append("a.log", "5\n");
        host.settle();
        std::fs::create_dir(host.path("d")).unwrap();
        host.append("d/b.log", "6\n");
        host.settle();
        assert_eq!(host.lines(), ["1", "2", "3", "4", "5", "6"], "{watch:?}");
    }
}

/// F10: a swap as a kubelet makes it, again and again.
#[test]
fn a_link_that_is_swapped_again_and_again_is_followed_by_every_backend() {
    for watch in BACKENDS {
        let mut host = Host::with(watch, &["containers/*.log"], &[], |setup| {
            repaired(setup);
        });
        std::fs::create_dir_all(host.path("pods/uid/app")).unwrap();
        std::fs::create_dir(host.path("containers")).unwrap();
        for number in 0..5 {
            let target = host.path(&format!("pods/uid/app/{number}.log"));
            host.append(
                &format!("pods/uid/app/{number}.log"),
                format!("{number}a\n"),
            );
            symlink(target, host.path("containers/next")).unwrap();
            host.rename("containers/next", "containers/app.log");
            host.settle();
            host.append(
                &format!("pods/uid/app/{number}.log"),
                format!("{number}b\n"),
            );
            host.settle();
        }
        let expected: Vec<String> = (0..5)
            .flat_map(|number| [format!("{number}a"), format!("{number}b")])
            .collect();
        assert_eq!(host.lines_of("containers/app.log"), expected, "{watch:?}");
    }
}

/// F10 with F01: the target is rotated below the link.
#[test]
fn a_rotation_of_what_a_link_leads_to_is_followed() {
    let mut host = Host::with(WatchBackend::Auto, &["containers/*.log"], &[], |_| {});
    std::fs::create_dir(host.path("containers")).unwrap();
    std::fs::create_dir(host.path("pods")).unwrap();
    let mut old = host.append("pods/0.log", "1\n");
    symlink("../pods/0.log", host.path("containers/app.log")).unwrap();
    host.settle();
    host.rename("pods/0.log", "pods/0.log.20261121");
    std::io::Write::write_all(&mut old, b"2\n").unwrap();
    host.append("pods/0.log", "3\n");
    host.settle();
    host.append("pods/0.log", "4\n");
    host.settle();
    assert_eq!(host.lines(), ["1", "2", "3", "4"]);
}

/// F10: a link whose target is made later.
#[test]
fn a_link_to_a_file_that_is_made_later_is_followed() {
    let mut host = Host::with(WatchBackend::Auto, &["links/*.log"], &[], |_| {});
    std::fs::create_dir(host.path("links")).unwrap();
    std::fs::create_dir(host.path("real")).unwrap();
    symlink("../real/0", host.path("links/a.log")).unwrap();
    host.settle();
    host.append("real/0", "1\n");
    host.settle();
    host.append("real/0", "2\n");
    host.settle();
    assert_eq!(host.lines(), ["1", "2"]);
}

/// F12: a file and a link to it are one file.
#[test]
fn a_link_to_a_followed_file_is_read_once() {
    let mut host = Host::new();
    host.append("a.log", "1\n");
    symlink("a.log", host.path("b.log")).unwrap();
    host.settle();
    host.append("b.log", "2\n");
    host.settle();
    assert_eq!(host.lines(), ["1", "2"]);
}

/// Two roots that are one directory: each glob matches under its own name.
#[test]
fn a_directory_with_two_names_is_listed_under_both() {
    let mut host = Host::with(
        WatchBackend::Auto,
        &["real/a*.log", "link/b*.log"],
        &[],
        |_| {},
    );
    std::fs::create_dir(host.path("real")).unwrap();
    symlink("real", host.path("link")).unwrap();
    host.settle();
    for line in ["1\n", "2\n"] {
        host.append("real/a.log", line);
        host.append("real/b.log", line);
        host.settle();
    }
    assert_eq!(host.lines_of("real/a.log"), ["1", "2"]);
    assert_eq!(host.lines_of("link/b.log"), ["1", "2"]);
    assert_eq!(host.read.len(), 4);
}

/// F33: a name that was none of a file's, and becomes one.
#[test]
fn a_fifo_or_directory_that_gives_way_to_a_file_is_followed() {
    let mut host = Host::new();
    let fifo = host.path("fifo.log");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status();
    assert!(made.unwrap().success());
    std::fs::create_dir(host.path("dir.log")).unwrap();
    host.settle();
    host.remove("fifo.log");
    std::fs::remove_dir(host.path("dir.log")).unwrap();
    host.append("fifo.log", "1\n");
    host.append("dir.log", "2\n");
    host.settle();
    assert_eq!(host.sorted_lines(), ["1", "2"]);
}

/// F87: what the agent writes itself is never read, whatever the globs say.
#[test]
fn its_own_files_are_never_read() {
    let mut host = Host::with(WatchBackend::Auto, &["**/*.log"], &[], |setup| {
        let own = ["agent.log", "state"].map(|name| setup.root.join(name));
        setup.limits.excluded_paths = own.to_vec();
    });
    std::fs::create_dir(host.path("state")).unwrap();
    host.append("agent.log", "own\n");
    host.append("state/x.log", "own\n");
    symlink("agent.log", host.path("link.log")).unwrap();
    std::fs::hard_link(host.path("agent.log"), host.path("hard.log")).unwrap();
    host.append("a.log", "1\n");
    host.settle();
    host.append("agent.log", "own\n");
    host.settle();
    let lines = host.lines_of("a.log");
    assert_eq!(lines, ["1"]);
    let others: Vec<_> = host.read.iter().map(|line| &line.path).collect();
    assert!(
        others
            .iter()
            .all(|path| !path.ends_with("link.log") && !path.ends_with("agent.log")),
        "{others:?}"
    );
}

/// 18: an old file is left until it is written to, and then read where it was left.
#[test]
fn an_old_file_is_read_from_where_it_was_left_once_it_is_written() {
    let mut host = Host::with(WatchBackend::Auto, &["*.log"], &[], |setup| {
        setup.source.ignore_older = Some(Duration::from_secs(3600));
    });
    let age = |file: &std::fs::File| {
        let times = FileTimes::new().set_modified(UNIX_EPOCH + Duration::from_secs(1_000_000));
        file.set_times(times).unwrap();
    };
    let known = host.append("known.log", "1\n");
    host.settle();
    assert_eq!(host.lines(), ["1"]);
    host.stop();
    age(&known);
    age(&host.append("new.log", "2\n"));
    host.start();
    host.settle();
    assert_eq!(host.lines(), ["1"], "too old");
    host.append("known.log", "3\n");
    host.settle();
    assert_eq!(host.lines(), ["1", "3"], "only what is new of a known file");
    host.append("new.log", "4\n");
    host.settle();
    assert_eq!(host.lines(), ["1", "3", "2", "4"], "all of an unknown file");
}

/// 18: touched without a write is young as well.
#[test]
fn an_old_file_is_read_once_it_is_touched() {
    let mut host = Host::with(WatchBackend::Auto, &["*.log"], &[], |setup| {
        setup.source.ignore_older = Some(Duration::from_secs(3600));
    });
    let file = host.append("a.log", "1\n");
    let at = |secs| FileTimes::new().set_modified(UNIX_EPOCH + Duration::from_secs(secs));
    file.set_times(at(1_000_000)).unwrap();
    host.settle();
    assert_eq!(host.lines(), Vec::<String>::new());
    file.set_times(at(32_000_000_000)).unwrap();
    host.settle();
    assert_eq!(host.lines(), ["1"]);
}

/// 19 and 20: includes that match the plain and the rotated names read each line once.
#[test]
fn globs_over_rotated_names_read_every_line_once() {
    for (include, restarts) in [("a.log*", false), ("a.log*", true)] {
        let mut host = Host::with(WatchBackend::Auto, &[include], &[], |_| {});
        host.append("a.log", "0\n");
        host.settle();
        for number in 1..=4 {
            host.rotate("a.log");
            host.append("a.log", format!("{number}\n"));
            host.settle();
            if restarts {
                host.restart();
                host.settle();
            }
        }
        assert_eq!(host.lines(), ["0", "1", "2", "3", "4"]);
    }
}

/// 20: one unreadable neighbor.
#[test]
fn alternatives_and_classes_find_their_files() {
    let include = &["{web,db}/[a-c]*.log"];
    let mut host = Host::with(WatchBackend::Auto, include, &["**/*debug*"], |_| {});
    for name in ["web", "db", "other"] {
        std::fs::create_dir(host.path(name)).unwrap();
        for file in ["a.log", "b1.log", "x.log", "c-debug.log"] {
            host.append(&format!("{name}/{file}"), format!("{name} {file}\n"));
        }
    }
    host.settle();
    assert_eq!(
        host.sorted_lines(),
        ["db a.log", "db b1.log", "web a.log", "web b1.log"]
    );
}

/// F27: many directories; each is listed when something happens in it, and not otherwise.
#[test]
fn a_thousand_directories_are_listed_only_where_something_happens() {
    let mut host = Host::new();
    for number in 0..1000 {
        std::fs::create_dir(host.path(&format!("{number}"))).unwrap();
        host.append(&format!("{number}/a.log"), "1\n");
    }
    host.settle();
    assert_eq!(host.read.len(), 1000);
    let before = host.stats.scans;
    host.append("500/a.log", "2\n");
    host.append("501/b.log", "3\n");
    host.settle();
    assert_eq!(host.read.len(), 1002);
    assert_eq!(
        host.stats.scans - before,
        1,
        "a write needs no listing, a name needs one"
    );
    std::fs::remove_dir_all(host.path("7")).unwrap();
    host.settle();
    assert_eq!(host.tailer().watched_and_polled(), (1000, 0));
}

/// F21: the byte order mark comes after the file was found empty, or after a truncation.
#[test]
fn the_encoding_is_told_when_the_first_bytes_are_there() {
    let utf_16 = |text: &str| -> Vec<u8> {
        let units = text.encode_utf16();
        units.flat_map(u16::to_le_bytes).collect()
    };
    let mut host = Host::new();
    let mut writer = host.append("a.log", "");
    host.settle();
    for byte in utf_16("\u{FEFF}eins\n") {
        std::io::Write::write_all(&mut writer, &[byte]).unwrap();
        host.turn();
    }
    assert_eq!(host.lines(), ["eins"]);
    host.restart();
    std::io::Write::write_all(&mut writer, &utf_16("zwei\n")).unwrap();
    host.settle();
    assert_eq!(host.lines(), ["eins", "zwei"]);
    writer.set_len(0).unwrap();
    std::io::Write::write_all(&mut writer, b"three\n").unwrap();
    host.settle();
    assert_eq!(host.lines(), ["eins", "zwei", "three"]);
    writer.set_len(0).unwrap();
    std::io::Write::write_all(&mut writer, &utf_16("\u{FEFF}vier\n")).unwrap();
    host.settle();
    assert_eq!(host.lines(), ["eins", "zwei", "three", "vier"]);
}

/// F21: the source's word counts where there is no mark.
#[test]
fn the_encoding_of_the_source_is_used_where_there_is_no_mark() {
    let mut host = Host::with(WatchBackend::Auto, &["*.log"], &[], |setup| {
        setup.frame.encoding = Encoding::Utf16Be;
    });
    let bytes: Vec<u8> = "eins\n".encode_utf16().flat_map(u16::to_be_bytes).collect();
    host.append("a.log", bytes);
    host.settle();
    assert_eq!(host.lines(), ["eins"]);
}

/// A glob that is a plain path is one file, in a directory that may come late.
#[test]
fn a_plain_path_is_followed_when_its_directory_is_made() {
    let mut host = Host::with(WatchBackend::Poll, &["late/deep/a.log"], &[], |_| {});
    host.settle();
    std::fs::create_dir_all(host.path("late/deep")).unwrap();
    host.append("late/deep/a.log", "1\n");
    host.append("late/deep/b.log", "no\n");
    host.settle();
    assert_eq!(host.lines(), ["1"]);
    assert!(Patterns::new(&["relative.log".to_owned()], &[]).is_err());
}
