use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;

use super::*;

struct Fixture {
    directory: TempDir,
}

impl Fixture {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("out.log")
    }

    fn rotated_path(&self) -> PathBuf {
        self.directory.path().join("out.log.1")
    }

    fn target(&self, max_bytes: Option<u64>) -> FileTarget {
        FileTarget::new(self.path(), self.rotated_path(), true, max_bytes)
    }

    fn put(&self, content: &[u8]) {
        use std::io::Write;
        let mut options = OpenOptions::new();
        let file = options.write(true).create(true).truncate(true);
        file.open(self.path()).unwrap().write_all(content).unwrap();
    }

    fn content(&self) -> String {
        fs::read_to_string(self.path()).unwrap()
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "somebody else renames the file, as a rotation tool does"
)]
fn rename(from: PathBuf, to: PathBuf) {
    fs::rename(from, to).unwrap();
}

#[test]
fn batches_follow_each_other_in_a_new_file_that_others_cannot_read() {
    let fixture = Fixture::new();
    let mut target = fixture.target(None);
    target.append(b"one\n").unwrap();
    target.append(b"two\n").unwrap();
    assert_eq!(fixture.content(), "one\ntwo\n");
    let mode = fs::metadata(fixture.path()).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode & !NEW_FILE_MODE, 0, "{mode:o}");
    assert_eq!(mode & 0o600, 0o600, "{mode:o}");
}

#[test]
fn a_torn_last_line_is_cut_off_when_the_file_is_opened() {
    let fixture = Fixture::new();
    for (before, after) in [
        ("one\ntwo\nthr", "one\ntwo\nnew\n"),
        ("thr", "new\n"),
        ("one\n", "one\nnew\n"),
        ("", "new\n"),
    ] {
        fixture.put(before.as_bytes());
        fixture.target(None).append(b"new\n").unwrap();
        assert_eq!(fixture.content(), after);
    }
}

#[test]
fn a_long_torn_line_is_cut_off_too() {
    let fixture = Fixture::new();
    let mut content = b"one\n".to_vec();
    content.resize(200_000, b'x');
    fixture.put(&content);
    fixture.target(None).append(b"new\n").unwrap();
    assert_eq!(fixture.content(), "one\nnew\n");
}

#[test]
fn a_file_that_was_not_written_by_lines_is_left_alone() {
    let fixture = Fixture::new();
    fixture.put(b"");
    let len = MAX_TORN_LINE_BYTES + 1;
    let mut options = OpenOptions::new();
    let file = options.write(true).open(fixture.path()).unwrap();
    file.set_len(len).unwrap();
    let error = fixture.target(None).append(b"new\n").unwrap_err();
    assert!(matches!(error, AppendError::NoLines { .. }), "{error}");
    assert_eq!(fs::metadata(fixture.path()).unwrap().len(), len);
}

#[test]
fn a_file_that_was_removed_or_replaced_is_opened_again() {
    let fixture = Fixture::new();
    let mut target = fixture.target(None);
    target.append(b"one\n").unwrap();
    fs::remove_file(fixture.path()).unwrap();
    target.append(b"two\n").unwrap();
    assert_eq!(fixture.content(), "two\n");
    rename(fixture.path(), fixture.rotated_path());
    fixture.put(b"theirs\n");
    target.append(b"three\n").unwrap();
    assert_eq!(fixture.content(), "theirs\nthree\n");
}

#[test]
fn a_file_that_was_emptied_is_appended_to_without_a_hole() {
    let fixture = Fixture::new();
    let mut target = fixture.target(None);
    target.append(b"one\n").unwrap();
    fixture.put(b"");
    target.append(b"two\n").unwrap();
    assert_eq!(fixture.content(), "two\n");
}

#[test]
fn a_file_at_its_limit_is_kept_under_one_other_name() {
    let fixture = Fixture::new();
    let mut target = fixture.target(Some(8));
    let rotated = || fs::read_to_string(fixture.rotated_path());
    target.append(b"one\n").unwrap();
    target.append(b"two\n").unwrap();
    assert!(rotated().is_err(), "the limit itself is not too much");
    target.append(b"three\n").unwrap();
    assert_eq!(rotated().unwrap(), "one\ntwo\n");
    assert_eq!(fixture.content(), "three\n");
    target.append(b"longer than the limit\n").unwrap();
    assert_eq!(rotated().unwrap(), "three\n");
    assert_eq!(fixture.content(), "longer than the limit\n");
}

#[test]
fn a_rotation_that_fails_loses_nothing_and_is_tried_again() {
    let fixture = Fixture::new();
    let mut target = fixture.target(Some(4));
    target.append(b"one\n").unwrap();
    fs::create_dir(fixture.rotated_path()).unwrap();
    assert_eq!(target.append(b"two\n").unwrap_err().reason(), "io");
    assert_eq!(fixture.content(), "one\n");
    fs::remove_dir(fixture.rotated_path()).unwrap();
    target.append(b"two\n").unwrap();
    assert_eq!(fixture.content(), "two\n");
}

#[test]
fn a_batch_whose_cut_failed_is_cut_off_before_the_next_one() {
    let fixture = Fixture::new();
    let mut target = fixture.target(Some(4));
    target.append(b"one\n").unwrap();
    target.append_part_without_cut(b"tw");
    target.append(b"two\n").unwrap();
    assert_eq!(fixture.content(), "one\ntwo\n");
}

impl FileTarget {
    /// Leaves the state behind that a failed write has whose cut has failed as well.
    fn append_part_without_cut(&mut self, part: &[u8]) {
        let open = self.open.as_mut().unwrap();
        open.cut_to = Some(open.file.metadata().unwrap().len());
        write_from(&open.file, part, &mut 0).unwrap();
    }
}

#[test]
fn a_full_disk_is_waited_out() {
    let path = PathBuf::from("/dev/full");
    let mut target = FileTarget::new(path, "/dev/full.1".into(), true, None);
    for _attempt in 0..2 {
        assert_eq!(target.append(b"one\n").unwrap_err().reason(), "disk_full");
    }
}

#[test]
fn a_directory_that_is_missing_is_waited_for() {
    let fixture = Fixture::new();
    let directory = fixture.directory.path().join("late");
    let path = directory.join("out.log");
    let mut target = FileTarget::new(path.clone(), directory.join("out.log.1"), true, None);
    assert_eq!(target.append(b"one\n").unwrap_err().reason(), "not_found");
    fs::create_dir(&directory).unwrap();
    target.append(b"one\n").unwrap();
    assert_eq!(fs::read_to_string(path).unwrap(), "one\n");
}

#[test]
fn a_second_writer_waits_until_the_first_is_gone() {
    let fixture = Fixture::new();
    let mut first = fixture.target(None);
    let mut second = fixture.target(None);
    first.append(b"one\n").unwrap();
    assert_eq!(second.append(b"two\n").unwrap_err().reason(), "locked");
    drop(first);
    second.append(b"two\n").unwrap();
    assert_eq!(fixture.content(), "one\ntwo\n");
}

#[test]
fn directories_and_fifos_are_no_files_to_append_to() {
    let fixture = Fixture::new();
    let fifo = fixture.directory.path().join("fifo");
    let made = std::process::Command::new("mkfifo").arg(&fifo).status();
    assert!(made.unwrap().success());
    for path in [fixture.directory.path().to_owned(), fifo] {
        let mut target = FileTarget::new(path, fixture.rotated_path(), true, None);
        let error = target.append(b"one\n").unwrap_err();
        assert!(matches!(error, AppendError::NotAFile { .. }), "{error}");
    }
}
