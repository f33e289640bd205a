//! Groups of lines that a rotation cuts in two.

use std::path::Path;

use tailwater_testkit::wait;

use crate::rig::{DEADLINE, Rig, stop, wait_settled};
use crate::stages::{append, assert_lines, count, wait_lines};

const CRI: &str = "    stages: [ { cri: {} } ]\n";

#[expect(
    clippy::disallowed_methods,
    reason = "a log rotation renames without syncing"
)]
fn rename(from: &Path, to: &Path) {
    std::fs::rename(from, to).unwrap();
}

#[test]
fn a_group_whose_first_file_is_truncated_is_sent_as_far_as_it_goes() {
    let rig = Rig::new(CRI, "");
    let path = rig.log("a.log");
    append(
        &path,
        "2026-01-01T00:00:00Z stdout F whole\n2026-01-01T00:00:01Z stdout P one \n",
    );
    let mut agent = rig.start();
    wait_lines(&rig, &agent, &["whole"]);
    let rotated = rig.log("a.log.1");
    rename(&path, &rotated);
    append(&path, "2026-01-01T00:00:02Z stdout P two \n");
    let has_read = |lines: f64| {
        wait::until(DEADLINE, "the lines are read", || {
            count(&agent, "tailwater_read_lines_total") > lines - 0.5
        })
        .unwrap();
    };
    has_read(3.0);
    std::fs::OpenOptions::new()
        .write(true)
        .truncate(true)
        .open(&rotated)
        .unwrap();
    append(&rotated, "2026-01-01T00:00:03Z stdout F other\n");
    wait_lines(&rig, &agent, &["whole", "one two ", "other"]);
    append(&path, "2026-01-01T00:00:04Z stdout F three\n");
    let expected = ["whole", "one two ", "other", "three"];
    wait_lines(&rig, &agent, &expected);
    wait_settled(&agent);
    assert_lines(&rig, &expected);
    stop(&mut agent);
}
