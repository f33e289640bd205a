//! Archives that are not whole: all that stands before the damage is delivered, and the status says so.

use std::fs;
use std::process::Command;

use tailwater_testkit::writer::Written;

use crate::rig::{Rig, pack, rename};

/// Writes a gzipped log and changes its bytes.
fn damaged(rig: &Rig, change: impl FnOnce(&mut Vec<u8>)) -> Written {
    let mut writer = rig.writer("bad.log.1", 1);
    writer.write_lines(5000).unwrap();
    pack("gzip", &[], &rig.log("bad.log.1"));
    let mut bytes = fs::read(rig.log("bad.log.1.gz")).unwrap();
    change(&mut bytes);
    rig.write("bad.log.1.gz", &bytes);
    writer.written()
}

/// Runs it beside a good file; returns the lines of the damaged one that were delivered.
fn run(rig: &Rig, written: Written, word: &str) -> u64 {
    let mut good = rig.writer("good.log", 2);
    good.write_lines(1000).unwrap();
    for _ in 0..2 {
        let outcome = rig.run(&[&rig.glob("*")]);
        let report = outcome.assert_incomplete();
        assert_eq!(report["files"]["damaged"], 1, "{report}");
        let remark = report["remarkable"][0].clone();
        assert!(
            remark["reason"].as_str().unwrap().contains(word),
            "{report}"
        );
        assert!(
            outcome.errors.contains("not every line"),
            "{}",
            outcome.errors
        );
    }
    rig.verdict(&[good.written()]);
    rig.sink.inspect(|state| {
        let tally = state.tally();
        assert!(state.has_all([&good.written()]));
        let stored = (0..written.acked).map(|seq| {
            let copies = tally.file(1).map_or(0, |file| file.copies(seq).committed);
            assert!(copies <= 1, "line {seq} was stored {copies} times");
            u64::from(copies)
        });
        stored.sum()
    })
}

#[test]
fn what_stands_before_the_end_of_a_truncated_archive_is_delivered() {
    let rig = Rig::new();
    let written = damaged(&rig, |bytes| bytes.truncate(bytes.len() / 2));
    let stored = run(&rig, written, "truncated");
    assert!((1000..4000).contains(&stored), "{stored}");
}

#[test]
fn an_archive_whose_checksum_is_wrong_is_delivered_and_told_of() {
    let rig = Rig::new();
    let written = damaged(&rig, |bytes| {
        let place = bytes.len() - 6;
        bytes[place] ^= 1;
    });
    assert_eq!(run(&rig, written, "corrupt"), written.acked);
}

#[test]
fn what_follows_an_archive_and_is_none_is_told_of() {
    let rig = Rig::new();
    let written = damaged(&rig, |bytes| {
        bytes.extend_from_slice(b"garbage behind it\n");
    });
    assert_eq!(run(&rig, written, "trailing"), written.acked);
}

#[test]
fn zeros_behind_an_archive_are_no_damage() {
    let rig = Rig::new();
    let written = damaged(&rig, |bytes| bytes.extend_from_slice(&[0; 4096]));
    rig.run(&[&rig.glob("*")]).assert_complete();
    rig.verdict(&[written]).assert_exact_by_timestamp();
}

#[test]
fn a_file_that_may_not_be_read_is_told_of_and_the_others_go_on() {
    let rig = Rig::new();
    let mut good = rig.writer("good.log", 2);
    good.write_lines(100).unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(rig.log("pipe.log"))
        .status()
        .unwrap();
    assert!(made.success());
    std::os::unix::fs::symlink("/etc/passwd", rig.log("link.log")).unwrap();
    let report = rig.run(&[&rig.glob("*.log")]).assert_incomplete();
    rig.verdict(&[good.written()]).assert_exact_by_timestamp();
    assert_eq!(report["files"]["unreadable"], 2, "{report}");
    assert_eq!(rig.stored(), 100);
}

#[test]
fn what_is_packed_as_nobody_unpacks_here_is_named_and_none_of_its_bytes_is_sent() {
    let rig = Rig::new();
    let mut good = rig.writer("good.log", 2);
    good.write_lines(1000).unwrap();
    rig.write(
        "old.log.1.lz4",
        b"\x04\x22\x4d\x18\x60\x40\x82some\nlines\n",
    );
    rig.write("old.log.2.zip", b"PK\x03\x04\x14\0old.log.2some\nlines\n");
    rig.write("twice.log.1", b"one\n");
    pack("gzip", &[], &rig.log("twice.log.1"));
    rename(&rig.log("twice.log.1.gz"), &rig.log("twice.log"));
    pack("gzip", &[], &rig.log("twice.log"));
    let mut tar = Command::new("tar");
    tar.arg("-C")
        .arg(rig.log(""))
        .args(["-czf"])
        .arg(rig.log("all.tar.gz"))
        .arg("good.log");
    assert!(tar.status().unwrap().success());
    let glob = rig.glob("*");
    let listed = rig.run(&[&glob, "--dry-run"]).out;
    assert_eq!(listed.matches("unpack it first").count(), 4, "{listed}");
    let outcome = rig.run(&[&glob]);
    let report = outcome.assert_incomplete();
    assert_eq!(report["files"]["unreadable"], 4, "{report}");
    assert_eq!(report["files"]["whole"], 1, "{report}");
    for word in [
        "by lz4",
        "a zip archive",
        "compressed twice",
        "a tar archive",
    ] {
        assert!(outcome.out.contains(word), "{word}: {}", outcome.out);
    }
    rig.verdict(&[good.written()]).assert_exact_by_timestamp();
    assert_eq!(rig.stored(), 1000);
}
