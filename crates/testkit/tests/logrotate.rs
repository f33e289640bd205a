//! The real logrotate does what its rules say.

#![expect(
    clippy::unwrap_used,
    reason = "a test stops at the first surprise, also outside of #[test] functions"
)]

use std::fs;
use std::path::Path;

use tailwater_testkit::logrotate::{Logrotate, Method, Rule};
use tailwater_testkit::writer::{LogWriter, WriterOptions};

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.starts_with("app"))
        .collect();
    names.sort();
    names
}

fn rule(directory: &Path) -> Rule {
    Rule::new([directory.join("app.log").display().to_string()])
}

#[test]
fn a_file_is_renamed_compressed_later_and_the_writer_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.log");
    let told = directory.path().join("told");
    let logrotate = Logrotate::new(
        directory.path(),
        &[Rule {
            rotate: 2,
            compress: true,
            delay_compress: true,
            post_rotate: Some(format!("echo told >> {}", told.display())),
            ..rule(directory.path())
        }],
    )
    .unwrap();
    let mut writer = LogWriter::open(&path, 0, WriterOptions::default()).unwrap();
    for rotations in 1..=3 {
        writer.write_lines(10).unwrap();
        logrotate.force().unwrap();
        writer.reopen().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().len(), 0, "a new file was made");
        let told = fs::read_to_string(&told).unwrap();
        assert_eq!(told.lines().count(), rotations);
    }
    assert_eq!(
        names(directory.path()),
        ["app.log", "app.log.1", "app.log.2.gz"]
    );
}

#[test]
fn a_file_is_copied_and_emptied_under_its_writer() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.log");
    let logrotate = Logrotate::new(
        directory.path(),
        &[Rule {
            method: Method::CopyTruncate,
            ..rule(directory.path())
        }],
    )
    .unwrap();
    let mut writer = LogWriter::open(&path, 0, WriterOptions::default()).unwrap();
    writer.write_lines(10).unwrap();
    let before = fs::read(&path).unwrap();
    logrotate.force().unwrap();
    assert_eq!(fs::metadata(&path).unwrap().len(), 0);
    assert_eq!(
        fs::read(directory.path().join("app.log.1")).unwrap(),
        before
    );
    writer.write_lines(1).unwrap();
    assert!(fs::read(&path).unwrap().starts_with(b"0 10 "));
}

#[test]
fn rotated_files_can_be_named_by_their_date() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.log");
    let rule = Rule {
        date_extension: true,
        ..rule(directory.path())
    };
    let logrotate = Logrotate::new(directory.path(), &[rule]).unwrap();
    LogWriter::open(&path, 0, WriterOptions::default())
        .unwrap()
        .write_lines(1)
        .unwrap();
    logrotate.force().unwrap();
    let names = names(directory.path());
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(names[1].starts_with("app.log-20"), "{names:?}");
}

#[test]
fn a_rotation_whose_script_fails_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let rule = Rule {
        post_rotate: Some("exit 3".into()),
        ..rule(directory.path())
    };
    let logrotate = Logrotate::new(directory.path(), &[rule]).unwrap();
    LogWriter::open(
        directory.path().join("app.log"),
        0,
        WriterOptions::default(),
    )
    .unwrap()
    .write_lines(1)
    .unwrap();
    let error = logrotate.force().unwrap_err().to_string();
    assert!(error.contains("logrotate ended with"), "{error}");
}
