//! Files as rotation leaves them: each line once, and in the order it was written.

use std::fs;

use tailwater_testkit::logrotate::{Logrotate, Rule};

use crate::rig::{Rig, pack, rename};

/// Packs the live file of a log as its n-th rotation.
fn rotate_into(rig: &Rig, packed: &str, program: &str, arguments: &[&str]) {
    let plain = rig.log(packed.rsplit_once('.').unwrap().0);
    rename(&rig.log("app.log"), &plain);
    pack(program, arguments, &plain);
    assert!(rig.log(packed).is_file(), "{program}");
}

#[test]
fn a_log_in_all_formats_is_delivered_once_and_in_order_and_not_again() {
    let rig = Rig::new();
    let mut writer = rig.writer("app.log", 1);
    for (packed, program, arguments) in [
        ("app.log.7.gz", "gzip", &["-9"][..]),
        ("app.log.6.gz", "pigz", &[]),
        ("app.log.5.bz2", "bzip2", &[]),
        ("app.log.4.xz", "xz", &["-1"]),
        ("app.log.3.zst", "zstd", &["--rm", "-q"]),
    ] {
        writer.write_lines(2000).unwrap();
        rotate_into(&rig, packed, program, arguments);
        writer.reopen().unwrap();
    }
    // Several members in one file, as `cat` makes them of several.
    for part in ["app.log.part1.gz", "app.log.part2.gz"] {
        writer.write_lines(1000).unwrap();
        rotate_into(&rig, part, "gzip", &[]);
        writer.reopen().unwrap();
    }
    let parts = ["app.log.part1.gz", "app.log.part2.gz"];
    let members = parts.map(|part| fs::read(rig.log(part)).unwrap()).concat();
    rig.write("app.log.2.gz", &members);
    for part in parts {
        fs::remove_file(rig.log(part)).unwrap();
    }
    writer.write_lines(1000).unwrap();
    rename(&rig.log("app.log"), &rig.log("app.log.1"));
    writer.reopen().unwrap();
    writer.write_lines(1000).unwrap();
    let written = [writer.written()];

    let glob = rig.glob("app.log*");
    let report = rig.run(&[&glob]).assert_complete();
    rig.verdict(&written).assert_exact_by_timestamp();
    assert_eq!(report["files"]["whole"], 8, "{report}");
    assert_eq!(report["lines_read"], written[0].acked);
    assert_eq!(report["sinks"][0]["delivered"], written[0].acked);
    assert_eq!(report["duplicates_avoided"]["lines"], 0);

    let stored = rig.stored();
    let again = rig.run(&[&glob]).assert_complete();
    assert_eq!(rig.stored(), stored, "{again}");
    assert_eq!(again["files"]["already_delivered"], 8, "{again}");
    assert_eq!(again["duplicates_avoided"]["lines"], written[0].acked);
    assert_eq!(again["duplicates_avoided"]["bytes"], writer.bytes());
}

#[test]
fn what_logrotate_has_made_is_delivered_in_the_order_it_was_written() {
    for has_dates in [false, true] {
        let rig = Rig::new();
        let rule = Rule {
            rotate: 9,
            compress: true,
            delay_compress: true,
            date_extension: has_dates,
            ..Rule::new([rig.glob("*.log")])
        };
        let logrotate = Logrotate::new(rig.directory.path(), &[rule]).unwrap();
        let mut first = rig.writer("a.log", 1);
        let mut second = rig.writer("b.log", 2);
        // With dates, a second rotation within one second does nothing.
        for _ in 0..if has_dates { 1 } else { 4 } {
            first.write_lines(700).unwrap();
            second.write_lines(300).unwrap();
            logrotate.force().unwrap();
            first.reopen().unwrap();
            second.reopen().unwrap();
        }
        first.write_lines(100).unwrap();
        second.write_lines(100).unwrap();
        let written = [first.written(), second.written()];
        // The files are those of the source, with all that was rotated from them.
        let config = rig.config("");
        let report = rig.run_with(&["--config", &config]).assert_complete();
        rig.verdict(&written).assert_exact_by_timestamp();
        let files = if has_dates { 4 } else { 10 };
        assert_eq!(report["files"]["whole"], files, "{report}");
    }
}

#[test]
fn a_file_that_was_rotated_and_compressed_between_two_runs_is_not_sent_again() {
    let rig = Rig::new();
    let mut writer = rig.writer("app.log", 1);
    writer.write_lines(3000).unwrap();
    let glob = rig.glob("app.log*");
    rig.run(&[&glob]).assert_complete();
    rotate_into(&rig, "app.log.1.gz", "gzip", &[]);
    writer.reopen().unwrap();
    writer.write_lines(500).unwrap();
    let report = rig.run(&[&glob]).assert_complete();
    rig.verdict(&[writer.written()]).assert_exact_by_timestamp();
    assert_eq!(rig.stored(), 3500);
    assert_eq!(report["duplicates_avoided"]["lines"], 3000, "{report}");
}

#[test]
fn files_are_what_their_bytes_say_whatever_they_are_called() {
    let rig = Rig::new();
    let mut plain = rig.writer("plain.gz", 1);
    plain.write_lines(200).unwrap();
    let mut packed = rig.writer("packed", 2);
    packed.write_lines(200).unwrap();
    pack("gzip", &[], &rig.log("packed"));
    rename(&rig.log("packed.gz"), &rig.log("packed.log"));
    rig.write("empty.log", b"");
    rig.write("empty.gz", b"");
    let report = rig.run(&[&rig.glob("*")]).assert_complete();
    rig.verdict(&[plain.written(), packed.written()])
        .assert_exact_by_timestamp();
    assert_eq!(report["files"]["whole"], 4, "{report}");
}

#[test]
fn a_file_and_its_archive_are_read_once() {
    let rig = Rig::new();
    let mut writer = rig.writer("app.log.1", 1);
    writer.write_lines(1000).unwrap();
    pack("gzip", &["--keep"], &rig.log("app.log.1"));
    let report = rig.run(&[&rig.glob("app.log*")]).assert_complete();
    rig.verdict(&[writer.written()]).assert_exact_by_timestamp();
    assert_eq!(report["files"]["skipped"], 1, "{report}");
}

#[test]
fn a_last_line_without_its_end_is_sent() {
    let rig = Rig::new();
    rig.write("a.log", b"one\ntwo\nthree");
    let report = rig.run(&[&rig.glob("a.log")]).assert_complete();
    assert_eq!(rig.lines(), ["one", "two", "three"]);
    assert_eq!(report["lines_read"], 3);
}
